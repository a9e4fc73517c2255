//! The least that a queue by hand needs for many producers of single items: each puts the one row of its item straight into
//! the engine, synced, from a thread of its own.
//!
//! Nothing gathers what waits but the engine itself. RocksDB writes all that wait for its log with one sync, redb has one
//! writer at a time and a sync for each, and sled flushes what is there. What an engine waits for blocks its thread, so that
//! fewer threads than producers would let fewer of them wait. Engines are as their libraries open them.

use std::error::Error;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Failure;
use crate::drivers::DiskDriver;
use crate::measure::rate;

/// Why a row could not be put, from any thread.
type PutFailure = Box<dyn Error + Send + Sync>;

const REDB_TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("items");

/// An engine of its own into which rows go one by one.
pub(super) enum HandCrowd {
    Redb(redb::Database),
    #[cfg(feature = "rocks")]
    Rocks(rocksdb::DB),
    #[cfg(feature = "sled")]
    Sled(sled::Db),
}

impl HandCrowd {
    pub(super) fn open(driver: DiskDriver, directory: &Path) -> Result<Self, Failure> {
        Ok(match driver {
            DiskDriver::Redb => Self::Redb(redb::Database::create(directory.join("items.redb"))?),
            #[cfg(feature = "rocks")]
            DiskDriver::Rocks => Self::Rocks(rocksdb::DB::open_default(directory)?),
            #[cfg(feature = "sled")]
            DiskDriver::Sled => Self::Sled(sled::open(directory)?),
        })
    }

    /// Puts a row onto the disk. Where there is one writer at a time, and its turn comes too late, it does not, and answers
    /// `false`.
    fn put(&self, number: u64, payload: &[u8], ends: Instant) -> Result<bool, PutFailure> {
        match self {
            Self::Redb(database) => {
                let transaction = database.begin_write()?;
                if Instant::now() > ends {
                    transaction.abort()?;
                    return Ok(false);
                }
                transaction
                    .open_table(REDB_TABLE)?
                    .insert(number, payload)?;
                transaction.commit()?;
            }
            #[cfg(feature = "rocks")]
            Self::Rocks(database) => {
                let mut synced = rocksdb::WriteOptions::default();
                synced.set_sync(true);
                database.put_opt(number.to_be_bytes(), payload, &synced)?;
            }
            #[cfg(feature = "sled")]
            Self::Sled(database) => {
                database.insert(number.to_be_bytes(), payload)?;
                database.flush()?;
            }
        }
        Ok(true)
    }

    /// Has that many producers put so many items each, or as many as they get to within that time. Answers
    /// the items in a second, from the first that began to the last that was done.
    pub(super) fn produce(
        &self,
        numbers: &AtomicU64,
        producers: usize,
        items_each: usize,
        within: Duration,
    ) -> Result<f64, Failure> {
        let payload = [b'x'; super::SMALL];
        let ready = Barrier::new(producers);
        let work = || {
            ready.wait();
            let began = Instant::now();
            let ends = began + within;
            let mut done = 0;
            while done < items_each && (done == 0 || Instant::now() < ends) {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if !self.put(number, &payload, ends)? {
                    break;
                }
                done += 1;
            }
            Ok::<_, PutFailure>((began, done, Instant::now()))
        };
        let ended: Result<Vec<_>, PutFailure> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..producers).map(|_| scope.spawn(work)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().expect("a producer by hand does not panic")
            };
            threads.into_iter().map(join).collect()
        });
        let ended = ended.map_err(|failure| -> Failure { failure })?;
        let done = ended.iter().map(|(_, done, _)| done).sum();
        let began = ended.iter().map(|(began, ..)| *began).min();
        let over = ended.iter().map(|(.., over)| *over).max();
        let took = began.zip(over).map(|(began, over)| over - began);
        Ok(rate(done, took.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVERS: &[DiskDriver] = &[
        DiskDriver::Redb,
        #[cfg(feature = "rocks")]
        DiskDriver::Rocks,
        #[cfg(feature = "sled")]
        DiskDriver::Sled,
    ];

    /// How many rows lie in a directory, and how many bytes their payloads have.
    fn found(driver: DiskDriver, directory: &Path) -> (usize, usize) {
        let payloads: Vec<usize> = match HandCrowd::open(driver, directory).unwrap() {
            HandCrowd::Redb(database) => {
                use redb::{ReadableDatabase as _, ReadableTable as _};
                let table = database
                    .begin_read()
                    .unwrap()
                    .open_table(REDB_TABLE)
                    .unwrap();
                let rows = table.iter().unwrap();
                rows.map(|row| row.unwrap().1.value().len()).collect()
            }
            #[cfg(feature = "rocks")]
            HandCrowd::Rocks(database) => {
                let rows = database.iterator(rocksdb::IteratorMode::Start);
                rows.map(|row| row.unwrap().1.len()).collect()
            }
            #[cfg(feature = "sled")]
            HandCrowd::Sled(database) => database.iter().map(|row| row.unwrap().1.len()).collect(),
        };
        (payloads.len(), payloads.iter().sum())
    }

    #[test]
    fn what_many_produce_by_hand_is_in_the_engine_each_item_once() {
        for driver in DRIVERS {
            let directory = tempfile::tempdir().unwrap();
            let crowd = HandCrowd::open(*driver, directory.path()).unwrap();
            let numbers = AtomicU64::new(0);

            let rate = crowd
                .produce(&numbers, 8, 3, Duration::from_secs(3600))
                .unwrap();
            drop(crowd);

            assert!(rate > 0.0, "{driver:?}");
            let items = 8 * 3;
            assert_eq!(
                found(*driver, directory.path()),
                (items, items * super::super::SMALL)
            );
        }
    }
}
