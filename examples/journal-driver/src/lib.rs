//! A storage driver as a stranger would write it: the reference model behind an append-only, checksummed, fsynced file.
//!
//! Read it to write a driver of your own; `README.md` says how in four steps, and how it is checked. It holds every promise
//! of the contract, the loss of power included, and it is slow on purpose: every operation walks over everything.
//!
//! | file | question |
//! |---|---|
//! | `config` | what can be configured |
//! | `backend` | what each operation writes, and what it does |
//! | `engine` | who runs it, in which order, and when it is answered |
//! | `entry`, `codec` | what stands in an entry |
//! | `journal` | how entries stand in the file, and what a damaged one is |
//! | `place` | whose directory it is |
//! | `error` | what goes wrong |
//! | `faults` | how to make it go wrong |
//!
//! # Limits
//! - The whole state is in memory, and so is the whole file while it is opened.
//! - The entries are operations, so that a change of the model's rules needs a new format.
//! - Damage to the entries of the last sync before a crash cannot be told from the tail that the crash cut; everything
//!   before it, and everything after a `close`, is told.
//! - Bytes that are no longer needed are given back when the file is twice as long as the state and 1 MiB longer, and
//!   whenever `usage` is asked for a state that has become small.
//! - Unix only.

mod backend;
mod codec;
mod config;
mod engine;
mod entry;
mod error;
mod faults;
mod journal;
mod mark;
mod place;

pub use backend::JournalBackend;
pub use config::JournalConfig;
pub use faults::Faults;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
