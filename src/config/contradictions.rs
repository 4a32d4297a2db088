//! What does not go together, though each value alone would do.

use std::path::Path;
use std::time::Duration;

use super::given::Values;
use super::problem::Problem;
use crate::admin::socket::PATH_LEN_MAX;

/// What is to be said when nothing is to be done: as short as the original's.
pub const NOTHING_TO_DO: &str = "nothing to do: give upstreamHost and upstreamPort (or upstreamListenPort) with listenPort, or echoServerPort, or testClients";

/// The `journalFile` that is none.
pub const NO_JOURNAL: &str = "none";
/// The `adminSocket` that is none.
pub const NO_SOCKET: &str = "none";

/// Looks at all that was given together and adds what contradicts, or lacks its other half.
pub fn find(values: &Values, problems: &mut Vec<Problem>) {
    if ![
        "upstreamHost",
        "upstreamPort",
        "upstreamListenPort",
        "listenPort",
        "listenHttpPort",
        "echoServerPort",
        "testClients",
    ]
    .iter()
    .any(|name| values.has(name))
    {
        // Half a start: a target without clients, a log without a gateway. Other problems may be the cause.
        if problems.is_empty() {
            problems.push(Problem::usage("socketqueue", NOTHING_TO_DO));
        }
        return;
    }
    halves(values, problems);
    gateway(values, problems);
    headers(values, problems);
    advices(values, problems);
    times(values, problems);
    sockets(values, problems);
    files(values, problems);
}

/// Parameters that need another one.
fn halves(values: &Values, problems: &mut Vec<Problem>) {
    for (name, needs) in [
        ("upstreamHost", "upstreamPort"),
        ("upstreamPort", "upstreamHost"),
        ("testClients", "testTargetHost"),
        ("testClients", "testTargetPort"),
        ("logstashHost", "logstashPort"),
        ("logstashPort", "logstashHost"),
    ] {
        if values.has(name) && !values.has(needs) {
            problems.push(values.problem(name, format!("needs {needs} too")));
        }
    }
}

/// An upstream and somebody who sends to it.
fn gateway(values: &Values, problems: &mut Vec<Problem>) {
    if values.has("upstreamHost") && values.has("upstreamListenPort") {
        let text = "either we connect to the host (upstreamHost) or it connects to us (upstreamListenPort)";
        problems.push(values.problem("upstreamListenPort", text));
    }
    let upstream =
        ["upstreamHost", "upstreamPort", "upstreamListenPort"].into_iter().find(|name| values.has(name));
    let listener = ["listenPort", "listenHttpPort"].into_iter().find(|name| values.has(name));
    match (upstream, listener) {
        (Some(upstream), None) => {
            problems.push(values.problem(upstream, "has no clients: give listenPort or listenHttpPort too"))
        }
        (None, Some(listener)) => {
            let text = "has no host to send to: give upstreamHost and upstreamPort, or upstreamListenPort";
            problems.push(values.problem(listener, text));
        }
        _ => {}
    }
}

/// SocketQueue's three header parameters against the one framing.
fn headers(values: &Values, problems: &mut Vec<Problem>) {
    if values.has("upstreamFraming") {
        for name in ["headerFormat", "lengthIncludeHeader", "useHeader"] {
            if values.differs(name) {
                problems.push(values.problem(name, "says the same as upstreamFraming; give one of them"));
            }
        }
    }
}

/// What the gateway says it has taken must outlive it.
fn advices(values: &Values, problems: &mut Vec<Problem>) {
    let at_once = values.choice("adviceResponse") == Some("atOnce");
    if at_once && values.text("journalFile").as_deref() == Some(NO_JOURNAL) {
        let text = "needs a journal: an advice that the gateway has answered must not be forgotten; give a journalFile, or adviceResponse=host";
        problems.push(values.problem("adviceResponse", text));
    }
}

/// Times that leave no room for one another.
fn times(values: &Values, problems: &mut Vec<Problem>) {
    let (Some(queue), Some(least)) = (values.time("queueTimeout"), values.time("minResponseTime")) else {
        return;
    };
    if least >= queue {
        let text = format!("leaves no request a chance: it must be shorter than queueTimeout ({queue:?})");
        problems.push(values.problem("minResponseTime", text));
    }
}

/// Two sockets on one address.
fn sockets(values: &Values, problems: &mut Vec<Problem>) {
    let listen_host = values.text("listenHost");
    let upstream_host = values.text("upstreamListenHost").or_else(|| listen_host.clone());
    let sockets = [
        ("listenPort", listen_host.clone()),
        ("upstreamListenPort", upstream_host),
        ("echoServerPort", values.text("bankHost")),
        ("listenHttpPort", values.text("listenHttpHost")),
        ("statServerPort", values.text("statServerHost").or_else(|| listen_host.clone())),
        ("adminPort", values.text("adminHost")),
    ];
    for (at, (name, host)) in sockets.iter().enumerate() {
        let Some(port) = values.port(name).filter(|port| *port != 0) else { continue };
        let clash = sockets[..at].iter().find(|(other, other_host)| {
            values.port(other) == Some(port) && share_address(host.as_deref(), other_host.as_deref())
        });
        if let Some((other, _)) = clash {
            problems.push(values.problem(name, format!("is the port of {other} too")));
        }
    }
}

/// Whether two listeners would meet; `None` listens everywhere.
fn share_address(one: Option<&str>, other: Option<&str>) -> bool {
    let everywhere = |host: Option<&str>| matches!(host, None | Some("0.0.0.0" | "::" | "[::]" | ""));
    let name = |host: Option<&str>| match host {
        Some("localhost") => Some("127.0.0.1".to_owned()),
        other => other.map(str::to_lowercase),
    };
    everywhere(one) || everywhere(other) || name(one) == name(other)
}

/// Files whose directory is missing: told by `check` too, not only when they are opened.
fn files(values: &Values, problems: &mut Vec<Problem>) {
    for name in ["logFile", "pidFile", "statDumpFile", "adminSocket", "journalFile", "journalKeyFile"] {
        let none = match name {
            "journalFile" => Some(NO_JOURNAL),
            "adminSocket" => Some(NO_SOCKET),
            _ => None,
        };
        let Some(path) = values.text(name).filter(|path| Some(path.as_str()) != none) else { continue };
        if name == "adminSocket" && path.len() > PATH_LEN_MAX {
            problems.push(
                values.problem(name, format!("is too long: a Unix socket has at most {PATH_LEN_MAX} bytes")),
            );
            continue;
        }
        let path = Path::new(&path);
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
            problems.push(values.problem(name, format!("there is no directory {}", directory.display())));
        } else if path.is_dir() {
            problems.push(values.problem(name, "is a directory"));
        }
    }
}

/// A fifth of `queueTimeout`: what a request must have left to be worth sending.
pub fn least_response_time(queue_timeout: Duration) -> Duration {
    queue_timeout / 5
}
