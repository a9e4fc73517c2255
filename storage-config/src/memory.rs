//! The driver `memory`: how much it may take, and what becomes of a produce for which there is no room.
//!
//! Every storage that names it with the same settings is the same backend.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use storage_api::StorageBackend;
use storage_memory::{MemoryBackend, MemoryConfig, Overflow};
use storage_queue::{ByteSize, Percent};

use crate::driver::{DriverConfig, Plan};
use crate::error::ConfigError;

/// What `auto` takes of the memory that there is: the rest is for the program around it.
const AUTO_PERCENT: u64 = 60;
/// The smallest limit that the driver takes.
const MAX_MEMORY_BYTES_MIN: u64 = 64 << 10;

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// Without it there is no limit.
    #[serde(default)]
    max_memory: Option<MaxMemory>,
    #[serde(default)]
    overflow: Policy,
    /// Known so that it can be refused with a reason.
    #[serde(default)]
    eviction: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    #[default]
    Reject,
    DropOldest,
    DropNewest,
    DropLowestPriority,
    DropNearestExpiry,
}

impl From<Policy> for Overflow {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Reject => Self::Reject,
            Policy::DropOldest => Self::DropOldest,
            Policy::DropNewest => Self::DropNewest,
            Policy::DropLowestPriority => Self::DropLowestPriority,
            Policy::DropNearestExpiry => Self::DropNearestExpiry,
        }
    }
}

pub(crate) fn plan(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
    let settings: Settings = config.read()?;
    if settings.eviction.is_some() {
        return Err(config.refuse(
            "eviction",
            "a queue reads each item once, so that none is worth keeping for a second time; choose an overflow policy",
        ));
    }
    let mut memory = MemoryConfig::default().overflow(settings.overflow.into());
    if let Some(max_memory) = settings.max_memory {
        let bytes = max_memory
            .resolve(available_bytes(Path::new("/")))
            .map_err(|reason| config.refuse("max-memory", reason))?;
        memory = memory.max_memory(bytes);
    }
    Ok(Plan::new(&memory, async move {
        Ok(Arc::new(MemoryBackend::open(memory)?) as Arc<dyn StorageBackend>)
    }))
}

/// How much memory the driver may take, as the file says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MaxMemory {
    Bytes(ByteSize),
    /// Of the memory that there is.
    Share(Percent),
    /// [`AUTO_PERCENT`] of it.
    Auto,
}

impl MaxMemory {
    /// The bytes that it means where so many are available; else why it means none.
    fn resolve(self, available: Option<u64>) -> Result<u64, String> {
        let known = available.ok_or_else(|| {
            "how much memory there is cannot be found out here; give it as a size such as 512MiB".to_owned()
        });
        let bytes = match self {
            Self::Bytes(size) => size.bytes(),
            Self::Share(percent) => percent.of(known?),
            Self::Auto => known? / 100 * AUTO_PERCENT,
        };
        if bytes < MAX_MEMORY_BYTES_MIN {
            return Err(format!(
                "{bytes} bytes hold no item; give it at least {MAX_MEMORY_BYTES_MIN} bytes"
            ));
        }
        match available {
            Some(available) if bytes > available => Err(format!(
                "{bytes} bytes are more than the {available} bytes of memory that there are; give it less, or a share such \
                 as 50%"
            )),
            _ => Ok(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for MaxMemory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaxMemoryVisitor)
    }
}

struct MaxMemoryVisitor;

impl Visitor<'_> for MaxMemoryVisitor {
    type Value = MaxMemory;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 512MiB, a share such as 50%, or auto")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<MaxMemory, E> {
        let found = match text {
            "auto" => Some(MaxMemory::Auto),
            share if share.ends_with('%') => share.parse().ok().map(MaxMemory::Share),
            size => size.parse().ok().map(MaxMemory::Bytes),
        };
        found.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<MaxMemory, E> {
        Ok(MaxMemory::Bytes(ByteSize::new(number)))
    }
}

/// The memory that this process may take: the least of the machine's and of the limits of its cgroups.
fn available_bytes(root: &Path) -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(root.join(path)).ok();
    let meminfo = read(Path::new("proc/meminfo"));
    let machine = meminfo.as_deref().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    });

    // Every group from that of the process up to the root may have a limit; without one the file says «max».
    let own = read(Path::new("proc/self/cgroup")).unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let groups = Path::new(own.unwrap_or_default());
    let mut limits: Vec<u64> = groups
        .ancestors()
        .map(|group| Path::new("sys/fs/cgroup").join(group).join("memory.max"))
        .filter_map(|path| read(&path)?.trim().parse().ok())
        .collect();
    let first_version = read(Path::new("sys/fs/cgroup/memory/memory.limit_in_bytes"));
    limits.extend(first_version.and_then(|text| text.trim().parse::<u64>().ok()));
    limits.into_iter().chain(machine).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn sizes_shares_and_auto_are_resolved_against_what_there_is() {
        let share = |text: &str| MaxMemory::Share(text.parse().unwrap());
        let bytes = |bytes| MaxMemory::Bytes(ByteSize::new(bytes));
        for (max_memory, available, expected) in [
            (bytes(GIB), Some(GIB), Some(GIB)),
            (bytes(GIB + 1), Some(GIB), None),
            (bytes(GIB), None, Some(GIB)),
            (bytes(0), Some(GIB), None),
            (bytes(1), Some(GIB), None),
            (bytes(64 << 10), Some(GIB), Some(64 << 10)),
            (share("50%"), Some(GIB), Some(GIB / 2)),
            (share("0%"), Some(GIB), None),
            (share("50%"), None, None),
            (MaxMemory::Auto, Some(1000 << 20), Some(600 << 20)),
            (MaxMemory::Auto, None, None),
        ] {
            let resolved = max_memory.resolve(available).ok();
            assert_eq!(resolved, expected, "{max_memory:?} of {available:?}");
        }
    }

    #[test]
    fn the_smallest_limit_of_machine_and_cgroups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(available_bytes(root.path()), None, "nothing is known");

        write("proc/meminfo", "MemFree: 1 kB\nMemTotal:    4096 kB\n");
        assert_eq!(available_bytes(root.path()), Some(4 << 20));

        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(available_bytes(root.path()), Some(4 << 20));
        write("sys/fs/cgroup/a/memory.max", "2097152\n");
        assert_eq!(available_bytes(root.path()), Some(2 << 20));
        write("sys/fs/cgroup/a/b/memory.max", "1048576\n");
        assert_eq!(available_bytes(root.path()), Some(1 << 20));

        // The first version of cgroups has one file for the process's own.
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "524288\n");
        assert_eq!(available_bytes(root.path()), Some(512 << 10));
        write(
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(available_bytes(root.path()), Some(1 << 20), "no limit");
    }
}
