//! The simulated engine as a place of the suite.

use std::sync::Arc;

use storage_api::{
    Capability, Durability, Error, ErrorKind, Object, Operation, Result, StorageBackend,
    async_trait,
};
use storage_conformance::{Claims, DriverInfo, Failpoints, Harness, Place, Spot};
use storage_kv::{KvBackend, KvOptions, Overlay, SimDisk};

/// The core over a simulated engine, or over an overlay of it.
pub(crate) struct SimHarness {
    pub(crate) name: &'static str,
    pub(crate) has_overlay: bool,
}

#[async_trait]
impl Harness for SimHarness {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new(self.name, env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Shared, "one backend owns the disk")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    async fn provision(&self, _spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(Box::new(SimPlace {
            disk: SimDisk::new(),
            name: self.name,
            has_overlay: self.has_overlay,
        }))
    }
}

struct SimPlace {
    disk: SimDisk,
    name: &'static str,
    has_overlay: bool,
}

#[async_trait]
impl Place for SimPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        let engine = self.disk.hold().ok_or_else(|| {
            let place = Object::Place("the simulated disk".to_owned());
            let reason = "another backend of this process holds it; close that first";
            Error::new(ErrorKind::Unavailable, Operation::Open, place, reason)
        })?;
        let version = env!("CARGO_PKG_VERSION");
        let options = KvOptions::new(self.name, version, Durability::PowerLoss);
        if self.has_overlay {
            return Ok(Arc::new(KvBackend::open(Overlay::new(engine), options)?));
        }
        Ok(Arc::new(KvBackend::open(engine, options)?))
    }

    fn failpoints(&self) -> Option<&dyn Failpoints> {
        Some(self)
    }
}

impl Failpoints for SimPlace {
    fn fail_next_write(&self) {
        self.disk.fail_next_write();
    }

    fn fill_disk(&self) {
        self.disk.fill();
    }

    fn heal(&self) {
        self.disk.heal();
    }
}
