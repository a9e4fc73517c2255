//! The progress bar, where standard error is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a second the bar is drawn: often enough to look alive, seldom enough to cost nothing.
const DRAWS_PER_SECOND: u8 = 10;
/// How often it is drawn where nothing else says that time passes.
const TICK: Duration = Duration::from_millis(100);

/// How far the work is. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar on standard error if that is a terminal; otherwise nothing is drawn.
    pub fn on_terminal() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::hidden();
        }
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        let style = "{spinner} {human_pos} done  {per_sec}  {elapsed}  {msg}";
        Self(ProgressBar::with_draw_target(None, target).with_style(styled(style)))
    }

    /// Something of unknown length is under way: the time that it takes, and what it is.
    pub fn waiting() -> Self {
        let progress = Self::on_terminal();
        progress.0.set_style(styled("{spinner} {elapsed}  {msg}"));
        progress.0.enable_steady_tick(TICK);
        progress
    }

    /// What is under way.
    pub fn set_message(&self, message: String) {
        self.0.set_message(message);
    }

    /// Nothing is drawn.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// The whole input is read, so that the end is in sight.
    pub fn set_total(&self, items: u64) {
        self.0.set_style(styled(
            "{bar:30} {human_pos}/{human_len}  {per_sec}  {eta} left  {msg}",
        ));
        self.0.set_length(items);
    }

    /// So many items are done, and so many are dead.
    pub fn set_done(&self, items: u64, dead: u64) {
        self.0.set_position(items);
        if dead > 0 {
            self.0.set_message(format!("{dead} dead"));
        }
    }

    /// Runs with the bar out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well-formed")
}
