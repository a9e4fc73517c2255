//! Two processes at one place, and processes that are killed at the worst moments.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use storage_api::{ErrorKind, RetryHint};

use crate::Story;
use crate::role;
use crate::scene::{Scene, home_in, items, produce, run};

pub(crate) const ALL: &[(&str, Story)] = &[
    (
        "a_second_process_is_told_who_holds_the_place",
        a_second_process_is_told_who_holds_the_place,
    ),
    (
        "kills_while_opening_and_closing_lose_nothing",
        kills_while_opening_and_closing_lose_nothing,
    ),
];

const OPENED: &str = "opened";
const PRODUCED: &str = "produced";
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

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}

/// This program in a role, and what it says.
fn start(role: &str, driver: &str, scene: &Scene) -> (Child, BufReader<ChildStdout>) {
    let mut command = role::command(&[], role, driver, scene.root());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
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
    let payload = crate::scene::payload(7, 2000);
    assert!(found.values().all(|found| *found == payload));
    assert_eq!(findings, Vec::<String>::new());
}

fn pass(turns: u32) {
    for _ in 0..turns {
        std::thread::yield_now();
    }
}
