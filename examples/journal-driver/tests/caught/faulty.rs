//! The driver, with one fault.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use journal_driver::{JournalBackend, JournalConfig};
use storage_api::{
    Capability, Descriptor, Durability, Error, ErrorKind, ItemBatch, ItemStore, NewItem, Object,
    Operation, PartitionConfig, PartitionId, PartitionStore, Produced, Result, SealedBatch,
    StorageBackend, async_trait, forward_backend,
};
use storage_conformance::{
    Claims, DirectoryVandal, DriverInfo, Harness, Locator, Place, Spot, Vandal,
};

use crate::frames;

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// What is produced is acknowledged, and written with the next batch.
    AnswersEarly,
    /// The last change that was written before a crash is dropped as if it were torn.
    LosesTheLastWrite,
    /// A batch is written in two halves, the second one with the next batch.
    KeepsHalfABatch,
    /// It promises to survive a loss of power, and leaves it to the system when something reaches the disk.
    SyncsNothing,
    /// It promises to survive a kill and no more, as it may.
    PromisesLess,
    /// The same, and its sync does nothing.
    AnswersSyncAtOnce,
    /// It promises no more either, and numbers that were lost with the power are given again.
    ForgetsNumbers,
    /// It takes every frame to be whole, whatever its checksums say.
    ChecksNothing,
    /// It fills a tail that was cut with zeros.
    CompletesTails,
    /// It makes up a place where there is none.
    InventsWhatIsGone,
}

const FAULTS: [Fault; 11] = [
    Fault::None,
    Fault::AnswersEarly,
    Fault::LosesTheLastWrite,
    Fault::KeepsHalfABatch,
    Fault::SyncsNothing,
    Fault::PromisesLess,
    Fault::AnswersSyncAtOnce,
    Fault::ForgetsNumbers,
    Fault::ChecksNothing,
    Fault::CompletesTails,
    Fault::InventsWhatIsGone,
];

impl Fault {
    /// What it keeps.
    fn durability(self) -> Durability {
        match self {
            Self::SyncsNothing
            | Self::PromisesLess
            | Self::AnswersSyncAtOnce
            | Self::ForgetsNumbers => Durability::ProcessCrash,
            _ => Durability::PowerLoss,
        }
    }

    /// What it says that it keeps.
    fn promised(self) -> Durability {
        match self {
            Self::SyncsNothing => Durability::PowerLoss,
            honest => honest.durability(),
        }
    }
}

/// The copy with that fault; a child learns from the locator which it is.
pub(crate) struct FaultyHarness(pub(crate) Fault);

#[async_trait]
impl Harness for FaultyHarness {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("journal", "faulty")
    }

    fn claims(&self) -> Claims {
        Claims::all()
            .without(Capability::Shared, "one backend owns the file")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        let directory = spot.fresh_directory()?;
        Ok(Box::new(FaultyPlace::at(self.0, directory)))
    }

    fn attach(&self, at: &Locator) -> Option<Box<dyn Place>> {
        let (fault, directory) = at.as_str().split_once(' ')?;
        let fault = FAULTS.into_iter().find(|one| format!("{one:?}") == fault)?;
        Some(Box::new(FaultyPlace::at(fault, directory.into())))
    }
}

struct FaultyPlace {
    fault: Fault,
    directory: PathBuf,
    vandal: DirectoryVandal,
}

impl FaultyPlace {
    fn at(fault: Fault, directory: PathBuf) -> Self {
        Self {
            fault,
            vandal: DirectoryVandal::new(&directory, |path| path == "journal"),
            directory,
        }
    }

    /// What the fault does to the file before it is read.
    fn edit(&self, file: &Path) -> io::Result<()> {
        let mut bytes = fs::read(file)?;
        let found = frames::frames(&bytes);
        match (self.fault, found.last()) {
            (Fault::LosesTheLastWrite, Some(last))
                if found.len() > 1 && !frames::is_close(&bytes, *last) =>
            {
                bytes.truncate(last.0);
            }
            (Fault::ForgetsNumbers, _) => {
                for frame in found {
                    frames::close_if_loose(&mut bytes, frame);
                }
            }
            (Fault::ChecksNothing, _) => {
                for frame in found {
                    frames::reseal(&mut bytes, frame);
                }
            }
            (Fault::CompletesTails, Some(last)) if last.1 > bytes.len() => {
                bytes.resize(last.1, 0);
                frames::reseal(&mut bytes, *last);
            }
            _ => return Ok(()),
        }
        fs::write(file, bytes)
    }
}

#[async_trait]
impl Place for FaultyPlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        let file = self.directory.join("journal");
        if self.fault != Fault::None {
            // By which what they do would be told. It may be gone already.
            let _ = fs::remove_file(self.directory.join("MARK"));
        }
        let is_gone = fs::metadata(&file).map_or(true, |found| found.len() == 0);
        if !is_gone {
            self.edit(&file).map_err(told)?;
        }
        let invents = is_gone
            && self.fault == Fault::InventsWhatIsGone
            && self.directory.join("LOCK").exists();
        if invents && file.exists() {
            fs::remove_file(&file).map_err(told)?;
        }
        let config = JournalConfig::new(&self.directory)
            .disk_reserve(0)
            .durability(self.fault.durability());
        let inner = JournalBackend::open(config).await?;
        if invents {
            let found = PartitionId::new("found", 0)?;
            inner
                .create_partition(&found, PartitionConfig::default())
                .await?;
        }
        Ok(Arc::new(Faulty {
            inner,
            fault: self.fault,
            file,
            withheld: Mutex::default(),
        }))
    }

    fn locator(&self) -> Option<Locator> {
        let directory = self.directory.to_str()?;
        Some(Locator::new(format!("{:?} {directory}", self.fault)))
    }

    fn vandal(&self) -> Option<&dyn Vandal> {
        Some(&self.vandal)
    }
}

/// An opened copy.
#[derive(Debug)]
struct Faulty {
    inner: JournalBackend,
    fault: Fault,
    file: PathBuf,
    /// Bytes that belong into the file, and where.
    withheld: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Faulty {
    /// Writes what was withheld.
    fn write_withheld(&self) -> Result<()> {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, bytes)) = withheld.take() {
            let file = fs::File::options().write(true).open(&self.file);
            let written = file.and_then(|file| file.write_all_at(&bytes, at));
            written.map_err(told)?;
        }
        Ok(())
    }

    /// Produces into memory, and takes out of the file what was written of it.
    async fn produce_withheld(
        &self,
        partition: &PartitionId,
        batch: SealedBatch,
    ) -> Result<Produced> {
        self.write_withheld()?;
        let before = fs::metadata(&self.file).map_err(told)?.len();
        let produced = self.inner.produce(partition, batch).await?;
        let bytes = fs::read(&self.file).map_err(told)?;
        let written = usize::try_from(before)
            .ok()
            .and_then(|before| bytes.get(before..));
        if let Some(written @ [_, ..]) = written {
            let file = fs::File::options().write(true).open(&self.file);
            file.and_then(|file| file.set_len(before)).map_err(told)?;
            let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
            *withheld = Some((before, written.to_vec()));
        }
        Ok(produced)
    }
}

/// The first items of a batch, and the others.
fn halves(batch: &SealedBatch) -> Result<Option<[SealedBatch; 2]>> {
    let mut halves = [ItemBatch::new(), ItemBatch::new()];
    let mut created_at = None;
    for index in 0..batch.len() {
        let record = batch.shared_record(index);
        let view = record.view();
        created_at = Some(view.created_at());
        // The dedup key is looked at within the call: such a batch is left whole.
        if view.dedup_key().is_some() {
            return Ok(None);
        }
        let mut item = NewItem::new(view.payload().unwrap_or_default())
            .priority(view.priority())
            .attempts_max(view.attempts_max());
        if let Some(at) = view.enqueue_at() {
            item = item.enqueue_at(at);
        }
        if let Some(at) = view.expire_at() {
            item = item.expire_at(at);
        }
        halves[usize::from(index * 2 >= batch.len())].push(item)?;
    }
    Ok(created_at.map(|at| halves.map(|half| half.seal(at))))
}

#[async_trait]
impl ItemStore for Faulty {
    forward_backend!(ItemStore => inner, except [produce]);

    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        match self.fault {
            Fault::AnswersEarly => self.produce_withheld(partition, batch).await,
            Fault::KeepsHalfABatch if batch.len() > 1 => {
                let Some([first, second]) = halves(&batch)? else {
                    return self.inner.produce(partition, batch).await;
                };
                self.write_withheld()?;
                let first = self.inner.produce(partition, first).await?;
                self.produce_withheld(partition, second).await?;
                Ok(Produced::new(first.ids().next(), batch.len(), Vec::new()))
            }
            _ => self.inner.produce(partition, batch).await,
        }
    }
}

#[async_trait]
impl StorageBackend for Faulty {
    forward_backend!(StorageBackend => inner, except [close, sync, descriptor]);

    async fn sync(&self) -> Result<()> {
        self.write_withheld()?;
        match self.fault {
            Fault::AnswersSyncAtOnce => Ok(()),
            _ => self.inner.sync().await,
        }
    }

    async fn close(&self) -> Result<()> {
        self.write_withheld()?;
        self.inner.close().await
    }

    fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.inner.descriptor();
        descriptor.durability = self.fault.promised();
        descriptor
    }
}

forward_backend!(impl PartitionStore for Faulty => inner);
forward_backend!(impl MetadataStore for Faulty => inner);

fn told(error: io::Error) -> Error {
    let object = Object::Place("the directory of a case".to_owned());
    let reason = "see to the volume of the temporary directory";
    Error::new(ErrorKind::Unavailable, Operation::Open, object, reason).with_source(error)
}
