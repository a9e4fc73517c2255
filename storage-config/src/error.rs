//! What is wrong with a configuration, where, and what was probably meant.

use std::error::Error as StdError;
use std::fmt;

/// A place in a configuration file. Both numbers start at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// Why a configuration is refused, or could not be opened.
///
/// Its text is one line that a person can act on, and starts with the place as editors and terminals link it:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let text = "queue-storage:\n  drivr: memory\n";
/// let error = storage_config::Registry::builtin().open_str(text, ".", "queue.yaml").await.unwrap_err();
///
/// assert_eq!(
///     error.to_string(),
///     "queue.yaml:2:3: unknown key «drivr»; known here are driver, config; did you mean «driver»?"
/// );
/// assert_eq!((error.line(), error.column()), (Some(2), Some(3)));
/// assert_eq!(error.found(), Some("drivr"));
/// assert_eq!(error.nearest(), Some("driver"));
/// # }
/// ```
#[derive(Debug)]
pub struct ConfigError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    file: String,
    position: Option<Position>,
    problem: Problem,
    storage: Option<storage_api::Error>,
}

/// What is wrong, before it is known where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A sentence without an end.
    pub(crate) message: String,
    /// The offending word.
    pub(crate) found: Option<String>,
    /// The known word that is nearest to it.
    pub(crate) nearest: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(
        file: impl Into<String>,
        position: Option<Position>,
        problem: impl Into<Problem>,
    ) -> Self {
        Self(Box::new(Inner {
            file: file.into(),
            position,
            problem: problem.into(),
            storage: None,
        }))
    }

    pub(crate) fn with_storage(mut self, storage: storage_api::Error) -> Self {
        self.0.storage = Some(storage);
        self
    }

    /// The file, as it was named when it was opened.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, from 1; `None` where the file as a whole is wrong.
    pub fn line(&self) -> Option<u64> {
        self.0.position.map(|position| position.line)
    }

    /// The column in characters, from 1; `None` where the file as a whole is wrong.
    pub fn column(&self) -> Option<u64> {
        self.0.position.map(|position| position.column)
    }

    /// The word that is wrong, where it is one word.
    pub fn found(&self) -> Option<&str> {
        self.0.problem.found.as_deref()
    }

    /// The known word that is nearest to what was found, where one is near.
    pub fn nearest(&self) -> Option<&str> {
        self.0.problem.nearest.as_deref()
    }

    /// The error of the storage, where the configuration is right and opening failed.
    pub fn storage_error(&self) -> Option<&storage_api::Error> {
        self.0.storage.as_ref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}", inner.file.escape_debug())?;
        if let Some(Position { line, column }) = inner.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", inner.problem)
    }
}

/// The source is what lies beneath the storage's own error, whose text is part of this one's.
impl StdError for ConfigError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.storage.as_ref().and_then(StdError::source)
    }
}

impl Problem {
    /// A word that is not among the known ones.
    pub(crate) fn unknown<'a>(
        what: &str,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        let list = if known.is_empty() {
            "nothing is known here".to_owned()
        } else {
            format!("known here are {}", known.join(", "))
        };
        Self {
            message: format!("unknown {what} «{}»; {list}", found.escape_debug()),
            nearest: nearest(found, &known),
            found: Some(found.to_owned()),
        }
    }

    /// A value that does not fit.
    pub(crate) fn unfit(found: impl Into<String>, expected: &str) -> Self {
        let found = found.into();
        Self {
            message: format!("expected {expected}, found {found}"),
            found: Some(found),
            nearest: None,
        }
    }
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self {
            message,
            found: None,
            nearest: None,
        }
    }
}

impl From<&str> for Problem {
    fn from(message: &str) -> Self {
        Self::from(message.to_owned())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean «{nearest}»?"),
            None => Ok(()),
        }
    }
}

/// The known word that a slip of the hand would turn into `found`: at most a third of its letters differ.
fn nearest(found: &str, known: &[&str]) -> Option<String> {
    let plain = |word: &str| word.to_lowercase().replace('_', "-");
    known
        .iter()
        .map(|word| {
            let distance = strsim::damerau_levenshtein(&plain(found), &plain(word));
            (distance, *word)
        })
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min()
        .map(|(_, word)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_a_slip_away() {
        let known = ["driver", "config", "attempts-max"];

        assert_eq!(nearest("drivr", &known).as_deref(), Some("driver"));
        assert_eq!(
            nearest("attempts_max", &known).as_deref(),
            Some("attempts-max")
        );
        assert_eq!(nearest("lease_sm", &known), None);
    }

    #[test]
    fn what_was_found_is_escaped() {
        let problem = Problem::unknown("key", "a\nb\u{1b}", ["driver"]);

        assert_eq!(
            problem.to_string(),
            "unknown key «a\\nb\\u{1b}»; known here are driver"
        );
    }
}
