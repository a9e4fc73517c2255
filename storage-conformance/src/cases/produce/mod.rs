//! Producing: batches, ids, order, dedup keys.

pub(super) mod dedup;
pub(super) mod dedup_time;
pub(super) mod order;
pub(super) mod storing;
