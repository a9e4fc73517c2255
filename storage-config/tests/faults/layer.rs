//! A layer between a program and the system: a library that is preloaded, and compiled when a test needs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles it into that directory; or says why it cannot be had.
pub(crate) fn compile(directory: &Path, source: &str) -> Result<PathBuf, String> {
    let (file, library) = (directory.join("layer.c"), directory.join("layer.so"));
    fs::write(&file, source).map_err(|error| error.to_string())?;
    let ran = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &file])
        .arg("-ldl")
        .output()
        .map_err(|error| format!("no C compiler for the layer below the program: cc: {error}"))?;
    match ran.status.success() {
        true => Ok(library),
        false => Err("cc does not compile the layer below the program".to_owned()),
    }
}
