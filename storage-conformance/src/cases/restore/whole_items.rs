//! Whole items come back as listing showed them, and go on living.

use storage_api::{
    CompleteOutcome, DeadReason, Floors, Holder, ItemEntry, ItemState, LeaseId, LeaseRequest,
    Listing, Mode, NewItem, Note, PartitionConfig, Position, ProduceOutcome, Retry, RetryOutcome,
    RetryTo, ReviveOutcome, State, States, Timestamp,
};

use crate::env::{Env, answer_of, at, count};
use crate::part::{Part, ids, payloads, ready_at, receipt, whole};

const LISTINGS: [Listing; 4] = [
    Listing::ById(States::ALL),
    Listing::Ready,
    Listing::Scheduled,
    Listing::Leased,
];

/// Leased at that position, by lease 5, until that time.
fn leased_until(deadline: i64, position: u64) -> ItemState {
    ItemState::Leased {
        position: answer_of(Position::new(position)),
        lease: answer_of(LeaseId::new(5)),
        deadline: at(deadline),
        holder: Holder::new(u64::MAX).ok(),
    }
}

/// Items of every state with everything that an item can have: keys, notes, attempts, holders, every reason, a revival.
async fn produce_every_kind_of_item(part: &Part) {
    part.update(PartitionConfig::default().with_attempts_max(2))
        .await;
    let item = |payload| NewItem::new(payload).kind("kind").expire_at(at(1000));
    let items = [
        item("rejected").priority(0).dedup_key("rejected"),
        item("revived").priority(1).dedup_key("revived"),
        item("exhausted").priority(2).attempts_max(1),
        item("retried later").priority(3).dedup_key("later"),
        item("leased")
            .priority(4)
            .attempts_max(9)
            .dedup_key("leased"),
        item("held").priority(5),
        item("released").priority(6).dedup_key("released"),
        item("expired").expire_at(at(1)).priority(255),
        item("ready").reference("reference").encoding("encoding"),
        item("scheduled").enqueue_at(at(500)).dedup_key("scheduled"),
    ];
    part.produce(at(-7), items).await;
    let leased = part.lease(at(0), at(100), 4).await;
    let to = [RetryTo::Dead, RetryTo::Dead, RetryTo::Now];
    let to = to.into_iter().chain([RetryTo::At(at(300))]);
    let retries = leased.iter().zip(to).map(|(entry, to)| {
        let note = answer_of(Note::new(format!("note {}", entry.id)));
        answer_of(Retry::new(receipt(entry), to).with_note(note))
    });
    part.retry_all(at(2), retries).await;
    part.revive([leased[1].id]).await;
    part.maintain(at(2)).await;
    // The revived item has priority 1 and is leased first: it is given back, as is the third.
    let again = part.lease(at(2), at(200), 2).await;
    part.release([receipt(&again[0])]).await;
    let request = LeaseRequest::new(at(2), at(150), count(3)).holder(answer_of(Holder::new(8)));
    let held = part.lease_with(request).await;
    part.release([receipt(&held[0]), receipt(&held[2])]).await;
}

pub(super) async fn items_of_every_state_move_to_another_partition(env: Env) {
    let (from, to) = (env.partition("from").await, env.partition("to").await);
    produce_every_kind_of_item(&from).await;
    let items = from.list_all().await;
    let states = State::ALL.map(|state| items.iter().any(|item| item.state() == state));
    assert_eq!(states, [true; 4], "{items:?}");

    to.restore(items, Floors::none()).await;

    for listing in LISTINGS {
        let (there, here) = (from.list_in_order(listing), to.list_in_order(listing));
        assert_eq!(here.await, there.await, "{listing:?}");
    }
    assert_eq!(to.stats().await, from.stats().await);
}

pub(super) async fn items_of_every_state_are_restored_after_their_deletion(env: Env) {
    let part = env.partition("a").await;
    produce_every_kind_of_item(&part).await;
    let (items, stats) = (part.list_all().await, part.stats().await);
    part.clear(States::ALL, 100).await;

    part.restore(items.clone(), Floors::none()).await;

    assert_eq!(part.list_all().await, items);
    assert_eq!(part.stats().await, stats);
}

pub(super) async fn a_batch_may_stand_in_any_order(env: Env) {
    let part = env.partition("a").await;
    let items = [(7, 2), (3, 9), (9, 1), (1, 4)];
    let items = items.map(|(id, position)| whole(id, "x", ready_at(position)));

    part.restore(items.into(), Floors::none()).await;

    let numbers = |entries: Vec<ItemEntry>| entries.iter().map(|e| e.id.get()).collect::<Vec<_>>();
    assert_eq!(numbers(part.list_all().await), [1, 3, 7, 9]);
    assert_eq!(
        numbers(part.lease(at(0), at(10), 4).await),
        [9, 7, 1, 3],
        "by position"
    );
}

pub(super) async fn a_restored_item_stands_at_its_position(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce(at(0), ["first", "second", "third"]).await;
    let second = part.item(produced[1]).await;
    part.delete_items([second.id]).await;

    part.restore(vec![second], Floors::none()).await;

    let leased = part.lease(at(0), at(10), 3).await;
    assert_eq!(ids(&leased), produced);
}

pub(super) async fn a_restored_lease_is_valid(env: Env) {
    let part = env.partition("a").await;
    let (first, second) = (leased_until(10, 1), leased_until(10, 2));
    let items = vec![whole(1, "held", first), whole(2, "completed", second)];
    part.restore(items.clone(), Floors::none()).await;

    let completed = part.complete([receipt(&items[1])]).await;
    let released = part
        .release_holder(answer_of(Holder::new(u64::MAX)), 10)
        .await;

    assert_eq!(completed, [CompleteOutcome::Done]);
    assert_eq!((released.released, released.more), (1, false));
    assert_eq!(payloads(&part.list_state(State::Ready).await), ["held"]);
}

pub(super) async fn a_restored_lease_gives_its_place_and_attempt_back(env: Env) {
    let part = env.partition("a").await;
    let mut item = whole(1, "x", leased_until(10, 77));
    item.attempts = 3;
    part.restore(vec![item.clone()], Floors::none()).await;

    part.release([receipt(&item)]).await;

    let released = part.item(item.id).await;
    assert_eq!(released.state, ready_at(77));
    assert_eq!(released.attempts, 2);
}

pub(super) async fn a_restored_lease_is_taken_back_after_its_deadline(env: Env) {
    let part = env.partition("a").await;
    let item = |id, payload, attempts| {
        let item = NewItem::new(payload).attempts_max(3);
        let mut item = whole(id, item, leased_until(10, id));
        item.attempts = attempts;
        item
    };
    let items = vec![item(1, "tries again", 2), item(2, "has used them up", 3)];
    part.restore(items, Floors::none()).await;

    let early = part.maintain(at(9)).await;
    let due = part.maintain(at(10)).await;

    assert_eq!((early.handled(), early.next_due), (0, Some(at(10))));
    assert_eq!((due.ready, due.attempts_exhausted), (1, 1));
}

pub(super) async fn a_restored_scheduled_item_becomes_ready_when_due(env: Env) {
    let part = env.partition("a").await;
    let scheduled = |id, due| {
        let state = ItemState::Scheduled {
            enqueue_at: at(due),
        };
        whole(id, "x", state)
    };
    let items = vec![scheduled(1, 20), scheduled(2, 10)];
    part.restore(items, Floors::none()).await;

    let first = part.maintain(at(10)).await;
    let second = part.maintain(at(20)).await;

    assert_eq!((first.ready, first.next_due), (1, Some(at(20))));
    assert_eq!((second.ready, second.next_due), (1, None));
    let leased = part.lease(at(20), at(30), 2).await;
    let leased: Vec<_> = leased.iter().map(|entry| entry.id.get()).collect();
    assert_eq!(leased, [2, 1], "in the order in which they became ready");
}

pub(super) async fn a_restored_dead_item_is_revived(env: Env) {
    let part = env.partition("a").await;
    let state = ItemState::Dead {
        reason: DeadReason::AttemptsExhausted,
        died_at: at(3),
    };
    let mut item = whole(1, NewItem::new("x").expire_at(at(5)), state);
    item.attempts = 4;
    item.note = Some(answer_of(Note::new("the last words")));
    part.restore(vec![item.clone()], Floors::none()).await;

    let outcomes = part.revive([item.id]).await;

    assert_eq!(outcomes, [ReviveOutcome::Revived]);
    let leased = part.lease_one(at(100), at(110)).await;
    assert_eq!((leased.attempts, leased.note), (1, item.note));
}

pub(super) async fn a_restored_item_that_was_revived_does_not_expire(env: Env) {
    let part = env.partition("a").await;
    let mut revived = whole(1, NewItem::new("revived").expire_at(at(5)), ready_at(1));
    revived.is_revived = true;
    let mortal = whole(2, NewItem::new("mortal").expire_at(at(5)), ready_at(2));
    part.restore(vec![revived, mortal], Floors::none()).await;

    let maintained = part.maintain(at(100)).await;

    assert_eq!((maintained.expired, maintained.next_due), (1, None));
    assert_eq!(payloads(&part.list_state(State::Ready).await), ["revived"]);
}

pub(super) async fn what_is_long_due_is_restored_as_it_is(env: Env) {
    let part = env.partition("a").await;
    let overdue = ItemState::Scheduled {
        enqueue_at: at(-50),
    };
    let items = vec![
        whole(1, NewItem::new("expired").expire_at(at(-60)), ready_at(1)),
        whole(2, "to be ready", overdue),
        whole(3, "to be taken back", leased_until(-40, 3)),
    ];

    part.restore(items.clone(), Floors::none()).await;

    assert_eq!(part.list_all().await, items);
    let maintained = part.maintain(at(0)).await;
    assert_eq!((maintained.expired, maintained.ready), (1, 2));
}

pub(super) async fn a_restored_item_holds_its_dedup_key(env: Env) {
    let part = env.partition("a").await;
    let states = [
        ready_at(1),
        ItemState::Scheduled { enqueue_at: at(10) },
        leased_until(10, 2),
        ItemState::Dead {
            reason: DeadReason::Rejected,
            died_at: at(0),
        },
    ];
    let keys = ["k1", "k2", "k3", "k4"];
    let items = (1..).zip(keys).zip(states);
    let items: Vec<_> = items
        .map(|((id, key), state)| whole(id, NewItem::new("x").dedup_key(key), state))
        .collect();
    part.restore(items.clone(), Floors::none()).await;

    let again = keys.map(|key| NewItem::new("again").dedup_key(key));
    let outcomes = part.produce_outcomes(at(0), again).await;

    let expected = items.iter().map(|item| ProduceOutcome::Duplicate {
        of: item.id,
        state: Some(item.state()),
    });
    assert_eq!(outcomes, expected.collect::<Vec<_>>());
}

pub(super) async fn the_smallest_and_largest_times_come_back(env: Env) {
    let part = env.partition("a").await;
    let mut items = Vec::new();
    for time in [Timestamp::MIN, Timestamp::MAX] {
        let item = NewItem::new("x").enqueue_at(time).expire_at(time);
        let record = crate::part::batch([item]).seal(time).shared_record(0);
        let first = items.len() as u64 + 1;
        let states = [
            ready_at(first),
            ItemState::Scheduled { enqueue_at: time },
            leased_until(time.as_micros(), first + 1),
            ItemState::Dead {
                reason: DeadReason::Expired,
                died_at: time,
            },
        ];
        let entries = (first..).zip(states).map(|(id, state)| {
            let mut entry = whole(id, "x", state);
            entry.record = record.clone();
            entry
        });
        items.extend(entries);
    }

    part.restore(items.clone(), Floors::none()).await;

    assert_eq!(part.list_all().await, items);
    part.assert_stats_are_those_of_the_items().await;
    assert_eq!(part.stats().await.next_due, Some(Timestamp::MIN));
}

pub(super) async fn the_smallest_and_largest_attempts_neither_wrap_nor_panic(env: Env) {
    let part = env.partition("a").await;
    let none = whole(1, "no attempt", leased_until(10, 1));
    let mut all = whole(2, "all attempts", ready_at(2));
    all.attempts = u32::MAX;
    part.restore(vec![none.clone(), all.clone()], Floors::none())
        .await;

    let leased = part.lease_one(at(0), at(10)).await;
    part.release([receipt(&none)]).await;

    assert_eq!((leased.id, leased.attempts), (all.id, u32::MAX));
    assert_eq!(part.item(none.id).await.attempts, 0);
    let retried = part.retry(at(0), receipt(&leased), RetryTo::Now).await;
    assert_eq!(retried, RetryOutcome::Ready);
}

pub(super) async fn a_frozen_partition_takes_a_restore(env: Env) {
    let config = PartitionConfig::default().with_mode(Mode::Frozen);
    let part = env.partition_with("a", config).await;
    let items = vec![whole(1, "x", ready_at(1))];

    part.restore(items.clone(), Floors::none()).await;

    assert_eq!(part.list_all().await, items);
}

pub(super) async fn restored_items_survive_reopening(env: Env) {
    let (from, to) = (env.partition("from").await, env.partition("to").await);
    produce_every_kind_of_item(&from).await;
    to.restore(from.list_all().await, Floors::none()).await;
    let before = env.snapshot().await;

    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
}
