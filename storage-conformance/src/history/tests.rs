//! Histories written by hand: which have an order, and which have none.

use storage_api::{
    CommitOutcome, CommitRequest, Committed, CompleteOutcome, Error, ErrorKind, ItemBatch,
    ItemEntry, ItemId, ItemState, LeaseId, LeaseRequest, ListRequest, MetadataEntry, NewItem,
    Operation, Outcome, PartitionConfig, PartitionId, PartitionInfo, Position, Produced, Receipt,
    Receipts, Refusal, SealedBatch, States, Timestamp, Version,
};

use super::Found;
use super::call::{Call, Ending};
use super::choose::Subject;
use super::judge::{Evidence, Judgement, judge, judge_within};
use super::perform::{Manner, perform};
use super::request::{Answer, Listed, Request};
use super::shrink::shrink;
use crate::env::{at, count, key, namespace, partition_id, value};
use crate::record::RecordDirectory;

/// A history that grows call by call.
#[derive(Default, Clone)]
struct Script(Vec<Call>);

impl Script {
    /// A history that begins with that partition.
    fn on(ids: &[&PartitionId]) -> Self {
        let mut script = Self::default();
        for (index, id) in ids.iter().enumerate() {
            let version = version(index as u64 + 1);
            let info = PartitionInfo {
                id: (*id).clone(),
                created: version,
                revision: version,
                config: PartitionConfig::default(),
            };
            let request = Request::CreatePartition((*id).clone(), PartitionConfig::default());
            let tick = index as u64 * 2;
            script = script.call(0, tick..tick + 1, request, Answer::Partition(info));
        }
        script
    }

    fn end(mut self, lane: usize, called: u64, request: Request, ending: Ending) -> Self {
        self.0.push(Call {
            lane,
            request,
            called,
            is_short: false,
            ending,
        });
        self
    }

    fn call(
        self,
        lane: usize,
        ticks: std::ops::Range<u64>,
        request: Request,
        answer: Answer,
    ) -> Self {
        self.end(
            lane,
            ticks.start,
            request,
            Ending::Answered(ticks.end, Box::new(answer)),
        )
    }

    fn has_order(&self) -> bool {
        self.is_ordered(true)
    }

    fn is_ordered(&self, is_strict: bool) -> bool {
        match judge(&self.0, is_strict) {
            Judgement::Ordered(_) => true,
            Judgement::Disordered(_) => false,
            Judgement::Undecided => panic!("the search was given up"),
        }
    }
}

fn home() -> PartitionId {
    partition_id("h", 1)
}

fn other() -> PartitionId {
    partition_id("h", 10)
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn id(number: u64) -> ItemId {
    ItemId::new(number).unwrap()
}

fn batch(name: &str) -> ItemBatch {
    let mut batch = ItemBatch::new();
    batch.push(NewItem::new(name).reference(name)).unwrap();
    batch
}

fn sealed(name: &str) -> SealedBatch {
    batch(name).seal(at(0))
}

fn produce(partition: &PartitionId, name: &str) -> Request {
    Request::Produce(partition.clone(), sealed(name))
}

fn stored(first: u64) -> Answer {
    Answer::Produced(Produced::new(Some(id(first)), 1, Vec::new()))
}

fn lease() -> Request {
    Request::Lease(home(), LeaseRequest::new(at(0), Timestamp::MAX, count(1)))
}

fn receipt(item: u64, lease: u64) -> Receipt {
    Receipt {
        item: id(item),
        lease: LeaseId::new(lease).unwrap(),
    }
}

fn leased(receipt: Receipt, name: &str) -> Answer {
    let state = ItemState::Leased {
        position: Position::new(receipt.item.get()).unwrap(),
        lease: receipt.lease,
        deadline: Timestamp::MAX,
        holder: None,
    };
    let mut entry = ItemEntry::new(receipt.item, sealed(name).shared_record(0), state);
    entry.attempts = 1;
    Answer::Leased(vec![entry])
}

fn nothing_leased() -> Answer {
    Answer::Leased(Vec::new())
}

fn complete(receipt: Receipt) -> Request {
    Request::Complete(home(), Receipts::one(receipt))
}

fn completed(outcome: CompleteOutcome) -> Answer {
    Answer::Completed(vec![outcome])
}

fn list(partition: &PartitionId) -> Request {
    Request::ListItems(partition.clone(), ListRequest::by_id(States::ALL))
}

fn ready(items: &[(u64, &str)]) -> Answer {
    let entries = items.iter().map(|(number, name)| {
        let position = Position::new(*number).unwrap();
        let record = sealed(name).shared_record(0);
        ItemEntry::new(id(*number), record, ItemState::Ready { position })
    });
    Answer::Items(Listed {
        items: entries.collect(),
        has_next: false,
    })
}

fn put(name: &str, content: &str) -> CommitRequest {
    let mut request = CommitRequest::new(at(0));
    request
        .put(&namespace("n"), &key(name), value(content), None)
        .unwrap();
    request
}

fn checked(mut request: CommitRequest, name: &str, number: u64) -> Request {
    request
        .check_version(&namespace("n"), &key(name), version(number))
        .unwrap();
    Request::Commit(request)
}

fn committed(number: u64) -> Answer {
    Answer::Commit(CommitOutcome::Committed(Committed {
        version: Some(version(number)),
        produced: Vec::new(),
    }))
}

fn get(name: &str) -> Request {
    Request::Get(at(0), namespace("n"), key(name))
}

fn found(name: &str, content: &str, number: u64) -> Answer {
    Answer::Entry(Some(MetadataEntry {
        key: key(name),
        value: value(content),
        version: version(number),
        expires_at: None,
    }))
}

fn unknown(tick: u64) -> Ending {
    let error = Error::new(
        ErrorKind::Internal,
        Operation::Produce,
        &home(),
        "nobody knows",
    );
    Ending::of(tick, Err(error.with_outcome(Outcome::Unknown)))
}

#[test]
fn calls_that_overlap_may_stand_in_either_order() {
    let script = Script::on(&[&home()])
        .call(1, 10..20, produce(&home(), "a"), stored(1))
        .call(2, 11..19, lease(), nothing_leased());
    assert!(script.has_order());

    let script = Script::on(&[&home()])
        .call(1, 10..20, produce(&home(), "a"), stored(1))
        .call(2, 11..19, lease(), leased(receipt(1, 1), "a"));
    assert!(script.has_order());
}

#[test]
fn a_stale_read_has_no_order() {
    let script = Script::on(&[&home()])
        .call(1, 10..11, produce(&home(), "a"), stored(1))
        .call(2, 12..13, list(&home()), ready(&[]));

    assert!(!script.has_order());
}

#[test]
fn a_read_that_goes_back_has_no_order() {
    let script = Script::on(&[&home()])
        .call(1, 10..40, produce(&home(), "a"), stored(1))
        .call(2, 11..12, list(&home()), ready(&[(1, "a")]))
        .call(3, 13..14, list(&home()), ready(&[]));

    assert!(!script.has_order());
}

#[test]
fn an_item_that_is_leased_to_two_has_no_order() {
    let script = |second| {
        Script::on(&[&home()])
            .call(1, 10..11, produce(&home(), "a"), stored(1))
            .call(1, 12..20, lease(), leased(receipt(1, 1), "a"))
            .call(2, 13..19, lease(), second)
    };

    assert!(!script(leased(receipt(1, 2), "a")).has_order());
    assert!(!script(leased(receipt(1, 1), "a")).has_order());
    assert!(script(nothing_leased()).has_order());
}

#[test]
fn a_receipt_that_is_done_twice_has_no_order() {
    let script = |second| {
        Script::on(&[&home()])
            .call(1, 10..11, produce(&home(), "a"), stored(1))
            .call(1, 12..13, lease(), leased(receipt(1, 1), "a"))
            .call(
                1,
                14..20,
                complete(receipt(1, 1)),
                completed(CompleteOutcome::Done),
            )
            .call(2, 15..19, complete(receipt(1, 1)), completed(second))
    };

    assert!(!script(CompleteOutcome::Done).has_order());
    assert!(script(CompleteOutcome::NotFound).has_order());
}

#[test]
fn items_are_leased_in_the_order_of_productions_that_do_not_overlap() {
    let script = |first_until| {
        Script::on(&[&home()])
            .call(1, 10..first_until, produce(&home(), "a"), stored(1))
            .call(2, 12..15, produce(&home(), "b"), stored(2))
            .call(2, 16..17, lease(), leased(receipt(2, 1), "b"))
    };

    assert!(!script(11).has_order());
    // Its id says that it came first, but for a driver that need not keep the strict order.
    assert!(!script(18).has_order());
    assert!(script(18).is_ordered(false));
    assert!(!script(11).is_ordered(false));
}

#[test]
fn a_lost_update_has_no_order() {
    let script = |second| {
        Script::default()
            .call(1, 10..11, Request::Commit(put("a", "0")), committed(1))
            .call(1, 12..13, get("a"), found("a", "0", 1))
            .call(2, 12..13, get("a"), found("a", "0", 1))
            .call(1, 14..20, checked(put("a", "1"), "a", 1), committed(2))
            .call(2, 15..19, checked(put("a", "2"), "a", 1), second)
    };
    let refused = |found: u64| {
        Answer::Commit(CommitOutcome::Refused(Refusal::Check {
            index: 0,
            key: key("a"),
            found: Some(version(found)),
        }))
    };

    assert!(!script(committed(3)).has_order());
    assert!(script(refused(2)).has_order());
    assert!(!script(refused(9)).has_order());
}

#[test]
fn a_write_skew_has_no_order() {
    let script = Script::default()
        .call(1, 10..11, Request::Commit(put("a", "0")), committed(1))
        .call(1, 12..13, Request::Commit(put("b", "0")), committed(2))
        .call(1, 14..20, checked(put("b", "1"), "a", 1), committed(3))
        .call(2, 15..19, checked(put("a", "1"), "b", 2), committed(4));

    assert!(!script.has_order());
}

#[test]
fn a_commit_that_is_seen_half_has_no_order() {
    let mut request = CommitRequest::new(at(0));
    request.produce(&home(), batch("a")).unwrap();
    request.produce(&other(), batch("b")).unwrap();
    let both = Answer::Commit(CommitOutcome::Committed(Committed {
        version: None,
        produced: [1, 1]
            .map(|first| Produced::new(Some(id(first)), 1, Vec::new()))
            .into(),
    }));
    let script = |seen_there| {
        Script::on(&[&home(), &other()])
            .call(1, 10..30, Request::Commit(request.clone()), both.clone())
            .call(2, 11..12, list(&home()), ready(&[(1, "a")]))
            .call(2, 13..14, list(&other()), seen_there)
    };

    assert!(!script(ready(&[])).has_order());
    assert!(script(ready(&[(1, "b")])).has_order());
}

#[test]
fn an_unknown_outcome_may_have_applied_late_or_never() {
    let script = || {
        Script::on(&[&home()])
            .end(1, 10, produce(&home(), "a"), unknown(11))
            .call(1, 12..13, list(&home()), ready(&[]))
    };

    assert!(script().has_order());
    // Late, after a look that did not see it.
    let late = script().call(1, 14..15, list(&home()), ready(&[(7, "a")]));
    assert!(late.has_order());
    // But once, and for good.
    let gone = script()
        .call(1, 14..15, list(&home()), ready(&[(7, "a")]))
        .call(1, 16..17, list(&home()), ready(&[]));
    assert!(!gone.has_order());
    let twice = script().call(1, 14..15, list(&home()), ready(&[(7, "a"), (8, "a")]));
    assert!(!twice.has_order());
}

#[test]
fn a_call_that_failed_has_changed_nothing() {
    let unavailable = |outcome| {
        let error = Error::new(
            ErrorKind::Unavailable,
            Operation::Produce,
            &home(),
            "not now",
        );
        Ending::of(11, Err(error.with_outcome(outcome)))
    };
    let script = |ending, seen: &[(u64, &str)]| {
        Script::on(&[&home()])
            .end(1, 10, produce(&home(), "a"), ending)
            .call(1, 12..13, list(&home()), ready(seen))
    };

    let failed = || unavailable(Outcome::NotApplied).or_failed();
    assert!(script(failed(), &[]).has_order());
    assert!(!script(failed(), &[(1, "a")]).has_order());
    // A refusal must be explained where nothing fails for reasons of its own.
    assert!(!script(unavailable(Outcome::NotApplied), &[]).has_order());
    let unknown = || unavailable(Outcome::Unknown).or_failed();
    assert!(script(unknown(), &[]).has_order());
    assert!(script(unknown(), &[(1, "a")]).has_order());
}

#[test]
fn a_commit_finds_its_partitions_or_does_nothing() {
    let mut request = put("k", "1");
    request.produce(&home(), batch("a")).unwrap();
    request.produce(&other(), batch("b")).unwrap();
    let entry_of = |answer| {
        Script::on(&[&home(), &other()])
            .call(1, 10..20, Request::DeletePartition(other()), Answer::Done)
            .end(2, 11, Request::Commit(request.clone()), answer)
    };
    let refused = || {
        let error = Error::new(
            ErrorKind::NotFound,
            Operation::Commit,
            &other(),
            "there is none",
        );
        Ending::of(19, Err(error))
    };
    let nothing = Answer::Entry(None);

    let gone = entry_of(refused()).call(1, 21..22, list(&home()), ready(&[]));
    assert!(gone.clone().call(1, 23..24, get("k"), nothing).has_order());
    // A part of it has applied.
    assert!(
        !gone
            .call(1, 23..24, get("k"), found("k", "1", 3))
            .has_order()
    );
    let part = entry_of(refused()).call(1, 21..22, list(&home()), ready(&[(1, "a")]));
    assert!(!part.has_order());
    // It came before the partition went.
    let both = Committed {
        version: Some(version(3)),
        produced: [1, 1]
            .map(|first| Produced::new(Some(id(first)), 1, Vec::new()))
            .into(),
    };
    let both = Answer::Commit(CommitOutcome::Committed(both));
    let before = entry_of(Ending::Answered(19, Box::new(both))).call(
        1,
        21..22,
        list(&home()),
        ready(&[(1, "a")]),
    );
    assert!(
        before
            .clone()
            .call(1, 23..24, get("k"), found("k", "1", 3))
            .has_order()
    );
    // And nothing of it comes back with the partition.
    let not_found = Error::new(
        ErrorKind::NotFound,
        Operation::ListItems,
        &other(),
        "there is none",
    );
    let looked = before
        .clone()
        .end(1, 23, list(&other()), Ending::of(24, Err(not_found)));
    assert!(looked.has_order());
    let back = before.call(1, 23..24, list(&other()), ready(&[(1, "b")]));
    assert!(!back.has_order());
}

#[test]
fn a_search_that_takes_too_long_is_given_up() {
    let script = Script::on(&[&home()])
        .call(1, 10..20, produce(&home(), "a"), stored(1))
        .call(2, 11..19, lease(), nothing_leased());

    // The creation, and each of the others behind it.
    let given_up = judge_within(2, &script.0, true);
    assert!(matches!(given_up, Judgement::Undecided), "{given_up:?}");
    assert!(matches!(
        judge_within(3, &script.0, true),
        Judgement::Ordered(_)
    ));
}

#[test]
fn a_dropped_call_is_settled_before_the_next_begins() {
    let script =
        || Script::on(&[&home(), &other()]).end(1, 10, produce(&home(), "a"), Ending::Dropped(11));

    let never = script().call(1, 12..13, list(&home()), ready(&[]));
    assert!(never.has_order());
    let at_once = script().call(1, 12..13, list(&home()), ready(&[(1, "a")]));
    assert!(at_once.has_order());
    let late = never.call(1, 14..15, list(&home()), ready(&[(1, "a")]));
    assert!(!late.has_order());
    // Those who looked before it was dropped may have come first.
    let overlapping = script().call(2, 9..12, list(&home()), ready(&[])).call(
        1,
        14..15,
        list(&home()),
        ready(&[(1, "a")]),
    );
    assert!(overlapping.has_order());
}

#[test]
fn a_lease_that_nobody_was_told_holds_its_item() {
    let script = |seen: Answer| {
        Script::on(&[&home()])
            .call(1, 10..11, produce(&home(), "a"), stored(1))
            .end(1, 12, lease(), Ending::Dropped(13))
            .call(1, 14..15, list(&home()), seen)
    };
    let held = |number| match leased(receipt(1, number), "a") {
        Answer::Leased(items) => Answer::Items(Listed {
            items,
            has_next: false,
        }),
        other => other,
    };

    assert!(script(ready(&[(1, "a")])).has_order());
    assert!(script(held(5)).has_order());
    let same = script(held(5)).call(1, 16..17, list(&home()), held(5));
    assert!(same.has_order());
    let changed = script(held(5)).call(1, 16..17, list(&home()), held(6));
    assert!(!changed.has_order());
}

#[test]
fn a_version_that_nobody_was_told_may_be_checked() {
    let script = |content| {
        Script::default()
            .end(1, 10, Request::Commit(put("a", "1")), unknown(11))
            .call(2, 12..13, get("a"), found("a", content, 6))
            .call(2, 14..15, checked(put("a", "2"), "a", 6), committed(7))
            .call(2, 16..17, get("a"), found("a", "2", 7))
    };

    assert!(script("1").has_order());
    assert!(!script("other").has_order());
}

#[test]
fn a_number_that_is_given_twice_has_no_order() {
    let script = Script::on(&[&home(), &other()])
        .call(1, 10..11, produce(&home(), "a"), stored(1))
        .call(1, 12..13, produce(&home(), "b"), stored(1));
    assert!(!script.has_order());

    // Ids of two partitions have nothing to do with each other; the later of one partition is larger.
    let script = Script::on(&[&home(), &other()])
        .call(1, 10..11, produce(&home(), "a"), stored(5))
        .call(1, 12..13, produce(&other(), "b"), stored(1));
    assert!(script.has_order());
    let script = Script::on(&[&home()])
        .call(1, 10..11, produce(&home(), "a"), stored(5))
        .call(1, 12..13, produce(&home(), "b"), stored(1));
    assert!(!script.has_order());
}

#[test]
fn what_another_call_holds_may_be_passed_over_without_strict_order() {
    let script = |completed_until| {
        Script::on(&[&home()])
            .call(1, 10..11, produce(&home(), "a"), stored(1))
            .call(1, 12..13, produce(&home(), "b"), stored(2))
            .call(1, 14..15, lease(), leased(receipt(1, 1), "a"))
            .call(
                1,
                20..completed_until,
                Request::Release(home(), Receipts::one(receipt(1, 1))),
                Answer::Released(vec![storage_api::ReleaseOutcome::Released]),
            )
            .call(2, 22..23, list(&home()), ready(&[(1, "a"), (2, "b")]))
            .call(2, 24..25, lease(), leased(receipt(2, 2), "b"))
    };

    assert!(!script(30).has_order());
    assert!(script(30).is_ordered(false));
    assert!(!script(21).is_ordered(false));
}

/// A history with more calls than it takes to see that it has no order.
fn disordered() -> (Vec<Call>, Evidence) {
    let script = Script::on(&[&home(), &other()])
        .call(1, 10..11, produce(&home(), "a"), stored(1))
        .call(2, 10..11, produce(&other(), "elsewhere"), stored(1))
        .call(2, 12..13, list(&home()), ready(&[(1, "a")]))
        .call(2, 14..15, list(&home()), ready(&[]))
        .call(1, 16..17, produce(&home(), "later"), stored(2))
        .call(2, 18..19, list(&home()), ready(&[(1, "a"), (2, "later")]));
    let Judgement::Disordered(evidence) = judge(&script.0, true) else {
        panic!("it has an order");
    };
    (script.0, evidence)
}

#[test]
fn a_history_is_shrunk_to_what_has_no_order() {
    let (calls, evidence) = disordered();

    let finding = shrink(&calls, evidence, true);

    // The creation, the production, and the look that does not see it.
    let verbs: Vec<_> = finding
        .calls
        .iter()
        .map(|call| call.request.verb())
        .collect();
    assert_eq!(verbs, ["create", "produce", "list items"]);
    assert_eq!(finding.evidence.order.len(), 2);
    assert_eq!(finding.evidence.stuck.len(), 1);
}

#[test]
fn a_history_without_an_order_is_drawn_in_the_file_that_it_names() {
    let scratch = tempfile::tempdir().unwrap();
    let records = RecordDirectory::at(scratch.path().join("mine"));
    let (calls, evidence) = disordered();
    let found = Found::Disorder {
        calls,
        evidence,
        is_strict: true,
    };

    let told = found.report("mine", &records, "history-seed-7", "the command");

    assert!(told.contains("repeat it with: the command"), "{told}");
    let named = told
        .lines()
        .find_map(|line| line.strip_prefix("it is drawn in "));
    let file = std::path::Path::new(named.unwrap());
    assert_eq!(
        file,
        scratch.path().join("mine/histories/history-seed-7.html")
    );
    let page = std::fs::read_to_string(file).unwrap();
    assert!(page.contains("<h1>history-seed-7 of mine</h1>"), "{page}");
    assert!(page.contains("<code>the command</code>"), "{page}");
    let drawn = page.matches("<div class=\"call").count();
    assert_eq!(
        drawn, 3,
        "the creation, the production, and the look: {page}"
    );
}

/// Parts of calls and answers that must be seen often, or the histories look at too little.
const SEEN: &[&str] = &[
    "→ id ",
    "duplicate of",
    "[Done",
    "NotFound",
    "LeaseLost",
    "Extended",
    "Released",
    "Ready",
    "Scheduled",
    "Dead(Rejected)",
    "Dead(AttemptsExhausted)",
    "Dropped(",
    "Revived",
    "Deleted",
    "ready 1",
    "expired 1",
    "updated, ",
    "conflict, ",
    "committed, version",
    "refused by check",
    "refused by entry",
    "if a range of",
    "already exists: cannot create",
    "not found: cannot",
    "not found: cannot commit",
    "capacity exceeded: cannot",
    "unavailable: cannot produce",
    "→ dropped",
    "; more",
    " by a shortcut",
];

#[tokio::test]
async fn histories_reach_every_outcome_and_calls_overlap() {
    use crate::harness::{Harness as _, Spot};

    let harness = crate::reference::ReferenceHarness::new();
    let mut texts = Vec::new();
    let (mut overlapping, mut all) = (0, 0);
    for seed in 0..100 {
        for subject in Subject::ALL {
            let manner = Manner {
                subject,
                is_on_threads: false,
                has_drops: seed % 3 == 0,
                has_faults: false,
            };
            let place = harness.provision(&Spot::new("self")).await.unwrap();
            let calls = perform(place.open().await.unwrap(), seed, manner).await;
            all += calls.len();
            let overlaps = |call: &&Call| {
                calls
                    .iter()
                    .any(|one| one.lane != call.lane && one.overlaps(call))
            };
            overlapping += calls.iter().filter(overlaps).count();
            texts.extend(
                calls
                    .iter()
                    .map(|call| format!("{} → {}", call.told(), call.end_told())),
            );
        }
    }

    let times = |part: &str| texts.iter().filter(|text| text.contains(part)).count();
    let rare: Vec<_> = SEEN
        .iter()
        .map(|part| (part, times(part)))
        .filter(|(_, times)| *times < 5)
        .collect();
    assert!(rare.is_empty(), "seldom or never seen: {rare:?}");
    assert!(
        overlapping * 3 > all,
        "of {all} calls {overlapping} overlap with another"
    );
}

#[test]
fn a_page_shows_every_call_and_where_no_order_goes_on() {
    let script = Script::on(&[&home()])
        .call(1, 10..40, produce(&home(), "a<b"), stored(1))
        .call(2, 11..12, list(&home()), ready(&[(1, "a<b")]))
        .call(3, 13..14, list(&home()), ready(&[]));
    let Judgement::Disordered(evidence) = judge(&script.0, true) else {
        panic!("it has an order");
    };
    let finding = shrink(&script.0, evidence, true);

    let drawn = super::page::page("a stale read", "the command", &finding);

    assert!(drawn.contains("«a&lt;b»") && !drawn.contains("«a<b»"));
    // Beside what the legend shows of each: the creation, the production and the first look have their places.
    assert_eq!(drawn.matches("<b>").count(), 1 + 3);
    assert_eq!(drawn.matches("class=\"call stuck\"").count(), 1 + 1);
    assert!(super::page::text(&finding).contains("there the model answers 1 «a<b» ready"));
}
