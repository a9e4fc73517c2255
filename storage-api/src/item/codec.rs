//! The attributes of a record as bytes. The one file of the project that imports bincode.
//!
//! Layout: one version byte, then for version 1 the bincode 2 standard encoding (variable-length integers, little-endian)
//! of `(kind, encoding, reference, dedup_key)`. Writers write the newest version, readers read every one ever released;
//! the golden bytes in the tests of `record` pin each.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

const VERSION: u8 = 1;

/// More than the largest attributes take; decoding claims no memory, and never looks further than this.
const BYTES_MAX: usize = 4096;

const CONFIG: Configuration<LittleEndian, Varint, Limit<BYTES_MAX>> =
    bincode::config::standard().with_limit::<BYTES_MAX>();

/// The attributes of an item that describe its payload. Absent text is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes<'a> {
    /// What the payload is about, for the application.
    pub kind: &'a str,
    /// How the payload is encoded, for the application.
    pub encoding: &'a str,
    /// Where more is to be found, for the application.
    pub reference: &'a str,
    /// While an item with this key lives, another is not stored (clause ITEM-4).
    pub dedup_key: Option<&'a [u8]>,
}

impl Attributes<'_> {
    /// Whether there is nothing to encode.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends the encoding to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let fields = (self.kind, self.encoding, self.reference, self.dedup_key);
        bincode::encode_into_std_write(fields, out, CONFIG)
            .expect("the limits of the fields keep attributes within BYTES_MAX, and a Vec takes every write");
    }
}

/// Reads what `encode` wrote; `None` where the bytes are not that.
pub(super) fn decode(bytes: &[u8]) -> Option<Attributes<'_>> {
    let (&version, fields) = bytes.split_first()?;
    if version != VERSION {
        return None;
    }
    let ((kind, encoding, reference, dedup_key), read) =
        bincode::borrow_decode_from_slice::<(&str, &str, &str, Option<&[u8]>), _>(fields, CONFIG)
            .ok()?;
    (read == fields.len()).then_some(Attributes {
        kind,
        encoding,
        reference,
        dedup_key,
    })
}
