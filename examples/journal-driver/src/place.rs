//! The directory: made, recognised, and held by one backend at a time (clauses OPEN-1 and OPEN-2).

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use storage_api::Result;

use crate::error::{damaged, foreign, held, unavailable};
use crate::journal::{DRAFT_NAME, Journal, NAME, sync_directory_of};
use crate::mark::MARK_NAME;

/// The name of the file that is locked, and says who holds it.
const LOCK_NAME: &str = "LOCK";

/// A process that was killed while it started another leaves its lock with that one, until it runs its own program. So
/// long, and so often, the lock of a process that has ended is asked for again.
const ORPHAN_TURN: Duration = Duration::from_millis(10);
const ORPHAN_TURNS_MAX: u32 = 1000;

/// A directory that this backend alone has open. Dropping it lets go.
#[derive(Debug)]
pub(crate) struct Place {
    dir: PathBuf,
    /// Locked until this is dropped, or the process is killed.
    lock: File,
    is_new: bool,
}

impl Place {
    /// Holds the directory; makes it where there is none. What is not a place of this driver is left as it was.
    pub(crate) fn hold(dir: &Path) -> Result<Self> {
        make(dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                foreign(dir, "it is not a directory")
            }
            _ => unavailable(dir, "it cannot be made", error),
        })?;
        recognise(dir)?;
        let lock = lock(dir)?;
        let is_new = !dir.join(NAME).exists();
        Ok(Self {
            dir: dir.to_owned(),
            lock,
            is_new,
        })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is no journal yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Removes what a crash in the middle of a replacement has left.
    pub(crate) fn tidy(&self) {
        // Where it cannot be removed it is written over by the next replacement.
        let _ = fs::remove_file(self.dir.join(DRAFT_NAME));
    }

    /// The free bytes of the volume, for those without privileges.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let volume = rustix::fs::statvfs(&self.dir)?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }
}

impl Drop for Place {
    /// Lets go before the file is closed: a process that this one is about to start has a copy of the descriptor until it
    /// runs its own program, and the lock would last as long.
    fn drop(&mut self) {
        // What fails here ends with the descriptor and its copies.
        let _ = self.lock.unlock();
    }
}

/// Makes the directory for its owner alone; each name that is new survives the loss of power.
fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let missing: Vec<_> = dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    for path in missing {
        sync_directory_of(path)?;
    }
    Ok(())
}

/// Before anything is touched: is this a place of ours, or an empty one?
fn recognise(dir: &Path) -> Result<()> {
    let journal = dir.join(NAME);
    if journal.exists() {
        return Journal::check_head(&journal);
    }
    if dir.join(MARK_NAME).exists() {
        return Err(damaged(&journal, 0, "it is missing"));
    }
    let unreadable = |error| unavailable(dir, "it cannot be read", error);
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        // What a crash in the middle of the first opening leaves.
        if name != LOCK_NAME && name != DRAFT_NAME {
            return Err(foreign(dir, "it holds something else than a journal"));
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_NAME);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| unavailable(&path, "it cannot be opened", error))?;
    for turn in 0.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(unavailable(&path, "it cannot be locked", error));
            }
        }
        let holder = fs::read_to_string(&path).ok();
        let holder = holder.and_then(|text| text.trim().parse().ok());
        if turn == ORPHAN_TURNS_MAX || !holder.is_some_and(has_ended) {
            return Err(held(dir, holder));
        }
        wait_a_turn();
    }
    let pid = format!("{}\n", std::process::id());
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all_at(pid.as_bytes(), 0));
    // The lock holds without the name of its holder, too.
    let _ = written;
    Ok(file)
}

fn has_ended(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.map(test_kill_process) == Some(Err(Errno::SRCH))
}

#[expect(
    clippy::disallowed_methods,
    reason = "no lock tells its end but to one who waits for it without a limit"
)]
fn wait_a_turn() {
    std::thread::sleep(ORPHAN_TURN);
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_dropped_place_is_free_while_a_starting_process_has_a_copy_of_its_lock() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::hold(directory.path()).unwrap();
        let copy = place.lock.try_clone().unwrap();

        drop(place);

        Place::hold(directory.path()).unwrap();
        drop(copy);
    }
}
