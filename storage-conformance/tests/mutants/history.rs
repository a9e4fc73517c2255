//! Mutants of concurrency: each call by itself is right, and two at once are not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use storage_api::*;
use storage_model::{Contents, Model};
use tokio::task::yield_now;

use crate::meeting::{Meeting, Patience};
use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "a_lease_reads_and_then_writes",
            "A lease looks for ready items without the lock, and takes what it found: two find the same.",
            LooksFirst::wrap,
            &[
                "history::calls_on_one_partition_have_an_order",
                "history::calls_on_one_partition_that_take_turns_have_an_order",
            ],
        ),
        Mutant::new(
            "a_commit_applies_in_two_steps",
            "The metadata of a commit is written before its items: whoever looks in between sees half, and half stays where the \
             items are refused.",
            TwoSteps::wrap,
            &[
                "history::commits_over_partitions_have_an_order_with_all_else",
                "history::commits_over_partitions_that_take_turns_have_an_order_with_all_else",
            ],
        ),
        Mutant::new(
            "checks_hold_before_the_writes",
            "The checks of a commit are judged under one lock and its writes are done under another: two that contradict each \
             other both commit.",
            ChecksFirst::wrap,
            &[
                "history::transactions_are_serializable",
                "history::transactions_that_take_turns_are_serializable",
                "history::of_two_who_check_what_the_other_writes_one_commits",
            ],
        ),
        Mutant::new(
            "entries_of_a_commit_are_written_one_by_one",
            "The entries of a commit are written under a lock each, with its one version: whoever reads meanwhile has some of them.",
            OneByOne::wrap,
            &["history::reads_that_hold_are_of_one_instant"],
        ),
        Mutant::new(
            "statistics_are_cached",
            "Statistics are counted at every third call and shown again in between.",
            CachedStats::wrap,
            &[
                "history::calls_on_one_partition_have_an_order",
                "history::calls_on_one_partition_that_take_turns_have_an_order",
            ],
        ),
        Mutant::new(
            "maintain_handles_one_after_the_other",
            "Maintenance gives up its lock after each item: others see the half of it, and it handles what came due meanwhile.",
            OneAtATime::wrap,
            &["history::calls_on_one_partition_that_take_turns_have_an_order"],
        ),
        Mutant::new(
            "updates_look_and_then_write",
            "The revision of a partition is compared before the lock is taken: the configuration of another is lost.",
            ComparesFirst::wrap,
            &["history::partitions_that_come_and_go_by_turns_have_an_order"],
        ),
        Mutant::new(
            "partitions_are_listed_from_a_cache",
            "The list of partitions is read once and again only after three calls.",
            CachedList::wrap,
            &[
                "history::partitions_that_come_and_go_have_an_order",
                "history::partitions_that_come_and_go_by_turns_have_an_order",
            ],
        ),
        Mutant::new(
            "a_commit_leaves_out_what_is_gone",
            "A commit does nothing to a partition that is not there, and all the rest, instead of refusing the whole.",
            LeavesOut::wrap,
            &[
                "history::partitions_that_come_and_go_have_an_order",
                "history::partitions_that_come_and_go_by_turns_have_an_order",
            ],
        ),
        Mutant::new(
            "a_commit_stores_into_what_was_deleted",
            "A commit reads the records of its partitions before it takes the lock, and writes them whole: one that was deleted \
             meanwhile is there again.",
            BringsBack::wrap,
            &["history::partitions_that_come_and_go_by_turns_have_an_order"],
        ),
        Mutant::new(
            "dropped_calls_go_on",
            "A produce works in a task of its own, which goes on when the caller has gone: the next call does not see it, and a \
             later one does.",
            GoesOn::wrap,
            &[
                "history::dropped_calls_have_a_place_in_the_order_or_none",
                "history::dropped_calls_that_take_turns_have_a_place_in_the_order_or_none",
            ],
        ),
    ]
}

wrong! {
    /// See `a_lease_reads_and_then_writes`.
    LooksFirst { meeting: Meeting }
    ItemStore [lease] {
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            let before = self.inner.contents();
            let found = Model::of(before.clone()).lease(partition, request)?;
            if found.is_empty() {
                return Ok(found);
            }
            let _turn = self.meeting.after_reading().await;
            let mut batch = LeasedBatch::new(request.deadline, request.holder);
            let mut is_changed = false;
            self.inner.edit(|contents| {
                is_changed = *contents != before;
                for item in found.iter() {
                    contents.last_lease += 1;
                    let lease = LeaseId::new(contents.last_lease).expect("few leases");
                    let record = take(contents, partition, &item.to_entry(), lease);
                    let new = NewLease {
                        item: item.id(),
                        lease,
                        position: item.position(),
                        attempts: item.attempts(),
                        is_revived: item.to_entry().is_revived,
                    };
                    batch.push(new, &record, item.note());
                }
            });
            self.at.fired.fire_if(is_changed);
            Ok(batch)
        }
    }
}

/// Overwrites an item with what was found before, under another lease.
fn take(
    contents: &mut Contents,
    id: &PartitionId,
    found: &ItemEntry,
    new_lease: LeaseId,
) -> Record {
    let items = contents.partitions.iter_mut();
    let items = items
        .filter(|one| one.info.id == *id)
        .flat_map(|one| &mut one.items);
    for item in items.filter(|item| item.id == found.id) {
        *item = found.clone();
        if let ItemState::Leased { lease, .. } = &mut item.state {
            *lease = new_lease;
        }
    }
    found.record.clone()
}

/// A commit of some parts of another.
fn part_of(
    request: &CommitRequest,
    checks: &[Check],
    has_writes: bool,
    has_steps: bool,
) -> CommitRequest {
    let mut part = CommitRequest::new(request.now());
    for check in checks {
        let added = match check.clone() {
            Check::Absent { namespace, key } => part.check_absent(&namespace, &key),
            Check::Version {
                namespace,
                key,
                version,
            } => part.check_version(&namespace, &key, version),
            Check::Range {
                namespace,
                range,
                seen,
            } => part.check_range(&namespace, range, seen),
        };
        added.expect("a part is not larger than the whole");
    }
    for one in request.writes().iter().filter(|_| has_writes) {
        write(&mut part, one);
    }
    for one in request.steps().iter().filter(|_| has_steps) {
        step(&mut part, one);
    }
    part
}

fn step(request: &mut CommitRequest, step: &Step) {
    let added = match step.clone() {
        Step::Produce { partition, batch } => request.produce(&partition, unsealed(&batch)),
        Step::Complete {
            partition,
            receipts,
        } => request.complete(&partition, receipts),
        Step::Delete { partition, ids } => request.delete_items(&partition, ids),
    };
    added.expect("a part is not larger than the whole");
}

fn write(request: &mut CommitRequest, write: &Write) {
    let added = match write.clone() {
        Write::Put {
            namespace,
            key,
            value,
            expires_at,
        } => request.put(&namespace, &key, value, expires_at),
        Write::Delete { namespace, key } => request.delete(&namespace, &key),
    };
    added.expect("a part is not larger than the whole");
}

/// The items of a sealed batch, to be sealed again.
fn unsealed(batch: &SealedBatch) -> ItemBatch {
    let mut items = ItemBatch::new();
    for record in batch.records() {
        let payload = record.payload().expect("a produced record is whole");
        let mut item = NewItem::new(payload)
            .kind(record.attributes().kind)
            .encoding(record.attributes().encoding)
            .reference(record.attributes().reference)
            .priority(record.priority())
            .attempts_max(record.attempts_max());
        if let Some(key) = record.dedup_key() {
            item = item.dedup_key(key);
        }
        if let Some(at) = record.enqueue_at() {
            item = item.enqueue_at(at);
        }
        if let Some(at) = record.expire_at() {
            item = item.expire_at(at);
        }
        items
            .push(item)
            .expect("a part is not larger than the whole");
    }
    items
}

wrong! {
    /// See `a_commit_applies_in_two_steps`.
    TwoSteps
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            if request.writes().is_empty() || request.steps().is_empty() {
                return self.inner.commit(request).await;
            }
            let metadata = part_of(&request, request.checks(), true, false);
            let metadata = match self.inner.commit(metadata).await? {
                CommitOutcome::Committed(committed) => committed,
                refused => return Ok(refused),
            };
            self.at.fire();
            yield_now().await;
            Ok(match self.inner.commit(part_of(&request, &[], false, true)).await? {
                CommitOutcome::Committed(mut committed) => {
                    committed.version = metadata.version;
                    CommitOutcome::Committed(committed)
                }
                refused => refused,
            })
        }
    }
}

wrong! {
    /// See `checks_hold_before_the_writes`.
    ChecksFirst { committed: AtomicU64, meeting: Meeting }
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            if request.checks().is_empty() || request.writes().is_empty() {
                let outcome = self.inner.commit(request).await;
                self.committed.fetch_add(1, Ordering::AcqRel);
                return outcome;
            }
            let before = self.committed.load(Ordering::Acquire);
            let checks = part_of(&request, request.checks(), false, false);
            if let refused @ CommitOutcome::Refused(_) = self.inner.commit(checks).await? {
                return Ok(refused);
            }
            let _turn = self.meeting.after_reading().await;
            self.at.fired.fire_if(self.committed.load(Ordering::Acquire) != before);
            let outcome = self.inner.commit(part_of(&request, &[], true, true)).await;
            self.committed.fetch_add(1, Ordering::AcqRel);
            outcome
        }
    }
}

wrong! {
    /// See `entries_of_a_commit_are_written_one_by_one`.
    OneByOne { looks: AtomicU64, is_seen: AtomicBool, patience: Patience }
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let [_, rest @ ..] = request.writes() else {
                let outcome = self.inner.commit(request).await;
                self.looks.fetch_add(1, Ordering::AcqRel);
                return outcome;
            };
            let mut first = part_of(&request, request.checks(), false, true);
            write(&mut first, &request.writes()[0]);
            let outcome = self.inner.commit(first).await?;
            let CommitOutcome::Committed(committed) = &outcome else {
                return Ok(outcome);
            };
            for next in rest {
                self.at.fire();
                // Until one of three readers has begun and ended its reads, once.
                let looks = self.looks.load(Ordering::Acquire);
                let is_seen = || self.looks.load(Ordering::Acquire) - looks >= 7;
                if !self.is_seen.load(Ordering::Acquire) && self.patience.until(is_seen).await {
                    self.is_seen.store(true, Ordering::Release);
                }
                let mut one = CommitRequest::new(request.now());
                write(&mut one, next);
                if let CommitOutcome::Committed(later) = self.inner.commit(one).await? {
                    self.inner.edit(|contents| {
                        for there in &mut contents.metadata {
                            if Some(there.entry.version) == later.version {
                                there.entry.version = committed.version.expect("it writes");
                            }
                        }
                    });
                }
            }
            Ok(outcome)
        }
    }
}

wrong! {
    /// See `statistics_are_cached`.
    CachedStats { counted: Mutex<HashMap<PartitionId, (PartitionStats, u32)>> }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let now = self.inner.stats(id).await?;
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            let (shown, times) = counted.entry(id.clone()).or_insert((now, 0));
            *times += 1;
            if *times % 3 == 0 {
                *shown = now;
            }
            self.at.fired.fire_if(*shown != now);
            Ok(*shown)
        }
    }
}

wrong! {
    /// See `maintain_handles_one_after_the_other`.
    OneAtATime
    PartitionStore [maintain] {
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            let one = Count::new(1).expect("within the limit");
            let mut sum = self.inner.maintain(id, now, one).await?;
            while sum.more && sum.handled() < items_max.get() {
                self.at.fire();
                yield_now().await;
                let next = self.inner.maintain(id, now, one).await?;
                sum.ready += next.ready;
                sum.expired += next.expired;
                sum.attempts_exhausted += next.attempts_exhausted;
                sum.dropped += next.dropped;
                sum.keys_freed += next.keys_freed;
                (sum.more, sum.next_due) = (next.more, next.next_due);
            }
            Ok(sum)
        }
    }
}

wrong! {
    /// See `updates_look_and_then_write`.
    ComparesFirst
    PartitionStore [update_partition] {
        async fn update_partition(
            &self,
            id: &PartitionId,
            expected: Option<Version>,
            config: PartitionConfig,
        ) -> Result<UpdateOutcome> {
            let found = self.inner.partition(id).await;
            let found = found.map_err(|error| error.during(Operation::UpdatePartition, id))?.revision;
            if expected.is_some_and(|expected| expected != found) {
                return Ok(UpdateOutcome::Conflict(found));
            }
            yield_now().await;
            let is_same = self.inner.partition(id).await.is_ok_and(|info| info.revision == found);
            self.at.fired.fire_if(!is_same && expected.is_some());
            self.inner.update_partition(id, None, config).await
        }
    }
}

wrong! {
    /// See `partitions_are_listed_from_a_cache`.
    CachedList { listed: Mutex<Option<(Page<PartitionInfo>, u32)>> }
    PartitionStore [list_partitions] {
        async fn list_partitions(
            &self,
            after: Option<&Cursor>,
            partitions_max: Count,
        ) -> Result<Page<PartitionInfo>> {
            let now = self.inner.list_partitions(after, partitions_max).await?;
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            let (shown, times) = listed.get_or_insert((now.clone(), 0));
            *times += 1;
            if *times % 3 == 0 {
                *shown = now.clone();
            }
            self.at.fired.fire_if(*shown != now);
            Ok(shown.clone())
        }
    }
}

wrong! {
    /// See `a_commit_leaves_out_what_is_gone`.
    LeavesOut
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let there = self.inner.contents().partitions;
            let is_there = |one: &&Step| there.iter().any(|there| there.info.id == *one.partition());
            let mut rest = part_of(&request, request.checks(), true, false);
            for one in request.steps().iter().filter(is_there) {
                step(&mut rest, one);
            }
            self.at.fired.fire_if(rest.steps().len() < request.steps().len());
            self.inner.commit(rest).await
        }
    }
}

wrong! {
    /// See `a_commit_stores_into_what_was_deleted`.
    BringsBack
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let mut read = self.inner.contents().partitions;
            read.retain(|one| request.steps().iter().any(|step| *step.partition() == one.info.id));
            // Enough turns of others that one of them deletes it.
            for _ in 0..8 {
                yield_now().await;
            }
            self.at.edit(|contents| {
                let there: Vec<_> = contents.partitions.iter().map(|there| there.info.id.clone()).collect();
                read.retain(|one| !there.contains(&one.info.id));
                contents.partitions.append(&mut read);
                contents.partitions.sort_by(|one, other| one.info.id.cmp(&other.info.id));
            });
            self.inner.commit(request).await
        }
    }
}

wrong! {
    /// See `dropped_calls_go_on`.
    GoesOn
    ItemStore [produce] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            let (inner, partition) = (self.inner.clone(), partition.clone());
            let working = tokio::spawn(async move {
                for _ in 0..8 {
                    yield_now().await;
                }
                inner.produce(&partition, batch).await
            });
            // Counts the callers who went before it was done.
            let gone = Gone(self.at.fired.clone());
            let answer = working.await.expect("the reference does not panic");
            std::mem::forget(gone);
            answer
        }
    }
}

struct Gone(crate::mutant::Fired);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fire();
    }
}
