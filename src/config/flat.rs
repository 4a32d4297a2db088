//! SocketQueue's flat keys, and the flat ones added since, translated: one listener, one upstream, one bank.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::contradictions::{NO_JOURNAL, NO_SOCKET, least_response_time};
use super::given::Values;
use super::param::Status;
use super::problem::Problem;
use super::value::Value;
use super::{Allowed, Config};
use crate::access::{AllowList, ApiKeys};
use crate::admin::socket::PATH_LEN_MAX;
use crate::dialect::Dialect;
use crate::framing::{Framing, FramingSpecError};
use crate::iso8583::FieldNumber;
use crate::iso8583::mask::MaskStyle;
use crate::journal::OnRestart;
use crate::journal::options::Secret;
use crate::journal::place::beside;
use crate::journal::seal::KEY_VARIABLE;
use crate::listener::tcp::OnReject;
use crate::net::clock::Clock;
use crate::upstream::Endpoint;
use crate::{admin, bank, journal, listener, log, mux, rules, testclients, upstream};

/// The name of the one upstream of the flat form, in logs and metrics.
pub const UPSTREAM: &str = "upstream";
/// The name of the one TCP listener of the flat form, in `listening NAME ADDRESS` and logs.
pub const CLIENTS: &str = "clients";

/// The name of the one HTTP listener of the flat form.
pub const HTTP: &str = "http";

/// What stands behind the name of the journal in that of the operator's socket.
const DEFAULT_SOCKET: &str = ".admin";

/// First pause before dialling again after a failure; doubled until [`BACKOFF_MAX`]. SocketQueue waits 0, 3 or 10 s.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Longest pause before dialling again: SocketQueue's wait after a refusal.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A write to the host that makes no progress for so long ends the link.
const WRITE_STALL: Duration = Duration::from_secs(10);
/// What the drain time leaves the last answers beyond `queueTimeout`.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// What to say at start about parameters that are accepted but not as they read.
pub(super) fn notices(values: &Values) -> Vec<String> {
    let mut notices = Vec::new();
    for (param, _) in values
        .iter()
        .filter(|(param, given)| values.differs(param.name) && given.value != Value::Switch(false))
    {
        match param.status {
            Status::Deprecated(instead) => {
                notices.push(format!("{} has no effect, as in SocketQueue: use {instead}", param.name))
            }
            Status::Reserved => {
                notices.push(format!("{} is accepted, but not served by this version yet", param.name))
            }
            Status::Active | Status::CommandLine => {}
        }
    }
    if values.text("journalFile").as_deref() == Some(NO_JOURNAL) {
        notices.push(
            "journalFile is none: what is owed to the host is forgotten when the process ends".to_owned(),
        );
        let idle = ["durability", "journalKeyFile", "keepRecords", "onRestart", "reversalMaxAge"];
        let idle = idle.into_iter().filter(|name| values.differs(name));
        notices.extend(idle.map(|name| format!("{name} has no effect with journalFile=none")));
    }
    if let Some(path) = default_socket(values).filter(|path| !fits(path)) {
        notices.push(format!(
            "adminSocket has no default here, so that no orders for the journal are taken: {} is too long, a Unix socket \
             has at most {PATH_LEN_MAX} bytes; give adminSocket a shorter path, or none",
            path.display()
        ));
    }
    if !values.is_on("useHeader") && !values.has("upstreamFraming") {
        let idle = ["headerFormat", "lengthIncludeHeader"].into_iter().filter(|name| values.differs(name));
        notices.extend(idle.map(|name| format!("{name} has no effect with useHeader=false")));
    }
    notices
}

/// Builds the configuration; `None` when something that it needs is wrong, and told in `problems`.
pub(super) fn build(values: &Values, notices: Vec<String>, problems: &mut Vec<Problem>) -> Option<Config> {
    let zone_ok = timezone(values, problems);
    let client_framing = framing(values, "clientFraming", problems);
    let dialect = super::dialects::load(values, problems);
    let upstream_framing = dialect.as_deref().and_then(|dialect| upstream_framing(values, dialect, problems));
    let bank_framing = match values.text("bankFraming") {
        Some(_) => framing(values, "bankFraming", problems),
        None => upstream_framing.clone(),
    };
    let mux = dialect.as_deref().and_then(|dialect| mux_settings(values, dialect, problems));
    let (dialect, client_framing, upstream_framing, bank_framing, mux) =
        (dialect?, client_framing?, upstream_framing?, bank_framing?, mux?);
    zone_ok.then_some(())?;
    Some(Config {
        journal: journal_options(values),
        upstream: upstream_settings(values, upstream_framing, mux),
        tcp: listener_settings(values, &client_framing).into_iter().collect(),
        bank: bank_settings(values, bank_framing),
        test_clients: test_client_settings(values, client_framing),
        log: log_settings(values),
        pid_file: values.text("pidFile").map(PathBuf::from),
        drain_timeout: values.time("drainTimeout").unwrap_or(values.time("queueTimeout")? + DRAIN_MARGIN),
        timezone: values.text("timezone"),
        http: http_settings(values).into_iter().collect(),
        admin: admin_settings(values),
        allowed: Allowed {
            clients: allowed(values, "allowedIp"),
            http: allowed(values, "httpAllowedIp"),
            upstream: allowed(values, "upstreamAllowedIp"),
            stat: allowed(values, "statAllowedIp"),
            admin: allowed(values, "adminAllowedIp"),
        },
        api_keys: ApiKeys::new(values.api_keys("apiKeys")),
        api_docs: values.is_on("apiDocs"),
        dialect,
        notices,
    })
}

/// The networks of one listener: its own, else those of all.
fn allowed(values: &Values, name: &str) -> AllowList {
    AllowList::new(values.networks(name).or_else(|| values.networks("allowedIp")).unwrap_or_default())
}

fn timezone(values: &Values, problems: &mut Vec<Problem>) -> bool {
    match Clock::new(values.text("timezone").as_deref()) {
        Ok(_) => true,
        Err(error) => {
            problems.push(values.problem("timezone", error.to_string()));
            false
        }
    }
}

fn framing(values: &Values, name: &str, problems: &mut Vec<Problem>) -> Option<Framing> {
    told(values, name, Framing::parse(&values.text(name)?), problems)
}

fn told(
    values: &Values,
    name: &str,
    framing: Result<Framing, FramingSpecError>,
    problems: &mut Vec<Problem>,
) -> Option<Framing> {
    framing.map_err(|error| problems.push(values.problem(name, error.problem))).ok()
}

/// The upstream's framing, by the first that is given: `upstreamFraming`, `useHeader=false`, `headerFormat`, the dialect's.
fn upstream_framing(values: &Values, dialect: &Dialect, problems: &mut Vec<Problem>) -> Option<Framing> {
    if values.has("upstreamFraming") {
        return framing(values, "upstreamFraming", problems);
    }
    if !values.is_on("useHeader") {
        return Some(Framing::none());
    }
    let inclusive = values.is_on("lengthIncludeHeader");
    if let Some(format) = values.text("headerFormat") {
        return told(values, "headerFormat", Framing::from_header_format(&format, inclusive), problems);
    }
    if !inclusive {
        return told(values, "hostConfig", Framing::parse(&dialect.framing), problems);
    }
    let preset = match dialect.framing.as_str() {
        "ascii4" => "ascii4-inclusive",
        "bin2" => "bin2-inclusive",
        other => {
            let text =
                format!("cannot change the framing of this dialect ({other}); give upstreamFraming instead");
            problems.push(values.problem("lengthIncludeHeader", text));
            return None;
        }
    };
    told(values, "lengthIncludeHeader", Framing::parse(preset), problems)
}

fn mux_settings(values: &Values, dialect: &Dialect, problems: &mut Vec<Problem>) -> Option<mux::Settings> {
    let defaults = mux::Settings::default();
    let mut key_fields = Vec::new();
    for number in values.fields("queueMessageKeyFields")? {
        match FieldNumber::new(u16::from(number)).filter(|field| dialect.schema.field(*field).is_some()) {
            Some(field) => key_fields.push(field),
            None => {
                let text = format!("names field {number}, which the dialect {} does not have", dialect.name);
                problems.push(values.problem("queueMessageKeyFields", text));
            }
        }
    }
    let queue_timeout = values.time("queueTimeout")?;
    Some(mux::Settings {
        key_fields: rules::KeyFields(key_fields),
        echoed: dialect.echoed.clone(),
        reversal: dialect.reversal.clone(),
        queue_max: usize::try_from(values.count("maxQueue")?).ok()?,
        lock_terminal: values.is_on("queueLockTerminal"),
        queue_timeout,
        min_response_time: values.time("minResponseTime").unwrap_or(least_response_time(queue_timeout)),
        no_auto_reversal: values.is_on("noAutoReversal"),
        reverse_on_disconnect: values.choice("reversalOnDisconnect") == Some("immediate"),
        reversal_hold: values.time("reversalHold")?,
        reversal_schedule: values.times("reversalSchedule")?,
        reversal_timeout: values.time("reversalTimeout").or_else(|| values.time("queueShortTimeout"))?,
        not_found_settle: values.time("notFoundSettle")?,
        late_window: values.time("lateWindow")?,
        delivery_timeout: values.time("deliveryTimeout")?,
        records_max: usize::try_from(values.count("idempotencyMax")?).ok()?,
        idempotency_ttl: values.time("idempotencyTtl")?,
        journaled: is_journaled(values),
        on_restart: on_restart(values),
        on_undelivered: match values.choice("onUndelivered") {
            Some("list") => mux::OnUndelivered::List,
            _ => mux::OnUndelivered::Reverse,
        },
        reversal_max_age: values.time("reversalMaxAge")?,
        advice_reply: advice_reply(values, dialect, problems),
        ..defaults
    })
}

/// The gateway's own answer to advices, if it gives one.
fn advice_reply(
    values: &Values,
    dialect: &Dialect,
    problems: &mut Vec<Problem>,
) -> Option<Arc<rules::AdviceReply>> {
    if values.choice("adviceResponse") != Some("atOnce") {
        return None;
    }
    let reply = rules::AdviceReply::of(dialect);
    if reply.is_none() {
        let text = format!("the dialect {} names no code that means 'approved'", dialect.name);
        problems.push(values.problem("adviceResponse", text));
    }
    reply.map(Arc::new)
}

fn upstream_settings(values: &Values, framing: Framing, mux: mux::Settings) -> Option<upstream::Settings> {
    let endpoint = match (values.text("upstreamHost"), values.port("upstreamListenPort")) {
        (Some(host), _) => Endpoint::Connect { host, port: values.port("upstreamPort")? },
        (None, Some(port)) => {
            let host = values.text("upstreamListenHost").or_else(|| values.text("listenHost"))?;
            Endpoint::Listen { host, port }
        }
        (None, None) => return None,
    };
    Some(upstream::Settings {
        name: UPSTREAM.to_owned(),
        endpoint,
        framing,
        frame_len_max: frame_len_max(values),
        idle_timeout: values.limit("upstreamTimeout"),
        strict_replies: values.is_on("strictReplies"),
        backoff_first: BACKOFF_FIRST,
        backoff_max: BACKOFF_MAX,
        write_stall: WRITE_STALL,
        mux,
    })
}

fn is_journaled(values: &Values) -> bool {
    let upstream = values.has("upstreamHost") || values.has("upstreamListenPort");
    upstream && values.text("journalFile").as_deref() != Some(NO_JOURNAL)
}

fn on_restart(values: &Values) -> OnRestart {
    match values.choice("onRestart") {
        Some("list") => OnRestart::List,
        _ => OnRestart::Reverse,
    }
}

/// The journal beside the working directory's others: named by the port of its clients, for which no other process of this
/// machine can listen at the same time.
fn journal_options(values: &Values) -> Option<journal::Options> {
    if !is_journaled(values) {
        return None;
    }
    Some(journal::Options {
        durability: match values.choice("durability") {
            Some("process") => journal::Durability::Process,
            _ => journal::Durability::Power,
        },
        key_file: values.text("journalKeyFile").map(PathBuf::from),
        key_variable: std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(Secret::new),
        late_window: values.time("lateWindow")?,
        keep_records: values.time("keepRecords")?,
        idempotency_ttl: values.time("idempotencyTtl")?,
        on_restart: on_restart(values),
        reversal_max_age: values.time("reversalMaxAge")?,
        ..journal::Options::new(journal_file(values))
    })
}

fn journal_file(values: &Values) -> PathBuf {
    let port = values.port("listenPort").or_else(|| values.port("listenHttpPort"));
    let by_port = || format!("socketqueue-{}.journal", port.unwrap_or_default());
    PathBuf::from(values.text("journalFile").unwrap_or_else(by_port))
}

/// The operator's socket of a gateway whose configuration names none: beside its journal, whose lock keeps every other
/// process away from it.
fn default_socket(values: &Values) -> Option<PathBuf> {
    let is_wanted = is_journaled(values) && values.text("adminSocket").is_none();
    is_wanted.then(|| beside(&journal_file(values), DEFAULT_SOCKET))
}

/// Whether a socket can be reached there from anywhere: by its absolute path.
fn fits(path: &Path) -> bool {
    std::path::absolute(path).is_ok_and(|path| path.as_os_str().len() <= PATH_LEN_MAX)
}

fn operator_socket(values: &Values) -> Option<admin::OperatorSocket> {
    let named = values.text("adminSocket").filter(|path| path != NO_SOCKET).map(PathBuf::from);
    let is_default = named.is_none();
    let path = named.or_else(|| default_socket(values).filter(|path| fits(path)))?;
    Some(admin::OperatorSocket { path, is_default })
}

fn listener_settings(values: &Values, framing: &Framing) -> Option<listener::tcp::Settings> {
    Some(listener::tcp::Settings {
        name: CLIENTS.to_owned(),
        host: values.text("listenHost")?,
        port: values.port("listenPort")?,
        framing: framing.clone(),
        frame_len_max: frame_len_max(values),
        idle_timeout: values.limit("clientTimeout"),
        connections_max: usize::try_from(values.count("maxClients")?).ok()?,
        close_after_reply: values.is_on("closeAfterReply"),
        on_reject: match values.choice("onReject")? {
            "respond" => OnReject::Respond,
            _ => OnReject::Close,
        },
        delivery_timeout: values.time("deliveryTimeout")?,
    })
}

fn http_settings(values: &Values) -> Option<listener::http::Settings> {
    Some(listener::http::Settings {
        name: HTTP.to_owned(),
        host: values.text("listenHttpHost")?,
        port: values.port("listenHttpPort")?,
        idle_timeout: values.limit("clientTimeout"),
        request_timeout: values.time("httpTimeout")?,
        connections_max: usize::try_from(values.count("maxClients")?).ok()?,
        exact_values: values.is_on("exactValues"),
        delivery_timeout: values.time("deliveryTimeout")?,
    })
}

fn admin_settings(values: &Values) -> admin::Settings {
    let address = |host: Option<String>, port| Some(admin::Address { host: host?, port: values.port(port)? });
    let statistics_host = values.text("statServerHost").or_else(|| values.text("listenHost"));
    admin::Settings {
        statistics: address(statistics_host, "statServerPort"),
        dump_file: values.text("statDumpFile").map(PathBuf::from),
        admin: address(values.text("adminHost"), "adminPort"),
        socket: operator_socket(values),
    }
}

fn bank_settings(values: &Values, framing: Framing) -> Option<bank::Settings> {
    let port = values.port("echoServerPort")?;
    let faults =
        if values.is_on("testRealLife") { bank::Faults::real_life() } else { bank::Faults::default() };
    Some(bank::Settings {
        host: values.text("bankHost")?,
        port,
        framing,
        frame_len_max: frame_len_max(values),
        unlimited: false,
        magic: true,
        ledger: None,
        faults,
        allowed: allowed(values, "bankAllowedIp"),
        // The standard library's hasher keys are the operating system's random numbers.
        seed: RandomState::new().build_hasher().finish(),
    })
}

fn test_client_settings(values: &Values, framing: Framing) -> Option<testclients::Settings> {
    Some(testclients::Settings {
        count: u32::try_from(values.count("testClients")?).ok()?,
        host: values.text("testTargetHost")?,
        port: values.port("testTargetPort")?,
        real_life: values.is_on("testRealLife"),
        framing,
    })
}

fn log_settings(values: &Values) -> log::Settings {
    let level = match (values.is_on("vv"), values.is_on("v")) {
        (true, _) => log::Level::Verbose,
        (false, true) => log::Level::Info,
        (false, false) => log::Level::Warn,
    };
    let logstash = || {
        Some(log::Logstash {
            host: values.text("logstashHost")?,
            port: values.port("logstashPort")?,
            node: values.text("logstashNode")?,
        })
    };
    log::Settings {
        level,
        silent: values.is_on("silent"),
        file: values.text("logFile").map(PathBuf::from),
        logstash: logstash(),
        mask: MaskStyle {
            head: if values.choice("panDigits") == Some("8") { 8 } else { 6 },
            reveal: values.is_on("dangerous"),
        },
    }
}

fn frame_len_max(values: &Values) -> usize {
    // Within FRAME_LEN_CAP by the table.
    values
        .count("frameLimit")
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(crate::framing::FRAME_LEN_CAP)
}
