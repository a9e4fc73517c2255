//! What this program does when it is not the test itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::Scene;
use crate::{damage, disks, places, processes, syncs};

const NAME: &str = "STORAGE_FAULTS_ROLE";
const DRIVER: &str = "STORAGE_FAULTS_DRIVER";
const DIRECTORY: &str = "STORAGE_FAULTS_DIRECTORY";
/// What the place is opened with, where that is not the default of the driver.
pub(crate) const DURABILITY: &str = "STORAGE_FAULTS_DURABILITY";

/// A part of a test, for a process of its own.
pub(crate) struct Role {
    name: String,
    scene: Scene,
}

/// The role that this process was started for.
pub(crate) fn asked() -> Option<Role> {
    let variable = |name| std::env::var_os(name).map(|value| value.into_string().unwrap());
    let mut scene = Scene::at(&variable(DRIVER)?, PathBuf::from(variable(DIRECTORY)?));
    if let Some(durability) = variable(DURABILITY) {
        scene = scene.with_durability(&durability);
    }
    Some(Role {
        name: variable(NAME)?,
        scene,
    })
}

impl Role {
    pub(crate) fn play(self) {
        let Self { name, scene } = self;
        match name.as_str() {
            "hold" => processes::hold(&scene),
            "work" => processes::work(&scene),
            "finish" => processes::finish(&scene),
            "grow" => damage::grow(&scene),
            "broken-disk" => syncs::broken_disk(&scene),
            "full-disk" => disks::full_disk(&scene),
            "without-rights" => places::without_rights(&scene),
            "read-only" => disks::read_only(&scene),
            unknown => panic!("there is no role «{unknown}»"),
        }
    }
}

/// This program in a role, behind a launcher that may be empty.
pub(crate) fn command(launcher: &[&str], role: &str, driver: &str, directory: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match launcher {
        [] => Command::new(program),
        [launcher, arguments @ ..] => {
            let mut command = Command::new(launcher);
            command.args(arguments).arg(program);
            command
        }
    };
    play(&mut command, role, driver, directory);
    command
}

/// A copy of this program in a role.
pub(crate) fn command_of(program: &Path, role: &str, driver: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    play(&mut command, role, driver, directory);
    command
}

fn play(command: &mut Command, role: &str, driver: &str, directory: &Path) {
    command.env(NAME, role).env(DRIVER, driver);
    command.env(DIRECTORY, directory);
}
