//! Queues that a file declares are there once it is open.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use storage_api::{DeadPolicy, Requeue, StorageBackend};
use storage_config::{ConfigError, DriverConfig, Opened, Plan, Registry};
use storage_memory::MemoryBackend;
use storage_queue::{Backoff, QueueConfig};

/// Opens files with those queues, on one backend that outlives each of them.
struct Scene {
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        let backend: Arc<dyn StorageBackend> = Arc::new(MemoryBackend::new());
        let lasting = move |_: &DriverConfig<'_>| -> Result<Plan, ConfigError> {
            let backend = Arc::clone(&backend);
            Ok(Plan::new(&(), async { Ok(backend) }))
        };
        Self {
            registry: Registry::builtin().with("lasting", lasting),
        }
    }

    async fn open(&self, queues: &str) -> Opened {
        let text = format!(
            "queue-storage: {{ driver: lasting }}\npartition-storage: [{{ name: a, driver: lasting }}]\nqueues:\n{queues}"
        );
        self.registry
            .open_str(&text, ".", "queue.yaml")
            .await
            .unwrap()
    }

    async fn settings_of(&self, name: &str) -> QueueConfig {
        let queues = self.open("  []\n").await.queues().await.unwrap();
        let infos = queues.list().await.unwrap();
        let info = infos.into_iter().find(|info| info.name.as_str() == name);
        info.unwrap().config
    }
}

#[tokio::test]
async fn a_declared_queue_is_made_with_its_settings() {
    let scene = Scene::new();
    let queues = "
  - name: \"größe / 🎁\\t\"
    partitions: 4
    attempts-max: 5
    dead: drop
    requeue: original
    dedup-for: 1h 30m
    items-max: 1000
    bytes-max: 512MiB
    backoff: { initial: 250ms, factor: 1.5, max: 1m, jitter: 0.5 }
";

    let opened = scene.open(queues).await;
    let emails = opened
        .queues()
        .await
        .unwrap()
        .open("größe / 🎁\t")
        .await
        .unwrap();

    assert_eq!(emails.partitions().len(), 4);
    let (_, config) = opened.declared_queues().next().unwrap();
    let partition = config.partition();
    assert_eq!(partition.attempts_max(), 5);
    assert_eq!(partition.dead(), DeadPolicy::Drop);
    assert_eq!(partition.requeue(), Requeue::Original);
    assert_eq!(partition.dedup_for(), Duration::from_secs(5400));
    assert_eq!(partition.items_max(), 1000);
    assert_eq!(partition.bytes_max(), 512 << 20);
    let minute = Duration::from_secs(60);
    let backoff = Backoff::new(Duration::from_millis(250), 1.5, minute, 0.5).unwrap();
    assert_eq!(*config.backoff(), backoff);
    assert_eq!(scene.settings_of("größe / 🎁\t").await, *config);
}

#[tokio::test]
async fn nothing_said_is_the_default() {
    let opened = Scene::new().open("  - name: q\n").await;

    let (_, config) = opened.declared_queues().next().unwrap();

    assert_eq!(*config, QueueConfig::default());
}

#[tokio::test]
async fn a_queue_that_is_there_gets_the_settings_of_the_file() {
    let scene = Scene::new();
    let before = "  - { name: q, partitions: 3, attempts-max: 5 }\n  - name: other\n";
    scene.open(before).await.queues().await.unwrap();

    let after = "  - { name: q, attempts-max: 7, backoff: { initial: 9s } }\n";
    scene.open(after).await.queues().await.unwrap();

    let config = scene.settings_of("q").await;
    assert_eq!(
        config.partitions(),
        3,
        "where the file says nothing the number stays"
    );
    assert_eq!(config.partition().attempts_max(), 7);
    assert_eq!(config.backoff().rest(1, 0), Duration::from_secs(9));
    assert_eq!(scene.settings_of("other").await, QueueConfig::default());
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_and_changes_nothing() {
    let scene = Scene::new();
    scene
        .open("  - { name: q, partitions: 3 }\n")
        .await
        .queues()
        .await
        .unwrap();

    for number in [2, 4] {
        let file = format!("  - {{ name: q, partitions: {number}, attempts-max: 7 }}\n");
        let refusal = scene.open(&file).await.queues().await.unwrap_err();

        assert_eq!(
            refusal.to_string(),
            "queue.yaml:4:28: the queue «q» has 3 partitions; write that number, or give another queue another name"
        );
    }
    assert_eq!(scene.settings_of("q").await.partition().attempts_max(), 0);
}
