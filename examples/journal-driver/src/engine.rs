//! The engine: one thread that owns the model and the file.
//!
//! Every operation is a job that runs on this thread, in the order of the calls. The thread takes what is waiting as one
//! round: it applies the jobs to the model, appends their entries, writes and syncs once, and only then answers them all.
//! So nothing is answered that is not as durable as promised, reads included (clause DUR-1); concurrent callers share a
//! sync; no async worker waits for the disk; and a future that is dropped changes nothing about its job, which runs before
//! any job called later (clause ATOM-2).
//!
//! Where less than the loss of power is promised, a round does not wait for the disk. What is lost may then have shown
//! numbers, which must not come again: an old receipt would match a lease of somebody else. Rounds after which numbers leap
//! are synced all the same, and so is one in so many; what others can have given is passed over when a journal is opened
//! that was not closed.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use storage_api::limits::BATCH_ITEMS_MAX;
use storage_api::{
    Durability, Error, ErrorKind, Health, Object, Operation, PartitionId, Result, RetryHint,
    Signal, SignalHub, Usage,
};
use storage_model::Model;
use tokio::sync::oneshot;

use crate::config::JournalConfig;
use crate::entry::{Entry, Kind, loose, pass_over, skip, snapshot};
use crate::error::{Failure, unavailable};
use crate::faults::Faults;
use crate::journal::{Draft, Journal};
use crate::mark::Mark;
use crate::place::Place;

/// Rounds end here, so that nobody waits for an endless one.
const ROUND_JOBS_MAX: usize = 1024;
const ROUND_BYTES_MAX: usize = 8 << 20;

/// So many changes are acknowledged at most before all have reached the disk, whatever is promised: one sync among so many
/// is not felt.
const LOOSE_CHANGES_MAX: u64 = 1 << 16;
/// More numbers of one count than these can give.
const LOOSE_NUMBERS_MAX: u64 = LOOSE_CHANGES_MAX * BATCH_ITEMS_MAX as u64;

/// A journal is replaced when it is twice as long as the state and this much longer.
const SLACK_BYTES: u64 = 1 << 20;
/// A state up to this size is written anew whenever somebody asks how much room is used.
const SMALL_BYTES: u64 = 64 << 10;

/// A job of the engine, and the answer that it leaves for the end of its round.
type Job = Box<dyn FnOnce(&mut Engine) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Option<&Failure>) + Send>;

/// What an operation did to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it is not written.
    Nothing,
    /// It changed something.
    Change,
    /// It took room that it does not give back (clause LIMIT-2).
    Growth,
}

impl Effect {
    pub(crate) fn change_if(is_changed: bool) -> Self {
        if is_changed {
            Self::Change
        } else {
            Self::Nothing
        }
    }

    pub(crate) fn growth_if(is_grown: bool) -> Self {
        if is_grown {
            Self::Growth
        } else {
            Self::Nothing
        }
    }
}

/// The way to the engine's thread. Dropping it closes the journal and waits until that is done.
#[derive(Debug)]
pub(crate) struct Handle {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Starts the thread, which opens the place.
    pub(crate) async fn open(config: JournalConfig, faults: Faults) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let (opened, answer) = oneshot::channel();
        let dir = config.storage_dir.clone();
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || match Engine::open(&config, faults) {
                Ok(engine) => {
                    // Nobody waits any more: the way in is gone too, and serving ends at once.
                    let _ = opened.send(Ok(()));
                    engine.serve(&waiting);
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(|error| unavailable(&dir, "it has no thread", error))?;
        let handle = Self {
            jobs: Some(jobs),
            thread: Some(thread),
        };
        match answer.await {
            Ok(opened) => opened.map(|()| handle),
            Err(_) => Err(crate::error::thread_gone(Operation::Open)),
        }
    }

    /// Runs a job, and returns its answer once it is as durable as promised.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        object: Object,
        job: impl FnOnce(&mut Engine) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |engine| {
            let written = engine.written;
            let result = job(engine);
            let is_written = engine.written > written;
            Box::new(move |failure| {
                let result = match (result, failure) {
                    (result, None) => result,
                    (Err(error), Some(_)) if error.kind() == ErrorKind::Closed => Err(error),
                    // Closed all the same.
                    (result, Some(_)) if operation == Operation::Close => result,
                    (_, Some(failure)) if is_written => {
                        Err(failure.interruption(operation, object))
                    }
                    // It saw a state that does not last; it may look again.
                    (_, Some(failure)) => Err(failure
                        .refusal(operation, object)
                        .with_retry_hint(RetryHint::SameCall)),
                };
                // Nobody waits any more: the job is done all the same.
                let _ = answer.send(result);
            })
        });
        let gone = || crate::error::thread_gone(operation);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The thread sees that nobody can call any more, finishes what was called, and closes.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked there is nothing to wait for.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Model,
    /// `None` once it is closed.
    disk: Option<Disk>,
    config: JournalConfig,
    faults: Faults,
    hubs: HashMap<PartitionId, SignalHub>,
    /// The partitions that this round changed.
    changed: Vec<PartitionId>,
    /// How many entries were appended; tells whether a job did.
    written: u64,
    /// How many of those have reached the disk for sure.
    synced: u64,
    /// Whether this round is to reach the disk, whatever is promised.
    wants_sync: bool,
    /// Why writes are refused.
    failure: Option<Failure>,
    /// Whether that happened in this round.
    is_round_lost: bool,
    /// Whether reads are refused too: the state could not be read again.
    is_state_lost: bool,
}

#[derive(Debug)]
struct Disk {
    journal: Journal,
    /// The length from which on it is replaced by a shorter one.
    compact_at: u64,
    /// Behind the journal, so that the lock is let go last.
    place: Place,
}

impl Disk {
    fn new(journal: Journal, place: Place) -> Self {
        let compact_at = compact_at(&journal);
        Self {
            journal,
            compact_at,
            place,
        }
    }
}

/// Each replacement is paid for by at least as many bytes of new entries.
fn compact_at(journal: &Journal) -> u64 {
    2 * journal.snapshot_end() + SLACK_BYTES
}

impl Engine {
    fn open(config: &JournalConfig, faults: Faults) -> Result<Self> {
        let place = Place::hold(&config.storage_dir)?;
        let unwritable = |error| unavailable(place.dir(), "it cannot be written", error);
        let (journal, model) = if place.is_new() {
            let model = Model::new();
            let draft = Draft::write(place.dir(), &[&snapshot(model.contents())], &faults);
            let journal = draft.and_then(Draft::publish).map_err(unwritable)?;
            Mark::Open.write(place.dir()).map_err(unwritable)?;
            (journal, model)
        } else {
            let mark = Mark::read(place.dir())?;
            mark.map_or(Ok(()), |mark| mark.check(place.dir()))?;
            if mark != Some(Mark::Open) {
                Mark::Open.write(place.dir()).map_err(unwritable)?;
            }
            Journal::open(place.dir(), &faults)?
        };
        place.tidy();
        let mut engine = Self {
            model,
            disk: Some(Disk::new(journal, place)),
            config: config.clone(),
            faults,
            hubs: HashMap::new(),
            changed: Vec::new(),
            written: 0,
            synced: 0,
            wants_sync: false,
            failure: None,
            is_round_lost: false,
            is_state_lost: false,
        };
        engine.begin()?;
        Ok(engine)
    }

    /// Passes over the numbers that may be lost, and notes that others may be from here on.
    fn begin(&mut self) -> Result<()> {
        let is_loose = self.is_loose();
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        if disk.journal.was_loose() {
            pass_over(LOOSE_NUMBERS_MAX, &mut self.model);
            disk.journal.append(&skip(LOOSE_NUMBERS_MAX));
        }
        if is_loose {
            disk.journal.append(&loose());
        }
        let begun = disk.journal.settle(true);
        begun.map_err(|error| unavailable(disk.journal.path(), "it cannot be written", error))
    }

    /// Whether changes are acknowledged before they are on the disk.
    fn is_loose(&self) -> bool {
        self.config.durability != Durability::PowerLoss
    }

    fn serve(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut answers = vec![first(&mut self)];
            while answers.len() < ROUND_JOBS_MAX
                && self.pending_bytes() < ROUND_BYTES_MAX
                && let Ok(job) = jobs.try_recv()
            {
                answers.push(job(&mut self));
            }
            self.settle();
            let is_lost = std::mem::take(&mut self.is_round_lost);
            let failure = self.failure.as_ref().filter(|_| is_lost);
            for answer in answers {
                answer(failure);
            }
            self.compact_if_long();
        }
        self.close();
    }

    /// An operation that looks.
    pub(crate) fn read<T>(
        &self,
        operation: Operation,
        object: Object,
        look: impl FnOnce(&Model) -> Result<T>,
    ) -> Result<T> {
        match &self.failure {
            Some(failure) if self.is_state_lost && !self.model.is_closed() => {
                Err(failure.refusal(operation, object))
            }
            _ => look(&self.model),
        }
    }

    /// An operation that changes: applied to the model, and appended if it did change something.
    pub(crate) fn write<T>(
        &mut self,
        operation: Operation,
        object: Object,
        entry: Entry,
        apply: impl FnOnce(&mut Model) -> Result<T>,
        effect_of: impl FnOnce(&T) -> Effect,
    ) -> Result<T> {
        self.check_writable(operation, &object)?;
        let is_short = entry.kind.can_grow() && self.is_short_of_space();
        // Nearly full is rare, and worth a copy: whether there is anything to refuse shows when it is done (ERR-2).
        let mut before = is_short.then(|| self.model.clone());
        let answer = apply(&mut self.model)?;
        let effect = effect_of(&answer);
        if effect == Effect::Growth
            && let Some(before) = before.take()
        {
            self.model = before;
            let reason = "the volume is nearly full; make room on it, or complete and delete items";
            return Err(Error::new(
                ErrorKind::CapacityExceeded,
                operation,
                object,
                reason,
            ));
        }
        if effect != Effect::Nothing
            && let Some(disk) = &mut self.disk
        {
            disk.journal.append(&entry.bytes);
            self.written += 1;
            self.wants_sync |= entry.kind.can_leap();
            self.changed.extend(entry.partitions);
        }
        Ok(answer)
    }

    /// A signal that fires when the partition changes (clause WAKE-1).
    pub(crate) fn watch(&mut self, id: &PartitionId) -> Result<Signal> {
        self.read(Operation::Watch, id.into(), |model| model.watch(id))?;
        Ok(self.hubs.entry(id.clone()).or_default().watch())
    }

    /// Lets those who watch a partition that has gone find that out.
    pub(crate) fn forget(&mut self, id: &PartitionId) {
        self.hubs.remove(id);
    }

    /// Takes this round to the disk (clause DUR-4).
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.check_writable(Operation::Sync, &Object::Backend)?;
        self.wants_sync = true;
        // Counts as a write: if the round fails, so does the promise.
        self.written += 1;
        Ok(())
    }

    /// Whether the file is there and takes writes.
    pub(crate) fn health(&self) -> Result<Health> {
        self.read(Operation::Health, Object::Backend, Model::health)?;
        if let Some(failure) = &self.failure {
            return Ok(Health::read_only(failure.remark()));
        }
        if let Some(disk) = &self.disk
            && let Err(error) = disk.journal.touch()
        {
            return Ok(Health::read_only(error.to_string()));
        }
        let mut health = Health::good();
        if self.is_short_of_space() {
            health.remark = Some("the volume is nearly full: nothing new is taken".to_owned());
        }
        Ok(health)
    }

    /// The bytes of the file (clause USE-1). What it need not hold any more is given back first, where that is worth it.
    pub(crate) fn usage(&mut self) -> Result<Usage> {
        self.read(Operation::Usage, Object::Backend, Model::usage)?;
        self.settle();
        let state = snapshot(self.model.contents());
        let live = state.len() as u64;
        let superseded = |engine: &Self| engine.journal_len().saturating_sub(live);
        if superseded(self) > if live < SMALL_BYTES { 0 } else { live } {
            self.replace(&state);
        }
        let superseded = superseded(self);
        Ok(Usage::of(vec![
            ("state", self.journal_len() - superseded),
            ("superseded", superseded),
        ]))
    }

    /// Compares the state with what the file gives; each finding is one line.
    pub(crate) fn verify(&mut self) -> Result<Vec<String>> {
        self.settle();
        let Some(disk) = &self.disk else {
            return Err(Error::closed(Operation::Verify));
        };
        Ok(match disk.journal.reload() {
            Ok(model) if model == self.model => Vec::new(),
            Ok(_) => {
                let path = disk.journal.path().display();
                vec![format!("{path} gives another state than the one in memory")]
            }
            Err(error) => vec![error.to_string()],
        })
    }

    /// Ends everything but the answers (clause CLOSE-1). What was acknowledged is written already.
    pub(crate) fn close(&mut self) {
        self.settle();
        if self.failure.is_none()
            && let Some(disk) = &mut self.disk
        {
            // It changes nothing, and its sync is for the loss of power after a weaker promise: losing either is legal.
            let _ = disk.journal.settle(true);
            disk.journal.append(&Entry::new(Kind::Close).bytes);
            if disk.journal.settle(true).is_ok() {
                let len = disk.journal.len();
                // Without it the next opening takes the journal for one that was not closed.
                let _ = Mark::Closed { len }.write(disk.place.dir());
            }
        }
        // Lets the lock go.
        self.disk = None;
        // Wakes everybody: they look, and find it closed.
        self.hubs.clear();
        self.model = Model::new();
        // Closing a model cannot fail.
        let _ = self.model.close();
    }

    /// Writes this round, and wakes those who watch what it changed.
    fn settle(&mut self) {
        let is_synced = std::mem::take(&mut self.wants_sync)
            || !self.is_loose()
            || self.written - self.synced >= LOOSE_CHANGES_MAX;
        if self.failure.is_none()
            && let Some(disk) = &mut self.disk
        {
            match disk.journal.settle(is_synced) {
                Ok(()) if is_synced => self.synced = self.written,
                Ok(()) => {}
                Err(error) => self.fail(&error),
            }
        }
        for id in self.changed.drain(..) {
            if let Some(hub) = self.hubs.get(&id) {
                hub.fire();
            }
        }
    }

    /// Stops writing. The state goes back to what is acknowledged: reads must not show what may be gone after a crash.
    fn fail(&mut self, error: &std::io::Error) {
        let Some(disk) = &self.disk else { return };
        self.failure = Some(Failure::new(disk.journal.path(), error));
        self.is_round_lost = true;
        match disk.journal.reload() {
            Ok(model) => self.model = model,
            Err(_) => self.is_state_lost = true,
        }
    }

    fn compact_if_long(&mut self) {
        let disk = self.disk.as_ref();
        if disk.is_some_and(|disk| disk.journal.len() > disk.compact_at) {
            let state = snapshot(self.model.contents());
            self.replace(&state);
            // This round has its answers, and they are true: it was written before.
            self.is_round_lost = false;
        }
    }

    /// Replaces the journal by one that holds nothing but the state as it is.
    fn replace(&mut self, state: &[u8]) {
        let loose = self.is_loose().then(loose);
        let entries = [Some(state), loose.as_deref()].into_iter().flatten();
        let entries: Vec<_> = entries.collect();
        let Some(disk) = &mut self.disk else { return };
        if self.failure.is_some() {
            return;
        }
        let Ok(draft) = Draft::write(disk.place.dir(), &entries, &self.faults) else {
            // The old one is as good as before. Another attempt comes when it is twice as long.
            disk.place.tidy();
            disk.compact_at = 2 * disk.journal.len();
            return;
        };
        match draft.publish() {
            Ok(journal) => {
                disk.compact_at = compact_at(&journal);
                disk.journal = journal;
            }
            Err(error) => self.fail(&error),
        }
    }

    /// ERR-2: Closed before Unavailable.
    fn check_writable(&self, operation: Operation, object: &Object) -> Result<()> {
        if self.model.is_closed() {
            return Err(Error::closed(operation));
        }
        match &self.failure {
            Some(failure) => Err(failure.refusal(operation, object.clone())),
            None => Ok(()),
        }
    }

    fn is_short_of_space(&self) -> bool {
        let Some(disk) = &self.disk else {
            return false;
        };
        if self.faults.is_full() {
            return true;
        }
        // A volume that does not tell is found full when a write fails.
        let free = disk.place.free_bytes();
        free.is_ok_and(|free| free < self.config.disk_reserve)
    }

    fn pending_bytes(&self) -> usize {
        let disk = self.disk.as_ref();
        disk.map_or(0, |disk| disk.journal.pending_bytes())
    }

    fn journal_len(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.journal.len())
    }
}
