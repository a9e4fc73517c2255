//! Histories on a driver whose calls fail before or after they apply: what a failed call tells about itself is true, and where
//! it is not, the checker of the suite finds it.

use std::sync::Arc;

use storage_api::*;
use storage_conformance::history::{Tally, rounds_with_faults};
use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot};
use storage_faults::{Fault, Faults};
use storage_memory::MemoryBackend;

/// Rounds of a history in each manner.
const ROUNDS: u64 = 20;
/// So many calls of which one fails.
const ONE_IN: u32 = 8;

/// The memory driver, whose calls meet these faults, which `produce`, `complete` and `commit` tell in that way.
struct Failing {
    name: &'static str,
    faults: &'static [Fault],
    told: fn(Error) -> Error,
}

impl Failing {
    fn rounds(&self, test: &str) -> Result<Tally, String> {
        rounds_with_faults(self, test, ROUNDS)
    }
}

#[async_trait]
impl Harness for Failing {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new(self.name, env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        Claims::all()
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        // The name of a history has its seed in it: the same history meets the same faults.
        let letters = spot.case().bytes().map(u64::from);
        let seed = letters.fold(0_u64, |seed, letter| {
            seed.wrapping_mul(31).wrapping_add(letter)
        });
        let (faults, told) = (self.faults, self.told);
        Ok(Box::new(FailingPlace { seed, faults, told }))
    }
}

struct FailingPlace {
    seed: u64,
    faults: &'static [Fault],
    told: fn(Error) -> Error,
}

#[async_trait]
impl Place for FailingPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        let inner = Faults::around(Arc::new(MemoryBackend::new()));
        inner.at_random(self.seed, ONE_IN, self.faults);
        let told = self.told;
        Ok(Arc::new(Told { inner, told }))
    }
}

/// A backend that tells some of its errors in another way.
#[derive(Debug)]
struct Told {
    inner: Faults,
    told: fn(Error) -> Error,
}

#[async_trait]
impl PartitionStore for Told {
    forward_backend!(PartitionStore => inner);
}

#[async_trait]
impl ItemStore for Told {
    forward_backend!(ItemStore => inner, except [produce, complete]);

    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let produced = self.inner.produce(partition, batch).await;
        produced.map_err(self.told)
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        let completed = self.inner.complete(partition, receipts).await;
        completed.map_err(self.told)
    }
}

#[async_trait]
impl MetadataStore for Told {
    forward_backend!(MetadataStore => inner);
}

#[async_trait]
impl StorageBackend for Told {
    forward_backend!(StorageBackend => inner, except [commit]);

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        let committed = self.inner.commit(request).await;
        committed.map_err(self.told)
    }
}

#[test]
fn calls_that_fail_before_or_after_they_apply_have_an_order() {
    let failing = Failing {
        name: "memory-failing",
        faults: &[Fault::Before, Fault::After],
        told: |error| error,
    };

    let tally = failing.rounds("calls_that_fail_before_or_after_they_apply_have_an_order");

    let tally = tally.unwrap_or_else(|found| panic!("{found}"));
    assert!(
        tally.unknown > tally.histories / 4 && tally.failed > tally.histories / 4,
        "{tally:?}"
    );
}

#[test]
fn calls_of_unknown_outcome_that_never_applied_have_an_order() {
    let failing = Failing {
        name: "memory-unsure",
        faults: &[Fault::Before],
        told: |error| error.with_outcome(Outcome::Unknown),
    };

    let tally = failing.rounds("calls_of_unknown_outcome_that_never_applied_have_an_order");

    let tally = tally.unwrap_or_else(|found| panic!("{found}"));
    assert!(tally.unknown > tally.histories / 4, "{tally:?}");
}

#[test]
fn a_call_that_denies_that_it_applied_is_found() {
    let lying = Failing {
        name: "memory-lying",
        faults: &[Fault::After],
        told: |error| error.with_outcome(Outcome::NotApplied),
    };

    let found = lying.rounds("a_call_that_denies_that_it_applied_is_found");

    let found = found.expect_err("what is stored came from a call that denies it");
    for part in [
        "No order ",
        "repeat it with: STORAGE_HISTORY_SEED=",
        "a_call_that_denies_that_it_applied_is_found",
    ] {
        assert!(found.contains(part), "{found}");
    }
}
