//! The child: what it does in the place, and what it says on its way.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage_api::{ErrorKind, StorageBackend};

use super::steps::{Done, Lane, Steps};
use crate::env::Env;
use crate::harness::{Harness, Locator, Place};

/// What the child is to do: `open`, or a [`Task`].
const ROLE: &str = "STORAGE_CONFORMANCE_CHILD";
/// The locator of the place it is to do it in.
const PLACE: &str = "STORAGE_CONFORMANCE_CHILD_PLACE";

/// Steps to do until it is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) steps: Steps,
    /// The step that comes next, in each lane. Without a lane it opens the place and dies.
    pub(super) next: Vec<u64>,
    /// What else it does between two steps, and between how many.
    pub(super) pause: Option<(Phase, u64)>,
}

/// Something to be killed in, which the child says before it does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Phase {
    Opening,
    Syncing,
    Maintaining,
    Closing,
}

const PHASES: [Phase; 4] = [
    Phase::Opening,
    Phase::Syncing,
    Phase::Maintaining,
    Phase::Closing,
];

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Syncing => "syncing",
            Self::Maintaining => "maintaining",
            Self::Closing => "closing",
        })
    }
}

/// What the child says of a step.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Acknowledged {
    pub(super) lane: usize,
    pub(super) number: u64,
    pub(super) done: Done,
}

/// A line of the child.
#[derive(Debug)]
pub(super) enum Heard {
    Phase(Phase),
    Opened,
    /// Everything that was acknowledged before it last said that it is syncing has reached the disk.
    Synced,
    Done(Acknowledged),
    /// Something that no child that is well says.
    Else,
}

impl Heard {
    pub(super) fn of(line: &str) -> Self {
        if let Some(done) = line.strip_prefix("done ") {
            return serde_json::from_str(done).map_or(Self::Else, Self::Done);
        }
        let phase = PHASES.into_iter().find(|phase| phase.to_string() == line);
        match phase {
            Some(phase) => Self::Phase(phase),
            None if line == "opened" => Self::Opened,
            None if line == "synced" => Self::Synced,
            None => Self::Else,
        }
    }
}

/// The whole life of a child process; `None` where this process is none.
pub(crate) fn run_as_child(harness: &dyn Harness) -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let place = Locator::new(std::env::var(PLACE).unwrap_or_default());
    let code = match serve(harness, &role, &place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads this; when it is gone, nobody does.
            let _ = say(&format!("failed {error}"));
            ExitCode::FAILURE
        }
    };
    Some(code)
}

type Served = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn serve(harness: &dyn Harness, role: &str, place: &Locator) -> Served {
    let place = harness
        .attach(place)
        .ok_or("the place cannot be attached")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        say("opening")?;
        if role == "open" {
            match place.open().await {
                Ok(_) => say("opened")?,
                Err(error) => say(&format!("refused {}", error.kind()))?,
            }
            return Ok(());
        }
        let backend = open_when_left(&*place).await?;
        say("opened")?;
        let task: Task = serde_json::from_str(role)?;
        if task.next.is_empty() {
            // As good as killed: nothing is closed.
            std::process::exit(0);
        }
        if let [next] = task.next[..] {
            return work_alone(&*place, backend, task.steps, next, task.pause).await;
        }
        let lanes: Vec<_> = task
            .next
            .iter()
            .enumerate()
            .map(|(lane, next)| {
                let (backend, next) = (backend.clone(), *next);
                // What one of them syncs was acknowledged to all.
                let pause = task.pause.filter(|_| lane == 0);
                tokio::spawn(async move { work(&*backend, task.steps, lane, next, pause).await })
            })
            .collect();
        for lane in lanes {
            lane.await??;
        }
        Ok(())
    })
}

/// How often a place that somebody holds is tried, and how long after each time: whoever is on the way out gets a minute,
/// however busy the machine and slow its disk.
pub(crate) const ATTEMPTS_MAX: usize = 60_000;
pub(crate) const AFTER_ATTEMPT: Duration = Duration::from_millis(1);

/// Opens a place that was left. For a moment it can be held all the same: by a process that somebody else is just starting,
/// which is a copy of the one that had it open until it becomes another program.
pub(super) async fn open_when_left(
    place: &dyn Place,
) -> storage_api::Result<Arc<dyn StorageBackend>> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match place.open().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && attempts < ATTEMPTS_MAX => {
                tokio::time::sleep(AFTER_ATTEMPT).await;
            }
            opened => return opened,
        }
    }
}

/// One lane beside others, until it is killed, or the parent is gone and nobody listens any more.
async fn work(
    backend: &dyn StorageBackend,
    steps: Steps,
    lane: usize,
    first: u64,
    pause: Option<(Phase, u64)>,
) -> Served {
    let mut of_lane = Lane::new(steps, lane);
    for number in first.. {
        if let Some((Phase::Syncing, every)) = pause
            && number % every == 0
        {
            sync(backend).await?;
        }
        let done = of_lane.step(backend, number).await?;
        acknowledge(lane, number, done)?;
    }
    Ok(())
}

/// The only lane, which also says what it begins, and pauses.
async fn work_alone(
    place: &dyn Place,
    mut backend: Arc<dyn StorageBackend>,
    steps: Steps,
    first: u64,
    pause: Option<(Phase, u64)>,
) -> Served {
    let mut lane = Lane::new(steps, 0);
    for number in first.. {
        match pause {
            Some((Phase::Syncing, every)) if number % every == 0 => {
                sync(&*backend).await?;
            }
            Some((Phase::Opening | Phase::Closing, every)) if number % every == 0 => {
                say("closing")?;
                backend.close().await?;
                say("opening")?;
                backend = open_when_left(place).await?;
                say("opened")?;
            }
            _ => {}
        }
        if lane.maintains(number) {
            say("maintaining")?;
        }
        let done = lane.step(&*backend, number).await?;
        acknowledge(0, number, done)?;
    }
    Ok(())
}

/// Says when it begins, so that everybody knows what came before, and when that has reached the disk.
async fn sync(backend: &dyn StorageBackend) -> Served {
    say("syncing")?;
    match backend.sync().await {
        Ok(()) => say("synced")?,
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn acknowledge(lane: usize, number: u64, done: Done) -> Served {
    let line = Acknowledged { lane, number, done };
    say(&format!("done {}", serde_json::to_string(&line)?))?;
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Where another process finds the place of the case; without that the case does not apply.
pub(super) fn locator(env: &Env) -> Locator {
    match env.place().locator() {
        Some(locator) if env.harness().attach(&locator).is_some() => locator,
        _ => env.inapplicable("the harness offers no place to another process"),
    }
}

/// What another process hears that opens the place of the case.
pub(crate) fn open_elsewhere(env: &Env) -> String {
    let mut child = spawn("open", &locator(env), &[]);
    let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    let last = lines.map_while(std::io::Result::ok).last();
    end(&mut child);
    last.unwrap_or_default()
}

/// This very binary as a child, with its output in a pipe.
pub(super) fn spawn(role: &str, place: &Locator, environment: &[(String, String)]) -> Child {
    let binary = std::env::current_exe().expect("the test knows its own binary");
    Command::new(binary)
        .env(ROLE, role)
        .env(PLACE, place.as_str())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test can run itself")
}

/// Kills (SIGKILL) and waits: what was under way is over.
pub(super) fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("a child can be waited for");
}
