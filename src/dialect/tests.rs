//! What is found in documents that are no dialects.

use serde_json::{Value, json};

use super::{Dialect, Finding};

/// The smartVista document with the value at `pointer` replaced (inserted, in an object).
fn changed(changes: &[(&str, Value)]) -> String {
    let mut document: Value = serde_json::from_str(Dialect::builtin_document("smartVista").unwrap()).unwrap();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Array(array) => array[key.parse::<usize>().unwrap()] = value.clone(),
            object => object[key] = value.clone(),
        }
    }
    document.to_string()
}

fn findings(changes: &[(&str, Value)]) -> Vec<String> {
    let (_, findings) = Dialect::check_json(&changed(changes));
    findings.iter().map(Finding::to_string).collect()
}

#[test]
fn each_mistake_is_found_with_its_place() {
    let field = |type_name: &str, length: u32| json!({ "name": "x", "type": type_name, "length": length });
    let spelled = |length: u32, prefix: Value| json!({ "name": "x", "content": "n", "encoding": "ascii", "length": length, "prefix": prefix });
    for (pointer, value, expected) in [
        ("/nmae", json!("x"), "error: nmae: unknown key `nmae`: did you mean `name`?"),
        ("/name", json!(" "), "error: name: a dialect has a name"),
        (
            "/fields/35/lenght",
            json!(37),
            "error: fields.35.lenght: unknown key `lenght`: did you mean `length`?",
        ),
        (
            "/fields/35/type",
            json!("ll-am"),
            "error: fields.35.type: unknown value `ll-am`: did you mean `ll-an`?",
        ),
        (
            "/fields/35/length",
            json!("37"),
            "error: fields.35.length: invalid type: string \"37\", expected u16",
        ),
        (
            "/fields/3/length",
            json!(0),
            "error: fields.3: type n can not have length 0: a field has at least one character, digit or byte",
        ),
        (
            "/fields/00",
            field("n", 4),
            "error: fields.00: no number of a data element: 2 to 192, without leading zeros",
        ),
        (
            "/fields/0",
            field("n", 4),
            "error: fields.0: DE 0 is the MTI: how it is written is said under `mti`",
        ),
        (
            "/fields/129",
            field("n", 4),
            "error: fields.129: no message can have this field: the bitmap has no bit for it",
        ),
        (
            "/fields/60",
            json!({ "name": "x", "length": 3 }),
            "error: fields.60: neither a type nor a content and an encoding",
        ),
        (
            "/fields/60",
            spelled(100, json!({ "form": "characters", "size": 2 })),
            "error: fields.60: the length prefix counts up to 99, but the longest value counts 100",
        ),
        (
            "/fields/60",
            json!({ "name": "x", "content": "b", "encoding": "ascii", "length": 3 }),
            "error: fields.60: Binary can not be written as Ascii",
        ),
        (
            "/fields/60",
            json!({ "name": "x", "type": "n", "content": "n", "length": 3 }),
            "error: fields.60.content: the type says that already: give one or the other",
        ),
        ("/pad/0", json!(60), "error: pad.0: there is no DE 60 in `fields`"),
        ("/pad/0", json!(7), "error: pad.1: DE 7 is there twice"),
        ("/pad/0", json!(35), "error: pad.0: DE 35 is of variable length: there is nothing to fill up"),
        ("/obligatory/0200/3", json!(63), "error: obligatory.0200.3: there is no DE 63 in `fields`"),
        ("/obligatory/200", json!([]), "error: obligatory.200: `200` is no MTI: four digits"),
        (
            "/obligatory/0210",
            json!([]),
            "error: obligatory.0210: is no request: only what clients send is checked",
        ),
        (
            "/expiration/field",
            json!(11),
            "error: expiration.field: DE 11 does not have 12 digits, YYMMDDhhmmss",
        ),
        (
            "/codes/request/approved/0",
            json!("116"),
            "error: codes.request.declined.10: `116` is in `approved` as well",
        ),
        (
            "/codes/request/approved/0",
            json!("00"),
            "error: codes.request.approved.0: `00` is no response code: DE 39 has 3 characters",
        ),
        (
            "/codes/reversal/retry/0",
            json!("914"),
            "error: codes.reversal.retry.0: `914` is in `notFound` as well",
        ),
        (
            "/noMoney",
            json!(["3a"]),
            "error: noMoney.0: `3a` is no processing code: 2 to 6 leading digits of DE 3",
        ),
        ("/echoed/0", json!(99), "error: echoed.0: there is no DE 99 in `fields`"),
        (
            "/reversal/first",
            json!("0200"),
            "error: reversal.first: 0200 is no reversal: 0400 or 0420 would be",
        ),
        (
            "/reversal/repeat",
            json!("0421"),
            "error: reversal.repeat: is no repeat of 0400: that is 0400 or 0401",
        ),
        (
            "/reversal/response",
            json!("0210"),
            "error: reversal.response: does not answer a reversal: 0410 or 0430 would",
        ),
        ("/reversal/set/24", json!("4000"), "error: reversal.set.24: field 24 is 4 long, at most 3 allowed"),
        ("/reversal/set/63", json!("1"), "error: reversal.set.63: there is no DE 63 in `fields`"),
        (
            "/reversal/originalData",
            json!("de90"),
            "error: reversal.originalData: there is no DE 90 in `fields`",
        ),
        (
            "/reversal/originalData",
            json!("de56"),
            "error: reversal.originalData: there is no DE 56 in `fields`",
        ),
        ("/fields/7/length", json!(8), "error: reversal: field 7 is 10 long, at most 8 allowed"),
        ("/echoReply/code", json!("0000"), "error: echoReply.code: field 39 is 4 long, at most 3 allowed"),
        ("/refusals/timeout", json!(""), "error: refusals.timeout: is missing"),
        (
            "/captions/codes/1000",
            json!("x"),
            "error: captions.codes.1000: field 39 is 4 long, at most 3 allowed",
        ),
        (
            "/captions/posEntry/input/5",
            json!("x"),
            "error: captions.posEntry.input.5: must be 2 digits of DE 22",
        ),
        ("/safe/0", json!(35), "error: safe.0: DE 35 is card data and can't be shown as it is"),
        (
            "/fields/42/length",
            json!(16),
            "error: safe.20: DE 42 could hold a card number unseen: left out here, it is searched for one",
        ),
        (
            "/masked/2",
            json!("xyz"),
            "error: masked.2: unknown value `xyz`: there are pan, track, secret, icc",
        ),
    ] {
        let found = findings(&[(pointer, value)]);
        assert!(found.contains(&expected.to_owned()), "{pointer}: {found:#?}");
    }
}

#[test]
fn all_mistakes_are_found_together() {
    let found = findings(&[
        ("/fields/35/lenght", json!(37)),
        ("/fields/41/type", json!("nn")),
        ("/pad/1", json!(300)),
        ("/pad/3", json!("eleven")),
        ("/echoed/0", json!(99)),
        ("/refusals/invalid", json!("9041")),
    ]);
    let places: Vec<&str> = found.iter().map(|finding| finding.split(": ").nth(1).unwrap()).collect();
    for place in ["fields.35.lenght", "fields.41.type", "pad.1", "pad.3", "echoed.0", "refusals.invalid"] {
        assert!(places.contains(&place), "{place}: {found:#?}");
    }
}

#[test]
fn original_data_elements_must_have_room_for_what_they_are_made_of() {
    let original_data = json!({ "name": "Original Data Elements", "type": "n", "length": 42 });
    let de_90 = [("/fields/90", original_data.clone()), ("/reversal/originalData", json!("de90"))];
    assert_eq!(findings(&de_90), [""; 0]);
    let long_stan = json!({ "name": "STAN", "type": "n", "length": 12 });
    let found = findings(&[de_90.as_slice(), &[("/fields/11", long_stan)]].concat());
    assert_eq!(
        found,
        ["error: reversal.originalData: DE 11 can be longer than the 6 digits that it has in them"]
    );
    let short = json!({ "name": "Original Data Elements", "type": "n", "length": 41 });
    let found = findings(&[de_90.as_slice(), &[("/fields/90", short)]].concat());
    assert_eq!(found, ["error: reversal.originalData: field 90 is 42 long, at most 41 allowed"]);
}

#[test]
fn a_key_that_is_there_twice_is_found() {
    let text = changed(&[]).replacen("\"4\":{", "\"3\":{", 1);
    let found = Dialect::from_json(&text).unwrap_err();
    assert_eq!(found[0].to_string(), "error: fields.3: is there twice");
}

#[test]
fn a_dialect_without_the_default_key_fields_is_only_warned_of() {
    let mut document: Value = serde_json::from_str(&changed(&[])).unwrap();
    document["fields"].as_object_mut().unwrap().shift_remove("41");
    document["pad"] = json!([]);
    document["safe"] = json!([]);
    document["obligatory"] = json!({});
    let (dialect, found) = Dialect::check_json(&document.to_string());
    assert!(dialect.is_some());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!found[0].fatal && found[0].problem.contains("DE 41"), "{found:?}");
}

#[test]
fn socketqueues_own_templates_are_refused_with_a_way_out() {
    for text in [
        "'use strict';\nmodule.exports = {};",
        "// template\nvar a = {}",
        "/* x */ {}",
        "\u{feff} module.exports = { 0: {} }",
        "const packet = {",
        "class SmartVista {",
    ] {
        let found = Dialect::from_json(text).unwrap_err();
        assert_eq!(found.len(), 1);
        assert!(found[0].problem.contains("`socketqueue dialect show smartVista --json`"), "{text}");
    }
    for (path, expected) in
        [("my.js", true), ("a/b.MJS", true), ("my.json", false), ("js", false), ("a.js.json", false)]
    {
        assert_eq!(super::is_javascript_path(path), expected, "{path}");
    }
}

#[test]
fn what_is_no_json_object_is_one_finding() {
    for text in ["", "[]", "1", "null", "{", "{\"name\": }", "{} {}", "\u{0}", "\"x\""] {
        let found = Dialect::from_json(text).unwrap_err();
        assert_eq!(found.len(), 1, "{text}: {found:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(Dialect::from_json(&deep).unwrap_err().len(), 1);
    let long = " ".repeat((1 << 20) + 1);
    assert_eq!(
        Dialect::from_json(&long).unwrap_err()[0].problem,
        "the document has 1048577 bytes, at most 1048576 are read"
    );
}

#[test]
fn any_text_of_up_to_64_kib_is_read_without_a_panic() {
    // Mutations of a real document reach further than noise would.
    let mut state = 7u64;
    let mut random = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let original = Dialect::builtin_document("openWay").unwrap();
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..300 {
        let mut text: Vec<u8> = original.bytes().collect();
        for _ in 0..=random() % 4 {
            let at = random() as usize % text.len();
            match random() % 3 {
                0 => text[at] = b' ' + (random() % 95) as u8,
                1 => drop(text.drain(at..(at + random() as usize % 40).min(text.len()))),
                _ => text.insert(at, b"0123456789\"{}[],:-"[random() as usize % 18]),
            }
        }
        match Dialect::from_json(&String::from_utf8_lossy(&text)) {
            Ok(_) => taken += 1,
            Err(found) => {
                assert!(found.iter().any(|finding| finding.fatal));
                refused += 1;
            }
        }
    }
    assert!(refused > 100 && taken > 10, "{refused} {taken}");
}

#[test]
fn an_override_of_what_is_not_there_is_a_clear_error() {
    let smart_vista = Dialect::builtin("smartVista").unwrap();
    for (overrides, expected) in [
        (
            "48:ans:3",
            "error: 48:ans:3: smartVista has no field 48: what it has can be overridden, more fields take a dialect of your own",
        ),
        ("41:asn:8", "error: 41:asn:8: there is no type `asn`: did you mean `ans`?"),
        ("41", "error: 41: an override is field:type or field:type:length, e.g. 41:ans:8"),
        ("41:ans:8:1", "error: 41:ans:8:1: an override is field:type or field:type:length, e.g. 41:ans:8"),
        ("x:ans:8", "error: x:ans:8: `x` is no field: 0 to 192"),
        ("200:ans:8", "error: 200:ans:8: `200` is no field: 0 to 192"),
        ("41:ans:x", "error: 41:ans:x: `x` is no length"),
        (
            "41:ans:0",
            "error: fields.41: type ans can not have length 0: a field has at least one character, digit or byte",
        ),
        ("1:n:8", "error: 1:n:8: the bitmap can be bitmap:8, bitmap-hex:8 or b:8 (fixed, no secondary)"),
        ("1:b:8", "error: fields.70: no message can have this field: the bitmap has no bit for it"),
        ("0:n:3", "error: 0:n:3: the MTI can be n:4 (characters) or b:2 (packed digits)"),
        // What a rule needs of a field is checked again.
        ("7:n:6", "error: reversal: field 7 is 10 long, at most 6 allowed"),
        ("12:ll-n:12", "error: pad.3: DE 12 is of variable length: there is nothing to fill up"),
    ] {
        let found = smart_vista.with_overrides(overrides).unwrap_err();
        let found: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert!(found.contains(&expected.to_owned()), "{overrides}: {found:?}");
    }
    let both = smart_vista.with_overrides("48:ans:3,41:asn:8").unwrap_err();
    assert_eq!(both.len(), 2);
}

#[test]
fn an_override_without_a_length_keeps_as_many_digits() {
    let open_way = Dialect::builtin("openWay").unwrap();
    let amount = crate::iso8583::field::AMOUNT;
    for (overrides, expected) in [("4:b", 6), ("4:n", 12), ("4:ll-n", 12), ("4:n:10", 10)] {
        let changed = open_way.with_overrides(overrides);
        let changed = match changed {
            Ok(changed) => changed,
            // A pad field of variable length is refused, which shows that the rules are checked again.
            Err(found) => {
                assert_eq!((overrides, found.len()), ("4:ll-n", 1));
                continue;
            }
        };
        assert_eq!(changed.schema.field(amount).unwrap().max(), expected, "{overrides}");
    }
    assert!(open_way.with_overrides("").is_ok());
}
