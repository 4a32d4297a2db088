//! Who has a journal, as it says itself in the journal's lock file: for operators, who then know whom to ask.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::JournalError;
use super::place::{Place, beside};

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

    /// Who has the journal at `path`; `None`: nobody. What is not known of it stays open.
    ///
    /// # Errors
    /// [`JournalError`], where the lock cannot be asked for.
    pub fn of(path: &Path) -> Result<Option<Holder>, JournalError> {
        match Place::take(path) {
            Ok(_) => Ok(None),
            Err(JournalError::Locked { .. }) => Ok(Some(Holder::read(path).unwrap_or_default())),
            Err(error) => Err(error),
        }
    }

    fn read(path: &Path) -> io::Result<Holder> {
        let mut text = String::new();
        fs::File::open(beside(path, ".lock"))?.take(LEN_MAX).read_to_string(&mut text)?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(Holder {
            pid: value("pid").and_then(|pid| pid.parse().ok()),
            admin_socket: value("adminSocket").map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_journal_is_told_while_it_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.journal");
        assert_eq!(Holder::of(&path).unwrap(), None);
        let place = Place::take(&path).unwrap();
        assert_eq!(Holder::of(&path).unwrap(), Some(Holder::default()));
        let holder = Holder { pid: Some(7), admin_socket: Some(folder.path().join("a b.sock")) };
        holder.sign(&path).unwrap();
        assert_eq!(Holder::of(&path).unwrap(), Some(holder));
        drop(place);
        assert_eq!(Holder::of(&path).unwrap(), None);
        // The next one does not speak with the words of the one before.
        let _place = Place::take(&path).unwrap();
        assert_eq!(Holder::of(&path).unwrap(), Some(Holder::default()));
    }
}
