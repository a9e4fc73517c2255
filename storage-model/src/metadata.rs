//! Metadata: looked at and purged (clauses META-3, META-4 and META-6). It is written by `commit`.

use storage_api::{
    Count, Cursor, Direction, Key, MetadataEntry, Namespace, Object, Operation, Page, Purged,
    Result, ScanRequest, Timestamp,
};

use crate::listing::page;
use crate::model::{Contents, Entry, Model};

impl Model {
    /// The entry of a key, unless it has expired (clause META-3).
    pub fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        self.check_open(Operation::Get)?;
        Ok(self.contents.entry(now, namespace, key).cloned())
    }

    /// A page of the entries of a range (clause META-3).
    pub fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        self.check_open(Operation::Scan)?;
        let ScanRequest {
            namespace,
            range,
            direction,
            after,
            entries_max,
            ..
        } = &request;
        let after = after
            .as_ref()
            .map(|cursor| cursor.key_point(namespace, range, *direction))
            .transpose()
            .map_err(|error| error.during(Operation::Scan, namespace))?;
        let mut left: Vec<_> = self
            .contents
            .entries(now, namespace)
            .filter(|entry| range.contains(&entry.key))
            .collect();
        if *direction == Direction::Backward {
            left.reverse();
        }
        left.retain(|entry| match (&after, direction) {
            (None, _) => true,
            (Some(after), Direction::Forward) => entry.key > *after,
            (Some(after), Direction::Backward) => entry.key < *after,
        });
        Ok(page(
            left.into_iter().cloned(),
            *entries_max,
            |entry| entry.key.len() + entry.value.len(),
            |entry| Cursor::after_key(namespace, range, *direction, &entry.key),
        ))
    }

    /// A page of the namespaces that hold an entry, expired ones included (clause META-3).
    pub fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        self.check_open(Operation::Namespaces)?;
        let after = after
            .map(Cursor::namespace_point)
            .transpose()
            .map_err(|error| error.during(Operation::Namespaces, Object::Backend))?;
        let entries = self.contents.metadata.iter();
        let mut left: Vec<_> = entries
            .map(|entry| &entry.namespace)
            .filter(|namespace| after.as_ref().is_none_or(|after| *namespace > after))
            .collect();
        left.dedup();
        Ok(page(
            left.into_iter().cloned(),
            namespaces_max,
            |_| 0,
            Cursor::after_namespace,
        ))
    }

    /// Reclaims up to `entries_max` expired entries (clause META-4).
    pub fn purge(&mut self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        self.check_open(Operation::Purge)?;
        let mut expired: Vec<_> = self
            .contents
            .metadata
            .iter()
            .filter(|entry| !is_seen(&entry.entry, now))
            .map(|entry| {
                let key = entry.entry.key.clone();
                (entry.entry.expires_at, entry.namespace.clone(), key)
            })
            .collect();
        // META-4: in order of (expires_at, namespace, key).
        expired.sort();
        for (_, namespace, key) in expired.iter().take(entries_max.get()) {
            self.contents.remove_entry(namespace, key);
        }
        Ok(Purged {
            removed: expired.len().min(entries_max.get()),
            more: expired.len() > entries_max.get(),
        })
    }
}

impl Contents {
    /// The entries of a namespace that have not expired, by key.
    pub(crate) fn entries(
        &self,
        now: Timestamp,
        namespace: &Namespace,
    ) -> impl Iterator<Item = &MetadataEntry> {
        // META-6: names are compared whole.
        self.metadata
            .iter()
            .filter(move |entry| entry.namespace == *namespace && is_seen(&entry.entry, now))
            .map(|entry| &entry.entry)
    }

    pub(crate) fn entry(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Option<&MetadataEntry> {
        self.entries(now, namespace).find(|entry| entry.key == *key)
    }

    pub(crate) fn set_entry(&mut self, namespace: &Namespace, entry: MetadataEntry) {
        self.remove_entry(namespace, &entry.key);
        self.metadata.push(Entry {
            namespace: namespace.clone(),
            entry,
        });
        self.metadata
            .sort_by(|a, b| (&a.namespace, &a.entry.key).cmp(&(&b.namespace, &b.entry.key)));
    }

    /// Removes an entry, expired or not; legal where there is none (clause META-7).
    pub(crate) fn remove_entry(&mut self, namespace: &Namespace, key: &Key) {
        self.metadata
            .retain(|there| there.namespace != *namespace || there.entry.key != *key);
    }
}

/// META-4: absent from `expires_at` on.
fn is_seen(entry: &MetadataEntry, now: Timestamp) -> bool {
    entry.expires_at.is_none_or(|at| at > now)
}
