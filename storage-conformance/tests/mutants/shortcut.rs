//! Wrong about shortcuts: they do something else than the operations, or outlive what they lead to.

use std::fmt;
use std::sync::{Arc, Mutex};

use storage_api::*;
use storage_conformance::reference::ReferenceBackend;
use storage_model::{Contents, Model};

use crate::mutant::{Mutant, Opened};

pub(crate) fn mutants() -> Vec<Mutant> {
    [calls(), ends()].concat()
}

/// Wrong while the partition is there.
fn calls() -> Vec<Mutant> {
    vec![
        shortened(
            "a_shortcut_produces_payloads_alone",
            "What an item is beside its payload takes the long way, and is left behind.",
            Rules {
                produce: |wrong, batch| {
                    let bare = payloads_alone(batch);
                    wrong.at.fired.fire_if(bare != *batch);
                    wrong.sound.produce(&bare)
                },
                ..SOUND
            },
            &[
                "shortcut::producing_by_it_is_producing",
                "model::random_sequences_agree_part_1",
                "model::random_sequences_agree_part_2",
            ],
        ),
        shortened(
            "a_shortcut_leases_for_nobody",
            "Who leases is written down by the operation alone.",
            Rules {
                lease: |wrong, request| {
                    let mut request = *request;
                    wrong.at.fired.fire_if(request.holder.take().is_some());
                    wrong.sound.lease(&request)
                },
                ..SOUND
            },
            &[
                "shortcut::leasing_by_it_is_leasing",
                "model::random_sequences_agree_part_3",
            ],
        ),
        shortened(
            "a_shortcut_completes_what_is_lost",
            "The short way does not look at the lease: the item was there a moment ago.",
            Rules {
                complete: |wrong, receipts| {
                    let outcomes = wrong.sound.complete(receipts)?;
                    let (lost, done) = (CompleteOutcome::LeaseLost, CompleteOutcome::Done);
                    Some(outcomes.map(|all| wrong.at.told(all, lost, done)))
                },
                ..SOUND
            },
            &[
                "shortcut::completing_by_it_is_completing",
                "model::random_sequences_agree_part_4",
                "history::calls_on_one_partition_that_take_turns_have_an_order",
            ],
        ),
        shortened(
            "a_shortcut_asks_no_mode",
            "Whether the partition is open was asked when the shortcut was.",
            Rules {
                produce: |wrong, batch| match wrong.sound.produce(batch)? {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        wrong.at.fire();
                        Some(wrong.opened(|model| model.produce(&wrong.info.id, batch.clone())))
                    }
                    told => Some(told),
                },
                ..SOUND
            },
            &[
                "shortcut::it_refuses_what_the_operations_refuse",
                "model::random_sequences_agree_part_5",
            ],
        ),
        shortened(
            "a_shortcut_leases_before_it_maintains",
            "The long way maintains and leases; the short one has left the first away.",
            Rules {
                lease: |wrong, request| {
                    let leased = wrong.sound.lease(request);
                    if leased.is_some() || !wrong.is_there() {
                        return leased;
                    }
                    wrong.at.fire();
                    let leased = wrong.behind(|model| model.lease(&wrong.info.id, *request));
                    Some(leased.map(|leased| (leased, None)))
                },
                ..SOUND
            },
            &[
                "shortcut::it_leases_only_where_nothing_is_due",
                "model::random_sequences_agree_part_6",
            ],
        ),
        shortened(
            "a_shortcut_without_an_answer_has_done_its_work",
            "It leases, finds that something was due, and sends its caller to lease once more.",
            Rules {
                lease: |wrong, request| {
                    let leased = wrong.sound.lease(request);
                    if leased.is_none() && wrong.is_there() {
                        wrong.at.edit(|contents| {
                            on(contents, |model| {
                                let leased = model.lease(&wrong.info.id, *request);
                                leased.is_ok()
                            });
                        });
                    }
                    leased
                },
                ..SOUND
            },
            &[
                "shortcut::it_leases_only_where_nothing_is_due",
                "model::random_sequences_agree_part_7",
            ],
        ),
        shortened(
            "a_shortcut_forgets_what_is_due_next",
            "Nothing is due, so that nothing is said of it: who waits sleeps for ever.",
            Rules {
                lease: |wrong, request| {
                    let leased = wrong.sound.lease(request)?;
                    Some(leased.map(|(leased, next_due)| {
                        wrong.at.fired.fire_if(next_due.is_some());
                        (leased, None)
                    }))
                },
                ..SOUND
            },
            &[
                "shortcut::it_tells_what_will_be_due_next",
                "model::random_sequences_agree_part_8",
            ],
        ),
        shortened(
            "a_shortcut_forgets_to_wake",
            "Signals belong to the backend, which the short way does not pass.",
            Rules {
                produce: |wrong, batch| {
                    wrong.asleep(|model| model.produce(&wrong.info.id, batch.clone()))
                },
                lease: |wrong, request| {
                    let leased = wrong.asleep(|model| model.lease(&wrong.info.id, *request));
                    leased.map(|leased| leased.map(|leased| (leased, None)))
                },
                complete: |wrong, receipts| {
                    wrong.asleep(|model| model.complete(&wrong.info.id, receipts.clone()))
                },
                ..SOUND
            },
            &[
                "shortcut::producing_by_it_wakes",
                "shortcut::leasing_by_it_wakes_for_the_deadline",
                "shortcut::completing_by_it_wakes_for_a_key_that_lingers",
            ],
        ),
        shortened(
            "what_comes_by_a_shortcut_is_not_kept",
            "The short way writes into memory, and what closing writes down is the long way's.",
            Rules {
                produce: |wrong, batch| {
                    let produced = wrong.sound.produce(batch)?;
                    if let Ok(produced) = &produced {
                        wrong.unkept().extend(produced.ids());
                    }
                    Some(produced)
                },
                ..SOUND
            },
            &[
                "shortcut::what_was_done_by_it_is_there_after_reopening",
                "model::random_sequences_agree_part_1",
            ],
        ),
    ]
}

/// Wrong once there is nothing to lead to, or before.
fn ends() -> Vec<Mutant> {
    vec![
        shortened(
            "a_shortcut_outlives_its_partition",
            "Who holds a partition goes on producing into it after it was taken out of the set of partitions.",
            Rules {
                produce: |wrong, batch| {
                    let produced = wrong.sound.produce(batch);
                    if produced.is_some() || wrong.finds_its_name() {
                        return produced;
                    }
                    wrong.at.fire();
                    Some(Model::of(wrong.given.clone()).produce(&wrong.info.id, batch.clone()))
                },
                ..SOUND
            },
            &[
                "shortcut::it_ends_with_its_partition",
                "model::random_sequences_agree_part_3",
                "model::random_sequences_agree_part_6",
            ],
        ),
        shortened(
            "a_shortcut_goes_by_the_name",
            "The shortcut to a partition that was deleted leads to the one made again under its name.",
            Rules {
                produce: |wrong, batch| {
                    let produced = wrong.sound.produce(batch);
                    let again = wrong.inner.shortcut(&wrong.info.id);
                    let (None, Some(again)) = (&produced, again) else {
                        return produced;
                    };
                    wrong.at.fire();
                    again.produce(batch)
                },
                ..SOUND
            },
            &[
                "shortcut::it_leads_to_no_partition_made_again",
                "model::random_sequences_agree_part_2",
                "model::random_sequences_agree_part_5",
            ],
        ),
        shortened(
            "there_are_shortcuts_to_nowhere",
            "A shortcut is a name, and whether there is a partition of it turns out later.",
            Rules {
                gives: |backend, id| {
                    backend.at.fire();
                    // Any partition will do, as it is never found.
                    let info = backend.inner.contents().partitions.first()?.info.clone();
                    Some(backend.shortened(
                        Arc::new(Nowhere),
                        PartitionInfo {
                            id: id.clone(),
                            ..info
                        },
                    ))
                },
                ..SOUND
            },
            &["shortcut::there_is_none_to_what_is_not_there"],
        ),
        shortened(
            "a_shortcut_ignores_the_closing",
            "Closing shuts the backend; the short way goes around it.",
            Rules {
                produce: |wrong, batch| {
                    let produced = wrong.sound.produce(batch);
                    if produced.is_some() || !wrong.is_there() {
                        return produced;
                    }
                    wrong.at.fire();
                    Some(wrong.behind(|model| model.produce(&wrong.info.id, batch.clone())))
                },
                complete: |wrong, receipts| {
                    let outcomes = wrong.sound.complete(receipts);
                    if outcomes.is_some() || !wrong.is_there() {
                        return outcomes;
                    }
                    wrong.at.fire();
                    Some(wrong.behind(|model| model.complete(&wrong.info.id, receipts.clone())))
                },
                ..SOUND
            },
            &[
                "shortcut::it_ends_with_its_backend",
                "shortcut::what_was_done_by_it_is_there_after_reopening",
                "model::random_sequences_agree_part_5",
            ],
        ),
    ]
}

/// What a shortcut does with each call, and which shortcut there is where the reference has none.
#[derive(Clone, Copy)]
struct Rules {
    produce: fn(&Wrong, &SealedBatch) -> Option<Result<Produced>>,
    #[expect(clippy::type_complexity, reason = "it is what the trait answers")]
    lease: fn(&Wrong, &LeaseRequest) -> Option<Result<(LeasedBatch, Option<Timestamp>)>>,
    complete: fn(&Wrong, &Receipts) -> Option<Result<Vec<CompleteOutcome>>>,
    gives: fn(&Shortened, &PartitionId) -> Option<Arc<dyn Shortcut>>,
}

const SOUND: Rules = Rules {
    produce: |wrong, batch| wrong.sound.produce(batch),
    lease: |wrong, request| wrong.sound.lease(request),
    complete: |wrong, receipts| wrong.sound.complete(receipts),
    gives: |_, _| None,
};

fn shortened(
    name: &'static str,
    defect: &'static str,
    rules: Rules,
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        Arc::new(Shortened {
            inner: at.inner.clone(),
            at,
            rules,
            unkept: Arc::default(),
        })
    };
    Mutant::new(name, defect, wrap, caught_by)
}

/// The reference, whose operations are sound and whose shortcuts are not.
struct Shortened {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    rules: Rules,
    unkept: Arc<Mutex<Vec<ItemId>>>,
}

impl fmt::Debug for Shortened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shortened")
    }
}

impl Shortened {
    fn shortened(&self, sound: Arc<dyn Shortcut>, info: PartitionInfo) -> Arc<dyn Shortcut> {
        Arc::new(Wrong {
            sound,
            inner: self.inner.clone(),
            at: self.at.clone(),
            rules: self.rules,
            info,
            given: self.inner.contents(),
            unkept: self.unkept.clone(),
        })
    }
}

forward_backend!(impl PartitionStore for Shortened => inner);
forward_backend!(impl ItemStore for Shortened => inner);
forward_backend!(impl MetadataStore for Shortened => inner);

#[async_trait]
impl StorageBackend for Shortened {
    forward_backend!(StorageBackend => inner, except [close, shortcut]);

    async fn close(&self) -> Result<()> {
        let unkept = std::mem::take(&mut *self.unkept.lock().expect("nobody panics with it"));
        if !unkept.is_empty() {
            self.at.edit(|contents| {
                for partition in &mut contents.partitions {
                    partition.items.retain(|item| !unkept.contains(&item.id));
                }
            });
        }
        self.inner.close().await
    }

    fn shortcut(&self, partition: &PartitionId) -> Option<Arc<dyn Shortcut>> {
        let Some(sound) = self.inner.shortcut(partition) else {
            return (self.rules.gives)(self, partition);
        };
        let partitions = self.inner.contents().partitions;
        let found = partitions
            .into_iter()
            .find(|one| one.info.id == *partition)?;
        Some(self.shortened(sound, found.info))
    }
}

/// A shortcut that is wrong by rules.
struct Wrong {
    sound: Arc<dyn Shortcut>,
    inner: Arc<ReferenceBackend>,
    at: Opened,
    rules: Rules,
    info: PartitionInfo,
    /// What there was when it was given.
    given: Contents,
    /// Items that closing forgets.
    unkept: Arc<Mutex<Vec<ItemId>>>,
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrong({})", self.info.id)
    }
}

impl Wrong {
    /// Whether its partition is there, open or not.
    fn is_there(&self) -> bool {
        let partitions = self.inner.contents().partitions;
        partitions
            .iter()
            .any(|one| one.info.created == self.info.created)
    }

    /// Whether there is a partition of its name.
    fn finds_its_name(&self) -> bool {
        let partitions = self.inner.contents().partitions;
        partitions.iter().any(|one| one.info.id == self.info.id)
    }

    fn unkept(&self) -> std::sync::MutexGuard<'_, Vec<ItemId>> {
        self.unkept.lock().expect("nobody panics with it")
    }

    /// Does it to what is stored, whether the backend is open or not, and wakes nobody.
    fn behind<T>(&self, run: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
        let mut answer = None;
        self.inner.edit(|contents| answer = Some(on(contents, run)));
        answer.expect("an edit runs once")
    }

    /// As the sound shortcut would, but for the signal.
    fn asleep<T>(&self, run: impl FnOnce(&mut Model) -> Result<T>) -> Option<Result<T>> {
        self.is_there().then(|| {
            self.at.fire();
            self.behind(run)
        })
    }

    /// Does it as if the partition were open to everything.
    fn opened<T>(&self, run: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
        self.behind(|model| {
            let mode = model.partition(&self.info.id)?.config.mode();
            let in_mode = |model: &mut Model, mode| {
                let mut contents = model.contents().clone();
                for one in &mut contents.partitions {
                    if one.info.id == self.info.id {
                        one.info.config = one.info.config.clone().with_mode(mode);
                    }
                }
                *model = Model::of(contents);
            };
            in_mode(model, Mode::Open);
            let answer = run(model);
            in_mode(model, mode);
            answer
        })
    }
}

impl Shortcut for Wrong {
    fn produce(&self, batch: &SealedBatch) -> Option<Result<Produced>> {
        (self.rules.produce)(self, batch)
    }

    fn lease(&self, request: &LeaseRequest) -> Option<Result<(LeasedBatch, Option<Timestamp>)>> {
        (self.rules.lease)(self, request)
    }

    fn complete(&self, receipts: &Receipts) -> Option<Result<Vec<CompleteOutcome>>> {
        (self.rules.complete)(self, receipts)
    }
}

/// A shortcut that never has an answer.
#[derive(Debug)]
struct Nowhere;

impl Shortcut for Nowhere {
    fn produce(&self, _: &SealedBatch) -> Option<Result<Produced>> {
        None
    }

    fn lease(&self, _: &LeaseRequest) -> Option<Result<(LeasedBatch, Option<Timestamp>)>> {
        None
    }

    fn complete(&self, _: &Receipts) -> Option<Result<Vec<CompleteOutcome>>> {
        None
    }
}

/// Runs an operation on contents.
fn on<T>(contents: &mut Contents, run: impl FnOnce(&mut Model) -> T) -> T {
    let mut model = Model::of(contents.clone());
    let answer = run(&mut model);
    *contents = model.contents().clone();
    answer
}

/// The payloads of a batch as new items without anything else.
fn payloads_alone(batch: &SealedBatch) -> SealedBatch {
    let mut bare = ItemBatch::new();
    for index in 0..batch.len() {
        let record = batch.shared_record(index);
        let payload = record.view().payload().unwrap_or_default();
        bare.push(NewItem::new(payload)).expect("it was in a batch");
    }
    bare.seal(batch.now())
}
