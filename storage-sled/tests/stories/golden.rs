//! Places that earlier versions wrote are read for ever.

use crate::driver::Sled;

storage_stories::golden!(Sled);
