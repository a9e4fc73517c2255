//! Why spool ends with something else than 0, in one line for a person.

use std::fmt;

use storage_config::ConfigError;

/// A message and an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code: 2 where the command line, the configuration or a name in them is wrong, else 1.
    pub code: u8,
    message: String,
}

impl Failure {
    /// What was asked for is wrong: exit code 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self {
            code: 2,
            message: message.to_string(),
        }
    }

    /// Something went wrong on the way: exit code 1.
    pub fn broken(message: impl fmt::Display) -> Self {
        Self {
            code: 1,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<storage_api::Error> for Failure {
    fn from(error: storage_api::Error) -> Self {
        Self::broken(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::broken(error)
    }
}

/// A storage that does not open is no mistake in the file.
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error.storage_error() {
            Some(_) => Self::broken(error),
            None => Self::usage(error),
        }
    }
}
