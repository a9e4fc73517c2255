//! Comparing everything that can be seen of both sides.

use storage_api::{
    Count, ItemEntry, KeyRange, ListRequest, Listing, MetadataEntry, Namespace, Page,
    PartitionInfo, Position, Result as ApiResult, ScanRequest, States, Timestamp,
};

use super::generate::NAMESPACES;
use super::numbers::Mismatch;
use super::world::{World, namespace, same};

impl World {
    pub(super) fn same_info(
        &mut self,
        driver: &PartitionInfo,
        model: &PartitionInfo,
    ) -> Result<(), Mismatch> {
        self.versions.meet(driver.created, model.created)?;
        self.versions.meet(driver.revision, model.revision)?;
        same("partition", &driver.id, &model.id)?;
        same("configuration", &driver.config, &model.config)
    }

    pub(super) fn same_items(
        &mut self,
        partition: u8,
        driver: &[ItemEntry],
        model: &[ItemEntry],
    ) -> Result<(), Mismatch> {
        let told = |why: Mismatch| format!("{why}\n  driver: {driver:?}\n  model:  {model:?}");
        same("number of items", &driver.len(), &model.len()).map_err(told)?;
        for (driver, model) in driver.iter().zip(model) {
            self.same_entry(partition, driver, model, false)?;
        }
        Ok(())
    }

    pub(super) fn same_metadata(
        &mut self,
        driver: &[MetadataEntry],
        model: &[MetadataEntry],
    ) -> Result<(), Mismatch> {
        let told = |why: Mismatch| format!("{why}\n  driver: {driver:?}\n  model:  {model:?}");
        same("number of entries", &driver.len(), &model.len()).map_err(told)?;
        for (driver, model) in driver.iter().zip(model) {
            let versions = &self.versions;
            versions.meet(driver.version, model.version).map_err(told)?;
            let mut renamed = driver.clone();
            renamed.version = model.version;
            same("entry", &renamed, model).map_err(told)?;
        }
        Ok(())
    }

    /// Compares all partitions with their statistics and items in every order, and all metadata.
    pub(super) async fn compare(&mut self) -> Result<(), Mismatch> {
        let driver = self.driver.list_partitions(None, Count::MAX).await;
        let model = self.model.list_partitions(None, Count::MAX);
        let (driver, model) = (whole(driver)?, whole(model)?);
        same("number of partitions", &driver.len(), &model.len())?;
        for (driver, model) in driver.iter().zip(&model) {
            self.same_info(driver, model)?;
        }
        for info in model {
            let home = self.homes.iter().position(|home| home.id == info.id);
            let home = home.and_then(|index| u8::try_from(index).ok());
            let partition = home.ok_or("a partition that no action names")?;
            self.compare_partition(partition)
                .await
                .map_err(|why| format!("in partition {}: {why}", info.id))?;
        }
        self.compare_metadata().await
    }

    async fn compare_partition(&mut self, partition: u8) -> Result<(), Mismatch> {
        let id = self.id(partition);
        let driver = self
            .driver
            .partition(&id)
            .await
            .map_err(|error| refused(&error))?;
        let model = self.model.partition(&id).map_err(|error| refused(&error))?;
        self.same_info(&driver, &model)?;

        let driver = self
            .driver
            .stats(&id)
            .await
            .map_err(|error| refused(&error))?;
        let model = self.model.stats(&id).map_err(|error| refused(&error))?;
        same("statistics", &driver, &model)?;

        let mut placed = Vec::new();
        let mut model_placed = Vec::new();
        for listing in [
            Listing::ById(States::ALL),
            Listing::Ready,
            Listing::Scheduled,
            Listing::Leased,
        ] {
            let request = ListRequest::new(listing);
            let driver = whole(self.driver.list_items(&id, request.clone()).await)?;
            let model = whole(self.model.list_items(&id, request))?;
            self.same_items(partition, &driver, &model)
                .map_err(|why| format!("in listing {listing:?}: {why}"))?;
            if let Listing::ById(_) = listing {
                placed = places(&driver);
                model_placed = places(&model);
            }
        }
        // Positions are opaque, but their order is not: a leased item keeps its place between the ready ones (ORDER-1).
        let told = || format!("\n  driver: {placed:?}\n  model:  {model_placed:?}");
        same("number of positions", &placed.len(), &model_placed.len())?;
        for (one, other) in placed.iter().zip(&model_placed) {
            let ids = &self.home(partition).ids;
            ids.meet(one.2, other.2)
                .map_err(|why| format!("the order of positions differs: {why}{}", told()))?;
        }
        let is_shared = |pair: &[Place]| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1);
        if placed.windows(2).any(is_shared) {
            return Err(format!("two items share a position{}", told()));
        }
        Ok(())
    }

    async fn compare_metadata(&mut self) -> Result<(), Mismatch> {
        let driver: Vec<Namespace> = whole(self.driver.namespaces(None, Count::MAX).await)?;
        let model = whole(self.model.namespaces(None, Count::MAX))?;
        same("namespaces", &driver, &model)?;
        for pick in 0..NAMESPACES {
            // At the smallest time almost nothing has expired: what waits for purge is seen.
            for now in [Timestamp::MIN, Timestamp::EPOCH] {
                let request = ScanRequest::new(namespace(pick), KeyRange::all());
                let driver = whole(self.driver.scan(now, request.clone()).await)?;
                let model = whole(self.model.scan(now, request))?;
                self.same_metadata(&driver, &model)
                    .map_err(|why| format!("in namespace {}: {why}", namespace(pick)))?;
            }
        }
        Ok(())
    }
}

/// Priority, position and id of an item that has a position.
type Place = (u8, Position, storage_api::ItemId);

fn places(entries: &[ItemEntry]) -> Vec<Place> {
    let mut places: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let position = entry.state.position()?;
            Some((entry.record.view().priority(), position, entry.id))
        })
        .collect();
    places.sort();
    places
}

fn refused(error: &storage_api::Error) -> Mismatch {
    format!("a look is refused: {}: {error}", error.kind())
}

/// The one page that holds everything.
fn whole<T>(page: ApiResult<Page<T>>) -> Result<Vec<T>, Mismatch> {
    let Page { items, next } = page.map_err(|error| refused(&error))?;
    if next.is_none() {
        Ok(items)
    } else {
        Err("few entries do not fit into one page".to_owned())
    }
}
