//! Wrong about what comes in: ids, order, records, dedup keys.

mod drivers;

use std::time::Duration;

use storage_api::*;

use self::drivers::*;
use crate::answered::{Told, answered};
use crate::edited::{around, edited, rewritten, tail, to_tail};
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [batches(), ids(), order(), records(), keys(), lingering()].concat()
}

fn batches() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "half_a_batch_is_stored",
            "A batch that does not fit is stored as far as it does, and refused.",
            HalfABatch::wrap,
            &[
                "produce::batch_beyond_the_bytes_of_the_partition_is_refused_whole",
                "produce::batch_beyond_the_items_of_the_partition_is_refused_whole",
                "produce::refused_batch_takes_no_dedup_key",
            ],
        ),
        Mutant::new(
            "batches_end_after_a_thousand",
            "Large batches are cut to what one statement takes, and the rest is said to be stored.",
            CutBatch::wrap,
            &[
                "lease::ten_thousand_items_are_leased_at_once",
                "time::ten_thousand_items_become_ready_in_one_step",
            ],
        ),
        Mutant::new(
            "empty_batches_store_an_item",
            "An empty batch is an item without payload.",
            EmptyStores::wrap,
            &[
                "finish::empty_calls_change_nothing",
                "partitions::empty_batch_is_refused_in_no_mode",
                "produce::empty_batch_stores_nothing",
            ],
        ),
        edited(
            "scheduled_items_are_ready",
            "The time of an item is stored and not waited for.",
            &[Operation::Produce],
            |scene| {
                scene.new_in(|partition, index| {
                    if partition.items[index].state() == State::Scheduled {
                        to_tail(partition, index);
                    }
                });
            },
            &["produce::scheduled_item_does_not_stand_in_front_of_ready_ones"],
        ),
        edited(
            "items_for_now_are_scheduled",
            "An item for this very moment goes to the delayed ones (BullMQ, issue 3050).",
            &[Operation::Produce],
            |scene| {
                let now = scene.now;
                scene.new_items(|item| {
                    let enqueue_at = item.record.view().enqueue_at();
                    if let (true, Some(enqueue_at)) = (enqueue_at == now, enqueue_at) {
                        item.state = ItemState::Scheduled { enqueue_at };
                    }
                });
            },
            &["produce::item_for_a_later_time_is_scheduled_and_any_other_is_ready"],
        ),
        edited(
            "times_are_of_milliseconds",
            "The time of a scheduled item is cut to milliseconds (conductor, pull 738).",
            &[Operation::Produce],
            |scene| {
                scene.new_items(|item| {
                    if let ItemState::Scheduled { enqueue_at } = &mut item.state {
                        let cut = enqueue_at.as_micros().div_euclid(1000) * 1000;
                        *enqueue_at = Timestamp::from_micros(cut);
                    }
                });
            },
            &[
                "time::scheduled_item_is_ready_at_its_time_and_not_before",
                "time::time_that_stands_still_handles_everything_once",
            ],
        ),
        edited(
            "what_has_expired_is_not_stored",
            "An item whose expiry has passed is taken and thrown away.",
            &[Operation::Produce],
            |scene| {
                let now = scene.now;
                scene.partitions(|_, partition| {
                    partition.items.retain(|item| {
                        let expire_at = item.record.view().expire_at();
                        item.state() != State::Ready || expire_at.is_none() || expire_at > now
                    });
                });
            },
            &[
                "produce::item_that_has_expired_already_is_stored_as_any_other",
                "time::smallest_timestamp_is_a_time_like_any_other",
            ],
        ),
    ]
}

fn ids() -> Vec<Mutant> {
    vec![
        edited(
            "ids_of_the_gone_are_given_again",
            "The next id is the largest there is and one more: what has gone makes room.",
            &[
                Operation::Complete,
                Operation::DeleteItems,
                Operation::Clear,
                Operation::Commit,
            ],
            |scene| scene.partitions(|_, now| now.last_id = largest_id(now)),
            &[
                "produce::ids_are_never_given_again_after_a_reopening",
                "produce::ids_are_never_given_again_after_their_items_have_gone",
            ],
        ),
        edited(
            "ids_of_the_gone_are_given_again_after_reopening",
            "At opening the next id is taken from the items that are there (RabbitMQ, pull 4004).",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.last_id = largest_id(now)),
            &["produce::ids_are_never_given_again_after_a_reopening"],
        ),
        edited(
            "positions_start_anew_at_reopening",
            "What is produced after a reopening stands in front.",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.last_position = 0),
            &["restore::floors_survive_reopening"],
        ),
        edited(
            "ids_grow_by_two",
            "Ids of a batch are those of a sequence that somebody else uses as well.",
            &[Operation::Produce],
            |scene| {
                scene.partitions(|before, now| {
                    let mut id = before.last_id;
                    for item in now
                        .items
                        .iter_mut()
                        .filter(|item| item.id.get() > before.last_id)
                    {
                        id += 2;
                        item.id = ItemId::new(id).expect("no mutant uses the numbers up");
                    }
                    now.last_id = id;
                });
            },
            &[
                "finish::completed_item_is_gone_and_leaves_nothing",
                "listing::a_cursor_whose_followers_have_gone_leads_to_an_empty_end",
                "listing::from_an_id_starts_at_it_or_at_the_next",
                "listing::ids_are_answered_in_input_order_with_nothing_for_what_is_absent",
                "produce::dedup_key_freed_by_a_step_of_a_commit_is_free_for_the_next",
                "produce::full_partition_still_tells_of_a_duplicate",
                "produce::ids_of_a_call_are_consecutive_and_grow_with_every_call",
            ],
        ),
        Mutant::new(
            "duplicates_take_an_id",
            "A sequence number is drawn before the key is looked at (glide-mq, issue 206).",
            DuplicatesTakeIds::wrap,
            &["produce::duplicate_takes_no_id"],
        ),
        answered(
            "ids_are_ordered_as_bytes",
            "Ids are stored little-endian: 256 comes before 1.",
            Told::Items(|_, request, page| {
                if matches!(request.listing(), Listing::ById(_)) {
                    page.items.sort_by_key(|item| item.id.get().to_le_bytes());
                }
            }),
            &["produce::ids_stay_in_order_where_they_grow_a_byte"],
        ),
    ]
}

fn order() -> Vec<Mutant> {
    vec![
        edited(
            "batches_are_stored_backwards",
            "The last item of a batch stands in front of the first.",
            &[Operation::Produce],
            |scene| {
                scene.partitions(|before, now| {
                    let mut positions: Vec<_> = new_positions(before, now).collect();
                    for index in 0..now.items.len() {
                        if new_position(before, &now.items[index]).is_some()
                            && let Some(position) = positions.pop()
                        {
                            now.items[index].state = ItemState::Ready { position };
                        }
                    }
                });
            },
            &[
                "listing::a_cursor_whose_followers_have_gone_leads_to_an_empty_end",
                "produce::items_stand_in_the_order_of_calls_and_of_the_batch",
            ],
        ),
        edited(
            "older_items_stand_in_front",
            "The order is that of the creation times.",
            &[Operation::Produce],
            |scene| scene.partitions(|_, now| by_age(now)),
            &[
                "finish::revived_item_is_ready_at_the_tail",
                "produce::created_at_is_no_order",
                "produce::item_that_came_later_stands_behind_whatever_its_age",
                "time::no_operation_looks_at_the_time_of_another",
            ],
        ),
        edited(
            "calls_are_stored_in_front",
            "A call of one item stands in front of what was there: a stack.",
            &[Operation::Produce],
            |scene| {
                scene.partitions(|before, now| {
                    let top = 1_000_000_u64.saturating_sub(now.last_id);
                    for item in &mut now.items {
                        if new_position(before, item).is_some()
                            && let Ok(position) = Position::new(top + 1)
                        {
                            item.state = ItemState::Ready { position };
                        }
                    }
                });
            },
            &[
                "finish::item_retried_now_goes_back_to_where_it_stood_if_the_partition_says_so",
                "produce::created_at_is_no_order",
                "produce::items_stand_in_the_order_of_calls_and_of_the_batch",
                "produce::no_two_items_of_a_priority_share_a_position",
            ],
        ),
        edited(
            "all_items_of_a_call_share_a_position",
            "The position is that of the call.",
            &[Operation::Produce],
            |scene| {
                scene.partitions(|before, now| {
                    let Some(first) = new_positions(before, now).next() else {
                        return;
                    };
                    for item in &mut now.items {
                        if new_position(before, item).is_some() {
                            item.state = ItemState::Ready { position: first };
                        }
                    }
                });
            },
            &[
                "produce::no_two_items_of_a_priority_share_a_position",
                "restore::a_position_that_was_left_is_free",
            ],
        ),
        edited(
            "leased_items_lose_their_position",
            "The place of a leased item is given up, and found anew when it comes back.",
            &[Operation::Lease],
            |scene| {
                scene.changed(State::Ready, State::Leased, |partition, index| {
                    let position = tail(partition);
                    if let ItemState::Leased { position: at, .. } =
                        &mut partition.items[index].state
                    {
                        *at = position;
                    }
                });
            },
            &[
                "produce::leased_item_keeps_its_position",
                "produce::released_items_stand_where_they_stood_in_whatever_order_they_return",
            ],
        ),
        edited(
            "maintained_items_come_by_id",
            "What maintain makes ready is put behind the others by id, not by its due time.",
            &[Operation::Maintain],
            |scene| {
                scene.partitions(|before, now| {
                    let mut positions: Vec<_> = new_positions(before, now).collect();
                    positions.sort();
                    positions.reverse();
                    for index in 0..now.items.len() {
                        if new_position(before, &now.items[index]).is_some()
                            && let Some(position) = positions.pop()
                        {
                            now.items[index].state = ItemState::Ready { position };
                        }
                    }
                });
            },
            &["produce::maintained_items_come_to_the_tail_in_the_order_of_handling"],
        ),
        answered(
            "positions_are_ordered_as_bytes",
            "Positions are stored little-endian: 256 comes before 1.",
            Told::Items(|_, request, page| {
                if request.listing() == Listing::Ready {
                    page.items.sort_by_key(|item| {
                        let position = item.state.position().map(|one| one.get().to_le_bytes());
                        (item.record.view().priority(), position)
                    });
                }
            }),
            &["produce::positions_stay_in_order_where_they_grow_a_byte"],
        ),
    ]
}

fn records() -> Vec<Mutant> {
    vec![
        edited(
            "created_at_is_not_stored",
            "The time of a produce is not stored.",
            &[Operation::Produce],
            |scene| {
                scene.new_items(|item| {
                    item.record =
                        rewritten(&item.record, |parts| parts.created_at = Timestamp::EPOCH)
                })
            },
            &[
                "produce::completed_dedup_key_is_taken_until_maintain_finds_its_time_passed",
                "produce::dropped_dedup_key_is_taken_until_maintain_finds_its_time_passed",
                "produce::freed_dedup_key_belongs_to_its_new_item_alone",
                "produce::produced_item_has_the_time_of_its_produce_and_no_attempts",
            ],
        ),
        edited(
            "items_start_with_an_attempt",
            "An item is created in its first attempt.",
            &[Operation::Produce],
            |scene| scene.new_items(|item| item.attempts = 1),
            &["time::item_taken_back_is_leased_anew"],
        ),
        edited(
            "payloads_end_at_nul",
            "A payload is a C string.",
            &[Operation::Produce],
            |scene| {
                repaid(scene, |payload| {
                    let end = payload.iter().position(|byte| *byte == 0);
                    payload.truncate(end.unwrap_or(payload.len()));
                });
            },
            &[
                "produce::payloads_come_back_after_a_reopening",
                "produce::payloads_come_back_byte_for_byte",
            ],
        ),
        edited(
            "payloads_are_texts",
            "A payload is stored as UTF-8, and what is none is replaced.",
            &[Operation::Produce],
            |scene| {
                repaid(scene, |payload| {
                    *payload = String::from_utf8_lossy(payload).into_owned().into()
                });
            },
            &[
                "produce::payloads_come_back_after_a_reopening",
                "produce::payloads_come_back_byte_for_byte",
            ],
        ),
        edited(
            "payloads_end_at_a_megabyte",
            "A payload is cut to what the column of a table takes.",
            &[Operation::Produce],
            |scene| repaid(scene, |payload| payload.truncate(1 << 20)),
            &[
                "lease::lease_ends_at_the_limit_of_an_answer",
                "listing::a_look_ends_before_the_item_that_exceeds_an_answer",
                "listing::a_page_ends_before_the_item_that_exceeds_an_answer",
                "produce::largest_payload_comes_back",
            ],
        ),
        edited(
            "payloads_are_lost_at_reopening",
            "Payloads that were not written yet are empty after a reopening.",
            &[Operation::Open],
            |scene| {
                scene.items(|_, item| {
                    item.record = rewritten(&item.record, |parts| parts.payload.clear())
                })
            },
            &["produce::payloads_come_back_after_a_reopening"],
        ),
        edited(
            "references_are_not_stored",
            "An attribute that nobody had tested is not stored.",
            &[Operation::Produce],
            |scene| {
                scene.new_items(|item| {
                    item.record = rewritten(&item.record, |parts| parts.reference.clear());
                });
            },
            &["produce::attributes_come_back_from_the_smallest_to_the_largest"],
        ),
        edited(
            "priorities_are_not_stored",
            "Every item has the default priority.",
            &[Operation::Produce],
            |scene| {
                scene.new_items(|item| {
                    item.record = rewritten(&item.record, |parts| parts.priority = 100);
                });
            },
            &[
                "finish::completing_one_item_leaves_the_others",
                "lease::priorities_are_ordered_from_0_to_255",
                "lease::ready_items_come_by_priority_then_position",
                "listing::priorities_are_ordered_as_numbers",
            ],
        ),
    ]
}

fn keys() -> Vec<Mutant> {
    vec![
        around(
            "keys_are_free_once_leased",
            "The key of an item is free once somebody works on it (sidekiq-unique-jobs, issue 394).",
            &[Operation::Produce],
            |contents| without_keys(contents, |item| item.state() == State::Leased),
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &["produce::dedup_keys_of_living_items_are_kept_over_a_reopening"],
        ),
        around(
            "keys_of_scheduled_items_are_free",
            "Only items in the queue are looked at for duplicates, not those that wait.",
            &[Operation::Produce],
            |contents| without_keys(contents, |item| item.state() == State::Scheduled),
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &[
                "produce::dedup_key_is_taken_through_the_whole_life_of_an_item",
                "produce::dedup_key_is_taken_while_its_item_lives_in_any_state",
                "produce::dedup_keys_of_living_items_are_kept_over_a_reopening",
            ],
        ),
        around(
            "keys_of_the_dead_are_free",
            "The key of a dead item is free.",
            &[Operation::Produce, Operation::Restore],
            |contents| without_keys(contents, |item| item.state() == State::Dead),
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &["produce::dedup_keys_of_living_items_are_kept_over_a_reopening"],
        ),
        around(
            "keys_are_free_once_retried",
            "The key is taken off at the first lease and never put back.",
            &[Operation::Produce],
            |contents| without_keys(contents, |item| item.attempts > 0),
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &["produce::dedup_keys_of_living_items_are_kept_over_a_reopening"],
        ),
        Mutant::new(
            "keys_are_of_the_backend",
            "A key is taken in every partition once it is taken in one (LocalStack, pull 8146).",
            KeysOfTheBackend::wrap,
            &[
                "partitions::clearing_one_partition_leaves_its_neighbours",
                "produce::dedup_key_belongs_to_one_partition",
            ],
        ),
        Mutant::new(
            "keys_are_compared_by_their_beginning",
            "The first bytes of a key are compared.",
            KeysByPrefix::wrap,
            &["produce::dedup_keys_are_compared_whole"],
        ),
        Mutant::new(
            "duplicates_within_a_batch_are_stored",
            "A batch is compared with what is there, not with itself.",
            StoresTwins::wrap,
            &[
                "produce::duplicate_of_a_scheduled_item_of_the_same_batch_says_so",
                "produce::duplicate_takes_no_id",
                "produce::first_of_a_batch_has_the_dedup_key",
            ],
        ),
        Mutant::new(
            "the_last_of_a_batch_wins",
            "Of two items of a batch with one key the second is stored.",
            LastWins::wrap,
            &["produce::duplicate_of_a_scheduled_item_of_the_same_batch_says_so"],
        ),
        Mutant::new(
            "duplicates_replace",
            "A duplicate takes the place of the item that is there (add overwrites).",
            Replaces::wrap,
            &[
                "produce::duplicate_changes_nothing_of_the_item_that_is_there",
                "produce::first_of_a_batch_has_the_dedup_key",
            ],
        ),
        Mutant::new(
            "items_without_a_key_are_duplicates",
            "No key is a key like any other, and taken by the first item without one.",
            NoKeyIsAKey::wrap,
            &["produce::ids_of_a_call_are_consecutive_and_grow_with_every_call"],
        ),
        answered(
            "duplicates_name_nobody",
            "A duplicate is answered with the first item of the partition.",
            Told::Produced(|produced| retold(produced, |one| one.of = ItemId::MIN)),
            &[
                "produce::dedup_key_is_taken_while_its_item_lives_in_any_state",
                "produce::dedup_keys_are_compared_whole",
                "produce::duplicate_of_an_item_that_has_gone_names_it",
                "restore::a_restored_item_holds_its_dedup_key",
            ],
        ),
        answered(
            "duplicates_are_of_ready_items",
            "A duplicate is answered as if the item that is there were ready.",
            Told::Produced(|produced| {
                retold(produced, |one| {
                    one.state = one.state.and(Some(State::Ready))
                })
            }),
            &["produce::dedup_key_is_taken_through_the_whole_life_of_an_item"],
        ),
        answered(
            "duplicates_of_the_gone_have_a_state",
            "A duplicate of an item that has gone is answered as if it were there.",
            Told::Produced(|produced| {
                retold(produced, |one| one.state = one.state.or(Some(State::Ready)))
            }),
            &["produce::duplicate_of_an_item_that_has_gone_names_it"],
        ),
        Mutant::new(
            "full_comes_before_duplicate",
            "A full partition refuses a batch before it looks for duplicates.",
            FullFirst::wrap,
            &["produce::full_partition_still_tells_of_a_duplicate"],
        ),
        Mutant::new(
            "refused_batches_take_their_keys",
            "Keys are taken before it is seen that the batch does not fit.",
            TakesKeysFirst::wrap,
            &["produce::refused_batch_takes_no_dedup_key"],
        ),
        edited(
            "an_item_meets_its_own_key",
            "An item that becomes ready again is put in as a new one, meets its own key and is dropped (wurk, pull 218).",
            &[Operation::Maintain, Operation::Retry],
            |scene| {
                scene.partitions(|before, now| {
                    now.items.retain(|item| {
                        let was_away = before
                            .items
                            .iter()
                            .any(|one| one.id == item.id && one.state() != State::Ready);
                        let has_key = item.record.view().dedup_key().is_some();
                        !(was_away && has_key && item.state() == State::Ready)
                    });
                });
            },
            &[
                "produce::item_is_no_duplicate_of_itself",
                "produce::time_of_a_dedup_key_counts_from_the_creation_of_its_item",
            ],
        ),
        edited(
            "keys_are_lost_at_reopening",
            "The keys of living items are kept in memory.",
            &[Operation::Open],
            |scene| {
                scene.items(|_, item| {
                    item.record = rewritten(&item.record, |parts| parts.dedup_key = None)
                })
            },
            &["produce::dedup_keys_of_living_items_are_kept_over_a_reopening"],
        ),
    ]
}

fn lingering() -> Vec<Mutant> {
    vec![
        edited(
            "keys_are_freed_at_completion",
            "The key goes with its item, whatever `dedup_for` says (NATS, issue 3272).",
            &[Operation::Complete],
            |scene| scene.partitions(|before, now| now.gone_keys.clone_from(&before.gone_keys)),
            &["produce::lingering_dedup_key_is_freed_by_maintain_alone"],
        ),
        edited(
            "keys_are_freed_at_dropping",
            "The key goes with an item that is dropped, whatever `dedup_for` says.",
            &[Operation::Retry, Operation::Maintain],
            |scene| {
                scene.partitions(|before, now| {
                    now.gone_keys.retain(|key| before.gone_keys.contains(key))
                });
            },
            &["produce::dropped_dedup_key_is_taken_until_maintain_finds_its_time_passed"],
        ),
        edited(
            "commits_free_keys_at_completion",
            "A commit that completes deletes, key and all.",
            &[Operation::Commit],
            |scene| {
                scene.partitions(|before, now| {
                    now.gone_keys.retain(|key| before.gone_keys.contains(key))
                });
            },
            &["produce::keys_linger_after_a_commit_that_completes_and_not_after_one_that_deletes"],
        ),
        edited(
            "keys_linger_without_a_time",
            "A completed key stays though `dedup_for` is 0 (sidekiq-unique-jobs, issue 560).",
            &[Operation::Complete],
            linger_for_ever,
            &[
                "partitions::stats_of_what_was_emptied_are_those_of_a_new_partition",
                "produce::completing_frees_the_dedup_key_at_once_without_a_time_for_it",
                "produce::time_in_force_at_completion_decides",
            ],
        ),
        edited(
            "dropped_keys_linger_without_a_time",
            "The key of a dropped item stays though `dedup_for` is 0 (BullMQ, issue 4311).",
            &[Operation::Retry, Operation::Maintain],
            linger_for_ever,
            &["produce::dropping_frees_the_dedup_key_at_once_without_a_time_for_it"],
        ),
        edited(
            "keys_linger_after_deletion",
            "Deleting an item does not free its key.",
            &[Operation::DeleteItems],
            linger_for_ever,
            &[
                "listing::deleted_items_are_never_due",
                "listing::deleting_frees_a_dedup_key_at_once",
                "produce::dedup_key_belongs_to_one_partition",
                "produce::deleting_frees_the_dedup_key_at_once",
            ],
        ),
        edited(
            "keys_linger_after_clearing",
            "Clearing does not free the keys.",
            &[Operation::Clear],
            linger_for_ever,
            &[
                "listing::cleared_items_are_never_due",
                "listing::clearing_frees_a_dedup_key_at_once",
                "produce::clearing_frees_the_dedup_key_at_once",
                "produce::deleting_frees_the_dedup_key_at_once",
            ],
        ),
        edited(
            "commits_linger_after_deletion",
            "A commit that deletes an item does not free its key.",
            &[Operation::Commit],
            linger_for_ever,
            &["produce::keys_linger_after_a_commit_that_completes_and_not_after_one_that_deletes"],
        ),
        edited(
            "time_passed_frees_keys_at_completion",
            "A key whose time had passed when its item was completed does not linger.",
            &[Operation::Maintain, Operation::Complete],
            |scene| {
                scene.partitions(|_, now| {
                    now.gone_keys
                        .retain(|key| key.due_at > Timestamp::from_micros(100));
                });
            },
            &["produce::lingering_dedup_key_is_freed_by_maintain_alone"],
        ),
        Mutant::new(
            "keys_are_freed_by_the_clock",
            "A produce frees what has lingered long enough, without maintain.",
            FreesAtProduce::wrap,
            &[
                "produce::dedup_key_lingers_even_if_its_time_had_passed_before_completion",
                "produce::lingering_dedup_key_is_freed_by_maintain_alone",
            ],
        ),
        Mutant::new(
            "duplicates_lengthen_the_time",
            "A refused duplicate begins the time of the key anew (NATS, issue 7302).",
            Lengthens::wrap,
            &[
                "produce::completed_dedup_key_is_taken_until_maintain_finds_its_time_passed",
                "produce::lingering_dedup_key_is_freed_by_maintain_alone",
                "produce::refused_duplicate_does_not_lengthen_the_time",
                "produce::time_of_a_dedup_key_counts_from_the_creation_of_its_item",
            ],
        ),
        edited(
            "keys_are_never_freed",
            "A key that lingers is due and stays.",
            &[Operation::Maintain],
            |scene| {
                scene.partitions(|before, now| {
                    let freed = before
                        .gone_keys
                        .iter()
                        .filter(|key| !now.gone_keys.contains(key));
                    let freed: Vec<_> = freed.cloned().collect();
                    now.gone_keys.extend(freed);
                });
            },
            &["produce::lingering_dedup_key_is_freed_by_maintain_alone"],
        ),
        edited(
            "time_of_a_key_counts_from_completion",
            "The time of a key begins when its item goes.",
            &[Operation::Complete, Operation::Maintain],
            |scene| {
                scene.partitions(|before, now| {
                    for key in &mut now.gone_keys {
                        if !before.gone_keys.contains(key) {
                            key.due_at = key.due_at.saturating_add(Duration::from_micros(1));
                        }
                    }
                });
            },
            &["produce::refused_duplicate_does_not_lengthen_the_time"],
        ),
        edited(
            "time_of_a_key_wraps",
            "A time beyond the largest timestamp is long past (beanstalkd, issue 118).",
            &[Operation::Complete],
            |scene| {
                scene.partitions(|_, now| {
                    for key in &mut now.gone_keys {
                        if key.due_at == Timestamp::MAX {
                            key.due_at = Timestamp::MIN;
                        }
                    }
                });
            },
            &["produce::dedup_time_beyond_the_largest_timestamp_ends_there"],
        ),
        edited(
            "lingering_keys_are_lost_at_reopening",
            "Keys are rebuilt from the items that are there (NATS, issue 3272).",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.gone_keys.clear()),
            &[
                "partitions::stats_are_kept_over_a_reopening",
                "produce::lingering_keys_are_kept_over_a_reopening",
            ],
        ),
        Mutant::new(
            "a_freed_key_is_freed_again",
            "What is due stays in the index: a key that lingers again is freed at its first time.",
            FreesAgain::wrap,
            &[
                "produce::freed_dedup_key_belongs_to_its_new_item_alone",
                "produce::later_change_of_the_time_does_not_move_a_lingering_key",
            ],
        ),
    ]
}
