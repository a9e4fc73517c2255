//! What spool does on a durable driver, told by running it: as this very program, with the journal driver registered.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../scene/gate.rs"]
mod gate;
mod runs;
#[path = "../scene/mod.rs"]
mod scene;
mod stories;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use journal_driver::{JournalBackend, JournalConfig};
use libtest_mimic::{Arguments, Trial};
use storage_api::StorageBackend;
use storage_config::{ConfigError, DriverConfig, Plan, Registry};

/// Set where this program is to be spool: the arguments, each ended by [`SEPARATOR`].
const ARGUMENTS: &str = "SPOOL_TEST_ARGUMENTS";
const SEPARATOR: char = '\u{1f}';

fn main() -> ExitCode {
    if let Some(arguments) = std::env::var_os(ARGUMENTS) {
        let arguments = arguments.into_string().unwrap();
        let arguments = arguments.split_terminator(SEPARATOR).map(OsString::from);
        let name = std::iter::once(OsString::from("spool"));
        let registry = Registry::builtin().with("journal", journal);
        return spool::app::main(&registry, name.chain(arguments));
    }
    let trials = stories::ALL.iter().map(|(name, story)| {
        Trial::test(*name, || {
            story();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn journal(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
    let mut settings: JournalConfig = config.read()?;
    settings.storage_dir = config.resolve(&settings.storage_dir);
    let (place, shown) = (settings.storage_dir.clone(), settings.clone());
    let plan = Plan::new(&shown, async move {
        Ok(Arc::new(JournalBackend::open(settings).await?) as Arc<dyn StorageBackend>)
    });
    Ok(plan.at(place))
}
