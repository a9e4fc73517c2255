//! Soak: rounds of model runs, histories, crashes, losses of power and damage, seed after seed, until something is found.
//!
//! `cargo test --test conformance -- soak --minutes 15` does it on the driver whose test that is. Every round is a case of the
//! suite in a process of its own, with a seed in its environment: what it finds is what the case finds, a process that dies or
//! hangs is found too, and a failure is repeated by running the case in the same environment again.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};
use storage_api::{Clock as _, SystemClock};

use crate::case::Case;
use crate::cases;
use crate::harness::Harness;
use crate::record::{CaseRecord, RecordDirectory, Verdict};
use crate::run::{invocation, quoted};
use crate::settings;

const HELP: &str = "\
usage: soak [--minutes N | --rounds N] [--seed S] [--kinds A,B]
       soak --replay FILE

Runs cases of the suite with one seed after the other until something is found.

  --minutes N     end after that long (default: 15)
  --rounds N      end after so many rounds
  --seed S        the first seed (default: 1)
  --kinds A,B     only rounds of these kinds; without it of all that apply to the driver
  --replay FILE   repeat what was found: the file that a failure leaves

exit code: 0 nothing was found, 1 something was, 2 the arguments are wrong or no process can be started
";

/// A kind of rounds: cases that take their seed from the environment.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    cases: &'static [&'static str],
    /// What a round of that seed has in its environment.
    environment: fn(u64) -> Environment,
}

type Environment = BTreeMap<String, String>;

/// Model runs of one round: enough that the process is not what takes the time.
const MODEL_RUNS_OF_ROUND: u64 = 50;
/// One of eight cases runs every eighth of them.
const MODEL_PARTS: u64 = 8;

/// Histories of one round.
const HISTORIES_OF_ROUND: u64 = 40;

/// Every kind. Another one is a line here, and a case that takes its seed from the environment.
const KINDS: &[Kind] = &[
    Kind {
        name: "model",
        cases: &["model::random_sequences_agree_part_1"],
        environment: |seed| {
            let runs = MODEL_PARTS * MODEL_RUNS_OF_ROUND;
            of([
                ("STORAGE_MODEL_FIRST_SEED", seed.wrapping_mul(runs)),
                ("STORAGE_MODEL_RUNS", runs),
                ("STORAGE_MODEL_RUNS_STORED", runs),
            ])
        },
    },
    Kind {
        name: "history",
        cases: &[
            "history::calls_on_one_partition_have_an_order",
            "history::calls_on_one_partition_that_take_turns_have_an_order",
            "history::commits_over_partitions_have_an_order_with_all_else",
            "history::commits_over_partitions_that_take_turns_have_an_order_with_all_else",
            "history::transactions_are_serializable",
            "history::transactions_that_take_turns_are_serializable",
            "history::partitions_that_come_and_go_have_an_order",
            "history::partitions_that_come_and_go_by_turns_have_an_order",
            "history::dropped_calls_have_a_place_in_the_order_or_none",
            "history::dropped_calls_that_take_turns_have_a_place_in_the_order_or_none",
        ],
        environment: |seed| {
            of([
                (
                    "STORAGE_HISTORY_FIRST_SEED",
                    seed.wrapping_mul(HISTORIES_OF_ROUND),
                ),
                ("STORAGE_HISTORY_RUNS", HISTORIES_OF_ROUND),
                ("STORAGE_HISTORY_RUNS_STORED", HISTORIES_OF_ROUND),
            ])
        },
    },
    Kind {
        name: "crash",
        cases: &[
            "durability::a_kill_behind_any_step_leaves_all_that_was_acknowledged",
            "durability::a_kill_while_it_opens_syncs_maintains_or_closes_loses_nothing",
            "durability::a_kill_among_concurrent_calls_loses_nothing_acknowledged",
        ],
        environment: |seed| of([("STORAGE_CRASH_SEED", seed)]),
    },
    Kind {
        name: "power",
        cases: &["durability::a_loss_of_power_loses_nothing_acknowledged"],
        environment: |seed| of([("STORAGE_CRASH_SEED", seed)]),
    },
    Kind {
        name: "damage",
        cases: &["damage::bits_flipped_in_any_file_are_never_returned_as_data"],
        environment: |seed| of([("STORAGE_DAMAGE_SEED", seed)]),
    },
];

fn of<const N: usize>(variables: [(&str, u64); N]) -> Environment {
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_string()));
    variables.into_iter().collect()
}

/// How often a failure is tried again: the moment of a kill does not come back exactly.
const REPLAYS_MAX: usize = 20;
/// Progress is told that often.
const PROGRESS_MICROS: i64 = 5_000_000;

/// What was found, and how to find it again: the content of the file that a failure leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Finding {
    driver: String,
    case: String,
    /// What that round alone had in its environment.
    environment: Environment,
    /// What every round had: the numbers that were in force.
    #[serde(default)]
    settings: Environment,
    /// What the case said, for readers.
    told: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    micros: i64,
    rounds: u64,
    seed: u64,
    kinds: Option<Vec<String>>,
    replay: Option<PathBuf>,
    is_help: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            micros: 15 * 60_000_000,
            rounds: u64::MAX,
            seed: 1,
            kinds: None,
            replay: None,
            is_help: false,
        };
        while let Some(argument) = arguments.next() {
            let mut operand = || {
                let operand = arguments.next();
                operand.ok_or_else(|| format!("{argument} needs an operand"))
            };
            match argument.as_str() {
                "--minutes" => {
                    let minutes = i64::try_from(number(&argument, &operand()?)?);
                    options.micros = minutes.unwrap_or(i64::MAX).saturating_mul(60_000_000);
                }
                "--rounds" => {
                    options.rounds = number(&argument, &operand()?)?;
                    options.micros = i64::MAX;
                }
                "--seed" => options.seed = number(&argument, &operand()?)?,
                "--kinds" => {
                    let names: Vec<_> = operand()?.split(',').map(str::to_owned).collect();
                    let is_unknown = |name: &&String| KINDS.iter().all(|kind| kind.name != **name);
                    if let Some(unknown) = names.iter().find(is_unknown) {
                        let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
                        return Err(format!("there is no kind {unknown:?}, only {known:?}"));
                    }
                    options.kinds = Some(names);
                }
                "--replay" => options.replay = Some(operand()?.into()),
                "--help" | "-h" => options.is_help = true,
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        Ok(options)
    }
}

/// Whether `soak` understands these arguments; else what is wrong with them.
pub fn check_arguments(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    Options::parse(arguments).map(drop)
}

fn number(argument: &str, text: &str) -> Result<u64, String> {
    let parsed = text.parse();
    parsed.map_err(|_| format!("{argument} is {text:?}; give a number from 0 to 2^64-1"))
}

/// Soaks the driver, as the arguments behind `soak` say.
pub(crate) fn run(harness: &dyn Harness, arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(problem) => return complain(&format!("{problem}; see --help")),
    };
    if options.is_help {
        say(HELP.trim_end());
        return ExitCode::SUCCESS;
    }
    let soak = Soak {
        driver: harness.driver().name().to_owned(),
        records: RecordDirectory::of(harness.driver().name()),
    };
    let ran = match &options.replay {
        Some(file) => soak.replay(file),
        None => soak.run(harness, &options),
    };
    ran.unwrap_or_else(|error| complain(&error.to_string()))
}

fn complain(problem: &str) -> ExitCode {
    // Nothing can be done where standard error is closed.
    let _ = writeln!(io::stderr(), "soak: {problem}");
    ExitCode::from(2)
}

/// A line for whoever watches.
fn say(line: &str) {
    // Nobody watches where standard output is closed.
    let _ = writeln!(io::stdout(), "{line}");
}

struct Soak {
    driver: String,
    records: RecordDirectory,
}

/// How a round ended.
enum Round {
    Passed,
    Inapplicable(String),
    Failed(String),
}

impl Soak {
    fn run(&self, harness: &dyn Harness, options: &Options) -> io::Result<ExitCode> {
        let mut kinds = self.kinds(harness, options.kinds.as_deref());
        let began = SystemClock.now().as_micros();
        let (mut told_at, mut done) = (began, BTreeMap::new());
        let settings = settings::numbers().map(|(name, value)| (name, value.to_string()));
        let settings: Environment = settings.collect();
        let mut seed = options.seed;
        let mut rounds = 0;
        while rounds < options.rounds && !kinds.is_empty() {
            let index = usize::try_from(rounds).unwrap_or(usize::MAX) % kinds.len();
            let (kind, case) = kinds[index].next(rounds);
            let finding = Finding {
                driver: self.driver.clone(),
                case: case.to_owned(),
                environment: (kind.environment)(seed),
                settings: settings.clone(),
                told: String::new(),
            };
            match self.round(&finding)? {
                Round::Passed => *done.entry(kind.name).or_insert(0) += 1,
                Round::Inapplicable(reason) => {
                    say(&format!("{}: no rounds of {case}: {reason}", kind.name));
                    kinds[index].drop_case(case);
                    kinds.retain(|turn| !turn.cases.is_empty());
                    continue;
                }
                Round::Failed(told) => return self.found(&Finding { told, ..finding }),
            }
            rounds += 1;
            if index + 1 >= kinds.len() {
                seed = seed.wrapping_add(1);
            }
            let now = SystemClock.now().as_micros();
            if now.saturating_sub(began) >= options.micros {
                break;
            }
            if now.saturating_sub(told_at) >= PROGRESS_MICROS {
                told_at = now;
                say(&self.progress(now.saturating_sub(began), seed, &done));
            }
        }
        let passed = SystemClock.now().as_micros().saturating_sub(began);
        say(&self.progress(passed, seed, &done));
        if done.is_empty() {
            return Ok(complain("no kind of rounds applies to the driver"));
        }
        say("nothing was found");
        Ok(ExitCode::SUCCESS)
    }

    /// The kinds that apply to the driver, as far as its claims say.
    fn kinds(&self, harness: &dyn Harness, names: Option<&[String]>) -> Vec<Turn> {
        let claims = harness.claims();
        let is_wanted =
            |kind: &&Kind| names.is_none_or(|names| names.iter().any(|name| name == kind.name));
        let mut turns = Vec::new();
        for kind in KINDS.iter().filter(is_wanted) {
            let mut turn = Turn {
                kind: *kind,
                cases: Vec::new(),
            };
            for id in kind.cases {
                let case: Case = cases::find(id).expect("a kind names cases of this suite");
                match case.inapplicable(&claims) {
                    None => turn.cases.push(id),
                    Some(reason) => say(&format!("{}: no rounds of {id}: {reason}", kind.name)),
                }
            }
            if !turn.cases.is_empty() {
                turns.push(turn);
            }
        }
        turns
    }

    fn progress(&self, micros: i64, seed: u64, done: &BTreeMap<&str, u64>) -> String {
        let seconds = micros / 1_000_000;
        let rounds: Vec<_> = done
            .iter()
            .map(|(kind, rounds)| format!("{rounds} {kind}"))
            .collect();
        format!(
            "{} {:02}:{:02}, seed {seed}: {} rounds",
            self.driver,
            seconds / 60,
            seconds % 60,
            rounds.join(", ")
        )
    }

    /// Runs the case in a process of its own, which leaves its record beside those of the last run.
    ///
    /// The environment of this process has no say: with a seed alone in it, every round would be the same one.
    fn round(&self, finding: &Finding) -> io::Result<Round> {
        let directory = self.records.path().join("soak");
        let records = RecordDirectory::at(directory.join(&self.driver));
        records.remove_case(&finding.case)?;
        let mut command = Command::new(std::env::current_exe()?);
        for seed in settings::only_seeds() {
            command.env_remove(seed);
        }
        let ran = command
            .args(["--exact", &finding.case, "--nocapture"])
            .env("STORAGE_CONFORMANCE_DIR", &directory)
            .envs(&finding.settings)
            .envs(&finding.environment)
            .stdin(Stdio::null())
            .output()?;
        let record = records.read_case(&finding.case)?;
        Ok(match record {
            Some(CaseRecord {
                verdict: Verdict::NotApplicable,
                reason,
                ..
            }) => Round::Inapplicable(reason.unwrap_or_default()),
            Some(CaseRecord { verdict, .. })
                if ran.status.success() && verdict != Verdict::NotRun =>
            {
                Round::Passed
            }
            _ => {
                let texts = [ran.stdout, ran.stderr]
                    .map(|text| String::from_utf8_lossy(&text).into_owned());
                Round::Failed(format!("{}: {}", ran.status, texts.concat()))
            }
        })
    }

    /// Leaves the file, and says how to look again.
    fn found(&self, finding: &Finding) -> io::Result<ExitCode> {
        let seeds: Vec<_> = finding.environment.values().cloned().collect();
        let name = format!(
            "soak-{}-{}.json",
            finding.case.replace("::", "__"),
            seeds.join("-")
        );
        let text = serde_json::to_string_pretty(finding)?;
        let path = self.records.write_finding(&name, &text)?;
        say(&finding.told);
        say(&format!(
            "found by {} with {:?}\nreplay file: {}\nrepeat it with: {}",
            finding.case,
            finding.environment,
            path.display(),
            invocation(&format!("soak --replay {}", quoted(&path)))
        ));
        Ok(ExitCode::FAILURE)
    }

    fn replay(&self, file: &Path) -> io::Result<ExitCode> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot read {}: {error}", file.display()),
            )
        })?;
        let finding: Finding = serde_json::from_str(&text)?;
        if finding.driver != self.driver || cases::find(&finding.case).is_none() {
            let problem = format!(
                "{} is about {} on {}, not about a case of this suite on {}",
                file.display(),
                finding.case,
                finding.driver,
                self.driver
            );
            return Ok(complain(&problem));
        }
        for attempt in 1..=REPLAYS_MAX {
            if let Round::Failed(told) = self.round(&finding)? {
                say(&told);
                say(&format!("found again at attempt {attempt}"));
                return Ok(ExitCode::FAILURE);
            }
        }
        say(&format!("not found again in {REPLAYS_MAX} attempts"));
        Ok(ExitCode::SUCCESS)
    }
}

/// A kind with those of its cases that apply.
struct Turn {
    kind: Kind,
    cases: Vec<&'static str>,
}

impl Turn {
    /// The cases take turns.
    fn next(&self, rounds: u64) -> (Kind, &'static str) {
        let turn = usize::try_from(rounds).unwrap_or(usize::MAX) / KINDS.len();
        (self.kind, self.cases[turn % self.cases.len()])
    }

    fn drop_case(&mut self, case: &str) {
        self.cases.retain(|one| *one != case);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_understood_or_refused_with_what_is_wrong() {
        let options = parsed("--minutes 2 --seed 7 --kinds model,crash").unwrap();
        assert_eq!((options.micros, options.seed), (120_000_000, 7));
        assert_eq!(options.kinds.unwrap(), ["model", "crash"]);

        assert!(
            parsed("--minutes")
                .unwrap_err()
                .contains("needs an operand")
        );
        assert!(parsed("--seed x").unwrap_err().contains("\"x\""));
        assert!(parsed("--kinds model,mdoel").unwrap_err().contains("mdoel"));
        assert!(parsed("--hours 1").unwrap_err().contains("--hours"));
    }

    #[test]
    fn kinds_name_cases_of_the_suite_and_differ_by_seed() {
        for kind in KINDS {
            for case in kind.cases {
                assert!(cases::find(case).is_some(), "{case}");
            }
            assert_ne!(
                (kind.environment)(1),
                (kind.environment)(2),
                "{}",
                kind.name
            );
        }
    }
}
