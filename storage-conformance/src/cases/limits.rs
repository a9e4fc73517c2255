//! Limits: at them, below and above; full partitions; usage.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
