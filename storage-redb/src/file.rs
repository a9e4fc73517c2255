//! The file beneath redb: as soon as a write fails, it stays as it is on disk and goes on in memory.
//!
//! redb gives up at the first failed write, and then reads nothing any more either. But reads must go on until the place is
//! opened again. So whatever redb writes after a failure is kept in memory, where its reads find it, and the disk is left
//! as a crash at the moment of the failure would leave it. That a write failed is told by [`Tripwire`]; nobody acknowledges
//! anything after it has tripped, so what is kept in memory is the rest of one batch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use storage_kv::Faults;

/// Tells whether a write has failed, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tripwire {
    has_tripped: Arc<AtomicBool>,
    reason: Arc<Mutex<Option<String>>>,
}

impl Tripwire {
    /// The first failure, if there was one.
    pub(crate) fn tripped(&self) -> Option<String> {
        if !self.has_tripped.load(Ordering::Acquire) {
            return None;
        }
        self.reason.lock().clone()
    }

    fn trip(&self, what: &str, error: &io::Error) {
        let mut reason = self.reason.lock();
        reason.get_or_insert_with(|| format!("{what} failed: {error}"));
        self.has_tripped.store(true, Ordering::Release);
    }
}

/// What the file does.
pub(crate) trait Disk: std::fmt::Debug + Send + Sync + 'static {
    fn len(&self) -> io::Result<u64>;
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// A file, and what is to fail of it.
#[derive(Debug)]
pub(crate) struct FaultyFile {
    pub(crate) file: File,
    pub(crate) faults: Faults,
}

impl Disk for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.faults.check_write().map_err(|_| full())?;
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.check_write().map_err(|_| full())?;
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.check_sync().map_err(|_| full())?;
        self.file.sync_data()
    }
}

/// What files say of a disk that takes nothing more.
fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

/// A file that outlives its own failure.
#[derive(Debug)]
pub(crate) struct SteadyFile<D> {
    disk: D,
    tripwire: Tripwire,
    /// What was written since the failure.
    after: RwLock<Option<After>>,
}

#[derive(Debug)]
struct After {
    len: u64,
    /// By offset; ranges do not overlap.
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl<D: Disk> SteadyFile<D> {
    pub(crate) fn new(disk: D, tripwire: Tripwire) -> Self {
        Self {
            disk,
            tripwire,
            after: RwLock::new(None),
        }
    }

    /// A file of which nothing is ever written to the disk.
    pub(crate) fn dry(disk: D) -> io::Result<Self> {
        let after = After {
            len: disk.len()?,
            pieces: BTreeMap::new(),
        };
        Ok(Self {
            disk,
            tripwire: Tripwire::default(),
            after: RwLock::new(Some(after)),
        })
    }

    /// Does it to the disk, or in memory if that fails now or failed before.
    fn change(
        &self,
        what: &str,
        to_disk: impl FnOnce(&D) -> io::Result<()>,
        to_memory: impl FnOnce(&mut After),
    ) -> io::Result<()> {
        let mut after = self.after.write();
        if after.is_none() {
            match to_disk(&self.disk) {
                Ok(()) => return Ok(()),
                Err(error) => self.tripwire.trip(what, &error),
            }
        }
        let after = match &mut *after {
            Some(after) => after,
            none => none.insert(After {
                len: self.disk.len()?,
                pieces: BTreeMap::new(),
            }),
        };
        to_memory(after);
        Ok(())
    }
}

impl After {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        // What is written over is cut away.
        let overlapped: Vec<u64> = self
            .pieces
            .range(..end)
            .rev()
            .take_while(|(start, piece)| *start + piece.len() as u64 > offset)
            .map(|(start, _)| *start)
            .collect();
        for start in overlapped {
            let Some(piece) = self.pieces.remove(&start) else {
                continue;
            };
            let piece_end = start + piece.len() as u64;
            if start < offset {
                self.pieces
                    .insert(start, piece[..at(offset - start)].to_vec());
            }
            if piece_end > end {
                self.pieces.insert(end, piece[at(end - start)..].to_vec());
            }
        }
        self.pieces.insert(offset, bytes.to_vec());
        self.len = self.len.max(end);
    }

    fn read(&self, disk: &impl Disk, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        let on_disk = disk.len()?.min(end).saturating_sub(offset);
        disk.read(offset, &mut out[..at(on_disk)])?;
        let pieces = self.pieces.range(..end).rev();
        for (start, piece) in
            pieces.take_while(|(start, piece)| **start + piece.len() as u64 > offset)
        {
            let from = (*start).max(offset);
            let to = (start + piece.len() as u64).min(end);
            out[at(from - offset)..at(to - offset)]
                .copy_from_slice(&piece[at(from - start)..at(to - start)]);
        }
        Ok(())
    }
}

/// An offset within something that is in memory.
fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("it lies within a slice")
}

impl<D: Disk> redb::StorageBackend for SteadyFile<D> {
    fn len(&self) -> io::Result<u64> {
        match &*self.after.read() {
            Some(after) => Ok(after.len),
            None => self.disk.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.after.read() {
            Some(after) => after.read(&self.disk, offset, out),
            None => self.disk.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(
            "resizing the file",
            |disk| disk.set_len(len),
            |after| {
                // What lies behind the new end reads as zeros if the file grows again.
                if len < after.len {
                    let zeros = vec![0; at(after.len - len)];
                    after.write(len, &zeros);
                }
                after.len = len;
            },
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change("syncing the file", Disk::sync, |_| {})
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(
            "writing to the file",
            |disk| disk.write(offset, bytes),
            |after| after.write(offset, bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::StorageBackend as _;

    /// A disk in memory that fails once told to.
    #[derive(Debug, Default, Clone)]
    struct Memory {
        bytes: Arc<Mutex<Vec<u8>>>,
        fails: Arc<AtomicBool>,
    }

    impl Memory {
        fn check(&self) -> io::Result<()> {
            match self.fails.load(Ordering::Relaxed) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    impl Disk for Memory {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            out.copy_from_slice(&self.bytes.lock()[at(offset)..][..out.len()]);
            Ok(())
        }

        fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.check()?;
            self.bytes.lock()[at(offset)..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.check()?;
            self.bytes.lock().resize(at(len), 0);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.check()
        }
    }

    #[test]
    fn what_is_written_after_a_failure_is_read_and_not_on_the_disk() {
        let disk = Memory::default();
        let tripwire = Tripwire::default();
        let file = SteadyFile::new(disk.clone(), tripwire.clone());
        file.set_len(10).unwrap();
        file.write(0, b"0123456789").unwrap();
        assert_eq!(tripwire.tripped(), None);
        disk.fails.store(true, Ordering::Relaxed);

        file.write(2, b"ab").unwrap();
        file.write(3, b"cde").unwrap();
        file.set_len(14).unwrap();
        file.write(12, b"xy").unwrap();
        file.sync_data().unwrap();

        assert!(tripwire.tripped().is_some());
        assert_eq!(file.len().unwrap(), 14);
        let mut all = [9; 14];
        file.read(0, &mut all).unwrap();
        assert_eq!(&all, b"01acde6789\0\0xy");
        let mut some = [0; 3];
        file.read(3, &mut some).unwrap();
        assert_eq!(&some, b"cde");
        assert_eq!(*disk.bytes.lock(), b"0123456789");
        assert!(file.read(12, &mut some).is_err(), "behind the end");
    }

    #[test]
    fn what_was_cut_off_after_a_failure_is_zero_when_the_file_grows_again() {
        let disk = Memory::default();
        let file = SteadyFile::new(disk.clone(), Tripwire::default());
        file.set_len(4).unwrap();
        file.write(0, b"abcd").unwrap();
        disk.fails.store(true, Ordering::Relaxed);

        file.set_len(2).unwrap();
        file.set_len(4).unwrap();

        let mut all = [9; 4];
        file.read(0, &mut all).unwrap();
        assert_eq!(&all, b"ab\0\0");
    }
}
