use crate::driver::Redb;

storage_stories::disk!(Redb);
