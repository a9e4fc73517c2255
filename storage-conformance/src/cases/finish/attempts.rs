//! The limit of attempts: when it is looked at, whose it is, what happens there.

use storage_api::{
    Capability, DeadReason, ItemState, NewItem, PartitionConfig, RetryOutcome, RetryTo, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, payloads, receipt};

pub(in crate::cases) const CASES: &[Case] = cases![finish:
    attempts_used_up_by_retries_kill ["RETRY-4"],
    attempts_used_up_kill_at_a_retry_for_later_too ["RETRY-4", "RETRY-2"],
    attempts_used_up_by_lost_workers_kill ["RETRY-4", "TIME-1"],
    retries_and_lost_workers_use_up_the_same_attempts ["RETRY-4"],
    limit_of_the_item_goes_before_that_of_the_partition ["RETRY-4"],
    without_a_limit_attempts_never_kill ["RETRY-4"],
    limit_in_force_at_the_retry_decides ["RETRY-4", "PART-3"],
    limit_in_force_when_taken_back_decides ["RETRY-4", "PART-3", "TIME-1"],
    scheduled_item_comes_back_whatever_its_attempts ["RETRY-4", "TIME-1", "PART-3"],
    lease_does_not_look_at_attempts ["RETRY-4", "PART-3"],
    release_does_not_look_at_attempts ["RETRY-6", "RETRY-4"],
    released_attempts_can_be_used_again ["RETRY-6", "RETRY-4"],
    attempts_are_kept_over_a_reopening ["RETRY-4", "DUR-2"] .requires(Capability::Reopen),
    retry_does_not_look_at_expiry ["RETRY-4", "TIME-1"],
    retry_for_later_does_not_look_at_expiry ["RETRY-4", "RETRY-2", "TIME-1"],
];

/// Leases and retries an item that is alone, until it dies; tells how many leases that took.
async fn leases_until_dead(part: &Part) -> u32 {
    for leases in 1..20 {
        let leased = part.lease_one(at(0), at(10)).await;
        match part.retry(at(0), receipt(&leased), RetryTo::Now).await {
            RetryOutcome::Ready => {}
            RetryOutcome::Dead(DeadReason::AttemptsExhausted) => return leases,
            other => panic!("expected the item to be ready or exhausted, got {other:?}"),
        }
    }
    20
}

async fn attempts_used_up_by_retries_kill(env: Env) {
    for limit in [1, 2, 5] {
        let config = PartitionConfig::default().with_attempts_max(limit);
        let part = env.partition_with("a", config).await;
        part.produce(at(0), ["x"]).await;

        let leases = leases_until_dead(&part).await;

        assert_eq!(leases, limit);
        assert_eq!(part.list_state(State::Dead).await[0].attempts, limit);
        part.delete().await;
    }
}

async fn attempts_used_up_kill_at_a_retry_for_later_too(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").attempts_max(2);
    let first = part.produce_leased(at(0), at(10), new).await;

    let early = part.retry(at(0), receipt(&first), RetryTo::At(at(5))).await;
    part.maintain(at(5)).await;
    let second = part.lease_one(at(5), at(10)).await;
    let last = part
        .retry(at(6), receipt(&second), RetryTo::At(at(9)))
        .await;

    let dead = RetryOutcome::Dead(DeadReason::AttemptsExhausted);
    assert_eq!((early, last), (RetryOutcome::Scheduled, dead));
}

async fn attempts_used_up_by_lost_workers_kill(env: Env) {
    let part = env.partition("a").await;
    let id = part
        .produce_one(at(0), NewItem::new("x").attempts_max(2))
        .await;

    let mut maintained = Vec::new();
    for _ in 0..2 {
        part.lease_one(at(0), at(10)).await;
        let report = part.maintain(at(10)).await;
        maintained.push((report.ready, report.attempts_exhausted));
    }

    assert_eq!(maintained, [(1, 0), (0, 1)]);
    let (reason, died_at) = (DeadReason::AttemptsExhausted, at(10));
    assert_eq!(
        part.item(id).await.state,
        ItemState::Dead { reason, died_at }
    );
}

async fn retries_and_lost_workers_use_up_the_same_attempts(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").attempts_max(3);
    let first = part.produce_leased(at(0), at(10), new).await;

    part.retry(at(0), receipt(&first), RetryTo::Now).await;
    part.lease_one(at(0), at(10)).await;
    part.maintain(at(10)).await;
    let third = part.lease_one(at(10), at(20)).await;
    let last = part.retry(at(10), receipt(&third), RetryTo::Now).await;

    assert_eq!(third.attempts, 3);
    assert_eq!(last, RetryOutcome::Dead(DeadReason::AttemptsExhausted));
}

async fn limit_of_the_item_goes_before_that_of_the_partition(env: Env) {
    let mut leases = Vec::new();
    for (of_item, of_partition) in [(2, 4), (4, 2), (0, 3), (3, 0)] {
        let config = PartitionConfig::default().with_attempts_max(of_partition);
        let part = env.partition_with("a", config).await;
        part.produce(at(0), [NewItem::new("x").attempts_max(of_item)])
            .await;

        leases.push(leases_until_dead(&part).await);
        part.delete().await;
    }

    assert_eq!(leases, [2, 4, 3, 3]);
}

async fn without_a_limit_attempts_never_kill(env: Env) {
    let part = env.partition("a").await;
    let id = part.produce_one(at(0), "x").await;

    for _ in 0..300 {
        let leased = part.lease_one(at(0), at(10)).await;
        part.retry(at(0), receipt(&leased), RetryTo::Now).await;
    }
    part.lease_one(at(0), at(10)).await;
    part.maintain(at(10)).await;

    let item = part.item(id).await;
    assert_eq!((item.state(), item.attempts), (State::Ready, 301));
}

async fn limit_in_force_at_the_retry_decides(env: Env) {
    let config = |limit| PartitionConfig::default().with_attempts_max(limit);
    let part = env.partition_with("a", config(1)).await;
    part.produce(at(0), ["spared", "killed"]).await;
    let spared = part.lease_one(at(0), at(10)).await;
    let killed = part.lease_one(at(0), at(10)).await;

    part.update(config(2)).await;
    let raised = part.retry(at(0), receipt(&spared), RetryTo::Now).await;
    part.update(config(1)).await;
    let lowered = part.retry(at(0), receipt(&killed), RetryTo::Now).await;

    assert_eq!(raised, RetryOutcome::Ready);
    assert_eq!(lowered, RetryOutcome::Dead(DeadReason::AttemptsExhausted));
}

async fn limit_in_force_when_taken_back_decides(env: Env) {
    let config = |limit| PartitionConfig::default().with_attempts_max(limit);
    let part = env.partition_with("a", config(1)).await;
    part.produce(at(0), ["spared", "killed"]).await;
    part.lease_one(at(0), at(10)).await;
    part.lease_one(at(0), at(20)).await;

    part.update(config(2)).await;
    let raised = part.maintain(at(10)).await;
    part.update(config(1)).await;
    let lowered = part.maintain(at(20)).await;

    assert_eq!((raised.ready, raised.attempts_exhausted), (1, 0));
    assert_eq!((lowered.ready, lowered.attempts_exhausted), (0, 1));
}

async fn scheduled_item_comes_back_whatever_its_attempts(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;
    part.retry(at(0), receipt(&leased), RetryTo::At(at(5)))
        .await;

    part.update(PartitionConfig::default().with_attempts_max(1))
        .await;
    let maintained = part.maintain(at(5)).await;

    assert_eq!((maintained.ready, maintained.attempts_exhausted), (1, 0));
}

async fn lease_does_not_look_at_attempts(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    for _ in 0..3 {
        let leased = part.lease_one(at(0), at(10)).await;
        part.retry(at(0), receipt(&leased), RetryTo::Now).await;
    }

    part.update(PartitionConfig::default().with_attempts_max(1))
        .await;
    let maintained = part.maintain(at(0)).await;
    let leased = part.lease_one(at(0), at(10)).await;

    assert_eq!(maintained.handled(), 0);
    assert_eq!(leased.attempts, 4);
}

async fn release_does_not_look_at_attempts(env: Env) {
    let config = PartitionConfig::default().with_attempts_max(1);
    let part = env.partition_with("a", config).await;
    let new = NewItem::new("x").expire_at(at(5));
    let leased = part.produce_leased(at(0), at(10), new).await;

    part.release([receipt(&leased)]).await;

    assert_eq!(part.item(leased.id).await.state(), State::Ready);
}

async fn released_attempts_can_be_used_again(env: Env) {
    let config = PartitionConfig::default().with_attempts_max(1);
    let part = env.partition_with("a", config).await;
    part.produce(at(0), ["x"]).await;

    for _ in 0..5 {
        let leased = part.lease_one(at(0), at(10)).await;
        part.release([receipt(&leased)]).await;
    }

    assert_eq!(leases_until_dead(&part).await, 1);
}

/// A broker gave out a message that had used up its deliveries once more after a restart.
async fn attempts_are_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").attempts_max(2);
    let first = part.produce_leased(at(0), at(10), new).await;
    part.retry(at(0), receipt(&first), RetryTo::Now).await;

    env.reopen().await;
    let second = part.lease_one(at(0), at(10)).await;
    env.reopen().await;
    let maintained = part.maintain(at(10)).await;

    assert_eq!(second.attempts, 2);
    assert_eq!((maintained.attempts_exhausted, maintained.ready), (1, 0));
}

async fn retry_does_not_look_at_expiry(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").expire_at(at(5));
    let leased = part.produce_leased(at(0), at(10), new).await;

    let retried = part.retry(at(8), receipt(&leased), RetryTo::Now).await;
    let maintained = part.maintain(at(8)).await;

    assert_eq!(retried, RetryOutcome::Ready);
    assert_eq!(maintained.expired, 1);
}

async fn retry_for_later_does_not_look_at_expiry(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").expire_at(at(5));
    let leased = part.produce_leased(at(0), at(10), new).await;

    let retried = part
        .retry(at(3), receipt(&leased), RetryTo::At(at(9)))
        .await;
    let early = part.maintain(at(4)).await;
    let due = part.maintain(at(5)).await;

    assert_eq!(retried, RetryOutcome::Scheduled);
    assert_eq!((early.handled(), early.next_due), (0, Some(at(5))));
    assert_eq!(due.expired, 1);
    assert_eq!(payloads(&part.list_state(State::Dead).await), ["x"]);
}
