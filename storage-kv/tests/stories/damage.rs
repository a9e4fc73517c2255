use std::ops::ControlFlow;
use std::time::Duration;

use storage_api::{
    CommitRequest, Count, Direction, Durability, ErrorKind, ItemBatch, ItemId, ItemIds, ItemStore,
    Key, KeyRange, LeaseRequest, ListRequest, MetadataStore, Namespace, NewItem, PartitionConfig,
    PartitionStore, Result, Retries, Retry, RetryTo, ScanRequest, State, States, StorageBackend,
    Value,
};
use storage_kv::{
    Keyspace, KvBackend, KvOptions, OrderedKv, Overlay, SimDisk, SimKv, Span, WriteBatch,
};

use crate::watched::{at, home};

/// How an engine is made of a disk.
trait Form: OrderedKv {
    fn on(disk: &SimDisk) -> Self;
}

impl Form for SimKv {
    fn on(disk: &SimDisk) -> Self {
        disk.open()
    }
}

impl Form for Overlay<SimKv> {
    fn on(disk: &SimDisk) -> Self {
        Self::new(disk.open())
    }
}

fn open(disk: &SimDisk) -> Result<KvBackend<SimKv>> {
    open_as(disk)
}

fn open_as<E: Form>(disk: &SimDisk) -> Result<KvBackend<E>> {
    let options = KvOptions::new("sim", "0", Durability::PowerLoss);
    KvBackend::open(E::on(disk), options.inline())
}

fn namespace() -> Namespace {
    Namespace::new("n").unwrap()
}

/// A closed place with a row of every kind.
async fn furnished() -> SimDisk {
    furnished_as::<SimKv>().await
}

async fn furnished_as<E: Form>() -> SimDisk {
    let disk = SimDisk::new();
    let backend = open_as::<E>(&disk).unwrap();
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
    let ids = (1..=8).map(|id| ItemId::new(id).unwrap());
    let ids = ItemIds::collect(ids).unwrap();
    let items = backend.get_items(&home(), ids, true).await?;
    seen.push(format!("{items:?}"));
    for listing in [
        ListRequest::by_id(States::ALL),
        ListRequest::by_id(State::Dead),
        ListRequest::by_id(State::Leased),
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

/// What is told of a place: that it is damaged, or what verify finds.
async fn told<E: Form>(disk: &SimDisk) -> Vec<String> {
    let findings = match open_as::<E>(disk) {
        Ok(backend) => backend.verify().unwrap().verify().await,
        Err(error) => Err(error),
    };
    findings.unwrap_or_else(|error| {
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
        vec![error.to_string()]
    })
}

/// Whatever the row was, the others or the checksum of none say that it was there.
async fn a_row_that_is_gone_is_told<E: Form>() {
    let rows = furnished_as::<E>().await.rows();
    for space in Keyspace::ALL {
        let is_there = rows.iter().any(|(found, _, _)| *found == space);
        assert!(is_there || space == Keyspace::Garbage, "no row of {space}");
    }

    for (space, key, _) in rows {
        let disk = furnished_as::<E>().await;
        disk.tamper(space, &key, None);

        let told = told::<E>(&disk).await;

        let key = key.escape_ascii();
        assert!(!told.is_empty(), "nobody misses row {key} of {space}");
    }
}

/// An engine that does not find a row again says nothing of it.
#[tokio::test]
async fn an_item_whose_state_is_gone_is_not_taken_for_a_new_one() {
    let rows = furnished().await.rows();
    let states = rows
        .iter()
        .filter(|(space, _, _)| *space == Keyspace::States);
    let looks = [
        ListRequest::by_id(States::ALL),
        ListRequest::by_id(State::Dead),
        ListRequest::by_id(State::Ready),
        ListRequest::leased(),
    ];
    let mut told = [0; 6];
    for (space, key, _) in states {
        let disk = furnished().await;
        disk.tamper(*space, key, None);
        let backend = open(&disk).unwrap();
        let id = u64::from_be_bytes(*key.last_chunk().unwrap());
        let id = ItemId::new(id).unwrap();

        let mut found = Vec::new();
        for look in looks.clone() {
            found.push(backend.list_items(&home(), look).await.map(drop));
        }
        let got = backend.get_items(&home(), ItemIds::one(id), false).await;
        found.push(got.map(drop));
        let now = at(400);
        found.push(backend.maintain(&home(), now, Count::MAX).await.map(drop));

        for (told, found) in told.iter_mut().zip(found) {
            if let Err(error) = found {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
                *told += 1;
            }
        }
    }
    // One is dead, three are leased, and whoever meets one of them says so.
    assert_eq!(told, [4, 1, 4, 3, 4, 3]);
}

#[tokio::test]
async fn a_row_that_is_gone_is_told_of_an_engine_alone() {
    a_row_that_is_gone_is_told::<SimKv>().await;
}

#[tokio::test]
async fn a_row_that_is_gone_is_told_of_an_overlay() {
    a_row_that_is_gone_is_told::<Overlay<SimKv>>().await;
}

/// A later moment of the furnished place: every item was cleared and the entry deleted.
async fn emptied<E: Form>() -> SimDisk {
    let disk = furnished_as::<E>().await;
    let backend = open_as::<E>(&disk).unwrap();
    let cleared = backend.clear(&home(), States::ALL, Count::MAX).await;
    assert!(cleared.unwrap().removed > 3);
    let mut commit = CommitRequest::new(at(3));
    let key = Key::try_from("k").unwrap();
    commit.delete(&namespace(), &key).unwrap();
    backend.commit(commit).await.unwrap();
    backend.close().await.unwrap();
    disk
}

async fn counters_of_an_earlier_moment_are_told<E: Form>() {
    let earlier = furnished_as::<E>().await.rows();
    let disk = emptied::<E>().await;
    let later = disk.rows();
    // Of the rows that a partition has in the catalog, its counters are the one that changes.
    let counters = earlier.iter().filter(|row| {
        let is_of_partition = row.0 == Keyspace::Catalog && row.1.len() > 1;
        is_of_partition && !later.contains(row)
    });
    let counters: Vec<_> = counters.collect();
    let [(space, key, value)] = counters[..] else {
        panic!("{} rows may be the counters", counters.len());
    };
    assert_eq!(told::<E>(&disk).await, Vec::<String>::new());

    disk.tamper(*space, key, Some(value));

    let told = told::<E>(&disk).await;
    let is_told = |finding: &String| finding.contains("its counters do not fit its items");
    assert!(told.iter().any(is_told), "{told:?}");
}

#[tokio::test]
async fn counters_of_an_earlier_moment_are_told_of_an_engine_alone() {
    counters_of_an_earlier_moment_are_told::<SimKv>().await;
}

#[tokio::test]
async fn counters_of_an_earlier_moment_are_told_of_an_overlay() {
    counters_of_an_earlier_moment_are_told::<Overlay<SimKv>>().await;
}

async fn a_row_that_came_back_is_told<E: Form>() {
    let earlier = furnished_as::<E>().await.rows();
    let later = emptied::<E>().await.rows();
    let names: Vec<_> = later.iter().map(|(space, key, _)| (space, key)).collect();
    let gone = earlier
        .iter()
        .filter(|(space, key, _)| !names.contains(&(space, key)));
    let gone: Vec<_> = gone.collect();
    let spaces = [
        Keyspace::Bodies,
        Keyspace::States,
        Keyspace::Ready,
        Keyspace::Due,
        Keyspace::Dead,
        Keyspace::Dedup,
        Keyspace::Holders,
        Keyspace::Entries,
        Keyspace::Expiry,
    ];
    for space in spaces {
        assert!(gone.iter().any(|row| row.0 == space), "no row of {space}");
    }

    for (space, key, value) in gone {
        let disk = emptied::<E>().await;
        disk.tamper(*space, key, Some(value));

        let told = told::<E>(&disk).await;

        let key = key.escape_ascii();
        assert!(!told.is_empty(), "row {key} of {space} is one too many");
    }
}

#[tokio::test]
async fn a_row_that_came_back_is_told_of_an_engine_alone() {
    a_row_that_came_back_is_told::<SimKv>().await;
}

#[tokio::test]
async fn a_row_that_came_back_is_told_of_an_overlay() {
    a_row_that_came_back_is_told::<Overlay<SimKv>>().await;
}

/// Removes every row of the items and positions of that number, as a page does that is lost.
fn lose(disk: &SimDisk, number: u64) {
    let engine = disk.open();
    let mut lost = WriteBatch::new();
    for space in [Keyspace::Bodies, Keyspace::Ready] {
        let forward = Direction::Forward;
        let scanned = engine.scan(space, Span::all(), forward, &mut |key, _| {
            if key.ends_with(&number.to_be_bytes()) {
                lost.delete(space, key);
            }
            ControlFlow::Continue(())
        });
        scanned.unwrap();
    }
    assert_eq!(lost.len(), 2);
    engine.write_synced(lost).unwrap();
}

#[tokio::test]
async fn an_item_of_which_not_a_row_is_left_is_told_once_all_others_are_leased() {
    for is_lost in [false, true] {
        let disk = SimDisk::new();
        let backend = open(&disk).unwrap();
        let config = PartitionConfig::default();
        backend.create_partition(&home(), config).await.unwrap();
        let mut batch = ItemBatch::new();
        for _ in 0..3 {
            batch.push(NewItem::new("payload")).unwrap();
        }
        // Passed over, and there.
        batch
            .push(NewItem::new("expired").expire_at(at(1)))
            .unwrap();
        backend.produce(&home(), batch.seal(at(0))).await.unwrap();
        backend.close().await.unwrap();
        if is_lost {
            lose(&disk, 2);
        }
        let backend = open(&disk).unwrap();
        let here = home();
        let lease = || backend.lease(&here, LeaseRequest::new(at(1), at(50), Count::MAX));

        let leased = lease().await.unwrap().receipts();
        let again = lease().await;

        let ids: Vec<u64> = leased.iter().map(|receipt| receipt.item.get()).collect();
        match is_lost {
            false => {
                assert_eq!(ids, [1, 2, 3]);
                assert!(again.unwrap().is_empty());
            }
            true => {
                assert_eq!(ids, [1, 3]);
                assert_eq!(again.unwrap_err().kind(), ErrorKind::Corrupted);
            }
        }
    }
}
