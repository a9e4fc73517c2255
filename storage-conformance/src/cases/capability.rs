//! Capabilities: claimed ones work, others are refused cleanly.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
