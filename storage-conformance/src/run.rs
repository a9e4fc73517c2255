//! Running the suite on a driver: one trial per case, each with a runtime, a place and a watchdog of its own.

use std::any::Any;
use std::cell::RefCell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Once};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::case::Case;
use crate::cases;
use crate::crash;
use crate::env::{Env, Inapplicable};
use crate::harness::{Harness, Spot};
use crate::log::OperationLog;
use crate::prove::Effort;
use crate::record::{CaseRecord, DriverRecord, RecordDirectory, Verdict};
use crate::{settings, soak};

/// How long a case may stand still before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a case waits for a signal.
pub(crate) const SIGNAL_PATIENCE: Duration = Duration::from_secs(20);
/// How often an ordinary case may use up the patience while it still makes calls. A long one may go on for ever.
const PATIENCE_ROUNDS_MAX: u32 = 3;

/// Runs the suite on a driver, as the arguments of the process say: the body of the `main` of a test without harness.
///
/// Understands what `cargo test` and `cargo nextest` ask for: listing, filters, exact names, ignored tests. With `soak` as
/// first argument it runs cases with one seed after the other until something is found; `soak --help` says more.
pub fn run(harness: impl Harness) -> ExitCode {
    if let Some(code) = crash::run_as_child(&harness) {
        return code;
    }
    if let Err(problem) = settings::check() {
        return stop(&problem);
    }
    if std::env::args().nth(1).as_deref() == Some("soak") {
        return soak::run(&harness, std::env::args().skip(2));
    }
    let (arguments, report_to) = match arguments(std::env::args()) {
        Ok(parsed) => parsed,
        Err(problem) => return stop(&problem),
    };
    let harness: Arc<dyn Harness> = Arc::new(harness);
    let driver = harness.driver();
    let (claims, deviations) = (harness.claims(), harness.deviations());

    let unknown = deviations
        .iter()
        .find(|deviation| cases::find(deviation.case()).is_none());
    if let Some(unknown) = unknown {
        return stop(&format!(
            "the deviation {:?} names no case of this suite",
            unknown.case()
        ));
    }
    let records = RecordDirectory::of(driver.name());
    if !arguments.list {
        let plan = DriverRecord::new(&driver, &claims, &deviations);
        if let Err(error) = records.write_driver(&plan) {
            return stop(&format!("cannot write into {records:?}: {error}"));
        }
    }

    keep_panics_of_cases_for_the_record();
    let trials = cases::all().into_iter().map(|case| {
        let inapplicable = case.inapplicable(&claims);
        let is_ignored = inapplicable.is_some();
        let deviation = deviations
            .iter()
            .find(|deviation| deviation.case() == case.id)
            .map(|deviation| format!("{} ({})", deviation.reason(), deviation.link()));
        let (harness, records) = (harness.clone(), records.clone());
        Trial::ignorable_test(case.id, move || match inapplicable {
            // Run all the same with `--include-ignored`.
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => judge(&harness, &case, deviation, &records),
        })
        .with_ignored_flag(is_ignored)
    });
    let ended = libtest_mimic::run(&arguments, trials.collect());
    if let Some(directory) = report_to {
        let written = records
            .report()
            .and_then(|report| report.write_files(&directory));
        if let Err(error) = written {
            return stop(&format!("cannot write the report: {error}"));
        }
    }
    ended.exit_code()
}

/// The arguments of the runner, and the directory of `--report DIR`, which the runner does not know.
fn arguments(all: impl Iterator<Item = String>) -> Result<(Arguments, Option<PathBuf>), String> {
    let (mut known, mut report_to) = (Vec::new(), None);
    let mut all = all.peekable();
    while let Some(argument) = all.next() {
        if argument == "--report" {
            let directory = all.next().filter(|next| !next.starts_with('-'));
            let directory = directory.ok_or("--report needs a directory for the report")?;
            report_to = Some(PathBuf::from(directory));
        } else {
            known.push(argument);
        }
    }
    Ok((Arguments::from_iter(known), report_to))
}

fn stop(reason: &str) -> ExitCode {
    // Nothing can be done where standard error is closed.
    let _ = writeln!(std::io::stderr(), "storage-conformance: {reason}");
    ExitCode::from(2)
}

/// Runs a case, writes its record, and tells the runner.
fn judge(
    harness: &Arc<dyn Harness>,
    case: &Case,
    deviation: Option<String>,
    records: &RecordDirectory,
) -> Result<Completion, Failed> {
    records
        .remove_case(case.id)
        .map_err(|error| format!("cannot remove the old record of the case: {error}"))?;

    let log = Arc::new(OperationLog::default());
    let found = attempt_logged(harness, case, Effort::default(), &log);
    let (verdict, reason) = verdict_of(&found, deviation);
    let reason = reason.or_else(|| log.remarked());

    let record = CaseRecord::new(harness.driver().name(), case, verdict, reason.clone())
        .with_durability(log.durability());
    records
        .write_case(&record)
        .map_err(|error| format!("cannot write the record of the case: {error}"))?;
    match (verdict, reason) {
        (Verdict::Fail, _) => Err(match found {
            Found::Broken { reason, log } | Found::Hung { reason, log } => {
                failure(case, &reason, &log)
            }
            _ => "the case failed".into(),
        }),
        (Verdict::StaleDeviation, Some(reason)) => Err(reason.into()),
        (Verdict::Pass, _) | (_, None) => Ok(Completion::Completed),
        (_, Some(reason)) => Ok(Completion::ignored_with(reason)),
    }
}

fn failure(case: &Case, reason: &str, log: &str) -> Failed {
    // A model run or a history has printed its own operations and command.
    if case.id.starts_with("model::") || case.id.starts_with("history::") {
        return reason.into();
    }
    format!(
        "{reason}\n\nproves: {}\noperations:\n{log}\n\nrepeat it with: {}\n",
        case.clauses.join(", "),
        command(case.id)
    )
    .into()
}

/// The command that runs one case again.
pub(crate) fn command(case: &str) -> String {
    invocation(&format!("--exact {case}"))
}

/// The command that runs this process with other arguments: cargo's, where cargo runs it, else that of the binary itself.
///
/// It names the manifest and not the package, which the workspace of the reader's directory may not have.
pub(crate) fn invocation(arguments: &str) -> String {
    let binary = std::env::current_exe().unwrap_or_default();
    let target = binary.file_stem().and_then(|stem| {
        // cargo puts a hash behind the name of the target.
        let (target, _) = stem.to_str()?.rsplit_once('-')?;
        Some(target.to_owned())
    });
    match (std::env::var("CARGO_MANIFEST_DIR"), target) {
        (Ok(package), Some(target)) => {
            let manifest = quoted(&Path::new(&package).join("Cargo.toml"));
            let profile = profile_of(&binary);
            format!("cargo test{profile} --manifest-path {manifest} --test {target} -- {arguments}")
        }
        _ => format!("{} {arguments}", quoted(&binary)),
    }
}

/// A path as one word of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What cargo must be told to build a binary as this one was built; nothing where it is cargo's default.
fn profile_of(binary: &Path) -> String {
    let deps = binary.parent().filter(|deps| deps.ends_with("deps"));
    let profile = deps.and_then(|deps| deps.parent()?.file_name()?.to_str());
    match profile {
        None | Some("debug") => String::new(),
        Some("release") => " --release".to_owned(),
        Some(other) => format!(" --profile {other}"),
    }
}

/// How a case ended.
#[derive(Debug)]
pub(crate) enum Found {
    Kept,
    Inapplicable(String),
    /// An assertion did not hold, or something panicked.
    Broken {
        reason: String,
        log: String,
    },
    /// The watchdog gave it up.
    Hung {
        reason: String,
        log: String,
    },
}

fn verdict_of(found: &Found, deviation: Option<String>) -> (Verdict, Option<String>) {
    match (found, deviation) {
        (Found::Kept, None) => (Verdict::Pass, None),
        (Found::Kept, Some(deviation)) => (
            Verdict::StaleDeviation,
            Some(format!(
                "the case passes: take the deviation away: {deviation}"
            )),
        ),
        (Found::Inapplicable(reason), _) => (Verdict::NotApplicable, Some(reason.clone())),
        (Found::Broken { reason, .. } | Found::Hung { reason, .. }, None) => {
            (Verdict::Fail, Some(reason.clone()))
        }
        (Found::Broken { reason, .. } | Found::Hung { reason, .. }, Some(deviation)) => (
            Verdict::Deviation,
            Some(format!("{deviation}; it fails with: {reason}")),
        ),
    }
}

/// Runs a case on a thread of its own, so that one that hangs can be left behind.
pub(crate) fn attempt(harness: &Arc<dyn Harness>, case: &Case, effort: Effort) -> Found {
    attempt_logged(harness, case, effort, &Arc::default())
}

/// The same, into a log that the caller has.
fn attempt_logged(
    harness: &Arc<dyn Harness>,
    case: &Case,
    effort: Effort,
    log: &Arc<OperationLog>,
) -> Found {
    let patience = effort.patience;
    let (sender, receiver) = mpsc::channel();
    let (harness, own_case, own_log) = (harness.clone(), *case, log.clone());
    let spawned = std::thread::Builder::new()
        .name(case.id.to_owned())
        .spawn(move || {
            // Nobody listens any more once the watchdog has given up.
            let _ = sender.send(work(harness, &own_case, &own_log, effort));
        });
    if let Err(error) = spawned {
        return Found::Broken {
            reason: format!("cannot start a thread: {error}"),
            log: String::new(),
        };
    }

    let mut seen = log.progress();
    let mut rounds = 0;
    loop {
        match receiver.recv_timeout(patience) {
            Ok(found) => return found,
            Err(RecvTimeoutError::Disconnected) => {
                return broken("the thread of the case ended without a result", log);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        rounds += 1;
        let progress = log.progress();
        if progress == seen {
            let reason = format!("hangs: no operation began for {patience:?}");
            return hung(reason, log);
        }
        if rounds >= PATIENCE_ROUNDS_MAX && !case.is_long {
            let reason = format!("runs for ever: still calling after {:?}", patience * rounds);
            return hung(reason, log);
        }
        seen = progress;
    }
}

fn broken(reason: &str, log: &OperationLog) -> Found {
    Found::Broken {
        reason: reason.to_owned(),
        log: log.to_string(),
    }
}

fn hung(reason: String, log: &OperationLog) -> Found {
    Found::Hung {
        reason,
        log: log.to_string(),
    }
}

/// The case itself, on a fresh runtime and a fresh place.
fn work(harness: Arc<dyn Harness>, case: &Case, log: &Arc<OperationLog>, effort: Effort) -> Found {
    let runtime = if case.is_multi_thread {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
    } else {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return broken(&format!("cannot build a runtime: {error}"), log),
    };
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let spot = Spot::new(case.id);
            let place = match harness.provision(&spot).await {
                Ok(place) => place,
                Err(error) => panic!("the harness cannot provision a place: {error}"),
            };
            let env = Env::new(case.id, harness, place, log.clone()).with_effort(effort);
            (case.run)(env.clone()).await;
            env.finish().await;
            drop(env);
            drop(spot);
        });
    }));
    match ran {
        Ok(()) => Found::Kept,
        Err(payload) => match payload.downcast::<Inapplicable>() {
            Ok(inapplicable) => Found::Inapplicable(inapplicable.0),
            Err(payload) => broken(&panic_text(&*payload), log),
        },
    }
}

thread_local! {
    /// Where the last panic of this thread came from.
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of cases go into the record and the failure text, with their place; all others are printed as ever.
pub(crate) fn keep_panics_of_cases_for_the_record() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if thread
                .name()
                .is_some_and(|name| cases::find(name).is_some())
            {
                let at = info.location().map(ToString::to_string);
                PANICKED_AT.with(|last| *last.borrow_mut() = at);
            } else {
                print(info);
            }
        }));
    });
}

pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    match PANICKED_AT.with(RefCell::take) {
        Some(at) => format!("{text}\n  at {at}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ReferenceHarness;

    fn harness() -> Arc<dyn Harness> {
        Arc::new(ReferenceHarness::new())
    }

    async fn looks(env: Env) {
        env.partition("a").await.stats().await;
    }

    async fn breaks(env: Env) {
        let info = env.partition("a").await.info().await;
        assert_eq!(info.created.get(), 0, "creation has a version");
    }

    async fn hangs(env: Env) {
        env.partition("a").await;
        std::future::pending::<()>().await;
    }

    async fn finds_nothing_to_damage(env: Env) {
        env.inapplicable("nothing to damage");
    }

    const LOOKS: Case = Case::new("self::looks", &["PART-1"], |env| Box::pin(looks(env)));
    const BREAKS: Case = Case::new("self::breaks", &["PART-1"], |env| Box::pin(breaks(env)));
    const HANGS: Case = Case::new("self::hangs", &["PART-1"], |env| Box::pin(hangs(env)));
    const FINDS_NOTHING: Case = Case::new("self::finds_nothing", &["OPEN-3"], |env| {
        Box::pin(finds_nothing_to_damage(env))
    });

    #[test]
    fn the_directory_of_the_report_is_kept_from_the_runner() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();

        let parsed = arguments(words("suite --exact --report out/here lease::").into_iter());

        let (known, report_to) = parsed.unwrap();
        assert_eq!(report_to, Some(PathBuf::from("out/here")));
        assert_eq!(known.filter.as_deref(), Some("lease::"));
        assert!(known.exact);
        for wrong in ["suite --report", "suite --report --exact"] {
            let problem = arguments(words(wrong).into_iter()).unwrap_err();
            assert!(problem.contains("--report needs a directory"), "{problem}");
        }
    }

    #[test]
    fn a_command_builds_what_ran_and_has_paths_of_one_word() {
        let profile = |binary| profile_of(Path::new(binary));
        assert_eq!(profile("/target/debug/deps/suite-0f"), "");
        assert_eq!(profile("/target/release/deps/suite-0f"), " --release");
        assert_eq!(profile("/target/fat/deps/suite-0f"), " --profile fat");
        assert_eq!(profile("/bin/suite"), "");

        let word = |path| quoted(Path::new(path));
        assert_eq!(word("/my/own-driver_1.0"), "/my/own-driver_1.0");
        assert_eq!(word("/my own/it's"), r"'/my own/it'\''s'");
    }

    #[test]
    fn a_case_that_breaks_says_why_and_what_it_did() {
        let found = attempt(&harness(), &BREAKS, Effort::default());

        let Found::Broken { reason, log } = found else {
            panic!("{found:?}");
        };
        assert!(reason.contains("creation has a version"), "{reason}");
        assert!(log.contains("create_partition(a/0"), "{log}");
    }

    #[test]
    fn the_record_of_a_case_says_what_an_ok_of_the_backend_survives() {
        let scratch = tempfile::tempdir().unwrap();
        let records = RecordDirectory::at(scratch.path());

        judge(&harness(), &LOOKS, None, &records).unwrap();
        judge(&harness(), &FINDS_NOTHING, None, &records).unwrap();

        let of = |case: &Case| records.read_case(case.id).unwrap().unwrap().durability;
        assert_eq!(of(&LOOKS), Some(storage_api::Durability::None));
        assert_eq!(of(&FINDS_NOTHING), None, "it opens nothing");
    }

    #[test]
    fn a_case_that_hangs_is_ended_with_its_operations() {
        let effort = Effort {
            // Long enough for the first call, whatever else runs.
            patience: Duration::from_secs(5),
            ..Effort::default()
        };

        let found = attempt(&harness(), &HANGS, effort);

        let Found::Hung { reason, log } = found else {
            panic!("{found:?}");
        };
        assert!(reason.contains("hangs"), "{reason}");
        assert!(log.contains("create_partition(a/0"), "{log}");
    }

    #[test]
    fn a_deviation_excuses_a_failure_and_is_stale_when_there_is_none() {
        let known = || Some("known (link)".to_owned());
        let verdict = |case, deviation| {
            verdict_of(&attempt(&harness(), case, Effort::default()), deviation).0
        };

        assert_eq!(verdict(&LOOKS, None), Verdict::Pass);
        assert_eq!(verdict(&LOOKS, known()), Verdict::StaleDeviation);
        assert_eq!(verdict(&BREAKS, None), Verdict::Fail);
        assert_eq!(verdict(&BREAKS, known()), Verdict::Deviation);
        assert_eq!(verdict(&FINDS_NOTHING, None), Verdict::NotApplicable);
    }
}
