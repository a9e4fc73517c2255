//! What tasks call, and what must hold of a backend when they have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;

use shuttle::future::JoinHandle;
use shuttle::rand::Rng;
use storage_api::{
    CommitOutcome, CommitRequest, Count, Error, ItemBatch, ItemEntry, LeaseRequest, LeasedBatch,
    ListRequest, NewItem, PartitionConfig, PartitionId, Result, SealedBatch, Shortcut, State,
    States, StorageBackend, Timestamp,
};

pub(crate) type Backend = Arc<dyn StorageBackend>;

/// What tasks note for the one that judges. Nothing that a schedule turns on: no task goes first because of it.
pub(crate) type Notes<T> = Arc<std::sync::Mutex<Vec<T>>>;

pub(crate) const NOW: Timestamp = Timestamp::EPOCH;

pub(crate) fn home(number: u32) -> PartitionId {
    PartitionId::new("q", number).unwrap()
}

/// That many partitions, made one after the other.
pub(crate) async fn homes(backend: &Backend, count: u32) -> Vec<PartitionId> {
    let homes: Vec<_> = (0..count).map(home).collect();
    for home in &homes {
        let created = backend.create_partition(home, PartitionConfig::default());
        created.await.unwrap();
    }
    homes
}

pub(crate) fn batch(payload: &[u8]) -> ItemBatch {
    let mut batch = ItemBatch::new();
    batch.push(NewItem::new(payload)).unwrap();
    batch
}

pub(crate) fn sealed(payload: &[u8]) -> SealedBatch {
    batch(payload).seal(NOW)
}

/// The short way to a partition, half of the time where there is one.
fn shortcut(backend: &Backend, home: &PartitionId) -> Option<Arc<dyn Shortcut>> {
    let shortcut = backend.shortcut(home)?;
    (throw(1) == 0).then_some(shortcut)
}

/// Produces one item; the answer is its id.
pub(crate) async fn produce(backend: &Backend, home: &PartitionId, payload: &[u8]) -> Result<u64> {
    let batch = sealed(payload);
    let shortly = shortcut(backend, home).and_then(|shortcut| shortcut.produce(&batch));
    let produced = match shortly {
        Some(produced) => produced?,
        None => backend.produce(home, batch).await?,
    };
    Ok(produced.ids().next().unwrap().get())
}

pub(crate) async fn lease(
    backend: &Backend,
    home: &PartitionId,
    items: usize,
) -> Result<LeasedBatch> {
    let request = LeaseRequest::new(NOW, Timestamp::from_secs(1), Count::new(items).unwrap());
    let shortly = shortcut(backend, home).and_then(|shortcut| shortcut.lease(&request));
    match shortly {
        Some(leased) => leased.map(|(leased, _)| leased),
        None => backend.lease(home, request).await,
    }
}

/// Produces an item in each of these partitions, in one step.
pub(crate) async fn commit(
    backend: &Backend,
    homes: &[PartitionId],
    payload: &[u8],
) -> Result<Vec<u64>> {
    let mut request = CommitRequest::new(NOW);
    for home in homes {
        request.produce(home, batch(payload)).unwrap();
    }
    match backend.commit(request).await? {
        CommitOutcome::Committed(committed) => {
            let ids = committed.produced.iter();
            Ok(ids.map(|it| it.ids().next().unwrap().get()).collect())
        }
        CommitOutcome::Refused(refusal) => panic!("nothing was checked, but {refusal:?}"),
    }
}

/// The answers of tasks, which all come to their ends.
pub(crate) async fn joined<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// Every item of a partition, by id.
pub(crate) async fn listed(backend: &Backend, home: &PartitionId) -> Vec<ItemEntry> {
    let request = ListRequest::by_id(States::ALL);
    backend.list_items(home, request).await.unwrap().items
}

pub(crate) async fn ids(backend: &Backend, home: &PartitionId) -> BTreeSet<u64> {
    let items = listed(backend, home).await;
    items.iter().map(|item| item.id.get()).collect()
}

pub(crate) async fn payloads(backend: &Backend, home: &PartitionId) -> BTreeSet<Vec<u8>> {
    let items = listed(backend, home).await;
    let payload = |item: &ItemEntry| item.record.view().payload().unwrap().to_vec();
    items.iter().map(payload).collect()
}

/// Statistics equal listing (clause PART-7), and the driver finds nothing wrong with what it stores.
pub(crate) async fn assert_sound(backend: &Backend, homes: &[PartitionId]) {
    for home in homes {
        let stats = backend.stats(home).await.unwrap();
        let items = listed(backend, home).await;
        for state in [State::Ready, State::Scheduled, State::Leased, State::Dead] {
            let items = items.iter().filter(|item| item.state() == state);
            let (count, bytes) = items.fold((0, 0), |(count, bytes), item| {
                (count + 1, bytes + item.record.view().payload_len() as u64)
            });
            let kept = stats.state(state);
            let kept = (kept.items, kept.bytes);
            assert_eq!(
                kept,
                (count, bytes),
                "{state:?} items of {home}: statistics, listing"
            );
        }
    }
    if let Some(verify) = backend.verify() {
        assert_eq!(verify.verify().await.unwrap(), [""; 0]);
    }
}

/// No number comes twice.
pub(crate) fn assert_once<T: Ord + std::fmt::Debug>(what: &str, mut numbers: Vec<T>) {
    numbers.sort();
    let twice = numbers.windows(2).find(|pair| pair[0] == pair[1]);
    assert!(twice.is_none(), "{what} was given twice: {twice:?}");
}

/// Lets others go first, up to so many times.
pub(crate) fn pause(turns_max: usize) {
    let turn = shuttle::sync::atomic::AtomicBool::new(false);
    for _ in 0..throw(turns_max) {
        let _ = turn.load(std::sync::atomic::Ordering::SeqCst);
    }
}

/// A number up to that one, which belongs to the schedule.
pub(crate) fn throw(max: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..=max)
}

/// Polls a call so many times more than once, then drops it; `None` where it had not come to its end.
pub(crate) async fn dropped<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = Box::pin(call);
    let mut left = polls;
    std::future::poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            pause(20);
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// What a call says that had to be refused.
pub(crate) fn told<T: std::fmt::Debug>(answer: Result<T>) -> Error {
    answer.expect_err("this call is refused")
}
