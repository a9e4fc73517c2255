//! Places that earlier versions wrote are read for ever.

use crate::driver::Redb;

storage_stories::golden!(Redb);
