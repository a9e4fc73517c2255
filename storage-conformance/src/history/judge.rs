//! Whether a history has an order: the search of Wing, Gong and Lowe, with the model as the judge of each step.
//!
//! An order must keep what came one after the other, and explain every answer. Calls that share nothing are judged apart.
//! States that were reached before, after the same calls, are not looked at again.

use std::collections::HashSet;

use storage_api::{ItemId, PartitionId};

use super::call::Call;
use super::facts::Facts;
use super::request::Scope;
use super::state::{Instead, State};
use super::weak;

/// Calls of one component at most, for the sets of calls are the bits of a number.
const CALLS_MAX: usize = 128;
/// How many calls are tried before the search is given up.
const TRIES_MAX: usize = 2_000_000;

/// What a search found.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// An order that explains everything. Indexes of calls; those left out may not have applied.
    Ordered(Vec<usize>),
    /// No order does.
    Disordered(Evidence),
    /// Nobody knows: the search was given up.
    Undecided,
}

/// Why there is no order.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// The calls concerned: indexes into the history.
    pub(crate) calls: Vec<usize>,
    /// The longest beginning of an order that was found.
    pub(crate) order: Vec<usize>,
    /// Which calls could have come next, and what the model answers to them there.
    pub(crate) stuck: Vec<(usize, Instead)>,
    /// What no order could explain, where that is known without a search.
    pub(crate) reason: Option<String>,
}

/// Looks for an order of a history that began with an empty backend.
///
/// A driver without `StrictOrder` is given the liberties of clause CONC-2.
pub(crate) fn judge(calls: &[Call], is_strict: bool) -> Judgement {
    judge_within(TRIES_MAX, calls, is_strict)
}

/// The same with that many tries for each component.
pub(super) fn judge_within(tries_max: usize, calls: &[Call], is_strict: bool) -> Judgement {
    let facts = match Facts::of(calls) {
        Ok(facts) => facts,
        Err(reason) => {
            return Judgement::Disordered(Evidence {
                calls: (0..calls.len()).collect(),
                order: Vec::new(),
                stuck: Vec::new(),
                reason: Some(reason),
            });
        }
    };
    let mut order = Vec::new();
    for component in components(calls) {
        match Search::new(calls, component, &facts, is_strict).run(tries_max) {
            Judgement::Ordered(more) => order.extend(more),
            other => return other,
        }
    }
    Judgement::Ordered(order)
}

/// Sets of calls, by index, of which none meets another.
fn components(calls: &[Call]) -> Vec<Vec<usize>> {
    let mut components: Vec<(Vec<Scope>, Vec<usize>)> = Vec::new();
    // A look without an answer says nothing.
    let telling = |call: &Call| call.is_answered() || !call.request.is_look();
    for (index, call) in calls.iter().enumerate().filter(|(_, call)| telling(call)) {
        let mut scopes = call.request.scopes();
        let mut members = vec![index];
        components.retain_mut(|(others, indexes)| {
            let meets = scopes
                .iter()
                .any(|one| others.iter().any(|other| one.meets(other)));
            if meets {
                scopes.append(others);
                members.append(indexes);
            }
            !meets
        });
        scopes.dedup();
        components.push((scopes, members));
    }
    components.into_iter().map(|(_, members)| members).collect()
}

/// A set of calls of one component.
type Set = u128;

struct Search<'a> {
    calls: &'a [Call],
    /// Indexes into the history, in the order in which the calls were over: the likeliest order.
    members: Vec<usize>,
    facts: &'a Facts,
    is_strict: bool,
    /// Those that must be explained.
    answered: Set,
    /// For each call those that must come before it, if they come at all.
    before: Vec<Set>,
    /// For each call those behind which it cannot come.
    behind: Vec<Set>,
    /// For each call what others hold while it is under way.
    held: Vec<weak::Held>,
}

/// One call of the order so far, and which are to be tried behind it.
struct Frame {
    done: Set,
    /// The states to go on from, one at a time: more than one only under CONC-2.
    states: Vec<State>,
    /// The call that led here.
    by: Option<usize>,
    next: usize,
}

impl<'a> Search<'a> {
    fn new(calls: &'a [Call], mut members: Vec<usize>, facts: &'a Facts, is_strict: bool) -> Self {
        assert!(
            members.len() <= CALLS_MAX,
            "a history of {} calls that meet is too long to be judged; {CALLS_MAX} are the most",
            members.len()
        );
        members.sort_by_key(|index| {
            let call = &calls[*index];
            (call.over().unwrap_or(u64::MAX), call.called)
        });
        let scopes: Vec<_> = members
            .iter()
            .map(|index| calls[*index].request.scopes())
            .collect();
        let set = |is_in: &dyn Fn(usize) -> bool| {
            (0..members.len())
                .filter(|other| is_in(*other))
                .fold(0, |set, other| set | 1 << other)
        };
        // A dropped call is settled for those who meet it, and for nobody else (clause ATOM-2).
        let comes_before = |one: usize, other: usize| {
            let (first, second) = (&calls[members[one]], &calls[members[other]]);
            let is_over = first.over().is_some_and(|over| over < second.called);
            let meets = || {
                let mut scopes_of_one = scopes[one].iter();
                scopes_of_one.any(|mine| scopes[other].iter().any(|its| mine.meets(its)))
            };
            is_over && (first.is_answered() || meets())
        };
        let each = 0..members.len();
        let before = each
            .clone()
            .map(|one| set(&|other| comes_before(other, one)));
        let behind = each
            .clone()
            .map(|one| set(&|other| comes_before(one, other)));
        let held = each.map(|one| {
            if is_strict {
                return weak::Held::default();
            }
            let own = &calls[members[one]];
            let others = members.iter().map(|index| &calls[*index]);
            weak::Held::of(own, others.filter(|other| own.overlaps(other)))
        });
        Self {
            calls,
            facts,
            is_strict,
            answered: set(&|one| calls[members[one]].is_answered()),
            before: before.collect(),
            behind: behind.collect(),
            held: held.collect(),
            members,
        }
    }

    fn run(self, tries_max: usize) -> Judgement {
        let mut seen = HashSet::new();
        let mut tries = 0;
        let mut best: (u32, Vec<usize>, Set, State) = (0, Vec::new(), 0, State::default());
        let mut frames = vec![Frame {
            done: 0,
            states: vec![State::default()],
            by: None,
            next: 0,
        }];
        while let Some(frame) = frames.last_mut() {
            let (done, one) = (frame.done, frame.next);
            let Some(state) = frame.states.last() else {
                frames.pop();
                continue;
            };
            if done & self.answered == self.answered {
                return Judgement::Ordered(self.order(&frames));
            }
            if one == self.members.len() {
                frame.states.pop();
                frame.next = 0;
                continue;
            }
            frame.next += 1;
            if !self.may_come(one, done) {
                continue;
            }
            tries += 1;
            if tries > tries_max {
                return Judgement::Undecided;
            }
            let now_done = done | 1 << one;
            let mut states = self.after(state, one);
            states.retain(|state| seen.insert((now_done, state.fingerprint())));
            let Some(state) = states.first().cloned() else {
                continue;
            };
            frames.push(Frame {
                done: now_done,
                states,
                by: Some(one),
                next: 0,
            });
            let explained = (now_done & self.answered).count_ones();
            if explained > best.0 {
                best = (explained, self.order(&frames), now_done, state);
            }
        }
        let (_, order, done, state) = best;
        Judgement::Disordered(Evidence {
            stuck: self.stuck(done, &state),
            calls: self.members,
            order,
            reason: None,
        })
    }

    /// Whether everything has come that must come before it, and nothing that must not.
    fn may_come(&self, one: usize, done: Set) -> bool {
        let bit = 1 << one;
        done & bit == 0
            && self.before[one] & self.answered & !done == 0
            && self.behind[one] & done == 0
    }

    /// The states that one more call may lead to.
    fn after(&self, state: &State, one: usize) -> Vec<State> {
        let index = self.members[one];
        let call = &self.calls[index];
        let passing = self.held[one].passed_over_in(state);
        let step = |passed_over: &[(PartitionId, ItemId)]| {
            state.after(index, call, self.facts, self.is_strict, passed_over)
        };
        passing
            .iter()
            .filter_map(|passed_over| step(passed_over).ok())
            .collect()
    }

    fn order(&self, frames: &[Frame]) -> Vec<usize> {
        let calls = frames.iter().filter_map(|frame| frame.by);
        calls.map(|one| self.members[one]).collect()
    }

    /// What could have come next, and why it could not.
    fn stuck(&self, done: Set, state: &State) -> Vec<(usize, Instead)> {
        let next = (0..self.members.len()).filter(|one| self.may_come(*one, done));
        let next = next.filter_map(|one| {
            let index = self.members[one];
            let call = &self.calls[index];
            let instead = state.after(index, call, self.facts, self.is_strict, &[]);
            Some((index, instead.err()?))
        });
        next.collect()
    }
}
