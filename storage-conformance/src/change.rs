//! Every operation that changes something, on a stage that has something to change for each.
//!
//! Each change touches at least two things in one call, so that half of it can be seen.

use std::pin::Pin;
use std::sync::Arc;

use storage_api::{
    CommitRequest, DeadReason, Direction, Floors, Holder, ItemEntry, ItemId, ItemIds, ItemState,
    KeyRange, LeaseRequest, ListRequest, MetadataEntry, NewItem, PartitionConfig, PartitionId,
    PartitionInfo, Position, Receipt, Receipts, RestoreBatch, Result, Retries, Retry, RetryTo,
    ScanRequest, State, StorageBackend, Timestamp,
};

use crate::env::{Env, Snapshot, at, count, key, namespace, partition_id, value};
use crate::part::{Part, batch, receipts};

/// A partition with two items or more in every state, some metadata, and an empty partition beside it.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) part: Part,
    pub(crate) empty: Part,
    pub(crate) ready: Vec<ItemId>,
    pub(crate) scheduled: Vec<ItemId>,
    pub(crate) leased: Vec<Receipt>,
    pub(crate) dead: Vec<ItemId>,
}

/// Who holds the leases of the stage.
pub(crate) fn holder() -> Holder {
    Holder::new(7).expect("not zero")
}

impl Stage {
    /// Sets the stage: ready items without expiry, scheduled ones for 1000, leases until 500, and entries that expire at 10 and 11.
    pub(crate) async fn set(env: &Env) -> Self {
        let part = env.partition("stage").await;
        let empty = env.partition("empty").await;
        let early = part.produce(at(0), ["l1", "l2", "d1", "d2"]).await;
        let request = LeaseRequest::new(at(0), at(500), count(4)).holder(holder());
        let leased = receipts(&part.lease_with(request).await);
        let rejected = leased[2..]
            .iter()
            .map(|one| Retry::new(*one, RetryTo::Dead));
        part.retry_all(at(1), rejected).await;
        let ready = part.produce(at(2), ["r1", "r2", "r3"]).await;
        let later = ["s1", "s2"].map(|payload| NewItem::new(payload).enqueue_at(at(1000)));
        let scheduled = part.produce(at(3), later).await;
        env.put("ns", "a", "1").await;
        env.put_until("ns", "gone", "2", Some(at(10))).await;
        env.put_until("other", "gone", "3", Some(at(11))).await;
        Self {
            part,
            empty,
            ready,
            scheduled,
            leased: leased[..2].to_vec(),
            dead: early[2..].to_vec(),
        }
    }

    fn id(&self) -> &PartitionId {
        self.part.id()
    }

    fn receipts(&self) -> Receipts {
        Receipts::new(self.leased.clone()).expect("few receipts")
    }
}

type Called = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// One operation on a stage.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) on: fn(Arc<dyn StorageBackend>, Stage) -> Called,
}

macro_rules! calls {
    ($(|$backend:ident, $stage:ident| $name:ident => $run:expr),+ $(,)?) => {
        &[$(Call {
            name: stringify!($name),
            on: |$backend, $stage| {
                Box::pin(async move {
                    let _ = &$stage;
                    $run.await.map(drop)
                })
            },
        }),+]
    };
}

/// Every operation that changes something.
pub(crate) const CHANGES: &[Call] = calls![
    |backend, stage| create_partition => backend.create_partition(&partition_id("new", 1), changed_config()),
    |backend, stage| update_partition => backend.update_partition(stage.id(), None, changed_config()),
    |backend, stage| delete_partition => backend.delete_partition(stage.id()),
    |backend, stage| maintain => backend.maintain(stage.id(), at(2000), count(100)),
    |backend, stage| produce => backend.produce(stage.id(), batch(["p1", "p2", "p3"]).seal(at(20))),
    |backend, stage| lease => backend.lease(stage.id(), LeaseRequest::new(at(20), at(600), count(2))),
    |backend, stage| extend => backend.extend(stage.id(), stage.receipts(), at(700)),
    |backend, stage| release => backend.release(stage.id(), stage.receipts()),
    |backend, stage| release_holder => backend.release_holder(stage.id(), holder(), count(10)),
    |backend, stage| complete => backend.complete(stage.id(), stage.receipts()),
    |backend, stage| retry => backend.retry(stage.id(), at(20), noted_retries(&stage)),
    |backend, stage| revive => backend.revive(stage.id(), ids(&stage.dead)),
    |backend, stage| delete_items => backend.delete_items(stage.id(), ids(&[stage.ready[0], stage.scheduled[0], stage.dead[0]])),
    |backend, stage| clear => backend.clear(stage.id(), State::Dead.into(), count(10)),
    |backend, stage| restore => backend.restore(stage.empty.id(), restored(), Floors::none()),
    |backend, stage| purge => backend.purge(at(100), count(10)),
    |backend, stage| commit => backend.commit(commit(&stage)),
];

/// Every operation that changes nothing, `close` excepted.
pub(crate) const LOOKS: &[Call] = calls![
    |backend, stage| partition => backend.partition(stage.id()),
    |backend, stage| list_partitions => backend.list_partitions(None, count(1)),
    |backend, stage| stats => backend.stats(stage.id()),
    |backend, stage| watch => backend.watch(stage.id()),
    |backend, stage| get_items => backend.get_items(stage.id(), ids(&stage.ready), true),
    |backend, stage| list_items => backend.list_items(stage.id(), ListRequest::ready()),
    |backend, stage| get => backend.get(at(0), &namespace("ns"), &key("a")),
    |backend, stage| scan => backend.scan(at(0), ScanRequest::new(namespace("ns"), KeyRange::all())),
    |backend, stage| namespaces => backend.namespaces(None, count(1)),
    |backend, stage| health => backend.health(),
    |backend, stage| usage => backend.usage(),
];

fn changed_config() -> PartitionConfig {
    PartitionConfig::default()
        .with_attempts_max(9)
        .with_items_max(1_000_000)
}

fn ids(ids: &[ItemId]) -> ItemIds {
    ItemIds::new(ids.to_vec()).expect("few ids")
}

fn noted_retries(stage: &Stage) -> Retries {
    let retries = stage.leased.iter().map(|receipt| {
        let retry = Retry::new(*receipt, RetryTo::At(at(5000)));
        retry.with_note("again").expect("a short note")
    });
    Retries::collect(retries).expect("few retries")
}

/// Two items of numbers that nobody has.
fn restored() -> RestoreBatch {
    let record = batch(["whole"]).seal(at(0)).shared_record(0);
    let entry = |number: u64, state| {
        let id = ItemId::new(number).expect("a number far below the limit");
        ItemEntry::new(id, record.clone(), state)
    };
    let position = Position::new(1 << 40).expect("a number far below the limit");
    let dead = ItemState::Dead {
        reason: DeadReason::Rejected,
        died_at: at(5),
    };
    RestoreBatch::new(vec![
        entry(1 << 40, ItemState::Ready { position }),
        entry((1 << 40) + 1, dead),
    ])
    .expect("few small items")
}

/// A put, a deletion, a production, completions and deletions in two partitions.
fn commit(stage: &Stage) -> CommitRequest {
    let mut request = CommitRequest::new(at(20));
    let added = request
        .put(&namespace("ns"), &key("b"), value("4"), None)
        .and_then(|()| request.delete(&namespace("ns"), &key("a")))
        .and_then(|()| request.produce(stage.empty.id(), batch(["c1", "c2"])))
        .and_then(|()| request.complete(stage.id(), stage.receipts()))
        .and_then(|()| request.delete_items(stage.id(), ids(&stage.dead)));
    added.expect("a small commit");
    request
}

/// What a backend holds, without the numbers that it gave out: two drivers, or two runs of one, can be compared by it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    partitions: Vec<(PartitionId, PartitionConfig, Vec<SeenItem>)>,
    metadata: Vec<(String, Vec<SeenEntry>)>,
}

/// Key, value and expiry.
type SeenEntry = (String, String, Option<Timestamp>);

#[derive(Debug, Clone, PartialEq)]
struct SeenItem {
    payload: String,
    state: String,
    attempts: u32,
    note: Option<String>,
    is_revived: bool,
}

impl View {
    /// The view of everything that a look found.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let partitions = snapshot.partitions.iter().map(|(info, _, items)| {
            let items = items.iter().map(SeenItem::of).collect();
            (info.id.clone(), info.config.clone(), items)
        });
        let metadata = snapshot.metadata.iter().map(|(space, entries)| {
            let entries = entries.iter().map(seen_entry).collect();
            (space.to_string(), entries)
        });
        Self {
            partitions: partitions.collect(),
            metadata: metadata.collect(),
        }
    }

    /// Looks at a backend, which may refuse.
    pub(crate) async fn look(backend: &dyn StorageBackend) -> Result<Self> {
        let mut snapshot = Snapshot::default();
        for info in backend.list_partitions(None, count(10_000)).await?.items {
            let PartitionInfo { id, .. } = &info;
            let stats = backend.stats(id).await?;
            let request = ListRequest::by_id(storage_api::States::ALL);
            let items = backend.list_items(id, request).await?.items;
            snapshot.partitions.push((info, stats, items));
        }
        for space in backend.namespaces(None, count(10_000)).await?.items {
            let request = ScanRequest::new(space.clone(), KeyRange::all());
            let request = request.direction(Direction::Forward);
            let entries = backend.scan(Timestamp::MIN, request).await?.items;
            snapshot.metadata.push((space, entries));
        }
        Ok(Self::of(&snapshot))
    }

    /// What a call makes of a stage elsewhere, where nothing fails and nobody drops it.
    pub(crate) async fn behind(env: &Env, call: &Call) -> Self {
        let env = env.elsewhere().await;
        let stage = Stage::set(&env).await;
        let done = (call.on)(env.backend().await, stage).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", call.name));
        let view = Self::of(&env.snapshot().await);
        env.finish().await;
        view
    }
}

impl SeenItem {
    fn of(entry: &ItemEntry) -> Self {
        Self {
            payload: crate::part::payload(entry),
            state: match entry.state {
                ItemState::Ready { .. } => "ready".to_owned(),
                ItemState::Leased {
                    deadline, holder, ..
                } => format!("leased until {deadline} by {holder:?}"),
                other => format!("{other:?}"),
            },
            attempts: entry.attempts,
            note: entry.note.as_ref().map(|note| note.as_str().to_owned()),
            is_revived: entry.is_revived,
        }
    }
}

fn seen_entry(entry: &MetadataEntry) -> SeenEntry {
    let value = String::from_utf8_lossy(entry.value.as_bytes()).into_owned();
    (entry.key.to_string(), value, entry.expires_at)
}
