//! A place on disk: one directory, of one format, held by one process (clauses OPEN-1 and OPEN-2).
//!
//! ```text
//! storage-place    the marker: who made the place, in which format, and whether its engine was opened once
//! lock             held while the place is open; says by which process
//! ```
//!
//! A directory with anything else in it and no marker is somebody else's, and is left as it was; so is one with files of these
//! names that say what no driver writes. A symbolic link to a directory is followed: the lock lies in the directory itself, so
//! that two ways to it are one place. One in the place of a file of ours never is.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use storage_api::{Error, ErrorKind, Object, Operation, Result};

use crate::opening::advice;

const MARKER: &str = "storage-place";
const MARKER_NEW: &str = "storage-place.new";
const LOCK: &str = "lock";

/// The format of the rows that this version writes; it reads no other.
const FORMAT: u32 = 1;

/// The line of the marker from which on an engine that holds nothing has lost what it held. Whoever made the place before
/// there was that line passes over it.
const MADE: &str = "made";

/// Larger than any marker.
const MARKER_BYTES_MAX: u64 = 4096;
/// With which every marker begins.
const MARKER_START: &[u8] = b"format ";

/// How long the number of a process is in the lock, filled up with spaces; the end of the line follows.
const HOLDER_BYTES: usize = 10;

/// A process that was killed while it started another leaves its lock with that one, until it runs its own program: some
/// microseconds on an idle machine. So long, and so often, the lock of a process that has ended is asked for again.
const ORPHAN_TURN: Duration = Duration::from_millis(10);
const ORPHAN_TURNS_MAX: u32 = 1000;

/// A directory that this process holds, until it is dropped.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Locked until this is dropped, or the process is killed.
    lock: File,
    driver: String,
    is_made: bool,
}

impl Place {
    /// Holds the directory for a driver; makes it, for this user only, if it is not there.
    ///
    /// `Unavailable` where somebody holds it, or it cannot be written; `Unsupported` where it is something else, of another
    /// driver, or of a format that is not known; `Corrupted` where its marker is damaged. Then it is left as it was.
    pub fn hold(directory: &Path, driver: &str) -> Result<Self> {
        let refusal = Refusal { directory };
        match fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(refusal.unsupported("it is not a directory; name another place"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if directory.is_symlink() {
                    return Err(refusal.unsupported(
                        "it is a symbolic link to nothing; make what it points to, or name another place",
                    ));
                }
                make(directory).map_err(|error| refusal.io("it cannot be made", error))?;
            }
            Err(error) => return Err(refusal.io("it cannot be looked at", error)),
        }
        let path = directory.canonicalize();
        let path = path.map_err(|error| refusal.io("it cannot be looked at", error))?;

        let is_marked = check_marker(&refusal, &path, driver)?;
        if !is_marked && !is_vacant(&refusal, &path)? {
            return Err(refusal.unsupported(
                "it holds files that no storage driver put there; name an empty directory, or one that does not exist",
            ));
        }
        let lock = hold_lock(&refusal, &path)?;
        // Whoever held the place a moment ago may have marked it.
        if !is_marked && !check_marker(&refusal, &path, driver)? {
            let marked = write_marker(&path, driver, false);
            marked.map_err(|error| refusal.io("its marker cannot be written", error))?;
        }
        let is_made = says_made(&path);
        let is_made = is_made.map_err(|error| refusal.io("its marker cannot be read", error))?;
        Ok(Self {
            path,
            lock,
            driver: driver.to_owned(),
            is_made,
        })
    }

    /// The directory, free of symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an engine was opened here once, whose first row is on stable storage since then: where there is none, it was
    /// lost. Before that nothing was acknowledged, and what a crash has left of an engine may be made anew.
    pub fn is_made(&self) -> bool {
        self.is_made
    }

    /// `Corrupted` where the place was made and that file of its engine has gone: an engine would make another (clause
    /// OPEN-3). To be called before it is opened.
    pub fn check_made(&self, file: &str) -> Result<()> {
        let refusal = Refusal {
            directory: &self.path,
        };
        let is_there = self.path.join(file).try_exists();
        let is_there = is_there.map_err(|error| refusal.io("it cannot be looked at", error))?;
        if is_there || !self.is_made {
            return Ok(());
        }
        let reason = format!("its file {file} is missing; restore the place from a copy");
        Err(refusal.error(ErrorKind::Corrupted, reason))
    }

    /// Notes that the engine is there: to be called when its first row is on stable storage, and before anything is
    /// acknowledged.
    pub(crate) fn note_made(&mut self) -> Result<()> {
        if self.is_made {
            return Ok(());
        }
        let refusal = Refusal {
            directory: &self.path,
        };
        let marked = write_marker(&self.path, &self.driver, true);
        marked.map_err(|error| refusal.io("its marker cannot be written", error))?;
        self.is_made = true;
        Ok(())
    }

    /// Waits, for some seconds at most, until nobody has a lock (`flock`) on a file of the engine; one that is not there has none.
    ///
    /// For engines that leave their lock to the closing of the file: a process that this one is about to start has a copy of
    /// the descriptor until it runs its own program, and the engine would find the place of its predecessor locked. As long as
    /// the place is held nobody else opens the engine. Whatever keeps the lock longer, the engine shall name.
    pub fn await_unlocked(&self, file: &Path) {
        let Ok(file) = File::open(file) else {
            return;
        };
        for _ in 0..ORPHAN_TURNS_MAX {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => wait_a_turn(),
                Ok(()) | Err(TryLockError::Error(_)) => break,
            }
        }
        // What fails here ends with the descriptor, of which nobody has a copy for long.
        let _ = file.unlock();
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

/// The bytes that this user may still write on the disk of a path.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The bytes of the blocks that a file has on its disk: more than its length where blocks were taken ahead of it, fewer where
/// it has holes.
pub fn taken_bytes(file: &fs::Metadata) -> u64 {
    // What stat(2) counts in, whatever the size of the disk's own blocks.
    const UNIT_BYTES: u64 = 512;
    file.blocks() * UNIT_BYTES
}

struct Refusal<'a> {
    directory: &'a Path,
}

impl Refusal<'_> {
    fn error(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        let place = Object::Place(self.directory.display().to_string());
        Error::new(kind, Operation::Open, place, reason)
    }

    fn unsupported(&self, reason: impl Into<String>) -> Error {
        self.error(ErrorKind::Unsupported, reason)
    }

    fn io(&self, what: &str, error: io::Error) -> Error {
        let advice = advice(error.kind())
            .unwrap_or("see to the disk and the directories above it, or name another place");
        let reason = format!("{what}: {error}; {advice}");
        self.error(ErrorKind::Unavailable, reason)
            .with_source(error)
    }
}

/// Makes a directory for this user alone, and has each new name survive the loss of power.
fn make(directory: &Path) -> io::Result<()> {
    let missing: Vec<_> = directory
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)?;
    for path in missing {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Whether there is a marker of this driver and format; any other is refused.
fn check_marker(refusal: &Refusal<'_>, path: &Path, driver: &str) -> Result<bool> {
    let mut text = Vec::new();
    match File::open(path.join(MARKER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(refusal.io("its marker cannot be read", error)),
        Ok(file) => {
            let read = file.take(MARKER_BYTES_MAX).read_to_end(&mut text);
            read.map_err(|error| refusal.io("its marker cannot be read", error))?;
        }
    }
    let damaged = || {
        refusal.error(
            ErrorKind::Corrupted,
            format!("its marker, the file {MARKER}, is damaged; restore the place from a copy"),
        )
    };
    let text = String::from_utf8(text).map_err(|_| damaged())?;
    let (body, checksum) = text
        .strip_suffix('\n')
        .and_then(|text| text.rsplit_once('\n'))
        .ok_or_else(damaged)?;
    if checksum != checksum_of(body) {
        return Err(damaged());
    }
    let mut lines = body.lines();
    let format = lines.next().and_then(|line| line.strip_prefix("format "));
    let format: u32 = format
        .and_then(|format| format.parse().ok())
        .ok_or_else(damaged)?;
    if format != FORMAT {
        let advice = match format > FORMAT {
            true => format!("and the newest known here is {FORMAT}; use a newer version"),
            false => "which no version has ever written; restore the place from a copy".to_owned(),
        };
        return Err(refusal.unsupported(format!("its format is {format}, {advice}")));
    }
    let owner = lines.next().and_then(|line| line.strip_prefix("driver "));
    let owner = owner.ok_or_else(damaged)?;
    if owner != driver {
        return Err(refusal.unsupported(format!(
            "the driver {owner} made it, and not {driver}; name another place, or open it with {owner}"
        )));
    }
    Ok(true)
}

/// Whether nobody has put anything into a directory but what a crash while marking it leaves.
fn is_vacant(refusal: &Refusal<'_>, path: &Path) -> Result<bool> {
    let looked_at = |error| refusal.io("it cannot be looked at", error);
    for entry in fs::read_dir(path).map_err(looked_at)? {
        let entry = entry.map_err(looked_at)?;
        let name = entry.file_name();
        if name != LOCK && name != MARKER_NEW {
            return Ok(false);
        }
        if !entry.file_type().map_err(looked_at)?.is_file() {
            return Ok(false);
        }
        let mut text = Vec::new();
        let read = File::open(entry.path())
            .and_then(|file| file.take(MARKER_BYTES_MAX + 1).read_to_end(&mut text));
        read.map_err(looked_at)?;
        let is_ours = match name == LOCK {
            true => is_lock(&text),
            false => is_start_of_marker(&text),
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a lock may say that: nothing yet, or by which process it was held.
fn is_lock(text: &[u8]) -> bool {
    let Some((holder, rest)) = text.split_at_checked(HOLDER_BYTES) else {
        return text.is_empty();
    };
    let digits = holder
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let is_filled_up = holder[digits..].iter().all(|byte| *byte == b' ');
    digits > 0 && is_filled_up && matches!(rest, b"" | b"\n")
}

/// Whether somebody may have been writing a marker, of any format.
fn is_start_of_marker(text: &[u8]) -> bool {
    let is_small = text.len() as u64 <= MARKER_BYTES_MAX;
    is_small && (text.starts_with(MARKER_START) || MARKER_START.starts_with(text))
}

fn hold_lock(refusal: &Refusal<'_>, path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let mut file = match options.mode(0o600).open(path.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(refusal.unsupported(
                "its lock is a symbolic link, which no storage driver made; remove it, or name another place",
            ));
        }
        Err(error) => return Err(refusal.io("its lock cannot be opened", error)),
    };
    let mut turns = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(refusal.io("its lock cannot be taken", error));
            }
        }
        let holder = holder_of(&mut file);
        if turns == ORPHAN_TURNS_MAX || !holder.is_some_and(has_ended) {
            let holder = match holder {
                None => "another backend holds it".to_owned(),
                Some(pid) => format!("process {pid} holds it"),
            };
            let reason = format!("{holder}; close that first, or name another place");
            return Err(refusal.error(ErrorKind::Unavailable, reason));
        }
        turns += 1;
        wait_a_turn();
    }
    // Always as many bytes, written over those before: that needs no room on a full disk. Without it the lock holds, too.
    let _ = file
        .rewind()
        .and_then(|()| file.write_all(holder_line(std::process::id()).as_bytes()));
    Ok(file)
}

/// What the lock says while that process holds it.
fn holder_line(process: u32) -> String {
    format!("{process:<HOLDER_BYTES$}\n")
}

/// The process that the lock file names. What cannot be read is not known.
fn holder_of(lock: &mut File) -> Option<i32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn has_ended(pid: i32) -> bool {
    let found = Pid::from_raw(pid).map(test_kill_process);
    found == Some(Err(Errno::SRCH))
}

#[expect(
    clippy::disallowed_methods,
    reason = "no lock tells its end but to one who waits for it without a limit"
)]
fn wait_a_turn() {
    std::thread::sleep(ORPHAN_TURN);
}

/// Whether the marker, which was checked, says that the place was made.
fn says_made(path: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(path.join(MARKER))?;
    Ok(text.lines().any(|line| line == MADE))
}

/// Writes the marker whole or not at all.
fn write_marker(path: &Path, driver: &str, is_made: bool) -> io::Result<()> {
    let mut body = format!("format {FORMAT}\ndriver {driver}");
    if is_made {
        body = format!("{body}\n{MADE}");
    }
    let new = path.join(MARKER_NEW);
    // What a crash has left of one is of no use, and whatever else it is, nothing is written through it.
    match fs::remove_file(&new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    write!(file, "{body}\n{}\n", checksum_of(&body))?;
    file.sync_all()?;
    fs::rename(new, path.join(MARKER))?;
    File::open(path)?.sync_all()
}

fn checksum_of(body: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a directory with what the files say, or where the links point to.
    fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(directory).unwrap();
        let mut contents: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| match fs::read_link(&path) {
                Ok(target) => (path, target.into_os_string().into_encoded_bytes()),
                Err(_) => (path.clone(), fs::read(&path).unwrap()),
            })
            .collect();
        contents.sort();
        contents
    }

    fn kind_of_refusal(directory: &Path) -> ErrorKind {
        Place::hold(directory, "sim").unwrap_err().kind()
    }

    #[test]
    fn files_of_a_stranger_are_left_as_they_were_whatever_their_names() {
        let long = vec![b'1'; 5000];
        let cases: [(&str, &[u8]); 9] = [
            ("lock", b"a diary, not a lock"),
            ("lock", b"4711\n"),
            ("lock", b"4711      \nmore"),
            ("lock", b"          \n"),
            ("lock", b"47 11     \n"),
            ("lock", &long),
            ("storage-place.new", b"a diary"),
            ("storage-place.new", b"form of a letter"),
            ("diary", b""),
        ];
        for (name, text) in cases {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join(name), text).unwrap();
            let before = contents(directory.path());

            let kind = kind_of_refusal(directory.path());

            let what = text.escape_ascii();
            assert_eq!(kind, ErrorKind::Unsupported, "{name}: {what}");
            assert_eq!(contents(directory.path()), before, "{name}: {what}");
        }
    }

    #[test]
    fn links_in_place_of_our_files_are_refused_and_nothing_is_written_through_them() {
        for (is_marked, name) in [(false, LOCK), (false, MARKER_NEW), (true, LOCK)] {
            let scratch = tempfile::tempdir().unwrap();
            let (directory, outside) = (scratch.path().join("place"), scratch.path().join("file"));
            fs::create_dir(&directory).unwrap();
            fs::write(&outside, "").unwrap();
            if is_marked {
                drop(Place::hold(&directory, "sim").unwrap());
                fs::remove_file(directory.join(name)).unwrap();
            }
            std::os::unix::fs::symlink(&outside, directory.join(name)).unwrap();
            let before = contents(&directory);

            let kind = kind_of_refusal(&directory);

            assert_eq!(kind, ErrorKind::Unsupported, "{name}, marked {is_marked}");
            assert_eq!(contents(&directory), before, "{name}, marked {is_marked}");
            assert_eq!(
                fs::read(&outside).unwrap(),
                b"",
                "{name}, marked {is_marked}"
            );
        }
    }

    #[test]
    fn a_crash_while_marking_at_any_byte_leaves_what_may_be_held() {
        let whole = tempfile::tempdir().unwrap();
        drop(Place::hold(whole.path(), "sim").unwrap());
        let marker = fs::read(whole.path().join(MARKER)).unwrap();
        let lock = fs::read(whole.path().join(LOCK)).unwrap();
        for written in 0..=marker.len() {
            for lock in [&b""[..], &lock] {
                let directory = tempfile::tempdir().unwrap();
                fs::write(directory.path().join(LOCK), lock).unwrap();
                fs::write(directory.path().join(MARKER_NEW), &marker[..written]).unwrap();

                Place::hold(directory.path(), "sim").unwrap();

                assert!(!directory.path().join(MARKER_NEW).exists());
            }
        }
    }

    #[test]
    fn a_dropped_place_is_free_while_a_starting_process_has_a_copy_of_its_lock() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::hold(directory.path(), "sim").unwrap();
        let copy = place.lock.try_clone().unwrap();

        drop(place);

        Place::hold(directory.path(), "sim").unwrap();
        drop(copy);
    }
}
