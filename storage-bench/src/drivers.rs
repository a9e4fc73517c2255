//! The drivers that can be measured, and how each is opened.

use clap::ValueEnum;
use storage_api::Storage;
use storage_memory::MemoryBackend;

/// A driver by the name under which configuration chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    /// Everything in memory, gone with the process
    Memory,
}

impl Driver {
    /// An empty storage of this driver.
    pub(crate) fn open(self) -> Storage {
        match self {
            Self::Memory => Storage::new(MemoryBackend::new()),
        }
    }
}
