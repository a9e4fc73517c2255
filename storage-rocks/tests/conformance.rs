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
use storage_rocks::{Faults, RocksBackend, RocksConfig};

storage_conformance::main!(RocksHarness);

struct RocksHarness;

#[async_trait]
impl Harness for RocksHarness {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("rocks", env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Shared, "one process owns the database")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        // A directory of its own for each provisioning: one case may ask for several places.
        let made = tempfile::Builder::new()
            .prefix("rocks-")
            .tempdir_in(spot.directory()?);
        Ok(Box::new(RocksPlace::at(made.map_err(io)?.keep())))
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        Some(Box::new(RocksPlace::at(at.as_str().into())))
    }
}

struct RocksPlace {
    directory: PathBuf,
    vandal: DirectoryVandal,
    faults: Faults,
}

impl RocksPlace {
    fn at(directory: PathBuf) -> Self {
        let vandal = DirectoryVandal::new(&directory, is_data);
        Self {
            vandal: vandal.with_newer_format(renew_format),
            directory,
            faults: Faults::default(),
        }
    }
}

/// Logs, tables, and the list of those.
fn is_data(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("MANIFEST-") || name.ends_with(".sst") || name.ends_with(".log")
}

#[async_trait]
impl Place for RocksPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        // The suite's volume may be small.
        let config = RocksConfig::new(&self.directory)
            .disk_reserve(0)
            .cache_bytes(4 << 20);
        let backend = RocksBackend::open_with(config, self.faults.clone()).await?;
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
    let body = "format 4294967295\ndriver rocks";
    let marker = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(directory.join("storage-place"), marker)
}

impl Failpoints for RocksPlace {
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
