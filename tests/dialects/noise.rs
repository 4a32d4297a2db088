//! Damaged messages through everything that reads messages: nothing panics, nothing leaks, every request can be reversed.

use bytes::Bytes;
use socketqueue::dialect::pretty::{Remarks, dump, summary};
use socketqueue::iso8583::mask::MaskStyle;
use socketqueue::iso8583::{Message, Mti};
use socketqueue::rules::{Answer, KeyFields, MakeGood, ReversalImage, echo_reply, prepare, refusal};

use crate::support::{NOW, at, de, dialect, golden_lines, golden_message, unhex};

/// Sebastiano Vigna's splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn damaged(random: &mut Random, original: &[u8]) -> Bytes {
    let mut bytes = original.to_vec();
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] = b'0' + random.below(10) as u8,
            2 => bytes[at] ^= 1 << random.below(8),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes.into()
}

#[test]
fn damaged_messages_panic_nowhere_and_every_request_can_be_reversed() {
    let recorded = golden_lines("socketqueue_recorded.jsonl");
    let purchase = recorded.iter().find(|case| case["case"] == "tcp-002-sample-purchase").unwrap();
    let sale = golden_lines("smartvista_reversals.jsonl")[0]["sale"].clone();
    let originals = [
        ("smartVista", unhex(purchase["request"].as_str().unwrap())),
        ("smartVista", unhex(sale.as_str().unwrap())),
        ("openWay", golden_message("openway.txt", "purchase")),
        ("openWay", golden_message("openway.txt", "reversal")),
        ("openWay", golden_message("openway.txt", "echo")),
    ];
    let keys = KeyFields::default();
    let mut random = Random(20_261_122);
    let (mut read, mut reversed) = (0, 0);
    for round in 0..5_000 {
        let (name, original) = &originals[round % originals.len()];
        let dialect = dialect_of(name);
        let bytes = damaged(&mut random, original);
        let Ok(lenient) = Message::parse_lenient(&dialect.schema, bytes.clone()) else { continue };
        read += 1;
        let message = lenient.message.clone();
        let line = summary(dialect, &message).to_string();
        assert!(!line.contains(char::is_control));
        let dumped = dump(dialect, &message, "x", MaskStyle::default(), Remarks::default());
        assert!(!dumped.contains("4850781234567891"), "round {round}");
        for own in [refusal(dialect, &message, "00", at(NOW)), echo_reply(dialect, &message, at(NOW), 1)] {
            let parsed = own.map(|bytes| Message::parse(&dialect.schema, bytes));
            assert!(matches!(parsed, None | Some(Ok(_))), "round {round} {parsed:?} {message:?}");
        }
        let answer = Answer::read(dialect, &keys, lenient);
        answer.score(&message);
        assert!(answer.agrees_with(&message, &dialect.echoed));
        let Ok(message) = Message::parse(&dialect.schema, bytes) else { continue };
        let now = message.text(de(12)).filter(|time| time.len() == 12).map_or(at(NOW), |time| {
            socketqueue::time::Civil::parse_yymmddhhmmss(time.as_bytes()).map_or(at(NOW), |_| at(&time))
        });
        let Ok(request) = prepare(dialect, &keys, message, now) else { continue };
        assert!(request.original_key(&keys).is_some());
        assert!(Message::parse(&dialect.schema, request.as_repeat()).is_ok());
        if request.make_good() != MakeGood::Reverse {
            continue;
        }
        let image = ReversalImage::of(&request, dialect.reversal.as_ref().unwrap());
        for (repeat, rrn) in [(false, None), (true, Some(&b"123456789012"[..])), (true, Some(b"\xFF\n"))] {
            let reversal = Message::parse(&dialect.schema, image.render(now, repeat, rrn)).unwrap();
            assert_eq!(reversal.mti().first(), Mti::new(0x0400));
            assert_eq!(reversal.value(de(11)), request.message().value(de(11)));
            assert_eq!(reversal.value(de(4)), request.message().value(de(4)));
        }
        reversed += 1;
    }
    assert!(read > 2_500 && reversed > 500, "{read} {reversed}");
}

fn dialect_of(name: &str) -> &'static socketqueue::dialect::Dialect {
    use std::sync::{Arc, LazyLock};
    static SMART_VISTA: LazyLock<Arc<socketqueue::dialect::Dialect>> =
        LazyLock::new(|| dialect("smartVista"));
    static OPEN_WAY: LazyLock<Arc<socketqueue::dialect::Dialect>> = LazyLock::new(|| dialect("openWay"));
    if name == "openWay" { &OPEN_WAY } else { &SMART_VISTA }
}
