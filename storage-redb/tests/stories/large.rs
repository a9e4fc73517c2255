//! Damage to a file that is too large for its checksums to be compared at every opening.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use storage_api::{
    Error, ErrorKind, ItemStore, ListRequest, PartitionConfig, PartitionStore, Result, Retries,
    Retry, RetryTo, State, States, StorageBackend,
};
use storage_redb::{RedbBackend, RedbConfig};
use storage_stories::scene::{at, batch, home, lease};

const ITEMS: u64 = 40_000;
const ROUNDS: u64 = 24;
/// Of some eight thousand pages; with more nearly every look would end at the first of them.
const FLIPS: u64 = 20;

async fn open(directory: &Path) -> Result<RedbBackend> {
    RedbBackend::open(RedbConfig::new(directory).disk_reserve(0)).await
}

/// A closed place with more than 16 MiB of items that are ready, leased and dead.
async fn fill(directory: &Path) {
    let backend = open(directory).await.unwrap();
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    for _ in 0..ITEMS / 1000 {
        let items = batch(1000, &[7; 400]);
        backend.produce(&home(), items).await.unwrap();
    }
    for _ in 0..8 {
        let leased = lease(&backend, 1000).await;
        let dying = leased.iter().step_by(3);
        let dying = dying.map(|one| Retry::new(*one, RetryTo::Dead).with_note("why").unwrap());
        let dying = Retries::collect(dying).unwrap();
        backend.retry(&home(), at(2), dying).await.unwrap();
    }
    backend.close().await.unwrap();
}

/// Every item that a listing shows, by id.
async fn listed(backend: &RedbBackend, first: ListRequest) -> Result<BTreeMap<u64, String>> {
    let mut shown = BTreeMap::new();
    let mut request = first.clone();
    loop {
        let page = backend.list_items(&home(), request).await?;
        for item in &page.items {
            let was = shown.insert(item.id.get(), format!("{item:?}"));
            assert_eq!(was, None, "{item:?} is shown twice");
        }
        match page.next {
            Some(next) => request = first.clone().after(next),
            None => return Ok(shown),
        }
    }
}

async fn look(backend: &RedbBackend) -> Vec<Result<BTreeMap<u64, String>>> {
    let mut looks = Vec::new();
    for listing in [
        ListRequest::by_id(States::ALL),
        ListRequest::by_id(State::Dead),
        ListRequest::leased(),
    ] {
        looks.push(listed(backend, listing).await);
    }
    looks
}

/// That it is damaged, or that redb panicked over it and nothing more is written.
fn assert_tells(error: &Error) {
    let has_panicked =
        error.kind() == ErrorKind::Unavailable && error.reason().contains("panicked");
    assert!(
        has_panicked || error.kind() == ErrorKind::Corrupted,
        "{error}"
    );
}

#[tokio::test]
async fn flipped_bits_of_a_large_file_change_nothing_that_is_shown() {
    let scratch = tempfile::tempdir().unwrap();
    fill(scratch.path()).await;
    let file = scratch.path().join("queue.redb");
    let whole = fs::read(&file).unwrap();
    assert!(whole.len() > 20 << 20, "{} bytes", whole.len());
    let sound = look(&open(scratch.path()).await.unwrap()).await;
    let sound: Vec<_> = sound.into_iter().map(Result::unwrap).collect();
    assert_eq!(sound[0].len() as u64, ITEMS);
    let (mut told, mut missed) = (0, 0);

    for round in 0..ROUNDS {
        let mut damaged = whole.clone();
        for flip in 0..FLIPS {
            let drawn = (round * FLIPS + flip + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
            let at = usize::try_from(drawn).unwrap() % damaged.len();
            damaged[at] ^= 1 << (flip % 8);
        }
        fs::write(&file, damaged).unwrap();
        let backend = match open(scratch.path()).await {
            Ok(backend) => backend,
            Err(error) => {
                assert_tells(&error);
                told += 1;
                continue;
            }
        };

        let mut is_all = true;
        for (found, sound) in look(&backend).await.into_iter().zip(&sound) {
            match found {
                Err(error) => {
                    assert_tells(&error);
                    told += 1;
                }
                Ok(shown) => {
                    is_all &= shown.len() == sound.len();
                    for (id, item) in shown {
                        assert_eq!(sound.get(&id), Some(&item), "in round {round}");
                    }
                }
            }
        }
        if !is_all {
            missed += 1;
            match backend.verify().unwrap().verify().await {
                Ok(findings) => assert!(!findings.is_empty(), "nobody misses what is not shown"),
                Err(error) => assert_tells(&error),
            }
        }
        let _ = backend.close().await;
    }
    assert!(
        told > 0,
        "no damage was met, and {missed} times something was not shown"
    );
}
