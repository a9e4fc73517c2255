//! Forwarding a whole backend to another one, for wrappers: faults, metrics, layers.

/// Writes the methods of a driver trait that pass everything on to a field, with listed exceptions.
///
/// Within an `impl` it writes every method of that trait but those excepted, which the wrapper writes itself; an exception
/// that is not written, or is no method of the trait, does not compile. The field holds anything that the trait's methods
/// can be called on: a backend, an `Arc` or a `Box` of one. A forwarded call costs no box of its own.
/// One method is written and passes nothing on: a wrapper has no [shortcut](crate::StorageBackend::shortcut), by which calls would
/// pass it by. A wrapper that does to a shortcut what it does to the operations excepts the method and writes it.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use storage_api::{
///     ItemStore, MetadataStore, PartitionId, PartitionStore, Produced, Result, SealedBatch, Storage,
///     StorageBackend, async_trait, forward_backend,
/// };
/// use storage_memory::MemoryBackend;
///
/// #[derive(Debug)]
/// struct Counting {
///     inner: Arc<dyn StorageBackend>,
///     produced: AtomicU64,
/// }
///
/// #[async_trait]
/// impl ItemStore for Counting {
///     forward_backend!(ItemStore => inner, except [produce]);
///
///     async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
///         self.produced.fetch_add(batch.len() as u64, Ordering::Relaxed);
///         self.inner.produce(partition, batch).await
///     }
/// }
///
/// forward_backend!(impl PartitionStore for Counting => inner);
/// forward_backend!(impl MetadataStore for Counting => inner);
/// forward_backend!(impl StorageBackend for Counting => inner);
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
/// let inner = Arc::new(MemoryBackend::new());
/// let counting = Arc::new(Counting { inner, produced: AtomicU64::new(0) });
/// let storage = Storage::from_backend(Arc::clone(&counting) as Arc<dyn StorageBackend>);
///
/// let partition = storage.create_partition(("emails", 0), Default::default()).await?;
/// partition.produce(["a", "b"]).await?;
/// assert_eq!(counting.produced.load(Ordering::Relaxed), 2);
/// # Ok(()) }
/// ```
///
/// A wrapper that excepts nothing is one line:
///
/// ```
/// #[derive(Debug)]
/// struct Transparent(std::sync::Arc<dyn storage_api::StorageBackend>);
///
/// storage_api::forward_backend!(impl all for Transparent => 0);
/// ```
#[macro_export]
macro_rules! forward_backend {
    // Within an impl: all methods, or all but some.
    ($trait:ident => $inner:tt) => {
        $crate::forward_backend!($trait => $inner, except []);
    };
    (PartitionStore => $inner:tt, except [$($except:ident),* $(,)?]) => {
        $crate::__forward_methods! { PartitionStore $inner [$($except)*]
            create_partition['life1](id: &'life1 $crate::PartitionId, config: $crate::PartitionConfig) -> $crate::PartitionInfo;
            update_partition['life1](id: &'life1 $crate::PartitionId, expected: Option<$crate::Version>, config: $crate::PartitionConfig) -> $crate::UpdateOutcome;
            partition['life1](id: &'life1 $crate::PartitionId) -> $crate::PartitionInfo;
            list_partitions['life1](after: Option<&'life1 $crate::Cursor>, partitions_max: $crate::Count) -> $crate::Page<$crate::PartitionInfo>;
            delete_partition['life1](id: &'life1 $crate::PartitionId) -> ();
            stats['life1](id: &'life1 $crate::PartitionId) -> $crate::PartitionStats;
            maintain['life1](id: &'life1 $crate::PartitionId, now: $crate::Timestamp, items_max: $crate::Count) -> $crate::Maintained;
            watch['life1](id: &'life1 $crate::PartitionId) -> $crate::Signal;
        }
    };
    (ItemStore => $inner:tt, except [$($except:ident),* $(,)?]) => {
        $crate::__forward_methods! { ItemStore $inner [$($except)*]
            produce['life1](partition: &'life1 $crate::PartitionId, batch: $crate::SealedBatch) -> $crate::Produced;
            lease['life1](partition: &'life1 $crate::PartitionId, request: $crate::LeaseRequest) -> $crate::LeasedBatch;
            extend['life1](partition: &'life1 $crate::PartitionId, receipts: $crate::Receipts, deadline: $crate::Timestamp) -> Vec<$crate::ExtendOutcome>;
            release['life1](partition: &'life1 $crate::PartitionId, receipts: $crate::Receipts) -> Vec<$crate::ReleaseOutcome>;
            release_holder['life1](partition: &'life1 $crate::PartitionId, holder: $crate::Holder, items_max: $crate::Count) -> $crate::ReleasedHolder;
            complete['life1](partition: &'life1 $crate::PartitionId, receipts: $crate::Receipts) -> Vec<$crate::CompleteOutcome>;
            retry['life1](partition: &'life1 $crate::PartitionId, now: $crate::Timestamp, retries: $crate::Retries) -> Vec<$crate::RetryOutcome>;
            revive['life1](partition: &'life1 $crate::PartitionId, ids: $crate::ItemIds) -> Vec<$crate::ReviveOutcome>;
            get_items['life1](partition: &'life1 $crate::PartitionId, ids: $crate::ItemIds, payloads: bool) -> Vec<Option<$crate::ItemEntry>>;
            list_items['life1](partition: &'life1 $crate::PartitionId, request: $crate::ListRequest) -> $crate::Page<$crate::ItemEntry>;
            delete_items['life1](partition: &'life1 $crate::PartitionId, ids: $crate::ItemIds) -> Vec<$crate::DeleteOutcome>;
            clear['life1](partition: &'life1 $crate::PartitionId, states: $crate::States, items_max: $crate::Count) -> $crate::Cleared;
            restore['life1](partition: &'life1 $crate::PartitionId, items: $crate::RestoreBatch, floors: $crate::Floors) -> ();
        }
    };
    (MetadataStore => $inner:tt, except [$($except:ident),* $(,)?]) => {
        $crate::__forward_methods! { MetadataStore $inner [$($except)*]
            get['life1 'life2](now: $crate::Timestamp, namespace: &'life1 $crate::Namespace, key: &'life2 $crate::Key) -> Option<$crate::MetadataEntry>;
            scan[](now: $crate::Timestamp, request: $crate::ScanRequest) -> $crate::Page<$crate::MetadataEntry>;
            namespaces['life1](after: Option<&'life1 $crate::Cursor>, namespaces_max: $crate::Count) -> $crate::Page<$crate::Namespace>;
            purge[](now: $crate::Timestamp, entries_max: $crate::Count) -> $crate::Purged;
        }
    };
    (StorageBackend => $inner:tt, except [$($except:ident),* $(,)?]) => {
        $crate::__forward_methods! { StorageBackend $inner [$($except)*]
            commit[](request: $crate::CommitRequest) -> $crate::CommitOutcome;
            health[]() -> $crate::Health;
            usage[]() -> $crate::Usage;
            sync[]() -> ();
            close[]() -> ();
        }
        $crate::__forward_unless_excepted! { descriptor [$($except)*]
            fn descriptor(&self) -> $crate::Descriptor {
                use $crate::StorageBackend as _;
                self.$inner.descriptor()
            }
        }
        $crate::__forward_unless_excepted! { verify [$($except)*]
            fn verify(&self) -> Option<&dyn $crate::Verify> {
                use $crate::StorageBackend as _;
                self.$inner.verify()
            }
        }
        // Not forwarded: it would pass the wrapper by.
        $crate::__forward_unless_excepted! { shortcut [$($except)*]
            fn shortcut(
                &self,
                _: &$crate::PartitionId,
            ) -> Option<::std::sync::Arc<dyn $crate::Shortcut>> {
                None
            }
        }
    };

    // At the place of an item: whole impls.
    (impl all for $wrapper:ty => $inner:tt) => {
        $crate::forward_backend!(impl PartitionStore for $wrapper => $inner);
        $crate::forward_backend!(impl ItemStore for $wrapper => $inner);
        $crate::forward_backend!(impl MetadataStore for $wrapper => $inner);
        $crate::forward_backend!(impl StorageBackend for $wrapper => $inner);
    };
    (impl $trait:ident for $wrapper:ty => $inner:tt) => {
        impl $crate::$trait for $wrapper {
            $crate::forward_backend!($trait => $inner, except []);
        }
    };
}

/// The methods of `forward_backend!`, one after the other: signatures as `async_trait` writes them, since within an impl
/// that it has passed already, nothing else will write them.
#[doc(hidden)]
#[macro_export]
macro_rules! __forward_methods {
    ($trait:ident $inner:tt $except:tt) => {};
    ($trait:ident $inner:tt $except:tt
        $name:ident[$($life:lifetime)*]($($argument:ident: $type:ty),*) -> $answer:ty;
        $($rest:tt)*
    ) => {
        $crate::__forward_unless_excepted! { $name $except
            fn $name<'life0, $($life,)* 'async_trait>(
                &'life0 self,
                $($argument: $type),*
            ) -> ::core::pin::Pin<Box<
                dyn ::core::future::Future<Output = $crate::Result<$answer>> + ::core::marker::Send + 'async_trait
            >>
            where
                'life0: 'async_trait,
                $($life: 'async_trait,)*
                Self: 'async_trait,
            {
                use $crate::$trait as _;
                self.$inner.$name($($argument),*)
            }
        }
        $crate::__forward_methods! { $trait $inner $except $($rest)* }
    };
}

/// Writes a method unless its name is in the list. A name can be compared with a literal only, so each has a rule.
#[doc(hidden)]
#[macro_export]
#[rustfmt::skip]
macro_rules! __forward_unless_excepted {
    ($name:ident [] $($method:tt)*) => { $($method)* };
    (create_partition [create_partition $($except:ident)*] $($method:tt)*) => {};
    (update_partition [update_partition $($except:ident)*] $($method:tt)*) => {};
    (partition [partition $($except:ident)*] $($method:tt)*) => {};
    (list_partitions [list_partitions $($except:ident)*] $($method:tt)*) => {};
    (delete_partition [delete_partition $($except:ident)*] $($method:tt)*) => {};
    (stats [stats $($except:ident)*] $($method:tt)*) => {};
    (maintain [maintain $($except:ident)*] $($method:tt)*) => {};
    (watch [watch $($except:ident)*] $($method:tt)*) => {};
    (produce [produce $($except:ident)*] $($method:tt)*) => {};
    (lease [lease $($except:ident)*] $($method:tt)*) => {};
    (extend [extend $($except:ident)*] $($method:tt)*) => {};
    (release [release $($except:ident)*] $($method:tt)*) => {};
    (release_holder [release_holder $($except:ident)*] $($method:tt)*) => {};
    (complete [complete $($except:ident)*] $($method:tt)*) => {};
    (retry [retry $($except:ident)*] $($method:tt)*) => {};
    (revive [revive $($except:ident)*] $($method:tt)*) => {};
    (get_items [get_items $($except:ident)*] $($method:tt)*) => {};
    (list_items [list_items $($except:ident)*] $($method:tt)*) => {};
    (delete_items [delete_items $($except:ident)*] $($method:tt)*) => {};
    (clear [clear $($except:ident)*] $($method:tt)*) => {};
    (restore [restore $($except:ident)*] $($method:tt)*) => {};
    (get [get $($except:ident)*] $($method:tt)*) => {};
    (scan [scan $($except:ident)*] $($method:tt)*) => {};
    (namespaces [namespaces $($except:ident)*] $($method:tt)*) => {};
    (purge [purge $($except:ident)*] $($method:tt)*) => {};
    (commit [commit $($except:ident)*] $($method:tt)*) => {};
    (health [health $($except:ident)*] $($method:tt)*) => {};
    (usage [usage $($except:ident)*] $($method:tt)*) => {};
    (sync [sync $($except:ident)*] $($method:tt)*) => {};
    (close [close $($except:ident)*] $($method:tt)*) => {};
    (descriptor [descriptor $($except:ident)*] $($method:tt)*) => {};
    (verify [verify $($except:ident)*] $($method:tt)*) => {};
    (shortcut [shortcut $($except:ident)*] $($method:tt)*) => {};
    ($name:ident [$other:ident $($except:ident)*] $($method:tt)*) => {
        $crate::__forward_unless_excepted! { $name [$($except)*] $($method)* }
    };
}
