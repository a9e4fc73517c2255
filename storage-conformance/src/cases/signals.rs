//! Signals: who waits is woken.

use crate::case::Case;

pub(super) const CASES: &[Case] = &[];
