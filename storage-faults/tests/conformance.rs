//! A backend that no fault was asked of is the backend beneath it: the conformance suite, around the suite's reference.

use std::sync::Arc;

use storage_api::{Result, StorageBackend, async_trait};
use storage_conformance::reference::ReferenceHarness;
use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot};
use storage_faults::Faults;

storage_conformance::main!(PassThrough(ReferenceHarness::new()));

struct PassThrough(ReferenceHarness);

#[async_trait]
impl Harness for PassThrough {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("reference-faults", self.0.driver().version().to_owned())
    }

    fn claims(&self) -> Claims {
        self.0.claims()
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(Box::new(Around(self.0.provision(spot).await?)))
    }
}

struct Around(Box<dyn Place>);

#[async_trait]
impl Place for Around {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(Faults::around(self.0.open().await?)))
    }
}
