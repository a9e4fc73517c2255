//! Stories of the core: what it costs, what damage does, which numbers are given, who shares a sync, whose a directory is.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod ahead;
mod costs;
mod damage;
mod leftovers;
mod numbers;
mod places;
mod syncs;
mod watched;
