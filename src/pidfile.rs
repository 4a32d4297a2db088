//! `pidFile`: the process id in a file, and a lock on it against a second instance.
//!
//! The lock decides, not the number: in a container every process 1 is alive, and it is always us.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A pid file that is held. Dropping it removes the file and lets go of the lock; a killed process loses the lock too,
/// and the file that it leaves behind is taken over by the next start.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// Why a pid file could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PidFileError {
    /// Another process holds it.
    #[error("pidFile {} is held by another instance{}", path.display(), pid_text(*pid))]
    Held {
        /// The file.
        path: PathBuf,
        /// The process id in it, if it has one.
        pid: Option<u32>,
    },
    /// It cannot be opened, locked or written.
    #[error("pidFile {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Times to start over when the file is removed by its last holder between our opening and locking it.
const ATTEMPTS: u32 = 10;
/// More than this of a file is no process id.
const PID_LEN_MAX: u64 = 32;

impl PidFile {
    /// Creates (or takes over) the file, locks it and writes our process id.
    ///
    /// # Errors
    /// [`PidFileError::Held`] when another instance runs with it; [`PidFileError::Io`].
    pub fn hold(path: &Path) -> Result<PidFile, PidFileError> {
        let io_error = |source| PidFileError::Io { path: path.to_owned(), source };
        for _ in 0..ATTEMPTS {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(io_error)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(PidFileError::Held { path: path.to_owned(), pid: read_pid(&file) });
                }
                Err(TryLockError::Error(error)) => return Err(io_error(error)),
            }
            // The last holder removes the file before it lets go: what we have locked may have no name any more.
            if !is_still(&file, path) {
                continue;
            }
            file.set_len(0).map_err(io_error)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(io_error)?;
            return Ok(PidFile { path: path.to_owned(), file });
        }
        Err(io_error(io::Error::other("it keeps being removed and created by others")))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Only our own: somebody may have removed it by hand, and a second instance have made a new one.
        if is_still(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino(),
        _ => false,
    }
}

fn read_pid(file: &File) -> Option<u32> {
    use std::io::Read;
    let mut text = String::new();
    file.take(PID_LEN_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_refused_and_told_which_process_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.pid");
        let held = PidFile::hold(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let refused = PidFile::hold(&path).unwrap_err().to_string();
        assert!(refused.contains("gateway.pid"), "{refused}");
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(held);
        assert!(!path.exists());
        drop(PidFile::hold(&path).unwrap());
    }

    #[test]
    fn a_file_left_behind_by_a_killed_process_is_taken_over_whatever_number_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.pid");
        // Process 1 is alive wherever this runs.
        std::fs::write(&path, "1\n and much that is no process id").unwrap();
        let _held = PidFile::hold(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_file_that_is_no_longer_ours_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.pid");
        let first = PidFile::hold(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = PidFile::hold(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let refused = PidFile::hold(&directory.path().join("no/gateway.pid")).unwrap_err();
        assert!(matches!(refused, PidFileError::Io { .. }));
        assert!(refused.to_string().contains("no/gateway.pid"));
    }
}
