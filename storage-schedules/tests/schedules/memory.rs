//! The driver in memory: the account, partitions that come and go, memory that is given back, closing.

use std::sync::Arc;

use shuttle::future::{block_on, spawn};
use storage_api::{
    CompleteOutcome, Count, ErrorKind, PartitionConfig, Retries, Retry, RetryOutcome, RetryTo,
    States,
};
use storage_schedules::memory::{MemoryBackend, MemoryConfig, Overflow};

use crate::both::{count_up, work_everything_off};
use crate::calls::{
    Backend, NOW, Notes, assert_once, assert_sound, commit, home, homes, joined, lease, listed,
    pause, produce, told,
};
use crate::explore::scenes;

/// The smallest that the driver takes: a few records fill it.
const LIMIT: u64 = 64 << 10;
const PAYLOAD_BYTES: usize = 6 << 10;

scenes! {
    the_limit_holds_whoever_grows_and_shrinks => limit_holds(Overflow::Reject);
    the_limit_holds_where_items_are_dropped_to_make_room => limit_holds(Overflow::DropOldest);
    who_fills_and_who_drains_change_the_mark_twice => marks_agree();
    what_is_leased_stays_while_memory_is_given_back => memory_is_given_back();
    a_partition_made_again_gives_no_id_of_the_one_before => partitions_come_and_go();
    no_consumer_waits_for_an_item_that_is_there => everything_is_worked_off(1);
    no_consumer_of_two_partitions_waits_for_an_item_that_is_there => everything_is_worked_off(2);
    no_increment_is_lost => increments_are_kept();
    two_partitions_never_give_the_same_lease => leases_differ();
    a_closing_meets_no_call_half_done => closed_while_called();
}

/// Two who produce and complete in two partitions, one who commits to both, one who clears, and one who looks at the
/// account: it is never above its limit, and at the end it is what is there (clause LIMIT-2).
pub(crate) fn limit_holds(overflow: Overflow) {
    block_on(async move {
        let config = MemoryConfig::default().max_memory(LIMIT).overflow(overflow);
        let memory = Arc::new(MemoryBackend::open(config).unwrap());
        let backend: Backend = memory.clone();
        let homes = homes(&backend, 2).await;
        let empty = memory.report().unwrap().taken;
        let tasks: Vec<_> = (0..4)
            .map(|task| {
                let (backend, memory) = (Arc::clone(&backend), Arc::clone(&memory));
                let homes = homes.clone();
                spawn(async move {
                    let payload = vec![7; PAYLOAD_BYTES];
                    for _ in 0..4 {
                        match task {
                            0 | 1 => {
                                let grown = produce(&backend, &homes[task], &payload).await;
                                expect_room(grown);
                                let leased = lease(&backend, &homes[task], 1).await.unwrap();
                                if task == 1 {
                                    let receipts = leased.receipts();
                                    backend.complete(&homes[task], receipts).await.unwrap();
                                }
                            }
                            2 => expect_room(commit(&backend, &homes, &payload).await),
                            _ => {
                                let cleared = backend.clear(&homes[0], States::ALL, Count::ONE);
                                cleared.await.unwrap();
                            }
                        }
                        assert_within(&memory);
                    }
                })
            })
            .collect();
        for _ in 0..6 {
            pause(20);
            assert_within(&memory);
        }
        joined(tasks).await;

        assert_within(&memory);
        assert_sound(&backend, &homes).await;
        for home in &homes {
            backend.clear(home, States::ALL, Count::MAX).await.unwrap();
        }
        memory.trim().unwrap();
        assert_eq!(
            memory.report().unwrap().taken,
            empty,
            "nothing is left in the account"
        );
    });
}

/// Each of two fills what is left, and then completes half of what was there: the backend becomes pressed at most once, and
/// no longer is at the end, however late somebody comes to judge.
pub(crate) fn marks_agree() {
    const LIMIT: u64 = 256 << 10;
    /// How many of each half: together 81 % of the limit, as they count.
    const HALF: usize = 15;
    const EACH: usize = 3;

    block_on(async {
        let config = MemoryConfig::default().max_memory(LIMIT);
        let memory = Arc::new(MemoryBackend::open(config).unwrap());
        let backend: Backend = memory.clone();
        let homes = homes(&backend, 2).await;
        let payload = [7; PAYLOAD_BYTES];
        let mut halves = Vec::new();
        for home in &homes {
            for _ in 0..HALF {
                produce(&backend, home, &payload).await.unwrap();
            }
            let leased = lease(&backend, home, HALF).await.unwrap();
            halves.push(leased.receipts());
        }
        let before = memory.report().unwrap();
        assert!(!before.is_pressed, "{before:?}");
        let tasks: Vec<_> = homes
            .iter()
            .zip(halves)
            .map(|(home, half)| {
                let (backend, home) = (Arc::clone(&backend), home.clone());
                spawn(async move {
                    for _ in 0..EACH {
                        expect_room(produce(&backend, &home, &payload).await);
                    }
                    backend.complete(&home, half).await.unwrap();
                })
            })
            .collect();
        joined(tasks).await;

        let after = memory.report().unwrap();
        assert!(
            after.mark_changes <= 2 && !after.is_pressed,
            "filled and drained once, and {} changes: {after:?}",
            after.mark_changes
        );
    });
}

fn expect_room<T: std::fmt::Debug>(answer: storage_api::Result<T>) {
    if let Err(error) = answer {
        assert_eq!(error.kind(), ErrorKind::CapacityExceeded, "{error}");
    }
}

fn assert_within(memory: &MemoryBackend) {
    let taken = memory.report().unwrap().taken;
    assert!(taken <= LIMIT, "{taken} bytes are taken of {LIMIT}");
}

/// Records are compacted, trimmed and counted while others lease, keep what they leased, complete it or let it die: nothing
/// that somebody reads changes under him.
pub(crate) fn memory_is_given_back() {
    /// Too long to be copied by a lease, and so short that few fit into a segment.
    const BYTES: usize = 100;
    const EACH: u8 = 4;

    block_on(async {
        let config = MemoryConfig::default().max_memory(1 << 20);
        let memory = Arc::new(MemoryBackend::open(config).unwrap());
        let backend: Backend = memory.clone();
        let homes = homes(&backend, 1).await;
        let home = &homes[0];
        for item in 0..3 * EACH {
            produce(&backend, home, &[item; BYTES]).await.unwrap();
        }
        let consumers: Vec<_> = (0..3)
            .map(|consumer| {
                let (backend, home) = (Arc::clone(&backend), home.clone());
                spawn(async move {
                    let mut kept = Vec::new();
                    for _ in 0..EACH {
                        let leased = lease(&backend, &home, 1).await.unwrap();
                        let item = leased.get(0).expect("there is one for each");
                        let (receipt, payload) = (item.receipt(), item.shared_payload());
                        if consumer == 0 {
                            // What dies stays, so that its segment is sparse when its neighbours have gone.
                            let retry = Retry::new(receipt, RetryTo::Dead);
                            let outcome = backend.retry(&home, NOW, Retries::one(retry)).await;
                            assert!(matches!(outcome.unwrap()[..], [RetryOutcome::Dead(_)]));
                        } else {
                            let outcome = backend.complete(&home, leased.receipts()).await;
                            assert_eq!(outcome.unwrap(), [CompleteOutcome::Done]);
                        }
                        kept.push((receipt, payload));
                    }
                    kept
                })
            })
            .collect();
        let producer = {
            let (backend, home) = (Arc::clone(&backend), home.clone());
            spawn(async move {
                for item in 3 * EACH..4 * EACH {
                    produce(&backend, &home, &[item; BYTES]).await.unwrap();
                }
            })
        };

        for _ in 0..4 {
            memory.trim().unwrap();
            backend.usage().await.unwrap();
            pause(10);
        }
        producer.await.unwrap();
        let kept: Vec<_> = joined(consumers).await.into_iter().flatten().collect();
        memory.trim().unwrap();

        let items = kept.iter().map(|(receipt, _)| receipt.item);
        assert_once("an item", items.collect());
        for (receipt, payload) in &kept {
            let first = payload[0];
            assert_eq!(
                **payload, [first; BYTES],
                "what {receipt:?} reads is one record"
            );
            assert_eq!(
                u64::from(first) + 1,
                receipt.item.get(),
                "and that of its item"
            );
        }
        for item in listed(&backend, home).await {
            let payload = item.record.view().payload().unwrap();
            assert_eq!(
                u64::from(payload[0]) + 1,
                item.id.get(),
                "it was moved whole"
            );
        }
        assert_sound(&backend, &homes).await;
    });
}

/// A partition is deleted and made again beside calls on it: no id that anybody was shown is given again (clause ITEM-2).
pub(crate) fn partitions_come_and_go() {
    block_on(async {
        let backend: Backend = Arc::new(MemoryBackend::new());
        let all = homes(&backend, 2).await;
        let given = Notes::default();
        let tasks: Vec<_> = (0..2)
            .map(|task| {
                let (backend, given) = (Arc::clone(&backend), Arc::clone(&given));
                let all = all.clone();
                spawn(async move {
                    for _ in 0..3 {
                        let answer = match task {
                            0 => produce(&backend, &all[0], b"call").await.map(|id| vec![id]),
                            _ => commit(&backend, &all, b"commit").await,
                        };
                        match answer {
                            Ok(ids) => given.lock().unwrap().extend(all.iter().cloned().zip(ids)),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        }
                    }
                })
            })
            .collect();
        let remover = {
            let (backend, home) = (Arc::clone(&backend), home(0));
            spawn(async move { backend.delete_partition(&home).await })
        };
        // Whoever makes it again need not be who deleted it.
        let maker = {
            let backend = Arc::clone(&backend);
            spawn(async move {
                let home = home(0);
                for _ in 0..8 {
                    let created = backend.create_partition(&home, PartitionConfig::default());
                    match created.await {
                        Ok(_) => return,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
                    }
                }
            })
        };
        joined(tasks).await;
        remover.await.unwrap().unwrap();
        maker.await.unwrap();

        let again = backend
            .create_partition(&home(0), PartitionConfig::default())
            .await;
        assert!(again.is_ok() || told(again).kind() == ErrorKind::AlreadyExists);
        let id = produce(&backend, &home(0), b"again").await.unwrap();
        given.lock().unwrap().push((home(0), id));
        let given: Vec<_> = given.lock().unwrap().clone();
        assert_once("an id", given);
        assert_sound(&backend, &all).await;
    });
}

/// Leases of two partitions at once, and commits: no lease and no version is given twice (clauses LEASE-2, META-2).
pub(crate) fn leases_differ() {
    block_on(async {
        let backend: Backend = Arc::new(MemoryBackend::new());
        let homes = homes(&backend, 2).await;
        for home in &homes {
            for _ in 0..3 {
                produce(&backend, home, b"payload").await.unwrap();
            }
        }
        let tasks: Vec<_> = homes
            .iter()
            .map(|home| {
                let (backend, home) = (Arc::clone(&backend), home.clone());
                spawn(async move {
                    let mut leases = Vec::new();
                    for _ in 0..3 {
                        let leased = lease(&backend, &home, 1).await.unwrap();
                        leases.push(leased.receipts()[0].lease);
                    }
                    leases
                })
            })
            .collect();
        let leases = joined(tasks).await.into_iter().flatten().collect();

        assert_once("a lease", leases);
        assert_sound(&backend, &homes).await;
    });
}

/// Closing beside calls, commits, consumers that wait and another closing: each call is whole or `Closed`, and nobody waits
/// any more (clauses CLOSE-1, WAKE-1).
pub(crate) fn closed_while_called() {
    block_on(async {
        let backend: Backend = Arc::new(MemoryBackend::new());
        let homes = homes(&backend, 2).await;
        let waiting = {
            let (backend, home) = (Arc::clone(&backend), homes[1].clone());
            spawn(async move {
                let Ok(mut signal) = backend.watch(&home).await else {
                    return;
                };
                while lease(&backend, &home, 1).await.is_ok() {
                    signal.fired().await;
                }
            })
        };
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let (backend, homes) = (Arc::clone(&backend), homes.clone());
                spawn(async move {
                    for _ in 0..4 {
                        let answer = match caller {
                            0 => produce(&backend, &homes[0], b"call").await.map(drop),
                            _ => commit(&backend, &homes, b"commit").await.map(drop),
                        };
                        if let Err(refused) = answer {
                            assert_eq!(refused.kind(), ErrorKind::Closed, "{refused}");
                        }
                    }
                })
            })
            .collect();
        let closer = {
            let backend = Arc::clone(&backend);
            spawn(async move { backend.close().await })
        };

        pause(20);
        backend.close().await.unwrap();
        assert_eq!(
            told(backend.stats(&homes[0]).await).kind(),
            ErrorKind::Closed
        );
        closer.await.unwrap().unwrap();
        joined(callers).await;
        waiting.await.unwrap();
    });
}

/// Nobody is forgotten between a look and a wait.
pub(crate) fn everything_is_worked_off(partitions: u32) {
    block_on(async move {
        let backend: Backend = Arc::new(MemoryBackend::new());
        let homes = homes(&backend, partitions).await;
        work_everything_off(&backend, &homes).await;
    });
}

/// Commits that check what they read, over metadata and two partitions.
pub(crate) fn increments_are_kept() {
    block_on(async {
        let backend: Backend = Arc::new(MemoryBackend::new());
        let homes = homes(&backend, 2).await;
        count_up(&backend, &homes).await;
    });
}
