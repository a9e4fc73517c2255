//! What transactions that run at once must not do, by name. The histories look for what has no name.

use storage_api::{CommitOutcome, Version};

use super::concurrency::at_once;
use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::request::commit_at;

pub(super) const CASES: &[Case] = cases![history:
    of_two_who_check_what_the_other_writes_one_commits ["CONC-1", "META-5"] .since(2) .multi_thread(),
    reads_that_hold_are_of_one_instant ["CONC-1", "META-5", "META-1"] .since(2) .multi_thread(),
];

/// What a key holds, and its version.
async fn read(env: &Env, name: &str) -> (String, Version) {
    let entry = env.get(at(0), "ns", name).await;
    let entry = entry.expect("the entry is never deleted");
    let text = String::from_utf8_lossy(entry.value.as_bytes()).into_owned();
    (text, entry.version)
}

/// Write skew: each reads both and writes one, and one of them is on duty for ever.
async fn of_two_who_check_what_the_other_writes_one_commits(env: Env) {
    for round in 0..60 {
        let names = [format!("left {round}"), format!("right {round}")];
        for name in &names {
            env.put("ns", name, "on duty").await;
        }

        let left = at_once(2, |task| {
            let (env, names) = (env.clone(), names.clone());
            async move {
                let (one, one_version) = read(&env, &names[0]).await;
                let (other, other_version) = read(&env, &names[1]).await;
                if one != other {
                    return 0;
                }
                let request = commit_at(at(0))
                    .check_version("ns", &names[0], one_version)
                    .check_version("ns", &names[1], other_version)
                    .put("ns", &names[task], "left");
                let outcome = env.try_commit(request).await.expect("it is open");
                usize::from(matches!(outcome, CommitOutcome::Committed(_)))
            }
        })
        .await;

        assert_eq!(left.iter().sum::<usize>(), 1, "left in round {round}");
        let (one, _) = read(&env, &names[0]).await;
        let (other, _) = read(&env, &names[1]).await;
        assert_ne!(one, other, "nobody is on duty, or both are");
    }
}

/// Read skew: who reads two entries that are always written together may read them apart, but then they do not hold.
async fn reads_that_hold_are_of_one_instant(env: Env) {
    const WRITES: usize = 60;
    let write = |number: usize| {
        let content = number.to_string();
        commit_at(at(0))
            .put("ns", "one", &content)
            .put("ns", "other", &content)
    };
    env.commit(write(0)).await;

    let held = at_once(4, |task| {
        let env = env.clone();
        async move {
            let mut held = 0;
            for number in 1..=WRITES {
                if task == 0 {
                    env.commit(write(number)).await;
                    tokio::task::yield_now().await;
                    continue;
                }
                let (one, one_version) = read(&env, "one").await;
                let (other, other_version) = read(&env, "other").await;
                let request = commit_at(at(0))
                    .check_version("ns", "one", one_version)
                    .check_version("ns", "other", other_version);
                let outcome = env.try_commit(request).await.expect("it is open");
                if matches!(outcome, CommitOutcome::Committed(_)) {
                    assert_eq!(one, other, "reads that hold are of two commits");
                    held += 1;
                }
            }
            held
        }
    })
    .await;

    // The last look of all comes after the last write, or nobody has looked.
    let (one, version) = read(&env, "one").await;
    let (other, other_version) = read(&env, "other").await;
    assert_eq!((&one, version), (&other, other_version), "after {held:?}");
    assert_eq!(one, WRITES.to_string());
}
