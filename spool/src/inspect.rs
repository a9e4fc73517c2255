//! Looking at a queue from outside: status, dead items, clearing.

use std::io::{self, Write};

use serde::Serialize;
use storage_api::{
    Count, DeadReason, Durability, ErrorKind, ItemState, ListRequest, Partition, QueueName,
    ReviveOutcome, State, States,
};
use storage_config::{Opened, Registry};
use storage_queue::{Queue, QueueItem, QueueItemId};

use crate::bookmark;
use crate::cli::{DeadCommand, Place, ShownId};
use crate::failure::Failure;

/// How many characters of a payload or a note are shown in a line.
const SHOWN_CHARS_MAX: usize = 60;

/// A queue of a configuration, opened.
struct Found {
    opened: Opened,
    queue: Queue,
}

impl Found {
    async fn open(registry: &Registry, place: &Place) -> Result<Self, Failure> {
        let opened = registry.open_existing(&place.config).await?;
        let queue = opened.queues().await?.open(&place.queue).await;
        match queue {
            Ok(queue) => Ok(Self { opened, queue }),
            Err(error) => {
                opened.close().await?;
                Err(match error.kind() {
                    ErrorKind::NotFound => Failure::usage(format!(
                        "there is no queue «{}» in {}; check --queue",
                        place.queue,
                        place.config.display().to_string().escape_debug()
                    )),
                    _ => error.into(),
                })
            }
        }
    }
}

/// What is said of a queue on a driver that keeps nothing.
const VOLATILE: &str =
    "items of this driver live as long as the process that produced them; a new process finds none";

#[derive(Debug, Serialize)]
struct Status {
    queue: QueueName,
    driver: String,
    durability: Durability,
    partitions: usize,
    ready: u64,
    scheduled: u64,
    leased: u64,
    dead: u64,
    bytes: u64,
}

/// `spool status`
pub async fn status(registry: &Registry, place: &Place, json: bool) -> Result<(), Failure> {
    let found = Found::open(registry, place).await?;
    let partitions = found.queue.partitions();
    let (driver, durability) = drivers(partitions);
    let mut status = Status {
        queue: place.queue.clone(),
        driver,
        durability,
        partitions: partitions.len(),
        ready: 0,
        scheduled: 0,
        leased: 0,
        dead: 0,
        bytes: 0,
    };
    let stats = found.queue.stats().await?;
    status.ready = stats.ready.items;
    status.scheduled = stats.scheduled.items;
    status.leased = stats.leased.items;
    status.dead = stats.dead.items;
    status.bytes = stats.bytes();
    found.opened.close().await?;
    let mut out = io::stdout().lock();
    if json {
        let json = serde_json::to_string(&status).map_err(io::Error::other)?;
        writeln!(out, "{json}")?;
        return Ok(());
    }
    writeln!(out, "queue       {}", status.queue)?;
    writeln!(out, "driver      {}", status.driver)?;
    writeln!(out, "durability  {}", status.durability)?;
    for (name, number) in [
        ("partitions", status.partitions as u64),
        ("ready", status.ready),
        ("scheduled", status.scheduled),
        ("leased", status.leased),
        ("dead", status.dead),
        ("bytes", status.bytes),
    ] {
        writeln!(out, "{name:<12}{number}")?;
    }
    if status.durability == Durability::None {
        writeln!(out, "note: {VOLATILE}")?;
    }
    Ok(())
}

/// The drivers of some partitions, and the weakest of what they promise.
pub fn drivers(partitions: &[Partition]) -> (String, Durability) {
    let descriptors = || {
        partitions
            .iter()
            .map(|partition| partition.storage().descriptor())
    };
    let mut drivers: Vec<_> = descriptors().map(|descriptor| descriptor.driver).collect();
    drivers.sort_unstable();
    drivers.dedup();
    let durability = descriptors().map(|descriptor| descriptor.durability).min();
    (drivers.join("+"), durability.unwrap_or_default())
}

/// `spool dead`
pub async fn dead(registry: &Registry, command: &DeadCommand) -> Result<(), Failure> {
    match command {
        DeadCommand::List { place, json } => {
            let found = Found::open(registry, place).await?;
            let listed = list_dead(&found.queue, *json).await;
            found.opened.close().await?;
            listed
        }
        DeadCommand::Revive { place, ids } => {
            let found = Found::open(registry, place).await?;
            let revived = revive(&found.queue, ids).await;
            found.opened.close().await?;
            revived
        }
    }
}

/// A dead item as it is shown.
#[derive(Debug, Serialize)]
pub struct DeadItem {
    id: String,
    attempts: u32,
    reason: Option<DeadReason>,
    died_at: Option<String>,
    note: Option<String>,
    /// Bytes that are not UTF-8 are replaced.
    payload: String,
}

impl DeadItem {
    fn new(QueueItem { partition, entry }: &QueueItem) -> Self {
        let id = ShownId {
            partition: *partition,
            item: entry.id,
        };
        let (reason, died_at) = match entry.state {
            ItemState::Dead { reason, died_at } => (Some(reason), Some(died_at.to_string())),
            _ => (None, None),
        };
        let payload = entry.record.view().payload().unwrap_or_default();
        Self {
            id: id.to_string(),
            attempts: entry.attempts,
            reason,
            died_at,
            note: entry.note.as_ref().map(|note| note.as_str().to_owned()),
            payload: String::from_utf8_lossy(payload).into_owned(),
        }
    }
}

impl std::fmt::Display for DeadItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}  {} attempts", self.id, self.attempts)?;
        if let Some(reason) = self.reason {
            write!(f, "  {reason}")?;
        }
        if let Some(died_at) = &self.died_at {
            write!(f, "  {died_at}")?;
        }
        if let Some(note) = &self.note {
            write!(f, "  «{}»", shown(note))?;
        }
        write!(f, "  {}", shown(&self.payload))
    }
}

/// The beginning of a text, fit for a line: what would move a terminal's cursor is escaped.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(SHOWN_CHARS_MAX) {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The first dead items of a queue, at most so many.
pub async fn first_dead(queue: &Queue, max: usize) -> storage_api::Result<Vec<DeadItem>> {
    let mut first = Vec::new();
    let request = ListRequest::by_id(State::Dead).items_max(Count::clamped(max));
    let mut pages = queue.pages(request);
    while first.len() < max
        && let Some(items) = pages.next().await?
    {
        first.extend(items.iter().take(max - first.len()).map(DeadItem::new));
    }
    Ok(first)
}

async fn list_dead(queue: &Queue, json: bool) -> Result<(), Failure> {
    let mut is_empty = true;
    let mut pages = queue.dead();
    while let Some(items) = pages.next().await? {
        let mut out = io::stdout().lock();
        for item in items.iter().map(DeadItem::new) {
            if json {
                let json = serde_json::to_string(&item).map_err(io::Error::other)?;
                writeln!(out, "{json}")?;
            } else {
                writeln!(out, "{item}")?;
            }
            is_empty = false;
        }
    }
    if is_empty && !json {
        writeln!(io::stdout(), "no dead items")?;
        note_volatile(queue)?;
    }
    Ok(())
}

async fn revive(queue: &Queue, ids: &[ShownId]) -> Result<(), Failure> {
    let mut refused = Vec::new();
    let revived = if ids.is_empty() {
        queue.revive_all().await?
    } else {
        let width = queue.config().partitions();
        let (known, unknown): (Vec<ShownId>, Vec<ShownId>) =
            ids.iter().partition(|id| id.partition < width);
        refused.extend(unknown.iter().map(|id| format!("there is no item {id}")));
        let by_id = known.iter().map(|id| QueueItemId {
            partition: id.partition,
            item: id.item,
        });
        let mut revived = 0;
        for (id, outcome) in known.iter().zip(queue.revive(by_id).await?) {
            match outcome {
                ReviveOutcome::Revived => revived += 1,
                ReviveOutcome::NotDead => refused.push(format!("{id} is not dead")),
                ReviveOutcome::NotFound => refused.push(format!("there is no item {id}")),
            }
        }
        revived
    };
    writeln!(io::stdout(), "{revived} items revived")?;
    note_volatile(queue)?;
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::broken(refused.join("; ")))
}

/// `spool clear`
pub async fn clear(registry: &Registry, place: &Place, dead_only: bool) -> Result<(), Failure> {
    let found = Found::open(registry, place).await?;
    let partitions = found.queue.partitions();
    let states = if dead_only {
        States::from(State::Dead)
    } else {
        States::ALL
    };
    let removed = found.queue.clear(states).await?;
    if !dead_only {
        bookmark::remove_all(&place.queue, partitions).await?;
    }
    writeln!(io::stdout(), "{removed} items deleted")?;
    note_volatile(&found.queue)?;
    found.opened.close().await?;
    Ok(())
}

fn note_volatile(queue: &Queue) -> io::Result<()> {
    if drivers(queue.partitions()).1 == Durability::None {
        writeln!(io::stdout(), "note: {VOLATILE}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_control_characters_are_escaped() {
        assert_eq!(
            shown("{\"a\": 'é'}\n\u{1b}[31m"),
            "{\"a\": 'é'}\\n\\u{1b}[31m"
        );
        assert_eq!(shown(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(shown(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
