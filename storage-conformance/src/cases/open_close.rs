//! Opening and closing.

use std::sync::Arc;

use storage_api::{Capability, Count, ErrorKind, LeaseRequest, StorageBackend};

use crate::case::{Case, cases};
use crate::change::{CHANGES, Call, LOOKS, Stage, View};
use crate::crash;
use crate::env::{Env, at, partition_id, refused};
use crate::harness::Vandal;

pub(super) const CASES: &[Case] = cases![open_close:
    a_second_opening_is_refused_and_harms_nothing ["OPEN-1"]
        .requires(Capability::Reopen) .excludes(Capability::Shared),
    another_process_is_refused_while_the_place_is_open ["OPEN-1"]
        .requires(Capability::Reopen) .excludes(Capability::Shared),
    openings_of_a_shared_place_see_each_other ["OPEN-1"] .requires(Capability::Shared),
    no_item_goes_to_two_openings_of_a_shared_place ["OPEN-1", "LEASE-3", "LEASE-2"] .requires(Capability::Shared),
    a_shared_place_stays_open_when_one_of_two_is_closed ["OPEN-1", "CLOSE-1"] .requires(Capability::Shared),
    a_newer_format_is_refused_and_left_as_it_was ["OPEN-2"] .requires(Capability::Reopen),
    a_place_with_a_foreign_beginning_is_refused_and_left_as_it_was ["OPEN-2", "OPEN-3"] .requires(Capability::Reopen),
    flipped_bits_are_never_returned_as_data ["OPEN-3"] .requires(Capability::Reopen) .long(),
    a_tail_that_was_cut_off_is_dropped_and_no_more ["OPEN-3", "DUR-3"] .requires(Capability::Reopen) .long(),
    what_is_written_behind_a_tail_that_was_cut_off_stays ["OPEN-3", "DUR-2"] .requires(Capability::Reopen),
    every_operation_after_close_is_closed ["CLOSE-1", "ERR-2"],
    every_clone_is_closed ["CLOSE-1"],
    a_closed_backend_still_says_what_it_is ["CLOSE-1"],
    closing_again_is_ok ["CLOSE-1"],
    closing_at_once_from_many_sides_is_ok ["CLOSE-1"] .multi_thread(),
    a_closed_place_can_be_opened_again ["CLOSE-1", "DUR-2"] .requires(Capability::Reopen),
    an_old_backend_stays_closed_when_the_place_is_open_again ["CLOSE-1"] .requires(Capability::Reopen),
    dropping_the_last_clone_loses_nothing ["CLOSE-1", "DUR-1"] .requires(Capability::Reopen),
    closing_under_load_keeps_what_was_acknowledged ["CLOSE-1", "DUR-2"] .requires(Capability::Reopen) .multi_thread(),
    operations_that_meet_a_closing_are_done_or_closed ["CLOSE-1", "ATOM-1"] .multi_thread(),
];

async fn a_second_opening_is_refused_and_harms_nothing(env: Env) {
    Stage::set(&env).await;
    let before = env.snapshot().await;

    let second = env.try_open().await;

    refused(second, ErrorKind::Unavailable);
    assert_eq!(env.snapshot().await, before);
    env.part(&partition_id("stage", 0))
        .produce(at(9), ["more"])
        .await;
    let after = env.snapshot().await;
    env.reopen().await;
    assert_eq!(env.snapshot().await, after);
}

async fn another_process_is_refused_while_the_place_is_open(env: Env) {
    Stage::set(&env).await;
    let before = env.snapshot().await;

    let heard = crash::open_elsewhere(&env);

    assert_eq!(heard, "refused unavailable");
    assert_eq!(env.snapshot().await, before);
    env.close().await;
    assert_eq!(crash::open_elsewhere(&env), "opened");
    env.open_when_left().await;
    assert_eq!(env.snapshot().await, before);
}

async fn openings_of_a_shared_place_see_each_other(env: Env) {
    let stage = Stage::set(&env).await;
    let second = env.try_open().await.expect("the place is shared");
    let mine = env.backend().await;

    for change in CHANGES {
        // Some of them meet what an earlier one has taken away; both must see that alike.
        let _ = (change.on)(second.clone(), stage.clone()).await;
        let (here, there) = (View::look(&*mine).await, View::look(&*second).await);
        let (here, there) = (here.expect("it is open"), there.expect("it is open"));
        assert_eq!(here, there, "after {} by the other", change.name);
    }
    second.close().await.expect("it closes");
}

async fn no_item_goes_to_two_openings_of_a_shared_place(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), vec!["item"; 40]).await;
    let second = env.try_open().await.expect("the place is shared");
    let mine = env.backend().await;

    let mut receipts = Vec::new();
    for backend in [&mine, &second].into_iter().cycle().take(10) {
        let request = LeaseRequest::new(at(0), at(10), Count::clamped(4));
        let leased = backend.lease(part.id(), request).await;
        receipts.extend(leased.expect("items are left").receipts());
    }

    assert_eq!(receipts.len(), 40);
    let mut items: Vec<_> = receipts.iter().map(|one| one.item).collect();
    let mut leases: Vec<_> = receipts.iter().map(|one| one.lease).collect();
    items.sort();
    items.dedup();
    leases.sort();
    leases.dedup();
    assert_eq!((items.len(), leases.len()), (40, 40));
    second.close().await.expect("it closes");
}

async fn a_shared_place_stays_open_when_one_of_two_is_closed(env: Env) {
    let part = env.partition("a").await;
    let second = env.try_open().await.expect("the place is shared");

    second.close().await.expect("it closes");

    refused(second.stats(part.id()).await, ErrorKind::Closed);
    part.produce(at(0), ["still here"]).await;
    assert_eq!(part.stats().await.ready.items, 1);
}

/// Who damages the place; without that the case does not apply.
fn vandal(env: &Env) -> &dyn Vandal {
    match env.place().vandal() {
        Some(vandal) => vandal,
        None => env.inapplicable("the harness offers nobody who damages the stored bytes"),
    }
}

/// Opening is refused, and the place has as many bytes as before.
async fn assert_refused_and_left_alone(env: &Env) {
    let bytes = vandal(env).bytes().await.expect("the place can be read");

    for _ in 0..2 {
        let error = env
            .try_open()
            .await
            .expect_err("the place cannot be opened");

        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::Unsupported | ErrorKind::Corrupted),
            "{kind}: {error}"
        );
        let left = vandal(env).bytes().await.expect("the place can be read");
        assert_eq!(left, bytes, "opening changed the place that it refused");
    }
}

async fn a_newer_format_is_refused_and_left_as_it_was(env: Env) {
    vandal(&env);
    Stage::set(&env).await;
    env.close().await;
    let is_renewed = vandal(&env).renew_format().await;
    if !is_renewed.expect("the place can be written") {
        env.inapplicable("the harness cannot mark a place as newer");
    }

    assert_refused_and_left_alone(&env).await;
}

async fn a_place_with_a_foreign_beginning_is_refused_and_left_as_it_was(env: Env) {
    vandal(&env);
    Stage::set(&env).await;
    env.close().await;
    for offset in 0..8 {
        let flipped = vandal(&env).flip(offset, 5).await;
        flipped.expect("the place has a beginning");
    }

    assert_refused_and_left_alone(&env).await;
}

/// A closed place that went through the views given, one after each change.
async fn written(env: &Env) -> (Env, Vec<View>) {
    let env = env.elsewhere().await;
    let mut views = vec![View::of(&env.snapshot().await)];
    let part = env.partition("a").await;
    views.push(View::of(&env.snapshot().await));
    for round in 0..6 {
        let payload = format!("payload of round {round}");
        part.produce(at(round), [payload.as_str(), "second"]).await;
        views.push(View::of(&env.snapshot().await));
        part.lease(at(round), at(100), 1).await;
        views.push(View::of(&env.snapshot().await));
        env.put("ns", format!("key {round}"), "value").await;
        views.push(View::of(&env.snapshot().await));
    }
    env.close().await;
    (env, views)
}

/// What a damaged place shows: nothing, as it is refused, or one of its earlier states.
async fn assert_shows_nothing_that_never_was(env: &Env, views: &[View], damage: &str) -> bool {
    let seen = match env.try_open().await {
        Ok(backend) => {
            let seen = View::look(&*backend).await;
            // What is damaged may well not close.
            let _ = backend.close().await;
            seen
        }
        Err(error) => Err(error),
    };
    match seen {
        Ok(seen) => {
            assert!(
                views.contains(&seen),
                "with {damage} the place shows what it never held: {seen:?}"
            );
            true
        }
        Err(error) => {
            let is_honest = matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::Unsupported);
            assert!(is_honest, "with {damage}: {}: {error}", error.kind());
            false
        }
    }
}

async fn flipped_bits_are_never_returned_as_data(env: Env) {
    vandal(&env);
    let (first, _) = written(&env).await;
    let bytes = vandal(&first).bytes().await.expect("it can be read");
    assert!(bytes > 0, "a place that holds something has bytes");
    // Spread over all of it, and all of the end, where a damaged tail looks like a crash.
    let spread = (0..60).map(|step| step * bytes / 60);
    let offsets: Vec<_> = spread.chain(bytes.saturating_sub(12)..bytes).collect();

    for offset in offsets {
        let (env, views) = written(&env).await;
        let bit = u8::try_from(offset % 8).expect("below 8");
        if vandal(&env).bytes().await.expect("it can be read") <= offset {
            continue;
        }
        vandal(&env)
            .flip(offset, bit)
            .await
            .expect("it can be written");

        // All of it was acknowledged: only its last record can pass for a tail that a crash cut off.
        let last_two = &views[views.len() - 2..];
        let damage = format!("bit {bit} of byte {offset} of {bytes} flipped");
        assert_shows_nothing_that_never_was(&env, last_two, &damage).await;
    }
}

async fn a_tail_that_was_cut_off_is_dropped_and_no_more(env: Env) {
    vandal(&env);

    let cuts = (1..=40).chain([64, 100, 200, 400]);
    for cut in cuts {
        let (env, views) = written(&env).await;
        if vandal(&env).bytes().await.expect("it can be read") < cut {
            break;
        }
        vandal(&env).cut(cut).await.expect("it can be written");

        let damage = format!("{cut} bytes cut off its end");
        assert_shows_nothing_that_never_was(&env, &views, &damage).await;
    }
}

async fn what_is_written_behind_a_tail_that_was_cut_off_stays(env: Env) {
    vandal(&env);
    for cut in [1, 3, 9] {
        let (env, _) = written(&env).await;
        vandal(&env).cut(cut).await.expect("it can be written");
        if env.try_open().await.map(drop).is_err() {
            // Refusing a place whose end is missing is honest too.
            continue;
        }
        env.open_when_left().await;

        let part = env.part(&partition_id("a", 0));
        part.produce(at(50), ["behind the cut"]).await;
        let before = env.snapshot().await;
        env.reopen().await;

        assert_eq!(env.snapshot().await, before, "{cut} bytes were cut off");
        env.finish().await;
    }
}

/// Every operation is refused as closed, whatever else there is to say against it.
async fn assert_closed(backend: &Arc<dyn StorageBackend>, stage: &Stage) {
    let sync = Call {
        name: "sync",
        on: |backend, _| Box::pin(async move { backend.sync().await }),
    };
    for call in CHANGES.iter().chain(LOOKS).chain([&sync]) {
        match (call.on)(backend.clone(), stage.clone()).await {
            Ok(()) => panic!("{} goes on after close", call.name),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{}: {error}", call.name),
        }
    }
}

async fn every_operation_after_close_is_closed(env: Env) {
    let stage = Stage::set(&env).await;
    let backend = env.forget().await.expect("it is open");

    backend.close().await.expect("it closes");

    assert_closed(&backend, &stage).await;
    // A partition that does not exist is not even looked for (ERR-2).
    let missing = backend.stats(&partition_id("missing", 0)).await;
    refused(missing, ErrorKind::Closed);
    if let Some(verify) = backend.verify() {
        refused(verify.verify().await, ErrorKind::Closed);
    }
}

async fn every_clone_is_closed(env: Env) {
    let stage = Stage::set(&env).await;
    let backend = env.forget().await.expect("it is open");
    let clone = backend.clone();

    backend.close().await.expect("it closes");
    drop(backend);

    assert_closed(&clone, &stage).await;
}

async fn a_closed_backend_still_says_what_it_is(env: Env) {
    let backend = env.backend().await;
    let before = backend.descriptor();

    env.close().await;

    assert_eq!(backend.descriptor(), before);
}

async fn closing_again_is_ok(env: Env) {
    let backend = env.backend().await;

    for _ in 0..3 {
        backend.close().await.expect("closing again is no mistake");
    }
}

async fn closing_at_once_from_many_sides_is_ok(env: Env) {
    Stage::set(&env).await;
    let backend = env.forget().await.expect("it is open");

    let closings: Vec<_> = (0..16)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move {
                backend.close().await?;
                // Whoever was answered finds it closed.
                let after = backend.list_partitions(None, Count::ONE).await;
                refused(after, ErrorKind::Closed);
                Ok::<_, storage_api::Error>(())
            })
        })
        .collect();

    for closing in closings {
        let closed = closing.await.expect("no closing panics");
        closed.expect("every closing is ok");
    }
}

async fn a_closed_place_can_be_opened_again(env: Env) {
    Stage::set(&env).await;
    let before = env.snapshot().await;

    env.close().await;
    let opened = env.try_open().await.expect("it was closed");

    let seen = View::look(&*opened).await.expect("it is open");
    assert_eq!(seen, View::of(&before));
    opened.close().await.expect("it closes");
}

async fn an_old_backend_stays_closed_when_the_place_is_open_again(env: Env) {
    let stage = Stage::set(&env).await;
    let old = env.backend().await;

    env.reopen().await;

    assert_closed(&old, &stage).await;
    old.close().await.expect("it is closed already");
    let stats = stage.part.stats().await;
    assert_eq!(
        stats.ready.items, 3,
        "closing the old one closed the new one"
    );
}

async fn dropping_the_last_clone_loses_nothing(env: Env) {
    Stage::set(&env).await;
    let before = env.snapshot().await;

    drop(env.forget().await);
    env.open_when_left().await;

    assert_eq!(env.snapshot().await, before);
}

/// Produces one item after the other until the backend is closed; how many were acknowledged.
async fn produce_until_closed(backend: Arc<dyn StorageBackend>, queue: &'static str) -> u64 {
    let id = partition_id(queue, 0);
    let mut acknowledged = 0;
    loop {
        let batch = crate::part::batch(["item"]).seal(at(0));
        match backend.produce(&id, batch).await {
            Ok(_) => acknowledged += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                return acknowledged;
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn closing_under_load_keeps_what_was_acknowledged(env: Env) {
    const QUEUES: [&str; 3] = ["a", "b", "c"];
    for queue in QUEUES {
        env.partition(queue).await;
    }
    let backend = env.forget().await.expect("it is open");
    let busy = QUEUES.map(|queue| tokio::spawn(produce_until_closed(backend.clone(), queue)));
    // Until each of them has something to lose.
    for queue in QUEUES {
        let id = partition_id(queue, 0);
        while backend.stats(&id).await.expect("it is open").ready.items < 5 {
            tokio::task::yield_now().await;
        }
    }

    backend.close().await.expect("it closes");

    drop(backend);
    for (queue, busy) in QUEUES.into_iter().zip(busy) {
        let acknowledged = busy.await.expect("no task panics");
        env.open_when_left().await;
        let found = env.part(&partition_id(queue, 0)).stats().await.ready.items;
        assert_eq!(
            found, acknowledged,
            "items of {queue} found and acknowledged"
        );
        env.close().await;
    }
}

async fn operations_that_meet_a_closing_are_done_or_closed(env: Env) {
    for change in CHANGES {
        let env = env.elsewhere().await;
        let stage = Stage::set(&env).await;
        let backend = env.forget().await.expect("it is open");
        let (own, closer) = (backend.clone(), backend.clone());
        let changing = tokio::spawn(async move { (change.on)(own, stage).await });

        let closing = tokio::spawn(async move { closer.close().await });

        closing.await.expect("no panic").expect("it closes");
        if let Err(error) = changing.await.expect("no panic") {
            let kind = error.kind();
            assert_eq!(kind, ErrorKind::Closed, "{}: {error}", change.name);
        }
    }
}
