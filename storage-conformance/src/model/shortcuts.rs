//! Calls by shortcuts, where the driver has them: a shortcut answers as the operation that it stands for, or has no answer.
//!
//! They are kept as a handle keeps its own: across deletions, new partitions of the name, closings and reopenings.

use std::fmt::Debug;
use std::sync::Arc;

use storage_api::{
    LeaseRequest, LeasedBatch, PartitionId, Receipts, Result as ApiResult, Shortcut, Timestamp,
    Version,
};

use super::action::Way;
use super::numbers::{Mismatch, ranked};
use super::world::{World, same};
use crate::log::shortened;

/// A shortcut, and what it leads to.
#[derive(Clone)]
pub(super) struct Kept {
    shortcut: Arc<dyn Shortcut>,
    /// The version at which the model made the partition.
    created: Version,
    /// Which opening of the driver gave it.
    opening: u64,
}

impl World {
    /// The driver's answer by a shortcut; `None` where the long way has it.
    pub(super) fn shortly<T: Debug>(
        &mut self,
        partition: u8,
        way: Way,
        call: impl FnOnce(&dyn Shortcut) -> Option<ApiResult<T>>,
    ) -> Result<Option<ApiResult<T>>, Mismatch> {
        let kept = match way {
            Way::Long => None,
            Way::Asked => self.ask(partition)?,
            Way::Kept(rank) => match ranked(&self.home(partition).shortcuts, rank) {
                Some(kept) => Some(kept.clone()),
                None => self.ask(partition)?,
            },
        };
        let Some(kept) = kept else {
            return Ok(None);
        };
        let Some(answer) = call(&*kept.shortcut) else {
            return Ok(None);
        };
        if let Some(why) = self.ended(partition, &kept) {
            let answer = shortened(format_args!("{answer:?}"));
            return Err(format!(
                "a shortcut to {} answers {answer}\n  though {why}",
                self.id(partition)
            ));
        }
        if let Some(trace) = &mut self.trace {
            trace.push("by a shortcut:".to_owned());
        }
        Ok(Some(answer))
    }

    /// The driver's lease by a shortcut, which answers where nothing is due, and says what will be due next.
    pub(super) fn lease_shortly(
        &mut self,
        partition: u8,
        way: Way,
        request: &LeaseRequest,
    ) -> Result<Option<ApiResult<LeasedBatch>>, Mismatch> {
        let stats = self.model.stats(&self.id(partition));
        let next_due = stats.ok().and_then(|stats| stats.next_due);
        let answer = self.shortly(partition, way, |shortcut| shortcut.lease(request))?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        if let Some(due) = next_due.filter(|due| *due <= request.now) {
            let answer = shortened(format_args!("{answer:?}"));
            return Err(format!(
                "a shortcut leases {answer}\n  though something was due at {due}: that is to be maintained first"
            ));
        }
        match answer {
            Ok((leased, told)) => {
                same::<Option<Timestamp>>("next due time of a shortcut", &told, &next_due)?;
                Ok(Some(Ok(leased)))
            }
            Err(error) => Ok(Some(Err(error))),
        }
    }

    /// After closing: the driver gives no shortcut, and those that it gave have no answer.
    pub(super) fn shortcuts_have_ended(&self) -> Result<(), Mismatch> {
        for home in &self.homes {
            if self.driver.shortcut(&home.id).is_some() {
                return Err(leads_nowhere(&home.id, "the backend is closed"));
            }
            for kept in &home.shortcuts {
                if let Some(answer) = kept.shortcut.complete(&Receipts::default()) {
                    let id = &home.id;
                    return Err(format!(
                        "a shortcut to {id} answers {answer:?} though the backend is closed"
                    ));
                }
            }
        }
        Ok(())
    }

    /// A shortcut that the driver gives now, which is kept.
    fn ask(&mut self, partition: u8) -> Result<Option<Kept>, Mismatch> {
        let id = self.id(partition);
        let Some(shortcut) = self.driver.shortcut(&id) else {
            return Ok(None);
        };
        let Ok(info) = self.model.partition(&id) else {
            return Err(leads_nowhere(&id, "there is no such partition"));
        };
        let kept = Kept {
            shortcut,
            created: info.created,
            opening: self.opening,
        };
        self.home_mut(partition).shortcuts.push(kept.clone());
        Ok(Some(kept))
    }

    /// Why a shortcut has no answer any more, where that is so.
    fn ended(&self, partition: u8, kept: &Kept) -> Option<&'static str> {
        if kept.opening != self.opening {
            return Some("the backend that gave it was closed");
        }
        let info = self.model.partition(&self.home(partition).id);
        if info.is_ok_and(|info| info.created == kept.created) {
            return None;
        }
        Some("its partition was deleted")
    }
}

fn leads_nowhere(id: &PartitionId, why: &str) -> Mismatch {
    format!("the driver gives a shortcut to {id}, though {why}")
}
