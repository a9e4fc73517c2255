//! Listing, looking up, deleting, clearing.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
