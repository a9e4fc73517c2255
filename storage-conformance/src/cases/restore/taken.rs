//! What a restore finds taken: ids, positions, dedup keys.

use std::time::Duration;

use storage_api::{
    DeadReason, ErrorKind, Floors, ItemEntry, ItemState, NewItem, Object, PartitionConfig,
    Position, RetryTo,
};

use crate::env::{Env, at, partition_id, refused};
use crate::part::{Part, ready_at, receipt, whole};

const DEAD: ItemState = ItemState::Dead {
    reason: DeadReason::Rejected,
    died_at: storage_api::Timestamp::EPOCH,
};

/// Far from every number that a fresh partition gives.
const FAR: u64 = 1 << 40;

/// The restore is refused with that item, and changes nothing.
async fn assert_taken(env: &Env, part: &Part, batch: Vec<ItemEntry>, refused_item: &ItemEntry) {
    let before = env.snapshot().await;

    let answer = part.try_restore(batch, Floors::none()).await;

    let error = refused(answer, ErrorKind::AlreadyExists);
    let expected = Object::Item(part.id().clone(), refused_item.id);
    assert_eq!(*error.object(), expected);
    assert_eq!(env.snapshot().await, before);
}

pub(super) async fn a_taken_id_is_refused_whatever_state_has_it(env: Env) {
    let part = env.partition("a").await;

    for id in part.produce_every_state(1).await {
        let twin = whole(id.get(), "twin", DEAD);
        assert_taken(&env, &part, vec![twin.clone()], &twin).await;
    }
}

pub(super) async fn a_position_of_a_ready_or_leased_item_is_taken(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["leased", "ready"]).await;
    part.lease_one(at(0), at(10)).await;

    for holder in part.list_all().await {
        let position = holder
            .state
            .position()
            .expect("it is ready or leased")
            .get();
        let same_place = whole(FAR, "x", ready_at(position));
        assert_taken(&env, &part, vec![same_place.clone()], &same_place).await;
    }
}

pub(super) async fn a_position_is_taken_in_its_priority_alone(env: Env) {
    let part = env.partition("a").await;
    let first = whole(1, NewItem::new("x").priority(1), ready_at(5));
    let second = whole(2, NewItem::new("x").priority(2), ready_at(5));

    part.restore(vec![first], Floors::none()).await;
    part.restore(vec![second], Floors::none()).await;

    let leased = part.lease(at(0), at(10), 2).await;
    let positions = leased.iter().flat_map(|entry| entry.state.position());
    assert_eq!(positions.map(Position::get).collect::<Vec<_>>(), [5, 5]);
}

pub(super) async fn a_position_that_was_left_is_free(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["completed", "dies", "waits", "goes to the tail"])
        .await;
    let leased = part.lease(at(0), at(10), 4).await;
    part.complete([receipt(&leased[0])]).await;
    part.retry(at(0), receipt(&leased[1]), RetryTo::Dead).await;
    let later = RetryTo::At(at(100));
    part.retry(at(0), receipt(&leased[2]), later).await;
    part.retry(at(0), receipt(&leased[3]), RetryTo::Now).await;

    let left = leased.iter().flat_map(|entry| entry.state.position());
    let restored = (FAR..).zip(left);
    let restored = restored.map(|(id, position)| whole(id, "x", ready_at(position.get())));
    part.restore(restored.collect(), Floors::none()).await;

    part.assert_stats_are_those_of_the_items().await;
    assert_eq!(part.list_all().await.len(), 7);
}

pub(super) async fn a_dedup_key_is_taken_whatever_state_has_it(env: Env) {
    let part = env.partition("a").await;
    let keys = ["dead", "leased", "scheduled", "ready"];
    let items = (0u8..).zip(keys).map(|(priority, key)| {
        let item = NewItem::new("x").priority(priority).dedup_key(key);
        if key == "scheduled" {
            item.enqueue_at(at(10))
        } else {
            item
        }
    });
    part.produce(at(0), items).await;
    let leased = part.lease(at(0), at(10), 2).await;
    part.retry(at(0), receipt(&leased[0]), RetryTo::Dead).await;

    for key in keys {
        let twin = whole(FAR, NewItem::new("twin").dedup_key(key), DEAD);
        assert_taken(&env, &part, vec![twin.clone()], &twin).await;
    }
}

pub(super) async fn a_dedup_key_that_lingers_is_taken_until_it_is_freed(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(100));
    let part = env.partition_with("a", config).await;
    part.produce(at(0), [NewItem::new("x").dedup_key("key")])
        .await;
    let leased = part.lease_one(at(0), at(10)).await;
    part.complete([receipt(&leased)]).await;
    let twin = whole(FAR, NewItem::new("twin").dedup_key("key"), ready_at(FAR));

    assert_taken(&env, &part, vec![twin.clone()], &twin).await;
    part.maintain(at(100)).await;
    part.restore(vec![twin.clone()], Floors::none()).await;

    assert_eq!(part.list_all().await, [twin]);
}

pub(super) async fn a_dedup_key_is_taken_in_its_partition_alone(env: Env) {
    let (one, other) = (env.partition("one").await, env.partition("other").await);
    let item = whole(FAR, NewItem::new("x").dedup_key("key"), ready_at(FAR));
    one.restore(vec![item.clone()], Floors::none()).await;

    other.restore(vec![item.clone()], Floors::none()).await;

    assert_eq!(one.list_all().await, other.list_all().await);
}

pub(super) async fn what_stands_twice_in_a_batch_is_refused_the_second_time(env: Env) {
    let part = env.partition("a").await;
    let item = |id, key, position| whole(id, NewItem::new("x").dedup_key(key), ready_at(position));
    let original = item(FAR, "key", FAR);
    let same_position = item(FAR + 1, "other key", FAR);
    let same_key = item(FAR + 2, "key", FAR + 2);
    let same_id = item(FAR, "another key", FAR + 3);

    for second in [same_id, same_position, same_key] {
        let batch = vec![original.clone(), second.clone()];
        assert_taken(&env, &part, batch, &second).await;
    }
}

pub(super) async fn the_first_of_several_refused_items_is_named(env: Env) {
    let part = env.partition("a").await;
    let item = NewItem::new("x").dedup_key("key");
    let id = part.produce_one(at(0), item).await;
    let free = whole(FAR, "x", ready_at(FAR));
    let key_taken = whole(FAR + 2, NewItem::new("x").dedup_key("key"), DEAD);
    let id_taken = whole(id.get(), "x", DEAD);

    let by_key = vec![free.clone(), key_taken.clone(), id_taken.clone()];
    assert_taken(&env, &part, by_key, &key_taken).await;
    let by_id = vec![free, id_taken.clone(), key_taken];
    assert_taken(&env, &part, by_id, &id_taken).await;
}

pub(super) async fn a_refused_restore_leaves_nothing_behind(env: Env) {
    let part = env.partition("a").await;
    let taken = part.produce_one(at(0), "x").await;
    let item = NewItem::new("free").dedup_key("key").expire_at(at(5));
    let free = whole(FAR, item, ready_at(FAR));
    let batch = vec![free.clone(), whole(taken.get(), "x", DEAD)];

    let answer = part.try_restore(batch, Floors::none()).await;

    refused(answer, ErrorKind::AlreadyExists);
    let lease = part.lease(at(0), at(10), 10).await;
    assert_eq!(lease.len(), 1, "nothing stands in the order of leases");
    assert_eq!(part.stats().await.next_due, Some(at(10)));
    part.restore(vec![free.clone()], Floors::none()).await;
    assert_eq!(part.item(free.id).await, free);
}

pub(super) async fn a_restore_into_a_missing_partition_makes_none(env: Env) {
    let missing = env.part(&partition_id("missing", 3));

    let items = vec![whole(1, "x", ready_at(1))];
    let answer = missing.try_restore(items, Floors::none()).await;

    let error = refused(answer, ErrorKind::NotFound);
    assert_eq!(*error.object(), Object::Partition(missing.id().clone()));
    assert!(env.partitions().await.is_empty());
}
