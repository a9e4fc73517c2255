//! The backend with faults, and what a call that meets one answers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use storage_api::{
    Error, ErrorKind, Object, Operation, Outcome, Result, RetryHint, StorageBackend, Verify,
    async_trait,
};

use crate::plan::Plan;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It fails before it applies: `Unavailable`, `NotApplied`, and the same call may be tried again.
    Before,
    /// It applies, and its answer is lost: `Unavailable`, `Unknown`, with the hint `SameCall` where clause ERR-1 allows it and
    /// `Never` elsewhere. A call that the backend itself refuses is answered with that refusal.
    After,
    /// It never answers and applies nothing. Dropping the future, as a timeout does, ends it; `close` does not wait for it.
    Hang,
}

/// A backend around another one, whose calls meet faults when a test says so.
///
/// Every operation can meet every fault, the check that `verify` gives included; `descriptor` always passes. A backend that was closed answers `Closed`
/// and nothing else (clause ERR-2). Opening is no operation of a backend, so it cannot fail here.
#[derive(Debug)]
pub struct Faults {
    pub(crate) inner: Arc<dyn StorageBackend>,
    state: Arc<State>,
    pub(crate) checker: Checker,
}

/// What calls meet.
#[derive(Debug, Default)]
struct State {
    plan: Mutex<Plan>,
    is_closed: AtomicBool,
}

impl State {
    /// The fault of the call that begins now.
    fn next(&self, operation: Operation) -> Option<Fault> {
        if self.is_closed.load(Ordering::Acquire) {
            return None;
        }
        self.plan.lock().next(operation)
    }
}

/// The checker of the backend beneath, whose calls meet the same faults.
#[derive(Debug)]
pub(crate) struct Checker {
    inner: Arc<dyn StorageBackend>,
    state: Arc<State>,
}

#[async_trait]
impl Verify for Checker {
    async fn verify(&self) -> Result<Vec<String>> {
        let operation = Operation::Verify;
        let call = || async {
            match self.inner.verify() {
                Some(checker) => checker.verify().await,
                None => Err(Error::new(
                    ErrorKind::Unsupported,
                    operation,
                    Object::Backend,
                    "the backend beneath has no checker any more",
                )),
            }
        };
        let fault = self.state.next(operation);
        meet(fault, operation, Object::Backend, hint_of(operation), call).await
    }
}

impl Faults {
    /// That backend, without any fault yet.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// let faults = storage_faults::Faults::around(Arc::new(storage_memory::MemoryBackend::new()));
    /// assert!(faults.met().is_empty());
    /// ```
    pub fn around(inner: Arc<dyn StorageBackend>) -> Self {
        let state = Arc::new(State::default());
        let checker = Checker {
            inner: inner.clone(),
            state: state.clone(),
        };
        Self {
            inner,
            state,
            checker,
        }
    }

    /// Says what the next calls of that operation meet, one entry a call, behind what was said before; `None` lets one pass.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storage_api::{MetadataStore, Operation, StorageBackend};
    /// # use storage_faults::{Fault, Faults};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let faults = Faults::around(Arc::new(storage_memory::MemoryBackend::new()));
    /// faults.script(Operation::Usage, [None, Some(Fault::Before)]);
    ///
    /// assert!(faults.usage().await.is_ok());
    /// assert!(faults.usage().await.is_err());
    /// assert!(faults.usage().await.is_ok());
    /// # }
    /// ```
    pub fn script(&self, operation: Operation, calls: impl IntoIterator<Item = Option<Fault>>) {
        self.state.plan.lock().script(operation, calls);
    }

    /// From now on one call in `one_in`, on average, meets one of the faults, whichever operation it is, `close` excepted.
    ///
    /// Which calls do follows from the seed and their order alone. Scripts go first. A `one_in` of 0 is taken as 1: every call.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storage_api::StorageBackend;
    /// # use storage_faults::{Fault, Faults};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let faults = Faults::around(Arc::new(storage_memory::MemoryBackend::new()));
    /// faults.at_random(42, 1, &[Fault::Before]);
    /// assert!(faults.health().await.is_err());
    /// # }
    /// ```
    pub fn at_random(&self, seed: u64, one_in: u32, faults: &[Fault]) {
        self.state.plan.lock().at_random(seed, one_in, faults);
    }

    /// No call meets a fault from now on. Calls that hang go on hanging.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storage_api::StorageBackend;
    /// # use storage_faults::{Fault, Faults};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let faults = Faults::around(Arc::new(storage_memory::MemoryBackend::new()));
    /// faults.at_random(42, 1, &[Fault::Before]);
    /// faults.heal();
    /// assert!(faults.health().await.is_ok());
    /// # }
    /// ```
    pub fn heal(&self) {
        self.state.plan.lock().heal();
    }

    /// The faults that were met, in order: a test that wants one looks here whether its code went that way.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storage_api::{Operation, StorageBackend};
    /// # use storage_faults::{Fault, Faults};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let faults = Faults::around(Arc::new(storage_memory::MemoryBackend::new()));
    /// faults.script(Operation::Health, [Some(Fault::After)]);
    /// assert!(faults.health().await.is_err());
    /// assert_eq!(faults.met(), [(Operation::Health, Fault::After)]);
    /// # }
    /// ```
    pub fn met(&self) -> Vec<(Operation, Fault)> {
        self.state.plan.lock().met().to_vec()
    }

    /// The fault of the call that begins now.
    pub(crate) fn next(&self, operation: Operation) -> Option<Fault> {
        self.state.next(operation)
    }

    /// The call, or the fault that it meets; `object` is what an error is about.
    pub(crate) async fn run<T, F>(
        &self,
        operation: Operation,
        object: impl Into<Object> + Send,
        call: impl FnOnce() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let fault = self.next(operation);
        meet(fault, operation, object, hint_of(operation), call).await
    }

    /// Lets every later call through, to be told that it is closed.
    pub(crate) fn closed(&self) {
        self.state.is_closed.store(true, Ordering::Release);
    }
}

/// What a call answers that meets the fault; `hint` is for an outcome that is unknown.
pub(crate) async fn meet<T, F>(
    fault: Option<Fault>,
    operation: Operation,
    object: impl Into<Object> + Send,
    hint: RetryHint,
    call: impl FnOnce() -> F + Send,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    let error = |reason| Error::new(ErrorKind::Unavailable, operation, object, reason);
    match fault {
        None => call().await,
        Some(Fault::Before) => Err(error(
            "the test asked for a fault before it applies; nothing has changed, try again",
        )),
        Some(Fault::After) => {
            call().await?;
            let error = error(
                "the test asked for a fault after it applied; look what is there before you go on",
            );
            Err(error.with_outcome(Outcome::Unknown).with_retry_hint(hint))
        }
        Some(Fault::Hang) => std::future::pending().await,
    }
}

/// The hint of an error whose outcome is unknown (clause ERR-1): the same call for reads, and for what does nothing the second
/// time. That of `produce` depends on its items.
fn hint_of(operation: Operation) -> RetryHint {
    use Operation as Of;
    match operation {
        Of::Partition
        | Of::ListPartitions
        | Of::Stats
        | Of::Watch
        | Of::GetItems
        | Of::ListItems
        | Of::Get
        | Of::Scan
        | Of::Namespaces
        | Of::Health
        | Of::Usage
        | Of::Verify
        | Of::Complete
        | Of::Extend
        | Of::DeleteItems
        | Of::Clear
        | Of::Maintain
        | Of::Purge => RetryHint::SameCall,
        _ => RetryHint::Never,
    }
}
