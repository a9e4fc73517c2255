//! Concurrency: calls that overlap, and calls that are dropped.

pub(super) mod commits;
pub(super) mod dropped;
pub(super) mod items;
pub(super) mod order;

use std::future::Future;

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
