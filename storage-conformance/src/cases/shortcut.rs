//! Shortcuts, where a driver has them: each is the operation that it stands for, or has no answer.
//!
//! Having no answer is always right, and then the operation is asked, as a user's handle does. So a case that wants something
//! done takes it from either; one that is about the end of a shortcut asks that alone.

use std::sync::Arc;
use std::time::Duration;

use storage_api::{
    Capability, CompleteOutcome, ErrorKind, Holder, ItemBatch, ItemEntry, ItemState, LeaseRequest,
    LeasedBatch, Mode, NewItem, Operation, PartitionConfig, ProduceOutcome, Produced, Receipt,
    Receipts, Result, Shortcut, State, Timestamp,
};

use super::signals::woken;
use crate::case::{Case, cases};
use crate::env::{Env, answer_of, at, count, partition_id, refused};
use crate::part::{Part, batch, payloads, receipts};

pub(super) const CASES: &[Case] = cases![shortcut:
    producing_by_it_is_producing ["ITEM-1", "ITEM-2", "ITEM-3", "ITEM-4", "ITEM-6"] .since(2),
    leasing_by_it_is_leasing ["LEASE-1", "LEASE-2", "LEASE-6", "LEASE-9"] .since(2),
    completing_by_it_is_completing ["BATCH-1", "DONE-1", "DONE-2"] .since(2),
    it_refuses_what_the_operations_refuse ["PART-8", "LIMIT-2", "ATOM-1", "ERR-1"] .since(2),
    it_leases_only_where_nothing_is_due ["LEASE-4", "TIME-1"] .since(2),
    it_tells_what_will_be_due_next ["TIME-2"] .since(2),
    producing_by_it_wakes ["WAKE-1"] .since(2),
    leasing_by_it_wakes_for_the_deadline ["WAKE-1", "TIME-2"] .since(2),
    completing_by_it_wakes_for_a_key_that_lingers ["WAKE-1", "ITEM-4"] .since(2),
    it_ends_with_its_partition ["PART-2", "PART-4"] .since(2),
    it_leads_to_no_partition_made_again ["PART-4", "ITEM-2"] .since(2),
    there_is_none_to_what_is_not_there ["PART-2", "PART-4"] .since(2),
    it_ends_with_its_backend ["CLOSE-1"] .since(2),
    what_was_done_by_it_is_there_after_reopening ["DUR-2", "CLOSE-1"]
        .since(2) .requires(Capability::Reopen),
];

/// A partition by a shortcut that was asked for once and is kept, as in a user's handle.
struct Handle {
    env: Env,
    part: Part,
    shortcut: Arc<dyn Shortcut>,
}

/// The handle of a partition that is there; the case does not apply to drivers without shortcuts.
async fn handle(env: &Env, part: Part) -> Handle {
    let Some(shortcut) = env.backend().await.shortcut(part.id()) else {
        env.inapplicable("the driver has no shortcuts: its operations are the only way");
    };
    Handle {
        env: env.clone(),
        part,
        shortcut,
    }
}

impl Handle {
    async fn produce(&self, now: Timestamp, items: ItemBatch) -> Result<Produced> {
        let sealed = items.seal(now);
        match self.shortcut.produce(&sealed) {
            Some(produced) => produced,
            None => {
                self.env
                    .backend()
                    .await
                    .produce(self.part.id(), sealed)
                    .await
            }
        }
    }

    async fn lease(&self, request: LeaseRequest) -> Result<LeasedBatch> {
        match self.shortcut.lease(&request) {
            Some(leased) => leased.map(|(leased, _)| leased),
            None => self.part.try_lease(request).await,
        }
    }

    async fn complete(&self, receipts: Vec<Receipt>) -> Vec<CompleteOutcome> {
        match self.shortcut.complete(&some(&receipts)) {
            Some(outcomes) => answer_of(outcomes),
            None => self.part.complete(receipts).await,
        }
    }

    /// No call of the shortcut has an answer, and so none has done anything.
    fn assert_it_has_ended(&self) {
        let produced = self.shortcut.produce(&batch(["late"]).seal(at(0)));
        assert!(produced.is_none(), "it produces: {produced:?}");
        let leased = self.shortcut.lease(&one(at(0)));
        assert!(leased.is_none(), "it leases: {leased:?}");
        let completed = self.shortcut.complete(&Receipts::default());
        assert!(completed.is_none(), "it completes: {completed:?}");
    }
}

fn some(receipts: &[Receipt]) -> Receipts {
    Receipts::new(receipts.to_vec()).expect("few receipts")
}

/// One item until 10.
fn one(now: Timestamp) -> LeaseRequest {
    LeaseRequest::new(now, at(10), count(1))
}

async fn producing_by_it_is_producing(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let part = &handle.part;
    let first = NewItem::new("first").dedup_key("key");
    let first = part.produce_one(at(0), first).await;

    let items = [
        NewItem::new("again").dedup_key("key"),
        NewItem::new("ready").priority(1),
        NewItem::new("later").enqueue_at(at(9)),
    ];
    let produced = answer_of(handle.produce(at(3), batch(items)).await);

    let all = part.list_all().await;
    let outcomes: Vec<_> = produced.outcomes().collect();
    let duplicate = ProduceOutcome::Duplicate {
        of: first,
        state: Some(State::Ready),
    };
    let stored = all[1..].iter().map(|one| ProduceOutcome::Stored(one.id));
    assert_eq!(outcomes, [vec![duplicate], stored.collect()].concat());
    assert_eq!(payloads(&all), ["first", "ready", "later"]);
    let states: Vec<_> = all.iter().map(ItemEntry::state).collect();
    assert_eq!(states, [State::Ready, State::Ready, State::Scheduled]);
    assert_eq!(all[1].record.view().created_at(), at(3));
    assert_eq!(all[2].id.get(), all[1].id.get() + 1, "ids of a batch");
    // By priority, which it has kept.
    let leased = part.lease_one(at(3), at(8)).await;
    assert_eq!(leased.id, all[1].id);
}

async fn leasing_by_it_is_leasing(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let part = &handle.part;
    let items = [
        NewItem::new("third").priority(200),
        NewItem::new("first").priority(1),
        NewItem::new("second").priority(1),
    ];
    part.produce(at(0), items).await;
    let holder = answer_of(Holder::new(7));

    let two = LeaseRequest::new(at(1), at(50), count(2)).holder(holder);
    let leased = answer_of(handle.lease(two).await);
    let last = answer_of(
        handle
            .lease(LeaseRequest::new(at(2), at(60), count(9)))
            .await,
    );
    let none = answer_of(
        handle
            .lease(LeaseRequest::new(at(3), at(60), count(9)))
            .await,
    );

    let leased: Vec<_> = leased.iter().map(|item| item.to_entry()).collect();
    assert_eq!(payloads(&leased), ["first", "second"]);
    for entry in &leased {
        assert_eq!(entry.attempts, 1);
        assert_eq!(part.item(entry.id).await, *entry, "as it now is");
        let ItemState::Leased {
            deadline,
            holder: shown,
            ..
        } = entry.state
        else {
            panic!("it is not leased: {entry:?}");
        };
        assert_eq!((deadline, shown), (at(50), Some(holder)));
    }
    assert_eq!((last.len(), none.len()), (1, 0));
    // The receipts are those of leases, which hold at the long way.
    let outcomes = part.complete(receipts(&leased)).await;
    assert_eq!(outcomes, [CompleteOutcome::Done; 2]);
}

async fn completing_by_it_is_completing(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let part = &handle.part;
    part.produce(at(0), ["done", "held"]).await;
    let leased = receipts(&part.lease(at(0), at(50), 2).await);
    let crossed = Receipt {
        item: leased[1].item,
        lease: leased[0].lease,
    };

    let outcomes = handle.complete(vec![leased[0], leased[0], crossed]).await;

    let expected = [
        CompleteOutcome::Done,
        CompleteOutcome::NotFound,
        CompleteOutcome::LeaseLost,
    ];
    assert_eq!(outcomes, expected);
    let left = part.list_all().await;
    assert_eq!(payloads(&left), ["held"]);
    assert_eq!(left[0].receipt(), Some(leased[1]));
}

async fn it_refuses_what_the_operations_refuse(env: Env) {
    let config = PartitionConfig::default().with_items_max(2);
    let handle = handle(&env, env.partition_with("a", config.clone()).await).await;
    let part = &handle.part;
    part.produce(at(0), ["one", "two"]).await;
    let leased = part.lease_one(at(0), at(50)).await;
    let before = part.list_all().await;

    let full = handle.produce(at(1), batch(["three"])).await;
    part.update(config.clone().with_items_max(0).with_mode(Mode::Draining))
        .await;
    let draining = handle.produce(at(1), batch(["three"])).await;
    part.update(config.with_mode(Mode::Frozen)).await;
    let frozen = handle.lease(one(at(1))).await;

    let full = refused(full, ErrorKind::CapacityExceeded);
    let draining = refused(draining, ErrorKind::Unavailable);
    let frozen = refused(frozen, ErrorKind::Unavailable);
    let operations = [full, draining, frozen].map(|error| error.operation());
    assert_eq!(
        operations,
        [Operation::Produce, Operation::Produce, Operation::Lease]
    );
    assert_eq!(part.list_all().await, before);
    // What a frozen partition lets go on goes on.
    let outcomes = handle.complete(receipts(&[leased])).await;
    assert_eq!(outcomes, [CompleteOutcome::Done]);
}

async fn it_leases_only_where_nothing_is_due(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let items = [
        NewItem::new("ready"),
        NewItem::new("scheduled").enqueue_at(at(5)),
        NewItem::new("expires").expire_at(at(6)),
    ];
    handle.part.produce(at(0), items).await;
    let before = env.snapshot().await;

    for now in [at(5), at(6), Timestamp::MAX] {
        let leased = handle.shortcut.lease(&one(now));

        assert!(leased.is_none(), "something is due at {now}: {leased:?}");
        assert_eq!(env.snapshot().await, before, "it has done something");
    }
    let leased = answer_of(handle.lease(one(at(4))).await);
    assert_eq!(leased.len(), 1, "nothing is due yet");
}

async fn it_tells_what_will_be_due_next(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let next_due = |now| {
        let leased = handle.shortcut.lease(&one(now));
        leased.map(|leased| answer_of(leased).1)
    };

    let empty = next_due(at(0));
    let items = [
        NewItem::new("ready"),
        NewItem::new("scheduled").enqueue_at(at(20)),
    ];
    handle.part.produce(at(0), items).await;
    // The lease that it takes ends earlier, but was not there when it looked.
    let leasing = next_due(at(1));
    let leased = next_due(at(2));

    let expected = [
        (empty, None),
        (leasing, Some(at(20))),
        (leased, leasing.map_or(Some(at(20)), |_| Some(at(10)))),
    ];
    for (told, expected) in expected {
        // Having no answer is right everywhere.
        assert!(
            told.is_none_or(|told| told == expected),
            "{told:?}, not {expected:?}"
        );
    }
}

async fn producing_by_it_wakes(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let mut signal = handle.part.watch().await;

    answer_of(handle.produce(at(0), batch(["ready"])).await);

    woken(&env, &mut signal).await;
}

async fn leasing_by_it_wakes_for_the_deadline(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    handle.part.produce(at(0), ["ready"]).await;
    let mut signal = handle.part.watch().await;

    answer_of(handle.lease(one(at(0))).await);

    woken(&env, &mut signal).await;
}

async fn completing_by_it_wakes_for_a_key_that_lingers(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(5));
    let handle = handle(&env, env.partition_with("a", config).await).await;
    let keyed = NewItem::new("keyed").dedup_key("key");
    handle.part.produce(at(0), [keyed]).await;
    let leased = handle.part.lease_one(at(0), at(10)).await;
    let mut signal = handle.part.watch().await;

    handle.complete(receipts(&[leased])).await;

    woken(&env, &mut signal).await;
    assert_eq!(handle.part.stats().await.next_due, Some(at(5)));
}

async fn it_ends_with_its_partition(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    handle.part.produce(at(0), ["ready"]).await;

    handle.part.delete().await;

    handle.assert_it_has_ended();
    let gone = handle.produce(at(0), batch(["late"])).await;
    refused(gone, ErrorKind::NotFound);
}

async fn it_leads_to_no_partition_made_again(env: Env) {
    let handle_of = |part| handle(&env, part);
    let old = handle_of(env.partition("a").await).await;
    old.part.produce(at(0), ["ready"]).await;
    old.part.delete().await;
    let part = env.partition("a").await;

    old.assert_it_has_ended();
    assert_eq!(part.list_all().await, []);

    let new = handle_of(part).await;
    answer_of(new.produce(at(0), batch(["new"])).await);
    old.assert_it_has_ended();
    assert_eq!(payloads(&new.part.list_all().await), ["new"]);
}

async fn there_is_none_to_what_is_not_there(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let backend = env.backend().await;

    // A name that one that is there begins with, and the same name under another number.
    for other in [partition_id("aa", 0), partition_id("a", 1)] {
        assert!(backend.shortcut(&other).is_none(), "{other} is not there");
        refused(backend.partition(&other).await, ErrorKind::NotFound);
    }
    handle.part.delete().await;
    assert!(backend.shortcut(handle.part.id()).is_none(), "it has gone");
}

async fn it_ends_with_its_backend(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    handle.part.produce(at(0), ["ready"]).await;
    let backend = env.backend().await;

    env.close().await;

    handle.assert_it_has_ended();
    assert!(backend.shortcut(handle.part.id()).is_none(), "it is closed");
}

async fn what_was_done_by_it_is_there_after_reopening(env: Env) {
    let handle = handle(&env, env.partition("a").await).await;
    let items = batch(["done", "leased", "ready"]);
    answer_of(handle.produce(at(0), items).await);
    let leased = answer_of(
        handle
            .lease(LeaseRequest::new(at(0), at(9), count(2)))
            .await,
    );
    let done = leased.receipts()[0];
    handle.complete(vec![done]).await;
    let before = env.snapshot().await;

    // The handle is kept meanwhile: it holds up neither the closing nor the opening.
    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
    assert_eq!(payloads(&handle.part.list_all().await), ["leased", "ready"]);
    handle.assert_it_has_ended();
    assert_eq!(env.snapshot().await, before);
}
