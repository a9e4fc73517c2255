//! Faults of files, disks and processes: one test for each, on every driver that keeps something on disk.
//!
//! Some of it happens in other processes, which are this program too. What needs a disk of its own mounts one, which root
//! may do, or anybody where the system has user namespaces; elsewhere those tests are shown as ignored.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod damage;
mod disks;
mod layer;
mod moments;
mod places;
mod power;
mod processes;
mod role;
mod scene;
mod syncs;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use storage_config::Registry;

/// A test on the driver of that name.
type Story = fn(&str);

fn main() -> ExitCode {
    if let Some(role) = role::asked() {
        role.play();
        return ExitCode::SUCCESS;
    }
    if let Some(code) = power::play() {
        return code;
    }
    let registry = Registry::builtin();
    let drivers = registry.drivers().filter(|driver| *driver != "memory");
    let mounts = disks::can_mount();
    let mut trials = Vec::new();
    for driver in drivers {
        for stories in [places::ALL, damage::ALL, processes::ALL] {
            trials.extend(stories.iter().map(|story| trial(driver, *story)));
        }
        trials.extend(power::trials(driver));
        trials.extend(power::unsynced(driver));
        trials.extend(power::command(driver));
        trials.push(syncs::trial(driver));
        trials.push(moments::trial(driver));
        for story in disks::ALL {
            trials.push(trial(driver, *story).with_ignored_flag(!mounts));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(driver: &str, (name, story): (&str, Story)) -> Trial {
    let of = driver.to_owned();
    Trial::test(format!("{driver}::{name}"), move || {
        story(&of);
        Ok(())
    })
}
