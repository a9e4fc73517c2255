//! Positions: who stands behind whom, and that nobody changes place unseen.

use std::collections::HashSet;

use storage_api::{
    Floors, ItemEntry, Listing, NewItem, PartitionConfig, Position, Requeue, Retry, RetryTo, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, ids, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![produce:
    items_stand_in_the_order_of_calls_and_of_the_batch ["ORDER-1", "LEASE-1"],
    maintained_items_come_to_the_tail_in_the_order_of_handling ["ORDER-1", "TIME-1"],
    retried_items_come_to_the_tail_in_input_order ["ORDER-1", "RETRY-1", "BATCH-1"],
    revived_items_come_to_the_tail_in_input_order ["ORDER-1", "DEAD-2", "BATCH-1"],
    item_that_came_later_stands_behind_whatever_its_age ["ORDER-1"],
    leased_item_keeps_its_position ["ORDER-1", "RETRY-6"],
    released_items_stand_where_they_stood_in_whatever_order_they_return ["ORDER-1", "RETRY-6"],
    no_two_items_of_a_priority_share_a_position ["ORDER-1"],
    positions_stay_in_order_where_they_grow_a_byte ["ORDER-1", "MOVE-2"],
];

fn position(entry: &ItemEntry) -> Position {
    let position = entry.state.position();
    position.expect("ready and leased items have a position")
}

async fn ready(part: &Part) -> Vec<String> {
    payloads(&part.list_in_order(Listing::Ready).await)
}

async fn items_stand_in_the_order_of_calls_and_of_the_batch(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3"]).await;
    part.produce(at(0), ["4"]).await;
    part.produce(at(0), ["5", "6"]).await;

    let mut leased = payloads(&part.lease(at(0), at(9), 4).await);
    part.produce(at(0), ["7"]).await;
    leased.extend(payloads(&part.lease(at(0), at(9), 9).await));

    assert_eq!(leased, ["1", "2", "3", "4", "5", "6", "7"]);
}

async fn maintained_items_come_to_the_tail_in_the_order_of_handling(env: Env) {
    let part = env.partition("a").await;
    part.produce_leased(at(0), at(25), "taken back at 25").await;
    let scheduled = [
        ("at 30", 30),
        ("at 10", 10),
        ("at 20", 20),
        ("at 10 too", 10),
    ];
    let new = scheduled.map(|(name, time)| NewItem::new(name).enqueue_at(at(time)));
    part.produce(at(0), new).await;
    part.produce(at(0), ["was there"]).await;

    part.maintain(at(30)).await;

    let order = [
        "was there",
        "at 10",
        "at 10 too",
        "at 20",
        "taken back at 25",
        "at 30",
    ];
    assert_eq!(ready(&part).await, order);
}

async fn retried_items_come_to_the_tail_in_input_order(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3", "4"]).await;
    let leased = part.lease(at(0), at(9), 3).await;

    let input = [&leased[1], &leased[2], &leased[0]];
    let retries = input.map(|item| Retry::new(receipt(item), RetryTo::Now));
    part.retry_all(at(0), retries).await;

    assert_eq!(ready(&part).await, ["4", "2", "3", "1"]);
}

async fn revived_items_come_to_the_tail_in_input_order(env: Env) {
    let part = env.partition("a").await;
    let one = part.produce_dead(at(0), "1").await;
    let two = part.produce_dead(at(0), "2").await;
    let three = part.produce_dead(at(0), "3").await;
    part.produce(at(0), ["4"]).await;

    part.revive([two, three, one]).await;

    assert_eq!(ready(&part).await, ["4", "2", "3", "1"]);
}

async fn item_that_came_later_stands_behind_whatever_its_age(env: Env) {
    let part = env.partition("a").await;
    let dead = part.produce_dead(at(0), "revived").await;
    let oldest = part.produce_leased(at(0), at(9), "retried").await;
    part.produce(at(0), [NewItem::new("scheduled").enqueue_at(at(5))])
        .await;

    part.produce(at(0), ["produced"]).await;
    part.retry(at(0), receipt(&oldest), RetryTo::Now).await;
    part.maintain(at(5)).await;
    part.produce(at(5), ["produced late"]).await;
    part.revive([dead]).await;

    let order = [
        "produced",
        "retried",
        "scheduled",
        "produced late",
        "revived",
    ];
    assert_eq!(ready(&part).await, order);
}

async fn leased_item_keeps_its_position(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;
    let before = part.list_in_order(Listing::Ready).await;

    let answered = part.lease(at(0), at(9), 2).await;
    part.extend([receipt(&answered[0])], at(20)).await;
    let listed = part.list_state(State::Leased).await;
    part.release(receipts(&answered)).await;

    let after = part.list_in_order(Listing::Ready).await;
    let expected: Vec<_> = before.iter().map(position).collect();
    for items in [answered, listed, after] {
        let positions: Vec<_> = items.iter().map(position).collect();
        assert_eq!(positions, expected, "of {items:?}");
    }
}

async fn released_items_stand_where_they_stood_in_whatever_order_they_return(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3", "4", "5"]).await;
    let leased = part.lease(at(0), at(9), 4).await;

    part.release([receipt(&leased[2]), receipt(&leased[0])])
        .await;
    part.produce(at(0), ["6"]).await;
    part.release([receipt(&leased[3])]).await;
    part.release([receipt(&leased[1])]).await;

    assert_eq!(ready(&part).await, ["1", "2", "3", "4", "5", "6"]);
}

async fn no_two_items_of_a_priority_share_a_position(env: Env) {
    let config = PartitionConfig::default().with_requeue(Requeue::Original);
    let part = env.partition_with("a", config).await;
    let dead = part.produce_dead(at(0), "revived").await;
    let new = ["1", "2", "3", "4"].map(NewItem::new);
    part.produce(at(0), new).await;
    part.produce(at(0), new.map(|item| item.priority(5))).await;
    part.produce(at(0), new.map(|item| item.enqueue_at(at(5))))
        .await;

    let leased = part.lease(at(0), at(5), 6).await;
    part.retry(at(0), receipt(&leased[0]), RetryTo::Now).await;
    part.release([receipt(&leased[1])]).await;
    part.retry(at(0), receipt(&leased[2]), RetryTo::At(at(4)))
        .await;
    part.revive([dead]).await;
    part.produce(at(0), ["5", "6"]).await;
    part.maintain(at(5)).await;
    part.lease(at(5), at(9), 3).await;

    let all = part.list_all().await;
    let places = all
        .iter()
        .map(|item| (item.record.view().priority(), position(item)));
    assert_eq!(places.collect::<HashSet<_>>().len(), 15, "of {all:?}");
}

async fn positions_stay_in_order_where_they_grow_a_byte(env: Env) {
    let mut floors = vec![1, 97];
    floors.extend((1..7).map(|bytes| (1_u64 << (8 * bytes)) - 3));
    let part = env.partition("a").await;
    let mut produced = Vec::new();

    for floor in floors {
        let position = Position::new(floor).expect("within the limits");
        let floors = Floors::none().with_position(position).expect("below 2^62");
        part.restore(vec![], floors).await;
        produced.extend(part.produce(at(0), vec!["x"; 12]).await);
    }

    let listed = part.list_paged(Listing::Ready, 5).await;
    assert_eq!(ids(&listed), produced);
    assert_eq!(ids(&part.lease(at(0), at(1), 1000).await), produced);
}
