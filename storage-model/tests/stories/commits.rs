use storage_api::{
    CommitOutcome, CommitRequest, Committed, Count, Direction, ErrorKind, ItemBatch, ItemId, Key,
    KeyRange, Mode, Namespace, NewItem, PartitionConfig, PartitionId, Receipts, Refusal, Result,
    ScanRequest, StepFailure, Timestamp, Value, Version,
};
use storage_model::Model;

use crate::story::{Story, at, count, ids};

fn space(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn key(key: &str) -> Key {
    Key::try_from(key).unwrap()
}

fn value(value: &str) -> Value {
    Value::try_from(value).unwrap()
}

fn batch(payloads: &[&str]) -> ItemBatch {
    let mut batch = ItemBatch::new();
    for payload in payloads {
        batch.push(NewItem::new(*payload)).unwrap();
    }
    batch
}

/// Commits what `build` asks for at second `now`.
fn commit(
    model: &mut Model,
    now: i64,
    build: impl FnOnce(&mut CommitRequest) -> Result<()>,
) -> CommitOutcome {
    let mut request = CommitRequest::new(at(now));
    build(&mut request).unwrap();
    model.commit(request).unwrap()
}

fn put(model: &mut Model, name: &str, keys: &[&str], expires_at: Option<Timestamp>) -> Version {
    let outcome = commit(model, 0, |request| {
        for name_of_key in keys {
            request.put(&space(name), &key(name_of_key), value("v"), expires_at)?;
        }
        Ok(())
    });
    match outcome {
        CommitOutcome::Committed(Committed {
            version: Some(version),
            ..
        }) => version,
        other => panic!("expected a version, got {other:?}"),
    }
}

fn scanned(model: &Model, now: i64, request: ScanRequest) -> Vec<String> {
    let page = model.scan(at(now), request).unwrap();
    page.items
        .iter()
        .map(|entry| entry.key.to_string())
        .collect()
}

#[test]
fn all_writes_of_a_commit_have_one_version_and_the_next_a_larger() {
    let mut model = Model::new();

    let first = put(&mut model, "n", &["a", "b"], None);
    let second = put(&mut model, "n", &["a"], None);

    let version_of = |name| {
        model
            .get(at(0), &space("n"), &key(name))
            .unwrap()
            .unwrap()
            .version
    };
    assert_eq!((version_of("a"), version_of("b")), (second, first));
    assert!(second > first);
}

#[test]
fn a_failed_check_names_what_was_found_and_applies_nothing() {
    let mut story = Story::plain();
    let model = &mut story.model;
    let there = put(model, "n", &["there"], None);
    let before = model.clone();

    let outcome = commit(model, 0, |request| {
        request.check_version(&space("n"), &key("there"), there)?;
        request.check_absent(&space("n"), &key("there"))?;
        request.put(&space("n"), &key("x"), value("v"), None)?;
        request.produce(&story.home, batch(&["x"]))
    });

    let expected = Refusal::Check {
        index: 1,
        key: key("there"),
        found: Some(there),
    };
    assert_eq!(outcome, CommitOutcome::Refused(expected));
    assert_eq!(story.model, before);
}

#[test]
fn a_range_check_sees_phantoms_losses_and_changes() {
    let mut model = Model::new();
    let old = put(&mut model, "n", &["b", "d"], None);
    let seen = vec![(key("b"), old), (key("d"), old)];
    let check = |model: &mut Model| {
        commit(model, 0, |request| {
            request.check_range(&space("n"), KeyRange::all(), seen.clone())
        })
    };
    let refused = |name, found| {
        let key = key(name);
        CommitOutcome::Refused(Refusal::Check {
            index: 0,
            key,
            found,
        })
    };

    assert_eq!(
        check(&mut model),
        CommitOutcome::Committed(Committed::default())
    );
    let new = put(&mut model, "n", &["d"], None);
    assert_eq!(check(&mut model), refused("d", Some(new)));
    let phantom = put(&mut model, "n", &["c"], None);
    assert_eq!(check(&mut model), refused("c", Some(phantom)));
    commit(&mut model, 0, |request| {
        request.delete(&space("n"), &key("b"))
    });
    assert_eq!(check(&mut model), refused("b", None));
}

#[test]
fn expired_entries_are_absent_and_purged_in_order() {
    let mut model = Model::new();
    put(&mut model, "z", &["later"], Some(at(20)));
    put(&mut model, "z", &["a"], Some(at(10)));
    put(&mut model, "b", &["z"], Some(at(10)));
    put(
        &mut model,
        "b",
        &["first to be stored, last to go"],
        Some(at(20)),
    );
    put(&mut model, "b", &["stays"], None);

    assert!(model.get(at(9), &space("z"), &key("a")).unwrap().is_some());
    assert!(model.get(at(10), &space("z"), &key("a")).unwrap().is_none());
    let outcome = commit(&mut model, 10, |request| {
        request.check_absent(&space("z"), &key("a"))
    });
    assert!(matches!(outcome, CommitOutcome::Committed(_)));
    let purged = model.purge(at(20), Count::ONE).unwrap();
    assert_eq!((purged.removed, purged.more), (1, true));
    let left = |model: &Model| -> Vec<String> {
        let entries = model.contents().metadata.iter();
        entries.map(|entry| entry.entry.key.to_string()).collect()
    };
    assert_eq!(
        left(&model),
        ["first to be stored, last to go", "stays", "a", "later"]
    );
    let purged = model.purge(at(20), Count::ONE).unwrap();
    assert_eq!((purged.removed, purged.more), (1, true));
    assert_eq!(
        left(&model),
        ["first to be stored, last to go", "stays", "later"]
    );
    let purged = model.purge(at(20), count(2)).unwrap();
    assert_eq!((purged.removed, purged.more), (2, false));
    assert_eq!(model.purge(at(20), Count::MAX).unwrap().removed, 0);
}

#[test]
fn scans_page_both_ways_within_their_range_and_namespace() {
    let mut model = Model::new();
    put(&mut model, "n", &["a", "b", "c", "d"], None);
    put(&mut model, "n2", &["b"], None);
    put(&mut model, "n3", &["b"], Some(at(-1)));
    let range = KeyRange::new(Some(key("b")), Some(key("d")));
    let all = || ScanRequest::new(space("n"), KeyRange::all());
    let back = || all().direction(Direction::Backward).entries_max(count(3));

    assert_eq!(
        scanned(&model, 0, ScanRequest::new(space("n"), range)),
        ["b", "c"]
    );
    assert_eq!(scanned(&model, 0, back()), ["d", "c", "b"]);
    let cursor = model.scan(at(0), back()).unwrap().next.unwrap();
    assert_eq!(scanned(&model, 0, back().after(cursor.clone())), ["a"]);
    let empty = KeyRange::new(Some(key("c")), Some(key("c")));
    assert!(scanned(&model, 0, ScanRequest::new(space("n"), empty)).is_empty());
    let error = model.scan(at(0), all().after(cursor)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let page = model.namespaces(None, count(1)).unwrap();
    let rest = model.namespaces(page.next.as_ref(), count(2)).unwrap();
    assert_eq!(page.items, [space("n")]);
    let expected = vec![space("n2"), space("n3")];
    assert_eq!((rest.items, rest.next), (expected, None));
    let all = model.namespaces(None, Count::MAX).unwrap();
    assert_eq!(all.items.len(), 3, "each once");
}

#[test]
fn a_cursor_moves_with_the_items_it_stands_for() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("done"), NewItem::new("gone")]);
    let held = story.lease(0, 9, 1);

    let outcome = commit(&mut story.model, 3, |request| {
        request.put(&space("n"), &key("cursor"), value("42"), None)?;
        request.complete(&story.home, Receipts::one(held[0]))?;
        request.delete_items(&story.home, ids(&[2]))?;
        request.produce(&story.home, batch(&["x", "y"]))
    });

    let CommitOutcome::Committed(committed) = outcome else {
        panic!("expected a commit, got {outcome:?}");
    };
    assert!(committed.version.is_some());
    let produced: Vec<_> = committed.produced[0].ids().map(ItemId::get).collect();
    assert_eq!(produced, [3, 4]);
    assert_eq!(story.ready(), [3, 4]);
    assert_eq!(story.item(3).unwrap().record.view().created_at(), at(3));
}

#[test]
fn a_step_is_judged_by_what_was_there_and_by_what_went_before() {
    let mut story = Story::plain();
    story.produce(0, [NewItem::new("a"), NewItem::new("b")]);
    let held = story.lease(0, 9, 2);
    story.maintain(9);
    let again = story.lease(9, 19, 1);
    let before = story.model.clone();
    let home = story.home.clone();
    let refused = |index, entry, found| {
        CommitOutcome::Refused(Refusal::Step {
            index,
            entry,
            found,
        })
    };

    let lost = commit(&mut story.model, 0, |request| {
        request.complete(&home, Receipts::new(vec![again[0], held[1]])?)
    });
    assert_eq!(lost, refused(0, 1, StepFailure::LeaseLost));
    let twice = commit(&mut story.model, 0, |request| {
        request.complete(&home, Receipts::one(again[0]))?;
        request.complete(&home, Receipts::one(again[0]))
    });
    assert_eq!(twice, refused(1, 0, StepFailure::NotFound));
    let gone = commit(&mut story.model, 0, |request| {
        request.complete(&home, Receipts::new(vec![again[0], held[0]])?)
    });
    assert_eq!(gone, refused(0, 1, StepFailure::NotFound));
    let unborn = commit(&mut story.model, 0, |request| {
        request.produce(&home, batch(&["x"]))?;
        request.delete_items(&home, ids(&[3]))
    });
    assert_eq!(unborn, refused(1, 0, StepFailure::NotFound));
    assert_eq!(story.model, before);
}

#[test]
fn an_earlier_step_makes_room_and_frees_its_key() {
    let mut story = Story::new(PartitionConfig::default().with_items_max(1));
    story.produce(0, [NewItem::new("a").dedup_key("k")]);
    let home = story.home.clone();
    let again = || {
        let mut batch = ItemBatch::new();
        batch.push(NewItem::new("b").dedup_key("k")).unwrap();
        batch
    };

    let outcome = commit(&mut story.model, 0, |request| {
        request.delete_items(&home, ids(&[1]))?;
        request.produce(&home, again())
    });
    assert!(matches!(outcome, CommitOutcome::Committed(_)));
    let before = story.model.clone();
    let mut request = CommitRequest::new(at(0));
    request.produce(&home, batch(&["c"])).unwrap();
    request.delete_items(&home, ids(&[2])).unwrap();
    let error = story.model.commit(request).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    assert_eq!(story.model, before);
}

#[test]
fn refusals_of_a_commit_come_in_their_order() {
    let mut story = Story::new(PartitionConfig::default().with_mode(Mode::Frozen));
    let missing = PartitionId::new("missing", 0).unwrap();
    let mut request = CommitRequest::new(at(0));
    request
        .check_version(&space("n"), &key("k"), Version::MIN)
        .unwrap();
    request.produce(&story.home, ItemBatch::new()).unwrap();
    request.produce(&missing, ItemBatch::new()).unwrap();
    let refused = story.model.commit(request.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);

    request.produce(&story.home, batch(&["x"])).unwrap();
    let refused = story.model.commit(request.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);

    story.model.close().unwrap();
    let refused = story.model.commit(request).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
}
