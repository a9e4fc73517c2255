//! What errors of sled mean.

use std::io;

use storage_kv::{KvError, KvErrorKind};

/// The meaning of any error of sled.
pub(crate) fn translate(error: sled::Error) -> KvError {
    let kind = match &error {
        sled::Error::Io(error) if is_damage(error) => KvErrorKind::Corrupted,
        sled::Error::Io(_) => KvErrorKind::Unavailable,
        // Of the file that says how sled was set up, which nobody else writes.
        sled::Error::Corruption { .. } | sled::Error::Unsupported(_) => KvErrorKind::Corrupted,
        sled::Error::CollectionNotFound(_) | sled::Error::ReportableBug(_) => KvErrorKind::Broken,
    };
    KvError::new(kind, error.to_string()).with_source(error)
}

fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// The meaning of an error of the file system.
pub(crate) fn translate_io(what: &str, error: io::Error) -> KvError {
    KvError::new(KvErrorKind::Unavailable, format!("{what}: {error}")).with_source(error)
}
