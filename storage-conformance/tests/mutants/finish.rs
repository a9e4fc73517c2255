//! Wrong about what ends a lease: complete, retry, release, death, revival.

use storage_api::*;
use storage_model::Contents;

use crate::edited::{around, attempts_max, edited, insert, rewritten, tail, to_tail};
use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        completing(),
        retrying(),
        releasing(),
        attempts(),
        dying(),
        reviving(),
    ]
    .concat()
}

fn completing() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "complete_looks_at_the_item_alone",
            "A receipt is good for whoever has the item: a late holder removes what was given to another (LocalStack SQS, unstract).",
            CompletesByItem::wrap,
            &[],
        ),
        Mutant::new(
            "complete_needs_no_lease",
            "An item that nobody holds any more is removed by an old receipt (Bull, issue 308).",
            CompletesWithoutLease::wrap,
            &[],
        ),
        Mutant::new(
            "complete_stops_at_the_first_it_does_not_know",
            "The receipts behind an unknown one are left as they are.",
            StopsAtUnknown::wrap,
            &[],
        ),
        Mutant::new(
            "complete_says_done_to_everything",
            "Completing is taken for idempotent: what is not there is done, too.",
            SaysDone::wrap,
            &[],
        ),
        Mutant::new(
            "lost_is_not_found",
            "A lost lease is told as an item that is not there.",
            LostIsNotFound::wrap,
            &[],
        ),
        Mutant::new(
            "not_found_is_lost",
            "An item that has gone is told as a lost lease.",
            NotFoundIsLost::wrap,
            &[],
        ),
        Mutant::new(
            "calls_are_done_one_by_one",
            "A call of many receipts is as many transactions: others see half of it.",
            OneByOne::wrap,
            &[],
        ),
        Mutant::new(
            "calls_are_done_backwards",
            "A batch is taken from a stack: the last receipt is treated first.",
            Backwards::wrap,
            &[],
        ),
        Mutant::new(
            "calls_end_after_a_thousand",
            "Large calls are cut to what one statement takes, and the rest is said to be done.",
            CutToThousand::wrap,
            &[],
        ),
        Mutant::new(
            "empty_calls_look_at_nothing",
            "An empty list is answered before the partition or the backend is looked at.",
            EmptyIsEasy::wrap,
            &[],
        ),
        Mutant::new(
            "empty_calls_are_refused",
            "An empty list is an invalid argument, as in SQS.",
            EmptyIsInvalid::wrap,
            &[],
        ),
        edited(
            "completed_items_come_back",
            "Completion removes the lease, not the item: it is there again.",
            &[Operation::Complete],
            |scene| {
                scene.gone(|item, partition| {
                    let position = tail(partition);
                    insert(partition, item, ItemState::Ready { position });
                });
            },
            &[],
        ),
        edited(
            "completing_takes_the_whole_lease_call",
            "All items leased by one call are one unit: completing one completes those with the same deadline and holder.",
            &[Operation::Complete],
            |scene| {
                scene.gone(|gone, partition| {
                    if let ItemState::Leased { deadline, .. } = gone.state {
                        partition.items.retain(|item| {
                            !matches!(item.state, ItemState::Leased { deadline: other, .. } if other == deadline)
                        });
                    }
                });
            },
            &[],
        ),
    ]
}

fn retrying() -> Vec<Mutant> {
    vec![
        edited(
            "retry_keeps_its_place",
            "A retried item goes back to where it stood, in front of all that came meanwhile, whatever the requeue says.",
            &[Operation::Retry],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    if let Some(position) = before.state.position() {
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &[],
        ),
        edited(
            "retry_always_goes_to_the_tail",
            "The requeue `Original` is read and forgotten.",
            &[Operation::Retry],
            |scene| scene.changed(State::Leased, State::Ready, to_tail),
            &[],
        ),
        edited(
            "retry_for_later_is_at_once",
            "The time of a retry is ignored: the item is ready again at once.",
            &[Operation::Retry],
            |scene| scene.changed(State::Leased, State::Scheduled, to_tail),
            &[],
        ),
        Mutant::new(
            "retry_at_a_time_is_always_scheduled",
            "A retry at a time that has come goes to the delayed ones and waits for the next round (BullMQ, issue 3050).",
            AlwaysScheduled::wrap,
            &[],
        ),
        edited(
            "retry_goes_back_to_the_first_schedule",
            "The time of a produce is the item's for ever: a retry for another time comes at the old one.",
            &[Operation::Retry],
            |scene| {
                scene.moved(State::Leased, State::Scheduled, |_, item| {
                    if let Some(enqueue_at) = item.record.view().enqueue_at() {
                        item.state = ItemState::Scheduled { enqueue_at };
                    }
                });
            },
            &[],
        ),
        edited(
            "retried_items_come_back_in_front",
            "With the requeue `Original` an item that was retried for later takes its old place when it is due.",
            &[Operation::Maintain],
            |scene| {
                scene.changed(State::Scheduled, State::Ready, |partition, index| {
                    let item = &partition.items[index];
                    let is_original = partition.info.config.requeue() == Requeue::Original;
                    if is_original
                        && item.attempts > 0
                        && let Ok(position) = Position::new(item.id.get())
                    {
                        partition.items[index].state = ItemState::Ready { position };
                    }
                });
            },
            &[],
        ),
        edited(
            "retry_looks_at_expiry",
            "A retried item whose expiry has passed dies at once.",
            &[Operation::Retry],
            |scene| {
                let now = scene.now;
                scene.items(|before, item| {
                    let is_late = item.expire_at().is_some_and(|at| Some(at) <= now);
                    let is_alive = !matches!(
                        item.state,
                        ItemState::Leased { .. } | ItemState::Dead { .. }
                    );
                    if let (State::Leased, true, true, Some(died_at)) =
                        (before.state(), is_late, is_alive, now)
                    {
                        let reason = DeadReason::Expired;
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &[],
        ),
        edited(
            "retry_loses_the_priority",
            "A retried item is stored anew with the default priority.",
            &[Operation::Retry],
            |scene| {
                scene.moved(State::Leased, State::Ready, |_, item| {
                    let created_at = item.record.view().created_at();
                    item.record = rewritten(&item.record, created_at, |new| new.priority(100));
                });
            },
            &[],
        ),
        edited(
            "retry_makes_a_new_item",
            "A retried item is created again, now.",
            &[Operation::Retry],
            |scene| {
                let Some(now) = scene.now else { return };
                scene.items(|before, item| {
                    if before.state() == State::Leased && item.state() != State::Leased {
                        item.record = rewritten(&item.record, now, |new| new);
                    }
                });
            },
            &[],
        ),
        edited(
            "retry_loses_the_note",
            "A note is taken and not stored.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.note != item.note {
                        item.note.clone_from(&before.note);
                    }
                });
            },
            &[],
        ),
        edited(
            "first_note_stays",
            "A note is written once and never replaced.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.note.is_some() {
                        item.note.clone_from(&before.note);
                    }
                });
            },
            &[],
        ),
        edited(
            "no_note_erases_the_note",
            "A retry without a note stores that there is none.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.state() == State::Leased
                        && item.state() != State::Leased
                        && before.note == item.note
                    {
                        item.note = None;
                    }
                });
            },
            &[],
        ),
        edited(
            "empty_note_is_no_note",
            "An empty note is stored as none.",
            &[Operation::Retry],
            |scene| {
                scene.items(|_, item| {
                    item.note = item.note.take().filter(|note| !note.as_str().is_empty())
                });
            },
            &[],
        ),
        Mutant::new(
            "lost_receipts_leave_their_note",
            "The note is written before the receipt is looked at.",
            NotesAnyway::wrap,
            &[],
        ),
        Mutant::new(
            "retry_without_a_lease",
            "An old receipt retries the item that another holds.",
            RetriesByItem::wrap,
            &[],
        ),
    ]
}

fn releasing() -> Vec<Mutant> {
    vec![
        edited(
            "release_goes_to_the_tail",
            "A lease that is given back is a retry: the item goes to the tail.",
            &[Operation::Release],
            |scene| scene.changed(State::Leased, State::Ready, to_tail),
            &[],
        ),
        edited(
            "release_counts_the_attempt",
            "A lease that was given back unused has cost an attempt (asynq, issue 1015).",
            &[Operation::Release],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    item.attempts = before.attempts
                })
            },
            &[],
        ),
        edited(
            "release_forgets_every_attempt",
            "A lease that was given back sets the attempts to none.",
            &[Operation::Release],
            |scene| scene.moved(State::Leased, State::Ready, |_, item| item.attempts = 0),
            &[],
        ),
        edited(
            "release_counts_below_none",
            "The count of attempts wraps where there was none to take back (kvrocks, pull 3578).",
            &[Operation::Release],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    item.attempts = before.attempts.wrapping_sub(1);
                });
            },
            &[],
        ),
        edited(
            "release_looks_at_attempts",
            "An item that is given back in its last attempt dies.",
            &[Operation::Release],
            |scene| {
                scene.changed(State::Leased, State::Ready, |partition, index| {
                    let limit = attempts_max(partition, &partition.items[index]);
                    let item = &mut partition.items[index];
                    if limit != 0 && item.attempts + 1 >= limit {
                        let (reason, died_at) = (DeadReason::AttemptsExhausted, Timestamp::EPOCH);
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &[],
        ),
        Mutant::new(
            "second_release_counts_again",
            "A receipt that was used already takes an attempt back once more (solid_queue, pull 761).",
            ReleasesTwice::wrap,
            &[],
        ),
    ]
}

fn attempts() -> Vec<Mutant> {
    vec![
        edited(
            "retry_forgets_attempts",
            "A retried item starts anew and is never used up.",
            &[Operation::Retry],
            |scene| scene.moved(State::Leased, State::Ready, |_, item| item.attempts = 0),
            &[],
        ),
        edited(
            "retry_counts_too",
            "An attempt counts at lease and again at retry.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.state() == State::Leased && item.state() != State::Leased {
                        item.attempts = item.attempts.saturating_add(1);
                    }
                });
            },
            &[],
        ),
        around(
            "attempts_are_for_lost_workers",
            "Attempts are looked at when a lease is taken back, not when an item is retried.",
            &[Operation::Retry],
            |contents| leased(contents, |item| item.attempts = 0),
            |scene| scene.items(|before, item| item.attempts = before.attempts),
            &[],
        ),
        around(
            "attempts_are_for_retries",
            "Attempts are looked at when an item is retried, not when its lease is taken back.",
            &[Operation::Maintain],
            |contents| leased(contents, |item| item.attempts = 0),
            |scene| scene.items(|before, item| item.attempts = before.attempts),
            &[],
        ),
        around(
            "attempts_end_one_early",
            "The attempt that is about to come is counted already (faktory, issue 409).",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                leased(contents, |item| {
                    item.attempts = item.attempts.saturating_add(1)
                })
            },
            |scene| scene.items(|before, item| item.attempts = before.attempts),
            &[],
        ),
        around(
            "attempts_of_the_item_are_ignored",
            "The limit of the partition holds for every item.",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                leased(contents, |item| {
                    let created_at = item.record.view().created_at();
                    item.record = rewritten(&item.record, created_at, |new| new.attempts_max(0));
                });
            },
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &[],
        ),
        around(
            "attempts_of_the_partition_are_ignored",
            "Only an item's own limit of attempts holds.",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                for partition in &mut contents.partitions {
                    partition.info.config = partition.info.config.clone().with_attempts_max(0);
                }
            },
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[],
        ),
        around(
            "no_limit_is_twenty_five",
            "Where no limit is set, the default of another queue holds (Sidekiq).",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                for partition in &mut contents.partitions {
                    if partition.info.config.attempts_max() == 0
                        && partition.items.iter().any(|item| item.attempts >= 25)
                    {
                        partition.info.config = partition.info.config.clone().with_attempts_max(25);
                    }
                }
            },
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[],
        ),
        edited(
            "scheduled_items_are_used_up",
            "Attempts are looked at when a scheduled item becomes ready.",
            &[Operation::Maintain],
            |scene| {
                let died_at = scene.now.unwrap_or(Timestamp::EPOCH);
                scene.changed(State::Scheduled, State::Ready, |partition, index| {
                    let limit = attempts_max(partition, &partition.items[index]);
                    let item = &mut partition.items[index];
                    if limit != 0 && item.attempts >= limit {
                        let reason = DeadReason::AttemptsExhausted;
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &[],
        ),
        edited(
            "attempts_are_lost_at_reopening",
            "The count of attempts is kept in memory (NATS, pull 3365).",
            &[Operation::Open],
            |scene| scene.items(|_, item| item.attempts = 0),
            &[],
        ),
        edited(
            "notes_are_lost_at_reopening",
            "Notes are kept in memory.",
            &[Operation::Open],
            |scene| scene.items(|_, item| item.note = None),
            &[],
        ),
        edited(
            "leases_are_lost_at_reopening",
            "Reservations are forgotten when the process starts again, and two work at one item (beanstalkd, issue 47).",
            &[Operation::Open],
            |scene| {
                scene.moved(State::Leased, State::Leased, |_, item| {
                    if let Some(position) = item.state.position() {
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &[],
        ),
    ]
}

fn dying() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "rejected_items_are_retried",
            "Retried as dead, an item is ready again.",
            RetriesDead::wrap,
            &[],
        ),
        edited(
            "used_up_goes_before_rejected",
            "An item that is retried as dead in its last attempt dies of its attempts.",
            &[Operation::Retry],
            |scene| {
                scene.changed(State::Leased, State::Dead, |partition, index| {
                    let limit = attempts_max(partition, &partition.items[index]);
                    let item = &mut partition.items[index];
                    let is_used_up = limit != 0 && item.attempts >= limit;
                    if let (ItemState::Dead { reason, .. }, true) = (&mut item.state, is_used_up) {
                        *reason = DeadReason::AttemptsExhausted;
                    }
                });
            },
            &[],
        ),
        edited(
            "every_death_is_a_rejection",
            "One reason of death is stored for all.",
            &[Operation::Retry, Operation::Maintain],
            |scene| {
                scene.items(|_, item| {
                    if let ItemState::Dead { reason, .. } = &mut item.state {
                        *reason = DeadReason::Rejected;
                    }
                });
            },
            &[],
        ),
        edited(
            "the_time_of_death_is_that_of_birth",
            "A dead item shows when it was created as when it died.",
            &[Operation::Retry, Operation::Maintain],
            |scene| {
                scene.items(|_, item| {
                    let created_at = item.record.view().created_at();
                    if let ItemState::Dead { died_at, .. } = &mut item.state {
                        *died_at = created_at;
                    }
                });
            },
            &[],
        ),
        edited(
            "the_dead_have_no_note",
            "The note is dropped with the lease when an item dies.",
            &[Operation::Retry, Operation::Maintain],
            |scene| {
                scene.items(|_, item| {
                    if item.state() == State::Dead {
                        item.note = None;
                    }
                });
            },
            &[],
        ),
        edited(
            "the_dead_are_dropped",
            "Dead items are removed where the partition keeps them.",
            &[Operation::Retry, Operation::Maintain],
            |scene| scene.partitions(|_, now| now.items.retain(|item| item.state() != State::Dead)),
            &[],
        ),
        edited(
            "rejected_items_are_kept",
            "Where dead items have no place, one that is retried as dead is kept (a queue without a dead-letter exchange, the other way round).",
            &[Operation::Retry],
            |scene| {
                let died_at = scene.now.unwrap_or(Timestamp::EPOCH);
                scene.gone(|item, partition| {
                    let reason = DeadReason::Rejected;
                    let state = ItemState::Dead { reason, died_at };
                    insert(partition, item, state);
                });
            },
            &[],
        ),
        edited(
            "dropped_items_are_kept_when_time_kills",
            "What maintain finds dead is kept, whatever the policy of the partition.",
            &[Operation::Maintain],
            |scene| {
                let died_at = scene.now.unwrap_or(Timestamp::EPOCH);
                scene.gone(|item, partition| {
                    let reason = DeadReason::Expired;
                    let state = ItemState::Dead { reason, died_at };
                    insert(partition, item, state);
                });
            },
            &[],
        ),
        edited(
            "dead_items_come_back_at_reopening",
            "What was dead is ready when the process starts again.",
            &[Operation::Open],
            |scene| scene.changed(State::Dead, State::Dead, to_tail),
            &[],
        ),
        edited(
            "dead_items_are_lost_at_reopening",
            "Dead items are not in the log.",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.items.retain(|item| item.state() != State::Dead)),
            &[],
        ),
    ]
}

fn reviving() -> Vec<Mutant> {
    vec![
        edited(
            "revived_items_keep_their_attempts",
            "A revived item has its old attempts, and dies of them.",
            &[Operation::Revive],
            |scene| {
                scene.moved(State::Dead, State::Ready, |before, item| {
                    item.attempts = before.attempts
                })
            },
            &[],
        ),
        edited(
            "revived_items_expire",
            "A revived item has its old expiry, and dies of it.",
            &[Operation::Revive],
            |scene| scene.moved(State::Dead, State::Ready, |_, item| item.is_revived = false),
            &[],
        ),
        edited(
            "revived_items_expire_after_their_lease",
            "That an item was revived is forgotten once it was leased and came back.",
            &[Operation::Retry, Operation::Release, Operation::Maintain],
            |scene| scene.items(|_, item| item.is_revived = false),
            &[],
        ),
        edited(
            "revived_items_lose_their_note",
            "A revived item starts without its note.",
            &[Operation::Revive],
            |scene| scene.moved(State::Dead, State::Ready, |_, item| item.note = None),
            &[],
        ),
        edited(
            "revived_items_stand_in_front",
            "A revived item takes the place that its id once had.",
            &[Operation::Revive],
            |scene| {
                scene.moved(State::Dead, State::Ready, |_, item| {
                    if let Ok(position) = Position::new(item.id.get()) {
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &[],
        ),
        edited(
            "revival_is_lost_at_reopening",
            "That an item was revived is kept in memory.",
            &[Operation::Open],
            |scene| scene.items(|_, item| item.is_revived = false),
            &[],
        ),
        Mutant::new(
            "revive_says_revived_to_every_item",
            "Whatever is there is told as revived.",
            SaysRevived::wrap,
            &[],
        ),
        Mutant::new(
            "missing_items_are_not_dead",
            "Ids of items that are not there are told as items that are alive.",
            SaysNotDead::wrap,
            &[],
        ),
    ]
}

/// Changes every leased item.
fn leased(contents: &mut Contents, change: impl Fn(&mut ItemEntry)) {
    let items = contents
        .partitions
        .iter_mut()
        .flat_map(|one| &mut one.items);
    items
        .filter(|item| item.state() == State::Leased)
        .for_each(change);
}

/// The lease under which an item is at this moment.
fn current(contents: &Contents, partition: &PartitionId, item: ItemId) -> Option<Receipt> {
    let mut partitions = contents.partitions.iter();
    let partition = partitions.find(|one| one.info.id == *partition)?;
    partition.items.iter().find(|one| one.id == item)?.receipt()
}

wrong! { CompletesByItem ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let contents = self.inner.contents();
        let by_item = receipts.into_iter().map(|receipt| {
            let found = current(&contents, partition, receipt.item).unwrap_or(receipt);
            self.at.fired.fire_if(found != receipt);
            found
        });
        let by_item = Receipts::collect(by_item)?;
        self.inner.complete(partition, by_item).await
    }
}}

wrong! { CompletesWithoutLease ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let contents = self.inner.contents();
        let mut outcomes = self.inner.complete(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&mut outcomes) {
            let is_held = current(&contents, partition, receipt.item).is_some();
            if *outcome == CompleteOutcome::LeaseLost && !is_held {
                self.at.fire();
                self.inner.delete_items(partition, receipt.item.into()).await?;
                *outcome = CompleteOutcome::Done;
            }
        }
        Ok(outcomes)
    }
}}

wrong! { StopsAtUnknown ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let mut outcomes = Vec::new();
        let mut has_stopped = false;
        for receipt in receipts {
            if has_stopped {
                self.at.fire();
                outcomes.push(CompleteOutcome::NotFound);
                continue;
            }
            outcomes.extend(self.inner.complete(partition, receipt.into()).await?);
            has_stopped = outcomes.last() != Some(&CompleteOutcome::Done);
        }
        Ok(outcomes)
    }
}}

wrong! { SaysDone ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let mut outcomes = self.inner.complete(partition, receipts).await?;
        for outcome in &mut outcomes {
            self.at.fired.fire_if(*outcome != CompleteOutcome::Done);
            *outcome = CompleteOutcome::Done;
        }
        Ok(outcomes)
    }
}}

wrong! { LostIsNotFound ItemStore [complete, retry, extend, release] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let (lost, told) = (CompleteOutcome::LeaseLost, CompleteOutcome::NotFound);
        Ok(self.at.told(self.inner.complete(partition, receipts).await?, lost, told))
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let (lost, told) = (RetryOutcome::LeaseLost, RetryOutcome::NotFound);
        Ok(self.at.told(self.inner.retry(partition, now, retries).await?, lost, told))
    }
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        let (lost, told) = (ExtendOutcome::LeaseLost, ExtendOutcome::NotFound);
        Ok(self.at.told(self.inner.extend(partition, receipts, deadline).await?, lost, told))
    }
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        let (lost, told) = (ReleaseOutcome::LeaseLost, ReleaseOutcome::NotFound);
        Ok(self.at.told(self.inner.release(partition, receipts).await?, lost, told))
    }
}}

wrong! { NotFoundIsLost ItemStore [complete, retry, extend, release] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let (gone, told) = (CompleteOutcome::NotFound, CompleteOutcome::LeaseLost);
        Ok(self.at.told(self.inner.complete(partition, receipts).await?, gone, told))
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let (gone, told) = (RetryOutcome::NotFound, RetryOutcome::LeaseLost);
        Ok(self.at.told(self.inner.retry(partition, now, retries).await?, gone, told))
    }
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        let (gone, told) = (ExtendOutcome::NotFound, ExtendOutcome::LeaseLost);
        Ok(self.at.told(self.inner.extend(partition, receipts, deadline).await?, gone, told))
    }
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        let (gone, told) = (ReleaseOutcome::NotFound, ReleaseOutcome::LeaseLost);
        Ok(self.at.told(self.inner.release(partition, receipts).await?, gone, told))
    }
}}

wrong! { OneByOne ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let mut outcomes = Vec::with_capacity(receipts.len());
        self.at.fired.fire_if(receipts.len() > 1);
        for receipt in receipts {
            outcomes.extend(self.inner.complete(partition, receipt.into()).await?);
            std::thread::yield_now();
        }
        Ok(outcomes)
    }
}}

wrong! { Backwards ItemStore [complete, retry, revive, delete_items] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let outcomes = self.inner.complete(partition, self.at.reversed(receipts)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let outcomes = self.inner.retry(partition, now, self.at.reversed(retries)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let outcomes = self.inner.revive(partition, self.at.reversed(ids)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
    async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
        let outcomes = self.inner.delete_items(partition, self.at.reversed(ids)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
}}

wrong! { CutToThousand ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let all = receipts.len();
        self.at.fired.fire_if(all > 1000);
        let receipts = Receipts::collect(receipts.into_iter().take(1000))?;
        let mut outcomes = self.inner.complete(partition, receipts).await?;
        outcomes.resize(all, CompleteOutcome::Done);
        Ok(outcomes)
    }
}}

wrong! { EmptyIsEasy ItemStore [produce, complete, retry, extend, release, revive, delete_items, get_items, restore] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        match self.at.fired.fire_if(batch.is_empty()) {
            true => Ok(Produced::default()),
            false => self.inner.produce(partition, batch).await,
        }
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.complete(partition, receipts).await,
        }
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        match self.at.fired.fire_if(retries.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.retry(partition, now, retries).await,
        }
    }
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.extend(partition, receipts, deadline).await,
        }
    }
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.release(partition, receipts).await,
        }
    }
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        match self.at.fired.fire_if(ids.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.revive(partition, ids).await,
        }
    }
    async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
        match self.at.fired.fire_if(ids.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.delete_items(partition, ids).await,
        }
    }
    async fn get_items(&self, partition: &PartitionId, ids: ItemIds, payloads: bool) -> Result<Vec<Option<ItemEntry>>> {
        match self.at.fired.fire_if(ids.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.get_items(partition, ids, payloads).await,
        }
    }
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        match self.at.fired.fire_if(items.is_empty()) {
            true => Ok(()),
            false => self.inner.restore(partition, items, floors).await,
        }
    }
}}

wrong! { EmptyIsInvalid ItemStore [produce, complete] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        match self.at.fired.fire_if(batch.is_empty()) {
            true => Err(Error::invalid("batch", "it is empty")),
            false => self.inner.produce(partition, batch).await,
        }
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Err(Error::invalid("receipts", "there are none")),
            false => self.inner.complete(partition, receipts).await,
        }
    }
}}

wrong! { AlwaysScheduled ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let outcomes = self.inner.retry(partition, now, retries.clone()).await?;
        for (retry, outcome) in retries.iter().zip(&outcomes) {
            if let (RetryTo::At(enqueue_at), RetryOutcome::Ready) = (retry.to, outcome) {
                self.at.edit(|contents| {
                    let items = contents.partitions.iter_mut().filter(|one| one.info.id == *partition);
                    let mut items = items.flat_map(|one| &mut one.items);
                    if let Some(item) = items.find(|item| item.id == retry.receipt.item) {
                        item.state = ItemState::Scheduled { enqueue_at };
                    }
                });
            }
        }
        Ok(outcomes)
    }
}}

wrong! { NotesAnyway ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        for retry in &retries {
            let Some(note) = &retry.note else { continue };
            let contents = self.inner.contents();
            if current(&contents, partition, retry.receipt.item) == Some(retry.receipt) {
                continue;
            }
            self.at.edit(|contents| {
                let items = contents.partitions.iter_mut().filter(|one| one.info.id == *partition);
                let mut items = items.flat_map(|one| &mut one.items);
                if let Some(item) = items.find(|item| item.id == retry.receipt.item) {
                    item.note = Some(note.clone());
                }
            });
        }
        self.inner.retry(partition, now, retries).await
    }
}}

wrong! { RetriesByItem ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let contents = self.inner.contents();
        let by_item = retries.into_iter().map(|mut retry| {
            let found = current(&contents, partition, retry.receipt.item);
            if let Some(found) = found.filter(|found| *found != retry.receipt) {
                self.at.fire();
                retry.receipt = found;
            }
            retry
        });
        let by_item = Retries::collect(by_item)?;
        self.inner.retry(partition, now, by_item).await
    }
}}

wrong! { RetriesDead ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let alive = retries.into_iter().map(|mut retry| {
            if self.at.fired.fire_if(retry.to == RetryTo::Dead) {
                retry.to = RetryTo::Now;
            }
            retry
        });
        let alive = Retries::collect(alive)?;
        self.inner.retry(partition, now, alive).await
    }
}}

wrong! { ReleasesTwice ItemStore [release] {
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        let outcomes = self.inner.release(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&outcomes) {
            if *outcome != ReleaseOutcome::LeaseLost {
                continue;
            }
            self.at.edit(|contents| {
                let items = contents.partitions.iter_mut().filter(|one| one.info.id == *partition);
                let mut items = items.flat_map(|one| &mut one.items);
                if let Some(item) = items.find(|item| item.id == receipt.item) {
                    item.attempts = item.attempts.saturating_sub(1);
                }
            });
        }
        Ok(outcomes)
    }
}}

wrong! { SaysRevived ItemStore [revive] {
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let (alive, told) = (ReviveOutcome::NotDead, ReviveOutcome::Revived);
        Ok(self.at.told(self.inner.revive(partition, ids).await?, alive, told))
    }
}}

wrong! { SaysNotDead ItemStore [revive] {
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let (gone, told) = (ReviveOutcome::NotFound, ReviveOutcome::NotDead);
        Ok(self.at.told(self.inner.revive(partition, ids).await?, gone, told))
    }
}}
