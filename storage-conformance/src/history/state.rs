//! The model at one point of an order, speaking in the numbers of the driver.
//!
//! The model gives numbers of its own. Those that a call gives are taken from far above everything real, and replaced by what
//! the driver answered, or by what some later answer shows. What nobody has shown yet keeps its number from above until it is
//! shown. So the same contents are the same state, whichever order led to them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use storage_api::{
    CommitOutcome, Error, ErrorKind, ItemEntry, ItemId, ItemState, LeaseId, MetadataEntry, Object,
    PartitionId, PartitionInfo, Position, ProduceOutcome, Produced, Refusal, Result as ApiResult,
    UpdateOutcome, Version,
};
use storage_model::{Contents, Model, Partition};

use super::call::{Call, Ending};
use super::facts::Facts;
use super::request::{Answer, Request};

/// Numbers from here on are the model's, for what the driver has not told yet. Nobody restores one as large.
pub(super) const UNTOLD: u64 = 1 << 61;
/// How many numbers one call may take.
const UNTOLD_EACH: u64 = 1 << 20;

/// What the driver holds, if the calls so far were done in this order.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) contents: Contents,
}

/// What the model answers instead of what was recorded.
pub(super) type Instead = Box<ApiResult<Answer>>;

/// Items that a call passes over, because a call that overlaps holds them (clause CONC-2).
pub(super) type PassedOver<'a> = &'a [(PartitionId, ItemId)];

impl State {
    /// The state after one more call, if the model answers as it was answered.
    pub(super) fn after(
        &self,
        index: usize,
        call: &Call,
        facts: &Facts,
        is_strict: bool,
        passed_over: PassedOver<'_>,
    ) -> Result<Self, Instead> {
        if matches!(call.ending, Ending::Failed(..)) {
            return Ok(self.clone());
        }
        let mut contents = self.contents.clone();
        let untold = UNTOLD + index as u64 * UNTOLD_EACH;
        contents.last_lease = untold;
        contents.last_version = untold;
        for partition in &mut contents.partitions {
            partition.last_id = untold;
        }
        let hidden = hide(&mut contents, passed_over);
        if let Request::Commit(request) = &call.request {
            tell_checked_versions(&mut contents, request, facts);
        }
        let mut model = Model::of(contents);
        let answer = call.request.apply(&mut model);
        let mut contents = model.into_contents();
        show(&mut contents, hidden);

        let mut telling = Telling {
            before: &self.contents,
            after: contents,
            facts,
            is_strict,
            ids: HashMap::new(),
            versions: HashMap::new(),
        };
        let is_explained = match (&call.ending, &answer) {
            (Ending::Answered(_, recorded), Ok(model)) => {
                telling.answer(&call.request, recorded, model, passed_over.is_empty())
            }
            (Ending::Refused(_, recorded), Err(model)) => is_same_error(recorded, model),
            (Ending::Unknown(..) | Ending::Dropped(_) | Ending::Never, Ok(_)) => {
                telling.unanswered(&call.request)
            }
            _ => false,
        };
        if is_explained && telling.settle() {
            Ok(Self {
                contents: telling.after,
            })
        } else {
            Err(Box::new(answer))
        }
    }

    /// Equal for states that nobody can tell apart. Of positions only the order counts.
    pub(super) fn fingerprint(&self) -> u128 {
        let mut bytes = Bytes(Vec::with_capacity(1024));
        for partition in &self.contents.partitions {
            hash_partition(partition, &mut bytes);
        }
        0xff_u8.hash(&mut bytes);
        for there in &self.contents.metadata {
            let MetadataEntry {
                key,
                value,
                version,
                expires_at,
            } = &there.entry;
            (&there.namespace, key, value, version, expires_at).hash(&mut bytes);
        }
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            hasher.write(&bytes.0);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }
}

/// Collects what is hashed, so that it can be hashed twice.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

fn hash_partition(partition: &Partition, bytes: &mut Bytes) {
    let info = &partition.info;
    (&info.id, info.created, info.revision, &info.config).hash(bytes);
    let mut places: Vec<_> = partition
        .items
        .iter()
        .filter_map(|item| item.state.position())
        .collect();
    places.sort_unstable();
    // Restored positions are far apart, and those given later are above them: where they lie matters too.
    let region = |position: u64| position >> 40;
    let place = |position: Position| {
        let rank = places.partition_point(|other| *other < position);
        (rank, region(position.get()))
    };
    (partition.last_id, region(partition.last_position)).hash(bytes);
    for item in &partition.items {
        (item.id, item.record.view().as_bytes()).hash(bytes);
        (item.attempts, &item.note, item.is_revived).hash(bytes);
        match item.state {
            ItemState::Ready { position } => (0, place(position)).hash(bytes),
            ItemState::Scheduled { enqueue_at } => (1, enqueue_at).hash(bytes),
            ItemState::Leased {
                position,
                lease,
                deadline,
                holder,
            } => (2, place(position), lease, deadline, holder).hash(bytes),
            ItemState::Dead { reason, died_at } => (3, reason, died_at).hash(bytes),
        }
    }
    for gone in &partition.gone_keys {
        (&gone.key, gone.of, gone.due_at).hash(bytes);
    }
}

/// Takes items out of the sight of a call; what it does not see it does not change.
fn hide(contents: &mut Contents, passed_over: PassedOver<'_>) -> Vec<(PartitionId, ItemEntry)> {
    let mut hidden = Vec::new();
    for (id, item) in passed_over {
        if let Some(partition) = find(contents, id)
            && let Some(index) = partition.items.iter().position(|one| one.id == *item)
        {
            hidden.push((id.clone(), partition.items.remove(index)));
        }
    }
    hidden
}

fn show(contents: &mut Contents, hidden: Vec<(PartitionId, ItemEntry)>) {
    for (id, item) in hidden {
        if let Some(partition) = find(contents, &id) {
            partition.items.push(item);
            partition.items.sort_by_key(|item| item.id);
        }
    }
}

fn find<'a>(contents: &'a mut Contents, id: &PartitionId) -> Option<&'a mut Partition> {
    let mut partitions = contents.partitions.iter_mut();
    partitions.find(|partition| partition.info.id == *id)
}

fn is_untold(number: u64) -> bool {
    number >= UNTOLD
}

/// A check names a version that only a call without an answer can have given: then that is what its entry has.
fn tell_checked_versions(
    contents: &mut Contents,
    request: &storage_api::CommitRequest,
    facts: &Facts,
) {
    use storage_api::Check;
    for check in request.checks() {
        let named: Vec<_> = match check {
            Check::Absent { .. } => continue,
            Check::Version {
                namespace,
                key,
                version,
            } => vec![(namespace, key, *version)],
            Check::Range {
                namespace, seen, ..
            } => seen
                .iter()
                .map(|(key, version)| (namespace, key, *version))
                .collect(),
        };
        for (namespace, key, version) in named {
            let mut entries = contents.metadata.iter();
            let found =
                entries.find(|there| there.namespace == *namespace && there.entry.key == *key);
            if let Some(untold) = found.map(|there| there.entry.version)
                && is_untold(untold.get())
                && !facts.is_given_version(version)
            {
                rename_version(contents, untold, version);
            }
        }
    }
}

fn rename_version(contents: &mut Contents, from: Version, to: Version) {
    for partition in &mut contents.partitions {
        for version in [&mut partition.info.created, &mut partition.info.revision] {
            if *version == from {
                *version = to;
            }
        }
    }
    for there in &mut contents.metadata {
        if there.entry.version == from {
            there.entry.version = to;
        }
    }
}

/// ERR-1: kind, operation and object are the contract's; the text is the driver's.
fn is_same_error(recorded: &Error, model: &Error) -> bool {
    let is_same_operation =
        model.kind() == ErrorKind::InvalidArgument || recorded.operation() == model.operation();
    let is_same_object = match model.object() {
        object @ (Object::Item(..) | Object::Partition(_)) => recorded.object() == object,
        _ => true,
    };
    recorded.kind() == model.kind() && is_same_operation && is_same_object
}

/// Compares an answer with the model's, and puts the driver's numbers in place of the model's.
struct Telling<'a> {
    before: &'a Contents,
    after: Contents,
    facts: &'a Facts,
    is_strict: bool,
    /// Ids of this call, from the model's to the driver's.
    ids: HashMap<(PartitionId, ItemId), ItemId>,
    /// Versions that were told by this answer.
    versions: HashMap<Version, Version>,
}

impl Telling<'_> {
    fn answer(
        &mut self,
        request: &Request,
        recorded: &Answer,
        model: &Answer,
        has_seen_all: bool,
    ) -> bool {
        match (recorded, model) {
            (Answer::Partition(recorded), Answer::Partition(model)) => {
                let is_new = matches!(request, Request::CreatePartition(..));
                self.info(recorded, model, is_new)
            }
            (Answer::Partitions(recorded), Answer::Partitions(model)) => {
                recorded.has_next == model.has_next
                    && recorded.items.len() == model.items.len()
                    && (recorded.items.iter().zip(&model.items))
                        .all(|(recorded, model)| self.info(recorded, model, false))
            }
            (Answer::Updated(recorded), Answer::Updated(model)) => match (recorded, model) {
                (UpdateOutcome::Updated(recorded), UpdateOutcome::Updated(model)) => {
                    self.version(*recorded, *model, true)
                }
                (UpdateOutcome::Conflict(recorded), UpdateOutcome::Conflict(model)) => {
                    self.version(*recorded, *model, false)
                }
                _ => false,
            },
            (Answer::Produced(recorded), Answer::Produced(model)) => match request {
                Request::Produce(partition, _) => self.produced(partition, recorded, model),
                _ => false,
            },
            (Answer::Leased(recorded), Answer::Leased(model)) => {
                recorded.len() == model.len()
                    && (recorded.iter().zip(model)).all(|(one, other)| self.new_lease(one, other))
            }
            (Answer::Found(recorded), Answer::Found(model)) => {
                recorded.len() == model.len()
                    && recorded.iter().zip(model).all(|pair| match pair {
                        (Some(recorded), Some(model)) => self.entry(recorded, model),
                        (recorded, model) => recorded.is_none() && model.is_none(),
                    })
            }
            (Answer::Items(recorded), Answer::Items(model)) => {
                recorded.has_next == model.has_next
                    && recorded.items.len() == model.items.len()
                    && (recorded.items.iter().zip(&model.items))
                        .all(|(recorded, model)| self.entry(recorded, model))
            }
            (Answer::Commit(recorded), Answer::Commit(model)) => {
                self.commit(request, recorded, model)
            }
            (Answer::Entry(recorded), Answer::Entry(model)) => match (recorded, model) {
                (Some(recorded), Some(model)) => self.metadata(recorded, model),
                (recorded, model) => recorded.is_none() && model.is_none(),
            },
            (Answer::Entries(recorded), Answer::Entries(model)) => {
                recorded.has_next == model.has_next
                    && recorded.items.len() == model.items.len()
                    && (recorded.items.iter().zip(&model.items))
                        .all(|(recorded, model)| self.metadata(recorded, model))
            }
            // What is left when something was passed over is not what the model would have left.
            (Answer::Maintained(recorded), Answer::Maintained(model)) if !has_seen_all => {
                let mut recorded = *recorded;
                (recorded.more, recorded.next_due) = (model.more, model.next_due);
                recorded == *model
            }
            (Answer::ReleasedHolder(recorded), Answer::ReleasedHolder(model)) if !has_seen_all => {
                recorded.released == model.released
            }
            (Answer::Cleared(recorded), Answer::Cleared(model)) if !has_seen_all => {
                recorded.removed == model.removed
            }
            // The others hold no numbers.
            (recorded, model) => recorded == model,
        }
    }

    /// A call that applied without an answer: later answers may show what it gave.
    fn unanswered(&mut self, request: &Request) -> bool {
        for partition in &self.after.partitions {
            let new = partition.items.iter();
            for item in new.filter(|item| is_untold(item.id.get())) {
                if let Some(id) = self.facts.id_of(&partition.info.id, item) {
                    self.ids.insert((partition.info.id.clone(), item.id), id);
                }
            }
        }
        if let Request::Commit(request) = request
            && let Some(version) = self.facts.version_of(request.writes())
        {
            let untold = self.after.last_version;
            if let Ok(untold) = Version::new(untold) {
                rename_version(&mut self.after, untold, version);
            }
        }
        true
    }

    /// Puts the driver's ids in, and the counters back. No where ids do not grow.
    fn settle(&mut self) -> bool {
        self.after.last_lease = 0;
        self.after.last_version = 0;
        // Whether a number comes again is looked at over the whole history.
        self.after.deleted_number = 0;
        for partition in &mut self.after.partitions {
            let id = &partition.info.id;
            let mut before = self.before.partitions.iter();
            let before = before.find(|before| before.info.id == *id);
            let mut last = before.map_or(0, |before| before.last_id);
            let mut behind = Vec::new();
            for item in &mut partition.items {
                if is_untold(item.id.get()) {
                    let told = self.ids.get(&(id.clone(), item.id)).copied();
                    let Some(new) = told.or_else(|| ItemId::new(last + 1).ok()) else {
                        return false;
                    };
                    if new.get() <= last {
                        // Who began after another had ended has larger ids in any case: the facts say so.
                        if self.is_strict {
                            return false;
                        }
                        behind.push(new);
                    }
                    item.id = new;
                }
                last = last.max(item.id.get());
            }
            partition.last_id = last;
            if !behind.is_empty() {
                place_by_id(partition, &behind);
            }
        }
        true
    }

    fn info(&mut self, recorded: &PartitionInfo, model: &PartitionInfo, is_new: bool) -> bool {
        recorded.id == model.id
            && recorded.config == model.config
            && self.version(recorded.created, model.created, is_new)
            && self.version(recorded.revision, model.revision, is_new)
    }

    /// A version that this call gave, or that it shows: then one that nobody told was given by a call without an answer.
    fn version(&mut self, recorded: Version, model: Version, is_new: bool) -> bool {
        if recorded == model || self.versions.get(&model) == Some(&recorded) {
            return true;
        }
        let is_tellable = is_untold(model.get()) && !self.versions.contains_key(&model);
        if !is_tellable || !is_new && self.facts.is_given_version(recorded) {
            return false;
        }
        rename_version(&mut self.after, model, recorded);
        self.versions.insert(model, recorded);
        true
    }

    fn produced(&mut self, id: &PartitionId, recorded: &Produced, model: &Produced) -> bool {
        if (recorded.len(), recorded.stored()) != (model.len(), model.stored()) {
            return false;
        }
        recorded
            .outcomes()
            .zip(model.outcomes())
            .all(|pair| match pair {
                (ProduceOutcome::Stored(recorded), ProduceOutcome::Stored(model)) => {
                    self.ids.insert((id.clone(), model), recorded);
                    true
                }
                (
                    ProduceOutcome::Duplicate { of, state },
                    ProduceOutcome::Duplicate {
                        of: model,
                        state: model_state,
                    },
                ) => {
                    let own = self.ids.get(&(id.clone(), model)).copied();
                    own.unwrap_or(model) == of && state == model_state
                }
                _ => false,
            })
    }

    /// An item that this call leased.
    fn new_lease(&mut self, recorded: &ItemEntry, model: &ItemEntry) -> bool {
        if let (Some(own), Some(other)) = (recorded.receipt(), model.receipt()) {
            rename_lease(&mut self.after, other.lease, own.lease);
        }
        is_same_item(recorded, model, |_, _| true)
    }

    fn entry(&mut self, recorded: &ItemEntry, model: &ItemEntry) -> bool {
        let Self { after, facts, .. } = self;
        is_same_item(recorded, model, |recorded, model| {
            if is_untold(model.get()) && !facts.is_given_lease(recorded) {
                rename_lease(after, model, recorded);
                return true;
            }
            recorded == model
        })
    }

    fn metadata(&mut self, recorded: &MetadataEntry, model: &MetadataEntry) -> bool {
        recorded.key == model.key
            && recorded.value == model.value
            && recorded.expires_at == model.expires_at
            && self.version(recorded.version, model.version, false)
    }

    fn commit(
        &mut self,
        request: &Request,
        recorded: &CommitOutcome,
        model: &CommitOutcome,
    ) -> bool {
        let Request::Commit(request) = request else {
            return false;
        };
        match (recorded, model) {
            (CommitOutcome::Committed(recorded), CommitOutcome::Committed(model)) => {
                let is_same_version = match (recorded.version, model.version) {
                    (Some(recorded), Some(model)) => {
                        self.grows(request, recorded) && self.version(recorded, model, true)
                    }
                    (recorded, model) => recorded == model,
                };
                let into = request.steps().iter().filter_map(|step| match step {
                    storage_api::Step::Produce { partition, .. } => Some(partition),
                    _ => None,
                });
                is_same_version
                    && recorded.produced.len() == model.produced.len()
                    && (into.zip(recorded.produced.iter().zip(&model.produced)))
                        .all(|(id, (recorded, model))| self.produced(id, recorded, model))
            }
            (
                CommitOutcome::Refused(Refusal::Check { index, key, found }),
                CommitOutcome::Refused(Refusal::Check {
                    index: model_index,
                    key: model_key,
                    found: model_found,
                }),
            ) => {
                (index, key) == (model_index, model_key)
                    && match (found, model_found) {
                        (Some(recorded), Some(model)) => self.version(*recorded, *model, false),
                        (recorded, model) => recorded == model,
                    }
            }
            (recorded, model) => recorded == model,
        }
    }

    /// META-2: the versions of one key strictly increase.
    fn grows(&self, request: &storage_api::CommitRequest, version: Version) -> bool {
        let mut entries = self.before.metadata.iter();
        entries.all(|there| {
            let mut writes = request.writes().iter();
            let is_written = writes.any(|write| {
                let (namespace, key) = write.target();
                *namespace == there.namespace && *key == there.entry.key
            });
            let before = there.entry.version;
            !is_written || is_untold(before.get()) || before < version
        })
    }
}

fn rename_lease(contents: &mut Contents, from: LeaseId, to: LeaseId) {
    let items = contents.partitions.iter_mut();
    for item in items.flat_map(|partition| &mut partition.items) {
        if let ItemState::Leased { lease, .. } = &mut item.state
            && *lease == from
        {
            *lease = to;
        }
    }
}

/// Positions are the driver's own affair; their order shows in the order of leases and listings.
fn is_same_item(
    recorded: &ItemEntry,
    model: &ItemEntry,
    mut is_same_lease: impl FnMut(LeaseId, LeaseId) -> bool,
) -> bool {
    let is_same_state = match (recorded.state, model.state) {
        (ItemState::Ready { .. }, ItemState::Ready { .. }) => true,
        (
            ItemState::Leased {
                lease,
                deadline,
                holder,
                ..
            },
            ItemState::Leased {
                lease: model_lease,
                deadline: model_deadline,
                holder: model_holder,
                ..
            },
        ) => {
            (deadline, holder) == (model_deadline, model_holder)
                && is_same_lease(lease, model_lease)
        }
        (recorded, model) => recorded == model,
    };
    is_same_state
        && recorded.id == model.id
        && recorded.record == model.record
        && recorded.attempts == model.attempts
        && recorded.note == model.note
        && recorded.is_revived == model.is_revived
}

/// CONC-2: productions that overlap may stand in the order of their ids, not in that in which they were seen.
fn place_by_id(partition: &mut Partition, behind: &[ItemId]) {
    partition.items.sort_by_key(|item| item.id);
    for id in behind {
        let later = partition.items.iter().filter(|item| item.id > *id);
        let Some(first) = later.filter_map(|item| item.state.position()).min() else {
            continue;
        };
        for item in &mut partition.items {
            if let ItemState::Ready { position } | ItemState::Leased { position, .. } =
                &mut item.state
            {
                let is_moved = item.id != *id && *position >= first;
                let next = if is_moved { position.next() } else { None };
                *position = match next {
                    Some(next) => next,
                    None if item.id == *id => first,
                    None => *position,
                };
            }
        }
        partition.last_position += 1;
    }
}
