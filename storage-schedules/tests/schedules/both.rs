//! Tasks at once that every driver must stand.

use std::sync::Arc;

use shuttle::future::spawn;
use storage_api::{
    CommitOutcome, CommitRequest, CompleteOutcome, Error, ErrorKind, Key, Namespace, PartitionId,
    Receipt, Result, Value,
};

use crate::calls::{Backend, NOW, assert_once, assert_sound, batch, ids, joined, lease, produce};

/// Producers and consumers until everything is worked off, then a closing; a consumer that finds nothing waits. Each item
/// is leased once and each lease is given once; nobody waits for what is there, and at the closing nobody waits any more
/// (clauses LEASE-2, LEASE-3, WAKE-1).
pub(crate) async fn work_everything_off(backend: &Backend, homes: &[PartitionId]) {
    const PRODUCERS: usize = 2;
    const ITEMS: usize = 2;

    let (done, mut all_done) = tokio::sync::mpsc::unbounded_channel();
    let consumers: Vec<_> = (0..2)
        .map(|consumer| {
            let (backend, done) = (Arc::clone(backend), done.clone());
            let home = homes[consumer % homes.len()].clone();
            spawn(async move {
                consume(&backend, &home, |receipt| {
                    // An error says that the scene has failed elsewhere.
                    let _ = done.send((home.clone(), receipt));
                })
                .await
            })
        })
        .collect();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let backend = Arc::clone(backend);
            let home = homes[producer % homes.len()].clone();
            spawn(async move {
                for _ in 0..ITEMS {
                    produce(&backend, &home, b"payload").await.unwrap();
                }
            })
        })
        .collect();

    let mut receipts = Vec::new();
    while receipts.len() < PRODUCERS * ITEMS {
        receipts.push(all_done.recv().await.unwrap());
    }
    joined(producers).await;
    assert_sound(backend, homes).await;
    for home in homes {
        let left = ids(backend, home).await;
        assert!(
            left.is_empty(),
            "all of {home} is done, but {left:?} are there"
        );
    }
    backend.close().await.unwrap();
    for refused in joined(consumers).await {
        assert_eq!(refused.kind(), ErrorKind::Closed);
    }

    let leases = receipts.iter().map(|(_, receipt)| receipt.lease);
    assert_once("a lease", leases.collect());
    let items = receipts.iter();
    let items = items.map(|(home, receipt)| (home.number(), receipt.item));
    assert_once("an item", items.collect());
}

/// Leases and completes one item after the other, and waits where there is none; until it is refused.
async fn consume(backend: &Backend, home: &PartitionId, done: impl Fn(Receipt)) -> Error {
    let mut signal = match backend.watch(home).await {
        Ok(signal) => signal,
        Err(refused) => return refused,
    };
    loop {
        let leased = match lease(backend, home, 1).await {
            Ok(leased) => leased,
            Err(refused) => return refused,
        };
        if leased.is_empty() {
            signal.fired().await;
            continue;
        }
        let receipts = leased.receipts();
        let receipt = receipts[0];
        let outcome = backend.complete(home, receipts).await.unwrap();
        assert_eq!(
            outcome,
            [CompleteOutcome::Done],
            "nobody else has {receipt:?}"
        );
        done(receipt);
    }
}

/// Tasks that read a number, and commit one more if nobody has changed it, with an item for each: no increment is lost, and
/// there are as many items (clauses META-1, META-5).
pub(crate) async fn count_up(backend: &Backend, homes: &[PartitionId]) {
    let tasks = (0..3).map(|task| {
        let backend = Arc::clone(backend);
        let home = homes[task % homes.len()].clone();
        spawn(async move {
            let mut committed = 0;
            for _ in 0..3 {
                if increment(&backend, &home).await.unwrap() {
                    committed += 1;
                }
            }
            committed
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let committed: usize = joined(tasks).await.into_iter().sum();

    let (namespace, key) = counter();
    let entry = backend.get(NOW, &namespace, &key).await.unwrap();
    let counted = entry.map_or(0, |entry| entry.value.as_bytes()[0]);
    let mut items = 0;
    for home in homes {
        items += ids(backend, home).await.len();
    }
    assert!(committed > 0, "whoever is first changes it");
    assert_eq!(
        usize::from(counted),
        committed,
        "increments that were committed"
    );
    assert_eq!(items, committed, "items that were committed");
    assert_sound(backend, homes).await;
}

fn counter() -> (Namespace, Key) {
    (
        Namespace::new("numbers").unwrap(),
        Key::try_from("count").unwrap(),
    )
}

/// `false` where another was faster.
async fn increment(backend: &Backend, home: &PartitionId) -> Result<bool> {
    let (namespace, key) = counter();
    let mut request = CommitRequest::new(NOW);
    let count = match backend.get(NOW, &namespace, &key).await? {
        Some(entry) => {
            request.check_version(&namespace, &key, entry.version)?;
            entry.value.as_bytes()[0]
        }
        None => {
            request.check_absent(&namespace, &key)?;
            0
        }
    };
    request.put(&namespace, &key, Value::try_from(vec![count + 1])?, None)?;
    request.produce(home, batch(b"counted"))?;
    let outcome = backend.commit(request).await?;
    Ok(matches!(outcome, CommitOutcome::Committed(_)))
}
