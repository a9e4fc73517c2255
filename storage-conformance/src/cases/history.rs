//! What transactions that run at once must not do, by name. The histories look for what has no name.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use storage_api::{CommitOutcome, Version};
use tokio::task::yield_now;

use super::concurrency::at_once;
use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::request::{Commit, commit_at};

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
    env.commit(twins(0)).await;
    let readers: Arc<[Reader; 3]> = Arc::default();

    let torn = at_once(1 + readers.len(), |task| {
        let (env, readers) = (env.clone(), readers.clone());
        async move {
            match task.checked_sub(1) {
                Some(index) => readers[index].read_on(&env).await,
                None => write_on(&env, &*readers).await,
            }
        }
    })
    .await;

    assert_eq!(
        torn.into_iter().flatten().next(),
        None,
        "reads that hold are of two commits"
    );
    for reader in &*readers {
        let (tries, held) = (reader.tries(), reader.held.load(Ordering::Acquire));
        assert!(held >= HOLDS, "of {tries} reads of two entries {held} held");
    }
}

/// Commits among readers who try to get between them; then as many that leave each reader the time for it.
const WRITES: usize = 60;
const HOLDS: usize = 5;

/// Both entries with the same content.
fn twins(number: usize) -> Commit {
    let content = number.to_string();
    commit_at(at(0))
        .put("ns", "one", &content)
        .put("ns", "other", &content)
}

/// One who reads both entries and asks whether that holds, until it is told that it is over.
#[derive(Debug, Default)]
struct Reader {
    tries: AtomicUsize,
    held: AtomicUsize,
    is_over: AtomicBool,
}

impl Reader {
    fn tries(&self) -> usize {
        self.tries.load(Ordering::Acquire)
    }

    /// The two contents that held together and are not the same, if there are any.
    async fn read_on(&self, env: &Env) -> Option<(String, String)> {
        // Whoever waits for this one learns that it has gone, also where a read is refused.
        let _over = Over(slice::from_ref(self));
        while !self.is_over.load(Ordering::Acquire) {
            let (one, one_version) = read(env, "one").await;
            let (other, other_version) = read(env, "other").await;
            let request = commit_at(at(0))
                .check_version("ns", "one", one_version)
                .check_version("ns", "other", other_version);
            let outcome = env.try_commit(request).await.expect("it is open");
            if matches!(outcome, CommitOutcome::Committed(_)) {
                if one != other {
                    return Some((one, other));
                }
                self.held.fetch_add(1, Ordering::AcqRel);
            }
            self.tries.fetch_add(1, Ordering::AcqRel);
            yield_now().await;
        }
        None
    }

    /// Until it has tried twice: the second time it began after this did, and ended before this does.
    async fn tries_in_between(&self) {
        let before = self.tries();
        while self.tries() < before + 2 && !self.is_over.load(Ordering::Acquire) {
            yield_now().await;
        }
    }
}

/// Tells readers that it is over.
struct Over<'a>(&'a [Reader]);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        for reader in self.0 {
            reader.is_over.store(true, Ordering::Release);
        }
    }
}

async fn write_on(env: &Env, readers: &[Reader]) -> Option<(String, String)> {
    let _over = Over(readers);
    for number in 1..=WRITES + HOLDS {
        env.commit(twins(number)).await;
        yield_now().await;
        if number > WRITES {
            for reader in readers {
                reader.tries_in_between().await;
            }
        }
    }
    None
}
