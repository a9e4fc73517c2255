//! The conformance suite on this driver.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use storage_api::{
    Capability, Error, ErrorKind, Object, Operation, Result, StorageBackend, async_trait,
};
use storage_conformance::{Claims, DriverInfo, Failpoints, Harness, Locator, Place, Spot, Vandal};
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
    faults: Faults,
}

impl RocksPlace {
    fn at(directory: PathBuf) -> Self {
        Self {
            directory,
            faults: Faults::default(),
        }
    }

    /// What is damaged, one behind the other: the tables, the list of them, the logs.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.directory.join("queue.rocks")).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rank = match path.extension().and_then(|extension| extension.to_str()) {
                _ if name == "CURRENT" => 0,
                Some("sst") => 1,
                _ if name.starts_with("MANIFEST-") => 2,
                Some("log") => 3,
                _ => continue,
            };
            files.push((rank, path));
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }
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
        Some(self)
    }

    fn failpoints(&self) -> Option<&dyn Failpoints> {
        Some(self)
    }
}

#[async_trait]
impl Vandal for RocksPlace {
    async fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for file in self.files()? {
            bytes += fs::metadata(file).map_err(io)?.len();
        }
        Ok(bytes)
    }

    async fn flip(&self, mut offset: u64, bit: u8) -> Result<()> {
        for file in self.files()? {
            let len = fs::metadata(&file).map_err(io)?.len();
            if offset < len {
                let mut bytes = fs::read(&file).map_err(io)?;
                let at = usize::try_from(offset).expect("an offset within a file that was read");
                bytes[at] ^= 1 << bit;
                return fs::write(file, bytes).map_err(io);
            }
            offset -= len;
        }
        panic!("no file has that offset");
    }

    async fn cut(&self, mut bytes: u64) -> Result<()> {
        for path in self.files()?.iter().rev() {
            let file = fs::File::options().write(true).open(path).map_err(io)?;
            let len = file.metadata().map_err(io)?.len();
            file.set_len(len.saturating_sub(bytes)).map_err(io)?;
            bytes = bytes.saturating_sub(len);
        }
        Ok(())
    }

    async fn renew_format(&self) -> Result<bool> {
        let body = "format 4294967295\ndriver rocks";
        let marker = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
        fs::write(self.directory.join("storage-place"), marker).map_err(io)?;
        Ok(true)
    }
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
