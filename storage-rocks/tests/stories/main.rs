//! Stories of the RocksDB driver: old places, damaged logs, full disks, shared syncs, drained queues.

#![expect(clippy::unwrap_used, reason = "a story that fails says where it did")]

mod disk;
mod drained;
#[path = "../driver/mod.rs"]
mod driver;
mod golden;
mod modes;
mod places;
mod settings;
