//! What a backend says of itself.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What an `Ok` means (clause DUR-1). Ordered: a later one promises more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Gone with the process.
    #[default]
    None,
    /// Survives the end of the process, SIGKILL included.
    ProcessCrash,
    /// Survives the loss of power.
    PowerLoss,
}

impl Durability {
    /// Every durability, the weakest first.
    pub const ALL: [Self; 3] = [Self::None, Self::ProcessCrash, Self::PowerLoss];
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::ProcessCrash => "process-crash",
            Self::PowerLoss => "power-loss",
        })
    }
}

/// What only some backends can do. Constant for an opened backend, and tested in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Capability {
    /// Overlapping calls on a partition see one strict order (clause CONC-2).
    StrictOrder,
    /// The state is there again after `close` and reopening (clause DUR-2).
    Reopen,
    /// `sync` makes everything acknowledged survive the loss of power (clause DUR-4).
    Sync,
    /// Several openings of one place work together (clause OPEN-1).
    Shared,
    /// `watch` fires for operations through any opening (clause WAKE-1).
    RemoteWake,
    /// `verify` checks the stored state.
    Verify,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 6] = [
        Self::StrictOrder,
        Self::Reopen,
        Self::Sync,
        Self::Shared,
        Self::RemoteWake,
        Self::Verify,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StrictOrder => "strict-order",
            Self::Reopen => "reopen",
            Self::Sync => "sync",
            Self::Shared => "shared",
            Self::RemoteWake => "remote-wake",
            Self::Verify => "verify",
        })
    }
}

/// A set of capabilities.
///
/// ```
/// use storage_api::{Capabilities, Capability};
///
/// let capabilities = Capabilities::of([Capability::StrictOrder, Capability::Reopen]);
/// assert!(capabilities.has(Capability::Reopen));
/// assert!(!capabilities.has(Capability::Shared));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// The set of those capabilities.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Capabilities::of([Capability::Reopen]).has(Capability::Reopen));
    /// ```
    pub fn of(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self(
            capabilities
                .into_iter()
                .fold(0, |bits, capability| bits | 1 << capability as u8),
        )
    }

    /// Whether a capability is in the set.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(!Capabilities::default().has(Capability::Shared));
    /// ```
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// The capabilities of the set.
    ///
    /// ```
    /// # use storage_api::*;
    /// let all = Capabilities::of(Capability::ALL);
    /// assert_eq!(all.iter().count(), Capability::ALL.len());
    /// ```
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL
            .into_iter()
            .filter(move |capability| self.has(*capability))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a backend is: constant from opening to closing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// The name under which the driver is chosen, such as `memory`.
    pub driver: Cow<'static, str>,
    /// The version of the driver.
    pub version: Cow<'static, str>,
    /// What it can do beyond the contract's core.
    pub capabilities: Capabilities,
    /// What its `Ok` means.
    pub durability: Durability,
    /// Where it keeps its data, if there is such a place.
    pub place: Option<String>,
}

impl Descriptor {
    /// A descriptor without a place.
    ///
    /// ```
    /// # use storage_api::*;
    /// let descriptor = Descriptor::new("memory", "0.1.0", Capabilities::default(), Durability::None);
    /// assert_eq!(descriptor.place, None);
    /// ```
    pub fn new(
        driver: impl Into<Cow<'static, str>>,
        version: impl Into<Cow<'static, str>>,
        capabilities: Capabilities,
        durability: Durability,
    ) -> Self {
        Self {
            driver: driver.into(),
            version: version.into(),
            capabilities,
            durability,
            place: None,
        }
    }

    /// The same, kept at that place.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let descriptor = Descriptor::new("memory", "0.1.0", Capabilities::default(), Durability::None);
    /// assert_eq!(descriptor.at("./data").place.as_deref(), Some("./data"));
    /// ```
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }
}

/// Whether a backend works, found by touching its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether it takes writes.
    pub is_writable: bool,
    /// What a person should know, such as why it does not.
    pub remark: Option<String>,
}

impl Health {
    /// Everything works.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Health::good().is_writable);
    /// ```
    pub fn good() -> Self {
        Self {
            is_writable: true,
            remark: None,
        }
    }

    /// Reads work, writes do not, for that reason.
    ///
    /// ```
    /// # use storage_api::*;
    /// let health = Health::read_only("the last sync failed; open the place again");
    /// assert!(!health.is_writable);
    /// ```
    pub fn read_only(remark: impl Into<String>) -> Self {
        Self {
            is_writable: false,
            remark: Some(remark.into()),
        }
    }
}

/// The bytes that a backend uses (clause USE-1), and what else it counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes used.
    pub used: u64,
    /// Bytes allowed, where there is a limit.
    pub allowed: Option<u64>,
    /// What the bytes are used for; together they are `used`.
    pub parts: Vec<(&'static str, u64)>,
    /// What else the driver counts: things that it holds, and events since it was opened.
    ///
    /// The names are the driver's own. They are stable, and dotted where they belong together, such as `items.ready`. The
    /// contract asks for none, and none of them is part of `used`.
    pub counts: Vec<(&'static str, u64)>,
}

impl Usage {
    /// The usage that is the sum of those parts.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Usage::of(vec![("items", 30), ("metadata", 12)]).used, 42);
    /// ```
    pub fn of(parts: Vec<(&'static str, u64)>) -> Self {
        Self {
            used: parts.iter().map(|(_, bytes)| bytes).sum(),
            allowed: None,
            parts,
            counts: Vec::new(),
        }
    }

    /// The same, with what else the driver counts.
    ///
    /// ```
    /// # use storage_api::*;
    /// let usage = Usage::of(Vec::new()).with_counts(vec![("items.ready", 3)]);
    /// assert_eq!((usage.count("items.ready"), usage.count("items.dead")), (Some(3), None));
    /// ```
    #[must_use]
    pub fn with_counts(mut self, counts: Vec<(&'static str, u64)>) -> Self {
        self.counts = counts;
        self
    }

    /// What the driver counts under that name, if it does.
    pub fn count(&self, name: &str) -> Option<u64> {
        let found = self.counts.iter().find(|(known, _)| *known == name);
        found.map(|(_, count)| *count)
    }

    /// The same, with a limit.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Usage::of(Vec::new()).with_allowed(1 << 30).allowed, Some(1 << 30));
    /// ```
    #[must_use]
    pub fn with_allowed(mut self, allowed: u64) -> Self {
        self.allowed = Some(allowed);
        self
    }
}
