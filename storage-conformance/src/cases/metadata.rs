//! Metadata: entries, scans, expiry.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
