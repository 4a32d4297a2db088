//! The built-in dialects against recorded and hand-derived messages, and dialect documents against their JSON Schema.

use serde_json::{Value, json};
use socketqueue::dialect::Dialect;
use socketqueue::iso8583::{Draft, Message, Mti};
use socketqueue::rules::{KeyFields, MakeGood, ReversalImage, echo_reply, prepare};

use crate::support::{at, de, dialect, golden_lines, golden_message, hex, message, unhex};

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&Dialect::json_schema()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn document(name: &str) -> Value {
    serde_json::from_str(Dialect::builtin_document(name).unwrap()).unwrap()
}

#[test]
fn the_built_in_documents_satisfy_the_json_schema_and_have_no_findings() {
    let schema = schema();
    for name in Dialect::builtin_names() {
        let errors: Vec<String> =
            schema.iter_errors(&document(name)).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{name}");
        let (dialect, findings) = Dialect::check_json(Dialect::builtin_document(name).unwrap());
        assert_eq!(findings, [], "{name}");
        assert_eq!(dialect.unwrap().name, name);
    }
}

#[test]
fn the_json_schema_refuses_what_the_program_refuses() {
    let schema = schema();
    for (pointer, value) in [
        ("/fields/35/lenght", json!(37)),
        ("/fields/35/type", json!("ll-am")),
        ("/fields/35/length", json!("37")),
        ("/fields/193", json!({ "name": "x", "type": "n", "length": 3 })),
        ("/fields/012", json!({ "name": "x", "type": "n", "length": 3 })),
        ("/bitmap/groups", json!(4)),
        ("/pad/0", json!(-1)),
        ("/reversal/first", json!("400")),
        ("/codes/request/approved", json!([])),
        ("/refusals", json!({ "invalid": "904" })),
        ("/nmae", json!("smartVista")),
    ] {
        let mut broken = document("smartVista");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match broken.pointer_mut(parent).unwrap() {
            Value::Array(array) => array[key.parse::<usize>().unwrap()] = value,
            object => object[key] = value,
        }
        assert!(!schema.is_valid(&broken), "{pointer}");
        assert!(Dialect::from_json(&broken.to_string()).is_err(), "{pointer}");
    }
    for missing in ["name", "fields", "codes", "refusals"] {
        let mut broken = document("smartVista");
        broken.as_object_mut().unwrap().shift_remove(missing);
        assert!(!schema.is_valid(&broken), "{missing}");
        assert!(Dialect::from_json(&broken.to_string()).is_err(), "{missing}");
    }
}

#[test]
fn smart_vista_reversals_are_byte_for_byte_those_that_were_recorded() {
    let smart_vista = dialect("smartVista");
    let keys = KeyFields::default();
    let mut compared = 0;
    for case in golden_lines("smartvista_reversals.jsonl") {
        let sale = unhex(case["sale"].as_str().unwrap());
        let sale = message(&smart_vista, sale);
        let sent = String::from_utf8(sale.value(de(12)).unwrap().into_owned()).unwrap();
        let request = prepare(&smart_vista, &keys, sale, at(&sent)).unwrap();
        assert_eq!(request.make_good(), MakeGood::Reverse);
        let image = ReversalImage::of(&request, smart_vista.reversal.as_ref().unwrap());
        assert_eq!(image.response_mti(), Mti::new(0x0410));
        for (attempt, recorded) in case["reversals"].as_array().unwrap().iter().enumerate() {
            let recorded = recorded.as_str().unwrap();
            // DE 7 tells when it was sent.
            let read = message(&smart_vista, unhex(recorded));
            let sent = read.value(de(7)).unwrap();
            let now = at(&format!("26{}", String::from_utf8_lossy(&sent)));
            let rendered = image.render(now, attempt > 0, None);
            assert_eq!(hex(&rendered), recorded, "{} sending {}", case["case"], attempt + 1);
            compared += 1;
        }
    }
    assert_eq!(compared, 17);
}

#[test]
fn a_host_echo_is_answered_as_recorded() {
    let smart_vista = dialect("smartVista");
    let mut compared = 0;
    for case in golden_lines("socketqueue_recorded.jsonl") {
        let (Some(host), Some(answer)) = (case["host"].as_str(), case["answer"].as_str()) else { continue };
        let request = message(&smart_vista, unhex(host));
        // DE 7 and the random DE 37 are the recording's.
        let recorded = message(&smart_vista, unhex(answer));
        let now = at(&format!("26{}", recorded.text(de(7)).unwrap()));
        let rrn: u64 = recorded.text(de(37)).unwrap().parse().unwrap();
        assert_eq!(hex(&echo_reply(&smart_vista, &request, now, rrn).unwrap()), answer, "{}", case["case"]);
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn recorded_samples_are_messages_and_round_trip() {
    let smart_vista = dialect("smartVista");
    for case in golden_lines("socketqueue_recorded.jsonl") {
        for name in ["request", "host", "answer"] {
            let Some(text) = case[name].as_str() else { continue };
            let read = message(&smart_vista, unhex(text));
            let mut rebuilt = Draft::new(&smart_vista.schema, read.mti());
            for n in read.bitmap().iter() {
                rebuilt.set(n, &read.value(n).unwrap());
            }
            assert_eq!(hex(&rebuilt.to_bytes().unwrap()), text, "{} {name}", case["case"]);
        }
    }
}

/// `[(field, text)]` as a message of openWay.
fn open_way_message(mti: u16, fields: &[(u16, &str)]) -> Message {
    let open_way = dialect("openWay");
    let mut draft = Draft::new(&open_way.schema, Mti::new(mti));
    for (n, text) in fields {
        draft.set_text(de(*n), text);
    }
    draft.finish().unwrap()
}

#[test]
fn open_way_messages_are_those_derived_by_hand() {
    let echo = [(3, "990000"), (7, "1122033517"), (11, "1"), (41, "TERM0001"), (63, "X")];
    assert_eq!(hex(open_way_message(0x0800, &echo).raw()), hex(&golden_message("openway.txt", "echo")));
    let sale = [
        (2, "4850781234567891"),
        (3, "0"),
        (4, "1000"),
        (7, "1122033518"),
        (11, "77"),
        (12, "130600"),
        (13, "1122"),
        (22, "051"),
        (41, "TERM0001"),
        (42, "MERCHANT0000001"),
        (49, "643"),
    ];
    assert_eq!(hex(open_way_message(0x0200, &sale).raw()), hex(&golden_message("openway.txt", "purchase")));
}

#[test]
fn open_way_reversals_are_those_derived_by_hand() {
    let open_way = dialect("openWay");
    let sale = message(&open_way, golden_message("openway.txt", "purchase"));
    assert_eq!(sale.text(de(2)).unwrap(), "4850781234567891");
    let request = prepare(&open_way, &KeyFields::default(), sale, at("261122033518")).unwrap();
    let image = ReversalImage::of(&request, open_way.reversal.as_ref().unwrap());
    let first = image.render(at("261122033610"), false, None);
    assert_eq!(hex(&first), hex(&golden_message("openway.txt", "reversal")));
    let repeat = image.render(at("261122033630"), true, None);
    assert_eq!(hex(&repeat), hex(&golden_message("openway.txt", "repeat")));
    // A learned RRN is the only other difference that a repeat may have.
    let learned = message(&open_way, image.render(at("261122033630"), true, Some(b"123456789012")));
    assert_eq!(learned.text(de(37)).unwrap(), "123456789012");
    let without = Draft::of(&learned).remove(de(37)).to_bytes().unwrap();
    assert_eq!(hex(&without), hex(&repeat));
}

#[test]
fn de_56_dates_an_original_of_last_year_on_new_year() {
    let open_way = dialect("openWay");
    let mut sale = Draft::of(&message(&open_way, golden_message("openway.txt", "purchase")));
    sale.set_text(de(12), "235959").set_text(de(13), "1231").set_text(de(32), "12345678901");
    let request =
        prepare(&open_way, &KeyFields::default(), sale.finish().unwrap(), at("261231235959")).unwrap();
    let image = ReversalImage::of(&request, open_way.reversal.as_ref().unwrap());
    for now in ["261231235959", "270101000001", "270301000000"] {
        let reversal = message(&open_way, image.render(at(now), false, None));
        assert_eq!(reversal.text(de(56)).unwrap(), "02000000772612312359591112345678901", "{now}");
    }
}

#[test]
fn overrides_work_as_socketqueue_meant_them() {
    let smart_vista = dialect("smartVista");
    let changed = smart_vista.with_overrides("1:bitmap-hex:8, 41:ans:8,37:an:12").unwrap();
    let mut echo = Draft::new(&changed.schema, Mti::new(0x0800));
    echo.set_text(de(3), "990000").set_text(de(7), "1122033516").set_text(de(11), "001106");
    echo.set_text(de(24), "831").set_text(de(41), "00000606");
    // Case ov-001, without its header.
    let recorded = "303830303232323030313030303038303030303039393030303031313232303333353136303031313036383331\
                    3030303030363036";
    assert_eq!(hex(&echo.to_bytes().unwrap()), recorded);
    // Case ov-003: DE 41 is no longer numeric, and still a pad field, filled up with zeros on the left.
    echo.set_text(de(41), "TERM1");
    let request =
        prepare(&changed, &KeyFields::default(), echo.finish().unwrap(), at("261122033517")).unwrap();
    assert_eq!(request.tid().unwrap().as_bytes(), b"000TERM1");
}
