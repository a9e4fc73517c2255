//! Looking items up by id.

use storage_api::{ItemIds, ListRequest, NewItem, States};

use super::LISTINGS;
use crate::env::{Env, answer_of, at};
use crate::part::{ids, receipt};

pub(super) async fn ids_are_answered_in_input_order_with_nothing_for_what_is_absent(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce(at(0), ["first", "gone", "last"]).await;
    let [first, gone, last] = produced[..] else {
        panic!("expected three ids, got {produced:?}")
    };
    part.delete_items([gone]).await;

    let found = part.get([last, gone, first, last, last]).await;

    let found: Vec<_> = found
        .iter()
        .map(|entry| entry.as_ref().map(|entry| entry.id))
        .collect();
    assert_eq!(
        found,
        [Some(last), None, Some(first), Some(last), Some(last)]
    );
}

pub(super) async fn an_item_is_looked_up_as_it_is_listed(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce_every_state(2).await;

    let looked_up = part.get(produced).await;

    let looked_up: Vec<_> = looked_up.into_iter().flatten().collect();
    assert_eq!(looked_up, part.list_all().await);
}

pub(super) async fn a_look_without_payloads_tells_their_lengths(env: Env) {
    let part = env.partition("a").await;
    let item = NewItem::new("payload").kind("k").dedup_key("d").priority(7);
    let id = part.produce_one(at(5), item).await;
    let expected = {
        let mut entry = part.item(id).await;
        entry.record = entry.record.without_payload();
        entry
    };

    let backend = env.backend().await;
    let looked_up = backend.get_items(part.id(), ItemIds::one(id), false).await;
    let listed = part.list(ListRequest::by_id(States::ALL).without_payloads());

    assert_eq!(answer_of(looked_up), [Some(expected.clone())]);
    let listed = listed.await.items;
    assert_eq!(listed, [expected]);
    assert_eq!(listed[0].record.view().payload_len(), "payload".len());
}

pub(super) async fn a_look_ends_before_the_item_that_exceeds_an_answer(env: Env) {
    let part = env.partition("a").await;
    let large = vec![b'x'; storage_api::limits::PAYLOAD_BYTES_MAX];
    let mut asked = part.produce(at(0), [&large; 4]).await;
    let small = part.produce(at(0), ["", "x"]).await;
    asked.extend(&small);

    let first = part.get(asked.clone()).await;
    let second = part.get(asked[first.len()..].to_vec()).await;

    assert_eq!(
        first.len(),
        5,
        "four payloads of 8 MiB and an empty one are 32 MiB, a further byte exceeds it"
    );
    let second: Vec<_> = second.into_iter().flatten().collect();
    assert_eq!(ids(&second), [small[1]]);
}

pub(super) async fn a_look_without_payloads_counts_no_bytes(env: Env) {
    let part = env.partition("a").await;
    let large = vec![b'x'; storage_api::limits::PAYLOAD_BYTES_MAX];
    let mut asked = part.produce(at(0), [&large; 4]).await;
    asked.push(part.produce_one(at(0), &large).await);

    let backend = env.backend().await;
    let asked = answer_of(ItemIds::new(asked));
    let found = answer_of(backend.get_items(part.id(), asked, false).await);

    assert_eq!(found.iter().flatten().count(), 5);
}

pub(super) async fn looking_changes_nothing(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce_every_state(3).await;
    let last_attempt = NewItem::new("last attempt").attempts_max(1).priority(0);
    part.produce(at(0), [last_attempt.expire_at(at(1))]).await;
    let leased = part.lease_one(at(0), at(1)).await;
    let before = env.snapshot().await;

    part.get(produced).await;
    for listing in LISTINGS {
        part.list_paged(listing, 1).await;
    }
    part.watch().await;
    part.info().await;
    part.stats().await;

    assert_eq!(env.snapshot().await, before);
    assert_eq!(
        part.complete([receipt(&leased)]).await,
        [storage_api::CompleteOutcome::Done],
        "the item in its last attempt is still at work"
    );
}
