//! Statistics: what listing would find, whatever has happened.

use std::time::Duration;

use storage_api::{
    Capability, CommitRequest, DeadPolicy, Floors, Holder, ItemIds, NewItem, PartitionConfig,
    PartitionStats, Receipts, Retry, RetryTo, State, StateStats, States,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{batch, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![partitions:
    stats_tell_the_sums_of_each_state ["PART-7"],
    stats_equal_listing_after_every_operation ["PART-7"],
    stats_of_what_was_emptied_are_those_of_a_new_partition ["PART-7"],
    receipts_used_twice_change_no_statistics ["PART-7", "DONE-1", "DONE-2"],
    removed_leases_change_the_statistics_once ["PART-7", "LIST-4"],
    first_ready_item_of_the_statistics_is_the_first_in_lease_order ["PART-7"],
    expired_item_counts_as_ready_until_it_is_maintained ["PART-7", "LEASE-4"],
    earliest_due_time_of_the_statistics_includes_lingering_keys ["PART-7", "ITEM-4"],
    lingering_keys_count_in_no_sum ["PART-7", "ITEM-4"],
    sums_hold_the_largest_and_smallest_times ["PART-7", "TIME-4"],
    stats_are_kept_over_a_reopening ["PART-7", "DUR-2"] .requires(Capability::Reopen),
];

async fn stats_tell_the_sums_of_each_state(env: Env) {
    let part = env.partition("a").await;
    part.produce_dead(at(1), "dddd").await;
    part.produce_leased(at(2), at(500), NewItem::new("lll").expire_at(at(5)))
        .await;
    let scheduled = [
        NewItem::new("ss").enqueue_at(at(700)),
        NewItem::new("s").enqueue_at(at(900)).expire_at(at(800)),
    ];
    part.produce(at(3), scheduled).await;
    part.produce(at(4), [NewItem::new("rr").expire_at(at(600))])
        .await;
    part.produce(at(5), [NewItem::new("r").priority(50)]).await;

    let stats = part.stats().await;

    let sums = |items, bytes, created_at_sum, due_at_sum| StateStats {
        items,
        bytes,
        created_at_sum,
        due_at_sum,
    };
    assert_eq!(stats.ready, sums(2, 3, 9, 600));
    assert_eq!(stats.scheduled, sums(2, 3, 6, 1500));
    assert_eq!(stats.leased, sums(1, 3, 2, 500));
    assert_eq!(stats.dead, sums(1, 4, 1, 0));
    assert_eq!(stats.first_ready_created_at, Some(at(5)));
    assert_eq!(stats.next_due, Some(at(500)));
}

/// Every operation that changes items, in one long story; the statistics are compared after each.
async fn stats_equal_listing_after_every_operation(env: Env) {
    let part = env.partition("a").await;
    let holder = Holder::new(1).expect("not zero");
    let payloads: Vec<_> = (0..20).map(|number| "x".repeat(number)).collect();
    let new = payloads.iter().enumerate().map(|(number, payload)| {
        let item = NewItem::new(payload).priority([100, 7][number % 2]);
        match number % 5 {
            0 => item.enqueue_at(at(50)),
            1 => item.expire_at(at(60)),
            _ => item,
        }
    });
    part.produce(at(1), new).await;
    part.assert_stats_are_those_of_the_items().await;
    let leased = part.lease(at(2), at(30), 10).await;
    part.assert_stats_are_those_of_the_items().await;
    let receipts = receipts(&leased);

    part.extend(receipts[..3].to_vec(), at(90)).await;
    part.assert_stats_are_those_of_the_items().await;
    part.release(receipts[..1].to_vec()).await;
    part.assert_stats_are_those_of_the_items().await;
    part.complete(receipts[1..2].to_vec()).await;
    part.assert_stats_are_those_of_the_items().await;
    let to = [RetryTo::Now, RetryTo::At(at(40)), RetryTo::Dead];
    let retries = (2..5).map(|index| Retry::new(receipts[index], to[index - 2]));
    part.retry_all(at(3), retries).await;
    part.assert_stats_are_those_of_the_items().await;
    part.revive([leased[4].id]).await;
    part.assert_stats_are_those_of_the_items().await;
    part.delete_items([leased[5].id, leased[0].id]).await;
    part.assert_stats_are_those_of_the_items().await;
    for now in [30, 40, 50, 60] {
        part.maintain_max(at(now), 2).await;
        part.assert_stats_are_those_of_the_items().await;
    }
    part.maintain(at(60)).await;
    part.assert_stats_are_those_of_the_items().await;
    let held = storage_api::LeaseRequest::new(at(60), at(99), storage_api::Count::MAX);
    let held = part.lease_with(held.holder(holder)).await;
    part.assert_stats_are_those_of_the_items().await;
    part.release_holder(holder, 2).await;
    part.assert_stats_are_those_of_the_items().await;
    let mut commit = CommitRequest::new(at(61));
    let last = held.last().expect("items were left to lease");
    let steps = [
        commit.complete(part.id(), Receipts::one(receipt(last))),
        commit.delete_items(part.id(), ItemIds::one(held[0].id)),
        commit.produce(part.id(), batch(["committed"])),
    ];
    assert!(steps.iter().all(Result::is_ok));
    env.commit(commit).await;
    part.assert_stats_are_those_of_the_items().await;
    let all = part.list_all().await;
    part.clear(State::Dead, 1).await;
    part.assert_stats_are_those_of_the_items().await;
    part.clear(States::ALL, 10_000).await;
    part.assert_stats_are_those_of_the_items().await;
    part.restore(all, Floors::none()).await;

    part.assert_stats_are_those_of_the_items().await;
}

async fn stats_of_what_was_emptied_are_those_of_a_new_partition(env: Env) {
    let part = env.partition("a").await;
    let items = part.produce_one_of_each_state().await;
    let removed = part
        .produce_one(at(3), NewItem::new("xx").expire_at(at(9)))
        .await;

    part.complete([receipt(&items.leased)]).await;
    part.delete_items([removed]).await;
    part.clear(States::ALL, 10).await;

    assert_eq!(part.stats().await, PartitionStats::default());
}

async fn receipts_used_twice_change_no_statistics(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["completed", "released", "retried", "dead"])
        .await;
    let leased = receipts(&part.lease(at(0), at(10), 4).await);
    part.complete([leased[0]]).await;
    part.release([leased[1]]).await;
    part.retry(at(0), leased[2], RetryTo::At(at(50))).await;
    part.retry(at(0), leased[3], RetryTo::Dead).await;
    let before = part.stats().await;

    part.complete(leased.clone()).await;
    part.release(leased.clone()).await;
    part.extend(leased.clone(), at(99)).await;
    let again = leased.iter().map(|lost| Retry::new(*lost, RetryTo::Now));
    part.retry_all(at(1), again).await;

    assert_eq!(part.stats().await, before);
    part.assert_stats_are_those_of_the_items().await;
}

async fn removed_leases_change_the_statistics_once(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["deleted", "cleared"]).await;
    let leased = part.lease(at(0), at(10), 2).await;

    part.delete_items([leased[0].id]).await;
    part.clear(State::Leased, 10).await;
    part.complete(receipts(&leased)).await;
    part.release(receipts(&leased)).await;
    part.maintain(at(10)).await;

    assert_eq!(part.stats().await, PartitionStats::default());
}

async fn first_ready_item_of_the_statistics_is_the_first_in_lease_order(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(9), ["behind"]).await;
    part.produce(at(5), [NewItem::new("first").priority(1)])
        .await;
    part.produce(at(1), [NewItem::new("oldest")]).await;

    let mut firsts = Vec::new();
    for _ in 0..3 {
        firsts.push(part.stats().await.first_ready_created_at);
        part.lease_one(at(10), at(20)).await;
    }
    firsts.push(part.stats().await.first_ready_created_at);

    assert_eq!(firsts, [Some(at(5)), Some(at(9)), Some(at(1)), None]);
}

async fn expired_item_counts_as_ready_until_it_is_maintained(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [NewItem::new("expires").expire_at(at(5))])
        .await;
    part.lease(at(9), at(20), 1).await;
    let before = part.stats().await;

    part.maintain(at(9)).await;

    let after = part.stats().await;
    assert_eq!((before.ready.items, before.dead.items), (1, 0));
    assert_eq!(before.first_ready_created_at, Some(at(0)));
    assert_eq!((after.ready.items, after.dead.items), (0, 1));
    assert_eq!(after.first_ready_created_at, None);
}

async fn earliest_due_time_of_the_statistics_includes_lingering_keys(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(50));
    let part = env.partition_with("a", config).await;
    let leased = part
        .produce_leased(at(10), at(99), NewItem::new("gone").dedup_key("key"))
        .await;
    part.produce(at(10), [NewItem::new("later").enqueue_at(at(61))])
        .await;

    part.complete([receipt(&leased)]).await;
    let lingering = part.stats().await.next_due;
    part.maintain(at(60)).await;
    let freed = part.stats().await.next_due;

    assert_eq!((lingering, freed), (Some(at(60)), Some(at(61))));
}

async fn lingering_keys_count_in_no_sum(env: Env) {
    let config = PartitionConfig::default()
        .with_dedup_for(Duration::from_micros(50))
        .with_dead(DeadPolicy::Drop);
    let part = env.partition_with("a", config).await;
    let new = |key| NewItem::new(key).dedup_key(key);
    let completed = part.produce_leased(at(10), at(99), new("completed")).await;

    part.complete([receipt(&completed)]).await;
    part.produce_dead(at(10), new("dropped")).await;

    let stats = part.stats().await;
    assert_eq!((stats.items(), stats.bytes()), (0, 0));
    for state in State::ALL {
        assert_eq!(*stats.state(state), StateStats::default(), "{state}");
    }
}

async fn sums_hold_the_largest_and_smallest_times(env: Env) {
    let part = env.partition("a").await;
    let (smallest, largest) = (at(i64::MIN), at(i64::MAX));

    part.produce(smallest, vec![NewItem::new("old").enqueue_at(largest); 3])
        .await;
    part.produce(largest, vec![NewItem::new("new").expire_at(smallest); 4])
        .await;

    let stats = part.stats().await;
    let (smallest, largest) = (i128::from(i64::MIN), i128::from(i64::MAX));
    assert_eq!(stats.scheduled.created_at_sum, 3 * smallest);
    assert_eq!(stats.scheduled.due_at_sum, 3 * largest);
    assert_eq!(stats.ready.created_at_sum, 4 * largest);
    assert_eq!(stats.ready.due_at_sum, 4 * smallest);
}

async fn stats_are_kept_over_a_reopening(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(50));
    let part = env.partition_with("a", config).await;
    part.produce_one_of_each_state().await;
    let gone = part.lease_one(at(1), at(10)).await;
    part.complete([receipt(&gone)]).await;
    let before = part.stats().await;

    env.reopen().await;

    assert_eq!(part.stats().await, before);
    assert_eq!(before.next_due, Some(at(50)));
}
