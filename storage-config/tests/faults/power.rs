//! The loss of power where less is promised than to survive it: what was synced is there all the same, and no number comes
//! again. The suite's own case shows it; the drivers run it with their default, which promises more. sled, which never syncs,
//! may lose anything, and shows nothing that never was.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Completion, Failed, Trial};
use storage_api::{Capability, Result, StorageBackend, async_trait};
use storage_conformance::prove::{
    Effort, Proof, lose_what_was_never_synced, run_as_child, run_case,
};
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
            is_elsewhere: false,
        });
        let name = format!("{driver}::what_was_synced_at_{durability}_survives_a_loss_of_power");
        Trial::ignorable_test(name.clone(), move || {
            survives(run_case(&harness, CASE, Effort::default()), &name)
        })
    })
}

/// The test on sled, where that is built in.
pub(crate) fn unsynced(driver: &str) -> Option<Trial> {
    let name = "sled::what_was_not_synced_is_an_earlier_moment_or_told_after_a_loss_of_power";
    (driver == "sled").then(|| {
        Trial::ignorable_test(name, move || {
            let harness: Arc<dyn Harness> = Arc::new(Weaker {
                driver: "sled".to_owned(),
                durability: "process-crash",
                is_elsewhere: false,
            });
            let proof = lose_what_was_never_synced(&harness, Effort::default());
            survives(proof, name)
        })
    })
}

/// The test of what a failure here says, where redb is built in.
pub(crate) fn command(driver: &str) -> Option<Trial> {
    (driver == "redb").then(|| {
        Trial::ignorable_test("a_failure_is_repeated_by_its_command", || {
            is_repeated_by_its_command()
        })
    })
}

fn is_repeated_by_its_command() -> std::result::Result<Completion, Failed> {
    let name = "redb::what_was_synced_at_none_survives_a_loss_of_power";
    let harness: Arc<dyn Harness> = Arc::new(Weaker {
        driver: "redb".to_owned(),
        durability: "power-loss",
        is_elsewhere: true,
    });

    let failed = match survives(run_case(&harness, CASE, Effort::default()), name) {
        Ok(Completion::Completed) => return Err("what was lost is not missed".into()),
        Ok(does_not_apply) => return Ok(does_not_apply),
        Err(failed) => failed,
    };

    let text = failed.message().unwrap_or_default();
    let command = text.lines().find(|line| line.starts_with("repeat "));
    let (cargo, own) = command
        .and_then(|line| line.split_once(" -- "))
        .ok_or_else(|| format!("no command: {text}"))?;
    assert!(cargo.contains(" --all-features "), "{cargo}");
    let listed = Command::new(std::env::current_exe()?)
        .args(own.split(' '))
        .arg("--list")
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    assert_eq!(listed.trim(), format!("{name}: test"), "{own}");
    Ok(Completion::Completed)
}

/// The whole life of a process that such a test has started; `None` where this process is none.
pub(crate) fn play() -> Option<std::process::ExitCode> {
    // The locator says which driver it is.
    run_as_child(&Weaker {
        driver: String::new(),
        durability: "",
        is_elsewhere: false,
    })
}

/// The outcome of the trial of that name. In a failure stands the command that repeats the trial, and not the case, which this
/// program has under no name of its own.
fn survives(proof: Proof, trial: &str) -> std::result::Result<Completion, Failed> {
    match proof {
        Proof::Kept => Ok(Completion::Completed),
        // It cannot sync, or nobody knows what was synced; the reason is shown.
        Proof::Inapplicable(reason) => Ok(Completion::ignored_with(reason)),
        Proof::Broken(reason) => Err(repeated_as(trial, &reason).into()),
        Proof::Hung(reason) => {
            Err(format!("{reason}\nrepeat it with: the trial {trial}, and every feature").into())
        }
    }
}

fn repeated_as(trial: &str, reason: &str) -> String {
    let lines = reason.lines().map(|line| match line.split_once(" -- ") {
        Some((cargo, _)) if line.starts_with("repeat ") => {
            // Without its feature the driver is missing.
            let cargo = cargo.replacen(" --test ", " --all-features --test ", 1);
            format!("{cargo} -- --exact {trial}\n")
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// A driver, by its name, with that durability.
struct Weaker {
    driver: String,
    durability: &'static str,
    /// Whether it is wrong: another process is sent to another place.
    is_elsewhere: bool,
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
        let mut place = WeakerPlace::at(&self.driver, self.durability, root);
        if self.is_elsewhere {
            place.others = spot.fresh_directory()?;
        }
        Ok(Box::new(place))
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
    /// Where other processes are sent.
    others: PathBuf,
}

impl WeakerPlace {
    fn at(driver: &str, durability: &str, root: PathBuf) -> Self {
        let others = root.clone();
        let scene = Scene::at(driver, root).with_durability(durability);
        Self {
            vandal: DirectoryVandal::new(scene.place(), |_| true),
            scene,
            others,
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
        let root = self.others.to_str()?;
        Some(Locator::new(format!("{driver} {durability} {root}")))
    }

    fn vandal(&self) -> Option<&dyn Vandal> {
        Some(&self.vandal)
    }
}
