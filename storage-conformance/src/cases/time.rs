//! Time: maintain, clocks that go backwards, the ends of time.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
