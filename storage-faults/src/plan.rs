//! Which call meets which fault.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use storage_api::Operation;

use crate::faults::Fault;

/// What was asked for, and what was met.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    scripts: BTreeMap<Operation, VecDeque<Option<Fault>>>,
    odds: Option<Odds>,
    met: Vec<(Operation, Fault)>,
}

#[derive(Debug)]
struct Odds {
    random: ChaCha8Rng,
    one_in: u32,
    faults: Vec<Fault>,
}

impl Plan {
    pub(crate) fn script(
        &mut self,
        operation: Operation,
        calls: impl IntoIterator<Item = Option<Fault>>,
    ) {
        self.scripts.entry(operation).or_default().extend(calls);
    }

    pub(crate) fn at_random(&mut self, seed: u64, one_in: u32, faults: &[Fault]) {
        self.odds = Some(Odds {
            random: ChaCha8Rng::seed_from_u64(seed),
            one_in: one_in.max(1),
            faults: faults.to_vec(),
        });
    }

    /// Forgets what is still to come; what was met stays.
    pub(crate) fn heal(&mut self) {
        self.scripts.clear();
        self.odds = None;
    }

    pub(crate) fn met(&self) -> &[(Operation, Fault)] {
        &self.met
    }

    /// The fault of the call that begins now. A script goes before chance.
    pub(crate) fn next(&mut self, operation: Operation) -> Option<Fault> {
        let scripted = self.scripts.get_mut(&operation);
        let fault = match scripted.and_then(VecDeque::pop_front) {
            Some(scripted) => scripted,
            None if operation == Operation::Close => None,
            None => self.odds.as_mut().and_then(Odds::draw),
        };
        self.met.extend(fault.map(|fault| (operation, fault)));
        fault
    }
}

impl Odds {
    /// Draws twice whatever comes of it, so that the n-th call has its fault by the seed alone.
    fn draw(&mut self) -> Option<Fault> {
        let (is_met, which) = (self.random.next_u32(), self.random.next_u32());
        if self.faults.is_empty() || !is_met.is_multiple_of(self.one_in) {
            return None;
        }
        let which = usize::try_from(which).unwrap_or(0) % self.faults.len();
        Some(self.faults[which])
    }
}
