//! Lists of arguments with the limit of one call.

use std::hash::{Hash, Hasher};
use std::ops::Deref;

use super::lease::{Receipt, Retry};
use super::one_or_many::OneOrMany;
use crate::error::{Error, Result};
use crate::limits::BATCH_ITEMS_MAX;
use crate::numbers::ItemId;

/// At most 10 000 of something, in the order in which they will be treated (clause BATCH-1).
///
/// ```
/// use storage_api::{ItemId, ItemIds};
///
/// let ids = ItemIds::new(vec![ItemId::MIN])?;
/// assert_eq!(ids.len(), 1);
/// assert!(ItemIds::new(vec![ItemId::MIN; 10_001]).is_err());
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bounded<T>(OneOrMany<T>);

/// The receipts of one call.
pub type Receipts = Bounded<Receipt>;
/// The ids of one call.
pub type ItemIds = Bounded<ItemId>;
/// The retries of one call.
pub type Retries = Bounded<Retry>;

impl<T> Bounded<T> {
    /// The list, if it has at most 10 000 entries; otherwise `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(ItemIds::new(vec![ItemId::MIN; 10_000]).is_ok());
    /// assert!(ItemIds::new(vec![ItemId::MIN; 10_001]).is_err());
    /// ```
    pub fn new(list: Vec<T>) -> Result<Self> {
        if list.len() > BATCH_ITEMS_MAX {
            return Err(Error::limit(
                "list",
                0,
                BATCH_ITEMS_MAX as u64,
                list.len() as u64,
                "entries",
            ));
        }
        Ok(Self(OneOrMany::Many(list)))
    }

    /// The first 10 000 entries or fewer of an iterator; a longer one is `InvalidArgument`, and is not read to its end.
    ///
    /// ```
    /// # use storage_api::*;
    /// let ids = ItemIds::collect((1..=3).flat_map(ItemId::new))?;
    /// assert_eq!(ids.len(), 3);
    /// assert!(ItemIds::collect(std::iter::repeat(ItemId::MIN)).is_err()); // endless, and still an answer
    /// # Ok::<(), Error>(())
    /// ```
    pub fn collect(list: impl IntoIterator<Item = T>) -> Result<Self> {
        Self::new(list.into_iter().take(BATCH_ITEMS_MAX + 1).collect())
    }

    /// One entry.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ItemIds::one(ItemId::MIN).len(), 1);
    /// ```
    pub fn one(entry: T) -> Self {
        Self(OneOrMany::One(entry))
    }

    /// The list.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ItemIds::one(ItemId::MIN).into_vec(), [ItemId::MIN]);
    /// ```
    pub fn into_vec(self) -> Vec<T> {
        self.0.into_vec()
    }
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self(OneOrMany::default())
    }
}

impl<T: PartialEq> PartialEq for Bounded<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Bounded<T> {}

impl<T: Hash> Hash for Bounded<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T> Deref for Bounded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> TryFrom<Vec<T>> for Bounded<T> {
    type Error = Error;

    fn try_from(list: Vec<T>) -> Result<Self> {
        Self::new(list)
    }
}

impl<T, const N: usize> TryFrom<[T; N]> for Bounded<T> {
    type Error = Error;

    fn try_from(list: [T; N]) -> Result<Self> {
        let mut entries = list.into_iter();
        if N == 1
            && let Some(entry) = entries.next()
        {
            return Ok(Self::one(entry));
        }
        Self::new(entries.collect())
    }
}

impl<T: Clone> TryFrom<&[T]> for Bounded<T> {
    type Error = Error;

    fn try_from(list: &[T]) -> Result<Self> {
        Self::collect(list.iter().cloned())
    }
}

impl<T> From<T> for Bounded<T> {
    fn from(entry: T) -> Self {
        Self::one(entry)
    }
}

impl<'a, T> IntoIterator for &'a Bounded<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> IntoIterator for Bounded<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_vec().into_iter()
    }
}
