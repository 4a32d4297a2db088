//! Seeded noise: no input panics, spins, loses or grows anything.

use super::cases::{CASES, messages};
use super::golden::smart_vista;
use super::*;

/// splitmix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

const SEED: u64 = 0x8583;
const SELF_DELIMITING: [&str; 3] =
    ["none", "fixed('ISO'), echo('011000017'), self", "tpdu(6000031234), self, trailer(03)"];

fn texts() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.text).chain(SELF_DELIMITING)
}

/// Reads `bytes` to the end or to an error. Each call must take something off or stop.
fn read_all(framing: &Framing, limit: usize, bytes: &[u8], note: &str) {
    let schema = smart_vista();
    let mut buf = BytesMut::from(bytes);
    let capacity = buf.capacity();
    loop {
        let before = buf.len();
        match framing.next_frame(&schema, limit, &mut buf) {
            Ok(Some(frame)) => {
                assert!(buf.len() < before, "{note}: a frame, but nothing taken off");
                assert!((1..=limit).contains(&frame.payload.len()), "{note}");
                assert_eq!(
                    frame.envelope.is_empty(),
                    !note.contains("echo") && !note.contains("tpdu") && note != "nac"
                );
            }
            Ok(None) => {
                let most = limit + framing.overhead();
                assert!(buf.len() < most.max(1), "{note}: {} bytes, and still waiting", buf.len());
                break;
            }
            Err(_) => break,
        }
        assert!(buf.capacity() <= capacity, "{note}: the buffer has grown");
    }
    assert!(buf.capacity() <= capacity, "{note}: the buffer has grown");
}

#[test]
fn random_bytes_never_panic_spin_or_grow_the_buffer() {
    let mut random = Random(SEED);
    for text in texts() {
        let framing = framing(text);
        for round in 0..200 {
            let len = random.below(1 << (4 + round % 13));
            let limit = 1 + random.below(70_000);
            let mut bytes = random.bytes(len);
            // Bytes that mean something come up more often.
            if round % 2 == 0 {
                let alphabet = b"\x00\x01\x03\x60\r\n0012ISO";
                bytes.iter_mut().for_each(|byte| *byte = alphabet[usize::from(*byte) % alphabet.len()]);
            }
            read_all(&framing, limit, &bytes, text);
        }
        read_all(&framing, 65_535, &random.bytes(65_536), text);
        for byte in [0, b'0', 0x03, 0xFF] {
            read_all(&framing, 65_535, &[byte; 65_536], text);
        }
    }
}

#[test]
fn streams_with_a_few_wrong_bytes_never_panic_spin_or_grow_the_buffer() {
    let mut random = Random(SEED + 1);
    for case in CASES {
        let framing = framing(case.text);
        let stream: Vec<u8> = messages().iter().flat_map(|message| (case.frame)(message)).collect();
        for _ in 0..300 {
            let mut bytes = stream.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.next() as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, random.next() as u8),
                }
            }
            bytes.truncate(1 + random.below(bytes.len()));
            read_all(&framing, LIMIT, &bytes, case.text);
        }
    }
}

#[test]
fn random_payloads_come_back_from_what_is_written() {
    let mut random = Random(SEED + 2);
    let schema = smart_vista();
    for case in CASES {
        let framing = framing(case.text);
        let mut out = BytesMut::new();
        let mut sent = Vec::new();
        for _ in 0..100 {
            let len = 5 + random.below(245);
            // Without the bytes that end a payload.
            let payload: Vec<u8> = random.bytes(len).into_iter().map(|byte| byte | 0x80).collect();
            framing.encode(&payload, b"", &mut out).unwrap();
            sent.push(payload);
        }
        let (frames, error) = drain(&framing, &schema, &mut out);
        assert_eq!(error, None, "{}", case.text);
        assert!(frames.iter().map(|frame| &frame.payload).eq(&sent), "{}", case.text);
    }
}

/// Texts made of the form's own words, in any order: whatever is accepted is shown as a text that parses to the same.
#[test]
fn random_texts_never_panic_and_what_is_accepted_round_trips() {
    let words = [
        "fixed",
        "header",
        "echo",
        "tpdu",
        "length",
        "self",
        "until",
        "trailer",
        "ascii",
        "bin",
        "bcd",
        "hex",
        "le",
        "counts",
        "add",
        "payload",
        "itself",
        "before",
        "after",
        "all",
        "none",
        "nac",
        "ascii4-inclusive",
        "(",
        "(",
        ")",
        ")",
        ",",
        ",",
        "=",
        "+",
        "-",
        ":",
        "'",
        "'08'",
        "'ISO'",
        "03",
        "0d0a",
        "6000000000",
        "4",
        "2",
        "8",
        "65535",
        " ",
        "\u{20ac}",
        "\0",
        "9999999999999999999999",
    ];
    let parts = [
        "fixed('ISO')",
        "header(00)",
        "echo('ABCD')",
        "tpdu(6000000000)",
        "length(ascii 4)",
        "length(bin 2 le)",
        "length(bcd 2, counts=all)",
        "length(hex 4, counts=payload+after)",
        "length(bin 1, add=-3)",
        "self",
        "until(03)",
        "trailer(03)",
        "header('a', '08': 'b')",
        "length(bin 2, counts=payload+trailer+itself)",
    ];
    let mut random = Random(SEED + 3);
    let mut accepted = 0;
    for round in 0..20_000 {
        let text = match round % 2 {
            0 => (0..random.below(12)).map(|_| words[random.below(words.len())]).collect::<Vec<_>>().concat(),
            _ => (0..1 + random.below(5))
                .map(|_| parts[random.below(parts.len())])
                .collect::<Vec<_>>()
                .join(", "),
        };
        if let Ok(framing) = Framing::parse(&text) {
            let shown = framing.to_string();
            assert_eq!(Framing::parse(&shown).as_ref(), Ok(&framing), "{text} is shown as {shown}");
            accepted += 1;
        }
        let _ = Framing::from_header_format(&text, round % 3 == 0);
        let fields = [
            "length",
            "x",
            "headerLength",
            ":",
            ":",
            ":",
            ",",
            "n",
            "b",
            "b-hex",
            "an",
            "4",
            "2",
            "0102",
            "ff",
        ];
        let format: String = (0..random.below(16)).map(|_| fields[random.below(fields.len())]).collect();
        if let Ok(framing) = Framing::from_header_format(&format, round % 3 == 0) {
            assert_eq!(Framing::parse(&framing.to_string()).as_ref(), Ok(&framing), "{format}");
        }
    }
    assert!(accepted > 500, "only {accepted} texts were accepted");
}

#[test]
fn random_bytes_as_text_never_panic() {
    let mut random = Random(SEED + 4);
    for _ in 0..5_000 {
        let len = random.below(200);
        let bytes = random.bytes(len);
        let text = String::from_utf8_lossy(&bytes);
        assert!(Framing::parse(&text).is_err() || !text.is_empty());
        let _ = Framing::from_header_format(&text, false);
    }
    let _ = Framing::parse(&"(".repeat(65_536));
    let _ = Framing::from_header_format(&",".repeat(65_536), false);
}
