//! What errors of RocksDB mean.

use std::io;

use rocksdb::ErrorKind;
use storage_kv::{KvError, KvErrorKind};

/// The meaning of an error of an opened database.
pub(crate) fn translate(error: rocksdb::Error) -> KvError {
    let kind = match error.kind() {
        ErrorKind::Corruption => KvErrorKind::Corrupted,
        ErrorKind::IOError
        | ErrorKind::Incomplete
        | ErrorKind::TimedOut
        | ErrorKind::Busy
        | ErrorKind::TryAgain
        | ErrorKind::Aborted => KvErrorKind::Unavailable,
        _ => KvErrorKind::Broken,
    };
    KvError::new(kind, error.to_string()).with_source(error)
}

/// The meaning of an error of opening: nobody but this driver has made what is there, so that what RocksDB does not take for
/// a database is damaged.
pub(crate) fn translate_opening(error: rocksdb::Error) -> KvError {
    let is_missing = error.as_ref().contains("No such file or directory");
    let kind = match error.kind() {
        ErrorKind::IOError if is_missing => KvErrorKind::Corrupted,
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotSupported => {
            KvErrorKind::Corrupted
        }
        _ => KvErrorKind::Unavailable,
    };
    KvError::new(kind, error.to_string()).with_source(error)
}

/// The meaning of an error of the file system.
pub(crate) fn translate_io(what: &str, error: io::Error) -> KvError {
    KvError::new(KvErrorKind::Unavailable, format!("{what}: {error}")).with_source(error)
}
