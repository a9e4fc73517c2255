//! Mutants of metadata and commits: what is asked is changed on the way in, or what is answered on the way out.

use std::sync::Arc;

use storage_api::*;
use storage_conformance::reference::ReferenceBackend;
use storage_model::{Contents, Model};

use crate::mutant::{Mutant, Opened};

/// A commit in its parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) now: Timestamp,
    pub(crate) checks: Vec<Check>,
    pub(crate) writes: Vec<Write>,
    pub(crate) steps: Vec<Step>,
}

impl Parts {
    pub(crate) fn of(request: &CommitRequest) -> Self {
        Self {
            now: request.now(),
            checks: request.checks().to_vec(),
            writes: request.writes().to_vec(),
            steps: request.steps().to_vec(),
        }
    }

    /// The commit of these parts; a mutant makes it no larger than it was.
    pub(crate) fn request(self) -> CommitRequest {
        let mut request = CommitRequest::new(self.now);
        let added = self.checks.into_iter().try_for_each(|check| match check {
            Check::Absent { namespace, key } => request.check_absent(&namespace, &key),
            Check::Version {
                namespace,
                key,
                version,
            } => request.check_version(&namespace, &key, version),
            Check::Range {
                namespace,
                range,
                seen,
            } => request.check_range(&namespace, range, seen),
        });
        let added = added.and_then(|()| {
            self.writes.into_iter().try_for_each(|write| match write {
                Write::Put {
                    namespace,
                    key,
                    value,
                    expires_at,
                } => request.put(&namespace, &key, value, expires_at),
                Write::Delete { namespace, key } => request.delete(&namespace, &key),
            })
        });
        let added = added.and_then(|()| {
            self.steps.into_iter().try_for_each(|step| match step {
                Step::Produce { partition, batch } => {
                    request.produce(&partition, unsealed(&batch, |item| item))
                }
                Step::Complete {
                    partition,
                    receipts,
                } => request.complete(&partition, receipts),
                Step::Delete { partition, ids } => request.delete_items(&partition, ids),
            })
        });
        added.expect("a mutant makes a commit no larger");
        request
    }
}

/// The items of a batch, each changed.
pub(crate) fn unsealed(
    batch: &SealedBatch,
    change: impl for<'a> Fn(NewItem<'a>) -> NewItem<'a>,
) -> ItemBatch {
    let mut items = ItemBatch::new();
    for view in batch.records() {
        let attributes = view.attributes();
        let mut item = NewItem::new(view.payload().unwrap_or_default())
            .kind(attributes.kind)
            .encoding(attributes.encoding)
            .reference(attributes.reference)
            .priority(view.priority())
            .attempts_max(view.attempts_max());
        if let Some(key) = attributes.dedup_key {
            item = item.dedup_key(key);
        }
        if let Some(at) = view.enqueue_at() {
            item = item.enqueue_at(at);
        }
        if let Some(at) = view.expire_at() {
            item = item.expire_at(at);
        }
        items.push(change(item)).expect("as large as it was");
    }
    items
}

/// What a mutant sees of a commit that was decided.
pub(crate) struct Ground<'a> {
    pub(crate) before: &'a Contents,
    pub(crate) request: &'a CommitRequest,
    at: &'a Opened,
}

impl Ground<'_> {
    /// What another commit would have been answered on the state before.
    pub(crate) fn instead(&self, parts: Parts) -> Result<CommitOutcome> {
        Model::of(self.before.clone()).commit(parts.request())
    }

    /// Applies another commit to what is there now.
    pub(crate) fn apply(&self, parts: Parts) {
        self.at.edit(|contents| {
            let mut model = Model::of(contents.clone());
            // Where it is refused there is nothing wrong to do.
            let _ = model.commit(parts.request());
            *contents = model.contents().clone();
        });
    }

    pub(crate) fn parts(&self) -> Parts {
        Parts::of(self.request)
    }
}

type Decision = fn(&Ground<'_>, Result<CommitOutcome>) -> Result<CommitOutcome>;

/// Which look at the metadata, or commit, is wrong, and how.
#[derive(Clone, Copy)]
pub(crate) enum Wrong {
    /// A commit before it is done.
    Asked(fn(&Contents, &mut Parts)),
    /// A commit after it was done: what is told.
    Decided(Decision),
    Get(fn(&Contents, &Namespace, &Key, &mut Option<MetadataEntry>)),
    ScanAsked(fn(&mut Timestamp, &mut ScanRequest)),
    Scan(fn(&Contents, Timestamp, &ScanRequest, &mut Page<MetadataEntry>)),
    /// What becomes of a scan that was refused.
    ScanRefused(fn(&mut ScanRequest)),
    Namespaces(fn(&Contents, Option<&Cursor>, Count, &mut Page<Namespace>)),
    /// What is purged, and what is told of it.
    PurgeAsked(fn(&Contents, &mut Timestamp, &mut Count)),
    Purged(fn(Count, &mut Purged)),
}

/// A mutant of metadata or commits.
pub(crate) fn metadata(
    name: &'static str,
    defect: &'static str,
    wrong: Wrong,
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        let inner = at.inner.clone();
        Arc::new(Asked { inner, at, wrong })
    };
    Mutant::new(name, defect, wrap, caught_by)
}

struct Asked {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    wrong: Wrong,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked")
    }
}

impl Asked {
    fn change<T: Clone + PartialEq>(&self, mut answer: T, change: impl FnOnce(&mut T)) -> T {
        let sound = answer.clone();
        change(&mut answer);
        self.at.fired.fire_if(answer != sound);
        answer
    }
}

forward_backend!(impl PartitionStore for Asked => inner);
forward_backend!(impl ItemStore for Asked => inner);

#[async_trait]
impl MetadataStore for Asked {
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        let mut asked_at = now;
        if let Wrong::ScanAsked(wrong) = self.wrong {
            let mut request = ScanRequest::new(namespace.clone(), KeyRange::all());
            wrong(&mut asked_at, &mut request);
        }
        let found = self.inner.get(asked_at, namespace, key).await?;
        self.at.fired.fire_if(asked_at != now);
        Ok(match self.wrong {
            Wrong::Get(wrong) => self.change(found, |found| {
                wrong(&self.inner.contents(), namespace, key, found)
            }),
            _ => found,
        })
    }

    async fn scan(&self, mut now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        let mut asked = request.clone();
        if let Wrong::ScanAsked(wrong) = self.wrong {
            let before = (now, format!("{asked:?}"));
            wrong(&mut now, &mut asked);
            self.at.fired.fire_if((now, format!("{asked:?}")) != before);
        }
        let page = match self.inner.scan(now, asked).await {
            Err(error) => match self.wrong {
                Wrong::ScanRefused(wrong) if error.kind() == ErrorKind::InvalidArgument => {
                    let mut again = request.clone();
                    wrong(&mut again);
                    self.at.fire();
                    self.inner.scan(now, again).await?
                }
                _ => return Err(error),
            },
            Ok(page) => page,
        };
        Ok(match self.wrong {
            Wrong::Scan(wrong) => self.change(page, |page| {
                wrong(&self.inner.contents(), now, &request, page)
            }),
            _ => page,
        })
    }

    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        let page = self.inner.namespaces(after, namespaces_max).await?;
        Ok(match self.wrong {
            Wrong::Namespaces(wrong) => self.change(page, |page| {
                wrong(&self.inner.contents(), after, namespaces_max, page)
            }),
            _ => page,
        })
    }

    async fn purge(&self, mut now: Timestamp, mut entries_max: Count) -> Result<Purged> {
        if let Wrong::PurgeAsked(wrong) = self.wrong {
            let before = (now, entries_max);
            wrong(&self.inner.contents(), &mut now, &mut entries_max);
            self.at.fired.fire_if((now, entries_max) != before);
        }
        let purged = self.inner.purge(now, entries_max).await?;
        Ok(match self.wrong {
            Wrong::Purged(wrong) => self.change(purged, |purged| wrong(entries_max, purged)),
            _ => purged,
        })
    }
}

#[async_trait]
impl StorageBackend for Asked {
    forward_backend!(StorageBackend => inner, except [commit]);

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        match self.wrong {
            Wrong::Asked(wrong) => {
                let mut parts = Parts::of(&request);
                wrong(&self.inner.contents(), &mut parts);
                let asked = parts.request();
                self.at.fired.fire_if(asked != request);
                self.inner.commit(asked).await
            }
            Wrong::Decided(wrong) => {
                let before = self.inner.contents();
                let sound = self.inner.commit(request.clone()).await;
                let told = format!("{sound:?}");
                let ground = Ground {
                    before: &before,
                    request: &request,
                    at: &self.at,
                };
                let wrong = wrong(&ground, sound);
                self.at.fired.fire_if(format!("{wrong:?}") != told);
                wrong
            }
            _ => self.inner.commit(request).await,
        }
    }
}
