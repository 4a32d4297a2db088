//! Logs end to end, as a process has them: file and Logstash from one logger, and what is said of a panic.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use slog::{Drain, o};
use socketqueue::iso8583::mask::MaskStyle;
use socketqueue::log::{self, Level, Logging, Logstash, Settings};
use socketqueue::net::clock::Clock;

const CANARY: &str = "4850781234567891";

fn settings() -> Settings {
    Settings { level: Level::Info, silent: true, file: None, logstash: None, mask: MaskStyle::default() }
}

fn init(settings: &Settings) -> Logging {
    log::init(settings, Clock::new(Some("UTC")).unwrap()).unwrap()
}

#[test]
fn a_record_reaches_file_and_logstash_with_the_same_values() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.log");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let logstash = Logstash {
        host: "localhost".to_owned(),
        port: listener.local_addr().unwrap().port(),
        node: "node 7".to_owned(),
    };
    let logging = init(&Settings { file: Some(path.clone()), logstash: Some(logstash), ..settings() });
    let logger = logging.logger.new(o!("upstream" => "bank"));
    slog::info!(logger, "link up"; "peer" => "10.0.0.1:5000", "attempt" => 3);
    slog::debug!(logger, "not at this level");

    let (link, _) = listener.accept().unwrap();
    drop(logger);
    drop(logging);
    let lines: Vec<serde_json::Value> =
        BufReader::new(link).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        (&line["level"], &line["message"], &line["node"]),
        (&"info".into(), &"link up".into(), &"node 7".into())
    );
    assert_eq!(
        (&line["upstream"], &line["peer"], &line["attempt"]),
        (&"bank".into(), &"10.0.0.1:5000".into(), &3.into())
    );

    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with(" - info: link up upstream=bank peer=10.0.0.1:5000 attempt=3\n"), "{text}");
    assert_eq!(text.lines().count(), 1);
    // Both tell the same second.
    let stamp = line["@timestamp"].as_str().unwrap();
    assert_eq!(stamp.replace('T', " ")[..19], text[..19]);
}

/// The hook is the process's: the other test here does not panic.
#[test]
fn a_panic_is_logged_where_it_happened_and_without_what_was_handled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.log");
    let logging = init(&Settings { file: Some(path.clone()), level: Level::Warn, ..settings() });
    assert!(logging.logger.is_critical_enabled() && !logging.logger.is_info_enabled());
    log::set_panic_hook(Some(logging.logger.clone()));
    let ended = std::thread::Builder::new()
        .name("session".to_owned())
        .spawn(|| {
            let track = format!("{CANARY}=19082012232800000037é");
            let inside_a_letter = track.len() - 1;
            track[inside_a_letter..].len()
        })
        .unwrap()
        .join();
    let also = std::thread::spawn(|| panic!("pan {CANARY} is bad")).join();
    let _ = std::panic::take_hook();
    assert!(ended.is_err() && also.is_err());
    drop(logging);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(" - error: panic: ") && text.contains("at=tests/log.rs:"), "{text}");
    assert!(text.contains("thread=session") && text.contains("pan 485078******7891 is bad"), "{text}");
    assert!(!text.contains(CANARY) && !text.contains("1908201223"), "{text}");
}
