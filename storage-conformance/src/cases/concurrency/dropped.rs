//! Calls that are dropped before they end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use storage_api::{Capability, Count, ErrorKind};

use super::at_once;
use crate::case::{Case, cases};
use crate::change::{CHANGES, Call, LOOKS, Stage, View};
use crate::env::{Env, at};

pub(in crate::cases) const CASES: &[Case] = cases![concurrency:
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

async fn a_dropped_call_is_applied_wholly_or_not_at_all(env: Env) {
    for change in CHANGES {
        let applied = View::behind(&env, change).await;
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
        let applied = View::behind(&env, change).await;
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

const VERIFY: Call = Call {
    name: "verify",
    on: |backend, _| {
        Box::pin(async move {
            match backend.verify() {
                Some(verify) => verify.verify().await.map(drop),
                None => Ok(()),
            }
        })
    },
};

async fn every_operation_may_be_dropped_at_every_poll(env: Env) {
    let calls = CHANGES.iter().chain(LOOKS).chain([&SYNC, &VERIFY]);
    for call in calls {
        let applied = View::behind(&env, call).await;
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
