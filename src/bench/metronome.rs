//! The clock of the open loop: tells connections, in turn, when a request is due.
//!
//! A thread of its own, for the runtime's timers know milliseconds only. It sleeps to the next due time and tells all that
//! are due by then, each with the time at which it was due, not at which it was told.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::Run;

/// Starts it. It ends with the run, or when nobody listens any more; connections hear of that by their channel's end.
pub(super) fn start(
    run: Arc<Run>,
    connections: Vec<UnboundedSender<Instant>>,
    per_second: f64,
    start: Instant,
) -> io::Result<()> {
    thread::Builder::new().name("metronome".to_owned()).spawn(move || {
        let times = (0_u64..).map(|n| start + Duration::from_secs_f64(n as f64 / per_second));
        for (due, connection) in times.zip(connections.iter().cycle()) {
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                // This is the load's clock: the moment itself is the event.
                thread::sleep(wait);
            }
            let is_past_end = run.end.is_some_and(|end| due >= end);
            if is_past_end || !run.take_ticket() {
                return;
            }
            if connection.send(due).is_err() && connections.iter().all(UnboundedSender::is_closed) {
                return;
            }
        }
    })?;
    Ok(())
}
