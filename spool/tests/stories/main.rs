//! What spool does, told by running it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod commands;
mod demo;
mod input;
mod lines;
mod place;
mod scene;
mod signals;
