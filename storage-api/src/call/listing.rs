//! Listing: what, from where, how much.

use super::cursor::Cursor;
use crate::item::States;
use crate::numbers::{Count, ItemId};

/// Which items, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listing {
    /// Items of a set of states, by id.
    ById(States),
    /// Ready items in lease order: (priority, position).
    Ready,
    /// Scheduled items by (due time, id).
    Scheduled,
    /// Leased items by (deadline, id).
    Leased,
}

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Start {
    /// At the beginning.
    First,
    /// At that id or the next one there is; in a listing by id.
    FromId(ItemId),
    /// Where the page before ended.
    After(Cursor),
}

/// What `list_items` is asked for (clause LIST-2).
///
/// ```
/// use storage_api::{Count, ListRequest, State};
///
/// let request = ListRequest::by_id(State::Dead).items_max(Count::new(100)?).without_payloads();
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    listing: Listing,
    start: Start,
    items_max: Count,
    payloads: bool,
}

impl ListRequest {
    /// Items of those states, by id.
    ///
    /// ```
    /// # use storage_api::*;
    /// let request = ListRequest::by_id(States::ALL);
    /// assert_eq!(request.listing(), Listing::ById(States::ALL));
    /// ```
    pub fn by_id(states: impl Into<States>) -> Self {
        Self::new(Listing::ById(states.into()))
    }

    /// Ready items in lease order.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::ready().listing(), Listing::Ready);
    /// ```
    pub fn ready() -> Self {
        Self::new(Listing::Ready)
    }

    /// Scheduled items by due time.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::scheduled().listing(), Listing::Scheduled);
    /// ```
    pub fn scheduled() -> Self {
        Self::new(Listing::Scheduled)
    }

    /// Leased items by deadline.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::leased().listing(), Listing::Leased);
    /// ```
    pub fn leased() -> Self {
        Self::new(Listing::Leased)
    }

    /// That listing from its beginning, with payloads, in the largest pages.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::new(Listing::Ready), ListRequest::ready());
    /// ```
    pub fn new(listing: Listing) -> Self {
        Self {
            listing,
            start: Start::First,
            items_max: Count::MAX,
            payloads: true,
        }
    }

    /// Items of those states by id, from that id on.
    ///
    /// ```
    /// # use storage_api::*;
    /// let request = ListRequest::from_id(State::Dead, ItemId::MIN);
    /// assert_eq!(request.start(), &Start::FromId(ItemId::MIN));
    /// ```
    pub fn from_id(states: impl Into<States>, id: ItemId) -> Self {
        Self {
            start: Start::FromId(id),
            ..Self::by_id(states)
        }
    }

    /// The page behind the one that gave this cursor.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let partition = PartitionId::new("emails", 0)?;
    /// # let cursor = Cursor::after_namespace(&Namespace::new("users")?);
    /// let request = ListRequest::ready().after(cursor.clone());
    /// assert_eq!(request.start(), &Start::After(cursor));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.start = Start::After(cursor);
        self
    }

    /// At most that many items a page.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::ready().items_max(Count::ONE).page_items_max(), Count::ONE);
    /// ```
    #[must_use]
    pub fn items_max(mut self, items_max: Count) -> Self {
        self.items_max = items_max;
        self
    }

    /// Leaves the payloads away; their lengths stay known.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(!ListRequest::ready().without_payloads().has_payloads());
    /// ```
    #[must_use]
    pub fn without_payloads(mut self) -> Self {
        self.payloads = false;
        self
    }

    /// Which items, in which order.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::leased().listing(), Listing::Leased);
    /// ```
    pub fn listing(&self) -> Listing {
        self.listing
    }

    /// Where the page starts. [`Start::FromId`] comes with a listing by id only.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::ready().start(), &Start::First);
    /// ```
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// The largest page.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ListRequest::ready().page_items_max(), Count::MAX);
    /// ```
    pub fn page_items_max(&self) -> Count {
        self.items_max
    }

    /// Whether payloads are wanted.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(ListRequest::ready().has_payloads());
    /// ```
    pub fn has_payloads(&self) -> bool {
        self.payloads
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// At least one where one was left.
    pub items: Vec<T>,
    /// Where the next page starts; `None` exactly when nothing followed at that moment, and the only sign of the end.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The last page.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Page::last(vec![1, 2]).next, None);
    /// ```
    pub fn last(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
