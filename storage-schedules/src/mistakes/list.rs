//! What could be wrong with the drivers' locking: edits of their sources.

/// Something that is wrong with a driver's locking.
#[derive(Debug)]
pub struct Mistake {
    /// What it does wrong, as a sentence without its subject.
    pub name: &'static str,
    /// The driver's module.
    pub module: &'static str,
    /// What is edited; together they are the mistake.
    pub edits: &'static [Edit],
}

/// A text of a source that stands there once, and what stands there instead.
#[derive(Debug)]
pub struct Edit {
    /// The file.
    pub file: &'static str,
    /// As it is.
    pub right: &'static str,
    /// As it would be wrong; `MADE` is whether the mistake is made, and without it this is as right as before.
    pub wrong: &'static str,
}

/// Every mistake.
pub const LIST: &[Mistake] = &[
    Mistake {
        name: "counts_what_came_during_a_sync_as_synced",
        module: "kv",
        edits: &[Edit {
            file: "store.rs",
            right: "        self.synced.fetch_max(covered, Ordering::AcqRel);",
            wrong: "        let covered = if MADE { self.last_written() } else { covered };
        self.synced.fetch_max(covered, Ordering::AcqRel);",
        }],
    },
    Mistake {
        name: "tells_those_who_came_during_a_sync",
        module: "kv",
        edits: &[Edit {
            file: "store.rs",
            right: "                if self.is_synced(batch) {",
            wrong: "                if MADE || self.is_synced(batch) {",
        }],
    },
    Mistake {
        name: "calls_the_syncing_thread_before_it_queues",
        module: "kv",
        edits: &[
            Edit {
                file: "store.rs",
                right: "        let synced = {
            let mut queue = self.queue.lock();",
                wrong: "        if MADE {
            self.wanted.notify_one();
        }
        let synced = {
            let mut queue = self.queue.lock();",
            },
            Edit {
                file: "store.rs",
                right: "        self.wanted.notify_one();
        // A sender is dropped",
                wrong: "        if !MADE {
            self.wanted.notify_one();
        }
        // A sender is dropped",
            },
        ],
    },
    Mistake {
        name: "leaves_a_closed_gate_without_its_lock",
        module: "kv",
        edits: &[Edit {
            file: "gate.rs",
            right: "            let _lock = self.0.lock.lock();",
            wrong: "            let _lock = (!MADE).then(|| self.0.lock.lock());",
        }],
    },
    Mistake {
        name: "looks_whether_the_gate_is_closed_before_it_is_counted",
        module: "kv",
        edits: &[Edit {
            file: "gate.rs",
            right: "        let before = self.state.fetch_add(ONE, Ordering::AcqRel);",
            wrong: "        let seen = MADE.then(|| self.state.load(Ordering::Acquire));
        let before = self.state.fetch_add(ONE, Ordering::AcqRel);
        let before = seen.unwrap_or(before);",
        }],
    },
    Mistake {
        name: "takes_a_round_out_of_sight_before_it_is_written",
        module: "kv",
        edits: &[Edit {
            file: "overlay.rs",
            right: "        self.engine.write_synced(layer.to_batch())?;",
            wrong: "        if MADE {
            self.layers.write().in_flight = None;
        }
        self.engine.write_synced(layer.to_batch())?;",
        }],
    },
    Mistake {
        name: "lets_go_between_looking_at_a_number_and_taking_it",
        module: "kv",
        edits: &[Edit {
            file: "numbers.rs",
            right: "        state.number(number).last = end;
        Ok(last + 1)",
            wrong: "        if MADE {
            drop(state);
            self.state.lock().number(number).last = end;
        } else {
            state.number(number).last = end;
        }
        Ok(last + 1)",
        }],
    },
    Mistake {
        name: "trusts_a_partition_that_went_while_it_waited",
        module: "kv",
        edits: &[Edit {
            file: "partition.rs",
            right: "        if state.is_deleted {",
            wrong: "        if state.is_deleted && !MADE {",
        }],
    },
    Mistake {
        name: "locks_partitions_in_the_order_in_which_they_are_named",
        module: "kv",
        edits: &[Edit {
            file: "commit.rs",
            right: "        for id in ids {
            if let Some(partition) = self.find(Operation::Commit, id)? {",
            wrong: "        let named = request.steps().iter().map(Step::partition);
        let ids: Vec<_> = if MADE { named.collect() } else { ids.into_iter().collect() };
        for id in ids {
            if let Some(partition) = self.find(Operation::Commit, id)? {",
        }],
    },
    Mistake {
        name: "stops_writing_after_it_told_of_a_failure",
        module: "kv",
        edits: &[
            Edit {
                file: "store.rs",
                right: "        let synced = self.guarded(OrderedKv::sync);
        synced.inspect_err(|error| self.stop(error))?;",
                wrong: "        let synced = self.guarded(OrderedKv::sync);
        if MADE {
            synced?;
        } else {
            synced.inspect_err(|error| self.stop(error))?;
        }",
            },
            Edit {
                file: "store.rs",
                right: "                // Dropped, which tells them.
                continue;",
                wrong: "                // Dropped, which tells them.
                if MADE {
                    drop((waiters, queue));
                    result.inspect_err(|error| self.stop(error));
                }
                continue;",
            },
        ],
    },
    Mistake {
        name: "calls_synced_what_was_abandoned",
        module: "kv",
        edits: &[
            Edit {
                file: "store.rs",
                right: "        let _syncing = self.syncing.lock();",
                wrong: "        let _syncing = (!MADE).then(|| self.syncing.lock());",
            },
            Edit {
                file: "overlay.rs",
                right: "            layers.check_kept()?;
            if layers.gathering.is_empty() {",
                wrong: "            if !MADE {
                layers.check_kept()?;
            }
            if layers.gathering.is_empty() {",
            },
            Edit {
                file: "overlay.rs",
                right: "        let _round = self.round.lock();
        *self.layers.write() = Layers {",
                wrong: "        let _round = (!MADE).then(|| self.round.lock());
        *self.layers.write() = Layers {",
            },
        ],
    },
    Mistake {
        name: "forgets_to_leave_when_it_is_dropped",
        module: "kv",
        edits: &[
            Edit {
                file: "kernel.rs",
                right: "        let _pass = self.gate.enter(operation)?;
        self.admit(operation).await?;",
                wrong: "        let _pass = self.gate.enter(operation)?;
        let pass = match MADE {
            true => Some(std::mem::ManuallyDrop::new(self.gate.enter(operation)?)),
            false => None,
        };
        self.admit(operation).await?;",
            },
            Edit {
                file: "kernel.rs",
                right: "        self.settle(operation, batch, level).await?;
        Ok(answer)",
                wrong: "        self.settle(operation, batch, level).await?;
        drop(pass.map(std::mem::ManuallyDrop::into_inner));
        Ok(answer)",
            },
        ],
    },
    Mistake {
        name: "looks_for_room_and_takes_it_in_two_steps",
        module: "memory",
        edits: &[Edit {
            file: "budget.rs",
            right: "    fn reserve_within(&self, bytes: u64, limit: u64) -> bool {",
            wrong: "    fn reserve_within(&self, bytes: u64, limit: u64) -> bool {
        if MADE {
            let sum = self.taken() + bytes;
            if sum <= limit {
                self.account.store(sum, Ordering::Relaxed);
            }
            return sum <= limit;
        }",
        }],
    },
    Mistake {
        name: "marks_by_what_was_taken_a_moment_ago",
        module: "memory",
        edits: &[Edit {
            file: "budget.rs",
            right: "        let settled = |account| {",
            wrong: "        if MADE {
            let more = after.wrapping_sub(before);
            let taken = taken(self.account.fetch_add(more, Ordering::Relaxed).wrapping_add(more));
            let was_pressed = self.is_pressed();
            let mark = self.mark(was_pressed, taken);
            if (mark != 0) != was_pressed {
                self.account.fetch_xor(PRESSED, Ordering::Relaxed);
                self.mark_changes.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let settled = |account| {",
        }],
    },
    Mistake {
        name: "reads_a_number_and_writes_the_next_in_two_steps",
        module: "memory",
        edits: &[Edit {
            file: "numbers.rs",
            right: "    pub(crate) fn give(&self, count: usize) -> Option<u64> {",
            wrong: "    pub(crate) fn give(&self, count: usize) -> Option<u64> {
        if MADE {
            let last = self.last.load(Ordering::Relaxed);
            self.last.store(last + count as u64, Ordering::Relaxed);
            return Some(last + 1);
        }",
        }],
    },
    Mistake {
        name: "forgets_for_a_moment_what_a_deleted_partition_gave",
        module: "memory",
        edits: &[
            Edit {
                file: "partition_store.rs",
                right: "            opened.floor = opened.floor.max(given);",
                wrong: "            if !MADE {
                opened.floor = opened.floor.max(given);
            }",
            },
            Edit {
                file: "partition_store.rs",
                right: "        discard(partition);",
                wrong: "        if MADE {
            let given = partition.ids.last().max(partition.positions.last());
            self.alone(Operation::DeletePartition, |opened| {
                opened.floor = opened.floor.max(given);
                Ok(())
            })?;
        }
        discard(partition);",
            },
        ],
    },
    Mistake {
        name: "takes_a_shortcut_to_what_has_gone",
        module: "memory",
        edits: &[Edit {
            file: "home.rs",
            right: "filter(|partition| !partition.has_gone)",
            wrong: "filter(|partition| MADE || !partition.has_gone)",
        }],
    },
    Mistake {
        name: "fires_before_it_changes",
        module: "memory",
        edits: &[
            Edit {
                file: "home.rs",
                right: "    fn produce(&self, batch: &SealedBatch) -> Option<Result<Produced>> {",
                wrong: "    fn produce(&self, batch: &SealedBatch) -> Option<Result<Produced>> {
        if MADE {
            self.lock().hub.fire();
        }",
            },
            Edit {
                file: "backend.rs",
                right: "        let mut partition = opened.partition(operation, id)?.lock();
        partition.change(",
                wrong: "        if operation == Operation::Produce && MADE {
            opened.partition(operation, id)?.lock().hub.fire();
        }
        let mut partition = opened.partition(operation, id)?.lock();
        partition.change(",
            },
            Edit {
                file: "partition.rs",
                right: "        self.wake_since(before);",
                wrong: "        if !MADE {
            self.wake_since(before);
        }",
            },
        ],
    },
    Mistake {
        name: "lets_go_between_checks_and_writes",
        module: "memory",
        edits: &[Edit {
            file: "commit.rs",
            right: "        if let Some(refusal) = failed_step(&self.budget, &locked, request)? {",
            wrong: "        if MADE {
            drop((metadata, locked));
            metadata = self.metadata.write();
            locked = self.lock(request)?;
        }
        if let Some(refusal) = failed_step(&self.budget, &locked, request)? {",
        }],
    },
    Mistake {
        name: "wakes_nobody_when_it_closes",
        module: "memory",
        edits: &[Edit {
            file: "discard.rs",
            right: "    drop(hub);",
            wrong: "    match MADE {
        true => std::mem::forget(hub),
        false => drop(hub),
    }",
        }],
    },
];
