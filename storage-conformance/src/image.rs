//! The whole content of a directory, in memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The path of every directory and every file below a directory, relative to it, and whether it is a directory; in the order
/// of their paths, so that a directory stands before what is in it.
pub(crate) fn walk(root: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory))? {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            let is_directory = entry.file_type()?.is_dir();
            if is_directory {
                directories.push(path.clone());
            }
            found.push((path, is_directory));
        }
    }
    found.sort();
    Ok(found)
}

/// Every directory and every file below a directory, by path; a directory has no bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Image {
    /// What stands below that directory.
    pub(crate) fn take(root: &Path) -> io::Result<Self> {
        let mut image = Self::default();
        for (path, is_directory) in walk(root)? {
            let bytes = match is_directory {
                true => None,
                false => Some(fs::read(root.join(&path))?),
            };
            image.0.insert(path, bytes);
        }
        Ok(image)
    }

    /// Puts it there, in the place of all that there is.
    pub(crate) fn put(&self, root: &Path) -> io::Result<()> {
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        // A directory stands before what is in it.
        for (path, bytes) in &self.0 {
            match bytes {
                None => fs::create_dir(root.join(path))?,
                Some(bytes) => fs::write(root.join(path), bytes)?,
            }
        }
        Ok(())
    }

    /// The bytes of a file that is there.
    pub(crate) fn bytes_mut(&mut self, path: &Path) -> &mut Vec<u8> {
        let entry = self.0.get_mut(path);
        let bytes = entry.and_then(Option::as_mut);
        bytes.expect("the path is that of a file of the image")
    }

    /// The files with their bytes.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, &Vec<u8>)> {
        let entries = self.0.iter();
        entries.filter_map(|(path, bytes)| Some((path, bytes.as_ref()?)))
    }
}
