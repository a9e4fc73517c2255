//! The conformance suite on this driver.

use std::sync::Arc;

use storage_api::{Capability, Result, StorageBackend, async_trait};
use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot};
use storage_memory::MemoryBackend;

storage_conformance::main!(MemoryHarness);

struct MemoryHarness;

#[async_trait]
impl Harness for MemoryHarness {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("memory", env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Reopen, "the state goes with the backend")
            .without(Capability::Sync, "there is nothing to sync to")
            .without(Capability::Shared, "each backend has a memory of its own")
            .without(Capability::RemoteWake, "there is no other opening")
            .without(Capability::Verify, "there are no stored bytes to check")
    }

    async fn provision(&self, _spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(Box::new(Memory))
    }
}

/// Every opening is an empty backend.
struct Memory;

#[async_trait]
impl Place for Memory {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(MemoryBackend::new()))
    }
}
