//! Several drivers side by side, each against each: what the model does not see cannot hide behind it.
//!
//! Every answer is compared with the model, as in a model run. Beside that all drivers must refuse alike, in every field of the
//! error; the cursors of one must be good on another where they hold no numbers, and refused where they do; and usages add up.

use std::sync::Arc;

use storage_api::{
    Capability, Count, Cursor, Direction, ErrorKind, KeyRange, ListRequest, Page,
    Result as ApiResult, ScanRequest, States, StorageBackend, Timestamp, Usage,
};

use super::action::Action;
use super::generate::{NAMESPACES, actions};
use super::numbers::Mismatch;
use super::shrink::{Attempts, shrink};
use super::world::{World, namespace};
use super::{ACTIONS, Failure, told};
use crate::harness::{Harness, Spot};

/// Does the sequence of a seed on all drivers. `Err` tells the shrunk sequence, and what two of them answered.
pub(crate) async fn run_seed(drivers: &[Arc<dyn Harness>], seed: u64) -> Result<(), String> {
    let drivers = Drivers(drivers);
    let actions = actions(seed, ACTIONS);
    let Err(failure) = drivers.attempt(&actions).await else {
        return Ok(());
    };
    let shrunk = shrink(&drivers, &actions[..failure.actions]).await;
    let (shrunk, failure) = shrunk.unwrap_or((actions, failure));
    Err(told(&shrunk, &failure))
}

struct Drivers<'a>(&'a [Arc<dyn Harness>]);

impl Attempts for Drivers<'_> {
    async fn attempt(&self, actions: &[Action]) -> Result<(), Failure> {
        let mut done = 0;
        let found = self.attempt_all(actions, &mut done).await;
        found.map_err(|mismatch| Failure {
            actions: done,
            mismatch,
            trace: Vec::new(),
        })
    }
}

impl Drivers<'_> {
    async fn attempt_all(&self, actions: &[Action], done: &mut usize) -> Result<(), Mismatch> {
        // Reopening is left out where one of them forgets.
        let can_reopen = self
            .0
            .iter()
            .all(|harness| harness.claims().has(Capability::Reopen));
        // Behind the worlds, so that the directories go after them.
        let spots: Vec<_> = self.0.iter().map(|_| Spot::new("differential")).collect();
        let mut worlds = Vec::new();
        for (harness, spot) in self.0.iter().zip(&spots) {
            let place = harness.provision(spot).await;
            let place = place.map_err(|error| format!("cannot provision a place: {error}"))?;
            let backend = place.open().await;
            let backend = backend.map_err(|error| format!("cannot open a fresh place: {error}"))?;
            worlds.push(World::new(place, backend, can_reopen, true));
        }
        for action in actions {
            *done += 1;
            for (index, world) in worlds.iter_mut().enumerate() {
                let applied = world.apply(action).await;
                applied.map_err(|why| format!("{}: {why}", self.name(index)))?;
            }
            self.refuse_alike(&worlds)?;
        }
        for (index, world) in worlds.iter_mut().enumerate() {
            let compared = world.compare().await;
            compared.map_err(|why| format!("{}, at the end: {why}", self.name(index)))?;
            let usage = world.driver.usage().await;
            let usage = usage.map_err(|error| format!("{}: {error}", self.name(index)))?;
            adds_up(&usage).map_err(|why| format!("{}: {why}", self.name(index)))?;
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
        for world in worlds {
            let closed = world.driver.close().await;
            closed.map_err(|error| format!("close is refused: {error}"))?;
        }
        drop(spots);
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.0[index].driver().name().to_owned()
    }

    /// All have answered, or refused in the same way, to each call so far.
    fn refuse_alike(&self, worlds: &[World]) -> Result<(), Mismatch> {
        let Some((first, others)) = worlds.split_first() else {
            return Ok(());
        };
        for (index, other) in others.iter().enumerate() {
            let pairs = first.refusals.iter().zip(&other.refusals);
            let Some(call) = pairs.into_iter().position(|(one, other)| one != other) else {
                continue;
            };
            let shown = |world: &World| {
                let trace = world.trace.as_ref().and_then(|trace| trace.get(call));
                let trace = trace.cloned().unwrap_or_default();
                format!("{trace}\n    {:?}", world.refusals[call])
            };
            return Err(format!(
                "the refusals differ\n  {}: {}\n  {}: {}",
                self.name(0),
                shown(first),
                self.name(index + 1),
                shown(other)
            ));
        }
        Ok(())
    }
}

/// USE-1: the parts are the whole, and no more than is allowed.
fn adds_up(usage: &Usage) -> Result<(), Mismatch> {
    let sum: u64 = usage.parts.iter().map(|(_, bytes)| bytes).sum();
    let is_allowed = usage.allowed.is_none_or(|allowed| usage.used <= allowed);
    if sum == usage.used && is_allowed {
        Ok(())
    } else {
        Err(format!("the usage does not add up: {usage:?}"))
    }
}

/// Pages of one entry, with the cursors of the giver: the taker, which holds the same, goes on as with its own.
async fn exchange_cursors(
    giver: &dyn StorageBackend,
    taker: &dyn StorageBackend,
) -> Result<(), Mismatch> {
    let one = Count::clamped(1);
    let partitions = |backend, after: Option<Cursor>| async move {
        let backend: &dyn StorageBackend = backend;
        let page = backend.list_partitions(after.as_ref(), one).await;
        names(page, |info| info.id.to_string())
    };
    same_way(giver, taker, partitions).await?;
    let namespaces = |backend, after: Option<Cursor>| async move {
        let backend: &dyn StorageBackend = backend;
        let page = backend.namespaces(after.as_ref(), one).await;
        names(page, ToString::to_string)
    };
    same_way(giver, taker, namespaces).await?;
    for space in 0..NAMESPACES {
        for direction in [Direction::Forward, Direction::Backward] {
            let entries = |backend, after: Option<Cursor>| async move {
                let backend: &dyn StorageBackend = backend;
                let mut request = ScanRequest::new(namespace(space), KeyRange::all())
                    .direction(direction)
                    .entries_max(one);
                request.after = after;
                names(backend.scan(Timestamp::EPOCH, request).await, |entry| {
                    entry.key.to_string()
                })
            };
            same_way(giver, taker, entries).await?;
        }
    }
    refuse_those_of_items(giver, taker).await
}

type Names = (Vec<String>, Option<Cursor>);

fn names<T>(page: ApiResult<Page<T>>, name: impl Fn(&T) -> String) -> Result<Names, Mismatch> {
    let page = page.map_err(|error| format!("refused: {error}"))?;
    Ok((page.items.iter().map(name).collect(), page.next))
}

async fn same_way<'a, F>(
    giver: &'a dyn StorageBackend,
    taker: &'a dyn StorageBackend,
    page: impl Fn(&'a dyn StorageBackend, Option<Cursor>) -> F,
) -> Result<(), Mismatch>
where
    F: Future<Output = Result<Names, Mismatch>>,
{
    let mut after = None;
    loop {
        let (expected, next) = page(giver, after.clone()).await?;
        let (found, found_next) = page(taker, after).await?;
        if found != expected || next.is_some() != found_next.is_some() {
            return Err(format!("it gives {found:?} instead of {expected:?}"));
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// LIST-3: a cursor over items names its partition by the version of its creation, which is each driver's own.
async fn refuse_those_of_items(
    giver: &dyn StorageBackend,
    taker: &dyn StorageBackend,
) -> Result<(), Mismatch> {
    let told = |error| format!("a look is refused: {error}");
    let partitions = giver.list_partitions(None, Count::MAX).await;
    for info in partitions.map_err(told)?.items {
        let request = ListRequest::by_id(States::ALL).items_max(Count::clamped(1));
        let page = giver.list_items(&info.id, request.clone()).await;
        let Some(cursor) = page.map_err(told)?.next else {
            continue;
        };
        let same = taker.partition(&info.id).await.map_err(told)?;
        let found = taker.list_items(&info.id, request.after(cursor)).await;
        match found {
            Ok(_) if same.created == info.created => {}
            Err(error)
                if same.created != info.created && error.kind() == ErrorKind::InvalidArgument => {}
            found => {
                return Err(format!(
                    "in partition {}, created at {} there and at {} here: {found:?}",
                    info.id, info.created, same.created
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ReferenceHarness;

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
}
