//! Small programs to copy from. Each runs with `cargo run -p examples --example NAME`:
//!
//! - `quickstart`: produce, lease, complete
//! - `transactional_enqueue`: an item and the row that it belongs to, in one commit
//! - `custom_driver`: a driver of somebody else, chosen by its name in YAML
//!
//! `tests/swap_backends.rs` runs one test on several backends. `journal-driver` is a whole driver, in a crate of its own.
