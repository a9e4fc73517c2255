//! Process groups: a command and everything it starts end together.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

/// The groups of all commands that run now.
#[derive(Debug, Clone, Default)]
pub struct Groups(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    leaders: BTreeSet<u32>,
    /// Whether new groups are killed as well.
    is_killing: bool,
}

impl Groups {
    /// Takes a new group in, by the process that leads it. It is killed when the guard is dropped before it is left.
    pub fn enter(&self, leader: u32) -> Group {
        let mut running = self.running();
        running.leaders.insert(leader);
        if running.is_killing {
            signal_group(leader, Signal::KILL);
        }
        Group {
            groups: self.clone(),
            leader,
            is_left: false,
        }
    }

    /// Kills every group, and each that comes later.
    pub fn kill_all(&self) {
        let mut running = self.running();
        running.is_killing = true;
        for &leader in &running.leaders {
            signal_group(leader, Signal::KILL);
        }
    }

    /// Whether every group is killed.
    pub fn is_killing(&self) -> bool {
        self.running().is_killing
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One group, killed on drop unless [`leave`](Self::leave) came first.
#[derive(Debug)]
pub struct Group {
    groups: Groups,
    leader: u32,
    is_left: bool,
}

impl Group {
    /// Asks every process of the group to end.
    pub fn terminate(&self) {
        signal_group(self.leader, Signal::TERM);
    }

    /// Ends every process of the group.
    pub fn kill(&self) {
        signal_group(self.leader, Signal::KILL);
    }

    /// Lets the group be: its leader has ended, and what it left behind may go on.
    pub fn leave(mut self) {
        self.is_left = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_left {
            self.kill();
        }
        self.groups.running().leaders.remove(&self.leader);
    }
}

fn signal_group(leader: u32, signal: Signal) {
    let Some(leader) = i32::try_from(leader).ok().and_then(Pid::from_raw) else {
        return;
    };
    match kill_process_group(leader, signal) {
        // Nobody is left in the group; or only processes that are no longer ours, which nothing can be done about.
        Ok(()) | Err(Errno::SRCH | Errno::PERM) => {}
        Err(error) => debug_assert!(false, "a signal to a group is refused: {error}"),
    }
}
