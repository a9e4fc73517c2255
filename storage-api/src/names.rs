//! Names and keys. They are data: any character, never a path (clauses PART-6 and META-6).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::{
    KEY_BYTES_MAX, NAMESPACE_BYTES_MAX, NOTE_BYTES_MAX, QUEUE_NAME_BYTES_MAX, VALUE_BYTES_MAX,
};

pub(crate) fn check_len(
    field: &'static str,
    min: usize,
    max: usize,
    len: usize,
) -> Result<(), Error> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    Err(Error::limit(
        field, min as u64, max as u64, len as u64, "bytes",
    ))
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $min:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, if its length is within the limits; otherwise `InvalidArgument`.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert!(QueueName::new("any character, even / and 📬").is_ok());
            /// assert!(QueueName::new("q".repeat(513)).is_err());
            /// ```
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                check_len($field, $min, $max, text.len())?;
                Ok(Self(text.into()))
            }

            /// The text as it was given.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert_eq!(QueueName::new("emails")?.as_str(), "emails");
            /// # Ok::<(), Error>(())
            /// ```
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        /// Escapes control characters and quotes, so that a name can stand in a log line.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.escape_debug())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text!(
    /// The name of a queue: UTF-8 of 1 to 512 bytes, any character. Ordered by bytes.
    QueueName, "queue name", 1, QUEUE_NAME_BYTES_MAX
);
text!(
    /// A namespace of the metadata: UTF-8 of 1 to 256 bytes, any character. Ordered by bytes.
    Namespace, "namespace", 1, NAMESPACE_BYTES_MAX
);
text!(
    /// A note that a retry leaves on an item: UTF-8 of 0 to 1024 bytes (clause RETRY-5).
    Note, "note", 0, NOTE_BYTES_MAX
);

impl Note {
    /// As much of the text as fits, cut between characters.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Note::truncated(&"x".repeat(2000)).as_str().len(), 1024);
    /// ```
    pub fn truncated(text: &str) -> Self {
        Self(text[..text.floor_char_boundary(NOTE_BYTES_MAX)].into())
    }
}

/// A partition: a queue name and a number. Ordered by the name's bytes, then by the number (clause PART-5).
///
/// ```
/// use storage_api::PartitionId;
///
/// let id = PartitionId::new("emails", 3)?;
/// assert_eq!(id.queue().as_str(), "emails");
/// assert_eq!(id.to_string(), "emails/3");
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    queue: QueueName,
    number: u32,
}

impl PartitionId {
    /// The partition of that number of the queue of that name.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionId::new("emails", 3)?.to_string(), "emails/3");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new<Q>(queue: Q, number: u32) -> Result<Self>
    where
        Q: TryInto<QueueName>,
        Error: From<Q::Error>,
    {
        Ok(Self {
            queue: queue.try_into()?,
            number,
        })
    }

    /// The name of the queue.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionId::new("emails", 3)?.queue().as_str(), "emails");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// The number within the queue.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionId::new("emails", 3)?.number(), 3);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl TryFrom<(&str, u32)> for PartitionId {
    type Error = Error;

    fn try_from((queue, number): (&str, u32)) -> Result<Self> {
        Self::new(queue, number)
    }
}

impl From<(QueueName, u32)> for PartitionId {
    fn from((queue, number): (QueueName, u32)) -> Self {
        Self { queue, number }
    }
}

impl From<&Self> for PartitionId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.queue, self.number)
    }
}

macro_rules! binary {
    ($(#[$doc:meta])* $name:ident, $field:literal, $min:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Bytes);

        impl $name {
            /// The bytes, if their number is within the limits; otherwise `InvalidArgument`.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert!(Key::new(vec![0; 1024]).is_ok());
            /// assert!(Key::new(vec![0; 1025]).is_err());
            /// ```
            pub fn new(bytes: impl Into<Bytes>) -> Result<Self> {
                let bytes = bytes.into();
                check_len($field, $min, $max, bytes.len())?;
                Ok(Self(bytes))
            }

            /// The bytes as they were given.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert_eq!(Key::try_from("ann")?.as_bytes(), b"ann");
            /// # Ok::<(), Error>(())
            /// ```
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The bytes, shared.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert_eq!(Value::try_from("{}")?.to_shared(), "{}");
            /// # Ok::<(), Error>(())
            /// ```
            pub fn to_shared(&self) -> Bytes {
                self.0.clone()
            }

            /// How many bytes.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert_eq!(Value::try_from("{}")?.len(), 2);
            /// # Ok::<(), Error>(())
            /// ```
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there are none.
            ///
            /// ```
            /// # use storage_api::*;
            /// assert!(Value::try_from("")?.is_empty());
            /// # Ok::<(), Error>(())
            /// ```
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::try_from(text.as_bytes())
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = Error;

            fn try_from(bytes: &[u8]) -> Result<Self> {
                // Looked at before memory is taken.
                check_len($field, $min, $max, bytes.len())?;
                Ok(Self(Bytes::copy_from_slice(bytes)))
            }
        }

        impl<const N: usize> TryFrom<&[u8; N]> for $name {
            type Error = Error;

            fn try_from(bytes: &[u8; N]) -> Result<Self> {
                Self::try_from(bytes.as_slice())
            }
        }

        impl TryFrom<Vec<u8>> for $name {
            type Error = Error;

            fn try_from(bytes: Vec<u8>) -> Result<Self> {
                Self::new(bytes)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<Bytes> for $name {
            type Error = Error;

            fn try_from(bytes: Bytes) -> Result<Self> {
                Self::new(bytes)
            }
        }

        impl From<&Self> for $name {
            fn from(bytes: &Self) -> Self {
                bytes.clone()
            }
        }
    };
}

binary!(
    /// A key of the metadata: 1 to 1024 bytes. Ordered by bytes.
    Key, "key", 1, KEY_BYTES_MAX
);
binary!(
    /// A value of the metadata: 0 bytes to 1 MiB.
    Value, "value", 0, VALUE_BYTES_MAX
);

/// Escapes what is not printable ASCII.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 64;
        let shown = &self.0[..self.0.len().min(SHOWN_MAX)];
        write!(f, "Value({} bytes: {})", self.0.len(), shown.escape_ascii())
    }
}

impl From<&QueueName> for QueueName {
    fn from(name: &QueueName) -> Self {
        name.clone()
    }
}

impl From<&Namespace> for Namespace {
    fn from(name: &Namespace) -> Self {
        name.clone()
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_at_their_limits_and_are_refused_beyond() {
        for (len, fits) in [(0, false), (1, true), (512, true), (513, false)] {
            assert_eq!(QueueName::new("q".repeat(len)).is_ok(), fits, "{len}");
        }
        for (len, fits) in [(0, false), (1, true), (256, true), (257, false)] {
            assert_eq!(Namespace::new("n".repeat(len)).is_ok(), fits, "{len}");
        }
        for (len, fits) in [(0, false), (1, true), (1024, true), (1025, false)] {
            assert_eq!(Key::new(vec![0; len]).is_ok(), fits, "{len}");
        }
        for (len, fits) in [(0, true), (1 << 20, true), ((1 << 20) + 1, false)] {
            assert_eq!(Value::new(vec![0; len]).is_ok(), fits, "{len}");
        }
        for (len, fits) in [(0, true), (1024, true), (1025, false)] {
            assert_eq!(Note::new("n".repeat(len)).is_ok(), fits, "{len}");
        }
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = Note::truncated(&"é".repeat(1000));

        assert_eq!(note.as_str().len(), 1024);
        assert_eq!(
            Note::truncated(&format!("a{}", "é".repeat(1000)))
                .as_str()
                .len(),
            1023
        );
    }

    #[test]
    fn deserialization_is_no_way_around_the_limits() {
        assert!(serde_json::from_str::<QueueName>("\"\"").is_err());
        assert!(serde_json::from_str::<PartitionId>(r#"{"queue":"","number":1}"#).is_err());
    }

    #[test]
    fn control_characters_are_escaped_when_printed() {
        let id = PartitionId::new("a\n\u{1b}[31m", 0).unwrap();

        assert_eq!(id.to_string(), "a\\n\\u{1b}[31m/0");
    }
}
