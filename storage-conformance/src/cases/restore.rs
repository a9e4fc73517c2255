//! Restoring whole items.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
