//! What the author of a driver gives to the suite.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use storage_api::{
    Capabilities, Capability, Error, ErrorKind, Object, Operation, Result, StorageBackend,
    async_trait,
};

/// A driver under test: its name, what it claims, and fresh places for it.
///
/// Object-safe, so that a harness can be wrapped by another.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// The driver's name and version, as reports show them.
    fn driver(&self) -> DriverInfo;

    /// What the driver claims to do beyond the contract's core; by default everything.
    ///
    /// It must be what `descriptor().capabilities` says of every backend that the places open.
    fn claims(&self) -> Claims {
        Claims::all()
    }

    /// Cases known to fail, each with a link to where that is tracked. One that passes is an error.
    fn deviations(&self) -> Vec<Deviation> {
        Vec::new()
    }

    /// A fresh place that nothing else uses: each case gets its own, and cases run at the same time.
    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>>;

    /// The place of that locator, in another process than the one that provisioned it.
    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        let _ = at;
        None
    }
}

#[async_trait]
impl Harness for Box<dyn Harness> {
    fn driver(&self) -> DriverInfo {
        (**self).driver()
    }

    fn claims(&self) -> Claims {
        (**self).claims()
    }

    fn deviations(&self) -> Vec<Deviation> {
        (**self).deviations()
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        (**self).provision(spot).await
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        (**self).attach(at)
    }
}

/// Where one backend keeps its data. Dropping it gives the space back.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens the place. Once the backend before it is closed, the place can be opened again and holds what it held; a driver
    /// without [`Capability::Reopen`] gives an empty backend instead.
    async fn open(&self) -> Result<Arc<dyn StorageBackend>>;

    /// How another process finds the place.
    fn locator(&self) -> Option<Locator> {
        None
    }

    /// Who damages the stored bytes, where there are such.
    fn vandal(&self) -> Option<&dyn Vandal> {
        None
    }

    /// Who makes the engine fail, where that can be arranged.
    fn failpoints(&self) -> Option<&dyn Failpoints> {
        None
    }
}

/// Damages the stored bytes of a closed place.
#[async_trait]
pub trait Vandal: Send + Sync {
    /// How many bytes of data there are to damage.
    async fn bytes(&self) -> Result<u64>;

    /// Flips one bit of the byte at `offset`.
    async fn flip(&self, offset: u64, bit: u8) -> Result<()>;

    /// Cuts that many bytes off the end.
    async fn cut(&self, bytes: u64) -> Result<()>;

    /// Marks the place as written by a format newer than the driver knows; `false` where that cannot be arranged.
    async fn renew_format(&self) -> Result<bool> {
        Ok(false)
    }

    /// The directory that holds everything that the place stores and nothing else, where there is one: the suite damages every
    /// file below it, and leaves there what a loss of power would leave. [`DirectoryVandal`](crate::DirectoryVandal) has it.
    fn directory(&self) -> Option<&Path> {
        None
    }
}

/// Makes the engine of an opened place fail.
pub trait Failpoints: Send + Sync {
    /// The next write to stable storage fails.
    fn fail_next_write(&self);

    /// Every write fails as on a full disk until [`heal`](Self::heal).
    fn fill_disk(&self);

    /// Nothing fails any more.
    fn heal(&self);
}

/// The driver under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    name: String,
    version: String,
}

impl DriverInfo {
    /// A driver of that name, under which the report shows it, and version.
    ///
    /// The name is also a directory of record files: letters, digits, `-`, `_`, `+` and `.` only, and no leading dot;
    /// anything else panics.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        let name = name.into();
        let is_plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_+.".contains(c));
        assert!(
            is_plain && !name.is_empty() && !name.starts_with('.'),
            "a driver's name consists of letters, digits, - _ + . and does not start with a dot, not {name:?}"
        );
        Self {
            name,
            version: version.into(),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Which capabilities a driver claims, and why not the others.
///
/// ```
/// use storage_api::Capability;
/// use storage_conformance::Claims;
///
/// let claims = Claims::all()
///     .without(Capability::Shared, "one process owns the file")
///     .without(Capability::RemoteWake, "there is no other opening");
/// assert!(claims.has(Capability::Reopen));
/// assert_eq!(claims.reason(Capability::Shared), Some("one process owns the file"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    absent: Vec<(Capability, String)>,
    keeps_space: Option<String>,
}

impl Claims {
    /// Every capability.
    pub fn all() -> Self {
        Self::default()
    }

    /// The same without a capability. Absence needs a reason; an empty one panics.
    #[must_use]
    pub fn without(mut self, capability: Capability, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        assert!(
            !reason.trim().is_empty(),
            "say why the driver lacks {capability}"
        );
        self.absent.retain(|(absent, _)| *absent != capability);
        self.absent.push((capability, reason));
        self
    }

    /// The same of a driver that never gives all space back that items took, for that reason: then usage does not become
    /// again that of a new partition (clause USE-1), and the cases about it say so. An empty reason panics.
    #[must_use]
    pub fn keeping_space(mut self, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        assert!(
            !reason.trim().is_empty(),
            "say why the driver gives no space back"
        );
        self.keeps_space = Some(reason);
        self
    }

    /// Why space that items took is never given back as a whole; `None` where it is.
    pub fn keeps_space(&self) -> Option<&str> {
        self.keeps_space.as_deref()
    }

    /// Whether a capability is claimed.
    pub fn has(&self, capability: Capability) -> bool {
        self.reason(capability).is_none()
    }

    /// Why a capability is not claimed; `None` where it is.
    pub fn reason(&self, capability: Capability) -> Option<&str> {
        self.absent
            .iter()
            .find(|(absent, _)| *absent == capability)
            .map(|(_, reason)| reason.as_str())
    }

    /// What is claimed.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::of(
            Capability::ALL
                .into_iter()
                .filter(|capability| self.has(*capability)),
        )
    }
}

/// A case that a driver is known to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    case: String,
    reason: String,
    link: String,
}

impl Deviation {
    /// The case of that id fails for that reason; the link says where the repair is followed.
    pub fn new(
        case: impl Into<String>,
        reason: impl Into<String>,
        link: impl Into<String>,
    ) -> Self {
        Self {
            case: case.into(),
            reason: reason.into(),
            link: link.into(),
        }
    }

    /// The id of the case.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// Why it fails.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Where the repair is followed.
    pub fn link(&self) -> &str {
        &self.link
    }
}

/// How another process finds a place; what it says is the harness's own affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator(String);

impl Locator {
    /// A locator of that text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one case gives to [`Harness::provision`]: its name, and a directory of its own for those who need one.
#[derive(Debug)]
pub struct Spot {
    case: String,
    directory: OnceLock<tempfile::TempDir>,
}

impl Spot {
    pub(crate) fn new(case: impl Into<String>) -> Self {
        Self {
            case: case.into(),
            directory: OnceLock::new(),
        }
    }

    /// The id of the case, such as `lease::empty_partition_leases_nothing`.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// A directory that is removed when the case has ended; the same one whenever it is asked for.
    pub fn directory(&self) -> Result<PathBuf> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory.path().to_owned());
        }
        let made = tempfile::Builder::new()
            .prefix("storage-conformance-")
            .tempdir()
            .map_err(no_directory)?;
        Ok(self.directory.get_or_init(|| made).path().to_owned())
    }

    /// An empty directory below [`directory`](Self::directory), another one whenever it is asked for: one case may want
    /// several places.
    pub fn fresh_directory(&self) -> Result<PathBuf> {
        let made = tempfile::Builder::new()
            .prefix("place-")
            .tempdir_in(self.directory()?);
        Ok(made.map_err(no_directory)?.keep())
    }
}

fn no_directory(error: std::io::Error) -> Error {
    let object = Object::Place("the directory of a case".to_owned());
    let reason =
        format!("it cannot be made; see to the volume of the temporary directory: {error}");
    Error::new(ErrorKind::Unavailable, Operation::Open, object, reason).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_all_but_what_is_taken_away() {
        let claims = Claims::all().without(Capability::Sync, "nothing to sync");

        assert!(!claims.capabilities().has(Capability::Sync));
        assert_eq!(
            claims.capabilities().iter().count(),
            Capability::ALL.len() - 1
        );
    }

    #[test]
    #[should_panic(expected = "say why")]
    fn absence_needs_a_reason() {
        let _ = Claims::all().without(Capability::Sync, " ");
    }

    #[test]
    #[should_panic(expected = "a driver's name")]
    fn a_name_that_is_a_path_is_refused() {
        let _ = DriverInfo::new("../x", "1");
    }
}
