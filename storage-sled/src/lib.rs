//! The storage contract on disk, over sled 0.34.
