//! Wrong about metadata: entries, versions, scans, expiry.

use std::collections::BTreeSet;
use std::sync::Mutex;

use storage_api::*;
use storage_model::{Contents, Entry};

use crate::asked::{Wrong, metadata};
use crate::edited::edited;
use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        entries(),
        names(),
        scans(),
        namespaces(),
        expiry(),
        purging(),
    ]
    .concat()
}

/// The entry of a key, expired or not.
fn entry<'a>(contents: &'a Contents, namespace: &Namespace, key: &Key) -> Option<&'a Entry> {
    let mut entries = contents.metadata.iter();
    entries.find(|one| one.namespace == *namespace && one.entry.key == *key)
}

/// The entries of a namespace that a scan may show, in byte order.
fn shown<'a>(
    contents: &'a Contents,
    now: Timestamp,
    request: &'a ScanRequest,
) -> Vec<&'a MetadataEntry> {
    let entries = contents.metadata.iter();
    entries
        .filter(|one| one.namespace == request.namespace && request.range.contains(&one.entry.key))
        .map(|one| &one.entry)
        .filter(|entry| entry.expires_at.is_none_or(|at| at > now))
        .collect()
}

/// Behind which key a scan goes on.
fn point(request: &ScanRequest) -> Option<Key> {
    let after = request.after.as_ref()?;
    after
        .key_point(&request.namespace, &request.range, request.direction)
        .ok()
}

fn cursor(request: &ScanRequest, key: &Key) -> Cursor {
    Cursor::after_key(&request.namespace, &request.range, request.direction, key)
}

fn entries() -> Vec<Mutant> {
    vec![
        edited(
            "values_end_at_nul",
            "A value is stored as a text that ends at its first zero byte.",
            &[Operation::Commit],
            |scene| {
                for one in &mut scene.after.metadata {
                    let bytes = one.entry.value.as_bytes();
                    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                    one.entry.value = Value::try_from(text).expect("it is no longer");
                }
            },
            &["metadata::an_entry_comes_back_byte_for_byte"],
        ),
        metadata(
            "what_is_absent_is_empty",
            "A key without an entry has the empty value.",
            Wrong::Get(|_, _, key, found| {
                if found.is_none() {
                    *found = Some(MetadataEntry {
                        key: key.clone(),
                        value: Value::try_from("").expect("the empty value"),
                        version: Version::MIN,
                        expires_at: None,
                    });
                }
            }),
            &[
                "metadata::a_deleted_entry_is_absent",
                "metadata::what_was_never_set_is_absent",
            ],
        ),
        edited(
            "the_first_value_stays",
            "An entry that is there is not replaced.",
            &[Operation::Commit],
            |scene| {
                for one in &mut scene.after.metadata {
                    if let Some(before) = entry(scene.before, &one.namespace, &one.entry.key) {
                        one.entry.value = before.entry.value.clone();
                    }
                }
            },
            &[
                "commit::a_lost_update_is_refused",
                "metadata::a_later_value_takes_the_place_of_the_earlier",
            ],
        ),
        edited(
            "expiry_of_an_earlier_value_stays",
            "An expiry is set once: a later value goes when the earlier one would have gone.",
            &[Operation::Commit],
            |scene| {
                for one in &mut scene.after.metadata {
                    let before = entry(scene.before, &one.namespace, &one.entry.key);
                    if let Some(earlier) = before.and_then(|before| before.entry.expires_at) {
                        one.entry.expires_at = Some(earlier);
                    }
                }
            },
            &["metadata::a_purge_forgets_the_expiry_of_an_earlier_value"],
        ),
        metadata(
            "deleting_what_is_absent_fails",
            "A deletion without anything to delete is an error.",
            Wrong::Decided(|ground, sound| {
                let absent = ground.request.writes().iter().any(|write| match write {
                    Write::Delete { namespace, key } => {
                        entry(ground.before, namespace, key).is_none()
                    }
                    Write::Put { .. } => false,
                });
                if absent {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        Operation::Commit,
                        Object::Backend,
                        "nothing to delete",
                    ));
                }
                sound
            }),
            &[
                "metadata::deleting_what_is_absent_is_legal",
                "metadata::no_two_commits_give_the_same_version",
            ],
        ),
        edited(
            "deletion_leaves_an_empty_entry",
            "A tombstone is taken for an entry with the empty value.",
            &[Operation::Commit],
            |scene| {
                for before in &scene.before.metadata {
                    if entry(scene.after, &before.namespace, &before.entry.key).is_none() {
                        let mut tombstone = before.clone();
                        tombstone.entry.value = Value::try_from("").expect("the empty value");
                        scene.after.metadata.push(tombstone);
                    }
                }
                scene.after.metadata.sort_by(|a, b| {
                    (&a.namespace, &a.entry.key).cmp(&(&b.namespace, &b.entry.key))
                });
            },
            &["metadata::a_deleted_entry_is_absent"],
        ),
        edited(
            "versions_begin_anew_with_the_key",
            "A key that was deleted counts its versions from the beginning.",
            &[Operation::Commit],
            |scene| {
                let gone =
                    |one: &Entry| entry(scene.after, &one.namespace, &one.entry.key).is_none();
                if scene.before.metadata.iter().any(gone) {
                    scene.after.last_version = 0;
                }
            },
            &["metadata::versions_of_a_key_grow_also_across_its_deletion"],
        ),
        edited(
            "each_write_has_its_own_version",
            "The versions of one commit are as many as its writes.",
            &[Operation::Commit],
            |scene| {
                let last = scene.before.last_version;
                let mut next = last;
                for one in &mut scene.after.metadata {
                    if one.entry.version.get() > last {
                        next += 1;
                        one.entry.version = Version::new(next).expect("few versions");
                    }
                }
                scene.after.last_version = scene.after.last_version.max(next);
            },
            &[
                "commit::all_of_a_commit_applies",
                "metadata::all_writes_of_a_commit_have_its_version",
            ],
        ),
        metadata(
            "every_commit_takes_a_version",
            "A commit that writes nothing is answered with a version.",
            Wrong::Decided(|_, sound| match sound {
                Ok(CommitOutcome::Committed(committed)) if committed.version.is_none() => {
                    let version = Some(Version::MIN);
                    Ok(CommitOutcome::Committed(Committed {
                        version,
                        ..committed
                    }))
                }
                sound => sound,
            }),
            &[
                "commit::a_range_that_is_as_it_was_seen_holds",
                "commit::a_read_only_transaction_tells_whether_its_reads_hold_together",
            ],
        ),
        edited(
            "versions_begin_anew_at_reopening",
            "The counter of versions is kept in memory.",
            &[Operation::Open],
            |scene| scene.after.last_version = 0,
            &["metadata::versions_grow_across_a_reopening"],
        ),
        edited(
            "expiries_are_lost_at_reopening",
            "When an entry expires is kept in memory.",
            &[Operation::Open],
            |scene| {
                for one in &mut scene.after.metadata {
                    one.entry.expires_at = None;
                }
            },
            &["metadata::metadata_survives_a_reopening"],
        ),
        edited(
            "metadata_is_lost_at_reopening",
            "Metadata is kept in memory.",
            &[Operation::Open],
            |scene| scene.after.metadata.clear(),
            &["commit::a_commit_survives_a_reopening"],
        ),
    ]
}

fn names() -> Vec<Mutant> {
    vec![
        edited(
            "deleting_a_key_takes_what_begins_alike",
            "A key is deleted as a prefix.",
            &[Operation::Commit],
            |scene| {
                let kept = |one: &Entry, after: &Contents| {
                    entry(after, &one.namespace, &one.entry.key).is_some()
                };
                let before = scene.before.metadata.iter();
                let gone: Vec<_> = before.filter(|one| !kept(one, scene.after)).collect();
                scene.after.metadata.retain(|one| {
                    !gone.iter().any(|gone| {
                        gone.namespace == one.namespace
                            && one
                                .entry
                                .key
                                .as_bytes()
                                .starts_with(gone.entry.key.as_bytes())
                    })
                });
            },
            &["metadata::keys_that_begin_alike_are_kept_apart"],
        ),
        edited(
            "deleting_reaches_into_namespaces_that_begin_alike",
            "The name of a namespace is a prefix of keys without an end.",
            &[Operation::Commit],
            |scene| {
                let kept = |one: &Entry, after: &Contents| {
                    entry(after, &one.namespace, &one.entry.key).is_some()
                };
                let before = scene.before.metadata.iter();
                let gone: Vec<_> = before.filter(|one| !kept(one, scene.after)).collect();
                scene.after.metadata.retain(|one| {
                    !gone.iter().any(|gone| {
                        gone.entry.key == one.entry.key
                            && one.namespace.as_str().starts_with(gone.namespace.as_str())
                    })
                });
            },
            &["metadata::namespaces_that_begin_alike_are_kept_apart"],
        ),
        metadata(
            "namespace_and_key_are_joined",
            "Namespace and key are put behind each other without anything between them.",
            Wrong::Get(|contents, namespace, key, found| {
                let joined = |namespace: &Namespace, key: &Key| {
                    [namespace.as_str().as_bytes(), key.as_bytes()].concat()
                };
                let asked = joined(namespace, key);
                let mut entries = contents.metadata.iter();
                let same = entries.find(|one| joined(&one.namespace, &one.entry.key) == asked);
                *found = same.map(|one| one.entry.clone());
            }),
            &[
                "metadata::a_namespace_and_a_key_do_not_run_together",
                "metadata::an_entry_is_absent_from_its_expiry_on",
            ],
        ),
        metadata(
            "partitions_are_kept_in_a_namespace",
            "The catalogue of partitions is metadata that everybody sees.",
            Wrong::Namespaces(|contents, after, _, page| {
                if !contents.partitions.is_empty() && after.is_none() {
                    page.items
                        .insert(0, Namespace::new("#partitions").expect("a short name"));
                }
            }),
            &["metadata::partitions_and_items_are_in_no_namespace"],
        ),
        edited(
            "a_partition_takes_the_namespace_of_its_name_along",
            "Items and metadata of one name are deleted together.",
            &[Operation::DeletePartition],
            |scene| {
                let there = scene
                    .after
                    .partitions
                    .iter()
                    .map(|one| one.info.id.queue().as_str().to_owned());
                let there: BTreeSet<_> = there.collect();
                let before = scene.before.partitions.iter();
                let gone = before
                    .map(|one| one.info.id.queue().as_str())
                    .filter(|name| !there.contains(*name));
                let gone: BTreeSet<_> = gone.collect();
                scene
                    .after
                    .metadata
                    .retain(|one| !gone.contains(one.namespace.as_str()));
            },
            &["metadata::a_partition_goes_without_the_namespace_of_its_name"],
        ),
    ]
}

fn scans() -> Vec<Mutant> {
    vec![
        metadata(
            "a_page_begins_with_the_last_of_the_one_before",
            "A cursor is taken for the first of its page: an entry comes twice.",
            Wrong::Scan(|contents, now, request, page| {
                let again = point(request);
                let again = shown(contents, now, request)
                    .into_iter()
                    .find(|entry| Some(&entry.key) == again.as_ref());
                if let Some(entry) = again {
                    page.items.insert(0, entry.clone());
                }
            }),
            &["metadata::a_scan_cursor_is_good_for_its_own_scan_alone"],
        ),
        metadata(
            "a_full_page_is_never_the_last",
            "A page that is full has a cursor, whether anything follows or not.",
            Wrong::Scan(|_, _, request, page| {
                if page.next.is_none() && page.items.len() == request.entries_max.get() {
                    page.next = page.items.last().map(|last| cursor(request, &last.key));
                }
            }),
            &["metadata::a_scan_gives_the_keys_by_bytes_in_pages_of_every_size"],
        ),
        metadata(
            "a_backward_page_skips_its_first",
            "Turning round at the border of a page loses an entry (leanstore, pull 39).",
            Wrong::Scan(|_, _, request, page| {
                if request.direction == Direction::Backward
                    && request.after.is_some()
                    && page.items.len() > 1
                {
                    page.items.remove(0);
                }
            }),
            &["metadata::a_scan_hides_and_repeats_nothing_while_what_it_showed_goes"],
        ),
        metadata(
            "a_range_includes_its_end",
            "The upper end of a range belongs to it.",
            Wrong::Scan(|contents, now, request, page| {
                let end = request.range.to();
                let whole = ScanRequest::new(request.namespace.clone(), KeyRange::all());
                let found = shown(contents, now, &whole)
                    .into_iter()
                    .find(|entry| Some(&entry.key) == end);
                if let (Some(entry), Direction::Forward, false) =
                    (found, request.direction, request.range.is_empty())
                    && page.next.is_none()
                {
                    page.items.push(entry.clone());
                }
            }),
            &[
                "metadata::a_backward_scan_over_many_pages_is_the_forward_one_reversed",
                "metadata::a_scan_goes_from_one_key_up_to_but_without_another",
            ],
        ),
        metadata(
            "a_reversed_range_is_turned_round",
            "The ends of a range are put in order (redb, pull 1062).",
            Wrong::ScanAsked(|_, request| {
                if request.range.is_empty() {
                    let (from, to) = (request.range.from().cloned(), request.range.to().cloned());
                    request.range = KeyRange::new(to, from);
                }
            }),
            &["metadata::a_scan_of_a_reversed_range_gives_and_removes_nothing"],
        ),
        metadata(
            "a_prefix_of_the_largest_bytes_has_no_end",
            "The end of a prefix is its last byte plus one, and there is none behind ff (muninndb, pull 834).",
            Wrong::ScanAsked(|_, request| {
                if request
                    .range
                    .from()
                    .is_some_and(|from| from.as_bytes().ends_with(&[0xff]))
                {
                    request.range = KeyRange::new(request.range.from().cloned(), None);
                }
            }),
            &["metadata::a_scan_of_a_prefix_stops_before_its_neighbour"],
        ),
        metadata(
            "a_page_is_as_large_as_asked_for",
            "Only entries are counted, not their bytes.",
            Wrong::Scan(|contents, now, request, page| {
                if page.next.is_some() && page.items.len() < request.entries_max.get() {
                    let mut all: Vec<_> =
                        shown(contents, now, request).into_iter().cloned().collect();
                    if request.direction == Direction::Backward {
                        all.reverse();
                    }
                    let seen = point(request).map_or(0, |key| {
                        all.iter()
                            .position(|entry| entry.key == key)
                            .map_or(0, |index| index + 1)
                    });
                    *page = Page::last(all.split_off(seen));
                }
            }),
            &["metadata::a_scan_page_ends_before_the_entry_that_exceeds_an_answer"],
        ),
        metadata(
            "a_cursor_whose_key_has_gone_is_the_end",
            "A scan goes on behind its last entry only if that is still there.",
            Wrong::Scan(|contents, _, request, page| {
                if point(request)
                    .is_some_and(|key| entry(contents, &request.namespace, &key).is_none())
                {
                    *page = Page::last(Vec::new());
                }
            }),
            &["metadata::a_scan_hides_and_repeats_nothing_while_what_it_showed_goes"],
        ),
        metadata(
            "what_was_written_last_is_shown_again",
            "New versions lie in a table of their own, which each page reads from its start.",
            Wrong::Scan(|contents, now, request, page| {
                let Some(key) = point(request) else { return };
                if request.direction == Direction::Forward {
                    let new = shown(contents, now, request).into_iter();
                    let new = new.filter(|entry| {
                        entry.key < key && entry.version.get() == contents.last_version
                    });
                    page.items.splice(0..0, new.cloned().collect::<Vec<_>>());
                }
            }),
            &["metadata::a_scan_shows_what_stays_once_while_others_come_and_change"],
        ),
        metadata(
            "a_foreign_cursor_begins_anew",
            "A cursor that does not fit is as good as none.",
            Wrong::ScanRefused(|request| request.after = None),
            &["metadata::a_scan_cursor_is_good_for_its_own_scan_alone"],
        ),
    ]
}

fn namespaces() -> Vec<Mutant> {
    vec![
        metadata(
            "a_namespace_comes_once_for_each_entry",
            "The namespaces of entries that follow each other are listed one by one.",
            Wrong::Namespaces(|contents, _, namespaces_max, page| {
                let mut all = Vec::new();
                for space in &page.items {
                    let entries = contents
                        .metadata
                        .iter()
                        .filter(|one| one.namespace == *space);
                    all.extend(entries.map(|one| one.namespace.clone()));
                }
                all.truncate(namespaces_max.get());
                page.items = all;
            }),
            &["metadata::a_purge_forgets_the_expiry_of_an_earlier_value"],
        ),
        metadata(
            "namespaces_end_where_the_last_one_has_gone",
            "The listing of namespaces goes on only behind one that is still there.",
            Wrong::Namespaces(|contents, after, _, page| {
                let last = after.and_then(|after| after.namespace_point().ok());
                let has_gone =
                    |last: &Namespace| !contents.metadata.iter().any(|one| one.namespace == *last);
                if last.as_ref().is_some_and(has_gone) {
                    *page = Page::last(Vec::new());
                }
            }),
            &["metadata::namespaces_that_stay_come_once_while_others_come_and_go"],
        ),
        metadata(
            "a_page_of_namespaces_loses_its_last",
            "The look ahead that tells whether there is more takes one away.",
            Wrong::Namespaces(|_, _, _, page| {
                if page.next.is_some() && page.items.len() > 1 {
                    page.next = page.items.last().map(Cursor::after_namespace);
                    page.items.pop();
                }
            }),
            &["metadata::namespaces_page_by_bytes_in_pages_of_every_size"],
        ),
        Mutant::new(
            "a_namespace_is_there_for_ever",
            "A namespace is made by its first entry and never goes.",
            KeepsNamespaces::wrap,
            &[
                "metadata::a_namespace_goes_with_its_last_entry",
                "metadata::a_namespace_holds_expired_entries_until_they_are_purged",
            ],
        ),
        metadata(
            "namespaces_without_a_living_entry_are_hidden",
            "What can expire does not count towards a namespace.",
            Wrong::Namespaces(|contents, _, _, page| {
                page.items.retain(|space| {
                    let mut entries = contents.metadata.iter();
                    entries.any(|one| one.namespace == *space && one.entry.expires_at.is_none())
                });
            }),
            &["metadata::a_namespace_holds_expired_entries_until_they_are_purged"],
        ),
    ]
}

wrong! {
    /// Namespaces that were seen once are shown on the last page.
    KeepsNamespaces { seen: Mutex<BTreeSet<Namespace>> }
    MetadataStore [namespaces] {
        async fn namespaces(&self, after: Option<&Cursor>, namespaces_max: Count) -> Result<Page<Namespace>> {
            let mut page = self.inner.namespaces(after, namespaces_max).await?;
            let mut seen = self.seen.lock().expect("nobody panics with it");
            let missing = seen.iter().filter(|space| !page.items.contains(space));
            let missing: Vec<_> = missing.cloned().collect();
            seen.extend(page.items.iter().cloned());
            if after.is_none() && page.next.is_none() && self.at.fired.fire_if(!missing.is_empty()) {
                page.items.extend(missing);
                page.items.sort();
            }
            Ok(page)
        }
    }
}

fn expiry() -> Vec<Mutant> {
    vec![
        metadata(
            "an_entry_is_there_at_its_expiry",
            "Expiry is compared with less than, not with less or equal.",
            Wrong::ScanAsked(|now, _| {
                *now = now.saturating_sub(std::time::Duration::from_micros(1))
            }),
            &["metadata::an_entry_expires_at_the_smallest_and_the_largest_time"],
        ),
        metadata(
            "entries_are_there_until_they_are_purged",
            "Nobody looks at the expiry but purge.",
            Wrong::ScanAsked(|now, _| *now = Timestamp::MIN),
            &["metadata::an_entry_expires_at_the_smallest_and_the_largest_time"],
        ),
        Mutant::new(
            "looking_purges",
            "An entry that was found expired is removed, whatever the time may be at the next look.",
            LookingPurges::wrap,
            &["metadata::an_expired_entry_is_there_again_when_time_goes_back"],
        ),
        metadata(
            "expired_entries_fill_a_page",
            "Expired entries count towards the size of a page.",
            Wrong::Scan(|contents, now, request, page| {
                let all = shown(contents, Timestamp::MIN, request);
                let expired = all.len() - shown(contents, now, request).len();
                let room = request.entries_max.get();
                if expired >= room
                    && request.after.is_none()
                    && !all.is_empty()
                    && !page.items.is_empty()
                {
                    let first = cursor(request, &page.items[0].key);
                    (page.items, page.next) = (Vec::new(), Some(first));
                }
            }),
            &["metadata::a_scan_passes_over_any_number_of_expired_entries"],
        ),
        metadata(
            "expired_followers_count",
            "Whether more follows is answered without a look at the expiry.",
            Wrong::Scan(|contents, _, request, page| {
                let last = page.items.last().map(|entry| entry.key.clone());
                let Some(last) = last else { return };
                let all = shown(contents, Timestamp::MIN, request);
                let follows = all.iter().any(|entry| match request.direction {
                    Direction::Forward => entry.key > last,
                    Direction::Backward => entry.key < last,
                });
                if page.next.is_none() && follows {
                    page.next = Some(cursor(request, &last));
                }
            }),
            &["metadata::expired_followers_give_a_page_no_cursor"],
        ),
        metadata(
            "checks_see_what_has_expired",
            "A check looks at what is stored, not at what is still there.",
            Wrong::Asked(|_, parts| {
                if parts.steps.is_empty() {
                    parts.now = Timestamp::MIN;
                }
            }),
            &["metadata::checks_see_entries_as_they_are_at_the_time_of_the_commit"],
        ),
        metadata(
            "an_expired_entry_keeps_its_version",
            "An entry put over an expired one takes its version.",
            Wrong::Decided(|ground, sound| {
                let now = ground.request.now();
                let expired = ground.request.writes().iter().find_map(|write| {
                    let (namespace, key) = write.target();
                    let before = entry(ground.before, namespace, key)?;
                    let has_expired = before.entry.expires_at.is_some_and(|at| at <= now);
                    has_expired.then_some(before.entry.version)
                });
                match (sound, expired) {
                    (Ok(CommitOutcome::Committed(committed)), Some(version)) => {
                        let version = Some(version);
                        Ok(CommitOutcome::Committed(Committed {
                            version,
                            ..committed
                        }))
                    }
                    (sound, _) => sound,
                }
            }),
            &["metadata::an_entry_put_over_an_expired_one_has_a_greater_version"],
        ),
    ]
}

wrong! {
    /// A look at a time removes what has expired then.
    LookingPurges
    MetadataStore [get] {
        async fn get(&self, now: Timestamp, namespace: &Namespace, key: &Key) -> Result<Option<MetadataEntry>> {
            self.at.edit(|contents| {
                contents.metadata.retain(|one| {
                    one.namespace != *namespace || one.entry.key != *key || one.entry.expires_at.is_none_or(|at| at > now)
                });
            });
            self.inner.get(now, namespace, key).await
        }
    }
}

fn purging() -> Vec<Mutant> {
    vec![
        metadata(
            "purge_comes_early",
            "An entry is purged a microsecond before it expires.",
            Wrong::PurgeAsked(|_, now, _| {
                *now = now.saturating_add(std::time::Duration::from_micros(1))
            }),
            &[
                "metadata::a_purge_reclaims_what_has_expired_and_nothing_else",
                "metadata::a_purge_stops_at_its_maximum_and_tells_whether_there_is_more",
            ],
        ),
        edited(
            "purge_goes_by_key",
            "Purging walks the entries instead of their expiries.",
            &[Operation::Purge],
            |scene| {
                let now = scene.now.unwrap_or(Timestamp::MIN);
                let has_expired = |one: &Entry| one.entry.expires_at.is_some_and(|at| at <= now);
                let mut left = scene.before.metadata.len() - scene.after.metadata.len();
                scene.after.metadata = scene.before.metadata.clone();
                scene.after.metadata.retain(|one| {
                    let goes = left > 0 && has_expired(one);
                    left -= usize::from(goes);
                    !goes
                });
            },
            &["metadata::a_purge_goes_by_expiry_then_namespace_then_key"],
        ),
        metadata(
            "a_full_purge_says_that_more_is_left",
            "Whether more is left is told by whether the step was full.",
            Wrong::Purged(|entries_max, purged| purged.more = purged.removed == entries_max.get()),
            &["corpus::a_purge_of_a_part_says_that_more_is_left"],
        ),
        Mutant::new(
            "deleted_entries_are_purged_again",
            "The index of expiries keeps what was deleted.",
            CountsDeleted::wrap,
            &["metadata::a_purge_counts_no_entry_that_was_deleted"],
        ),
    ]
}

wrong! {
    /// Expiries of entries that were deleted are counted once they have passed.
    CountsDeleted { deleted: Mutex<Vec<Timestamp>> }
    MetadataStore [purge] {
        async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
            let mut purged = self.inner.purge(now, entries_max).await?;
            let mut deleted = self.deleted.lock().expect("nobody panics with it");
            let before = deleted.len();
            deleted.retain(|at| *at > now);
            self.at.fired.fire_if(deleted.len() < before);
            purged.removed += before - deleted.len();
            Ok(purged)
        }
    }
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let before = self.inner.contents();
            let outcome = self.inner.commit(request).await;
            let after = self.inner.contents();
            let gone = before.metadata.iter().filter(|one| entry(&after, &one.namespace, &one.entry.key).is_none());
            let gone = gone.filter_map(|one| one.entry.expires_at);
            self.deleted.lock().expect("nobody panics with it").extend(gone);
            outcome
        }
    }
}
