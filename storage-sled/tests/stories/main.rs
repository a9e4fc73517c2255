//! Stories of the sled driver: what it does not claim, old places, damage, full disks, shared flushes.

mod disk;
#[path = "../driver/mod.rs"]
mod driver;
mod golden;
mod places;
