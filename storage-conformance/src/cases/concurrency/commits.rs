//! Commits at once: no write is lost, nobody sees a half.

use std::collections::BTreeSet;

use storage_api::{CommitOutcome, KeyRange, Version};

use super::at_once;
use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::receipt;
use crate::request::commit_at;

pub(in crate::cases) const CASES: &[Case] = cases![concurrency:
    no_write_between_two_commits_is_lost ["CONC-1", "META-1", "META-5"] .multi_thread(),
    two_checked_transactions_do_not_cross ["CONC-1", "META-5"] .multi_thread(),
    a_commit_over_partitions_is_never_seen_half ["CONC-1", "META-1"] .multi_thread(),
];

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
            if task < 2 {
                for _ in 0..50 {
                    let leased = from.lease_one(at(0), at(100)).await;
                    let request = commit_at(at(0))
                        .complete(&from, [receipt(&leased)])
                        .produce(&to, ["moves"]);
                    env.commit(request).await;
                }
                return least;
            }
            let mut has_moved = false;
            while !has_moved {
                // What left before the first look has come before the second.
                let left = from.stats().await.items();
                let come = to.stats().await.items();
                least = least.min(left + come);
                has_moved = come >= 100;
                tokio::task::yield_now().await;
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
