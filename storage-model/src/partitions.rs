//! Partitions: made, configured, looked at, removed (clauses PART-1 to PART-8).

use storage_api::{
    Count, Cursor, Error, ErrorKind, ItemEntry, ItemState, Mode, Object, Operation, Page,
    PartitionConfig, PartitionId, PartitionInfo, PartitionStats, Position, Result, Timestamp,
    UpdateOutcome, Version,
};

use crate::listing::page;
use crate::model::{Model, Partition};

impl Model {
    /// Makes an empty partition (clause PART-1).
    pub fn create_partition(
        &mut self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let operation = Operation::CreatePartition;
        self.check_open(operation)?;
        // PART-6: names are compared whole and never taken apart.
        let partitions = &self.contents.partitions;
        let Err(place) = partitions.binary_search_by(|there| there.info.id.cmp(id)) else {
            // PART-1
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                operation,
                id,
                "there is a partition of that name; use it, or delete it first",
            ));
        };

        let version = self.contents.next_version();
        let info = PartitionInfo {
            id: id.clone(),
            created: version,
            revision: version,
            config,
        };
        let partition = Partition {
            info: info.clone(),
            items: Vec::new(),
            gone_keys: Vec::new(),
            // ITEM-2, PART-4: empty, and above everything that an earlier one of the name gave out.
            last_id: self.contents.deleted_number,
            last_position: self.contents.deleted_number,
        };
        self.contents.partitions.insert(place, partition);
        Ok(info)
    }

    /// Replaces the configuration where its revision is `expected` (clause PART-3).
    pub fn update_partition(
        &mut self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let found = self.find(Operation::UpdatePartition, id)?.info.revision;
        // PART-3: None replaces any revision; another one than expected changes nothing.
        if expected.is_some_and(|expected| expected != found) {
            return Ok(UpdateOutcome::Conflict(found));
        }

        let revision = self.contents.next_version();
        let partition = self.find_mut(Operation::UpdatePartition, id)?;
        // PART-3: no item is touched; policies act when events happen.
        partition.info.config = config;
        partition.info.revision = revision;
        Ok(UpdateOutcome::Updated(revision))
    }

    /// The partition as it is.
    pub fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        Ok(self.find(Operation::Partition, id)?.info.clone())
    }

    /// A page of partitions by queue name, then number (clause PART-5).
    pub fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        self.check_open(Operation::ListPartitions)?;
        let after = after
            .map(Cursor::partition_point)
            .transpose()
            .map_err(|error| error.during(Operation::ListPartitions, Object::Backend))?;
        let left = self
            .contents
            .partitions
            .iter()
            .map(|partition| &partition.info)
            .filter(|info| after.as_ref().is_none_or(|after| info.id > *after))
            .cloned();
        Ok(page(
            left,
            partitions_max,
            |_| 0,
            |info| Cursor::after_partition(&info.id),
        ))
    }

    /// Removes the partition with all that it holds (clause PART-4).
    pub fn delete_partition(&mut self, id: &PartitionId) -> Result<()> {
        let partition = self.find(Operation::DeletePartition, id)?;
        let largest = partition.last_id.max(partition.last_position);
        // ITEM-2: what it gave out is never given again, although the name is forgotten.
        self.contents.deleted_number = self.contents.deleted_number.max(largest);
        self.contents
            .partitions
            .retain(|partition| partition.info.id != *id);
        Ok(())
    }

    /// The statistics (clause PART-7). The model counts; a driver keeps them.
    pub fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        Ok(self.find(Operation::Stats, id)?.stats())
    }
}

impl Partition {
    /// What listing would find (clause PART-7).
    pub fn stats(&self) -> PartitionStats {
        let mut stats = PartitionStats::default();
        for item in &self.items {
            let view = item.record.view();
            let sums = stats.state_mut(item.state());
            sums.items += 1;
            sums.bytes += view.payload_len() as u64;
            sums.created_at_sum += i128::from(view.created_at().as_micros());
            sums.due_at_sum += item.due_at().map_or(0, |at| i128::from(at.as_micros()));
        }
        let first = self.ready_in_order().into_iter().next();
        stats.first_ready_created_at = first.map(|item| item.record.view().created_at());
        stats.next_due = self.next_due();
        stats
    }

    /// Ready items in lease order (clause LEASE-1).
    pub(crate) fn ready_in_order(&self) -> Vec<&ItemEntry> {
        let mut ready: Vec<_> = self
            .items
            .iter()
            .filter_map(|item| match item.state {
                ItemState::Ready { position } => Some((place(item, position), item)),
                _ => None,
            })
            .collect();
        ready.sort_by_key(|(place, _)| *place);
        ready.into_iter().map(|(_, item)| item).collect()
    }

    /// The earliest due time, of items and of dedup keys whose items have gone (clauses TIME-1 and PART-7).
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let items = self.items.iter().filter_map(ItemEntry::due_at);
        let keys = self.gone_keys.iter().map(|key| key.due_at);
        items.chain(keys).min()
    }

    /// PART-8: Draining refuses produce.
    pub(crate) fn check_produces(&self, operation: Operation) -> Result<()> {
        match self.info.config.mode() {
            Mode::Open => Ok(()),
            Mode::Draining | Mode::Frozen => Err(self.mode_refusal(operation)),
        }
    }

    /// PART-8: Frozen refuses produce, lease and maintain.
    pub(crate) fn check_moves(&self, operation: Operation) -> Result<()> {
        match self.info.config.mode() {
            Mode::Open | Mode::Draining => Ok(()),
            Mode::Frozen => Err(self.mode_refusal(operation)),
        }
    }

    fn mode_refusal(&self, operation: Operation) -> Error {
        let mode = match self.info.config.mode() {
            Mode::Open => "open",
            Mode::Draining => "draining",
            Mode::Frozen => "frozen",
        };
        let reason = format!("it is {mode}; set its mode to open, then call again");
        Error::new(ErrorKind::Unavailable, operation, &self.info.id, reason)
    }
}

/// Where an item stands in lease order: by priority, then position (clause LEASE-1).
pub(crate) fn place(item: &ItemEntry, position: Position) -> (u8, Position) {
    (item.record.view().priority(), position)
}
