//! What an engine must be able to do: five verbs, and a few that have a default.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::ops::ControlFlow;

use storage_api::Direction;

use crate::batch::WriteBatch;
use crate::keyspace::Keyspace;

/// What engines say of errors of the system.
const WORDS: [(&str, io::ErrorKind); 4] = [
    ("No space left on device", io::ErrorKind::StorageFull),
    ("no storage space", io::ErrorKind::StorageFull),
    ("Permission denied", io::ErrorKind::PermissionDenied),
    ("Read-only file system", io::ErrorKind::ReadOnlyFilesystem),
];

/// The result of an engine's verb.
pub type KvResult<T> = Result<T, KvError>;

/// What `scan` calls for each row, key and value; it says whether it wants another.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered key-value engine: everything that a queue on disk needs of one.
///
/// Every method may be called from any thread at any time. [`prove`](crate::prove) compares an implementation with a
/// `BTreeMap`.
pub trait OrderedKv: Send + Sync + 'static {
    /// The value of a key, or `None`.
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>>;

    /// Shows the rows of a span in byte order of their keys, or backwards, until `visit` breaks.
    ///
    /// One scan sees the batches that were written before it, and of one written meanwhile either all or nothing. `visit`
    /// does not call the engine.
    fn scan(
        &self,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> KvResult<()>;

    /// Applies a batch: wholly or, if this fails, not at all.
    ///
    /// It is visible when this returns. After the loss of power it is there only if everything written before it is there,
    /// and it certainly is once a later [`sync`](Self::sync) returned.
    fn write(&self, batch: WriteBatch) -> KvResult<()>;

    /// Returns when every batch written before is on stable storage.
    fn sync(&self) -> KvResult<()>;

    /// The bytes that the engine takes on disk, or wherever it keeps its rows. Of files these are the blocks that are given to
    /// them, which are what others cannot have: a file may have more than its length, and one with holes has fewer.
    fn disk_bytes(&self) -> KvResult<u64>;

    /// What holds for the engine as long as it is open.
    fn traits(&self) -> EngineTraits;

    /// [`write`](Self::write) and [`sync`](Self::sync) in one, for engines in which that is cheaper.
    fn write_synced(&self, batch: WriteBatch) -> KvResult<()> {
        self.write(batch)?;
        self.sync()
    }

    /// How many bytes of written batches sit in memory until the next `sync`, where that is what they do.
    fn backlog(&self) -> u64 {
        0
    }

    /// Forgets the batches that nothing but its own memory holds, and takes no more of them: a sync has failed, so they will
    /// never be durable, and what is read from here on is what a reopening would find.
    fn abandon(&self) {}

    /// Gives space back to the system if there is much of it; called every few seconds from a thread that may block.
    ///
    /// `is_idle` says that nothing was written for a while, so that nobody is kept waiting. The answer is whether there is still
    /// more than there should be, so that it is to be asked again even if nothing is written until then; where it is not, what
    /// was given back has left the disk.
    fn reclaim(&self, is_idle: bool) -> KvResult<bool> {
        let _ = is_idle;
        Ok(false)
    }

    /// Lets go of every file. Nothing but `close` is called afterwards.
    fn close(&self) -> KvResult<()> {
        Ok(())
    }
}

/// What holds for an engine as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineTraits {
    /// Whether a written batch survives SIGKILL without a `sync`.
    pub survives_kill: bool,
    /// Whether a synced batch survives the loss of power. A backend over an engine without it does not open at
    /// `power-loss`, and its `sync` is `Unsupported` (clauses DUR-1 and DUR-4).
    pub survives_power_loss: bool,
    /// Whether removing a range costs the same however many rows lie in it.
    pub has_cheap_range_deletes: bool,
}

/// The keys from one up to but without another; empty if the first is not smaller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// The first key.
    pub from: &'a [u8],
    /// The first key behind the span; `None`: it has no end.
    pub to: Option<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// From a key up to but without another.
    pub fn new(from: &'a [u8], to: &'a [u8]) -> Self {
        Self { from, to: Some(to) }
    }

    /// Every key.
    pub fn all() -> Self {
        Self {
            from: &[],
            to: None,
        }
    }

    /// Whether no key lies within.
    pub fn is_empty(&self) -> bool {
        self.to.is_some_and(|to| self.from >= to)
    }

    /// Whether a key lies within.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from <= key && self.to.is_none_or(|to| key < to)
    }
}

impl fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.from.escape_ascii())?;
        match self.to {
            Some(to) => write!(f, "{}", to.escape_ascii()),
            None => Ok(()),
        }
    }
}

/// What an engine's error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KvErrorKind {
    /// It did not work this time: input or output failed, the disk is full.
    Unavailable,
    /// Stored bytes are damaged.
    Corrupted,
    /// The engine broke an invariant of its own, or panicked: nothing more may be written.
    Broken,
}

/// The error of an engine's verb.
#[derive(Debug)]
pub struct KvError {
    kind: KvErrorKind,
    reason: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl KvError {
    /// An error of that kind, for that reason.
    pub fn new(kind: KvErrorKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            source: None,
        }
    }

    /// The same error with the error beneath it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What it means.
    pub fn kind(&self) -> KvErrorKind {
        self.kind
    }

    /// Which error of the system it came of. Some engines tell that in words only, which are those of the system or of Rust.
    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        let source = self.source.as_deref();
        let source = source.and_then(|source| source.downcast_ref::<io::Error>());
        let told = WORDS.iter().find(|(words, _)| self.reason.contains(words));
        source
            .map(io::Error::kind)
            .filter(|kind| *kind != io::ErrorKind::Other)
            .or(told.map(|(_, kind)| *kind))
    }

    /// Whether the disk has no room: then it has to be made before anything else helps.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(
            self.io_kind(),
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        )
    }

    pub(crate) fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.source
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for KvError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
