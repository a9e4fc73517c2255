use storage_api::limits::PAYLOAD_BYTES_MAX;
use storage_api::{Cursor, ErrorKind, ListRequest, NewItem, PartitionConfig, State, States};

use crate::story::{Story, at, count, id, ids};

#[test]
fn pages_end_exactly_where_nothing_follows() {
    let mut story = Story::plain();
    story.produce(0, ["1", "2", "3", "4"].map(NewItem::new));
    let mut request = ListRequest::by_id(States::ALL).items_max(count(2));

    let first = story
        .model
        .list_items(&story.home, request.clone())
        .unwrap();
    request = request.after(first.next.unwrap());
    let second = story.model.list_items(&story.home, request).unwrap();

    assert_eq!(second.items[0].id, id(3));
    assert_eq!((second.items.len(), second.next), (2, None));
}

#[test]
fn a_cursor_goes_on_where_its_item_stood() {
    let mut story = Story::plain();
    story.produce(0, ["1", "2", "3"].map(NewItem::new));
    let request = ListRequest::ready().items_max(count(2));
    let cursor = story
        .model
        .list_items(&story.home, request.clone())
        .unwrap()
        .next
        .unwrap();
    story.model.delete_items(&story.home, ids(&[1, 2])).unwrap();

    assert_eq!(story.listed(request.after(cursor)), [3]);
}

#[test]
fn a_cursor_of_another_listing_or_an_earlier_partition_is_refused() {
    let mut story = Story::plain();
    story.produce(0, ["1", "2"].map(NewItem::new));
    let request = ListRequest::ready().items_max(count(1));
    let page = story
        .model
        .list_items(&story.home, request.clone())
        .unwrap();
    let cursor = page.next.unwrap();

    let other = ListRequest::by_id(States::ALL).after(cursor.clone());
    let error = story.model.list_items(&story.home, other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    story.model.delete_partition(&story.home).unwrap();
    story
        .model
        .create_partition(&story.home, PartitionConfig::default())
        .unwrap();
    let error = story.model.list_items(&story.home, request.after(cursor));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let damaged = Cursor::from_bytes("damaged");
    let error = story.model.list_partitions(Some(&damaged), count(1));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn each_state_lists_in_its_own_order() {
    let mut story = Story::plain();
    let later = |enqueue, expire| {
        NewItem::new("x")
            .enqueue_at(at(enqueue))
            .expire_at(at(expire))
    };
    story.produce(0, [later(50, 99), later(60, 20), later(40, 99)]);
    story.produce(0, [NewItem::new("a"), NewItem::new("b"), NewItem::new("c")]);
    story.lease(0, 30, 1);
    story.lease(0, 10, 1);

    assert_eq!(story.listed(ListRequest::scheduled()), [2, 3, 1]);
    assert_eq!(story.listed(ListRequest::leased()), [5, 4]);
    assert_eq!(story.listed(ListRequest::ready()), [6]);
    assert_eq!(
        story.listed(ListRequest::from_id(States::ALL, id(4))),
        [4, 5, 6]
    );
    assert_eq!(story.listed(ListRequest::by_id(State::Leased)), [4, 5]);
    assert!(story.listed(ListRequest::by_id(States::NONE)).is_empty());
}

#[test]
fn answers_stop_at_32_mib_of_payloads() {
    let mut story = Story::plain();
    let large = vec![0; PAYLOAD_BYTES_MAX];
    for _ in 0..5 {
        story.produce(0, [NewItem::new(&large)]);
    }
    let all = || ListRequest::by_id(States::ALL);

    assert_eq!(story.all().len(), 4);
    assert_eq!(story.listed(all().without_payloads()).len(), 5);
    let found = |payloads| {
        let ids = ids(&[9, 1, 2, 3, 4, 5]);
        story.model.get_items(&story.home, ids, payloads).unwrap()
    };
    assert_eq!(found(true).len(), 5);
    assert_eq!(found(false).len(), 6);
    assert_eq!(found(true)[0], None);
    let bare = found(false)[1].clone().unwrap();
    assert_eq!(bare.record.view().payload(), None);
    assert_eq!(bare.record.view().payload_len(), PAYLOAD_BYTES_MAX);
}
