//! Lines into items: in order, in transactions that move the bookmark, and no faster than the queue has room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage_api::{ErrorKind, ItemBatch, NewItem, Partition, PartitionStats};
use tokio::sync::{Notify, mpsc, watch};

use crate::bookmark::{Bookmark, MoveError};
use crate::failure::Failure;
use crate::input::{Chunk, InputError, Mark};

/// How long room is waited for before it is looked for again, where nothing says that an item has ended: completions are
/// written some time after their work has ended, and another process may make room too.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How many bytes of lines may be on their way, so that a file of large lines fits memory as well as one of many.
const BYTES_MAX: u64 = 256 << 20;

/// What feeds a queue.
#[derive(Debug)]
pub struct Feeder {
    /// Where lines go, in turn.
    pub partitions: Vec<Partition>,
    /// Where the input stands, if it can be resumed.
    pub bookmark: Option<Bookmark>,
    /// How many items may be on their way.
    pub depth_max: u64,
    /// How often an item may be begun; 0 leaves it to the queue.
    pub attempts_max: u32,
    /// Lines that became items.
    pub produced: Arc<AtomicU64>,
    /// Wakes when an item has ended.
    pub ended: Arc<Notify>,
    /// True once nothing more is to be produced.
    pub stop: watch::Receiver<bool>,
    /// The partition whose turn it is.
    next: usize,
}

/// How feeding ended.
#[derive(Debug)]
pub enum Fed {
    /// The input is finished.
    Whole,
    /// It was told to stop.
    Stopped,
    /// The input cannot be read on; what came before is in the queue.
    Cut(InputError),
}

impl Feeder {
    /// Feeds those partitions; see the fields.
    pub fn new(
        partitions: Vec<Partition>,
        bookmark: Option<Bookmark>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            partitions,
            bookmark,
            depth_max: u64::MAX,
            attempts_max: 0,
            produced: Arc::default(),
            ended: Arc::default(),
            stop,
            next: 0,
        }
    }

    /// Produces every line that comes.
    pub async fn feed(
        &mut self,
        mut chunks: mpsc::Receiver<Result<Chunk, InputError>>,
    ) -> Result<Fed, Failure> {
        let mut stop = self.stop.clone();
        loop {
            let chunk = tokio::select! {
                biased;
                // An error says that nobody can tell any more to stop: then nobody wants more.
                _ = stop.wait_for(|stop| *stop) => return Ok(Fed::Stopped),
                chunk = chunks.recv() => chunk,
            };
            match chunk {
                None => return Ok(Fed::Whole),
                Some(Err(error)) => return Ok(Fed::Cut(error)),
                Some(Ok(chunk)) => {
                    if !self.produce(&chunk).await? {
                        return Ok(Fed::Stopped);
                    }
                }
            }
        }
    }

    /// Produces a chunk, in parts where there is no room for all of it; `false`: it was told to stop.
    async fn produce(&mut self, chunk: &Chunk) -> Result<bool, Failure> {
        let mut done = 0;
        let mut lines_max = chunk.len();
        let mut was_drained = false;
        while done < chunk.len() {
            if *self.stop.borrow() {
                return Ok(false);
            }
            let room = self.room().await?;
            if room == 0 {
                self.wait().await;
                continue;
            }
            let lines = (chunk.len() - done).min(lines_max).min(room);
            match self.produce_lines(chunk, done, lines).await? {
                None => {
                    done += lines;
                    lines_max = lines_max.saturating_mul(2);
                    was_drained = false;
                    self.produced.fetch_add(lines as u64, Ordering::Relaxed);
                }
                Some(_) if lines > 1 => lines_max = lines / 2,
                // Not even one: room comes only when an item goes. The look is repeated, as the last one may just have gone.
                Some(full) if was_drained => return Err(self.stuck(&full).await?),
                Some(_) => {
                    was_drained = depth(&self.partitions).await? == 0;
                    self.wait().await;
                }
            }
        }
        Ok(true)
    }

    /// Produces some lines into the first partition that has room; else the refusal of the last one.
    async fn produce_lines(
        &mut self,
        chunk: &Chunk,
        from: usize,
        lines: usize,
    ) -> Result<Option<storage_api::Error>, Failure> {
        let mut full = None;
        for turn in 0..self.partitions.len() {
            let index = (self.next + turn) % self.partitions.len();
            let mut batch = ItemBatch::new();
            for line in from..from + lines {
                batch.push(NewItem::new(chunk.line(line)).attempts_max(self.attempts_max))?;
            }
            match self
                .store(index, batch, chunk.mark_after(from + lines))
                .await
            {
                Ok(()) => {
                    self.next = index + 1;
                    return Ok(None);
                }
                Err(MoveError::Storage(error)) if error.kind() == ErrorKind::CapacityExceeded => {
                    full = Some(error);
                }
                Err(MoveError::Storage(error)) => return Err(error.into()),
                Err(MoveError::Taken) => {
                    return Err(Failure::broken(
                        "another run reads the same input into the same queue; let one of them finish",
                    ));
                }
            }
        }
        Ok(full)
    }

    async fn store(&mut self, index: usize, batch: ItemBatch, mark: Mark) -> Result<(), MoveError> {
        let partition = &self.partitions[index];
        match &mut self.bookmark {
            Some(bookmark) => bookmark.produce(partition, batch, mark).await,
            None => Ok(partition.produce_batch(batch).await.map(drop)?),
        }
    }

    /// How many items there is room for, whatever the limits of the queue are.
    async fn room(&self) -> Result<usize, Failure> {
        let (mut items, mut bytes) = (0, 0);
        for partition in &self.partitions {
            let stats = partition.stats().await?;
            items += on_its_way(&stats);
            bytes += stats.bytes() - stats.dead.bytes;
        }
        if bytes >= BYTES_MAX {
            return Ok(0);
        }
        let room = self.depth_max.saturating_sub(items);
        Ok(usize::try_from(room).unwrap_or(usize::MAX))
    }

    async fn wait(&self) {
        let _ = tokio::time::timeout(LOOK_AGAIN, self.ended.notified()).await;
    }

    async fn stuck(&self, full: &storage_api::Error) -> Result<Failure, Failure> {
        let mut dead = 0;
        for partition in &self.partitions {
            dead += partition.stats().await?.dead.items;
        }
        Ok(Failure::broken(if dead == 0 {
            format!("{full}; nothing is on its way that could make room")
        } else {
            format!(
                "the queue is full of dead items, {dead} of them: revive or clear them, or raise its limits"
            )
        }))
    }
}

/// How many items are on their way: all but the dead.
pub async fn depth(partitions: &[Partition]) -> storage_api::Result<u64> {
    let mut depth = 0;
    for partition in partitions {
        depth += on_its_way(&partition.stats().await?);
    }
    Ok(depth)
}

fn on_its_way(stats: &PartitionStats) -> u64 {
    stats.ready.items + stats.scheduled.items + stats.leased.items
}
