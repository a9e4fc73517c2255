//! Cursors of one driver, used on another that holds the same: all have one form.

use storage_api::{
    Count, Cursor, Direction, ErrorKind, KeyRange, ListRequest, Page, Result as ApiResult,
    ScanRequest, States, StorageBackend, Timestamp,
};

use super::generate::NAMESPACES;
use super::numbers::Mismatch;
use super::world::namespace;

/// Pages of one entry, with the cursors of the giver: the taker, which holds the same, goes on as with its own.
pub(super) async fn exchange_cursors(
    giver: &dyn StorageBackend,
    taker: &dyn StorageBackend,
) -> Result<(), Mismatch> {
    let one = Count::clamped(1);
    let partitions = |backend, after: Option<Cursor>| async move {
        let backend: &dyn StorageBackend = backend;
        let page = backend.list_partitions(after.as_ref(), one).await;
        names(page, |info| info.id.to_string())
    };
    same_way(giver, taker, partitions).await?;
    let namespaces = |backend, after: Option<Cursor>| async move {
        let backend: &dyn StorageBackend = backend;
        let page = backend.namespaces(after.as_ref(), one).await;
        names(page, ToString::to_string)
    };
    same_way(giver, taker, namespaces).await?;
    for space in 0..NAMESPACES {
        for direction in [Direction::Forward, Direction::Backward] {
            let entries = |backend, after: Option<Cursor>| async move {
                let backend: &dyn StorageBackend = backend;
                let mut request = ScanRequest::new(namespace(space), KeyRange::all())
                    .direction(direction)
                    .entries_max(one);
                request.after = after;
                names(backend.scan(Timestamp::EPOCH, request).await, |entry| {
                    entry.key.to_string()
                })
            };
            same_way(giver, taker, entries).await?;
        }
    }
    refuse_those_of_items(giver, taker).await
}

type Names = (Vec<String>, Option<Cursor>);

fn names<T>(page: ApiResult<Page<T>>, name: impl Fn(&T) -> String) -> Result<Names, Mismatch> {
    let page = page.map_err(|error| format!("refused: {error}"))?;
    Ok((page.items.iter().map(name).collect(), page.next))
}

async fn same_way<'a, F>(
    giver: &'a dyn StorageBackend,
    taker: &'a dyn StorageBackend,
    page: impl Fn(&'a dyn StorageBackend, Option<Cursor>) -> F,
) -> Result<(), Mismatch>
where
    F: Future<Output = Result<Names, Mismatch>>,
{
    let mut after = None;
    loop {
        let (expected, next) = page(giver, after.clone()).await?;
        let (found, found_next) = page(taker, after).await?;
        if found != expected || next.is_some() != found_next.is_some() {
            return Err(format!("it gives {found:?} instead of {expected:?}"));
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// LIST-3: a cursor over items names its partition by the version of its creation, which is each driver's own.
async fn refuse_those_of_items(
    giver: &dyn StorageBackend,
    taker: &dyn StorageBackend,
) -> Result<(), Mismatch> {
    let told = |error| format!("a look is refused: {error}");
    let partitions = giver.list_partitions(None, Count::MAX).await;
    for info in partitions.map_err(told)?.items {
        let request = ListRequest::by_id(States::ALL).items_max(Count::clamped(1));
        let page = giver.list_items(&info.id, request.clone()).await;
        let Some(cursor) = page.map_err(told)?.next else {
            continue;
        };
        let same = taker.partition(&info.id).await.map_err(told)?;
        let found = taker.list_items(&info.id, request.after(cursor)).await;
        match found {
            Ok(_) if same.created == info.created => {}
            Err(error)
                if same.created != info.created && error.kind() == ErrorKind::InvalidArgument => {}
            found => {
                return Err(format!(
                    "in partition {}, created at {} there and at {} here: {found:?}",
                    info.id, info.created, same.created
                ));
            }
        }
    }
    Ok(())
}
