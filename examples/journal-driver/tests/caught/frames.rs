//! The frames of a journal file, as `src/journal.rs` draws them, for those who edit one.

/// Where the frames begin.
pub(crate) const HEAD_BYTES: usize = 16;
const FRAME_HEAD_BYTES: usize = 32;
/// The kind of the entry that says that the journal was closed.
const CLOSE: u8 = 19;
/// The kind of the entry that says that what follows does not wait for the disk.
const LOOSE: u8 = 20;

/// Where each frame begins and ends, as far as their lengths can be read; the last may end behind the file.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut frames = Vec::new();
    let mut at = HEAD_BYTES;
    while let Some(len) = bytes.get(at + 16..at + 24) {
        let len = u64::from_le_bytes(len.try_into().expect("eight bytes"));
        let Ok(len) = usize::try_from(len.min(1 << 30)) else {
            break;
        };
        let end = at + FRAME_HEAD_BYTES + len;
        frames.push((at, end));
        at = end;
    }
    frames
}

/// Whether the frame is the one that closes a journal.
pub(crate) fn is_close(bytes: &[u8], (start, end): (usize, usize)) -> bool {
    bytes.get(start + FRAME_HEAD_BYTES..end) == Some(&[CLOSE])
}

/// Takes out that what follows the frame does not wait for the disk, if that is what it says.
pub(crate) fn close_if_loose(bytes: &mut [u8], frame: (usize, usize)) {
    let entry = bytes.get_mut(frame.0 + FRAME_HEAD_BYTES..frame.1);
    if let Some([kind @ LOOSE]) = entry {
        *kind = CLOSE;
        reseal(bytes, frame);
    }
}

/// Gives the frame the checksums of what it holds.
pub(crate) fn reseal(bytes: &mut [u8], (start, end): (usize, usize)) {
    if end > bytes.len() {
        return;
    }
    let head = crc32c::crc32c(&bytes[start..start + 24]);
    let entry = crc32c::crc32c(&bytes[start + FRAME_HEAD_BYTES..end]);
    bytes[start + 24..start + 28].copy_from_slice(&head.to_le_bytes());
    bytes[start + 28..start + 32].copy_from_slice(&entry.to_le_bytes());
}
