use crate::scene::{Ran, Scene};

fn on(scene: &Scene, args: &[&str]) -> Ran {
    let place = ["--config", "queue.yaml", "--queue", "jobs"];
    let args: Vec<_> = args.iter().chain(&place).collect();
    Ran::of(&mut scene.spool(&args))
}

#[test]
fn a_wrong_configuration_exits_with_2_and_names_the_line() {
    let scene = Scene::new();
    scene.write("input", "1\n");
    let config = scene
        .read("queue.yaml")
        .replace("attempts-max", "attempts-mx");
    scene.write("queue.yaml", config);

    for ran in [scene.run(&[]), on(&scene, &["status"])] {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.err
                .contains("queue.yaml:6:5: unknown key «attempts-mx»")
                && ran.err.contains("«attempts-max»?"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn status_says_that_memory_is_empty_in_a_new_process() {
    let ran = on(&Scene::new(), &["status"]);

    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "ready",
        "scheduled",
        "leased",
        "dead",
        "as long as the process",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
}

#[test]
fn status_as_json_is_one_object() {
    let ran = on(&Scene::new(), &["status", "--json"]);

    let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(status["queue"], "jobs");
    assert_eq!(status["partitions"], 2);
    assert_eq!(status["ready"], 0);
}

#[test]
fn a_queue_that_does_not_exist_is_told() {
    let scene = Scene::new();
    for args in [
        &["status"][..],
        &["dead", "list"],
        &["dead", "revive"],
        &["clear"],
    ] {
        let mut args = args.to_vec();
        args.extend(["--config", "queue.yaml", "--queue", "jbs\n"]);

        let ran = Ran::of(&mut scene.spool(&args));

        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("jbs\\n"), "{}", ran.err);
    }
}

#[test]
fn an_empty_queue_has_nothing_dead_and_nothing_to_clear() {
    let scene = Scene::new();
    for (args, words) in [
        (&["dead", "list"][..], "no dead items"),
        (&["dead", "revive"], "0 items"),
        (&["clear"], "0 items"),
    ] {
        let ran = on(&scene, args);

        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains(words), "{args:?}: {}", ran.out);
    }
}
