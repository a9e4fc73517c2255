//! Wrong when calls overlap, or are dropped.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use storage_api::*;
use storage_conformance::reference::ReferenceBackend;
use storage_model::Model;
use tokio::task::yield_now;

use crate::asked::Parts;
use crate::edited::edited;
use crate::meeting::{Meeting, Patience};
use crate::mutant::{Mutant, Opened, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    [racing(), halves(), ordering()].concat()
}

fn race(
    name: &'static str,
    defect: &'static str,
    operations: &'static [Operation],
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        let inner = at.inner.clone();
        Arc::new(Racing {
            inner,
            at,
            operations,
            meeting: Meeting::default(),
        })
    };
    Mutant::new(name, defect, wrap, caught_by)
}

fn racing() -> Vec<Mutant> {
    vec![
        race(
            "leasing_looks_and_then_takes",
            "What is ready is read, and marked as taken afterwards: two may take it (RabbitMQ, issue 3064).",
            &[Operation::Lease],
            &["concurrency::no_item_is_leased_to_two_at_once"],
        ),
        race(
            "producing_reads_the_last_id_and_then_writes",
            "The next id is read before the batch is written.",
            &[Operation::Produce],
            &[
                "concurrency::a_dropped_call_disturbs_nobody_else",
                "concurrency::ids_stay_whole_when_many_produce",
                "concurrency::one_of_many_items_with_a_key_is_stored",
            ],
        ),
        race(
            "ending_a_lease_looks_and_then_acts",
            "A receipt is compared, and used afterwards: it may be used twice.",
            &[Operation::Complete, Operation::Release, Operation::Retry],
            &[
                "concurrency::a_receipt_is_used_once_whoever_uses_it",
                "concurrency::one_of_many_completions_of_a_receipt_is_done",
            ],
        ),
        race(
            "maintaining_works_on_a_copy",
            "What is due is read, and written back afterwards, whatever came in between (River, issue 1302).",
            &[Operation::Maintain],
            &["concurrency::what_is_due_is_handled_once_by_many_maintainers"],
        ),
        race(
            "extending_and_maintaining_work_on_copies",
            "A deadline is compared with one that was read earlier (etcd, issue 15247).",
            &[Operation::Maintain, Operation::Extend],
            &["concurrency::maintain_takes_nothing_from_a_holder_who_extends"],
        ),
        race(
            "creating_looks_and_then_makes",
            "Whether a name is free is asked before, not while it is taken.",
            &[Operation::CreatePartition],
            &["concurrency::one_of_many_creations_makes_the_partition"],
        ),
        race(
            "commits_check_and_then_write",
            "Checks are looked at, and the writes follow in a second step.",
            &[Operation::Commit],
            &[
                "concurrency::no_write_between_two_commits_is_lost",
                "concurrency::two_checked_transactions_do_not_cross",
            ],
        ),
        Mutant::new(
            "a_commit_is_done_step_by_step",
            "Each step of a commit applies for itself, and others see what lies between.",
            StepByStep::wrap,
            &[
                "concurrency::a_close_behind_a_dropped_call_keeps_it_whole",
                "concurrency::a_commit_over_partitions_is_never_seen_half",
                "concurrency::a_dropped_call_is_applied_wholly_or_not_at_all",
            ],
        ),
        Mutant::new(
            "deleting_a_partition_lets_late_items_in",
            "Whoever found the partition before it went stores into it afterwards, and makes it anew.",
            Resurrects::wrap,
            &["concurrency::a_partition_deleted_under_load_takes_everything_along"],
        ),
        Mutant::new(
            "an_answer_is_given_to_another",
            "The answers of calls that share a write are mixed up: one that was done is told to be lost.",
            MixesAnswers::wrap,
            &["concurrency::items_that_are_produced_and_completed_at_once_all_pass_through"],
        ),
        Mutant::new(
            "counters_are_written_without_a_lock",
            "Statistics are added to by each call for itself, and a sum is lost where two meet.",
            LosesSums::wrap,
            &["concurrency::statistics_are_right_after_everything_at_once"],
        ),
    ]
}

/// Operations that read everything, meet another, and write everything back.
#[derive(Debug)]
struct Racing {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    operations: &'static [Operation],
    meeting: Meeting,
}

impl Racing {
    async fn race<T>(
        &self,
        operation: Operation,
        sound: impl Future<Output = Result<T>> + Send,
        wrong: impl FnOnce(&mut Model) -> Result<T> + Send,
    ) -> Result<T> {
        if !self.operations.contains(&operation) {
            return sound.await;
        }
        let before = self.inner.contents();
        let _turn = self.meeting.after_reading().await;
        let mut model = Model::of(before.clone());
        let answer = wrong(&mut model)?;
        self.at.fired.fire_if(self.inner.contents() != before);
        self.inner
            .edit(|contents| *contents = model.contents().clone());
        Ok(answer)
    }
}

#[async_trait]
impl PartitionStore for Racing {
    forward_backend!(PartitionStore => inner, except [create_partition, maintain]);

    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let sound = self.inner.create_partition(id, config.clone());
        self.race(Operation::CreatePartition, sound, |model| {
            model.create_partition(id, config)
        })
        .await
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        let sound = self.inner.maintain(id, now, items_max);
        self.race(Operation::Maintain, sound, |model| {
            model.maintain(id, now, items_max)
        })
        .await
    }
}

#[async_trait]
impl ItemStore for Racing {
    forward_backend!(ItemStore => inner, except [produce, lease, extend, release, complete, retry]);

    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let sound = self.inner.produce(partition, batch.clone());
        self.race(Operation::Produce, sound, |model| {
            model.produce(partition, batch)
        })
        .await
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let sound = self.inner.lease(partition, request);
        self.race(Operation::Lease, sound, |model| {
            model.lease(partition, request)
        })
        .await
    }

    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        let sound = self.inner.extend(partition, receipts.clone(), deadline);
        self.race(Operation::Extend, sound, |model| {
            model.extend(partition, receipts, deadline)
        })
        .await
    }

    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        let sound = self.inner.release(partition, receipts.clone());
        self.race(Operation::Release, sound, |model| {
            model.release(partition, receipts)
        })
        .await
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        let sound = self.inner.complete(partition, receipts.clone());
        self.race(Operation::Complete, sound, |model| {
            model.complete(partition, receipts)
        })
        .await
    }

    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        let sound = self.inner.retry(partition, now, retries.clone());
        self.race(Operation::Retry, sound, |model| {
            model.retry(partition, now, retries)
        })
        .await
    }
}

forward_backend!(impl MetadataStore for Racing => inner);

#[async_trait]
impl StorageBackend for Racing {
    forward_backend!(StorageBackend => inner, except [commit]);

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        let sound = self.inner.commit(request.clone());
        self.race(Operation::Commit, sound, |model| model.commit(request))
            .await
    }
}

wrong! {
    /// Applies the steps of a sound commit one after the other.
    StepByStep { looks: AtomicU64, is_seen: AtomicBool, patience: Patience }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let stats = self.inner.stats(id).await;
            self.looks.fetch_add(1, Ordering::AcqRel);
            stats
        }
    }
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let mut tried = Model::of(self.inner.contents());
            let outcome = tried.commit(request.clone())?;
            let mut parts = Parts::of(&request);
            if !matches!(outcome, CommitOutcome::Committed(_)) || parts.steps.len() < 2 {
                return self.inner.commit(request).await;
            }
            let steps = std::mem::take(&mut parts.steps);
            let mut committed = Committed::default();
            for step in steps {
                let alone = Parts { now: parts.now, checks: Vec::new(), writes: Vec::new(), steps: vec![step] };
                if let CommitOutcome::Committed(one) = self.inner.commit(alone.request()).await? {
                    committed.produced.extend(one.produced);
                }
                self.at.fire();
                // Until somebody has looked at one partition and then at another, once; the first may have looked before.
                let looks = self.looks.load(Ordering::Acquire);
                let is_seen = || self.looks.load(Ordering::Acquire) - looks >= 4;
                if !self.is_seen.load(Ordering::Acquire) && self.patience.until(is_seen).await {
                    self.is_seen.store(true, Ordering::Release);
                }
            }
            if let CommitOutcome::Committed(one) = self.inner.commit(parts.request()).await? {
                committed.version = one.version;
            }
            Ok(CommitOutcome::Committed(committed))
        }
    }
}

wrong! {
    /// What a busy partition held is there again when it is made again.
    Resurrects
    PartitionStore [create_partition, delete_partition] {
        async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
            let info = self.inner.create_partition(id, config).await?;
            if let Some(late) = self.at.deleted(id) {
                self.at.edit(|contents| {
                    let mut partitions = contents.partitions.iter_mut();
                    if let Some(found) = partitions.find(|one| one.info.id == *id) {
                        found.items.extend(late.items.into_iter().skip(19));
                    }
                });
            }
            Ok(info)
        }
        async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
            self.at.keep(id);
            self.inner.delete_partition(id).await
        }
    }
}

wrong! {
    /// Tells once of a completion that it was lost.
    MixesAnswers { has_mixed: AtomicBool }
    ItemStore [complete] {
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let mut outcomes = self.inner.complete(partition, receipts).await?;
            if let Some(last) = outcomes.last_mut()
                && self.at.fired.fire_if(!self.has_mixed.swap(true, Ordering::AcqRel))
            {
                *last = CompleteOutcome::LeaseLost;
            }
            Ok(outcomes)
        }
    }
}

wrong! {
    /// One in some calls is not counted.
    LosesSums
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let contents = self.inner.contents();
            let has_worked = contents.partitions.iter().any(|one| one.info.id == *id && one.last_id > 100);
            if self.at.fired.fire_if(has_worked) {
                stats.dead.items += 1;
            }
            Ok(stats)
        }
    }
}

fn halves() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "a_dropped_call_is_half_done",
            "A call waits between its items: dropped there, it has done half.",
            Halves::wrap,
            &[
                "concurrency::a_lease_that_was_dropped_is_taken_back",
                "concurrency::every_operation_may_be_dropped_at_every_poll",
            ],
        ),
        Mutant::new(
            "a_dropped_call_goes_on",
            "A call runs in a task of its own, which its caller's end does not reach, and which nobody waits for.",
            GoesOn::wrap,
            &["concurrency::a_dropped_call_is_settled_before_the_next_begins"],
        ),
    ]
}

/// The first of a list, and the rest.
fn split<T: Clone>(list: &Bounded<T>) -> (Bounded<T>, Bounded<T>) {
    let first = Bounded::collect(list.iter().take(1).cloned()).expect("no more than it was");
    let rest = Bounded::collect(list.iter().skip(1).cloned()).expect("no more than it was");
    (first, rest)
}

wrong! {
    /// Completes, leases and produces in two steps.
    Halves
    ItemStore [produce, lease, complete] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            if batch.len() < 2 || batch.records().any(|view| view.dedup_key().is_some()) {
                return self.inner.produce(partition, batch).await;
            }
            let (mut first, mut rest) = (ItemBatch::new(), ItemBatch::new());
            for (index, view) in batch.records().enumerate() {
                let item = NewItem::new(view.payload().unwrap_or_default());
                if index == 0 { first.push(item)? } else { rest.push(item)? };
            }
            let one = self.inner.produce(partition, first.seal(batch.now())).await?;
            self.at.fire();
            yield_now().await;
            let others = self.inner.produce(partition, rest.seal(batch.now())).await?;
            Ok(Produced::new(one.ids().next(), one.len() + others.len(), Vec::new()))
        }
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            let mut one = request;
            one.items_max = Count::ONE;
            if request.items_max == Count::ONE {
                return self.inner.lease(partition, request).await;
            }
            self.inner.lease(partition, one).await?;
            self.at.fire();
            yield_now().await;
            self.inner.lease(partition, request).await
        }
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let (first, rest) = split(&receipts);
            let mut outcomes = self.inner.complete(partition, first).await?;
            self.at.fire();
            yield_now().await;
            outcomes.extend(self.inner.complete(partition, rest).await?);
            Ok(outcomes)
        }
    }
}

wrong! {
    /// Completes in a task that takes its time.
    GoesOn
    ItemStore [complete] {
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let (inner, id) = (self.inner.clone(), partition.clone());
            self.at.fire();
            let task = tokio::spawn(async move {
                for _ in 0..20 {
                    yield_now().await;
                }
                inner.complete(&id, receipts).await
            });
            task.await.expect("it does not panic")
        }
    }
}

fn ordering() -> Vec<Mutant> {
    vec![edited(
        "items_overtake_each_other",
        "Positions are given out in blocks that are used up in another order than they were taken.",
        &[Operation::Produce],
        |scene| {
            scene.partitions(|_, now| {
                let len = now.items.len();
                if len < 2 || !now.last_id.is_multiple_of(3) {
                    return;
                }
                let (a, b) = (now.items[len - 2].state, now.items[len - 1].state);
                if let (ItemState::Ready { .. }, ItemState::Ready { .. }) = (&a, &b) {
                    now.items[len - 2].state = b;
                    now.items[len - 1].state = a;
                }
            });
        },
        &[
            "concurrency::calls_that_do_not_overlap_keep_the_order",
            "concurrency::items_are_leased_in_order_while_others_produce",
        ],
    )]
}
