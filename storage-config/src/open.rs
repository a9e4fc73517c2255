//! From a tree to opened storages: judge everything, then open each place once.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use storage_api::{Durability, Storage};
use storage_queue::{PartitionStorage, Storages};

use crate::document::{Document, PartitionEntry, Whole};
use crate::driver::{DriverConfig, Plan};
use crate::error::{ConfigError, Position, Problem};
use crate::node::Node;
use crate::opened::Opened;
use crate::queues;
use crate::registry::Registry;

/// The longest name of a partition storage, in bytes, as storage-queue takes it.
const STORAGE_NAME_BYTES_MAX: usize = 256;

/// What becomes of a place that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Refuse,
}

pub(crate) async fn open_storages(
    registry: &Registry,
    root: &Node,
    base_dir: &Path,
    file: &str,
    missing: Missing,
) -> Result<Opened, ConfigError> {
    let scene = Scene {
        registry,
        base_dir,
        file,
    };
    let document: Document = root
        .read()
        .map_err(|misfit| ConfigError::new(file, misfit.at, misfit.problem))?;
    let entries = list_of(root, "partition-storage");
    scene.check_storages(&document.partition_storage, root, entries)?;
    let declared = queues::declared(&document.queues, list_of(root, "queues"), file)?;

    let mut places = Places::default();
    let metadata_node = root.get("queue-storage").unwrap_or(root);
    places.add(&scene, &document.queue_storage.driver, metadata_node)?;
    for (entry, node) in document.partition_storage.iter().zip(entries) {
        places.add(&scene, &entry.driver, node)?;
    }
    if missing == Missing::Refuse {
        places.check_made(&scene)?;
    }
    let backends = places.open(file).await?;

    match scene.storages(&document, &backends.by_use, entries) {
        Ok(storages) => Ok(Opened::new(file, storages, declared)),
        Err(error) => {
            close(&backends.opened).await;
            Err(error)
        }
    }
}

/// What stays the same while a file is read.
struct Scene<'a> {
    registry: &'a Registry,
    base_dir: &'a Path,
    file: &'a str,
}

impl Scene<'_> {
    fn refuse(&self, at: Position, problem: impl Into<Problem>) -> ConfigError {
        ConfigError::new(self.file, Some(at), problem)
    }

    fn check_storages(
        &self,
        storages: &[PartitionEntry],
        root: &Node,
        entries: &[Node],
    ) -> Result<(), ConfigError> {
        if storages.is_empty() {
            let at = at_of(root, "partition-storage");
            return Err(self.refuse(at, "no storage is named here; items need at least one"));
        }
        let mut names = HashMap::new();
        for (storage, node) in storages.iter().zip(entries) {
            let (name, at) = (&storage.name, at_of(node, "name"));
            if !(1..=STORAGE_NAME_BYTES_MAX).contains(&name.len()) {
                let message = format!(
                    "a storage has a name of 1 to {STORAGE_NAME_BYTES_MAX} bytes, this one has {}",
                    name.len()
                );
                return Err(self.refuse(at, message));
            }
            if let Some(first) = names.insert(name, at.line) {
                let message = format!(
                    "the storage «{}» stands in line {first} already; give each a name of its own",
                    name.escape_debug()
                );
                return Err(self.refuse(at, message));
            }
        }
        Ok(())
    }

    /// `storages` are that of the metadata, then one for each entry.
    fn storages(
        &self,
        document: &Document,
        storages: &[Storage],
        entries: &[Node],
    ) -> Result<Storages, ConfigError> {
        let (metadata, places) = (&storages[0], &storages[1..]);
        let mut partitions = Vec::with_capacity(places.len());
        for ((entry, storage), node) in document.partition_storage.iter().zip(places).zip(entries) {
            if !document.allow_mixed_durability {
                self.check_durability(entry, storage, metadata, node)?;
            }
            let affinity = entry.affinity.map_or(1, Whole::get);
            let named = PartitionStorage::new(&entry.name, storage.clone(), affinity);
            partitions.push(named.map_err(|error| self.refuse(node.at, error.to_string()))?);
        }
        Storages::new(metadata.clone(), partitions)
            .map_err(|error| ConfigError::new(self.file, None, error.to_string()))
    }

    /// Items that outlive the metadata that knows them, or the reverse, are nearly always a mistake.
    fn check_durability(
        &self,
        entry: &PartitionEntry,
        storage: &Storage,
        metadata: &Storage,
        node: &Node,
    ) -> Result<(), ConfigError> {
        let of_metadata = metadata.descriptor().durability;
        let of_items = storage.descriptor().durability;
        let is_volatile = |durability| durability == Durability::None;
        if is_volatile(of_items) == is_volatile(of_metadata) {
            return Ok(());
        }
        let message = format!(
            "the durability of items in «{}» is {of_items}, that of metadata in queue-storage is {of_metadata}, \
             so that one outlives the other; choose drivers that are alike, or write allow-mixed-durability: true",
            entry.name.escape_debug()
        );
        Err(self.refuse(at_of(node, "driver"), message))
    }
}

/// The places that a file names, each once, and which of them each storage uses.
#[derive(Default)]
struct Places {
    planned: Vec<Planned>,
    by_identity: HashMap<(String, OsString), usize>,
    uses: Vec<usize>,
}

struct Planned {
    plan: Plan,
    driver_at: Position,
}

struct Backends {
    /// Each once, in the order of opening.
    opened: Vec<Storage>,
    /// One for the metadata, then one for each partition storage.
    by_use: Vec<Storage>,
}

impl Places {
    fn add(&mut self, scene: &Scene<'_>, driver: &str, node: &Node) -> Result<(), ConfigError> {
        let driver_at = at_of(node, "driver");
        let config = DriverConfig::new(scene.file, scene.base_dir, driver_at, node.get("config"));
        let plan = scene
            .registry
            .plan(driver, driver_at, &config, scene.file)?;
        let identity = (driver.to_owned(), plan.identity().to_owned());
        if let Some(&known) = self.by_identity.get(&identity) {
            let first = &self.planned[known];
            if first.plan.settings() != plan.settings() {
                let message = format!(
                    "line {} names the same place with other settings; write them alike",
                    first.driver_at.line
                );
                return Err(scene.refuse(driver_at, message));
            }
            self.uses.push(known);
            return Ok(());
        }
        if let Some(other) = self
            .planned
            .iter()
            .find(|other| are_nested(&other.plan, &plan))
        {
            let message = format!(
                "its place and that of line {} lie one within the other; name directories beside each other",
                other.driver_at.line
            );
            return Err(scene.refuse(driver_at, message));
        }
        self.by_identity.insert(identity, self.planned.len());
        self.uses.push(self.planned.len());
        self.planned.push(Planned { plan, driver_at });
        Ok(())
    }

    /// Refuses a place in which there is nothing.
    fn check_made(&self, scene: &Scene<'_>) -> Result<(), ConfigError> {
        for Planned { plan, driver_at } in &self.planned {
            let Some(place) = plan.place() else {
                continue;
            };
            // What cannot be looked at is told by opening it.
            let is_empty = match std::fs::read_dir(place) {
                Ok(mut entries) => entries.next().is_none(),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            if is_empty {
                let message = format!(
                    "there is nothing at {}; check its path, or use the storage once",
                    place.display()
                );
                return Err(scene.refuse(*driver_at, message));
            }
        }
        Ok(())
    }

    async fn open(self, file: &str) -> Result<Backends, ConfigError> {
        let mut opened: Vec<Storage> = Vec::new();
        for Planned { plan, driver_at } in self.planned {
            match plan.open().await {
                Ok(backend) => opened.push(Storage::from_backend(backend)),
                Err(error) => {
                    close(&opened).await;
                    let refusal = ConfigError::new(file, Some(driver_at), error.to_string());
                    return Err(refusal.with_storage(error));
                }
            }
        }
        let by_use = self.uses.iter().map(|&index| opened[index].clone());
        Ok(Backends {
            by_use: by_use.collect(),
            opened,
        })
    }
}

/// Whether a place lies within the other. At the same one drivers see for themselves whose it is.
fn are_nested(one: &Plan, other: &Plan) -> bool {
    let (Some(one), Some(other)) = (one.place(), other.place()) else {
        return false;
    };
    one != other && (one.starts_with(other) || other.starts_with(one))
}

/// Closes what an opening that goes wrong leaves behind.
async fn close(storages: &[Storage]) {
    for storage in storages {
        // The error that is reported is the one that made the opening go wrong.
        let _ = storage.close().await;
    }
}

fn list_of<'a>(root: &'a Node, key: &str) -> &'a [Node] {
    root.get(key).map_or(&[], Node::list)
}

fn at_of(node: &Node, key: &str) -> Position {
    node.get(key).unwrap_or(node).at
}
