//! Stories of the redb driver: old places, full disks, shared syncs, space that comes back.

mod disk;
mod drained;
#[path = "../driver/mod.rs"]
mod driver;
mod golden;
mod large;
mod places;
