//! What the system sees: the most memory that was ever resident stays near the limit, with many writers, large payloads and
//! readers who hold what they leased; and what was completed is given back.
//!
//! It is looked at in a process of its own. Items of a hundred bytes fill blocks that are used again and again, with the
//! allocator as it is. For large ones, and where memory is to leave the process, the allocator is told to give freed blocks
//! back to the system: by its defaults glibc's keeps blocks of up to 32 MiB in an arena for each thread, which no limit of
//! ours reaches.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, and a child that tells what it saw"
)]

use std::collections::VecDeque;
use std::pin::pin;
use std::process::Command;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};

use storage_api::{
    Count, ItemBatch, ItemStore, LeaseRequest, NewItem, PartitionConfig, PartitionId,
    PartitionStore, Receipts, Timestamp,
};
use storage_memory::{MemoryBackend, MemoryConfig};

const LIMIT: u64 = 256 << 20;
const WRITERS: u32 = 16;
const ROUNDS: u32 = 100;
const PAYLOAD_BYTES_MAX: usize = 100_000;
/// What one batch brings: 16 of them, which are the test's own, are 5 MB of the 38 MB between the limit and the bound.
const BATCH_BYTES_MAX: usize = 200_000;
/// How many leased batches a writer holds, its items done with in part.
const HELD_BATCHES: usize = 4;

/// What tells glibc's allocator to give blocks of that many bytes and more back to the system, whatever came before.
const GIVES_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Set in the process that is looked at.
const IN_CHILD: &str = "STORAGE_MEMORY_RESIDENT";

fn done<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation in memory ends in its first poll"),
    }
}

/// The most bytes of this process that were ever resident.
fn resident_bytes_most() -> u64 {
    bytes_in_status("VmHWM:")
}

/// The bytes of this process that are resident.
fn resident_bytes() -> u64 {
    bytes_in_status("VmRSS:")
}

fn bytes_in_status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc mounted");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("Linux tells what is resident");
    let kibibytes: u64 = line
        .trim()
        .strip_suffix("kB")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    kibibytes * 1024
}

/// What is produced.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Load {
    /// A hundred bytes each.
    Small,
    /// From nothing to the largest payload, as many of each magnitude.
    Mixed,
}

impl Load {
    /// How many items are leased at a time.
    fn leased(self) -> usize {
        match self {
            Self::Small => 1500,
            Self::Mixed => 60,
        }
    }
}

fn sizes(load: Load, seed: u32) -> impl Iterator<Item = usize> {
    let mut state = u64::from(seed) + 1;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if load == Load::Small {
            return 100;
        }
        let bits = state >> 33;
        let magnitude = [100, 1000, 10_000, PAYLOAD_BYTES_MAX][(bits & 3) as usize];
        usize::try_from(bits >> 2).unwrap() % magnitude
    })
}

/// Produces until there is no room, then leases, holds and completes; answers the most that was taken when there was none.
fn write(backend: &MemoryBackend, home: &PartitionId, load: Load, seed: u32) -> u64 {
    let payload = vec![7; PAYLOAD_BYTES_MAX];
    let mut sizes = sizes(load, seed);
    let mut held = VecDeque::new();
    let (mut refused, mut taken_most) = (0, 0);
    while refused < ROUNDS {
        let mut batch = ItemBatch::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX - PAYLOAD_BYTES_MAX {
            let size = sizes.next().unwrap();
            batch.push(NewItem::new(&payload[..size])).unwrap();
            bytes += size;
        }
        if done(backend.produce(home, batch.seal(Timestamp::EPOCH))).is_ok() {
            continue;
        }
        refused += 1;
        taken_most = taken_most.max(backend.report().unwrap().taken);
        let count = Count::new(load.leased()).unwrap();
        let request = LeaseRequest::new(Timestamp::EPOCH, Timestamp::MAX, count);
        let leased = done(backend.lease(home, request)).unwrap();
        // Two of three go, and are held; the third goes when the batch is let go.
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for (index, receipt) in leased.receipts().iter().enumerate() {
            match index % 3 {
                0 => later.push(*receipt),
                _ => now.push(*receipt),
            }
        }
        done(backend.complete(home, Receipts::new(now).unwrap())).unwrap();
        held.push_back((leased, later));
        if held.len() > HELD_BATCHES {
            let (leased, later) = held.pop_front().unwrap();
            assert!(
                leased
                    .iter()
                    .all(|item| item.payload().iter().all(|byte| *byte == 7))
            );
            drop(leased);
            done(backend.complete(home, Receipts::new(later).unwrap())).unwrap();
        }
    }
    taken_most
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "does not apply: only Linux tells in /proc what is resident"
)]
fn small_items_keep_resident_memory_within_a_seventh_above_the_limit() {
    let name = "small_items_keep_resident_memory_within_a_seventh_above_the_limit";
    in_a_process(name, &[], || look(Load::Small));
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "does not apply: only Linux tells in /proc what is resident"
)]
fn large_items_do_where_the_allocator_gives_blocks_back() {
    let name = "large_items_do_where_the_allocator_gives_blocks_back";
    in_a_process(name, &[GIVES_BACK], || look(Load::Mixed));
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "does not apply: only Linux tells in /proc what is resident"
)]
fn what_was_completed_is_given_back_to_the_system_by_trim() {
    let name = "what_was_completed_is_given_back_to_the_system_by_trim";
    in_a_process(name, &[GIVES_BACK], || {
        look_when_drained(|backend, _| backend.trim().unwrap());
    });
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "does not apply: only Linux tells in /proc what is resident"
)]
fn what_was_completed_is_given_back_to_the_system_by_maintain() {
    let name = "what_was_completed_is_given_back_to_the_system_by_maintain";
    in_a_process(name, &[GIVES_BACK], || {
        look_when_drained(|backend, home| {
            for seconds in 0..20 {
                let now = Timestamp::from_secs(seconds);
                done(backend.maintain(home, now, Count::MAX)).unwrap();
            }
        });
    });
}

/// Looks in a process of its own, as the test of that name with those variables.
fn in_a_process(name: &str, variables: &[(&str, &str)], look: impl FnOnce()) {
    if std::env::var_os(IN_CHILD).is_some_and(|asked| asked == name) {
        return look();
    }

    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(IN_CHILD, name)
        .envs(variables.iter().copied())
        .output()
        .unwrap();

    let out = String::from_utf8_lossy(&child.stdout);
    let err = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{out}{err}");
    assert!(out.contains("bytes at"), "it looked: {out}{err}");
}

/// Some fill a partition each and complete all but one item of a thousand; then memory is given back.
fn look_when_drained(give_back: impl Fn(&MemoryBackend, &PartitionId)) {
    const BATCHES: usize = 40;
    let before = resident_bytes();
    let backend = MemoryBackend::new();
    let homes: Vec<_> = (0..4)
        .map(|number| PartitionId::new("q", number).unwrap())
        .collect();
    for home in &homes {
        done(backend.create_partition(home, PartitionConfig::default())).unwrap();
    }
    let on_each = |run: &(dyn Fn(&PartitionId) + Sync)| {
        std::thread::scope(|scope| {
            for home in &homes {
                scope.spawn(move || run(home));
            }
        });
    };

    on_each(&|home| {
        for _ in 0..BATCHES {
            let mut batch = ItemBatch::new();
            for _ in 0..1000 {
                batch.push(NewItem::new(&[7; 1000])).unwrap();
            }
            done(backend.produce(home, batch.seal(Timestamp::EPOCH))).unwrap();
        }
    });
    let full = resident_bytes() - before;
    on_each(&|home| {
        for _ in 0..BATCHES {
            let thousand = Count::new(1000).unwrap();
            let request = LeaseRequest::new(Timestamp::EPOCH, Timestamp::MAX, thousand);
            let receipts = done(backend.lease(home, request)).unwrap().receipts();
            let receipts = Receipts::new(receipts[1..].to_vec()).unwrap();
            done(backend.complete(home, receipts)).unwrap();
        }
    });
    homes.iter().for_each(|home| give_back(&backend, home));
    let left = resident_bytes().saturating_sub(before);

    println!("{left} bytes at the end, {full} when it was full");
    let payloads = (4 * BATCHES * 1000 * 1000) as u64;
    assert!(full > payloads, "it was looked at: {full} bytes");
    assert!(left <= full / 5, "{left} bytes left of {full}");
}

fn look(load: Load) {
    let before = resident_bytes_most();
    let backend = MemoryBackend::open(MemoryConfig::default().max_memory(LIMIT)).unwrap();
    let home = |number| PartitionId::new("q", number).unwrap();
    for number in 0..WRITERS {
        done(backend.create_partition(&home(number), PartitionConfig::default())).unwrap();
    }
    let together = Barrier::new(WRITERS as usize);

    let taken_most = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (backend, together) = (&backend, &together);
                scope.spawn(move || {
                    together.wait();
                    write(backend, &home(number), load, number)
                })
            })
            .collect();
        let taken = writers.into_iter().map(|writer| writer.join().unwrap());
        taken.max().unwrap()
    });

    let most = resident_bytes_most() - before;
    println!("{most} bytes at a limit of {LIMIT}, of which {taken_most} were taken");
    // What is taken is not written to at once: how much of it is resident depends on how far each writer came.
    assert!(
        taken_most > LIMIT * 9 / 10,
        "it was filled: {taken_most} bytes were taken"
    );
    // Half of it where the writers come one after the other.
    assert!(most > LIMIT / 4, "it was looked at: {most} bytes");
    assert!(
        most <= LIMIT * 115 / 100,
        "{most} bytes at a limit of {LIMIT}"
    );
}
