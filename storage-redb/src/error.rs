//! What errors of redb mean.

use std::io;

use storage_kv::{KvError, KvErrorKind};

/// The meaning of any error of redb.
pub(crate) fn translate(error: impl Into<redb::Error>) -> KvError {
    let error = error.into();
    let kind = match &error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        // Every table is made before the file gets its name.
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. } => KvErrorKind::Corrupted,
        // What is not a redb file at all is told so.
        redb::Error::Io(error) if is_damage(error) => KvErrorKind::Corrupted,
        redb::Error::Io(_) | redb::Error::DatabaseAlreadyOpen => KvErrorKind::Unavailable,
        _ => KvErrorKind::Broken,
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
