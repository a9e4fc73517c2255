//! What is right in a file is opened: each place once, by built-in drivers and by those that others bring.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use storage_api::{
    Descriptor, Durability, Error, ErrorKind, Object, Operation, StorageBackend, async_trait,
    forward_backend,
};
use storage_config::{ConfigError, DriverConfig, Opened, Plan, Registry};
use storage_memory::MemoryBackend;

/// A driver that a stranger brings: it claims to be durable, and remembers which places are open.
#[derive(Debug)]
struct ShelfBackend {
    inner: MemoryBackend,
    dir: PathBuf,
    shelves: Shelves,
}

/// The places that are open, in the order of their opening.
type Shelves = Arc<Mutex<Vec<PathBuf>>>;

#[async_trait]
impl StorageBackend for ShelfBackend {
    forward_backend!(StorageBackend => inner, except [descriptor, close]);

    fn descriptor(&self) -> Descriptor {
        let inner = self.inner.descriptor();
        Descriptor::new("shelf", "1", inner.capabilities, Durability::ProcessCrash)
    }

    async fn close(&self) -> storage_api::Result<()> {
        self.shelves.lock().unwrap().retain(|dir| *dir != self.dir);
        self.inner.close().await
    }
}

forward_backend!(impl PartitionStore for ShelfBackend => inner);
forward_backend!(impl ItemStore for ShelfBackend => inner);
forward_backend!(impl MetadataStore for ShelfBackend => inner);

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ShelfSettings {
    storage_dir: PathBuf,
    #[serde(default)]
    width: u8,
    #[serde(default)]
    is_broken: bool,
}

fn shelf(config: &DriverConfig<'_>, shelves: Shelves) -> Result<Plan, ConfigError> {
    let mut settings: ShelfSettings = config.read()?;
    if settings.width > 100 {
        return Err(config.refuse("width", "no room is that wide; take at most 100"));
    }
    settings.storage_dir = config.resolve(&settings.storage_dir);
    let dir = settings.storage_dir.clone();
    let is_broken = settings.is_broken;
    let opening = async move {
        if is_broken {
            let place = Object::Place(dir.display().to_string());
            let reason = "another process holds it; stop that first";
            return Err(Error::new(
                ErrorKind::Unavailable,
                Operation::Open,
                place,
                reason,
            ));
        }
        shelves.lock().unwrap().push(dir.clone());
        let inner = MemoryBackend::new();
        Ok(Arc::new(ShelfBackend {
            inner,
            dir,
            shelves,
        }) as Arc<dyn StorageBackend>)
    };
    Ok(Plan::new(&settings, opening).at(&settings.storage_dir))
}

struct Scene {
    registry: Registry,
    shelves: Shelves,
}

impl Scene {
    fn new() -> Self {
        let shelves = Shelves::default();
        let of_factory = Arc::clone(&shelves);
        let registry = Registry::builtin().with("shelf", move |config: &DriverConfig<'_>| {
            shelf(config, Arc::clone(&of_factory))
        });
        Self { registry, shelves }
    }

    async fn open(&self, text: &str) -> Result<Opened, ConfigError> {
        self.registry.open_str(text, "/base", "queue.yaml").await
    }

    async fn refusal_of(&self, text: &str) -> String {
        self.open(text).await.unwrap_err().to_string()
    }

    fn open_places(&self) -> Vec<String> {
        let shelves = self.shelves.lock().unwrap();
        shelves
            .iter()
            .map(|dir| dir.display().to_string())
            .collect()
    }
}

#[tokio::test]
async fn storages_of_one_driver_and_one_config_are_one_backend() {
    let text = "
queue-storage: { driver: memory }
partition-storage:
  - { name: a, driver: memory, affinity: 3 }
  - { name: b, driver: memory, config: {} }
";

    let storages = Scene::new().open(text).await.unwrap().storages();

    let [a, b] = storages.partitions() else {
        panic!("there are two")
    };
    assert_eq!((a.name(), a.affinity()), ("a", 3));
    assert_eq!((b.name(), b.affinity()), ("b", 1));
    assert!(a.storage().is_same_backend(storages.metadata()));
    assert!(b.storage().is_same_backend(storages.metadata()));
}

#[tokio::test]
async fn the_memory_that_may_be_taken_is_a_size_a_share_or_found_out() {
    for (max_memory, is_exact) in [("64MiB", true), ("1%", false), ("auto", false)] {
        let text = format!(
            "
queue-storage: {{ driver: memory, config: {{ max-memory: {max_memory}, overflow: drop-oldest }} }}
partition-storage: [{{ name: memory-01, driver: memory }}]
"
        );

        let opened = Registry::builtin()
            .open_str(&text, ".", "queue.yaml")
            .await
            .unwrap();

        let usage = opened.storages().metadata().usage().await.unwrap();
        let allowed = usage.allowed.unwrap();
        assert!(allowed >= 64 << 10, "{max_memory}: {allowed}");
        assert!(!is_exact || allowed == 64 << 20, "{max_memory}: {allowed}");
    }
}

#[tokio::test]
async fn a_driver_of_ones_own_is_selected_like_a_built_in_one() {
    let scene = Scene::new();
    let text = "
queue-storage:
  driver: shelf
  config: { storage-dir: ./data }
partition-storage:
  - name: same
    driver: shelf
    config: { width: 0, storage-dir: data }
  - name: other
    driver: shelf
    config: { storage-dir: /elsewhere }
";

    let opened = scene.open(text).await.unwrap();

    let storages = opened.storages();
    assert_eq!(storages.metadata().descriptor().driver, "shelf");
    assert_eq!(
        scene.open_places(),
        ["/base/data", "/elsewhere"],
        "each place once"
    );
    let same = storages.partition("same").unwrap().storage();
    let other = storages.partition("other").unwrap().storage();
    assert!(same.is_same_backend(storages.metadata()));
    assert!(!other.is_same_backend(storages.metadata()));
    opened.close().await.unwrap();
    assert!(scene.open_places().is_empty());
}

#[tokio::test]
async fn a_driver_of_ones_own_refuses_at_the_line_and_column() {
    let file = |config: &str| {
        format!(
            "queue-storage:\n  driver: shelf\n{config}partition-storage: [{{ name: a, driver: memory }}]\n"
        )
    };
    let cases = [
        (
            file("  config: { storage-dirr: x }\n"),
            "queue.yaml:3:13: unknown key «storage-dirr»; known here are storage-dir, width, is-broken; \
             did you mean «storage-dir»?",
        ),
        (
            file("  config:\n    width: 3\n"),
            "queue.yaml:4:5: the key «storage-dir» is missing; add it",
        ),
        (
            file(""),
            "queue.yaml:2:11: the key «storage-dir» is missing; add it",
        ),
        (
            file("  config:\n"),
            "queue.yaml:2:11: the key «storage-dir» is missing; add it",
        ),
        (
            file("  config: [x]\n"),
            "queue.yaml:3:11: expected a mapping, found a list",
        ),
        (
            file("  config: { storage-dir: x, width: 300 }\n"),
            "queue.yaml:3:36: expected a whole number from 0 to 255, found 300",
        ),
        (
            file("  config: { storage-dir: x, width: 101 }\n"),
            "queue.yaml:3:36: width: no room is that wide; take at most 100",
        ),
    ];

    for (text, expected) in cases {
        assert_eq!(
            Scene::new().refusal_of(&text).await,
            expected,
            "for:\n{text}"
        );
    }
}

#[tokio::test]
async fn an_unknown_driver_is_told_about_all_known_ones() {
    let text = "
queue-storage: { driver: shlef }
partition-storage: [{ name: a, driver: memory }]
";

    let refusal = Scene::new().refusal_of(text).await;

    let registry = Registry::builtin();
    let mut drivers: Vec<_> = registry.drivers().chain(["shelf"]).collect();
    drivers.sort_unstable();
    let drivers = drivers.join(", ");
    assert_eq!(
        refusal,
        format!(
            "queue.yaml:2:26: unknown driver «shlef»; known here are {drivers}; did you mean «shelf»?"
        )
    );
}

#[tokio::test]
async fn one_place_with_two_settings_is_refused_before_anything_is_opened() {
    let scene = Scene::new();
    let text = "
queue-storage:
  driver: shelf
  config: { storage-dir: ./data }
partition-storage:
  - name: a
    driver: shelf
    config: { storage-dir: ./data, width: 7 }
";

    let refusal = scene.refusal_of(text).await;

    assert_eq!(
        refusal,
        "queue.yaml:7:13: line 3 names the same place with other settings; write them alike"
    );
    assert!(scene.open_places().is_empty());
}

#[tokio::test]
async fn a_storage_that_does_not_open_closes_those_before_it() {
    let scene = Scene::new();
    let text = "
queue-storage:
  driver: shelf
  config: { storage-dir: one }
partition-storage:
  - name: a
    driver: shelf
    config: { storage-dir: two, is-broken: true }
";

    let error = scene.open(text).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "queue.yaml:7:13: cannot open /base/two: another process holds it; stop that first"
    );
    let storage_error = error.storage_error().unwrap();
    assert_eq!(storage_error.kind(), ErrorKind::Unavailable);
    assert!(scene.open_places().is_empty());
}

#[tokio::test]
async fn durable_and_volatile_storages_are_not_mixed_by_accident() {
    let scene = Scene::new();
    let durable = "{ driver: shelf, config: { storage-dir: x } }";
    let volatile = "{ driver: memory }";
    let file = |metadata: &str, items: &str| {
        let items = items.replace("{ driver", "{ name: a, driver");
        format!("queue-storage: {metadata}\npartition-storage:\n  - {items}\n")
    };

    for (metadata, items, of_items, of_metadata) in [
        (durable, volatile, "none", "process-crash"),
        (volatile, durable, "process-crash", "none"),
    ] {
        let text = file(metadata, items);
        let refusal = scene.refusal_of(&text).await;

        assert_eq!(
            refusal,
            format!(
                "queue.yaml:3:24: the durability of items in «a» is {of_items}, that of metadata in queue-storage is \
                 {of_metadata}, so that one outlives the other; choose drivers that are alike, or write \
                 allow-mixed-durability: true"
            )
        );
        assert!(scene.open_places().is_empty(), "what was opened is closed");
        let allowed = format!("{text}allow-mixed-durability: true\n");
        scene.open(&allowed).await.unwrap().close().await.unwrap();
    }
    assert!(scene.open(&file(durable, durable)).await.is_ok());
}

#[tokio::test]
async fn relative_paths_start_at_the_file() {
    let scene = Scene::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.yaml");
    let text = "
queue-storage: { driver: shelf, config: { storage-dir: ./data } }
partition-storage: [{ name: a, driver: shelf, config: { storage-dir: ./data } }]
";
    std::fs::write(&path, text).unwrap();

    scene.registry.open(&path).await.unwrap();

    let base = dir.path().canonicalize().unwrap();
    assert_eq!(
        scene.open_places(),
        [base.join("data").display().to_string()]
    );
}

#[tokio::test]
async fn ways_to_one_directory_are_one_place() {
    let scene = Scene::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("real/aside")).unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    let text = "
queue-storage: { driver: shelf, config: { storage-dir: real/data } }
partition-storage:
  - { name: a, driver: shelf, config: { storage-dir: link/data } }
  - { name: b, driver: shelf, config: { storage-dir: real/aside/../data } }
";
    let path = dir.path().join("queue.yaml");
    std::fs::write(&path, text).unwrap();

    let opened = scene.registry.open(&path).await.unwrap();

    assert_eq!(scene.open_places().len(), 1, "{:?}", scene.open_places());
    opened.close().await.unwrap();
}

#[tokio::test]
async fn a_place_that_is_not_there_is_not_made_for_who_only_looks() {
    let scene = Scene::new();
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let text = "
queue-storage: { driver: shelf, config: { storage-dir: data } }
partition-storage: [{ name: a, driver: shelf, config: { storage-dir: data } }]
";
    let path = base.join("queue.yaml");
    std::fs::write(&path, text).unwrap();

    for _ in 0..2 {
        let refusal = scene.registry.open_existing(&path).await.unwrap_err();

        let expected = format!(
            "{}:2:26: there is nothing at {}; check its path, or use the storage once",
            path.display(),
            base.join("data").display()
        );
        assert_eq!(refusal.to_string(), expected);
        assert!(scene.open_places().is_empty());
        // In the second round there is a directory, and nothing in it.
        std::fs::create_dir_all(base.join("data")).unwrap();
    }
    std::fs::write(base.join("data/shelf"), "").unwrap();
    scene.registry.open_existing(&path).await.unwrap();
    assert_eq!(scene.open_places().len(), 1);
}

#[tokio::test]
async fn places_within_each_other_are_refused_before_anything_is_opened() {
    for (one, other) in [("data", "data/inner"), ("data/in/ner", "data")] {
        let scene = Scene::new();
        let text = format!(
            "
queue-storage: {{ driver: shelf, config: {{ storage-dir: {one} }} }}
partition-storage:
  - {{ name: a, driver: shelf, config: {{ storage-dir: beside }} }}
  - {{ name: b, driver: shelf, config: {{ storage-dir: {other} }} }}
"
        );

        let refusal = scene.refusal_of(&text).await;

        assert_eq!(
            refusal,
            "queue.yaml:5:24: its place and that of line 2 lie one within the other; name directories beside each other"
        );
        assert!(scene.open_places().is_empty());
    }
}

/// What the examples show in comments.
#[cfg(any(feature = "redb", feature = "rocks", feature = "sled"))]
mod examples {
    use storage_config::Registry;

    /// An example whose items stand in a storage with every option that it shows in comments, and metadata in one without.
    fn with_commented_options(example: &str) -> (String, Vec<&str>) {
        let (_, comments) = example.split_once("with the defaults:\n").unwrap();
        let options: Vec<_> = comments
            .lines()
            .map_while(|line| line.strip_prefix("#   "))
            .collect();
        let keys = options.iter().map(|option| option.split(':').next());
        let keys = keys.map(Option::unwrap).collect();
        let indented: Vec<_> = options
            .iter()
            .map(|option| format!("      {option}\n"))
            .collect();
        let items = "\n    config: { storage-dir: ./data }\n";
        assert_eq!(example.matches(items).count(), 1, "{example}");
        let spelled = format!(
            "\n    config:\n      storage-dir: ./data\n{}",
            indented.concat()
        );
        (example.replace(items, &spelled), keys)
    }

    /// Storages are one backend where every setting is equal, and those without a word have the constants of the driver.
    async fn shows_its_defaults(example: &str, keys: &[&str]) {
        let (text, shown) = with_commented_options(example);
        assert_eq!(shown, keys);
        let scratch = tempfile::tempdir().unwrap();

        let opened = Registry::builtin()
            .open_str(&text, scratch.path(), "queue.yaml")
            .await;

        let storages = opened.unwrap().storages();
        let [items] = storages.partitions() else {
            panic!("there is one")
        };
        assert!(items.storage().is_same_backend(storages.metadata()));
    }

    #[cfg(feature = "rocks")]
    #[tokio::test]
    async fn the_example_of_rocks_shows_the_defaults_of_every_option() {
        let keys = [
            "durability",
            "disk-reserve",
            "cache",
            "memtables",
            "log",
            "open-files-max",
        ];

        shows_its_defaults(include_str!("../../examples/rocks.yaml"), &keys).await;
    }

    #[cfg(feature = "sled")]
    #[tokio::test]
    async fn the_example_of_sled_shows_the_defaults_of_every_option() {
        let keys = ["durability", "disk-reserve", "cache"];

        shows_its_defaults(include_str!("../../examples/sled.yaml"), &keys).await;
    }

    #[cfg(feature = "redb")]
    #[tokio::test]
    async fn the_example_of_redb_shows_the_defaults_of_every_option() {
        let keys = ["durability", "disk-reserve", "cache"];

        shows_its_defaults(include_str!("../../examples/disk.yaml"), &keys).await;
    }
}
