//! Places that earlier versions wrote are read for ever.

use crate::driver::Rocks;

storage_stories::golden!(Rocks);
