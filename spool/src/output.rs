//! Passing the output of commands through: whole lines, in bounded memory, and around the progress bar.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::progress::Progress;

/// How much of a line is held back until its end comes. Of a longer one the rest follows as it comes, and the lines of
/// other commands wait until it has ended: so lines stay whole, and memory stays bounded.
const LINE_HELD_MAX: usize = 1 << 20;
/// How much is read at once: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// How long a pipe may stay silent when its command has ended and something else still holds it: a process that was left
/// in the background, whose output nobody waits for.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// How far a command is, as its output sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It runs.
    Running,
    /// It has ended; what it left behind may still write.
    Ended,
    /// Its time is over: nothing is read any more.
    Over,
}

/// Where lines go: standard output or standard error, shared by all commands.
#[derive(Clone)]
pub struct Sink {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    progress: Progress,
}

type Writing = OwnedMutexGuard<Box<dyn Write + Send>>;

impl Sink {
    /// A sink that stops the progress bar while it writes.
    pub fn new(writer: impl Write + Send + 'static, progress: Progress) -> Self {
        Self {
            writer: Arc::new(Mutex::new(Box::new(writer))),
            progress,
        }
    }

    /// Writes and flushes, in a thread where that may block; gives the guard and the emptied buffer back.
    async fn write(
        &self,
        mut writing: Writing,
        mut bytes: Vec<u8>,
    ) -> io::Result<(Writing, Vec<u8>)> {
        let progress = self.progress.clone();
        let write = move || {
            progress.suspend(|| {
                writing.write_all(&bytes)?;
                writing.flush()
            })?;
            bytes.clear();
            Ok((writing, bytes))
        };
        tokio::task::spawn_blocking(write)
            .await
            .map_err(io::Error::other)?
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

/// Why a command's output ended early.
#[derive(Debug)]
pub enum PassError {
    /// The command's pipe cannot be read.
    Read(io::Error),
    /// The sink takes no more.
    Write(io::Error),
}

/// Passes everything from a pipe to a sink in whole lines, and returns the last line that is not blank, its beginning if
/// it is long.
///
/// Ends with the pipe; or, once the command has ended, when the pipe stays silent: then something that it left behind
/// holds it open. A last line without an end gets one, so that the next command's line does not stick to it.
pub async fn pass<R: AsyncRead + Unpin>(
    mut pipe: R,
    sink: &Sink,
    mut stage: watch::Receiver<Stage>,
    tail: &mut Tail,
) -> Result<(), PassError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut held = Vec::new();
    // Some while a line longer than what is held back is on its way.
    let mut writing: Option<Writing> = None;
    loop {
        let len = tokio::select! {
            read = pipe.read(&mut buffer) => read.map_err(PassError::Read)?,
            () = silence(&mut stage) => 0,
        };
        if len == 0 {
            break;
        }
        let read = &buffer[..len];
        tail.add(read);
        // What may be written now ends with a line; the rest is held back.
        let whole = read
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map(|at| at + 1);
        let (now, later) = read.split_at(whole.unwrap_or(0));
        if let Some(guard) = writing.take() {
            // The long line goes on; with its end the turn is over.
            let bytes = if whole.is_some() { now } else { read };
            let (guard, _) = write(sink, guard, bytes.to_vec()).await?;
            match whole {
                Some(_) => held.extend_from_slice(later),
                None => writing = Some(guard),
            }
            continue;
        }
        if whole.is_some() {
            held.extend_from_slice(now);
            let guard = Arc::clone(&sink.writer).lock_owned().await;
            (_, held) = write(sink, guard, held).await?;
        }
        held.extend_from_slice(if whole.is_some() { later } else { read });
        if held.len() > LINE_HELD_MAX {
            let guard = Arc::clone(&sink.writer).lock_owned().await;
            let (guard, emptied) = write(sink, guard, held).await?;
            (writing, held) = (Some(guard), emptied);
        }
    }
    if writing.is_some() || !held.is_empty() {
        held.push(b'\n');
        let guard = match writing {
            Some(guard) => guard,
            None => Arc::clone(&sink.writer).lock_owned().await,
        };
        write(sink, guard, held).await?;
    }
    Ok(())
}

async fn write(
    sink: &Sink,
    guard: Writing,
    bytes: Vec<u8>,
) -> Result<(Writing, Vec<u8>), PassError> {
    sink.write(guard, bytes).await.map_err(PassError::Write)
}

/// Returns when nothing of the command is to be waited for any more.
async fn silence(stage: &mut watch::Receiver<Stage>) {
    // An error says that nobody can tell any more: then it is over.
    let has_ended = stage
        .wait_for(|stage| *stage != Stage::Running)
        .await
        .is_ok();
    if has_ended {
        let over = stage.wait_for(|stage| *stage == Stage::Over);
        let _ = tokio::time::timeout(SILENCE_MAX, over).await;
    }
}

/// The last line that is not blank, of everything that went by.
#[derive(Debug, Default)]
pub struct Tail {
    /// The last line with an end.
    last: Vec<u8>,
    /// The line that has none yet.
    current: Vec<u8>,
}

impl Tail {
    /// How much of a line is kept: what a note can hold, and what lossy UTF-8 may add to it is cut later.
    const KEPT_MAX: usize = storage_api::limits::NOTE_BYTES_MAX;

    /// Sees the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = Self::KEPT_MAX - self.current.len();
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.current
                .extend_from_slice(&text[..text.len().min(room)]);
            if piece.ends_with(b"\n") {
                if !self.current.trim_ascii().is_empty() {
                    std::mem::swap(&mut self.last, &mut self.current);
                }
                self.current.clear();
            }
        }
    }

    /// The line, without blanks around it; empty where there was none.
    pub fn line(&self) -> String {
        let line = if self.current.trim_ascii().is_empty() {
            &self.last
        } else {
            &self.current
        };
        String::from_utf8_lossy(line.trim_ascii()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, and in which pieces.
    #[derive(Clone, Default)]
    struct Written(Arc<std::sync::Mutex<Vec<Vec<u8>>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn pieces(&self) -> Vec<Vec<u8>> {
            self.0.lock().unwrap().clone()
        }
    }

    async fn passed(bytes: &[u8]) -> (Vec<Vec<u8>>, String) {
        let written = Written::default();
        let sink = Sink::new(written.clone(), Progress::hidden());
        let (_running, stage) = watch::channel(Stage::Running);
        let mut tail = Tail::default();

        pass(bytes, &sink, stage, &mut tail).await.unwrap();

        (written.pieces(), tail.line())
    }

    #[tokio::test]
    async fn every_piece_that_is_written_ends_with_a_line() {
        let (pieces, tail) = passed(b"one\ntwo\nthr\xff").await;

        assert_eq!(pieces, [b"one\ntwo\n".to_vec(), b"thr\xff\n".to_vec()]);
        assert_eq!(tail, "thr\u{fffd}");
    }

    #[tokio::test]
    async fn a_line_without_end_is_passed_on_in_bounded_pieces() {
        let long = vec![b'x'; 3 * LINE_HELD_MAX];

        let (pieces, tail) = passed(&long).await;

        let largest = pieces.iter().map(Vec::len).max().unwrap();
        assert!(largest <= LINE_HELD_MAX + READ_BYTES, "{largest}");
        let whole = pieces.concat();
        assert_eq!(whole.len(), long.len() + 1);
        assert!(whole.ends_with(b"x\n"));
        assert_eq!(tail.len(), Tail::KEPT_MAX);
    }

    #[tokio::test]
    async fn a_long_line_is_not_torn_by_another_command() {
        let written = Written::default();
        let sink = Sink::new(written.clone(), Progress::hidden());
        let (_running, stage) = watch::channel(Stage::Running);
        let (mut long, pipe) = tokio::io::duplex(READ_BYTES);
        let first = {
            let (sink, stage) = (sink.clone(), stage.clone());
            tokio::spawn(async move {
                pass(pipe, &sink, stage, &mut Tail::default())
                    .await
                    .unwrap();
            })
        };

        use tokio::io::AsyncWriteExt;
        long.write_all(&vec![b'x'; 2 * LINE_HELD_MAX])
            .await
            .unwrap();
        let second = tokio::spawn(async move {
            pass(&b"short\n"[..], &sink, stage, &mut Tail::default())
                .await
                .unwrap();
        });
        long.write_all(b"end\nrest").await.unwrap();
        drop(long);
        first.await.unwrap();
        second.await.unwrap();

        let whole = written.pieces().concat();
        let lines: Vec<usize> = whole
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::len)
            .collect();
        let mut sorted = lines.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            [0, 4, 5, 2 * LINE_HELD_MAX + 3],
            "in the order {lines:?}"
        );
    }

    #[test]
    fn the_last_line_that_is_not_blank_is_remembered() {
        for (text, expected) in [
            ("", ""),
            ("one\ntwo\n", "two"),
            ("one\ntwo", "two"),
            ("one\n\n  \n", "one"),
            ("  padded \n", "padded"),
        ] {
            for cut in 0..=text.len() {
                let mut tail = Tail::default();
                tail.add(&text.as_bytes()[..cut]);
                tail.add(&text.as_bytes()[cut..]);

                assert_eq!(tail.line(), expected, "{text:?} cut at {cut}");
            }
        }
    }
}
