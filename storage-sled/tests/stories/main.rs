//! Stories of the sled driver: what it does not claim, old places, damage, full disks, shared flushes.

#![expect(clippy::unwrap_used, reason = "a story that fails says where it did")]

mod disk;
mod golden;
mod places;
mod scene;
