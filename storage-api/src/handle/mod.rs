//! The user's side: handles that carry the clock, so that nobody has to pass the time.

mod leasing;
mod maintainer;
mod metadata;
mod partition;
mod producing;
mod storage;
mod transaction;

pub use leasing::LeaseOptions;
pub use maintainer::Maintainer;
pub use metadata::{Metadata, WriteOutcome};
pub use partition::{ItemPages, Partition};
pub use storage::Storage;
pub use transaction::Transaction;

use crate::error::{Error, Object, Operation, Result};

/// Makes a value of a limited type from what a user gave; a refusal names the operation and the object.
fn accept<A, T>(argument: A, operation: Operation, object: impl Into<Object>) -> Result<T>
where
    A: TryInto<T>,
    Error: From<A::Error>,
{
    argument
        .try_into()
        .map_err(|error| Error::from(error).during(operation, object))
}
