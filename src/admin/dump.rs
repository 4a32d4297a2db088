//! The file in which the statistics outlive a restart (`statDumpFile`).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::statistics::{self, StatisticsError};
use crate::mux::Statistics;

/// A dump is a few kilobytes; what is longer is something else.
const LEN_MAX: u64 = 256 * 1024;
/// Stands behind the name of the file while it is being written.
const UNFINISHED: &str = ".new";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// It is there and cannot be read.
    #[error("statDumpFile: {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it is no dump.
    #[error("statDumpFile: {} {source}; move it away to begin with zeros", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StatisticsError,
    },
    /// It is too long for a dump.
    #[error("statDumpFile: {} is longer than {LEN_MAX} bytes and no dump; move it away to begin with zeros", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("statDumpFile: {} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was dumped; zeros when there is no such file, or an empty one.
///
/// # Errors
/// [`DumpError`]: a broken file is not overwritten at the next stop, so a person has to decide.
pub fn read(path: &Path) -> Result<Statistics, DumpError> {
    let failed = |source| DumpError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Statistics::default()),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    let read = file.take(LEN_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > LEN_MAX {
        return Err(DumpError::TooLong { path: path.to_owned() });
    }
    if text.trim().is_empty() {
        return Ok(Statistics::default());
    }
    statistics::from_json(&text).map_err(|source| DumpError::Broken { path: path.to_owned(), source })
}

/// Writes a dump beside the file, has it on disk, and puts it in the file's place: the file is the old one or the new
/// one, never half of it.
///
/// # Errors
/// [`DumpError::Write`]; the old file is then still there.
pub fn write(path: &Path, statistics: &Statistics) -> Result<(), DumpError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let unfinished = path.with_file_name(name);
    let written = (|| {
        let mut file = File::create(&unfinished)?;
        file.write_all(statistics::to_json(statistics).as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    written.map_err(|source| DumpError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::Mti;

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat.json");
        assert_eq!(read(&path).unwrap(), Statistics::default());
        fs::write(&path, "").unwrap();
        assert_eq!(read(&path).unwrap(), Statistics::default());
        let statistics = Statistics {
            secured: -5,
            packets: vec![(Mti::new(0x0800), 3)],
            packets_total: 3,
            ..Statistics::default()
        };
        write(&path, &statistics).unwrap();
        assert_eq!(read(&path).unwrap(), statistics);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_file_is_refused_with_the_way_out_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat.json");
        for (text, says) in
            [("{\"securedAmount\":", "no dump"), (&*"x".repeat(LEN_MAX as usize + 1), "longer than")]
        {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string().replace("is not a dump", "no dump");
            assert!(error.starts_with("statDumpFile: ") && error.contains(says), "{error}");
            assert!(error.contains("move it away"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(matches!(read(&path), Err(DumpError::Read { .. })));
        assert!(matches!(read(folder.path()), Err(DumpError::Read { .. })));
    }
}
