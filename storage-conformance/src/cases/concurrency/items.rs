//! Items and partitions that many call for at once.

use std::collections::BTreeSet;

use storage_api::{
    CompleteOutcome, DeleteOutcome, ErrorKind, NewItem, PartitionConfig, Receipt, ReleaseOutcome,
    RetryTo,
};

use super::at_once;
use crate::case::{Case, cases};
use crate::env::{Env, at, partition_id};
use crate::part::{Part, ids, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![concurrency:
    no_item_is_leased_to_two_at_once ["LEASE-3", "LEASE-2", "CONC-1"] .multi_thread(),
    items_that_are_produced_and_completed_at_once_all_pass_through ["CONC-1", "LEASE-3", "DONE-1"] .multi_thread(),
    ids_stay_whole_when_many_produce ["CONC-1", "ITEM-2", "ITEM-1"] .multi_thread(),
    one_of_many_completions_of_a_receipt_is_done ["CONC-1", "DONE-2"] .multi_thread(),
    a_receipt_is_used_once_whoever_uses_it ["CONC-1", "LEASE-7"] .multi_thread(),
    what_is_due_is_handled_once_by_many_maintainers ["CONC-1", "TIME-1"] .multi_thread(),
    maintain_takes_nothing_from_a_holder_who_extends ["CONC-1", "LEASE-7", "LEASE-8"] .multi_thread(),
    one_of_many_creations_makes_the_partition ["CONC-1", "PART-1"] .multi_thread(),
    one_of_many_items_with_a_key_is_stored ["CONC-1", "ITEM-4"] .multi_thread(),
];

async fn no_item_is_leased_to_two_at_once(env: Env) {
    const ITEMS: usize = 400;
    let part = env.partition("a").await;
    part.produce(at(0), vec!["item"; ITEMS]).await;

    let leased = at_once(8, |task| {
        let part = part.clone();
        async move {
            let mut mine = Vec::new();
            loop {
                let leased = part.lease(at(0), at(100), 1 + task).await;
                if leased.is_empty() {
                    return mine;
                }
                mine.extend(receipts(&leased));
            }
        }
    })
    .await
    .concat();

    let items: BTreeSet<_> = leased.iter().map(|receipt| receipt.item).collect();
    let leases: BTreeSet<_> = leased.iter().map(|receipt| receipt.lease).collect();
    assert_eq!(
        (leased.len(), items.len(), leases.len()),
        (ITEMS, ITEMS, ITEMS)
    );
}

async fn items_that_are_produced_and_completed_at_once_all_pass_through(env: Env) {
    const PRODUCERS: usize = 4;
    const EACH: usize = 60;
    let part = env.partition("a").await;

    let done = at_once(2 * PRODUCERS, |task| {
        let part = part.clone();
        async move {
            let mut done = 0;
            if task < PRODUCERS {
                for _ in 0..EACH {
                    part.produce(at(0), ["item"]).await;
                }
                return 0;
            }
            while done < EACH {
                let leased = part.lease(at(0), at(100), EACH - done).await;
                let outcomes = part.complete(receipts(&leased)).await;
                let all_done = outcomes.iter().all(|one| *one == CompleteOutcome::Done);
                assert!(all_done, "somebody else had it: {outcomes:?}");
                done += outcomes.len();
                tokio::task::yield_now().await;
            }
            done
        }
    })
    .await;

    assert_eq!(done.iter().sum::<usize>(), PRODUCERS * EACH);
    assert_eq!(part.list_all().await, []);
}

async fn ids_stay_whole_when_many_produce(env: Env) {
    let part = env.partition("a").await;

    let batches = at_once(6, |task| {
        let part = part.clone();
        async move {
            let mut batches = Vec::new();
            for _ in 0..40 {
                batches.push(part.produce(at(0), vec!["item"; 1 + task]).await);
            }
            batches
        }
    })
    .await;

    for of_task in &batches {
        for batch in of_task {
            let is_consecutive = |pair: &[storage_api::ItemId]| pair[0].next() == Some(pair[1]);
            assert!(batch.windows(2).all(is_consecutive), "{batch:?}");
        }
        let is_later = |pair: &[Vec<_>]| pair[0].last() < pair[1].first();
        assert!(
            of_task.windows(2).all(is_later),
            "a later call has later ids"
        );
    }
    let given = batches.concat().concat();
    let unique: BTreeSet<_> = given.iter().copied().collect();
    assert_eq!(unique.len(), given.len());
    assert_eq!(
        unique.into_iter().collect::<Vec<_>>(),
        ids(&part.list_all().await)
    );
}

async fn one_of_many_completions_of_a_receipt_is_done(env: Env) {
    let part = env.partition("a").await;
    for _ in 0..20 {
        part.produce(at(0), ["item"]).await;
        let leased = receipt(&part.lease_one(at(0), at(100)).await);

        let outcomes = at_once(6, |_| {
            let part = part.clone();
            async move { part.complete([leased]).await[0] }
        })
        .await;

        let done = outcomes.iter().filter(|one| **one == CompleteOutcome::Done);
        assert_eq!(done.count(), 1, "{outcomes:?}");
    }
    assert_eq!(part.stats().await.items(), 0);
}

/// Ends a lease in one of four ways; whether that way was the one that counted.
async fn end_lease(part: Part, way: usize, leased: Receipt) -> bool {
    match way {
        0 => part.complete([leased]).await == [CompleteOutcome::Done],
        1 => part.release([leased]).await == [ReleaseOutcome::Released],
        2 => {
            let retried = part.retry(at(1), leased, RetryTo::Now).await;
            retried == storage_api::RetryOutcome::Ready
        }
        _ => part.delete_items([leased.item]).await == [DeleteOutcome::Deleted],
    }
}

async fn a_receipt_is_used_once_whoever_uses_it(env: Env) {
    let part = env.partition("a").await;
    for _ in 0..30 {
        part.produce(at(0), ["item"]).await;
        let leased = receipt(&part.lease_one(at(0), at(100)).await);

        let used = at_once(4, |way| end_lease(part.clone(), way, leased)).await;

        // Deletion needs no lease: it may come behind one that gave the item back.
        let by_lease = used[..3].iter().filter(|counted| **counted).count();
        assert!(by_lease <= 1, "{used:?}");
        assert!(used.contains(&true), "{used:?}");
        let gone = used[0] || used[3];
        let left = part.list_all().await;
        assert_eq!(left.is_empty(), gone, "{used:?}: {left:?}");
        part.delete_items(ids(&left)).await;
    }
}

async fn what_is_due_is_handled_once_by_many_maintainers(env: Env) {
    const ITEMS: usize = 200;
    let part = env.partition("a").await;
    let later = NewItem::new("later").enqueue_at(at(5));
    part.produce(at(0), vec![later; ITEMS]).await;

    let handled = at_once(6, |task| {
        let part = part.clone();
        async move {
            let mut handled = 0;
            loop {
                let maintained = part.maintain_max(at(5), 3 + task).await;
                handled += maintained.ready;
                if !maintained.more {
                    return handled;
                }
            }
        }
    })
    .await;

    assert_eq!(handled.iter().sum::<usize>(), ITEMS);
    assert_eq!(part.stats().await.ready.items, ITEMS as u64);
}

async fn maintain_takes_nothing_from_a_holder_who_extends(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["at work"]).await;
    let leased = receipt(&part.lease_one(at(0), at(10)).await);

    for now in (0..100).map(|round| round * 10) {
        // The deadline is at `now + 10` before, and at `now + 20` afterwards: nothing is due at `now + 9`.
        let outcomes = at_once(2, |task| {
            let part = part.clone();
            async move {
                if task == 0 {
                    let extended = part.extend([leased], at(now + 20)).await;
                    extended == [storage_api::ExtendOutcome::Extended]
                } else {
                    part.maintain(at(now + 9)).await.handled() == 0
                }
            }
        })
        .await;

        assert_eq!(
            outcomes,
            [true, true],
            "extended, and nothing taken, at {now}"
        );
    }
    assert_eq!(part.complete([leased]).await, [CompleteOutcome::Done]);
}

async fn one_of_many_creations_makes_the_partition(env: Env) {
    for queue in ["a", "b", "c", "d", "e"] {
        let id = partition_id(queue, 0);
        let backend = env.backend().await;

        let made = at_once(6, |task| {
            let (backend, id) = (backend.clone(), id.clone());
            async move {
                let config = PartitionConfig::default().with_items_max(1 + task as u64);
                match backend.create_partition(&id, config).await {
                    Ok(info) => Some(info),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                        None
                    }
                }
            }
        })
        .await;

        let made: Vec<_> = made.into_iter().flatten().collect();
        assert_eq!(made.len(), 1, "{made:?}");
        assert_eq!(env.part(&id).info().await, made[0]);
    }
}

async fn one_of_many_items_with_a_key_is_stored(env: Env) {
    let part = env.partition("a").await;

    let stored = at_once(8, |_| {
        let part = part.clone();
        async move {
            let mut stored = 0;
            for number in 0..25 {
                let key = format!("key {number}");
                let item = NewItem::new("item").dedup_key(&key);
                let produced = part.try_produce(at(0), [item]).await;
                stored += produced.expect("a duplicate is no error").stored();
            }
            stored
        }
    })
    .await;

    assert_eq!(stored.iter().sum::<usize>(), 25);
    assert_eq!(part.stats().await.ready.items, 25);
}
