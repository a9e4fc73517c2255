//! Completing, retrying, dying, reviving.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
