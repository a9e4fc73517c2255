//! What the driver promises beyond what the suite can see from outside: what a crash, a damaged byte or a failing disk
//! leaves, byte by byte.

#![expect(clippy::unwrap_used, reason = "a builder of tests may panic")]

mod crashes;
mod failing_disk;
mod growth;
mod lost_power;
mod places;
mod story;
