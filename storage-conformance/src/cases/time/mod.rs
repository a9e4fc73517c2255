//! What time does to items, and only in `maintain`.

pub(super) mod clock;
pub(super) mod due;
pub(super) mod report;
