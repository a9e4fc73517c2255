//! Opening and closing.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
