use storage_api::{
    Count, DeadPolicy, DeleteOutcome, ErrorKind, NewItem, PartitionConfig, ProduceOutcome, RetryTo,
    State, States,
};

use crate::story::{Story, at, count, id, ids, secs};

fn stored(number: u64) -> ProduceOutcome {
    ProduceOutcome::Stored(id(number))
}

fn duplicate(of: u64, state: Option<State>) -> ProduceOutcome {
    ProduceOutcome::Duplicate { of: id(of), state }
}

#[test]
fn items_come_back_as_they_were_given() {
    let mut story = Story::plain();
    let full = NewItem::new(b"\0\xff")
        .kind("kind")
        .reference("there")
        .priority(3)
        .attempts_max(9);

    story.produce(42, [full, NewItem::new("")]);

    let item = story.item(1).unwrap();
    let view = item.record.view();
    assert_eq!(view.payload(), Some(b"\0\xff".as_slice()));
    assert_eq!((view.attributes().kind, view.priority()), ("kind", 3));
    assert_eq!((view.created_at(), item.attempts), (at(42), 0));
    assert_eq!(
        story.item(2).unwrap().record.view().payload(),
        Some(&[][..])
    );
}

#[test]
fn only_a_later_enqueue_at_is_scheduled() {
    let mut story = Story::plain();

    story.produce(
        10,
        [9, 10, 11].map(|secs| NewItem::new("x").enqueue_at(at(secs))),
    );

    assert_eq!(story.ready(), [1, 2]);
    assert_eq!(story.state(3), Some(State::Scheduled));
}

#[test]
fn a_dedup_key_is_taken_while_its_item_lives_in_any_state() {
    let mut story = Story::plain();
    let item = || NewItem::new("x").dedup_key("k");
    assert_eq!(
        story.produce(0, [item(), item(), NewItem::new("y")]),
        [stored(1), duplicate(1, Some(State::Ready)), stored(2)]
    );

    let held = story.lease(0, 10, 1);
    assert_eq!(
        story.produce(0, [item()]),
        [duplicate(1, Some(State::Leased))]
    );
    story.retry(0, held[0], RetryTo::Dead);
    assert_eq!(
        story.produce(0, [item()]),
        [duplicate(1, Some(State::Dead))]
    );
    story.model.delete_items(&story.home, ids(&[1])).unwrap();
    assert_eq!(story.produce(0, [item()]), [stored(3)]);
}

#[test]
fn a_dedup_key_outlives_a_completed_item_until_maintain_frees_it() {
    let mut story = Story::new(PartitionConfig::default().with_dedup_for(secs(10)));
    let item = || NewItem::new("x").dedup_key("k");
    story.produce(0, [item()]);
    let held = story.lease(0, 10, 1);
    story.complete(held[0]);
    // The time that was in force when the item went is what counts.
    story.configure(PartitionConfig::default());

    assert_eq!(story.produce(99, [item()]), [duplicate(1, None)]);
    assert_eq!(story.maintain(9).keys_freed, 0);
    let done = story.maintain(10);

    assert_eq!(
        (done.keys_freed, done.handled(), done.next_due),
        (1, 1, None)
    );
    assert_eq!(story.produce(99, [item()]), [stored(2)]);
}

#[test]
fn a_dedup_key_is_free_at_once_where_nothing_keeps_it() {
    let mut story = Story::plain();
    let item = || NewItem::new("x").dedup_key("k");
    story.produce(0, [item()]);
    let held = story.lease(0, 10, 1);

    story.complete(held[0]);

    assert_eq!(story.produce(0, [item()]), [stored(2)]);
}

#[test]
fn dropping_keeps_the_key_and_clearing_frees_it() {
    let config = PartitionConfig::default()
        .with_dedup_for(secs(10))
        .with_dead(DeadPolicy::Drop);
    let mut story = Story::new(config);
    let item = |key| NewItem::new("x").dedup_key(key);
    story.produce(0, [item("dropped"), item("cleared")]);
    let held = story.lease(0, 10, 1);
    story.retry(0, held[0], RetryTo::Dead);

    let cleared = story.model.clear(&story.home, States::ALL, Count::MAX);

    assert_eq!(cleared.unwrap().removed, 1);
    assert_eq!(
        story.produce(0, [item("dropped"), item("cleared")]),
        [duplicate(1, None), stored(3)]
    );
}

#[test]
fn a_full_partition_refuses_the_whole_batch_and_serves_the_rest() {
    let mut story = Story::new(
        PartitionConfig::default()
            .with_items_max(2)
            .with_bytes_max(5),
    );
    let item = || NewItem::new("abc").dedup_key("k");
    story.produce(0, [item()]);

    let error = story
        .try_produce(0, [NewItem::new("ab"), NewItem::new("")])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    let error = story.try_produce(0, [NewItem::new("abc")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    story.produce(0, [NewItem::new("ab")]);

    assert_eq!(story.all(), [1, 2], "a refused batch takes no id");
    assert_eq!(
        story.produce(0, [item()]),
        [duplicate(1, Some(State::Ready))]
    );
    story.configure(PartitionConfig::default().with_items_max(1));
    assert_eq!(
        story.produce(0, [item()]),
        [duplicate(1, Some(State::Ready))],
        "nothing new fits even where there is already too much"
    );
    story.configure(PartitionConfig::default().with_items_max(2));
    let held = story.lease(0, 1, 2);
    story.retry(0, held[0], RetryTo::Dead);
    assert!(story.try_produce(0, [NewItem::new("")]).is_err());
    story.complete(held[1]);
    story.produce(0, [NewItem::new("")]);
}

#[test]
fn clear_removes_in_order_of_id_and_says_what_is_left() {
    let mut story = Story::plain();
    story.produce(
        0,
        [5, 1, 3].map(|priority| NewItem::new("x").priority(priority)),
    );
    story.lease(0, 9, 1);

    let cleared = story
        .model
        .clear(&story.home, State::Ready.into(), count(1))
        .unwrap();
    assert_eq!((cleared.removed, cleared.more), (1, true));
    assert_eq!(story.all(), [2, 3]);
    let cleared = story.model.clear(&story.home, States::NONE, Count::MAX);
    assert_eq!(cleared.unwrap().removed, 0);
    let cleared = story
        .model
        .clear(&story.home, State::Ready.into(), count(1));
    assert!(
        !cleared.unwrap().more,
        "one was left, and one was asked for"
    );

    let outcomes = story.model.delete_items(&story.home, ids(&[2, 2]));
    assert_eq!(
        outcomes.unwrap(),
        [DeleteOutcome::Deleted, DeleteOutcome::NotFound]
    );
}
