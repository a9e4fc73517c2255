//! What a lease takes, how much of it, and what it shows.

use std::collections::HashSet;

use storage_api::{
    Capability, CompleteOutcome, Count, ExtendOutcome, Floors, Holder, LeaseRequest, NewItem,
    ReleaseOutcome, Retry, RetryOutcome, RetryTo, State, States,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, count};
use crate::part::{ids, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![lease:
    ready_items_come_by_priority_then_position ["LEASE-1"],
    priorities_are_ordered_from_0_to_255 ["LEASE-1"],
    lease_takes_as_many_as_there_are_up_to_items_max ["LEASE-1"],
    ten_thousand_items_are_leased_at_once ["LEASE-1", "LIMIT-1"],
    lease_takes_ready_items_only ["LEASE-1", "LEASE-6"],
    empty_partition_leases_nothing ["LEASE-6"],
    lease_of_nothing_changes_nothing ["LEASE-6", "ATOM-1"],
    answer_of_a_lease_shows_the_item_as_it_then_is ["LEASE-2"],
    answer_of_a_lease_shows_what_happened_before ["LEASE-2", "RETRY-5", "DEAD-2"],
    every_lease_counts_one_attempt ["LEASE-2"],
    attempts_end_at_the_largest ["LEASE-2", "ERR-1"],
    lease_ids_are_given_once_in_all_partitions ["LEASE-2"],
    lease_ids_are_not_given_again_after_a_reopening ["LEASE-2", "DUR-2"] .requires(Capability::Reopen),
    receipt_of_one_partition_is_worth_nothing_in_another ["LEASE-2", "DONE-1"],
    leased_item_is_leased_to_nobody_else ["LEASE-3"],
    no_two_callers_at_once_are_given_the_same_item ["LEASE-3", "CONC-1"] .multi_thread(),
    expired_item_is_passed_over ["LEASE-4"],
    expired_items_hide_no_other ["LEASE-4", "LEASE-1"],
    expired_items_count_nothing_towards_the_limits ["LEASE-4", "LEASE-5"],
    expired_item_that_is_passed_over_stays_as_it_is ["LEASE-4"],
    batch_ends_before_the_item_that_would_exceed_bytes_max ["LEASE-5"],
    first_item_comes_whatever_its_size ["LEASE-5"],
    item_that_is_too_large_is_not_jumped_over ["LEASE-5", "LEASE-1"],
    empty_payloads_fit_into_no_bytes ["LEASE-5"],
    bytes_of_a_lease_are_those_of_payloads ["LEASE-5"],
    lease_ends_at_the_limit_of_an_answer ["LEASE-5", "LIMIT-1"],
];

async fn ready_items_come_by_priority_then_position(env: Env) {
    let part = env.partition("a").await;
    let items = [("low", 200), ("first", 1), ("middle", 100), ("second", 1)];
    let new = |(payload, priority)| NewItem::new(payload).priority(priority);
    part.produce(at(0), items.map(new)).await;

    let leased = part.lease(at(0), at(10), 3).await;

    assert_eq!(payloads(&leased), ["first", "second", "middle"]);
    assert_eq!(payloads(&part.list_state(State::Ready).await), ["low"]);
}

async fn priorities_are_ordered_from_0_to_255(env: Env) {
    let part = env.partition("a").await;
    let given = [101, 255, 0, 128, 127, 100, 1, 254, 99];
    let new = given.map(|priority| NewItem::new("x").priority(priority));
    part.produce(at(0), new).await;

    let leased = part.lease(at(0), at(10), 10).await;

    let order: Vec<_> = leased
        .iter()
        .map(|item| item.record.view().priority())
        .collect();
    assert_eq!(order, [0, 1, 99, 100, 101, 127, 128, 254, 255]);
}

async fn lease_takes_as_many_as_there_are_up_to_items_max(env: Env) {
    let part = env.partition("a").await;

    let mut taken = Vec::new();
    for items_max in [2, 3, 4] {
        part.produce(at(0), ["1", "2", "3"]).await;
        taken.push(part.lease(at(0), at(10), items_max).await.len());
        part.clear(States::ALL, 10).await;
    }

    assert_eq!(taken, [2, 3, 3]);
}

async fn ten_thousand_items_are_leased_at_once(env: Env) {
    let part = env.partition("a").await;
    let mut produced = part.produce(at(0), vec!["x"; 10_000]).await;
    produced.extend(part.produce(at(0), ["last"]).await);

    let first = part.lease(at(0), at(10), 10_000).await;
    let second = part.lease(at(0), at(10), 10_000).await;

    assert!(ids(&first) == produced[..10_000], "the first ten thousand");
    assert_eq!(payloads(&second), ["last"]);
}

async fn lease_takes_ready_items_only(env: Env) {
    let part = env.partition("a").await;
    let items = part.produce_one_of_each_state().await;

    let leased = part.lease(at(5000), at(6000), 10).await;

    assert_eq!(ids(&leased), [items.ready]);
}

async fn empty_partition_leases_nothing(env: Env) {
    let part = env.partition("a").await;

    let request = LeaseRequest::new(at(0), at(10), Count::MAX);
    let leased = part.try_lease(request).await;

    assert!(leased.is_ok_and(|batch| batch.is_empty()));
}

async fn lease_of_nothing_changes_nothing(env: Env) {
    let part = env.partition("a").await;
    let items = part.produce_one_of_each_state().await;
    part.delete_items([items.ready]).await;
    let before = env.snapshot().await;

    let leased = part.lease(at(5000), at(6000), 10).await;

    assert_eq!(leased, []);
    assert_eq!(env.snapshot().await, before);
}

async fn answer_of_a_lease_shows_the_item_as_it_then_is(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("payload").kind("kind").expire_at(at(99));
    let produced = part.produce(at(3), [new, new.priority(7)]).await;

    let holder = Holder::new(5).expect("not zero");
    let request = LeaseRequest::new(at(4), at(10), count(2)).holder(holder);
    let answered = part.lease_with(request).await;

    let listed: Vec<_> = part
        .get([produced[1], produced[0]])
        .await
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(answered, listed);
    assert!(answered.iter().all(|item| item.attempts == 1));
    assert!(answered.iter().all(|item| item.due_at() == Some(at(10))));
}

async fn answer_of_a_lease_shows_what_happened_before(env: Env) {
    let part = env.partition("a").await;
    let dead = part
        .produce_dead(at(0), NewItem::new("revived").expire_at(at(1)))
        .await;
    let noted = part.produce_leased(at(0), at(9), "noted").await;
    let retry = Retry::new(receipt(&noted), RetryTo::Now).with_note("again");
    part.retry_all(at(0), [retry.expect("short enough")]).await;
    part.revive([dead]).await;

    let answered = part.lease(at(5), at(10), 2).await;

    let note = answered[0].note.as_ref().map(storage_api::Note::as_str);
    assert_eq!((note, answered[0].attempts), (Some("again"), 2));
    assert_eq!((answered[1].is_revived, answered[1].attempts), (true, 1));
    assert_eq!(answered[1].expire_at(), None);
    let listed = part.get(ids(&answered)).await;
    let listed: Vec<_> = listed.into_iter().flatten().collect();
    assert_eq!(answered, listed);
}

async fn every_lease_counts_one_attempt(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;

    let mut attempts = Vec::new();
    for round in 0..4 {
        let leased = part.lease_one(at(round), at(round + 1)).await;
        attempts.push(leased.attempts);
        // By turns retried and taken back.
        if round % 2 == 0 {
            part.retry(at(round), receipt(&leased), RetryTo::Now).await;
        } else {
            part.maintain(at(round + 1)).await;
        }
    }

    assert_eq!(attempts, [1, 2, 3, 4]);
}

async fn attempts_end_at_the_largest(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["tried"]).await;
    let mut tried = part.list_all().await;
    tried[0].attempts = u32::MAX - 1;
    part.clear(States::ALL, 1).await;
    part.restore(tried, Floors::none()).await;

    let mut attempts = Vec::new();
    for _ in 0..2 {
        let leased = part.lease_one(at(0), at(9)).await;
        attempts.push(leased.attempts);
        part.retry(at(0), receipt(&leased), RetryTo::Now).await;
    }

    assert_eq!(attempts, [u32::MAX, u32::MAX]);
}

async fn lease_ids_are_given_once_in_all_partitions(env: Env) {
    let parts = [env.partition("a").await, env.partition("b").await];
    let mut seen = Vec::new();

    for round in 0..6 {
        for part in &parts {
            part.produce(at(0), ["x"; 3]).await;
            let leased = part.lease(at(0), at(10), 5).await;
            seen.extend(receipts(&leased).iter().map(|receipt| receipt.lease));
            let half = receipts(&leased[..2]);
            match round % 3 {
                0 => drop(part.release(half).await),
                1 => drop(part.complete(half).await),
                _ => drop(part.maintain(at(10)).await),
            }
        }
    }

    let distinct: HashSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    assert!(
        seen.len() > 20,
        "enough leases for the comparison: {seen:?}"
    );
}

/// A broker that numbered its deliveries anew after a restart let an old receipt confirm another message.
async fn lease_ids_are_not_given_again_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["completed", "kept", "last"]).await;
    let before = part.lease(at(0), at(10), 2).await;
    part.complete([receipt(&before[0])]).await;
    part.delete_items([before[1].id]).await;

    env.reopen().await;
    let after = part.lease_one(at(0), at(10)).await;

    let given: Vec<_> = receipts(&before)
        .iter()
        .map(|receipt| receipt.lease)
        .collect();
    let new = receipt(&after).lease;
    assert!(
        !given.contains(&new),
        "{given:?} were given before, {new} now"
    );
}

async fn receipt_of_one_partition_is_worth_nothing_in_another(env: Env) {
    let (part, other) = (env.partition("a").await, env.partition("b").await);
    // So many that some ids are the same in both, however a driver numbers them.
    part.produce(at(0), ["x"; 40]).await;
    other.produce(at(0), ["y"; 40]).await;
    let own = part.lease(at(0), at(10), 20).await;
    other.lease(at(0), at(10), 20).await;
    let before = env.snapshot().await;

    let foreign = receipts(&own);
    let completed = other.complete(foreign.clone()).await;
    let released = other.release(foreign.clone()).await;
    let extended = other.extend(foreign.clone(), at(99)).await;
    let retries = foreign.iter().map(|lost| Retry::new(*lost, RetryTo::Dead));
    let retried = other.retry_all(at(0), retries).await;

    assert!(!completed.contains(&CompleteOutcome::Done), "{completed:?}");
    assert!(
        !released.contains(&ReleaseOutcome::Released),
        "{released:?}"
    );
    assert!(!extended.contains(&ExtendOutcome::Extended), "{extended:?}");
    let is_lost = |outcome: &_| matches!(outcome, RetryOutcome::NotFound | RetryOutcome::LeaseLost);
    assert!(retried.iter().all(is_lost), "{retried:?}");
    assert_eq!(env.snapshot().await, before);
}

async fn leased_item_is_leased_to_nobody_else(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3"]).await;

    let first = part.lease(at(0), at(10), 2).await;
    let second = part.lease(at(0), at(10), 2).await;
    let third = part.lease(at(0), at(10), 2).await;

    assert_eq!(payloads(&first), ["1", "2"]);
    assert_eq!(payloads(&second), ["3"]);
    assert_eq!(third, []);
}

async fn no_two_callers_at_once_are_given_the_same_item(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), vec!["x"; 400]).await;

    let callers: Vec<_> = (0..4)
        .map(|_| {
            let part = part.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for _ in 0..20 {
                    let leased = part.lease(at(0), at(10), 3).await;
                    // Some come back, so that what one caller had is given to another in turn.
                    part.release(receipts(&leased[..leased.len() / 2])).await;
                    taken.extend(ids(&leased[leased.len() / 2..]));
                }
                taken
            })
        })
        .collect();
    let mut taken = Vec::new();
    for caller in callers {
        taken.extend(caller.await.expect("no call is refused"));
    }

    let distinct: HashSet<_> = taken.iter().copied().collect();
    assert_eq!(distinct.len(), taken.len(), "an item was given to two");
    assert_eq!(part.stats().await.leased.items, taken.len() as u64);
    part.assert_stats_are_those_of_the_items().await;
}

async fn expired_item_is_passed_over(env: Env) {
    let part = env.partition("a").await;
    let times = [i64::MIN, 99, 100, 101, i64::MAX];
    let names = times.map(|time| time.to_string());
    let new = (0..times.len()).map(|index| NewItem::new(&names[index]).expire_at(at(times[index])));
    part.produce(at(0), new).await;

    let leased = part.lease(at(100), at(200), 10).await;

    assert_eq!(payloads(&leased), ["101", &i64::MAX.to_string()]);
}

async fn expired_items_hide_no_other(env: Env) {
    let part = env.partition("a").await;
    let expired = NewItem::new("expired").expire_at(at(5));
    part.produce(at(0), [expired.priority(0), expired, expired])
        .await;
    part.produce(at(0), ["1"]).await;
    part.produce(at(0), [expired]).await;
    part.produce(at(0), ["2"]).await;

    let first = part.lease(at(5), at(10), 1).await;
    let second = part.lease(at(5), at(10), 1).await;

    assert_eq!(
        (payloads(&first), payloads(&second)),
        (vec!["1".into()], vec!["2".into()])
    );
}

async fn expired_items_count_nothing_towards_the_limits(env: Env) {
    let part = env.partition("a").await;
    let expired = NewItem::new("a long payload").expire_at(at(5));
    part.produce(
        at(0),
        [
            expired,
            NewItem::new("1"),
            expired,
            NewItem::new("2"),
            expired,
        ],
    )
    .await;

    let request = LeaseRequest::new(at(5), at(10), count(2)).bytes_max(2);
    let leased = part.lease_with(request).await;

    assert_eq!(payloads(&leased), ["1", "2"]);
}

async fn expired_item_that_is_passed_over_stays_as_it_is(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [NewItem::new("expired").expire_at(at(5))])
        .await;
    let before = env.snapshot().await;

    part.lease(at(9), at(10), 1).await;
    let after = env.snapshot().await;
    // Whose clock is behind still gets it.
    let leased = part.lease(at(4), at(10), 1).await;

    assert_eq!(after, before);
    assert_eq!(payloads(&leased), ["expired"]);
}

async fn batch_ends_before_the_item_that_would_exceed_bytes_max(env: Env) {
    let part = env.partition("a").await;

    let mut taken = Vec::new();
    for bytes_max in [5, 6, 7, 8, 9, 10] {
        part.produce(at(0), ["aaa"; 3]).await;
        let request = LeaseRequest::new(at(0), at(10), Count::MAX).bytes_max(bytes_max);
        taken.push(part.lease_with(request).await.len());
        part.clear(States::ALL, 10).await;
    }

    assert_eq!(taken, [1, 2, 2, 2, 3, 3]);
}

async fn first_item_comes_whatever_its_size(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["aaaa", "bbbb", "c"]).await;

    let mut taken = Vec::new();
    for bytes_max in [0, 3, 0] {
        let request = LeaseRequest::new(at(0), at(10), Count::MAX).bytes_max(bytes_max);
        taken.push(payloads(&part.lease_with(request).await));
    }

    assert_eq!(taken, [["aaaa"], ["bbbb"], ["c"]]);
}

async fn item_that_is_too_large_is_not_jumped_over(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["a", "bbbb", "c"]).await;

    let request = LeaseRequest::new(at(0), at(10), Count::MAX).bytes_max(4);
    let leased = part.lease_with(request).await;

    assert_eq!(payloads(&leased), ["a"]);
}

async fn empty_payloads_fit_into_no_bytes(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["", "", "", "x"]).await;

    let request = LeaseRequest::new(at(0), at(10), Count::MAX).bytes_max(0);
    let leased = part.lease_with(request).await;

    assert_eq!(payloads(&leased), ["", "", ""]);
}

async fn bytes_of_a_lease_are_those_of_payloads(env: Env) {
    let part = env.partition("a").await;
    let reference = "r".repeat(2048);
    let new = NewItem::new("xx").reference(&reference).kind("kind");
    part.produce(at(0), [new; 3]).await;

    let request = LeaseRequest::new(at(0), at(10), Count::MAX).bytes_max(6);
    let leased = part.lease_with(request).await;

    assert_eq!(leased.len(), 3);
}

async fn lease_ends_at_the_limit_of_an_answer(env: Env) {
    let part = env.partition("a").await;
    let largest = vec![b'x'; 8 << 20];
    for _ in 0..6 {
        part.produce(at(0), [&largest]).await;
    }

    let request = LeaseRequest::new(at(0), at(10), Count::MAX);
    let without_limit = part.lease_with(request).await;
    part.release(receipts(&without_limit)).await;
    let above_the_limit = part.lease_with(request.bytes_max(u64::MAX)).await;

    assert_eq!(without_limit.len(), 4);
    assert_eq!(above_the_limit.len(), 4);
}
