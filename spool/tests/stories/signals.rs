use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::gate::{Gate, make_fifo};
use crate::scene::{Ran, Scene};

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

#[test]
fn ctrl_c_lets_running_work_finish_and_reports() {
    let scene = Scene::new();
    scene.write("input", "x\n".repeat(1_000));
    let (mut begun, go_on) = (Gate::open(&scene, "begun"), Gate::open(&scene, "go-on"));
    let command = "exec 3< go-on; echo > begun; cat <&3; echo finished";

    let args = ["--json", "--workers", "1", "--exec", command];
    let mut child = scene.start("input", &args, Stdio::null());
    begun.wait_for_line();
    interrupt(&child);
    let err = wait_for_words(&mut child, "Ctrl-C");
    drop(go_on);
    let ran = Ran::waited(child);

    assert_eq!(ran.code, Some(130), "{ran:?} {err}");
    let [_, completed, retried, dead] = ran.counts();
    assert_eq!((completed, retried, dead), (1, 0, 0));
    assert_eq!(ran.sorted_lines(), ["finished"]);
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let scene = Scene::new();
    scene.write("input", "x\n");
    let begun = make_fifo(&scene, "begun");
    let command = format!(
        "trap '' INT TERM; exec > {}; echo; sleep 1000",
        begun.display()
    );

    let mut child = scene.start("input", &["--exec", &command], Stdio::null());
    let mut held = std::fs::File::open(begun).unwrap();
    interrupt(&child);
    wait_for_words(&mut child, "Ctrl-C");
    interrupt(&child);

    assert_eq!(child.wait().unwrap().code(), Some(130));
    // This ends when every process of the command has.
    std::io::copy(&mut held, &mut std::io::sink()).unwrap();
}

/// Reads standard error up to a line with those words.
fn wait_for_words(child: &mut Child, words: &str) -> String {
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert_ne!(
            err.read_line(&mut line).unwrap(),
            0,
            "it ended without saying «{words}»"
        );
    }
    // What follows goes where nobody reads it, but must not fail.
    std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
    line
}
