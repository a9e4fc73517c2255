use storage_api::{
    ErrorKind, Floors, ItemId, ItemState, LeaseId, ListRequest, NewItem, Object, PartitionConfig,
    Position, RestoreBatch, RetryTo, States, Version,
};

use crate::story::{Story, at, id, secs};

fn everything(story: &Story) -> RestoreBatch {
    let all = ListRequest::by_id(States::ALL);
    let page = story.model.list_items(&story.home, all).unwrap();
    RestoreBatch::new(page.items).unwrap()
}

#[test]
fn a_partition_can_be_moved_whole() {
    let mut story = Story::plain();
    story.produce(
        0,
        [
            NewItem::new("dead"),
            NewItem::new("held"),
            NewItem::new("x"),
        ],
    );
    story.produce(0, [NewItem::new("later").enqueue_at(at(9))]);
    let held = story.lease(0, 5, 2);
    story.retry(1, held[0], RetryTo::Dead);
    let items = everything(&story);
    let mut other = Story::plain();

    other
        .model
        .restore(&other.home, items, Floors::none())
        .unwrap();

    assert_eq!(everything(&other), everything(&story));
    other.complete(held[1]);
    assert_eq!(other.all(), [1, 3, 4]);
}

#[test]
fn numbers_count_on_above_what_was_restored_and_the_floors() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("x")]);
    story.lease(0, 9, 1);
    let mut entry = everything(&story).into_vec().remove(0);
    entry.id = id(50);
    let mut other = Story::plain();
    let floors = Floors::none()
        .with_position(Position::new(70).unwrap())
        .unwrap()
        .with_lease(LeaseId::new(80).unwrap())
        .unwrap()
        .with_version(Version::new(90).unwrap())
        .unwrap();

    let batch = RestoreBatch::new(vec![entry]).unwrap();
    other.model.restore(&other.home, batch, floors).unwrap();
    other.produce(0, [NewItem::new("y")]);
    let held = other.lease(0, 9, 1);
    other.configure(PartitionConfig::default());

    let item = other.item(51).unwrap();
    assert_eq!(item.state.position(), Position::new(71).ok());
    assert_eq!(held[0].lease, LeaseId::new(81).unwrap());
    let info = other.model.partition(&other.home).unwrap();
    assert_eq!(info.revision, Version::new(91).unwrap());
    let floor = Floors::none().with_id(ItemId::new(99).unwrap()).unwrap();
    let none = RestoreBatch::default();
    other.model.restore(&other.home, none, floor).unwrap();
    other.produce(0, [NewItem::new("z")]);
    assert_eq!(other.ready(), [100]);
}

#[test]
fn a_taken_id_position_or_key_is_named_and_stores_nothing() {
    let mut story = Story::new(PartitionConfig::default().with_dedup_for(secs(99)));
    story.produce(0, [NewItem::new("x").dedup_key("gone")]);
    let held = story.lease(0, 9, 1);
    story.complete(held[0]);
    story.produce(0, [NewItem::new("x").dedup_key("k"), NewItem::new("y")]);
    let before = story.model.clone();
    let ready = |position| ItemState::Ready {
        position: Position::new(position).unwrap(),
    };
    let entry = |number, place, item: NewItem<'_>| {
        let record = crate::story::sealed(0, [item]).shared_record(0);
        storage_api::ItemEntry::new(id(number), record, ready(place))
    };

    for refused in [
        entry(2, 90, NewItem::new("id")),
        entry(91, 2, NewItem::new("position")),
        entry(91, 90, NewItem::new("key").dedup_key("k")),
        entry(91, 90, NewItem::new("gone key").dedup_key("gone")),
        entry(80, 90, NewItem::new("id within the batch")),
        entry(91, 80, NewItem::new("position within the batch")),
        entry(91, 90, NewItem::new("key within the batch").dedup_key("n")),
    ] {
        let name = refused.id;
        let first = entry(80, 80, NewItem::new("fits").dedup_key("n"));
        let batch = RestoreBatch::new(vec![first, refused.clone()]).unwrap();
        let error = story.model.restore(&story.home, batch, Floors::none());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{refused:?}");
        assert_eq!(error.object(), &Object::Item(story.home.clone(), name));
        assert_eq!(story.model, before, "{refused:?}");
    }
    let other_priority = entry(1, 2, NewItem::new("fits").priority(1));
    let batch = RestoreBatch::new(vec![other_priority]).unwrap();
    story
        .model
        .restore(&story.home, batch, Floors::none())
        .unwrap();

    let kept = &story.model.contents().partitions[0].items;
    let order: Vec<_> = kept.iter().map(|item| item.id.get()).collect();
    assert_eq!(
        order,
        [1, 2, 3],
        "the id of what has gone is free, and has its place"
    );
}

#[test]
fn capacity_holds_for_restored_items_too() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("x"), NewItem::new("y")]);
    let items = everything(&story);
    let mut full = Story::new(PartitionConfig::default().with_items_max(1));
    let before = full.model.clone();

    let error = full.model.restore(&full.home, items, Floors::none());

    assert_eq!(error.unwrap_err().kind(), ErrorKind::CapacityExceeded);
    assert_eq!(full.model, before);
}
