//! The conformance suite on this driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage_api::{
    Capability, Error, ErrorKind, Object, Operation, Result, StorageBackend, async_trait,
};
use storage_conformance::{
    Claims, DirectoryVandal, DriverInfo, Failpoints, Harness, Locator, Place, Spot, Vandal,
};
use storage_sled::{Faults, SledBackend, SledConfig};

storage_conformance::main!(SledHarness);

struct SledHarness;

#[async_trait]
impl Harness for SledHarness {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("sled", env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Shared, "one process owns the directory")
            .without(Capability::RemoteWake, "there is no other opening")
            .without(Capability::Sync, "sled 0.34 never waits for the disk")
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        // A directory of its own for each provisioning: one case may ask for several places.
        let made = tempfile::Builder::new()
            .prefix("sled-")
            .tempdir_in(spot.directory()?);
        Ok(Box::new(SledPlace::at(made.map_err(io)?.keep())))
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        Some(Box::new(SledPlace::at(at.as_str().into())))
    }
}

struct SledPlace {
    directory: PathBuf,
    vandal: DirectoryVandal,
    faults: Faults,
}

impl SledPlace {
    fn at(directory: PathBuf) -> Self {
        let vandal = DirectoryVandal::new(&directory, |path| path == Path::new("queue.sled/db"));
        Self {
            vandal: vandal.with_newer_format(renew_format),
            directory,
            faults: Faults::default(),
        }
    }
}

#[async_trait]
impl Place for SledPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        // The suite's volume may be small.
        let config = SledConfig::new(&self.directory)
            .disk_reserve(0)
            .cache_bytes(4 << 20);
        let backend = SledBackend::open_with(config, self.faults.clone()).await?;
        Ok(Arc::new(backend))
    }

    fn locator(&self) -> Option<Locator> {
        self.directory.to_str().map(Locator::new)
    }

    fn vandal(&self) -> Option<&dyn Vandal> {
        Some(&self.vandal)
    }

    fn failpoints(&self) -> Option<&dyn Failpoints> {
        Some(self)
    }
}

/// Marks the place as written by a newer format.
fn renew_format(directory: &Path) -> std::io::Result<()> {
    let body = "format 4294967295\ndriver sled";
    let marker = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(directory.join("storage-place"), marker)
}

impl Failpoints for SledPlace {
    fn fail_next_write(&self) {
        self.faults.fail_next_write();
    }

    fn fill_disk(&self) {
        self.faults.fill_disk();
    }

    fn heal(&self) {
        self.faults.heal();
    }
}

/// A file of the test itself that cannot be used.
fn io(error: std::io::Error) -> Error {
    let object = Object::Place("the directory of a case".to_owned());
    let reason = "see to the volume of the temporary directory";
    Error::new(ErrorKind::Unavailable, Operation::Open, object, reason).with_source(error)
}
