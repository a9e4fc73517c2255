//! Errors: kinds, order, outcomes, and that nothing panics.

use storage_api::{
    Capability, CompleteOutcome, Cursor, DeadReason, DeleteOutcome, Direction, Error, ErrorKind,
    ExtendOutcome, Floors, Holder, ItemId, ItemState, KeyRange, LeaseId, LeaseRequest, ListRequest,
    Listing, Mode, NewItem, Object, Operation, Outcome, PartitionConfig, Receipt, ReleaseOutcome,
    Result, Retry, RetryHint, RetryOutcome, RetryTo, ReviveOutcome, ScanRequest, States, Timestamp,
    limits,
};

use crate::case::{Case, cases};
use crate::change::{CHANGES, Stage, View};
use crate::env::{Env, at, count, namespace, partition_id, refused};
use crate::harness::Failpoints;
use crate::part::{ready_at, receipts, whole};
use crate::request::commit_at;

pub(super) const CASES: &[Case] = cases![errors:
    an_error_names_its_operation_and_its_object ["ERR-1", "PART-2"],
    a_name_is_escaped_where_an_error_shows_it ["ERR-1", "PART-6"],
    a_refusal_by_mode_may_be_tried_again ["ERR-1", "PART-8"],
    a_refusal_that_stays_is_not_to_be_tried_again ["ERR-1"],
    a_mode_is_named_before_a_missing_partition_of_a_commit ["ERR-2", "META-1"],
    a_missing_partition_is_named_before_a_failed_check ["ERR-2", "META-1"],
    a_missing_partition_is_named_before_a_bad_cursor ["ERR-2", "LIST-3"],
    a_failed_check_is_told_before_a_full_partition ["ERR-2", "META-1"],
    cursors_of_any_bytes_are_refused ["ERR-1", "LIST-3"],
    the_ends_of_time_break_nothing ["ERR-1", "TIME-4"],
    numbers_that_nobody_was_given_break_nothing ["ERR-1", "DONE-1", "LIST-1"],
    a_refusal_changes_nothing ["ATOM-1"],
    a_failed_write_is_applied_wholly_or_not_at_all ["ATOM-1", "ERR-1"] .requires(Capability::Reopen) .long(),
    what_reads_show_after_a_failed_write_stays ["ATOM-1", "DUR-1"] .requires(Capability::Reopen),
    a_full_disk_refuses_what_grows_and_loses_nothing ["LIMIT-2", "ATOM-1"] .requires(Capability::Reopen),
    a_disk_that_has_room_again_takes_everything_again ["LIMIT-2"] .requires(Capability::Reopen),
];

/// The error of a call that cannot succeed.
#[track_caller]
fn error_of<T: std::fmt::Debug>(result: Result<T>) -> Error {
    match result {
        Ok(value) => panic!("expected a refusal, got {value:?}"),
        Err(error) => error,
    }
}

async fn an_error_names_its_operation_and_its_object(env: Env) {
    let backend = env.backend().await;
    let id = partition_id("missing", 3);

    let request = LeaseRequest::new(at(0), at(1), count(1));
    let errors = [
        (Operation::Stats, error_of(backend.stats(&id).await)),
        (Operation::Watch, error_of(backend.watch(&id).await)),
        (
            Operation::Lease,
            error_of(backend.lease(&id, request).await),
        ),
        (
            Operation::DeletePartition,
            error_of(backend.delete_partition(&id).await),
        ),
        (
            Operation::Maintain,
            error_of(backend.maintain(&id, at(0), count(1)).await),
        ),
    ];

    for (operation, error) in errors {
        assert_eq!(error.operation(), operation, "{error}");
        assert_eq!(*error.object(), Object::Partition(id.clone()), "{error}");
        assert!(!error.reason().is_empty(), "{error}");
    }
}

async fn a_name_is_escaped_where_an_error_shows_it(env: Env) {
    let id = partition_id("a\nb\u{1b}[31m", 0);

    let error = error_of(env.backend().await.stats(&id).await);

    let text = error.to_string();
    assert!(text.contains("a\\nb\\u{1b}[31m/0"), "{text:?}");
    assert!(!text.contains(char::is_control), "one line: {text:?}");
}

async fn a_refusal_by_mode_may_be_tried_again(env: Env) {
    let config = PartitionConfig::default().with_mode(Mode::Frozen);
    let part = env.partition_with("a", config).await;
    let request = LeaseRequest::new(at(0), at(1), count(1));

    let errors = [
        refused(part.try_produce(at(0), ["x"]).await, ErrorKind::Unavailable),
        refused(part.try_lease(request).await, ErrorKind::Unavailable),
    ];

    for error in errors {
        assert_eq!(error.retry_hint(), RetryHint::SameCall, "{error}");
    }
}

async fn a_refusal_that_stays_is_not_to_be_tried_again(env: Env) {
    let part = env.partition("a").await;
    let backend = env.backend().await;
    let config = PartitionConfig::default();

    let again = backend.create_partition(part.id(), config).await;
    let missing = backend.stats(&partition_id("missing", 0)).await;

    let errors = [
        refused(again, ErrorKind::AlreadyExists),
        refused(missing, ErrorKind::NotFound),
    ];
    for error in errors {
        assert_eq!(error.retry_hint(), RetryHint::Never, "{error}");
    }
}

async fn a_mode_is_named_before_a_missing_partition_of_a_commit(env: Env) {
    let config = PartitionConfig::default().with_mode(Mode::Draining);
    let draining = env.partition_with("draining", config).await;
    let missing = env.part(&partition_id("missing", 0));

    let request = commit_at(at(0))
        .produce(&missing, ["x"])
        .produce(&draining, ["x"]);
    let committed = env.try_commit(request).await;

    refused(committed, ErrorKind::Unavailable);
}

async fn a_missing_partition_is_named_before_a_failed_check(env: Env) {
    let missing = env.part(&partition_id("missing", 0));
    env.put("ns", "there", "1").await;

    let request = commit_at(at(0))
        .check_absent("ns", "there")
        .delete_items(&missing, []);
    let committed = env.try_commit(request).await;

    refused(committed, ErrorKind::NotFound);
}

async fn a_missing_partition_is_named_before_a_bad_cursor(env: Env) {
    let missing = env.part(&partition_id("missing", 0));

    let damaged = ListRequest::ready().after(Cursor::from_bytes(&b"damaged"[..]));
    let listed = missing.try_list(damaged).await;

    // Only with the partition can be told what its cursors are.
    refused(listed, ErrorKind::NotFound);
}

async fn a_failed_check_is_told_before_a_full_partition(env: Env) {
    let config = PartitionConfig::default().with_items_max(1);
    let full = env.partition_with("full", config).await;
    full.produce(at(0), ["fills it"]).await;
    env.put("ns", "there", "1").await;

    let request = commit_at(at(0))
        .check_absent("ns", "there")
        .produce(&full, ["too much"]);

    env.commit_refused(request).await;
}

async fn cursors_of_any_bytes_are_refused(env: Env) {
    let stage = Stage::set(&env).await;
    let backend = env.backend().await;
    let whole = stage.part.list(ListRequest::ready().items_max(count(1)));
    let whole = whole.await.next.expect("two more are ready");
    let mut all: Vec<Vec<u8>> = (0..40u8)
        .map(|len| (0..len).map(|n| n.wrapping_mul(37) ^ len).collect())
        .collect();
    all.push(vec![0xff; 4000]);
    // A whole one with one byte too many, one too few, and one that is another.
    let bytes = whole.as_bytes();
    all.push([bytes, &[0]].concat());
    all.push(bytes[..bytes.len() - 1].to_vec());
    all.push([&bytes[..bytes.len() - 1], &[bytes[bytes.len() - 1] ^ 1]].concat());

    for bytes in all {
        let cursor = Cursor::from_bytes(bytes.clone());
        let told = |error: Error| {
            let kind = error.kind();
            assert_eq!(kind, ErrorKind::InvalidArgument, "{bytes:?}: {error}");
        };
        told(error_of(
            backend.list_partitions(Some(&cursor), count(1)).await,
        ));
        told(error_of(backend.namespaces(Some(&cursor), count(1)).await));
        for listing in [
            Listing::ById(States::ALL),
            Listing::Ready,
            Listing::Scheduled,
            Listing::Leased,
        ] {
            let request = ListRequest::new(listing).after(cursor.clone());
            told(error_of(stage.part.try_list(request).await));
        }
        for direction in [Direction::Forward, Direction::Backward] {
            let request = ScanRequest::new(namespace("ns"), KeyRange::all());
            let request = request.direction(direction).after(cursor.clone());
            told(error_of(backend.scan(at(0), request).await));
        }
    }
}

async fn the_ends_of_time_break_nothing(env: Env) {
    const ENDS: [Timestamp; 2] = [Timestamp::MIN, Timestamp::MAX];
    let config = PartitionConfig::default().with_dedup_for(std::time::Duration::MAX);
    let part = env.partition_with("a", config).await;
    for now in ENDS {
        for other in ENDS {
            let items = [
                NewItem::new("plain").expire_at(other),
                NewItem::new("later").enqueue_at(other),
            ];
            part.produce(now, items).await;
            let leased = receipts(&part.lease(now, other, 2).await);
            part.extend(leased.clone(), now).await;
            let retries = leased
                .into_iter()
                .map(|receipt| Retry::new(receipt, RetryTo::At(other)));
            part.retry_all(now, retries).await;
            let dead = ItemState::Dead {
                reason: DeadReason::Expired,
                died_at: now,
            };
            let id = 1_000_000 + part.list_all().await.len() as u64;
            let restored = whole(id, NewItem::new("dead").expire_at(other), dead);
            part.restore(vec![restored], Floors::none()).await;
            part.maintain(other).await;
            env.put_until("ns", "key", "value", Some(other)).await;
            env.get(now, "ns", "key").await;
            let purged = env.backend().await.purge(now, count(10)).await;
            purged.expect("any time is legal");
            part.assert_stats_are_those_of_the_items().await;
        }
    }
}

async fn numbers_that_nobody_was_given_break_nothing(env: Env) {
    let stage = Stage::set(&env).await;
    let before = env.snapshot().await;
    let numbers = [limits::NUMBER_MAX, limits::NUMBER_MAX - 1, 1 << 62, 1 << 32];
    for number in numbers {
        let item = ItemId::new(number).expect("within the limits");
        let lease = LeaseId::new(number).expect("within the limits");
        let nobodys = Receipt { item, lease };
        let forged = Receipt {
            item: stage.leased[0].item,
            lease,
        };
        let (part, both) = (&stage.part, [nobodys, forged]);

        use CompleteOutcome as Complete;
        let completed = part.complete(both).await;
        assert_eq!(completed, [Complete::NotFound, Complete::LeaseLost]);
        let extended = part.extend(both, at(900)).await;
        assert_eq!(
            extended,
            [ExtendOutcome::NotFound, ExtendOutcome::LeaseLost]
        );
        let released = part.release(both).await;
        assert_eq!(
            released,
            [ReleaseOutcome::NotFound, ReleaseOutcome::LeaseLost]
        );
        let retries = both.map(|receipt| Retry::new(receipt, RetryTo::Now));
        let retried = part.retry_all(at(9), retries).await;
        assert_eq!(retried, [RetryOutcome::NotFound, RetryOutcome::LeaseLost]);
        assert_eq!(part.revive([item]).await, [ReviveOutcome::NotFound]);
        assert_eq!(part.delete_items([item]).await, [DeleteOutcome::NotFound]);
        assert_eq!(part.get([item]).await, [None]);
        let behind = part.list(ListRequest::from_id(States::ALL, item)).await;
        assert_eq!((behind.items, behind.next), (vec![], None));
        let holder = Holder::new(number).expect("not zero");
        assert_eq!(part.release_holder(holder, 10).await.released, 0);
    }

    assert_eq!(env.snapshot().await, before);
}

async fn a_refusal_changes_nothing(env: Env) {
    let stage = Stage::set(&env).await;
    let full = PartitionConfig::default().with_items_max(9);
    stage.part.update(full.clone()).await;
    let backend = env.backend().await;
    let before = env.snapshot().await;

    let config = PartitionConfig::default();
    let again = backend.create_partition(stage.part.id(), config).await;
    refused(again, ErrorKind::AlreadyExists);
    assert_eq!(env.snapshot().await, before);

    let too_many = stage.part.try_produce(at(0), ["one too many"]).await;
    refused(too_many, ErrorKind::CapacityExceeded);
    assert_eq!(env.snapshot().await, before);

    // The second is taken, the first is not.
    let taken = whole(stage.ready[0].get(), "taken", ready_at(1 << 50));
    let free = whole(1 << 50, "free", ready_at(1 << 51));
    let restored = stage
        .empty
        .try_restore(vec![free.clone(), free], Floors::none());
    refused(restored.await, ErrorKind::AlreadyExists);
    let restored = stage.part.try_restore(vec![taken], Floors::none()).await;
    refused(restored, ErrorKind::AlreadyExists);
    assert_eq!(env.snapshot().await, before);

    let request = commit_at(at(0))
        .put("ns", "b", "2")
        .produce(&stage.empty, ["fits"])
        .produce(&stage.part, ["does not"]);
    refused(env.try_commit(request).await, ErrorKind::CapacityExceeded);
    assert_eq!(env.snapshot().await, before);

    stage.part.update(full.with_mode(Mode::Frozen)).await;
    let before = env.snapshot().await;
    let request = LeaseRequest::new(at(0), at(1), count(1));
    refused(stage.part.try_lease(request).await, ErrorKind::Unavailable);
    let maintained = backend.maintain(stage.part.id(), at(9999), count(9)).await;
    refused(maintained, ErrorKind::Unavailable);
    assert_eq!(env.snapshot().await, before);
}

/// Who makes the engine of the place fail; without that the case does not apply.
fn failpoints(env: &Env) -> &dyn Failpoints {
    match env.place().failpoints() {
        Some(failpoints) => failpoints,
        None => env.inapplicable("the harness offers nobody who makes writes fail"),
    }
}

/// Leaves the backend, which may not close any more, and opens the place again.
async fn reopen_after_failure(env: &Env) -> View {
    if let Some(backend) = env.forget().await {
        // What failed before may fail the closing too.
        let _ = backend.close().await;
    }
    env.open_when_left().await;
    View::of(&env.snapshot().await)
}

async fn a_failed_write_is_applied_wholly_or_not_at_all(env: Env) {
    const REPEATABLE: [&str; 6] = [
        "complete",
        "extend",
        "delete_items",
        "clear",
        "maintain",
        "purge",
    ];
    failpoints(&env);
    let mut failures = 0;
    for change in CHANGES {
        let name = change.name;
        let applied = View::behind(&env, change).await;
        let env = env.elsewhere().await;
        let stage = Stage::set(&env).await;
        let before = View::of(&env.snapshot().await);

        failpoints(&env).fail_next_write();
        let answer = (change.on)(env.backend().await, stage).await;
        failpoints(&env).heal();

        let after = reopen_after_failure(&env).await;
        match answer {
            Ok(()) => assert_eq!(after, applied, "{name} was acknowledged"),
            Err(error) if error.outcome() == Outcome::NotApplied => {
                failures += 1;
                assert_eq!(
                    after, before,
                    "{name} said that it changed nothing: {error}"
                );
            }
            Err(error) => {
                failures += 1;
                assert!(
                    after == before || after == applied,
                    "{name} left neither what was nor what was asked for: {error}\n  {after:?}"
                );
                assert!(
                    error.retry_hint() != RetryHint::SameCall || REPEATABLE.contains(&name),
                    "{name} may have been applied and must not be repeated: {error}"
                );
            }
        }
        env.finish().await;
    }
    assert!(failures > 0, "no write failed: the failpoint was never met");
}

async fn what_reads_show_after_a_failed_write_stays(env: Env) {
    failpoints(&env);
    for change in CHANGES {
        let env = env.elsewhere().await;
        let stage = Stage::set(&env).await;
        let backend = env.backend().await;

        failpoints(&env).fail_next_write();
        let answer = (change.on)(backend.clone(), stage).await.map(drop);
        failpoints(&env).heal();

        let seen = View::look(&*backend).await;
        drop(backend);
        let after = reopen_after_failure(&env).await;
        // A read may be refused; what it has shown is durable (DUR-1).
        if let Ok(seen) = seen {
            assert_eq!(after, seen, "{}, which answered {answer:?}", change.name);
        }
        env.finish().await;
    }
}

async fn a_full_disk_refuses_what_grows_and_loses_nothing(env: Env) {
    const GROWING: [&str; 3] = ["create_partition", "produce", "restore"];
    failpoints(&env);
    for change in CHANGES {
        let name = change.name;
        let applied = View::behind(&env, change).await;
        let env = env.elsewhere().await;
        let stage = Stage::set(&env).await;
        let backend = env.backend().await;
        let before = View::of(&env.snapshot().await);

        failpoints(&env).fill_disk();
        let answer = (change.on)(backend.clone(), stage).await;

        let seen = View::look(&*backend).await;
        let seen = seen.unwrap_or_else(|error| panic!("reads go on, full or not: {error}"));
        match answer {
            Ok(()) => {
                assert!(!GROWING.contains(&name), "{name} found room on a full disk");
                assert_eq!(seen, applied, "{name}");
            }
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::CapacityExceeded | ErrorKind::Unavailable
                    ),
                    "{name}: {}: {error}",
                    error.kind()
                );
                assert!(
                    seen == before || (seen == applied && error.outcome() == Outcome::Unknown),
                    "{name} left neither what was nor what was asked for: {error}\n  {seen:?}"
                );
            }
        }
        failpoints(&env).heal();
        drop(backend);
        assert_eq!(reopen_after_failure(&env).await, seen, "{name}");
        env.finish().await;
    }
}

async fn a_disk_that_has_room_again_takes_everything_again(env: Env) {
    failpoints(&env);
    let stage = Stage::set(&env).await;
    failpoints(&env).fill_disk();
    let refusal = error_of(stage.part.try_produce(at(9), ["no room"]).await);

    failpoints(&env).heal();

    if refusal.retry_hint() == RetryHint::AfterReopen {
        reopen_after_failure(&env).await;
    }
    stage.part.produce(at(9), ["room again"]).await;
    let before = env.snapshot().await;
    env.reopen().await;
    assert_eq!(env.snapshot().await, before);
    assert_eq!(stage.part.stats().await.ready.items, 4);
}
