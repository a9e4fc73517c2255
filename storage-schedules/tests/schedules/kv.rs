//! The core of the stored drivers: syncs that are shared, the gate, partitions that come and go, commits.

use std::collections::BTreeSet;
use std::sync::Arc;

use shuttle::future::{block_on, spawn};
use storage_api::{
    Durability, ErrorKind, Outcome, PartitionConfig, PartitionId, Result, RetryHint,
};
use storage_schedules::kv::{KvBackend, KvOptions, Overlay, SimDisk};

use crate::both::{count_up, work_everything_off};
use crate::calls::{
    Backend, Notes, assert_once, assert_sound, commit, dropped, home, homes, ids, joined, lease,
    listed, pause, payloads, produce, throw, told,
};
use crate::explore::scenes;

/// What the core is opened over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Engine {
    /// One that takes every writer.
    Many,
    /// One that takes one writer, behind the overlay that gathers what many write.
    One,
}

scenes! {
    acknowledged_items_survive_a_loss_of_power => power_goes(Engine::Many, 1);
    acknowledged_items_of_two_partitions_survive_a_loss_of_power => power_goes(Engine::Many, 2);
    acknowledged_items_behind_an_overlay_survive_a_loss_of_power => power_goes(Engine::One, 2);
    no_consumer_of_a_partition_waits_for_an_item_that_is_there => everything_is_worked_off(Engine::Many, 1);
    no_consumer_of_two_partitions_waits_for_an_item_that_is_there => everything_is_worked_off(Engine::Many, 2);
    no_consumer_behind_an_overlay_waits_for_an_item_that_is_there => everything_is_worked_off(Engine::One, 2);
    a_call_under_way_ends_before_a_closing => closed_while_called(Engine::Many);
    a_call_under_way_ends_before_a_closing_behind_an_overlay => closed_while_called(Engine::One);
    a_batch_that_fails_is_told_to_all_who_were_in_it => engine_fails(Engine::Many);
    a_round_that_fails_is_told_to_all_who_were_in_it => engine_fails(Engine::One);
    a_dropped_call_is_settled_before_the_next => calls_are_dropped(Engine::Many);
    a_dropped_call_behind_an_overlay_is_settled_before_the_next => calls_are_dropped(Engine::One);
    partitions_come_and_go_beside_calls_and_commits => partitions_come_and_go(Engine::Many);
    partitions_come_and_go_behind_an_overlay => partitions_come_and_go(Engine::One);
    no_increment_is_lost => increments_are_kept(Engine::Many);
    no_increment_behind_an_overlay_is_lost => increments_are_kept(Engine::One);
    what_is_read_beside_a_round_is_whole => read_beside_rounds(Engine::One);
}

/// The backend of a disk that nobody else holds.
fn open(disk: &SimDisk, engine: Engine) -> Backend {
    let options = KvOptions::new("sim", "1.0.0", Durability::PowerLoss);
    let sim = disk
        .hold()
        .expect("whoever held the disk before has let go");
    match engine {
        Engine::Many => Arc::new(KvBackend::open(sim, options).unwrap()),
        Engine::One => Arc::new(KvBackend::open(Overlay::new(sim), options).unwrap()),
    }
}

/// Producers at once, and the power goes at any moment: what was acknowledged before is there, and nothing behind a gap
/// (clause DUR-3).
pub(crate) fn power_goes(engine: Engine, partitions: u32) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let homes = homes(&backend, partitions).await;
        let acknowledged = Notes::default();
        let producers = (0..3).map(|producer| {
            let (backend, acknowledged) = (Arc::clone(&backend), Arc::clone(&acknowledged));
            let home = homes[producer % homes.len()].clone();
            spawn(async move {
                for _ in 0..2 {
                    let Ok(id) = produce(&backend, &home, b"payload").await else {
                        return;
                    };
                    acknowledged.lock().unwrap().push((home.clone(), id));
                }
            })
        });
        let producers: Vec<_> = producers.collect();

        pause(100);
        let acknowledged: Vec<_> = acknowledged.lock().unwrap().clone();
        disk.crash(throw(disk.unsynced()));
        joined(producers).await;
        // It may fail: its engine is dead.
        let _ = backend.close().await;
        drop(backend);

        let backend = open(&disk, engine);
        for home in &homes {
            let found = ids(&backend, home).await;
            let last = found.last().copied().unwrap_or(0);
            assert_eq!(
                found,
                (1..=last).collect(),
                "a prefix of what {home} was given"
            );
        }
        for (home, id) in &acknowledged {
            let found = ids(&backend, home).await;
            assert!(
                found.contains(id),
                "item {id} of {home} was acknowledged, but only {found:?} are there"
            );
        }
        assert_sound(&backend, &homes).await;
        for home in &homes {
            let before = ids(&backend, home).await;
            let id = produce(&backend, home, b"later").await.unwrap();
            assert!(
                before.iter().all(|before| *before < id),
                "{id} comes after {before:?}"
            );
        }
        backend.close().await.unwrap();
    });
}

/// Everything is worked off, and what was done stays done (clause DUR-2).
pub(crate) fn everything_is_worked_off(engine: Engine, partitions: u32) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let homes = homes(&backend, partitions).await;
        work_everything_off(&backend, &homes).await;
        drop(backend);

        let backend = open(&disk, engine);
        for home in &homes {
            assert_eq!(listed(&backend, home).await, [], "all of {home} is done");
        }
        assert_sound(&backend, &homes).await;
        backend.close().await.unwrap();
    });
}

/// Commits that check what they read, over metadata and two partitions.
pub(crate) fn increments_are_kept(engine: Engine) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let homes = homes(&backend, 2).await;
        count_up(&backend, &homes).await;
        backend.close().await.unwrap();
    });
}

/// Calls at once, a call that is dropped, and two closings: each call is whole or `Closed`, and who hears that it is closed
/// can open the place (clause CLOSE-1).
pub(crate) fn closed_while_called(engine: Engine) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let homes = homes(&backend, 1).await;
        let home = &homes[0];
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (backend, home) = (Arc::clone(&backend), home.clone());
                spawn(async move {
                    let mut acknowledged = Vec::new();
                    loop {
                        match produce(&backend, &home, b"payload").await {
                            Ok(id) => acknowledged.push(id),
                            Err(refused) => return (acknowledged, refused.kind()),
                        }
                        if acknowledged.len() == 3 {
                            return (acknowledged, ErrorKind::Closed);
                        }
                    }
                })
            })
            .collect();
        let leaver = {
            let (backend, home) = (Arc::clone(&backend), home.clone());
            spawn(async move {
                let _ = dropped(throw(2), produce(&backend, &home, b"dropped")).await;
            })
        };
        let closer = {
            let backend = Arc::clone(&backend);
            spawn(async move { backend.close().await })
        };

        pause(60);
        backend.close().await.unwrap();
        // Not later: whoever is told may open it.
        let reopened = open(&disk, engine);
        closer.await.unwrap().unwrap();
        leaver.await.unwrap();
        let mut acknowledged = BTreeSet::new();
        for (ids, refused) in joined(callers).await {
            assert_eq!(refused, ErrorKind::Closed);
            acknowledged.extend(ids);
        }
        assert_eq!(told(backend.stats(home).await).kind(), ErrorKind::Closed);
        drop(backend);

        let found = ids(&reopened, home).await;
        let unknown: Vec<_> = found.difference(&acknowledged).collect();
        assert!(
            acknowledged.is_subset(&found),
            "{acknowledged:?} of {found:?}"
        );
        assert!(
            unknown.len() <= 1,
            "one call was dropped, but {unknown:?} are there"
        );
        assert_sound(&reopened, &homes).await;
        let id = produce(&reopened, home, b"later").await.unwrap();
        assert!(
            found.iter().all(|before| *before < id),
            "{id} comes after {found:?}"
        );
        reopened.close().await.unwrap();
    });
}

/// A write or a sync fails while producers are at work: whoever was in it hears that nobody knows, whoever comes later that
/// nothing was applied; and both are true (clauses ATOM-1, ERR-1).
pub(crate) fn engine_fails(engine: Engine) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let homes = homes(&backend, 2).await;
        let producers: Vec<_> = (0..3)
            .map(|producer| {
                let backend = Arc::clone(&backend);
                let home = homes[producer % 2].clone();
                spawn(async move {
                    let mut answers = Vec::new();
                    for turn in 0..3 {
                        let payload = format!("{producer} {turn}").into_bytes();
                        let answer = produce(&backend, &home, &payload).await;
                        answers.push((payload, answer));
                    }
                    (home, answers)
                })
            })
            .collect();

        pause(60);
        match throw(1) {
            0 => disk.fail_next_write(),
            _ => disk.fail_next_sync(),
        }
        let answers = joined(producers).await;
        // What fails may be the closing's own write.
        let _ = backend.close().await;
        drop(backend);
        disk.crash(throw(disk.unsynced()));

        let backend = open(&disk, engine);
        for (home, answers) in answers {
            let found = payloads(&backend, &home).await;
            let mut has_failed = false;
            for (payload, answer) in answers {
                let is_there = found.contains(&payload);
                let name = payload.escape_ascii();
                match answer {
                    Ok(_) => {
                        assert!(!has_failed, "{name} was stored after a failure");
                        assert!(is_there, "{name} was acknowledged");
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                        assert_eq!(error.retry_hint(), RetryHint::AfterReopen, "{error}");
                        if error.outcome() == Outcome::NotApplied {
                            assert!(!is_there, "{name} was not applied: {error}");
                        } else {
                            assert!(!has_failed, "{name} was tried after a failure: {error}");
                        }
                        has_failed = true;
                    }
                }
            }
        }
        assert_sound(&backend, &homes).await;
        backend.close().await.unwrap();
    });
}

/// Calls are dropped at any moment beside others: the next call on the partition sees them whole or not at all, and so does
/// every later one (clause ATOM-2).
pub(crate) fn calls_are_dropped(engine: Engine) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let homes = homes(&backend, 2).await;
        let other = {
            let (backend, home) = (Arc::clone(&backend), homes[0].clone());
            spawn(async move {
                for _ in 0..2 {
                    produce(&backend, &home, b"other").await.unwrap();
                }
            })
        };
        let taker = {
            let (backend, home) = (Arc::clone(&backend), homes[0].clone());
            spawn(async move {
                let _ = dropped(throw(2), lease(&backend, &home, 1)).await;
            })
        };
        let produced = dropped(throw(3), produce(&backend, &homes[0], b"dropped")).await;
        let seen = has(&backend, &homes[0], b"dropped").await;
        let both = dropped(throw(3), commit(&backend, &homes, b"both")).await;
        let mut seen_both = Vec::new();
        for home in &homes {
            seen_both.push(has(&backend, home, b"both").await);
        }
        other.await.unwrap();
        taker.await.unwrap();

        assert!(produced.is_none_or(|answer| answer.is_ok() && seen));
        assert_eq!(seen_both[0], seen_both[1], "in both partitions or in none");
        assert!(both.is_none_or(|answer| answer.is_ok() && seen_both[0]));
        assert_sound(&backend, &homes).await;
        backend.close().await.unwrap();
        drop(backend);
        let backend = open(&disk, engine);
        assert_eq!(has(&backend, &homes[0], b"dropped").await, seen);
        for home in &homes {
            assert_eq!(has(&backend, home, b"both").await, seen_both[0]);
        }
        backend.close().await.unwrap();
    });
}

async fn has(backend: &Backend, home: &PartitionId, payload: &[u8]) -> bool {
    payloads(backend, home).await.contains(payload)
}

/// A partition is deleted and made again beside calls and commits that name it: nobody waits for ever, nobody is given an
/// id that another was shown, and no row outlives its partition (clauses PART-4, ITEM-2, CONC-1).
pub(crate) fn partitions_come_and_go(engine: Engine) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let all = homes(&backend, 2).await;
        let given = Notes::default();
        let calls: Vec<_> = (0..3)
            .map(|caller| {
                let (backend, given) = (Arc::clone(&backend), Arc::clone(&given));
                let mut homes = all.clone();
                spawn(async move {
                    let answer = match caller {
                        0 => produce(&backend, &homes[0], b"call")
                            .await
                            .map(|id| vec![id]),
                        1 => commit(&backend, &homes, b"commit").await,
                        _ => {
                            homes.reverse();
                            commit(&backend, &homes, b"commit").await
                        }
                    };
                    match answer {
                        Ok(ids) => given.lock().unwrap().extend(homes.into_iter().zip(ids)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                    }
                })
            })
            .collect();
        let again: Result<()> = async {
            backend.delete_partition(&all[0]).await?;
            let created = backend.create_partition(&all[0], PartitionConfig::default());
            created.await?;
            let id = produce(&backend, &all[0], b"again").await?;
            given.lock().unwrap().push((home(0), id));
            Ok(())
        }
        .await;
        again.unwrap();
        joined(calls).await;

        let given: Vec<_> = given.lock().unwrap().clone();
        assert_once("an id", given);
        assert!(has(&backend, &all[0], b"again").await);
        assert_sound(&backend, &all).await;
        let before = (
            listed(&backend, &all[0]).await,
            listed(&backend, &all[1]).await,
        );
        backend.close().await.unwrap();
        drop(backend);
        let backend = open(&disk, engine);
        assert_sound(&backend, &all).await;
        let after = (
            listed(&backend, &all[0]).await,
            listed(&backend, &all[1]).await,
        );
        assert_eq!(after, before);
        backend.close().await.unwrap();
    });
}

/// Whatever the overlay is doing with it, what one look has shown the next one shows, and what was acknowledged every look
/// (clause CONC-1).
pub(crate) fn read_beside_rounds(engine: Engine) {
    block_on(async move {
        let disk = SimDisk::new();
        let backend = open(&disk, engine);
        let homes = homes(&backend, 2).await;
        let producers = homes.iter().map(|home| {
            let (backend, home) = (Arc::clone(&backend), home.clone());
            spawn(async move {
                let mut own = BTreeSet::new();
                for _ in 0..3 {
                    own.insert(produce(&backend, &home, b"payload").await.unwrap());
                    assert_eq!(ids(&backend, &home).await, own, "items of {home}");
                }
            })
        });
        let producers: Vec<_> = producers.collect();
        let lookers = homes.iter().map(|home| {
            let (backend, home) = (Arc::clone(&backend), home.clone());
            spawn(async move {
                for _ in 0..4 {
                    let counted = backend.stats(&home).await.unwrap().ready.items;
                    let seen = ids(&backend, &home).await;
                    assert!(
                        seen.len() as u64 >= counted,
                        "{counted} items of {home}, then {seen:?}"
                    );
                }
            })
        });
        joined(lookers.collect()).await;
        joined(producers).await;
        assert_sound(&backend, &homes).await;
        backend.close().await.unwrap();
    });
}
