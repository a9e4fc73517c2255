use std::process::Stdio;

use crate::gate::Gate;
use crate::runs::frugal;
use crate::scene::{Ran, Scene};

#[test]
fn the_command_gets_the_line_and_its_environment() {
    let scene = Scene::new();
    scene.write("input", "a\nb\n");
    let command = "printf '%s %s %s %s\\n' \"$(cat)\" $SPOOL_ATTEMPT \"${SPOOL_ID:+id}\" $((SPOOL_DEADLINE > $(date +%s)))";

    let ran = scene.run(&["--json", "--exec", command]);

    assert_eq!(ran.counts(), [2, 2, 0, 0]);
    assert_eq!(ran.sorted_lines(), ["a 1 id 1", "b 1 id 1"]);
}

#[test]
fn every_item_has_an_id_of_its_own() {
    let scene = Scene::new();
    scene.write("input", "x\n".repeat(50));

    let ran = scene.run(&["--json", "--exec", "echo $SPOOL_ID"]);

    let mut ids = ran.sorted_lines();
    ids.dedup();
    assert_eq!(ids.len(), 50, "{ids:?}");
}

#[test]
fn a_failed_command_is_tried_again_and_its_last_words_are_the_note() {
    let scene = Scene::new();
    scene.write("input", "good\nbad\nflaky\n");
    let command = "read line; case $line in
        bad) echo first >&2; echo last words >&2; exit 9;;
        flaky) test $SPOOL_ATTEMPT = 3;;
    esac";

    let ran = scene.run(&["--json", "--exec", command]);

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.counts(), [3, 2, 4, 1]);
    let dead = ran
        .err
        .lines()
        .find(|line| line.contains("3 attempts"))
        .unwrap();
    assert!(dead.contains("last words"), "{dead}");
}

#[test]
fn a_command_that_does_not_exist_is_told() {
    let scene = Scene::new();
    scene.write("input", "x\n");

    let ran = scene.run(&["--json", "--fail-on-dead", "--exec", "no-such-command-here"]);

    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(ran.counts(), [1, 0, 2, 1]);
    assert!(ran.err.contains("not found"), "{}", ran.err);
    assert!(ran.err.contains("check --exec"), "{}", ran.err);
}

#[test]
fn a_command_that_never_ends_outlives_its_lease_and_not_its_timeout() {
    let scene = Scene::new();
    scene.write("input", "x\n");
    let args = [
        "--json",
        "--lease",
        "5s",
        "--timeout",
        "6s",
        "--max-attempts",
        "1",
        "--exec",
        "echo begun; sleep 1000",
    ];

    let ran = scene.run(&args);

    assert_eq!(ran.counts(), [1, 0, 0, 1]);
    assert_eq!(
        ran.sorted_lines(),
        ["begun"],
        "nobody else was given the item meanwhile"
    );
    assert!(ran.err.contains("longer than 6s"), "{}", ran.err);
}

#[test]
fn a_timeout_and_a_lease_may_be_longer_than_time() {
    let scene = Scene::new();
    scene.write("input", "x\n");
    let ever = "100000000000years";

    let ran = scene.run(&[
        "--json",
        "--lease",
        ever,
        "--timeout",
        ever,
        "--exec",
        "true",
    ]);

    assert_eq!(ran.counts(), [1, 1, 0, 0]);
}

#[test]
fn a_command_that_is_killed_is_tried_again() {
    let scene = Scene::new();
    scene.write("input", "x\n");

    let ran = scene.run(&["--json", "--exec", "test $SPOOL_ATTEMPT = 2 || kill -9 $$"]);

    assert_eq!(ran.counts(), [1, 1, 1, 0]);
}

#[test]
fn a_command_that_closes_its_input_completes() {
    let scene = Scene::new();
    scene.write("input", "x".repeat(4 << 20));

    let ran = scene.run(&["--json", "--exec", "exec <&-; true"]);

    assert_eq!(ran.counts(), [1, 1, 0, 0]);
}

#[test]
fn output_comes_in_whole_lines() {
    let scene = Scene::new();
    let names = ["aaaa", "bbbb", "cccc", "dddd"];
    scene.write("input", names.join("\n"));
    // Halves of lines, in writes of their own, by four commands at once.
    let command = "read n; i=0; while [ $i -lt 200 ]; do printf $n; printf \"$n\\n\"; i=$((i+1)); done; printf $n";

    let ran = scene.run(&["--json", "--workers", "4", "--exec", command]);

    for name in names {
        let whole = format!("{name}{name}");
        let lines = ran.sorted_lines();
        assert_eq!(
            lines.iter().filter(|line| **line == whole).count(),
            200,
            "{name}"
        );
        assert_eq!(
            lines.iter().filter(|line| **line == name).count(),
            1,
            "{name}: the end of the last line is added"
        );
    }
    assert_eq!(ran.sorted_lines().len(), 4 * 201, "and nothing else");
}

#[test]
fn a_gigabyte_of_output_passes_through_bounded_memory() {
    let scene = Scene::new();
    scene.write("input", "x\n");
    // Less address space than output: what held it would fail.
    let script = "ulimit -v 900000; \"$0\" run --config queue.yaml --queue jobs --input input --workers 1 \
                  --exec 'head -c 1073741824 /dev/zero' | wc -c";
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_spool")])
        .current_dir(scene.path("."));
    frugal(&mut command).stdin(Stdio::null());

    let ran = Ran::of(&mut command);

    assert_eq!(
        ran.out.trim(),
        "1073741825",
        "with the line's end: {}",
        ran.err
    );
}

#[test]
fn as_many_commands_run_at_once_as_there_are_workers() {
    let scene = Scene::new();
    scene.write("input", "a\nb\nc\n");
    let (mut here, go_on) = (Gate::open(&scene, "here"), Gate::open(&scene, "go-on"));
    // Each waits until all three are here.
    let command = "exec 3< go-on; echo here > here; cat <&3";

    let child = scene.start(
        "input",
        &["--json", "--workers", "3", "--exec", command],
        Stdio::null(),
    );
    for _ in 0..3 {
        here.wait_for_line();
    }
    drop(go_on);
    let ran = Ran::waited(child);

    assert_eq!(ran.counts(), [3, 3, 0, 0]);
}

#[test]
fn output_that_nobody_reads_stops_the_run() {
    let scene = Scene::new();
    scene.write("input", "x\n".repeat(100));

    let mut child = scene.start("input", &["--exec", "yes"], Stdio::null());
    drop(child.stdout.take());
    let ran = Ran::waited(child);

    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("output"), "{}", ran.err);
}
