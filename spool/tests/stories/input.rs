use std::io::{Seek, SeekFrom, Write};
use std::process::Stdio;

use crate::runs::frugal;
use crate::scene::{Ran, Scene};

#[test]
fn the_last_line_needs_no_end_and_bytes_need_not_be_utf_8() {
    let scene = Scene::new();
    scene.write("input", b"one\n\xff\xfe\ncr\r\nlast");

    let ran = scene.run(&["--json", "--exec", "od -An -c | tr -d '\\n '; echo"]);

    assert_eq!(ran.counts(), [4, 4, 0, 0]);
    assert_eq!(
        ran.sorted_lines(),
        ["376\\n", "cr\\r\\n", "last\\n", "one\\n"].map(|line| {
            if line.starts_with("376") {
                "377376\\n"
            } else {
                line
            }
        })
    );
}

#[test]
fn an_empty_input_is_done_at_once() {
    let scene = Scene::new();
    scene.write("input", "");

    let ran = scene.run(&["--json"]);

    assert_eq!((ran.code, ran.counts()), (Some(0), [0; 4]));
}

#[test]
fn standard_input_is_read_and_says_that_it_cannot_be_resumed() {
    let scene = Scene::new();

    let ran = scene.run_with_stdin(b"1\n2\n3", &["--json"]);

    assert_eq!(ran.counts(), [3, 3, 0, 0]);
    assert!(ran.err.contains("cannot be resumed"), "{}", ran.err);
}

#[test]
fn an_input_that_cannot_be_read_says_why() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("folder")).unwrap();

    for (input, words) in [("missing", "no such file"), ("folder", "directory")] {
        let ran = scene.run_on(input, &[]);

        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.err.contains(input) && ran.err.contains(words),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_line_of_the_largest_size_fits() {
    let scene = Scene::new();
    let mut lines = vec![b'x'; 8 << 20];
    lines.extend_from_slice(b"\n{}\n");
    scene.write("input", lines);

    let ran = scene.run(&["--json", "--exec", "wc -c"]);

    assert_eq!(ran.counts(), [2, 2, 0, 0]);
    assert_eq!(ran.sorted_lines(), ["3", "8388609"]);
}

#[test]
fn a_line_over_the_limit_is_named_and_the_lines_before_it_are_worked_on() {
    let scene = Scene::new();
    let mut lines = b"{}\n{}\n".to_vec();
    lines.extend(vec![b'x'; (8 << 20) + 1]);
    lines.extend_from_slice(b"\n{}\n");
    scene.write("input", lines);

    let ran = scene.run(&["--json"]);

    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("line 3 is longer than 8388608 bytes"),
        "{}",
        ran.err
    );
    assert_eq!(ran.counts(), [2, 2, 0, 0]);
}

#[test]
fn a_line_without_end_takes_no_memory() {
    // Less address space than the line would take.
    let scene = Scene::new();
    let script = "ulimit -v 2000000; head -c 4000000000 /dev/zero | \"$0\" run --config queue.yaml --queue jobs --input - --json";
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_spool")])
        .current_dir(scene.path("."));
    frugal(&mut command).stdin(Stdio::null());

    let ran = Ran::of(&mut command);

    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("line 1 is longer"), "{}", ran.err);
}

#[test]
fn a_file_larger_than_memory_goes_through_a_slow_command() {
    let scene = Scene::new();
    // A thousand lines of 1.5 MB, on disk mostly a hole; the command reads slower than spool.
    const LINE_BYTES: u64 = 1_500_000;
    let mut file = std::fs::File::create(scene.path("input")).unwrap();
    for line in 1..=1_000 {
        file.seek(SeekFrom::Start(line * LINE_BYTES - 1)).unwrap();
        file.write_all(b"\n").unwrap();
    }
    let script = "ulimit -v 1000000; \"$0\" run --config queue.yaml --queue jobs --input input --workers 1 \
                  --exec 'wc -c' --json";
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_spool")])
        .current_dir(scene.path("."));
    frugal(&mut command).stdin(Stdio::null());

    let ran = Ran::of(&mut command);

    assert_eq!(ran.counts(), [1_000, 1_000, 0, 0], "{}", ran.err);
    assert!(ran.sorted_lines().iter().all(|line| *line == "1500000"));
}
