//! What people see of messages: the dump of the `vv` log and the one-line summary, and what they never see.

use socketqueue::dialect::pretty::{Remarks, dump, summary, title};
use socketqueue::iso8583::mask::MaskStyle;
use socketqueue::iso8583::{Draft, Message, Mti};

use crate::support::{de, dialect, golden_lines, golden_text, message, unhex};

fn sample_purchase() -> Message {
    let lines = golden_lines("socketqueue_recorded.jsonl");
    let case = lines.iter().find(|case| case["case"] == "tcp-002-sample-purchase").unwrap();
    message(&dialect("smartVista"), unhex(case["request"].as_str().unwrap()))
}

#[test]
fn a_dump_looks_as_socketqueues_does() {
    let smart_vista = dialect("smartVista");
    let dumped = dump(
        &smart_vista,
        &sample_purchase(),
        "tcp:127.0.0.1:53578",
        MaskStyle::default(),
        Remarks::default(),
    );
    assert_eq!(dumped, golden_text("dump_purchase_request.txt"));
}

#[test]
fn revealed_it_shows_the_whole_track() {
    let smart_vista = dialect("smartVista");
    let reveal = MaskStyle { reveal: true, ..MaskStyle::default() };
    let dumped = dump(&smart_vista, &sample_purchase(), "x", reveal, Remarks::default());
    assert!(dumped.contains("4850781234567891=19082012232800000037"));
}

#[test]
fn a_secondary_bitmap_and_an_answers_caption_are_shown() {
    let smart_vista = dialect("smartVista");
    let mut draft = Draft::new(&smart_vista.schema, Mti::new(0x0810));
    draft.set_text(de(11), "1").set_text(de(39), "912").set_text(de(70), "301");
    let dumped = dump(&smart_vista, &draft.finish().unwrap(), "x", MaskStyle::default(), Remarks::default());
    for line in [
        "     [Echo Response <faulty>]\n",
        "     Bitmap [1].......................................80200000020000000400000000000000\n",
        "     Response code [39]...............................912 (Timeout Waiting for Response)\n",
        "     Network Management Information Code [70].........301\n",
    ] {
        assert!(dumped.contains(line), "{dumped}");
    }
}

#[test]
fn titles_say_what_a_message_is() {
    let smart_vista = dialect("smartVista");
    let own = Remarks { auto_reversal: true, ..Remarks::default() };
    let expired = Remarks { expired: true, ..Remarks::default() };
    let nothing = Remarks::default();
    for (mti, code, answer, remarks, expected) in [
        (0x0200, "000000", "", nothing, "Purchase Request"),
        (0x0200, "000000", "", expired, "Purchase Request <expired>"),
        (0x0210, "000000", "000", nothing, "Purchase Response"),
        (0x0210, "000000", "020", nothing, "Purchase Response"),
        (0x0210, "000000", "116", nothing, "Purchase Response <faulty>"),
        (0x0210, "000000", "909", nothing, "Purchase Response <faulty>"),
        (0x0200, "200000", "", nothing, "Refund Request"),
        (0x0210, "200000", "000", nothing, "Refund Response"),
        (0x0400, "000000", "", nothing, "Reversal Request"),
        (0x0400, "000000", "", own, "Auto-Reversal Request"),
        (0x0401, "000000", "", own, "Auto-Reversal Request Repeat"),
        (0x0410, "000000", "000", own, "Auto-Reversal Response"),
        (0x0410, "000000", "914", nothing, "Reversal Response <faulty>"),
        (0x0800, "000000", "", nothing, "Echo Request"),
        (0x0810, "000000", "000", nothing, "Echo Response"),
        (0x0220, "000000", "", nothing, "Purchase Advice"),
        (0x0130, "000000", "000", nothing, "Authorization Advice Response"),
    ] {
        let mut draft = Draft::new(&smart_vista.schema, Mti::new(mti));
        draft.set_text(de(3), code);
        if !answer.is_empty() {
            draft.set_text(de(39), answer);
        }
        assert_eq!(title(&smart_vista, &draft.finish().unwrap(), remarks), expected);
    }
}

#[test]
fn the_summary_has_no_card_data_and_no_line_breaks() {
    let smart_vista = dialect("smartVista");
    let line = summary(&smart_vista, &sample_purchase()).to_string();
    assert_eq!(line, "0200 tid=00992468 stan=618160 amount=000000001000 currency=810");
    let mut answer = Draft::of(&sample_purchase());
    answer.set_mti(Mti::new(0x0210)).set_text(de(37), "716522178056").set_text(de(39), "000");
    let answer = answer.finish().unwrap();
    assert_eq!(
        summary(&smart_vista, &answer).to_string(),
        "0210 tid=00992468 stan=618160 rrn=716522178056 amount=000000001000 currency=810 code=000"
    );
    // A host may put anything into DE 37.
    let odd = answer.raw().iter().copied().collect::<Vec<u8>>();
    let at = odd.windows(12).position(|window| window == b"716522178056").unwrap();
    let odd = [&odd[..at], b"\r\n\x1b[2Jforged", &odd[at + 12..]].concat();
    let line = summary(&smart_vista, &message(&smart_vista, odd.into())).to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn a_card_number_is_never_seen_wherever_it_stands() {
    let pan = "4850781234567891";
    let packed: String = pan.to_owned();
    let as_hex: String = pan.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut shown_masked = 0;
    for name in ["smartVista", "openWay"] {
        let dialect = dialect(name);
        let fields: Vec<_> = dialect.schema.known().iter().collect();
        for n in fields {
            let spec = dialect.schema.field(n).unwrap();
            let variants = [
                pan.to_owned(),
                format!("{pan}=19082012232800000037"),
                format!("{pan}D1908"),
                format!("{}-{}-{}-{}", &pan[..4], &pan[4..8], &pan[8..12], &pan[12..]),
                format!("card {pan} of a customer"),
                format!("B{pan}^DOE/JOHN^1908"),
                format!("5a08{packed}"),
                format!("5712{packed}d19082012232800000037"),
                format!("df0108{packed}"),
                format!("df0110{as_hex}"),
                as_hex.clone(),
            ];
            for text in variants {
                let mut draft = Draft::new(&dialect.schema, Mti::new(0x0200));
                draft.set_text(n, &text);
                let Ok(message) = draft.finish() else { continue };
                let dumped = dump(&dialect, &message, "x", MaskStyle::default(), Remarks::default());
                let value = dumped.lines().find(|line| line.contains(&format!("[{n}]"))).unwrap();
                let digits: String = value.chars().filter(char::is_ascii_digit).collect();
                assert!(
                    !digits.contains(pan) && !dumped.contains(&as_hex),
                    "{name} {n} {}: {value}",
                    spec.type_name
                );
                shown_masked += usize::from(value.contains("485078******7891"));
            }
        }
    }
    assert!(shown_masked >= 10, "{shown_masked}");
}

#[test]
fn a_pin_block_is_not_shown_at_all() {
    for name in ["smartVista", "openWay"] {
        let dialect = dialect(name);
        let mut draft = Draft::new(&dialect.schema, Mti::new(0x0200));
        draft.set_text(de(52), "0123456789abcdef");
        let dumped = dump(&dialect, &draft.finish().unwrap(), "x", MaskStyle::default(), Remarks::default());
        assert!(dumped.contains("[52]") && dumped.contains(".****************\n"), "{dumped}");
    }
}
