//! What a parameter is: the shape of one row of the [table](super::table).

use std::time::Duration;

/// One parameter: a flag `--name`, its kebab-case alias, and a key of the configuration file.
#[derive(Debug)]
pub struct Param {
    /// Its name, as flag and as key of the file.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What holds when it is not given.
    pub fallback: Fallback,
    /// Where `--help` and the reference list it.
    pub group: Group,
    /// Since when it is there.
    pub since: Since,
    /// Whether it does something.
    pub status: Status,
    /// What it does, in one line.
    pub help: &'static str,
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or text, looked at by whoever uses it; the word names it in `--help`.
    Text(&'static str),
    /// A path of a file.
    Path,
    /// A port to connect to, 1–65535.
    Port,
    /// A port to listen on, 0–65535; 0 takes any free one.
    ListenPort,
    /// `true` or `false`; as a flag without a value: `true`.
    Switch,
    /// A whole number between two bounds, both included.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A length of time between two bounds, both included: seconds, or a number with `ms`, `s`, `m` or `h`.
    Time {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A length of time as above, where 0 switches the limit off.
    Limit {
        /// The longest.
        max: Duration,
    },
    /// Lengths of time, comma-separated (in the file also as an array).
    Times {
        /// How many at most.
        count_max: usize,
    },
    /// Field numbers 2–128, comma-separated (in the file also as an array).
    Fields {
        /// How many at most.
        count_max: usize,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Networks (CIDR) or addresses, comma-separated (in the file also as an array).
    Networks {
        /// How many at most.
        count_max: usize,
    },
    /// API keys by their hashes: `ID:SHA256`, comma-separated; in the file an array of objects.
    ApiKeys {
        /// How many at most.
        count_max: usize,
    },
}

/// What holds when a parameter is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, written as it would be on the command line.
    Value(&'static str),
    /// A value made from others; in words, for `--help`.
    Derived(&'static str),
    /// Nothing: what it is for is then not done.
    Nothing,
}

/// Headings of `--help` and of the reference, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The host's way of writing ISO 8583.
    Dialect,
    /// The link to the host.
    Upstream,
    /// Who sends requests.
    Clients,
    /// Who may.
    Access,
    /// Waiting, matching, deadlines.
    Queue,
    /// Making good what is in doubt.
    Reversals,
    /// What outlives the process.
    Journal,
    /// The bank emulator and the test clients.
    Testing,
    /// Logs and what they hold back.
    Logs,
    /// The process itself.
    Process,
}

/// Since when a parameter is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// SocketQueue had it, under this name.
    SocketQueue,
    /// New, from this release on.
    Release(&'static str),
}

/// Whether a parameter does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does what its help says.
    Active,
    /// Accepted without any effect, with a notice that says what to use instead.
    Deprecated(&'static str),
    /// Accepted and checked, but what it starts is not served by this version; a notice says so.
    Reserved,
    /// Belongs on the command line; refused in the file.
    CommandLine,
}

impl Param {
    /// The alias of the flag: `upstreamHost` → `upstream-host`. Equal to the name when that has no capitals.
    pub fn kebab(&self) -> String {
        let mut kebab = String::with_capacity(self.name.len() + 4);
        for letter in self.name.chars() {
            if letter.is_ascii_uppercase() {
                kebab.push('-');
            }
            kebab.push(letter.to_ascii_lowercase());
        }
        kebab
    }

    /// The default, as `--help` and the reference show it.
    pub fn fallback_text(&self) -> Option<&'static str> {
        match self.fallback {
            Fallback::Value(text) | Fallback::Derived(text) => Some(text),
            Fallback::Nothing => None,
        }
    }

    /// Whether the flag may stand without a value.
    pub fn is_switch(&self) -> bool {
        self.kind == Kind::Switch
    }
}

impl Kind {
    /// What stands for a value in `--help`.
    pub fn placeholder(&self) -> &'static str {
        match self {
            Kind::Text(word) => word,
            Kind::Path => "FILE",
            Kind::Port | Kind::ListenPort => "PORT",
            Kind::Switch => "true|false",
            Kind::Count { .. } => "N",
            Kind::Time { .. } | Kind::Limit { .. } => "TIME",
            Kind::Times { .. } => "TIME,…",
            Kind::Fields { .. } => "DE,…",
            Kind::Choice(_) => "WORD",
            Kind::Networks { .. } => "NET,…",
            Kind::ApiKeys { .. } => "ID:SHA256,…",
        }
    }

    /// The type, its unit and its bounds, for people.
    pub fn describe(&self) -> String {
        match self {
            Kind::Text(_) => "text".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Port => "port, 1–65535".to_owned(),
            Kind::ListenPort => "port, 0–65535 (0: any free one)".to_owned(),
            Kind::Switch => "true or false".to_owned(),
            Kind::Count { min, max } => format!("number, {min}–{max}"),
            Kind::Time { min, max } => format!("time, {}–{}", show_time(*min), show_time(*max)),
            Kind::Limit { max } => format!("time, 0 (no limit) or up to {}", show_time(*max)),
            Kind::Times { count_max } => format!("list of times, 1–{count_max}"),
            Kind::Fields { count_max } => format!("list of field numbers, 1–{count_max}"),
            Kind::Choice(words) => words.join(" or "),
            Kind::Networks { count_max } => format!("list of networks, 1–{count_max}"),
            Kind::ApiKeys { count_max } => format!("list of API keys, 1–{count_max}"),
        }
    }
}

impl Group {
    /// All groups, in the order in which they are shown.
    pub const ALL: [Group; 10] = [
        Group::Dialect,
        Group::Upstream,
        Group::Clients,
        Group::Access,
        Group::Queue,
        Group::Reversals,
        Group::Journal,
        Group::Testing,
        Group::Logs,
        Group::Process,
    ];

    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Dialect => "Dialect",
            Group::Upstream => "Upstream (the host)",
            Group::Clients => "Clients",
            Group::Access => "Access",
            Group::Queue => "Queue",
            Group::Reversals => "Reversals",
            Group::Journal => "Journal",
            Group::Testing => "Bank emulator and test clients",
            Group::Logs => "Logs",
            Group::Process => "Process",
        }
    }
}

impl Since {
    /// The text of the reference.
    pub fn text(self) -> &'static str {
        match self {
            Since::SocketQueue => "SocketQueue",
            Since::Release(version) => version,
        }
    }
}

/// A length of time as a person would write it: `500ms`, `35s`, `10m`, `24h`.
pub(super) fn show_time(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if !ms.is_multiple_of(1000) => format!("{ms}ms"),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ => format!("{}s", ms / 1000),
    }
}
