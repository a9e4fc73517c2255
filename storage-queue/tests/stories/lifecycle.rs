//! Making, opening, changing and deleting queues.

use storage_api::{ErrorKind, Mode, PartitionConfig, Storage};
use storage_memory::MemoryBackend;
use storage_queue::{PartitionStorage, QueueConfig, Queues, Storages};

use crate::faulty::Faulty;
use crate::memory;

fn four() -> QueueConfig {
    QueueConfig::default().with_partitions(4).unwrap()
}

fn kind<T: std::fmt::Debug>(result: storage_api::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

async fn partitions(storage: &Storage) -> Vec<String> {
    let infos = storage.list_partitions().await.unwrap();
    infos.iter().map(|info| info.id.to_string()).collect()
}

#[tokio::test]
async fn an_interrupted_creation_is_finished_by_who_opens() {
    let (memory, _clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queues = Queues::new(Storages::single(storage));
    *faulty.stuck.lock() = Some(2);
    assert_eq!(
        kind(queues.create("q", four()).await),
        ErrorKind::Unavailable
    );
    assert_eq!(partitions(&memory).await, ["q/0", "q/1"]);

    *faulty.stuck.lock() = None;
    let queue = queues.open("q").await.unwrap();

    assert_eq!(queue.partitions().len(), 4);
    assert_eq!(partitions(&memory).await, ["q/0", "q/1", "q/2", "q/3"]);
}

#[tokio::test]
async fn an_interrupted_creation_is_finished_by_who_creates_again() {
    let (memory, _clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queues = Queues::new(Storages::single(storage));
    *faulty.stuck.lock() = Some(0);
    queues.create("q", four()).await.unwrap_err();

    *faulty.stuck.lock() = None;
    queues.create("q", four()).await.unwrap();

    assert_eq!(partitions(&memory).await.len(), 4);
}

#[tokio::test]
async fn an_interrupted_deletion_is_finished_and_the_queue_is_gone_from_its_beginning() {
    let (memory, _clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queues = Queues::new(Storages::single(storage));
    let queue = queues.create("q", four()).await.unwrap();
    queue.partitions()[3].produce(["old"]).await.unwrap();
    *faulty.stuck.lock() = Some(2);
    assert_eq!(kind(queues.delete("q").await), ErrorKind::Unavailable);
    assert!(queues.list().await.unwrap().is_empty());

    *faulty.stuck.lock() = None;
    assert_eq!(kind(queues.open("q").await), ErrorKind::NotFound);

    assert!(partitions(&memory).await.is_empty());
    assert!(
        memory.namespaces().await.unwrap().is_empty(),
        "no definition is left"
    );
}

#[tokio::test]
async fn a_queue_made_again_after_an_interrupted_deletion_is_empty() {
    let (memory, _clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queues = Queues::new(Storages::single(storage));
    let queue = queues.create("q", four()).await.unwrap();
    queue.partitions()[3].produce(["old"]).await.unwrap();
    *faulty.stuck.lock() = Some(2);
    queues.delete("q").await.unwrap_err();

    *faulty.stuck.lock() = None;
    let again = queues.create("q", four()).await.unwrap();

    assert_eq!(again.stats().await.unwrap().items(), 0);
}

#[tokio::test]
async fn tasks_that_create_at_once_all_get_the_queue() {
    let (memory, _clock) = memory();
    let queues = Queues::new(Storages::single(memory));
    let creating: Vec<_> = (0..8)
        .map(|_| {
            let queues = queues.clone();
            tokio::spawn(async move { queues.open_or_create("q", four()).await })
        })
        .collect();

    for task in creating {
        assert_eq!(task.await.unwrap().unwrap().partitions().len(), 4);
    }
}

#[tokio::test]
async fn partitions_that_went_with_their_storage_are_made_again() {
    let (metadata, _clock) = memory();
    let volatile = |storage| {
        let storage = PartitionStorage::new("volatile", storage, 1).unwrap();
        Queues::new(Storages::new(metadata.clone(), vec![storage]).unwrap())
    };
    volatile(memory().0).create("q", four()).await.unwrap();

    let queue = volatile(memory().0).open("q").await.unwrap();

    assert_eq!(queue.stats().await.unwrap().items(), 0);
}

#[tokio::test]
async fn partitions_are_placed_by_affinity_and_found_there_again() {
    let (metadata, _clock) = memory();
    let (large, small) = (memory().0, memory().0);
    let storages = || {
        let partitions = vec![
            PartitionStorage::new("large", large.clone(), 3).unwrap(),
            PartitionStorage::new("small", small.clone(), 1).unwrap(),
        ];
        Storages::new(metadata.clone(), partitions).unwrap()
    };
    let created = Queues::new(storages()).create("q", four()).await.unwrap();
    let placement = created.placement().to_vec();

    assert_eq!(placement.iter().filter(|name| *name == "large").count(), 3);
    assert_eq!(partitions(&large).await.len(), 3);
    assert_eq!(partitions(&small).await.len(), 1);
    let opened = Queues::new(storages()).open("q").await.unwrap();
    assert_eq!(opened.placement(), placement);
    assert_eq!(
        Queues::new(storages()).list().await.unwrap()[0].placement,
        placement
    );
}

#[tokio::test]
async fn a_queue_whose_storage_is_not_there_is_neither_opened_nor_deleted() {
    let (metadata, _clock) = memory();
    let named = |name: &str| {
        let storage = PartitionStorage::new(name, memory().0, 1).unwrap();
        Queues::new(Storages::new(metadata.clone(), vec![storage]).unwrap())
    };
    named("disk-01").create("q", four()).await.unwrap();

    let error = named("disk-02").open("q").await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let text = error.to_string();
    assert!(
        text.contains("queue q") && text.contains("disk-01") && text.contains("disk-02"),
        "{text}"
    );
    assert_eq!(
        kind(named("disk-02").delete("q").await),
        ErrorKind::InvalidArgument
    );
    assert!(named("disk-01").open("q").await.is_ok());
}

#[tokio::test]
async fn new_settings_reach_every_partition_and_leave_its_mode() {
    let (memory, _clock) = memory();
    let queues = Queues::new(Storages::single(memory));
    let queue = queues.create("q", four()).await.unwrap();
    queue.set_mode(Mode::Draining).await.unwrap();
    let partition = PartitionConfig::default().with_attempts_max(7);

    let config = QueueConfig::default()
        .with_partitions(6)
        .unwrap()
        .with_partition(&partition);
    let queue = queues.update("q", config).await.unwrap();

    let mut modes = Vec::new();
    for partition in queue.partitions() {
        let config = partition.info().await.unwrap().config;
        assert_eq!(config.attempts_max(), 7);
        modes.push(config.mode());
    }
    let (draining, open) = (Mode::Draining, Mode::Open);
    assert_eq!(modes, [draining, draining, draining, draining, open, open]);
}

#[tokio::test]
async fn an_interrupted_change_is_finished_by_who_opens() {
    let (memory, _clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queues = Queues::new(Storages::single(storage));
    queues.create("q", QueueConfig::default()).await.unwrap();
    *faulty.stuck.lock() = Some(2);
    queues.update("q", four()).await.unwrap_err();

    *faulty.stuck.lock() = None;

    assert_eq!(queues.open("q").await.unwrap().partitions().len(), 4);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_and_not_made() {
    let (memory, _clock) = memory();
    let queues = Queues::new(Storages::single(memory.clone()));

    assert_eq!(kind(queues.open("q").await), ErrorKind::NotFound);
    assert_eq!(kind(queues.update("q", four()).await), ErrorKind::NotFound);
    assert_eq!(kind(queues.delete("q").await), ErrorKind::NotFound);
    assert_eq!(kind(queues.open("").await), ErrorKind::InvalidArgument);
    assert!(partitions(&memory).await.is_empty());
}

#[tokio::test]
async fn names_are_data() {
    let (memory, _clock) = memory();
    let queues = Queues::new(Storages::single(memory));
    let longest = "q".repeat(512);
    let names = ["a", "a/b", "a b", "..", "\0", "\n", "📬", longest.as_str()];
    for name in names {
        let queue = queues.create(name, QueueConfig::default()).await.unwrap();
        queue.produce([name]).await.unwrap();
    }

    for name in names {
        let mut pages = queues
            .open(name)
            .await
            .unwrap()
            .pages(storage_api::ListRequest::ready());
        let items = pages.next().await.unwrap().unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(
            items[0].entry.record.view().payload(),
            Some(name.as_bytes())
        );
    }
    assert_eq!(queues.list().await.unwrap().len(), names.len());
}

#[tokio::test]
async fn a_definition_of_the_future_or_damaged_is_refused_and_left_alone() {
    let (memory, _clock) = memory();
    let queues = Queues::new(Storages::single(memory.clone()));
    let definitions = memory.metadata("storage.queues").unwrap();
    definitions
        .put("newer", r#"{"format": 2, "what": "nobody knows"}"#)
        .await
        .unwrap();
    definitions
        .put("damaged", r#"{"format": 1, "config""#)
        .await
        .unwrap();

    assert_eq!(kind(queues.open("newer").await), ErrorKind::Unsupported);
    assert_eq!(kind(queues.delete("newer").await), ErrorKind::Unsupported);
    assert_eq!(
        kind(queues.create("newer", four()).await),
        ErrorKind::Unsupported
    );
    assert_eq!(kind(queues.open("damaged").await), ErrorKind::Corrupted);
    let left = definitions.get("newer").await.unwrap().unwrap();
    assert!(left.value.as_bytes().ends_with(b"nobody knows\"}"));
}

#[tokio::test]
async fn a_stored_definition_is_written_and_read_as_it_always_was() {
    let golden = include_str!("golden/definition-1.json").trim_end();
    let (written, read) = (memory().0, memory().0);
    let definitions = |storage: &Storage| storage.metadata("storage.queues").unwrap();

    let queues = Queues::new(Storages::single(written.clone()));
    queues.create("q", QueueConfig::default()).await.unwrap();
    definitions(&read).put("q", golden).await.unwrap();

    let entry = definitions(&written).get("q").await.unwrap().unwrap();
    assert_eq!(std::str::from_utf8(entry.value.as_bytes()).unwrap(), golden);
    let opened = Queues::new(Storages::single(read)).open("q").await.unwrap();
    assert_eq!(*opened.config(), QueueConfig::default());
}

#[test]
fn handles_can_be_shared_between_tasks() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}

    let queues = Queues::new(Storages::single(Storage::new(MemoryBackend::new())));

    is_shared(&queues);
}
