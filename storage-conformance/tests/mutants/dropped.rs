//! Wrong when a call is dropped between two of its steps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use storage_api::*;
use storage_conformance::reference::{ReferenceHarness, ReferencePlace};
use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot};
use storage_model::Contents;
use tokio::task::yield_now;

use crate::mutant::{Fired, Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "a_dropped_call_stays_counted_in",
            "A reader is counted in when it begins and out when it ends; one that is dropped keeps writers out for ever.",
            StaysCountedIn::wrap,
            &["concurrency::every_operation_may_be_dropped_at_every_poll"],
        ),
        Mutant::new(
            "a_dropped_call_is_done_by_a_later_one",
            "A call lays down what it is about to do; where it is dropped, whoever finds that later does it.",
            DoneLater::wrap,
            &[
                "concurrency::a_dropped_call_is_settled_before_the_next_begins",
                "concurrency::every_operation_may_be_dropped_at_every_poll",
            ],
        ),
        Mutant::new(
            "a_dropped_closing_is_forgotten",
            "Closing is noted first and done then; where it is dropped in between, the next finds it noted, and all stays open.",
            ForgetsToClose::wrap,
            &["concurrency::a_closing_that_was_dropped_is_finished_by_the_next"],
        ),
        Mutant::new(
            "a_dropped_closing_is_finished_by_a_look",
            "Whoever finds a closing under way finishes it, also one who only looks.",
            ClosesAtALook::wrap,
            &["concurrency::a_closing_that_was_dropped_is_finished_by_the_next"],
        ),
        Mutant::of_harness(
            "a_dropped_opening_keeps_the_place",
            "The lock of a place is given back at the end of opening, which a dropped one never comes to.",
            |fired| WrongOpening {
                fired,
                opening: Opening::KeepsThePlace,
            },
            &["concurrency::an_opening_that_was_dropped_leaves_the_place_free"],
        ),
        Mutant::of_harness(
            "a_dropped_opening_takes_the_log_along",
            "What was left is taken out of the log to be recovered; a dropped opening has it, and the next finds nothing.",
            |fired| WrongOpening {
                fired,
                opening: Opening::TakesTheLog,
            },
            &["concurrency::an_opening_that_was_dropped_leaves_the_place_free"],
        ),
    ]
}

wrong! {
    /// Lets nobody make a partition while items are listed.
    StaysCountedIn { readers: AtomicU64 }
    PartitionStore [create_partition] {
        async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
            if self.at.fired.fire_if(self.readers.load(Ordering::Acquire) > 0) {
                let (operation, reason) = (Operation::CreatePartition, "somebody reads; call again");
                return Err(Error::new(ErrorKind::Unavailable, operation, id, reason));
            }
            self.inner.create_partition(id, config).await
        }
    }
    ItemStore [list_items] {
        async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
            self.readers.fetch_add(1, Ordering::AcqRel);
            yield_now().await;
            let page = self.inner.list_items(partition, request).await;
            self.readers.fetch_sub(1, Ordering::AcqRel);
            page
        }
    }
}

wrong! {
    /// Completes what a dropped completion has laid down when namespaces are listed.
    DoneLater { laid_down: Mutex<Option<(PartitionId, Receipts)>> }
    ItemStore [complete] {
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            *self.laid_down.lock().expect("nobody panics with it") = Some((partition.clone(), receipts.clone()));
            yield_now().await;
            self.laid_down.lock().expect("nobody panics with it").take();
            self.inner.complete(partition, receipts).await
        }
    }
    MetadataStore [namespaces] {
        async fn namespaces(&self, after: Option<&Cursor>, namespaces_max: Count) -> Result<Page<Namespace>> {
            let page = self.inner.namespaces(after, namespaces_max).await;
            let laid_down = self.laid_down.lock().expect("nobody panics with it").take();
            if let Some((partition, receipts)) = laid_down {
                self.at.fire();
                self.inner.complete(&partition, receipts).await?;
            }
            page
        }
    }
}

wrong! {
    /// Believes in a closing that was begun.
    ForgetsToClose { is_closing: AtomicBool }
    StorageBackend [close] {
        async fn close(&self) -> Result<()> {
            if self.at.fired.fire_if(self.is_closing.swap(true, Ordering::AcqRel)) {
                return Ok(());
            }
            yield_now().await;
            self.inner.close().await
        }
    }
}

wrong! {
    /// Closes behind a list of namespaces where a closing was begun.
    ClosesAtALook { is_closing: AtomicBool }
    MetadataStore [namespaces] {
        async fn namespaces(&self, after: Option<&Cursor>, namespaces_max: Count) -> Result<Page<Namespace>> {
            let page = self.inner.namespaces(after, namespaces_max).await?;
            if self.at.fired.fire_if(self.is_closing.load(Ordering::Acquire)) {
                self.inner.close().await?;
            }
            Ok(page)
        }
    }
    StorageBackend [close] {
        async fn close(&self) -> Result<()> {
            self.is_closing.store(true, Ordering::Release);
            yield_now().await;
            self.inner.close().await
        }
    }
}

/// What is wrong about an opening that is dropped half-way.
#[derive(Debug, Clone, Copy)]
enum Opening {
    KeepsThePlace,
    TakesTheLog,
}

struct WrongOpening {
    fired: Fired,
    opening: Opening,
}

#[async_trait]
impl Harness for WrongOpening {
    fn driver(&self) -> DriverInfo {
        ReferenceHarness::new().driver()
    }

    fn claims(&self) -> Claims {
        ReferenceHarness::new().claims()
    }

    async fn provision(&self, _spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(Box::new(WrongPlace {
            place: ReferenceHarness::new().place(),
            fired: self.fired.clone(),
            opening: self.opening,
            is_opening: AtomicBool::new(false),
        }))
    }
}

struct WrongPlace {
    place: ReferencePlace,
    fired: Fired,
    opening: Opening,
    /// Whether somebody opens it, or was dropped doing so.
    is_opening: AtomicBool,
}

#[async_trait]
impl Place for WrongPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        match self.opening {
            Opening::KeepsThePlace => {
                let is_taken = self.is_opening.swap(true, Ordering::AcqRel);
                if self.fired.fire_if(is_taken) {
                    let place = Object::Place("the reference".to_owned());
                    let reason = "somebody opens it; open it again later";
                    let (kind, operation) = (ErrorKind::Unavailable, Operation::Open);
                    return Err(Error::new(kind, operation, place, reason));
                }
                yield_now().await;
                let opened = self.place.open_reference();
                self.is_opening.store(false, Ordering::Release);
                Ok(opened?)
            }
            Opening::TakesTheLog => {
                let opened = self.place.open_reference()?;
                let mut log = Contents::default();
                opened.edit(|contents| log = std::mem::take(contents));
                self.fired.fire_if(!log.partitions.is_empty());
                yield_now().await;
                opened.edit(|contents| *contents = log);
                Ok(opened)
            }
        }
    }
}
