//! Producing: what is stored, under which id, in which order, and what is a duplicate.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
