//! Retrying and releasing: where the item goes and what it keeps.

use storage_api::{
    Capability, DeadReason, Floors, ItemEntry, ItemState, Listing, NewItem, Note, PartitionConfig,
    Receipt, ReleaseOutcome, Requeue, Retry, RetryOutcome, RetryTo, State, States,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![finish:
    item_retried_now_goes_to_the_tail ["RETRY-1", "ORDER-1"],
    item_retried_now_goes_back_to_where_it_stood_if_the_partition_says_so ["RETRY-1", "ORDER-1"],
    retried_item_stays_within_its_priority ["RETRY-1", "LEASE-1"],
    requeue_in_force_at_the_retry_decides ["RETRY-1", "PART-3"],
    item_retried_at_a_later_time_is_scheduled_and_at_any_other_ready ["RETRY-2"],
    item_retried_at_a_time_that_has_come_goes_back_to_where_it_stood ["RETRY-2", "RETRY-1"],
    item_retried_for_later_comes_back_at_its_time ["RETRY-2", "TIME-1"],
    item_retried_for_later_comes_to_the_tail_whatever_the_requeue ["RETRY-2", "TIME-1", "ORDER-1"],
    time_of_the_retry_replaces_that_of_the_produce ["RETRY-2", "TIME-1"],
    retry_tells_of_each_receipt ["RETRY-1", "RETRY-2", "RETRY-3", "BATCH-1"],
    retried_item_keeps_what_it_is ["RETRY-5"],
    note_stays_until_another_replaces_it ["RETRY-5"],
    note_may_be_empty_and_may_be_the_largest ["RETRY-5", "LIMIT-1"],
    note_of_a_lost_receipt_is_not_written ["RETRY-5", "DONE-1"],
    notes_are_kept_over_a_reopening ["RETRY-5", "DUR-2"] .requires(Capability::Reopen),
    released_item_is_as_it_was_before_the_lease ["RETRY-6"],
    released_item_goes_back_to_where_it_stood_whatever_the_requeue ["RETRY-6", "ORDER-1"],
    release_counts_the_attempt_back ["RETRY-6"],
    release_of_no_attempts_stays_at_none ["RETRY-6", "ERR-1"],
    release_tells_of_each_receipt ["RETRY-6", "BATCH-1"],
    retries_and_releases_are_kept_over_a_reopening ["RETRY-1", "RETRY-6", "DUR-2"] .requires(Capability::Reopen),
];

/// A partition where retried items go back to where they stood.
async fn original(env: &Env) -> Part {
    let config = PartitionConfig::default().with_requeue(Requeue::Original);
    env.partition_with("a", config).await
}

async fn ready(part: &Part) -> Vec<String> {
    payloads(&part.list_in_order(Listing::Ready).await)
}

fn note(item: &ItemEntry) -> Option<&str> {
    item.note.as_ref().map(Note::as_str)
}

fn noted(receipt: Receipt, to: RetryTo, note: &str) -> Retry {
    let retry = Retry::new(receipt, to).with_note(note);
    retry.expect("a case uses notes within the limits")
}

async fn item_retried_now_goes_to_the_tail(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;
    let leased = part.lease_one(at(0), at(10)).await;
    part.produce(at(0), ["3"]).await;

    let retried = part.retry(at(0), receipt(&leased), RetryTo::Now).await;

    assert_eq!(retried, RetryOutcome::Ready);
    assert_eq!(ready(&part).await, ["2", "3", "1"]);
}

async fn item_retried_now_goes_back_to_where_it_stood_if_the_partition_says_so(env: Env) {
    let part = original(&env).await;
    part.produce(at(0), ["1", "2", "3"]).await;
    let leased = part.lease(at(0), at(10), 3).await;
    part.produce(at(0), ["4"]).await;

    let again = [2, 0, 1].map(|index: usize| Retry::new(receipt(&leased[index]), RetryTo::Now));
    part.retry_all(at(0), again).await;

    assert_eq!(ready(&part).await, ["1", "2", "3", "4"]);
}

async fn retried_item_stays_within_its_priority(env: Env) {
    let part = env.partition("a").await;
    let new = |payload, priority| NewItem::new(payload).priority(priority);
    part.produce(at(0), [new("1", 5), new("2", 5), new("3", 9)])
        .await;
    let leased = part.lease_one(at(0), at(10)).await;

    part.retry(at(0), receipt(&leased), RetryTo::Now).await;

    assert_eq!(ready(&part).await, ["2", "1", "3"]);
}

async fn requeue_in_force_at_the_retry_decides(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;

    let leased = part.lease_one(at(0), at(10)).await;
    part.update(PartitionConfig::default().with_requeue(Requeue::Original))
        .await;
    part.retry(at(0), receipt(&leased), RetryTo::Now).await;
    let original = ready(&part).await;
    let leased = part.lease_one(at(0), at(10)).await;
    part.update(PartitionConfig::default()).await;
    part.retry(at(0), receipt(&leased), RetryTo::Now).await;
    let tail = ready(&part).await;

    assert_eq!(original, ["1", "2"]);
    assert_eq!(tail, ["2", "1"]);
}

async fn item_retried_at_a_later_time_is_scheduled_and_at_any_other_ready(env: Env) {
    let part = env.partition("a").await;
    let times = [i64::MIN, 99, 100, 101, i64::MAX];
    part.produce(at(0), vec!["x"; times.len()]).await;
    let leased = part.lease(at(0), at(10), times.len()).await;

    let again = leased.iter().zip(times);
    let again = again.map(|(item, time)| Retry::new(receipt(item), RetryTo::At(at(time))));
    let retried = part.retry_all(at(100), again).await;

    use RetryOutcome::{Ready, Scheduled};
    assert_eq!(retried, [Ready, Ready, Ready, Scheduled, Scheduled]);
    let due: Vec<_> = part
        .list_all()
        .await
        .iter()
        .map(ItemEntry::due_at)
        .collect();
    let later = [Some(at(101)), Some(at(i64::MAX))];
    assert_eq!(due, [None, None, None, later[0], later[1]]);
}

async fn item_retried_at_a_time_that_has_come_goes_back_to_where_it_stood(env: Env) {
    let part = original(&env).await;
    part.produce(at(0), ["1", "2"]).await;
    let leased = part.lease_one(at(0), at(10)).await;

    part.retry(at(5), receipt(&leased), RetryTo::At(at(5)))
        .await;

    assert_eq!(ready(&part).await, ["1", "2"]);
}

async fn item_retried_for_later_comes_back_at_its_time(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    part.retry(at(0), receipt(&leased), RetryTo::At(at(50)))
        .await;
    // The deadline of the lease that ended is nothing to it.
    let early = part.maintain(at(49)).await;
    let due = part.maintain(at(50)).await;

    assert_eq!((early.handled(), early.next_due), (0, Some(at(50))));
    assert_eq!(due.ready, 1);
    assert_eq!(part.lease_one(at(50), at(60)).await.attempts, 2);
}

async fn item_retried_for_later_comes_to_the_tail_whatever_the_requeue(env: Env) {
    let part = original(&env).await;
    part.produce(at(0), ["1", "2"]).await;
    let leased = part.lease_one(at(0), at(10)).await;

    part.retry(at(0), receipt(&leased), RetryTo::At(at(5)))
        .await;
    part.maintain(at(5)).await;

    assert_eq!(ready(&part).await, ["2", "1"]);
}

async fn time_of_the_retry_replaces_that_of_the_produce(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [NewItem::new("x").enqueue_at(at(5))])
        .await;
    part.maintain(at(5)).await;
    let leased = part.lease_one(at(5), at(10)).await;

    part.retry(at(5), receipt(&leased), RetryTo::At(at(50)))
        .await;

    let enqueue_at = at(50);
    let item = part.item(leased.id).await;
    assert_eq!(item.state, ItemState::Scheduled { enqueue_at });
    assert_eq!(item.record, leased.record);
    assert_eq!(part.maintain(at(49)).await.handled(), 0);
}

async fn retry_tells_of_each_receipt(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["done", "released", "now", "later", "dead"])
        .await;
    let leased = receipts(&part.lease(at(0), at(10), 5).await);
    part.complete([leased[0]]).await;
    part.release([leased[1]]).await;

    let (now, later) = (RetryTo::Now, RetryTo::At(at(9)));
    let to = [now, now, now, later, RetryTo::Dead];
    let retries = leased.into_iter().zip(to);
    let retried = part
        .retry_all(at(0), retries.map(|(receipt, to)| Retry::new(receipt, to)))
        .await;

    let expected = [
        RetryOutcome::NotFound,
        RetryOutcome::LeaseLost,
        RetryOutcome::Ready,
        RetryOutcome::Scheduled,
        RetryOutcome::Dead(DeadReason::Rejected),
    ];
    assert_eq!(retried, expected);
}

async fn retried_item_keeps_what_it_is(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("payload")
        .kind("kind")
        .encoding("encoding")
        .reference("reference")
        .dedup_key("key")
        .priority(3)
        .enqueue_at(at(1))
        .expire_at(at(1000))
        .attempts_max(9);
    let produced = part.produce_leased(at(1), at(10), new).await;

    let mut kept = Vec::new();
    for to in [RetryTo::Now, RetryTo::At(at(20)), RetryTo::Dead] {
        let leased = part.list_state(State::Leased).await;
        part.retry(at(5), receipt(&leased[0]), to).await;
        kept.push(part.item(produced.id).await);
        part.maintain(at(20)).await;
        part.lease(at(20), at(30), 1).await;
    }

    for (item, attempts) in kept.iter().zip([1, 2, 3]) {
        assert_eq!(item.record, produced.record);
        assert_eq!(item.attempts, attempts, "of {item:?}");
    }
}

async fn note_stays_until_another_replaces_it(env: Env) {
    let part = env.partition("a").await;
    let mut leased = part.produce_leased(at(0), at(10), "x").await;
    let mut notes = Vec::new();

    for text in [None, Some("first"), None, Some("second"), None] {
        let retry = match text {
            Some(text) => noted(receipt(&leased), RetryTo::Now, text),
            None => Retry::new(receipt(&leased), RetryTo::Now),
        };
        part.retry_all(at(0), [retry]).await;
        let waiting = part.item(leased.id).await;
        leased = part.lease_one(at(0), at(10)).await;
        assert_eq!(leased.note, waiting.note);
        notes.push(waiting.note.as_ref().map(|note| note.as_str().to_owned()));
    }
    // Neither a release nor being taken back is a retry.
    part.release([receipt(&leased)]).await;
    part.lease_one(at(0), at(10)).await;
    part.maintain(at(10)).await;

    let (first, second) = (Some("first".to_owned()), Some("second".to_owned()));
    let expected = [None, first.clone(), first, second.clone(), second];
    assert_eq!(notes, expected);
    assert_eq!(note(&part.item(leased.id).await), Some("second"));
}

async fn note_may_be_empty_and_may_be_the_largest(env: Env) {
    let part = env.partition("a").await;
    let mut leased = part.produce_leased(at(0), at(10), "x").await;
    let largest = "é".repeat(512);

    for text in [&largest, "", "\0"] {
        part.retry_all(at(0), [noted(receipt(&leased), RetryTo::Now, text)])
            .await;
        leased = part.lease_one(at(0), at(10)).await;

        assert_eq!(note(&leased), Some(text));
        assert_eq!(note(&part.item(leased.id).await), Some(text));
    }
}

async fn note_of_a_lost_receipt_is_not_written(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce_leased(at(0), at(10), "x").await;
    part.maintain(at(10)).await;
    let second = part.lease_one(at(10), at(20)).await;

    part.retry_all(at(10), [noted(receipt(&first), RetryTo::Now, "lost")])
        .await;

    assert_eq!(part.item(first.id).await, second);
}

async fn notes_are_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["ready", "scheduled", "dead", "empty"])
        .await;
    let leased = receipts(&part.lease(at(0), at(10), 4).await);
    let retries = [
        noted(leased[0], RetryTo::Now, "one"),
        noted(leased[1], RetryTo::At(at(50)), "two"),
        noted(leased[2], RetryTo::Dead, "three"),
        noted(leased[3], RetryTo::Now, ""),
    ];
    part.retry_all(at(0), retries).await;

    env.reopen().await;

    let items = part.list_all().await;
    let notes: Vec<_> = items.iter().map(note).collect();
    assert_eq!(notes, ["one", "two", "three", ""].map(Some));
}

async fn released_item_is_as_it_was_before_the_lease(env: Env) {
    let part = env.partition("a").await;
    let noted_item = part.produce_leased(at(0), at(10), "noted").await;
    part.retry_all(at(0), [noted(receipt(&noted_item), RetryTo::Now, "note")])
        .await;
    part.produce(at(0), [NewItem::new("expires").expire_at(at(99))])
        .await;
    let before = env.snapshot().await;

    let leased = part.lease(at(0), at(10), 2).await;
    let released = part.release(receipts(&leased)).await;

    assert_eq!(released, [ReleaseOutcome::Released; 2]);
    assert_eq!(env.snapshot().await, before);
}

async fn released_item_goes_back_to_where_it_stood_whatever_the_requeue(env: Env) {
    for requeue in [Requeue::Tail, Requeue::Original] {
        let config = PartitionConfig::default().with_requeue(requeue);
        let part = env.partition_with("a", config).await;
        part.produce(at(0), ["1", "2"]).await;
        let leased = part.lease_one(at(0), at(10)).await;
        part.produce(at(0), ["3"]).await;

        part.release([receipt(&leased)]).await;

        assert_eq!(ready(&part).await, ["1", "2", "3"], "{requeue:?}");
        part.delete().await;
    }
}

async fn release_counts_the_attempt_back(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce_leased(at(0), at(10), "x").await;
    part.retry(at(0), receipt(&first), RetryTo::Now).await;

    let mut attempts = Vec::new();
    for _ in 0..3 {
        let leased = part.lease_one(at(0), at(10)).await;
        part.release([receipt(&leased)]).await;
        attempts.push((leased.attempts, part.item(leased.id).await.attempts));
    }

    assert_eq!(attempts, [(2, 1); 3]);
}

async fn release_of_no_attempts_stays_at_none(env: Env) {
    let part = env.partition("a").await;
    part.produce_leased(at(0), at(10), "x").await;
    let mut leased = part.list_all().await;
    part.clear(States::ALL, 1).await;
    // Restored as somebody else stored it: at work, and not counted.
    leased[0].attempts = 0;
    part.restore(leased.clone(), Floors::none()).await;

    part.release(receipts(&leased)).await;

    assert_eq!(part.item(leased[0].id).await.attempts, 0);
}

async fn release_tells_of_each_receipt(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "done", "taken back", "2"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 4).await);
    part.complete([leased[1]]).await;
    part.extend([leased[2]], at(5)).await;
    part.maintain(at(5)).await;

    let released = part.release(leased).await;

    use ReleaseOutcome::{LeaseLost, NotFound, Released};
    assert_eq!(released, [Released, NotFound, LeaseLost, Released]);
}

async fn retries_and_releases_are_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["now", "released", "later", "dead", "left"])
        .await;
    let leased = receipts(&part.lease(at(0), at(10), 4).await);
    part.retry(at(0), leased[0], RetryTo::Now).await;
    part.release([leased[1]]).await;
    part.retry(at(0), leased[2], RetryTo::At(at(50))).await;
    part.retry(at(0), leased[3], RetryTo::Dead).await;
    let before = env.snapshot().await;

    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
    assert_eq!(ready(&part).await, ["released", "left", "now"]);
}
