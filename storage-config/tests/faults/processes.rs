//! Two processes at one place, and processes that are killed at the worst moments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use storage_api::{Durability, ErrorKind, RetryHint};

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

const OPENED: &str = "opened";
const PRODUCED: &str = "produced";
const COMPLETED: &str = "completed";
const CLOSING: &str = "closing";

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
        let storage = scene.open().await;
        say(OPENED);
        let home = home_in(&storage).await;
        produce(&home, 7, 2000).await.unwrap();
        say(PRODUCED);
        say(CLOSING);
        storage.close().await.unwrap();
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
    let mut command = role::command(&[], role, driver, scene.root());
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

fn kills_while_opening_and_closing_lose_nothing(driver: &str) {
    const ROUNDS: u32 = 24;
    let scene = Scene::new(driver);
    let (mut acknowledged, mut begun) = (0, 0);

    for round in 0..ROUNDS {
        let (mut child, mut says) = start("work", driver, &scene);
        // Later and later within the opening, then within the closing.
        let turns = round / 2 * 40;
        if round % 2 == 0 {
            pass(turns);
        } else {
            assert!(wait_for(CLOSING, &mut says), "it ended early");
            pass(turns);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before is still in the pipe.
        let said: Vec<_> = says.lines().map(Result::unwrap).collect();
        let has_said = |word: &str| round % 2 == 1 || said.iter().any(|line| line == word);
        acknowledged += usize::from(has_said(PRODUCED));
        begun += usize::from(has_said(OPENED));
    }
    let (found, findings) = run(async {
        let storage = scene.open().await;
        let found = items(&home_in(&storage).await).await.unwrap();
        let findings = storage.verify().await.unwrap();
        storage.close().await.unwrap();
        (found, findings)
    });

    assert!(
        (acknowledged..=begun).contains(&found.len()),
        "{acknowledged} items were acknowledged, {begun} begun, and there are {}",
        found.len()
    );
    let payload = payload(7, 2000);
    assert!(found.values().all(|found| *found == payload));
    assert_eq!(findings, Vec::<String>::new());
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

fn pass(turns: u32) {
    for _ in 0..turns {
        std::thread::yield_now();
    }
}
