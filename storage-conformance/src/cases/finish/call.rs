//! What holds for every call about receipts or ids: order, one step, repeats, none at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use storage_api::{
    CompleteOutcome, Count, DeleteOutcome, ErrorKind, ExtendOutcome, Floors, Holder, ItemIds,
    NewItem, Receipts, ReleaseOutcome, RestoreBatch, Retries, Retry, RetryOutcome, RetryTo,
    ReviveOutcome, States,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, refused};
use crate::part::{batch, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![finish:
    receipts_of_a_call_are_treated_in_input_order ["BATCH-1", "RETRY-1"],
    receipt_that_is_given_twice_is_used_once ["BATCH-1", "RETRY-1", "RETRY-6"],
    id_that_is_given_twice_is_used_once ["BATCH-1", "LIST-4", "DEAD-2"],
    call_is_seen_whole_or_not_at_all ["BATCH-1", "CONC-1"] .multi_thread(),
    ten_thousand_receipts_are_completed_at_once ["BATCH-1", "LIMIT-1"],
    empty_calls_change_nothing ["BATCH-2"],
    empty_calls_on_a_closed_backend_are_closed ["BATCH-2", "CLOSE-1"],
];

async fn receipts_of_a_call_are_treated_in_input_order(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3"]).await;
    let leased = part.lease(at(0), at(9), 3).await;

    let order = [2, 0, 1];
    let retries = order.map(|index: usize| Retry::new(receipt(&leased[index]), RetryTo::Now));
    part.retry_all(at(0), retries).await;

    assert_eq!(
        payloads(&part.lease(at(0), at(9), 3).await),
        ["3", "1", "2"]
    );
}

async fn receipt_that_is_given_twice_is_used_once(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["released", "now", "later", "dead", "extended"])
        .await;
    let leased = receipts(&part.lease(at(0), at(9), 5).await);
    let twice = |index: usize, to| [Retry::new(leased[index], to), Retry::new(leased[index], to)];

    let released = part.release([leased[0]; 2]).await;
    let now = part.retry_all(at(0), twice(1, RetryTo::Now)).await;
    let later = part.retry_all(at(0), twice(2, RetryTo::At(at(5)))).await;
    let dead = part.retry_all(at(0), twice(3, RetryTo::Dead)).await;
    let extended = part.extend([leased[4]; 2], at(20)).await;

    assert_eq!(
        released,
        [ReleaseOutcome::Released, ReleaseOutcome::LeaseLost]
    );
    assert_eq!(now, [RetryOutcome::Ready, RetryOutcome::LeaseLost]);
    assert_eq!(later, [RetryOutcome::Scheduled, RetryOutcome::LeaseLost]);
    let rejected = RetryOutcome::Dead(storage_api::DeadReason::Rejected);
    assert_eq!(dead, [rejected, RetryOutcome::LeaseLost]);
    // An extension ends no lease.
    assert_eq!(extended, [ExtendOutcome::Extended; 2]);
    part.assert_stats_are_those_of_the_items().await;
}

async fn id_that_is_given_twice_is_used_once(env: Env) {
    let part = env.partition("a").await;
    let dead = part.produce_dead(at(0), "dead").await;

    let revived = part.revive([dead, dead]).await;
    let deleted = part.delete_items([dead, dead]).await;

    assert_eq!(revived, [ReviveOutcome::Revived, ReviveOutcome::NotDead]);
    assert_eq!(deleted, [DeleteOutcome::Deleted, DeleteOutcome::NotFound]);
}

async fn call_is_seen_whole_or_not_at_all(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"; 50]).await;

    let looks = Arc::new(AtomicUsize::new(0));
    let worker = tokio::spawn({
        let (part, looks) = (part.clone(), looks.clone());
        async move {
            let mut rounds = 0;
            // However the threads take turns: many calls, and many looks while they go on.
            while rounds < 40 || looks.load(Ordering::Relaxed) < 400 {
                rounds += 1;
                let leased = receipts(&part.lease(at(0), at(9), 50).await);
                part.extend(leased.clone(), at(20)).await;
                let retries = leased.iter().map(|one| Retry::new(*one, RetryTo::Now));
                part.retry_all(at(0), retries).await;
            }
        }
    });
    let mut seen = Vec::new();
    while !worker.is_finished() {
        let stats = part.stats().await;
        seen.push((
            stats.ready.items,
            stats.leased.items,
            stats.leased.due_at_sum,
        ));
        looks.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
    worker.await.expect("no call is refused");

    let whole = [(50, 0, 0), (0, 50, 50 * 9), (0, 50, 50 * 20)];
    let torn = seen.iter().find(|state| !whole.contains(state));
    assert_eq!(
        torn, None,
        "(ready, leased, sum of deadlines) within a call"
    );
}

async fn ten_thousand_receipts_are_completed_at_once(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), vec!["x"; 10_000]).await;
    let leased = part.lease(at(0), at(9), 10_000).await;

    let completed = part.complete(receipts(&leased)).await;

    assert!(completed == [CompleteOutcome::Done; 10_000]);
    assert_eq!(part.stats().await.items(), 0);
}

async fn empty_calls_change_nothing(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    let before = env.snapshot().await;

    part.complete([]).await;
    part.release([]).await;
    part.extend([], at(9)).await;
    part.retry_all(at(9), []).await;
    part.revive([]).await;
    part.delete_items([]).await;
    part.get([]).await;
    part.produce(at(9), Vec::<NewItem<'_>>::new()).await;
    part.clear(States::NONE, 10).await;
    part.restore(vec![], Floors::none()).await;
    part.release_holder(Holder::new(1).expect("not zero"), 10)
        .await;

    assert_eq!(env.snapshot().await, before);
}

async fn empty_calls_on_a_closed_backend_are_closed(env: Env) {
    let part = env.partition("a").await;
    let backend = env.backend().await;
    env.close().await;

    let id = part.id();
    let (receipts, ids) = (Receipts::default(), ItemIds::default());
    let nothing = batch::<&str>([]).seal(at(0));
    let answers = [
        backend.complete(id, receipts.clone()).await.map(drop),
        backend.release(id, receipts.clone()).await.map(drop),
        backend.extend(id, receipts, at(9)).await.map(drop),
        backend.retry(id, at(9), Retries::default()).await.map(drop),
        backend.revive(id, ids.clone()).await.map(drop),
        backend.delete_items(id, ids.clone()).await.map(drop),
        backend.get_items(id, ids, true).await.map(drop),
        backend.produce(id, nothing).await.map(drop),
        backend.clear(id, States::NONE, Count::ONE).await.map(drop),
        backend
            .restore(id, RestoreBatch::default(), Floors::none())
            .await,
    ];

    for answer in answers {
        refused(answer, ErrorKind::Closed);
    }
}
