//! The backend that users open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use storage_api::{Durability, Error, ErrorKind, Object, Operation, Result, forward_backend};
use storage_kv::{Faults, KvBackend, KvOptions, Overlay, Place, open_aside, refused_opening};

use crate::config::SledConfig;
use crate::engine::{FILE, SledEngine};

/// Under which the driver is chosen, and which its places are marked with.
const DRIVER: &str = "sled";

/// The storage contract over one sled tree.
#[derive(Debug)]
pub struct SledBackend {
    inner: KvBackend<Overlay<SledEngine>>,
}

impl SledBackend {
    /// Opens the place, or makes it.
    ///
    /// `Unavailable` where somebody else holds it (clause OPEN-1), `Unsupported` or `Corrupted` where it is not a place of
    /// this driver and format (clause OPEN-2), `Unsupported` where `power-loss` is asked for (clause DUR-1),
    /// `InvalidArgument` where the cache is too small. Works on a thread of its own; if the future is dropped, the place is
    /// closed again.
    pub async fn open(config: SledConfig) -> Result<Self> {
        Self::open_with(config, Faults::default()).await
    }

    /// As [`open`](Self::open), with an engine that fails when it is told to: for tests.
    pub async fn open_with(config: SledConfig, faults: Faults) -> Result<Self> {
        let storage_dir = config.storage_dir().to_owned();
        let open = move || Self::open_here(&config, &faults);
        open_aside(DRIVER, &storage_dir, open).await
    }

    fn open_here(config: &SledConfig, faults: &Faults) -> Result<Self> {
        let refused = |kind, reason: String| {
            let place = Object::Place(config.storage_dir().display().to_string());
            Err(Error::new(kind, Operation::Open, place, reason))
        };
        let (cache_bytes, least) = (config.get_cache_bytes(), SledConfig::CACHE_BYTES_MIN);
        if cache_bytes < least {
            let reason = format!(
                "{cache_bytes} bytes of cache are too few for sled; give it at least {least}"
            );
            return refused(ErrorKind::InvalidArgument, reason);
        }
        if config.get_durability() == Durability::PowerLoss {
            let reason = "sled 0.34 never waits for the disk, so nothing that it holds survives the loss of power for sure; choose durability process-crash, or the driver redb or rocks";
            return refused(ErrorKind::Unsupported, reason.to_owned());
        }
        let place = Place::hold(config.storage_dir(), DRIVER)?;
        place.check_made(FILE)?;
        place.await_unlocked(&SledEngine::lock_of(place.path()));
        // sled panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            SledEngine::open(place.path(), cache_bytes, faults)
        }));
        let engine = match opened {
            Ok(opened) => opened.map_err(|error| refused_opening(place.path(), error))?,
            Err(_) => {
                let kind = ErrorKind::Corrupted;
                let reason = "its log is damaged, and sled panicked; restore it from a copy";
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

forward_backend!(impl all for SledBackend => inner);
