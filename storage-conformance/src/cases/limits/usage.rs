//! Usage.

use std::time::Duration;

use storage_api::{
    Capability, Count, DeadPolicy, NewItem, PartitionConfig, Retry, RetryTo, States, Usage,
};

use crate::env::{Env, answer_of, at};
use crate::part::{Part, receipt, receipts};
use crate::request::commit_at;

async fn usage(env: &Env) -> Usage {
    let mut usage = answer_of(env.backend().await.usage().await);
    // What a driver counts beside the bytes is its own affair, and may tell of what has been.
    usage.counts.clear();
    usage
}

pub(super) async fn usage_is_the_sum_of_its_parts(env: Env) {
    let part = env.partition("a").await;
    let empty = usage(&env).await;
    part.produce(at(0), vec![NewItem::new(&[7; 1000]).kind("kind"); 10])
        .await;
    env.put("n", "k", "v").await;

    let filled = usage(&env).await;

    for usage in [&empty, &filled] {
        let parts: u64 = usage.parts.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(usage.used, parts, "{usage:?}");
        assert!(
            usage.allowed.is_none_or(|allowed| usage.used <= allowed),
            "{usage:?}"
        );
        assert!(!usage.parts.is_empty(), "{usage:?}");
    }
}

/// Where bytes are freed on disk, they are given back after a delay, which no case can wait for, or never.
async fn needs_no_disk(env: &Env) {
    if let Some(reason) = env.claims().keeps_space() {
        env.inapplicable(format!("usage does not come back here: {reason}"));
    }
    if let Some(place) = env.backend().await.descriptor().place {
        env.inapplicable(format!("{place} gives space back after a delay"));
    }
}

/// Items in every state, with keys and notes, that go in every way there is.
async fn fill_and_empty(env: &Env, part: &Part) {
    let payload = [7; 1000];
    let keys: Vec<_> = (0..40u8).map(|number| [number]).collect();
    let items = (0i64..).zip(&keys).map(|(number, key)| {
        let item = NewItem::new(&payload).dedup_key(key).kind("kind");
        match number % 4 {
            0 => item.enqueue_at(at(5)),
            1 => item.expire_at(at(200)),
            _ => item,
        }
    });
    part.produce(at(0), items).await;
    let leased = part.lease(at(0), at(100), 20).await;
    let (done, rest) = leased.split_at(5);
    part.complete(receipts(done)).await;
    let retries = rest.iter().enumerate().map(|(number, entry)| {
        let to = match number % 3 {
            0 => RetryTo::Now,
            1 => RetryTo::At(at(50)),
            _ => RetryTo::Dead,
        };
        let retry = Retry::new(receipt(entry), to);
        answer_of(retry.with_note("a note that is not short"))
    });
    part.retry_all(at(0), retries).await;
    part.maintain(at(50)).await;
    part.maintain(at(200)).await;
    let again = part.lease(at(200), at(300), 10).await;
    let commit = commit_at(at(200)).complete(part, receipts(&again[..5]));
    env.commit(commit).await;
    part.delete_items([again[5].id]).await;
    part.clear(States::ALL, 100).await;
    assert_eq!(part.stats().await.items(), 0);
}

pub(super) async fn usage_returns_when_all_items_have_gone(env: Env) {
    needs_no_disk(&env).await;
    for dead in [DeadPolicy::Keep, DeadPolicy::Drop] {
        let config = PartitionConfig::default().with_dead(dead);
        let part = env.partition_with(&format!("{dead:?}"), config).await;
        let new = usage(&env).await;

        fill_and_empty(&env, &part).await;

        assert_eq!(usage(&env).await, new, "{dead:?}");
    }
}

/// How long a case waits for what is done behind everybody's back. The limit only ends a case that has failed already.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns when usage is that again, or cannot be waited for any longer.
async fn usage_comes_back_to(env: &Env, expected: &Usage) {
    let coming = async {
        while usage(env).await != *expected {
            // What was removed may be counted until it is on stable storage.
            if env.claims().has(Capability::Sync) {
                answer_of(env.backend().await.sync().await);
            }
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(PATIENCE, coming).await.is_err() {
        assert_eq!(usage(env).await, *expected);
    }
}

pub(super) async fn usage_returns_when_partitions_and_metadata_have_gone(env: Env) {
    needs_no_disk(&env).await;
    let new = usage(&env).await;
    let part = env.partition("a").await;
    part.produce_every_state(5).await;
    let filled = usage(&env).await;
    for name in ["deleted", "purged", "shortened"] {
        env.put_until("n", name, [7; 1000], Some(at(10))).await;
    }
    let most = usage(&env).await;

    env.delete("n", "deleted").await;
    env.put_until("n", "shortened", "", Some(at(10))).await;
    let purged = env.backend().await.purge(at(10), Count::MAX).await;

    assert_eq!(answer_of(purged).removed, 2);
    assert_eq!(usage(&env).await, filled);
    assert!(most.used > filled.used, "{most:?} after {filled:?}");
    assert!(filled.used > new.used, "{filled:?} after {new:?}");

    part.delete().await;

    // The space of a partition is given back afterwards, and nobody tells when.
    usage_comes_back_to(&env, &new).await;
}
