//! Framings with frames made by hand: each case builds its frames from the layout in its comment, never by our encoder.

use super::*;

/// A framing and what its frames look like.
pub struct Case {
    pub text: &'static str,
    /// The frame around a message.
    pub frame: fn(&[u8]) -> Vec<u8>,
    /// What is to be skipped, in hex.
    pub keep_alives: &'static [&'static str],
    /// What a frame made by `frame` has for its reply, in hex.
    pub envelope: &'static str,
    /// Whether `frame` makes what we write ourselves (not so where it is the peer's variant).
    pub ours: bool,
}

/// 0810, 57 bytes: what the host answers in hd-001 of the recorded cases.
pub const REPLY_0810: &str = "30383130222000000a8000003939303030303131323230333335313430303130393352524e313437343532393438\
    3030303030303030353933";
/// 0210, 149 bytes: from ul-003 of the recorded cases.
pub const REPLY_0210: &str = "30323130323004802ec0800030303030303030303030303030303130303031313232303333353132303031303839\
    32363131323230333335313230353630303337343835303738313233343536373839313d313930383230313232333238303030303030333752\
    524e36363930373138323441433030303130303030303030303538393030303132343634323132343634333831\
    30";

/// Three messages of 57, 149 and 57 bytes.
pub fn messages() -> [Vec<u8>; 3] {
    [hex(REPLY_0810), hex(REPLY_0210), hex(REPLY_0810)]
}

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn ascii4(len: usize) -> [u8; 4] {
    format!("{len:04}").into_bytes().try_into().unwrap()
}

fn be2(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap().to_be_bytes()
}

/// Packed BCD, written through the decimal text: 149 is the hex text 0149.
fn bcd2(len: usize) -> Vec<u8> {
    hex(&format!("{len:04}"))
}

const TPDU: &[u8] = &[0x60, 0x00, 0x03, 0x12, 0x34];

/// Framings that have a length, or end at certain bytes; [`super::split`] adds those that the dialect ends.
pub const CASES: &[Case] = &[
    Case {
        text: "ascii4",
        frame: |m| cat(&[&ascii4(m.len()), m]),
        keep_alives: &["30303030"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "ascii4-inclusive",
        frame: |m| cat(&[&ascii4(m.len() + 4), m]),
        keep_alives: &["30303030", "30303034"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "bin2",
        frame: |m| cat(&[&be2(m.len()), m]),
        keep_alives: &["0000"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "bin2-inclusive",
        frame: |m| cat(&[&be2(m.len() + 2), m]),
        keep_alives: &["0000", "0002"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "bin4",
        frame: |m| cat(&[&[0, 0], &be2(m.len()), m]),
        keep_alives: &["00000000"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "bcd2",
        frame: |m| cat(&[&bcd2(m.len()), m]),
        keep_alives: &["0000"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "hex4",
        frame: |m| cat(&[format!("{:04X}", m.len()).as_bytes(), m]),
        keep_alives: &["30303030"],
        envelope: "",
        ours: true,
    },
    // A peer that writes its hex digits in lower case.
    Case {
        text: "hex4",
        frame: |m| cat(&[format!("{:04x}", m.len()).as_bytes(), m]),
        keep_alives: &["30303030"],
        envelope: "",
        ours: false,
    },
    // The length counts TPDU and message; 0005 is an empty frame, TPDU included.
    Case {
        text: "nac",
        frame: |m| cat(&[&be2(m.len() + 5), TPDU, m]),
        keep_alives: &["0000", "00056000031234"],
        envelope: "6000031234",
        ours: false,
    },
    Case {
        text: "length(bin 2, counts=payload+after), tpdu(6000031234)",
        frame: |m| cat(&[&be2(m.len() + 5), TPDU, m]),
        keep_alives: &["0000", "00056000031234"],
        envelope: "6000031234",
        ours: true,
    },
    // jPOS NACChannel with include-header-length: the two bytes of the length are counted as well.
    Case {
        text: "length(bin 2, counts=all), tpdu(6000031234)",
        frame: |m| cat(&[&be2(m.len() + 7), TPDU, m]),
        keep_alives: &["0000", "0002", "00076000031234"],
        envelope: "6000031234",
        ours: true,
    },
    // jPOS NCCChannel / BCDChannel.
    Case {
        text: "length(bcd 2, counts=payload+after), tpdu(6000031234)",
        frame: |m| cat(&[&bcd2(m.len() + 5), TPDU, m]),
        keep_alives: &["0000"],
        envelope: "6000031234",
        ours: true,
    },
    // SocketQueue's header of hd-005: the TPDU is not counted.
    Case {
        text: "length(bin 2), tpdu(6000031234)",
        frame: |m| cat(&[&be2(m.len()), TPDU, m]),
        keep_alives: &["0000"],
        envelope: "6000031234",
        ours: true,
    },
    // jPOS BASE24TCPChannel: 2 bytes counting the trailer, then message and 03.
    Case {
        text: "length(bin 2, counts=payload+trailer), trailer(03)",
        frame: |m| cat(&[&be2(m.len() + 1), m, &[3]]),
        keep_alives: &["0000", "000103"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "length(ascii 4), trailer(03)",
        frame: |m| cat(&[&ascii4(m.len()), m, &[3]]),
        keep_alives: &["30303030"],
        envelope: "",
        ours: true,
    },
    // jPOS CMFChannel: 3 bytes.
    Case {
        text: "length(bin 3)",
        frame: |m| cat(&[&[0], &be2(m.len()), m]),
        keep_alives: &["000000"],
        envelope: "",
        ours: true,
    },
    // jPOS CSChannel: 2 bytes of length, 2 zero bytes, here as fixed bytes that are not counted.
    Case {
        text: "length(bin 2), fixed(0000)",
        frame: |m| cat(&[&be2(m.len()), &[0, 0], m]),
        keep_alives: &["0000"],
        envelope: "",
        ours: true,
    },
    // jPOS GICCChannel: 2 zero bytes, then the length.
    Case {
        text: "fixed(0000), length(bin 2)",
        frame: |m| cat(&[&[0, 0], &be2(m.len()), m]),
        keep_alives: &["00000000"],
        envelope: "",
        ours: true,
    },
    // jPOS RBPChannel: D0 4A, length, flag 00 00 (last).
    Case {
        text: "fixed(d04a), length(bin 2), fixed(0000)",
        frame: |m| cat(&[&[0xD0, 0x4A], &be2(m.len()), &[0, 0], m]),
        keep_alives: &["d04a0000"],
        envelope: "",
        ours: true,
    },
    // Little-endian, a text before the length, a constant, an echoed header, and everything counted.
    Case {
        text: "fixed('ISO'), length(bin 2 le, counts=all, add=10), echo('ABCD'), trailer(0d0a)",
        frame: |m| {
            let len = u16::try_from(3 + 2 + 4 + m.len() + 2 + 10).unwrap();
            cat(&[b"ISO", &len.to_le_bytes(), b"ABCD", m, b"\r\n"])
        },
        keep_alives: &["49534f0000", "49534f0f00", "49534f1500414243440d0a"],
        envelope: "41424344",
        ours: true,
    },
    // The length says 2 less than there is.
    Case {
        text: "length(ascii 4, add=-2)",
        frame: |m| cat(&[&ascii4(m.len() - 2), m]),
        keep_alives: &[],
        envelope: "",
        ours: true,
    },
    // Two things to give back, with the length between them: the envelope reaches from the first to the last.
    Case {
        text: "echo('AB'), length(bcd 2, counts=payload+before+after), tpdu(6000031234)",
        frame: |m| cat(&[b"AB", &bcd2(m.len() + 7), TPDU, m]),
        keep_alives: &[],
        envelope: "",
        ours: true,
    },
    // A peer whose header is not the one that we write.
    Case {
        text: "length(bin 1, counts=payload), header(00000000)",
        frame: |m| cat(&[&[m.len() as u8], &[1, 2, 3, 4], m]),
        keep_alives: &["00"],
        envelope: "",
        ours: false,
    },
    // The widest length fields.
    Case {
        text: "length(ascii 8)",
        frame: |m| cat(&[format!("{:08}", m.len()).as_bytes(), m]),
        keep_alives: &["3030303030303030"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "length(bcd 8)",
        frame: |m| cat(&[&hex(&format!("{:016}", m.len())), m]),
        keep_alives: &["0000000000000000"],
        envelope: "",
        ours: true,
    },
    Case {
        text: "length(bin 8)",
        frame: |m| cat(&[&(m.len() as u64).to_be_bytes(), m]),
        keep_alives: &["0000000000000000"],
        envelope: "",
        ours: true,
    },
    // jPOS BASE24Channel: no length, ends with 03.
    Case { text: "until(03)", frame: |m| cat(&[m, &[3]]), keep_alives: &["03"], envelope: "", ours: true },
    Case {
        text: "echo('ISO011000017'), until(0d0a)",
        frame: |m| cat(&[b"ISO011000017", m, b"\r\n"]),
        keep_alives: &["49534f3031313030303031370d0a"],
        envelope: "49534f303131303030303137",
        ours: true,
    },
];
