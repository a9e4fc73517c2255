use crate::scene::{Ran, Scene};

#[test]
fn without_arguments_the_example_runs_and_ends_with_a_report() {
    let ran = Ran::of(&mut Scene::new().spool::<&str>(&[]));

    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in ["driver      memory", "durability  none", "produced    3000"] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    let number = |name: &str| -> u64 {
        let line = ran.out.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().parse().unwrap()
    };
    assert!(number("dead") > 0, "some events are malformed");
    assert!(number("retried") > 0);
    assert_eq!(number("completed") + number("dead"), 3000);
}

#[test]
fn help_is_everywhere() {
    let scene = Scene::new();
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["status", "--help"],
        &["dead", "--help"],
        &["dead", "list", "--help"],
        &["dead", "revive", "--help"],
        &["clear", "--help"],
    ] {
        let ran = Ran::of(&mut scene.spool(args));

        assert_eq!(ran.code, Some(0), "{args:?}");
        assert!(ran.out.contains("Usage: spool"), "{args:?}: {}", ran.out);
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let scene = Scene::new();
    for args in [
        &["rnu"][..],
        &["run"],
        &["dead"],
        &[
            "run",
            "--config",
            "queue.yaml",
            "--queue",
            "jobs",
            "--input",
            "x",
            "--lease",
            "30",
        ],
        &[
            "run",
            "--config",
            "queue.yaml",
            "--queue",
            "jobs",
            "--input",
            "x",
            "--workers",
            "0",
        ],
        &[
            "run",
            "--config",
            "queue.yaml",
            "--queue",
            "jobs",
            "--input",
            "x",
            "--exec",
            " ",
        ],
        &[
            "run",
            "--config",
            "queue.yaml",
            "--queue",
            "jobs",
            "--input",
            "x",
            "--timeout",
            "0s",
        ],
        &[
            "dead",
            "revive",
            "--config",
            "queue.yaml",
            "--queue",
            "jobs",
            "7",
        ],
    ] {
        let ran = Ran::of(&mut scene.spool(args));

        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(
            ran.err.contains("Usage") || ran.err.contains("error"),
            "{args:?}: {}",
            ran.err
        );
    }
}
