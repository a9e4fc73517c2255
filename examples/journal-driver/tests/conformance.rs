//! The suite on this driver: `cargo test --test conformance`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal_driver::{Faults, JournalBackend, JournalConfig};
use storage_api::{
    Capability, Error, ErrorKind, Object, Operation, Result, StorageBackend, async_trait,
};
use storage_conformance::{
    Claims, DirectoryVandal, DriverInfo, Failpoints, Harness, Locator, Place, Spot, Vandal,
};

storage_conformance::main!(JournalHarness);

struct JournalHarness;

#[async_trait]
impl Harness for JournalHarness {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("journal", env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Shared, "one backend owns the file")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        // A name of its own for each provisioning: one case may ask for several places.
        let spot = spot.directory()?;
        let dir = tempfile::Builder::new()
            .prefix("journal-")
            .tempdir_in(spot)
            .map_err(io)?
            .keep();
        Ok(Box::new(JournalPlace::at(dir)))
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        Some(Box::new(JournalPlace::at(at.as_str().into())))
    }
}

struct JournalPlace {
    dir: PathBuf,
    vandal: DirectoryVandal,
    faults: Faults,
}

impl JournalPlace {
    fn at(dir: PathBuf) -> Self {
        let vandal = DirectoryVandal::new(&dir, |path| path == "journal");
        Self {
            vandal: vandal.with_newer_format(renew_format),
            dir,
            faults: Faults::default(),
        }
    }
}

#[async_trait]
impl Place for JournalPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        // The suite's volume may be small.
        let config = JournalConfig::new(&self.dir).disk_reserve(0);
        let backend = JournalBackend::open_with(config, self.faults.clone()).await?;
        Ok(Arc::new(backend))
    }

    fn locator(&self) -> Option<Locator> {
        self.dir.to_str().map(Locator::new)
    }

    fn vandal(&self) -> Option<&dyn Vandal> {
        Some(&self.vandal)
    }

    fn failpoints(&self) -> Option<&dyn Failpoints> {
        Some(self)
    }
}

/// Marks the journal as written by a newer format.
fn renew_format(directory: &Path) -> std::io::Result<()> {
    let file = directory.join("journal");
    let mut bytes = fs::read(&file)?;
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes)
}

impl Failpoints for JournalPlace {
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
