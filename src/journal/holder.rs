//! Who has a journal, as it says itself in the journal's lock file: for operators, who then know whom to ask.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::place::beside;

/// A lock file that is longer says nothing.
const LEN_MAX: u64 = 8192;

/// A process that has a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: Option<u32>,
    /// Its `adminSocket`, absolutely.
    pub admin_socket: Option<PathBuf>,
}

impl Holder {
    /// Writes it into the lock file of the journal at `path`, which this process holds.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sign(&self, path: &Path) -> io::Result<()> {
        let mut text = String::new();
        if let Some(pid) = self.pid {
            text.push_str(&format!("pid {pid}\n"));
        }
        if let Some(socket) = self.admin_socket.as_ref().and_then(|socket| socket.to_str()) {
            text.push_str(&format!("adminSocket {socket}\n"));
        }
        let mut file = OpenOptions::new().write(true).truncate(true).open(beside(path, ".lock"))?;
        file.write_all(text.as_bytes())
    }

    /// What the one who has the journal at `path`, or had it last, says of itself. What is not known stays open.
    pub fn read(path: &Path) -> Holder {
        let mut text = String::new();
        let read = fs::File::open(beside(path, ".lock"))
            .and_then(|file| file.take(LEN_MAX).read_to_string(&mut text));
        if read.is_err() {
            return Holder::default();
        }
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Holder {
            pid: value("pid").and_then(|pid| pid.parse().ok()),
            admin_socket: value("adminSocket").map(PathBuf::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::place::Place;

    #[test]
    fn who_has_a_journal_is_told_while_it_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.journal");
        assert_eq!(Holder::read(&path), Holder::default());
        let place = Place::take(&path).unwrap();
        let holder = Holder { pid: Some(7), admin_socket: Some(folder.path().join("a b.sock")) };
        holder.sign(&path).unwrap();
        assert_eq!(Holder::read(&path), holder);
        drop(place);
        // The next one does not speak with the words of the one before.
        let _place = Place::take(&path).unwrap();
        assert_eq!(Holder::read(&path), Holder::default());
    }
}
