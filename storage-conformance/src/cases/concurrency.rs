//! Concurrency: calls that overlap, and calls that are dropped.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
