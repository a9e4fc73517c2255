//! How an adapter opens its engine.

use std::io;
use std::path::Path;

use storage_api::{Error, ErrorKind, Object, Operation, Result, RetryHint};

use crate::engine::{KvError, KvErrorKind};
use crate::store::MAKE_ROOM;
use crate::sync::awaited::oneshot;
use crate::sync::thread;

/// Opens a place of that driver on a thread of its own, as engines block while they open. If the future is dropped, so is
/// what was opened.
///
/// `Unavailable` where there is no thread, or where it ends without an answer.
pub async fn open_aside<T: Send + 'static>(
    driver: &str,
    storage_dir: &Path,
    open: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, opened) = oneshot::channel();
    let refused = |reason: String| {
        let place = Object::Place(storage_dir.display().to_string());
        Error::new(ErrorKind::Unavailable, Operation::Open, place, reason)
    };
    let thread = thread::Builder::new().name(format!("{driver}-open"));
    let spawned = thread.spawn(move || {
        // An error says that the future was dropped; then so is the backend.
        let _ = sender.send(open());
    });
    spawned.map_err(|error| refused(format!("no thread could be started: {error}")))?;
    let opened = opened.await;
    opened.map_err(|_| refused("opening it came to no end".to_owned()))?
}

/// What helps against an error of the system, where something does.
pub(crate) fn advice(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(MAKE_ROOM),
        io::ErrorKind::PermissionDenied => Some(
            "give this user the right to read and write there and all that is in it, or name another place",
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("have its disk mounted for writing, or name another place")
        }
        _ => None,
    }
}

/// What an engine that cannot be opened means for the place: damage stays, anything else may pass.
pub fn refused_opening(place: &Path, error: KvError) -> Error {
    let (kind, hint) = match error.kind() {
        KvErrorKind::Corrupted => (ErrorKind::Corrupted, RetryHint::Never),
        KvErrorKind::Unavailable | KvErrorKind::Broken => {
            (ErrorKind::Unavailable, RetryHint::SameCall)
        }
    };
    let mut reason = error.to_string();
    if kind == ErrorKind::Unavailable
        && let Some(advice) = error.io_kind().and_then(advice)
    {
        reason = format!("{reason}; {advice}, then open it again");
    }
    // Engines tell what is damaged, and not what to do.
    if kind == ErrorKind::Corrupted && !reason.contains("from a copy") {
        reason = format!("{reason}; restore the place from a copy");
    }
    let place = Object::Place(place.display().to_string());
    Error::new(kind, Operation::Open, place, reason)
        .with_retry_hint(hint)
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_opening_that_panics_is_unavailable_and_names_the_place() {
        let opened = open_aside("sim", Path::new("/a/place"), || -> Result<()> {
            panic!("the engine gave up")
        });

        let error = opened.await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(*error.object(), Object::Place("/a/place".to_owned()));
    }

    #[test]
    fn what_keeps_an_engine_from_opening_is_told_with_what_helps() {
        for (reason, source, helps) in [
            (
                "While open a file: Permission denied",
                None,
                "the right to read and write",
            ),
            (
                "opening",
                Some(io::ErrorKind::PermissionDenied),
                "the right to read and write",
            ),
            (
                "opening",
                Some(io::ErrorKind::ReadOnlyFilesystem),
                "mounted for writing",
            ),
            ("While appending: No space left on device", None, MAKE_ROOM),
            ("opening", Some(io::ErrorKind::QuotaExceeded), MAKE_ROOM),
        ] {
            let mut error = KvError::new(KvErrorKind::Unavailable, reason);
            if let Some(kind) = source {
                error = error.with_source(io::Error::from(kind));
            }

            let refused = refused_opening(Path::new("p"), error);

            assert!(refused.reason().contains(helps), "{refused}");
        }
    }

    #[test]
    fn damage_is_told_for_ever_and_anything_else_for_now() {
        for (found, told, hint) in [
            (
                KvErrorKind::Corrupted,
                ErrorKind::Corrupted,
                RetryHint::Never,
            ),
            (
                KvErrorKind::Unavailable,
                ErrorKind::Unavailable,
                RetryHint::SameCall,
            ),
            (
                KvErrorKind::Broken,
                ErrorKind::Unavailable,
                RetryHint::SameCall,
            ),
        ] {
            let error = refused_opening(Path::new("p"), KvError::new(found, "why"));

            assert_eq!((error.kind(), error.retry_hint()), (told, hint));
            assert_eq!(*error.object(), Object::Place("p".to_owned()));
        }
    }
}
