//! Commits: checks, writes and steps of the same meaning for both sides.

use storage_api::{CommitOutcome, CommitRequest, Refusal, ScanRequest};

use super::action::{CheckPick, StepPick, WritePick};
use super::apply::key_range;
use super::numbers::Mismatch;
use super::world::{World, key_of, namespace, same, value};
use crate::env::at;

impl World {
    pub(super) async fn commit(
        &mut self,
        now: i64,
        checks: &[CheckPick],
        writes: &[WritePick],
        steps: &[StepPick],
    ) -> Result<(), Mismatch> {
        let mut driver = CommitRequest::new(at(now));
        let mut model = CommitRequest::new(at(now));
        for check in checks {
            self.add_check(now, *check, &mut driver, &mut model);
        }
        for write in writes {
            for request in [&mut driver, &mut model] {
                // A second write to a key is refused on both sides alike (clause META-7).
                let _ = match write {
                    WritePick::Put {
                        key,
                        bytes,
                        expires_at,
                    } => {
                        let (namespace, key) = key_of(*key);
                        request.put(&namespace, &key, value(*bytes), expires_at.map(at))
                    }
                    WritePick::Delete(key) => {
                        let (namespace, key) = key_of(*key);
                        request.delete(&namespace, &key)
                    }
                };
            }
        }
        let mut produced_into = Vec::new();
        for step in steps {
            let added = match step {
                StepPick::Produce(partition, items) => {
                    produced_into.push(*partition);
                    let id = self.id(*partition);
                    let [one, other] = self.two_batches(items);
                    driver
                        .produce(&id, one)
                        .and_then(|()| model.produce(&id, other))
                }
                StepPick::Complete(partition, picks) => {
                    let id = self.id(*partition);
                    let (one, other) = self.bounded_receipts(*partition, picks);
                    driver
                        .complete(&id, one)
                        .and_then(|()| model.complete(&id, other))
                }
                StepPick::Delete(partition, picks) => {
                    let id = self.id(*partition);
                    let (one, other) = self.bounded_ids(*partition, picks);
                    driver
                        .delete_items(&id, one)
                        .and_then(|()| model.delete_items(&id, other))
                }
            };
            added.map_err(|error| format!("a small commit is refused: {error}"))?;
        }

        let written: Vec<_> = driver
            .writes()
            .iter()
            .map(|write| (write.target().0.clone(), write.target().1.clone()))
            .collect();
        let driver = self.driver.commit(driver).await;
        let model = self.model.commit(model);
        let Some((driver, model)) = self.both(driver, model)? else {
            return Ok(());
        };
        let told = |why: Mismatch| format!("{why}\n  driver: {driver:?}\n  model:  {model:?}");
        match (&driver, &model) {
            (CommitOutcome::Committed(one), CommitOutcome::Committed(other)) => {
                match (one.version, other.version) {
                    (Some(one), Some(other)) => {
                        self.give_version(one, other).map_err(told)?;
                        for target in written {
                            let before = self.key_versions.insert(target, one);
                            if before.is_some_and(|before| before >= one) {
                                let why = format!("version {one} is not above {before:?}");
                                return Err(told(why));
                            }
                        }
                    }
                    (one, other) => same("version", &one, &other).map_err(told)?,
                }
                same(
                    "number of produced batches",
                    &one.produced.len(),
                    &other.produced.len(),
                )
                .map_err(told)?;
                let produced = one.produced.iter().zip(&other.produced);
                for (partition, (one, other)) in produced_into.into_iter().zip(produced) {
                    self.same_produced(partition, one, other)?;
                }
                Ok(())
            }
            (
                CommitOutcome::Refused(Refusal::Check { index, key, found }),
                CommitOutcome::Refused(Refusal::Check {
                    index: model_index,
                    key: model_key,
                    found: model_found,
                }),
            ) => {
                same("check", &(index, key), &(model_index, model_key)).map_err(told)?;
                self.versions.meet_some(*found, *model_found).map_err(told)
            }
            (driver, model) => same("outcome", driver, model),
        }
    }

    fn add_check(
        &self,
        now: i64,
        check: CheckPick,
        driver: &mut CommitRequest,
        model: &mut CommitRequest,
    ) {
        let added = match check {
            CheckPick::Absent(pick) => {
                let (namespace, key) = key_of(pick);
                driver
                    .check_absent(&namespace, &key)
                    .and_then(|()| model.check_absent(&namespace, &key))
            }
            CheckPick::Current(pick) | CheckPick::Known(pick, _) => {
                let (namespace, key) = key_of(pick);
                let pair = if let CheckPick::Known(_, rank) = check {
                    self.versions.ranked(rank)
                } else {
                    let found = self.model.get(at(now), &namespace, &key).ok().flatten();
                    let version = found.map(|entry| entry.version);
                    version.and_then(|one| Some((self.versions.driver_of(one)?, one)))
                };
                match pair {
                    Some((one, other)) => driver
                        .check_version(&namespace, &key, one)
                        .and_then(|()| model.check_version(&namespace, &key, other)),
                    None => driver
                        .check_absent(&namespace, &key)
                        .and_then(|()| model.check_absent(&namespace, &key)),
                }
            }
            CheckPick::Range(pick, without) => {
                let (namespace, range) = (namespace(pick.namespace), key_range(pick));
                let request = ScanRequest::new(namespace.clone(), range.clone());
                let found = self.model.scan(at(now), request);
                let mut found = found.map_or_else(|_| Vec::new(), |page| page.items);
                if let Some(index) =
                    without.and_then(|rank| usize::from(rank).checked_rem(found.len()))
                {
                    found.remove(index);
                }
                let seen = found.iter().filter_map(|entry| {
                    let version = self.versions.driver_of(entry.version)?;
                    Some((
                        (entry.key.clone(), version),
                        (entry.key.clone(), entry.version),
                    ))
                });
                let (one, other): (Vec<_>, Vec<_>) = seen.unzip();
                driver
                    .check_range(&namespace, range.clone(), one)
                    .and_then(|()| model.check_range(&namespace, range, other))
            }
        };
        added.expect("few checks on keys within their range are within the limits");
    }
}
