//! The mark beside a journal: that there is one, and how long it was when it was closed.
//!
//! A journal that ends too early looks the same whether power went or somebody cut it, and one that is not there as one that
//! was never made. But a journal that was closed has no end that could be missing. The mark says `open` while it is open,
//! and after a crash.
//!
//! ```text
//! closed 1163
//! crc32c 6ba2f1c4
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use storage_api::Result;

use crate::error::{damaged, unavailable};
use crate::journal::{NAME, sync_directory_of};

/// The name of the file.
pub(crate) const MARK_NAME: &str = "MARK";
const DRAFT_NAME: &str = "MARK.new";
/// Larger than any mark.
const BYTES_MAX: u64 = 64;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// There is a journal.
    Open,
    /// It was closed with that length.
    Closed { len: u64 },
}

impl Mark {
    /// The mark of a directory. `None` where a journal is being made, or was made before there were marks.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(MARK_NAME);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(&path, "it cannot be read", error)),
            Ok(_) => {}
        }
        let mark = str::from_utf8(&text).ok().and_then(Self::parse);
        match mark {
            Some(mark) => Ok(Some(mark)),
            None => Err(damaged(&path, 0, "it says what no mark does")),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, checksum) = text.strip_suffix('\n')?.split_once('\n')?;
        if checksum != checksum_of(body) {
            return None;
        }
        match body.split_once(' ') {
            None => (body == "open").then_some(Self::Open),
            Some((word, len)) => {
                let len = len.parse().ok()?;
                (word == "closed").then_some(Self::Closed { len })
            }
        }
    }

    /// Puts the mark there, whole or not at all.
    pub(crate) fn write(self, dir: &Path) -> io::Result<()> {
        let body = match self {
            Self::Open => "open".to_owned(),
            Self::Closed { len } => format!("closed {len}"),
        };
        let draft = dir.join(DRAFT_NAME);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft)?;
        write!(file, "{body}\n{}\n", checksum_of(&body))?;
        file.sync_all()?;
        let path = dir.join(MARK_NAME);
        fs::rename(draft, &path)?;
        sync_directory_of(&path)
    }

    /// Refuses a journal that is not as long as it was when it was closed; then it is left as it was.
    pub(crate) fn check(self, dir: &Path) -> Result<()> {
        let Self::Closed { len } = self else {
            return Ok(());
        };
        let path = dir.join(NAME);
        let metadata = fs::metadata(&path);
        let metadata =
            metadata.map_err(|error| unavailable(&path, "it cannot be looked at", error))?;
        match metadata.len() {
            found if found == len => Ok(()),
            found => {
                let reason = format!("it ends, and had {len} bytes when it was closed");
                Err(damaged(&path, found, &reason))
            }
        }
    }
}

fn checksum_of(body: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes()))
}
