use crate::scene::Scene;

#[test]
fn lines_that_parse_complete_and_others_are_retried_and_die() {
    let scene = Scene::new();
    scene.write("input", "{\"a\":1}\nnot json\n[]\n\n");

    let ran = scene.run(&["--json"]);

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.counts(), [4, 2, 4, 2]);
}

#[test]
fn the_json_report_is_one_object_of_these_fields() {
    let scene = Scene::new();
    scene.write("input", "1\n");

    let ran = scene.run(&["--json"]);

    let report = ran.report();
    let mut names: Vec<_> = report.as_object().unwrap().keys().cloned().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "completed",
            "dead",
            "driver",
            "durability",
            "items_per_second",
            "produced",
            "retried",
            "seconds"
        ]
    );
    assert_eq!(report["driver"], "memory");
    assert_eq!(report["durability"], "none");
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(ran.out.lines().count(), 1);
}

#[test]
fn dead_items_are_shown_and_fail_the_run_only_when_asked() {
    let scene = Scene::new();
    scene.write("input", "{}\nbroken\n");

    let shown = scene.run(&["--max-attempts", "1", "--json"]);
    let failed = scene.run(&["--max-attempts", "1", "--json", "--fail-on-dead"]);

    assert_eq!((shown.code, failed.code), (Some(0), Some(3)));
    assert_eq!(failed.counts(), [2, 1, 0, 1]);
    assert!(shown.err.contains("broken"), "{}", shown.err);
    assert!(shown.err.contains("dead"), "{}", shown.err);
}

#[test]
fn a_queue_that_nobody_declared_is_made() {
    let scene = Scene::new();
    scene.write("input", "1\n2\n3\n");
    for name in [
        "two words",
        "a/b\\c",
        "tab\tand\u{1b}[31m",
        "очередь 🎁",
        "..",
        &"q".repeat(512),
    ] {
        let args = [
            "run",
            "--config",
            "queue.yaml",
            "--queue",
            name,
            "--input",
            "input",
            "--partitions",
            "3",
            "--json",
        ];

        let ran = crate::scene::Ran::of(&mut scene.spool(&args));

        assert_eq!(ran.code, Some(0), "{name:?}: {ran:?}");
        assert_eq!(ran.counts(), [3, 3, 0, 0], "{name:?}");
    }
    for name in ["", &"q".repeat(513)] {
        let args = [
            "run",
            "--config",
            "queue.yaml",
            "--queue",
            name,
            "--input",
            "input",
        ];

        let ran = crate::scene::Ran::of(&mut scene.spool(&args));

        assert_eq!(ran.code, Some(2), "{name:?}: {ran:?}");
        assert!(ran.err.contains("1 to 512"), "{}", ran.err);
    }
}

#[test]
fn many_lines_go_through_a_shallow_queue() {
    let scene = Scene::new();
    scene.write("input", "{}\n".repeat(5_000));

    let ran = scene.run(&["--json", "--depth-max", "7"]);

    assert_eq!(ran.counts(), [5_000, 5_000, 0, 0]);
}

#[test]
fn producing_waits_for_room_in_a_small_queue() {
    let scene = Scene::new();
    let config = scene.read("queue.yaml").replace(
        "    attempts-max: 3\n",
        "    attempts-max: 3\n    items-max: 5\n",
    );
    scene.write("queue.yaml", config);
    scene.write("input", "{}\n".repeat(1_000));

    let ran = scene.run(&["--json"]);

    assert_eq!(ran.counts(), [1_000, 1_000, 0, 0]);
}

#[test]
fn a_queue_full_of_dead_items_is_told_and_not_waited_for() {
    let scene = Scene::new();
    let config = scene.read("queue.yaml").replace(
        "    attempts-max: 3\n",
        "    attempts-max: 1\n    items-max: 5\n",
    );
    scene.write("queue.yaml", config);
    scene.write("input", "broken\n".repeat(100));

    let ran = scene.run(&["--json"]);

    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.counts(), [10, 0, 0, 10]);
    assert!(ran.err.contains("dead"), "{}", ran.err);
}

#[test]
fn more_partitions_than_a_queue_has_are_refused() {
    let scene = Scene::new();
    scene.write("input", "1\n");

    let ran = scene.run(&["--partitions", "5"]);

    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("partitions"), "{}", ran.err);
}
