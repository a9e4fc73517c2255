//! Damage to a place that is a directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use storage_api::{Error, ErrorKind, Object, Operation, Result, async_trait};

use crate::harness::Vandal;
use crate::image::walk;

/// Marks a directory as written by a newer format.
type Renew = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// A [`Vandal`] for places that are a directory, which most persistent drivers have: the suite damages every file below it.
///
/// ```
/// use std::path::Path;
///
/// use storage_conformance::DirectoryVandal;
///
/// // The bytes that are appended to stand in the files that end in `.log`.
/// let vandal = DirectoryVandal::new("data", |path| path.extension().is_some_and(|one| one == "log"))
///     .with_newer_format(|directory: &Path| std::fs::write(directory.join("FORMAT"), "99"));
/// # let _ = vandal;
/// ```
pub struct DirectoryVandal {
    root: PathBuf,
    is_data: fn(&Path) -> bool,
    renew: Option<Renew>,
}

impl std::fmt::Debug for DirectoryVandal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirectoryVandal({})", self.root.display())
    }
}

impl DirectoryVandal {
    /// The vandal of that directory, which holds everything that the place stores and nothing else.
    ///
    /// `is_data` says of a path below the directory whether the file is one of those that the driver appends to: their bytes,
    /// one file behind the other in the order of their names, are what [`Vandal::bytes`] counts, and tails are cut off the
    /// last of them.
    pub fn new(root: impl Into<PathBuf>, is_data: fn(&Path) -> bool) -> Self {
        Self {
            root: root.into(),
            is_data,
            renew: None,
        }
    }

    /// The same, with a way to mark the directory as written by a newer format.
    #[must_use]
    pub fn with_newer_format(
        mut self,
        renew: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.renew = Some(Box::new(renew));
        self
    }

    /// The files of data and their lengths.
    fn data(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut found = Vec::new();
        for path in files_below(&self.root)? {
            if (self.is_data)(&path) {
                let path = self.root.join(path);
                let len = path.metadata()?.len();
                found.push((path, len));
            }
        }
        Ok(found)
    }

    fn flip_now(&self, mut offset: u64, bit: u8) -> io::Result<()> {
        for (path, len) in self.data()? {
            if offset >= len {
                offset -= len;
                continue;
            }
            let mut bytes = fs::read(&path)?;
            let index = usize::try_from(offset).map_err(io::Error::other)?;
            bytes[index] ^= 1 << bit;
            return fs::write(path, bytes);
        }
        Err(io::Error::other("there are not so many bytes"))
    }

    fn cut_now(&self, bytes: u64) -> io::Result<()> {
        let Some((path, len)) = self.data()?.pop() else {
            return Err(io::Error::other("there is no file of data"));
        };
        let file = File::options().write(true).open(path)?;
        file.set_len(len.saturating_sub(bytes))
    }
}

#[async_trait]
impl Vandal for DirectoryVandal {
    async fn bytes(&self) -> Result<u64> {
        let found = self.data().map_err(|error| self.told(error))?;
        Ok(found.iter().map(|(_, len)| len).sum())
    }

    async fn flip(&self, offset: u64, bit: u8) -> Result<()> {
        let flipped = self.flip_now(offset, bit);
        flipped.map_err(|error| self.told(error))
    }

    async fn cut(&self, bytes: u64) -> Result<()> {
        self.cut_now(bytes).map_err(|error| self.told(error))
    }

    async fn renew_format(&self) -> Result<bool> {
        let Some(renew) = &self.renew else {
            return Ok(false);
        };
        renew(&self.root).map_err(|error| self.told(error))?;
        Ok(true)
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.root)
    }
}

impl DirectoryVandal {
    fn told(&self, error: io::Error) -> Error {
        let object = Object::Place(self.root.display().to_string());
        let reason = "see to the volume of the temporary directory";
        Error::new(ErrorKind::Unavailable, Operation::Open, object, reason).with_source(error)
    }
}

/// The paths of all files below a directory, relative to it, in the order of their names.
pub(crate) fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let found = walk(root)?.into_iter();
    let files = found.filter(|(_, is_directory)| !is_directory);
    Ok(files.map(|(path, _)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bytes_of_several_files_are_one_behind_the_other() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("deep")).unwrap();
        for (name, bytes) in [("1.log", "ab"), ("deep/2.log", "cde"), ("other", "never")] {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        let is_log = |path: &Path| path.extension().is_some_and(|one| one == "log");
        let vandal = DirectoryVandal::new(directory.path(), is_log);

        vandal.flip(1, 0).await.unwrap();
        vandal.flip(2, 0).await.unwrap();
        vandal.cut(2).await.unwrap();

        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(vandal.bytes().await.unwrap(), 3);
        assert_eq!(
            (read("1.log"), read("deep/2.log")),
            ("ac".into(), "b".into())
        );
        assert_eq!(read("other"), "never");
        assert!(vandal.flip(3, 0).await.is_err());
    }
}
