//! Stories of the redb driver: old places, full disks, shared syncs, space that comes back.

#![expect(clippy::unwrap_used, reason = "a story that fails says where it did")]

mod disk;
mod golden;
mod places;
mod scene;
