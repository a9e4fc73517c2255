//! Deleting by id, and clearing.

use std::time::Duration;

use storage_api::{
    Cleared, CompleteOutcome, Count, DeleteOutcome, ErrorKind, ExtendOutcome, Floors, Holder,
    ItemId, ItemIds, LeaseRequest, Listing, Maintained, NewItem, Object, PartitionConfig,
    PartitionStats, ProduceOutcome, Receipt, ReleaseOutcome, RestoreBatch, RetryOutcome, RetryTo,
    State, States, Timestamp,
};

use crate::env::{Env, answer_of, at, count, partition_id, refused};
use crate::part::{Part, ids, ready_at, receipt, whole};

pub(super) async fn items_of_every_state_are_deleted(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce_every_state(2).await;
    let (deleted, kept) = produced.split_at(4);

    let outcomes = part.delete_items(deleted.to_vec()).await;

    assert_eq!(outcomes, [DeleteOutcome::Deleted; 4]);
    assert_eq!(ids(&part.list_all().await), kept);
    for state in State::ALL {
        assert_eq!(part.list_state(state).await.len(), 1, "{state}");
    }
    part.assert_stats_are_those_of_the_items().await;
}

pub(super) async fn deleted_items_are_answered_in_input_order(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce(at(0), ["first", "second"]).await;
    let never = produced[1].next().expect("a number follows");

    let asked = [produced[1], never, produced[0], produced[1]];
    let outcomes = part.delete_items(asked).await;

    use DeleteOutcome::{Deleted, NotFound};
    assert_eq!(outcomes, [Deleted, NotFound, Deleted, NotFound]);
}

/// No way of using the receipt finds an item.
async fn assert_receipts_are_not_found(part: &Part, receipt: Receipt) {
    let extended = part.extend([receipt], at(100)).await;
    let released = part.release([receipt]).await;
    let retried = part.retry(at(0), receipt, RetryTo::Now).await;
    let completed = part.complete([receipt]).await;

    assert_eq!(extended, [ExtendOutcome::NotFound]);
    assert_eq!(released, [ReleaseOutcome::NotFound]);
    assert_eq!(retried, RetryOutcome::NotFound);
    assert_eq!(completed, [CompleteOutcome::NotFound]);
}

pub(super) async fn receipts_of_deleted_items_are_not_found(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let leased = part.lease_one(at(0), at(10)).await;

    part.delete_items([leased.id]).await;

    assert_receipts_are_not_found(&part, receipt(&leased)).await;
    part.assert_stats_are_those_of_the_items().await;
}

/// One item of every state that would be due at 10, and a dedup key each.
async fn produce_what_is_due_at_10(env: &Env) -> (Part, Vec<ItemId>) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(10));
    let part = env.partition_with("a", config).await;
    let keys = ["k0", "k1", "k2"];
    let item = |n: usize| NewItem::new("x").dedup_key(keys[n]);
    let items = [
        item(0).priority(1),
        item(1).expire_at(at(10)),
        item(2).enqueue_at(at(10)),
    ];
    let produced = part.produce(at(0), items).await;
    part.lease_one(at(0), at(10)).await;
    (part, produced)
}

async fn assert_nothing_is_ever_due(part: &Part) {
    assert_eq!(part.stats().await.next_due, None);
    let maintained = part.maintain(Timestamp::MAX).await;
    assert_eq!(maintained, Maintained::default());
}

pub(super) async fn deleted_items_are_never_due(env: Env) {
    let (part, produced) = produce_what_is_due_at_10(&env).await;

    part.delete_items(produced).await;

    assert_nothing_is_ever_due(&part).await;
}

pub(super) async fn cleared_items_are_never_due(env: Env) {
    let (part, _) = produce_what_is_due_at_10(&env).await;

    part.clear(States::ALL, 10).await;

    assert_nothing_is_ever_due(&part).await;
}

/// Items with keys in every state, in a partition that keeps keys for an hour.
async fn produce_keys_in_every_state(env: &Env) -> (Part, Vec<ItemId>) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_secs(3600));
    let part = env.partition_with("a", config).await;
    let items = KEYS.map(|key| {
        let item = NewItem::new("old").dedup_key(key);
        match key {
            "dead" => item.priority(0),
            "leased" => item.priority(1),
            "scheduled" => item.enqueue_at(at(10)),
            _ => item,
        }
    });
    let produced = part.produce(at(0), items).await;
    let leased = part.lease(at(0), at(10), 2).await;
    part.retry(at(0), receipt(&leased[0]), RetryTo::Dead).await;
    (part, produced)
}

const KEYS: [&str; 4] = ["ready", "scheduled", "leased", "dead"];

async fn assert_keys_are_free(part: &Part) {
    let again = KEYS.map(|key| NewItem::new("new").dedup_key(key));
    let outcomes = part.produce_outcomes(at(0), again).await;

    let are_stored = outcomes
        .iter()
        .all(|outcome| matches!(outcome, ProduceOutcome::Stored(_)));
    assert!(are_stored, "the keys {KEYS:?} were free, but: {outcomes:?}");
}

pub(super) async fn deleting_frees_a_dedup_key_at_once(env: Env) {
    let (part, produced) = produce_keys_in_every_state(&env).await;

    part.delete_items(produced).await;

    assert_keys_are_free(&part).await;
}

pub(super) async fn clearing_frees_a_dedup_key_at_once(env: Env) {
    let (part, _) = produce_keys_in_every_state(&env).await;

    part.clear(States::ALL, 4).await;

    assert_keys_are_free(&part).await;
}

pub(super) async fn clearing_removes_the_states_given_and_no_other(env: Env) {
    for state in State::ALL {
        let part = env.partition(&format!("clear {state}")).await;
        part.produce_every_state(3).await;
        let mut kept = part.list_all().await;
        kept.retain(|entry| entry.state() != state);

        let cleared = part.clear(state, 100).await;

        assert_eq!((cleared.removed, cleared.more), (3, false), "{state}");
        assert_eq!(part.list_all().await, kept, "{state}");
        part.assert_stats_are_those_of_the_items().await;
    }
}

pub(super) async fn clearing_removes_by_id_up_to_its_maximum_and_tells_what_is_left(env: Env) {
    let both = States::of([State::Leased, State::Ready]);
    for (items_max, removed, more) in [(1, 1, true), (5, 5, true), (6, 6, false), (7, 6, false)] {
        let part = env.partition(&format!("at most {items_max}")).await;
        part.produce_every_state(3).await;
        let before = ids(&part.list_in_order(Listing::ById(both)).await);

        let cleared = part.clear(both, items_max).await;

        let expected = Cleared { removed, more };
        assert_eq!(cleared, expected, "at most {items_max} of 6");
        let left = ids(&part.list_in_order(Listing::ById(both)).await);
        assert_eq!(left, before[removed..], "at most {items_max} of 6");
    }
}

pub(super) async fn clearing_no_state_removes_nothing(env: Env) {
    let part = env.partition("a").await;
    part.produce_every_state(1).await;
    let before = env.snapshot().await;

    let cleared = part.clear(States::NONE, 100).await;

    assert_eq!((cleared.removed, cleared.more), (0, false));
    assert_eq!(env.snapshot().await, before);
}

pub(super) async fn receipts_of_cleared_items_are_not_found(env: Env) {
    let part = env.partition("a").await;
    let holder = answer_of(Holder::new(7));
    part.produce(at(0), ["x"]).await;
    let request = LeaseRequest::new(at(0), at(10), Count::ONE).holder(holder);
    let leased = part.lease_with(request).await;

    part.clear(State::Leased, 10).await;

    assert_receipts_are_not_found(&part, receipt(&leased[0])).await;
    let released = part.release_holder(holder, 10).await;
    assert_eq!((released.released, released.more), (0, false));
}

pub(super) async fn deleting_and_clearing_stay_in_their_partition(env: Env) {
    // As text without a separator two of these names are the same, and so are the ids in all of them.
    let names = [("x", 1), ("x", 10), ("x1", 0), ("x", 0)];
    let mut parts = Vec::new();
    for (queue, number) in names {
        let id = partition_id(queue, number);
        let part = env.create(&id, PartitionConfig::default()).await;
        let items = [1, 2].map(|id| whole(id, "x", ready_at(id)));
        part.restore(items.into(), Floors::none()).await;
        parts.push(part);
    }

    parts[0].delete_items([ItemId::MIN]).await;
    parts[1].clear(States::ALL, 1).await;

    let mut left = Vec::new();
    for part in &parts {
        left.push(part.list_all().await.len());
    }
    assert_eq!(left, [1, 1, 2, 2]);
}

pub(super) async fn a_hundred_thousand_items_are_cleared(env: Env) {
    const ROUNDS: usize = 10;
    let part = env.partition("a").await;
    for round in 0..ROUNDS {
        let payload = [b'x'; 64];
        let item = NewItem::new(&payload);
        let item = if round % 2 == 0 {
            item
        } else {
            item.enqueue_at(at(10))
        };
        part.produce(at(0), vec![item; 10_000]).await;
    }
    part.lease(at(0), at(10), 10_000).await;

    let mut removed = 0;
    for round in 1..=ROUNDS {
        let cleared = part.clear(States::ALL, 10_000).await;
        removed += cleared.removed;
        assert_eq!(cleared.more, round < ROUNDS, "after {removed}");
    }

    assert_eq!(removed, 100_000);
    assert_eq!(part.stats().await, PartitionStats::default());
    assert!(part.list_all().await.is_empty());
    assert!(part.lease(at(0), at(10), 1).await.is_empty());
}

pub(super) async fn a_call_for_no_item_is_refused_where_others_are(env: Env) {
    let backend = env.backend().await;
    let part = env.partition("a").await;
    let missing = partition_id("missing", 0);
    let none = ItemIds::default;

    let (got, deleted) = (part.get([]).await, part.delete_items([]).await);
    let got_missing = backend.get_items(&missing, none(), true).await;
    let deleted_missing = backend.delete_items(&missing, none()).await;
    let cleared_missing = backend.clear(&missing, States::NONE, count(1)).await;
    let restored_missing = backend.restore(&missing, RestoreBatch::default(), Floors::none());
    let restored_missing = restored_missing.await;

    assert!(got.is_empty() && deleted.is_empty(), "{got:?} {deleted:?}");
    for refusal in [
        refused(got_missing, ErrorKind::NotFound),
        refused(deleted_missing, ErrorKind::NotFound),
        refused(cleared_missing, ErrorKind::NotFound),
        refused(restored_missing, ErrorKind::NotFound),
    ] {
        assert_eq!(*refusal.object(), Object::from(&missing));
    }
}
