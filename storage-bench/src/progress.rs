//! What is going on, for whoever waits.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal; elsewhere a line of standard error for each stage.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self {
            bar: is_terminal.then(|| {
                let bar = ProgressBar::new(0);
                let style = "{msg} [{bar:30}] {pos}/{len} {elapsed}";
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style);
                }
                bar
            }),
        }
    }

    /// A stage of so many steps begins.
    pub(crate) fn stage(&self, what: &str, steps: usize) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(steps as u64);
                bar.set_position(0);
                bar.set_message(what.to_owned());
            }
            // Where standard error is closed nobody waits for it.
            None => drop(writeln!(std::io::stderr(), "{what}")),
        }
    }

    /// One of them is done.
    pub(crate) fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Leaves the terminal to what is printed.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
