//! The rules for what clients send.

use serde_json::Value;
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, Message, Mti};
use socketqueue::rules::{Invalid, KeyFields, MakeGood, prepare, prepare_draft};
use socketqueue::time::Now;

use crate::support::{NOW, at, de, dialect, golden_lines, hex, prepared, sale};

fn problems(invalid: Invalid) -> Vec<String> {
    invalid.violations.into_iter().map(|violation| violation.problem).collect()
}

/// The JSON of a request as a draft: strings as they are, numbers in decimal.
fn draft_of(dialect: &Dialect, json: &Value) -> Option<Draft> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = json.as_object().unwrap();
    let mut draft = Draft::new(&dialect.schema, Mti::parse(text(fields.get("0")?).as_bytes())?);
    for (key, value) in fields {
        match key.parse().ok().filter(|n| *n > 1) {
            Some(n) => draft.set_text(de(n), &text(value)),
            None if key == "0" || key == "1" => continue,
            None => return None,
        };
    }
    Some(draft)
}

/// What we do otherwise than SocketQueue was recorded to do, on purpose.
const BETTER: [(&str, &[&str]); 7] = [
    // Its defect D19: silently cut from the left.
    ("val-009-too-long-4", &["Field 4 is 13 long, at most 12 allowed"]),
    ("val-010-too-long-41", &["Field 41 is 9 long, at most 8 allowed"]),
    // D10: it crashed.
    ("val-012-unknown-field-48", &["Field 48 is not part of the dialect"]),
    ("val-023-numeric-35", &[]),
    // D20: impossible times passed.
    ("val-020-expired-12-garbage", &["Field 12 is no moment of the calendar, YYMMDDhhmmss"]),
    ("val-021-expired-12-short", &["Field 12 is no moment of the calendar, YYMMDDhhmmss"]),
    // Not for this room to decide: no MTI, a key that is no number.
    ("val-003-missing-mti", &[]),
];

#[test]
fn requests_are_judged_as_recorded() {
    let smart_vista = dialect("smartVista");
    let keys = KeyFields::default();
    let (mut accepted, mut refused, mut better) = (0, 0, 0);
    for case in golden_lines("socketqueue_validation.jsonl") {
        let id = case["case"].as_str().unwrap();
        let now = at(case["now"].as_str().unwrap());
        let Some(draft) = draft_of(&smart_vista, &case["json"]) else {
            assert!(["val-003-missing-mti", "val-014-nonnumeric-key"].contains(&id), "{id}");
            continue;
        };
        let prepared = prepare_draft(&smart_vista, &keys, draft, now);
        if let Some((_, expected)) = BETTER.iter().find(|(better, _)| *better == id) {
            better += 1;
            match prepared {
                Err(invalid) => assert_eq!(problems(invalid), *expected, "{id}"),
                Ok(_) => assert!(expected.is_empty(), "{id}"),
            }
            continue;
        }
        match prepared {
            Ok(request) => {
                accepted += 1;
                assert_eq!(case["status"], 200, "{id}");
                let upstream = case["upstream"][0].as_str().unwrap();
                assert_eq!(hex(request.bytes()), upstream, "{id}");
            }
            Err(invalid) => {
                refused += 1;
                assert_eq!(case["status"], 500, "{id}");
                let expected: Vec<&str> =
                    case["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
                assert_eq!(invalid.expired, expected == ["Packet is expired!"], "{id}");
                let found = problems(invalid);
                assert_eq!(found.len(), expected.len(), "{id}: {found:?}");
                for (found, expected) in found.iter().zip(expected) {
                    assert!(found.starts_with(expected), "{id}: {found}");
                }
            }
        }
    }
    assert_eq!((accepted, refused, better), (3, 6, 6));
}

#[test]
fn all_violations_are_reported_together_presence_first() {
    let smart_vista = dialect("smartVista");
    let draft = sale(&[(4, "12A4"), (49, ""), (22, ""), (41, "123456789"), (12, "150820130600"), (60, "x")]);
    let invalid = prepare_draft(&smart_vista, &KeyFields::default(), draft, at(NOW)).unwrap_err();
    assert!(!invalid.expired);
    let found = problems(invalid);
    assert_eq!(
        found[..5],
        [
            "No field 22",
            "No field 49",
            "Field 4 expected to be numeric",
            "Field 41 is 9 long, at most 8 allowed",
            "Field 60 is not part of the dialect",
        ]
    );
    assert!(found[5].starts_with("Packet is expired!"), "{found:?}");
    assert_eq!(found.len(), 6);
}

#[test]
fn a_field_set_to_nothing_is_a_missing_one() {
    let smart_vista = dialect("smartVista");
    let mut draft = sale(&[]);
    draft.set(de(41), b"");
    let invalid = prepare_draft(&smart_vista, &KeyFields::default(), draft, at(NOW)).unwrap_err();
    assert_eq!(problems(invalid), ["No field 41"]);
}

#[test]
fn no_violation_shows_a_value() {
    let smart_vista = dialect("smartVista");
    let pan = "4850781234567891";
    let draft = sale(&[(2, "4850781234567891x"), (35, &pan.repeat(4)), (4, pan), (39, pan)]);
    let invalid = prepare_draft(&smart_vista, &KeyFields::default(), draft, at(NOW)).unwrap_err();
    assert!(!format!("{invalid} {invalid:?}").contains(pan));
    assert_eq!(invalid.violations.len(), 4);
}

#[test]
fn thirty_seconds_are_not_expired_and_one_millisecond_more_is() {
    let smart_vista = dialect("smartVista");
    let message = sale(&[]).finish().unwrap();
    let then = at(NOW);
    for (offset_ms, expired) in
        [(0, false), (30_000, false), (30_001, true), (-30_000, false), (-30_001, true)]
    {
        let now = Now { wall_ms: then.wall_ms + offset_ms, ..then };
        let prepared = prepare(&smart_vista, &KeyFields::default(), message.clone(), now);
        assert_eq!(prepared.is_err_and(|invalid| invalid.expired), expired, "{offset_ms}");
    }
    // The terminals' time zone counts: here it is three hours later, and their clocks say so too.
    let now = Now { wall_ms: then.wall_ms - 3 * 3_600_000, offset_s: 3 * 3600, ..then };
    assert!(prepare(&smart_vista, &KeyFields::default(), message.clone(), now).is_ok());
    let now = Now { wall_ms: then.wall_ms - 3 * 3_600_000, ..then };
    let invalid = prepare(&smart_vista, &KeyFields::default(), message, now).unwrap_err();
    assert!(invalid.violations[0].problem.contains("timezone"), "{invalid}");
}

#[test]
fn reversals_advices_and_repeats_do_not_expire() {
    let smart_vista = dialect("smartVista");
    for (mti, expires) in
        [(0x0200, true), (0x0100, true), (0x0201, false), (0x0220, false), (0x0400, false), (0x0420, false)]
    {
        let mut old = sale(&[(12, "150820130600")]);
        old.set_mti(Mti::new(mti));
        let prepared = prepare(&smart_vista, &KeyFields::default(), old.finish().unwrap(), at(NOW));
        assert_eq!(prepared.is_err(), expires, "{mti:04x}");
    }
}

#[test]
fn a_message_without_local_time_is_not_expired() {
    let smart_vista = dialect("smartVista");
    let mut draft = sale(&[(12, "")]);
    draft.set_mti(Mti::new(0x0100));
    assert!(prepare(&smart_vista, &KeyFields::default(), draft.finish().unwrap(), at(NOW)).is_ok());
}

#[test]
fn only_requests_are_taken_from_clients() {
    for mti in ["0210", "0230", "0410", "0810", "0240", "0900", "3200", "0206", "0250"] {
        let mut draft = sale(&[]);
        draft.set_mti(Mti::parse(mti.as_bytes()).unwrap());
        let invalid = prepared(&draft).unwrap_err();
        assert_eq!(problems(invalid)[0], format!("Field 0 is {mti}, which is no request"));
    }
    for mti in [
        "0100", "0101", "0120", "0200", "0201", "0220", "0221", "0400", "0420", "0800", "1200", "1804",
        "0302",
    ] {
        let mut draft = sale(&[]);
        draft.set_mti(Mti::parse(mti.as_bytes()).unwrap());
        assert!(prepared(&draft).is_ok(), "{mti}");
    }
}

#[test]
fn a_missing_key_field_is_refused_by_name() {
    let smart_vista = dialect("smartVista");
    let mut draft = sale(&[(41, "")]);
    draft.set_mti(Mti::new(0x0100));
    let message = draft.finish().unwrap();
    let invalid = prepare(&smart_vista, &KeyFields::default(), message.clone(), at(NOW)).unwrap_err();
    assert_eq!(problems(invalid), ["No field 41: it is a key field, without which no reply can be matched"]);
    // With keys that it has it is taken, and has no terminal to queue for.
    let request = prepare(&smart_vista, &KeyFields(vec![de(11)]), message, at(NOW)).unwrap();
    assert_eq!(request.tid(), None);
}

#[test]
fn a_repeat_needs_what_its_first_needs() {
    let mut draft = sale(&[(4, "")]);
    draft.set_mti(Mti::new(0x0201));
    assert_eq!(problems(prepared(&draft).unwrap_err()), ["No field 4"]);
}

#[test]
fn what_is_owed_goes_by_mti_and_processing_code() {
    let mut inquiries =
        serde_json::from_str::<Value>(Dialect::builtin_document("smartVista").unwrap()).unwrap();
    inquiries["noMoney"] = serde_json::json!(["31", "999999"]);
    let inquiries = Dialect::from_json(&inquiries.to_string()).unwrap();
    for (mti, code, expected) in [
        ("0200", "000000", MakeGood::Reverse),
        ("0201", "000000", MakeGood::Reverse),
        ("0100", "200000", MakeGood::Reverse),
        ("0101", "310000", MakeGood::Nothing),
        ("0200", "310000", MakeGood::Nothing),
        ("0200", "311000", MakeGood::Nothing),
        ("0200", "999999", MakeGood::Nothing),
        ("0200", "999998", MakeGood::Reverse),
        ("0220", "310000", MakeGood::CarryOn),
        ("0120", "000000", MakeGood::CarryOn),
        ("0400", "000000", MakeGood::CarryOn),
        ("0401", "000000", MakeGood::CarryOn),
        ("0420", "000000", MakeGood::CarryOn),
        ("0800", "000000", MakeGood::Nothing),
        ("0600", "000000", MakeGood::Nothing),
    ] {
        let mut draft = sale(&[(3, code)]);
        draft.set_mti(Mti::parse(mti.as_bytes()).unwrap());
        let message = Message::parse(&inquiries.schema, draft.to_bytes().unwrap()).unwrap();
        let request = prepare(&inquiries, &KeyFields::default(), message, at(NOW)).unwrap();
        assert_eq!(request.make_good(), expected, "{mti} {code}");
    }
}
