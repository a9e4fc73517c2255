//! The backend that users open.

use storage_api::{Error, ErrorKind, Object, Operation, Result, forward_backend};
use storage_kv::{Faults, KvBackend, KvOptions, Place, open_aside, refused_opening};

use crate::config::RocksConfig;
use crate::engine::{CURRENT, RocksEngine};

/// Under which the driver is chosen, and which its places are marked with.
const DRIVER: &str = "rocks";

/// The storage contract over one RocksDB database.
#[derive(Debug)]
pub struct RocksBackend {
    inner: KvBackend<RocksEngine>,
}

impl RocksBackend {
    /// Opens the place, or makes it.
    ///
    /// `Unavailable` where somebody else holds it (clause OPEN-1), `Unsupported` or `Corrupted` where it is not a place of
    /// this driver and format (clause OPEN-2), `InvalidArgument` where a setting is below its least. Works on a thread of its own; if the future is dropped, the place is closed
    /// again.
    pub async fn open(config: RocksConfig) -> Result<Self> {
        Self::open_with(config, Faults::default()).await
    }

    /// As [`open`](Self::open), with an engine that fails when it is told to: for tests.
    pub async fn open_with(config: RocksConfig, faults: Faults) -> Result<Self> {
        let storage_dir = config.storage_dir().to_owned();
        let open = move || Self::open_here(&config, &faults);
        open_aside(DRIVER, &storage_dir, open).await
    }

    fn open_here(config: &RocksConfig, faults: &Faults) -> Result<Self> {
        if let Some(reason) = config.misfit() {
            let place = Object::Place(config.storage_dir().display().to_string());
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(kind, Operation::Open, place, reason));
        }
        let place = Place::hold(config.storage_dir(), DRIVER)?;
        // Without it RocksDB makes another database, and removes what it does not know.
        place.check_made(CURRENT)?;
        let opened = RocksEngine::open(place.path(), config, faults);
        let engine = opened.map_err(|error| refused_opening(place.path(), error))?;
        let version = env!("CARGO_PKG_VERSION");
        let options = KvOptions::new(DRIVER, version, config.get_durability())
            .at(place, config.get_disk_reserve());
        let inner = KvBackend::open(engine, options)?;
        Ok(Self { inner })
    }
}

forward_backend!(impl all for RocksBackend => inner);
