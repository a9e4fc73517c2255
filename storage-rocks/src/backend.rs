//! The backend that users open.

use storage_api::{Error, ErrorKind, Object, Operation, Result, RetryHint, forward_backend};
use storage_kv::{Faults, KvBackend, KvError, KvErrorKind, KvOptions, Place};

use crate::config::RocksConfig;
use crate::engine::RocksEngine;

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
    /// this driver and format (clause OPEN-2). Works on a thread of its own; if the future is dropped, the place is closed
    /// again.
    pub async fn open(config: RocksConfig) -> Result<Self> {
        Self::open_with(config, Faults::default()).await
    }

    /// As [`open`](Self::open), with an engine that fails when it is told to: for tests.
    pub async fn open_with(config: RocksConfig, faults: Faults) -> Result<Self> {
        let (sender, opened) = tokio::sync::oneshot::channel();
        let place = config.storage_dir().display().to_string();
        let refused = |reason: String| {
            let place = Object::Place(place.clone());
            Error::new(ErrorKind::Unavailable, Operation::Open, place, reason)
        };
        let thread = std::thread::Builder::new().name("rocks-open".to_owned());
        let open = move || {
            // An error says that the future was dropped; then so is the backend.
            let _ = sender.send(Self::open_here(&config, &faults));
        };
        let spawned = thread.spawn(open);
        spawned.map_err(|error| refused(format!("no thread could be started: {error}")))?;
        let opened = opened.await;
        opened.map_err(|_| refused("opening it came to no end".to_owned()))?
    }

    fn open_here(config: &RocksConfig, faults: &Faults) -> Result<Self> {
        let place = Place::hold(config.storage_dir(), DRIVER)?;
        let name = place.path().display().to_string();
        let opened = RocksEngine::open(place.path(), config, faults);
        let engine = opened.map_err(|error| refusal(name, error))?;
        let version = env!("CARGO_PKG_VERSION");
        let options = KvOptions::new(DRIVER, version, config.get_durability())
            .at(place, config.get_disk_reserve());
        let inner = KvBackend::open(engine, options)?;
        Ok(Self { inner })
    }
}

fn refusal(place: String, error: KvError) -> Error {
    let (kind, hint) = match error.kind() {
        KvErrorKind::Corrupted => (ErrorKind::Corrupted, RetryHint::Never),
        KvErrorKind::Unavailable | KvErrorKind::Broken => {
            (ErrorKind::Unavailable, RetryHint::SameCall)
        }
    };
    Error::new(
        kind,
        Operation::Open,
        Object::Place(place),
        error.to_string(),
    )
    .with_retry_hint(hint)
    .with_source(error)
}

forward_backend!(impl all for RocksBackend => inner);
