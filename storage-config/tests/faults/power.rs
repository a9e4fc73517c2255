//! The loss of power where less is promised than to survive it: what was synced is there all the same, and no number comes
//! again. The suite's own case shows it; the drivers run it with their default, which promises more.

use std::path::PathBuf;
use std::sync::Arc;

use libtest_mimic::{Completion, Failed, Trial};
use storage_api::{Capability, Result, StorageBackend, async_trait};
use storage_conformance::prove::{Effort, Proof, run_as_child, run_case};
use storage_conformance::{
    Claims, DirectoryVandal, DriverInfo, Harness, Locator, Place, Spot, Vandal,
};

use crate::scene::Scene;

const CASE: &str = "durability::a_loss_of_power_loses_nothing_acknowledged";

/// What promises less.
const WEAKER: [&str; 2] = ["none", "process-crash"];

/// The test on the driver of that name, once for each durability that promises less.
pub(crate) fn trials(driver: &str) -> impl Iterator<Item = Trial> {
    WEAKER.into_iter().map(move |durability| {
        let harness: Arc<dyn Harness> = Arc::new(Weaker {
            driver: driver.to_owned(),
            durability,
        });
        let name = format!("{driver}::what_was_synced_at_{durability}_survives_a_loss_of_power");
        Trial::ignorable_test(name, move || {
            survives(run_case(&harness, CASE, Effort::default()))
        })
    })
}

/// The whole life of a process that such a test has started; `None` where this process is none.
pub(crate) fn play() -> Option<std::process::ExitCode> {
    // The locator says which driver it is.
    run_as_child(&Weaker {
        driver: String::new(),
        durability: "",
    })
}

fn survives(proof: Proof) -> std::result::Result<Completion, Failed> {
    match proof {
        Proof::Kept => Ok(Completion::Completed),
        // It cannot sync, or nobody knows what was synced; the reason is shown.
        Proof::Inapplicable(reason) => Ok(Completion::ignored_with(reason)),
        other => Err(format!("{other:?}").into()),
    }
}

/// A driver, by its name, with that durability.
struct Weaker {
    driver: String,
    durability: &'static str,
}

#[async_trait]
impl Harness for Weaker {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new(&self.driver, self.durability)
    }

    fn claims(&self) -> Claims {
        let claims = Claims::all()
            .without(Capability::Shared, "one process owns the place")
            .without(Capability::RemoteWake, "there is no other opening");
        match self.driver.as_str() {
            "sled" => claims.without(Capability::Sync, "sled 0.34 never waits for the disk"),
            _ => claims,
        }
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        let root = spot.fresh_directory()?;
        Ok(Box::new(WeakerPlace::at(
            &self.driver,
            self.durability,
            root,
        )))
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        let (driver, rest) = at.as_str().split_once(' ')?;
        let (durability, root) = rest.split_once(' ')?;
        Some(Box::new(WeakerPlace::at(driver, durability, root.into())))
    }
}

struct WeakerPlace {
    scene: Scene,
    vandal: DirectoryVandal,
}

impl WeakerPlace {
    fn at(driver: &str, durability: &str, root: PathBuf) -> Self {
        let scene = Scene::at(driver, root).with_durability(durability);
        Self {
            vandal: DirectoryVandal::new(scene.place(), |_| true),
            scene,
        }
    }
}

#[async_trait]
impl Place for WeakerPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        let storage = self.scene.try_open().await?;
        Ok(Arc::clone(storage.backend()))
    }

    fn locator(&self) -> Option<Locator> {
        let (driver, durability) = (self.scene.driver(), self.scene.durability()?);
        let root = self.scene.root().to_str()?;
        Some(Locator::new(format!("{driver} {durability} {root}")))
    }

    fn vandal(&self) -> Option<&dyn Vandal> {
        Some(&self.vandal)
    }
}
