//! Wrong about errors: kinds, order, hints, and what panics.

use storage_api::*;
use storage_model::Model;

use crate::hooked::{Call, telling};
use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        telling(
            "errors_name_no_partition",
            "Every error is about the backend.",
            |_, call, error| {
                let reason = error.reason().to_owned();
                Error::new(error.kind(), call.operation, Object::Backend, reason)
                    .with_retry_hint(error.retry_hint())
            },
            &[
                "errors::a_name_is_escaped_where_an_error_shows_it",
                "errors::an_error_names_its_operation_and_its_object",
            ],
        ),
        telling(
            "errors_show_names_as_they_are",
            "A name goes into the text of an error without being escaped.",
            |_, call, error| {
                let name = call.partition.as_ref().map_or("", |id| id.queue().as_str());
                let reason = format!("there is no partition {name}");
                match error.kind() {
                    ErrorKind::NotFound => {
                        Error::new(ErrorKind::NotFound, call.operation, Object::Backend, reason)
                    }
                    _ => error,
                }
            },
            &["errors::a_name_is_escaped_where_an_error_shows_it"],
        ),
        telling(
            "nothing_is_to_be_tried_again",
            "Every refusal is for good.",
            |_, _, error| error.with_retry_hint(RetryHint::Never),
            &["errors::a_refusal_by_mode_may_be_tried_again"],
        ),
        telling(
            "everything_is_to_be_tried_again",
            "Every refusal is for now.",
            |_, _, error| error.with_retry_hint(RetryHint::SameCall),
            &["errors::a_refusal_that_stays_is_not_to_be_tried_again"],
        ),
        Mutant::new(
            "a_cursor_is_read_before_its_partition_is_found",
            "What a cursor says is looked at before it is known whose it is.",
            ReadsCursorsFirst::wrap,
            &["errors::a_missing_partition_is_named_before_a_bad_cursor"],
        ),
        Mutant::new(
            "a_cursor_that_cannot_be_read_is_none",
            "A listing begins anew where its cursor makes no sense.",
            IgnoresCursors::wrap,
            &["errors::cursors_of_any_bytes_are_refused"],
        ),
        Mutant::new(
            "times_are_subtracted",
            "How long a lease lasts is computed without a thought for the ends of time.",
            Subtracts::wrap,
            &["errors::the_ends_of_time_break_nothing"],
        ),
        Mutant::new(
            "ids_are_looked_up_in_a_table",
            "An id that was never given lies outside of the table, and that is an internal error.",
            HasATable::wrap,
            &["errors::numbers_that_nobody_was_given_break_nothing"],
        ),
        telling(
            "creating_again_resets_the_configuration",
            "A refused creation has written its configuration already.",
            |at, call, error| {
                if error.kind() == ErrorKind::AlreadyExists
                    && call.operation == Operation::CreatePartition
                {
                    at.edit(|contents| {
                        let mut partitions = contents.partitions.iter_mut();
                        if let Some(found) =
                            partitions.find(|one| Some(&one.info.id) == call.partition.as_ref())
                        {
                            found.info.config = PartitionConfig::default();
                        }
                    });
                }
                error
            },
            &["errors::a_refusal_changes_nothing"],
        ),
        Mutant::new(
            "a_refused_batch_stays_as_far_as_there_was_room",
            "A batch is stored item by item until the partition is full.",
            StoresOneByOne::wrap,
            &["produce::batch_beyond_the_bytes_of_the_partition_is_refused_whole"],
        ),
    ]
}

wrong! {
    /// Refuses a bad cursor of a partition that does not exist.
    ReadsCursorsFirst
    ItemStore [list_items] {
        async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
            let has_cursor = matches!(request.start(), Start::After(_));
            let listed = self.inner.list_items(partition, request).await;
            match listed {
                Err(error) if has_cursor && error.kind() == ErrorKind::NotFound => {
                    self.at.fire();
                    Err(Error::invalid("cursor", "it is damaged"))
                }
                listed => listed,
            }
        }
    }
}

wrong! {
    /// Begins listings of partitions and items anew.
    IgnoresCursors
    PartitionStore [list_partitions] {
        async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
            match self.inner.list_partitions(after, partitions_max).await {
                Err(error) if self.at.fired.fire_if(error.kind() == ErrorKind::InvalidArgument) => {
                    self.inner.list_partitions(None, partitions_max).await
                }
                listed => listed,
            }
        }
    }
    ItemStore [list_items] {
        async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
            let anew = ListRequest::new(request.listing()).items_max(request.page_items_max());
            match self.inner.list_items(partition, request).await {
                Err(error) if self.at.fired.fire_if(error.kind() == ErrorKind::InvalidArgument) => {
                    self.inner.list_items(partition, anew).await
                }
                listed => listed,
            }
        }
    }
}

wrong! {
    /// Panics where the difference of two times is no time.
    Subtracts
    ItemStore [lease] {
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            let lasts = request.deadline.as_micros().checked_sub(request.now.as_micros());
            self.at.fired.fire_if(lasts.is_none());
            lasts.expect("a lease has an end");
            self.inner.lease(partition, request).await
        }
    }
}

wrong! {
    /// Keeps the beginning of a batch that does not fit.
    StoresOneByOne
    ItemStore [produce] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            let now = batch.now();
            let payloads: Vec<_> = batch.records().map(|view| view.payload().unwrap_or_default().to_vec()).collect();
            let produced = self.inner.produce(partition, batch).await;
            if produced.as_ref().is_err_and(|error| error.kind() == ErrorKind::CapacityExceeded) {
                self.at.edit(|contents| {
                    let mut model = Model::of(contents.clone());
                    for payload in &payloads {
                        let mut one = ItemBatch::new();
                        one.push(NewItem::new(payload)).expect("one is less than all");
                        if model.produce(partition, one.seal(now)).is_err() {
                            break;
                        }
                    }
                    *contents = model.contents().clone();
                });
            }
            produced
        }
    }
}

wrong! {
    /// Finds no place for large ids.
    HasATable
    ItemStore [get_items] {
        async fn get_items(&self, partition: &PartitionId, ids: ItemIds, payloads: bool) -> Result<Vec<Option<ItemEntry>>> {
            let is_outside = ids.iter().any(|id| id.get() > 1 << 31);
            if self.at.fired.fire_if(is_outside) {
                return Err(Call::of(Operation::GetItems).on(partition).error(ErrorKind::Internal));
            }
            self.inner.get_items(partition, ids, payloads).await
        }
    }
}
