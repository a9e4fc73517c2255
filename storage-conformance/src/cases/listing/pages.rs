//! Paging through items.

use storage_api::limits::PAYLOAD_BYTES_MAX;
use storage_api::{ItemEntry, ItemId, ListRequest, Listing, NewItem, Page, RetryTo, State, States};

use super::{LISTINGS, one_by_one};
use crate::env::{Env, answer_of, at, count};
use crate::part::{Part, ids, payloads, receipt};

/// Reads a listing page by page and finds the items of every state in that order, and a cursor in every page but the last.
async fn assert_pages_of_every_size<K: Ord>(
    env: Env,
    listing: Listing,
    belongs: fn(State) -> bool,
    order: fn(&ItemEntry) -> K,
) {
    let part = env.partition("a").await;
    let mut expected = Vec::new();
    for id in part.produce_every_state(6).await {
        expected.push(part.item(id).await);
    }
    expected.retain(|entry| belongs(entry.state()));
    expected.sort_by_key(order);
    let n = expected.len();

    for size in [1, 2, n - 1, n, n + 1] {
        let mut shown = Vec::new();
        let mut request = ListRequest::new(listing).items_max(count(size));
        loop {
            let page = part.list(request.clone()).await;
            shown.extend(page.items);
            assert_eq!(
                page.next.is_some(),
                shown.len() < n,
                "in pages of {size}, whether a cursor comes behind {} of {n}",
                shown.len()
            );
            let Some(next) = page.next else { break };
            request = request.after(next);
        }
        assert_eq!(ids(&shown), ids(&expected), "in pages of {size}");
        assert_eq!(shown, expected, "in pages of {size}");
    }
}

pub(super) async fn pages_of_every_size_give_all_items_by_id(env: Env) {
    let listing = Listing::ById(States::ALL);
    assert_pages_of_every_size(env, listing, |_| true, |entry| entry.id).await;
}

pub(super) async fn pages_of_every_size_give_the_ready_in_lease_order(env: Env) {
    let belongs = |state| state == State::Ready;
    assert_pages_of_every_size(env, Listing::Ready, belongs, |entry| {
        (entry.record.view().priority(), entry.state.position())
    })
    .await;
}

pub(super) async fn pages_of_every_size_give_the_scheduled_by_due_time(env: Env) {
    let belongs = |state| state == State::Scheduled;
    let order = |entry: &ItemEntry| (entry.due_at(), entry.id);
    assert_pages_of_every_size(env, Listing::Scheduled, belongs, order).await;
}

pub(super) async fn pages_of_every_size_give_the_leased_by_deadline(env: Env) {
    let belongs = |state| state == State::Leased;
    let order = |entry: &ItemEntry| (entry.due_at(), entry.id);
    assert_pages_of_every_size(env, Listing::Leased, belongs, order).await;
}

pub(super) async fn several_states_are_one_listing(env: Env) {
    let part = env.partition("a").await;
    part.produce_every_state(4).await;
    let mut expected = part.list_all().await;
    expected.retain(|entry| matches!(entry.state(), State::Ready | State::Dead));

    let listing = Listing::ById(States::of([State::Dead, State::Ready]));
    let listed = part.list_paged(listing, 3).await;

    assert_eq!(ids(&listed), ids(&expected));
}

pub(super) async fn no_state_lists_nothing(env: Env) {
    let part = env.partition("a").await;
    part.produce_every_state(1).await;

    let page = part.list(ListRequest::by_id(States::NONE)).await;

    assert_eq!(page, Page::last(Vec::new()));
}

pub(super) async fn from_an_id_starts_at_it_or_at_the_next(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce(at(0), ["0", "1", "2", "3"]).await;
    part.delete_items([produced[1]]).await;
    let from = async |id| {
        let page = part.list(ListRequest::from_id(States::ALL, id)).await;
        assert_eq!(page.next, None);
        payloads(&page.items)
    };

    let there = from(produced[2]).await;
    let gone = from(produced[1]).await;
    let first = from(ItemId::MIN).await;
    let behind = from(produced[3].next().expect("a number follows")).await;
    let largest = from(answer_of(ItemId::new(storage_api::limits::NUMBER_MAX))).await;

    assert_eq!(there, ["2", "3"]);
    assert_eq!(gone, ["2", "3"]);
    assert_eq!(first, ["0", "2", "3"]);
    assert!(behind.is_empty(), "{behind:?}");
    assert!(largest.is_empty(), "{largest:?}");
}

/// Four payloads of 8 MiB, an empty one and one of one byte, in the order of a listing by id.
async fn produce_more_than_an_answer(part: &Part) -> Vec<ItemId> {
    let large = vec![b'x'; PAYLOAD_BYTES_MAX];
    let mut produced = part.produce(at(0), [&large; 4]).await;
    produced.extend(part.produce(at(0), ["", "x"]).await);
    produced
}

pub(super) async fn a_page_ends_before_the_item_that_exceeds_an_answer(env: Env) {
    let part = env.partition("a").await;
    let produced = produce_more_than_an_answer(&part).await;

    for listing in [Listing::ById(States::ALL), Listing::Ready] {
        let first = part.list(ListRequest::new(listing)).await;
        let next = first.next.expect("an item follows");
        let second = part.list(ListRequest::new(listing).after(next)).await;

        assert_eq!(ids(&first.items), produced[..5], "{listing:?}");
        assert_eq!(ids(&second.items), produced[5..], "{listing:?}");
        assert_eq!(second.next, None, "{listing:?}");
    }
}

pub(super) async fn a_page_without_payloads_counts_no_bytes(env: Env) {
    let part = env.partition("a").await;
    let produced = produce_more_than_an_answer(&part).await;

    let request = ListRequest::by_id(States::ALL).without_payloads();
    let page = part.list(request).await;

    assert_eq!(ids(&page.items), produced);
    assert_eq!(page.next, None);
}

pub(super) async fn what_was_shown_and_goes_hides_and_repeats_nothing(env: Env) {
    for listing in LISTINGS {
        let part = env.partition(&format!("{listing:?}")).await;
        part.produce_every_state(7).await;
        let expected = part.list_in_order(listing).await;

        let mut shown = Vec::new();
        let mut request = ListRequest::new(listing).items_max(count(3));
        loop {
            let page = part.list(request.clone()).await;
            // The item of the cursor goes, an earlier one stays.
            part.delete_items(ids(&page.items).into_iter().skip(1))
                .await;
            shown.extend(page.items);
            let Some(next) = page.next else { break };
            request = request.after(next);
        }

        assert_eq!(ids(&shown), ids(&expected), "{listing:?}");
    }
}

pub(super) async fn what_stays_comes_once_while_others_come_go_and_move(env: Env) {
    let part = env.partition("a").await;
    let mover = NewItem::new("moves").priority(50);
    part.produce(at(0), [mover; 3]).await;
    let ordered = part.produce(at(0), vec!["stays or goes"; 24]).await;
    let (staying, going): (Vec<_>, Vec<_>) = ordered.iter().partition(|id| id.get() % 2 == 0);

    let mut shown: Vec<ItemId> = Vec::new();
    let mut going = going.into_iter();
    let mut request = ListRequest::ready().items_max(count(2));
    loop {
        let page = part.list(request.clone()).await;
        shown.extend(ids(&page.items));
        let Some(next) = page.next else { break };
        request = request.after(next);
        part.delete_items(going.next()).await;
        part.delete_items(going.next_back()).await;
        let leased = part.lease_one(at(0), at(10)).await;
        part.retry(at(0), receipt(&leased), RetryTo::Now).await;
        let first = NewItem::new("comes").priority(60);
        part.produce(at(0), [first, first.priority(200)]).await;
    }

    shown.retain(|id| staying.contains(id));
    assert_eq!(shown, staying);
}

pub(super) async fn a_cursor_whose_followers_have_gone_leads_to_an_empty_end(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce(at(0), ["first", "second"]).await;
    let first = part.list(ListRequest::ready().items_max(count(1))).await;
    let next = first.next.expect("an item follows");

    part.delete_items([produced[1]]).await;
    let second = part.list(ListRequest::ready().after(next)).await;

    assert_eq!(second, Page::last(Vec::new()));
}

pub(super) async fn a_page_may_differ_in_size_and_payloads_from_the_one_before(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce(at(0), ["0", "1", "2"]).await;
    let first = part.list(one_by_one(Listing::ById(States::ALL))).await;

    let second = ListRequest::by_id(States::ALL).without_payloads();
    let second = part
        .list(second.after(first.next.expect("two follow")))
        .await;

    assert_eq!(ids(&second.items), produced[1..]);
    assert_eq!(second.items[0].record.view().payload(), None);
}
