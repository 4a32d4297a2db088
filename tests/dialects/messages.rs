//! What the gateway makes of messages: repeats, answers, reversals, refusals.

use std::time::Duration;

use serde_json::Value;
use socketqueue::dialect::{Dialect, OriginalData, RequestClass, ReversalClass, ReversalProfile};
use socketqueue::iso8583::{Draft, Message, Mti};
use socketqueue::rules::{Answer, KeyFields, ReversalImage, echo_reply, prepare, refusal};

use crate::support::{NOW, at, de, dialect, golden_message, hex, message, prepared, sale};

#[test]
fn a_repeat_differs_in_the_mti_only_in_every_encoding() {
    let template: Value = serde_json::from_str(Dialect::builtin_document("smartVista").unwrap()).unwrap();
    for (encoding, first, repeat) in
        [("ascii", "30323230", "30323231"), ("ebcdic", "f0f2f2f0", "f0f2f2f1"), ("bcd", "0220", "0221")]
    {
        let mut document = template.clone();
        document["mti"]["encoding"] = encoding.into();
        let dialect = Dialect::from_json(&document.to_string()).unwrap();
        let mut draft = Draft::new(&dialect.schema, Mti::new(0x0220));
        draft.set_text(de(11), "1").set_text(de(41), "2");
        let request = prepare(&dialect, &KeyFields::default(), draft.finish().unwrap(), at(NOW)).unwrap();
        let (bytes, repeated) = (hex(request.bytes()), hex(&request.as_repeat()));
        assert_eq!(bytes.strip_prefix(first).unwrap(), repeated.strip_prefix(repeat).unwrap(), "{encoding}");
    }
}

/// The answer to the sale of `changes`, with its own fields changed.
fn answer_to(request: &Draft, changes: &[(u16, &str)]) -> Answer {
    let smart_vista = dialect("smartVista");
    let mut draft = request.clone();
    draft.set_mti(request.mti().response().unwrap()).set_text(de(39), "000");
    for (n, text) in changes {
        match text.is_empty() {
            true => draft.remove(de(*n)),
            false => draft.set_text(de(*n), text),
        };
    }
    let lenient = Message::parse_lenient(&smart_vista.schema, draft.to_bytes().unwrap()).unwrap();
    Answer::read(&smart_vista, &KeyFields::default(), lenient)
}

#[test]
fn an_answer_has_the_key_of_its_request_and_a_class() {
    let request = prepared(&sale(&[])).unwrap();
    for (code, class, reversal_class) in [
        ("000", RequestClass::Approved, ReversalClass::Accepted),
        ("116", RequestClass::Declined, ReversalClass::Retry),
        ("909", RequestClass::InDoubt, ReversalClass::Retry),
        ("914", RequestClass::Declined, ReversalClass::NotFound),
        ("", RequestClass::InDoubt, ReversalClass::Retry),
    ] {
        let answer = answer_to(&sale(&[]), &[(39, code)]);
        assert_eq!(answer.key(), Some(request.key()), "{code}");
        assert_eq!((answer.request_class(), answer.reversal_class()), (class, reversal_class), "{code}");
    }
    assert_eq!(answer_to(&sale(&[]), &[(41, "")]).key(), None);
    assert_ne!(answer_to(&sale(&[]), &[(41, "992469")]).key(), Some(request.key()));
}

#[test]
fn a_broken_answer_has_a_key_only_if_its_code_lies_before_the_trouble() {
    let smart_vista = dialect("smartVista");
    let whole = answer_to(&sale(&[]), &[]).message().raw().clone();
    let request = prepared(&sale(&[])).unwrap();
    let read = |bytes: bytes::Bytes| {
        let lenient = Message::parse_lenient(&smart_vista.schema, bytes).unwrap();
        Answer::read(&smart_vista, &KeyFields::default(), lenient)
    };
    // Cut inside DE 42 and 49 (15 + 3 bytes from the end): key and code have been read.
    for cut in 1..=18 {
        let answer = read(whole.slice(..whole.len() - cut));
        assert_eq!(answer.key(), Some(request.key()), "{cut}");
        assert_eq!(answer.request_class(), RequestClass::Approved);
    }
    // Inside DE 41 there is no key, before DE 39 no code either.
    for cut in [19, 26, 27, 29, 60] {
        let answer = read(whole.slice(..whole.len() - cut));
        assert_eq!(answer.key(), None, "{cut}");
    }
    assert_eq!(read(whole.slice(..whole.len() - 29)).request_class(), RequestClass::InDoubt);
    // With a key field alone that lies before the trouble, but DE 39 behind it.
    let keys = KeyFields(vec![de(11)]);
    let lenient = Message::parse_lenient(&smart_vista.schema, whole.slice(..whole.len() - 60)).unwrap();
    assert_eq!(Answer::read(&smart_vista, &keys, lenient).key(), None);
}

#[test]
fn an_answer_must_agree_in_the_echoed_elements_that_both_have() {
    let smart_vista = dialect("smartVista");
    let request = prepared(&sale(&[])).unwrap();
    for (changes, agrees) in [
        (&[][..], true),
        (&[(12, "261122032959")], false),
        (&[(3, "200000")], false),
        (&[(49, "643")], false),
        (&[(42, "1")], false),
        (&[(42, ""), (49, ""), (12, ""), (3, "")], true),
        // Not among the echoed.
        (&[(4, "999"), (22, "012")], true),
    ] {
        let answer = answer_to(&sale(&[]), changes);
        assert_eq!(answer.agrees_with(request.message(), &smart_vista.echoed), agrees, "{changes:?}");
    }
}

#[test]
fn candidates_are_scored_as_in_the_original() {
    let request = prepared(&sale(&[])).unwrap();
    for (changes, score) in [
        (&[][..], 11),
        (&[(2, "4850781234567891")], 16),
        (&[(2, "4850781234567892")], 11),
        (&[(2, "485078123456789")], 11),
        (&[(4, "1001")], 10),
        (&[(4, "1001"), (2, "4850781234567891")], 15),
    ] {
        assert_eq!(answer_to(&sale(&[]), changes).score(request.message()), score, "{changes:?}");
    }
    let mut reversal = sale(&[]);
    reversal.set_mti(Mti::new(0x0400));
    assert_eq!(answer_to(&reversal, &[]).score(request.message()), 1);
    let with_pan = prepared(&sale(&[(2, "4850781234567891"), (35, "")])).unwrap();
    assert_eq!(answer_to(&sale(&[]), &[(2, "4850781234567891")]).score(with_pan.message()), 16);
}

#[test]
fn a_sale_with_an_rrn_is_reversed_all_the_same() {
    let smart_vista = dialect("smartVista");
    let request = prepared(&sale(&[(37, "123456789012")])).unwrap();
    let image = ReversalImage::of(&request, smart_vista.reversal.as_ref().unwrap());
    let reversal = message(&smart_vista, image.render(at("261122033105"), false, None));
    assert_eq!(reversal.mti(), Mti::new(0x0400));
    assert_eq!(reversal.text(de(37)).unwrap(), "123456789012");
    assert_eq!(reversal.text(de(7)).unwrap(), "1122033105");
    assert_eq!(reversal.text(de(24)).unwrap(), "400");
    // Everything else as it was.
    let mut undone = Draft::of(&reversal);
    undone.set_mti(Mti::new(0x0200)).set_text(de(7), "1122033000").set_text(de(24), "200");
    assert_eq!(undone.to_bytes().unwrap(), request.bytes());
}

#[test]
fn a_reversal_is_rendered_whatever_the_rrn() {
    let smart_vista = dialect("smartVista");
    let image = ReversalImage::of(&prepared(&sale(&[])).unwrap(), smart_vista.reversal.as_ref().unwrap());
    let plain = image.render(at(NOW), true, None);
    let learned = message(&smart_vista, image.render(at(NOW), true, Some(b"RRN000000001")));
    assert_eq!(learned.text(de(37)).unwrap(), "RRN000000001");
    for foreign in [&b""[..], b"1234567890123", &[0xFF; 12], &[0; 2000]] {
        assert_eq!(image.render(at(NOW), true, Some(foreign)), plain);
    }
}

#[test]
fn de_90_has_its_forty_two_digits() {
    let mut document =
        serde_json::from_str::<Value>(Dialect::builtin_document("smartVista").unwrap()).unwrap();
    document["fields"]["33"] = serde_json::json!({ "name": "Forwarder", "type": "ll-n", "length": 11 });
    document["fields"]["90"] =
        serde_json::json!({ "name": "Original Data Elements", "type": "n", "length": 42 });
    document["reversal"]["originalData"] = "de90".into();
    document["reversal"]["first"] = "0420".into();
    let reversal = document["reversal"].as_object_mut().unwrap();
    reversal.shift_remove("repeat");
    reversal.shift_remove("response");
    document["reversal"]["clone"] = serde_json::json!([3, 4, 11, 12, 41, 42, 49]);
    let dialect = Dialect::from_json(&document.to_string()).unwrap();
    let mut sale = Draft::new(&dialect.schema, Mti::new(0x0200));
    for (n, text) in [
        (3, "0"),
        (4, "1000"),
        (7, "1122032959"),
        (11, "618160"),
        (12, NOW),
        (22, "056"),
        (24, "200"),
        (25, "00"),
        (32, "12345"),
        (35, "4850781234567891=1908"),
        (41, "992468"),
        (42, "124642124643"),
        (49, "810"),
    ] {
        sale.set_text(de(n), text);
    }
    let keys = KeyFields(vec![de(7), de(11), de(41)]);
    let request = prepare(&dialect, &keys, sale.finish().unwrap(), at(NOW)).unwrap();
    let image = ReversalImage::of(&request, dialect.reversal.as_ref().unwrap());
    assert_eq!(image.response_mti(), Mti::new(0x0430));
    let first = message(&dialect, image.render(at(NOW), false, None));
    // MTI 4, STAN 6, DE 7 10, DE 32 11, DE 33 11.
    assert_eq!(first.text(de(90)).unwrap(), "020061816011220329590000001234500000000000");
    let fields: Vec<u8> = first.bitmap().iter().map(|n| n.get()).collect();
    assert_eq!(fields, [3, 4, 7, 11, 12, 24, 41, 42, 49, 90]);
    assert_eq!(image.render(at(NOW), true, None)[..4], *b"0421");
    // It points back at the sale, also where its own STAN and DE 7 are new.
    let mut own = Draft::of(&first);
    own.set_text(de(11), "700000").set_text(de(7), "1122034000");
    let own = prepare(&dialect, &keys, own.finish().unwrap(), at(NOW)).unwrap();
    assert_ne!(own.key(), request.key());
    assert_eq!(own.original_key(&keys).as_ref(), Some(request.key()));
    // A STAN of zeros means that it is not known.
    let mut unknown = Draft::of(own.message());
    unknown.set_text(de(90), &"0".repeat(42));
    let unknown = prepare(&dialect, &keys, unknown.finish().unwrap(), at(NOW)).unwrap();
    assert_eq!(unknown.original_key(&keys).as_ref(), Some(unknown.key()));
}

#[test]
fn a_reversal_without_original_data_points_at_its_own_key() {
    let mut reversal = sale(&[]);
    reversal.set_mti(Mti::new(0x0400));
    let reversal = prepared(&reversal).unwrap();
    assert_eq!(reversal.original_key(&KeyFields::default()).as_ref(), Some(reversal.key()));
    let open_way = dialect("openWay");
    let bytes = golden_message("openway.txt", "reversal");
    let mut own = Draft::of(&message(&open_way, bytes));
    own.set_text(de(11), "000099");
    let keys = KeyFields::default();
    let own = prepare(&open_way, &keys, own.finish().unwrap(), at(NOW)).unwrap();
    let sale = message(&open_way, golden_message("openway.txt", "purchase"));
    let sale = prepare(&open_way, &keys, sale, at(NOW)).unwrap();
    assert_eq!(own.original_key(&keys).as_ref(), Some(sale.key()));
}

#[test]
fn a_profile_that_slipped_past_the_lint_still_gives_a_reversal() {
    // Only a Dialect made by hand can have such a profile; a debug build says so, a release build sends the original
    // under the reversal's MTI.
    let profile = std::sync::Arc::new(ReversalProfile {
        first: Mti::new(0x0400),
        repeat: Mti::new(0x0401),
        response: Mti::new(0x0410),
        clone: None,
        set: vec![(de(24), "much too long".to_owned())],
        original_data: OriginalData::Absent,
        with_learned_rrn: false,
    });
    let request = prepared(&sale(&[])).unwrap();
    let image = ReversalImage::of(&request, &profile);
    let rendered = std::panic::catch_unwind(|| image.render(at(NOW), true, None));
    if cfg!(debug_assertions) {
        assert!(rendered.is_err());
    } else {
        let expected = format!("30343031{}", &hex(request.bytes())[8..]);
        assert_eq!(rendered.ok().map(|bytes| hex(&bytes)), Some(expected));
    }
}

#[test]
fn a_refusal_has_the_code_and_no_card_data() {
    let smart_vista = dialect("smartVista");
    let canary = "4850781234567891";
    let request = sale(&[
        (2, canary),
        (46, canary),
        (52, "0102030405060708"),
        (54, canary),
        (55, "5a084850781234567891"),
        (62, canary),
    ]);
    let request = request.finish().unwrap();
    let now = at("261122033105");
    let refused = message(&smart_vista, refusal(&smart_vista, &request, "904", now).unwrap());
    assert_eq!(refused.mti(), Mti::new(0x0210));
    let fields: Vec<u8> = refused.bitmap().iter().map(|n| n.get()).collect();
    assert_eq!(fields, [3, 4, 7, 11, 12, 22, 24, 25, 39, 41, 42, 49]);
    assert_eq!(refused.text(de(39)).unwrap(), "904");
    assert_eq!(refused.text(de(7)).unwrap(), "1122033105");
    assert!(!hex(refused.raw()).contains(canary) && !hex(refused.raw()).contains(&hex(canary.as_bytes())));
    assert_eq!(refusal(&smart_vista, &refused, "904", now), None);
    assert_eq!(refusal(&smart_vista, &request, "9041", now), None);
    let open_way = dialect("openWay");
    let request = message(&open_way, golden_message("openway.txt", "purchase"));
    let refused = message(&open_way, refusal(&open_way, &request, "30", now).unwrap());
    assert_eq!((refused.mti(), refused.has(de(2))), (Mti::new(0x0210), false));
}

#[test]
fn every_dialect_answers_a_host_echo() {
    let open_way = dialect("openWay");
    let request = message(&open_way, golden_message("openway.txt", "echo"));
    let answer = message(&open_way, echo_reply(&open_way, &request, at(NOW), 1_000_000_000_007).unwrap());
    assert_eq!(answer.mti(), Mti::new(0x0810));
    assert_eq!(answer.text(de(7)).unwrap(), "1122033000");
    assert_eq!(answer.text(de(37)).unwrap(), "000000000007");
    assert_eq!(answer.text(de(39)).unwrap(), "00");
    assert_eq!(echo_reply(&open_way, &answer, at(NOW), 1), None);
    let sale = message(&open_way, golden_message("openway.txt", "purchase"));
    assert_eq!(echo_reply(&open_way, &sale, at(NOW), 1), None);
    let mut silent = Dialect::clone(&open_way);
    silent.echo_reply.code = None;
    assert_eq!(echo_reply(&silent, &request, at(NOW), 1), None);
}

#[test]
fn keys_of_requests_and_answers_are_compared_by_value_not_by_encoding() {
    let smart_vista = dialect("smartVista");
    let request = prepared(&sale(&[])).unwrap();
    assert_eq!(format!("{:?}", request.key()), "MatchKey(618160|00992468|)");
    assert_eq!(request.tid().unwrap().to_string(), "00992468");
    assert_eq!(format!("{request:?}"), "Request(0200 MatchKey(618160|00992468|))");
    assert_eq!(KeyFields(vec![de(11), de(48)]).missing_from(&smart_vista.schema), [de(48)]);
    let later = at(NOW).after(Duration::from_secs(1));
    let repeated = prepare(&smart_vista, &KeyFields::default(), request.message().clone(), later).unwrap();
    assert_eq!(repeated.key(), request.key());
}
