//! Durability: what is there after reopening, and after a crash.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
