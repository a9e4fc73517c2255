//! Every limit of the contract, the same for every driver. The constructors of the types enforce them.

/// Largest queue name, in bytes of UTF-8.
pub const QUEUE_NAME_BYTES_MAX: usize = 512;
/// Largest namespace, in bytes of UTF-8.
pub const NAMESPACE_BYTES_MAX: usize = 256;
/// Largest metadata key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Largest metadata value, in bytes (1 MiB).
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Largest payload, in bytes (8 MiB).
pub const PAYLOAD_BYTES_MAX: usize = 8 << 20;
/// Largest kind of an item, in bytes of UTF-8.
pub const KIND_BYTES_MAX: usize = 256;
/// Largest encoding of an item, in bytes of UTF-8.
pub const ENCODING_BYTES_MAX: usize = 256;
/// Largest reference of an item, in bytes of UTF-8 (2 KiB).
pub const REFERENCE_BYTES_MAX: usize = 2 << 10;
/// Largest dedup key, in bytes; the smallest is 1.
pub const DEDUP_KEY_BYTES_MAX: usize = 256;
/// Largest note, in bytes of UTF-8 (1 KiB).
pub const NOTE_BYTES_MAX: usize = 1 << 10;
/// Most items, receipts, ids, checks, writes or entries in one batch, call or answer.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// Most payload bytes of one batch, call or answer, and most bytes of keys and values of one commit or scan (32 MiB).
///
/// An answer always holds one item, and one item always fits.
pub const BATCH_BYTES_MAX: usize = 32 << 20;
/// The largest id, lease, position or version.
pub const NUMBER_MAX: u64 = (1 << 63) - 1;
/// The largest id, lease, position or version that `restore` accepts, so that as many again can be given out after it.
pub const RESTORED_NUMBER_MAX: u64 = 1 << 62;
/// The priority of an item that names none.
pub const PRIORITY_DEFAULT: u8 = 100;
