//! Lines of a file or of standard input, streamed: no more than a few chunks are in memory.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use storage_api::limits::PAYLOAD_BYTES_MAX;
use tokio::sync::mpsc;

/// How much is read at once. Chunks are about as large: some hundred lines a transaction.
const READ_BYTES: usize = 256 << 10;
/// The most lines of a chunk, so that a chunk of empty lines still fits one transaction.
const CHUNK_LINES_MAX: usize = 4_000;
/// Chunks that wait for the queue while the next is read.
const CHUNKS_WAITING: usize = 2;

/// A place between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Bytes before it.
    pub offset: u64,
    /// Lines before it.
    pub line: u64,
}

/// Some lines, one behind the other.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    start: Mark,
    /// The bytes as read, line ends included.
    bytes: Vec<u8>,
    /// Behind each line and its end.
    ends: Vec<usize>,
}

impl Chunk {
    fn new(start: Mark) -> Self {
        Self {
            start,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A line below [`len`](Self::len), without its end.
    pub fn line(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        let line = &self.bytes[start..self.ends[index]];
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// The place behind the first `lines` lines.
    pub fn mark_after(&self, lines: usize) -> Mark {
        let bytes = lines.checked_sub(1).map_or(0, |last| self.ends[last]);
        Mark {
            offset: self.start.offset + bytes as u64,
            line: self.start.line + lines as u64,
        }
    }

    /// The place behind the last line.
    pub fn end(&self) -> Mark {
        self.mark_after(self.len())
    }
}

/// Why the input cannot be read on.
#[derive(Debug)]
pub enum InputError {
    /// A line is larger than a payload may be.
    LineTooLong {
        /// Which one, from 1.
        line: u64,
    },
    /// The system refused.
    Io(io::Error),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong { line } => write!(
                f,
                "line {line} is longer than {PAYLOAD_BYTES_MAX} bytes, the most that an item can hold; shorten or split it"
            ),
            Self::Io(error) => write!(f, "it cannot be read on: {error}"),
        }
    }
}

impl std::error::Error for InputError {}

/// Where lines come from.
#[derive(Debug)]
pub enum Input {
    /// A file whose reading can be resumed.
    File(InputFile),
    /// Standard input, a pipe or a device: what has been read is gone.
    Stream {
        /// How it is named.
        name: String,
        /// What is read.
        reader: Stream,
    },
}

/// What is read when it cannot be read again.
pub enum Stream {
    /// Standard input.
    Stdin,
    /// A file that is no regular one.
    Device(File),
    /// Bytes of the program itself.
    Bytes(&'static [u8]),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdin => "Stdin",
            Self::Device(_) => "Device",
            Self::Bytes(_) => "Bytes",
        })
    }
}

/// A regular file, and what tells it from a changed one.
#[derive(Debug)]
pub struct InputFile {
    file: File,
    /// Its absolute path without symbolic links.
    pub path: PathBuf,
    /// Its bytes when it was opened.
    pub size: u64,
    /// Its time of modification in nanoseconds since 1970.
    pub modified: i64,
}

impl Input {
    /// Opens a path; `-` is standard input. The error says what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        if path.as_os_str() == "-" {
            let (name, reader) = ("standard input".to_owned(), Stream::Stdin);
            return Ok(Self::Stream { name, reader });
        }
        let name = path.display().to_string();
        let cannot = |error: io::Error| {
            let name = name.escape_debug();
            match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("cannot read the input {name}: there is no such file; check the path")
                }
                io::ErrorKind::PermissionDenied => {
                    format!("cannot read the input {name}: its permissions forbid it")
                }
                _ => format!("cannot read the input {name}: {error}"),
            }
        };
        let file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        if metadata.is_dir() {
            let name = name.escape_debug();
            return Err(format!(
                "cannot read the input {name}: it is a directory; name a file in it"
            ));
        }
        if !metadata.is_file() {
            let reader = Stream::Device(file);
            return Ok(Self::Stream { name, reader });
        }
        let modified = metadata.modified().map_err(cannot)?;
        Ok(Self::File(InputFile {
            file,
            path: path.canonicalize().map_err(cannot)?,
            size: metadata.len(),
            modified: nanos(modified),
        }))
    }

    /// How a person names it, fit for a line of text.
    pub fn name(&self) -> String {
        match self {
            Self::File(file) => file.path.display().to_string().escape_debug().to_string(),
            Self::Stream { name, .. } => name.escape_debug().to_string(),
        }
    }

    /// Reads from a mark on (a stream: from where it is), in a thread of its own, since reading blocks.
    ///
    /// The channel ends behind the last chunk or an error. Dropping the receiver ends the thread at its next chunk.
    pub fn stream(self, from: Mark) -> io::Result<mpsc::Receiver<Result<Chunk, InputError>>> {
        let mut source: Box<dyn Read + Send> = match self {
            Self::File(InputFile { mut file, .. }) => {
                file.seek(SeekFrom::Start(from.offset))?;
                Box::new(file)
            }
            Self::Stream { reader, .. } => match reader {
                Stream::Stdin => Box::new(io::stdin()),
                Stream::Device(file) => Box::new(file),
                Stream::Bytes(bytes) => Box::new(bytes),
            },
        };
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        let read = move || {
            let send = |chunk| sender.blocking_send(Ok(chunk)).is_ok();
            if let Err(error) = read_lines(&mut source, from, send) {
                // Nobody listens any more: nobody needs the error.
                let _ = sender.blocking_send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(read)?;
        Ok(receiver)
    }
}

/// Nanoseconds since 1970; the ends of the range stand for what is beyond.
fn nanos(time: SystemTime) -> i64 {
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    }
}

/// Cuts what is read into lines, and sends those of each reading on before it reads again, so that no line waits for the
/// next. Ends early when nobody wants more.
fn read_lines(
    source: &mut dyn Read,
    from: Mark,
    mut send: impl FnMut(Chunk) -> bool,
) -> Result<(), InputError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut chunk = Chunk::new(from);
    loop {
        let len = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(InputError::Io(error)),
        };
        for piece in buffer[..len].split_inclusive(|byte| *byte == b'\n') {
            chunk.bytes.extend_from_slice(piece);
            let line_start = chunk.ends.last().copied().unwrap_or(0);
            let is_ended = piece.ends_with(b"\n");
            if chunk.bytes.len() - line_start - usize::from(is_ended) > PAYLOAD_BYTES_MAX {
                let line = chunk.end().line + 1;
                chunk.bytes.truncate(line_start);
                if !chunk.is_empty() {
                    send(chunk);
                }
                return Err(InputError::LineTooLong { line });
            }
            if is_ended {
                chunk.ends.push(chunk.bytes.len());
            }
            if chunk.len() == CHUNK_LINES_MAX && !send_lines(&mut chunk, &mut send) {
                return Ok(());
            }
        }
        if !chunk.is_empty() && !send_lines(&mut chunk, &mut send) {
            return Ok(());
        }
    }
    if !chunk.bytes.is_empty() {
        // The last line has no end.
        chunk.ends.push(chunk.bytes.len());
        send(chunk);
    }
    Ok(())
}

/// Sends the lines that are whole, and keeps the beginning of the next.
fn send_lines(chunk: &mut Chunk, send: &mut impl FnMut(Chunk) -> bool) -> bool {
    let whole = chunk.ends.last().copied().unwrap_or(0);
    let mut next = Chunk::new(chunk.end());
    next.bytes.extend_from_slice(&chunk.bytes[whole..]);
    chunk.bytes.truncate(whole);
    send(std::mem::replace(chunk, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one piece a reading, as a pipe does.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    fn chunks(pieces: &[&[u8]], from: Mark) -> (Vec<Chunk>, Result<(), InputError>) {
        let mut chunks = Vec::new();
        let mut source = Pieces(pieces.iter().map(|piece| piece.to_vec()).collect());
        let result = read_lines(&mut source, from, |chunk| {
            chunks.push(chunk);
            true
        });
        (chunks, result)
    }

    fn lines(chunks: &[Chunk]) -> Vec<Vec<u8>> {
        let of = |chunk: &Chunk| {
            (0..chunk.len())
                .map(|index| chunk.line(index).to_vec())
                .collect()
        };
        chunks.iter().flat_map::<Vec<_>, _>(of).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let whole = b"a\n\nb\xff\0c\r\nlast";
        let expected: Vec<&[u8]> = vec![b"a", b"", b"b\xff\0c\r", b"last"];

        for at in 0..whole.len() {
            let (before, behind) = whole.split_at(at);
            let pieces = if at == 0 {
                vec![behind]
            } else {
                vec![before, behind]
            };
            let (chunks, result) = chunks(&pieces, Mark::default());

            assert!(result.is_ok());
            assert_eq!(lines(&chunks), expected, "cut at {at}");
            let end = chunks.last().map(Chunk::end).unwrap();
            assert_eq!(
                (end.offset, end.line),
                (whole.len() as u64, 4),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn an_empty_input_has_no_line_and_a_newline_is_one_empty_line() {
        assert!(chunks(&[], Mark::default()).0.is_empty());
        assert_eq!(lines(&chunks(&[b"\n"], Mark::default()).0), [b""]);
    }

    #[test]
    fn marks_go_on_from_where_reading_began() {
        let from = Mark {
            offset: 100,
            line: 7,
        };

        let (chunks, _) = chunks(&[b"ab\nc\n"], from);

        assert_eq!(chunks[0].mark_after(0), from);
        assert_eq!(
            chunks[0].mark_after(1),
            Mark {
                offset: 103,
                line: 8
            }
        );
        assert_eq!(
            chunks[0].end(),
            Mark {
                offset: 105,
                line: 9
            }
        );
    }

    #[test]
    fn a_line_of_the_largest_size_is_read_and_a_larger_one_is_refused_by_its_number() {
        let piece = vec![b'x'; READ_BYTES];
        let largest: Vec<&[u8]> = vec![&piece; PAYLOAD_BYTES_MAX / READ_BYTES];

        let mut fits = largest.clone();
        fits.push(b"\nnext");
        let (read, result) = chunks(&fits, Mark::default());
        assert!(result.is_ok());
        assert_eq!(lines(&read)[0].len(), PAYLOAD_BYTES_MAX);
        assert_eq!(lines(&read)[1], b"next");

        let mut beyond: Vec<&[u8]> = vec![b"first\n"];
        beyond.extend(&largest);
        beyond.push(b"y");
        let (read, result) = chunks(&beyond, Mark::default());
        assert!(matches!(result, Err(InputError::LineTooLong { line: 2 })));
        assert_eq!(lines(&read), [b"first"]);
    }

    #[test]
    fn many_empty_lines_come_in_several_chunks() {
        let newlines = vec![b'\n'; CHUNK_LINES_MAX + 1];

        let (chunks, _) = chunks(&[&newlines], Mark::default());

        assert_eq!(
            chunks.iter().map(Chunk::len).collect::<Vec<_>>(),
            [CHUNK_LINES_MAX, 1]
        );
        assert_eq!(chunks[1].end().line, CHUNK_LINES_MAX as u64 + 1);
    }
}
