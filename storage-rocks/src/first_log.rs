//! The first log of an opening, noted when its first record is on stable storage: a process that was killed leaves it, or
//! one that follows it.
//!
//! What was written since an opening may be in logs alone, and RocksDB takes a log that is empty or not there for one to which
//! nothing was written. The note is taken away while RocksDB opens the place, as it replaces its logs then, so that a kill
//! meanwhile leaves none.
//!
//! ```text
//! 9                    the number of the log
//! crc32c 2a7ad2b1
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use storage_kv::{KvError, KvErrorKind, KvResult};

use crate::error::translate_io;
use crate::log::{begins_whole, logs, number_of};

const NOTE: &str = "first-log";
const NOTE_NEW: &str = "first-log.new";
/// Its name while RocksDB opens the place.
const NOTE_ASIDE: &str = "first-log.old";
/// Larger than any note.
const NOTE_BYTES_MAX: u64 = 64;

/// Refuses logs of which all that was noted has gone.
///
/// Of a log that another follows RocksDB itself knows how long it must be. The last of several may have been cut off at
/// any record, or be gone: that looks like what a crash leaves.
pub(crate) fn check_first_log(directory: &Path) -> KvResult<()> {
    let looked_at = |error| translate_io("looking at the logs", error);
    let Some(noted) = read(directory)? else {
        return Ok(());
    };
    let logs = logs(directory).map_err(looked_at)?;
    match logs.iter().find(|log| number_of(log) == Some(noted)) {
        Some(log) if !begins_whole(log).map_err(looked_at)? => Err(corrupted(&format!(
            "its log {noted:06}.log has lost its beginning"
        ))),
        None if logs.last().and_then(|log| number_of(log)) < Some(noted) => Err(corrupted(
            &format!("its log {noted:06}.log is missing, and so is any that follows it"),
        )),
        // It was not needed any more where another follows.
        Some(_) | None => Ok(()),
    }
}

/// Removes the note: for a place that is sealed, which tells more.
pub(crate) fn forget_first_log(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(NOTE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| File::open(directory)?.sync_all()),
    }
}

/// Takes the note away while RocksDB opens the place. Where that fails it is there again afterwards.
pub(crate) fn open_without_note<T>(
    directory: &Path,
    open: impl FnOnce() -> KvResult<T>,
) -> KvResult<T> {
    let (note, aside) = (directory.join(NOTE), directory.join(NOTE_ASIDE));
    match fs::rename(&note, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return open(),
        renamed => renamed
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(|error| translate_io("opening its logs", error))?,
    }
    let opened = open();
    // What is left of it aside says nothing to anybody.
    let _ = match opened {
        Ok(_) => fs::remove_file(aside),
        Err(_) => fs::rename(aside, note),
    };
    opened
}

/// Notes a log to which something was written: to be called when that is on stable storage. Whether there is one.
pub(crate) fn note_first_log(directory: &Path) -> io::Result<bool> {
    let mut noted = None;
    for log in logs(directory)? {
        let is_begun = match begins_whole(&log) {
            // It is in tables by now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            is_begun => is_begun?,
        };
        if is_begun {
            noted = number_of(&log);
        }
    }
    let Some(noted) = noted else {
        return Ok(false);
    };
    let body = noted.to_string();
    let new = directory.join(NOTE_NEW);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    write!(file, "{body}\n{}\n", checksum_of(&body))?;
    file.sync_all()?;
    fs::rename(new, directory.join(NOTE))?;
    File::open(directory)?.sync_all()?;
    Ok(true)
}

fn read(directory: &Path) -> KvResult<Option<u64>> {
    let mut text = Vec::new();
    let read = File::open(directory.join(NOTE))
        .and_then(|file| file.take(NOTE_BYTES_MAX).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| translate_io("reading the note of its logs", error))?,
    };
    let noted = str::from_utf8(&text).ok().and_then(|text| {
        let (body, checksum) = text.strip_suffix('\n')?.split_once('\n')?;
        (checksum == checksum_of(body))
            .then_some(body)?
            .parse()
            .ok()
    });
    match noted {
        Some(noted) => Ok(Some(noted)),
        None => Err(corrupted(&format!(
            "its file {NOTE}, which says where its logs begin, is damaged"
        ))),
    }
}

fn checksum_of(body: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes()))
}

fn corrupted(what: &str) -> KvError {
    let reason = format!("{what}; restore the place from a copy");
    KvError::new(KvErrorKind::Corrupted, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::log_of;

    fn directory_with(logs: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in logs {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    fn is_refused(directory: &Path) -> bool {
        match check_first_log(directory) {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error.kind(), KvErrorKind::Corrupted, "{error}");
                true
            }
        }
    }

    #[test]
    fn the_last_log_to_which_something_was_written_is_noted() {
        let written = log_of(&[b"record"]);
        let directory = directory_with(&[
            ("000004.log", &written),
            ("000010.log", &written),
            ("000012.log", b""),
        ]);
        let directory = directory.path();

        assert!(note_first_log(directory).unwrap());

        assert!(!is_refused(directory), "as it was");
        fs::remove_file(directory.join("000004.log")).unwrap();
        assert!(!is_refused(directory), "one before it is in tables");
        fs::write(directory.join("000010.log"), &written[..written.len() - 1]).unwrap();
        assert!(is_refused(directory), "it has lost what was noted");
        fs::remove_file(directory.join("000010.log")).unwrap();
        assert!(!is_refused(directory), "it is in tables");
        fs::remove_file(directory.join("000012.log")).unwrap();
        assert!(is_refused(directory), "there is none");
        for _ in 0..2 {
            open_without_note(directory, || Ok(())).unwrap();
            assert!(!is_refused(directory), "nobody knows of any");
        }
    }

    #[test]
    fn the_note_is_away_while_a_place_is_opened_and_back_where_that_fails() {
        let directory = directory_with(&[("000004.log", &log_of(&[b"record"]))]);
        assert!(note_first_log(directory.path()).unwrap());
        let note = directory.path().join(NOTE);
        let before = fs::read(&note).unwrap();

        let refused = open_without_note(directory.path(), || -> KvResult<()> {
            assert!(!note.exists());
            Err(KvError::new(KvErrorKind::Unavailable, "no"))
        });

        assert!(refused.is_err());
        assert_eq!(fs::read(&note).unwrap(), before);
        open_without_note(directory.path(), || Ok(())).unwrap();
        let left = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 1, "the log alone");
    }

    #[test]
    fn where_nothing_was_written_nothing_is_noted() {
        let directory = directory_with(&[("000004.log", b"")]);

        assert!(!note_first_log(directory.path()).unwrap());

        assert!(!is_refused(directory.path()));
    }

    #[test]
    fn a_note_that_is_damaged_anywhere_is_told() {
        let directory = directory_with(&[("000004.log", &log_of(&[b"record"]))]);
        assert!(note_first_log(directory.path()).unwrap());
        let note = directory.path().join(NOTE);
        let whole = fs::read(&note).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            for damaged in [&*damaged, &whole[..at]] {
                fs::write(&note, damaged).unwrap();
                assert!(is_refused(directory.path()), "byte {at}");
            }
        }
    }
}
