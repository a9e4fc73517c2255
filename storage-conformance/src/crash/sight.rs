//! What is seen of one lane, line by line and without the numbers that were given out: the same on the driver and on the model.

use storage_api::{
    Count, ItemEntry, ItemState, KeyRange, ListRequest, Listing, Note, Page, PartitionInfo, Result,
    ScanRequest, States, StorageBackend, Timestamp,
};

use super::random::is_of_lane;
use super::steps::Steps;

/// One line for each partition with its statistics, each item, each order of them, and each entry of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight(Vec<String>);

impl Sight {
    /// Looks at everything that belongs to a lane; with the fixed steps that is everything.
    pub(crate) async fn look(
        backend: &dyn StorageBackend,
        steps: Steps,
        lane: usize,
    ) -> Result<Self> {
        let is_seen = |name: &str| match steps {
            Steps::Script => true,
            Steps::Random { .. } => is_of_lane(name, lane),
        };
        let mut lines = Vec::new();
        let partitions = backend.list_partitions(None, Count::MAX).await?;
        for info in whole(partitions) {
            if is_seen(info.id.queue().as_str()) {
                look_at_partition(backend, &info, &mut lines).await?;
            }
        }
        let namespaces = backend.namespaces(None, Count::MAX).await?;
        for namespace in whole(namespaces) {
            if !is_seen(namespace.as_str()) {
                continue;
            }
            let request = ScanRequest::new(namespace.clone(), KeyRange::all());
            // At the smallest time almost nothing has expired: what waits for purge is seen.
            for entry in whole(backend.scan(Timestamp::MIN, request).await?) {
                let value = entry.value.as_bytes();
                lines.push(format!(
                    "entry {namespace}/{}: {} bytes, checksum {:08x}, until {:?}",
                    entry.key,
                    value.len(),
                    crc32c::crc32c(value),
                    entry.expires_at
                ));
            }
        }
        Ok(Self(lines))
    }

    /// Where it differs from another one: the first lines that are not the same.
    pub(crate) fn difference(&self, expected: &Self) -> String {
        let len = self.0.len().max(expected.0.len());
        let line = |sight: &Self, index| sight.0.get(index).cloned();
        let first = (0..len).find(|index| line(self, *index) != line(expected, *index));
        let Some(first) = first else {
            return "nothing differs".to_owned();
        };
        let shown = |sight: &Self| line(sight, first).unwrap_or_else(|| "nothing more".to_owned());
        format!("found {}\n    not {}", shown(self), shown(expected))
    }
}

fn whole<T>(page: Page<T>) -> Vec<T> {
    assert!(page.next.is_none(), "few entries fit into one page");
    page.items
}

async fn look_at_partition(
    backend: &dyn StorageBackend,
    info: &PartitionInfo,
    lines: &mut Vec<String>,
) -> Result<()> {
    let id = &info.id;
    let stats = backend.stats(id).await?;
    lines.push(format!("partition {id}: {:?}", info.config));
    lines.push(format!("partition {id}: {stats:?}"));
    let items = whole(
        backend
            .list_items(id, ListRequest::by_id(States::ALL))
            .await?,
    );
    for (index, entry) in items.iter().enumerate() {
        lines.push(format!("partition {id}, item {index}: {}", told(entry)));
    }
    // Leased ones among them: their places are seen when they are given back.
    let mut placed: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| {
            let position = entry.state.position()?;
            Some((entry.record.view().priority(), position, index))
        })
        .collect();
    placed.sort();
    let order: Vec<_> = placed.iter().map(|(_, _, index)| *index).collect();
    lines.push(format!("partition {id}, order of positions: {order:?}"));
    for listing in [Listing::Ready, Listing::Scheduled, Listing::Leased] {
        let listed = whole(backend.list_items(id, ListRequest::new(listing)).await?);
        let order: Vec<_> = listed
            .iter()
            .map(|entry| items.iter().position(|one| one == entry))
            .collect();
        lines.push(format!("partition {id}, {listing:?}: {order:?}"));
    }
    Ok(())
}

fn told(entry: &ItemEntry) -> String {
    let record = entry.record.view();
    let bytes = record.payload().unwrap_or_default();
    let payload = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]);
    let state = match entry.state {
        ItemState::Ready { .. } => "ready".to_owned(),
        ItemState::Leased {
            deadline, holder, ..
        } => format!("leased until {deadline} by {holder:?}"),
        other => format!("{other:?}"),
    };
    format!(
        "{payload:?}, record of {} bytes with checksum {:08x}, {state}, {} attempts, note {:?}, revived {}",
        record.as_bytes().len(),
        crc32c::crc32c(record.as_bytes()),
        entry.attempts,
        entry.note.as_ref().map(Note::as_str),
        entry.is_revived,
    )
}
