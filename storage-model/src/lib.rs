//! The storage contract as the shortest code that can be read against it, clause by clause.
//!
//! [`Model`] has one synchronous method for each operation of the driver traits of `storage-api`, with the same arguments
//! and the same answers. It keeps vectors, walks them from one end to the other, reads no clock and does nothing behind
//! anybody's back: the answer to a sequence of calls is a function of that sequence alone. Each rule cites its clause.
//!
//! The conformance suite compares every driver with it. It is an oracle, not a driver: everything costs what a walk over
//! the partition costs, and nothing survives the process.
//!
//! ```
//! use storage_api::{Count, ItemBatch, LeaseRequest, NewItem, PartitionConfig, PartitionId, Timestamp};
//! use storage_model::Model;
//!
//! let mut model = Model::new();
//! let emails = PartitionId::new("emails", 0)?;
//! model.create_partition(&emails, PartitionConfig::default())?;
//! let mut batch = ItemBatch::new();
//! batch.push(NewItem::new("hello"))?;
//! model.produce(&emails, batch.seal(Timestamp::EPOCH))?;
//!
//! let request = LeaseRequest::new(Timestamp::EPOCH, Timestamp::from_secs(30), Count::MAX);
//! let leased = model.lease(&emails, request)?;
//! model.complete(&emails, leased.receipts())?;
//! assert!(model.contents().partitions[0].items.is_empty());
//! # Ok::<(), storage_api::Error>(())
//! ```
//!
//! | file | clauses |
//! |---|---|
//! | `model` | CLOSE-1, PART-2, the numbers that are given out |
//! | `partitions` | PART-1 to PART-8 |
//! | `items` | ITEM-1 to ITEM-6, ORDER-1, LIMIT-2, the removal half of LIST-4 |
//! | `lease` | LEASE-1 to LEASE-9, DONE-1 and DONE-2, RETRY-1 to RETRY-6, DEAD-1 to DEAD-3 |
//! | `time` | TIME-1 to TIME-4 |
//! | `listing` | LIST-1 to LIST-3 |
//! | `restore` | MOVE-1 and MOVE-2 |
//! | `metadata` | META-3, META-4 and META-6 |
//! | `commit` | META-1, META-2, META-5 and META-7 |

#![expect(
    clippy::needless_pass_by_value,
    reason = "the methods take what the methods of the traits take"
)]

mod commit;
mod items;
mod lease;
mod listing;
mod metadata;
mod model;
mod partitions;
mod restore;
mod time;

pub use model::{Contents, Entry, GoneKey, Model, Partition};
