use storage_api::{
    CompleteOutcome, Count, DeadPolicy, DeadReason, ExtendOutcome, Holder, ItemState, LeaseRequest,
    NewItem, PartitionConfig, Receipts, ReleaseOutcome, Requeue, Retry, RetryOutcome, RetryTo,
    ReviveOutcome, State,
};

use crate::story::{Story, at, count, ids};

#[test]
fn leases_come_by_priority_then_position_and_pass_over_the_expired() {
    let mut story = Story::plain();
    story.produce(
        0,
        [
            NewItem::new("late"),
            NewItem::new("expired").priority(0).expire_at(at(5)),
            NewItem::new("urgent").priority(1),
            NewItem::new("later"),
        ],
    );

    let held = story.lease(5, 9, 10);

    let order: Vec<_> = held.iter().map(|receipt| receipt.item.get()).collect();
    assert_eq!(order, [3, 1, 4]);
    assert_eq!(story.state(2), Some(State::Ready));
    assert!(story.lease(5, 9, 10).is_empty());
}

#[test]
fn each_lease_is_new_and_counts_an_attempt() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("x")]);
    let holder = Holder::new(7).unwrap();

    let first = story.lease(0, 1, 1)[0];
    story.retry(0, first, RetryTo::Now);
    let request = LeaseRequest::new(at(0), at(1), Count::ONE).holder(holder);
    let batch = story.lease_with(request);

    let leased = batch.get(0).unwrap();
    assert_eq!(leased.attempts(), 2);
    assert!(leased.receipt().lease > first.lease);
    assert_eq!(leased.to_entry(), story.item(1).unwrap());
    assert!(matches!(
        story.item(1).unwrap().state,
        ItemState::Leased { holder: Some(by), .. } if by == holder
    ));
}

#[test]
fn bytes_stop_a_lease_before_the_item_that_exceeds_them() {
    let mut story = Story::plain();
    story.produce(0, ["12345", "1234", "1", "1"].map(NewItem::new));
    let mut lease = |bytes| {
        let request = LeaseRequest::new(at(0), at(1), Count::MAX).bytes_max(bytes);
        story.lease_with(request).len()
    };

    assert_eq!(lease(4), 1, "the first whatever its size");
    assert_eq!(lease(5), 2);
    assert_eq!(lease(0), 1);
}

#[test]
fn a_late_holder_completes_unless_its_item_was_taken_back() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 10, 2);

    assert_eq!(story.complete(held[0]), CompleteOutcome::Done);
    story.maintain(100);
    assert_eq!(story.complete(held[1]), CompleteOutcome::LeaseLost);
    let again = story.lease(100, 110, 1);
    assert_eq!(story.complete(held[1]), CompleteOutcome::LeaseLost);
    assert_eq!(story.complete(again[0]), CompleteOutcome::Done);
    assert_eq!(story.complete(again[0]), CompleteOutcome::NotFound);
}

#[test]
fn one_receipt_twice_in_a_call_is_done_once() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 10, 2);
    let receipts = Receipts::new(vec![held[0], held[0], held[1]]).unwrap();

    let outcomes = story.model.complete(&story.home, receipts).unwrap();

    use CompleteOutcome::{Done, NotFound};
    assert_eq!(outcomes, [Done, NotFound, Done]);
}

#[test]
fn extend_moves_the_deadline_both_ways() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 10, 2);
    let mut extend = |receipt, deadline| {
        let receipts = Receipts::one(receipt);
        story
            .model
            .extend(&story.home, receipts, at(deadline))
            .unwrap()
    };

    assert_eq!(extend(held[0], 20), [ExtendOutcome::Extended]);
    assert_eq!(extend(held[1], 5), [ExtendOutcome::Extended]);
    let done = story.maintain(10);

    assert_eq!((done.ready, done.next_due), (1, Some(at(20))));
    assert_eq!(story.ready(), [2]);
}

#[test]
fn release_gives_back_place_and_attempt() {
    let mut story = Story::new(PartitionConfig::default().with_attempts_max(1));
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 10, 1);

    let outcomes = story
        .model
        .release(&story.home, Receipts::new(vec![held[0], held[0]]).unwrap())
        .unwrap();

    use ReleaseOutcome::{LeaseLost, Released};
    assert_eq!(outcomes, [Released, LeaseLost]);
    assert_eq!(story.ready(), [1, 2]);
    assert_eq!(story.item(1).unwrap().attempts, 0);
}

#[test]
fn a_dead_holders_leases_are_released_by_id() {
    let mut story = Story::plain();
    story.produce(
        0,
        [9, 1, 5].map(|priority| NewItem::new("x").priority(priority)),
    );
    let (dead, alive) = (Holder::new(1).unwrap(), Holder::new(2).unwrap());
    let request = LeaseRequest::new(at(0), at(9), count(2)).holder(dead);
    story.lease_with(request);
    let request = LeaseRequest::new(at(0), at(9), count(1)).holder(alive);
    story.lease_with(request);

    let first = story.model.release_holder(&story.home, dead, count(1));
    assert_eq!(story.ready(), [2]);
    let second = story.model.release_holder(&story.home, dead, count(1));

    assert!(first.unwrap().more);
    assert!(!second.unwrap().more);
    assert_eq!(story.ready(), [2, 3]);
}

#[test]
fn retry_goes_to_the_tail_or_to_its_place() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 10, 1);
    story.retry(0, held[0], RetryTo::Now);
    assert_eq!(story.ready(), [2, 1]);

    story.configure(PartitionConfig::default().with_requeue(Requeue::Original));
    let held = story.lease(0, 10, 1);
    story.retry(10, held[0], RetryTo::At(at(10)));

    assert_eq!(story.ready(), [2, 1]);
    let held = story.lease(0, 10, 1);
    let outcome = story.retry(10, held[0], RetryTo::At(at(11)));
    assert_eq!(outcome, RetryOutcome::Scheduled);
    story.maintain(11);
    assert_eq!(
        story.ready(),
        [1, 2],
        "a scheduled item has no place to keep"
    );
}

#[test]
fn used_up_attempts_end_at_the_items_own_limit_first() {
    let mut story = Story::new(PartitionConfig::default().with_attempts_max(1));
    story.produce(0, [NewItem::new("own").attempts_max(2), NewItem::new("x")]);
    let held = story.lease(0, 10, 2);

    assert_eq!(story.retry(3, held[0], RetryTo::Now), RetryOutcome::Ready);
    let retry = Retry::new(held[1], RetryTo::At(at(9)));
    let outcome = story.retry_with(4, retry.with_note("why").unwrap());

    let reason = DeadReason::AttemptsExhausted;
    assert_eq!(outcome, RetryOutcome::Dead(reason));
    let dead = story.item(2).unwrap();
    let died_at = at(4);
    assert_eq!(dead.state, ItemState::Dead { reason, died_at });
    assert_eq!(dead.note.unwrap().as_str(), "why");
    assert_eq!(dead.attempts, 1);
}

#[test]
fn rejected_comes_before_used_up_and_drop_removes() {
    let config = PartitionConfig::default()
        .with_attempts_max(1)
        .with_dead(DeadPolicy::Drop);
    let mut story = Story::new(config);
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 10, 2);

    assert_eq!(
        story.retry(0, held[0], RetryTo::Dead),
        RetryOutcome::Dropped(DeadReason::Rejected)
    );
    assert_eq!(
        story.retry(0, held[1], RetryTo::Now),
        RetryOutcome::Dropped(DeadReason::AttemptsExhausted)
    );
    assert!(story.all().is_empty());
}

#[test]
fn a_note_stays_until_another_replaces_it() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("x")]);
    for (note, kept) in [(Some("one"), "one"), (None, "one"), (Some(""), "")] {
        let mut retry = Retry::new(story.lease(0, 1, 1)[0], RetryTo::Now);
        if let Some(note) = note {
            retry = retry.with_note(note).unwrap();
        }
        story.retry_with(0, retry);
        assert_eq!(story.item(1).unwrap().note.unwrap().as_str(), kept);
    }
}

#[test]
fn revived_items_start_anew_at_the_tail_and_never_expire() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a").expire_at(at(5)), NewItem::new("b")]);
    story.lease(0, 3, 1);
    story.maintain(5);
    assert_eq!(story.state(1), Some(State::Dead));
    assert_eq!(story.item(1).unwrap().attempts, 1);

    let outcomes = story.model.revive(&story.home, ids(&[2, 1, 1, 9]));

    use ReviveOutcome::{NotDead, NotFound, Revived};
    assert_eq!(outcomes.unwrap(), [NotDead, Revived, NotDead, NotFound]);
    assert_eq!(story.ready(), [2, 1]);
    assert_eq!(story.item(1).unwrap().expire_at(), None);
    assert_eq!(story.item(1).unwrap().attempts, 0);
    assert_eq!(story.maintain(1000).handled(), 0);
    assert_eq!(story.lease(1000, 1001, 9).len(), 2);
}
