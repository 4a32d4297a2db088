//! What the system lets a process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, info, warn};

/// Raises the number of files that may be open to what the system allows at most: each client is one.
pub(super) fn raise_open_files(log: &Logger) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => info!(log, "limit of open files raised"; "from" => current, "to" => maximum),
        // macOS allows no more than OPEN_MAX whatever the hard limit says.
        Err(error) => warn!(log, "limit of open files not raised"; "at" => current, "reason" => %error),
    }
}
