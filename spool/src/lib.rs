//! A durable xargs, built on [`storage_queue`] alone: feeds the lines of a file or of standard input into a queue and runs a
//! command for each, with workers, leases, retries with backoff, and a dead list.
//!
//! This library is the program of the same name; it takes the drivers as an argument, so that it can be built with others
//! than the built-in ones:
//!
//! ```no_run
//! use storage_config::Registry;
//!
//! let registry = Registry::builtin(); // .with("mine", my_factory)
//! spool::app::main(&registry, std::env::args_os());
//! ```
//!
//! | file | question |
//! |---|---|
//! | `app`, `cli`, `failure` | how a command line becomes an exit code |
//! | `run` | how a run goes from its input to its report |
//! | `input`, `feed`, `bookmark` | how lines become items, and where reading stands |
//! | `work`, `command`, `group`, `output` | what is done with an item |
//! | `holder` | whose leases a killed run leaves behind |
//! | `inspect` | status, dead items, clearing |
//! | `verify` | whether what is stored contradicts itself |
//! | `progress`, `report` | what is shown meanwhile and at the end |

pub mod app;
pub mod bookmark;
pub mod cli;
pub mod command;
pub mod failure;
pub mod feed;
pub mod group;
pub mod holder;
pub mod input;
pub mod inspect;
pub mod output;
pub mod progress;
pub mod report;
pub mod run;
pub mod verify;
pub mod work;
