//! From a YAML file to opened storages: the one place that knows drivers by name.
//!
//! ```yaml
//! queue-storage:            # where the definitions of queues and other metadata live
//!   driver: memory
//! partition-storage:        # where items live; the partitions of a new queue are spread by affinity
//!   - name: memory-01
//!     driver: memory
//!     affinity: 1
//! queues:                   # queues that are there once the file is open
//!   - name: emails
//!     partitions: 2
//!     attempts-max: 3       # 0: no limit
//!     dead: keep            # keep or drop
//!     requeue: tail         # tail or original
//!     dedup-for: 1h         # how long a dedup key outlives its item
//!     items-max: 100000     # of each partition; 0: no limit
//!     bytes-max: 512MiB     # of each partition; 0: no limit
//!     backoff: { initial: 1s, factor: 2, max: 10m, jitter: 0.1 }
//! ```
//!
//! - A storage is a `driver:` and, where the driver has settings, a `config:`. Storages of one driver with the same
//!   settings are one backend, opened once, so that transactions span them.
//! - The drivers are `memory` and `redb`, and by choice `rocks` and `sled`, each with the feature of its name.
//! - Sizes, durations and percentages have units: `512MiB`, `30s`, `85%`. Relative paths start at the file.
//! - Durable metadata over volatile items, or volatile metadata over durable items, is refused unless the file says
//!   `allow-mixed-durability: true`.
//! - What is wrong is refused before anything is opened, with the line, the column, what was found, and the nearest known
//!   word: [`ConfigError`].
//! - A file is at most 1 MiB; anchors and aliases are refused, so that no file is larger than it looks.
//!
//! | file | question |
//! |---|---|
//! | `registry` | which drivers there are, and how a file is opened |
//! | `yaml`, `node` | how text becomes values that know their place |
//! | `document` | what may stand in a file |
//! | `driver`, `memory`, `redb`, `rocks`, `sled` | what a driver sees of its `config:`, and what it makes of it |
//! | `open`, `opened`, `queues` | what a file becomes |
//! | `error` | what is wrong, and where |

mod document;
mod driver;
mod error;
#[cfg(feature = "memory")]
mod memory;
mod node;
mod open;
mod opened;
mod queues;
#[cfg(feature = "redb")]
mod redb;
mod registry;
#[cfg(feature = "rocks")]
mod rocks;
#[cfg(feature = "sled")]
mod sled;
mod yaml;

pub use driver::{DriverConfig, Plan};
pub use error::{ConfigError, Position};
pub use opened::Opened;
pub use registry::{Registry, open};
pub use storage_queue::{ByteSize, Percent, TimeSpan, UnitError};
pub use yaml::FILE_BYTES_MAX;
