//! Wrong about what a driver says of itself.

use std::sync::Arc;

use storage_api::*;
use storage_conformance::reference::{ReferenceBackend, ReferenceHarness, ReferencePlace};
use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot};
use storage_model::Contents;

use crate::mutant::{Fired, Mutant, Opened, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    [descriptors(), looks(), places(), verifying()].concat()
}

/// A mutant whose descriptor is changed, given the number of the opening.
fn described(
    reference: ReferenceHarness,
    name: &'static str,
    defect: &'static str,
    change: fn(&Opened, &mut Descriptor),
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        let inner = at.inner.clone();
        Arc::new(Described { inner, at, change })
    };
    Mutant::over(reference, name, defect, wrap, caught_by)
}

#[derive(Debug)]
struct Described {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    change: fn(&Opened, &mut Descriptor),
}

forward_backend!(impl PartitionStore for Described => inner);
forward_backend!(impl ItemStore for Described => inner);
forward_backend!(impl MetadataStore for Described => inner);

#[async_trait]
impl StorageBackend for Described {
    forward_backend!(StorageBackend => inner, except [descriptor]);

    fn descriptor(&self) -> Descriptor {
        let sound = self.inner.descriptor();
        let mut told = sound.clone();
        (self.change)(&self.at, &mut told);
        self.at.fired.fire_if(told != sound);
        told
    }
}

fn descriptors() -> Vec<Mutant> {
    vec![
        described(
            ReferenceHarness::new(),
            "a_driver_has_more_than_it_claims",
            "The descriptor lists every capability there is.",
            |_, told| told.capabilities = Claims::all().capabilities(),
            &["capability::a_backend_has_what_its_driver_claims"],
        ),
        described(
            ReferenceHarness::new(),
            "a_driver_tells_the_name_of_its_engine",
            "A backend does not say which driver it is, but what it is made of.",
            |_, told| told.driver = "engine".to_owned().into(),
            &["capability::a_backend_says_which_driver_it_is"],
        ),
        described(
            ReferenceHarness::new(),
            "a_driver_changes_its_version_with_each_opening",
            "What a backend says of itself comes from the file that it opened.",
            |at, told| {
                if at.opening > 1 {
                    told.version = format!("{}-reopened", told.version).into();
                }
            },
            &["capability::a_backend_is_the_same_from_opening_to_opening"],
        ),
        described(
            ReferenceHarness::new(),
            "durability_is_that_of_the_last_operation",
            "What is promised changes with what was done.",
            |at, told| {
                if at.inner.contents().partitions.len() > 2 {
                    told.durability = Durability::ProcessCrash;
                }
            },
            &["durability::a_durability_is_stated_and_stays"],
        ),
        described(
            ReferenceHarness::volatile(),
            "a_driver_that_forgets_promises_to_keep",
            "A backend in memory says that it survives the end of its process.",
            |_, told| told.durability = Durability::ProcessCrash,
            &["durability::what_outlives_the_process_can_be_opened_again"],
        ),
    ]
}

fn looks() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "a_backend_at_work_is_not_writable",
            "A store that holds anything says that it takes no more.",
            NotWritable::wrap,
            &["capability::a_backend_at_work_is_healthy"],
        ),
        Mutant::new(
            "looking_an_item_up_counts_an_attempt",
            "Looking is leasing without a deadline (NATS, issue 6538).",
            LookingCounts::wrap,
            &["capability::looks_change_nothing"],
        ),
        Mutant::new(
            "sync_says_ok_without_a_disk",
            "A driver that cannot sync says that it has.",
            SyncsNothing::wrap,
            &["durability::sync_is_refused_where_it_cannot_be_kept"],
        ),
        Mutant::new(
            "verify_is_there_without_being_claimed",
            "A driver offers to verify, and looks at nothing.",
            VerifiesNothing::wrap,
            &[
                "capability::verify_is_absent_where_it_is_not_claimed",
                "open_close::every_operation_after_close_is_closed",
            ],
        ),
    ]
}

wrong! {
    /// Is unwell as soon as there is a partition.
    NotWritable
    StorageBackend [health] {
        async fn health(&self) -> Result<Health> {
            let mut health = self.inner.health().await?;
            health.is_writable = !self.at.fired.fire_if(!self.inner.contents().partitions.is_empty());
            Ok(health)
        }
    }
}

wrong! {
    /// Counts an attempt for each item that is looked up.
    LookingCounts
    ItemStore [get_items] {
        async fn get_items(&self, partition: &PartitionId, ids: ItemIds, payloads: bool) -> Result<Vec<Option<ItemEntry>>> {
            let found = self.inner.get_items(partition, ids.clone(), payloads).await?;
            self.at.edit(|contents| {
                let partitions = contents.partitions.iter_mut().filter(|one| one.info.id == *partition);
                let items = partitions.flat_map(|one| &mut one.items);
                for item in items.filter(|item| ids.contains(&item.id)) {
                    item.attempts += 1;
                }
            });
            Ok(found)
        }
    }
}

wrong! {
    /// Syncs nothing.
    SyncsNothing
    StorageBackend [sync] {
        async fn sync(&self) -> Result<()> {
            let synced = self.inner.sync().await;
            let is_refused = synced.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported);
            if self.at.fired.fire_if(is_refused) { Ok(()) } else { synced }
        }
    }
}

wrong! {
    /// Offers to verify.
    VerifiesNothing
    StorageBackend [verify] {
        fn verify(&self) -> Option<&dyn Verify> {
            self.at.fire();
            Some(self)
        }
    }
}

#[async_trait]
impl Verify for VerifiesNothing {
    async fn verify(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// A place that is opened in a way of its own.
struct Opening<F> {
    place: ReferencePlace,
    fired: Fired,
    open: F,
}

/// A harness over the reference, with claims and places of its own.
struct Opens<F> {
    reference: ReferenceHarness,
    claims: Claims,
    fired: Fired,
    open: F,
}

type Open = fn(&ReferencePlace, &Fired) -> Result<Arc<dyn StorageBackend>>;

#[async_trait]
impl Harness for Opens<Open> {
    fn driver(&self) -> DriverInfo {
        self.reference.driver()
    }

    fn claims(&self) -> Claims {
        self.claims.clone()
    }

    async fn provision(&self, _spot: &Spot) -> Result<Box<dyn Place>> {
        let (place, fired) = (self.reference.place(), self.fired.clone());
        let open = self.open;
        Ok(Box::new(Opening { place, fired, open }))
    }
}

#[async_trait]
impl Place for Opening<Open> {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        (self.open)(&self.place, &self.fired)
    }
}

/// A mutant of how a place is opened, which claims what another kind of reference does.
fn opened(
    name: &'static str,
    defect: &'static str,
    reference: ReferenceHarness,
    claims: Claims,
    open: Open,
    caught_by: &'static [&'static str],
) -> Mutant {
    let harness = move |fired| Opens {
        reference,
        claims: claims.clone(),
        fired,
        open,
    };
    Mutant::of_harness(name, defect, harness, caught_by)
}

/// Opens a sound backend, which is wrong by being opened so.
fn plainly(place: &ReferencePlace, fired: &Fired) -> Result<Arc<dyn StorageBackend>> {
    fired.fire();
    Ok(place.open_reference()?)
}

fn places() -> Vec<Mutant> {
    vec![
        opened(
            "a_place_that_forgets_does_not",
            "What was to be gone with the backend is there at the next opening.",
            ReferenceHarness::new(),
            ReferenceHarness::volatile().claims(),
            plainly,
            &["capability::a_place_that_is_not_reopened_is_empty"],
        ),
        opened(
            "a_place_is_opened_twice",
            "Nothing keeps a second backend from the files of the first.",
            ReferenceHarness::shared(),
            ReferenceHarness::new().claims(),
            plainly,
            &["open_close::a_second_opening_is_refused_and_harms_nothing"],
        ),
        opened(
            "a_shared_place_is_copied",
            "Each opening of a shared place works on a copy.",
            ReferenceHarness::volatile(),
            ReferenceHarness::shared().claims(),
            plainly,
            &[
                "open_close::no_item_goes_to_two_openings_of_a_shared_place",
                "open_close::openings_of_a_shared_place_see_each_other",
            ],
        ),
    ]
}

/// What a driver that can verify, and sync, claims.
fn sound_claims() -> Claims {
    Claims::all()
        .without(Capability::Shared, "one opening at a time")
        .without(Capability::RemoteWake, "one opening at a time")
}

fn verifying() -> Vec<Mutant> {
    vec![
        opened(
            "verify_finds_what_is_sound",
            "The check of the indexes looks for every item among those that are ready.",
            ReferenceHarness::new(),
            sound_claims(),
            |place, fired| {
                let inner = place.open_reference()?;
                let fired = fired.clone();
                Ok(Arc::new(Verifies {
                    inner,
                    fired,
                    is_lossy: false,
                }))
            },
            &[
                "capability::a_place_verifies_after_reopening",
                "capability::a_sound_place_verifies_after_every_operation",
            ],
        ),
        opened(
            "sync_drops_what_it_syncs",
            "Syncing empties the buffer of what was written before it reaches the disk.",
            ReferenceHarness::new(),
            sound_claims(),
            |place, fired| {
                let inner = place.open_reference()?;
                let fired = fired.clone();
                Ok(Arc::new(Verifies {
                    inner,
                    fired,
                    is_lossy: true,
                }))
            },
            &["durability::sync_makes_what_was_acknowledged_last"],
        ),
    ]
}

/// A backend that claims to verify and to sync.
#[derive(Debug)]
struct Verifies {
    inner: Arc<ReferenceBackend>,
    fired: Fired,
    is_lossy: bool,
}

forward_backend!(impl PartitionStore for Verifies => inner);
forward_backend!(impl ItemStore for Verifies => inner);
forward_backend!(impl MetadataStore for Verifies => inner);

#[async_trait]
impl StorageBackend for Verifies {
    forward_backend!(StorageBackend => inner, except [descriptor, sync, verify]);

    fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.inner.descriptor();
        descriptor.capabilities = sound_claims().capabilities();
        descriptor
    }

    async fn sync(&self) -> Result<()> {
        if self.is_lossy {
            self.fired
                .fire_if(self.inner.edit(|contents| *contents = Contents::default()));
        }
        Ok(())
    }

    fn verify(&self) -> Option<&dyn Verify> {
        Some(self)
    }
}

#[async_trait]
impl Verify for Verifies {
    async fn verify(&self) -> Result<Vec<String>> {
        let partitions = self.inner.contents().partitions;
        let others = partitions
            .iter()
            .flat_map(|one| &one.items)
            .filter(|item| item.state() != State::Ready);
        let findings: Vec<_> = others
            .map(|item| format!("item {} is in no order", item.id))
            .collect();
        self.fired.fire_if(!findings.is_empty() && !self.is_lossy);
        Ok(if self.is_lossy { Vec::new() } else { findings })
    }
}
