//! What is on the disk while the gateway works: no card data, in no file, at no time.

use std::fs;
use std::path::Path;

use crate::world::{World, approve, label, message_with};

/// A card number that is nowhere else.
const PAN: &str = "5169493721086640";
const TRACK_2: &str = "5169493721086640=27121015432112345678";
/// EMV: card number (5A), track 2 equivalent (57), cardholder's name (5F20), cryptogram (9F26).
const EMV: &str = "5A085169493721086640\
    57135169493721086640D27121015432112345678F\
    5F200B43414E4152592F54455354\
    9F260811223344AABBCCDD";
const PIN_BLOCK: &str = "C73A915ED408B62F";

/// Card number, discretionary data, name and PIN block: as text, as bytes; the card number also without its first six,
/// which logs may show.
fn secrets() -> Vec<Vec<u8>> {
    vec![
        PAN.into(),
        PAN[6..].into(),
        bytes(PAN),
        "27121015432112345678".into(),
        bytes("D27121015432112345678F"),
        "CANARY/TEST".into(),
        "43414E4152592F54455354".into(),
        PIN_BLOCK.into(),
        PIN_BLOCK.to_lowercase().into(),
        bytes(PIN_BLOCK),
    ]
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What of `wanted` is found in files of the directory.
fn found(directory: &Path, wanted: &[Vec<u8>]) -> Vec<String> {
    // Each byte as the character of its number: the search in texts is fast without optimization, too.
    let text = |bytes: &[u8]| -> String { bytes.iter().map(|byte| char::from(*byte)).collect() };
    let mut found = Vec::new();
    for file in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let bytes = fs::read(file.path()).unwrap_or_default();
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let content = text(&bytes);
        let has = wanted.iter().filter(|wanted| content.contains(&text(wanted)));
        found.extend(has.map(|wanted| format!("{:?} in {:?}", text(wanted), file.file_name())));
    }
    found
}

#[test]
fn under_load_after_a_kill_and_after_a_stop_no_file_has_card_data() {
    // The log too: at its most talkative.
    let mut world = World::new(&["--vv", "--logFile=log.txt", "--queueTimeout=1", "--minResponseTime=0.1"]);
    let (mut gateway, mut link) = world.start();
    let (emv, pin_block) = (bytes(EMV), bytes(PIN_BLOCK));
    let asked = |tid, stan| {
        let fields: [(u16, &[u8]); 4] =
            [(2, PAN.as_bytes()), (35, TRACK_2.as_bytes()), (52, &pin_block), (55, &emv)];
        message_with("0200", tid, stan, &fields)
    };
    // Approved and delivered, approved and not delivered, unanswered: 50 of each, with a look after each of them.
    for stan in 1..=50 {
        for tid in 1..=3 {
            let mut client = gateway.client();
            let request = asked(tid * 1000 + stan, stan);
            client.write(&request);
            while link.frame() != request {}
            let reply = approve(&request);
            match tid {
                1 => {
                    link.send_frame(&reply);
                    assert_eq!(client.read(reply.len()), reply);
                }
                2 => {
                    client.reset();
                    link.send_frame(&reply);
                }
                _ => {}
            }
            if stan % 25 == 0 {
                assert_eq!(found(world.directory(), &secrets()), Vec::<String>::new());
            }
        }
    }
    // The search finds what is there to be found.
    assert_ne!(found(world.directory(), &[b"00001050".to_vec()]), Vec::<String>::new());
    gateway.kill();
    assert_eq!(found(world.directory(), &secrets()), Vec::<String>::new());

    let (mut gateway, mut link) = world.start();
    assert!(label(&link.frame()).starts_with("0400 "));
    assert_eq!(found(world.directory(), &secrets()), Vec::<String>::new());
    gateway.stop();
    assert_eq!(found(world.directory(), &secrets()), Vec::<String>::new());
}
