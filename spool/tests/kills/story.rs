//! What the commands of all rounds wrote down, judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::Note;

#[derive(Default)]
pub(crate) struct Story {
    lines: BTreeMap<String, Line>,
    /// By round: what was written in it, in order.
    rounds: BTreeMap<usize, Vec<Note>>,
}

#[derive(Default)]
struct Line {
    /// The items that it became.
    ids: BTreeSet<String>,
    /// The rounds in which it was begun.
    begun: Vec<usize>,
    is_ended: bool,
}

impl Story {
    pub(crate) fn of(notes: &[Note]) -> Self {
        let mut story = Self::default();
        for note in notes {
            let line = story.lines.entry(note.line.clone()).or_default();
            line.ids.insert(note.id.clone());
            line.is_ended |= note.is_end;
            if !note.is_end {
                line.begun.push(note.round);
            }
            story
                .rounds
                .entry(note.round)
                .or_default()
                .push(note.clone());
        }
        story
    }

    /// Every line was done, as one item each, and none but those was repeated that were at work at a kill.
    ///
    /// `held` are the rounds that were killed while every worker was in the middle of a line.
    pub(crate) fn judge(&self, lines: &BTreeSet<String>, workers: usize, held: &BTreeSet<usize>) {
        let found: BTreeSet<_> = self.lines.keys().collect();
        let lost: Vec<_> = lines.iter().filter(|line| !found.contains(line)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert_eq!(found.len(), lines.len(), "there are no others");
        for (name, line) in &self.lines {
            let begun = &line.begun;
            assert!(
                line.is_ended,
                "{name} was begun in {begun:?} and never ended"
            );
            assert_eq!(
                line.ids.len(),
                1,
                "{name} became several items: {:?}",
                line.ids
            );
            let rounds: BTreeSet<_> = begun.iter().collect();
            assert_eq!(rounds.len(), begun.len(), "{name} was begun in {begun:?}");
        }
        for &round in self.rounds.keys() {
            self.judge_round(round, workers, held.contains(&round));
        }
    }

    /// A worker begins a line when the one before it is stored as done. So a line that comes again had its worker from its
    /// beginning to the kill: as many lines as had one at any time, so many workers there must be.
    fn judge_round(&self, round: usize, workers: usize, is_held: bool) {
        let notes = &self.rounds[&round];
        let comes_again = |line: &String| self.lines[line].begun.iter().any(|at| *at > round);
        let mut occupied = BTreeSet::new();
        for Note { is_end, line, .. } in notes {
            if !is_end {
                occupied.insert(line);
            } else if !comes_again(line) {
                occupied.remove(line);
            }
            assert!(
                occupied.len() <= workers,
                "{workers} workers were at {occupied:?} in round {round}, of which {:?} came again: {notes:?}",
                occupied
                    .iter()
                    .filter(|line| comes_again(line))
                    .collect::<Vec<_>>(),
            );
        }
        if is_held {
            // None of them can have been stored as done: each has to come again, whatever its command did after the kill.
            let begun = notes
                .iter()
                .filter(|note| !note.is_end)
                .map(|note| &note.line);
            let again = begun.clone().filter(|line| comes_again(line)).count();
            assert_eq!(
                again, workers,
                "round {round} was killed at work on {workers} lines: {notes:?}"
            );
        }
    }
}
