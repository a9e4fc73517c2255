//! What goes wrong with files, in the words of the contract (clause ERR-1).

use std::io;
use std::path::Path;

use storage_api::{Error, ErrorKind, Object, Operation, Outcome, RetryHint};

/// A place that cannot be used now: no permission, no room, no such device.
pub(crate) fn unavailable(path: &Path, reason: &str, source: io::Error) -> Error {
    let reason = format!("{reason}; see to the permissions and the volume, then open it again");
    open_error(ErrorKind::Unavailable, path, reason).with_source(source)
}

/// A place that somebody else has open (clause OPEN-1).
pub(crate) fn held(path: &Path, holder: Option<u32>) -> Error {
    let reason = match holder {
        Some(pid) if pid == std::process::id() => {
            "this process has it open; close that backend first".to_owned()
        }
        Some(pid) => format!("process {pid} has it open; close it there first"),
        None => "another process has it open; close it there first".to_owned(),
    };
    open_error(ErrorKind::Unavailable, path, reason)
}

/// A place that is not one of this driver, and is left as it is (clause OPEN-2).
pub(crate) fn foreign(path: &Path, reason: &str) -> Error {
    let reason = format!("{reason}; name an empty or a new directory");
    open_error(ErrorKind::Corrupted, path, reason)
}

/// A journal of a newer format (clause OPEN-2).
pub(crate) fn newer(path: &Path, found: u32, known: u32) -> Error {
    let reason = format!("its format is {found} and this driver knows {known}; use a newer driver");
    open_error(ErrorKind::Unsupported, path, reason)
}

/// Bytes that are not what was written (clause OPEN-3).
pub(crate) fn damaged(path: &Path, offset: u64, reason: &str) -> Error {
    let reason = format!("at byte {offset} {reason}; restore the file from a copy");
    open_error(ErrorKind::Corrupted, path, reason)
}

/// The thread of the journal is gone although nobody closed it.
pub(crate) fn thread_gone(operation: Operation) -> Error {
    let reason = "the thread of its journal has ended unasked; report it, and open the place again";
    Error::new(ErrorKind::Internal, operation, Object::Backend, reason)
        .with_retry_hint(RetryHint::AfterReopen)
        .with_outcome(Outcome::Unknown)
}

/// What an engine answers that could not write: it refuses writes, and serves reads as long as it can.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    path: String,
    source: String,
}

impl Failure {
    pub(crate) fn new(path: &Path, source: &impl ToString) -> Self {
        Self {
            path: path.display().to_string(),
            source: source.to_string(),
        }
    }

    /// A write that came after the failure.
    pub(crate) fn refusal(&self, operation: Operation, object: Object) -> Error {
        let reason = format!(
            "writing {} has failed and writes are stopped; see to the volume, then open the place again",
            self.path
        );
        Error::new(ErrorKind::Unavailable, operation, object, reason)
            .with_retry_hint(RetryHint::AfterReopen)
            .with_source(self.source.clone())
    }

    /// A write that was under way: whether it is found after reopening is not known.
    pub(crate) fn interruption(&self, operation: Operation, object: Object) -> Error {
        self.refusal(operation, object)
            .with_outcome(Outcome::Unknown)
    }

    /// What a person should know.
    pub(crate) fn remark(&self) -> String {
        format!("writing {} has failed: {}", self.path, self.source)
    }
}

fn open_error(kind: ErrorKind, path: &Path, reason: impl Into<String>) -> Error {
    let place = Object::Place(path.display().to_string());
    Error::new(kind, Operation::Open, place, reason)
}
