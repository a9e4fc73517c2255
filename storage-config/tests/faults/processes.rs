//! Two processes at one place, and processes that are killed at the worst moments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use storage_api::{Durability, ErrorKind, RetryHint};
use tokio::time::Instant;

use crate::Story;
use crate::role;
use crate::scene::{LEASE, Scene, home_in, items, payload, produce, run};

pub(crate) const ALL: &[(&str, Story)] = &[
    (
        "a_second_process_is_told_who_holds_the_place",
        a_second_process_is_told_who_holds_the_place,
    ),
    (
        "kills_while_opening_and_closing_lose_nothing",
        kills_while_opening_and_closing_lose_nothing,
    ),
    (
        "kills_at_process_crash_lose_nothing_acknowledged",
        kills_at_process_crash_lose_nothing_acknowledged,
    ),
];

pub(crate) const OPENING: &str = "opening";
const OPENED: &str = "opened";
const PRODUCED: &str = "produced";
const COMPLETED: &str = "completed";
pub(crate) const CLOSING: &str = "closing";
const CLOSED: &str = "closed";

pub(crate) const SIGKILL: i32 = 9;

/// Opens the place and holds it until its standard input ends.
pub(crate) fn hold(scene: &Scene) {
    run(async {
        let _storage = scene.open().await;
        say(OPENED);
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    });
}

/// Opens the place, produces one item, and closes it; says what it is at.
pub(crate) fn work(scene: &Scene) {
    run(async {
        say(OPENING);
        let storage = scene.open().await;
        say(OPENED);
        let home = home_in(&storage).await;
        produce(&home, 7, 2000).await.unwrap();
        say(PRODUCED);
        say(CLOSING);
        storage.close().await.unwrap();
        say(CLOSED);
    });
}

/// Opens the place, and produces and completes items until it is killed; says each that was acknowledged.
pub(crate) fn finish(scene: &Scene) {
    run(async {
        let storage = scene.open().await;
        let home = home_in(&storage).await;
        for number in 0.. {
            let id = produce(&home, number, 300).await.unwrap();
            say(&format!("{PRODUCED} {id} {number}"));
            if number % 2 == 1 {
                let leased = home.lease(1, LEASE).await.unwrap();
                let ids: Vec<_> = leased.iter().map(|item| item.id()).collect();
                home.complete(leased.receipts()).await.unwrap();
                ids.iter().for_each(|id| say(&format!("{COMPLETED} {id}")));
            }
        }
    });
}

pub(crate) fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}

/// This program in a role, and what it says.
pub(crate) fn start(role: &str, driver: &str, scene: &Scene) -> (Child, BufReader<ChildStdout>) {
    start_with(role, driver, scene, |_| ())
}

/// The same, with what is added to its command.
pub(crate) fn start_with(
    role: &str,
    driver: &str,
    scene: &Scene,
    add: impl FnOnce(&mut Command),
) -> (Child, BufReader<ChildStdout>) {
    let mut command = role::command(&[], role, driver, scene.root());
    add(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(durability) = scene.durability() {
        command.env(role::DURABILITY, durability);
    }
    let mut child = command.spawn().unwrap();
    let says = BufReader::new(child.stdout.take().unwrap());
    (child, says)
}

/// Reads up to a word; whether it came.
fn wait_for(word: &str, says: &mut impl BufRead) -> bool {
    says.lines().any(|line| line.unwrap() == word)
}

fn a_second_process_is_told_who_holds_the_place(driver: &str) {
    let scene = Scene::new(driver);
    run(scene.furnish());
    let (mut child, mut says) = start("hold", driver, &scene);
    assert!(wait_for(OPENED, &mut says));

    let error = run(scene.refusal());

    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let pid = child.id().to_string();
    assert!(error.reason().contains(&pid), "{pid}: {error}");
    assert_ne!(error.retry_hint(), RetryHint::Never, "{error}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    run(async { scene.open().await.close().await }).unwrap();
}

/// What killed processes have said of the items of [`work`].
#[derive(Default)]
pub(crate) struct Kept {
    acknowledged: usize,
    begun: usize,
}

impl Kept {
    pub(crate) fn hear(&mut self, said: &[String]) {
        let has_said = |word: &str| said.iter().any(|line| line == word);
        self.acknowledged += usize::from(has_said(PRODUCED));
        self.begun += usize::from(has_said(OPENED));
    }

    /// Opens the place: what was acknowledged is there, and nothing that was not begun.
    pub(crate) fn compare(&self, scene: &Scene, told: &str) {
        let Self {
            acknowledged,
            begun,
        } = *self;
        let (found, findings) = run(async {
            let storage = scene.open().await;
            let found = items(&home_in(&storage).await).await.unwrap();
            let findings = storage.verify().await.unwrap();
            storage.close().await.unwrap();
            (found, findings)
        });

        assert!(
            (acknowledged..=begun).contains(&found.len()),
            "{told}: {acknowledged} items were acknowledged, {begun} begun, and there are {}",
            found.len()
        );
        let payload = payload(7, 2000);
        assert!(found.values().all(|found| *found == payload), "{told}");
        assert_eq!(findings, Vec::<String>::new(), "{told}");
    }
}

/// At moments of the clock, wherever the driver is then; [`crate::moments`] counts what it does.
fn kills_while_opening_and_closing_lose_nothing(driver: &str) {
    const ROUNDS: u32 = 12;
    let (scene, mut kept) = (Scene::new(driver), Kept::default());
    live(driver, &scene, None, &mut kept);
    let mut told = String::new();

    for (line, end) in [(OPENING, OPENED), (CLOSING, CLOSED)] {
        let whole = live(driver, &scene, None, &mut kept).between(line, end);
        let mut within = 0;
        for round in 0..ROUNDS {
            // From the beginning to a third behind the end, and closer to each other where it begins.
            let due = whole * 4 * round * round / (3 * (ROUNDS - 1) * (ROUNDS - 1));
            let life = live(driver, &scene, Some((line, due)), &mut kept);
            within += usize::from(!life.has_said(end));
        }
        told += &format!("{within} of {ROUNDS} kills fell while it was {line}; ");
    }

    kept.compare(&scene, &told);
}

/// What a process said, and when that was heard.
struct Life(Vec<(String, Instant)>);

impl Life {
    fn has_said(&self, word: &str) -> bool {
        self.0.iter().any(|(line, _)| line == word)
    }

    fn between(&self, begin: &str, end: &str) -> Duration {
        let at = |word| self.0.iter().find(|(line, _)| line == word).unwrap().1;
        at(end).saturating_duration_since(at(begin))
    }
}

/// Lets a process work in the place, and kills it when so much time has passed since that line.
fn live(driver: &str, scene: &Scene, kill: Option<(&str, Duration)>, kept: &mut Kept) -> Life {
    let (mut child, says) = start("work", driver, scene);
    let lines = listen(says);
    let mut life = Life(Vec::new());
    let mut due = None;
    loop {
        let line = match due {
            None => lines.recv().ok(),
            Some(due) => {
                match lines.recv_timeout(Instant::saturating_duration_since(&due, Instant::now())) {
                    Ok(line) => Some(line),
                    Err(RecvTimeoutError::Disconnected) => None,
                    Err(RecvTimeoutError::Timeout) => {
                        child.kill().unwrap();
                        // What it had said before is still in the pipe.
                        lines.recv().ok()
                    }
                }
            }
        };
        let Some(line) = line else { break };
        match kill {
            Some((sign, waits)) if line.0 == sign => due = Some(line.1 + waits),
            _ => {}
        }
        life.0.push(line);
    }
    let ended = child.wait().unwrap();
    let said: Vec<_> = life.0.iter().map(|(line, _)| line.clone()).collect();
    let is_killed = kill.is_some() && ended.signal() == Some(SIGKILL);
    assert!(
        is_killed || ended.success(),
        "it ends with {ended} behind {said:?}"
    );
    kept.hear(&said);
    life
}

/// The lines of a process as they come, until it has ended.
fn listen(says: BufReader<ChildStdout>) -> Receiver<(String, Instant)> {
    let (heard, lines) = mpsc::channel();
    std::thread::spawn(move || {
        says.lines()
            .map(|line| (line.unwrap(), Instant::now()))
            .try_for_each(|line| heard.send(line))
    });
    lines
}

fn kills_at_process_crash_lose_nothing_acknowledged(driver: &str) {
    const ROUNDS: usize = 10;
    const SEED: usize = 11;
    let scene = Scene::new(driver).with_durability("process-crash");
    // What must be there, and what must not.
    let (mut expected, mut completed) = (BTreeMap::new(), BTreeSet::new());

    for round in 1..=ROUNDS {
        let acknowledged = 1 + (SEED + round) * 7919 % 67;
        let (mut child, says) = start("finish", driver, &scene);
        let mut lines = says.lines();
        let mut said: Vec<_> = lines.by_ref().take(acknowledged).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before is still in the pipe.
        said.extend(lines);
        assert!(said.len() >= acknowledged, "it ended by itself");
        for line in said {
            let line = line.unwrap();
            match line.split(' ').collect::<Vec<_>>()[..] {
                [PRODUCED, id, number] => {
                    let payload = payload(number.parse().unwrap(), 300);
                    expected.insert(id.to_owned(), payload);
                }
                [COMPLETED, id] => {
                    expected.remove(id);
                    completed.insert(id.to_owned());
                }
                _ => panic!("it says «{line}»"),
            }
        }

        let (found, durability, findings) = run(async {
            let storage = scene.open().await;
            let durability = storage.descriptor().durability;
            let found = items(&home_in(&storage).await).await.unwrap();
            let findings = storage.verify().await.unwrap();
            storage.close().await.unwrap();
            (found, durability, findings)
        });

        assert_eq!(durability, Durability::ProcessCrash);
        let found = found.into_iter().map(|(id, item)| (id.to_string(), item));
        let found: BTreeMap<_, _> = found.collect();
        let told = format!("round {round}, killed behind {acknowledged} acknowledgements");
        let again: Vec<_> = completed
            .iter()
            .filter(|id| found.contains_key(*id))
            .collect();
        assert_eq!(again, Vec::<&String>::new(), "{told}: completed, and there");
        // The one call that was under way may have applied.
        let missing = expected.keys().filter(|id| !found.contains_key(*id));
        let more = found.keys().filter(|id| !expected.contains_key(*id));
        let under_way: Vec<_> = missing.chain(more).collect();
        assert!(under_way.len() <= 1, "{told}: {under_way:?} differ");
        for (id, payload) in &expected {
            let item = found.get(id);
            assert!(item.is_none_or(|item| item == payload), "{told}: item {id}");
        }
        assert_eq!(findings, Vec::<String>::new(), "{told}");
        completed.extend(expected.into_keys().filter(|id| !found.contains_key(id)));
        expected = found;
    }
}
