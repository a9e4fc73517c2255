//! Crashes: the test binary runs itself as a child that works in the same place, and kills it.
//!
//! The child does steps that follow from what it finds, one after the other, and says after each that it was acknowledged.
//! The parent kills it after as many as it likes, opens the place itself, and does the same steps on the reference
//! model: what is found must be the state after the last step acknowledged, or after the one behind it.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use storage_api::{
    CommitOutcome, CommitRequest, ItemEntry, ItemIds, LeaseRequest, ListRequest, PartitionConfig,
    PartitionId, Produced, Receipts, Result, Retries, Retry, RetryTo, State, StorageBackend,
};

use crate::change::View;
use crate::env::{Env, at, count, key, namespace, partition_id, value};
use crate::harness::{Harness, Locator, Spot};
use crate::part::batch;
use crate::reference::ReferenceHarness;

/// What the child is to do.
const ROLE: &str = "STORAGE_CONFORMANCE_CHILD";
/// The locator of the place it is to do it in.
const PLACE: &str = "STORAGE_CONFORMANCE_CHILD_PLACE";

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

type Served = std::result::Result<(), Box<dyn std::error::Error>>;

fn serve(harness: &dyn Harness, role: &str, place: &Locator) -> Served {
    let place = harness
        .attach(place)
        .ok_or("the place cannot be attached")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        say("opening")?;
        let opened = place.open().await;
        if role == "open" {
            match opened {
                Ok(_) => say("opened")?,
                Err(error) => say(&format!("refused {}", error.kind()))?,
            }
            return Ok(());
        }
        let backend = opened?;
        let first: u64 = role.parse()?;
        // Until it is killed, or the parent is gone and nobody listens any more.
        for number in first.. {
            let shown = step(&*backend, number).await?;
            say(&format!("done {number} {}", shown.join(" ")))?;
        }
        Ok(())
    })
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn work() -> PartitionId {
    partition_id("work", 0)
}

/// One operation, which follows from its number and from what is there. Gives the numbers that it was shown.
async fn step(backend: &dyn StorageBackend, number: u64) -> Result<Vec<String>> {
    let now = at(i64::try_from(number).unwrap_or(i64::MAX));
    let id = work();
    if number == 0 {
        let info = backend.create_partition(&id, PartitionConfig::default());
        return Ok(vec![format!("version:{}", info.await?.created)]);
    }
    let mut shown = Vec::new();
    match number % 7 {
        1 | 4 => {
            let items = ["a", "b"].map(|which| format!("{number}{which}"));
            let produced = backend.produce(&id, batch(&items).seal(now)).await?;
            shown.extend(produced.ids().map(|id| format!("id:{id}")));
        }
        2 => {
            let request = LeaseRequest::new(now, at(i64::MAX), count(2));
            let leased = backend.lease(&id, request).await?;
            let leases = leased.iter().map(|item| item.receipt().lease);
            shown.extend(leases.map(|lease| format!("lease:{lease}")));
        }
        3 => {
            let leased = first(backend, State::Leased).await?;
            let receipts = leased.iter().filter_map(ItemEntry::receipt);
            backend.complete(&id, Receipts::collect(receipts)?).await?;
        }
        5 => {
            let leased = first(backend, State::Leased).await?;
            let retries = leased.iter().filter_map(|entry| {
                let retry = Retry::new(entry.receipt()?, RetryTo::Dead);
                retry.with_note(format!("step {number}")).ok()
            });
            let retries = Retries::collect(retries)?;
            backend.retry(&id, now, retries).await?;
        }
        6 => {
            let mut request = CommitRequest::new(now);
            let count = value(number.to_string());
            request.put(&namespace("steps"), &key("last commit"), count, None)?;
            request.produce(&id, batch([format!("{number}c").as_str()]))?;
            let dead = first(backend, State::Dead).await?;
            let dead = ItemIds::collect(dead.iter().map(|entry| entry.id))?;
            request.delete_items(&id, dead)?;
            if let CommitOutcome::Committed(committed) = backend.commit(request).await? {
                shown.extend(committed.version.map(|one| format!("version:{one}")));
                let ids = committed.produced.iter().flat_map(Produced::ids);
                shown.extend(ids.map(|id| format!("id:{id}")));
            }
        }
        _ => {
            backend.clear(&id, State::Ready.into(), count(1)).await?;
        }
    }
    Ok(shown)
}

/// The first item of that state, if there is one.
async fn first(backend: &dyn StorageBackend, state: State) -> Result<Vec<ItemEntry>> {
    let request = ListRequest::by_id(state).items_max(count(1));
    Ok(backend.list_items(&work(), request).await?.items)
}

/// A place in which children work and die, and the model that goes along.
pub(crate) struct Story {
    locator: Locator,
    model: Arc<dyn StorageBackend>,
    /// The step that comes next on the model.
    next: u64,
    /// The step that was acknowledged last, by any child.
    acknowledged: Option<u64>,
    shown: HashSet<String>,
}

impl Story {
    /// A story in the place of the case, where another process can find it.
    pub(crate) async fn begin(env: &Env) -> Self {
        let locator = locator(env);
        let (harness, spot) = (ReferenceHarness::volatile(), Spot::new("model"));
        let place = harness.provision(&spot).await;
        let place = place.expect("the model takes no room");
        let model = place.open().await.expect("the model opens");
        Self {
            locator,
            model,
            next: 0,
            acknowledged: None,
            shown: HashSet::new(),
        }
    }

    /// Lets a child work until that many steps were acknowledged, kills it, and hears it out.
    pub(crate) async fn kill_after(&mut self, env: &Env, steps: usize) {
        let mut child = spawn(&self.next.to_string(), &self.locator);
        let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let mut heard = 0;
        let mut is_killed = false;
        for line in lines {
            let line = line.expect("the output of the child is text");
            env.log().begin(format_args!("child")).answer(&line);
            let mut words = line.split(' ');
            match words.next() {
                Some("opening") => {}
                Some("done") => {
                    heard += 1;
                    let number = words.next().and_then(|word| word.parse().ok());
                    self.acknowledged = Some(number.expect("the child counts its steps"));
                    for shown in words.filter(|word| !word.is_empty()) {
                        assert!(
                            self.shown.insert(shown.to_owned()),
                            "{shown} was given before, perhaps by a process that was killed since"
                        );
                    }
                }
                _ => panic!("the child says: {line}"),
            }
            if heard >= steps && !is_killed {
                is_killed = true;
                end(&mut child);
            }
        }
        end(&mut child);
    }

    /// What was found is the state after the last step acknowledged, or after the one behind it.
    pub(crate) async fn judge(&mut self, found: &View) {
        let known = self.acknowledged.map_or(0, |number| number + 1);
        while self.next < known {
            self.advance().await;
        }
        let expected = self.view().await;
        if *found == expected {
            return;
        }
        self.advance().await;
        let or_else = self.view().await;
        assert!(
            *found == or_else,
            "after a crash behind step {:?}\n  found {found:?}\n  expected {expected:?}\n  or, with the step under way, {or_else:?}",
            self.acknowledged
        );
        // The step under way was applied: it is as good as acknowledged.
        self.acknowledged = Some(self.next - 1);
    }

    async fn advance(&mut self) {
        let done = step(&*self.model, self.next).await;
        done.expect("the model does every step");
        self.next += 1;
    }

    async fn view(&self) -> View {
        let seen = View::look(&*self.model).await;
        seen.expect("the model can be looked at")
    }
}

/// Where another process finds the place of the case; without that the case does not apply.
fn locator(env: &Env) -> Locator {
    match env.place().locator() {
        Some(locator) if env.harness().attach(&locator).is_some() => locator,
        _ => env.inapplicable("the harness offers no place to another process"),
    }
}

/// What another process hears that opens the place of the case.
pub(crate) fn open_elsewhere(env: &Env) -> String {
    let mut child = spawn("open", &locator(env));
    let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    let last = lines.map_while(std::io::Result::ok).last();
    end(&mut child);
    last.unwrap_or_default()
}

fn spawn(role: &str, place: &Locator) -> Child {
    let binary = std::env::current_exe().expect("the test knows its own binary");
    Command::new(binary)
        .env(ROLE, role)
        .env(PLACE, place.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test can run itself")
}

/// Kills (SIGKILL) and waits: what was under way is over.
fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("a child can be waited for");
}
