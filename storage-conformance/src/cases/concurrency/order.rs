//! What holds after everything at once: statistics, deletion, order.

use storage_api::{Capability, ErrorKind, NewItem, PartitionConfig, RetryTo, Timestamp};

use super::at_once;
use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, ids, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![concurrency:
    statistics_are_right_after_everything_at_once ["CONC-1", "PART-7"] .multi_thread(),
    a_partition_deleted_under_load_takes_everything_along ["CONC-1", "PART-4"] .multi_thread(),
    items_are_leased_in_order_while_others_produce ["CONC-2", "LEASE-1", "ORDER-1"]
        .requires(Capability::StrictOrder) .multi_thread(),
    calls_that_do_not_overlap_keep_the_order ["CONC-2", "LEASE-1"] .multi_thread(),
];

/// A bit of everything on one partition, as that task does it.
async fn do_everything(part: Part, task: usize) {
    for (round, turn) in (0..30).zip(task..) {
        let now = at(round);
        match turn % 6 {
            0 => {
                let later = NewItem::new("later").enqueue_at(at(round + 2));
                part.produce(now, [NewItem::new("item"), later]).await;
            }
            1 => {
                let leased = part.lease(now, at(round + 3), 2).await;
                part.complete(receipts(&leased)).await;
            }
            2 => {
                let leased = part.lease(now, at(round + 3), 2).await;
                for receipt in receipts(&leased) {
                    part.retry(now, receipt, RetryTo::Dead).await;
                }
            }
            3 => {
                let leased = part.lease(now, at(round + 3), 2).await;
                part.release(receipts(&leased)).await;
            }
            4 => {
                part.maintain_max(now, 5).await;
            }
            _ => {
                let dead = part.list_state(storage_api::State::Dead).await;
                part.revive(ids(&dead).into_iter().take(2)).await;
                part.clear(storage_api::State::Dead, 1).await;
            }
        }
    }
}

async fn statistics_are_right_after_everything_at_once(env: Env) {
    let config = PartitionConfig::default().with_attempts_max(4);
    let part = env.partition_with("a", config).await;
    part.produce(at(0), vec!["first"; 50]).await;

    at_once(8, |task| do_everything(part.clone(), task)).await;

    part.assert_stats_are_those_of_the_items().await;
}

async fn a_partition_deleted_under_load_takes_everything_along(env: Env) {
    let part = env.partition("a").await;

    let acknowledged = at_once(5, |task| {
        let part = part.clone();
        async move {
            if task == 0 {
                while part.stats().await.items() < 20 {
                    tokio::task::yield_now().await;
                }
                part.delete().await;
                return 0;
            }
            let mut acknowledged = 0;
            loop {
                match part.try_produce(at(0), ["item"]).await {
                    Ok(_) => acknowledged += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                        return acknowledged;
                    }
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await;

    assert!(acknowledged.iter().sum::<usize>() >= 20);
    let again = env.partition("a").await;
    assert_eq!(again.list_all().await, []);
}

async fn items_are_leased_in_order_while_others_produce(env: Env) {
    const ITEMS: usize = 300;
    let part = env.partition("a").await;

    let leased = at_once(4, |task| {
        let part = part.clone();
        async move {
            let mut leased = Vec::new();
            if task > 0 {
                for _ in 0..ITEMS / 3 {
                    part.produce(at(0), ["item"]).await;
                    tokio::task::yield_now().await;
                }
                return leased;
            }
            while leased.len() < ITEMS {
                leased.extend(part.lease(at(0), Timestamp::MAX, 5).await);
                tokio::task::yield_now().await;
            }
            leased
        }
    })
    .await;

    // One consumer, nothing given back: nobody comes behind a later one, by position and by id.
    let order: Vec<_> = leased[0]
        .iter()
        .map(|entry| (entry.state.position(), entry.id))
        .collect();
    assert!(
        order.is_sorted_by_key(|(position, _)| *position),
        "{order:?}"
    );
    assert!(order.is_sorted_by_key(|(_, id)| *id), "{order:?}");
}

async fn calls_that_do_not_overlap_keep_the_order(env: Env) {
    let part = env.partition("a").await;
    let mut produced = Vec::new();
    for _ in 0..50 {
        // Another task each time, but never two at once.
        let mine = part.clone();
        let of_task = at_once(1, |_| {
            let part = mine.clone();
            async move { part.produce(at(0), ["item"]).await }
        });
        produced.extend(of_task.await.concat());
    }

    let mut leased = Vec::new();
    for _ in 0..25 {
        let mine = part.clone();
        let of_task = at_once(1, |_| {
            let part = mine.clone();
            async move { ids(&part.lease(at(0), at(100), 2).await) }
        });
        leased.extend(of_task.await.concat());
    }

    assert_eq!(leased, produced);
}
