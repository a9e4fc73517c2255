//! Crashes: the test binary runs itself as a child that works in the same place, and kills it.
//!
//! The child does steps that follow from what it finds, one after the other in each of its lanes, and says after each that it
//! was acknowledged, and what it was answered. The parent kills it when it likes, opens the place itself, and does the same
//! steps on the reference model: what is found must be the state behind the last step acknowledged, or behind the one that
//! was under way, in every lane (clause DUR-3). Rounds go on in the same place.
//!
//! | file | question |
//! |---|---|
//! | `child` | what the child does, and says |
//! | `steps`, `random`, `script` | what a step is |
//! | `sight` | what is seen of a lane |
//! | `story` | what the parent makes of it |
//! | `phases` | how long opening, syncing, maintaining and closing take, and which of them kills fell into |
//! | `rounds` | when it kills, and how often |
//! | `power`, `power.c` | what is left when the power is lost |
//! | `unpromised` | whether it is true, where nothing was promised |

mod child;
mod phases;
mod power;
mod random;
mod rounds;
mod script;
mod sight;
mod steps;
mod story;
mod unpromised;

pub(crate) use self::child::{AFTER_ATTEMPT, ATTEMPTS_MAX, open_elsewhere, run_as_child};
pub(crate) use self::rounds::{Moments, lose_power, run};
pub(crate) use self::sight::Sight;
pub(crate) use self::steps::Steps;
pub(crate) use self::story::Story;
pub(crate) use self::unpromised::lose_what_was_never_synced;
