//! What a produce stores, and under which ids.

use storage_api::{
    Capability, DeadPolicy, ErrorKind, Floors, ItemEntry, ItemId, ItemState, NewItem,
    PartitionConfig, State, States,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, refused};
use crate::part::{ids, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![produce:
    batch_beyond_the_items_of_the_partition_is_refused_whole ["ITEM-1", "LIMIT-2"],
    batch_beyond_the_bytes_of_the_partition_is_refused_whole ["ITEM-1", "LIMIT-2"],
    empty_batch_stores_nothing ["ITEM-1", "BATCH-2"],
    largest_batch_is_stored_whole ["ITEM-1", "ITEM-2"],
    ids_of_a_call_are_consecutive_and_grow_with_every_call ["ITEM-2"],
    ids_are_never_given_again_after_their_items_have_gone ["ITEM-2"],
    ids_are_never_given_again_after_a_reopening ["ITEM-2", "DUR-2"] .requires(Capability::Reopen),
    ids_stay_in_order_where_they_grow_a_byte ["ITEM-2", "LIST-2"],
    id_stays_with_its_item ["ITEM-2", "RETRY-5"],
    item_for_a_later_time_is_scheduled_and_any_other_is_ready ["ITEM-3"],
    scheduled_item_is_not_leased_however_late_it_is ["ITEM-3", "TIME-1"],
    scheduled_item_does_not_stand_in_front_of_ready_ones ["ITEM-3", "LEASE-1"],
    item_that_has_expired_already_is_stored_as_any_other ["ITEM-3", "LEASE-4"],
    attributes_come_back_from_the_smallest_to_the_largest ["ITEM-5", "LIMIT-1"],
    payloads_come_back_byte_for_byte ["ITEM-5"],
    largest_payload_comes_back ["ITEM-5", "LIMIT-1"],
    payloads_come_back_after_a_reopening ["ITEM-5", "DUR-2"] .requires(Capability::Reopen),
    produced_item_has_the_time_of_its_produce_and_no_attempts ["ITEM-6"],
    created_at_is_no_order ["ITEM-6", "TIME-3"],
];

async fn batch_beyond_the_items_of_the_partition_is_refused_whole(env: Env) {
    let part = env
        .partition_with("a", PartitionConfig::default().with_items_max(3))
        .await;
    let before = env.snapshot().await;

    let four = part.try_produce(at(0), ["1", "2", "3", "4"]).await;
    let after = env.snapshot().await;
    let three = part.try_produce(at(0), ["1", "2", "3"]).await;

    refused(four, ErrorKind::CapacityExceeded);
    assert_eq!(after, before);
    assert_eq!(three.map(|produced| produced.stored()).ok(), Some(3));
}

async fn batch_beyond_the_bytes_of_the_partition_is_refused_whole(env: Env) {
    let part = env
        .partition_with("a", PartitionConfig::default().with_bytes_max(5))
        .await;
    let before = env.snapshot().await;

    let six = part.try_produce(at(0), ["123", "456"]).await;
    let after = env.snapshot().await;
    let five = part.try_produce(at(0), ["123", "45"]).await;

    refused(six, ErrorKind::CapacityExceeded);
    assert_eq!(after, before);
    assert_eq!(five.map(|produced| produced.stored()).ok(), Some(2));
}

async fn empty_batch_stores_nothing(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["there"]).await;
    let before = env.snapshot().await;

    let produced = part.produce(at(1), Vec::<NewItem<'_>>::new()).await;

    assert_eq!(produced, []);
    assert_eq!(env.snapshot().await, before);
}

async fn largest_batch_is_stored_whole(env: Env) {
    let part = env.partition("a").await;
    let numbers: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();

    let produced = part.produce(at(0), &numbers).await;

    let listed = part.list_all().await;
    assert_eq!(produced.len(), 10_000);
    assert!(
        payloads(&listed) == numbers,
        "the items are listed in batch order"
    );
    assert!(ids(&listed) == produced, "under the ids that were answered");
}

async fn ids_of_a_call_are_consecutive_and_grow_with_every_call(env: Env) {
    let part = env.partition("a").await;

    let mut calls = Vec::new();
    for len in [1, 3, 2] {
        calls.push(part.produce(at(0), vec!["x"; len]).await);
    }

    for call in &calls {
        let is_consecutive = call.windows(2).all(|pair| pair[0].next() == Some(pair[1]));
        assert!(is_consecutive, "the ids of a call: {call:?}");
    }
    let all = calls.concat();
    assert!(all.is_sorted_by(|before, after| before < after), "{all:?}");
    assert_eq!(ids(&part.list_all().await), all);
}

async fn ids_are_never_given_again_after_their_items_have_gone(env: Env) {
    let part = env
        .partition_with("a", PartitionConfig::default().with_dead(DeadPolicy::Drop))
        .await;
    let mut seen = Vec::new();

    // Each time the partition is emptied in another way.
    let leased = part.produce_leased(at(0), at(9), "completed").await;
    part.complete([receipt(&leased)]).await;
    seen.push(leased.id);
    seen.push(part.produce_dead(at(0), "dropped").await);
    let deleted = part.produce_one(at(0), "deleted").await;
    part.delete_items([deleted]).await;
    seen.push(deleted);
    seen.push(part.produce_one(at(0), "cleared").await);
    part.clear(States::ALL, 10).await;
    let expired = NewItem::new("expired").expire_at(at(1));
    seen.push(part.produce_one(at(0), expired).await);
    part.maintain(at(1)).await;
    seen.push(part.produce_one(at(1), "last").await);

    assert!(
        seen.is_sorted_by(|before, after| before < after),
        "{seen:?}"
    );
    assert_eq!(part.stats().await.items(), 1);
}

async fn ids_are_never_given_again_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce(at(0), ["1", "2", "3"]).await;
    part.clear(States::ALL, 10).await;

    env.reopen().await;
    let second = part.produce(at(0), ["4"]).await;
    env.reopen().await;
    let third = part.produce(at(0), ["5"]).await;

    let all = [first, second, third].concat();
    assert!(all.is_sorted_by(|before, after| before < after), "{all:?}");
}

async fn ids_stay_in_order_where_they_grow_a_byte(env: Env) {
    // From 9 to 10, and over each power of 256, ids that are written as text or without leading zeros change their order.
    let mut floors = vec![1, 97];
    floors.extend((1..7).map(|bytes| (1_u64 << (8 * bytes)) - 3));
    let part = env.partition("a").await;
    let mut produced = Vec::new();

    for floor in floors {
        let id = ItemId::new(floor).expect("within the limits");
        let floors = Floors::none().with_id(id).expect("below 2^62");
        part.restore(vec![], floors).await;
        produced.extend(part.produce(at(0), vec!["x"; 12]).await);
    }

    let first = produced[0];
    assert_eq!(ids(&part.list_paged(by_id(), 5).await), produced);
    assert_eq!(ids(&part.lease(at(0), at(1), 1000).await), produced);
    assert!(produced.iter().skip(1).all(|id| *id > first));
}

fn by_id() -> storage_api::Listing {
    storage_api::Listing::ById(States::ALL)
}

async fn id_stays_with_its_item(env: Env) {
    let part = env.partition("a").await;
    let id = part
        .produce_one(at(0), NewItem::new("same").enqueue_at(at(5)))
        .await;

    part.maintain(at(5)).await;
    let leased = part.lease_one(at(5), at(9)).await;
    part.release([receipt(&leased)]).await;
    let leased_again = part.lease_one(at(5), at(9)).await;
    part.retry(at(6), receipt(&leased_again), storage_api::RetryTo::Dead)
        .await;
    part.revive([id]).await;

    let last = part.list_all().await;
    assert_eq!((leased.id, leased_again.id), (id, id));
    assert_eq!(
        (ids(&last), payloads(&last)),
        (vec![id], vec!["same".into()])
    );
}

async fn item_for_a_later_time_is_scheduled_and_any_other_is_ready(env: Env) {
    let part = env.partition("a").await;
    let now = 1000;

    let items = [
        NewItem::new("no time"),
        NewItem::new("long past").enqueue_at(at(i64::MIN)),
        NewItem::new("past").enqueue_at(at(now - 1)),
        NewItem::new("now").enqueue_at(at(now)),
        NewItem::new("later").enqueue_at(at(now + 1)),
        NewItem::new("never").enqueue_at(at(i64::MAX)),
    ];
    part.produce(at(now), items).await;

    let ready = payloads(&part.list_state(State::Ready).await);
    let scheduled = payloads(&part.list_state(State::Scheduled).await);
    assert_eq!(ready, ["no time", "long past", "past", "now"]);
    assert_eq!(scheduled, ["later", "never"]);
}

async fn scheduled_item_is_not_leased_however_late_it_is(env: Env) {
    let part = env.partition("a").await;
    let id = part
        .produce_one(at(0), NewItem::new("later").enqueue_at(at(5)))
        .await;

    let leased = part.lease(at(1_000_000), at(2_000_000), 10).await;

    assert_eq!(leased, []);
    let enqueue_at = at(5);
    assert_eq!(
        part.item(id).await.state,
        ItemState::Scheduled { enqueue_at }
    );
}

async fn scheduled_item_does_not_stand_in_front_of_ready_ones(env: Env) {
    let part = env.partition("a").await;
    let later = NewItem::new("later").enqueue_at(at(5)).priority(0);
    part.produce(at(0), [later, NewItem::new("ready")]).await;

    let leased = part.lease(at(9), at(10), 1).await;

    assert_eq!(payloads(&leased), ["ready"]);
}

async fn item_that_has_expired_already_is_stored_as_any_other(env: Env) {
    let part = env.partition("a").await;

    let expired = NewItem::new("ready").expire_at(at(5));
    let both = NewItem::new("scheduled")
        .expire_at(at(5))
        .enqueue_at(at(20));
    part.produce(at(10), [expired, both]).await;

    let states: Vec<_> = part.list_all().await.iter().map(ItemEntry::state).collect();
    assert_eq!(states, [State::Ready, State::Scheduled]);
}

async fn attributes_come_back_from_the_smallest_to_the_largest(env: Env) {
    let part = env.partition("a").await;
    let (kind, reference) = ("é".repeat(128), "\0".repeat(2048));
    let (encoding, key) = ("e".repeat(256), [0xff; 256]);

    let largest = NewItem::new("largest")
        .kind(&kind)
        .encoding(&encoding)
        .reference(&reference)
        .dedup_key(&key)
        .priority(255)
        .enqueue_at(at(i64::MAX))
        .expire_at(at(i64::MAX))
        .attempts_max(u32::MAX);
    let smallest = NewItem::new("smallest")
        .kind("k")
        .dedup_key(b"\0")
        .priority(0)
        .enqueue_at(at(i64::MIN))
        .expire_at(at(i64::MIN))
        .attempts_max(1);
    part.produce(at(0), [largest, smallest, NewItem::new("none")])
        .await;

    let items = part.list_all().await;
    let [largest, smallest, none] = &items[..] else {
        panic!("expected three items, got {items:?}");
    };
    let (largest, smallest, none) = (
        largest.record.view(),
        smallest.record.view(),
        none.record.view(),
    );
    let attributes = largest.attributes();
    assert_eq!(attributes.kind, kind);
    assert_eq!(attributes.encoding, encoding);
    assert_eq!(attributes.reference, reference);
    assert_eq!(attributes.dedup_key, Some(&key[..]));
    assert_eq!(
        (largest.priority(), largest.attempts_max()),
        (255, u32::MAX)
    );
    let latest = Some(at(i64::MAX));
    assert_eq!(
        (largest.enqueue_at(), largest.expire_at()),
        (latest, latest)
    );
    assert_eq!(smallest.attributes().kind, "k");
    assert_eq!(smallest.dedup_key(), Some(&b"\0"[..]));
    assert_eq!((smallest.priority(), smallest.attempts_max()), (0, 1));
    let earliest = Some(at(i64::MIN));
    assert_eq!(
        (smallest.enqueue_at(), smallest.expire_at()),
        (earliest, earliest)
    );
    assert_eq!(none.attributes(), Default::default());
    assert_eq!((none.priority(), none.attempts_max()), (100, 0));
    assert_eq!((none.enqueue_at(), none.expire_at()), (None, None));
}

/// Payloads of every byte and of lengths around those at which storage changes its form.
fn telling_payloads() -> Vec<Vec<u8>> {
    let mut payloads = vec![
        Vec::new(),
        vec![0],
        vec![0xff],
        (0..=255).collect(),
        b"\r\n\x1a\0".to_vec(),
    ];
    for length in [127, 128, 255, 256, 4095, 4096, 65_535, 65_536, 1 << 20] {
        payloads.push((0..=250).cycle().take(length).collect());
    }
    payloads
}

async fn payloads_come_back_byte_for_byte(env: Env) {
    let part = env.partition("a").await;
    let given = telling_payloads();

    let ids = part.produce(at(0), &given).await;

    let got = part.get(ids).await.into_iter().flatten().collect();
    let listed = part.list_all().await;
    let leased = part.lease(at(0), at(1), 1000).await;
    for (what, items) in [("got", got), ("listed", listed), ("leased", leased)] {
        assert_eq!(items.len(), given.len(), "{what}");
        for (item, given) in items.iter().zip(&given) {
            let payload = item.record.view().payload();
            let is_same = payload == Some(&given[..]);
            assert!(
                is_same,
                "{what}: a payload of {} bytes differs",
                given.len()
            );
        }
    }
}

async fn largest_payload_comes_back(env: Env) {
    let part = env.partition("a").await;
    let largest: Vec<_> = (0..=252).cycle().take(8 << 20).collect();

    part.produce(at(0), [&largest]).await;

    let leased = part.lease_one(at(0), at(1)).await;
    let is_same = leased.record.view().payload() == Some(&largest[..]);
    assert!(is_same, "the largest payload comes back as it was");
    assert_eq!(part.stats().await.leased.bytes, 8 << 20);
}

async fn payloads_come_back_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    let given = telling_payloads();
    part.produce(at(0), &given).await;

    env.reopen().await;

    let items = part.list_all().await;
    assert_eq!(items.len(), given.len());
    for (item, given) in items.iter().zip(&given) {
        let is_same = item.record.view().payload() == Some(&given[..]);
        assert!(is_same, "a payload of {} bytes differs", given.len());
    }
}

async fn produced_item_has_the_time_of_its_produce_and_no_attempts(env: Env) {
    let part = env.partition("a").await;
    let times = [5, -7, i64::MIN, i64::MAX].map(at);

    for now in times {
        let id = part
            .produce_one(now, NewItem::new("x").enqueue_at(at(0)))
            .await;

        let item = part.item(id).await;
        assert_eq!(item.record.view().created_at(), now);
        assert_eq!(
            (item.attempts, item.note, item.is_revived),
            (0, None, false)
        );
    }
}

async fn created_at_is_no_order(env: Env) {
    let part = env.partition("a").await;

    part.produce(at(9), ["first"]).await;
    part.produce(at(-9), ["second"]).await;

    let leased = part.lease(at(9), at(10), 2).await;
    assert_eq!(payloads(&leased), ["first", "second"]);
    let receipts = receipts(&leased);
    assert!(receipts[0].item < receipts[1].item);
}
