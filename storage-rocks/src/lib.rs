//! The storage contract on disk, over RocksDB.
