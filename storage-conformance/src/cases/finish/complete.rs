//! Completing.

use storage_api::{Capability, CompleteOutcome, ItemId, LeaseId, PartitionStats, Receipt, RetryTo};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![finish:
    completed_item_is_gone_and_leaves_nothing ["DONE-1"],
    completing_known_unknown_known_does_both_known ["DONE-1", "BATCH-1"],
    not_found_and_lease_lost_are_told_apart ["DONE-1"],
    receipt_of_an_item_and_the_lease_of_another_is_lost ["DONE-1", "LEASE-2"],
    lost_and_unknown_receipts_change_nothing ["DONE-1", "ATOM-1"],
    second_of_the_same_receipt_in_a_call_is_not_found ["DONE-2"],
    receipt_completes_once ["DONE-1", "DONE-2"],
    completing_one_item_leaves_the_others ["DONE-1"],
    receipts_are_good_after_a_reopening ["DONE-1", "DUR-2"] .requires(Capability::Reopen),
];

async fn completed_item_is_gone_and_leaves_nothing(env: Env) {
    let part = env.partition("a").await;
    let new = storage_api::NewItem::new("x").expire_at(at(50));
    let leased = part.produce_leased(at(0), at(10), new).await;

    let completed = part.complete([receipt(&leased)]).await;

    assert_eq!(completed, [CompleteOutcome::Done]);
    assert_eq!(part.get([leased.id]).await, [None]);
    assert_eq!(part.list_all().await, []);
    assert_eq!(part.stats().await, PartitionStats::default());
    assert_eq!(part.maintain(at(100)).await.handled(), 0);
}

async fn completing_known_unknown_known_does_both_known(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 3).await);
    let unknown = Receipt {
        item: ItemId::new((1 << 63) - 1).expect("the largest id"),
        ..leased[0]
    };

    let completed = part.complete([leased[0], unknown, leased[2]]).await;

    use CompleteOutcome::{Done, NotFound};
    assert_eq!(completed, [Done, NotFound, Done]);
    assert_eq!(payloads(&part.list_all().await), ["2"]);
}

async fn not_found_and_lease_lost_are_told_apart(env: Env) {
    let part = env.partition("a").await;
    part.produce(
        at(0),
        ["done", "deleted", "ready", "scheduled", "dead", "leased"],
    )
    .await;
    let leased = receipts(&part.lease(at(0), at(10), 6).await);
    part.complete([leased[0]]).await;
    part.delete_items([leased[1].item]).await;
    part.release([leased[2]]).await;
    part.retry(at(0), leased[3], RetryTo::At(at(99))).await;
    part.retry(at(0), leased[4], RetryTo::Dead).await;
    part.maintain(at(10)).await;
    part.lease(at(10), at(20), 10).await;

    let completed = part.complete(leased).await;

    use CompleteOutcome::{LeaseLost, NotFound};
    let expected = [
        NotFound, NotFound, LeaseLost, LeaseLost, LeaseLost, LeaseLost,
    ];
    assert_eq!(completed, expected);
}

async fn receipt_of_an_item_and_the_lease_of_another_is_lost(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 2).await);
    let forged = [
        (leased[0].item, leased[1].lease),
        (leased[1].item, LeaseId::MIN.max(leased[0].lease)),
        (
            leased[0].item,
            LeaseId::new((1 << 63) - 1).expect("the largest"),
        ),
    ];

    let forged = forged.map(|(item, lease)| Receipt { item, lease });
    let completed = part.complete(forged).await;

    assert_eq!(completed, [CompleteOutcome::LeaseLost; 3]);
    assert_eq!(part.stats().await.leased.items, 2);
}

async fn lost_and_unknown_receipts_change_nothing(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 2).await);
    part.complete([leased[0]]).await;
    part.release([leased[1]]).await;
    let before = env.snapshot().await;

    part.complete(leased).await;

    assert_eq!(env.snapshot().await, before);
}

async fn second_of_the_same_receipt_in_a_call_is_not_found(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 2).await);

    let completed = part.complete([leased[0], leased[1], leased[0]]).await;

    use CompleteOutcome::{Done, NotFound};
    assert_eq!(completed, [Done, Done, NotFound]);
    assert_eq!(part.stats().await, PartitionStats::default());
}

async fn receipt_completes_once(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    let first = part.complete([receipt(&leased)]).await;
    let second = part.complete([receipt(&leased)]).await;

    assert_eq!(first, [CompleteOutcome::Done]);
    assert_eq!(second, [CompleteOutcome::NotFound]);
}

async fn completing_one_item_leaves_the_others(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    let before = env.snapshot().await;
    part.produce(at(0), [storage_api::NewItem::new("first").priority(0)])
        .await;
    let first = part.lease_one(at(0), at(10)).await;

    part.complete([receipt(&first)]).await;

    assert_eq!(env.snapshot().await, before);
}

async fn receipts_are_good_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["held", "lost"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 2).await);
    part.release([leased[1]]).await;

    env.reopen().await;
    let completed = part.complete(leased).await;

    use CompleteOutcome::{Done, LeaseLost};
    assert_eq!(completed, [Done, LeaseLost]);
}
