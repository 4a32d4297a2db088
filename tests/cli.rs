//! The binary as a user meets it: help, template, check, refusals, exit codes.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A card number that must never come back.
const CANARY: &str = "4850781234567891";

fn socketqueue(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_socketqueue"))
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn told(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let output = socketqueue(directory, args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn help_goes_to_standard_output_with_exit_code_0() {
    let directory = directory();
    for args in [&["--help"][..], &["-h"], &["help"], &["run", "--help"]] {
        let (code, out, err) = told(directory.path(), args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        assert!(
            out.contains("--upstreamHost") && out.contains("Reversals:") && out.contains("check"),
            "{args:?}"
        );
    }
    let (code, out, _) = told(directory.path(), &["help", "check"]);
    assert_eq!(code, 0);
    assert!(out.contains("socketqueue check [FILE]"), "{out}");
    for (command, text) in
        [("bank", "--ledger"), ("dialect", "dialect schema"), ("sample", "echo|purchase|reversal")]
    {
        for args in [[command, "--help"], ["help", command]] {
            let (code, out, _) = told(directory.path(), &args);
            assert!(
                code == 0 && out.contains(&format!("socketqueue {command}")) && out.contains(text),
                "{out}"
            );
        }
    }
    let (code, _, err) = told(directory.path(), &["help", "chekc"]);
    assert!(code == 2 && err.contains("unknown command"), "{err}");
}

#[test]
fn version_names_the_release() {
    let directory = directory();
    for flag in ["--version", "-V"] {
        let (code, out, _) = told(directory.path(), &[flag]);
        assert_eq!((code, out), (0, format!("socketqueue {}\n", env!("CARGO_PKG_VERSION"))));
    }
}

/// Case cli-001 of the recordings names the keys; that the original's output was no JSON is its defect D24.
#[test]
fn help_json_is_a_template_that_can_be_used_as_it_is() {
    let directory = directory();
    let (code, out, err) = told(directory.path(), &["--helpJson"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let template: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&out).unwrap();
    for key in "hostConfig smartVista openWay overrides upstreamHost upstreamPort upstreamListenPort listenPort listenHttpPort \
        upstreamTimeout clientTimeout maxQueue queueLockTerminal queueTimeout queueShortTimeout queueMessageKeyFields \
        noAutoReversal logFile pidFile logstashHost logstashPort logstashNode echoServerPort testClients testTargetHost \
        testTargetPort testRealLife statServerPort statDumpFile c v vv dangerous useHeader headerFormat lengthIncludeHeader \
        silent help helpJson"
        .split_whitespace()
    {
        assert!(template.contains_key(key), "{key}");
    }
    assert_eq!(template["queueTimeout"], 35);
    assert_eq!(template["queueLockTerminal"], true);
    assert_eq!(template["upstreamPort"], serde_json::Value::Null);

    std::fs::write(directory.path().join("config.json"), &out).unwrap();
    let (code, out, err) = told(
        directory.path(),
        &["check", "config.json", "--upstreamHost=h", "--upstreamPort=5", "--listenPort=0"],
    );
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("config.json: ok\n") && !out.contains("note:"), "{out}");
}

#[test]
fn check_says_what_would_run() {
    let directory = directory();
    let config = r#"{ "upstreamHost": "127.0.0.1", "upstreamPort": "5000", "listenPort": 2014, "echoServerPort": 5000,
        "headerFormat": "length:b-hex:2", "queueTimeout": "20s", "listenHttpPort": 8080, "openWay": "true" }"#;
    std::fs::write(directory.path().join("config.json"), config).unwrap();
    let (code, out, err) = told(directory.path(), &["check", "config.json", "--queueTimeout=10"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for text in [
        "config.json: ok\n",
        "upstream connects to 127.0.0.1:5000, dialect smartVista, framing bin2\n",
        "queue up to 100 transactions, 10s each, one at a time per terminal: yes\n",
        "reversals up to 11 sendings over 662s, then parked\n",
        "clients on 0.0.0.0:2014, framing none, up to 10000\n",
        "bank on 127.0.0.1:5000, framing bin2\n",
        "note: openWay has no effect, as in SocketQueue: use hostConfig=openWay\n",
        "note: listenHttpPort is accepted, but not served by this version yet\n",
        "note: queueTimeout is given by flag and in config.json: the flag wins (in SocketQueue the file did)\n",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
}

#[test]
fn the_configuration_at_the_top_level_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (code, out, err) = told(root, &["check", "config.json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("clients on 0.0.0.0:2014") && out.contains("bank on 127.0.0.1:5000"), "{out}");
}

#[test]
fn a_sample_is_a_message_of_now_in_the_zone_named() {
    let directory = directory();
    let times: Vec<String> = ["UTC", "+07:00"]
        .iter()
        .map(|zone| {
            let output =
                socketqueue(directory.path(), &["sample", "purchase", &format!("--timezone={zone}")]);
            assert!(output.status.success() && output.stdout.starts_with(b"0200"));
            // MTI 4, bitmap 8, DE 3 6, DE 4 12, DE 7 10 (MMDDhhmmss), DE 11 6, DE 12 12: the fields in front of DE 22.
            String::from_utf8(output.stdout[46..58].to_vec()).unwrap()
        })
        .collect();
    let hour = |time: &str| time[6..8].parse::<u32>().unwrap();
    // A minute may pass between the two, an hour's end too.
    assert!([6, 7, 8].contains(&((hour(&times[1]) + 24 - hour(&times[0])) % 24)), "{times:?}");
    let (code, _, err) = told(directory.path(), &["sample", "purchase", "--timezone=Mars"]);
    assert!(code == 1 && err.contains("--timezone: unknown time zone"), "{err}");
    let (code, _, err) = told(directory.path(), &["sample", "tea"]);
    assert!(code == 2 && err.contains("usage: socketqueue sample"), "{err}");
}

/// A zone unlike the terminals' makes every sale look expired: better no start than UTC by accident.
#[test]
fn a_time_zone_that_cannot_be_found_is_refused_also_when_the_system_names_it() {
    let directory = directory();
    for (zone, code) in [("Mars/Olympus", 1), ("", 0), ("UTC", 0), ("CET-1CEST,M3.5.0,M10.5.0/3", 0)] {
        let output = Command::new(env!("CARGO_BIN_EXE_socketqueue"))
            .args(["check", "--echoServerPort=0"])
            .current_dir(directory.path())
            .env("TZ", zone)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{zone}");
        assert_eq!(
            String::from_utf8(output.stderr).unwrap().contains("--timezone: the system's time zone"),
            code == 1
        );
    }
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let directory = directory();
    let config = "{\n  \"upstreamHost\": \"h\",\n  \"upstreamPrt\": 5000,\n  \"vv\": 1,\n  \"hostConfig\": \"smartvisa\",\n  \
        \"listenPort\": 70000\n}";
    std::fs::write(directory.path().join("config.json"), config).unwrap();
    let args = [
        "-c",
        "config.json",
        "--lisenPort=1",
        "--minResponseTime=40",
        "--timezone=Mars/Olympus",
        "--clientFraming=asci4",
    ];
    for command in ["run", "check"] {
        let (code, out, err) = told(directory.path(), &[&[command][..], &args].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        for text in [
            "config.json: upstreamPrt (line 3): unknown key; did you mean upstreamPort?\n",
            "config.json: vv (line 4): must be a true or false, not a number\n",
            "config.json: hostConfig (line 5): unknown dialect 'smartvisa'; did you mean smartVista?\n",
            "config.json: listenPort (line 6): must be a port from 0 to 65535; '70000' is outside\n",
            "--lisenPort=…: unknown flag; did you mean --listenPort?\n",
            "--minResponseTime: leaves no request a chance",
            "--timezone: unknown time zone",
            "--clientFraming: ",
        ] {
            assert!(err.contains(text), "{text}: {err}");
        }
        assert!(err.starts_with("socketqueue: 8 problems\n"), "{err}");
    }
}

#[test]
fn a_refused_configuration_exits_with_1_and_a_strange_command_line_with_2() {
    let directory = directory();
    std::fs::write(directory.path().join("broken.json"), "{\n \"vv\": true,\n}").unwrap();
    std::fs::write(directory.path().join("template.js"), "module.exports = {};").unwrap();
    let gateway = ["--upstreamHost=h", "--upstreamPort=5", "--listenPort=0"];
    let with = |more: &[&'static str]| [&gateway[..], more].concat();
    for (args, code, text) in [
        (vec![], 2, "nothing to do: give upstreamHost"),
        (vec!["--vv"], 2, "usage: socketqueue --upstreamHost=10.0.0.1"),
        (vec!["chekc"], 2, "'chekc': unknown command; did you mean check?"),
        (vec!["config.json"], 2, "did you mean -c config.json?"),
        (with(&["extra"]), 2, "'extra': unexpected argument"),
        (with(&["--queueLockTermnal=false"]), 2, "did you mean --queueLockTerminal?"),
        (
            vec!["-c", "broken.json"],
            1,
            "broken.json: is not a JSON object of settings: trailing comma at line 3",
        ),
        (vec!["-c", "missing.json"], 1, "missing.json: cannot be read: "),
        (vec!["check", "missing.json"], 1, "missing.json: cannot be read: "),
        (vec!["--upstreamHost=h", "--listenPort=0"], 1, "--upstreamHost: needs upstreamPort too"),
        (
            vec!["--upstreamHost=h", "--upstreamPort=1"],
            1,
            "--upstreamHost: has no clients: give listenPort too",
        ),
        (vec!["--listenPort=0"], 1, "--listenPort: has no host to send to"),
        (with(&["--upstreamListenPort=0"]), 1, "either we connect to the host"),
        (vec!["--testClients=1"], 1, "--testClients: needs testTargetHost too"),
        (with(&["--logstashHost=h"]), 1, "--logstashHost: needs logstashPort too"),
        (with(&["--queueTimeout=5", "--minResponseTime=5"]), 1, "it must be shorter than queueTimeout (5s)"),
        (
            with(&["--upstreamFraming=bin2", "--useHeader=false"]),
            1,
            "--useHeader: says the same as upstreamFraming",
        ),
        (with(&["--vv=yes"]), 1, "--vv: must be true or false, not 'yes'"),
        (with(&["--logFile=no/such/log.txt"]), 1, "--logFile: there is no directory no/such"),
        (with(&["--pidFile=."]), 1, "--pidFile: is a directory"),
        (with(&["--hostConfig=template.js"]), 1, "this is JavaScript, as SocketQueue's host templates are"),
        (with(&["--hostConfig=myBank"]), 1, "`socketqueue dialect show smartVista --json`"),
        (
            with(&["--queueMessageKeyFields=11,128"]),
            1,
            "names field 128, which the dialect smartVista does not have",
        ),
        (with(&["--overrides=99:n:3"]), 1, "--overrides: "),
        (with(&["--headerFormat=length:q:4"]), 1, "--headerFormat: "),
    ] {
        let (got, out, err) = told(directory.path(), &args);
        assert_eq!((got, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(err.contains(text), "{args:?}: {err}");
    }
}

#[test]
fn two_sockets_on_one_port_are_refused_unless_their_addresses_differ() {
    let directory = directory();
    let gateway = ["check", "--upstreamHost=h", "--upstreamPort=5"];
    let with = |more: &[&'static str]| [&gateway[..], more].concat();
    for (args, code) in [
        (with(&["--listenPort=5000", "--echoServerPort=5000"]), 1),
        (
            with(&[
                "--listenPort=5000",
                "--echoServerPort=5000",
                "--listenHost=127.0.0.1",
                "--bankHost=localhost",
            ]),
            1,
        ),
        (with(&["--listenPort=5000", "--echoServerPort=5000", "--listenHost=10.0.0.1"]), 0),
        (with(&["--listenPort=0", "--echoServerPort=0"]), 0),
        (with(&["--listenPort=5000", "--statServerPort=5000", "--listenHost=10.0.0.1"]), 1),
    ] {
        let (got, out, err) = told(directory.path(), &args);
        assert_eq!(got, code, "{args:?}: {out}{err}");
    }
}

#[test]
fn a_card_number_in_the_wrong_place_is_not_printed_back() {
    let directory = directory();
    let template: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&told(directory.path(), &["--helpJson"]).1).unwrap();
    let mut lines: Vec<Vec<String>> = template
        .keys()
        .filter(|key| !matches!(key.as_str(), "help" | "helpJson" | "version" | "v" | "vv" | "silent"))
        .map(|key| vec![format!("--{key}={CANARY}")])
        .collect();
    lines.push(vec![format!("--{CANARY}")]);
    lines.push(vec![format!("--{CANARY}=1")]);
    lines.push(vec![format!("-{CANARY}")]);
    lines.push(vec![CANARY.to_owned()]);
    lines.push(vec!["check".to_owned(), CANARY.to_owned()]);
    lines.push(vec!["check".to_owned(), format!("{CANARY}.json")]);
    lines.push(vec!["help".to_owned(), CANARY.to_owned()]);
    for words in [
        "sample",
        "sample echo --hostConfig=",
        "sample echo --timezone=",
        "dialect",
        "dialect check",
        "dialect show",
    ] {
        let mut line: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        match words.ends_with('=') {
            true => line.last_mut().unwrap().push_str(CANARY),
            false => line.push(CANARY.to_owned()),
        }
        lines.push(line);
    }
    for flag in ["--port=", "--dialect=", "--framing=", "--delay=", "--drop=", "--ledger=/no/such/", "--", ""]
    {
        lines.push(vec!["bank".to_owned(), "--host=192.0.2.1".to_owned(), format!("{flag}{CANARY}")]);
    }
    lines.push(vec![
        "check".to_owned(),
        format!("--upstreamHost={CANARY}=19081011234"),
        "--upstreamPort=5".to_owned(),
        "--listenPort=0".to_owned(),
    ]);
    for (at, text) in [
        format!("{{\"{CANARY}\": 1}}"),
        format!("{{\"upstreamHost\": {CANARY}}}"),
        format!("{{\"maxQueue\": \"{CANARY}\"}}"),
        CANARY.to_owned(),
        format!("{{\"hostConfig\": \"{CANARY}=19081011234\""),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("{at}.json");
        std::fs::write(directory.path().join(&name), text).unwrap();
        lines.push(vec!["check".to_owned(), name]);
    }
    for line in lines {
        let args: Vec<&str> = line.iter().map(String::as_str).collect();
        let (_, out, err) = told(directory.path(), &args);
        assert!(!out.is_empty() || !err.is_empty(), "{args:?}");
        assert!(!out.contains(CANARY) && !err.contains(CANARY), "{args:?}: {out}{err}");
    }
}

#[test]
fn the_reference_in_the_documentation_is_in_step_with_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let marker = "The tables below are made from the program's own; a test keeps them in step.\n";
    let (introduction, tables) = text.split_once(marker).unwrap();
    let expected = socketqueue::config::reference::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{introduction}{marker}{expected}")).unwrap();
    } else {
        assert_eq!(tables, expected, "run with UPDATE_DOCS=1 to write the tables anew");
    }
}
