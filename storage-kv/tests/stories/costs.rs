use storage_api::{
    Count, ItemStore, LeaseRequest, PartitionConfig, PartitionId, PartitionStore, Receipts,
    Retries, Retry, RetryTo, StorageBackend,
};
use storage_kv::{KvBackend, SimDisk};

use crate::watched::{Watch, WatchedKv, at, batch, home, open};

const BATCH: usize = 100;

async fn lease(backend: &KvBackend<WatchedKv>, count: usize) -> Receipts {
    let request = LeaseRequest::new(at(1), at(1000), Count::new(count).unwrap());
    backend.lease(&home(), request).await.unwrap().receipts()
}

/// A backend with so many ready items, behind as many that were completed, and with as many leased.
async fn deep(watch: &Watch, depth: usize) -> KvBackend<WatchedKv> {
    let backend = open(&SimDisk::new(), watch);
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    for _ in 0..3 * depth / BATCH {
        backend.produce(&home(), batch(BATCH)).await.unwrap();
    }
    for _ in 0..depth / BATCH {
        let receipts = lease(&backend, BATCH).await;
        backend.complete(&home(), receipts).await.unwrap();
        lease(&backend, BATCH).await;
    }
    backend
}

/// Leases from as many other partitions as are read ahead, so that the next lease reads what it needs and no more.
async fn lease_elsewhere(backend: &KvBackend<WatchedKv>) {
    for number in 1..=8 {
        let other = PartitionId::new("other", number).unwrap();
        let config = PartitionConfig::default();
        backend.create_partition(&other, config).await.unwrap();
        backend.produce(&other, batch(1)).await.unwrap();
        let request = LeaseRequest::new(at(1), at(1000), Count::ONE);
        backend.lease(&other, request).await.unwrap();
    }
}

/// How many rows each operation reads, at that depth.
async fn rows_read(depth: usize) -> Vec<(&'static str, u64)> {
    let watch = Watch::default();
    let backend = deep(&watch, depth).await;
    lease_elsewhere(&backend).await;
    let mut costs = Vec::new();
    let mut note = |what| {
        costs.push((
            what,
            watch.rows_read.swap(0, std::sync::atomic::Ordering::SeqCst),
        ));
    };
    note("before");

    backend.produce(&home(), batch(BATCH)).await.unwrap();
    note("produce");
    let receipts = lease(&backend, BATCH).await;
    note("lease");
    backend
        .extend(&home(), receipts.clone(), at(2000))
        .await
        .unwrap();
    note("extend");
    let retries = receipts
        .iter()
        .map(|receipt| Retry::new(*receipt, RetryTo::Now));
    let retries = Retries::new(retries.collect()).unwrap();
    backend.retry(&home(), at(2), retries).await.unwrap();
    note("retry");
    let receipts = lease(&backend, BATCH).await;
    note("lease again");
    backend.complete(&home(), receipts).await.unwrap();
    note("complete");
    backend.maintain(&home(), at(3), Count::MAX).await.unwrap();
    note("maintain with nothing due");
    backend
        .maintain(&home(), at(1000), Count::new(BATCH).unwrap())
        .await
        .unwrap();
    note("maintain");
    backend.stats(&home()).await.unwrap();
    note("stats");
    costs.remove(0);
    costs
}

#[tokio::test]
async fn no_operation_reads_more_in_a_deep_queue() {
    let shallow = rows_read(300).await;
    let deep = rows_read(30_000).await;

    assert_eq!(shallow, deep);
    for (what, rows) in shallow {
        assert!(rows <= 3 * BATCH as u64 + 10, "{what} reads {rows} rows");
    }
}

#[tokio::test]
async fn opening_reads_the_same_however_deep_a_queue_is() {
    let mut read = Vec::new();
    for depth in [300, 30_000] {
        let (disk, watch) = (SimDisk::new(), Watch::default());
        let backend = open(&disk, &watch);
        let config = PartitionConfig::default();
        backend.create_partition(&home(), config).await.unwrap();
        for _ in 0..depth / BATCH {
            backend.produce(&home(), batch(BATCH)).await.unwrap();
        }
        backend.close().await.unwrap();
        let before = watch.read();

        let backend = open(&disk, &watch);
        let after_opening = watch.read() - before;
        lease(&backend, 1).await;

        read.push((after_opening, watch.read() - before));
    }

    assert_eq!(read[0], read[1]);
    assert!(read[0].0 <= 5, "{read:?}");
}

#[tokio::test]
async fn each_item_costs_at_most_four_rows_a_step() {
    let watch = Watch::default();
    let backend = deep(&watch, 300).await;
    let mut before = watch.written();
    let mut written = |what: &str| {
        let rows = watch.written() - before;
        before = watch.written();
        let items = BATCH as u64;
        assert!(
            rows <= 4 * items,
            "{what} writes {rows} rows for {items} items"
        );
        rows
    };

    backend.produce(&home(), batch(BATCH)).await.unwrap();
    let produced = written("produce");
    let receipts = lease(&backend, BATCH).await;
    let leased = written("lease");
    backend.complete(&home(), receipts).await.unwrap();
    let completed = written("complete");

    // One row more: the counters. And one for the deadline of all that were leased together.
    assert_eq!((produced, leased, completed), (201, 202, 202));
}

#[tokio::test]
async fn what_was_leased_together_costs_as_little_when_it_goes_one_by_one_in_any_order() {
    let watch = Watch::default();
    let backend = deep(&watch, 300).await;
    let receipts = lease(&backend, BATCH).await;
    // Each once: first every other pair, so that runs are split, then the rest from both ends.
    let pairs = (0..BATCH).filter(|at| at % 4 < 2);
    let left: Vec<usize> = (0..BATCH).filter(|at| at % 4 >= 2).collect();
    let (front, back) = left.split_at(left.len() / 2);
    let order = pairs
        .chain(front.iter().copied())
        .chain(back.iter().rev().copied());
    let (mut read, mut written) = (watch.read(), watch.written());
    for at in order {
        backend
            .complete(&home(), Receipts::one(receipts[at]))
            .await
            .unwrap();

        let rows = (watch.read() - read, watch.written() - written);
        (read, written) = (watch.read(), watch.written());
        // Its state and its run; state, body, counters and what is left of the run.
        assert!(rows.0 <= 2 && rows.1 <= 5, "item {at}: {rows:?}");
    }
}

#[tokio::test]
async fn the_deadline_of_a_single_lease_is_removed_without_a_look() {
    let watch = Watch::default();
    let backend = deep(&watch, 300).await;
    let mut receipts = Vec::new();
    for _ in 0..BATCH {
        receipts.push(lease(&backend, 1).await);
    }
    for receipt in receipts {
        let before = (watch.read(), watch.written());

        backend.complete(&home(), receipt).await.unwrap();

        let rows = (watch.read() - before.0, watch.written() - before.1);
        assert_eq!(rows, (1, 4));
    }
}

#[tokio::test]
async fn what_is_as_it_was_produced_is_leased_without_its_index_rows() {
    let watch = Watch::default();
    let backend = deep(&watch, 300).await;
    lease_elsewhere(&backend).await;
    let before = watch.read();

    lease(&backend, BATCH).await;

    assert_eq!(watch.read() - before, BATCH as u64);
}

#[tokio::test]
async fn who_leases_a_queue_bit_by_bit_reads_each_item_once_and_begins_few_scans() {
    const ITEMS: usize = 3000;
    const FEW: usize = 10;
    let watch = Watch::default();
    let backend = open(&SimDisk::new(), &watch);
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    backend.produce(&home(), batch(ITEMS)).await.unwrap();
    // The first one may begin anew, once there are numbers for it.
    lease(&backend, FEW).await;
    let (before, mut reading) = (watch.read(), 0);

    for _ in 1..ITEMS / FEW {
        let read = watch.read();
        assert_eq!(lease(&backend, FEW).await.len(), FEW);
        reading += usize::from(watch.read() > read);
    }

    assert_eq!(watch.read() - before, (ITEMS - FEW) as u64);
    assert!(reading <= 10, "{reading} of {} leases read", ITEMS / FEW);
}
