//! Scenes of tasks at once on storage-kv and storage-memory, each under many schedules; and mistakes that they find.
//!
//! A scene that fails prints its schedule and the command that runs it again.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests, and what a failure prints"
)]

mod both;
mod calls;
mod explore;
mod kv;
mod memory;
mod mistakes;
mod names;
