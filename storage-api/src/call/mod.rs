//! The arguments and answers of the operations. Arguments are valid by their types.

mod bounded;
mod commit;
mod cursor;
mod lease;
mod listing;
mod metadata;
mod one_or_many;
mod outcome;
mod restore;

pub use bounded::{Bounded, ItemIds, Receipts, Retries};
pub use commit::{
    Check, CommitOutcome, CommitRequest, Committed, Refusal, Step, StepFailure, Write,
};
pub use cursor::{Cursor, ItemPoint};
pub use lease::{LeaseRequest, LeasedBatch, LeasedItem, NewLease, Receipt, Retry, RetryTo};
pub use listing::{ListRequest, Listing, Page, Start};
pub use metadata::{Direction, KeyRange, MetadataEntry, ScanRequest};
pub use outcome::{
    Cleared, CompleteOutcome, DeleteOutcome, Duplicate, ExtendOutcome, Maintained, ProduceOutcome,
    Produced, Purged, ReleaseOutcome, ReleasedHolder, RetryOutcome, ReviveOutcome, UpdateOutcome,
};
pub use restore::{Floors, RestoreBatch};
