//! Wrong about limits: the largest of everything, configured capacity, usage.

use std::sync::Mutex;

use storage_api::*;
use storage_model::{Contents, Model, Partition};

use crate::edited::{around, edited, rewritten};
use crate::hooked::{Call, refusing, telling};
use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    [largest(), capacity(), room(), order(), usage()].concat()
}

fn largest() -> Vec<Mutant> {
    vec![
        edited(
            "keys_of_metadata_end_after_1000_bytes",
            "The key of an engine is shorter than that of the contract.",
            &[Operation::Commit],
            |scene| {
                for one in &mut scene.after.metadata {
                    let short = &one.entry.key.as_bytes()[..one.entry.key.len().min(1000)];
                    one.entry.key = Key::try_from(short).expect("it is not empty");
                }
            },
            &[
                "limits::the_largest_keys_are_kept_apart_and_scanned",
                "limits::the_largest_metadata_names_and_value_come_back",
            ],
        ),
        edited(
            "payloads_end_after_a_mebibyte",
            "A column holds a mebibyte, and what is longer is cut.",
            &[Operation::Produce, Operation::Restore, Operation::Commit],
            |scene| {
                scene.new_items(|item| {
                    let view = item.record.view();
                    let payload = view.payload().unwrap_or_default();
                    if payload.len() > 1 << 20 {
                        let mut batch = ItemBatch::new();
                        batch
                            .push(NewItem::new(&payload[..1 << 20]))
                            .expect("it is shorter");
                        item.record = batch.seal(view.created_at()).shared_record(0);
                    }
                });
            },
            &[
                "limits::the_largest_batch_of_the_largest_payloads_comes_back",
                "limits::the_largest_restore_is_taken",
                "limits::the_smallest_and_the_largest_payload_come_back",
            ],
        ),
        edited(
            "attributes_end_after_200_bytes",
            "Texts beside the payload are cut to what a column takes.",
            &[Operation::Produce],
            |scene| {
                scene.new_items(|item| {
                    if item.record.view().attributes().reference.len() > 200 {
                        item.record =
                            rewritten(&item.record, |parts| parts.reference.truncate(200));
                    }
                });
            },
            &["limits::ten_thousand_items_of_the_largest_attributes_come_back"],
        ),
        edited(
            "notes_end_after_half",
            "A note is cut to half of what the contract allows.",
            &[Operation::Retry, Operation::Restore],
            |scene| {
                scene.items(|_, item| {
                    let text = item.note.as_ref().map(|note| note.as_str().to_owned());
                    if let Some(text) = text.filter(|text| text.len() > 512) {
                        item.note =
                            Some(Note::truncated(&text.chars().take(100).collect::<String>()));
                    }
                });
            },
            &["limits::the_largest_attributes_and_note_come_back"],
        ),
        Mutant::new(
            "dedup_keys_are_told_apart_by_255_bytes",
            "The index of dedup keys holds one byte too few.",
            CutsKeys::wrap,
            &["limits::the_largest_dedup_keys_are_told_apart"],
        ),
        refusing(
            "a_call_is_at_most_a_thousand",
            "What is larger than a page of the engine is refused.",
            |_, call| (call.len > 1000).then(|| call.error(ErrorKind::InvalidArgument)),
            &["limits::ten_thousand_items_live_through_every_operation"],
        ),
        Mutant::new(
            "a_commit_is_at_most_a_thousand",
            "The checks, writes and receipts of a commit are refused beyond a thousand.",
            SmallCommits::wrap,
            &[
                "limits::the_largest_commit_of_bytes_applies",
                "limits::the_largest_commit_of_receipts_applies",
                "limits::the_largest_commit_of_writes_is_scanned_and_purged",
                "limits::the_largest_range_is_checked",
            ],
        ),
        refusing(
            "queue_names_are_at_most_255_bytes",
            "The name of a queue is the name of a file.",
            |_, call| {
                let is_long = call
                    .partition
                    .as_ref()
                    .is_some_and(|id| id.queue().as_str().len() > 255);
                is_long.then(|| call.error(ErrorKind::InvalidArgument))
            },
            &["limits::the_largest_partition_name_holds_items"],
        ),
        Mutant::new(
            "maintain_frees_at_most_a_thousand_keys",
            "Keys are freed in steps of their own.",
            SmallMaintain::wrap,
            &[
                "limits::ten_thousand_items_live_through_every_operation",
                "limits::two_thousand_keys_are_freed_by_one_maintain",
            ],
        ),
    ]
}

wrong! {
    /// Compares dedup keys without their last byte.
    CutsKeys
    ItemStore [produce] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            let mut has_cut = false;
            let mut items = ItemBatch::new();
            for view in batch.records() {
                let key = view.dedup_key().unwrap_or_default();
                has_cut |= key.len() > 252;
                let item = NewItem::new(view.payload().unwrap_or_default());
                let pushed = match view.dedup_key() {
                    Some(_) => items.push(item.dedup_key(&key[..key.len().min(252)])),
                    None => items.push(item),
                };
                pushed?;
            }
            if !self.at.fired.fire_if(has_cut) {
                return self.inner.produce(partition, batch).await;
            }
            self.inner.produce(partition, items.seal(batch.now())).await
        }
    }
}

wrong! {
    /// Refuses large commits.
    SmallCommits
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let seen = request.checks().iter().map(|check| match check {
                Check::Range { seen, .. } => seen.len(),
                _ => 1,
            });
            let of_steps = request.steps().iter().map(|step| match step {
                Step::Complete { receipts, .. } => receipts.len(),
                Step::Delete { ids, .. } => ids.len(),
                Step::Produce { batch, .. } => batch.payload_bytes() / (1 << 20) * 100,
            });
            let largest = seen.chain(of_steps).chain([request.writes().len()]).max();
            if self.at.fired.fire_if(largest > Some(1000)) {
                return Err(Call::of(Operation::Commit).error(ErrorKind::InvalidArgument));
            }
            self.inner.commit(request).await
        }
    }
}

wrong! {
    /// Maintains in small steps, and says that there is no more.
    SmallMaintain
    PartitionStore [maintain] {
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            let few = Count::clamped(items_max.get().min(1000));
            let done = self.inner.maintain(id, now, few).await?;
            self.at.fired.fire_if(done.more && few != items_max);
            Ok(done)
        }
    }
}

fn capacity() -> Vec<Mutant> {
    const GROWING: &[Operation] = &[Operation::Produce, Operation::Restore, Operation::Commit];
    /// The configuration as it was before the operation.
    fn restored(scene: &mut crate::edited::Scene<'_>) {
        scene.partitions(|before, now| now.info.config = before.info.config.clone());
    }
    vec![
        around(
            "no_limit_is_looked_at",
            "A limit is stored and never asked.",
            GROWING,
            |contents| {
                configure(contents, |_, config| {
                    config.with_items_max(0).with_bytes_max(0)
                })
            },
            restored,
            &["limits::a_full_partition_leaves_others_and_metadata_alone"],
        ),
        around(
            "bytes_have_no_limit",
            "Only items are counted.",
            GROWING,
            |contents| configure(contents, |_, config| config.with_bytes_max(0)),
            restored,
            &["limits::bytes_are_produced_up_to_the_limit_and_not_beyond"],
        ),
        around(
            "commits_have_no_limit",
            "Limits hold for produce, not for commits.",
            &[Operation::Commit],
            |contents| {
                configure(contents, |_, config| {
                    config.with_items_max(0).with_bytes_max(0)
                })
            },
            restored,
            &["limits::a_commit_counts_all_it_produces"],
        ),
        around(
            "restored_items_have_no_limit",
            "Limits hold for what is produced, not for what is restored.",
            &[Operation::Restore],
            |contents| {
                configure(contents, |_, config| {
                    config.with_items_max(0).with_bytes_max(0)
                })
            },
            restored,
            &["limits::bytes_are_restored_up_to_the_limit_and_not_beyond"],
        ),
        around(
            "the_limit_is_the_first_refused",
            "A partition is full one item and one byte before its limit.",
            GROWING,
            |contents| {
                configure(contents, |_, config| {
                    let (items, bytes) = (config.items_max(), config.bytes_max());
                    config
                        .with_items_max(items.saturating_sub(1).max(items.min(1)))
                        .with_bytes_max(bytes.saturating_sub(1).max(bytes.min(1)))
                });
            },
            restored,
            &["limits::bytes_are_produced_up_to_the_limit_and_not_beyond"],
        ),
        around(
            "only_ready_items_count",
            "The depth of the ready order is taken for the size of the partition.",
            GROWING,
            |contents| {
                configure(contents, |partition, config| {
                    let others = partition
                        .items
                        .iter()
                        .filter(|item| item.state() != State::Ready)
                        .count() as u64;
                    let items = config.items_max();
                    config.with_items_max(if items == 0 {
                        0
                    } else {
                        items.saturating_add(others)
                    })
                });
            },
            restored,
            &["limits::items_of_every_state_count"],
        ),
        edited(
            "a_lowered_limit_drops_items",
            "A partition is cut to its new limit.",
            &[Operation::UpdatePartition],
            |scene| {
                for partition in &mut scene.after.partitions {
                    let items = usize::try_from(partition.info.config.items_max()).unwrap_or(0);
                    if items != 0 {
                        partition.items.truncate(items);
                    }
                }
            },
            &["limits::a_lowered_limit_touches_no_item_and_a_raised_one_makes_room"],
        ),
    ]
}

/// Replaces the configuration of each partition.
fn configure(
    contents: &mut Contents,
    change: impl Fn(&Partition, PartitionConfig) -> PartitionConfig,
) {
    for partition in &mut contents.partitions {
        partition.info.config = change(partition, partition.info.config.clone());
    }
}

/// Whether so many more items than there are would be beyond the limit.
fn is_beyond(partition: &Partition, items: u64) -> bool {
    let items_max = partition.info.config.items_max();
    items_max != 0 && items > items_max
}

/// A refusal for want of room.
fn full(call: &Call, is_full: bool) -> Option<Error> {
    is_full.then(|| call.error(ErrorKind::CapacityExceeded))
}

fn room() -> Vec<Mutant> {
    vec![
        refusing(
            "duplicates_need_room",
            "Room is asked for before duplicates are found.",
            |contents, call| {
                let found = call
                    .found(contents)
                    .filter(|_| call.operation == Operation::Produce)?;
                full(
                    call,
                    call.len > 0
                        && is_beyond(found, (found.items.len() + call.len) as u64)
                        && found.items.len() < 3,
                )
            },
            &["limits::duplicates_need_no_room"],
        ),
        refusing(
            "nothing_needs_room",
            "A partition with more items than it may have refuses even an empty call.",
            |contents, call| {
                let found = call.found(contents)?;
                let is_growing = matches!(
                    call.operation,
                    Operation::Produce | Operation::Restore | Operation::Commit
                );
                full(
                    call,
                    is_growing && is_beyond(found, found.items.len() as u64),
                )
            },
            &["limits::what_stores_nothing_is_never_refused_for_being_full"],
        ),
        refusing(
            "a_full_partition_refuses_to_lease",
            "Nothing is leased from a partition that is full.",
            |contents, call| {
                let found = call.found(contents)?;
                full(
                    call,
                    call.operation == Operation::Lease
                        && is_beyond(found, found.items.len() as u64),
                )
            },
            &["limits::a_full_partition_serves_everything_else"],
        ),
        refusing(
            "a_full_partition_refuses_to_complete",
            "Completing is a write, and a partition that is full refuses it: it stays full.",
            |contents, call| {
                let found = call.found(contents)?;
                full(
                    call,
                    call.operation == Operation::Complete
                        && is_beyond(found, found.items.len() as u64),
                )
            },
            &["limits::a_full_partition_serves_everything_else"],
        ),
        refusing(
            "room_never_comes_back",
            "All items that ever were are counted.",
            |contents, call| {
                let found = call
                    .found(contents)
                    .filter(|_| call.operation == Operation::Produce)?;
                full(
                    call,
                    found.last_id < 1 << 20 && is_beyond(found, found.last_id + call.len as u64),
                )
            },
            &["limits::each_way_of_going_makes_room_for_one"],
        ),
        refusing(
            "lingering_keys_need_room",
            "A key that outlives its item takes the room of one.",
            |contents, call| {
                let found = call
                    .found(contents)
                    .filter(|_| call.operation == Operation::Produce)?;
                let kept = found.items.len() + found.gone_keys.len();
                full(
                    call,
                    !found.gone_keys.is_empty() && is_beyond(found, (kept + call.len) as u64),
                )
            },
            &["limits::a_key_that_lingers_takes_no_room"],
        ),
        refusing(
            "the_largest_limit_is_negative",
            "A limit is read as a signed number: a partition without an end is always full.",
            |contents, call| {
                let found = call
                    .found(contents)
                    .filter(|_| call.operation == Operation::Produce)?;
                full(call, found.info.config.items_max() > i64::MAX as u64)
            },
            &["limits::the_largest_configured_limits_are_no_limits"],
        ),
        refusing(
            "partitions_share_their_limit",
            "The items of all partitions are counted together.",
            |contents, call| {
                let found = call
                    .found(contents)
                    .filter(|_| call.operation == Operation::Produce)?;
                let all: usize = contents.partitions.iter().map(|one| one.items.len()).sum();
                full(call, is_beyond(found, (all + call.len) as u64))
            },
            &[
                "limits::a_full_partition_leaves_others_and_metadata_alone",
                "limits::items_are_produced_up_to_the_limit_and_not_beyond",
            ],
        ),
        Mutant::new(
            "attributes_need_room",
            "The bytes of attributes count towards those of the partition.",
            CountsAttributes::wrap,
            &["limits::bytes_are_those_of_payloads"],
        ),
        Mutant::new(
            "a_restore_ends_where_the_room_ends",
            "Items are restored one by one until the partition is full.",
            RestoresOneByOne::wrap,
            &[
                "limits::a_refused_restore_to_a_full_partition_moves_nothing",
                "limits::items_are_restored_up_to_the_limit_and_not_beyond",
            ],
        ),
    ]
}

wrong! {
    /// Refuses what is too large with its attributes.
    CountsAttributes
    ItemStore [produce] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            let bytes: usize = batch.records().map(|view| view.attributes().kind.len() + view.payload_len()).sum();
            let call = Call::of(Operation::Produce).on(partition);
            let contents = self.inner.contents();
            let bytes_max = call.found(&contents).map_or(0, |found| found.info.config.bytes_max());
            if self.at.fired.fire_if(bytes_max != 0 && bytes as u64 > bytes_max && batch.payload_bytes() as u64 <= bytes_max) {
                return Err(call.error(ErrorKind::CapacityExceeded));
            }
            self.inner.produce(partition, batch).await
        }
    }
}

wrong! {
    /// Keeps what fits of a restore that does not.
    RestoresOneByOne
    ItemStore [restore] {
        async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
            let restored = self.inner.restore(partition, items.clone(), floors).await;
            if restored.is_err() {
                self.at.edit(|contents| {
                    let mut model = Model::of(contents.clone());
                    for item in items.into_vec() {
                        // What does not fit ends it.
                        let one = RestoreBatch::new(vec![item]).expect("one is less than all");
                        if model.restore(partition, one, floors).is_err() {
                            break;
                        }
                    }
                    *contents = model.contents().clone();
                });
            }
            restored
        }
    }
}

fn order() -> Vec<Mutant> {
    vec![
        telling(
            "full_comes_before_draining",
            "Whether there is room is asked before the mode.",
            |at, call, error| {
                let contents = at.inner.contents();
                let is_full = call
                    .found(&contents)
                    .is_some_and(|found| is_beyond(found, found.items.len() as u64 + 1));
                if is_full && error.kind() == ErrorKind::Unavailable {
                    return call.error(ErrorKind::CapacityExceeded);
                }
                error
            },
            &["limits::draining_comes_before_full"],
        ),
        telling(
            "full_comes_before_taken",
            "Whether there is room is asked before what is taken.",
            |at, call, error| {
                let contents = at.inner.contents();
                let is_full = call
                    .found(&contents)
                    .is_some_and(|found| is_beyond(found, (found.items.len() + call.len) as u64));
                if is_full && error.kind() == ErrorKind::AlreadyExists {
                    return call.error(ErrorKind::CapacityExceeded);
                }
                error
            },
            &["limits::taken_comes_before_full"],
        ),
    ]
}

fn usage() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "usage_is_more_than_its_parts",
            "What is used and what it is used for come from two counters.",
            UsesMore::wrap,
            &["limits::usage_is_the_sum_of_its_parts"],
        ),
        Mutant::new(
            "usage_never_shrinks",
            "The bytes of what has gone are never given back.",
            NeverShrinks::wrap,
            &[
                "limits::usage_returns_when_all_items_have_gone",
                "limits::usage_returns_when_partitions_and_metadata_have_gone",
            ],
        ),
    ]
}

wrong! {
    /// Tells of a byte that is in no part.
    UsesMore
    StorageBackend [usage] {
        async fn usage(&self) -> Result<Usage> {
            let mut usage = self.inner.usage().await?;
            usage.used += 1;
            self.at.fire();
            Ok(usage)
        }
    }
}

wrong! {
    /// Tells of the most that ever was.
    NeverShrinks { most: Mutex<Option<Usage>> }
    ItemStore [produce] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            let produced = self.inner.produce(partition, batch).await?;
            let usage = self.inner.usage().await?;
            let mut most = self.most.lock().expect("nobody panics with it");
            if most.as_ref().is_none_or(|most| usage.used > most.used) {
                *most = Some(usage);
            }
            Ok(produced)
        }
    }
    StorageBackend [usage] {
        async fn usage(&self) -> Result<Usage> {
            let usage = self.inner.usage().await?;
            let most = self.most.lock().expect("nobody panics with it").clone();
            let most = most.filter(|most| self.at.fired.fire_if(most.used > usage.used));
            Ok(most.unwrap_or(usage))
        }
    }
}
