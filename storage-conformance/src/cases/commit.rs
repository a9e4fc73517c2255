//! Commits: checks, writes and steps at one instant.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
