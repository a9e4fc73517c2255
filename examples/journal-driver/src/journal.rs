//! The file: a head, then frames that are only ever appended.
//!
//! ```text
//! head    0   8  magic
//!         8   4  format, 1
//!        12   4  CRC-32C of the above. These 16 bytes are the same in every format.
//!
//! frame   0   8  where in the file the frame stands
//!         8   8  how long the file was on the disk for sure when this frame was written
//!        16   8  length of the entry
//!        24   4  CRC-32C of the above
//!        28   4  CRC-32C of the entry
//!        32      the entry
//! ```
//!
//! A frame that does not check is the tail of a crash, or damage. It is damage if any later frame says that the file was
//! on the disk beyond it: then it had been acknowledged, and the file is refused instead of shortened (clause OPEN-3).
//!
//! The first frame holds the whole state. A journal that has grown is replaced by one that starts with the state as it is
//! now: written under another name, synced, then renamed, so that a crash at any byte leaves the one or the other.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use storage_api::Result;
use storage_model::Model;

use crate::entry::{loosens, replay};
use crate::error::{damaged, foreign, newer, unavailable};
use crate::faults::Faults;

/// The name of the file.
pub(crate) const NAME: &str = "journal";
/// The name under which its successor is written.
pub(crate) const DRAFT_NAME: &str = "journal.new";

const MAGIC: [u8; 8] = *b"QJOURNAL";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 16;
const FRAME_HEAD_BYTES: usize = 32;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    faults: Faults,
    /// The length up to which everything is acknowledged.
    len: u64,
    /// The length that has reached the disk for sure.
    on_disk: u64,
    /// Where the first frame ends: what a journal of this state alone would need.
    snapshot_end: u64,
    /// Whether a loss of power may have taken numbers that somebody was shown, when it was opened.
    was_loose: bool,
    /// Frames that are not written yet.
    pending: Vec<u8>,
}

/// A journal under its second name, complete and on the disk.
#[derive(Debug)]
pub(crate) struct Draft(Journal);

impl Draft {
    /// Writes a journal of these entries, of which the first is a snapshot, beside the one that is in use.
    pub(crate) fn write(dir: &Path, entries: &[&[u8]], faults: &Faults) -> io::Result<Self> {
        let mut bytes = head().to_vec();
        for entry in entries {
            push_frame(&mut bytes, 0, 0, entry);
        }
        faults.check()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(dir.join(DRAFT_NAME))?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        let len = bytes.len() as u64;
        Ok(Self(Journal {
            file,
            path: dir.join(NAME),
            faults: faults.clone(),
            len,
            on_disk: len,
            snapshot_end: len,
            was_loose: false,
            pending: Vec::new(),
        }))
    }

    /// Puts it in the place of the one in use. After an error it is not known which of them a crash would leave.
    pub(crate) fn publish(self) -> io::Result<Journal> {
        let Self(journal) = self;
        journal.faults.check()?;
        fs::rename(journal.path.with_file_name(DRAFT_NAME), &journal.path)?;
        sync_directory_of(&journal.path)?;
        Ok(journal)
    }
}

impl Journal {
    /// Whether the file at `path` is a journal that this driver can read; looks at its head alone (clause OPEN-2).
    pub(crate) fn check_head(path: &Path) -> Result<()> {
        let file =
            File::open(path).map_err(|error| unavailable(path, "it cannot be read", error))?;
        let mut found = [0; HEAD_BYTES];
        let is_there = file.read_exact_at(&mut found, 0).is_ok();
        if !is_there || found[..8] != MAGIC {
            return Err(foreign(path, "it is not a journal of this driver"));
        }
        if u32_at(&found, 12) != crc32c::crc32c(&found[..12]) {
            return Err(damaged(path, 0, "the checksum of its head does not match"));
        }
        match u32_at(&found, 8) {
            FORMAT => Ok(()),
            found => Err(newer(path, found, FORMAT)),
        }
    }

    /// Opens the journal of a directory and reads it to its end; a tail that a crash has cut is dropped (clause OPEN-3).
    pub(crate) fn open(dir: &Path, faults: &Faults) -> Result<(Self, Model)> {
        let path = dir.join(NAME);
        Self::check_head(&path)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path);
        let file = file.map_err(|error| unavailable(&path, "it cannot be opened", error))?;
        let found = file.metadata().map(|metadata| metadata.len());
        let found = found.map_err(|error| unavailable(&path, "it cannot be read", error))?;
        let mut journal = Self {
            file,
            path,
            faults: faults.clone(),
            len: found,
            on_disk: 0,
            snapshot_end: 0,
            was_loose: false,
            pending: Vec::new(),
        };
        let state = journal.read()?;
        journal.snapshot_end = state.snapshot_end;
        journal.was_loose = state.is_loose;
        journal.len = state.end;
        // What is shown from here on must not be lost, and what is appended must not stand behind a torn tail.
        let mended = faults
            .check()
            .and_then(|()| match found > state.end {
                true => journal.file.set_len(state.end),
                false => Ok(()),
            })
            .and_then(|()| journal.file.sync_all());
        mended.map_err(|error| unavailable(&journal.path, "its tail cannot be mended", error))?;
        journal.on_disk = journal.len;
        Ok((journal, state.model))
    }

    /// The state as the acknowledged part of the file has it.
    pub(crate) fn reload(&self) -> Result<Model> {
        let state = self.read()?;
        if state.end < self.len {
            return Err(damaged(&self.path, state.end, "a frame does not check"));
        }
        Ok(state.model)
    }

    /// Appends an entry, in memory.
    pub(crate) fn append(&mut self, entry: &[u8]) {
        push_frame(&mut self.pending, self.len, self.on_disk, entry);
    }

    /// Writes what was appended, and waits for the disk where that is asked for.
    ///
    /// After an error the file holds what it held before, as far as that can be arranged, and nothing is appended any more.
    pub(crate) fn settle(&mut self, is_synced: bool) -> io::Result<()> {
        let settled = self.try_settle(is_synced);
        if settled.is_err() {
            self.pending.clear();
            // The answer is an error already, whether this works or not.
            let _ = self.file.set_len(self.len);
        }
        settled
    }

    fn try_settle(&mut self, is_synced: bool) -> io::Result<()> {
        let end = self.len + self.pending.len() as u64;
        if !self.pending.is_empty() {
            if let Err(error) = self.faults.check() {
                // As a full disk does it: a part is written.
                let part = &self.pending[..self.pending.len() / 2];
                self.file.write_all_at(part, self.len)?;
                return Err(error);
            }
            self.file.write_all_at(&self.pending, self.len)?;
        }
        if is_synced && self.on_disk < end {
            self.faults.check_sync()?;
            self.file.sync_data()?;
            self.on_disk = end;
        }
        self.len = end;
        self.pending.clear();
        // One large round must not hold its memory for ever.
        self.pending.shrink_to(PENDING_BYTES_KEPT);
        Ok(())
    }

    /// How much is appended and not written.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How long it was when it held nothing but the state.
    pub(crate) fn snapshot_end(&self) -> u64 {
        self.snapshot_end
    }

    /// Whether numbers may have been given that it does not know of: it was not closed, and did not wait for the disk.
    pub(crate) fn was_loose(&self) -> bool {
        self.was_loose
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Touches the file.
    pub(crate) fn touch(&self) -> io::Result<()> {
        self.file.metadata().map(drop)
    }

    fn read(&self) -> Result<State> {
        let unreadable = |error| unavailable(&self.path, "it cannot be read", error);
        let len = usize::try_from(self.len)
            .map_err(|_| damaged(&self.path, self.len, "it is longer than memory can be"))?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, 0).map_err(unreadable)?;
        read_frames(&bytes, &self.path)
    }
}

const PENDING_BYTES_KEPT: usize = 1 << 20;

/// What a file holds.
struct State {
    model: Model,
    end: u64,
    snapshot_end: u64,
    is_loose: bool,
}

fn read_frames(bytes: &[u8], path: &Path) -> Result<State> {
    let mut model = Model::new();
    let mut at = HEAD_BYTES;
    let (mut snapshot_end, mut is_loose) = (None, false);
    while at < bytes.len() {
        let Some(frame) = frame_at(bytes, at) else {
            if is_settled_beyond(bytes, at) {
                return Err(damaged(path, at as u64, "a frame does not check"));
            }
            break;
        };
        let applied = replay(frame.entry, &mut model);
        let is_applied = applied.is_some_and(|applied| applied.is_ok());
        if !is_applied {
            return Err(damaged(path, at as u64, "an entry cannot be applied"));
        }
        at = frame.end;
        is_loose = loosens(frame.entry).unwrap_or(is_loose);
        snapshot_end = snapshot_end.or(Some(at as u64));
    }
    match snapshot_end {
        Some(snapshot_end) => Ok(State {
            model,
            end: at as u64,
            snapshot_end,
            is_loose,
        }),
        // It was on the disk before the file had its name.
        None => Err(damaged(path, at as u64, "the first frame does not check")),
    }
}

/// Whether a frame behind `at` says that the file was on the disk beyond `at`.
fn is_settled_beyond(bytes: &[u8], at: usize) -> bool {
    (at + 1..bytes.len())
        .filter_map(|later| frame_head_at(bytes, later))
        .any(|head| head.on_disk > at as u64)
}

struct Frame<'a> {
    entry: &'a [u8],
    end: usize,
}

fn frame_at(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let head = frame_head_at(bytes, at)?;
    let start = at + FRAME_HEAD_BYTES;
    let end = start.checked_add(usize::try_from(head.len).ok()?)?;
    let entry = bytes.get(start..end)?;
    (crc32c::crc32c(entry) == head.entry_crc).then_some(Frame { entry, end })
}

struct FrameHead {
    on_disk: u64,
    len: u64,
    entry_crc: u32,
}

/// The head of a frame. It names its own place: bytes of a payload that look like a frame stand elsewhere.
fn frame_head_at(bytes: &[u8], at: usize) -> Option<FrameHead> {
    let head = bytes.get(at..)?.get(..FRAME_HEAD_BYTES)?;
    if u64_at(head, 0) != at as u64 || u32_at(head, 24) != crc32c::crc32c(&head[..24]) {
        return None;
    }
    Some(FrameHead {
        on_disk: u64_at(head, 8),
        len: u64_at(head, 16),
        entry_crc: u32_at(head, 28),
    })
}

/// Appends a frame to bytes that stand at `base` of the file.
fn push_frame(out: &mut Vec<u8>, base: u64, on_disk: u64, entry: &[u8]) {
    let start = out.len();
    let place = base + start as u64;
    out.extend_from_slice(&place.to_le_bytes());
    out.extend_from_slice(&on_disk.to_le_bytes());
    out.extend_from_slice(&(entry.len() as u64).to_le_bytes());
    let head_crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&head_crc.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(entry).to_le_bytes());
    out.extend_from_slice(entry);
}

fn head() -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    let crc = crc32c::crc32c(&head[..12]);
    head[12..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Makes a new name in a directory survive the loss of power.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
