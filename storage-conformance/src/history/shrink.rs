//! The shortest beginning of a history that has no order, without the calls that do not matter.
//!
//! Nothing is run again: a beginning of a history that has an order has one too, and so has a history without a call that
//! changed nothing. What is found is therefore as wrong as the whole.

use storage_api::CommitOutcome;

use super::call::{Call, Ending, Tick};
use super::judge::{Evidence, Judgement, judge};
use super::request::Answer;

/// A part of a history without an order, and why it has none.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) calls: Vec<Call>,
    pub(crate) evidence: Evidence,
}

/// Shrinks a history for which that evidence was found.
pub(crate) fn shrink(calls: &[Call], evidence: Evidence, is_strict: bool) -> Finding {
    let concerned = evidence.calls.iter().map(|index| calls[*index].clone());
    let mut concerned: Vec<Call> = concerned.collect();
    concerned.sort_by_key(|call| call.called);
    let Judgement::Disordered(own) = judge(&concerned, is_strict) else {
        return Finding {
            calls: calls.to_vec(),
            evidence,
        };
    };
    let mut best = Finding {
        calls: concerned,
        evidence: own,
    };

    // If one beginning has no order, no longer one has: halve the distance.
    let mut ends: Vec<Tick> = best.calls.iter().filter_map(Call::ended).collect();
    ends.sort_unstable();
    let (mut low, mut high) = (0, ends.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let is_taken = best.take(until(&best.calls, ends[middle]), is_strict);
        if is_taken {
            high = middle;
        } else {
            low = middle + 1;
        }
    }

    let mut index = best.calls.len();
    while index > 0 {
        index -= 1;
        if changed_nothing(&best.calls[index]) {
            let mut fewer = best.calls.clone();
            fewer.remove(index);
            best.take(fewer, is_strict);
        }
    }
    best
}

impl Finding {
    fn take(&mut self, calls: Vec<Call>, is_strict: bool) -> bool {
        let Judgement::Disordered(evidence) = judge(&calls, is_strict) else {
            return false;
        };
        *self = Self { calls, evidence };
        true
    }
}

/// What could be said of the history at that tick.
fn until(calls: &[Call], tick: Tick) -> Vec<Call> {
    let begun = calls.iter().filter(|call| call.called < tick);
    begun
        .map(|call| {
            let mut call = call.clone();
            if call.ended().is_some_and(|ended| ended > tick) {
                call.ending = Ending::Never;
            }
            call
        })
        .collect()
}

/// Whether its answer says that it changed nothing.
fn changed_nothing(call: &Call) -> bool {
    let is_empty = match call.answer() {
        Some(Answer::Leased(items)) => items.is_empty(),
        Some(Answer::Commit(CommitOutcome::Refused(_))) => true,
        Some(Answer::Produced(produced)) => produced.stored() == 0,
        Some(Answer::Maintained(answer)) => answer.handled() == 0,
        _ => matches!(call.ending, Ending::Refused(..)),
    };
    is_empty || call.request.is_look()
}
