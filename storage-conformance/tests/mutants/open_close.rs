//! Wrong about opening and closing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storage_api::*;
use storage_conformance::reference::ReferenceHarness;
use storage_model::Model;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "second_close_hangs",
            "A second close waits for an answer that went to the first.",
            SecondCloseHangs::wrap,
            &["open_close::closing_again_is_ok"],
        )
        .hanging(),
        Mutant::new(
            "second_close_is_refused",
            "Closing what is closed is a mistake.",
            SecondCloseFails::wrap,
            &["open_close::closing_again_is_ok"],
        ),
        Mutant::new(
            "second_close_does_not_wait",
            "A close that finds another under way says that it is done.",
            SecondCloseHurries::wrap,
            &["open_close::closing_at_once_from_many_sides_is_ok"],
        ),
        Mutant::new(
            "reads_go_on_after_close",
            "What is in a cache is shown, open or not.",
            ReadsGoOn::wrap,
            &[
                "open_close::an_old_backend_stays_closed_when_the_place_is_open_again",
                "open_close::every_clone_is_closed",
            ],
        ),
        Mutant::new(
            "a_closed_backend_has_no_name",
            "What a backend says of itself is read from what it has let go of.",
            Nameless::wrap,
            &["open_close::a_closed_backend_still_says_what_it_is"],
        ),
        Mutant::new(
            "closing_keeps_the_place",
            "The lock of the place goes with the process, not with the backend.",
            KeepsThePlace::wrap,
            &["open_close::closing_at_once_from_many_sides_is_ok"],
        ),
        Mutant::new(
            "dropping_takes_the_last_writes_along",
            "What is in the buffer is written by close, and by nothing else.",
            LosesTheBuffer::wrap,
            &["open_close::dropping_the_last_clone_loses_nothing"],
        ),
        Mutant::new(
            "closing_acknowledges_what_it_drops",
            "What comes while the backend closes is answered, and not stored.",
            AcknowledgesAll::wrap,
            &["open_close::closing_under_load_keeps_what_was_acknowledged"],
        ),
        Mutant::new(
            "what_meets_a_closing_is_an_internal_error",
            "A call that finds the backend half closed is told of a broken invariant.",
            InternalWhileClosing::wrap,
            &["open_close::operations_that_meet_a_closing_are_done_or_closed"],
        ),
        Mutant::over(
            ReferenceHarness::shared(),
            "closing_one_closes_all",
            "The openings of a shared place share what closing takes away.",
            ClosesAll::wrap,
            &["open_close::a_shared_place_stays_open_when_one_of_two_is_closed"],
        ),
    ]
}

/// How long a call waits for another that it meets. In the cases named here one comes, however busy the machine is.
const MEETS: Duration = Duration::from_secs(20);

/// Until that came to be, or nobody comes.
async fn met(is_met: impl Fn() -> bool) {
    let meeting = async {
        while !is_met() {
            yield_now().await;
        }
    };
    // What is wrong only where two meet is not wrong, then.
    let _ = timeout(MEETS, meeting).await;
}

wrong! { SecondCloseHangs { is_closed: AtomicBool } StorageBackend [close] {
    async fn close(&self) -> Result<()> {
        if self.at.fired.fire_if(self.is_closed.swap(true, Ordering::Relaxed)) {
            std::future::pending::<()>().await;
        }
        self.inner.close().await
    }
}}

wrong! { SecondCloseFails { is_closed: AtomicBool } StorageBackend [close] {
    async fn close(&self) -> Result<()> {
        if self.at.fired.fire_if(self.is_closed.swap(true, Ordering::Relaxed)) {
            return Err(Error::closed(Operation::Close));
        }
        self.inner.close().await
    }
}}

wrong! {
    /// Says that it is closed while it is not.
    SecondCloseHurries { is_closing: AtomicBool, is_seen: AtomicBool }
    PartitionStore [list_partitions] {
        async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
            let page = self.inner.list_partitions(after, partitions_max).await;
            self.is_seen.store(self.at.fired.times() > 0, Ordering::Relaxed);
            page
        }
    }
    StorageBackend [close] {
        async fn close(&self) -> Result<()> {
            if self.at.fired.fire_if(self.is_closing.swap(true, Ordering::Relaxed)) {
                return Ok(());
            }
            // Until somebody who was told so has looked.
            met(|| self.is_seen.load(Ordering::Relaxed)).await;
            self.inner.close().await
        }
    }
}

wrong! {
    /// Tells statistics when it is closed.
    ReadsGoOn
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            match self.inner.stats(id).await {
                Err(error) if error.kind() == ErrorKind::Closed => {
                    self.at.fire();
                    Model::of(self.inner.contents()).stats(id)
                }
                told => told,
            }
        }
    }
}

wrong! { Nameless { is_closed: AtomicBool } StorageBackend [close, descriptor] {
    async fn close(&self) -> Result<()> {
        self.inner.close().await?;
        self.is_closed.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.inner.descriptor();
        if self.at.fired.fire_if(self.is_closed.load(Ordering::Relaxed)) {
            descriptor.driver = String::new().into();
        }
        descriptor
    }
}}

wrong! { KeepsThePlace StorageBackend [close] {
    async fn close(&self) -> Result<()> {
        self.at.fire();
        Ok(())
    }
}}

wrong! {
    /// Loses everything where it is not closed.
    LosesTheBuffer { is_closed: AtomicBool } StorageBackend [close] {
        async fn close(&self) -> Result<()> {
            self.is_closed.store(true, Ordering::Relaxed);
            self.inner.close().await
        }
    }
}

impl Drop for LosesTheBuffer {
    fn drop(&mut self) {
        if !self.is_closed.load(Ordering::Relaxed) {
            self.at.edit(|contents| contents.partitions.truncate(0));
        }
    }
}

wrong! {
    /// Answers produces without storing them once it closes.
    AcknowledgesAll { is_closing: AtomicBool }
    ItemStore [produce] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            if self.is_closing.load(Ordering::Relaxed) {
                yield_now().await;
                self.inner.stats(partition).await?;
                let told = Model::of(self.inner.contents()).produce(partition, batch);
                self.at.fire();
                return told;
            }
            self.inner.produce(partition, batch).await
        }
    }
    StorageBackend [close] {
        async fn close(&self) -> Result<()> {
            self.is_closing.store(true, Ordering::Relaxed);
            // Until somebody was told so.
            met(|| self.at.fired.times() > 0).await;
            self.inner.close().await
        }
    }
}

wrong! {
    /// Fails where it meets a closing.
    InternalWhileClosing { is_closing: AtomicBool }
    ItemStore [produce, complete] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            yield_now().await;
            if self.at.fired.fire_if(self.is_closing.load(Ordering::Relaxed)) {
                return Err(Error::new(ErrorKind::Internal, Operation::Produce, partition, "the file is gone"));
            }
            self.inner.produce(partition, batch).await
        }
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            // Until it meets a closing, if one comes.
            met(|| self.is_closing.load(Ordering::Relaxed)).await;
            if self.at.fired.fire_if(self.is_closing.load(Ordering::Relaxed)) {
                return Err(Error::new(ErrorKind::Internal, Operation::Complete, partition, "the file is gone"));
            }
            self.inner.complete(partition, receipts).await
        }
    }
    StorageBackend [close] {
        async fn close(&self) -> Result<()> {
            self.is_closing.store(true, Ordering::Relaxed);
            self.inner.close().await
        }
    }
}

wrong! {
    /// Is closed when another opening of its place is.
    ClosesAll
    ItemStore [produce] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            // What a closing has hidden is what the openings share.
            if self.at.fired.fire_if(!self.at.all_deleted().is_empty()) {
                return Err(Error::closed(Operation::Produce));
            }
            self.inner.produce(partition, batch).await
        }
    }
    StorageBackend [close] {
        async fn close(&self) -> Result<()> {
            if let Some(id) = self.inner.contents().partitions.first().map(|one| one.info.id.clone()) {
                self.at.keep(&id);
            }
            self.inner.close().await
        }
    }
}
