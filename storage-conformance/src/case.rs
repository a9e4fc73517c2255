//! A case: one sentence about every driver, the clauses that it proves, and the code that looks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use storage_api::Capability;

use crate::env::Env;
use crate::harness::Claims;

/// The work of a case: returns when all is well, panics when it is not.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// `area::sentence`.
    pub id: &'static str,
    /// The clauses of the contract that it proves.
    pub clauses: &'static [&'static str],
    /// The level of the suite at which it came.
    pub level: u32,
    /// Without which capabilities it does not apply.
    pub requires: [Option<Capability>; 2],
    /// With which capability it does not apply.
    pub excludes: Option<Capability>,
    /// Whether it runs on several threads.
    pub is_multi_thread: bool,
    /// Whether it may take longer than a case usually does, as long as it makes progress.
    pub is_long: bool,
    pub(crate) run: fn(Env) -> Work,
}

impl Case {
    pub(crate) const fn new(
        id: &'static str,
        clauses: &'static [&'static str],
        run: fn(Env) -> Work,
    ) -> Self {
        Self {
            id,
            clauses,
            level: 1,
            requires: [None; 2],
            excludes: None,
            is_multi_thread: false,
            is_long: false,
            run,
        }
    }

    /// Part of the suite since that level; without it, since the first.
    pub(crate) const fn since(mut self, level: u32) -> Self {
        self.level = level;
        self
    }

    /// Only for drivers that claim the capability.
    pub(crate) const fn requires(mut self, capability: Capability) -> Self {
        self.requires[0] = Some(capability);
        self
    }

    /// And only for drivers that claim this one too.
    pub(crate) const fn requires_also(mut self, capability: Capability) -> Self {
        self.requires[1] = Some(capability);
        self
    }

    /// Only for drivers that do not claim the capability.
    pub(crate) const fn excludes(mut self, capability: Capability) -> Self {
        self.excludes = Some(capability);
        self
    }

    /// On several threads.
    pub(crate) const fn multi_thread(mut self) -> Self {
        self.is_multi_thread = true;
        self
    }

    /// As long as it makes progress.
    pub(crate) const fn long(mut self) -> Self {
        self.is_long = true;
        self
    }

    /// Why the case does not apply to a driver of those claims; `None` where it does.
    pub fn inapplicable(&self, claims: &Claims) -> Option<String> {
        for needed in self.requires.into_iter().flatten() {
            if let Some(reason) = claims.reason(needed) {
                return Some(format!("no {needed}: {reason}"));
            }
        }
        self.excludes
            .filter(|capability| claims.has(*capability))
            .map(|capability| format!("about drivers without {capability}, which this one has"))
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.id)
    }
}

/// A list of cases of one area: `cases![area: function [clauses] .modifier(argument), ...]`.
///
/// Each function is an `async fn(Env)` of the same file; its name is the sentence.
macro_rules! cases {
    ($area:ident: $($name:ident [$($clause:literal),+ $(,)?] $(.$modifier:ident($($argument:expr),*))*),+ $(,)?) => {
        &[$(
            $crate::case::Case::new(
                concat!(stringify!($area), "::", stringify!($name)),
                &[$($clause),+],
                |env| Box::pin($name(env)),
            )
            $(.$modifier($($argument),*))*
        ),+]
    };
}
pub(crate) use cases;
