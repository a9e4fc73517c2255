//! The drivers that can be measured, and how each is opened.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use storage_api::{Durability, Storage};
use storage_kv::{Faults, KvBackend, KvOptions, KvResult, OrderedKv, Overlay, Place};
use storage_memory::MemoryBackend;
use storage_redb::{RedbConfig, RedbEngine};

use crate::disk::{Failure, Log, Tap};

/// A driver by the name under which configuration chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    /// Everything in memory, gone with the process
    Memory,
    /// One redb file
    Redb,
    /// RocksDB
    #[cfg(feature = "rocks")]
    Rocks,
    /// sled 0.34
    #[cfg(feature = "sled")]
    Sled,
}

impl Driver {
    /// Every driver that this program was built with.
    pub(crate) const ALL: &[Self] = &[
        Self::Memory,
        Self::Redb,
        #[cfg(feature = "rocks")]
        Self::Rocks,
        #[cfg(feature = "sled")]
        Self::Sled,
    ];

    /// Where it keeps what it stores.
    pub(crate) fn medium(self) -> Medium {
        match self {
            Self::Memory => Medium::Memory(Memory),
            Self::Redb => Medium::Disk(DiskDriver::Redb),
            #[cfg(feature = "rocks")]
            Self::Rocks => Medium::Disk(DiskDriver::Rocks),
            #[cfg(feature = "sled")]
            Self::Sled => Medium::Disk(DiskDriver::Sled),
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What is measured depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Medium {
    Memory(Memory),
    Disk(DiskDriver),
}

/// The memory driver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory;

impl Memory {
    /// An empty storage.
    pub(crate) fn open(self) -> Storage {
        Storage::new(MemoryBackend::new())
    }
}

/// How an engine is set up, where not as its driver does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup {
    /// The size of each cache that it has a setting for.
    pub(crate) cache_bytes: Option<usize>,
    /// Neighbours are not put in or removed together.
    pub(crate) is_row_by_row: bool,
}

/// A driver over an ordered key-value engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DiskDriver {
    Redb,
    #[cfg(feature = "rocks")]
    Rocks,
    #[cfg(feature = "sled")]
    Sled,
}

impl DiskDriver {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            #[cfg(feature = "rocks")]
            Self::Rocks => "rocks",
            #[cfg(feature = "sled")]
            Self::Sled => "sled",
        }
    }

    /// The strongest durability that the driver claims.
    pub(crate) fn strongest(self) -> Durability {
        match self {
            Self::Redb => Durability::PowerLoss,
            #[cfg(feature = "rocks")]
            Self::Rocks => Durability::PowerLoss,
            #[cfg(feature = "sled")]
            Self::Sled => Durability::ProcessCrash,
        }
    }

    /// Whether its adapter puts in or removes neighbours together, and can be told not to.
    pub(crate) fn gathers_neighbours(self) -> bool {
        match self {
            Self::Redb => true,
            #[cfg(feature = "rocks")]
            Self::Rocks => true,
            #[cfg(feature = "sled")]
            Self::Sled => false,
        }
    }

    /// Whether files shrink when items go.
    pub(crate) fn gives_space_back(self) -> bool {
        match self {
            Self::Redb => true,
            #[cfg(feature = "rocks")]
            Self::Rocks => true,
            #[cfg(feature = "sled")]
            Self::Sled => false,
        }
    }

    /// What caches take that have a setting each, if each has that size.
    pub(crate) fn caches_bytes(self, cache_bytes: usize) -> usize {
        match self {
            Self::Redb => cache_bytes,
            // Blocks, and what is not in tables yet.
            #[cfg(feature = "rocks")]
            Self::Rocks => 2 * cache_bytes,
            #[cfg(feature = "sled")]
            Self::Sled => cache_bytes,
        }
    }

    /// The bare engine of a directory.
    pub(crate) fn open_engine(
        self,
        directory: &Path,
        setup: Setup,
    ) -> KvResult<Box<dyn OrderedKv>> {
        let Setup {
            cache_bytes,
            is_row_by_row,
        } = setup;
        match self {
            Self::Redb => {
                let cache_bytes = cache_bytes.unwrap_or(RedbConfig::CACHE_BYTES);
                let engine = RedbEngine::open(directory, cache_bytes, &Faults::default())?;
                Ok(match is_row_by_row {
                    true => Box::new(engine.row_by_row()),
                    false => Box::new(engine),
                })
            }
            #[cfg(feature = "rocks")]
            Self::Rocks => {
                let mut config = storage_rocks::RocksConfig::new(directory);
                if let Some(bytes) = cache_bytes {
                    config = config.cache_bytes(bytes).memtable_bytes(bytes);
                }
                let faults = Faults::default();
                let engine = storage_rocks::RocksEngine::open(directory, &config, &faults)?;
                Ok(match is_row_by_row {
                    true => Box::new(engine.row_by_row()),
                    false => Box::new(engine),
                })
            }
            #[cfg(feature = "sled")]
            Self::Sled => {
                let default = storage_sled::SledConfig::CACHE_BYTES;
                let cache_bytes = cache_bytes.unwrap_or(default);
                let faults = Faults::default();
                let engine = storage_sled::SledEngine::open(directory, cache_bytes, &faults)?;
                Ok(Box::new(engine))
            }
        }
    }

    /// The driver over a directory: what its crate puts together, with a tap in between.
    pub(crate) fn open(
        self,
        directory: &Path,
        log: &Log,
        durability: Durability,
        setup: Setup,
    ) -> Result<Opened, Failure> {
        let place = Place::hold(directory, self.name())?;
        let start = Instant::now();
        let tap = Tap::new(self.open_engine(directory, setup)?.into(), log);
        let engine_opened = start.elapsed();
        let options = KvOptions::new(self.name(), env!("CARGO_PKG_VERSION"), durability)
            .at(place, RedbConfig::DISK_RESERVE);
        let engine: Arc<dyn OrderedKv> = match self {
            Self::Redb => Arc::new(Overlay::new(tap)),
            #[cfg(feature = "rocks")]
            Self::Rocks => Arc::new(tap),
            #[cfg(feature = "sled")]
            Self::Sled => Arc::new(Overlay::new(tap)),
        };
        let shared = Tap::new(Arc::clone(&engine), &Log::default());
        let storage = Storage::new(KvBackend::open(shared, options)?);
        Ok(Opened {
            storage,
            engine,
            engine_opened,
        })
    }
}

/// A storage that was opened.
pub(crate) struct Opened {
    pub(crate) storage: Storage,
    /// What it writes to: to be synced, whether its driver claims a sync or not.
    pub(crate) engine: Arc<dyn OrderedKv>,
    /// How long the engine alone took.
    pub(crate) engine_opened: Duration,
}
