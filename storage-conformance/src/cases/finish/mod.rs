//! Completing, retrying, releasing, and what is dead.

pub(super) mod attempts;
pub(super) mod call;
pub(super) mod complete;
pub(super) mod dead;
pub(super) mod retry;
