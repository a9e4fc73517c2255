//! Items: what is produced, how it is recorded, and what it looks like while it lives.

mod batch;
mod codec;
mod entry;
mod record;
mod stamp;
mod state;

pub use batch::{ItemBatch, NewItem, SealedBatch};
pub use codec::Attributes;
pub use entry::ItemEntry;
pub use record::{Record, RecordView};
pub use state::{DeadReason, ItemState, State, States};
