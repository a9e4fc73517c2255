//! The backend that users open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use storage_api::{Error, ErrorKind, Object, Operation, Result, forward_backend};
use storage_kv::{Faults, KvBackend, KvOptions, Overlay, Place, open_aside, refused_opening};

use crate::config::RedbConfig;
use crate::engine::{FILE, RedbEngine};

/// Under which the driver is chosen, and which its places are marked with.
const DRIVER: &str = "redb";

/// The storage contract over one redb file.
#[derive(Debug)]
pub struct RedbBackend {
    inner: KvBackend<Overlay<RedbEngine>>,
}

impl RedbBackend {
    /// Opens the place, or makes it.
    ///
    /// `Unavailable` where somebody else holds it (clause OPEN-1), `Unsupported` or `Corrupted` where it is not a place of
    /// this driver and format (clause OPEN-2). Works on a thread of its own; if the future is dropped, the place is closed
    /// again.
    pub async fn open(config: RedbConfig) -> Result<Self> {
        Self::open_with(config, Faults::default()).await
    }

    /// As [`open`](Self::open), with a file that fails when it is told to: for tests.
    pub async fn open_with(config: RedbConfig, faults: Faults) -> Result<Self> {
        let storage_dir = config.storage_dir().to_owned();
        let open = move || Self::open_here(&config, &faults);
        open_aside(DRIVER, &storage_dir, open).await
    }

    fn open_here(config: &RedbConfig, faults: &Faults) -> Result<Self> {
        let place = Place::hold(config.storage_dir(), DRIVER)?;
        place.check_made(FILE)?;
        // redb panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            RedbEngine::open(place.path(), config.get_cache_bytes(), faults)
        }));
        let engine = match opened {
            Ok(opened) => opened.map_err(|error| refused_opening(place.path(), error))?,
            Err(_) => {
                let kind = ErrorKind::Corrupted;
                let reason = "its file is damaged, and redb panicked; restore it from a copy";
                return Err(Error::new(
                    kind,
                    Operation::Open,
                    Object::Place(place.path().display().to_string()),
                    reason,
                ));
            }
        };
        let version = env!("CARGO_PKG_VERSION");
        let options = KvOptions::new(DRIVER, version, config.get_durability())
            .at(place, config.get_disk_reserve());
        let inner = KvBackend::open(Overlay::new(engine), options)?;
        Ok(Self { inner })
    }
}

forward_backend!(impl all for RedbBackend => inner);
