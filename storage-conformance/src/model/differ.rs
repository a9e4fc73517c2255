//! Several drivers side by side, each against each: what the model does not see cannot hide behind it.
//!
//! Every answer is compared with the model, as in a model run. Beside that all drivers must refuse alike, in every field of the
//! error; a cursor of one must be good on another where it holds no numbers, and refused where it does; and usages add up, and are
//! those of a fresh place once everything was removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use storage_api::{Capability, Usage};
use storage_model::Model;

use super::action::Action;
use super::emptied::uses_no_more;
use super::exchange::exchange_cursors;
use super::generate::actions;
use super::numbers::Mismatch;
use super::shrink::{Attempts, shrink};
use super::world::{Refusal, World};
use super::{ACTIONS, COMPARED_EVERY, Failure, ended, told};
use crate::harness::{Harness, Spot};

/// How long is waited for a usage to come back. The limit only ends what has failed already.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same while a failure is shrunk, which takes many attempts.
const PATIENCE_OF_SHRINKING: Duration = Duration::from_secs(1);

/// Does the sequence of a seed on all drivers. `Err` tells the shrunk sequence, and what they answered.
pub(crate) async fn run_seed(drivers: &[Arc<dyn Harness>], seed: u64) -> Result<(), String> {
    run_patiently(drivers, seed, PATIENCE).await
}

async fn run_patiently(
    drivers: &[Arc<dyn Harness>],
    seed: u64,
    patience: Duration,
) -> Result<(), String> {
    let mut drivers = Drivers {
        all: drivers.to_vec(),
        patience,
    };
    let actions = actions(seed, ACTIONS);
    let Err(failure) = drivers.compare(&actions, COMPARED_EVERY).await else {
        return Ok(());
    };
    drivers.patience = patience.min(PATIENCE_OF_SHRINKING);
    let shrunk = shrink(&drivers, &actions[..failure.actions]).await;
    let (shrunk, failure) = shrunk.unwrap_or((actions, failure));
    Err(told("drivers differ", &shrunk, &failure))
}

#[derive(Clone)]
struct Drivers {
    all: Vec<Arc<dyn Harness>>,
    patience: Duration,
}

impl Attempts for Drivers {
    async fn attempt(&self, actions: &[Action]) -> Result<(), Failure> {
        self.compare(actions, 1).await
    }
}

impl Drivers {
    /// Does the actions on fresh places, and looks at everything after every so many.
    async fn compare(&self, actions: &[Action], looked_every: usize) -> Result<(), Failure> {
        let done = Arc::new(AtomicUsize::new(0));
        let (drivers, actions, counter) = (self.clone(), actions.to_vec(), done.clone());
        // As a task of its own, so that a driver that panics is a failure like any other.
        let task =
            tokio::spawn(
                async move { drivers.compare_all(&actions, looked_every, &counter).await },
            );
        let actions = || done.load(Ordering::Relaxed);
        match task.await {
            Ok(compared) => compared.map_err(|mismatch| Failure {
                actions: actions(),
                mismatch,
                trace: Vec::new(),
            }),
            Err(error) => Err(ended(error, actions())),
        }
    }

    async fn compare_all(
        &self,
        actions: &[Action],
        looked_every: usize,
        done: &AtomicUsize,
    ) -> Result<(), Mismatch> {
        // Before the worlds, so that the directories go after them.
        let spots: Vec<_> = self.all.iter().map(|_| Spot::new("differential")).collect();
        let (mut worlds, mut fresh) = (Vec::new(), Vec::new());
        for (index, (harness, spot)) in self.all.iter().zip(&spots).enumerate() {
            let world = world(&**harness, spot).await?;
            fresh.push(self.usage(index, &world).await?);
            worlds.push(world);
        }
        for action in actions {
            let is_looked_at =
                (done.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(looked_every);
            let mut wrong = Vec::new();
            for (index, world) in worlds.iter_mut().enumerate() {
                wrong.push(world.apply(action).await.err());
                if is_looked_at && wrong[index].is_none() {
                    self.as_the_model(index, world.compare().await)?;
                }
            }
            self.all_as_the_model(wrong)?;
            // A driver that forgets does not reopen with the others.
            let refusals = worlds.iter_mut().map(|world| world.refusals.split_off(0));
            if *action == Action::Reopen {
                refusals.for_each(drop);
            } else {
                self.refuse_alike(&refusals.collect::<Vec<_>>())?;
            }
        }
        for (index, world) in worlds.iter_mut().enumerate() {
            self.as_the_model(index, world.compare().await)?;
            let usage = self.usage(index, world).await?;
            adds_up(&usage, stores_bytes(&world.model))
                .map_err(|why| format!("{}: {why}", self.name(index)))?;
        }
        for (index, one) in worlds.iter().enumerate() {
            for (other_index, other) in worlds.iter().enumerate() {
                if index != other_index {
                    let exchanged = exchange_cursors(&*one.driver, &*other.driver).await;
                    exchanged.map_err(|why| {
                        let (giver, taker) = (self.name(index), self.name(other_index));
                        format!("a cursor of {giver} on {taker}: {why}")
                    })?;
                }
            }
        }
        for (index, world) in worlds.iter().enumerate() {
            let emptied = uses_no_more(&*world.driver, &fresh[index], self.patience).await;
            emptied.map_err(|why| format!("{}: {why}", self.name(index)))?;
            let closed = world.driver.close().await;
            closed.map_err(|error| format!("{}: close is refused: {error}", self.name(index)))?;
            self.as_the_model(index, world.shortcuts_have_ended())?;
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.all[index].driver().name().to_owned()
    }

    async fn usage(&self, index: usize, world: &World) -> Result<Usage, Mismatch> {
        let usage = world.driver.usage().await;
        usage.map_err(|error| format!("{}: {error}", self.name(index)))
    }

    fn as_the_model(&self, index: usize, compared: Result<(), Mismatch>) -> Result<(), Mismatch> {
        compared.map_err(|why| format!("{}, afterwards: {why}", self.name(index)))
    }

    /// No driver differs from the model; else each says how.
    fn all_as_the_model(&self, wrong: Vec<Option<Mismatch>>) -> Result<(), Mismatch> {
        if wrong.iter().all(Option::is_none) {
            return Ok(());
        }
        let told = wrong.into_iter().enumerate().map(|(index, wrong)| {
            let told = wrong.unwrap_or_else(|| "as the model".to_owned());
            format!("{}: {told}", self.name(index))
        });
        Err(told.collect::<Vec<_>>().join("\n"))
    }

    /// All have answered, or refused in the same way, to each call.
    fn refuse_alike(&self, said: &[Vec<Option<Refusal>>]) -> Result<(), Mismatch> {
        let Some((first, others)) = said.split_first() else {
            return Ok(());
        };
        for (index, other) in others.iter().enumerate() {
            // Of one action, done by the same model: both were called as often.
            for (one, other) in first.iter().zip(other) {
                let is_alike = match (one, other) {
                    (Some(one), Some(other)) => one.is_like(other),
                    (one, other) => one.is_none() && other.is_none(),
                };
                if !is_alike {
                    let told = |refusal: &Option<Refusal>| match refusal {
                        Some(refusal) => refusal.to_string(),
                        None => "answers".to_owned(),
                    };
                    return Err(format!(
                        "they refuse in different ways\n  {}: {}\n  {}: {}",
                        self.name(0),
                        told(one),
                        self.name(index + 1),
                        told(other),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A fresh place of a driver, opened, beside a fresh model.
async fn world(harness: &dyn Harness, spot: &Spot) -> Result<World, Mismatch> {
    let trouble = |what: &str, error: storage_api::Error| {
        format!("{}: {what}: {error}", harness.driver().name())
    };
    let place = harness.provision(spot).await;
    let place = place.map_err(|error| trouble("cannot provision a place", error))?;
    let backend = place.open().await;
    let backend = backend.map_err(|error| trouble("cannot open a fresh place", error))?;
    let can_reopen = harness.claims().has(Capability::Reopen);
    Ok(World::new(place, backend, can_reopen, false))
}

/// Whether there are payloads or metadata.
fn stores_bytes(model: &Model) -> bool {
    let contents = model.contents();
    let mut items = contents.partitions.iter().flat_map(|one| &one.items);
    !contents.metadata.is_empty() || items.any(|item| item.record.view().payload_len() > 0)
}

/// USE-1: the parts are the whole, which is no more than is allowed, and not nothing where something is stored.
fn adds_up(usage: &Usage, stores_bytes: bool) -> Result<(), Mismatch> {
    let sum: u64 = usage.parts.iter().map(|(_, bytes)| bytes).sum();
    let is_allowed = usage.allowed.is_none_or(|allowed| usage.used <= allowed);
    if sum == usage.used && is_allowed && (sum > 0 || !stores_bytes) {
        Ok(())
    } else {
        Err(format!("the usage does not add up: {usage:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use storage_api::*;

    use super::*;
    use crate::harness::{DriverInfo, Place};
    use crate::reference::ReferenceHarness;

    /// The reference driver, wrong in one way.
    #[derive(Debug, Clone, Copy)]
    enum Wrong {
        Usage,
        Leak,
        Part,
        Object,
        Cursor,
        Panic,
    }

    #[async_trait]
    impl Harness for Wrong {
        fn driver(&self) -> DriverInfo {
            DriverInfo::new("wrong", "1")
        }

        async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
            let place = ReferenceHarness::new().provision(spot).await?;
            Ok(Box::new(WrongPlace(*self, place)))
        }
    }

    struct WrongPlace(Wrong, Box<dyn Place>);

    #[async_trait]
    impl Place for WrongPlace {
        async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
            let inner = self.1.open().await?;
            Ok(Arc::new(WrongBackend {
                wrong: self.0,
                created: AtomicU64::new(0),
                inner,
            }))
        }
    }

    #[derive(Debug)]
    struct WrongBackend {
        wrong: Wrong,
        created: AtomicU64,
        inner: Arc<dyn StorageBackend>,
    }

    #[async_trait]
    impl ItemStore for WrongBackend {
        forward_backend!(ItemStore => inner);
    }

    #[async_trait]
    impl PartitionStore for WrongBackend {
        forward_backend!(PartitionStore => inner, except [create_partition]);

        async fn create_partition(
            &self,
            id: &PartitionId,
            config: PartitionConfig,
        ) -> Result<PartitionInfo> {
            assert!(!matches!(self.wrong, Wrong::Panic), "a wrong driver");
            self.created.fetch_add(1, Ordering::Relaxed);
            self.inner.create_partition(id, config).await
        }
    }

    #[async_trait]
    impl MetadataStore for WrongBackend {
        forward_backend!(MetadataStore => inner, except [namespaces, scan]);

        /// A cursor that is wrong blames the backend, not the namespace or the argument.
        async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
            let scanned = self.inner.scan(now, request).await;
            match self.wrong {
                Wrong::Object => scanned.map_err(|error| {
                    let words = "not this";
                    Error::new(error.kind(), error.operation(), Object::Backend, words)
                }),
                _ => scanned,
            }
        }

        /// Good by itself: its cursors are turned around on their way out, and back on their way in.
        async fn namespaces(
            &self,
            after: Option<&Cursor>,
            namespaces_max: Count,
        ) -> Result<Page<Namespace>> {
            let Wrong::Cursor = self.wrong else {
                return self.inner.namespaces(after, namespaces_max).await;
            };
            let after = after.map(turned);
            let mut page = self
                .inner
                .namespaces(after.as_ref(), namespaces_max)
                .await?;
            page.next = page.next.as_ref().map(turned);
            Ok(page)
        }
    }

    fn turned(cursor: &Cursor) -> Cursor {
        Cursor::from_bytes(cursor.as_bytes().iter().rev().copied().collect::<Vec<_>>())
    }

    #[async_trait]
    impl StorageBackend for WrongBackend {
        forward_backend!(StorageBackend => inner, except [usage]);

        async fn usage(&self) -> Result<Usage> {
            let mut usage = self.inner.usage().await?;
            let created = self.created.load(Ordering::Relaxed);
            match self.wrong {
                Wrong::Usage => usage.used += 1,
                Wrong::Leak => {
                    usage.used += created;
                    usage.parts[0].1 += created;
                }
                Wrong::Part if created > 0 => usage.parts.push(("more", 0)),
                _ => {}
            }
            Ok(usage)
        }
    }

    /// What the first of many seeds finds that finds something.
    async fn found(wrong: Wrong) -> String {
        let drivers: Vec<Arc<dyn Harness>> =
            vec![Arc::new(ReferenceHarness::new()), Arc::new(wrong)];
        for seed in 0..200 {
            if let Err(found) = run_patiently(&drivers, seed, Duration::ZERO).await {
                return found;
            }
        }
        panic!("nothing is found of {wrong:?}");
    }

    #[tokio::test]
    async fn a_driver_agrees_with_itself() {
        let drivers: Vec<Arc<dyn Harness>> = vec![
            Arc::new(ReferenceHarness::new()),
            Arc::new(ReferenceHarness::volatile()),
        ];

        for seed in 0..10 {
            run_seed(&drivers, seed).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_usage_that_does_not_add_up_is_found() {
        let found = found(Wrong::Usage).await;

        // It takes no action at all to see it.
        let heading = "drivers differ after these actions:\n";
        let rest = found.strip_prefix(heading).unwrap();
        assert!(rest.contains("wrong: the usage does not add up"), "{found}");
    }

    #[tokio::test]
    async fn a_usage_that_stays_when_everything_has_gone_is_found() {
        for wrong in [Wrong::Leak, Wrong::Part] {
            let found = found(wrong).await;

            let words = "wrong: everything was removed, and the usage is another";
            assert!(found.contains(words), "{found}");
        }
    }

    #[tokio::test]
    async fn another_object_of_an_error_is_found() {
        let found = found(Wrong::Object).await;

        assert!(found.contains("they refuse in different ways"), "{found}");
        assert!(
            found.contains("reference: cannot scan namespace"),
            "{found}"
        );
        assert!(found.contains("wrong: cannot scan the backend"), "{found}");
    }

    #[tokio::test]
    async fn a_cursor_of_another_form_is_found() {
        let found = found(Wrong::Cursor).await;

        assert!(found.contains("a cursor of reference on wrong"), "{found}");
    }

    #[tokio::test]
    async fn a_panic_is_found() {
        let found = found(Wrong::Panic).await;

        assert!(found.contains("a panic: a wrong driver"), "{found}");
    }
}
