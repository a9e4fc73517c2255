//! The stored state checked against itself: bodies, states, indexes, counters, checksums.
//!
//! Every row that an item must have is looked up, and rows are counted: if all that must be there are there, and there are
//! not more, then there are no others. So nothing has to be kept in memory, however deep a queue is.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use storage_api::{
    Direction, ItemState, Operation, Position, Result, State, Timestamp, Verify, async_trait,
};

use crate::counters::Counters;
use crate::engine::{KvErrorKind, KvResult, OrderedKv, Span};
use crate::item::Item;
use crate::kernel::Kernel;
use crate::keys::{self, DueKind};
use crate::keyspace::Keyspace;
use crate::read::Want;
use crate::store::Store;
use crate::work::{ReadyRow, Work, decode_owner};

/// More findings than this tell nobody anything.
const FINDINGS_MAX: usize = 100;

/// What is wrong, one line each.
#[derive(Debug, Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, finding: impl Into<String>) {
        if self.0.len() < FINDINGS_MAX {
            self.0.push(finding.into());
        }
    }

    /// Damage is a finding; whatever else keeps the check from going on is an error.
    fn check(&mut self, checked: KvResult<()>) -> KvResult<()> {
        match checked {
            Err(error) if error.kind() == KvErrorKind::Corrupted => {
                self.add(error.to_string());
                Ok(())
            }
            checked => checked,
        }
    }
}

#[async_trait]
impl<E: OrderedKv> Verify for Kernel<E> {
    async fn verify(&self) -> Result<Vec<String>> {
        let operation = Operation::Verify;
        let _pass = self.gate.enter(operation)?;
        let mut findings = Findings::default();
        let metadata = self.metadata.read().await;
        let checked = verify_metadata(&self.store, &mut findings);
        findings.check(checked).map_err(self.failed(operation))?;
        drop(metadata);
        // Partitions neither come nor go meanwhile.
        let _catalog = self.catalog.read().await;
        let partitions = self.all_partitions();
        for partition in partitions.map_err(self.failed(operation))? {
            let locked = partition.lock(&self.store).await;
            let Some(mut state) = locked.map_err(self.failed(operation))? else {
                continue;
            };
            let (store, numbers) = (&self.store, &self.numbers);
            let mut work = Work::new(store, numbers, operation, &partition, &mut state);
            let checked = work.verify(&mut findings);
            findings.check(checked).map_err(self.failed(operation))?;
        }
        let checked = self.verify_owners(&mut findings);
        findings.check(checked).map_err(self.failed(operation))?;
        Ok(findings.0)
    }
}

impl<E: OrderedKv> Kernel<E> {
    /// That no row belongs to a partition that is neither there nor being removed.
    fn verify_owners(&self, findings: &mut Findings) -> KvResult<()> {
        let there = self.all_partitions()?;
        let mut known: BTreeSet<u32> = there.iter().map(|partition| partition.number).collect();
        for key in self
            .store
            .keys(Keyspace::Garbage, Span::all(), usize::MAX)?
        {
            known.extend(number_of(&key));
        }
        for space in Keyspace::OF_PARTITIONS {
            let mut from = Vec::new();
            loop {
                let span = Span {
                    from: &from,
                    to: None,
                };
                let found = self.store.keys(space, span, 1)?;
                let Some(number) = found.first().and_then(|key| number_of(key)) else {
                    break;
                };
                if !known.contains(&number) {
                    findings.add(format!(
                        "{space}: rows of partition number {number}, which there is not"
                    ));
                }
                let Some(next) = number.checked_add(1) else {
                    break;
                };
                from = keys::prefix(next).to_vec();
            }
        }
        Ok(())
    }
}

impl<E: OrderedKv> Work<'_, E> {
    fn verify(&mut self, findings: &mut Findings) -> KvResult<()> {
        let name = self.info.id.to_string();
        let mut sums = Counters::new(0);
        let mut rows = RowCounts::default();
        let mut next = Some(0);
        while let Some(from) = next {
            let chunk = self.read_chunk(from, Some(Want::Head))?;
            next = chunk.next;
            for (id, item, record) in chunk.items {
                sums.join(&item);
                rows.expect(&item);
                let key = record.as_ref().and_then(|record| record.view().dedup_key());
                for wrong in self.wrong_with(id, &item, key)? {
                    findings.add(format!("{name}: item {id}: {wrong}"));
                }
            }
        }
        rows.lingering = self.verify_keys(&name, findings)?;
        for _ in 0..rows.lingering {
            sums.join_due(DueKind::Key, Timestamp::EPOCH);
        }
        if !sums.has_sums_of(&self.counters) {
            findings.add(format!(
                "{name}: its counters do not fit its items: {:?} is kept, {:?} was counted",
                self.counters.stats(),
                sums.stats()
            ));
        }
        let expected = [
            (Keyspace::States, rows.states),
            (Keyspace::Ready, rows.ready),
            (Keyspace::Dead, rows.dead),
            (Keyspace::Dedup, rows.dedup + rows.lingering),
            (Keyspace::Holders, rows.holders),
        ];
        for (space, expected) in expected {
            let mut found = 0;
            let prefix = keys::prefix(self.part());
            self.store.scan_prefix(space, &prefix, |_, _| {
                found += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            if found != expected {
                findings.add(format!(
                    "{name}: {found} rows of {space}, and its items have {expected}"
                ));
            }
        }
        let (due, expected) = (self.count_due()?, rows.due + rows.lingering);
        if due != expected {
            findings.add(format!(
                "{name}: rows of due stand for {due} items and keys, and {expected} are due"
            ));
        }
        Ok(())
    }

    /// What does not fit an item, of the rows that it must have and the marks that it must stand behind.
    fn wrong_with(&self, id: u64, item: &Item, key: Option<&[u8]>) -> KvResult<Vec<String>> {
        let mut wrong = Vec::new();
        let part = self.part();
        let mut expect = |space: Keyspace, key: &[u8], value: &[u8]| -> KvResult<()> {
            match self.store.get(space, key)? {
                Some(found) if found == value => {}
                Some(_) => wrong.push(format!("its row of {space} says something else")),
                None => wrong.push(format!("its row of {space} is missing")),
            }
            Ok(())
        };
        if let ItemState::Ready { position } = item.state {
            let ready = keys::ready(part, item.head.priority, position.get());
            let row = ReadyRow::of(id, item).encode();
            expect(Keyspace::Ready, &ready, row.as_slice())?;
        }
        if matches!(item.state, ItemState::Dead { .. }) {
            expect(Keyspace::Dead, &keys::item(part, id), &[])?;
        }
        if let Some(holder) = item.holder() {
            let held = keys::holder(part, holder.get(), id);
            expect(Keyspace::Holders, &held, &[])?;
        }
        if let Some(key) = key {
            expect(Keyspace::Dedup, &keys::dedup(part, key), &id.to_le_bytes())?;
        }
        if !self.has_due_row(id, item)? {
            wrong.push("no row of due stands for it".to_owned());
        }
        if key.is_some() != item.head.has_dedup_key {
            wrong.push("its state row and its record disagree about its dedup key".to_owned());
        }
        let next = self.counters.next;
        let position = item.state.position().map_or(0, Position::get);
        if id >= next.id || position >= next.position {
            wrong.push(format!(
                "it has numbers that were never given: {next:?} are next"
            ));
        }
        if let Some((kind, at)) = item.due()
            && self.counters.due_mark(kind).is_none_or(|mark| at < mark)
        {
            wrong.push(format!("it is due at {at}, before the mark"));
        }
        if let ItemState::Ready { position } = item.state {
            let marks = self.counters.ready();
            let mark = marks
                .iter()
                .find(|mark| mark.priority == item.head.priority);
            if mark.is_none_or(|mark| position.get() < mark.mark) {
                wrong.push(format!("it stands at position {position}, before the mark"));
            }
        }
        Ok(wrong)
    }

    /// That each dedup key whose item has gone will be freed; the answer is how many there are.
    fn verify_keys(&self, name: &str, findings: &mut Findings) -> KvResult<u64> {
        let mut lingering = Vec::new();
        let prefix = keys::prefix(self.part());
        self.store
            .scan_prefix(Keyspace::Dedup, &prefix, |key, row| {
                if let Some(owner) = decode_owner(row)
                    && let Some(until) = owner.lingers_until
                {
                    lingering.push((key[prefix.len()..].to_vec(), owner.id, until));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        for (key, id, until) in &lingering {
            let due = keys::due(self.part(), DueKind::Key, *until, *id);
            if self.store.get(Keyspace::Due, &due)?.as_ref() != Some(key) {
                let key = key.escape_ascii();
                findings.add(format!(
                    "{name}: dedup key {key} lingers and will not be freed"
                ));
            }
        }
        Ok(lingering.len() as u64)
    }
}

/// How many rows the items have.
#[derive(Debug, Default)]
struct RowCounts {
    states: u64,
    ready: u64,
    due: u64,
    dead: u64,
    dedup: u64,
    holders: u64,
    lingering: u64,
}

impl RowCounts {
    fn expect(&mut self, item: &Item) {
        let state = item.state();
        self.states += u64::from(!item.is_fresh);
        self.ready += u64::from(state == State::Ready);
        self.due += u64::from(item.due().is_some());
        self.dead += u64::from(state == State::Dead);
        self.dedup += u64::from(item.head.has_dedup_key);
        self.holders += u64::from(item.holder().is_some());
    }
}

/// That the entries that expire and the rows of `expiry` are the same.
fn verify_metadata<E: OrderedKv>(store: &Store<E>, findings: &mut Findings) -> KvResult<()> {
    let mut expiring = 0_u64;
    let mut from = Vec::new();
    loop {
        let mut chunk = Vec::new();
        let span = Span {
            from: &from,
            to: None,
        };
        store.scan(Keyspace::Entries, span, Direction::Forward, |key, row| {
            let expires_at = crate::metadata::expiry_of_row(key, row)?;
            chunk.push((key.to_vec(), expires_at));
            Ok(match chunk.len() == 1024 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        let Some((last, _)) = chunk.last() else {
            break;
        };
        from = [last.as_slice(), &[0]].concat();
        for (key, expires_at) in &chunk {
            if let Some(at) = expires_at {
                expiring += 1;
                if store
                    .get(Keyspace::Expiry, &keys::expiry(*at, key))?
                    .is_none()
                {
                    findings.add(format!(
                        "entry {}: its row of expiry is missing",
                        key.escape_ascii()
                    ));
                }
            }
        }
    }
    let mut found = 0;
    store.scan(Keyspace::Expiry, Span::all(), Direction::Forward, |_, _| {
        found += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    if found != expiring {
        findings.add(format!(
            "{found} rows of expiry, and {expiring} entries that expire"
        ));
    }
    Ok(())
}

fn number_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*key.first_chunk()?))
}
