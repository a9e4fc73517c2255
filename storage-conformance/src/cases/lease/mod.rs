//! Leasing, extending, and holders.

pub(super) mod deadline;
pub(super) mod extend;
pub(super) mod holder;
pub(super) mod taking;
