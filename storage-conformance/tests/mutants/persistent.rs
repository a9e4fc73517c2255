//! Wrong about files: crashes, damage, writes that fail. What is mutated is the journal of `examples/journal-driver`.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal_driver::{Faults, JournalBackend, JournalConfig};
use storage_api::*;
use storage_conformance::{
    Claims, DirectoryVandal, DriverInfo, Failpoints, Harness, Locator, Place, Spot, Vandal,
};

use crate::hooked::{Call, hooked};
use crate::mutant::{Fired, Mutant};

/// What is wrong; a child process is told it in the locator of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    /// Everything is written at close.
    WritesAtClose,
    /// A power loss is said to be survived, and nothing is synced.
    SyncsNothing,
    /// A place that cannot be read is made anew.
    MakesAnew,
    /// Half a record at the end is taken for a whole one.
    ReadsHalves,
    /// A torn end is passed over and not cut away.
    KeepsTheTornEnd,
    /// A write that fails is acknowledged.
    SwallowsErrors,
    /// What could not be written is shown all the same.
    ShowsWhatFailed,
    /// A full disk ends reads too.
    StopsReading,
    /// A disk that was full once is full for ever.
    StaysFull,
    /// Closing makes the journal anew, and removes the old one first.
    RewritesAtClose,
    /// Opening does.
    RewritesAtOpening,
}

/// How long it takes to make a journal anew: before the old one is removed, and until the new one is there.
const REWRITING: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(250)];

const DEFECTS: [Defect; 11] = [
    Defect::WritesAtClose,
    Defect::SyncsNothing,
    Defect::MakesAnew,
    Defect::ReadsHalves,
    Defect::KeepsTheTornEnd,
    Defect::SwallowsErrors,
    Defect::ShowsWhatFailed,
    Defect::StopsReading,
    Defect::StaysFull,
    Defect::RewritesAtClose,
    Defect::RewritesAtOpening,
];

pub(crate) fn mutants() -> Vec<Mutant> {
    let journal = |name, text, defect, caught_by| {
        let harness = move |fired| Journals {
            defect: Some(defect),
            fired,
        };
        Mutant::of_harness(name, text, harness, caught_by)
    };
    vec![
        journal(
            "writes_wait_for_the_close",
            "What is acknowledged is in a buffer that is written at close.",
            Defect::WritesAtClose,
            &[
                "durability::a_kill_among_concurrent_calls_loses_nothing_acknowledged",
                "durability::a_kill_behind_any_step_leaves_all_that_was_acknowledged",
                "durability::a_kill_while_it_opens_syncs_maintains_or_closes_loses_nothing",
                "durability::a_killed_process_loses_nothing_acknowledged",
                "open_close::another_process_is_refused_while_the_place_is_open",
            ],
        ),
        journal(
            "syncing_is_left_out",
            "Writes are said to survive a loss of power, and are never synced.",
            Defect::SyncsNothing,
            &["durability::a_loss_of_power_loses_nothing_acknowledged"],
        )
        // A C compiler, and a volume that knows when a file was made.
        .for_some_machines(),
        journal(
            "what_cannot_be_read_is_made_anew",
            "A damaged place passes for an orphan, is removed, and begins again (NATS, issue 7556).",
            Defect::MakesAnew,
            &[
                "open_close::a_newer_format_is_refused_and_left_as_it_was",
                "open_close::a_place_with_a_foreign_beginning_is_refused_and_left_as_it_was",
                "open_close::flipped_bits_are_never_returned_as_data",
            ],
        ),
        journal(
            "half_a_record_is_data",
            "The end of a log that was cut off is read as far as it goes.",
            Defect::ReadsHalves,
            &[
                "damage::a_file_that_is_empty_or_gone_is_no_data_either",
                "damage::any_file_may_lose_its_tail",
                "damage::bits_flipped_in_any_file_are_never_returned_as_data",
                "open_close::a_tail_that_was_cut_off_is_dropped_and_no_more",
            ],
        ),
        journal(
            "a_torn_end_is_not_cut_away",
            "What is written behind a torn end is lost at the next opening (amelie, issue 17).",
            Defect::KeepsTheTornEnd,
            &["open_close::what_is_written_behind_a_tail_that_was_cut_off_stays"],
        ),
        journal(
            "errors_of_writes_are_swallowed",
            "A write that failed is acknowledged, as it may work the next time.",
            Defect::SwallowsErrors,
            &[
                "errors::a_failed_write_is_applied_wholly_or_not_at_all",
                "errors::a_full_disk_refuses_what_grows_and_loses_nothing",
            ],
        ),
        journal(
            "what_could_not_be_written_is_shown",
            "Memory is changed before the disk, and not changed back.",
            Defect::ShowsWhatFailed,
            &["errors::what_reads_show_after_a_failed_write_stays"],
        ),
        journal(
            "a_full_disk_ends_reading",
            "A store that cannot write does not answer any more.",
            Defect::StopsReading,
            &["errors::a_mode_is_named_before_a_missing_partition_of_a_commit"],
        ),
        journal(
            "a_full_disk_stays_full",
            "Room that was made is not looked for.",
            Defect::StaysFull,
            &["errors::a_disk_that_has_room_again_takes_everything_again"],
        ),
        journal(
            "closing_removes_the_old_file_first",
            "Closing makes the journal anew, and for a while there is none: a kill in the middle of it takes all.",
            Defect::RewritesAtClose,
            &["durability::a_kill_while_it_opens_syncs_maintains_or_closes_loses_nothing"],
        ),
        journal(
            "opening_removes_the_old_file_first",
            "Opening makes the journal anew, and for a while there is none: a kill in the middle of it takes all.",
            Defect::RewritesAtOpening,
            &["durability::a_kill_while_it_opens_syncs_maintains_or_closes_loses_nothing"],
        ),
    ]
}

/// The harness of a child process: which mutant it is stands in the locator.
pub(crate) fn child() -> impl Harness {
    Journals {
        defect: None,
        fired: Fired::default(),
    }
}

struct Journals {
    defect: Option<Defect>,
    fired: Fired,
}

#[async_trait]
impl Harness for Journals {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("journal", "0.1.0")
    }

    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Shared, "one backend owns the file")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        let directory = spot.fresh_directory()?;
        let defect = self.defect.expect("only a child has none");
        Ok(Box::new(Journal::at(
            directory.join("place"),
            defect,
            self.fired.clone(),
        )))
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        let (defect, directory) = at.as_str().split_once(':')?;
        let defect = DEFECTS
            .into_iter()
            .find(|one| format!("{one:?}") == defect)?;
        Some(Box::new(Journal::at(
            directory.into(),
            defect,
            self.fired.clone(),
        )))
    }
}

struct Journal {
    directory: PathBuf,
    defect: Defect,
    fired: Fired,
    vandal: DirectoryVandal,
    faults: Faults,
    left: Arc<Left>,
}

/// What a backend left behind, for the next opening.
#[derive(Debug, Default)]
struct Left {
    /// The journal at its last close.
    closed: Mutex<Option<Vec<u8>>>,
    /// The journal with a torn end.
    torn: Mutex<Option<Vec<u8>>>,
}

impl Journal {
    fn at(directory: PathBuf, defect: Defect, fired: Fired) -> Self {
        let vandal = DirectoryVandal::new(&directory, |path| path == "journal");
        Self {
            vandal: vandal.with_newer_format(renew_format),
            directory,
            defect,
            fired,
            faults: Faults::default(),
            left: Arc::default(),
        }
    }

    fn journal(&self) -> PathBuf {
        self.directory.join("journal")
    }

    /// Where everything is before the close.
    fn buffer(&self) -> PathBuf {
        self.directory
            .with_extension(format!("buffer-{}", std::process::id()))
    }

    async fn backend(&self, directory: &Path) -> Result<Arc<JournalBackend>> {
        // By which what the defects do would be told. It may be gone already.
        let _ = fs::remove_file(directory.join("MARK"));
        let mut config = JournalConfig::new(directory).disk_reserve(0);
        if self.defect == Defect::SyncsNothing {
            config = config.durability(Durability::ProcessCrash);
            self.fired.fire();
        }
        let opened = JournalBackend::open_with(config, self.faults.clone()).await;
        Ok(Arc::new(opened?))
    }

    /// Opens in a buffer, which is a copy.
    async fn open_buffer(&self) -> Result<Arc<JournalBackend>> {
        let buffer = self.buffer();
        // There is none yet.
        let _ = fs::remove_dir_all(&buffer);
        fs::create_dir_all(&buffer).expect("the temporary directory can be written");
        if self.journal().exists() {
            fs::copy(self.journal(), buffer.join("journal")).expect("the journal can be copied");
        }
        self.fired.fire();
        self.backend(&buffer).await
    }
}

#[async_trait]
impl Place for Journal {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        if self.defect == Defect::RewritesAtOpening {
            rewrite(&self.journal(), &self.fired).await;
        }
        let before = fs::read(self.journal()).ok();
        let closed = self
            .left
            .closed
            .lock()
            .expect("nobody panics with it")
            .clone();
        let was_cut =
            matches!((&before, &closed), (Some(now), Some(closed)) if now.len() < closed.len());
        if self.defect == Defect::KeepsTheTornEnd && was_cut {
            self.left
                .torn
                .lock()
                .expect("nobody panics with it")
                .clone_from(&before);
        }
        let opened = match self.defect {
            Defect::WritesAtClose => self.open_buffer().await,
            _ => self.backend(&self.directory).await,
        };
        let inner = match opened {
            Err(_) if self.defect == Defect::MakesAnew && self.fired.fire_if(before.is_some()) => {
                // Held by another, it is not damaged.
                let _ = fs::remove_file(self.journal());
                self.backend(&self.directory).await?
            }
            opened => opened?,
        };
        if self.defect == Defect::ReadsHalves && self.fired.fire_if(was_cut) {
            let id = PartitionId::new("half", 0)?;
            inner
                .create_partition(&id, PartitionConfig::default())
                .await?;
        }
        let inner = Arc::new(Opened {
            inner,
            defect: self.defect,
            fired: self.fired.clone(),
            has_failed: AtomicBool::new(false),
            journal: self.journal(),
            buffer: self.buffer().join("journal"),
            left: self.left.clone(),
        });
        Ok(Arc::new(Lies { inner }))
    }

    fn locator(&self) -> Option<Locator> {
        let directory = self.directory.to_str()?;
        Some(Locator::new(format!("{:?}:{directory}", self.defect)))
    }

    fn vandal(&self) -> Option<&dyn Vandal> {
        Some(&self.vandal)
    }

    fn failpoints(&self) -> Option<&dyn Failpoints> {
        Some(self)
    }
}

impl Failpoints for Journal {
    fn fail_next_write(&self) {
        self.faults.fail_next_write();
    }

    fn fill_disk(&self) {
        self.faults.fill_disk();
    }

    fn heal(&self) {
        self.faults.heal();
    }
}

/// Makes a file anew, with the same content.
async fn rewrite(journal: &Path, fired: &Fired) {
    let Ok(bytes) = fs::read(journal) else {
        return;
    };
    fired.fire();
    let [until_removed, until_made] = REWRITING;
    tokio::time::sleep(until_removed).await;
    fs::remove_file(journal).expect("the temporary directory can be written");
    tokio::time::sleep(until_made).await;
    fs::write(journal, bytes).expect("the temporary directory can be written");
}

/// Marks the journal as written by a newer format.
fn renew_format(directory: &Path) -> std::io::Result<()> {
    let file = directory.join("journal");
    let mut bytes = fs::read(&file)?;
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes)
}

#[derive(Debug)]
struct Opened {
    inner: Arc<dyn StorageBackend>,
    defect: Defect,
    fired: Fired,
    has_failed: AtomicBool,
    journal: PathBuf,
    buffer: PathBuf,
    left: Arc<Left>,
}

impl Opened {
    async fn around<T>(
        &self,
        call: Call,
        run: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let has_failed = self.has_failed.load(Ordering::Relaxed);
        let is_stopped = match self.defect {
            Defect::StopsReading => has_failed && call.operation == Operation::ListPartitions,
            Defect::StaysFull => has_failed && call.operation == Operation::Produce,
            _ => false,
        };
        if self.fired.fire_if(is_stopped) {
            return Err(call.error(ErrorKind::CapacityExceeded));
        }
        let answer = run.await;
        let is_of_the_disk = |error: &Error| {
            matches!(
                error.kind(),
                ErrorKind::Unavailable | ErrorKind::CapacityExceeded
            )
        };
        if answer.as_ref().is_err_and(is_of_the_disk) {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        answer
    }
}

hooked!(Opened {
    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        self.inner.watch(id).await
    }
} {
    forward_backend!(StorageBackend => inner, except [commit, health, usage, sync, close, descriptor]);

    fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.inner.descriptor();
        if self.defect == Defect::SyncsNothing {
            descriptor.durability = Durability::PowerLoss;
        }
        descriptor
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await?;
        if self.defect == Defect::WritesAtClose && self.buffer.exists() {
            let directory = self.journal.parent().expect("the journal is in a directory");
            fs::create_dir_all(directory).expect("the temporary directory can be written");
            // A second close finds it done.
            let _ = fs::rename(&self.buffer, &self.journal);
        }
        if self.defect == Defect::RewritesAtClose {
            rewrite(&self.journal, &self.fired).await;
        }
        let torn = self.left.torn.lock().expect("nobody panics with it").take();
        if let Some(torn) = torn {
            // What stands behind the torn end will not be read.
            fs::write(&self.journal, torn).expect("the journal can be written");
            self.fired.fire();
        }
        *self.left.closed.lock().expect("nobody panics with it") = fs::read(&self.journal).ok();
        Ok(())
    }
});

/// Tells more than the journal knows.
#[derive(Debug)]
struct Lies {
    inner: Arc<Opened>,
}

forward_backend!(impl PartitionStore for Lies => inner);
forward_backend!(impl MetadataStore for Lies => inner);
forward_backend!(impl StorageBackend for Lies => inner);

#[async_trait]
impl ItemStore for Lies {
    forward_backend!(ItemStore => inner, except [complete, list_items]);

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        let len = receipts.len();
        let completed = self.inner.complete(partition, receipts).await;
        let is_swallowed = completed.is_err() && self.inner.defect == Defect::SwallowsErrors;
        if self
            .inner
            .fired
            .fire_if(is_swallowed && self.inner.has_failed.load(Ordering::Relaxed))
        {
            return Ok(vec![CompleteOutcome::Done; len]);
        }
        completed
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        let mut page = self.inner.list_items(partition, request).await?;
        let is_shown = self.inner.defect == Defect::ShowsWhatFailed
            && self.inner.has_failed.load(Ordering::Relaxed);
        if self.inner.fired.fire_if(is_shown && !page.items.is_empty()) {
            page.items.remove(0);
        }
        Ok(page)
    }
}
