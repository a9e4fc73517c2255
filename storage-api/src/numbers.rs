//! The numbers of the contract: ids, leases, positions, versions, holders and counts.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::{BATCH_ITEMS_MAX, NUMBER_MAX};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The smallest: 1.
            pub const MIN: Self = Self(NonZeroU64::MIN);

            /// The number, from 1 to 2^63-1; anything else is `InvalidArgument`.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert!(ItemId::new(1).is_ok());
            /// assert!(ItemId::new(0).is_err());
            /// assert!(ItemId::new(1 << 63).is_err());
            /// ```
            pub fn new(number: u64) -> Result<Self> {
                match NonZeroU64::new(number) {
                    Some(nonzero) if number <= NUMBER_MAX => Ok(Self(nonzero)),
                    _ => Err(Error::limit($field, 1, NUMBER_MAX, number, "")),
                }
            }

            /// The number.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert_eq!(ItemId::MIN.get(), 1);
            /// ```
            pub const fn get(self) -> u64 {
                self.0.get()
            }

            /// The number after this one; `None` after the largest.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert_eq!(ItemId::MIN.next(), Some(ItemId::new(2)?));
            /// assert_eq!(ItemId::new((1 << 63) - 1)?.next(), None);
            /// # Ok::<(), Error>(())
            /// ```
            pub fn next(self) -> Option<Self> {
                Self::new(self.get() + 1).ok()
            }
        }

        impl TryFrom<u64> for $name {
            type Error = Error;

            fn try_from(number: u64) -> Result<Self> {
                Self::new(number)
            }
        }

        impl From<$name> for u64 {
            fn from(number: $name) -> Self {
                number.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

number!(
    /// The id of an item, unique within its partition and never given again (clause ITEM-2).
    ItemId, "item id"
);
number!(
    /// The id of a lease, unique within the backend and never given again (clause LEASE-2).
    LeaseId, "lease id"
);
number!(
    /// Where an item stands in the order of its priority (clause ORDER-1).
    Position, "position"
);
number!(
    /// The version of a metadata entry, and the revision of a partition's configuration (clause META-2).
    Version, "version"
);

/// Who holds a lease: any number but zero (clause LEASE-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holder(NonZeroU64);

impl Holder {
    /// The holder of that number; zero, which stands for no holder, is `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Holder::new(17).is_ok());
    /// assert!(Holder::new(0).is_err());
    /// ```
    pub fn new(number: u64) -> Result<Self> {
        NonZeroU64::new(number)
            .map(Self)
            .ok_or_else(|| Error::limit("holder", 1, u64::MAX, number, ""))
    }

    /// The number.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Holder::new(17)?.get(), 17);
    /// # Ok::<(), Error>(())
    /// ```
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many items or entries a call may handle at most: 1 to 10 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(u16);

impl Count {
    /// One.
    pub const ONE: Self = Self(1);
    /// The largest: 10 000.
    #[expect(clippy::cast_possible_truncation, reason = "10 000 fits")]
    pub const MAX: Self = Self(BATCH_ITEMS_MAX as u16);

    /// That many, from 1 to 10 000; anything else is `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Count::new(10_000).is_ok());
    /// assert!(Count::new(10_001).is_err());
    /// ```
    pub fn new(count: usize) -> Result<Self> {
        match u16::try_from(count) {
            Ok(small @ 1..) if count <= BATCH_ITEMS_MAX => Ok(Self(small)),
            _ => Err(Error::limit(
                "count",
                1,
                BATCH_ITEMS_MAX as u64,
                count as u64,
                "",
            )),
        }
    }

    /// That many, brought into 1 to 10 000.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Count::clamped(0), Count::ONE);
    /// assert_eq!(Count::clamped(usize::MAX), Count::MAX);
    /// ```
    pub fn clamped(count: usize) -> Self {
        Self::new(count.clamp(1, BATCH_ITEMS_MAX)).unwrap_or(Self::ONE)
    }

    /// How many.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Count::MAX.get(), 10_000);
    /// ```
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<usize> for Count {
    type Error = Error;

    fn try_from(count: usize) -> Result<Self> {
        Self::new(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_hold_from_one_to_the_largest() {
        assert!(ItemId::new(0).is_err());
        assert_eq!(ItemId::new(1).unwrap(), ItemId::MIN);
        assert_eq!(ItemId::new(NUMBER_MAX).unwrap().next(), None);
        assert!(ItemId::new(NUMBER_MAX + 1).is_err());
        assert!(serde_json::from_str::<ItemId>("0").is_err());
    }

    #[test]
    fn counts_hold_from_one_to_ten_thousand() {
        assert!(Count::new(0).is_err());
        assert_eq!(Count::new(1).unwrap(), Count::ONE);
        assert_eq!(Count::new(10_000).unwrap(), Count::MAX);
        assert!(Count::new(10_001).is_err());
        assert!(Count::new(65_537).is_err());
        assert!(Holder::new(0).is_err());
    }
}
