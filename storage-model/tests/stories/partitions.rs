use storage_api::{
    Count, ErrorKind, LeaseRequest, ListRequest, Mode, NewItem, Outcome, PartitionConfig,
    PartitionId, PartitionStats, RetryTo, States, Timestamp, UpdateOutcome,
};
use storage_model::Model;

use crate::story::{Story, at, count, ids, sealed, secs};

#[test]
fn second_creation_changes_nothing() {
    let mut story = Story::new(PartitionConfig::default().with_attempts_max(3));
    let before = story.model.clone();

    let error = story
        .model
        .create_partition(&story.home, PartitionConfig::default())
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(story.model, before);
}

#[test]
fn a_missing_partition_is_not_found_and_not_made() {
    let mut model = Model::new();
    let missing = PartitionId::new("missing", 0).unwrap();

    let error = model.produce(&missing, sealed(0, [])).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.object(), &(&missing).into());
    assert_eq!(model, Model::new());
}

#[test]
fn an_update_against_an_old_revision_answers_the_one_found() {
    let mut story = Story::plain();
    let first = story.model.partition(&story.home).unwrap();
    assert_eq!(first.created, first.revision);
    let frozen = PartitionConfig::default().with_mode(Mode::Frozen);
    let updated = story
        .model
        .update_partition(&story.home, Some(first.revision), frozen.clone())
        .unwrap();
    let UpdateOutcome::Updated(second) = updated else {
        panic!("expected an update, got {updated:?}");
    };

    let conflict = story.model.update_partition(
        &story.home,
        Some(first.revision),
        PartitionConfig::default(),
    );

    assert!(second > first.revision);
    assert_eq!(conflict.unwrap(), UpdateOutcome::Conflict(second));
    assert_eq!(story.model.partition(&story.home).unwrap().config, frozen);
}

#[test]
fn a_partition_made_again_is_empty_and_counts_on() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    story.model.delete_partition(&story.home).unwrap();

    let again = story
        .model
        .create_partition(&story.home, PartitionConfig::default())
        .unwrap();

    assert!(story.all().is_empty());
    assert_eq!(again.created.get(), 2);
    story.produce(0, [NewItem::new("c")]);
    assert_eq!(story.all(), [3]);
}

#[test]
fn names_that_look_alike_are_apart() {
    let mut model = Model::new();
    let names = [
        ("a", 1),
        ("a", 10),
        ("a/1", 0),
        ("a\0", 1),
        ("..", 0),
        ("é", 0),
    ];
    for (queue, number) in names {
        let id = PartitionId::new(queue, number).unwrap();
        model
            .create_partition(&id, PartitionConfig::default())
            .unwrap();
        model
            .produce(&id, sealed(0, [NewItem::new(queue)]))
            .unwrap();
    }

    for (queue, number) in names {
        let id = PartitionId::new(queue, number).unwrap();
        let page = model.list_items(&id, ListRequest::ready()).unwrap();
        let payloads: Vec<_> = page.items.iter().map(|item| item.record.view()).collect();
        assert_eq!(payloads.len(), 1, "{id}");
        assert_eq!(payloads[0].payload(), Some(queue.as_bytes()), "{id}");
    }
}

#[test]
fn partitions_page_in_order_of_name_then_number() {
    let mut model = Model::new();
    for (queue, number) in [("b", 0), ("a", 10), ("a", 2), ("B", 1)] {
        let id = PartitionId::new(queue, number).unwrap();
        model
            .create_partition(&id, PartitionConfig::default())
            .unwrap();
    }

    let first = model.list_partitions(None, count(3)).unwrap();
    let rest = model
        .list_partitions(first.next.as_ref(), count(3))
        .unwrap();

    let names: Vec<_> = first.items.iter().map(|info| info.id.to_string()).collect();
    assert_eq!(names, ["B/1", "a/2", "a/10"]);
    assert_eq!(rest.items[0].id.to_string(), "b/0");
    assert_eq!((rest.items.len(), rest.next), (1, None));
}

#[test]
fn modes_refuse_what_they_say_and_nothing_else() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 10, 1);

    story.configure(PartitionConfig::default().with_mode(Mode::Draining));
    let error = story.try_produce(0, [NewItem::new("c")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(story.lease(0, 10, 1).len(), 1);
    story.maintain(0);

    story.configure(PartitionConfig::default().with_mode(Mode::Frozen));
    let request = LeaseRequest::new(at(0), at(1), Count::ONE);
    let error = story.model.lease(&story.home, request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = story
        .model
        .maintain(&story.home, at(99), Count::ONE)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(story.try_produce(0, [NewItem::new("c")]).is_err());
    assert!(story.try_produce(0, []).unwrap().is_empty());
    story.complete(held[0]);
    assert_eq!(story.all(), [2]);
}

#[test]
fn stats_are_what_listing_finds() {
    let mut story = Story::new(PartitionConfig::default().with_dedup_for(secs(1000)));
    story.produce(-7, [NewItem::new("first").dedup_key("k"), NewItem::new("")]);
    story.produce(5, [NewItem::new("at work"), NewItem::new("to die")]);
    story.produce(
        6,
        [NewItem::new("later").enqueue_at(at(50)).expire_at(at(40))],
    );
    story.produce(
        7,
        [NewItem::new("waits").expire_at(at(90)), NewItem::new("x")],
    );
    let held = story.lease(8, 30, 4);
    story.complete(held[0]);
    story.retry(9, held[3], RetryTo::Dead);

    let stats = story.model.stats(&story.home).unwrap();

    let mut found = PartitionStats::default();
    let page = story
        .model
        .list_items(&story.home, ListRequest::by_id(States::ALL))
        .unwrap();
    for item in &page.items {
        let sums = found.state_mut(item.state());
        sums.items += 1;
        sums.bytes += item.record.view().payload().unwrap().len() as u64;
        sums.created_at_sum += i128::from(item.record.view().created_at().as_micros());
        sums.due_at_sum += i128::from(item.due_at().map_or(0, Timestamp::as_micros));
    }
    found.first_ready_created_at = Some(at(7));
    found.next_due = Some(at(30));
    assert_eq!(stats, found);
    assert_eq!((stats.ready.items, stats.ready.bytes), (2, 6));
    assert_eq!(stats.scheduled.due_at_sum, 40_000_000);
    assert_eq!(stats.leased.items, 2);
    assert_eq!((stats.dead.items, stats.dead.due_at_sum), (1, 0));
    assert_eq!(stats.items(), 6);
}

#[test]
fn a_gone_key_is_the_next_to_be_due() {
    let mut story = Story::new(PartitionConfig::default().with_dedup_for(secs(10)));
    story.produce(1, [NewItem::new("a").dedup_key("k")]);
    let held = story.lease(1, 99, 1);
    story.complete(held[0]);

    let stats = story.model.stats(&story.home).unwrap();

    assert_eq!(stats.next_due, Some(at(11)));
    assert_eq!(stats.items(), 0);
}

#[test]
fn a_closed_model_refuses_everything_and_forgets_nothing() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a")]);
    let before = story.model.contents().clone();

    story.model.close().unwrap();
    story.model.close().unwrap();

    let error = story.model.delete_items(&story.home, ids(&[1]));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Closed);
    let missing = PartitionId::new("missing", 0).unwrap();
    let error = story.model.stats(&missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(story.model.sync().unwrap_err().kind(), ErrorKind::Closed);
    story.model.reopen();
    assert_eq!(story.model.contents(), &before);
    assert_eq!(Model::of(before), story.model);
}
