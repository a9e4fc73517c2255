//! Every driver of the project against every other, with the same sequences of operations.
//!
//! Those behind a feature take part where it is on: `cargo test -p storage-config --all-features --test differential`.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use journal_driver::{JournalBackend, JournalConfig};
use storage_api::{Capability, Durability, Result, StorageBackend, async_trait};
use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot, differential};
use storage_kv::{KvBackend, KvOptions, Overlay, SimDisk};

// Nobody crashes here, so nothing waits for the disk. The volume of the tests may be small.
const DURABILITY: Durability = Durability::ProcessCrash;
const DISK_RESERVE: u64 = 0;

fn main() -> ExitCode {
    let drivers: Vec<Arc<dyn Harness>> = vec![
        #[cfg(feature = "memory")]
        Arc::new(Side {
            name: "memory",
            keeps: false,
            open: |_| Box::pin(async { backend(storage_memory::MemoryBackend::new()) }),
        }),
        #[cfg(feature = "redb")]
        Arc::new(Side::on_disk("redb", |directory| {
            Box::pin(async move {
                let config = storage_redb::RedbConfig::new(directory).disk_reserve(DISK_RESERVE);
                let config = config.durability(DURABILITY).cache_bytes(4 << 20);
                backend(storage_redb::RedbBackend::open(config).await?)
            })
        })),
        Arc::new(Side::on_disk("journal", |directory| {
            Box::pin(async move {
                let config = JournalConfig::new(directory).disk_reserve(DISK_RESERVE);
                backend(JournalBackend::open(config.durability(DURABILITY)).await?)
            })
        })),
        Arc::new(Simulated),
        #[cfg(feature = "rocks")]
        Arc::new(Side::on_disk("rocks", |directory| {
            Box::pin(async move {
                let config = storage_rocks::RocksConfig::new(directory).disk_reserve(DISK_RESERVE);
                let config = config.durability(DURABILITY).cache_bytes(4 << 20);
                backend(storage_rocks::RocksBackend::open(config).await?)
            })
        })),
        #[cfg(feature = "sled")]
        Arc::new(Side::on_disk("sled", |directory| {
            Box::pin(async move {
                let config = storage_sled::SledConfig::new(directory).disk_reserve(DISK_RESERVE);
                let config = config.durability(DURABILITY).cache_bytes(4 << 20);
                backend(storage_sled::SledBackend::open(config).await?)
            })
        })),
    ];
    differential::run(&drivers)
}

fn backend(backend: impl StorageBackend + 'static) -> Result<Arc<dyn StorageBackend>> {
    Ok(Arc::new(backend))
}

type Opening = Pin<Box<dyn Future<Output = Result<Arc<dyn StorageBackend>>> + Send>>;

/// A driver, and how a directory is opened with it.
#[derive(Clone, Copy)]
struct Side {
    name: &'static str,
    keeps: bool,
    open: fn(PathBuf) -> Opening,
}

impl Side {
    fn on_disk(name: &'static str, open: fn(PathBuf) -> Opening) -> Self {
        Self {
            name,
            keeps: true,
            open,
        }
    }
}

#[async_trait]
impl Harness for Side {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new(self.name, env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        if self.keeps {
            return Claims::all();
        }
        Claims::all().without(Capability::Reopen, "the state goes with the backend")
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        let directory = spot.directory()?;
        Ok(Box::new(SidePlace(*self, directory)))
    }
}

struct SidePlace(Side, PathBuf);

#[async_trait]
impl Place for SidePlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        let Self(side, directory) = self;
        (side.open)(directory.clone()).await
    }
}

/// The core that `redb`, `rocks` and `sled` share, over an overlay of an engine in memory.
struct Simulated;

#[async_trait]
impl Harness for Simulated {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("sim-overlay", env!("CARGO_PKG_VERSION"))
    }

    async fn provision(&self, _spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(Box::new(SimulatedPlace(SimDisk::new())))
    }
}

struct SimulatedPlace(SimDisk);

#[async_trait]
impl Place for SimulatedPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        let engine = self.0.hold().expect("the backend before was closed");
        let options = KvOptions::new("sim-overlay", env!("CARGO_PKG_VERSION"), DURABILITY);
        backend(KvBackend::open(Overlay::new(engine), options)?)
    }
}
