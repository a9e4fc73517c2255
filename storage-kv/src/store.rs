//! The engine with what every access to it has in common: checksums, sync for everybody at once, the latch.
//!
//! Each value ends with the CRC-32C of its keyspace, key and value, so that what an engine gives out wrongly is told,
//! whatever it checks itself.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use storage_api::{Direction, Durability, Error, ErrorKind, Object, Operation, Outcome, RetryHint};

use crate::ahead::Aheads;
use crate::batch::WriteBatch;
use crate::codec::Writer;
use crate::engine::{KvError, KvErrorKind, KvResult, OrderedKv, Span};
use crate::keyspace::Keyspace;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::awaited::oneshot;
use crate::sync::{Condvar, Mutex, OnceLock};

const CHECKSUM_BYTES: usize = 4;

/// So many bytes of unsynced batches in the memory of an engine make a sync worth its while, though nobody waits for it: few
/// enough that they are written while more come in, and not when there is no more room.
const BACKLOG_BYTES: u64 = 2 << 20;
/// So many make operations wait until a sync has made room.
const BACKLOG_BYTES_MAX: u64 = 8 * BACKLOG_BYTES;

/// A batch of rows with their checksums.
#[derive(Debug, Default)]
pub(crate) struct Rows(WriteBatch);

impl Rows {
    /// Makes room for so many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// Makes room for so many rows more of a keyspace.
    pub(crate) fn reserve_rows(&mut self, space: Keyspace, rows: usize) {
        self.0.reserve_rows(space, rows);
    }

    pub(crate) fn put(&mut self, space: Keyspace, key: &[u8], parts: &[&[u8]]) {
        // Key and value lie behind each other in the batch, so that one pass does for both.
        let checksum = |row: &[u8]| crc32c::crc32c_append(seed(space), row).to_le_bytes();
        self.0.put_sealed(space, key, parts, checksum);
    }

    pub(crate) fn put_row(&mut self, space: Keyspace, key: &[u8], row: &Writer) {
        self.put(space, key, &[row.as_slice()]);
    }

    pub(crate) fn delete(&mut self, space: Keyspace, key: &[u8]) {
        self.0.delete(space, key);
    }

    pub(crate) fn delete_range(&mut self, space: Keyspace, from: &[u8], to: &[u8]) {
        self.0.delete_range(space, from, to);
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.0.append(&other.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A checksum begins with the keyspace, so that a row of one is none of another.
fn seed(space: Keyspace) -> u32 {
    static SEEDS: LazyLock<[u32; Keyspace::COUNT]> =
        LazyLock::new(|| Keyspace::ALL.map(|space| crc32c::crc32c(space.name().as_bytes())));
    SEEDS[space.index()]
}

/// Rows up to this size are copied to be checked: eight aligned bytes take a checksum the time of one that is not.
const COPIED_BYTES_MAX: usize = 256;

/// Memory for a row, aligned for its checksum.
#[repr(align(8))]
struct Aligned([u8; COPIED_BYTES_MAX]);

impl Aligned {
    fn new() -> Self {
        Self([0; COPIED_BYTES_MAX])
    }
}

/// The value without its checksum, if that is right.
fn checked<'a>(
    space: Keyspace,
    key: &[u8],
    value: &'a [u8],
    memory: &mut Aligned,
) -> KvResult<&'a [u8]> {
    if let Some((value, checksum)) = value.split_last_chunk::<CHECKSUM_BYTES>() {
        let len = key.len() + value.len();
        let crc = match memory.0.get_mut(..len) {
            Some(row) => {
                row[..key.len()].copy_from_slice(key);
                row[key.len()..].copy_from_slice(value);
                crc32c::crc32c_append(seed(space), row)
            }
            None => crc32c::crc32c_append(crc32c::crc32c_append(seed(space), key), value),
        };
        if crc.to_le_bytes() == *checksum {
            return Ok(value);
        }
    }
    Err(damaged(space, key, "its checksum does not match"))
}

/// A row whose bytes are not what this crate writes.
pub(crate) fn damaged(space: Keyspace, key: &[u8], what: &str) -> KvError {
    KvError::new(
        KvErrorKind::Corrupted,
        format!(
            "row {} of {space} is damaged: {what}; restore the place from a copy",
            key.escape_ascii()
        ),
    )
}

/// How long an acknowledgement waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Until the backend's durability holds.
    Full,
    /// Until `process-crash` holds, where that or more is promised: for lease, maintain and purge (clause DUR-1).
    Crash,
}

/// What helps where the disk is full, before anything else does.
pub(crate) const MAKE_ROOM: &str = "make room on the disk first";

/// The disk that a place is on.
pub(crate) struct DiskSpace {
    /// How many bytes are free.
    pub(crate) free_bytes: Box<dyn Fn() -> std::io::Result<u64> + Send + Sync>,
    /// How many of them are kept for what makes room.
    pub(crate) reserve: u64,
}

impl std::fmt::Debug for DiskSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskSpace")
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

/// The engine behind its checksums and its latch.
#[derive(Debug)]
pub(crate) struct Store<E> {
    engine: E,
    /// How messages name it.
    place: String,
    durability: Durability,
    space: Option<DiskSpace>,
    survives_kill: bool,
    /// Whether syncs happen in the thread that asks, and no other threads exist.
    is_inline: bool,
    /// How many batches were written.
    written: AtomicU64,
    /// How many of them are on stable storage.
    synced: AtomicU64,
    /// Held from the begin of a sync to the latch that closes where it fails: a second sync may succeed without having
    /// written what the first one lost.
    syncing: Mutex<()>,
    queue: Mutex<Queue>,
    wanted: Condvar,
    /// Why nothing is written any more.
    latch: OnceLock<String>,
    pub(crate) aheads: Aheads,
}

#[derive(Debug, Default)]
struct Queue {
    /// Who waits for which batch.
    waiters: Vec<(u64, oneshot::Sender<()>)>,
    is_wanted: bool,
    is_ending: bool,
}

impl<E: OrderedKv> Store<E> {
    pub(crate) fn new(
        engine: E,
        place: String,
        durability: Durability,
        space: Option<DiskSpace>,
        is_inline: bool,
    ) -> Self {
        let survives_kill = engine.traits().survives_kill;
        Self {
            engine,
            place,
            durability,
            space,
            survives_kill,
            is_inline,
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            syncing: Mutex::default(),
            queue: Mutex::default(),
            wanted: Condvar::new(),
            latch: OnceLock::new(),
            aheads: Aheads::default(),
        }
    }

    pub(crate) fn engine(&self) -> &E {
        &self.engine
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.is_inline
    }

    pub(crate) fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        let Some(mut value) = self.guarded(|engine| engine.get(space, key))? else {
            return Ok(None);
        };
        let len = checked(space, key, &value, &mut Aligned::new())?.len();
        value.truncate(len);
        Ok(Some(value))
    }

    /// Shows rows until `visit` breaks or fails. It does not call the store.
    pub(crate) fn scan(
        &self,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        mut visit: impl FnMut(&[u8], &[u8]) -> KvResult<ControlFlow<()>>,
    ) -> KvResult<()> {
        if span.is_empty() {
            return Ok(());
        }
        let mut failure = None;
        let mut memory = Aligned::new();
        self.guarded(|engine| {
            engine.scan(space, span, direction, &mut |key, value| match checked(
                space,
                key,
                value,
                &mut memory,
            )
            .and_then(|value| visit(key, value))
            {
                Ok(flow) => flow,
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            })
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// Shows the rows whose keys begin with a prefix.
    pub(crate) fn scan_prefix(
        &self,
        space: Keyspace,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> KvResult<ControlFlow<()>>,
    ) -> KvResult<()> {
        let behind = crate::keys::behind(prefix);
        let span = Span {
            from: prefix,
            to: behind.as_deref(),
        };
        self.scan(space, span, Direction::Forward, visit)
    }

    /// Writes a batch; the answer is its number, for [`settle`](Self::settle).
    ///
    /// After a failure nothing more is written: what it left behind is known after a reopening only.
    pub(crate) fn write(&self, rows: Rows) -> KvResult<u64> {
        self.check_writable()?;
        let mut batch = rows.0;
        batch.order();
        let written = self.guarded(|engine| engine.write(batch));
        written.inspect_err(|error| self.stop(error))?;
        Ok(self.written.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// The number of the batch written last.
    pub(crate) fn last_written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether a batch and all before it are on stable storage.
    pub(crate) fn is_synced(&self, batch: u64) -> bool {
        batch <= self.synced.load(Ordering::Acquire)
    }

    /// Returns when what an operation wrote or saw, up to that batch, is as durable as its `Ok` says.
    pub(crate) async fn settle(&self, batch: u64, level: Level) -> KvResult<()> {
        let is_waiting = match (self.durability, level) {
            (Durability::None, _) => false,
            (Durability::PowerLoss, Level::Full) => true,
            (Durability::ProcessCrash, _) | (Durability::PowerLoss, Level::Crash) => {
                !self.survives_kill
            }
        };
        if is_waiting {
            return self.synced(batch).await;
        }
        if self.engine.backlog() > BACKLOG_BYTES {
            self.want_sync();
        }
        Ok(())
    }

    /// Lets an operation in that will write: at once, or when the engine's memory has room again.
    pub(crate) async fn admit(&self) -> KvResult<()> {
        self.check_writable()?;
        if self.engine.backlog() > BACKLOG_BYTES_MAX {
            self.synced(self.last_written()).await?;
        }
        Ok(())
    }

    /// Returns when a batch and all before it are on stable storage. Dropping the future changes nothing.
    pub(crate) async fn synced(&self, batch: u64) -> KvResult<()> {
        if self.is_synced(batch) {
            return Ok(());
        }
        if self.is_inline {
            return self.sync_now();
        }
        let synced = {
            let mut queue = self.queue.lock();
            self.check_writable()?;
            let (sender, receiver) = oneshot::channel();
            queue.waiters.push((batch, sender));
            receiver
        };
        self.wanted.notify_one();
        // A sender is dropped without a word only if the sync failed.
        match synced.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.refusal()),
        }
    }

    /// Syncs if the engine's memory holds much that is not: for threads that write and do not wait.
    pub(crate) fn relieve(&self) -> KvResult<()> {
        if self.engine.backlog() > BACKLOG_BYTES {
            self.sync_now()?;
        }
        Ok(())
    }

    /// Why nothing that grows may be written now, if the disk is too full (clause LIMIT-2).
    pub(crate) fn shortage(&self) -> Option<String> {
        let space = self.space.as_ref()?;
        if space.reserve == 0 {
            return None;
        }
        // Where the system does not say how much is free, nothing is refused.
        let free = (space.free_bytes)().ok()?;
        let free = free.saturating_sub(self.engine.backlog());
        (free < space.reserve).then(|| {
            format!(
                "{free} bytes are free on the disk, and disk-reserve keeps {} for what makes room; complete or delete items, make room on the disk, or set a smaller disk-reserve",
                space.reserve
            )
        })
    }

    /// Has a sync begun soon, for nobody in particular.
    pub(crate) fn want_sync(&self) {
        if self.is_inline {
            // A failure closes the latch, which the next write meets.
            let _ = self.sync_now();
            return;
        }
        self.queue.lock().is_wanted = true;
        self.wanted.notify_one();
    }

    /// Syncs in this thread.
    pub(crate) fn sync_now(&self) -> KvResult<()> {
        let _syncing = self.syncing.lock();
        self.check_writable()?;
        let covered = self.last_written();
        let synced = self.guarded(OrderedKv::sync);
        synced.inspect_err(|error| self.stop(error))?;
        self.synced.fetch_max(covered, Ordering::AcqRel);
        Ok(())
    }

    /// The life of the syncing thread: one sync for all who wait, again and again, until [`end`](Self::end).
    pub(crate) fn run_syncs(&self) {
        loop {
            {
                let mut queue = self.queue.lock();
                while queue.waiters.is_empty() && !queue.is_wanted {
                    if queue.is_ending {
                        return;
                    }
                    self.wanted.wait(&mut queue);
                }
                queue.is_wanted = false;
            }
            let result = self.sync_now();
            let mut queue = self.queue.lock();
            let waiters = std::mem::take(&mut queue.waiters);
            if result.is_err() {
                // Dropped, which tells them.
                continue;
            }
            for (batch, sender) in waiters {
                if self.is_synced(batch) {
                    // An error says that the future was dropped.
                    let _ = sender.send(());
                } else {
                    queue.waiters.push((batch, sender));
                }
            }
        }
    }

    /// Ends the syncing thread once nobody waits.
    pub(crate) fn end(&self) {
        self.queue.lock().is_ending = true;
        self.wanted.notify_one();
    }

    /// Why nothing is written any more, if that is so.
    pub(crate) fn latched(&self) -> Option<&str> {
        self.latch.get().map(String::as_str)
    }

    pub(crate) fn check_writable(&self) -> KvResult<()> {
        match self.latch.get() {
            None => Ok(()),
            Some(_) => Err(self.refusal()),
        }
    }

    fn refusal(&self) -> KvError {
        let why = self
            .latched()
            .unwrap_or("a sync failed; close the backend and open it again");
        KvError::new(
            KvErrorKind::Broken,
            format!("writes are stopped since {why}"),
        )
    }

    /// From here on nothing is written, and reads show what a reopening would find.
    fn stop(&self, error: &KvError) {
        if self.latch.get().is_none() && self.durability != Durability::None {
            // Nobody was told that any of it was applied. Where that was not waited for, it stays as long as the process.
            self.engine.abandon();
        }
        // Only the first reason counts.
        let first = match error.is_disk_full() {
            true => format!("{MAKE_ROOM}, then "),
            false => String::new(),
        };
        let _ = self.latch.set(format!(
            "the engine refused one: {error}; {first}close the backend and open it again"
        ));
    }

    /// Calls the engine; its panic is an error that stops writes.
    pub(crate) fn guarded<T>(&self, call: impl FnOnce(&E) -> KvResult<T>) -> KvResult<T> {
        let result =
            catch_unwind(AssertUnwindSafe(|| call(&self.engine))).unwrap_or_else(|panic| {
                let what = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                Err(KvError::new(
                    KvErrorKind::Broken,
                    format!(
                        "the engine panicked ({what}), most likely over damage; close the backend, and verify the place"
                    ),
                ))
            });
        if let Err(error) = &result
            && error.kind() == KvErrorKind::Broken
        {
            self.stop(error);
        }
        result
    }

    /// The bytes on disk.
    pub(crate) fn disk_bytes(&self) -> KvResult<u64> {
        self.guarded(OrderedKv::disk_bytes)
    }

    /// Gives space back, of what is gone for good; the answer is whether there is still more of it than there should be.
    pub(crate) fn reclaim(&self, is_idle: bool) -> KvResult<bool> {
        if self.engine.backlog() > 0 {
            self.sync_now()?;
        }
        self.guarded(|engine| engine.reclaim(is_idle))
    }

    /// Lets go of the engine's files.
    pub(crate) fn close(&self) -> KvResult<()> {
        self.guarded(OrderedKv::close)
    }

    /// What an operation says of an engine's error that changed nothing.
    pub(crate) fn error(&self, operation: Operation, error: KvError) -> Error {
        let object = Object::Place(self.place.clone());
        let (kind, hint) = match error.kind() {
            KvErrorKind::Unavailable => (ErrorKind::Unavailable, RetryHint::SameCall),
            KvErrorKind::Corrupted => (ErrorKind::Corrupted, RetryHint::Never),
            KvErrorKind::Broken => (ErrorKind::Unavailable, RetryHint::AfterReopen),
        };
        let mut reason = error.to_string();
        if error.is_disk_full() && !reason.contains(MAKE_ROOM) {
            reason = format!("{reason}; {MAKE_ROOM}");
        }
        let told = Error::new(kind, operation, object, reason).with_retry_hint(hint);
        match error.into_source() {
            Some(source) => told.with_source(source),
            None => told,
        }
    }

    /// What an operation says when its write or its sync failed: nobody knows what a reopening will find.
    pub(crate) fn unknown(&self, operation: Operation, error: KvError) -> Error {
        self.error(operation, error)
            .with_retry_hint(RetryHint::AfterReopen)
            .with_outcome(Outcome::Unknown)
    }
}
