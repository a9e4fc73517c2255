//! How long the phases of children take on this machine, so that kills fall anywhere within them, and where they fell.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::child::{Heard, Phase};

/// A part of the time that a phase takes, or more than all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    thousandths: u32,
}

impl Share {
    pub(super) fn of_thousandths(thousandths: u32) -> Self {
        Self { thousandths }
    }
}

/// What is known of the phases of all children so far. It decides when a child is killed, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Phases {
    /// The one that a child has said last, and when.
    begun: Option<(Phase, Instant)>,
    /// How long those take that were seen from their beginning to their end.
    last: BTreeMap<Phase, Duration>,
    kills: Kills,
}

/// How many kills fell within each phase, and how many behind its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Kills(BTreeMap<Phase, [usize; 2]>);

impl Phases {
    /// Another child begins; how far the last one came is nothing to measure.
    pub(super) fn begin_child(&mut self) {
        self.begun = None;
    }

    /// Whatever a child says ends the phase before it.
    pub(super) fn hear(&mut self, heard: &Heard, now: Instant) {
        if let Some((phase, since)) = self.begun.take() {
            let last = self.last.entry(phase).or_default();
            // One opening has more to do than another, and a stall says little about the next one.
            *last = now.saturating_duration_since(since).max(*last / 2);
        }
        if let Heard::Phase(phase) = heard {
            self.begun = Some((*phase, now));
        }
    }

    /// How long that share of a phase is; `None` as long as nobody knows how long the phase is.
    pub(super) fn share_of(&self, phase: Phase, share: Share) -> Option<Duration> {
        let last = self.last.get(&phase)?;
        Some(*last * share.thousandths / 1000)
    }

    /// Counts a kill behind the beginning of a phase, and perhaps behind its end.
    pub(super) fn count_kill(&mut self, phase: Phase, is_over: bool) {
        let [within, behind] = self.kills.0.entry(phase).or_default();
        *if is_over { behind } else { within } += 1;
    }

    pub(super) fn kills(&self) -> &Kills {
        &self.kills
    }
}

impl Kills {
    pub(super) fn add(&mut self, other: &Self) {
        for (phase, [within, behind]) in &other.0 {
            let sums = self.0.entry(*phase).or_default();
            *sums = [sums[0] + within, sums[1] + behind];
        }
    }
}

impl fmt::Display for Kills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no kill while anything was going on");
        }
        let told = self.0.iter().map(|(phase, [within, behind])| {
            format!("{within} while {phase} ({behind} more came too late)")
        });
        write!(f, "kills: {}", told.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_a_phase_took_and_a_stall_is_forgotten_by_halves() {
        let mut phases = Phases::default();
        let begin = Instant::now();
        let half = Share::of_thousandths(500);
        let mut now = begin;
        let mut lasts = |phases: &mut Phases, millis| {
            phases.hear(&Heard::Phase(Phase::Closing), now);
            now += Duration::from_millis(millis);
            phases.hear(&Heard::Phase(Phase::Opening), now);
            phases.share_of(Phase::Closing, half)
        };

        assert_eq!(lasts(&mut phases, 100), Some(Duration::from_millis(50)));
        assert_eq!(lasts(&mut phases, 10), Some(Duration::from_millis(25)));
        assert_eq!(lasts(&mut phases, 80), Some(Duration::from_millis(40)));
        assert_eq!(phases.share_of(Phase::Syncing, half), None);
    }

    #[test]
    fn a_phase_that_a_kill_has_ended_is_not_measured() {
        let mut phases = Phases::default();

        phases.hear(&Heard::Phase(Phase::Opening), Instant::now());
        phases.begin_child();
        phases.hear(&Heard::Opened, Instant::now());

        let whole = Share::of_thousandths(1000);
        assert_eq!(phases.share_of(Phase::Opening, whole), None);
    }

    #[test]
    fn it_is_told_where_kills_fell() {
        let mut phases = Phases::default();
        let mut kills = Kills::default();

        phases.count_kill(Phase::Closing, false);
        phases.count_kill(Phase::Closing, true);
        kills.add(phases.kills());
        phases.count_kill(Phase::Opening, false);
        kills.add(phases.kills());

        assert_eq!(
            kills.to_string(),
            "kills: 1 while opening (0 more came too late), 2 while closing (2 more came too late)"
        );
    }
}
