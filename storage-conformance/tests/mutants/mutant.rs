//! A mutant: a driver that is wrong in one way, which cases must see.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage_api::{Bounded, PartitionId, Result, StorageBackend, async_trait};
use storage_conformance::reference::{ReferenceBackend, ReferenceHarness, ReferencePlace};
use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot};
use storage_model::{Contents, Partition};

/// A wrong driver, why anybody would write it, and who catches it.
#[derive(Clone)]
pub(crate) struct Mutant {
    /// What it does, as a word.
    pub(crate) name: &'static str,
    /// What is wrong, and where in the world it was.
    pub(crate) defect: &'static str,
    /// The cases that must fail on it.
    pub(crate) caught_by: &'static [&'static str],
    /// Whether its cases end by the watchdog: a mutant that stands still breaks no assertion.
    pub(crate) is_hanging: bool,
    /// Whether its cases need what not every machine has. Where they do not apply it is ignored, and says why.
    pub(crate) is_for_some_machines: bool,
    harness: Arc<dyn Fn(Fired) -> Arc<dyn Harness> + Send + Sync>,
}

impl Mutant {
    /// A mutant of a whole harness, for what lies outside of an opened backend.
    pub(crate) fn of_harness<H: Harness>(
        name: &'static str,
        defect: &'static str,
        harness: impl Fn(Fired) -> H + Send + Sync + 'static,
        caught_by: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            defect,
            caught_by,
            is_hanging: false,
            is_for_some_machines: false,
            harness: Arc::new(move |fired| Arc::new(harness(fired))),
        }
    }

    /// A mutant of the reference, in a place for one opening at a time.
    pub(crate) fn new(
        name: &'static str,
        defect: &'static str,
        wrap: impl Fn(Opened) -> Arc<dyn StorageBackend> + Clone + Send + Sync + 'static,
        caught_by: &'static [&'static str],
    ) -> Self {
        Self::over(ReferenceHarness::new(), name, defect, wrap, caught_by)
    }

    /// A mutant of the reference, in a place of that kind.
    pub(crate) fn over(
        reference: ReferenceHarness,
        name: &'static str,
        defect: &'static str,
        wrap: impl Fn(Opened) -> Arc<dyn StorageBackend> + Clone + Send + Sync + 'static,
        caught_by: &'static [&'static str],
    ) -> Self {
        let harness = move |fired| WrongReference {
            reference,
            fired,
            wrap: wrap.clone(),
        };
        Self::of_harness(name, defect, harness, caught_by)
    }

    /// The same, whose cases end by the watchdog.
    pub(crate) fn hanging(mut self) -> Self {
        self.is_hanging = true;
        self
    }

    /// The same, whose cases need what not every machine has.
    pub(crate) fn for_some_machines(mut self) -> Self {
        self.is_for_some_machines = true;
        self
    }

    /// The wrong driver, and the counter of how often it was wrong.
    pub(crate) fn driver(&self) -> (Arc<dyn Harness>, Fired) {
        let fired = Fired::default();
        ((self.harness)(fired.clone()), fired)
    }
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutant({})", self.name)
    }
}

/// How often a mutant was wrong. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fired(Arc<AtomicU64>);

impl Fired {
    /// It was wrong once more.
    pub(crate) fn fire(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// It was wrong once more, if that is so.
    pub(crate) fn fire_if(&self, is_wrong: bool) -> bool {
        if is_wrong {
            self.fire();
        }
        is_wrong
    }

    /// How often so far.
    pub(crate) fn times(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One opening of the reference, for a mutant to lay its hands on.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// The sound driver.
    pub(crate) inner: Arc<ReferenceBackend>,
    pub(crate) fired: Fired,
    /// Which opening of the place it is; 1 is the first.
    pub(crate) opening: u64,
    /// What the place hides from one opening to the next.
    deleted: Arc<Mutex<Vec<Partition>>>,
}

impl Opened {
    /// It was wrong once more.
    pub(crate) fn fire(&self) {
        self.fired.fire();
    }

    /// Changes what is stored, and counts if that made a difference.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Contents)) -> bool {
        self.fired.fire_if(self.inner.edit(edit))
    }

    /// Hides a copy of a partition.
    pub(crate) fn keep(&self, id: &PartitionId) {
        let partitions = self.inner.contents().partitions;
        let found = partitions.into_iter().find(|one| one.info.id == *id);
        self.hidden().extend(found);
    }

    /// The partition of that name that was hidden, which is hidden no longer.
    pub(crate) fn deleted(&self, id: &PartitionId) -> Option<Partition> {
        let mut hidden = self.hidden();
        let index = hidden.iter().position(|one| one.info.id == *id)?;
        Some(hidden.remove(index))
    }

    /// Everything that was hidden.
    pub(crate) fn all_deleted(&self) -> Vec<Partition> {
        std::mem::take(&mut *self.hidden())
    }

    fn hidden(&self) -> MutexGuard<'_, Vec<Partition>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Outcomes of which one kind is told as another.
    pub(crate) fn told<T: PartialEq + Copy>(
        &self,
        mut outcomes: Vec<T>,
        one: T,
        told: T,
    ) -> Vec<T> {
        for outcome in &mut outcomes {
            if self.fired.fire_if(*outcome == one) {
                *outcome = told;
            }
        }
        outcomes
    }

    /// A list from its end to its beginning.
    pub(crate) fn reversed<T>(&self, list: Bounded<T>) -> Bounded<T> {
        self.fired.fire_if(list.len() > 1);
        let reversed = list.into_iter().rev();
        Bounded::collect(reversed).expect("it is as long as before")
    }
}

/// The reference with every backend wrapped.
struct WrongReference<W> {
    reference: ReferenceHarness,
    fired: Fired,
    wrap: W,
}

#[async_trait]
impl<W> Harness for WrongReference<W>
where
    W: Fn(Opened) -> Arc<dyn StorageBackend> + Clone + Send + Sync + 'static,
{
    fn driver(&self) -> DriverInfo {
        self.reference.driver()
    }

    fn claims(&self) -> Claims {
        self.reference.claims()
    }

    async fn provision(&self, _spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(Box::new(WrongPlace {
            place: self.reference.place(),
            fired: self.fired.clone(),
            wrap: self.wrap.clone(),
            openings: AtomicU64::new(0),
            deleted: Arc::default(),
        }))
    }
}

struct WrongPlace<W> {
    place: ReferencePlace,
    fired: Fired,
    wrap: W,
    openings: AtomicU64,
    deleted: Arc<Mutex<Vec<Partition>>>,
}

#[async_trait]
impl<W> Place for WrongPlace<W>
where
    W: Fn(Opened) -> Arc<dyn StorageBackend> + Send + Sync,
{
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        let inner = self.place.open_reference()?;
        let opening = self.openings.fetch_add(1, Ordering::Relaxed) + 1;
        Ok((self.wrap)(Opened {
            inner,
            fired: self.fired.clone(),
            opening,
            deleted: self.deleted.clone(),
        }))
    }
}

/// A wrapper of an [`Opened`] reference that does some methods wrong and forwards all others.
///
/// Its fields are `inner`, `at` and those that are listed, which start with their default. The traits come in the order
/// in which they stand here, those with nothing wrong are left away.
macro_rules! wrong {
    ($(#[$doc:meta])* $name:ident $({ $($field:ident: $type:ty),+ $(,)? })?
        $(PartitionStore [$($partition:ident),+] { $($partition_body:tt)* })?
        $(ItemStore [$($item:ident),+] { $($item_body:tt)* })?
        $(MetadataStore [$($metadata:ident),+] { $($metadata_body:tt)* })?
        $(StorageBackend [$($backend:ident),+] { $($backend_body:tt)* })?
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name {
            inner: std::sync::Arc<storage_conformance::reference::ReferenceBackend>,
            #[allow(dead_code, reason = "not every mutant needs all of it")]
            at: crate::mutant::Opened,
            $($($field: $type,)+)?
        }

        impl $name {
            pub(crate) fn wrap(at: crate::mutant::Opened) -> std::sync::Arc<dyn storage_api::StorageBackend> {
                std::sync::Arc::new(Self {
                    inner: at.inner.clone(),
                    at,
                    $($($field: Default::default(),)+)?
                })
            }
        }

        #[storage_api::async_trait]
        impl storage_api::PartitionStore for $name {
            storage_api::forward_backend!(PartitionStore => inner, except [$($($partition),+)?]);
            $($($partition_body)*)?
        }

        #[storage_api::async_trait]
        impl storage_api::ItemStore for $name {
            storage_api::forward_backend!(ItemStore => inner, except [$($($item),+)?]);
            $($($item_body)*)?
        }

        #[storage_api::async_trait]
        impl storage_api::MetadataStore for $name {
            storage_api::forward_backend!(MetadataStore => inner, except [$($($metadata),+)?]);
            $($($metadata_body)*)?
        }

        #[storage_api::async_trait]
        impl storage_api::StorageBackend for $name {
            storage_api::forward_backend!(StorageBackend => inner, except [$($($backend),+)?]);
            $($($backend_body)*)?
        }
    };
}
pub(crate) use wrong;
