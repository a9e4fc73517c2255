//! What retries left at items, by id.

use storage_api::Note;

use crate::footprint::shared_bytes;
use crate::sorted::Sorted;

/// The notes of a partition.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    notes: Sorted<u64, Note>,
    /// What the texts take.
    bytes: u64,
}

impl Notes {
    pub(crate) fn get(&self, id: u64) -> Option<&Note> {
        self.notes.get(&id)
    }

    /// Keeps a note in place of the one that is there.
    pub(crate) fn put(&mut self, id: u64, note: &Note) {
        // A text of its own: what the caller holds does not count as ours.
        let note = Note::new(note.as_str()).expect("it was a note before");
        self.bytes += shared_bytes(note.as_str().len());
        if let Some(old) = self.notes.insert(id, note) {
            self.bytes -= shared_bytes(old.as_str().len());
        }
    }

    pub(crate) fn remove(&mut self, id: u64) {
        if let Some((_, note)) = self.notes.remove(&id) {
            self.bytes -= shared_bytes(note.as_str().len());
        }
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.notes.bytes() + self.bytes
    }

    /// The most bytes by which so many new notes make it grow that take so many together.
    pub(crate) fn growth_max(&self, notes: u64, bytes: u64) -> u64 {
        self.notes.growth_max(notes) + bytes
    }
}

#[cfg(test)]
impl Notes {
    /// Fails unless exactly these items have notes.
    pub(crate) fn assert_is_of(&self, mut ids: Vec<u64>) {
        ids.sort_unstable();
        assert!(self.notes.keys().copied().eq(ids), "notes");
        let notes = self.notes.iter();
        let bytes: u64 = notes
            .map(|(_, note)| shared_bytes(note.as_str().len()))
            .sum();
        assert_eq!(self.bytes, bytes, "bytes of notes");
    }
}
