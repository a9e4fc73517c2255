//! What is wrong in a file is refused with the file, the line, the column, what was found, and the nearest known word.

use storage_config::{ConfigError, FILE_BYTES_MAX, Registry};

const GOOD: &str = "\
queue-storage:
  driver: memory
partition-storage:
  - name: memory-01
    driver: memory
    affinity: 1
";

async fn refusal_of(text: &str) -> ConfigError {
    match Registry::builtin()
        .open_str(text, "/nowhere", "queue.yaml")
        .await
    {
        Ok(_) => panic!("this was accepted:\n{text}"),
        Err(error) => error,
    }
}

/// The good file with one piece replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "«{from}» stands in the good file");
    GOOD.replacen(from, to, 1)
}

async fn check(cases: &[(String, impl AsRef<str>)]) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let expected = format!("queue.yaml{}", expected.as_ref());
        let got = refusal_of(text).await.to_string();
        if got != expected {
            let start: String = text.chars().take(300).collect();
            wrong.push_str(&format!(
                "expected: {expected}\ngot:      {got}\nfor:\n{start}\n"
            ));
        }
    }

    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn unknown_words_name_the_place_and_the_nearest_known_one() {
    let drivers = Registry::builtin().drivers().collect::<Vec<_>>().join(", ");
    let misspelt =
        format!(":2:11: unknown driver «memroy»; known here are {drivers}; did you mean «memory»?");
    let unheard_of = format!(":5:13: unknown driver «oracle»; known here are {drivers}");
    let cases = [
        (
            with("    affinity", "    lease_sm"),
            ":6:5: unknown key «lease_sm»; known here are name, driver, affinity, config",
        ),
        (
            with("    affinity", "    afinity"),
            ":6:5: unknown key «afinity»; known here are name, driver, affinity, config; did you mean «affinity»?",
        ),
        (
            with("queue-storage", "queue_storage"),
            ":1:1: unknown key «queue_storage»; known here are queue-storage, partition-storage, queues, \
             allow-mixed-durability; did you mean «queue-storage»?",
        ),
        (with("driver: memory", "driver: memroy"), misspelt.as_str()),
        (
            with("    driver: memory", "    driver: oracle"),
            unheard_of.as_str(),
        ),
        (
            with(
                "  driver: memory",
                "  driver: memory\n  config: { bytes-mx: 5 }",
            ),
            ":3:13: unknown key «bytes-mx»; known here are max-memory, overflow, eviction",
        ),
        (
            with("  driver: memory", "  driver: memory\n  7: x"),
            ":3:3: unknown key «7»; known here are driver, config",
        ),
        (
            format!("{GOOD}queues: [{{ name: q, dead: kep }}]\n"),
            ":7:27: unknown word «kep»; known here are keep, drop; did you mean «keep»?",
        ),
        (
            with("  driver", "  \"dri\\u001bver\""),
            ":2:3: unknown key «dri\\u{1b}ver»; known here are driver, config; did you mean «driver»?",
        ),
    ];

    check(&cases).await;
}

#[tokio::test]
async fn settings_of_drivers_on_disk_are_refused_where_they_stand() {
    let on_disk = |driver: &str, config: &str| {
        let config = format!("  driver: {driver}\n  config: {{ {config} }}");
        with("  driver: memory", &config)
    };
    for driver in Registry::builtin()
        .drivers()
        .filter(|driver| *driver != "memory")
    {
        let cases = [
            (
                on_disk(driver, "cache: 1MiB"),
                ":3:11: the key «storage-dir» is missing",
            ),
            (
                on_disk(driver, "storage-dir: d, durabilty: none"),
                "durabilty",
            ),
            (
                on_disk(driver, "storage-dir: d, durability: some"),
                ":3:41: unknown word «some»; known here are none, process-crash, power-loss",
            ),
            (
                on_disk(driver, "storage-dir: d, cache: 64 parsecs"),
                ":3:36: expected a size such as 512MiB (units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), \
                 found «64 parsecs»",
            ),
        ];
        for (text, expected) in cases {
            let got = refusal_of(&text).await.to_string();
            assert!(got.contains(expected), "{expected}: {got}");
        }
    }
}

#[cfg(feature = "sled")]
#[tokio::test]
async fn sled_at_power_loss_is_refused_with_the_reason() {
    let text = with(
        "  driver: memory",
        "  driver: sled\n  config: { storage-dir: d, durability: power-loss }",
    );

    let refusal = refusal_of(&text).await.to_string();

    assert_eq!(
        refusal,
        "queue.yaml:3:41: durability: sled 0.34 does not wait for the disk, so that nothing it holds survives the loss of \
         power for sure; choose process-crash, or the driver redb or rocks"
    );
}

#[tokio::test]
async fn settings_with_which_an_engine_does_not_work_are_refused_where_they_stand() {
    let cases: &[(&str, &str, &str)] = &[
        #[cfg(feature = "sled")]
        ("sled", "cache", "sled does not open"),
        #[cfg(feature = "rocks")]
        ("rocks", "memtables", "writers would wait for ever"),
        #[cfg(feature = "rocks")]
        ("rocks", "log", "every few batches would write tables"),
    ];
    for (driver, key, otherwise) in cases {
        for bytes in [0, 1, 255, 256 << 10, (1 << 20) - 1] {
            let config = format!("{{ storage-dir: d, {key}: {bytes}B }}");
            let text = with(
                "  driver: memory",
                &format!("  driver: {driver}\n  config: {config}"),
            );

            let refusal = refusal_of(&text).await.to_string();

            let column = 13 + "storage-dir: d, ".len() + key.len() + 2;
            assert_eq!(
                refusal,
                format!(
                    "queue.yaml:3:{column}: {key}: with {bytes} bytes {otherwise}; give it at least 1MiB"
                )
            );
        }
    }
}

#[tokio::test]
async fn limits_of_memory_that_hold_nothing_or_mean_nothing_are_refused() {
    let memory = |config: &str| {
        let config = format!("  driver: memory\n  config: {{ {config} }}");
        with("  driver: memory", &config)
    };
    let no_size = |word: &str| {
        format!(
            ":3:25: expected a size such as 512MiB, a share such as 50%, or auto, found «{word}»"
        )
    };
    let cases = [
        (memory("max-memory: much"), no_size("much")),
        (memory("max-memory: 5 %%"), no_size("5 %%")),
        (memory("max-memory: 101%"), no_size("101%")),
        (
            memory("max-memory: 0"),
            ":3:25: max-memory: 0 bytes hold no item; give it at least 65536 bytes".to_owned(),
        ),
        (
            memory("max-memory: 1B"),
            ":3:25: max-memory: 1 bytes hold no item; give it at least 65536 bytes".to_owned(),
        ),
        (
            memory("overflow: drop-all"),
            ":3:23: unknown word «drop-all»; known here are reject, drop-oldest, drop-newest, drop-lowest-priority, \
             drop-nearest-expiry"
                .to_owned(),
        ),
        (
            memory("eviction: lru"),
            ":3:23: eviction: a queue reads each item once, so that none is worth keeping for a second time; choose an \
             overflow policy"
                .to_owned(),
        ),
        (
            memory("eviction: lfu"),
            ":3:23: eviction: a queue reads each item once, so that none is worth keeping for a second time; choose an \
             overflow policy"
                .to_owned(),
        ),
    ];

    check(&cases).await;
}

/// What the machine has is not the test's to know, and stands in the refusal.
#[tokio::test]
async fn more_memory_than_the_machine_has_is_refused_with_what_it_has() {
    let text = with(
        "  driver: memory",
        "  driver: memory\n  config: { max-memory: 1000TiB }",
    );

    let refusal = refusal_of(&text).await.to_string();

    let beginning = "queue.yaml:3:25: max-memory: 1099511627776000 bytes are more than the ";
    let end = " bytes of memory that there are; give it less, or a share such as 50%";
    let middle = refusal
        .strip_prefix(beginning)
        .and_then(|rest| rest.strip_suffix(end));
    let available = middle.and_then(|number| number.parse::<u64>().ok());
    assert!(available.is_some_and(|bytes| bytes > 0), "{refusal}");
}

#[tokio::test]
async fn what_is_no_configuration_is_refused_as_a_whole() {
    let empty = ": it is empty; say where metadata and items live, under queue-storage and partition-storage";
    let cases = [
        (String::new(), empty),
        ("# only a remark\n".to_owned(), empty),
        ("---\n".to_owned(), empty),
        ("~\n".to_owned(), empty),
        (
            "hello\n".to_owned(),
            ":1:1: expected a mapping, found «hello»",
        ),
        ("- a\n".to_owned(), ":1:1: expected a mapping, found a list"),
        (
            "{}\n".to_owned(),
            ":1:1: the key «queue-storage» is missing; add it",
        ),
        (
            "queue-storage:\n\tdriver: memory\n".to_owned(),
            ":2:2: this is not YAML: tabs disallowed within this context (block indentation)",
        ),
        (
            "queue-storage:\n  driver: m\n x: 1\n".to_owned(),
            ":3:2: this is not YAML: while parsing a block mapping, did not find expected key",
        ),
        (
            "a: [1, 2\n".to_owned(),
            ":1:4: this is not YAML: unclosed bracket '['",
        ),
        (
            with("driver: memory", "driver: !secret memory"),
            ":2:19: the tag «!secret» is not known; write the value without a tag",
        ),
        (
            format!("{GOOD}---\n{GOOD}"),
            ":7:1: a second document starts here; a configuration is one document",
        ),
        (
            format!("{GOOD}...\nrubbish: [\n"),
            ":8:1: the document has ended with «...»; remove what follows",
        ),
    ];

    check(&cases).await;
}

#[tokio::test]
async fn files_that_would_grow_are_refused() {
    let no_aliases =
        "anchors, aliases and merge keys are not allowed; write the value out where it is used";
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n";
    let deep = format!("x: {}{}\n", "[".repeat(40), "]".repeat(40));
    let cases = [
        (bomb.to_owned(), format!(":1:7: {no_aliases}")),
        ("a: *nowhere\n".to_owned(), format!(":1:4: {no_aliases}")),
        (
            with("  driver: memory", "  <<: { driver: memory }"),
            format!(":2:3: {no_aliases}"),
        ),
        (deep, ":1:19: it is nested deeper than 16 levels".to_owned()),
        (
            format!("x: [{}]\n", "1,".repeat(200_001)),
            ":1:399999: it has more than 200000 values".to_owned(),
        ),
        (
            "#".repeat(FILE_BYTES_MAX + 1),
            ": it is larger than 1048576 bytes, the most that a configuration may have".to_owned(),
        ),
    ];

    check(&cases).await;
}

#[tokio::test]
async fn values_that_do_not_fit_say_what_would() {
    let count = "a whole number from 1 to 4294967295";
    let cases = [
        (
            with("affinity: 1", "affinity: 0"),
            format!(":6:15: expected {count}, found 0"),
        ),
        (
            with("affinity: 1", "affinity: -3"),
            format!(":6:15: expected {count}, found -3"),
        ),
        (
            with("affinity: 1", "affinity: 5000000000"),
            format!(":6:15: expected {count}, found 5000000000"),
        ),
        (
            with("affinity: 1", "affinity: much"),
            format!(":6:15: expected {count}, found «much»"),
        ),
        (
            with("affinity: 1", "affinity: 1.5"),
            format!(":6:15: expected {count}, found 1.5"),
        ),
        (
            with("driver: memory", "driver: [memory]"),
            ":2:11: expected a text, found a list".to_owned(),
        ),
        (
            with("driver: memory", "driver:"),
            ":2:9: expected a text, found nothing".to_owned(),
        ),
        (
            format!("{GOOD}queues: [{{ name: q, bytes-max: much }}]\n"),
            ":7:32: expected a size such as 512MiB (units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), found «much»"
                .to_owned(),
        ),
        (
            format!("{GOOD}allow-mixed-durability: yes\n"),
            ":7:25: expected true or false, found «yes»".to_owned(),
        ),
        (
            format!("{GOOD}queues: [{{ name: q, partitions: 0 }}]\n"),
            ":7:33: expected a whole number from 1 to 1024, found 0".to_owned(),
        ),
        (
            format!("{GOOD}queues: [{{ name: q, dedup-for: 30 }}]\n"),
            ":7:32: expected a duration with its unit, such as 30s, 10m or 250ms, found 30".to_owned(),
        ),
        (
            format!("{GOOD}queues: [{{ name: q, requeue: 1 }}]\n"),
            ":7:30: expected one of tail, original, found 1".to_owned(),
        ),
        (
            format!("{GOOD}queues: [{{ name: '' }}]\n"),
            ":7:18: cannot accept queue name: its 0 bytes are outside of the limit of 1 to 512".to_owned(),
        ),
        (
            format!("{GOOD}queues: [{{ name: {} }}]\n", "q".repeat(513)),
            ":7:18: cannot accept queue name: its 513 bytes are outside of the limit of 1 to 512".to_owned(),
        ),
    ];

    check(&cases).await;
}

#[tokio::test]
async fn names_are_given_once() {
    let cases = [
        (
            with("  driver: memory", "  driver: memory\n  driver: memory"),
            ":3:3: the key «driver» stands here a second time; remove one",
        ),
        (
            format!("{GOOD}  - {{ name: memory-01, driver: memory }}\n"),
            ":7:13: the storage «memory-01» stands in line 4 already; give each a name of its own",
        ),
        (
            format!("{GOOD}queues: [{{ name: \"a\\nb\" }}, {{ name: \"a\\nb\" }}]\n"),
            ":7:36: the queue «a\\nb» is declared in line 7 already; remove one",
        ),
    ];

    check(&cases).await;
}

#[tokio::test]
async fn items_need_a_storage_with_a_name() {
    let without = "queue-storage:\n  driver: memory\n";
    let cases = [
        (
            without.to_owned(),
            ":1:1: the key «partition-storage» is missing; add it",
        ),
        (
            format!("{without}partition-storage:\n"),
            ":3:18: expected a list, found nothing",
        ),
        (
            format!("{without}partition-storage: []\n"),
            ":3:20: no storage is named here; items need at least one",
        ),
        (
            with("name: memory-01", "name: ''"),
            ":4:11: a storage has a name of 1 to 256 bytes, this one has 0",
        ),
        (
            with("name: memory-01\n    driver: memory", "name: a"),
            ":4:5: the key «driver» is missing; add it",
        ),
    ];

    check(&cases).await;
}

#[tokio::test]
async fn positions_count_characters_and_survive_windows_line_ends_and_a_byte_order_mark() {
    let text = format!("\u{feff}{}", with("affinity: 1", "größe: 1")).replace('\n', "\r\n");

    let error = refusal_of(&text).await;

    assert_eq!((error.line(), error.column()), (Some(6), Some(5)));
    assert_eq!(error.found(), Some("größe"));
}

#[tokio::test]
async fn files_that_cannot_be_read_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let large = std::fs::File::create(at("large.yaml")).unwrap();
    large.set_len(100 << 20).unwrap();
    std::fs::write(at("latin1.yaml"), b"queue-storage: # gr\xf6\xdfe\n").unwrap();

    let cases = [
        (
            at("missing.yaml"),
            ": there is no such file; check the path",
        ),
        (
            dir.path().to_owned(),
            ": it is a directory; name the YAML file in it",
        ),
        (
            at("large.yaml"),
            ": it is larger than 1048576 bytes, the most that a configuration may have",
        ),
        (
            at("latin1.yaml"),
            ":1:20: it is not UTF-8 from here on; save it as UTF-8",
        ),
    ];

    for (path, expected) in cases {
        let error = storage_config::open(&path).await.unwrap_err();

        assert_eq!(error.to_string(), format!("{}{expected}", path.display()));
    }
}
