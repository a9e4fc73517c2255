//! The backend that users open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use storage_api::{Error, ErrorKind, Object, Operation, Result, RetryHint, forward_backend};
use storage_kv::{KvBackend, KvError, KvErrorKind, KvOptions, Overlay, Place};

use crate::config::RedbConfig;
use crate::engine::RedbEngine;
use crate::file::Faults;

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
        let (sender, opened) = tokio::sync::oneshot::channel();
        let place = config.storage_dir().display().to_string();
        let refused = |reason: String| {
            let place = Object::Place(place.clone());
            Error::new(ErrorKind::Unavailable, Operation::Open, place, reason)
        };
        let thread = std::thread::Builder::new().name("redb-open".to_owned());
        let open = move || {
            // An error says that the future was dropped; then so is the backend.
            let _ = sender.send(Self::open_here(&config, &faults));
        };
        let spawned = thread.spawn(open);
        spawned.map_err(|error| refused(format!("no thread could be started: {error}")))?;
        let opened = opened.await;
        opened.map_err(|_| refused("opening it came to no end".to_owned()))?
    }

    fn open_here(config: &RedbConfig, faults: &Faults) -> Result<Self> {
        let place = Place::hold(config.storage_dir(), DRIVER)?;
        let name = place.path().display().to_string();
        // redb panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            RedbEngine::open(place.path(), config.get_cache_bytes(), faults)
        }));
        let engine = match opened {
            Ok(opened) => opened.map_err(|error| refusal(name, error))?,
            Err(_) => {
                let kind = ErrorKind::Corrupted;
                let reason = "its file is damaged, and redb panicked; restore it from a copy";
                return Err(Error::new(
                    kind,
                    Operation::Open,
                    Object::Place(name),
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

forward_backend!(impl all for RedbBackend => inner);
