//! When a run is killed: told by what it does, never by the time, so that every phase is met for certain.

/// At most so many lines are let by before a kill.
pub(crate) const LINES_MAX: u64 = 6;
/// At most so many lines more end while it comes.
pub(crate) const ENDING_MAX: u64 = 12;
/// A touch of the disk that comes before the first command begins: sled, with the fewest, made 27 until then, of which the
/// signature of the run is the last.
const TOUCHES_OF_OPENING: u64 = 12;
/// One that comes when the last lines end: their completion, then those of closing.
const TOUCHES_OF_ENDING: u64 = 12;
/// One that comes behind the report, for the signature, the bookmark, or the end of the engine: redb made 26, RocksDB 33 and
/// more, sled 12.
const TOUCHES_OF_CLOSING: u64 = 24;
/// One among those that a few lines make; the kill comes behind them all where they make fewer.
const TOUCHES_OF_WORK: u64 = 40;

/// A moment of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// While it opens, makes or repairs the place: before a touch of the disk.
    Opening { touch: u64 },
    /// At work, with lines to come: so many have ended, and each worker is in the middle of the next.
    Held { lines: u64 },
    /// At work, with lines to come: so many have ended, some more do, and their completions, the leases and what is
    /// produced meanwhile are cut off before a touch of the disk, or behind them all.
    Busy { lines: u64, more: u64, touch: u64 },
    /// Every line was begun, and each worker is in the middle of one of the last.
    Last,
    /// The last lines end: before a touch of the disk.
    Ending { touch: u64 },
    /// The report is out: before a touch of the disk, or before an earlier one where there are fewer.
    Closing { touch: u64 },
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

    /// Ten moments in which a file goes from its first line to its end, in an order in which each can be met.
    pub(crate) fn of_a_file(&mut self) -> [Moment; 10] {
        let mut at_work = [
            self.opening(),
            self.held(),
            self.held(),
            self.busy(),
            self.busy(),
        ];
        at_work.sort_by_cached_key(|_| self.up_to(u64::MAX));
        let [first, second, third, fourth, fifth] = at_work;
        [
            self.opening(),
            Moment::Held { lines: 0 },
            first,
            second,
            third,
            fourth,
            fifth,
            Moment::Last,
            Moment::Ending {
                touch: self.up_to(TOUCHES_OF_ENDING),
            },
            Moment::Closing {
                touch: self.up_to(TOUCHES_OF_CLOSING),
            },
        ]
    }

    fn opening(&mut self) -> Moment {
        Moment::Opening {
            touch: self.up_to(TOUCHES_OF_OPENING),
        }
    }

    fn held(&mut self) -> Moment {
        Moment::Held {
            lines: self.up_to(LINES_MAX),
        }
    }

    fn busy(&mut self) -> Moment {
        Moment::Busy {
            lines: self.up_to(LINES_MAX),
            more: self.up_to(ENDING_MAX),
            touch: self.up_to(TOUCHES_OF_WORK),
        }
    }

    /// A number from 1 to a limit, by splitmix64.
    fn up_to(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        1 + (mixed ^ (mixed >> 31)) % limit
    }
}
