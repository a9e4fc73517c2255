//! When a run is killed: told by its progress, never by the time.

use std::process::Child;

use crate::log::Log;
use crate::scene::Scene;

/// At most so many lines are begun before a kill.
pub(crate) const BEGUN_MAX: u64 = 25;
/// At most so many turns of the processor are let go by.
const TURNS_MAX: u64 = 3000;

/// A moment of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// So many turns after it was started: somewhere before or while it opens.
    Started { turns: u64 },
    /// So many turns after it holds the place: somewhere while it opens, and makes or repairs.
    Held { turns: u64 },
    /// When it has begun so many lines.
    Begun { lines: u64 },
}

impl Moment {
    /// Returns at the moment, or when the run has ended.
    pub(crate) fn wait(self, scene: &Scene, child: &mut Child, log: &mut Log, round: u64) {
        match self {
            Self::Started { turns } => pass(turns, log, round),
            Self::Held { turns } => {
                let pid = child.id().to_string();
                let lock = scene.path("data/lock");
                let is_held =
                    || std::fs::read_to_string(&lock).is_ok_and(|holder| holder.trim() == pid);
                while !is_held() && child.try_wait().unwrap().is_none() {
                    std::thread::yield_now();
                }
                pass(turns, log, round);
            }
            Self::Begun { lines } => log.wait_begun(child, round, lines),
        }
    }
}

/// Lets turns go by, but no more lines be begun than before any other kill: a turn takes long on a busy machine.
fn pass(turns: u64, log: &mut Log, round: u64) {
    for _ in 0..turns {
        if log.begun(round) >= BEGUN_MAX {
            return;
        }
        std::thread::yield_now();
    }
}

/// Moments from a seed.
pub(crate) struct Moments(u64);

impl Moments {
    #[expect(
        clippy::print_stdout,
        reason = "the harness shows it where the test fails"
    )]
    pub(crate) fn seeded() -> Self {
        const VARIABLE: &str = "SPOOL_TEST_SEED";
        let seed = std::env::var(VARIABLE).map_or(1, |seed| seed.parse().unwrap());
        println!("{VARIABLE}={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> Moment {
        match self.below(10) {
            0 => Moment::Started {
                turns: self.below(TURNS_MAX),
            },
            1 | 2 => Moment::Held {
                turns: self.below(TURNS_MAX),
            },
            _ => Moment::Begun {
                lines: 1 + self.below(BEGUN_MAX),
            },
        }
    }

    /// A number below a limit, by splitmix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
