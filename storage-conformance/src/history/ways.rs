//! How the calls of a task go to the driver: some by a shortcut, where it has such.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use storage_api::{PartitionId, Result, Shortcut, StorageBackend};

use super::request::{Answer, Request};

/// Chooses the ways of one task, and keeps its shortcuts.
pub(super) struct Ways {
    random: ChaCha8Rng,
    /// As a handle keeps its own: whatever becomes of the partition.
    kept: BTreeMap<PartitionId, Arc<dyn Shortcut>>,
}

impl Ways {
    pub(super) fn new(seed: u64, lane: usize) -> Self {
        // A stream that no chooser has: what is called does not depend on the way.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX - lane as u64);
        Self {
            random,
            kept: BTreeMap::new(),
        }
    }

    /// Asks the driver. Says whether a shortcut gave the answer: half of the calls that can go by one try to.
    pub(super) async fn send(
        &mut self,
        request: &Request,
        backend: &dyn StorageBackend,
    ) -> (Result<Answer>, bool) {
        match self.shortly(request, backend) {
            Some(answer) => (answer, true),
            None => (request.send(backend).await, false),
        }
    }

    fn shortly(
        &mut self,
        request: &Request,
        backend: &dyn StorageBackend,
    ) -> Option<Result<Answer>> {
        let id = request.may_go_shortly()?;
        if self.one_in(2) {
            return None;
        }
        // Now and then the task is a handle that has not asked yet.
        if self.one_in(4) {
            self.kept.remove(id);
        }
        if !self.kept.contains_key(id) {
            self.kept.insert(id.clone(), backend.shortcut(id)?);
        }
        request.send_shortly(&**self.kept.get(id)?)
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.random.next_u32().is_multiple_of(chances)
    }
}
