//! Partitions: made, configured, looked at, removed.

pub(super) mod life;
pub(super) mod mode;
pub(super) mod names;
pub(super) mod stats;
