//! Kills at exact moments: before the first, the second, any change that a driver makes to its files when it makes a place,
//! opens one that was killed before, or closes it.

use std::fs;
use std::io::BufRead;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use libtest_mimic::{Completion, Failed, Trial};

use crate::layer;
use crate::processes::{CLOSING, Kept, OPENING, SIGKILL, start_with};
use crate::scene::Scene;

const SOURCE: &str = include_str!("moment.c");

/// So many moments of each of the three; where there are more, they are spread from the first to the last.
const MOMENTS_MAX: u64 = 12;

/// The test on the driver of that name.
pub(crate) fn trial(driver: &str) -> Trial {
    let of = driver.to_owned();
    let name = format!("{driver}::a_kill_before_any_change_of_opening_and_closing_loses_nothing");
    Trial::ignorable_test(name, move || loses_nothing(&of))
}

fn loses_nothing(driver: &str) -> Result<Completion, Failed> {
    let scratch = tempfile::tempdir()?;
    let killer = match layer::compile(scratch.path(), SOURCE) {
        Ok(layer) => Killer {
            layer,
            count: scratch.path().join("count"),
        },
        Err(reason) => return Ok(Completion::ignored_with(reason)),
    };

    // A place that is made, each time in a new directory.
    let changes = killer.count(&Scene::new(driver), OPENING);
    for change in spread(changes) {
        let (scene, mut kept) = (Scene::new(driver), Kept::default());
        killer.live(&scene, OPENING, change, &mut kept);
        kept.compare(&scene, &format!("made until change {change} of {changes}"));
    }
    // One that goes on.
    for line in [OPENING, CLOSING] {
        let (scene, mut kept) = (Scene::new(driver), Kept::default());
        killer.live(&scene, line, 0, &mut kept);
        let changes = killer.count_in(&scene, line, &mut kept);
        let moments = spread(changes);
        let killed = moments
            .iter()
            .filter(|change| killer.live(&scene, line, **change, &mut kept))
            .count();
        let told = format!("{line}, killed {killed} times before one of {changes} changes");
        // What a killed process leaves can take less to open, or to close.
        assert!(killed > 0, "{told}");
        kept.compare(&scene, &told);
    }
    Ok(Completion::Completed)
}

/// Up to so many of the numbers from one to that.
fn spread(changes: u64) -> Vec<u64> {
    let moments = changes.min(MOMENTS_MAX);
    let steps = moments.saturating_sub(1).max(1);
    (0..moments)
        .map(|moment| 1 + moment * (changes - 1) / steps)
        .collect()
}

/// Lets processes work, and kills them.
struct Killer {
    layer: PathBuf,
    /// Where the layer says how many changes there were.
    count: PathBuf,
}

impl Killer {
    /// How many changes a process makes behind that line, before it says the next.
    fn count(&self, scene: &Scene, line: &str) -> u64 {
        self.count_in(scene, line, &mut Kept::default())
    }

    fn count_in(&self, scene: &Scene, line: &str, kept: &mut Kept) -> u64 {
        assert!(!self.live(scene, line, 0, kept), "nobody kills it");
        let count = fs::read_to_string(&self.count).unwrap();
        let count = count.parse().unwrap();
        assert!(count > 0, "it changes files while it is {line}");
        count
    }

    /// Lets a process live, and die before that change behind that line; whether it came so far.
    fn live(&self, scene: &Scene, line: &str, change: u64, kept: &mut Kept) -> bool {
        let (mut child, says) = start_with("work", scene.driver(), scene, |command| {
            command
                .env("LD_PRELOAD", &self.layer)
                .env("STORAGE_MOMENT_LINE", line)
                .env("STORAGE_MOMENT_KILL", change.to_string())
                .env("STORAGE_MOMENT_COUNT", &self.count);
        });
        let said: Vec<_> = says.lines().map(Result::unwrap).collect();
        let ended = child.wait().unwrap();
        let is_killed = ended.signal() == Some(SIGKILL);
        assert!(
            is_killed || ended.success(),
            "it was to die before change {change} while {line}, and ends with {ended} behind {said:?}"
        );
        if is_killed {
            assert_eq!(said.last().map(String::as_str), Some(line), "{said:?}");
        }
        kept.hear(&said);
        is_killed
    }
}
