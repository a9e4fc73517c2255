use crate::driver::Sled;

storage_stories::disk!(Sled);
