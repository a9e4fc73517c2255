use std::collections::BTreeMap;

use crate::scene::Scene;

pub(crate) const ALL: &[(&str, fn())] = &[
    (
        "a_killed_run_goes_on_with_no_line_lost_or_produced_twice",
        a_killed_run_goes_on_with_no_line_lost_or_produced_twice,
    ),
    (
        "an_interrupted_run_goes_on_and_finishes",
        an_interrupted_run_goes_on_and_finishes,
    ),
    (
        "a_run_killed_after_the_last_line_was_produced_produces_none_again",
        a_run_killed_after_the_last_line_was_produced_produces_none_again,
    ),
    (
        "a_finished_file_is_read_again_when_it_is_said_or_has_changed",
        a_finished_file_is_read_again_when_it_is_said_or_has_changed,
    ),
    (
        "an_unfinished_file_is_gone_on_with_whatever_is_said",
        an_unfinished_file_is_gone_on_with_whatever_is_said,
    ),
    (
        "a_file_that_has_changed_is_read_from_its_beginning",
        a_file_that_has_changed_is_read_from_its_beginning,
    ),
    (
        "dead_items_are_listed_revived_and_cleared",
        dead_items_are_listed_revived_and_cleared,
    ),
    (
        "a_place_that_another_process_holds_is_refused",
        a_place_that_another_process_holds_is_refused,
    ),
];

/// Writes down the item and its line; at one line it waits at the gate, the first time.
fn notes_and_waits_at(line: &str) -> String {
    format!(
        "read l || exit 1
        if [ $l = {line} ] && [ ! -e passed ]; then
            trap 'done=1' USR1; touch passed; echo $$ > gate
            while [ -z \"$done\" ]; do sleep 0.01; done
        fi
        echo $SPOOL_ID $l >> notes"
    )
}

/// The items that each line became, by what the commands wrote down.
fn items_by_line(notes: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut items: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for note in notes.lines() {
        let (id, line) = note.split_once(' ').unwrap();
        let ids = items.entry(line).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    items
}

fn a_killed_run_goes_on_with_no_line_lost_or_produced_twice() {
    let scene = Scene::new();
    let lines = scene.write_lines(120);
    let command = notes_and_waits_at("line-40");
    let mut gate = scene.gate();
    // An hour's lease: only its holder's end gives the item back in time.
    let args = ["--lease", "1h", "--depth-max", "30", "--workers", "2"];

    scene.begin(&command, &args, &mut gate).kill();
    let ran = scene.run(&command, &args);

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("ready again"), "{}", ran.err);
    assert!(ran.err.contains("going on behind line"), "{}", ran.err);
    let [produced, _, _, dead] = ran.counts();
    assert!(produced > 0 && produced < 120, "{produced}");
    assert_eq!(dead, 0);
    let notes = scene.read("notes");
    let items = items_by_line(&notes);
    let mut found: Vec<_> = items.keys().map(ToString::to_string).collect();
    let mut lines = lines;
    found.sort_unstable();
    lines.sort_unstable();
    assert_eq!(found, lines, "every line");
    for (line, ids) in items {
        assert_eq!(ids.len(), 1, "{line} became the items {ids:?}");
    }
}

fn an_interrupted_run_goes_on_and_finishes() {
    let scene = Scene::new();
    scene.write_lines(60);
    let command = notes_and_waits_at("line-20");
    let mut gate = scene.gate();
    let args = ["--depth-max", "10", "--workers", "1"];

    let first = scene.begin(&command, &args, &mut gate).interrupt();
    let second = scene.run(&command, &args);

    assert_eq!(
        (first.code, second.code),
        (Some(130), Some(0)),
        "{first:?} {second:?}"
    );
    let [first, second] = [first.counts(), second.counts()];
    assert_eq!(first[0] + second[0], 60, "produced: {first:?} {second:?}");
    assert_eq!(first[1] + second[1], 60, "completed: {first:?} {second:?}");
    let notes = scene.read("notes");
    assert_eq!(notes.lines().count(), 60, "each line once");
}

fn a_run_killed_after_the_last_line_was_produced_produces_none_again() {
    let scene = Scene::new();
    scene.write_lines(5);
    let command = notes_and_waits_at("line-1");
    let mut gate = scene.gate();

    let args = ["--workers", "1"];
    scene.begin(&command, &args, &mut gate).kill();
    let ran = scene.run(&command, &args);

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.counts(), [0, 5, 0, 0]);
}

fn a_finished_file_is_read_again_when_it_is_said_or_has_changed() {
    let scene = Scene::new();
    scene.write_lines(3);

    let first = scene.run("true", &[]);
    let second = scene.run("true", &[]);
    let again = scene.run("true", &["--again"]);
    scene.write_lines(4);
    let changed = scene.run("true", &["--again"]);

    assert_eq!(first.counts(), [3, 3, 0, 0]);
    assert_eq!((second.code, second.counts()), (Some(0), [0; 4]));
    assert!(second.err.contains("was finished"), "{}", second.err);
    assert_eq!(again.counts(), [3, 3, 0, 0]);
    assert_eq!(changed.counts(), [4, 4, 0, 0]);
    for ran in [first, again, changed] {
        assert_eq!(ran.err, "", "there is nothing to say");
    }
}

fn an_unfinished_file_is_gone_on_with_whatever_is_said() {
    let scene = Scene::new();
    scene.write_lines(5);
    let command = notes_and_waits_at("line-3");
    let mut gate = scene.gate();

    let args = ["--workers", "1", "--again"];
    scene.begin(&command, &args, &mut gate).kill();
    let ran = scene.run(&command, &args);

    assert_eq!(ran.code, Some(0), "{ran:?}");
    let [produced, completed, ..] = ran.counts();
    assert_eq!(produced, 0, "{ran:?}");
    assert_eq!(completed, 3, "the two lines before it were done: {ran:?}");
}

fn a_file_that_has_changed_is_read_from_its_beginning() {
    let scene = Scene::new();
    scene.write_lines(60);
    let mut gate = scene.gate();
    let args = ["--depth-max", "10", "--workers", "1"];

    let command = notes_and_waits_at("line-20");
    scene.begin(&command, &args, &mut gate).interrupt();
    scene.write_lines(7);
    let ran = scene.run("true", &args);

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("has changed"), "{}", ran.err);
    assert_eq!(ran.counts()[0], 7);
}

fn dead_items_are_listed_revived_and_cleared() {
    let scene = Scene::new();
    scene.write("input", "good\nbad\nworse\n");
    let ran = scene.run("read l; test $l = good || { echo no $l >&2; false; }", &[]);
    assert_eq!(ran.counts(), [3, 1, 2, 2]);

    let listed = scene.spool(&["dead", "list"]);
    assert_eq!(listed.out.lines().count(), 2);
    assert!(
        listed.out.contains("2 attempts") && listed.out.contains("«no bad»"),
        "{listed:?}"
    );
    let as_json = scene.spool(&["dead", "list", "--json"]);
    let first: serde_json::Value =
        serde_json::from_str(as_json.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["attempts"], 2);
    assert_eq!(first["reason"], "attempts-exhausted");
    let id = first["id"].as_str().unwrap();

    let revived = scene.spool(&["dead", "revive", id]);
    assert!(revived.out.contains("1 items revived"), "{revived:?}");
    let again = scene.spool(&["dead", "revive", id, "7-1"]);
    assert_eq!(again.code, Some(1));
    assert!(
        again.err.contains("is not dead") && again.err.contains("no item 7-1"),
        "{again:?}"
    );
    let status = scene.spool(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((&status["ready"], &status["dead"]), (&1.into(), &1.into()));
    assert_eq!(status["durability"], "process-crash");

    let cleared = scene.spool(&["clear", "--dead"]);
    assert!(cleared.out.contains("1 items deleted"), "{cleared:?}");
    let all = scene.spool(&["dead", "revive"]);
    assert!(all.out.contains("0 items revived"), "{all:?}");
    let cleared = scene.spool(&["clear"]);
    assert!(cleared.out.contains("1 items deleted"), "{cleared:?}");
}

fn a_place_that_another_process_holds_is_refused() {
    let scene = Scene::new();
    scene.write_lines(1);
    let mut gate = scene.gate();
    let begun = scene.begin(&notes_and_waits_at("line-1"), &[], &mut gate);

    let refused = scene.spool(&["status"]);
    let ran = begun.interrupt();

    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("queue.yaml:2:11: cannot open"),
        "{}",
        refused.err
    );
    assert_eq!(ran.counts(), [1, 1, 0, 0], "and the run went on");
}
