//! Calls and answers in few words, for those who read a history.

use std::fmt::Write as _;

use storage_api::{
    Check, CommitOutcome, CommitRequest, Error, ItemEntry, ItemState, MetadataEntry, Outcome,
    PartitionConfig, ProduceOutcome, Produced, Refusal, RetryTo, SealedBatch, Step, Timestamp,
    UpdateOutcome, Write as Written,
};

use super::call::{Call, Ending};
use super::facts::marker;
use super::request::{Answer, Listed, Request};
use super::state::UNTOLD;

impl Request {
    /// The operation alone.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::CreatePartition(..) => "create",
            Self::UpdatePartition(..) => "update",
            Self::DeletePartition(_) => "delete partition",
            Self::Partition(_) => "partition",
            Self::ListPartitions(_) => "list partitions",
            Self::Stats(_) => "stats",
            Self::Produce(..) => "produce",
            Self::Lease(..) => "lease",
            Self::Extend(..) => "extend",
            Self::Release(..) => "release",
            Self::ReleaseHolder(..) => "release holder",
            Self::Complete(..) => "complete",
            Self::Retry(..) => "retry",
            Self::Revive(..) => "revive",
            Self::GetItems(..) => "get items",
            Self::ListItems(..) => "list items",
            Self::DeleteItems(..) => "delete items",
            Self::Clear(..) => "clear",
            Self::Maintain(..) => "maintain",
            Self::Restore(..) => "restore",
            Self::Commit(_) => "commit",
            Self::Get(..) => "get",
            Self::Scan(..) => "scan",
            Self::Namespaces(_) => "namespaces",
            Self::Purge(..) => "purge",
        }
    }

    /// The operation and its arguments.
    pub(crate) fn told(&self) -> String {
        let verb = self.verb();
        let arguments = match self {
            Self::UpdatePartition(id, Some(revision), config) => {
                format!("{id} where revision is {revision}{}", settings(config))
            }
            Self::CreatePartition(id, config) | Self::UpdatePartition(id, None, config) => {
                format!("{id}{}", settings(config))
            }
            Self::DeletePartition(id) | Self::Partition(id) | Self::Stats(id) => id.to_string(),
            Self::ListPartitions(max) | Self::Namespaces(max) => format!("at most {}", max.get()),
            Self::Produce(id, sealed) => {
                format!("{id} at {}: {}", micros(sealed.now()), batch(sealed))
            }
            Self::Lease(id, request) => {
                let mut text = format!(
                    "{id} at {} until {}, at most {}",
                    micros(request.now),
                    micros(request.deadline),
                    request.items_max.get()
                );
                if let Some(bytes_max) = request.bytes_max {
                    let _ = write!(text, " and {bytes_max} bytes");
                }
                if let Some(holder) = request.holder {
                    let _ = write!(text, ", for holder {holder}");
                }
                text
            }
            Self::Extend(id, receipts, deadline) => {
                format!(
                    "{id} until {}: {}",
                    micros(*deadline),
                    receipts_of(receipts)
                )
            }
            Self::Release(id, receipts) | Self::Complete(id, receipts) => {
                format!("{id}: {}", receipts_of(receipts))
            }
            Self::ReleaseHolder(id, holder, max) => {
                format!("{id}: holder {holder}, at most {}", max.get())
            }
            Self::Retry(id, now, retries) => {
                let retries = retries.iter().map(|retry| {
                    let to = match retry.to {
                        RetryTo::Now => "now".to_owned(),
                        RetryTo::At(at) => format!("at {}", micros(at)),
                        RetryTo::Dead => "as dead".to_owned(),
                    };
                    format!("{} {to}", receipts_of(&[retry.receipt]))
                });
                format!("{id} at {}: {}", micros(*now), joined(retries))
            }
            Self::Revive(id, ids) | Self::DeleteItems(id, ids) | Self::GetItems(id, ids, _) => {
                format!("{id}: {}", joined(ids.iter()))
            }
            Self::ListItems(id, request) => {
                format!(
                    "{id}: {:?}, at most {}",
                    request.listing(),
                    request.page_items_max().get()
                )
            }
            Self::Clear(id, states, max) => format!("{id}: {states:?}, at most {}", max.get()),
            Self::Maintain(id, now, max) => {
                format!("{id} at {}, at most {}", micros(*now), max.get())
            }
            Self::Restore(id, items) => format!("{id}: {}", entries(items)),
            Self::Commit(request) => commit(request),
            Self::Get(now, space, name) => format!("{space}/{name} at {}", micros(*now)),
            Self::Scan(now, request) => {
                let end = |key: Option<&storage_api::Key>| {
                    key.map_or_else(String::new, ToString::to_string)
                };
                format!(
                    "{}/[{}..{}) at {}, {:?}, at most {}",
                    request.namespace,
                    end(request.range.from()),
                    end(request.range.to()),
                    micros(*now),
                    request.direction,
                    request.entries_max.get()
                )
            }
            Self::Purge(now, max) => format!("at {}, at most {}", micros(*now), max.get()),
        };
        format!("{verb} {arguments}")
    }
}

impl Answer {
    /// The answer in few words.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Done => "done".to_owned(),
            Self::Partition(info) => {
                format!(
                    "created {}, revision {}",
                    number(info.created.get()),
                    number(info.revision.get())
                )
            }
            Self::Partitions(page) => page_of(page, |infos| {
                joined(
                    infos
                        .iter()
                        .map(|info| format!("{} ({})", info.id, number(info.revision.get()))),
                )
            }),
            Self::Updated(UpdateOutcome::Updated(version)) => {
                format!("updated, revision {}", number(version.get()))
            }
            Self::Updated(UpdateOutcome::Conflict(version)) => {
                format!("conflict, revision {}", number(version.get()))
            }
            Self::Stats(stats) => format!(
                "ready {}, scheduled {}, leased {}, dead {}; {} bytes; {}",
                stats.ready.items,
                stats.scheduled.items,
                stats.leased.items,
                stats.dead.items,
                stats.bytes(),
                due(stats.next_due)
            ),
            Self::Produced(produced) => ids_of(produced),
            Self::Leased(items) => entries(items),
            Self::Extended(outcomes) => format!("{outcomes:?}"),
            Self::Released(outcomes) => format!("{outcomes:?}"),
            Self::ReleasedHolder(answer) => format!("{}{}", answer.released, more(answer.more)),
            Self::Completed(outcomes) => format!("{outcomes:?}"),
            Self::Retried(outcomes) => format!("{outcomes:?}"),
            Self::Revived(outcomes) => format!("{outcomes:?}"),
            Self::Found(items) => joined(items.iter().map(|item| match item {
                Some(item) => entry(item),
                None => "none".to_owned(),
            })),
            Self::Items(page) => page_of(page, entries),
            Self::Deleted(outcomes) => format!("{outcomes:?}"),
            Self::Cleared(answer) => format!("{}{}", answer.removed, more(answer.more)),
            Self::Maintained(answer) => format!(
                "ready {}, expired {}, used up {}, dropped {}, keys {}{}; {}",
                answer.ready,
                answer.expired,
                answer.attempts_exhausted,
                answer.dropped,
                answer.keys_freed,
                more(answer.more),
                due(answer.next_due)
            ),
            Self::Commit(CommitOutcome::Committed(committed)) => {
                let mut text = "committed".to_owned();
                if let Some(version) = committed.version {
                    let _ = write!(text, ", version {}", number(version.get()));
                }
                for produced in &committed.produced {
                    let _ = write!(text, "; {}", ids_of(produced));
                }
                text
            }
            Self::Commit(CommitOutcome::Refused(Refusal::Check { index, key, found })) => {
                let found =
                    found.map_or_else(|| "none".to_owned(), |version| number(version.get()));
                format!("refused by check {index}: {key} has {found}")
            }
            Self::Commit(CommitOutcome::Refused(Refusal::Step {
                index,
                entry,
                found,
            })) => {
                format!("refused by entry {entry} of step {index}: {found:?}")
            }
            Self::Entry(None) => "none".to_owned(),
            Self::Entry(Some(entry)) => metadata(entry),
            Self::Entries(page) => page_of(page, |entries| joined(entries.iter().map(metadata))),
            Self::Namespaces(page) => page_of(page, |spaces| joined(spaces.iter())),
            Self::Purged(answer) => format!("{}{}", answer.removed, more(answer.more)),
        }
    }
}

impl Call {
    /// What was asked, and by which way.
    pub(crate) fn told(&self) -> String {
        let way = if self.is_short { " by a shortcut" } else { "" };
        format!("{}{way}", self.request.told())
    }

    /// How it ended, in few words.
    pub(crate) fn end_told(&self) -> String {
        match &self.ending {
            Ending::Answered(_, answer) => answer.told(),
            Ending::Refused(_, error) | Ending::Failed(_, error) | Ending::Unknown(_, error) => {
                refusal(error)
            }
            Ending::Dropped(_) => "dropped".to_owned(),
            Ending::Never => "never came back".to_owned(),
        }
    }
}

/// An error in few words.
pub(crate) fn refusal(error: &Error) -> String {
    match error.outcome() {
        Outcome::NotApplied => format!("{}: {error}", error.kind()),
        Outcome::Unknown => format!("{}, outcome unknown: {error}", error.kind()),
    }
}

fn joined<T: ToString>(parts: impl Iterator<Item = T>) -> String {
    let parts: Vec<_> = parts.map(|part| part.to_string()).collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}

fn page_of<T>(page: &Listed<T>, told: impl Fn(&[T]) -> String) -> String {
    format!("{}{}", told(&page.items), more(page.has_next))
}

fn more(more: bool) -> &'static str {
    if more { "; more" } else { "" }
}

fn micros(at: Timestamp) -> String {
    match at {
        Timestamp::MAX => "ever".to_owned(),
        at => at.as_micros().to_string(),
    }
}

/// A number that was given, or «new» for one that the model makes up where the driver has told none.
fn number(number: u64) -> String {
    if number >= UNTOLD {
        "new".to_owned()
    } else {
        number.to_string()
    }
}

/// What differs from the default.
fn settings(config: &PartitionConfig) -> String {
    let default = PartitionConfig::default();
    let mut text = String::new();
    let mut add = |is_other: bool, told: String| {
        if is_other {
            text.push_str(&told);
        }
    };
    let is = |one: u64| one != 0;
    add(
        is(config.attempts_max().into()),
        format!(", {} attempts", config.attempts_max()),
    );
    add(
        config.requeue() != default.requeue(),
        format!(", requeue {:?}", config.requeue()),
    );
    add(
        config.dead() != default.dead(),
        format!(", dead {:?}", config.dead()),
    );
    add(
        !config.dedup_for().is_zero(),
        format!(", dedup for {:?}", config.dedup_for()),
    );
    add(
        is(config.items_max()),
        format!(", {} items", config.items_max()),
    );
    add(
        is(config.bytes_max()),
        format!(", {} bytes", config.bytes_max()),
    );
    add(
        config.mode() != default.mode(),
        format!(", {:?}", config.mode()),
    );
    text
}

fn due(at: Option<Timestamp>) -> String {
    at.map_or_else(
        || "nothing due".to_owned(),
        |at| format!("due at {}", micros(at)),
    )
}

fn receipts_of(receipts: &[storage_api::Receipt]) -> String {
    joined(
        receipts
            .iter()
            .map(|one| format!("{}/lease {}", one.item, one.lease)),
    )
}

fn batch(batch: &SealedBatch) -> String {
    joined(batch.records().map(|record| {
        let mut text = format!("«{}»", record.attributes().reference);
        if let Some(key) = record.dedup_key() {
            let _ = write!(text, " key {}", String::from_utf8_lossy(key));
        }
        if let Some(at) = record.enqueue_at() {
            let _ = write!(text, " from {}", micros(at));
        }
        if let Some(at) = record.expire_at() {
            let _ = write!(text, " to {}", micros(at));
        }
        text
    }))
}

fn ids_of(produced: &Produced) -> String {
    joined(produced.outcomes().map(|outcome| match outcome {
        ProduceOutcome::Stored(id) => format!("id {}", number(id.get())),
        ProduceOutcome::Duplicate { of, state } => {
            format!("duplicate of {} ({state:?})", number(of.get()))
        }
    }))
}

fn entries(items: &[ItemEntry]) -> String {
    joined(items.iter().map(entry))
}

fn entry(item: &ItemEntry) -> String {
    let state = match item.state {
        ItemState::Ready { .. } => "ready".to_owned(),
        ItemState::Scheduled { enqueue_at } => format!("from {}", micros(enqueue_at)),
        ItemState::Leased {
            lease, deadline, ..
        } => format!("lease {} until {}", number(lease.get()), micros(deadline)),
        ItemState::Dead { reason, .. } => format!("dead, {reason:?}"),
    };
    let (id, name, attempts) = (number(item.id.get()), marker(item), item.attempts);
    format!("{id} «{name}» {state}, attempts {attempts}")
}

fn metadata(entry: &MetadataEntry) -> String {
    let value = String::from_utf8_lossy(entry.value.as_bytes());
    format!(
        "{} = «{value}» version {}",
        entry.key,
        number(entry.version.get())
    )
}

fn commit(request: &CommitRequest) -> String {
    let checks = request.checks().iter().map(|check| match check {
        Check::Absent { namespace, key } => format!("if {namespace}/{key} is absent"),
        Check::Version {
            namespace,
            key,
            version,
        } => format!("if {namespace}/{key} has {version}"),
        Check::Range {
            namespace, seen, ..
        } => {
            let seen = seen.iter().map(|(key, version)| format!("{key} {version}"));
            format!("if a range of {namespace} is {}", joined(seen))
        }
    });
    let writes = request.writes().iter().map(|write| match write {
        Written::Put {
            namespace,
            key,
            value,
            ..
        } => {
            let value = String::from_utf8_lossy(value.as_bytes());
            format!("put {namespace}/{key} = «{value}»")
        }
        Written::Delete { namespace, key } => format!("delete {namespace}/{key}"),
    });
    let steps = request.steps().iter().map(|step| match step {
        Step::Produce {
            partition,
            batch: sealed,
        } => format!("produce {partition} {}", batch(sealed)),
        Step::Complete {
            partition,
            receipts,
        } => {
            format!("complete {partition} {}", receipts_of(receipts))
        }
        Step::Delete { partition, ids } => format!("delete {partition} {}", joined(ids.iter())),
    });
    let parts = joined(checks.chain(writes).chain(steps));
    format!("at {}: {parts}", micros(request.now()))
}
