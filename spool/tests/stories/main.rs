//! What spool does, told by running it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod commands;
mod demo;
#[path = "../scene/gate.rs"]
mod gate;
mod input;
mod lines;
mod place;
mod runs;
#[path = "../scene/mod.rs"]
mod scene;
mod signals;
mod verify;
