//! When a lease ends, and what a receipt is worth then.

use storage_api::{
    CompleteOutcome, ExtendOutcome, ItemEntry, ReleaseOutcome, Retry, RetryOutcome, RetryTo, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![lease:
    late_holder_completes_unless_taken_back ["LEASE-7", "DONE-1"],
    late_holder_may_still_retry_release_and_extend ["LEASE-7"],
    lease_is_not_taken_back_before_its_deadline ["LEASE-7", "TIME-1"],
    deadline_alone_gives_the_item_to_nobody_else ["LEASE-7", "LEASE-3"],
    lease_with_a_deadline_in_the_past_lasts_until_it_is_taken_back ["LEASE-7"],
    receipt_is_lost_for_good_once_taken_back ["LEASE-7", "DONE-1"],
    first_holder_does_not_disturb_the_second ["LEASE-7", "LEASE-8", "DONE-1"],
    receipt_stays_lost_when_the_second_holder_gives_the_item_back ["LEASE-7"],
    receipt_of_an_item_that_the_second_holder_completed_is_not_found ["LEASE-7", "DONE-1"],
    receipt_is_lost_once_released ["LEASE-7", "RETRY-6"],
    receipt_is_lost_once_retried ["LEASE-7", "RETRY-1", "RETRY-2", "RETRY-3"],
    completed_lease_is_not_taken_back ["LEASE-7", "TIME-1"],
    item_at_work_past_its_expiry_is_completed ["LEASE-7", "TIME-1"],
    item_at_work_in_its_last_attempt_is_completed ["LEASE-7", "RETRY-4"],
    late_completion_is_judged_by_whether_the_item_was_taken_back ["LEASE-7", "DONE-1", "LEASE-3"] .since(2),
    item_at_work_past_its_expiry_in_its_last_attempt_is_taken_by_nobody ["LEASE-7", "LEASE-3", "TIME-1"] .since(2),
];

/// What a receipt is worth to each operation, the harmless ones first.
async fn try_all(part: &Part, item: &ItemEntry) -> [bool; 4] {
    let receipt = receipt(item);
    let extended = part.extend([receipt], at(i64::MAX)).await;
    let released = part.release([receipt]).await;
    let retried = part.retry(at(0), receipt, RetryTo::Now).await;
    let completed = part.complete([receipt]).await;
    [
        extended == [ExtendOutcome::LeaseLost],
        released == [ReleaseOutcome::LeaseLost],
        retried == RetryOutcome::LeaseLost,
        completed == [CompleteOutcome::LeaseLost],
    ]
}

async fn late_holder_completes_unless_taken_back(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["late", "taken back"]).await;
    let late = part.lease_one(at(0), at(10)).await;
    let taken = part.lease_one(at(0), at(10)).await;

    let in_time = part.complete([receipt(&late)]).await;
    part.maintain(at(10)).await;
    let too_late = part.complete(receipts(&[taken])).await;

    assert_eq!(in_time, [CompleteOutcome::Done]);
    assert_eq!(too_late, [CompleteOutcome::LeaseLost]);
}

async fn late_holder_may_still_retry_release_and_extend(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["retried", "released", "extended"])
        .await;
    let leased = receipts(&part.lease(at(0), at(10), 3).await);

    // The caller's time is far beyond the deadline, and nobody has maintained.
    part.lease(at(1000), at(2000), 3).await;
    let retried = part.retry(at(1000), leased[0], RetryTo::Now).await;
    let released = part.release([leased[1]]).await;
    let extended = part.extend([leased[2]], at(2000)).await;
    let maintained = part.maintain(at(1000)).await;

    assert_eq!(retried, RetryOutcome::Ready);
    assert_eq!(released, [ReleaseOutcome::Released]);
    assert_eq!(extended, [ExtendOutcome::Extended]);
    assert_eq!(maintained.handled(), 0);
}

async fn lease_is_not_taken_back_before_its_deadline(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    let early = part.maintain(at(9)).await;
    let before = part.item(leased.id).await;
    let due = part.maintain(at(10)).await;

    assert_eq!((early.ready, due.ready), (0, 1));
    assert_eq!(before, leased);
    assert_eq!(part.item(leased.id).await.state(), State::Ready);
}

async fn deadline_alone_gives_the_item_to_nobody_else(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    let second = part.lease(at(1_000_000), at(2_000_000), 1).await;

    assert_eq!(second, []);
    assert_eq!(part.item(leased.id).await, leased);
}

async fn lease_with_a_deadline_in_the_past_lasts_until_it_is_taken_back(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(100), ["completed", "taken back"]).await;

    let leased = part.lease(at(100), at(50), 2).await;
    let completed = part.complete([receipt(&leased[0])]).await;
    let maintained = part.maintain(at(100)).await;

    assert_eq!(completed, [CompleteOutcome::Done]);
    assert_eq!(maintained.ready, 1);
}

async fn receipt_is_lost_for_good_once_taken_back(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce_leased(at(0), at(10), "x").await;
    part.maintain(at(10)).await;
    let before = env.snapshot().await;

    let is_lost = try_all(&part, &first).await;

    assert_eq!(is_lost, [true; 4], "of extend, release, retry, complete");
    assert_eq!(env.snapshot().await, before);
}

/// Receipts that name the item alone let a late worker finish, or prolong, the work of another.
async fn first_holder_does_not_disturb_the_second(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce_leased(at(0), at(10), "x").await;
    part.maintain(at(10)).await;
    let second = part.lease_one(at(10), at(20)).await;
    let before = env.snapshot().await;

    let is_lost = try_all(&part, &first).await;

    assert_eq!(is_lost, [true; 4], "of extend, release, retry, complete");
    assert_eq!(env.snapshot().await, before);
    let completed = part.complete([receipt(&second)]).await;
    assert_eq!(completed, [CompleteOutcome::Done]);
}

async fn receipt_stays_lost_when_the_second_holder_gives_the_item_back(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce_leased(at(0), at(10), "x").await;
    part.maintain(at(10)).await;
    let second = part.lease_one(at(10), at(20)).await;
    part.release([receipt(&second)]).await;

    let is_lost = try_all(&part, &first).await;

    assert_eq!(is_lost, [true; 4], "of extend, release, retry, complete");
    assert_eq!(payloads(&part.list_state(State::Ready).await), ["x"]);
}

async fn receipt_of_an_item_that_the_second_holder_completed_is_not_found(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce_leased(at(0), at(10), "x").await;
    part.maintain(at(10)).await;
    let second = part.lease_one(at(10), at(20)).await;
    part.complete([receipt(&second)]).await;

    let completed = part.complete([receipt(&first)]).await;
    let extended = part.extend([receipt(&first)], at(99)).await;
    let released = part.release([receipt(&first)]).await;
    let retried = part.retry(at(10), receipt(&first), RetryTo::Now).await;

    assert_eq!(completed, [CompleteOutcome::NotFound]);
    assert_eq!(extended, [ExtendOutcome::NotFound]);
    assert_eq!(released, [ReleaseOutcome::NotFound]);
    assert_eq!(retried, RetryOutcome::NotFound);
}

async fn receipt_is_lost_once_released(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    part.release([receipt(&leased)]).await;

    let is_lost = try_all(&part, &leased).await;
    assert_eq!(is_lost, [true; 4], "of extend, release, retry, complete");
}

async fn receipt_is_lost_once_retried(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["now", "later", "dead"]).await;
    let leased = part.lease(at(0), at(10), 3).await;
    let to = [RetryTo::Now, RetryTo::At(at(50)), RetryTo::Dead];
    let retries = leased.iter().zip(to);
    let retries = retries.map(|(item, to)| Retry::new(receipt(item), to));
    part.retry_all(at(0), retries).await;
    let before = env.snapshot().await;

    for item in &leased {
        let is_lost = try_all(&part, item).await;

        assert_eq!(is_lost, [true; 4], "of extend, release, retry, complete");
    }
    assert_eq!(env.snapshot().await, before);
}

async fn completed_lease_is_not_taken_back(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["completed", "released", "deleted"])
        .await;
    let leased = part.lease(at(0), at(10), 3).await;
    part.complete([receipt(&leased[0])]).await;
    part.release([receipt(&leased[1])]).await;
    part.delete_items([leased[2].id]).await;

    let maintained = part.maintain(at(10)).await;

    assert_eq!((maintained.handled(), maintained.next_due), (0, None));
    assert_eq!(payloads(&part.list_all().await), ["released"]);
}

async fn item_at_work_past_its_expiry_is_completed(env: Env) {
    let part = env.partition("a").await;
    let new = storage_api::NewItem::new("x").expire_at(at(5));
    let leased = part.produce_leased(at(0), at(10), new).await;

    let maintained = part.maintain(at(9)).await;
    let completed = part.complete([receipt(&leased)]).await;

    assert_eq!(maintained.handled(), 0);
    assert_eq!(completed, [CompleteOutcome::Done]);
}

async fn item_at_work_in_its_last_attempt_is_completed(env: Env) {
    let part = env.partition("a").await;
    let new = storage_api::NewItem::new("x").attempts_max(1);
    let leased = part.produce_leased(at(0), at(10), new).await;

    let maintained = part.maintain(at(9)).await;
    let completed = part.complete([receipt(&leased)]).await;

    assert_eq!(maintained.handled(), 0);
    assert_eq!(completed, [CompleteOutcome::Done]);
}

/// Four workers finish late: two before anybody took their items back, two after.
async fn late_completion_is_judged_by_whether_the_item_was_taken_back(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3", "4"]).await;
    let late = receipts(&part.lease(at(0), at(10), 4).await);

    let alone = part.complete([late[0]]).await;
    let looked = part.lease(at(20), at(30), 4).await;
    let while_others_look = part.complete([late[1]]).await;
    part.maintain(at(20)).await;
    let second = part.lease_one(at(20), at(30)).await;
    let after_a_second_holder_came = part.complete([late[2]]).await;
    let after_it_was_taken_back = part.complete([late[3]]).await;
    let by_the_second_holder = part.complete([receipt(&second)]).await;

    assert_eq!((payloads(&looked), second.id), (vec![], late[2].item));
    assert_eq!(alone, [CompleteOutcome::Done]);
    assert_eq!(while_others_look, [CompleteOutcome::Done]);
    assert_eq!(after_a_second_holder_came, [CompleteOutcome::LeaseLost]);
    assert_eq!(after_it_was_taken_back, [CompleteOutcome::LeaseLost]);
    assert_eq!(by_the_second_holder, [CompleteOutcome::Done]);
    assert_eq!(payloads(&part.list_all().await), ["4"]);
}

async fn item_at_work_past_its_expiry_in_its_last_attempt_is_taken_by_nobody(env: Env) {
    let part = env.partition("a").await;
    let new = storage_api::NewItem::new("x").attempts_max(1);
    let new = new.expire_at(at(5));
    let leased = part.produce_leased(at(0), at(10), new).await;

    // Others look, retry what they have, and maintain, up to the last moment before the deadline.
    part.produce(at(6), ["other"]).await;
    let other = part.lease(at(6), at(7), 10).await;
    part.retry(at(6), receipt(&other[0]), RetryTo::Dead).await;
    let maintained = part.maintain(at(9)).await;

    assert_eq!(
        (payloads(&other), maintained.handled()),
        (vec!["other".to_owned()], 0)
    );
    assert_eq!(part.item(leased.id).await, leased);
    let completed = part.complete([receipt(&leased)]).await;
    assert_eq!(completed, [CompleteOutcome::Done]);
}
