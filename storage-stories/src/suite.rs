//! The harness of the suite.

use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use storage_api::{Result, StorageBackend, async_trait};
use storage_conformance::{
    Claims, DirectoryDriver, DirectoryHarness, DirectoryVandal, DriverInfo, Failpoints, Harness,
};
use storage_kv::Faults;

use crate::driver::{Opening, StoredDriver};
use crate::scene::write_marker;

/// The harness of that driver, of the version `env!("CARGO_PKG_VERSION")` of its crate.
pub fn suite<D: StoredDriver>(version: &'static str) -> impl Harness {
    DirectoryHarness::new(Suite::<D> {
        version,
        driver: PhantomData,
    })
}

struct Suite<D> {
    version: &'static str,
    driver: PhantomData<D>,
}

/// The faults of one place.
#[derive(Default)]
struct Disk(Faults);

impl Failpoints for Disk {
    fn fail_next_write(&self) {
        self.0.fail_next_write();
    }

    fn fill_disk(&self) {
        self.0.fill_disk();
    }

    fn heal(&self) {
        self.0.heal();
    }
}

#[async_trait]
impl<D: StoredDriver> DirectoryDriver for Suite<D> {
    type Faults = Disk;

    fn driver(&self) -> DriverInfo {
        DriverInfo::new(D::NAME, self.version)
    }

    fn claims(&self) -> Claims {
        D::claims()
    }

    async fn open(&self, directory: &Path, disk: &Disk) -> Result<Arc<dyn StorageBackend>> {
        let backend = D::open(directory, Opening::with_faults(&disk.0)).await?;
        Ok(Arc::new(backend))
    }

    fn vandal(&self, directory: &Path) -> DirectoryVandal {
        DirectoryVandal::new(directory, D::is_data).with_newer_format(renew_format::<D>)
    }

    fn failpoints<'a>(&self, disk: &'a Disk) -> Option<&'a dyn Failpoints> {
        Some(disk)
    }
}

/// Marks the place as written by a newer format.
fn renew_format<D: StoredDriver>(directory: &Path) -> io::Result<()> {
    write_marker(directory, &format!("format 4294967295\ndriver {}", D::NAME))
}
