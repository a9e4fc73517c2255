//! Dead items: why, when, what is left of them, and back again.

use storage_api::{
    Capability, DeadPolicy, DeadReason, ItemEntry, ItemState, NewItem, Note, PartitionConfig,
    PartitionStats, Retry, RetryOutcome, RetryTo, ReviveOutcome, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, ids, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![finish:
    item_retried_as_dead_is_rejected ["RETRY-3", "DEAD-3"],
    item_retried_as_dead_is_rejected_whatever_else_would_hold ["RETRY-3", "RETRY-4"],
    item_retried_as_dead_is_dropped_where_dead_items_have_no_place ["RETRY-3", "DEAD-1"],
    dead_items_are_in_nobodys_way ["DEAD-1"],
    dead_items_leave_by_deleting_and_clearing ["DEAD-1", "LIST-4"],
    dead_items_are_dropped_for_every_reason ["DEAD-1", "TIME-2"],
    dropped_items_leave_nothing ["DEAD-1", "PART-7"],
    dead_policy_in_force_at_the_death_decides ["DEAD-1", "PART-3"],
    dead_item_shows_its_reason_and_the_time_of_its_death ["DEAD-3"],
    dead_item_shows_its_note ["DEAD-3", "RETRY-5"],
    dead_items_are_kept_over_a_reopening ["DEAD-1", "DEAD-3", "DUR-2"] .requires(Capability::Reopen),
    revived_item_is_ready_at_the_tail ["DEAD-2", "ORDER-1"],
    revived_item_starts_with_no_attempts ["DEAD-2", "RETRY-4"],
    revived_item_never_expires ["DEAD-2", "TIME-1", "LEASE-4"],
    revived_item_does_not_expire_while_scheduled_or_leased ["DEAD-2", "TIME-1"],
    revived_item_keeps_its_note ["DEAD-2", "RETRY-5"],
    revived_item_can_die_again ["DEAD-2", "DEAD-1"],
    revive_tells_of_each_id ["DEAD-2", "BATCH-1"],
    revived_items_are_kept_over_a_reopening ["DEAD-2", "DUR-2"] .requires(Capability::Reopen),
];

/// A partition that keeps no dead items.
async fn dropping(env: &Env) -> Part {
    let config = PartitionConfig::default().with_dead(DeadPolicy::Drop);
    env.partition_with("a", config).await
}

fn death(item: &ItemEntry) -> Option<(DeadReason, i64)> {
    match item.state {
        ItemState::Dead { reason, died_at } => Some((reason, died_at.as_micros())),
        _ => None,
    }
}

fn note(item: &ItemEntry) -> Option<&str> {
    item.note.as_ref().map(Note::as_str)
}

async fn item_retried_as_dead_is_rejected(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    let retried = part.retry(at(7), receipt(&leased), RetryTo::Dead).await;

    assert_eq!(retried, RetryOutcome::Dead(DeadReason::Rejected));
    let dead = part.item(leased.id).await;
    assert_eq!(death(&dead), Some((DeadReason::Rejected, 7)));
    assert_eq!(dead.attempts, 1);
}

async fn item_retried_as_dead_is_rejected_whatever_else_would_hold(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").attempts_max(1).expire_at(at(5));
    let leased = part.produce_leased(at(0), at(6), new).await;

    let retried = part.retry(at(7), receipt(&leased), RetryTo::Dead).await;

    assert_eq!(retried, RetryOutcome::Dead(DeadReason::Rejected));
}

async fn item_retried_as_dead_is_dropped_where_dead_items_have_no_place(env: Env) {
    let part = dropping(&env).await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    let retried = part.retry(at(0), receipt(&leased), RetryTo::Dead).await;
    let again = part.retry(at(0), receipt(&leased), RetryTo::Dead).await;

    assert_eq!(retried, RetryOutcome::Dropped(DeadReason::Rejected));
    assert_eq!(again, RetryOutcome::NotFound);
    assert_eq!(part.list_all().await, []);
}

async fn dead_items_are_in_nobodys_way(env: Env) {
    let part = env.partition("a").await;
    let expires = NewItem::new("dead").expire_at(at(1)).priority(0);
    part.produce_dead(at(0), expires).await;
    part.produce(at(0), ["alive"]).await;
    let before = part.list_state(State::Dead).await;

    let leased = part.lease(at(0), at(10), 10).await;
    part.complete(receipts(&leased)).await;
    let maintained = part.maintain(at(i64::MAX)).await;

    assert_eq!(payloads(&leased), ["alive"]);
    assert_eq!((maintained.handled(), maintained.next_due), (0, None));
    assert_eq!(part.list_all().await, before);
}

async fn dead_items_leave_by_deleting_and_clearing(env: Env) {
    let part = env.partition("a").await;
    let deleted = part.produce_dead(at(0), "deleted").await;
    part.produce_dead(at(0), "cleared").await;
    part.produce(at(0), ["alive"]).await;

    part.delete_items([deleted]).await;
    let between = payloads(&part.list_state(State::Dead).await);
    part.clear(State::Dead, 10).await;

    assert_eq!(between, ["cleared"]);
    assert_eq!(payloads(&part.list_all().await), ["alive"]);
}

async fn dead_items_are_dropped_for_every_reason(env: Env) {
    let part = dropping(&env).await;
    let rejected = part.produce_leased(at(0), at(99), "rejected").await;
    let new = NewItem::new("retried too often").attempts_max(1);
    let retried = part.produce_leased(at(0), at(99), new).await;
    let new = NewItem::new("taken back too often").attempts_max(1);
    part.produce_leased(at(0), at(5), new).await;
    part.produce(at(0), [NewItem::new("expired").expire_at(at(5))])
        .await;

    let to = [(rejected, RetryTo::Dead), (retried, RetryTo::Now)];
    let retries = to.map(|(item, to)| Retry::new(receipt(&item), to));
    let outcomes = part.retry_all(at(0), retries).await;
    let maintained = part.maintain(at(5)).await;

    use DeadReason::{AttemptsExhausted, Rejected};
    let dropped = [Rejected, AttemptsExhausted].map(RetryOutcome::Dropped);
    assert_eq!(outcomes, dropped);
    // Those dropped are counted as dropped alone.
    let died = (maintained.expired, maintained.attempts_exhausted);
    assert_eq!((maintained.dropped, died), (2, (0, 0)));
    assert_eq!(part.list_all().await, []);
}

async fn dropped_items_leave_nothing(env: Env) {
    let part = dropping(&env).await;
    let expires = NewItem::new("x").expire_at(at(5));
    part.produce_dead(at(0), expires).await;
    part.produce(at(0), [expires, expires.enqueue_at(at(9))])
        .await;

    part.maintain(at(5)).await;

    assert_eq!(part.stats().await, PartitionStats::default());
    assert_eq!(part.lease(at(0), at(10), 10).await, []);
    assert_eq!(part.maintain(at(i64::MAX)).await.handled(), 0);
}

async fn dead_policy_in_force_at_the_death_decides(env: Env) {
    let part = dropping(&env).await;
    part.produce(at(0), ["kept", "dropped"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 2).await);

    part.update(PartitionConfig::default()).await;
    let kept = part.retry(at(0), leased[0], RetryTo::Dead).await;
    part.update(PartitionConfig::default().with_dead(DeadPolicy::Drop))
        .await;
    let dropped = part.retry(at(0), leased[1], RetryTo::Dead).await;

    assert_eq!(kept, RetryOutcome::Dead(DeadReason::Rejected));
    assert_eq!(dropped, RetryOutcome::Dropped(DeadReason::Rejected));
    assert_eq!(payloads(&part.list_all().await), ["kept"]);
}

async fn dead_item_shows_its_reason_and_the_time_of_its_death(env: Env) {
    let part = env.partition("a").await;
    part.produce_dead(at(1), "rejected").await;
    let new = NewItem::new("retried too often").attempts_max(1);
    let retried = part.produce_leased(at(0), at(50), new).await;
    part.retry(at(2), receipt(&retried), RetryTo::Now).await;
    let new = NewItem::new("taken back too often").attempts_max(1);
    part.produce_leased(at(0), at(3), new).await;
    let new = NewItem::new("expired at work").attempts_max(1);
    part.produce_leased(at(0), at(4), new.expire_at(at(4)))
        .await;
    let new = NewItem::new("expired").expire_at(at(5));
    part.produce(at(0), [new, new.enqueue_at(at(1000))]).await;

    // Death is when maintain comes, not when the time was.
    part.maintain(at(100)).await;

    let deaths: Vec<_> = part.list_all().await.iter().map(death).collect();
    use DeadReason::{AttemptsExhausted, Expired, Rejected};
    let expected = [
        (Rejected, 1),
        (AttemptsExhausted, 2),
        (AttemptsExhausted, 100),
        (Expired, 100),
        (Expired, 100),
        (Expired, 100),
    ];
    assert_eq!(deaths, expected.map(Some));
}

async fn dead_item_shows_its_note(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [NewItem::new("x").attempts_max(1); 3])
        .await;
    let leased = receipts(&part.lease(at(0), at(10), 3).await);
    let noted = |index: usize, to, note| Retry::new(leased[index], to).with_note(note);

    let retries = [
        noted(0, RetryTo::Dead, "no good"),
        noted(1, RetryTo::Now, "once too often"),
        noted(2, RetryTo::At(at(50)), "never again"),
    ];
    part.retry_all(at(0), retries.map(|retry| retry.expect("short enough")))
        .await;

    let dead = part.list_state(State::Dead).await;
    let notes: Vec<_> = dead.iter().map(note).collect();
    let expected = ["no good", "once too often", "never again"];
    assert_eq!(notes, expected.map(Some));
}

async fn dead_items_are_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce_dead(at(3), "rejected").await;
    part.produce(at(4), [NewItem::new("expired").expire_at(at(5))])
        .await;
    part.maintain(at(6)).await;
    let before = part.list_state(State::Dead).await;

    env.reopen().await;

    assert_eq!(part.list_state(State::Dead).await, before);
    let deaths: Vec<_> = before.iter().map(death).collect();
    let expected = [(DeadReason::Rejected, 3), (DeadReason::Expired, 6)];
    assert_eq!(deaths, expected.map(Some));
}

async fn revived_item_is_ready_at_the_tail(env: Env) {
    let part = env.partition("a").await;
    let dead = part.produce_dead(at(0), "dead").await;
    part.produce(at(0), ["1", "2"]).await;

    let revived = part.revive([dead]).await;
    part.produce(at(0), ["3"]).await;

    assert_eq!(revived, [ReviveOutcome::Revived]);
    let leased = part.lease(at(0), at(10), 4).await;
    assert_eq!(payloads(&leased), ["1", "2", "dead", "3"]);
}

async fn revived_item_starts_with_no_attempts(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").attempts_max(2);
    let first = part.produce_leased(at(0), at(10), new).await;
    part.retry(at(0), receipt(&first), RetryTo::Now).await;
    let second = part.lease_one(at(0), at(10)).await;
    part.retry(at(0), receipt(&second), RetryTo::Now).await;

    part.revive([first.id]).await;
    let attempts = part.item(first.id).await.attempts;
    let third = part.lease_one(at(0), at(10)).await;
    let retried = part.retry(at(0), receipt(&third), RetryTo::Now).await;

    assert_eq!((attempts, third.attempts), (0, 1));
    assert_eq!(retried, RetryOutcome::Ready);
}

async fn revived_item_never_expires(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").expire_at(at(5));
    let id = part.produce_one(at(0), new).await;
    part.maintain(at(5)).await;

    part.revive([id]).await;
    let maintained = part.maintain(at(i64::MAX)).await;
    let leased = part.lease(at(i64::MAX), at(i64::MAX), 1).await;

    assert_eq!((maintained.handled(), maintained.next_due), (0, None));
    assert_eq!(ids(&leased), [id]);
    assert!(leased[0].is_revived);
}

async fn revived_item_does_not_expire_while_scheduled_or_leased(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").expire_at(at(5));
    let id = part.produce_one(at(0), new).await;
    part.maintain(at(5)).await;
    part.revive([id]).await;

    let leased = part.lease_one(at(6), at(50)).await;
    part.retry(at(6), receipt(&leased), RetryTo::At(at(20)))
        .await;
    let scheduled = part.maintain(at(20)).await;
    part.lease_one(at(20), at(50)).await;
    let taken_back = part.maintain(at(50)).await;

    assert_eq!((scheduled.ready, scheduled.expired), (1, 0));
    assert_eq!((taken_back.ready, taken_back.expired), (1, 0));
}

async fn revived_item_keeps_its_note(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;
    let retry = Retry::new(receipt(&leased), RetryTo::Dead).with_note("why");
    part.retry_all(at(0), [retry.expect("short enough")]).await;

    part.revive([leased.id]).await;

    assert_eq!(note(&part.item(leased.id).await), Some("why"));
}

async fn revived_item_can_die_again(env: Env) {
    let part = env.partition("a").await;
    let id = part.produce_dead(at(0), "x").await;

    let mut deaths = Vec::new();
    for round in 1..4 {
        part.revive([id]).await;
        let leased = part.lease_one(at(0), at(10)).await;
        part.retry(at(round), receipt(&leased), RetryTo::Dead).await;
        deaths.push(death(&part.item(id).await));
    }

    let expected = [1, 2, 3].map(|time| Some((DeadReason::Rejected, time)));
    assert_eq!(deaths, expected);
}

async fn revive_tells_of_each_id(env: Env) {
    let part = env.partition("a").await;
    let items = part.produce_one_of_each_state().await;
    let dead = part.item(items.dead).await;
    part.delete_items([items.scheduled]).await;
    let before = part.item(items.leased.id).await;

    let all = [items.ready, items.leased.id, items.dead, items.scheduled];
    let revived = part.revive(all).await;

    use ReviveOutcome::{NotDead, NotFound, Revived};
    assert_eq!(revived, [NotDead, NotDead, Revived, NotFound]);
    assert_eq!(part.item(items.leased.id).await, before);
    assert_eq!(part.item(items.dead).await.record, dead.record);
}

async fn revived_items_are_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").expire_at(at(5));
    let id = part.produce_one(at(0), new).await;
    part.maintain(at(5)).await;
    part.revive([id]).await;
    let before = part.item(id).await;

    env.reopen().await;

    assert_eq!(part.item(id).await, before);
    assert_eq!(part.maintain(at(100)).await.handled(), 0);
}
