//! What the system sees: resident memory stays near the limit, through filling, leasing, churning and draining.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use storage_api::{
    Count, ItemBatch, ItemStore, LeaseRequest, NewItem, PartitionConfig, PartitionId,
    PartitionStore, Receipts, Timestamp,
};
use storage_memory::{MemoryBackend, MemoryConfig};

const LIMIT: u64 = 128 << 20;

fn done<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation in memory ends in its first poll"),
    }
}

/// The resident bytes of this process, as Linux tells them.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes = line.trim().strip_suffix("kB").unwrap();
    kibibytes.trim().parse::<u64>().unwrap() * 1024
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "does not apply: only Linux tells resident memory in /proc/self/status"
)]
fn resident_memory_stays_within_a_seventh_above_the_limit() {
    let before = resident_bytes();
    let backend = MemoryBackend::open(MemoryConfig::default().max_memory(LIMIT)).unwrap();
    let home = PartitionId::new("q", 0).unwrap();
    done(backend.create_partition(&home, PartitionConfig::default())).unwrap();
    let now = Timestamp::EPOCH;
    let mut worst = 0;
    let mut look = || worst = worst.max(resident_bytes().saturating_sub(before));

    for round in 0..3 {
        let payload = vec![7; 100 + 150 * round];
        loop {
            let mut batch = ItemBatch::new();
            for _ in 0..100 {
                batch.push(NewItem::new(&payload)).unwrap();
            }
            if done(backend.produce(&home, batch.seal(now))).is_err() {
                break;
            }
        }
        look();
        let mut receipts = Vec::new();
        loop {
            let request = LeaseRequest::new(now, Timestamp::from_secs(1), Count::MAX);
            let leased = done(backend.lease(&home, request)).unwrap();
            if leased.is_empty() {
                break;
            }
            receipts.extend(leased.receipts());
        }
        look();
        // Two of three go, scattered: their segments are compacted.
        for third in 0..2 {
            let some: Vec<_> = receipts.iter().skip(third).step_by(3).copied().collect();
            for receipts in some.chunks(1000) {
                let receipts = Receipts::new(receipts.to_vec()).unwrap();
                done(backend.complete(&home, receipts)).unwrap();
            }
            look();
        }
    }

    assert!(worst > LIMIT / 2, "it was filled: {worst} bytes");
    assert!(
        worst <= LIMIT * 115 / 100,
        "{worst} bytes at a limit of {LIMIT}"
    );
}
