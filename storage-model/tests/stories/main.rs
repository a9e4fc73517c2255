//! What the model says, told as stories: a handful for each area of the contract.

#![expect(clippy::unwrap_used, reason = "a builder of tests may panic")]

mod commits;
mod items;
mod leases;
mod listings;
mod partitions;
mod restoring;
mod story;
mod time;
