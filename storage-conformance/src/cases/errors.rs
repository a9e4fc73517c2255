//! Errors: kinds, order, outcomes, and that nothing panics.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
