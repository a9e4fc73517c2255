//! Copies the sources of the drivers, with other locks in the place of theirs and with mistakes that a test can switch on.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use list::{LIST, Mistake};

#[path = "src/mistakes/list.rs"]
#[allow(unreachable_pub, reason = "the crate shows what this only reads")]
mod list;

/// The one file of a driver that says where its locks come from.
const LOCKS_FILE: &str = "sync.rs";
const LOCKS: &str = "//! Locks whose turns a test chooses.\n\npub(crate) use crate::locks::*;\n";

/// The drivers, each with the module that it becomes.
const DRIVERS: [(&str, &str); 2] = [("storage-kv", "kv"), ("storage-memory", "memory")];

#[allow(
    clippy::disallowed_methods,
    reason = "cargo tells a build script where it is by its environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/mistakes/list.rs");
    let workspace = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut modules = String::new();
    let mut misfits = Vec::new();
    for (driver, module) in DRIVERS {
        let from = workspace.join(driver).join("src");
        println!("cargo::rerun-if-changed={}", from.display());
        let to = out.join(module);
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        copy(&from, &to, module)?;
        fs::write(to.join(LOCKS_FILE), LOCKS)?;
        for mistake in LIST.iter().filter(|mistake| mistake.module == module) {
            if !make(mistake, &to)? {
                misfits.push(mistake.name);
            }
        }
        let root = to.join("lib.rs");
        let about = format!("`{driver}`, built with the locks of this crate.");
        writeln!(modules, "#[doc = {about:?}]")?;
        let lints = "linted where it comes from; a switch for a mistake need not be pretty";
        writeln!(
            modules,
            "#[allow(warnings, clippy::all, reason = {lints:?})]"
        )?;
        writeln!(modules, "#[path = {root:?}]\npub mod {module};")?;
    }
    writeln!(
        modules,
        "/// The mistakes whose places are no longer what the list says."
    )?;
    writeln!(modules, "pub const MISFITS: &[&str] = &{misfits:?};")?;
    fs::write(out.join("drivers.rs"), modules)?;
    Ok(())
}

/// What is written otherwise in a copy. Tests stay behind, as they need what only the crate has; but the sizes are theirs,
/// so that few items fill a segment.
const EDITS: [(&str, &str); 3] = [
    ("#[cfg(test)]", "#[cfg(any())]"),
    ("#[cfg_attr(test,", "#[cfg_attr(any(),"),
    ("if cfg!(test)", "if true"),
];

/// Copies a crate so that it can be a module: paths that begin at its root begin at the module.
fn copy(from: &Path, to: &Path, module: &str) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (from, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy(&from, &to, module)?;
        } else {
            let source = fs::read_to_string(&from)?;
            let source = source.replace("crate::", &format!("crate::{module}::"));
            let edited = EDITS
                .iter()
                .fold(source, |source, (from, to)| source.replace(from, to));
            fs::write(to, edited)?;
        }
    }
    Ok(())
}

/// Makes a mistake, all of its edits or none; `false` where the source is no longer what the list says.
fn make(mistake: &Mistake, to: &Path) -> Result<bool, Box<dyn Error>> {
    let switch = format!("crate::mistakes::is_made({:?})", mistake.name);
    let mut edited = Vec::new();
    for edit in mistake.edits {
        let path = to.join(edit.file);
        let at = edited.iter().position(|(known, _)| *known == path);
        let source = match at {
            Some(at) => edited.swap_remove(at).1,
            None => fs::read_to_string(&path)?,
        };
        if source.matches(edit.right).count() != 1 {
            return Ok(false);
        }
        let wrong = edit.wrong.replace("MADE", &switch);
        edited.push((path, source.replacen(edit.right, &wrong, 1)));
    }
    for (path, source) in edited {
        fs::write(path, source)?;
    }
    Ok(true)
}
