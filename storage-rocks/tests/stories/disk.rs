use crate::driver::Rocks;

storage_stories::disk!(Rocks);
