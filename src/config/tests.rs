use std::time::Duration;

use super::*;
use crate::framing::Framing;
use crate::iso8583::field;
use crate::listener::tcp::OnReject;
use crate::upstream::Endpoint;

fn args(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn loaded(line: &str) -> Config {
    load(&args(line)).unwrap_or_else(|problems| panic!("{line}: {problems:?}"))
}

const GATEWAY: &str = "--upstreamHost=10.0.0.1 --upstreamPort=5000 --listenPort=2014";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Table a1 of the behaviour reference, and the defaults that the design gives what is new.
#[test]
fn without_more_the_defaults_are_those_of_socketqueue_and_of_the_design() {
    let config = loaded(GATEWAY);
    let upstream = config.upstream.unwrap();
    assert_eq!(upstream.endpoint, Endpoint::Connect { host: "10.0.0.1".to_owned(), port: 5000 });
    assert_eq!(upstream.framing, Framing::parse("ascii4").unwrap());
    assert_eq!((upstream.idle_timeout, upstream.strict_replies), (None, false));
    let mux = upstream.mux;
    assert_eq!(mux.key_fields.0, [field::STAN, field::TID]);
    assert_eq!((mux.queue_max, mux.lock_terminal, mux.queue_timeout), (100, true, seconds(35)));
    assert_eq!((mux.min_response_time, mux.reversal_timeout), (seconds(7), seconds(5)));
    assert_eq!((mux.no_auto_reversal, mux.reverse_on_disconnect), (false, false));
    assert_eq!(
        (mux.reversal_hold, mux.not_found_settle, mux.late_window),
        (seconds(60), seconds(60), seconds(600))
    );
    assert_eq!(mux.reversal_schedule, [0, 2, 10, 10, 10, 10, 10, 10, 300, 300].map(seconds));
    assert!(mux.reversal.is_some() && !mux.echoed.is_empty());
    assert_eq!((mux.on_restart, mux.reversal_max_age), (crate::mux::OnRestart::Reverse, seconds(86_400)));
    assert!(mux.advice_reply.is_none());
    let [tcp] = &config.tcp[..] else { panic!("one listener") };
    assert_eq!((tcp.host.as_str(), tcp.port, tcp.connections_max), ("0.0.0.0", 2014, 10_000));
    assert_eq!((&tcp.framing, tcp.idle_timeout, tcp.close_after_reply), (&Framing::none(), None, false));
    assert_eq!((tcp.on_reject, tcp.delivery_timeout), (OnReject::Close, seconds(10)));
    assert_eq!((config.drain_timeout, config.timezone, config.pid_file), (seconds(40), None, None));
    assert!(config.bank.is_none() && config.test_clients.is_none() && config.notices.is_empty());
    assert_eq!(
        (config.log.level, config.log.silent, config.log.mask.head),
        (crate::log::Level::Warn, false, 6)
    );
}

#[test]
fn each_parameter_reaches_its_setting() {
    let config = loaded(
        "--upstreamListenPort=0 --listenHost=::1 --listenPort=0 --upstreamTimeout=90 --clientTimeout=0 --frameLimit=2000 \
         --strictReplies --maxClients=3 --closeAfterReply --onReject=respond --maxQueue=7 --queueLockTerminal=false \
         --queueTimeout=20 --queueShortTimeout=3 --queueMessageKeyFields=11,37,41 --lateWindow=1h --noAutoReversal \
         --reversalOnDisconnect=immediate --reversalHold=9 --reversalSchedule=0,1.5s,2m --notFoundSettle=0 \
         --deliveryTimeout=500ms --onUndelivered=list --onRestart=list --reversalMaxAge=2h --adviceResponse=atOnce \
         --echoServerPort=0 --bankHost=0.0.0.0 --testClients=10 --testTargetHost=h --testTargetPort=9 \
         --testRealLife --vv --silent --logFile=log.txt --logstashHost=l --logstashPort=8 --panDigits=8 --dangerous \
         --timezone=+03:00 --pidFile=p.pid --listenHttpPort=0 --statServerPort=0 --adminPort=0 --adminSocket=a.sock --statDumpFile=s.json --hostConfig=openway --clientFraming=nac",
    );
    let upstream = config.upstream.unwrap();
    assert_eq!(upstream.endpoint, Endpoint::Listen { host: "::1".to_owned(), port: 0 });
    assert_eq!(
        (upstream.idle_timeout, upstream.strict_replies, upstream.frame_len_max),
        (Some(seconds(90)), true, 2000)
    );
    assert_eq!(upstream.framing, Framing::parse("bin2").unwrap());
    let mux = upstream.mux;
    assert_eq!(mux.key_fields.0, [field::STAN, field::RRN, field::TID]);
    assert_eq!((mux.queue_max, mux.lock_terminal, mux.queue_timeout), (7, false, seconds(20)));
    assert_eq!((mux.min_response_time, mux.reversal_timeout), (seconds(4), seconds(3)));
    assert_eq!((mux.no_auto_reversal, mux.reverse_on_disconnect), (true, true));
    assert_eq!(
        (mux.reversal_hold, mux.not_found_settle, mux.late_window),
        (seconds(9), seconds(0), seconds(3600))
    );
    assert_eq!(mux.reversal_schedule, [0, 1500, 120_000].map(Duration::from_millis));
    assert_eq!(mux.delivery_timeout, Duration::from_millis(500));
    assert_eq!((mux.on_restart, mux.reversal_max_age), (crate::mux::OnRestart::List, seconds(7200)));
    assert!(mux.advice_reply.is_some());
    assert_eq!(mux.on_undelivered, crate::mux::OnUndelivered::List);
    let tcp = &config.tcp[0];
    assert_eq!((tcp.host.as_str(), tcp.port, tcp.connections_max, tcp.frame_len_max), ("::1", 0, 3, 2000));
    assert_eq!((&tcp.framing, tcp.idle_timeout), (&Framing::parse("nac").unwrap(), None));
    assert_eq!((tcp.close_after_reply, tcp.on_reject), (true, OnReject::Respond));
    let bank = config.bank.unwrap();
    assert_eq!((bank.host.as_str(), bank.port, bank.magic), ("0.0.0.0", 0, true));
    assert_eq!((bank.framing, bank.faults), (upstream.framing, crate::bank::Faults::real_life()));
    let tests = config.test_clients.unwrap();
    assert_eq!((tests.count, tests.host.as_str(), tests.port, tests.real_life), (10, "h", 9, true));
    assert_eq!(tests.framing, tcp.framing);
    let log = config.log;
    assert_eq!((log.level, log.silent, log.file), (crate::log::Level::Verbose, true, Some("log.txt".into())));
    let logstash = crate::log::Logstash { host: "l".to_owned(), port: 8, node: "SocketQueue".to_owned() };
    assert_eq!((log.logstash, log.mask.head, log.mask.reveal), (Some(logstash), 8, true));
    assert_eq!((config.timezone.as_deref(), config.pid_file), (Some("+03:00"), Some("p.pid".into())));
    assert_eq!(config.drain_timeout, seconds(25));
    let at = |host: &str| Some(crate::admin::Address { host: host.to_owned(), port: 0 });
    let admin = crate::admin::Settings {
        statistics: at("::1"),
        dump_file: Some("s.json".into()),
        admin: at("127.0.0.1"),
        socket: Some(crate::admin::OperatorSocket { path: "a.sock".into(), is_default: false }),
    };
    assert_eq!(config.admin, admin);
    let http = &config.http[0];
    assert_eq!((http.host.as_str(), http.port, http.request_timeout), ("0.0.0.0", 0, seconds(30)));
    assert!(!http.exact_values);
    assert_eq!(config.dialect.name, "openWay");
    assert!(config.notices.is_empty(), "{:?}", config.notices);
}

/// Chapter a4 of the behaviour reference.
#[test]
fn the_framing_of_the_upstream_is_what_its_header_parameters_say() {
    for (more, framing) in [
        ("--useHeader=false", "none"),
        ("--useHeader=false --lengthIncludeHeader", "none"),
        ("--lengthIncludeHeader", "ascii4-inclusive"),
        ("--hostConfig=openWay", "bin2"),
        ("--hostConfig=openWay --lengthIncludeHeader", "bin2-inclusive"),
        ("--headerFormat=length:b-hex:2", "bin2"),
        ("--headerFormat=length:b-hex:2 --lengthIncludeHeader", "bin2-inclusive"),
        ("--headerFormat=length:n:4", "ascii4"),
        ("--upstreamFraming=hex4", "hex4"),
        ("--upstreamFraming=hex4 --useHeader=true --lengthIncludeHeader=false", "hex4"),
    ] {
        let config = loaded(&format!("{GATEWAY} --echoServerPort=0 {more}"));
        assert_eq!(config.upstream.unwrap().framing, Framing::parse(framing).unwrap(), "{more}");
        assert_eq!(config.bank.unwrap().framing, Framing::parse(framing).unwrap(), "{more}");
    }
    let config = loaded(&format!("{GATEWAY} --echoServerPort=0 --bankFraming=bin4"));
    assert_eq!(config.bank.unwrap().framing, Framing::parse("bin4").unwrap());
}

/// Case lc-010 of the recordings shows the original's opposite.
#[test]
fn a_flag_wins_over_the_file_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let text = r#"{"upstreamHost":"127.0.0.1","upstreamPort":5000,"listenPort":"0","queueTimeout":1,"maxQueue":9,"v":true}"#;
    std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
    let flags = args("--queueTimeout=9 --v --maxQueue=9 -c");
    let config = load(&[flags, vec![path.display().to_string()]].concat()).unwrap();
    assert_eq!(config.upstream.unwrap().mux.queue_timeout, seconds(9));
    let [notice] = &config.notices[..] else { panic!("{:?}", config.notices) };
    assert!(
        notice.starts_with("queueTimeout is given by flag and in ") && notice.contains("config.json"),
        "{notice}"
    );
}

/// What stands in the original's README, run side by side or in one process.
#[test]
fn the_command_lines_of_the_original_s_readme_are_taken() {
    for line in [
        "--upstreamHost=10.0.0.1 --upstreamPort=5000 --listenPort=2014",
        "--upstreamHost=10.0.0.1 --upstreamPort=5000 --listenPort=2014 --vv --logFile=log.txt",
        "--upstreamHost=10.0.0.1 --upstreamPort=5000 --listenPort=2014 --vv --logFile=log.txt --silent",
        "--upstreamHost=10.0.0.1 --upstreamPort=5000 --listenHttpPort=8080 --vv --logFile=log.txt",
        "--upstreamHost=localhost --upstreamPort=5000 --listenPort=2014 --vv --echoServerPort=5000",
        "--testTargetHost=localhost --testTargetPort=2014 --testClients=10 --vv",
        "--vv --echoServerPort=5000",
    ] {
        loaded(line);
    }
}

#[test]
fn a_parameter_that_is_wrong_causes_no_second_problem() {
    for line in [
        "--upstreamHost=h --upstreamPort=x --listenPort=1",
        "--upstreamHost=h --upstreamPrt=5 --listenPort=1",
        "--upstreamHost=h --upstreamPort=5 --listenPort=x",
        "--testClients=x --testTargetHost=h --testTargetPort=1",
        "--upstreamHost=h --upstreamPort=5 --lisenPort=1",
        "--echoServerPort=0 --hostConfig=smartvisa",
        "--echoServerPort=0 --timezone=Nowhere",
    ] {
        let problems = load(&args(line)).unwrap_err();
        assert_eq!(problems.len(), 1, "{line}: {problems:?}");
    }
}

#[test]
fn no_command_line_panics_or_gives_a_card_number_back() {
    // splitmix64 (S. Vigna): the same lines in every run.
    let mut state = 0xc0_ffee_u64;
    let mut next = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    };
    let values = [
        "4850781234567891",
        "é",
        "",
        "=",
        "-1",
        "0",
        "65535",
        "1e9",
        "\u{0}",
        "true",
        "smartVista",
        "length:n:4",
        "11,41",
        "0,0,0",
        "0.1",
        "99999999999999999999999",
        "41:ans:8",
        "none",
        "nac",
        ",",
        ":",
        "+14:00",
        "..",
        "4850781234567891=19082012232800000037",
    ];
    for _ in 0..1_000 {
        let mut line = Vec::new();
        for _ in 0..next(6) {
            let name = table::PARAMS[next(table::PARAMS.len())].name;
            let value = values[next(values.len())];
            line.push(match next(8) {
                0 => format!("--{name}"),
                1 => format!("-{value}"),
                2 => value.to_owned(),
                3 => format!("--{value}"),
                _ => format!("--{name}={value}"),
            });
        }
        for problem in load(&line).err().into_iter().flatten() {
            let text = problem.to_string();
            assert!(!text.contains("4850781234567891") && !text.contains('\u{0}'), "{line:?}: {text}");
        }
    }
}

#[test]
fn each_listener_has_its_own_networks_or_those_of_all() {
    let config = loaded(&format!(
        "{GATEWAY} --allowedIp=10.0.0.0/8 --httpAllowedIp=192.0.2.0/24,192.0.3.1 --apiDocs=false --echoServerPort=0 \
         --idempotencyTtl=1h --idempotencyMax=7 --apiKeys=shop:{}",
        "0f".repeat(32)
    ));
    let allowed = config.allowed;
    let bank = config.bank.unwrap().allowed;
    for (list, address, expected) in [
        (&allowed.clients, "10.1.2.3", true),
        (&allowed.clients, "192.0.2.1", false),
        (&allowed.http, "10.1.2.3", false),
        (&allowed.http, "192.0.2.1", true),
        (&allowed.http, "192.0.3.1", true),
        (&allowed.upstream, "10.1.2.3", true),
        (&allowed.stat, "192.0.2.1", false),
        (&allowed.admin, "127.0.0.1", false),
        (&bank, "10.1.2.3", true),
        (&bank, "127.0.0.1", false),
    ] {
        assert_eq!(list.allows(address.parse().unwrap()), expected, "{address}");
    }
    assert!(!config.api_docs && !config.api_keys.is_empty());
    let mux = config.upstream.unwrap().mux;
    assert_eq!((mux.idempotency_ttl, mux.records_max), (seconds(3600), 7));
    let open = loaded(GATEWAY);
    assert!(open.allowed.clients.is_open() && open.allowed.admin.is_open() && open.api_keys.is_empty());
    assert!(open.api_docs);
}

#[test]
fn the_journal_is_on_for_every_gateway_and_is_what_its_parameters_say() {
    let file = |line: &str| loaded(line).journal.map(|options| options.file.display().to_string());
    for (line, expected) in [
        (GATEWAY, Some("socketqueue-2014.journal")),
        ("--upstreamHost=h --upstreamPort=5 --listenHttpPort=8080", Some("socketqueue-8080.journal")),
        ("--upstreamListenPort=0 --listenPort=9 --listenHttpPort=8080", Some("socketqueue-9.journal")),
        ("--echoServerPort=0", None),
        ("--upstreamHost=h --upstreamPort=5 --listenPort=9 --journalFile=none", None),
        ("--upstreamHost=h --upstreamPort=5 --listenPort=9 --journalFile=x.db", Some("x.db")),
    ] {
        assert_eq!(file(line).as_deref(), expected, "{line}");
    }
    let line = "--durability=process --journalKeyFile=x.key --keepRecords=48h --idempotencyTtl=2h --lateWindow=3m \
        --onRestart=list --reversalMaxAge=4h";
    let config = loaded(&format!("{GATEWAY} {line}"));
    let (options, mux) = (config.journal.unwrap(), config.upstream.unwrap().mux);
    assert_eq!(options.durability, crate::journal::Durability::Process);
    assert_eq!(options.key_file, Some("x.key".into()));
    assert_eq!((options.keep_records, options.idempotency_ttl), (seconds(48 * 3600), seconds(7200)));
    assert_eq!((options.late_window, options.reversal_max_age), (seconds(180), seconds(4 * 3600)));
    assert_eq!((mux.journaled, mux.reversal_max_age), (true, seconds(4 * 3600)));
}

#[test]
fn the_operators_socket_lies_beside_the_journal_unless_it_is_named() {
    let socket = |line: &str| {
        loaded(line).admin.socket.map(|socket| (socket.path.display().to_string(), socket.is_default))
    };
    for (more, expected) in [
        ("", Some(("socketqueue-2014.journal.admin", true))),
        ("--journalFile=x.db", Some(("x.db.admin", true))),
        ("--adminSocket=a.sock", Some(("a.sock", false))),
        ("--adminSocket=a.sock --journalFile=none", Some(("a.sock", false))),
        ("--adminSocket=none", None),
        ("--journalFile=none", None),
    ] {
        let expected = expected.map(|(path, is_default)| (path.to_owned(), is_default));
        assert_eq!(socket(&format!("{GATEWAY} {more}")), expected, "{more}");
    }
    assert_eq!(socket("--echoServerPort=0"), None, "a bank alone has no journal");
}

#[test]
fn a_socket_whose_path_is_too_long_is_refused_and_as_a_default_left_out_and_told() {
    let long = |bytes: usize| format!("--adminSocket={}", "s".repeat(bytes));
    let most = crate::admin::socket::PATH_LEN_MAX;
    assert!(load(&args(&format!("{GATEWAY} {}", long(most)))).is_ok());
    let problems = load(&args(&format!("{GATEWAY} {}", long(most + 1)))).unwrap_err();
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.to_string().contains("--adminSocket: is too long"), "{problem}");
    let config = loaded(&format!("{GATEWAY} --journalFile={}", "j".repeat(most)));
    assert_eq!(config.admin.socket, None);
    let [notice] = &config.notices[..] else { panic!("{:?}", config.notices) };
    assert!(notice.contains("adminSocket has no default here"), "{notice}");
}

#[test]
fn without_a_journal_what_needs_one_is_refused_and_what_is_idle_is_told() {
    let none = format!("{GATEWAY} --journalFile=none");
    let config = loaded(&none);
    assert!(!config.upstream.unwrap().mux.journaled);
    let [notice] = &config.notices[..] else { panic!("{:?}", config.notices) };
    assert!(notice.contains("forgotten when the process ends"), "{notice}");
    let config = loaded(&format!("{none} --durability=process --onRestart=list --keepRecords=1h"));
    let idle: Vec<&str> = config
        .notices
        .iter()
        .filter_map(|notice| notice.strip_suffix(" has no effect with journalFile=none"))
        .collect();
    assert_eq!(idle, ["durability", "keepRecords", "onRestart"]);
    let problems = load(&args(&format!("{none} --adviceResponse=atOnce"))).unwrap_err();
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.to_string().contains("adviceResponse: needs a journal"), "{problem}");
    assert!(load(&args(&format!("{none} --adviceResponse=host"))).is_ok());
}
