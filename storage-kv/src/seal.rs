//! The seal of a place that was closed: what its files were, so that damage is told from what a crash leaves.
//!
//! A log that ends too early looks the same whether power went or somebody cut it. But a place that was closed has no end
//! that could be missing: while its seal is there, every file is as it was, or the place is damaged. The seal is broken
//! before the engine is opened, so that after a crash there is none, and the engine is on its own.
//!
//! ```text
//! 1163 9a0c1d77 queue.rocks/MANIFEST-000005
//! 41231044 - queue.rocks/000017.sst          a checksum of so much would take too long; its length is told
//! crc32c 6ba2f1c4
//! ```

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::engine::{KvError, KvErrorKind, KvResult};

const SEAL: &str = "seal";
const SEAL_NEW: &str = "seal.new";

/// So many bytes are compared with their checksums, which takes some milliseconds; of what comes behind them the length.
const CHECKED_BYTES_MAX: u64 = 16 << 20;
/// The checksum of a file that has none.
const UNCHECKED: &str = "-";
const BUFFER_BYTES: usize = 64 << 10;

/// The seal of the engine's files in the directory of a place.
#[derive(Debug, Clone)]
pub struct Seal {
    directory: PathBuf,
}

impl Seal {
    /// The seal of that place, whether it is there or not.
    pub fn of(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Compares the files with the seal, if there is one, and breaks it before `open` opens the engine on them.
    ///
    /// `Corrupted` where they are not what they were; then the place is left as it was. Where `open` fails and has changed
    /// none of them, the seal is there again afterwards.
    pub fn break_for<T>(&self, open: impl FnOnce() -> KvResult<T>) -> KvResult<T> {
        let seal = self.directory.join(SEAL);
        let text = match fs::read(&seal) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return open(),
            Err(error) => return Err(unavailable("reading the seal", error)),
        };
        self.compare_all(&text)?;
        let broken = fs::remove_file(seal).and_then(|()| sync_directory(&self.directory));
        broken.map_err(|error| unavailable("breaking the seal", error))?;
        let opened = open();
        if opened.is_err() && self.compare_all(&text).is_ok() {
            // Without it the next opening takes the place for that of a process that was killed.
            let _ = self.write(&text);
        }
        opened
    }

    fn compare_all(&self, text: &[u8]) -> KvResult<()> {
        let damaged = || corrupted("its seal, the file that says how it was closed, is damaged");
        let text = str::from_utf8(text).map_err(|_| damaged())?;
        let (body, checksum) = split_last_line(text).ok_or_else(damaged)?;
        if checksum != checksum_of(body) {
            return Err(damaged());
        }
        for line in body.lines() {
            let mut parts = line.splitn(3, ' ');
            let (len, crc, name) = (parts.next(), parts.next(), parts.next());
            let (Some(len), Some(crc), Some(name)) = (len, crc, name) else {
                return Err(damaged());
            };
            let (len, crc) = (len.parse().map_err(|_| damaged())?, crc);
            self.compare(name, len, crc)?;
        }
        Ok(())
    }

    fn compare(&self, name: &str, len: u64, crc: &str) -> KvResult<()> {
        let path = self.directory.join(name);
        let is_same = File::open(path).and_then(|mut file| {
            if file.metadata()?.len() != len {
                return Ok(false);
            }
            Ok(crc == UNCHECKED || crc == format!("{:08x}", checksum(&mut file)?))
        });
        match is_same {
            Ok(true) => Ok(()),
            Ok(false) => Err(corrupted(&format!(
                "its file {name} is not what it was when the place was closed"
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(corrupted(&format!("its file {name} is missing")))
            }
            Err(error) => Err(unavailable(&format!("reading its file {name}"), error)),
        }
    }

    /// Puts these files onto stable storage and seals them: to be called when the engine has let go of them.
    ///
    /// Those that matter most come first. They are told by their paths within the place.
    pub fn set(&self, files: &[PathBuf]) -> io::Result<()> {
        let mut body = String::new();
        let mut left = CHECKED_BYTES_MAX;
        for name in files {
            let mut file = File::open(self.directory.join(name))?;
            file.sync_all()?;
            let len = file.metadata()?.len();
            let name = name
                .to_str()
                .filter(|name| !name.contains('\n'))
                .ok_or(io::ErrorKind::InvalidFilename)?;
            let crc = if len <= left {
                left -= len;
                format!("{:08x}", checksum(&mut file)?)
            } else {
                UNCHECKED.to_owned()
            };
            // Writing to a string does not fail.
            let _ = writeln!(body, "{len} {crc} {name}");
        }
        self.write(format!("{body}{}\n", checksum_of(&body)).as_bytes())
    }

    /// Puts the seal there, whole or not at all.
    fn write(&self, text: &[u8]) -> io::Result<()> {
        let new = self.directory.join(SEAL_NEW);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(new, self.directory.join(SEAL))?;
        sync_directory(&self.directory)
    }
}

/// The text up to its last line, and that line.
fn split_last_line(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_suffix('\n')?;
    let start = text.rfind('\n').map_or(0, |at| at + 1);
    Some(text.split_at(start))
}

fn checksum_of(body: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes()))
}

fn checksum(file: &mut File) -> io::Result<u32> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut crc = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crc),
            len => crc = crc32c::crc32c_append(crc, &buffer[..len]),
        }
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn corrupted(what: &str) -> KvError {
    let reason = format!("{what}; restore the place from a copy");
    KvError::new(KvErrorKind::Corrupted, reason)
}

fn unavailable(what: &str, error: io::Error) -> KvError {
    KvError::new(KvErrorKind::Unavailable, format!("{what}: {error}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Seal, Vec<PathBuf>) {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("engine")).unwrap();
        let files = ["engine/log", "engine/table"].map(PathBuf::from).to_vec();
        for file in &files {
            fs::write(scratch.path().join(file), "some bytes").unwrap();
        }
        let seal = Seal::of(scratch.path());
        seal.set(&files).unwrap();
        (scratch, seal, files)
    }

    /// Breaks the seal for an engine that opens.
    fn break_open(seal: &Seal) -> KvResult<()> {
        seal.break_for(|| Ok(()))
    }

    #[test]
    fn a_seal_is_broken_once_by_files_that_are_what_they_were() {
        let (scratch, seal, files) = place();

        break_open(&seal).unwrap();

        assert!(!scratch.path().join(SEAL).exists());
        fs::write(scratch.path().join(&files[0]), "other bytes").unwrap();
        break_open(&seal).expect("there is none any more");
    }

    #[test]
    fn whatever_happens_to_a_sealed_file_is_told_and_left() {
        let damages: [fn(&Path); 4] = [
            |path| fs::write(path, "some bytfs").unwrap(),
            |path| fs::write(path, "some byte").unwrap(),
            |path| fs::write(path, "some bytes more").unwrap(),
            |path| fs::remove_file(path).unwrap(),
        ];
        for (index, damage) in damages.into_iter().enumerate() {
            let (scratch, seal, files) = place();
            damage(&scratch.path().join(&files[1]));

            for _ in 0..2 {
                let error = break_open(&seal).unwrap_err();

                assert_eq!(error.kind(), KvErrorKind::Corrupted, "damage {index}");
                assert!(error.to_string().contains("engine/table"), "{error}");
            }
        }
    }

    #[test]
    fn an_engine_that_does_not_open_leaves_the_seal_unless_it_has_changed_a_file() {
        let refuse = || -> KvResult<()> { Err(KvError::new(KvErrorKind::Unavailable, "no")) };
        let (scratch, seal, files) = place();
        let before = fs::read(scratch.path().join(SEAL)).unwrap();

        seal.break_for(|| {
            assert!(!scratch.path().join(SEAL).exists(), "it is broken first");
            refuse()
        })
        .unwrap_err();

        assert_eq!(fs::read(scratch.path().join(SEAL)).unwrap(), before);
        seal.break_for(|| {
            fs::write(scratch.path().join(&files[0]), "other bytes").unwrap();
            refuse()
        })
        .unwrap_err();
        assert!(!scratch.path().join(SEAL).exists());
        assert!(!scratch.path().join(SEAL_NEW).exists());
    }

    #[test]
    fn any_flipped_bit_of_the_seal_itself_is_told() {
        let (scratch, seal, _) = place();
        let path = scratch.path().join(SEAL);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();

            let error = break_open(&seal).unwrap_err();

            assert_eq!(error.kind(), KvErrorKind::Corrupted, "byte {at}: {error}");
        }
    }

    #[test]
    fn a_seal_that_cannot_be_read_is_not_taken_for_none() {
        let (scratch, seal, _) = place();
        let path = scratch.path().join(SEAL);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();

        let error = break_open(&seal).unwrap_err();

        assert_eq!(error.kind(), KvErrorKind::Unavailable, "{error}");
    }

    #[test]
    fn of_what_is_too_large_to_be_compared_the_length_is() {
        let scratch = tempfile::tempdir().unwrap();
        let large = scratch.path().join("large");
        let file = File::create(&large).unwrap();
        file.set_len(CHECKED_BYTES_MAX + 1).unwrap();
        let seal = Seal::of(scratch.path());
        seal.set(&["large".into()]).unwrap();

        file.set_len(CHECKED_BYTES_MAX).unwrap();

        let error = break_open(&seal).unwrap_err();
        assert_eq!(error.kind(), KvErrorKind::Corrupted);
    }
}
