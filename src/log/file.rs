//! The log file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::LogError;

/// A file that lines are appended to, one write each, and that can be opened anew under the same name.
pub(super) struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> Result<LogFile, LogError> {
        let file = append_to(path).map_err(|source| LogError::File { path: path.to_owned(), source })?;
        Ok(LogFile { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Opens the file of that name, creating it if need be. The old one is kept when that fails.
    pub(super) fn reopen(&self) -> Result<(), LogError> {
        let fresh =
            append_to(&self.path).map_err(|source| LogError::File { path: self.path.clone(), source })?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Whether the line could be written.
    pub(super) fn write(&self, line: &[u8]) -> bool {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line).is_ok()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
