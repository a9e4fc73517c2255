//! Concurrency: calls that overlap, and calls that are dropped.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use storage_api::{
    Capability, CommitOutcome, CompleteOutcome, Count, DeleteOutcome, ErrorKind, KeyRange, NewItem,
    PartitionConfig, Receipt, ReleaseOutcome, RetryTo, Timestamp, Version,
};

use crate::case::{Case, cases};
use crate::change::{CHANGES, Call, LOOKS, Stage, View};
use crate::env::{Env, at, partition_id};
use crate::part::{Part, ids, receipt, receipts};
use crate::request::commit_at;

pub(super) const CASES: &[Case] = cases![concurrency:
    no_item_is_leased_to_two_at_once ["LEASE-3", "LEASE-2", "CONC-1"] .multi_thread(),
    items_that_are_produced_and_completed_at_once_all_pass_through ["CONC-1", "LEASE-3", "DONE-1"] .multi_thread(),
    ids_stay_whole_when_many_produce ["CONC-1", "ITEM-2", "ITEM-1"] .multi_thread(),
    one_of_many_completions_of_a_receipt_is_done ["CONC-1", "DONE-2"] .multi_thread(),
    a_receipt_is_used_once_whoever_uses_it ["CONC-1", "LEASE-7"] .multi_thread(),
    what_is_due_is_handled_once_by_many_maintainers ["CONC-1", "TIME-1"] .multi_thread(),
    maintain_takes_nothing_from_a_holder_who_extends ["CONC-1", "LEASE-7", "LEASE-8"] .multi_thread(),
    one_of_many_creations_makes_the_partition ["CONC-1", "PART-1"] .multi_thread(),
    one_of_many_items_with_a_key_is_stored ["CONC-1", "ITEM-4"] .multi_thread(),
    no_write_between_two_commits_is_lost ["CONC-1", "META-1", "META-5"] .multi_thread(),
    two_checked_transactions_do_not_cross ["CONC-1", "META-5"] .multi_thread(),
    a_commit_over_partitions_is_never_seen_half ["CONC-1", "META-1"] .multi_thread(),
    statistics_are_right_after_everything_at_once ["CONC-1", "PART-7"] .multi_thread(),
    a_partition_deleted_under_load_takes_everything_along ["CONC-1", "PART-4"] .multi_thread(),
    items_are_leased_in_order_while_others_produce ["CONC-2", "LEASE-1", "ORDER-1"]
        .requires(Capability::StrictOrder) .multi_thread(),
    calls_that_do_not_overlap_keep_the_order ["CONC-2", "LEASE-1"] .multi_thread(),
    a_dropped_call_is_applied_wholly_or_not_at_all ["ATOM-2", "ATOM-1"] .long(),
    a_dropped_call_is_settled_before_the_next_begins ["ATOM-2"] .long(),
    a_lease_that_was_dropped_is_taken_back ["ATOM-2", "LEASE-7"],
    a_dropped_call_disturbs_nobody_else ["ATOM-2", "CONC-1"] .multi_thread(),
    a_close_behind_a_dropped_call_keeps_it_whole ["ATOM-2", "CLOSE-1"] .requires(Capability::Reopen) .long(),
    every_operation_may_be_dropped_at_every_poll ["ATOM-2", "ATOM-1", "DUR-4"] .since(2) .long(),
    a_closing_that_was_dropped_is_finished_by_the_next ["ATOM-2", "CLOSE-1"] .since(2) .long(),
    an_opening_that_was_dropped_leaves_the_place_free ["ATOM-2", "OPEN-1", "DUR-2"]
        .since(2) .requires(Capability::Reopen) .long(),
];

/// Runs the same work in that many tasks at once and gives what each found.
pub(super) async fn at_once<T, F>(tasks: usize, work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = (0..tasks).map(|task| tokio::spawn(work(task))).collect();
    let mut found = Vec::new();
    for task in running {
        match task.await {
            Ok(value) => found.push(value),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(error) => panic!("a task was cancelled: {error}"),
            },
        }
    }
    found
}

async fn no_item_is_leased_to_two_at_once(env: Env) {
    const ITEMS: usize = 400;
    let part = env.partition("a").await;
    part.produce(at(0), vec!["item"; ITEMS]).await;

    let leased = at_once(8, |task| {
        let part = part.clone();
        async move {
            let mut mine = Vec::new();
            loop {
                let leased = part.lease(at(0), at(100), 1 + task).await;
                if leased.is_empty() {
                    return mine;
                }
                mine.extend(receipts(&leased));
            }
        }
    })
    .await
    .concat();

    let items: BTreeSet<_> = leased.iter().map(|receipt| receipt.item).collect();
    let leases: BTreeSet<_> = leased.iter().map(|receipt| receipt.lease).collect();
    assert_eq!(
        (leased.len(), items.len(), leases.len()),
        (ITEMS, ITEMS, ITEMS)
    );
}

async fn items_that_are_produced_and_completed_at_once_all_pass_through(env: Env) {
    const PRODUCERS: usize = 4;
    const EACH: usize = 60;
    let part = env.partition("a").await;

    let done = at_once(2 * PRODUCERS, |task| {
        let part = part.clone();
        async move {
            let mut done = 0;
            if task < PRODUCERS {
                for _ in 0..EACH {
                    part.produce(at(0), ["item"]).await;
                }
                return 0;
            }
            while done < EACH {
                let leased = part.lease(at(0), at(100), EACH - done).await;
                let outcomes = part.complete(receipts(&leased)).await;
                let all_done = outcomes.iter().all(|one| *one == CompleteOutcome::Done);
                assert!(all_done, "somebody else had it: {outcomes:?}");
                done += outcomes.len();
                tokio::task::yield_now().await;
            }
            done
        }
    })
    .await;

    assert_eq!(done.iter().sum::<usize>(), PRODUCERS * EACH);
    assert_eq!(part.list_all().await, []);
}

async fn ids_stay_whole_when_many_produce(env: Env) {
    let part = env.partition("a").await;

    let batches = at_once(6, |task| {
        let part = part.clone();
        async move {
            let mut batches = Vec::new();
            for _ in 0..40 {
                batches.push(part.produce(at(0), vec!["item"; 1 + task]).await);
            }
            batches
        }
    })
    .await;

    for of_task in &batches {
        for batch in of_task {
            let is_consecutive = |pair: &[storage_api::ItemId]| pair[0].next() == Some(pair[1]);
            assert!(batch.windows(2).all(is_consecutive), "{batch:?}");
        }
        let is_later = |pair: &[Vec<_>]| pair[0].last() < pair[1].first();
        assert!(
            of_task.windows(2).all(is_later),
            "a later call has later ids"
        );
    }
    let given = batches.concat().concat();
    let unique: BTreeSet<_> = given.iter().copied().collect();
    assert_eq!(unique.len(), given.len());
    assert_eq!(
        unique.into_iter().collect::<Vec<_>>(),
        ids(&part.list_all().await)
    );
}

async fn one_of_many_completions_of_a_receipt_is_done(env: Env) {
    let part = env.partition("a").await;
    for _ in 0..20 {
        part.produce(at(0), ["item"]).await;
        let leased = receipt(&part.lease_one(at(0), at(100)).await);

        let outcomes = at_once(6, |_| {
            let part = part.clone();
            async move { part.complete([leased]).await[0] }
        })
        .await;

        let done = outcomes.iter().filter(|one| **one == CompleteOutcome::Done);
        assert_eq!(done.count(), 1, "{outcomes:?}");
    }
    assert_eq!(part.stats().await.items(), 0);
}

/// Ends a lease in one of four ways; whether that way was the one that counted.
async fn end_lease(part: Part, way: usize, leased: Receipt) -> bool {
    match way {
        0 => part.complete([leased]).await == [CompleteOutcome::Done],
        1 => part.release([leased]).await == [ReleaseOutcome::Released],
        2 => {
            let retried = part.retry(at(1), leased, RetryTo::Now).await;
            retried == storage_api::RetryOutcome::Ready
        }
        _ => part.delete_items([leased.item]).await == [DeleteOutcome::Deleted],
    }
}

async fn a_receipt_is_used_once_whoever_uses_it(env: Env) {
    let part = env.partition("a").await;
    for _ in 0..30 {
        part.produce(at(0), ["item"]).await;
        let leased = receipt(&part.lease_one(at(0), at(100)).await);

        let used = at_once(4, |way| end_lease(part.clone(), way, leased)).await;

        // Deletion needs no lease: it may come behind one that gave the item back.
        let by_lease = used[..3].iter().filter(|counted| **counted).count();
        assert!(by_lease <= 1, "{used:?}");
        assert!(used.contains(&true), "{used:?}");
        let gone = used[0] || used[3];
        let left = part.list_all().await;
        assert_eq!(left.is_empty(), gone, "{used:?}: {left:?}");
        part.delete_items(ids(&left)).await;
    }
}

async fn what_is_due_is_handled_once_by_many_maintainers(env: Env) {
    const ITEMS: usize = 200;
    let part = env.partition("a").await;
    let later = NewItem::new("later").enqueue_at(at(5));
    part.produce(at(0), vec![later; ITEMS]).await;

    let handled = at_once(6, |task| {
        let part = part.clone();
        async move {
            let mut handled = 0;
            loop {
                let maintained = part.maintain_max(at(5), 3 + task).await;
                handled += maintained.ready;
                if !maintained.more {
                    return handled;
                }
            }
        }
    })
    .await;

    assert_eq!(handled.iter().sum::<usize>(), ITEMS);
    assert_eq!(part.stats().await.ready.items, ITEMS as u64);
}

async fn maintain_takes_nothing_from_a_holder_who_extends(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["at work"]).await;
    let leased = receipt(&part.lease_one(at(0), at(10)).await);

    for now in (0..100).map(|round| round * 10) {
        // The deadline is at `now + 10` before, and at `now + 20` afterwards: nothing is due at `now + 9`.
        let outcomes = at_once(2, |task| {
            let part = part.clone();
            async move {
                if task == 0 {
                    let extended = part.extend([leased], at(now + 20)).await;
                    extended == [storage_api::ExtendOutcome::Extended]
                } else {
                    part.maintain(at(now + 9)).await.handled() == 0
                }
            }
        })
        .await;

        assert_eq!(
            outcomes,
            [true, true],
            "extended, and nothing taken, at {now}"
        );
    }
    assert_eq!(part.complete([leased]).await, [CompleteOutcome::Done]);
}

async fn one_of_many_creations_makes_the_partition(env: Env) {
    for queue in ["a", "b", "c", "d", "e"] {
        let id = partition_id(queue, 0);
        let backend = env.backend().await;

        let made = at_once(6, |task| {
            let (backend, id) = (backend.clone(), id.clone());
            async move {
                let config = PartitionConfig::default().with_items_max(1 + task as u64);
                match backend.create_partition(&id, config).await {
                    Ok(info) => Some(info),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                        None
                    }
                }
            }
        })
        .await;

        let made: Vec<_> = made.into_iter().flatten().collect();
        assert_eq!(made.len(), 1, "{made:?}");
        assert_eq!(env.part(&id).info().await, made[0]);
    }
}

async fn one_of_many_items_with_a_key_is_stored(env: Env) {
    let part = env.partition("a").await;

    let stored = at_once(8, |_| {
        let part = part.clone();
        async move {
            let mut stored = 0;
            for number in 0..25 {
                let key = format!("key {number}");
                let item = NewItem::new("item").dedup_key(&key);
                let produced = part.try_produce(at(0), [item]).await;
                stored += produced.expect("a duplicate is no error").stored();
            }
            stored
        }
    })
    .await;

    assert_eq!(stored.iter().sum::<usize>(), 25);
    assert_eq!(part.stats().await.ready.items, 25);
}

/// The number in an entry and its version, if it is there.
async fn number_of(env: &Env, name: &str) -> (u64, Option<Version>) {
    match env.get(at(0), "ns", name).await {
        None => (0, None),
        Some(entry) => {
            let text = String::from_utf8_lossy(entry.value.as_bytes()).into_owned();
            (text.parse().expect("a number"), Some(entry.version))
        }
    }
}

async fn no_write_between_two_commits_is_lost(env: Env) {
    const TASKS: usize = 6;
    const EACH: usize = 25;

    let versions = at_once(TASKS, |_| {
        let env = env.clone();
        async move {
            let mut versions = Vec::new();
            while versions.len() < EACH {
                let (number, version) = number_of(&env, "counter").await;
                let request = match version {
                    Some(version) => commit_at(at(0)).check_version("ns", "counter", version),
                    None => commit_at(at(0)).check_absent("ns", "counter"),
                };
                let request = request.put("ns", "counter", (number + 1).to_string());
                match env.try_commit(request).await.expect("it is open") {
                    CommitOutcome::Committed(committed) => versions.extend(committed.version),
                    CommitOutcome::Refused(_) => tokio::task::yield_now().await,
                }
            }
            versions
        }
    })
    .await
    .concat();

    let (number, _) = number_of(&env, "counter").await;
    assert_eq!(number, (TASKS * EACH) as u64, "every increment counts");
    let unique: BTreeSet<_> = versions.iter().collect();
    assert_eq!(unique.len(), versions.len(), "no version is given twice");
}

async fn two_checked_transactions_do_not_cross(env: Env) {
    // Each may book if nobody has: both see the empty range, and write to different keys.
    for round in 0..40 {
        let space = format!("round {round}");

        let booked = at_once(4, |task| {
            let (env, space) = (env.clone(), space.clone());
            async move {
                let seen = env.scan(at(0), &space).await;
                if !seen.is_empty() {
                    return 0;
                }
                let request = commit_at(at(0))
                    .check_range(&space, KeyRange::all(), &seen)
                    .put(&space, format!("booking of {task}"), "1");
                let outcome = env.try_commit(request).await.expect("it is open");
                usize::from(matches!(outcome, CommitOutcome::Committed(_)))
            }
        })
        .await;

        assert_eq!(booked.iter().sum::<usize>(), 1, "in round {round}");
        assert_eq!(env.scan(at(0), &space).await.len(), 1);
    }
}

async fn a_commit_over_partitions_is_never_seen_half(env: Env) {
    let (from, to) = (env.partition("from").await, env.partition("to").await);
    from.produce(at(0), vec!["moves"; 100]).await;

    let found = at_once(3, |task| {
        let (env, from, to) = (env.clone(), from.clone(), to.clone());
        async move {
            let mut least = u64::MAX;
            for _ in 0..50 {
                if task < 2 {
                    let leased = from.lease_one(at(0), at(100)).await;
                    let request = commit_at(at(0))
                        .complete(&from, [receipt(&leased)])
                        .produce(&to, ["moves"]);
                    env.commit(request).await;
                } else {
                    // What left before the first look has come before the second.
                    let left = from.stats().await.items();
                    let come = to.stats().await.items();
                    least = least.min(left + come);
                    tokio::task::yield_now().await;
                }
            }
            least
        }
    })
    .await;

    assert!(
        found[2] >= 100,
        "an item was in neither partition: {found:?}"
    );
    let (left, come) = (from.stats().await.items(), to.stats().await.items());
    assert_eq!((left, come), (0, 100));
}

/// A bit of everything on one partition, as that task does it.
async fn do_everything(part: Part, task: usize) {
    for (round, turn) in (0..30).zip(task..) {
        let now = at(round);
        match turn % 6 {
            0 => {
                let later = NewItem::new("later").enqueue_at(at(round + 2));
                part.produce(now, [NewItem::new("item"), later]).await;
            }
            1 => {
                let leased = part.lease(now, at(round + 3), 2).await;
                part.complete(receipts(&leased)).await;
            }
            2 => {
                let leased = part.lease(now, at(round + 3), 2).await;
                for receipt in receipts(&leased) {
                    part.retry(now, receipt, RetryTo::Dead).await;
                }
            }
            3 => {
                let leased = part.lease(now, at(round + 3), 2).await;
                part.release(receipts(&leased)).await;
            }
            4 => {
                part.maintain_max(now, 5).await;
            }
            _ => {
                let dead = part.list_state(storage_api::State::Dead).await;
                part.revive(ids(&dead).into_iter().take(2)).await;
                part.clear(storage_api::State::Dead, 1).await;
            }
        }
    }
}

async fn statistics_are_right_after_everything_at_once(env: Env) {
    let config = PartitionConfig::default().with_attempts_max(4);
    let part = env.partition_with("a", config).await;
    part.produce(at(0), vec!["first"; 50]).await;

    at_once(8, |task| do_everything(part.clone(), task)).await;

    part.assert_stats_are_those_of_the_items().await;
}

async fn a_partition_deleted_under_load_takes_everything_along(env: Env) {
    let part = env.partition("a").await;

    let acknowledged = at_once(5, |task| {
        let part = part.clone();
        async move {
            if task == 0 {
                while part.stats().await.items() < 20 {
                    tokio::task::yield_now().await;
                }
                part.delete().await;
                return 0;
            }
            let mut acknowledged = 0;
            loop {
                match part.try_produce(at(0), ["item"]).await {
                    Ok(_) => acknowledged += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                        return acknowledged;
                    }
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await;

    assert!(acknowledged.iter().sum::<usize>() >= 20);
    let again = env.partition("a").await;
    assert_eq!(again.list_all().await, []);
}

async fn items_are_leased_in_order_while_others_produce(env: Env) {
    const ITEMS: usize = 300;
    let part = env.partition("a").await;

    let leased = at_once(4, |task| {
        let part = part.clone();
        async move {
            let mut leased = Vec::new();
            if task > 0 {
                for _ in 0..ITEMS / 3 {
                    part.produce(at(0), ["item"]).await;
                    tokio::task::yield_now().await;
                }
                return leased;
            }
            while leased.len() < ITEMS {
                leased.extend(part.lease(at(0), Timestamp::MAX, 5).await);
                tokio::task::yield_now().await;
            }
            leased
        }
    })
    .await;

    // One consumer, nothing given back: nobody comes behind a later one, by position and by id.
    let order: Vec<_> = leased[0]
        .iter()
        .map(|entry| (entry.state.position(), entry.id))
        .collect();
    assert!(
        order.is_sorted_by_key(|(position, _)| *position),
        "{order:?}"
    );
    assert!(order.is_sorted_by_key(|(_, id)| *id), "{order:?}");
}

async fn calls_that_do_not_overlap_keep_the_order(env: Env) {
    let part = env.partition("a").await;
    let mut produced = Vec::new();
    for _ in 0..50 {
        // Another task each time, but never two at once.
        let mine = part.clone();
        let of_task = at_once(1, |_| {
            let part = mine.clone();
            async move { part.produce(at(0), ["item"]).await }
        });
        produced.extend(of_task.await.concat());
    }

    let mut leased = Vec::new();
    for _ in 0..25 {
        let mine = part.clone();
        let of_task = at_once(1, |_| {
            let part = mine.clone();
            async move { ids(&part.lease(at(0), at(100), 2).await) }
        });
        leased.extend(of_task.await.concat());
    }

    assert_eq!(leased, produced);
}

/// Polls a call that often, then drops it; its answer, if it came.
async fn polled<T>(call: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut call = pin!(call);
    for _ in 0..polls {
        let answer = std::future::poll_fn(|context| match call.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => std::task::Poll::Ready(Some(answer)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await;
        if answer.is_some() {
            return answer;
        }
        // Whatever works for it elsewhere on this runtime gets its turn.
        tokio::task::yield_now().await;
    }
    None
}

/// More polls than that no call needs, unless it waits for another thread; then it is dropped in the middle all the same.
const POLLS_MAX: usize = 12;

/// The change where nothing is dropped.
async fn applied(env: &Env, change: &Call) -> View {
    let env = env.elsewhere().await;
    let stage = Stage::set(&env).await;
    let done = (change.on)(env.backend().await, stage).await;
    done.unwrap_or_else(|error| panic!("{}: {error}", change.name));
    let view = View::of(&env.snapshot().await);
    env.finish().await;
    view
}

async fn a_dropped_call_is_applied_wholly_or_not_at_all(env: Env) {
    for change in CHANGES {
        let applied = applied(&env, change).await;
        for polls in 0..=POLLS_MAX {
            let env = env.elsewhere().await;
            let stage = Stage::set(&env).await;
            let before = View::of(&env.snapshot().await);

            let answer = polled((change.on)(env.backend().await, stage), polls).await;

            let after = View::of(&env.snapshot().await);
            let told = format!("{} dropped after {polls} polls: {after:?}", change.name);
            match answer {
                Some(answer) => {
                    answer.unwrap_or_else(|error| panic!("{}: {error}", change.name));
                    assert_eq!(after, applied, "{told}");
                    env.finish().await;
                    break;
                }
                None if polls == 0 => assert_eq!(after, before, "{told}"),
                None => assert!(after == before || after == applied, "{told}"),
            }
            env.finish().await;
        }
    }
}

async fn a_dropped_call_is_settled_before_the_next_begins(env: Env) {
    for change in CHANGES {
        for polls in 1..=POLLS_MAX {
            let env = env.elsewhere().await;
            let stage = Stage::set(&env).await;

            let answer = polled((change.on)(env.backend().await, stage), polls).await;
            let first = env.snapshot().await;
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }

            let second = env.snapshot().await;
            assert_eq!(
                second, first,
                "{} went on after a later call had looked; it was dropped after {polls} polls",
                change.name
            );
            env.finish().await;
            if answer.is_some() {
                break;
            }
        }
    }
}

async fn a_lease_that_was_dropped_is_taken_back(env: Env) {
    for polls in 0..=POLLS_MAX {
        let env = env.elsewhere().await;
        let part = env.partition("a").await;
        part.produce(at(0), ["1", "2", "3"]).await;

        let leasing = part.lease(at(0), at(10), 3);
        let is_answered = polled(leasing, polls).await.is_some();

        let leased = part.stats().await.leased.items;
        assert!(leased == 0 || leased == 3, "{leased} of 3 are leased");
        assert_eq!(part.maintain(at(10)).await.ready as u64, leased);
        assert_eq!(part.lease(at(11), at(20), 3).await.len(), 3);
        env.finish().await;
        if is_answered {
            break;
        }
    }
}

async fn a_dropped_call_disturbs_nobody_else(env: Env) {
    const EACH: usize = 50;
    let part = env.partition("a").await;

    let stored = at_once(6, |task| {
        let part = part.clone();
        async move {
            let mut stored = 0;
            for round in 0..EACH {
                let producing = part.try_produce(at(0), ["a", "b"]);
                if task < 3 {
                    stored += producing.await.expect("it is open").stored();
                } else {
                    // Of these nobody knows, but that each is there twice or not at all.
                    polled(producing, round % 4).await;
                }
            }
            stored
        }
    })
    .await;

    let payloads = crate::part::payloads(&part.list_all().await);
    let (a, b): (Vec<_>, Vec<_>) = payloads.into_iter().partition(|one| one == "a");
    assert_eq!(a.len(), b.len(), "half a batch is there");
    let known = stored.iter().sum::<usize>();
    assert_eq!(known, 3 * 2 * EACH);
    assert!(
        a.len() + b.len() >= known,
        "an acknowledged item is missing"
    );
}

async fn a_close_behind_a_dropped_call_keeps_it_whole(env: Env) {
    for change in CHANGES {
        let applied = applied(&env, change).await;
        for polls in 1..=3 {
            let env = env.elsewhere().await;
            let stage = Stage::set(&env).await;
            let before = View::of(&env.snapshot().await);
            let backend: Arc<_> = env.backend().await;

            let answer = polled((change.on)(backend, stage), polls).await;
            env.reopen().await;

            let after = View::of(&env.snapshot().await);
            let told = format!("{} dropped after {polls} polls: {after:?}", change.name);
            if answer.is_some() {
                assert_eq!(after, applied, "{told}");
            } else {
                assert!(after == before || after == applied, "{told}");
            }
            env.finish().await;
        }
    }
}

/// Polls a call when it asks for it, that often, then drops it at once; its answer, if it came.
async fn polled_when_woken<T>(call: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut call = pin!(call);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left > 0 {
            left -= 1;
            if let std::task::Poll::Ready(answer) = call.as_mut().poll(context) {
                return std::task::Poll::Ready(Some(answer));
            }
        }
        match left {
            0 => std::task::Poll::Ready(None),
            _ => std::task::Poll::Pending,
        }
    })
    .await
}

/// No call is woken that often before it ends.
const WAKES_MAX: usize = 1000;

/// How long a call is, in polls: each number of them, until the call is answered before it is dropped.
fn every_poll(name: &str) -> impl Iterator<Item = usize> {
    (0..=WAKES_MAX).inspect(move |polls| {
        assert!(*polls < WAKES_MAX, "{name} does not end");
    })
}

const SYNC: Call = Call {
    name: "sync",
    on: |backend, _| {
        Box::pin(async move {
            match backend.sync().await {
                Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
                _ => Ok(()),
            }
        })
    },
};

async fn every_operation_may_be_dropped_at_every_poll(env: Env) {
    for call in CHANGES.iter().chain(LOOKS).chain([&SYNC]) {
        let applied = applied(&env, call).await;
        for polls in every_poll(call.name) {
            let env = env.elsewhere().await;
            let stage = Stage::set(&env).await;
            let before = View::of(&env.snapshot().await);

            let answer = polled_when_woken((call.on)(env.backend().await, stage), polls).await;

            // Settled before anything later: a second look shows what the first did.
            let first = env.snapshot().await;
            let (after, second) = (View::of(&first), env.snapshot().await);
            let told = format!("{} dropped at poll {polls}", call.name);
            assert_eq!(
                second, first,
                "{told} went on after a later call had looked"
            );
            match answer {
                Some(answer) => {
                    answer.unwrap_or_else(|error| panic!("{}: {error}", call.name));
                    assert_eq!(after, applied, "{told}");
                    env.finish().await;
                    break;
                }
                None if polls == 0 => assert_eq!(after, before, "{told}"),
                None => assert!(after == before || after == applied, "{told}: {after:?}"),
            }
            // Nothing is held by the call that is gone.
            env.partition("behind").await.produce(at(30), ["one"]).await;
            env.finish().await;
        }
    }
}

async fn a_closing_that_was_dropped_is_finished_by_the_next(env: Env) {
    for polls in every_poll("close") {
        let env = env.elsewhere().await;
        Stage::set(&env).await;
        let before = env.snapshot().await;
        let backend = env.forget().await.expect("it is open");

        let answer = polled_when_woken(backend.close(), polls).await;

        // Not applied, or applied, and that is settled: it does not become closed later.
        let call = backend.list_partitions(None, Count::ONE).await;
        let first = View::look(&*backend).await;
        let second = View::look(&*backend).await;
        let told = format!("a closing dropped at poll {polls}");
        assert_eq!(
            call.is_ok(),
            first.is_ok(),
            "{told} was finished behind a later call: {call:?}, then {first:?}"
        );
        match (&first, &second) {
            (Ok(first), Ok(second)) => {
                assert_eq!(*first, View::of(&before), "{told}");
                assert_eq!(second, first, "{told}");
                assert!(answer.is_none(), "{told} was answered, and it is open");
            }
            (Err(first), Err(second)) => {
                assert_eq!(first.kind(), ErrorKind::Closed, "{told}: {first}");
                assert_eq!(second.kind(), ErrorKind::Closed, "{told}: {second}");
                assert!(polls > 0, "{told} was never begun, and it is closed");
            }
            _ => panic!("{told} was finished behind a later call: {first:?}, then {second:?}"),
        }
        backend.close().await.expect("every further close is ok");
        let behind = View::look(&*backend).await;
        let error = behind.expect_err("the next closing has closed it");
        assert_eq!(error.kind(), ErrorKind::Closed, "{told}: {error}");
        drop(backend);
        if env.claims().has(Capability::Reopen) {
            env.reopen().await;
            assert_eq!(env.snapshot().await, before, "{told}");
        }
        env.finish().await;
        if answer.is_some() {
            break;
        }
    }
}

async fn an_opening_that_was_dropped_leaves_the_place_free(env: Env) {
    for polls in every_poll("open") {
        let env = env.elsewhere().await;
        Stage::set(&env).await;
        let before = env.snapshot().await;
        env.close().await;

        let opened = polled_when_woken(env.try_open(), polls).await;

        let is_answered = opened.is_some();
        drop(opened);
        env.open_when_left().await;
        assert_eq!(env.snapshot().await, before, "dropped at poll {polls}");
        env.finish().await;
        if is_answered {
            break;
        }
    }
}
