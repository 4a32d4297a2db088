//! socketqueue: an ISO 8583 gateway. See `ARCHITECTURE.md` for the map.
//!
//! Pure rooms (bytes and values in, values out; no tokio, no slog, no clock, no lock, no randomness):
//! [`time`], [`iso8583`], [`dialect`], [`rules`], [`framing`], [`mux`].

pub mod dialect;
pub mod framing;
pub mod iso8583;
pub mod mux;
pub mod rules;
pub mod time;
