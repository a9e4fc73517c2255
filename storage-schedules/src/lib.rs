//! The drivers' own locking under schedules that a test chooses.
//!
//! A lock that is taken too late, or a wake-up that comes before somebody waits for it, is found by the right order of
//! threads, which a busy machine has once in a million runs. Here `storage-kv` and `storage-memory` are built a second
//! time: from their own sources, of which one file is replaced, the one that says where locks, atomics and threads come
//! from. In its place stand those of shuttle, which runs one thread at a time and asks a seeded scheduler, at every lock
//! and every atomic, which goes on. A schedule that fails is a string, and runs again.
//!
//! Nothing of this is in the drivers: no feature, no configuration, no line but the file that names their locks.
//!
//! | where | what |
//! |---|---|
//! | `build.rs` | copies the sources, and makes mistakes in them that are off |
//! | `locks` | what the drivers find instead of parking_lot, tokio and the standard library |
//! | `mistakes` | what could be wrong with the drivers' locking, to prove that it would be found |
//! | `tests/schedules` | scenes of tasks at once, what must hold in them, and the mistakes caught |

mod locks;
pub mod mistakes;

include!(concat!(env!("OUT_DIR"), "/drivers.rs"));
