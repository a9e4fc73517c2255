//! The harness of a driver whose places are directories.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage_api::{Result, StorageBackend, async_trait};

use crate::harness::{
    Claims, Deviation, DriverInfo, Failpoints, Harness, Locator, Place, Spot, Vandal,
};
use crate::vandal::DirectoryVandal;

/// A driver that keeps each place in a directory of its own, as most that persist do: all that [`DirectoryHarness`] has to
/// be told of it.
///
/// ```no_run
/// use std::path::Path;
/// use std::sync::Arc;
///
/// use journal_driver::{JournalBackend, JournalConfig};
/// use storage_api::{Capability, Result, StorageBackend, async_trait};
/// use storage_conformance::{Claims, DirectoryDriver, DirectoryHarness, DirectoryVandal, DriverInfo};
///
/// struct Journal;
///
/// #[async_trait]
/// impl DirectoryDriver for Journal {
///     type Faults = ();
///
///     fn driver(&self) -> DriverInfo {
///         DriverInfo::new("journal", env!("CARGO_PKG_VERSION"))
///     }
///
///     fn claims(&self) -> Claims {
///         Claims::all()
///             .without(Capability::Shared, "one process owns the directory")
///             .without(Capability::RemoteWake, "there is no other opening")
///     }
///
///     async fn open(&self, directory: &Path, _faults: &()) -> Result<Arc<dyn StorageBackend>> {
///         Ok(Arc::new(JournalBackend::open(JournalConfig::new(directory)).await?))
///     }
///
///     fn vandal(&self, directory: &Path) -> DirectoryVandal {
///         // Tails are cut off the file that is appended to.
///         DirectoryVandal::new(directory, |path| path == "journal")
///     }
/// }
///
/// storage_conformance::main!(DirectoryHarness::new(Journal));
/// ```
#[async_trait]
pub trait DirectoryDriver: Send + Sync + 'static {
    /// What makes one place fail; `()` for a driver that cannot be made to.
    type Faults: Default + Send + Sync + 'static;

    /// As [`Harness::driver`].
    fn driver(&self) -> DriverInfo;

    /// As [`Harness::claims`].
    fn claims(&self) -> Claims {
        Claims::all()
    }

    /// As [`Harness::deviations`].
    fn deviations(&self) -> Vec<Deviation> {
        Vec::new()
    }

    /// Opens the directory, which is empty the first time, with the faults of its place.
    async fn open(
        &self,
        directory: &Path,
        faults: &Self::Faults,
    ) -> Result<Arc<dyn StorageBackend>>;

    /// Who damages what is stored in the directory.
    fn vandal(&self, directory: &Path) -> DirectoryVandal;

    /// The faults as the suite asks for them; without them the cases about failing writes do not apply.
    fn failpoints<'a>(&self, faults: &'a Self::Faults) -> Option<&'a dyn Failpoints> {
        let _ = faults;
        None
    }
}

/// The whole harness of a [`DirectoryDriver`]: fresh directories, reopening, processes that are killed, damage, loss of power.
#[derive(Debug)]
pub struct DirectoryHarness<D> {
    driver: Arc<D>,
}

impl<D: DirectoryDriver> DirectoryHarness<D> {
    /// The harness of that driver.
    pub fn new(driver: D) -> Self {
        Self {
            driver: Arc::new(driver),
        }
    }

    fn place(&self, directory: PathBuf) -> Box<dyn Place> {
        Box::new(DirectoryPlace {
            vandal: self.driver.vandal(&directory),
            driver: Arc::clone(&self.driver),
            directory,
            faults: D::Faults::default(),
        })
    }
}

#[async_trait]
impl<D: DirectoryDriver> Harness for DirectoryHarness<D> {
    fn driver(&self) -> DriverInfo {
        self.driver.driver()
    }

    fn claims(&self) -> Claims {
        self.driver.claims()
    }

    fn deviations(&self) -> Vec<Deviation> {
        self.driver.deviations()
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(self.place(spot.fresh_directory()?))
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        Some(self.place(at.as_str().into()))
    }
}

struct DirectoryPlace<D: DirectoryDriver> {
    driver: Arc<D>,
    directory: PathBuf,
    vandal: DirectoryVandal,
    faults: D::Faults,
}

#[async_trait]
impl<D: DirectoryDriver> Place for DirectoryPlace<D> {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        self.driver.open(&self.directory, &self.faults).await
    }

    fn locator(&self) -> Option<Locator> {
        self.directory.to_str().map(Locator::new)
    }

    fn vandal(&self) -> Option<&dyn Vandal> {
        Some(&self.vandal)
    }

    fn failpoints(&self) -> Option<&dyn Failpoints> {
        self.driver.failpoints(&self.faults)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use storage_api::{Error, ErrorKind, Object, Operation};

    use super::*;

    /// Leaves a file that says how often its place was opened, and opens nothing.
    struct Counts;

    #[async_trait]
    impl DirectoryDriver for Counts {
        type Faults = ();

        fn driver(&self) -> DriverInfo {
            DriverInfo::new("counts", "1")
        }

        async fn open(&self, directory: &Path, _faults: &()) -> Result<Arc<dyn StorageBackend>> {
            let file = directory.join("openings");
            let openings = fs::read_to_string(&file).unwrap_or_default() + "I";
            fs::write(file, &openings).unwrap();
            let object = Object::Place(openings);
            Err(Error::new(
                ErrorKind::Unsupported,
                Operation::Open,
                object,
                "it counts",
            ))
        }

        fn vandal(&self, directory: &Path) -> DirectoryVandal {
            DirectoryVandal::new(directory, |path| path == "openings")
        }
    }

    async fn openings(place: &dyn Place) -> String {
        match place.open().await.unwrap_err().object() {
            Object::Place(openings) => openings.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_locator_leads_to_the_place_and_each_place_is_alone() {
        let harness = DirectoryHarness::new(Counts);
        let spot = Spot::new("area::case");
        let one = harness.provision(&spot).await.unwrap();
        let other = harness.provision(&spot).await.unwrap();

        let attached = harness.attach(&one.locator().unwrap()).unwrap();

        assert_eq!(openings(&*one).await, "I");
        assert_eq!(openings(&*attached).await, "II");
        assert_eq!(openings(&*other).await, "I");
        assert_eq!(attached.vandal().unwrap().bytes().await.unwrap(), 2);
        assert!(one.failpoints().is_none());
    }
}
