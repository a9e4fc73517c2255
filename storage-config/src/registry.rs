//! Which drivers there are, by the name that a file selects them with.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::driver::{DriverConfig, Plan};
use crate::error::{ConfigError, Position, Problem};
use crate::open::{Missing, open_storages};
use crate::opened::Opened;
use crate::yaml::{self, FILE_BYTES_MAX};

/// Drivers that this crate can name, and the cargo feature that compiles each in.
const BUILT_IN: [(&str, &str); 4] = [
    ("memory", "memory"),
    ("redb", "redb"),
    ("rocks", "rocks"),
    ("sled", "sled"),
];

/// Makes a plan of a `config:`.
type Factory = dyn Fn(&DriverConfig<'_>) -> Result<Plan, ConfigError> + Send + Sync;

/// The drivers that a configuration can select. Nothing is global: each registry is its own.
///
/// A driver of your own is selected like a built-in one:
///
/// ```
/// use std::sync::Arc;
/// use storage_api::StorageBackend;
/// use storage_config::{ByteSize, ConfigError, DriverConfig, Plan, Registry};
/// use storage_memory::MemoryBackend;
///
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(rename_all = "kebab-case", deny_unknown_fields)]
/// struct Settings {
///     ring_size: ByteSize,
/// }
///
/// fn mine(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
///     let settings: Settings = config.read()?;
///     if settings.ring_size.bytes() < 4096 {
///         return Err(config.refuse("ring-size", "it is smaller than a page; give it at least 4KiB"));
///     }
///     Ok(Plan::new(&settings, async {
///         Ok(Arc::new(MemoryBackend::new()) as Arc<dyn StorageBackend>) // your backend
///     }))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ConfigError> {
/// let text = "
/// queue-storage: { driver: memory }
/// partition-storage:
///   - name: ring-01
///     driver: mine
///     config: { ring-size: 64KiB }
/// ";
/// let opened = Registry::builtin().with("mine", mine).open_str(text, ".", "queue.yaml").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Registry {
    factories: BTreeMap<String, Arc<Factory>>,
}

impl Registry {
    /// The drivers that are compiled in, each with the feature of its name: `memory` and `redb` by default, `rocks` and
    /// `sled` by choice.
    pub fn builtin() -> Self {
        let registry = Self {
            factories: BTreeMap::new(),
        };
        #[cfg(feature = "memory")]
        let registry = registry.with("memory", crate::memory::plan);
        #[cfg(feature = "redb")]
        let registry = registry.with("redb", crate::redb::plan);
        #[cfg(feature = "rocks")]
        let registry = registry.with("rocks", crate::rocks::plan);
        #[cfg(feature = "sled")]
        let registry = registry.with("sled", crate::sled::plan);
        registry
    }

    /// The same with one more driver, or another one of that name.
    #[must_use]
    pub fn with(
        mut self,
        name: impl Into<String>,
        factory: impl Fn(&DriverConfig<'_>) -> Result<Plan, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        self.factories.insert(name.into(), Arc::new(factory));
        self
    }

    /// The names of the drivers, in order.
    pub fn drivers(&self) -> impl Iterator<Item = &str> {
        self.factories.keys().map(String::as_str)
    }

    /// Reads a configuration file and opens every storage that it names.
    ///
    /// The whole file is read and judged before anything is opened. If a storage cannot be opened, those opened before it
    /// are closed again.
    pub async fn open(&self, path: impl AsRef<Path>) -> Result<Opened, ConfigError> {
        self.open_file(path.as_ref(), Missing::Make).await
    }

    /// As [`open`](Self::open), but makes no place: one in which there is nothing is refused, before any is opened. For whoever
    /// only looks, and would take what a wrong path makes for an empty queue.
    pub async fn open_existing(&self, path: impl AsRef<Path>) -> Result<Opened, ConfigError> {
        self.open_file(path.as_ref(), Missing::Refuse).await
    }

    async fn open_file(&self, path: &Path, missing: Missing) -> Result<Opened, ConfigError> {
        let file = path.display().to_string();
        let text = read(path, &file)?;
        let cannot_tell = |error: std::io::Error| {
            ConfigError::new(&*file, None, format!("cannot tell its directory: {error}"))
        };
        let absolute = std::path::absolute(path).map_err(cannot_tell)?;
        let base_dir = absolute.parent().unwrap_or(Path::new("/"));
        let root = yaml::parse(&text, &file)?;
        open_storages(self, &root, base_dir, &file, missing).await
    }

    /// As [`open`](Self::open), of a text: relative paths start at `base_dir`, errors name `file`.
    pub async fn open_str(
        &self,
        text: &str,
        base_dir: impl AsRef<Path>,
        file: &str,
    ) -> Result<Opened, ConfigError> {
        let root = yaml::parse(text, file)?;
        open_storages(self, &root, base_dir.as_ref(), file, Missing::Make).await
    }

    /// What the driver of that name makes of a `config:`.
    pub(crate) fn plan(
        &self,
        driver: &str,
        driver_at: Position,
        config: &DriverConfig<'_>,
        file: &str,
    ) -> Result<Plan, ConfigError> {
        match self.factories.get(driver) {
            Some(factory) => factory(config),
            None => Err(ConfigError::new(
                file,
                Some(driver_at),
                self.unknown(driver),
            )),
        }
    }

    fn unknown(&self, driver: &str) -> Problem {
        if let Some((_, feature)) = BUILT_IN.iter().find(|(name, _)| *name == driver) {
            let message = format!(
                "the driver «{driver}» is not compiled in; enable the feature «{feature}» of storage-config"
            );
            return Problem {
                found: Some(driver.to_owned()),
                ..message.into()
            };
        }
        // One that is not compiled in may be meant; told so, the reader learns how it is.
        let built_in = BUILT_IN.iter().map(|(name, _)| *name);
        let meant = Problem::unknown("driver", driver, self.drivers().chain(built_in));
        Problem {
            nearest: meant.nearest,
            ..Problem::unknown("driver", driver, self.drivers())
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry")
            .field(&self.factories.keys())
            .finish()
    }
}

/// Opens a configuration file with the built-in drivers; see [`Registry::open`].
pub async fn open(path: impl AsRef<Path>) -> Result<Opened, ConfigError> {
    Registry::builtin().open(path).await
}

/// The text of a file; of one that is too large no more than the limit is read.
fn read(path: &Path, file: &str) -> Result<String, ConfigError> {
    let whole = |message: String| ConfigError::new(file, None, message);
    let cannot_read = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => whole("there is no such file; check the path".to_owned()),
        std::io::ErrorKind::IsADirectory => {
            whole("it is a directory; name the YAML file in it".to_owned())
        }
        std::io::ErrorKind::PermissionDenied => {
            whole("it cannot be read; check its permissions".to_owned())
        }
        _ => whole(format!("it cannot be read: {error}")),
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(cannot_read)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(whole(yaml::too_large()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line_start = valid
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let lines = valid.iter().filter(|byte| **byte == b'\n').count();
        let column = String::from_utf8_lossy(&valid[line_start..])
            .chars()
            .count();
        let position = Position {
            line: lines as u64 + 1,
            column: column as u64 + 1,
        };
        ConfigError::new(
            file,
            Some(position),
            "it is not UTF-8 from here on; save it as UTF-8",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_is_not_compiled_in_names_its_feature() {
        let without = Registry {
            factories: BTreeMap::new(),
        };

        assert_eq!(
            without.unknown("memory").to_string(),
            "the driver «memory» is not compiled in; enable the feature «memory» of storage-config"
        );
        assert_eq!(
            without.unknown("rocks").to_string(),
            "the driver «rocks» is not compiled in; enable the feature «rocks» of storage-config"
        );
        assert_eq!(
            without.unknown("skled").to_string(),
            "unknown driver «skled»; nothing is known here; did you mean «sled»?"
        );
    }
}
