//! Running the user's command for one item.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage_api::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::group::{Group, Groups};
use crate::output::{PassError, Sink, Stage, Tail, pass};

/// How long a command that is asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(1);
/// The longest that a run may take, so that no sum of times overflows: ten years.
const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// What the shell says of a command that does not exist.
const NOT_FOUND: i32 = 127;

/// The user's command, and what all its runs share.
#[derive(Debug)]
pub struct Exec {
    command: String,
    timeout: Duration,
    out: Sink,
    err: Sink,
    groups: Groups,
    not_found: AtomicU64,
}

/// What the command is told in its environment.
#[derive(Debug, Clone)]
pub struct Env {
    /// `SPOOL_ID`
    pub id: String,
    /// `SPOOL_ATTEMPT`
    pub attempt: u32,
    /// `SPOOL_DEADLINE`
    pub deadline: Timestamp,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// With exit code 0.
    Done,
    /// Otherwise, for this reason.
    Failed(String),
    /// Its output cannot be passed on: nobody reads it any more.
    OutputClosed(std::io::Error),
}

impl Exec {
    /// A command for `sh -c` that may take so long each time.
    pub fn new(command: String, timeout: Duration, out: Sink, err: Sink, groups: Groups) -> Self {
        Self {
            command,
            timeout: timeout.min(TIMEOUT_MAX),
            out,
            err,
            groups,
            not_found: AtomicU64::new(0),
        }
    }

    /// How long a run may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How often the shell did not find the command.
    pub fn not_found(&self) -> u64 {
        self.not_found.load(Ordering::Relaxed)
    }

    /// Runs the command with a line on its standard input, and passes its output on.
    ///
    /// Returns when it has ended and its output has, or when its time is over: then its whole group is killed. If the
    /// future is dropped, the group is killed.
    pub async fn run(&self, line: &[u8], env: &Env) -> Ended {
        let mut child = match self.spawn(env) {
            Ok(child) => child,
            Err(error) => return Ended::Failed(format!("the command cannot be started: {error}")),
        };
        // The id is there until the child was waited for.
        let group = self.groups.enter(child.id().unwrap_or_default());
        let over_at = Instant::now() + self.timeout;
        let (stage, stage_seen) = watch::channel(Stage::Running);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut out_tail, mut err_tail) = (Tail::default(), Tail::default());

        let passing = async {
            let out = async {
                match stdout {
                    Some(pipe) => pass(pipe, &self.out, stage_seen.clone(), &mut out_tail).await,
                    None => Ok(()),
                }
            };
            let err = async {
                match stderr {
                    Some(pipe) => pass(pipe, &self.err, stage_seen.clone(), &mut err_tail).await,
                    None => Ok(()),
                }
            };
            let (out, err) = tokio::join!(out, err);
            out.and(err)
        };
        let ending = async {
            let status = end(&mut child, &group, over_at).await;
            stage.send_replace(Stage::Ended);
            status
        };
        let cutting = async {
            // The command itself has ended or was killed by then: this is for what it left in the background.
            tokio::time::sleep_until(over_at + 2 * GRACE).await;
            group.kill();
            stage.send_replace(Stage::Over);
            std::future::pending::<()>().await;
        };
        let feeding = async {
            feed(stdin, line).await;
            std::future::pending::<()>().await;
        };
        let (status, passed) = tokio::select! {
            both = async { tokio::join!(ending, passing) } => both,
            () = cutting => unreachable!("it waits to be dropped"),
            () = feeding => unreachable!("it waits to be dropped"),
        };
        let was_cut = *stage.borrow() == Stage::Over;
        match status {
            Ok(Some(_)) if !was_cut => group.leave(),
            // Dropped, so that nothing of it is left.
            _ => drop(group),
        }

        match passed {
            Err(PassError::Write(error)) => return Ended::OutputClosed(error),
            Err(PassError::Read(error)) => {
                return Ended::Failed(format!("its output cannot be read: {error}"));
            }
            Ok(()) => {}
        }
        match status {
            Ok(Some(status)) if status.success() && !was_cut => Ended::Done,
            Ok(Some(status)) if !was_cut => self.failed(status, &err_tail),
            Ok(_) => Ended::Failed(format!(
                "killed: it took longer than {}",
                humantime::format_duration(self.timeout)
            )),
            Err(error) => Ended::Failed(format!("the command cannot be waited for: {error}")),
        }
    }

    fn spawn(&self, env: &Env) -> std::io::Result<Child> {
        let deadline_secs = env.deadline.as_micros().div_euclid(1_000_000);
        Command::new("sh")
            .arg("-c")
            .arg(&self.command)
            .env("SPOOL_ID", &env.id)
            .env("SPOOL_ATTEMPT", env.attempt.to_string())
            .env("SPOOL_DEADLINE", deadline_secs.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    fn failed(&self, status: ExitStatus, err_tail: &Tail) -> Ended {
        if status.code() == Some(NOT_FOUND) {
            self.not_found.fetch_add(1, Ordering::Relaxed);
        }
        let said = err_tail.line();
        if !said.is_empty() {
            return Ended::Failed(said);
        }
        Ended::Failed(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => status.to_string(),
        })
    }
}

/// Waits for the command; `None`: its time was over, and its group was killed.
async fn end(
    child: &mut Child,
    group: &Group,
    over_at: Instant,
) -> std::io::Result<Option<ExitStatus>> {
    if let Ok(status) = timeout_at(over_at, child.wait()).await {
        return status.map(Some);
    }
    group.terminate();
    let ended = timeout(GRACE, child.wait()).await;
    // Whatever of the group is left, the command included.
    group.kill();
    if ended.is_err() {
        child.wait().await?;
    }
    Ok(None)
}

/// Gives the command its line. One that closes its standard input, or ends without reading, has no use for it: that is no
/// failure.
async fn feed(stdin: Option<ChildStdin>, line: &[u8]) {
    let Some(mut stdin) = stdin else { return };
    let fed = async {
        stdin.write_all(line).await?;
        stdin.write_all(b"\n").await?;
        stdin.shutdown().await
    };
    let _: std::io::Result<()> = fed.await;
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::progress::Progress;

    /// Long enough for any machine: no test waits for it.
    const EVER: Duration = Duration::from_secs(3600);

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Ran {
        ended: Ended,
        out: String,
        err: String,
    }

    impl Ran {
        fn note(&self) -> &str {
            match &self.ended {
                Ended::Failed(note) => note,
                other => panic!("expected a failure, got {other:?}"),
            }
        }
    }

    async fn run(command: &str, line: &[u8], timeout: Duration) -> Ran {
        let (out, err) = (Written::default(), Written::default());
        let sink = |written: &Written| Sink::new(written.clone(), Progress::hidden());
        let groups = Groups::default();
        let exec = Exec::new(command.to_owned(), timeout, sink(&out), sink(&err), groups);
        let env = Env {
            id: "0-7".to_owned(),
            attempt: 2,
            deadline: Timestamp::from_secs(1234),
        };
        let ended = exec.run(line, &env).await;
        let text = |written: Written| String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        Ran {
            ended,
            out: text(out),
            err: text(err),
        }
    }

    #[tokio::test]
    async fn the_command_gets_its_line_and_its_environment() {
        let ran = run(
            "cat; echo $SPOOL_ID $SPOOL_ATTEMPT $SPOOL_DEADLINE >&2",
            b"the line",
            EVER,
        )
        .await;

        assert!(matches!(ran.ended, Ended::Done), "{:?}", ran.ended);
        assert_eq!(ran.out, "the line\n");
        assert_eq!(ran.err, "0-7 2 1234\n");
    }

    #[tokio::test]
    async fn a_failure_leaves_the_last_line_of_standard_error_or_how_it_ended() {
        for (command, note) in [
            ("echo one >&2; echo two >&2; echo >&2; exit 3", "two"),
            ("exit 3", "exit code 3"),
            ("kill -9 $$", "killed by signal 9"),
        ] {
            assert_eq!(run(command, b"", EVER).await.note(), note, "{command}");
        }
    }

    #[tokio::test]
    async fn a_command_that_does_not_exist_is_told_by_the_shell() {
        let ran = run("no-such-command-here", b"", EVER).await;

        assert!(ran.note().contains("not found"), "{}", ran.note());
    }

    #[tokio::test]
    async fn a_command_that_closes_its_input_or_does_not_read_it_is_no_failure() {
        let large = vec![b'x'; 4 << 20];

        for command in ["exec <&-; echo closed", "echo closed"] {
            let ran = run(command, &large, EVER).await;

            assert!(matches!(ran.ended, Ended::Done), "{:?}", ran.ended);
            assert_eq!(ran.out, "closed\n");
        }
    }

    /// A fifo that ends for its reader when every process that writes to it has ended.
    struct Lifeline {
        _dir: tempfile::TempDir,
        path: std::path::PathBuf,
    }

    impl Lifeline {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("lifeline");
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
            Self { _dir: dir, path }
        }

        /// Returns when a process writes to it.
        async fn held(&self) -> std::fs::File {
            let path = self.path.clone();
            let opening = tokio::task::spawn_blocking(move || std::fs::File::open(path).unwrap());
            opening.await.unwrap()
        }
    }

    /// Returns when no process writes to the lifeline any more.
    fn wait_for_end(mut held: std::fs::File) {
        io::Read::read_to_end(&mut held, &mut Vec::new()).unwrap();
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed_with_all_that_it_started() {
        let lifeline = Lifeline::new();
        let path = lifeline.path.display();
        let command = format!("trap '' TERM; exec > {path}; sleep 1000 & sleep 1000");

        // The shell is to be as far as its lifeline by then, on a busy machine too.
        let limit = Duration::from_secs(5);
        let (ran, held) = tokio::join!(run(&command, b"", limit), lifeline.held());

        assert_eq!(ran.note(), "killed: it took longer than 5s");
        wait_for_end(held);
    }

    #[tokio::test]
    async fn what_a_command_leaves_in_the_background_does_not_hold_its_item_up() {
        let ran = run("sleep 1000 & echo $!", b"", EVER).await;

        assert!(matches!(ran.ended, Ended::Done), "{:?}", ran.ended);
        let left = rustix::process::Pid::from_raw(ran.out.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_command_whose_run_is_given_up_is_killed() {
        let lifeline = Lifeline::new();
        let command = format!(
            "exec > {}; sleep 1000 & sleep 1000",
            lifeline.path.display()
        );

        let held = tokio::select! {
            ran = run(&command, b"", EVER) => panic!("it ended: {:?}", ran.ended),
            held = lifeline.held() => held,
        };

        wait_for_end(held);
    }

    #[tokio::test]
    async fn output_that_nobody_takes_is_told() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = || Sink::new(Closed, Progress::hidden());
        let exec = Exec::new("yes".to_owned(), EVER, sink(), sink(), Groups::default());
        let env = Env {
            id: String::new(),
            attempt: 1,
            deadline: Timestamp::EPOCH,
        };

        let ended = exec.run(b"", &env).await;

        assert!(matches!(ended, Ended::OutputClosed(_)), "{ended:?}");
    }
}
