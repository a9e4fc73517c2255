//! What a driver sees of a configuration file, and what it makes of it.

use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use storage_api::StorageBackend;

use crate::error::{ConfigError, Position};
use crate::node::{Node, Value};

/// The `config:` of one storage, as its driver reads it.
#[derive(Debug, Clone, Copy)]
pub struct DriverConfig<'a> {
    file: &'a str,
    base_dir: &'a Path,
    /// Where the driver is named: the place of what is missing where there is no `config:` at all.
    driver_at: Position,
    node: Option<&'a Node>,
}

impl<'a> DriverConfig<'a> {
    pub(crate) fn new(
        file: &'a str,
        base_dir: &'a Path,
        driver_at: Position,
        node: Option<&'a Node>,
    ) -> Self {
        let node = node.filter(|node| node.value != Value::Null);
        Self {
            file,
            base_dir,
            driver_at,
            node,
        }
    }

    /// Reads the settings into the driver's own type; without a `config:`, as from an empty mapping.
    ///
    /// Give the type `#[serde(deny_unknown_fields, rename_all = "kebab-case")]`: then a key that is misspelt, missing or
    /// has a value that does not fit is refused at its line and column. [`ByteSize`](crate::ByteSize),
    /// [`TimeSpan`](crate::TimeSpan) and [`Percent`](crate::Percent) read values with units.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let empty = Node {
            value: Value::Mapping(Vec::new()),
            at: self.driver_at,
        };
        let node = self.node.unwrap_or(&empty);
        node.read().map_err(|misfit| {
            ConfigError::new(self.file, misfit.at.or(Some(node.at)), misfit.problem)
        })
    }

    /// The directory of the configuration file.
    pub fn base_dir(&self) -> &'a Path {
        self.base_dir
    }

    /// A path of the settings: relative ones start at the configuration file.
    ///
    /// However it is spelled, and through whatever links, the same directory has the same path, as far as it is there.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        // Components leave out `.`, so that `./data` and `data` are the same place.
        let path: PathBuf = self.base_dir.join(path).components().collect();
        let there = path.ancestors().find_map(|ancestor| {
            let rest = path.strip_prefix(ancestor).ok()?;
            let ancestor = match ancestor.as_os_str().is_empty() {
                true => Path::new("."),
                false => ancestor,
            };
            Some(ancestor.canonicalize().ok()?.join(rest))
        });
        there.map_or(path, |path| path.components().collect())
    }

    /// The refusal of the value of a key, for what only the driver can judge.
    ///
    /// The message says what is wrong and what to do: «it is smaller than one segment; give it at least 4MiB».
    pub fn refuse(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let node = self.node.and_then(|node| node.get(key)).or(self.node);
        let position = node.map_or(self.driver_at, |node| node.at);
        let message = format!("{}: {}", key.escape_debug(), message.into());
        ConfigError::new(self.file, Some(position), message)
    }
}

#[cfg(any(feature = "redb", feature = "rocks", feature = "sled"))]
impl DriverConfig<'_> {
    /// The size of something in memory, under that key.
    pub(crate) fn memory(
        &self,
        key: &str,
        size: storage_queue::ByteSize,
    ) -> Result<usize, ConfigError> {
        usize::try_from(size.bytes())
            .map_err(|_| self.refuse(key, "no memory is that large; 64MiB are the default"))
    }
}

#[cfg(any(feature = "rocks", feature = "sled"))]
impl DriverConfig<'_> {
    /// Refuses a size below the least under that key, with what would come of it.
    pub(crate) fn at_least(
        &self,
        key: &str,
        size: storage_queue::ByteSize,
        least: u64,
        otherwise: &str,
    ) -> Result<(), ConfigError> {
        let bytes = size.bytes();
        if bytes >= least {
            return Ok(());
        }
        let least = least >> 20;
        let message = format!("with {bytes} bytes {otherwise}; give it at least {least}MiB");
        Err(self.refuse(key, message))
    }
}

type Opening =
    Pin<Box<dyn Future<Output = storage_api::Result<Arc<dyn StorageBackend>>> + Send + 'static>>;

/// A backend that could be opened: what it would be, and how.
///
/// Settings are read and judged for the whole file before the first place is touched, and storages that turn out to be
/// the same place are opened once.
pub struct Plan {
    settings: String,
    place: Option<PathBuf>,
    opening: Opening,
}

impl Plan {
    /// A backend with those settings, opened by that future when it is needed.
    ///
    /// Two storages of one driver whose settings are written alike by `Debug` are one backend: give every setting, with
    /// the defaults filled in.
    pub fn new<F>(settings: &impl fmt::Debug, opening: F) -> Self
    where
        F: Future<Output = storage_api::Result<Arc<dyn StorageBackend>>> + Send + 'static,
    {
        Self {
            settings: format!("{settings:?}"),
            place: None,
            opening: Box::pin(opening),
        }
    }

    /// The same, at a place that can only be opened once: with other settings it is refused, not opened again.
    #[must_use]
    pub fn at(mut self, place: impl AsRef<Path>) -> Self {
        self.place = Some(place.as_ref().to_owned());
        self
    }

    /// What two storages of one driver share if they are the same backend.
    pub(crate) fn identity(&self) -> &OsStr {
        match &self.place {
            Some(place) => place.as_os_str(),
            None => self.settings.as_ref(),
        }
    }

    /// Where it is, if it is at a place.
    pub(crate) fn place(&self) -> Option<&Path> {
        self.place.as_deref()
    }

    pub(crate) fn settings(&self) -> &str {
        &self.settings
    }

    pub(crate) async fn open(self) -> storage_api::Result<Arc<dyn StorageBackend>> {
        self.opening.await
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("settings", &self.settings)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
