//! Where a journal lies: its lock, its file system, its reserve of space.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::JournalError;

/// Space that is kept back, so that ends can be written to a full disk: twice what the write-ahead log grows to between
/// two checkpoints (4000 pages of 4 KiB).
pub const RESERVE_BYTES: u64 = 32 << 20;
/// What opening needs: an index of 32 KiB and a commit, and some to spare.
const OPENING_BYTES: u64 = 1 << 20;
/// Only the owner may read or write what is ours.
const OWNER_ONLY: u32 = 0o600;

/// File systems of other machines, by the `f_type` of statfs(2).
const NETWORK: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB2"),
    (0xFF53_4D42, "CIFS"),
    (0x0000_564C, "NCP"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
];
/// FUSE: which one it is stands in the table of mounts only.
const FUSE: u64 = 0x6573_5546;
/// FUSE file systems that do not leave the machine; any other is refused.
const LOCAL_FUSE: [&str; 5] =
    ["fuseblk", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.bindfs", "fuse.gocryptfs"];

/// `path` with `suffix` after its last character.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// A place that is ours as long as this lives.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes the journal at `path`: an absolute path afterwards, locked against a second process.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`], [`JournalError::Network`], [`JournalError::Locked`].
    pub fn take(path: &Path) -> Result<Place, JournalError> {
        let unwritable = |source| JournalError::Unwritable { path: path.to_owned(), source };
        let path = real(path).map_err(unwritable)?;
        let unwritable = |source| JournalError::Unwritable { path: path.clone(), source };
        let directory = path.parent().ok_or_else(|| unwritable(io::ErrorKind::IsADirectory.into()))?;
        if let Some(kind) = network(directory).map_err(unwritable)? {
            return Err(JournalError::Network { path, kind });
        }
        if path.is_dir() {
            return Err(unwritable(io::ErrorKind::IsADirectory.into()));
        }
        let lock =
            owner_only().create(true).truncate(false).open(beside(&path, ".lock")).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {
                // What the one before said of itself is no longer so.
                lock.set_len(0).map_err(unwritable)?;
                Ok(Place { path, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(unwritable(source)),
        }
    }

    /// The journal itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a journal. Its empty file is made, readable by its owner only, when there is none.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`]; [`JournalError::Lost`]; [`JournalError::Foreign`].
    pub fn prepare(&self) -> Result<bool, JournalError> {
        let path = self.path.clone();
        let unwritable = |source| JournalError::Unwritable { path: self.path.clone(), source };
        let file = owner_only().create(true).truncate(false).open(&self.path).map_err(unwritable)?;
        if file.metadata().map_err(unwritable)?.len() == 0 {
            let orphan = fs::metadata(beside(&path, "-wal")).is_ok_and(|wal| wal.len() > 0);
            return if orphan { Err(JournalError::Lost { path }) } else { Ok(false) };
        }
        match is_sqlite(&file).map_err(unwritable)? {
            true => Ok(true),
            false => Err(JournalError::Foreign { path, what: "not a SQLite database".to_owned() }),
        }
    }

    /// Which file the journal is now, if there is one: what is written to one that was deleted or replaced is lost with
    /// the process.
    pub fn file_id(&self) -> Option<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.path).ok().map(|file| (file.dev(), file.ino()))
    }

    fn reserve(&self) -> PathBuf {
        beside(&self.path, ".reserve")
    }

    /// Allocates the reserve if it is not there.
    ///
    /// # Errors
    /// Those of the system, want of space first.
    pub fn hold_reserve(&self) -> io::Result<()> {
        if fs::metadata(self.reserve()).is_ok_and(|file| file.len() == RESERVE_BYTES) {
            return Ok(());
        }
        let file = owner_only().create(true).truncate(true).open(self.reserve())?;
        let allocated = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(&file),
            other => other.map_err(io::Error::from),
        };
        let allocated = allocated.and_then(|()| file.sync_all());
        if allocated.is_err() {
            // Half a reserve takes space and serves nobody.
            self.release_reserve();
        }
        allocated
    }

    /// Lets the reserve go, so that ends can be written.
    pub fn release_reserve(&self) {
        let _ = fs::remove_file(self.reserve());
    }

    /// Lets the reserve go when there is too little space for the journal to be opened at all: what is open can be made
    /// good on a full disk too.
    pub fn make_room(&self) {
        let Some(directory) = self.path.parent() else { return };
        let free = rustix::fs::statvfs(directory).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        if free.is_ok_and(|free| free < OPENING_BYTES) {
            self.release_reserve();
        }
    }

    /// Gives half of what the reserve held to the write-ahead log, before another process takes it: blocks beyond the
    /// log's end, which it grows into. The other half is for the database, into which the log is moved.
    pub fn reserve_log(&self) {
        // SQLite's locks are on the database and on the index, so that closing another descriptor of the log harms none.
        let Ok(log) = OpenOptions::new().write(true).open(beside(&self.path, "-wal")) else { return };
        let _ = rustix::fs::fallocate(&log, FallocateFlags::KEEP_SIZE, 0, RESERVE_BYTES / 2);
    }
}

/// The absolute path without symbolic links: two names of one file have one lock.
fn real(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    match (path.parent(), path.file_name()) {
        (Some(directory), Some(name)) if !path.is_symlink() => Ok(directory.canonicalize()?.join(name)),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(OWNER_ONLY);
    options
}

fn write_zeros(mut file: &File) -> io::Result<()> {
    use std::io::Write;
    let zeros = [0; 1 << 16];
    for _ in 0..RESERVE_BYTES / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    Ok(())
}

/// A file format's first sixteen bytes (sqlite.org/fileformat.html, 1.3).
fn is_sqlite(mut file: &File) -> io::Result<bool> {
    use std::io::Read;
    let mut head = [0; 16];
    match file.read_exact(&mut head) {
        Ok(()) => Ok(&head == b"SQLite format 3\0"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What file system of another machine `directory` lies on.
fn network(directory: &Path) -> io::Result<Option<String>> {
    let magic = rustix::fs::statfs(directory)?.f_type as u64 & 0xFFFF_FFFF;
    if magic == FUSE {
        let kind = mounted(&fs::read_to_string("/proc/self/mountinfo")?, &directory.canonicalize()?);
        return Ok(network_fuse(kind));
    }
    Ok(network_kind(magic).map(str::to_owned))
}

fn network_kind(magic: u64) -> Option<&'static str> {
    NETWORK.iter().find(|(other, _)| *other == magic).map(|(_, name)| *name)
}

fn network_fuse(kind: Option<String>) -> Option<String> {
    let kind = kind.unwrap_or_else(|| "fuse".to_owned());
    (!LOCAL_FUSE.contains(&kind.as_str())).then_some(kind)
}

/// The type of the file system that `directory` is on, from the table of mounts (proc_pid_mountinfo(5)): the mount with
/// the longest path above it, the last of them.
fn mounted(mountinfo: &str, directory: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        directory.starts_with(&point).then(|| (point.len(), after.split(' ').next().unwrap_or("").to_owned()))
    });
    mounts.max_by_key(|(len, _)| *len).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_the_number_of_statfs() {
        // linux/magic.h: NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC; EXT4 and TMPFS stay.
        for (magic, name) in [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB2")] {
            assert_eq!(network_kind(magic), Some(name));
        }
        for magic in [0xEF53, 0x0102_1994, 0x9123_683E, 0x794C_7630] {
            assert_eq!(network_kind(magic), None);
        }
    }

    #[test]
    fn a_fuse_mount_is_judged_by_its_type_in_the_table_of_mounts() {
        let table = "22 1 0:20 / / rw - ext4 /dev/vda rw\n\
            36 22 0:35 / /mnt/far rw,nosuid shared:9 - fuse.sshfs me@there: rw\n\
            37 22 0:36 / /mnt/near rw - fuseblk /dev/sdb1 rw\n\
            38 22 0:37 / /mnt/two\\040words rw - fuse.s3fs s3 rw\n";
        let kind = |path: &str| network_fuse(mounted(table, Path::new(path)));
        assert_eq!(kind("/mnt/far/deep"), Some("fuse.sshfs".to_owned()));
        assert_eq!(kind("/mnt/near"), None);
        assert_eq!(kind("/mnt/two words/x"), Some("fuse.s3fs".to_owned()));
        assert_eq!(mounted(table, Path::new("/mnt/farther")), Some("ext4".to_owned()));
    }
}
