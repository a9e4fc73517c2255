//! Wrong about signals: nobody is woken.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use storage_api::*;
use storage_conformance::reference::{ReferenceBackend, ReferenceHarness};
use storage_model::Partition;

use crate::hooked::{Call, hooked};
use crate::mutant::{Mutant, Opened, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    [operations(), masking(), endings(), watchers()].concat()
}

/// A partition before and after an operation that succeeded.
struct Done<'a> {
    operation: Operation,
    before: &'a Partition,
    after: &'a Partition,
}

impl Done<'_> {
    fn is(&self, operation: Operation) -> bool {
        self.operation == operation
    }

    fn due(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.before.stats().next_due, self.after.stats().next_due)
    }

    /// Whether more is ready than was.
    fn has_made_ready(&self) -> bool {
        self.after.stats().ready.items > self.before.stats().ready.items
    }
}

/// Whether nobody is woken by that.
type Mute = fn(&Done<'_>) -> bool;

/// What the end of a partition, or of the backend, does to those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Every wait ends.
    Wakes,
    /// Only those who wait then are woken.
    Once,
    /// Nobody is woken.
    Silent,
}

#[derive(Clone, Copy)]
struct Rules {
    mute: Mute,
    deletion: End,
    closing: End,
    /// Of so many firings one is lost; 0 is none.
    loses_one_in: u64,
}

const SOUND: Rules = Rules {
    mute: |_| false,
    deletion: End::Wakes,
    closing: End::Wakes,
    loses_one_in: 0,
};

fn signalling(
    name: &'static str,
    defect: &'static str,
    rules: Rules,
    caught_by: &'static [&'static str],
) -> Mutant {
    over(ReferenceHarness::new(), name, defect, rules, caught_by)
}

fn over(
    reference: ReferenceHarness,
    name: &'static str,
    defect: &'static str,
    rules: Rules,
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        Arc::new(Signalling {
            inner: at.inner.clone(),
            at,
            rules,
            hubs: Arc::default(),
            firings: AtomicU64::new(0),
        })
    };
    Mutant::over(reference, name, defect, wrap, caught_by)
}

/// The reference with signals of its own.
struct Signalling {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    rules: Rules,
    hubs: Arc<Mutex<HashMap<PartitionId, SignalHub>>>,
    firings: AtomicU64,
}

impl std::fmt::Debug for Signalling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signalling")
    }
}

impl Signalling {
    async fn around<T>(
        &self,
        call: Call,
        run: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let before = self.inner.contents();
        let answer = run.await?;
        let after = self.inner.contents();
        let mut hubs = self.hubs.lock().expect("nobody panics with it");
        if let (Operation::DeletePartition, Some(id)) = (call.operation, &call.partition) {
            match self.rules.deletion {
                End::Wakes => drop(hubs.remove(id)),
                End::Once => hubs.get(id).into_iter().for_each(SignalHub::fire),
                End::Silent => {}
            }
            self.at.fired.fire_if(self.rules.deletion != End::Wakes);
            return Ok(answer);
        }
        for (id, hub) in hubs.iter() {
            let same = |one: &&Partition| one.info.id == *id;
            let (Some(before), Some(after)) = (
                before.partitions.iter().find(same),
                after.partitions.iter().find(same),
            ) else {
                continue;
            };
            if before == after {
                continue;
            }
            // Another opening has signals of its own.
            self.at.fired.fire_if(self.at.opening > 1);
            let operation = call.operation;
            let firing = self.firings.fetch_add(1, Ordering::Relaxed);
            let is_lost =
                self.rules.loses_one_in != 0 && firing.is_multiple_of(self.rules.loses_one_in);
            if !self.at.fired.fire_if(
                is_lost
                    || (self.rules.mute)(&Done {
                        operation,
                        before,
                        after,
                    }),
            ) {
                hub.fire();
            }
        }
        // A second opening has nobody who watches through it, and wakes nobody.
        self.at
            .fired
            .fire_if(self.at.opening > 1 && hubs.is_empty());
        Ok(answer)
    }
}

hooked!(Signalling {
    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        self.inner.watch(id).await?;
        let mut hubs = self.hubs.lock().expect("nobody panics with it");
        Ok(hubs.entry(id.clone()).or_default().watch())
    }
} {
    forward_backend!(StorageBackend => inner, except [commit, health, usage, sync, close]);

    async fn close(&self) -> Result<()> {
        self.inner.close().await?;
        match self.rules.closing {
            End::Wakes => self.hubs.lock().expect("nobody panics with it").clear(),
            _ => {
                // They outlive the backend, as those of a driver do whose tasks go on.
                std::mem::forget(self.hubs.clone());
                self.at.fire();
            }
        }
        Ok(())
    }
});

fn operations() -> Vec<Mutant> {
    let silent = |name, defect, mute, caught_by| {
        signalling(name, defect, Rules { mute, ..SOUND }, caught_by)
    };
    vec![
        silent(
            "produce_wakes_nobody",
            "Consumers are woken by time alone.",
            |done| done.is(Operation::Produce),
            &[
                "signals::a_consumer_that_looks_then_waits_misses_nothing",
                "signals::a_wait_that_was_given_up_takes_no_firing_along",
                "signals::produce_wakes",
                "signals::what_happens_between_a_look_and_a_wait_wakes",
            ],
        ),
        silent(
            "release_wakes_nobody",
            "What is given back waits for the next item to be produced.",
            |done| {
                matches!(
                    done.operation,
                    Operation::Release | Operation::ReleaseHolder
                )
            },
            &[
                "signals::a_release_wakes_a_consumer_that_sleeps",
                "signals::release_of_a_holder_wakes",
                "signals::release_wakes",
            ],
        ),
        silent(
            "retry_wakes_nobody",
            "A job that is started again does not notify the workers (openQA, pull 882).",
            |done| done.is(Operation::Retry),
            &[
                "signals::a_retry_wakes_a_consumer_that_sleeps",
                "signals::retry_at_a_time_wakes",
                "signals::retry_now_wakes",
            ],
        ),
        silent(
            "revive_wakes_nobody",
            "Reviving is an operation of the administrator, whom nobody waits for.",
            |done| done.is(Operation::Revive),
            &["signals::revive_wakes"],
        ),
        silent(
            "restore_wakes_nobody",
            "Restoring writes past the queue.",
            |done| done.is(Operation::Restore),
            &["signals::restore_wakes"],
        ),
        silent(
            "commit_wakes_nobody",
            "A commit writes past the queue.",
            |done| done.is(Operation::Commit),
            &["signals::a_commit_that_produces_wakes"],
        ),
        silent(
            "maintain_wakes_nobody",
            "Who maintains is taken for the one who leases.",
            |done| done.is(Operation::Maintain),
            &[
                "signals::a_scheduled_item_wakes_a_consumer_that_sleeps",
                "signals::an_expired_lease_wakes_a_consumer_that_sleeps",
                "signals::maintain_wakes_for_what_became_ready",
                "signals::taking_a_lease_back_wakes",
            ],
        ),
        silent(
            "lease_wakes_nobody",
            "A lease makes nothing ready.",
            |done| done.is(Operation::Lease),
            &["signals::a_lease_wakes_for_its_deadline"],
        ),
        silent(
            "extend_wakes_nobody",
            "An extension is taken to be later.",
            |done| done.is(Operation::Extend),
            &["signals::an_extension_to_an_earlier_time_wakes"],
        ),
        silent(
            "complete_wakes_nobody",
            "Completing makes nothing ready.",
            |done| done.is(Operation::Complete),
            &["signals::a_key_that_begins_to_linger_wakes"],
        ),
        silent(
            "updates_wake_nobody",
            "A partition that is opened again is found at the next item.",
            |done| done.is(Operation::UpdatePartition),
            &["signals::opening_a_partition_again_wakes"],
        ),
        over(
            ReferenceHarness::shared(),
            "other_openings_wake_nobody",
            "Signals are kept in the process.",
            SOUND,
            &["signals::another_opening_wakes"],
        ),
    ]
}

fn masking() -> Vec<Mutant> {
    let silent = |name, defect, mute, caught_by| {
        signalling(name, defect, Rules { mute, ..SOUND }, caught_by)
    };
    vec![
        silent(
            "only_ready_items_wake",
            "What is for later wakes nobody, who then sleeps past it.",
            |done| !done.has_made_ready(),
            &[
                "signals::a_ready_item_wakes_where_an_earlier_due_time_woke_before",
                "signals::produce_for_later_wakes",
            ],
        ),
        silent(
            "only_the_first_due_time_wakes",
            "A nearer time does not shorten a sleep that has begun (BullMQ, pull 2242).",
            |done| !done.has_made_ready() && done.due().0.is_some(),
            &["signals::an_earlier_item_wakes_those_who_wait_for_a_later_one"],
        ),
        silent(
            "a_due_time_masks_what_is_ready",
            "While something is due later, what is ready wakes nobody (BullMQ, pull 2389).",
            |done| done.due().0.is_some() && done.has_made_ready(),
            &["signals::a_release_wakes_a_consumer_that_sleeps"],
        ),
        signalling(
            "every_second_firing_is_lost",
            "A firing that comes while nobody waits is not kept.",
            Rules {
                loses_one_in: 2,
                ..SOUND
            },
            &["signals::a_commit_that_produces_wakes"],
        ),
    ]
}

fn endings() -> Vec<Mutant> {
    vec![
        signalling(
            "deletion_wakes_nobody",
            "Who waits for what was deleted waits for ever.",
            Rules {
                deletion: End::Silent,
                ..SOUND
            },
            &["signals::deleting_a_partition_wakes"],
        ),
        signalling(
            "deletion_wakes_once",
            "Who comes to wait after the end waits for ever.",
            Rules {
                deletion: End::Once,
                ..SOUND
            },
            &["signals::an_old_signal_wakes_whoever_waits_after_the_end"],
        ),
        signalling(
            "closing_wakes_nobody",
            "Who waits when the backend is closed waits for ever.",
            Rules {
                closing: End::Silent,
                ..SOUND
            },
            &["signals::closing_wakes"],
        ),
    ]
}

fn watchers() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "only_the_first_watcher_is_woken",
            "One consumer is notified, whoever else waits.",
            FirstWatcher::wrap,
            &["signals::every_watcher_is_woken"],
        ),
        Mutant::new(
            "a_partition_made_again_is_watched_under_its_old_signal",
            "Signals are kept by name and outlive their partition (pgbus, pull 176).",
            OldSignal::wrap,
            &["signals::a_partition_made_again_wakes_its_own_watchers"],
        ),
        Mutant::new(
            "what_is_missing_can_be_watched",
            "A consumer of a queue that does not exist waits, and is deaf when it comes (DotNetWorkQueue, issue 356).",
            WatchesAnything::wrap,
            &["signals::a_missing_partition_cannot_be_watched"],
        ),
    ]
}

wrong! {
    /// All watchers of a partition but the first get a signal that nobody fires.
    FirstWatcher { watched: Mutex<HashSet<PartitionId>>, deaf: SignalHub }
    PartitionStore [watch] {
        async fn watch(&self, id: &PartitionId) -> Result<Signal> {
            let signal = self.inner.watch(id).await?;
            let is_first = self.watched.lock().expect("nobody panics with it").insert(id.clone());
            Ok(if self.at.fired.fire_if(!is_first) { self.deaf.watch() } else { signal })
        }
    }
}

wrong! {
    /// A name that was deleted once is watched in vain.
    OldSignal { gone: Mutex<HashSet<PartitionId>>, deaf: SignalHub }
    PartitionStore [watch, delete_partition] {
        async fn watch(&self, id: &PartitionId) -> Result<Signal> {
            let signal = self.inner.watch(id).await?;
            let is_old = self.gone.lock().expect("nobody panics with it").contains(id);
            Ok(if self.at.fired.fire_if(is_old) { self.deaf.watch() } else { signal })
        }
        async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
            self.inner.delete_partition(id).await?;
            self.gone.lock().expect("nobody panics with it").insert(id.clone());
            Ok(())
        }
    }
}

wrong! {
    /// Watches what does not exist.
    WatchesAnything { deaf: SignalHub }
    PartitionStore [watch] {
        async fn watch(&self, id: &PartitionId) -> Result<Signal> {
            match self.inner.watch(id).await {
                Err(error) if self.at.fired.fire_if(error.kind() == ErrorKind::NotFound) => Ok(self.deaf.watch()),
                watched => watched,
            }
        }
    }
}
