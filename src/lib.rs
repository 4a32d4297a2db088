//! socketqueue: an ISO 8583 gateway. See `ARCHITECTURE.md` for the map.
//!
//! Pure rooms (bytes and values in, values out; no tokio, no slog, no clock, no lock, no randomness):
//! [`time`], [`iso8583`], [`dialect`], [`rules`], [`framing`], [`mux`].
//! Around them the shell: [`net`], [`access`], [`journal`], [`upstream`], [`listener`], [`admin`], [`bank`], [`bench`], [`testclients`], [`log`], [`output`], [`pidfile`], [`config`], [`cli`], [`server`].

pub mod access;
pub mod admin;
pub mod bank;
pub mod bench;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod framing;
pub mod iso8583;
pub mod journal;
pub mod listener;
pub mod log;
pub mod mux;
pub mod net;
pub mod output;
pub mod pidfile;
pub mod reconcile;
pub mod rules;
pub mod server;
pub mod testclients;
pub mod time;
pub mod upstream;
