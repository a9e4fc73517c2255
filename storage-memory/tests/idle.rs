//! An instance that nobody calls does nothing: it has neither a thread nor a task that could.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use storage_api::{
    Count, ItemBatch, ItemStore, LeaseRequest, NewItem, PartitionConfig, PartitionId,
    PartitionStore, Timestamp,
};
use storage_memory::{MemoryBackend, MemoryConfig};

/// Polls once, outside of any runtime: who would spawn a task or wait for a timer would panic here.
fn done<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation in memory ends in its first poll"),
    }
}

/// The threads of this process; `None` where the system does not tell.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

// The only test of its file, so that no other comes and goes with a thread of its own.
#[test]
fn instances_with_leases_and_timers_have_no_threads() {
    let before = threads();
    let config = MemoryConfig::default().max_memory(64 << 20);

    let backends: Vec<MemoryBackend> = (0..50)
        .map(|_| {
            let backend = MemoryBackend::open(config).unwrap();
            let home = PartitionId::new("q", 0).unwrap();
            done(backend.create_partition(&home, PartitionConfig::default())).unwrap();
            let signal = done(backend.watch(&home)).unwrap();
            let (now, soon) = (Timestamp::EPOCH, Timestamp::from_micros(1));
            let mut batch = ItemBatch::new();
            for item in [
                NewItem::new("ready"),
                NewItem::new("expires").expire_at(soon),
                NewItem::new("later").enqueue_at(soon),
            ] {
                batch.push(item).unwrap();
            }
            done(backend.produce(&home, batch.seal(now))).unwrap();
            let request = LeaseRequest::new(now, soon, Count::ONE);
            assert_eq!(done(backend.lease(&home, request)).unwrap().len(), 1);
            drop(signal);
            backend
        })
        .collect();

    assert_eq!(threads(), before, "{} instances are open", backends.len());
    drop(backends);
    assert_eq!(threads(), before, "they were dropped");
}
