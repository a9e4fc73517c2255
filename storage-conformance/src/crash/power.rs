//! Losses of power: a child whose place keeps only what was synced, as a layer below it knows.
//!
//! The layer is a shared library of a few calls, compiled by the system's C compiler when the case runs, and preloaded into the
//! child. It keeps beside the place what every `fsync` and `fdatasync` made durable; when the child has been killed, the place
//! is made anew from that.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::image::Image;

/// The source of the layer.
const SOURCE: &str = include_str!("power.c");

/// What was synced below a directory, by a child that has the layer.
#[derive(Debug)]
pub(super) struct Synced {
    root: PathBuf,
    store: PathBuf,
    library: PathBuf,
    /// With the library and the store in it.
    _scratch: tempfile::TempDir,
}

impl Synced {
    /// The layer for a directory; where it cannot be had, why not.
    pub(super) fn below(root: &Path) -> Result<Self, String> {
        let told = |what: &str, error: &io::Error| format!("{what}: {error}");
        let scratch = tempfile::Builder::new()
            .prefix("storage-conformance-power-")
            .tempdir()
            .map_err(|error| told("there is no room for what was synced", &error))?;
        let root = root
            .canonicalize()
            .map_err(|error| told("the directory of the place cannot be found", &error))?;
        let library = compile(scratch.path())?;
        Ok(Self {
            root,
            store: scratch.path().join("store"),
            library,
            _scratch: scratch,
        })
    }

    /// What a child needs to have the layer.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut preloaded = text(&self.library);
        if let Ok(others) = std::env::var("LD_PRELOAD") {
            preloaded = format!("{preloaded}:{others}");
        }
        vec![
            ("LD_PRELOAD".to_owned(), preloaded),
            ("STORAGE_POWER_ROOT".to_owned(), text(&self.root)),
            ("STORAGE_POWER_STORE".to_owned(), text(&self.store)),
        ]
    }

    /// Everything that stands in the place is on the disk.
    pub(super) fn begin(&self) -> io::Result<()> {
        if self.store.exists() {
            fs::remove_dir_all(&self.store)?;
        }
        fs::create_dir(&self.store)?;
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            let mut names = Vec::new();
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let key = key_of(&entry.path())?;
                let is_directory = entry.file_type()?.is_dir();
                let kind = if is_directory { 'd' } else { 'f' };
                let name = entry.file_name();
                let name = name.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
                names.extend_from_slice(format!("{kind} {key} {name}\0").as_bytes());
                if is_directory {
                    directories.push(entry.path());
                } else {
                    fs::copy(entry.path(), self.store.join(key))?;
                }
            }
            fs::write(self.store.join(format!("d{}", key_of(&directory)?)), names)?;
        }
        Ok(())
    }

    /// Whether the child had the layer; an error where the layer could not do its work.
    pub(super) fn was_loaded(&self) -> Result<bool, String> {
        if self.store.join("failed").exists() {
            return Err("the layer could not keep what was synced; is the volume full?".to_owned());
        }
        Ok(self.store.join("loaded").exists())
    }

    /// What a loss of power would have left, and which file each path was.
    fn left(&self) -> io::Result<(Image, BTreeMap<PathBuf, String>)> {
        let (mut image, mut keys) = (Image::default(), BTreeMap::new());
        let mut directories = vec![(PathBuf::new(), key_of(&self.root)?)];
        while let Some((directory, key)) = directories.pop() {
            let names = absent_is_empty(fs::read(self.store.join(format!("d{key}"))))?;
            let names = String::from_utf8(names).map_err(io::Error::other)?;
            for line in names.split_terminator('\0') {
                let mut words = line.splitn(3, ' ');
                let (kind, key, name) = (words.next(), words.next(), words.next());
                let (Some(kind), Some(key), Some(name)) = (kind, key, name) else {
                    return Err(io::Error::other(format!(
                        "{line:?} is no name in a directory"
                    )));
                };
                let path = directory.join(name);
                if kind == "d" {
                    image.0.insert(path.clone(), None);
                    directories.push((path, key.to_owned()));
                } else {
                    let bytes = absent_is_empty(fs::read(self.store.join(key)))?;
                    image.0.insert(path.clone(), Some(bytes));
                    keys.insert(path, key.to_owned());
                }
            }
        }
        Ok((image, keys))
    }

    /// Makes the place what a loss of power would have left of it. Of what was written to each file since it was synced, the
    /// beginning may have reached the disk: `written` says how much of so many changed bytes.
    pub(super) fn lose_power(&self, mut written: impl FnMut(usize) -> usize) -> io::Result<()> {
        let (mut image, keys) = self.left()?;
        for (path, key) in keys {
            let live = self.root.join(&path);
            let is_same_file = key_of(&live).is_ok_and(|now| now == key);
            if let (true, Some(Some(bytes))) = (is_same_file, image.0.get_mut(&path)) {
                let live = fs::read(live)?;
                let is_length_set = self.store.join(format!("l{key}")).exists();
                reach(bytes, &live, is_length_set, &mut written);
            }
        }
        image.put(&self.root)
    }
}

/// Writes the first of the bytes that differ into what was synced.
///
/// A file that grows by what is appended may end anywhere. One whose length was set before it was written has either length.
fn reach(
    synced: &mut Vec<u8>,
    live: &[u8],
    is_length_set: bool,
    written: &mut impl FnMut(usize) -> usize,
) {
    let synced_len = synced.len();
    let differs = |at: &usize| synced.get(*at) != live.get(*at);
    let changed: Vec<_> = (0..live.len()).filter(differs).collect();
    let reached = written(changed.len());
    for at in changed.into_iter().take(reached) {
        if synced.len() <= at {
            synced.resize(at + 1, 0);
        }
        synced[at] = live[at];
    }
    if is_length_set && synced.len() > synced_len {
        synced.resize(live.len(), 0);
    }
}

fn absent_is_empty(read: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match read {
        // A name that was synced before its file, or a directory that never was.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// The name that the layer gives to a file: its number and the time of its birth.
fn key_of(path: &Path) -> io::Result<String> {
    let found = fs::symlink_metadata(path)?;
    let born = found.created()?.duration_since(std::time::UNIX_EPOCH);
    let born = born.map_err(io::Error::other)?;
    let (seconds, nanos) = (born.as_secs(), born.subsec_nanos());
    Ok(format!("{}-{seconds}.{nanos:09}", found.ino()))
}

fn compile(directory: &Path) -> Result<PathBuf, String> {
    let (source, library) = (directory.join("power.c"), directory.join("power.so"));
    let written = fs::write(&source, SOURCE);
    written.map_err(|error| format!("the layer that knows what was synced: {error}"))?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let ran = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .args(["-ldl", "-lpthread"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            format!("no C compiler for the layer that knows what was synced: {compiler}: {error}")
        })?;
    if !ran.status.success() {
        let text = String::from_utf8_lossy(&ran.stderr);
        let first = text.lines().next().unwrap_or("it says nothing");
        return Err(format!(
            "{compiler} does not compile the layer that knows what was synced: {first}"
        ));
    }
    // A volume that does not say when a file was born cannot tell a file from a later one of the same number.
    match key_of(&source) {
        Ok(_) => Ok(library),
        Err(error) => Err(format!(
            "the volume does not know when a file was made: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_length_that_was_set_reaches_the_disk_wholly_or_not_at_all() {
        let reached = |is_length_set, bytes| {
            let mut synced = b"abc".to_vec();
            reach(&mut synced, b"abcdefgh", is_length_set, &mut |_| bytes);
            synced
        };

        assert_eq!(reached(true, 2), b"abcde\0\0\0");
        assert_eq!(reached(true, 0), b"abc");
        assert_eq!(reached(false, 2), b"abcde");
    }

    #[test]
    fn what_was_not_synced_is_lost_but_for_its_beginning() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        fs::create_dir(root.join("deep")).unwrap();
        fs::write(root.join("deep/kept"), "synced").unwrap();
        // What a test prints that passes is kept by the runner; this is not.
        let synced = match Synced::below(root) {
            Ok(synced) => synced,
            Err(reason) => {
                writeln!(io::stderr(), "does not apply: {reason}").unwrap();
                return;
            }
        };
        synced.begin().unwrap();

        fs::write(root.join("deep/kept"), "SYNCED and more").unwrap();
        fs::write(root.join("deep/new"), "a name that was not synced").unwrap();
        synced.lose_power(|changed| changed / 2).unwrap();

        let found = Image::take(root).unwrap();
        let expected = [
            (PathBuf::from("deep"), None),
            (PathBuf::from("deep/kept"), Some(b"SYNCED ".to_vec())),
        ];
        assert_eq!(found, Image(expected.into()));
    }
}
