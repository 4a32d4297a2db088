//! The journal at start: opened, and what it has open handed to the core.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slog::{Logger, error, info, warn};

use crate::config::Config;
use crate::dialect::{Dialect, RequestClass};
use crate::journal::sqlite::{Sqlite, Surroundings};
use crate::journal::{Holder, JournalError, LatelyRow, OpenRow, Options, RememberedRow, UpstreamIdentity};
use crate::mux::{self, Lately, Recovered, Remembered, TxId, Withheld};
use crate::net::TimeSource;
use crate::rules::{self, Restored};
use crate::time::Now;
use crate::upstream::{Endpoint, Settings};

/// A journal that was opened, and what it had.
pub(super) struct Opened {
    pub(super) journal: Sqlite,
    pub(super) found: Found,
}

/// What a journal had.
#[derive(Default)]
pub(super) struct Found {
    /// Open rows, oldest first.
    pub(super) open: Vec<Recovered>,
    /// What those who ask may ask for, and then what the host may still say something of; each oldest end first.
    pub(super) remembered: Vec<Remembered>,
    /// What is left of their answers.
    pub(super) answers: Vec<(TxId, Bytes, RequestClass)>,
}

/// Opens the journal of `upstream`, and logs where it lies and how much is open in it.
///
/// # Errors
/// [`JournalError`]: the start is refused.
pub(super) fn open(
    options: &Options,
    upstream: &Settings,
    config: &Config,
    clock: &TimeSource,
    log: &Logger,
) -> Result<Opened, JournalError> {
    let identity = identity(upstream, &config.dialect);
    let dialect = config.dialect.clone();
    let image = Box::new(move |request: &rules::Request| rules::image(request, &dialect));
    let mut surroundings = Surroundings::new(clock.clone(), image, log.clone());
    let (dialect, keys) = (config.dialect.clone(), upstream.mux.key_fields.clone());
    surroundings.readable = Box::new(move |row| Restored::read(&dialect, &keys, row.image.clone()).is_some());
    let (mut journal, rows) = Sqlite::open(options, &identity, surroundings)?;
    let socket = config.admin.socket.as_ref().and_then(|socket| std::path::absolute(&socket.path).ok());
    let holder = Holder { pid: Some(std::process::id()), admin_socket: socket };
    if let Err(error) = holder.sign(journal.path()) {
        warn!(log, "the lock file does not say who has the journal"; "reason" => %error);
    }
    info!(log, "journal open"; "path" => %journal.path().display(), "open_rows" => rows.len());
    let now = clock();
    let restart = Restart { identity, dialect: &config.dialect, settings: &upstream.mux, now, log };
    let (mut open, mut remembered) = (Vec::new(), Vec::new());
    let ended = journal.take_remembered();
    let answers = ended.iter().filter_map(|row| restart.answer(row)).collect();
    remembered.extend(ended.iter().map(|row| restart.remembered(row)));
    for row in rows {
        let asked_for = set_aside(&row);
        match restart.recovered(row) {
            Some(recovered) => open.push(recovered),
            None => remembered.extend(asked_for),
        }
    }
    let lately = journal.take_lately();
    remembered.extend(lately.into_iter().filter_map(|row| restart.lately(row)));
    Ok(Opened { journal, found: Found { open, remembered, answers } })
}

/// What those who ask are told of an open row that cannot be read: it waits for a person. Its key is not forgotten, or it
/// would be sent a second time.
fn set_aside(row: &OpenRow) -> Option<Remembered> {
    row.record.map(|record| Remembered {
        was: TxId::from_bits(row.was),
        record: Some(record),
        state: mux::State::Listed,
        attempts: row.attempts,
        ended_ago: Duration::ZERO,
        lately: None,
    })
}

/// Which host rows belong to.
fn identity(upstream: &Settings, dialect: &Dialect) -> UpstreamIdentity {
    let address = match &upstream.endpoint {
        Endpoint::Connect { host, port } => format!("{host}:{port}"),
        Endpoint::Listen { host, port } => format!("listen {host}:{port}"),
    };
    UpstreamIdentity { name: upstream.name.clone(), address, dialect: dialect.name.clone() }
}

/// What rows are read with.
struct Restart<'a> {
    identity: UpstreamIdentity,
    dialect: &'a Dialect,
    settings: &'a mux::Settings,
    now: Now,
    log: &'a Logger,
}

impl Restart<'_> {
    /// `None`: nothing can be sent for it with this configuration. It stays open in the journal, listed.
    fn recovered(&self, row: OpenRow) -> Option<Recovered> {
        let is_ours = row.is_for(&self.identity);
        let Some(request) = Restored::read(self.dialect, &self.settings.key_fields, row.image) else {
            error!(self.log, "an open row of the journal is no message of this dialect: listed, a person must act";
                "row" => row.row, "mti" => row.mti, "dialect" => row.upstream.dialect,
                "upstream_address" => row.upstream.address);
            return None;
        };
        let withheld = if !is_ours {
            Some(Withheld::OtherUpstream)
        } else {
            (row.received_wall_ms > self.now.wall_ms).then_some(Withheld::FromTheFuture)
        };
        Some(Recovered {
            row: row.row,
            was: TxId::from_bits(row.was),
            request: Arc::new(request),
            attempts: row.attempts,
            rrn: row.rrn,
            stage: row.stage,
            age: self.since(row.received_wall_ms),
            // It left after its intent was handed over, at its deadline at the latest.
            left_ago: row
                .left_wall_ms
                .map(|left| self.since(left).saturating_sub(self.settings.queue_timeout)),
            record: row.record,
            withheld,
            superseded: row.superseded,
        })
    }

    fn remembered(&self, row: &RememberedRow) -> Remembered {
        Remembered {
            was: TxId::from_bits(row.was),
            record: Some(row.record),
            lately: None,
            state: row.outcome.into(),
            attempts: row.attempts,
            ended_ago: self.since(row.ended_wall_ms),
        }
    }

    /// What ended so lately that an answer to it may still come. `None`: nothing could be sent for it any more, or it was
    /// for another host.
    fn lately(&self, row: LatelyRow) -> Option<Remembered> {
        if row.upstream != self.identity {
            return None;
        }
        let request =
            row.image.and_then(|image| Restored::read(self.dialect, &self.settings.key_fields, image));
        let Some(request) = request else {
            warn!(self.log, "an answer that still comes to an ended transaction will not be known: its message cannot be read";
                "row" => row.row);
            return None;
        };
        let class = row.response_code.map(|code| self.dialect.codes.of_request(Some(code.as_bytes())));
        Some(Remembered {
            was: TxId::from_bits(row.was),
            record: None,
            state: row.outcome.into(),
            attempts: row.attempts,
            ended_ago: self.since(row.ended_wall_ms),
            lately: Some(Box::new(Lately { row: row.row, request, class, rrn: row.rrn })),
        })
    }

    /// What its record has of the host's answer, as far as this dialect can say it.
    fn answer(&self, row: &RememberedRow) -> Option<(TxId, Bytes, RequestClass)> {
        let is_ours = row.dialect == self.dialect.name;
        let (answer, class) = row.answer.restore(self.dialect).filter(|_| is_ours)?;
        Some((TxId::from_bits(row.was), answer, class))
    }

    /// Zero for what lies in the future.
    fn since(&self, wall_ms: i64) -> Duration {
        Duration::from_millis(self.now.wall_ms.saturating_sub(wall_ms).max(0).unsigned_abs())
    }
}
