//! What a call answers that meets a fault, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "what sets the stage may panic")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use storage_api::*;
use storage_faults::{Fault, Faults};
use storage_memory::MemoryBackend;

type Called<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// One operation on the stage, and whether it changes something there.
struct Call {
    operation: Operation,
    changes: bool,
    on: for<'a> fn(&'a Faults, &'a Stage) -> Called<'a>,
}

macro_rules! calls {
    ($($operation:ident $changes:literal |$backend:ident, $stage:ident| $run:expr),+ $(,)?) => {
        [$(Call {
            operation: Operation::$operation,
            changes: $changes,
            on: |$backend, $stage| Box::pin(async move {
                let _ = $stage;
                $run.await.map(drop)
            }),
        }),+]
    };
}

/// A partition with a ready, a leased and a dead item, and an entry that has expired.
struct Stage {
    id: PartitionId,
    receipt: Receipt,
    dead: ItemId,
}

const NOW: Timestamp = Timestamp::from_micros(100);
const LATER: Timestamp = Timestamp::from_micros(200);

fn namespace() -> Namespace {
    Namespace::new("n").unwrap()
}

fn key() -> Key {
    Key::try_from(&b"k"[..]).unwrap()
}

/// An item for each key; that of the empty key has none.
fn batch(keys: &[&str]) -> SealedBatch {
    let mut batch = ItemBatch::new();
    for key in keys {
        let item = NewItem::new("x");
        let keyed = if key.is_empty() {
            item
        } else {
            item.dedup_key(key)
        };
        batch.push(keyed).unwrap();
    }
    batch.seal(NOW)
}

fn put() -> CommitRequest {
    let mut request = CommitRequest::new(NOW);
    let value = Value::try_from(&b"v"[..]).unwrap();
    request.put(&namespace(), &key(), value, Some(NOW)).unwrap();
    request
}

fn restored() -> RestoreBatch {
    let id = ItemId::new(1 << 40).unwrap();
    let position = Position::new(1 << 40).unwrap();
    let state = ItemState::Ready { position };
    RestoreBatch::new(vec![ItemEntry::new(
        id,
        batch(&[""]).shared_record(0),
        state,
    )])
    .unwrap()
}

fn holder() -> Holder {
    Holder::new(7).unwrap()
}

fn request() -> LeaseRequest {
    LeaseRequest::new(NOW, LATER, Count::ONE).holder(holder())
}

const fn calls() -> [Call; 30] {
    calls![
        CreatePartition true |backend, stage| backend.create_partition(&PartitionId::new("new", 1)?, PartitionConfig::default()),
        UpdatePartition true |backend, stage| backend.update_partition(&stage.id, None, PartitionConfig::default().with_attempts_max(9)),
        Partition false |backend, stage| backend.partition(&stage.id),
        ListPartitions false |backend, stage| backend.list_partitions(None, Count::ONE),
        DeletePartition true |backend, stage| backend.delete_partition(&stage.id),
        Stats false |backend, stage| backend.stats(&stage.id),
        Maintain true |backend, stage| backend.maintain(&stage.id, LATER, Count::MAX),
        Watch false |backend, stage| backend.watch(&stage.id),
        Produce true |backend, stage| backend.produce(&stage.id, batch(&[""])),
        Lease true |backend, stage| backend.lease(&stage.id, request()),
        Extend true |backend, stage| backend.extend(&stage.id, Receipts::one(stage.receipt), Timestamp::MAX),
        Release true |backend, stage| backend.release(&stage.id, Receipts::one(stage.receipt)),
        ReleaseHolder true |backend, stage| backend.release_holder(&stage.id, holder(), Count::ONE),
        Complete true |backend, stage| backend.complete(&stage.id, Receipts::one(stage.receipt)),
        Retry true |backend, stage| backend.retry(&stage.id, NOW, Retries::one(Retry::new(stage.receipt, RetryTo::Now))),
        Revive true |backend, stage| backend.revive(&stage.id, ItemIds::one(stage.dead)),
        GetItems false |backend, stage| backend.get_items(&stage.id, ItemIds::one(stage.dead), true),
        ListItems false |backend, stage| backend.list_items(&stage.id, ListRequest::ready()),
        DeleteItems true |backend, stage| backend.delete_items(&stage.id, ItemIds::one(stage.dead)),
        Clear true |backend, stage| backend.clear(&stage.id, States::ALL, Count::MAX),
        Restore true |backend, stage| backend.restore(&stage.id, restored(), Floors::none()),
        Get false |backend, stage| backend.get(NOW, &namespace(), &key()),
        Scan false |backend, stage| backend.scan(NOW, ScanRequest::new(namespace(), KeyRange::all())),
        Namespaces false |backend, stage| backend.namespaces(None, Count::ONE),
        Purge true |backend, stage| backend.purge(LATER, Count::MAX),
        Commit true |backend, stage| backend.commit(put()),
        Health false |backend, stage| backend.health(),
        Usage false |backend, stage| backend.usage(),
        Verify false |backend, stage| backend.verify().expect("the backend beneath has one").verify(),
        Close false |backend, stage| backend.close(),
    ]
}

/// A backend in memory with a checker, which has one thing to tell.
#[derive(Debug)]
struct Verified(MemoryBackend);

#[async_trait]
impl PartitionStore for Verified {
    forward_backend!(PartitionStore => 0);
}

#[async_trait]
impl ItemStore for Verified {
    forward_backend!(ItemStore => 0);
}

#[async_trait]
impl MetadataStore for Verified {
    forward_backend!(MetadataStore => 0);
}

#[async_trait]
impl StorageBackend for Verified {
    forward_backend!(StorageBackend => 0, except [verify]);

    fn verify(&self) -> Option<&dyn Verify> {
        Some(&OneRow)
    }
}

#[derive(Debug)]
struct OneRow;

#[async_trait]
impl Verify for OneRow {
    async fn verify(&self) -> Result<Vec<String>> {
        Ok(vec!["one row too many".to_owned()])
    }
}

/// A backend with the stage set, and the one beneath it, which has no faults.
async fn set() -> (Faults, Arc<Verified>, Stage) {
    let inner = Arc::new(Verified(MemoryBackend::new()));
    let faults = Faults::around(inner.clone());
    let id = PartitionId::new("stage", 0).unwrap();
    let config = PartitionConfig::default();
    inner.create_partition(&id, config).await.unwrap();
    inner
        .produce(&id, batch(&["dead", "leased", "ready"]))
        .await
        .unwrap();
    inner.commit(put()).await.unwrap();
    let mut receipts = Vec::new();
    for _ in 0..2 {
        let leased = inner.lease(&id, request()).await.unwrap();
        receipts.extend(leased.iter().map(|item| item.receipt()));
    }
    let dead = Retries::one(Retry::new(receipts[0], RetryTo::Dead));
    inner.retry(&id, NOW, dead).await.unwrap();
    let stage = Stage {
        id,
        receipt: receipts[1],
        dead: receipts[0].item,
    };
    (faults, inner, stage)
}

/// Everything that the operations of this file can change.
async fn look(backend: &dyn StorageBackend) -> String {
    let mut seen = Vec::new();
    let partitions = backend.list_partitions(None, Count::MAX).await.unwrap();
    for info in partitions.items {
        let request = ListRequest::by_id(States::ALL);
        let items = backend.list_items(&info.id, request).await.unwrap();
        seen.push(format!("{} {:?} {items:?}", info.id, info.config));
    }
    let everything = ScanRequest::new(namespace(), KeyRange::all());
    let entries = backend.scan(Timestamp::MIN, everything).await.unwrap();
    seen.push(format!("{entries:?}"));
    seen.join("\n")
}

/// What ERR-1 lets be repeated where the outcome is unknown, besides reads and keyed produces.
const REPEATABLE: [Operation; 6] = [
    Operation::Complete,
    Operation::Extend,
    Operation::DeleteItems,
    Operation::Clear,
    Operation::Maintain,
    Operation::Purge,
];

#[tokio::test(flavor = "current_thread")]
async fn a_fault_before_an_operation_leaves_everything_as_it_was() {
    for call in calls() {
        let (faults, inner, stage) = set().await;
        let before = look(&*inner).await;
        faults.script(call.operation, [Some(Fault::Before)]);

        let error = (call.on)(&faults, &stage).await.unwrap_err();

        assert_eq!(error.operation(), call.operation);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert_eq!(error.retry_hint(), RetryHint::SameCall, "{error}");
        assert_eq!(look(&*inner).await, before, "{error}");
        (call.on)(&faults, &stage).await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_fault_after_an_operation_leaves_all_of_it_applied() {
    for call in calls() {
        let (faults, inner, stage) = set().await;
        let before = look(&*inner).await;
        faults.script(call.operation, [Some(Fault::After)]);

        let error = (call.on)(&faults, &stage).await.unwrap_err();

        assert_eq!(error.operation(), call.operation);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        if call.operation == Operation::Close {
            assert_eq!(inner.health().await.unwrap_err().kind(), ErrorKind::Closed);
            continue;
        }
        let may_be_repeated = !call.changes || REPEATABLE.contains(&call.operation);
        let hint = error.retry_hint();
        assert_eq!(hint == RetryHint::SameCall, may_be_repeated, "{error}");
        assert_eq!(look(&*inner).await != before, call.changes, "{error}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_operation_that_hangs_has_not_begun() {
    for call in calls() {
        let (faults, inner, stage) = set().await;
        let before = look(&*inner).await;
        faults.script(call.operation, [Some(Fault::Hang)]);

        let mut hanging = (call.on)(&faults, &stage);
        let mut polls = (0..3).map(|_| {
            let mut context = Context::from_waker(Waker::noop());
            hanging.as_mut().poll(&mut context)
        });

        assert!(polls.all(|poll| poll.is_pending()), "{:?}", call.operation);
        assert_eq!(look(&*inner).await, before, "{:?}", call.operation);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn producing_may_be_repeated_where_every_item_has_a_key_that_lingers() {
    let (faults, inner, stage) = set().await;
    let lingering = PartitionConfig::default().with_dedup_for(Duration::from_secs(1));
    let mut hints = Vec::new();

    for config in [PartitionConfig::default(), lingering] {
        inner
            .update_partition(&stage.id, None, config)
            .await
            .unwrap();
        for keys in [["a", "b"], ["c", ""]] {
            faults.script(Operation::Produce, [Some(Fault::After)]);
            let produced = faults.produce(&stage.id, batch(&keys)).await;
            hints.push(produced.unwrap_err().retry_hint());
        }
    }

    use RetryHint::{Never, SameCall};
    assert_eq!(hints, [Never, Never, SameCall, Never]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_call_that_the_backend_refuses_is_refused_by_it_after_all() {
    let (faults, _, _) = set().await;
    let missing = PartitionId::new("missing", 0).unwrap();
    faults.script(Operation::Stats, [Some(Fault::After)]);

    let error = faults.stats(&missing).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.outcome(), Outcome::NotApplied);
}

#[tokio::test(flavor = "current_thread")]
async fn a_checker_is_there_where_the_backend_has_one_and_tells_what_that_tells() {
    let (faults, _, _) = set().await;
    let unchecked = Faults::around(Arc::new(MemoryBackend::new()));

    let told = faults.verify().unwrap().verify().await.unwrap();

    assert_eq!(told, ["one row too many"]);
    assert!(unchecked.verify().is_none());
}

#[tokio::test(flavor = "current_thread")]
async fn a_closed_backend_meets_no_fault() {
    let (faults, _, stage) = set().await;
    faults.at_random(1, 1, &[Fault::Before]);
    faults.close().await.unwrap();

    let error = faults.stats(&stage.id).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "current_thread")]
async fn a_seed_repeats_its_faults_and_another_has_others() {
    let of_seed = async |seed| {
        let (faults, _, stage) = set().await;
        faults.at_random(seed, 4, &[Fault::Before, Fault::After]);
        for _ in 0..200 {
            let _ = faults.stats(&stage.id).await;
            let _ = faults.health().await;
        }
        faults.met()
    };

    let (first, again, other) = (of_seed(1).await, of_seed(1).await, of_seed(2).await);

    assert_eq!(first, again);
    assert_ne!(first, other);
    // 100 on average; far enough from all and none.
    assert!((50..150).contains(&first.len()), "{} faults", first.len());
    for fault in [Fault::Before, Fault::After] {
        assert!(first.iter().any(|(_, met)| *met == fault), "{fault:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_script_is_followed_call_by_call_and_then_ends() {
    let (faults, _, stage) = set().await;
    faults.script(Operation::Stats, [None, Some(Fault::Before)]);
    faults.script(Operation::Stats, [Some(Fault::After)]);

    let mut is_ok = Vec::new();
    for _ in 0..4 {
        faults.health().await.unwrap();
        is_ok.push(faults.stats(&stage.id).await.is_ok());
    }

    assert_eq!(is_ok, [true, false, false, true]);
    let met = [Fault::Before, Fault::After].map(|fault| (Operation::Stats, fault));
    assert_eq!(faults.met(), met);
}

#[test]
fn a_dropped_call_takes_its_fault_along() {
    let faults = Faults::around(Arc::new(MemoryBackend::new()));
    faults.script(Operation::Usage, [Some(Fault::Hang)]);
    let poll = |future: Pin<&mut dyn Future<Output = Result<Usage>>>| {
        future.poll(&mut Context::from_waker(Waker::noop()))
    };

    let first = poll(pin!(faults.usage()));
    let second = poll(pin!(faults.usage()));

    assert!(first.is_pending());
    assert!(matches!(second, Poll::Ready(Ok(_))));
}
