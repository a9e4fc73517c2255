//! The suite on this driver: `cargo test --test conformance`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use journal_driver::{Faults, JournalBackend, JournalConfig};
use storage_api::{Capability, Result, StorageBackend, async_trait};
use storage_conformance::{
    Claims, DirectoryDriver, DirectoryHarness, DirectoryVandal, DriverInfo, Failpoints,
};

storage_conformance::main!(DirectoryHarness::new(Journal));

struct Journal;

#[async_trait]
impl DirectoryDriver for Journal {
    type Faults = Disk;

    fn driver(&self) -> DriverInfo {
        DriverInfo::new("journal", env!("CARGO_PKG_VERSION"))
    }

    // What it cannot do, each with the reason; the rest must work.
    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Shared, "one backend owns the file")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    // Opening the same directory again is reopening.
    async fn open(&self, directory: &Path, disk: &Disk) -> Result<Arc<dyn StorageBackend>> {
        // The suite's volume may be small.
        let config = JournalConfig::new(directory).disk_reserve(0);
        let backend = JournalBackend::open_with(config, disk.0.clone()).await?;
        Ok(Arc::new(backend))
    }

    // Every file below the directory is damaged; tails are cut off the one that is appended to.
    fn vandal(&self, directory: &Path) -> DirectoryVandal {
        DirectoryVandal::new(directory, |path| path == "journal").with_newer_format(renew_format)
    }

    fn failpoints<'a>(&self, disk: &'a Disk) -> Option<&'a dyn Failpoints> {
        Some(disk)
    }
}

/// Makes the disk of one place fail.
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

/// Marks the journal as written by a newer format.
fn renew_format(directory: &Path) -> io::Result<()> {
    let file = directory.join("journal");
    let mut bytes = fs::read(&file)?;
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes)
}
