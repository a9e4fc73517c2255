use storage_api::{DeadPolicy, NewItem, PartitionConfig, Requeue, RetryTo, State, Timestamp};

use crate::story::{Story, at, count};

#[test]
fn scheduled_items_come_to_the_tail_in_order_of_due_time() {
    let mut story = Story::plain();
    story.produce(
        0,
        [30, 20, 10].map(|secs| NewItem::new("x").enqueue_at(at(secs))),
    );
    story.produce(1, [NewItem::new("ready")]);

    let done = story.maintain(20);

    assert_eq!(
        (done.ready, done.more, done.next_due),
        (2, false, Some(at(30)))
    );
    assert_eq!(story.ready(), [4, 3, 2]);
}

#[test]
fn a_slice_says_that_more_is_due() {
    let mut story = Story::plain();
    story.produce(
        0,
        [1, 2, 3].map(|secs| NewItem::new("x").enqueue_at(at(secs))),
    );

    let done = story.model.maintain(&story.home, at(9), count(2)).unwrap();

    assert_eq!(
        (done.ready, done.more, done.next_due),
        (2, true, Some(at(3)))
    );
    let done = story.model.maintain(&story.home, at(9), count(1)).unwrap();
    assert_eq!((done.ready, done.more), (1, false));
}

#[test]
fn nothing_is_taken_back_before_its_deadline() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("x").expire_at(at(5))]);
    story.lease(0, 10, 1);

    assert_eq!(
        story.maintain(9).handled(),
        0,
        "an item at work is untouched"
    );
    let done = story.maintain(10);

    assert_eq!((done.expired, done.ready), (1, 0));
    assert_eq!(story.state(1), Some(State::Dead));
}

#[test]
fn expiry_comes_before_used_up_attempts_and_both_before_ready() {
    let mut story = Story::new(PartitionConfig::default().with_attempts_max(1));
    story.produce(
        0,
        [
            NewItem::new("both").expire_at(at(10)),
            NewItem::new("used up"),
            NewItem::new("has another").attempts_max(2),
        ],
    );
    story.lease(0, 10, 3);

    let done = story.maintain(10);

    assert_eq!(
        (
            done.expired,
            done.attempts_exhausted,
            done.ready,
            done.dropped
        ),
        (1, 1, 1, 0)
    );
    assert_eq!(story.ready(), [3]);
}

#[test]
fn only_leased_items_are_looked_at_for_their_attempts() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("x")]);
    let held = story.lease(0, 10, 1);
    story.retry(0, held[0], RetryTo::At(at(20)));
    story.configure(PartitionConfig::default().with_attempts_max(1));

    let done = story.maintain(20);

    assert_eq!((done.ready, done.attempts_exhausted), (1, 0));
}

#[test]
fn what_is_dropped_is_counted_as_dropped() {
    let mut story = Story::new(PartitionConfig::default().with_dead(DeadPolicy::Drop));
    story.produce(0, [NewItem::new("x").enqueue_at(at(9)).expire_at(at(5))]);

    let done = story.maintain(5);

    assert_eq!((done.expired, done.dropped), (0, 1));
    assert!(story.all().is_empty());
}

#[test]
fn a_lease_taken_back_keeps_its_place_where_the_partition_says_so() {
    let mut story = Story::new(PartitionConfig::default().with_requeue(Requeue::Original));
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    story.lease(0, 5, 1);

    story.maintain(5);

    assert_eq!(story.ready(), [1, 2]);
    assert_eq!(story.item(1).unwrap().attempts, 1);
}

#[test]
fn time_may_go_backwards_and_to_its_ends() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("x").enqueue_at(at(10))]);
    story.produce(0, [NewItem::new("never").enqueue_at(Timestamp::MAX)]);

    assert_eq!(story.maintain(5).handled(), 0);
    assert_eq!(story.maintain(-5).handled(), 0);
    assert_eq!(story.maintain(10).ready, 1);
    assert_eq!(story.maintain(0).next_due, Some(Timestamp::MAX));
    let done = story
        .model
        .maintain(&story.home, Timestamp::MAX, count(9))
        .unwrap();
    assert_eq!((done.ready, done.next_due), (1, None));
}
