use std::time::Duration;

use storage_api::{
    CommitRequest, Count, Durability, ErrorKind, ItemBatch, ItemStore, Key, KeyRange, LeaseRequest,
    ListRequest, MetadataStore, Namespace, NewItem, PartitionConfig, PartitionStore, Result,
    Retries, Retry, RetryTo, ScanRequest, States, StorageBackend, Value,
};
use storage_kv::{KvBackend, KvOptions, SimDisk, SimKv};

use crate::watched::{at, home};

fn open(disk: &SimDisk) -> Result<KvBackend<SimKv>> {
    let options = KvOptions::new("sim", "0", Durability::PowerLoss);
    KvBackend::open(disk.open(), options.inline())
}

fn namespace() -> Namespace {
    Namespace::new("n").unwrap()
}

/// A closed place with a row of every kind.
async fn furnished() -> SimDisk {
    let disk = SimDisk::new();
    let backend = open(&disk).unwrap();
    let config = PartitionConfig::default().with_dedup_for(Duration::from_secs(1));
    backend.create_partition(&home(), config).await.unwrap();
    let mut batch = ItemBatch::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        let item = NewItem::new("payload").dedup_key(key).expire_at(at(500));
        batch.push(item).unwrap();
    }
    batch
        .push(NewItem::new("later").enqueue_at(at(99)))
        .unwrap();
    backend.produce(&home(), batch.seal(at(0))).await.unwrap();
    let holder = storage_api::Holder::new(7).unwrap();
    let request = LeaseRequest::new(at(1), at(50), Count::new(5).unwrap()).holder(holder);
    let leased = backend.lease(&home(), request).await.unwrap().receipts();
    let done = storage_api::Receipts::one(leased[0]);
    backend.complete(&home(), done).await.unwrap();
    let dead = Retry::new(leased[1], RetryTo::Dead)
        .with_note("why")
        .unwrap();
    let retries = Retries::one(dead);
    backend.retry(&home(), at(2), retries).await.unwrap();
    let mut commit = CommitRequest::new(at(0));
    let (key, value) = (Key::try_from("k").unwrap(), Value::try_from("v").unwrap());
    commit
        .put(&namespace(), &key, value, Some(at(1000)))
        .unwrap();
    backend.commit(commit).await.unwrap();
    backend.close().await.unwrap();
    disk
}

/// Everything that can be seen, or why not.
async fn look(backend: &KvBackend<SimKv>) -> Result<String> {
    let mut seen = Vec::new();
    for listing in [
        ListRequest::by_id(States::ALL),
        ListRequest::ready(),
        ListRequest::scheduled(),
        ListRequest::leased(),
    ] {
        let page = backend.list_items(&home(), listing).await?;
        for item in &page.items {
            let payload = item.record.view().payload().map(<[u8]>::to_vec);
            seen.push(format!("{item:?} {payload:?}"));
        }
    }
    seen.push(format!("{:?}", backend.stats(&home()).await?));
    let scan = ScanRequest::new(namespace(), KeyRange::all());
    seen.push(format!("{:?}", backend.scan(at(0), scan).await?));
    Ok(seen.join("\n"))
}

#[tokio::test]
async fn a_damaged_row_is_told_and_never_shown() {
    let whole = look(&open(&furnished().await).unwrap()).await.unwrap();
    let (mut row, mut told, mut unread) = (0, 0, 0);
    loop {
        let disk = furnished().await;
        // Another byte and bit of each row.
        if !disk.flip(row, row * 7, u8::try_from(row % 8).unwrap()) {
            break;
        }
        row += 1;

        let opened = open(&disk);
        let found = match &opened {
            Ok(backend) => look(backend).await,
            Err(_) => Err(opened.unwrap_err()),
        };

        match found {
            Ok(seen) => {
                assert_eq!(
                    seen, whole,
                    "row {row} was damaged and something else is shown"
                );
                // No listing looks at it; verify does.
                let backend = open(&disk).unwrap();
                let found = backend.verify().unwrap().verify().await.unwrap();
                assert!(!found.is_empty(), "nobody noticed the damage of row {row}");
                unread += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
                assert!(error.reason().contains("is damaged"), "{error}");
                told += 1;
            }
        }
    }
    assert!(
        told > 10 && unread > 0,
        "{told} told, {unread} unread of {row}"
    );
}

#[tokio::test]
async fn verify_finds_nothing_in_a_sound_place() {
    let backend = open(&furnished().await).unwrap();

    let found = backend.verify().unwrap().verify().await.unwrap();

    assert_eq!(found, Vec::<String>::new());
}
