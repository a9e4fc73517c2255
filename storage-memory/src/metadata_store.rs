//! The operations on metadata; its writes are in `commit`.

use async_trait::async_trait;
use storage_api::{
    Count, Cursor, Key, MetadataEntry, MetadataStore, Namespace, Object, Operation, Page, Purged,
    Result, ScanRequest, Timestamp,
};

use crate::backend::MemoryBackend;

#[async_trait]
impl MetadataStore for MemoryBackend {
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        let opened = self.enter(Operation::Get)?;
        let entry = opened.metadata.read().get(now, namespace, key);
        Ok(entry)
    }

    async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        let opened = self.enter(Operation::Scan)?;
        opened.metadata.read().scan(now, &request)
    }

    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        let opened = self.enter(Operation::Namespaces)?;
        let after = after
            .map(Cursor::namespace_point)
            .transpose()
            .map_err(|error| error.during(Operation::Namespaces, Object::Backend))?;
        let page = opened
            .metadata
            .read()
            .namespaces(after.as_ref(), namespaces_max);
        Ok(page)
    }

    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        let opened = self.enter(Operation::Purge)?;
        let mut metadata = opened.metadata.write();
        let purged = metadata.purge(now, entries_max);
        opened.settle_metadata(&mut metadata);
        Ok(purged)
    }
}
