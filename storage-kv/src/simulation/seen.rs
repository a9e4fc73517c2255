//! What can be seen of a backend and of the model, as text that must be equal.

use storage_api::{
    Count, Cursor, ErrorKind, ItemEntry, ItemStore, KeyRange, LeasedBatch, ListRequest,
    MetadataEntry, MetadataStore, Page, PartitionStore, Result, ScanRequest, States, Timestamp,
};
use storage_model::{Contents, Model};

use super::{Engine, World, now};
use crate::engine::Span;
use crate::keyspace::Keyspace;

/// A result as text: what must be equal on both sides.
pub(super) fn told<T>(result: Result<T>, show: impl Fn(&T) -> String) -> String {
    match result {
        Ok(value) => show(&value),
        // Which item was refused is part of the contract; how a cursor is called is not.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            format!("{:?} {:?}", error.outcome(), error.object())
        }
        Err(error) => format!("{:?} {:?}", error.kind(), error.outcome()),
    }
}

pub(super) fn debug<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

pub(super) fn entry(entry: &ItemEntry) -> String {
    let record = entry.record.view().as_bytes().escape_ascii().to_string();
    format!(
        "{} {:?} {} {:?} {} {record}",
        entry.id, entry.state, entry.attempts, entry.note, entry.is_revived
    )
}

pub(super) fn leased(batch: &LeasedBatch) -> String {
    let items = batch.iter().map(|item| entry(&item.to_entry()));
    items.collect::<Vec<_>>().join("\n")
}

pub(super) fn items(page: &Page<ItemEntry>) -> String {
    let items: Vec<_> = page.items.iter().map(entry).collect();
    format!("{items:#?} {:?}", page.next.as_ref().map(Cursor::as_bytes))
}

pub(super) fn entries(page: &Page<MetadataEntry>) -> String {
    format!(
        "{:?} {:?}",
        page.items,
        page.next.as_ref().map(Cursor::as_bytes)
    )
}

impl<E: Engine> World<E> {
    pub(super) fn state_of_backend(&self) -> String {
        let backend = self.backend();
        let mut state = Vec::new();
        let partitions = now(backend.list_partitions(None, Count::MAX)).expect("it is open");
        for info in partitions.items {
            state.push(format!("{info:?}"));
            for request in all_listings() {
                let page = now(backend.list_items(&info.id, request));
                state.push(told(page, items));
            }
            state.push(told(now(backend.stats(&info.id)), debug));
        }
        for namespace in now(backend.namespaces(None, Count::MAX))
            .expect("it is open")
            .items
        {
            let request = ScanRequest::new(namespace.clone(), KeyRange::all());
            let page = now(backend.scan(Timestamp::MIN, request));
            state.push(format!("{namespace:?} {}", told(page, entries)));
        }
        state.join("\n")
    }

    /// What no operation shows: entries that are never seen, and dedup keys.
    pub(super) fn hidden_in_backend(&self) -> String {
        let kernel = self.backend().kernel();
        let keys = |space| kernel.store.keys(space, Span::all(), usize::MAX);
        let entries = keys(Keyspace::Entries).expect("the disk works").len();
        let mut hidden = vec![format!("{entries} entries")];
        for partition in kernel.all_partitions().expect("the disk works") {
            let prefix = crate::keys::prefix(partition.number);
            let mut of_partition = Vec::new();
            let scanned = kernel
                .store
                .scan_prefix(Keyspace::Dedup, &prefix, |key, row| {
                    let owner = crate::work::decode_owner(row).expect("it decodes");
                    let key = key[prefix.len()..].escape_ascii();
                    of_partition.push(format!("{key} {} {:?}", owner.id, owner.lingers_until));
                    Ok(std::ops::ControlFlow::Continue(()))
                });
            scanned.expect("the disk works");
            hidden.push(format!("{} {of_partition:?}", partition.id));
        }
        hidden.join("\n")
    }
}

fn all_listings() -> [ListRequest; 4] {
    [
        ListRequest::by_id(States::ALL),
        ListRequest::ready(),
        ListRequest::scheduled(),
        ListRequest::leased(),
    ]
}

pub(super) fn state_of_model(model: &mut Model) -> String {
    let mut state = Vec::new();
    let infos: Vec<_> = model
        .contents()
        .partitions
        .iter()
        .map(|partition| partition.info.clone())
        .collect();
    for info in infos {
        state.push(format!("{info:?}"));
        for request in all_listings() {
            state.push(told(model.list_items(&info.id, request), items));
        }
        state.push(told(model.stats(&info.id), debug));
    }
    for namespace in model
        .namespaces(None, Count::MAX)
        .expect("it is open")
        .items
    {
        let request = ScanRequest::new(namespace.clone(), KeyRange::all());
        let page = model.scan(Timestamp::MIN, request);
        state.push(format!("{namespace:?} {}", told(page, entries)));
    }
    state.join("\n")
}

pub(super) fn hidden_in_model(contents: &Contents) -> String {
    let mut hidden = vec![format!("{} entries", contents.metadata.len())];
    for partition in &contents.partitions {
        let living = partition.items.iter().filter_map(|item| {
            let key = item.record.view().dedup_key()?;
            Some((key.to_vec(), item.id.get(), None))
        });
        let gone = partition.gone_keys.iter();
        let gone = gone.map(|gone| (gone.key.to_vec(), gone.of.get(), Some(gone.due_at)));
        let mut keys: Vec<_> = living.chain(gone).collect();
        keys.sort();
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(key, id, until)| format!("{} {id} {until:?}", key.escape_ascii()))
            .collect();
        hidden.push(format!("{} {keys:?}", partition.info.id));
    }
    hidden.join("\n")
}
