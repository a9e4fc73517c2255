//! The steps of the model runs, without what a process that is killed forgets: items, receipts and versions are picked from
//! what the backend shows, which is the same on the driver and on the model but for the numbers.

use storage_api::{
    CommitOutcome, CommitRequest, Count, Error, Floors, Holder, ItemBatch, ItemEntry, ItemId,
    ItemIds, ItemState, LeaseId, LeaseRequest, ListRequest, Namespace, PartitionId, Position,
    ProduceOutcome, Produced, Receipt, Receipts, Refusal, RestoreBatch, Result, Retries, Retry,
    RetryTo, ScanRequest, State, States, Step, StorageBackend, UpdateOutcome,
};

use super::steps::Done;
use crate::env::{at, count, namespace, partition_id};
use crate::model::action::{
    Action, CheckPick, Expected, IdPick, Item, KeyPick, PositionPick, ReceiptPick, Restored,
    RestoredState, RetryPick, StepPick, To, WritePick,
};
use crate::model::{key, key_range, new_item, note, ranked, value};

/// Queues and numbers that a driver could take for each other; each lane puts its number before them.
const PARTITIONS: [(&str, u32); 4] = [("q", 1), ("q", 10), ("q/1", 0), ("q\u{10ffff}", 1)];
const NAMESPACES: [&str; 3] = ["n", "n\0", "n\u{10ffff}"];

/// A partition with more items is cleared instead of whatever was to be done: a look at it stays cheap.
const ITEMS_MAX: usize = 40;
/// Restored numbers are that far above all that are seen.
const DISTANCE: u64 = 1 << 20;

/// Whether the action can change something. A purge reaches into every namespace: the first lane alone does that.
pub(super) fn is_change(action: &Action, lane: usize) -> bool {
    match action {
        Action::Purge { .. } => lane == 0,
        Action::ListPartitions { .. }
        | Action::GetItems { .. }
        | Action::List { .. }
        | Action::Get { .. }
        | Action::Scan { .. }
        | Action::Namespaces { .. }
        | Action::Reopen
        | Action::Compare => false,
        _ => true,
    }
}

/// Whether a queue or a namespace belongs to a lane.
pub(super) fn is_of_lane(name: &str, lane: usize) -> bool {
    name.starts_with(&format!("{lane} "))
}

/// Does the action on that lane's partitions and namespaces. An error of the operation is an answer; one of a look is not.
pub(super) async fn step(
    backend: &dyn StorageBackend,
    lane: usize,
    number: u64,
    action: &Action,
) -> Result<Done> {
    let mut stance = Stance {
        backend,
        lane,
        number,
        items_made: 0,
        shown: Vec::new(),
    };
    let answer = stance.act(action).await?;
    Ok(Done::new(answer, stance.shown))
}

struct Stance<'a> {
    backend: &'a dyn StorageBackend,
    lane: usize,
    number: u64,
    items_made: u32,
    shown: Vec<String>,
}

impl Stance<'_> {
    async fn act(&mut self, action: &Action) -> Result<String> {
        let backend = self.backend;
        Ok(match action {
            Action::Create { partition, config } => {
                let id = self.partition(*partition);
                let created = backend.create_partition(&id, config.to_config()).await;
                told("create_partition", created, |info| {
                    self.shown.push(format!("version:{}", info.created));
                    "created".to_owned()
                })
            }
            Action::Update {
                partition,
                expected,
                config,
            } => {
                let id = self.partition(*partition);
                let expected = match expected {
                    Expected::Any => None,
                    Expected::Current | Expected::Known(_) => {
                        backend.partition(&id).await.ok().map(|info| info.revision)
                    }
                };
                let updated = backend
                    .update_partition(&id, expected, config.to_config())
                    .await;
                told("update_partition", updated, |outcome| match outcome {
                    UpdateOutcome::Updated(version) => {
                        self.shown.push(format!("version:{version}"));
                        "updated".to_owned()
                    }
                    UpdateOutcome::Conflict(_) => "conflict".to_owned(),
                })
            }
            Action::DeletePartition { partition } => {
                let id = self.partition(*partition);
                let deleted = backend.delete_partition(&id).await;
                told("delete_partition", deleted, |()| "deleted".to_owned())
            }
            Action::Purge { now, max } => {
                let purged = backend.purge(at(*now), Count::clamped((*max).into())).await;
                told("purge", purged, |purged| format!("{purged:?}"))
            }
            Action::Commit {
                now,
                checks,
                writes,
                steps,
            } => self.commit(*now, checks, writes, steps).await?,
            _ => self.act_on_items(action).await?,
        })
    }

    async fn act_on_items(&mut self, action: &Action) -> Result<String> {
        let backend = self.backend;
        let Some(partition) = partition_of(action) else {
            return Ok("nothing".to_owned());
        };
        let id = self.partition(partition);
        let found = self.items(&id).await?;
        if found.len() > ITEMS_MAX {
            let cleared = backend.clear(&id, States::ALL, count(ITEMS_MAX)).await;
            return Ok(told("clear", cleared, |cleared| format!("{cleared:?}")));
        }
        let found = Found(found);
        Ok(match action {
            Action::Produce { now, items, .. } => {
                let batch = self.batch(items).seal(at(*now));
                let produced = backend.produce(&id, batch).await;
                told("produce", produced, |produced| {
                    self.produced(&id, &produced)
                })
            }
            Action::Lease {
                now,
                deadline,
                max,
                bytes_max,
                holder,
                ..
            } => {
                let max = Count::clamped((*max).into());
                let mut request = LeaseRequest::new(at(*now), at(*deadline), max);
                request.bytes_max = *bytes_max;
                request.holder = Holder::new(*holder).ok();
                let leased = backend.lease(&id, request).await;
                told("lease", leased, |leased| {
                    let leases = leased.iter().map(|item| item.receipt().lease);
                    self.shown.extend(leases.map(|one| format!("lease:{one}")));
                    format!("{} items", leased.len())
                })
            }
            Action::Extend {
                receipts, deadline, ..
            } => {
                let receipts = found.receipts(receipts)?;
                let extended = backend.extend(&id, receipts, at(*deadline)).await;
                told("extend", extended, |outcomes| format!("{outcomes:?}"))
            }
            Action::Release { receipts, .. } => {
                let released = backend.release(&id, found.receipts(receipts)?).await;
                told("release", released, |outcomes| format!("{outcomes:?}"))
            }
            Action::ReleaseHolder { holder, max, .. } => match Holder::new(*holder) {
                Ok(holder) => {
                    let max = Count::clamped((*max).into());
                    let released = backend.release_holder(&id, holder, max).await;
                    told("release_holder", released, |released| {
                        format!("{released:?}")
                    })
                }
                Err(_) => "nothing".to_owned(),
            },
            Action::Complete { receipts, .. } => {
                let completed = backend.complete(&id, found.receipts(receipts)?).await;
                told("complete", completed, |outcomes| format!("{outcomes:?}"))
            }
            Action::Retry { now, retries, .. } => {
                let retries = retries.iter().filter_map(|pick| found.retry(pick));
                let retries = Retries::collect(retries)?;
                let retried = backend.retry(&id, at(*now), retries).await;
                told("retry", retried, |outcomes| format!("{outcomes:?}"))
            }
            Action::Revive { ids, .. } => {
                let revived = backend.revive(&id, found.ids(ids)?).await;
                told("revive", revived, |outcomes| format!("{outcomes:?}"))
            }
            Action::DeleteItems { ids, .. } => {
                let deleted = backend.delete_items(&id, found.ids(ids)?).await;
                told("delete_items", deleted, |outcomes| format!("{outcomes:?}"))
            }
            Action::Clear { states, max, .. } => {
                let states = States::of(states.iter().copied());
                let max = Count::clamped((*max).into());
                let cleared = backend.clear(&id, states, max).await;
                told("clear", cleared, |cleared| format!("{cleared:?}"))
            }
            Action::Maintain { now, .. } => {
                // All that is due: of two keys that are due at once nobody could see which one was freed.
                let maintained = backend.maintain(&id, at(*now), Count::MAX).await;
                told("maintain", maintained, |maintained| {
                    format!("{maintained:?}")
                })
            }
            Action::Restore { items, .. } => {
                let mut fresh = found.fresh();
                let entries = items
                    .iter()
                    .map(|item| self.restored(item, &found, &mut fresh))
                    .collect::<Result<Vec<_>>>()?;
                let batch = RestoreBatch::new(entries)?;
                let restored = backend.restore(&id, batch, Floors::none()).await;
                told("restore", restored, |()| "restored".to_owned())
            }
            _ => "nothing".to_owned(),
        })
    }

    async fn commit(
        &mut self,
        now: i64,
        checks: &[CheckPick],
        writes: &[WritePick],
        steps: &[StepPick],
    ) -> Result<String> {
        let mut request = CommitRequest::new(at(now));
        for check in checks {
            self.check(now, *check, &mut request).await?;
        }
        for write in writes {
            // A second write to a key is refused when it is added, on both sides alike (clause META-7).
            let _ = match write {
                WritePick::Put {
                    key,
                    bytes,
                    expires_at,
                } => {
                    let (namespace, key) = self.key(*key);
                    // Nobody else purges what expires; and what has always expired is seen by nobody but purge.
                    let expires_at = expires_at.filter(|_| self.lane == 0);
                    let expires_at = expires_at.map(|micros| at(micros.max(i64::MIN + 1)));
                    request.put(&namespace, &key, value(*bytes), expires_at)
                }
                WritePick::Delete(key) => {
                    let (namespace, key) = self.key(*key);
                    request.delete(&namespace, &key)
                }
            };
        }
        let mut produced_into = Vec::new();
        for step in steps {
            match step {
                StepPick::Produce(partition, items) => {
                    let id = self.partition(*partition);
                    request.produce(&id, self.batch(items))?;
                    produced_into.push(id);
                }
                StepPick::Complete(partition, picks) => {
                    let id = self.partition(*partition);
                    let found = Found(self.items(&id).await?);
                    request.complete(&id, found.receipts(picks)?)?;
                }
                StepPick::Delete(partition, picks) => {
                    let id = self.partition(*partition);
                    let found = Found(self.items(&id).await?);
                    request.delete_items(&id, found.ids(picks)?)?;
                }
            }
        }
        let entries = request.steps().iter().map(|step| match step {
            Step::Produce { batch, .. } => batch.len(),
            Step::Complete { receipts, .. } => receipts.len(),
            Step::Delete { ids, .. } => ids.len(),
        });
        let entries = request.checks().len() + request.writes().len() + entries.sum::<usize>();
        let outcome = self.backend.commit(request).await;
        Ok(told("commit", outcome, |outcome| match outcome {
            CommitOutcome::Committed(_) if entries == 0 => "nothing".to_owned(),
            CommitOutcome::Committed(committed) => {
                let version = committed.version.map(|one| format!("version:{one}"));
                self.shown.extend(version);
                let produced = produced_into.iter().zip(&committed.produced);
                let produced: Vec<_> = produced
                    .map(|(id, produced)| self.produced(id, produced))
                    .collect();
                format!("committed {produced:?}")
            }
            CommitOutcome::Refused(Refusal::Check { index, key, .. }) => {
                format!("refused by check {index} at {key}")
            }
            CommitOutcome::Refused(refusal) => format!("{refusal:?}"),
        }))
    }

    async fn check(&self, now: i64, check: CheckPick, request: &mut CommitRequest) -> Result<()> {
        match check {
            CheckPick::Absent(pick) => {
                let (namespace, key) = self.key(pick);
                request.check_absent(&namespace, &key)
            }
            CheckPick::Current(pick) | CheckPick::Known(pick, _) => {
                let (namespace, key) = self.key(pick);
                match self.backend.get(at(now), &namespace, &key).await? {
                    Some(entry) => request.check_version(&namespace, &key, entry.version),
                    None => request.check_absent(&namespace, &key),
                }
            }
            CheckPick::Range(pick, without) => {
                let (namespace, range) = (self.namespace(pick.namespace), key_range(pick));
                let scan = ScanRequest::new(namespace.clone(), range.clone());
                let mut found = self.backend.scan(at(now), scan).await?.items;
                let left_away = without.and_then(|rank| usize::from(rank).checked_rem(found.len()));
                left_away.map(|index| found.remove(index));
                let seen = found.into_iter().map(|entry| (entry.key, entry.version));
                request.check_range(&namespace, range, seen.collect())
            }
        }
    }

    fn partition(&self, pick: u8) -> PartitionId {
        let (queue, number) = PARTITIONS[usize::from(pick) % PARTITIONS.len()];
        partition_id(&format!("{} {queue}", self.lane), number)
    }

    fn namespace(&self, pick: u8) -> Namespace {
        let name = NAMESPACES[usize::from(pick) % NAMESPACES.len()];
        namespace(&format!("{} {name}", self.lane))
    }

    fn key(&self, pick: KeyPick) -> (Namespace, storage_api::Key) {
        (self.namespace(pick.namespace), key(pick.key))
    }

    /// Every item of a partition by id; none where it does not exist.
    async fn items(&self, id: &PartitionId) -> Result<Vec<ItemEntry>> {
        let request = ListRequest::by_id(States::ALL);
        match self.backend.list_items(id, request).await {
            Ok(page) => Ok(page.items),
            Err(error) if error.kind() == storage_api::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn batch(&mut self, items: &[Item]) -> ItemBatch {
        let mut batch = ItemBatch::new();
        for item in items {
            self.items_made += 1;
            // It says where it comes from, and has about the bytes that were asked for.
            let mut payload = format!("{}.{}.{}", self.lane, self.number, self.items_made);
            while payload.len() < item.bytes as usize {
                payload.push('.');
            }
            let new = new_item(item, payload.as_bytes());
            batch.push(new).expect("a small item is within the limits");
        }
        batch
    }

    fn produced(&mut self, id: &PartitionId, produced: &Produced) -> String {
        let outcomes: Vec<_> = produced
            .outcomes()
            .map(|outcome| match outcome {
                ProduceOutcome::Stored(item) => {
                    self.shown.push(format!("id:{id}:{item}"));
                    "stored".to_owned()
                }
                ProduceOutcome::Duplicate { state, .. } => format!("duplicate {state:?}"),
            })
            .collect();
        outcomes.join(", ")
    }

    fn restored(
        &mut self,
        restored: &Restored,
        found: &Found,
        fresh: &mut u64,
    ) -> Result<ItemEntry> {
        let mut number = || {
            *fresh += 1;
            *fresh
        };
        let taken = restored.id.and_then(|rank| ranked(&found.0, rank));
        let id = match taken {
            Some(entry) => entry.id,
            None => ItemId::new(number())?,
        };
        let mut item = restored.item.clone();
        let mut position = Position::new(number())?;
        if let PositionPick::Taken(rank) = restored.position {
            let placed: Vec<_> = found
                .0
                .iter()
                .filter(|one| one.state.position().is_some())
                .collect();
            if let Some(entry) = ranked(&placed, rank) {
                item.priority = entry.record.view().priority();
                position = entry.state.position().unwrap_or(position);
            }
        }
        let state = match restored.state {
            RestoredState::Ready => ItemState::Ready { position },
            RestoredState::Scheduled { at: micros } => ItemState::Scheduled {
                enqueue_at: at(micros),
            },
            RestoredState::Leased {
                deadline, holder, ..
            } => ItemState::Leased {
                position,
                lease: LeaseId::new(number())?,
                deadline: at(deadline),
                holder: Holder::new(holder).ok(),
            },
            RestoredState::Dead { reason, died_at } => ItemState::Dead {
                reason,
                died_at: at(died_at),
            },
        };
        let batch = self.batch(std::slice::from_ref(&item));
        let record = batch
            .seal(at(restored.created_at))
            .shared_record(0)
            .detached();
        let mut entry = ItemEntry::new(id, record, state);
        entry.attempts = restored.attempts;
        entry.note = restored.note.map(note);
        entry.is_revived = restored.is_revived;
        Ok(entry)
    }
}

/// The items of a partition, by id.
struct Found(Vec<ItemEntry>);

impl Found {
    fn in_state(&self, state: State) -> Vec<&ItemEntry> {
        let found = self.0.iter().filter(|entry| entry.state() == state);
        found.collect()
    }

    fn id(&self, pick: IdPick) -> Option<ItemId> {
        let any = |rank| ranked(&self.0, rank).map(|entry| entry.id);
        match pick {
            IdPick::In(state, rank) => {
                let found = self.in_state(state);
                ranked(&found, rank)
                    .map(|entry| entry.id)
                    .or_else(|| any(rank))
            }
            IdPick::Given(rank) => any(rank),
            IdPick::Never => ItemId::new(storage_api::limits::NUMBER_MAX).ok(),
        }
    }

    fn ids(&self, picks: &[IdPick]) -> Result<ItemIds> {
        ItemIds::collect(picks.iter().filter_map(|pick| self.id(*pick)))
    }

    /// A receipt that is valid, or one of an item and of another one's lease.
    fn receipt(&self, pick: ReceiptPick) -> Option<Receipt> {
        let leased = self.in_state(State::Leased);
        match pick {
            ReceiptPick::Valid(rank) => ranked(&leased, rank)?.receipt(),
            ReceiptPick::Given(rank) | ReceiptPick::Crossed(rank, _) => Some(Receipt {
                item: ranked(&self.0, rank)?.id,
                lease: ranked(&leased, rank)?.receipt()?.lease,
            }),
        }
    }

    fn receipts(&self, picks: &[ReceiptPick]) -> Result<Receipts> {
        Receipts::collect(picks.iter().filter_map(|pick| self.receipt(*pick)))
    }

    fn retry(&self, pick: &RetryPick) -> Option<Retry> {
        let to = match pick.to {
            To::Now => RetryTo::Now,
            To::At(micros) => RetryTo::At(at(micros)),
            To::Dead => RetryTo::Dead,
        };
        let mut retry = Retry::new(self.receipt(pick.receipt)?, to);
        retry.note = pick.note.map(note);
        Some(retry)
    }

    /// A number far above all that are seen.
    fn fresh(&self) -> u64 {
        let numbers = self.0.iter().flat_map(|entry| {
            let position = entry.state.position().map(Position::get);
            let lease = entry.receipt().map(|receipt| receipt.lease.get());
            [Some(entry.id.get()), position, lease]
        });
        numbers.flatten().max().unwrap_or(0) + DISTANCE
    }
}

/// The operation and its answer, or the kind of its refusal.
fn told<T>(operation: &str, answer: Result<T>, tell: impl FnOnce(T) -> String) -> String {
    match answer {
        Ok(answer) => format!("{operation}: {}", tell(answer)),
        Err(error) => refused(operation, &error),
    }
}

fn refused(operation: &str, error: &Error) -> String {
    format!("{operation}: refused, {}", error.kind())
}

fn partition_of(action: &Action) -> Option<u8> {
    match action {
        Action::Produce { partition, .. }
        | Action::Lease { partition, .. }
        | Action::Extend { partition, .. }
        | Action::Release { partition, .. }
        | Action::ReleaseHolder { partition, .. }
        | Action::Complete { partition, .. }
        | Action::Retry { partition, .. }
        | Action::Revive { partition, .. }
        | Action::DeleteItems { partition, .. }
        | Action::Clear { partition, .. }
        | Action::Maintain { partition, .. }
        | Action::Restore { partition, .. } => Some(*partition),
        _ => None,
    }
}
