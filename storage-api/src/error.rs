//! One error type for every operation of every driver (clauses ERR-1 and ERR-2).

use std::error::Error as StdError;
use std::fmt;

use crate::names::{Key, Namespace, PartitionId, QueueName};
use crate::numbers::ItemId;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the one question a caller has: what do I do now?
///
/// The variants stand in the order of clause ERR-2: of several refusals the first is given
/// (`Corrupted` and `Internal` are no refusals and come whenever they are found).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The backend was closed; open the place again.
    Closed,
    /// An argument is outside of its limits or makes no sense; change the call.
    InvalidArgument,
    /// This driver, or this format, cannot do that; choose another driver or version.
    Unsupported,
    /// Not now: held by somebody else, draining, frozen, or writes are stopped.
    Unavailable,
    /// The partition named does not exist.
    NotFound,
    /// The partition, id, position or dedup key is taken.
    AlreadyExists,
    /// A configured limit or the disk is full; make room and call again.
    CapacityExceeded,
    /// Stored bytes are damaged; restore from a copy.
    Corrupted,
    /// A broken invariant of the driver; report it.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of clause ERR-2.
    pub const ALL: [Self; 9] = [
        Self::Closed,
        Self::InvalidArgument,
        Self::Unsupported,
        Self::Unavailable,
        Self::NotFound,
        Self::AlreadyExists,
        Self::CapacityExceeded,
        Self::Corrupted,
        Self::Internal,
    ];

    fn retry_hint(self) -> RetryHint {
        match self {
            Self::Unavailable | Self::CapacityExceeded => RetryHint::SameCall,
            Self::Closed => RetryHint::AfterReopen,
            _ => RetryHint::Never,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::InvalidArgument => "invalid argument",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::CapacityExceeded => "capacity exceeded",
            Self::Corrupted => "corrupted",
            Self::Internal => "internal",
        })
    }
}

/// Whether the same call can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryHint {
    /// No: the call itself must change.
    Never,
    /// Yes: the same call, after a pause.
    SameCall,
    /// Yes, once the backend was closed and opened again.
    AfterReopen,
}

/// What an error says about the state of the backend (clause ATOM-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing has changed.
    NotApplied,
    /// The operation applied wholly or not at all; which of them is not known.
    Unknown,
}

/// The operation that an error belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// Making a value of a limited type from raw input.
    Accept,
    /// Opening a place.
    Open,
    /// `create_partition`
    CreatePartition,
    /// `update_partition`
    UpdatePartition,
    /// `partition`
    Partition,
    /// `list_partitions`
    ListPartitions,
    /// `delete_partition`
    DeletePartition,
    /// `stats`
    Stats,
    /// `maintain`
    Maintain,
    /// `watch`
    Watch,
    /// `produce`
    Produce,
    /// `lease`
    Lease,
    /// `extend`
    Extend,
    /// `release`
    Release,
    /// `release_holder`
    ReleaseHolder,
    /// `complete`
    Complete,
    /// `retry`
    Retry,
    /// `revive`
    Revive,
    /// `get_items`
    GetItems,
    /// `list_items`
    ListItems,
    /// `delete_items`
    DeleteItems,
    /// `clear`
    Clear,
    /// `restore`
    Restore,
    /// `get`
    Get,
    /// `scan`
    Scan,
    /// `namespaces`
    Namespaces,
    /// `purge`
    Purge,
    /// `commit`
    Commit,
    /// `health`
    Health,
    /// `usage`
    Usage,
    /// `sync`
    Sync,
    /// `close`
    Close,
    /// `verify`
    Verify,
}

impl Operation {
    /// The words that follow «cannot» in a message.
    fn phrase(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Open => "open",
            Self::CreatePartition => "create",
            Self::UpdatePartition => "update",
            Self::Partition => "look up",
            Self::ListPartitions => "list partitions of",
            Self::DeletePartition => "delete",
            Self::Stats => "read the stats of",
            Self::Maintain => "maintain",
            Self::Watch => "watch",
            Self::Produce => "produce into",
            Self::Lease => "lease from",
            Self::Extend => "extend leases in",
            Self::Release => "release leases in",
            Self::ReleaseHolder => "release a holder's leases in",
            Self::Complete => "complete items of",
            Self::Retry => "retry items of",
            Self::Revive => "revive items of",
            Self::GetItems => "get items of",
            Self::ListItems => "list items of",
            Self::DeleteItems => "delete items of",
            Self::Clear => "clear",
            Self::Restore => "restore into",
            Self::Get => "get",
            Self::Scan => "scan",
            Self::Namespaces => "list namespaces of",
            Self::Purge => "purge",
            Self::Commit => "commit to",
            Self::Health => "check",
            Self::Usage => "read the usage of",
            Self::Sync => "sync",
            Self::Close => "close",
            Self::Verify => "verify",
        }
    }
}

/// What an operation was about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Object {
    /// The backend as a whole.
    Backend,
    /// A place on disk or elsewhere, as the user named it.
    Place(String),
    /// One queue: all of its partitions, and its definition.
    Queue(QueueName),
    /// One partition.
    Partition(PartitionId),
    /// One item of a partition.
    Item(PartitionId, ItemId),
    /// One namespace of the metadata.
    Namespace(Namespace),
    /// One key of the metadata.
    Key(Namespace, Key),
    /// A field or an argument.
    Field(&'static str),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend => f.write_str("the backend"),
            Self::Place(place) => write!(f, "{}", place.escape_debug()),
            Self::Queue(name) => write!(f, "queue {name}"),
            Self::Partition(id) => write!(f, "partition {id}"),
            Self::Item(id, item) => write!(f, "item {item} in partition {id}"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
            Self::Key(namespace, key) => write!(f, "key {key} in namespace {namespace}"),
            Self::Field(field) => f.write_str(field),
        }
    }
}

impl From<&QueueName> for Object {
    fn from(name: &QueueName) -> Self {
        Self::Queue(name.clone())
    }
}

impl From<&PartitionId> for Object {
    fn from(id: &PartitionId) -> Self {
        Self::Partition(id.clone())
    }
}

impl From<&Namespace> for Object {
    fn from(namespace: &Namespace) -> Self {
        Self::Namespace(namespace.clone())
    }
}

/// The limit that a value is outside of (clause LIMIT-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LimitViolation {
    /// The field, as the contract names it.
    pub field: &'static str,
    /// The smallest value allowed.
    pub min: u64,
    /// The largest value allowed.
    pub max: u64,
    /// The value given.
    pub value: u64,
    /// The unit of all three, empty for plain counts.
    pub unit: &'static str,
}

impl fmt::Display for LimitViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.unit.is_empty() { "" } else { " " };
        write!(
            f,
            "its {}{space}{} are outside of the limit of {} to {}",
            self.value, self.unit, self.min, self.max
        )
    }
}

/// The error of every operation (clause ERR-1).
///
/// It answers what to do ([`kind`](Self::kind)), whether to try again ([`retry_hint`](Self::retry_hint)), and what
/// the backend looks like now ([`outcome`](Self::outcome)). Its text is one line that a person can act on; the text may
/// change between versions, the kind may not.
///
/// ```
/// use storage_api::{ErrorKind, QueueName, RetryHint};
///
/// let error = QueueName::new("").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// assert_eq!(error.retry_hint(), RetryHint::Never);
/// assert_eq!(error.to_string(), "cannot accept queue name: its 0 bytes are outside of the limit of 1 to 512");
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    retry_hint: RetryHint,
    outcome: Outcome,
    operation: Operation,
    object: Object,
    reason: String,
    limit: Option<LimitViolation>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that changed nothing, with the retry hint that its kind usually has.
    ///
    /// ```
    /// # use storage_api::*;
    /// let error = Error::new(ErrorKind::Unavailable, Operation::Produce, Object::Backend, "it is draining");
    /// assert_eq!(error.to_string(), "cannot produce into the backend: it is draining");
    /// assert_eq!(error.outcome(), Outcome::NotApplied);
    /// ```
    pub fn new(
        kind: ErrorKind,
        operation: Operation,
        object: impl Into<Object>,
        reason: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            retry_hint: kind.retry_hint(),
            outcome: Outcome::NotApplied,
            operation,
            object: object.into(),
            reason: reason.into(),
            limit: None,
            source: None,
        }))
    }

    /// An `InvalidArgument` that names the field, the limit and the value (clause LIMIT-1).
    ///
    /// ```
    /// # use storage_api::*;
    /// let error = Error::limit("count", 1, 10_000, 0, "");
    /// assert_eq!(error.limit_violation().unwrap().max, 10_000);
    /// ```
    pub fn limit(field: &'static str, min: u64, max: u64, value: u64, unit: &'static str) -> Self {
        let violation = LimitViolation {
            field,
            min,
            max,
            value,
            unit,
        };
        let mut error = Self::invalid(field, violation.to_string());
        error.0.limit = Some(violation);
        error
    }

    /// An `InvalidArgument` about a field.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Error::invalid("backoff", "it shrinks").kind(), ErrorKind::InvalidArgument);
    /// ```
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::new(
            ErrorKind::InvalidArgument,
            Operation::Accept,
            Object::Field(field),
            reason,
        )
    }

    /// The `Closed` of every operation after `close` (clause CLOSE-1).
    ///
    /// ```
    /// # use storage_api::*;
    /// let error = Error::closed(Operation::Lease);
    /// assert_eq!(error.retry_hint(), RetryHint::AfterReopen);
    /// ```
    pub fn closed(operation: Operation) -> Self {
        Self::new(
            ErrorKind::Closed,
            operation,
            Object::Backend,
            "it is closed; open the place again",
        )
    }

    /// The `NotFound` of an operation on a partition that does not exist (clause PART-2).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let partition = PartitionId::new("emails", 0)?;
    /// let error = Error::partition_not_found(Operation::Lease, &partition);
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn partition_not_found(operation: Operation, id: &PartitionId) -> Self {
        Self::new(
            ErrorKind::NotFound,
            operation,
            id,
            "there is no such partition; create it first",
        )
    }

    /// The same error with another retry hint.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.with_retry_hint(RetryHint::Never).retry_hint(), RetryHint::Never);
    /// ```
    #[must_use]
    pub fn with_retry_hint(mut self, retry_hint: RetryHint) -> Self {
        self.0.retry_hint = retry_hint;
        self
    }

    /// The same error with another outcome.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.with_outcome(Outcome::Unknown).outcome(), Outcome::Unknown);
    /// ```
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// The same error with the error beneath it.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// use std::error::Error as _;
    ///
    /// let error = error.with_source(std::io::Error::other("the disk is gone"));
    /// assert_eq!(error.source().unwrap().to_string(), "the disk is gone");
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, told of the operation and the object that it met.
    ///
    /// The field of a limit stays readable through [`limit_violation`](Self::limit_violation) and goes into the text.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let partition = PartitionId::new("emails", 0)?;
    /// let error = Count::new(0).unwrap_err().during(Operation::Lease, &partition);
    /// assert_eq!(error.operation(), Operation::Lease);
    /// assert!(error.to_string().starts_with("cannot lease from partition emails/0: count: "));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn during(mut self, operation: Operation, object: impl Into<Object>) -> Self {
        if let Object::Field(field) = self.0.object {
            self.0.reason = format!("{field}: {}", self.0.reason);
        }
        self.0.operation = operation;
        self.0.object = object.into();
        self
    }

    /// What went wrong.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.kind(), ErrorKind::Closed);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call can succeed later.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.retry_hint(), RetryHint::AfterReopen);
    /// ```
    pub fn retry_hint(&self) -> RetryHint {
        self.0.retry_hint
    }

    /// What the backend looks like now.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.outcome(), Outcome::NotApplied);
    /// ```
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The operation that failed.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.operation(), Operation::Produce);
    /// ```
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// What the operation was about.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.object(), &Object::Backend);
    /// ```
    pub fn object(&self) -> &Object {
        &self.0.object
    }

    /// Why, and what to do, without the operation and the object.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let error = Error::closed(Operation::Produce);
    /// assert_eq!(error.reason(), "it is closed; open the place again");
    /// ```
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The limit that was violated, where a limit was.
    ///
    /// ```
    /// # use storage_api::*;
    /// let error = QueueName::new("").unwrap_err();
    /// assert_eq!(error.limit_violation().unwrap().field, "queue name");
    /// ```
    pub fn limit_violation(&self) -> Option<&LimitViolation> {
        self.0.limit.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(
            f,
            "cannot {} {}: {}",
            inner.operation.phrase(),
            inner.object,
            inner.reason
        )
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
