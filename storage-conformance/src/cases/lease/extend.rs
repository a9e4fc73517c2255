//! Moving deadlines.

use storage_api::{
    Capability, CompleteOutcome, ExtendOutcome, Holder, ItemEntry, ItemState, LeaseRequest,
    Receipt, Timestamp,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, count};
use crate::part::{receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![lease:
    extension_to_a_later_time_is_binding ["LEASE-8", "LEASE-7"],
    extended_lease_is_completed_after_its_first_deadline ["LEASE-8", "LEASE-7"],
    extension_to_an_earlier_time_takes_the_lease_back_earlier ["LEASE-8", "TIME-1"],
    extension_into_the_past_is_due_at_once ["LEASE-8", "TIME-1"],
    extension_changes_the_deadline_alone ["LEASE-8"],
    last_of_several_extensions_holds ["LEASE-8", "TIME-2"],
    extension_tells_of_each_receipt ["LEASE-8", "BATCH-1"],
    extension_is_kept_over_a_reopening ["LEASE-8", "DUR-2"] .requires(Capability::Reopen),
];

fn deadline(item: &ItemEntry) -> Timestamp {
    match item.state {
        ItemState::Leased { deadline, .. } => deadline,
        state => panic!("expected a leased item, got {state:?}"),
    }
}

async fn extension_to_a_later_time_is_binding(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    let extended = part.extend([receipt(&leased)], at(20)).await;
    let mut handled = Vec::new();
    for now in [10, 19, 20] {
        handled.push(part.maintain(at(now)).await.ready);
    }

    assert_eq!(extended, [ExtendOutcome::Extended]);
    assert_eq!(handled, [0, 0, 1]);
}

/// A service that checked the deadline of the receive, not the extended one, refused this.
async fn extended_lease_is_completed_after_its_first_deadline(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;
    part.extend([receipt(&leased)], at(20)).await;
    part.maintain(at(15)).await;

    let completed = part.complete([receipt(&leased)]).await;

    assert_eq!(completed, [CompleteOutcome::Done]);
}

async fn extension_to_an_earlier_time_takes_the_lease_back_earlier(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(100), "x").await;

    part.extend([receipt(&leased)], at(5)).await;
    let due = part.stats().await.next_due;
    let early = part.maintain(at(4)).await.ready;
    let then = part.maintain(at(5)).await.ready;

    assert_eq!((due, early, then), (Some(at(5)), 0, 1));
}

async fn extension_into_the_past_is_due_at_once(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(50), at(100), "x").await;

    let extended = part.extend([receipt(&leased)], at(i64::MIN)).await;
    let maintained = part.maintain(at(50)).await;

    assert_eq!(extended, [ExtendOutcome::Extended]);
    assert_eq!((maintained.ready, maintained.next_due), (1, None));
}

async fn extension_changes_the_deadline_alone(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let holder = Holder::new(9).expect("not zero");
    let request = LeaseRequest::new(at(0), at(10), count(1)).holder(holder);
    let mut expected = part.lease_with(request).await;

    part.extend(receipts(&expected), at(20)).await;

    if let ItemState::Leased { deadline, .. } = &mut expected[0].state {
        *deadline = at(20);
    }
    assert_eq!(part.list_all().await, expected);
}

async fn last_of_several_extensions_holds(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;

    for time in [30, 5, 70, 40] {
        part.extend([receipt(&leased)], at(time)).await;
    }
    let due = part.stats().await.next_due;
    let early = part.maintain(at(39)).await.handled();
    let last = part.maintain(at(40)).await;

    assert_eq!((due, early), (Some(at(40)), 0));
    // No deadline of before is left.
    assert_eq!((last.ready, last.more, last.next_due), (1, false, None));
}

async fn extension_tells_of_each_receipt(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "gone", "released", "2"]).await;
    let leased = receipts(&part.lease(at(0), at(10), 4).await);
    part.complete([leased[1]]).await;
    part.release([leased[2]]).await;
    let unknown = Receipt {
        lease: leased[3].lease,
        item: leased[0].item,
    };

    let mixed = [
        leased[0], leased[1], leased[2], unknown, leased[3], leased[0],
    ];
    let extended = part.extend(mixed, at(50)).await;

    use ExtendOutcome::{Extended, LeaseLost, NotFound};
    let expected = [Extended, NotFound, LeaseLost, LeaseLost, Extended, Extended];
    assert_eq!(extended, expected);
    let held = part.list_state(storage_api::State::Leased).await;
    let deadlines: Vec<_> = held.iter().map(deadline).collect();
    assert_eq!(deadlines, [at(50), at(50)]);
}

async fn extension_is_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "x").await;
    part.extend([receipt(&leased)], at(20)).await;

    env.reopen().await;

    assert_eq!(deadline(&part.item(leased.id).await), at(20));
    assert_eq!(part.maintain(at(19)).await.next_due, Some(at(20)));
}
