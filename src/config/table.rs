//! The one table of parameters. Flags, keys of the file, `--help`, `--helpJson` and `docs/configuration.md` all come from it.

use std::time::Duration;

use super::param::{Fallback, Group, Kind, Param, Since, Status};
use crate::framing::FRAME_LEN_CAP;

/// The shortest time that can be configured where 0 makes no sense.
const TIME_MIN: Duration = Duration::from_millis(1);
/// The longest: longer ones are typing errors (milliseconds given as seconds), and sums of such times stay far from overflow.
const TIME_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Most transactions that can be asked to be held at once.
const QUEUE_CAP: u64 = 10_000_000;
/// Most connections that can be asked for.
const CLIENTS_CAP: u64 = 1_000_000;
/// Most test clients.
const TEST_CLIENTS_CAP: u64 = 10_000;
/// Most key fields.
const KEY_FIELDS_CAP: usize = 8;
/// Most transactions that can be asked to be remembered: an answer of each is kept.
const RECORDS_CAP: u64 = 10_000_000;
/// Most networks of one list.
const NETWORKS_CAP: usize = 256;
/// Most API keys: each is compared at each request.
const API_KEYS_CAP: usize = 256;
/// Most delays of a reversal schedule.
const SCHEDULE_CAP: usize = 64;
/// The smallest frame limit: nothing real is shorter than an echo with its obligatory fields.
const FRAME_LIMIT_MIN: u64 = 64;

/// The release that brought everything SocketQueue did not have.
const FIRST: Since = Since::Release("0.1.0");
const OLD: Since = Since::SocketQueue;

const TIME: Kind = Kind::Time { min: TIME_MIN, max: TIME_MAX };
const NETWORKS: Kind = Kind::Networks { count_max: NETWORKS_CAP };
/// Records for reconciliation may be kept for years.
const KEEP: Kind = Kind::Time { min: TIME_MIN, max: Duration::from_secs(10 * 366 * 24 * 3600) };
const LIMIT: Kind = Kind::Limit { max: TIME_MAX };

/// The row of an active parameter.
const fn row(
    group: Group,
    since: Since,
    name: &'static str,
    kind: Kind,
    fallback: Fallback,
    help: &'static str,
) -> Param {
    Param { name, kind, fallback, group, since, status: Status::Active, help }
}

/// The row of a parameter whose effect is not (or no longer) there.
const fn idle(row: Param, status: Status) -> Param {
    Param { status, ..row }
}

use Fallback::{Derived, Nothing, Value};
use Group::{Access, Clients, Dialect, Journal, Logs, Process, Queue, Reversals, Testing, Upstream};

/// Every parameter, grouped, in the order of `--help`.
#[rustfmt::skip]
pub static PARAMS: &[Param] = &[
    row(Dialect, OLD, "hostConfig", Kind::Text("NAME|FILE"), Value("smartVista"), "dialect of the host: smartVista, openWay, or a dialect document (`socketqueue dialect show`)"),
    row(Dialect, OLD, "overrides", Kind::Text("LIST"), Nothing, "changes fields of the dialect: field:type[:length],…"),
    idle(row(Dialect, OLD, "smartVista", Kind::Switch, Nothing, "no effect; use hostConfig"), Status::Deprecated("hostConfig=smartVista (which is the default)")),
    idle(row(Dialect, OLD, "openWay", Kind::Switch, Nothing, "no effect; use hostConfig"), Status::Deprecated("hostConfig=openWay")),

    row(Upstream, OLD, "upstreamHost", Kind::Text("HOST"), Nothing, "name or address of the host to connect to"),
    row(Upstream, OLD, "upstreamPort", Kind::Port, Nothing, "its port"),
    row(Upstream, OLD, "upstreamListenPort", Kind::ListenPort, Nothing, "instead of connecting: wait here for the host to connect"),
    row(Upstream, FIRST, "upstreamListenHost", Kind::Text("HOST"), Derived("listenHost"), "address on which upstreamListenPort listens"),
    row(Upstream, OLD, "upstreamTimeout", LIMIT, Nothing, "a link without a byte either way for so long is closed (not while an answer is awaited)"),
    row(Upstream, OLD, "useHeader", Kind::Switch, Value("true"), "false: nothing stands around the messages of the upstream"),
    row(Upstream, OLD, "headerFormat", Kind::Text("LIST"), Derived("by the dialect"), "header of the upstream as SocketQueue writes it: name:type:length[:default],…, e.g. length:n:4"),
    row(Upstream, OLD, "lengthIncludeHeader", Kind::Switch, Value("false"), "the length in the header counts the header too"),
    row(Upstream, FIRST, "upstreamFraming", Kind::Text("FRAMING"), Derived("by the dialect"), "framing of the upstream, in place of the three above: none, ascii4, ascii4-inclusive, bin2, bin2-inclusive, bin4, bcd2, hex4, nac, or composed"),
    row(Upstream, FIRST, "strictReplies", Kind::Switch, Value("false"), "refuse a reply that cannot be read to its end, instead of delivering it by its key fields"),
    row(Upstream, FIRST, "frameLimit", Kind::Count { min: FRAME_LIMIT_MIN, max: FRAME_LEN_CAP as u64 }, Value("9999"), "longest message in bytes, on every socket"),

    row(Clients, OLD, "listenPort", Kind::ListenPort, Nothing, "port for clients that speak ISO 8583 over TCP"),
    row(Clients, FIRST, "listenHost", Kind::Text("HOST"), Value("0.0.0.0"), "address on which listenPort listens"),
    row(Clients, FIRST, "clientFraming", Kind::Text("FRAMING"), Value("none"), "framing of the clients; none: the dialect tells where a message ends"),
    row(Clients, OLD, "clientTimeout", LIMIT, Nothing, "a client that is idle for so long is closed (not while a transaction of it is open)"),
    row(Clients, FIRST, "maxClients", Kind::Count { min: 1, max: CLIENTS_CAP }, Value("10000"), "connections at a time, of TCP and of HTTP clients each; more are closed at once"),
    row(Clients, FIRST, "closeAfterReply", Kind::Switch, Value("false"), "close a client's connection after its reply, as SocketQueue does"),
    row(Clients, FIRST, "onReject", Kind::Choice(&["close", "respond"]), Value("close"), "what a refused client gets: a closed connection, or a response with a code of the dialect"),
    row(Clients, OLD, "listenHttpPort", Kind::ListenPort, Nothing, "port for HTTP clients: fields as JSON on /, hex on /raw"),
    row(Clients, FIRST, "listenHttpHost", Kind::Text("HOST"), Value("0.0.0.0"), "address on which listenHttpPort listens"),
    row(Clients, FIRST, "httpTimeout", TIME, Value("30"), "from the first byte of an HTTP request to its last"),
    row(Clients, FIRST, "exactValues", Kind::Switch, Value("false"), "JSON answers have every value as a string with its leading zeros, and DE 55 taken apart; else as SocketQueue gives them"),

    row(Access, FIRST, "allowedIp", NETWORKS, Nothing, "networks from which connections are taken, on every port that has no list of its own; the others are closed unread"),
    row(Access, FIRST, "httpAllowedIp", NETWORKS, Derived("allowedIp"), "the same for listenHttpPort alone"),
    row(Access, FIRST, "upstreamAllowedIp", NETWORKS, Derived("allowedIp"), "the same for upstreamListenPort alone"),
    row(Access, FIRST, "statAllowedIp", NETWORKS, Derived("allowedIp"), "the same for statServerPort alone"),
    row(Access, FIRST, "adminAllowedIp", NETWORKS, Derived("allowedIp"), "the same for adminPort alone"),
    row(Access, FIRST, "bankAllowedIp", NETWORKS, Derived("allowedIp"), "the same for echoServerPort alone"),
    row(Access, FIRST, "apiKeys", Kind::ApiKeys { count_max: API_KEYS_CAP }, Nothing, "keys of HTTP clients, by their hashes (`socketqueue apikey` makes them); with any, every request needs one"),
    row(Access, FIRST, "apiDocs", Kind::Switch, Value("true"), "serve the description of the HTTP API at /openapi.json and /docs, to everybody whom httpAllowedIp lets in"),

    row(Queue, OLD, "maxQueue", Kind::Count { min: 1, max: QUEUE_CAP }, Value("100"), "transactions held at a time, waiting and in flight"),
    row(Queue, OLD, "queueLockTerminal", Kind::Switch, Value("true"), "one message in flight per terminal (TID)"),
    row(Queue, OLD, "queueTimeout", TIME, Value("35"), "from arrival to the answer, waiting included"),
    row(Queue, OLD, "queueShortTimeout", TIME, Value("5"), "the same for reversals: default of reversalTimeout"),
    row(Queue, FIRST, "minResponseTime", TIME, Derived("a fifth of queueTimeout"), "with less than this left, a request is refused instead of sent"),
    row(Queue, OLD, "queueMessageKeyFields", Kind::Fields { count_max: KEY_FIELDS_CAP }, Value("11,41"), "fields by which a response finds its request"),
    row(Queue, FIRST, "lateWindow", TIME, Value("10m"), "how long an ended transaction is remembered for late responses"),
    row(Queue, FIRST, "idempotencyTtl", TIME, Value("24h"), "how long an ended transaction of /v1 can be asked for, and its Idempotency-Key is remembered"),
    row(Queue, FIRST, "idempotencyMax", Kind::Count { min: 1, max: RECORDS_CAP }, Value("100000"), "transactions of /v1 so remembered; when it is reached new Idempotency-Keys are refused"),

    row(Reversals, OLD, "noAutoReversal", Kind::Switch, Value("false"), "never reverse; what is owed is logged at error"),
    row(Reversals, FIRST, "reversalOnDisconnect", Kind::Choice(&["wait", "immediate"]), Value("wait"), "a client that leaves while its sale is in flight: wait for the answer first, or reverse at once as SocketQueue does"),
    row(Reversals, FIRST, "reversalHold", TIME, Value("60"), "how long a terminal waits for its pending reversal"),
    row(Reversals, FIRST, "reversalSchedule", Kind::Times { count_max: SCHEDULE_CAP }, Value("0,2,10,10,10,10,10,10,300,300"), "delays before the second, third … sending of a reversal; then it is parked"),
    row(Reversals, FIRST, "reversalTimeout", TIME, Derived("queueShortTimeout"), "how long each sending of a reversal waits for its answer"),
    row(Reversals, FIRST, "notFoundSettle", LIMIT, Value("60"), "'original not found' is a retry until so long after the original left"),
    row(Reversals, FIRST, "deliveryTimeout", TIME, Value("10"), "how long after its write a reply may still turn out undelivered"),
    row(Reversals, FIRST, "onUndelivered", Kind::Choice(&["reverse", "list"]), Value("reverse"), "an approval whose connection fails within deliveryTimeout, its last bytes unacknowledged: reverse it, or list it for an operator"),
    row(Reversals, FIRST, "adviceResponse", Kind::Choice(&["host", "atOnce"]), Value("host"), "a client's advice (0120, 0220, 0420) is answered by the host, or by the gateway as soon as the journal has it"),

    row(Journal, FIRST, "journalFile", Kind::Path, Derived("socketqueue-PORT.journal"), "the journal: what is owed outlives the process in it; none switches it off. PORT is that of the clients"),
    row(Journal, FIRST, "durability", Kind::Choice(&["power", "process"]), Value("power"), "what the journal survives: loss of power too, or the end of the process only (kill -9)"),
    row(Journal, FIRST, "journalKeyFile", Kind::Path, Derived("journalFile with .key"), "file with the key of the journal, 64 hexadecimal digits; made together with a new journal. SOCKETQUEUE_JOURNAL_KEY in the environment wins"),
    row(Journal, FIRST, "keepRecords", KEEP, Value("840h"), "how long records (without card data) are kept for reconciliation: 35 days"),
    row(Journal, FIRST, "onRestart", Kind::Choice(&["reverse", "list"]), Value("reverse"), "an approval of which a start cannot know whether the client got it: reverse it, or list it for an operator"),
    row(Journal, FIRST, "reversalMaxAge", TIME, Value("24h"), "what is older at start is listed, not sent"),

    row(Testing, OLD, "echoServerPort", Kind::ListenPort, Nothing, "port of the bank emulator (Socket Bank)"),
    row(Testing, FIRST, "bankHost", Kind::Text("HOST"), Value("127.0.0.1"), "address on which it listens"),
    row(Testing, FIRST, "bankFraming", Kind::Text("FRAMING"), Derived("that of the upstream"), "framing of the bank emulator"),
    row(Testing, OLD, "testClients", Kind::Count { min: 1, max: TEST_CLIENTS_CAP }, Nothing, "number of test clients"),
    row(Testing, OLD, "testTargetHost", Kind::Text("HOST"), Nothing, "where they connect to"),
    row(Testing, OLD, "testTargetPort", Kind::Port, Nothing, "its port"),
    row(Testing, OLD, "testRealLife", Kind::Switch, Value("false"), "test clients leave early; the bank drops connections and repeats answers"),

    row(Logs, OLD, "v", Kind::Switch, Value("false"), "log at info"),
    row(Logs, OLD, "vv", Kind::Switch, Value("false"), "log everything, with a masked dump of every message"),
    row(Logs, OLD, "silent", Kind::Switch, Value("false"), "no log on the console"),
    row(Logs, OLD, "logFile", Kind::Path, Nothing, "log to this file too; HUP reopens it"),
    row(Logs, OLD, "logstashHost", Kind::Text("HOST"), Nothing, "log to this Logstash TCP input too, as JSON lines"),
    row(Logs, OLD, "logstashPort", Kind::Port, Nothing, "its port"),
    row(Logs, OLD, "logstashNode", Kind::Text("NAME"), Value("SocketQueue"), "what those lines call this process"),
    row(Logs, FIRST, "panDigits", Kind::Choice(&["6", "8"]), Value("6"), "leading digits of a card number shown in logs; the last four always are"),
    row(Logs, OLD, "dangerous", Kind::Switch, Value("false"), "mask nothing in logs: for test cards only"),

    row(Process, FIRST, "timezone", Kind::Text("ZONE"), Derived("the system's"), "zone of the terminals' local time: an IANA name, UTC, or an offset like +07:00"),
    row(Process, FIRST, "drainTimeout", TIME, Derived("queueTimeout + 5s"), "longest stop: what is still in flight then is logged as in doubt"),
    row(Process, OLD, "pidFile", Kind::Path, Nothing, "file for the process id, held by a lock against a second instance"),
    row(Process, OLD, "statServerPort", Kind::ListenPort, Nothing, "port of the statistics server: one line of JSON to whoever connects"),
    row(Process, FIRST, "statServerHost", Kind::Text("HOST"), Derived("listenHost"), "address on which statServerPort listens"),
    row(Process, OLD, "statDumpFile", Kind::Path, Nothing, "file in which the statistics outlive a restart"),
    row(Process, FIRST, "adminPort", Kind::ListenPort, Nothing, "port of the admin server, read-only: /metrics, /healthz, /readyz, /stats, /v1/state"),
    row(Process, FIRST, "adminHost", Kind::Text("HOST"), Value("127.0.0.1"), "address on which adminPort listens"),
    row(Process, FIRST, "adminSocket", Kind::Path, Derived("journalFile with .admin"), "Unix socket of the operator (mode 0600): the same, and what changes anything; none switches it off"),
    idle(row(Process, OLD, "c", Kind::Path, Nothing, "configuration file (also -c FILE): a JSON object with the keys of this list"), Status::CommandLine),
    idle(row(Process, OLD, "help", Kind::Switch, Value("false"), "this list"), Status::CommandLine),
    idle(row(Process, OLD, "helpJson", Kind::Switch, Value("false"), "a template of the configuration file, with all defaults"), Status::CommandLine),
    idle(row(Process, FIRST, "version", Kind::Switch, Value("false"), "the version"), Status::CommandLine),
];

/// The parameter of this name.
pub fn find(name: &str) -> Option<&'static Param> {
    PARAMS.iter().find(|param| param.name == name)
}

/// The parameter of this flag, by name or kebab-case alias.
pub fn find_flag(flag: &str) -> Option<&'static Param> {
    find(flag).or_else(|| PARAMS.iter().find(|param| param.kebab() == flag))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::value;

    #[test]
    fn names_and_aliases_are_unique() {
        let mut seen = BTreeSet::new();
        for param in PARAMS {
            assert!(seen.insert(param.name.to_owned()), "{}", param.name);
            let kebab = param.kebab();
            assert!(kebab == param.name || seen.insert(kebab), "{}", param.name);
        }
    }

    #[test]
    fn every_default_is_a_value_of_its_type() {
        for param in PARAMS {
            if let Fallback::Value(text) = param.fallback {
                assert!(value::from_text(param.kind, text).is_ok(), "{}", param.name);
            }
        }
    }

    #[test]
    fn the_table_is_in_the_order_of_its_groups() {
        assert!(PARAMS.is_sorted_by_key(|param| param.group));
        assert_eq!(PARAMS.iter().map(|param| param.group).collect::<BTreeSet<_>>().len(), Group::ALL.len());
    }

    /// Table a1 of the behaviour reference.
    #[test]
    fn every_parameter_of_socketqueue_is_there() {
        let names = "hostConfig smartVista openWay overrides upstreamHost upstreamPort upstreamListenPort listenPort \
            listenHttpPort upstreamTimeout clientTimeout maxQueue queueLockTerminal queueTimeout queueShortTimeout \
            queueMessageKeyFields noAutoReversal logFile silent v vv dangerous pidFile logstashHost logstashPort \
            logstashNode echoServerPort testClients testTargetHost testTargetPort testRealLife statServerPort \
            statDumpFile useHeader headerFormat lengthIncludeHeader c help helpJson";
        for name in names.split_whitespace() {
            assert!(find(name).is_some_and(|param| param.since == Since::SocketQueue), "{name}");
        }
        assert_eq!(
            PARAMS.iter().filter(|param| param.since == Since::SocketQueue).count(),
            names.split_whitespace().count()
        );
    }
}
