//! The log of operations of one case: what a hang or a failure is read from.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use storage_api::Durability;

/// Kept entries; a case that does more is read from its end.
const ENTRIES_MAX: usize = 200;
/// Kept characters of one argument or answer.
const TEXT_CHARS_MAX: usize = 300;

/// What a case did to the backend, in order of the calls.
#[derive(Debug, Default)]
pub(crate) struct OperationLog {
    entries: Mutex<VecDeque<Entry>>,
    calls: AtomicU64,
    durability: OnceLock<Durability>,
    remark: OnceLock<String>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    call: String,
    answer: Option<String>,
}

impl OperationLog {
    /// How many calls there were: a number that stands still is a hang.
    pub(crate) fn progress(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a call without an entry, for those who make millions.
    pub(crate) fn advance(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Logs what the first backend that was opened says that its `Ok` means.
    pub(crate) fn opened_with(&self, durability: Durability) {
        // A backend that changes its mind is what a case of its own is about.
        let _ = self.durability.set(durability);
    }

    /// What an `Ok` of the backend meant, where one was opened.
    pub(crate) fn durability(&self) -> Option<Durability> {
        self.durability.get().copied()
    }

    /// Logs what a reader of the report is to know although the case passes: the first of such remarks.
    pub(crate) fn remark(&self, text: String) {
        let _ = self.remark.set(text);
    }

    /// What was remarked.
    pub(crate) fn remarked(&self) -> Option<String> {
        self.remark.get().cloned()
    }

    /// Logs a call that begins. Dropping what it returns logs that the future was dropped.
    pub(crate) fn begin(&self, call: fmt::Arguments<'_>) -> Pending<'_> {
        let number = self.advance();
        let mut entries = self.entries();
        if entries.len() == ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(Entry {
            number,
            call: shortened(call),
            answer: None,
        });
        Pending {
            log: self,
            number,
            is_answered: false,
        }
    }

    fn end(&self, number: u64, answer: String) {
        let mut entries = self.entries();
        // Near the end: few calls are under way at once.
        if let Some(entry) = entries
            .iter_mut()
            .rev()
            .find(|entry| entry.number == number)
        {
            entry.answer = Some(answer);
        }
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // A panic elsewhere leaves the list whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for OperationLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        match entries.front() {
            None => return f.write_str("  (no operation)"),
            Some(first) if first.number > 1 => {
                writeln!(f, "  ({} earlier operations)", first.number - 1)?;
            }
            Some(_) => {}
        }
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            let answer = entry.answer.as_deref().unwrap_or("NO ANSWER YET");
            write!(f, "  {:>4} {} -> {answer}", entry.number, entry.call)?;
        }
        Ok(())
    }
}

/// A call without its answer.
pub(crate) struct Pending<'a> {
    log: &'a OperationLog,
    number: u64,
    is_answered: bool,
}

impl Pending<'_> {
    /// Logs the answer and passes it on.
    pub(crate) fn answer<T: Debug>(mut self, answer: T) -> T {
        self.is_answered = true;
        self.log
            .end(self.number, shortened(format_args!("{answer:?}")));
        answer
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.log.end(self.number, "DROPPED".to_owned());
        }
    }
}

/// Formats up to the limit and not further, however large the value.
pub(crate) fn shortened(text: fmt::Arguments<'_>) -> String {
    struct Cut(String);

    impl Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = TEXT_CHARS_MAX.saturating_sub(self.0.len());
            let end = text.floor_char_boundary(room);
            self.0.push_str(&text[..end]);
            if end < text.len() {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }

    let mut cut = Cut(String::new());
    if cut.write_fmt(text).is_err() {
        cut.0.push('…');
    }
    cut.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_a_dropped_call_and_one_without_answer_are_told_apart() {
        let log = OperationLog::default();
        log.begin(format_args!("lease")).answer(7);
        drop(log.begin(format_args!("produce")));
        let stuck = log.begin(format_args!("close"));

        let text = log.to_string();

        drop(stuck);
        assert_eq!(
            text.lines().map(str::trim).collect::<Vec<_>>(),
            [
                "1 lease -> 7",
                "2 produce -> DROPPED",
                "3 close -> NO ANSWER YET"
            ]
        );
    }

    #[test]
    fn long_texts_are_cut_and_old_entries_forgotten() {
        let log = OperationLog::default();
        for _ in 0..ENTRIES_MAX + 5 {
            log.begin(format_args!("{}", "é".repeat(1000))).answer(());
        }

        let text = log.to_string();

        assert!(text.contains("(5 earlier operations)"), "{text}");
        assert!(text.lines().all(|line| line.len() < TEXT_CHARS_MAX + 40));
    }
}
