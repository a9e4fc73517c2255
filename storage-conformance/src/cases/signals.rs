//! Signals: who waits is woken.
//!
//! A signal may fire for nothing, so that only its silence is a mistake: each case waits for it.

use std::sync::Arc;
use std::time::Duration;

use storage_api::{
    Capability, CommitRequest, ErrorKind, Floors, Holder, LeaseRequest, Mode, NewItem,
    PartitionConfig, Retry, RetryTo, Signal,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::case::{Case, cases};
use crate::change::Stage;
use crate::env::{Env, at, count, partition_id, refused};
use crate::part::{Part, batch, payload, ready_at, receipt, receipts, whole};

pub(super) const CASES: &[Case] = cases![signals:
    produce_wakes ["WAKE-1"],
    produce_for_later_wakes ["WAKE-1", "TIME-2"],
    an_earlier_item_wakes_those_who_wait_for_a_later_one ["WAKE-1"],
    release_wakes ["WAKE-1"],
    release_of_a_holder_wakes ["WAKE-1", "LEASE-9"],
    retry_now_wakes ["WAKE-1"],
    retry_at_a_time_wakes ["WAKE-1"],
    revive_wakes ["WAKE-1"],
    restore_wakes ["WAKE-1"],
    a_commit_that_produces_wakes ["WAKE-1", "META-1"],
    maintain_wakes_for_what_became_ready ["WAKE-1", "TIME-1"],
    taking_a_lease_back_wakes ["WAKE-1", "TIME-1"],
    a_lease_wakes_for_its_deadline ["WAKE-1", "TIME-2"],
    an_extension_to_an_earlier_time_wakes ["WAKE-1", "LEASE-8"],
    a_key_that_begins_to_linger_wakes ["WAKE-1", "ITEM-4"],
    a_ready_item_wakes_where_an_earlier_due_time_woke_before ["WAKE-1"],
    opening_a_partition_again_wakes ["WAKE-1", "PART-8"],
    deleting_a_partition_wakes ["WAKE-1", "PART-4"],
    closing_wakes ["WAKE-1", "CLOSE-1"],
    what_happens_between_a_look_and_a_wait_wakes ["WAKE-1"],
    every_watcher_is_woken ["WAKE-1"],
    a_wait_that_was_given_up_takes_no_firing_along ["WAKE-1"],
    a_partition_made_again_wakes_its_own_watchers ["WAKE-1", "PART-4"],
    a_missing_partition_cannot_be_watched ["WAKE-1", "PART-2"],
    an_old_signal_wakes_whoever_waits_after_the_end ["WAKE-1"],
    a_consumer_that_looks_then_waits_misses_nothing ["WAKE-1", "CONC-1"] .multi_thread(),
    another_opening_wakes ["WAKE-1", "OPEN-1"] .requires(Capability::RemoteWake),
    a_scheduled_item_wakes_a_consumer_that_sleeps ["WAKE-1", "TIME-2", "TIME-1"] .since(2),
    an_expired_lease_wakes_a_consumer_that_sleeps ["WAKE-1", "TIME-1"] .since(2),
    a_retry_wakes_a_consumer_that_sleeps ["WAKE-1", "RETRY-1"] .since(2),
    a_release_wakes_a_consumer_that_sleeps ["WAKE-1", "RETRY-6"] .since(2),
];

/// The signal fires.
pub(super) async fn woken(env: &Env, signal: &mut Signal) {
    let patience = env.effort().signal_patience;
    let fired = tokio::time::timeout(patience, signal.fired()).await;
    assert!(
        fired.is_ok(),
        "nobody was woken: the signal did not fire for what was done"
    );
}

async fn produce_wakes(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;

    part.produce(at(0), ["ready"]).await;

    woken(&env, &mut signal).await;
}

async fn produce_for_later_wakes(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;

    part.produce(at(0), [NewItem::new("later").enqueue_at(at(9))])
        .await;

    woken(&env, &mut signal).await;
}

async fn an_earlier_item_wakes_those_who_wait_for_a_later_one(env: Env) {
    let part = env.partition("a").await;
    let later = NewItem::new("later").enqueue_at(at(1_000_000));
    part.produce(at(0), [later]).await;
    let mut signal = part.watch().await;

    part.produce(at(0), [NewItem::new("earlier").enqueue_at(at(9))])
        .await;

    woken(&env, &mut signal).await;
}

async fn release_wakes(env: Env) {
    let stage = Stage::set(&env).await;
    let mut signal = stage.part.watch().await;

    stage.part.release([stage.leased[0]]).await;

    woken(&env, &mut signal).await;
}

async fn release_of_a_holder_wakes(env: Env) {
    let stage = Stage::set(&env).await;
    let mut signal = stage.part.watch().await;

    let holder: Holder = crate::change::holder();
    stage.part.release_holder(holder, 1).await;

    woken(&env, &mut signal).await;
}

async fn retry_now_wakes(env: Env) {
    let stage = Stage::set(&env).await;
    let mut signal = stage.part.watch().await;

    stage.part.retry(at(9), stage.leased[0], RetryTo::Now).await;

    woken(&env, &mut signal).await;
}

async fn retry_at_a_time_wakes(env: Env) {
    let stage = Stage::set(&env).await;
    let mut signal = stage.part.watch().await;

    // Earlier than the deadlines of the stage.
    let to = RetryTo::At(at(20));
    stage.part.retry(at(9), stage.leased[0], to).await;

    woken(&env, &mut signal).await;
}

async fn revive_wakes(env: Env) {
    let stage = Stage::set(&env).await;
    let mut signal = stage.part.watch().await;

    stage.part.revive([stage.dead[0]]).await;

    woken(&env, &mut signal).await;
}

async fn restore_wakes(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;

    let item = whole(77, "restored", ready_at(77));
    part.restore(vec![item], Floors::none()).await;

    woken(&env, &mut signal).await;
}

async fn a_commit_that_produces_wakes(env: Env) {
    let (first, second) = (env.partition("a").await, env.partition("b").await);
    let mut signals = [first.watch().await, second.watch().await];

    let mut request = CommitRequest::new(at(0));
    for part in [&first, &second] {
        let added = request.produce(part.id(), batch(["committed"]));
        added.expect("a small commit");
    }
    env.commit(request).await;

    for signal in &mut signals {
        woken(&env, signal).await;
    }
}

async fn maintain_wakes_for_what_became_ready(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [NewItem::new("later").enqueue_at(at(9))])
        .await;
    let mut signal = part.watch().await;

    part.maintain(at(9)).await;

    woken(&env, &mut signal).await;
}

async fn taking_a_lease_back_wakes(env: Env) {
    let stage = Stage::set(&env).await;
    let mut signal = stage.part.watch().await;

    stage.part.maintain(at(500)).await;

    woken(&env, &mut signal).await;
}

async fn a_lease_wakes_for_its_deadline(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["ready"]).await;
    let mut signal = part.watch().await;

    part.lease(at(0), at(10), 1).await;

    woken(&env, &mut signal).await;
}

async fn an_extension_to_an_earlier_time_wakes(env: Env) {
    let stage = Stage::set(&env).await;
    let mut signal = stage.part.watch().await;

    stage.part.extend([stage.leased[1]], at(30)).await;

    woken(&env, &mut signal).await;
}

async fn a_key_that_begins_to_linger_wakes(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(50));
    let part = env.partition_with("a", config).await;
    part.produce(at(0), [NewItem::new("keyed").dedup_key("key")])
        .await;
    let leased = part.lease_one(at(0), at(1000)).await;
    let mut signal = part.watch().await;

    part.complete([receipt(&leased)]).await;

    woken(&env, &mut signal).await;
    assert_eq!(part.stats().await.next_due, Some(at(50)));
}

async fn a_ready_item_wakes_where_an_earlier_due_time_woke_before(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;
    part.produce(at(0), [NewItem::new("soon").enqueue_at(at(1))])
        .await;
    woken(&env, &mut signal).await;

    part.produce(at(0), ["ready"]).await;

    woken(&env, &mut signal).await;
}

async fn opening_a_partition_again_wakes(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["waits"]).await;
    part.update(PartitionConfig::default().with_mode(Mode::Frozen))
        .await;
    let mut signal = part.watch().await;

    part.update(PartitionConfig::default()).await;

    woken(&env, &mut signal).await;
}

async fn deleting_a_partition_wakes(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;

    part.delete().await;

    woken(&env, &mut signal).await;
}

async fn closing_wakes(env: Env) {
    let mut signal = env.partition("a").await.watch().await;

    env.close().await;

    woken(&env, &mut signal).await;
}

async fn what_happens_between_a_look_and_a_wait_wakes(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;
    for round in 0..20 {
        let found = part.lease(at(0), at(1000), 100).await;
        assert!(found.is_empty() || round > 0);
        part.complete(receipts(&found)).await;
        part.produce(at(0), ["behind the look"]).await;

        woken(&env, &mut signal).await;
    }
}

async fn every_watcher_is_woken(env: Env) {
    let part = env.partition("a").await;
    let mut first = part.watch().await;
    let mut second = part.watch().await;
    let mut third = second.clone();

    part.produce(at(0), ["ready"]).await;

    for signal in [&mut first, &mut second, &mut third] {
        woken(&env, signal).await;
    }
}

async fn a_wait_that_was_given_up_takes_no_firing_along(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;
    // What fired before is not what is asked for here.
    let _ = tokio::time::timeout(Duration::ZERO, signal.fired()).await;
    let _ = tokio::time::timeout(Duration::ZERO, signal.fired()).await;

    part.produce(at(0), ["ready"]).await;

    woken(&env, &mut signal).await;
}

async fn a_partition_made_again_wakes_its_own_watchers(env: Env) {
    let part = env.partition("a").await;
    let _old = part.watch().await;
    part.delete().await;
    let part = env.partition("a").await;
    let mut signal = part.watch().await;

    part.produce(at(0), ["ready"]).await;

    woken(&env, &mut signal).await;
}

async fn a_missing_partition_cannot_be_watched(env: Env) {
    let watched = env.backend().await.watch(&partition_id("a", 0)).await;

    refused(watched, ErrorKind::NotFound);
}

async fn an_old_signal_wakes_whoever_waits_after_the_end(env: Env) {
    let part = env.partition("a").await;
    let mut signal = part.watch().await;
    part.delete().await;

    // Whoever waits for what is gone would wait for ever: each wait ends, and looking tells.
    for _ in 0..3 {
        woken(&env, &mut signal).await;
    }
}

/// Completes items until it has had so many; waits when it finds none, and tells so.
async fn consume(env: Env, part: Part, items: usize, found_none: Arc<Notify>) {
    let mut signal = part.watch().await;
    let mut had = 0;
    while had < items {
        let leased = part.lease(at(0), at(1000), 7).await;
        if leased.is_empty() {
            found_none.notify_one();
            woken(&env, &mut signal).await;
            continue;
        }
        had += leased.len();
        part.complete(receipts(&leased)).await;
    }
}

async fn a_consumer_that_looks_then_waits_misses_nothing(env: Env) {
    const ITEMS: usize = 500;
    let part = env.partition("a").await;
    let found_none = Arc::new(Notify::new());
    let consumer = consume(env.clone(), part.clone(), ITEMS, found_none.clone());
    let consumer = tokio::spawn(consumer);
    // A consumer that begins behind the last item would never have to wait.
    found_none.notified().await;

    for number in 0..ITEMS {
        part.produce(at(0), ["item"]).await;
        if number % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }

    consumer.await.expect("the consumer has had every item");
}

/// A consumer in a task of its own, which looks, sleeps while nothing is ready, and ends with the first item that it is given.
struct Sleeper {
    env: Env,
    consumer: JoinHandle<String>,
    /// Tells after each look that found nothing.
    looked: Arc<Notify>,
}

impl Sleeper {
    /// Returns when the consumer has looked and found nothing.
    async fn sleeping(env: &Env, part: &Part) -> Self {
        let looked = Arc::new(Notify::new());
        let (part, looks) = (part.clone(), looked.clone());
        let of_case = env.clone();
        let consumer = tokio::spawn(async move {
            let mut signal = part.watch().await;
            while part.stats().await.ready.items == 0 {
                looks.notify_one();
                woken(&of_case, &mut signal).await;
            }
            payload(&part.lease_one(at(1000), at(2000)).await)
        });
        looked.notified().await;
        let env = env.clone();
        Self {
            env,
            consumer,
            looked,
        }
    }

    /// Returns when the consumer was woken and has found nothing again.
    async fn looked_again(&self) {
        let patience = self.env.effort().signal_patience;
        let looked = tokio::time::timeout(patience, self.looked.notified());
        looked.await.expect("the consumer was not woken");
    }

    /// The item that the consumer was given.
    async fn awake(self) -> String {
        self.consumer.await.expect("the consumer has an item")
    }
}

async fn a_scheduled_item_wakes_a_consumer_that_sleeps(env: Env) {
    let part = env.partition("a").await;
    let sleeper = Sleeper::sleeping(&env, &part).await;

    part.produce(at(0), [NewItem::new("x").enqueue_at(at(9))])
        .await;
    sleeper.looked_again().await;
    part.maintain(at(9)).await;

    assert_eq!(sleeper.awake().await, "x");
}

async fn an_expired_lease_wakes_a_consumer_that_sleeps(env: Env) {
    let part = env.partition("a").await;
    part.produce_leased(at(0), at(10), "x").await;
    let sleeper = Sleeper::sleeping(&env, &part).await;

    part.maintain(at(10)).await;

    assert_eq!(sleeper.awake().await, "x");
}

async fn a_retry_wakes_a_consumer_that_sleeps(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;
    let sleeper = Sleeper::sleeping(&env, &part).await;

    part.retry(at(1), receipt(&leased), RetryTo::Now).await;

    assert_eq!(sleeper.awake().await, "x");
}

async fn a_release_wakes_a_consumer_that_sleeps(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;
    let sleeper = Sleeper::sleeping(&env, &part).await;

    part.release([receipt(&leased)]).await;

    assert_eq!(sleeper.awake().await, "x");
}

async fn another_opening_wakes(env: Env) {
    let part = env.partition("a").await;
    let other = env.try_open().await.expect("the place is shared");
    let mut signal = part.watch().await;

    let sealed = batch(["from elsewhere"]).seal(at(0));
    other.produce(part.id(), sealed).await.expect("it is open");
    woken(&env, &mut signal).await;

    let leased = part.lease_one(at(0), at(1000)).await;
    let mut signal = part.watch().await;
    let retry = Retry::new(receipt(&leased), RetryTo::Now);
    let retries = storage_api::Retries::one(retry);
    let retried = other.retry(part.id(), at(0), retries).await;
    retried.expect("it is open");
    woken(&env, &mut signal).await;

    let request = LeaseRequest::new(at(0), at(10), count(1));
    let mut signal = part.watch().await;
    other.lease(part.id(), request).await.expect("it is open");
    woken(&env, &mut signal).await;
    other.close().await.expect("it closes");
}
