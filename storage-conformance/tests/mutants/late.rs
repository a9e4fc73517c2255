//! Wrong about those who are late, and about what only one of two settings says.

use storage_api::*;

use crate::edited::edited;
use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "leasing_takes_back_what_is_late",
            "Whoever leases is given what is past its deadline, without maintain.",
            TakesLate::wrap,
            &["lease::late_completion_is_judged_by_whether_the_item_was_taken_back"],
        ),
        edited(
            "leasing_buries_what_has_expired_at_work",
            "A look for work sweeps what has expired, items at work included.",
            &[Operation::Lease],
            |scene| {
                let now = scene.now.unwrap_or(Timestamp::MIN);
                scene.items(|before, item| {
                    let has_expired = item.record.view().expire_at().is_some_and(|at| at <= now);
                    if before.state() == State::Leased && has_expired {
                        let (reason, died_at) = (DeadReason::Expired, now);
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &["lease::item_at_work_past_its_expiry_in_its_last_attempt_is_taken_by_nobody"],
        ),
        Mutant::new(
            "a_holder_is_as_good_as_a_receipt",
            "The lock is that of the worker, not of its start: one who was late finishes what it has now (Bull, issue 308).",
            LooksAtTheHolder::wrap,
            &["lease::holder_who_is_given_its_item_again_needs_the_new_receipt"],
        ),
        edited(
            "updates_forget_one_setting",
            "A column is missing from the statement that updates a partition.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let dedup_for = before.info.config.dedup_for();
                    now.info.config = now.info.config.clone().with_dedup_for(dedup_for);
                });
            },
            &["partitions::update_of_each_setting_leaves_the_others"],
        ),
    ]
}

wrong! {
    /// Takes back what is late before it leases.
    TakesLate
    ItemStore [lease] {
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            let taken = self.inner.maintain(partition, request.now, Count::MAX).await;
            self.at.fired.fire_if(taken.is_ok_and(|taken| taken.handled() > 0));
            self.inner.lease(partition, request).await
        }
    }
}

wrong! {
    /// Completes what the holder of a receipt has now.
    LooksAtTheHolder
    ItemStore [complete] {
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let items = ItemIds::collect(receipts.iter().map(|one| one.item))?;
            let found = self.inner.get_items(partition, items, false).await?;
            let held = receipts.iter().zip(&found).map(|(receipt, item)| match item {
                Some(item) if matches!(item.state, ItemState::Leased { holder: Some(_), .. }) => {
                    item.receipt().unwrap_or(*receipt)
                }
                _ => *receipt,
            });
            let held = Receipts::collect(held)?;
            self.at.fired.fire_if(held != receipts);
            self.inner.complete(partition, held).await
        }
    }
}
