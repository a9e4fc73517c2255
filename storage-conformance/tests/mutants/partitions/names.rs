//! Wrong about the names of partitions, and the pages of them.

use storage_api::*;

use super::drivers::*;
use crate::answered::{Told, answered};
use crate::edited::edited;
use crate::mutant::Mutant;
use crate::renamed::renamed;

pub(super) fn mutants() -> Vec<Mutant> {
    [names(), pages()].concat()
}

fn names() -> Vec<Mutant> {
    vec![
        renamed(
            "queue_and_number_are_joined",
            "The key is the name followed by the number: partition 10 of `x` is partition 0 of `x1`.",
            |queue, number| match number {
                0..10 => (queue.to_owned(), number),
                _ => (format!("{queue}{}", number / 10), number % 10),
            },
            &["listing::a_cursor_of_another_partition_is_invalid"],
        ),
        renamed(
            "names_are_paths",
            "A name is a directory: `..` and `/` are resolved.",
            |queue, number| {
                let mut parts: Vec<&str> = Vec::new();
                for part in queue.split('/') {
                    match part {
                        "" | "." => {}
                        ".." => drop(parts.pop()),
                        part => parts.push(part),
                    }
                }
                (format!("/{}", parts.join("/")), number)
            },
            &[
                "finish::call_is_seen_whole_or_not_at_all",
                "restore::a_dedup_key_is_taken_in_its_partition_alone",
            ],
        ),
        renamed(
            "names_end_at_nul",
            "A name is a C string.",
            |queue, number| {
                (
                    queue.split('\0').next().unwrap_or_default().to_owned(),
                    number,
                )
            },
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        renamed(
            "names_are_trimmed",
            "Spaces at the ends of a name do not count.",
            |queue, number| (queue.trim_matches(' ').to_owned(), number),
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        renamed(
            "names_ignore_case",
            "The file system that keeps the names does not tell small letters from capitals.",
            |queue, number| (queue.to_lowercase(), number),
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        renamed(
            "names_are_cut_to_255_bytes",
            "A name is as long as a file name may be.",
            |queue, number| {
                let end = (0..=queue.len().min(255))
                    .rev()
                    .find(|end| queue.is_char_boundary(*end));
                (queue[..end.unwrap_or(0)].to_owned(), number)
            },
            &[
                "partitions::names_are_kept_over_a_reopening",
                "partitions::names_that_collide_are_deleted_apart",
                "partitions::names_that_collide_are_kept_apart",
            ],
        ),
        renamed(
            "numbers_are_a_byte",
            "The number of a partition is stored in one byte.",
            |queue, number| (queue.to_owned(), number % 256),
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        edited(
            "clear_takes_the_neighbours",
            "Clearing reaches into the next partition, as its range has no end (muninndb, pull 834).",
            &[Operation::Clear],
            |scene| {
                let cleared = scene.before.partitions.iter().zip(&scene.after.partitions);
                let is_cleared: Vec<_> = cleared
                    .map(|(old, new)| old.items.len() > new.items.len())
                    .collect();
                for index in 1..is_cleared.len() {
                    if is_cleared[index - 1] {
                        scene.after.partitions[index].items.clear();
                    }
                }
            },
            &[
                "listing::deleting_and_clearing_stay_in_their_partition",
                "partitions::clearing_one_partition_leaves_its_neighbours",
            ],
        ),
        Mutant::new(
            "names_are_lost_at_reopening",
            "Names are read back as what a terminal would show of them.",
            NamesLost::wrap,
            &["partitions::names_are_kept_over_a_reopening"],
        ),
    ]
}

fn pages() -> Vec<Mutant> {
    vec![
        answered(
            "partitions_are_listed_by_number",
            "Partitions are ordered by number, then by name.",
            Told::Partitions(|_, _, page| page.items.sort_by_key(|one| one.id.number())),
            &[
                "listing::partitions_page_by_the_bytes_of_the_name_then_by_number",
                "partitions::pages_of_partitions_join_to_the_whole_list",
            ],
        ),
        answered(
            "numbers_are_ordered_as_texts",
            "Partition 10 is listed before partition 2.",
            Told::Partitions(|_, _, page| {
                page.items
                    .sort_by_key(|one| (one.id.queue().clone(), one.id.number().to_string()));
            }),
            &[
                "listing::partitions_page_by_the_bytes_of_the_name_then_by_number",
                "partitions::names_that_collide_are_listed_as_they_were_given",
            ],
        ),
        answered(
            "names_are_ordered_without_case",
            "Names are ordered as a dictionary does.",
            Told::Partitions(|_, _, page| {
                page.items
                    .sort_by_key(|one| (one.id.queue().as_str().to_lowercase(), one.id.number()));
            }),
            &[
                "partitions::names_that_collide_are_listed_as_they_were_given",
                "partitions::partitions_are_listed_by_the_bytes_of_the_name_then_by_number",
            ],
        ),
        answered(
            "names_are_ordered_by_utf16",
            "Names are ordered as a runtime with 16-bit characters does.",
            Told::Partitions(|_, _, page| {
                page.items.sort_by_key(|one| {
                    let name: Vec<u16> = one.id.queue().as_str().encode_utf16().collect();
                    (name, one.id.number())
                });
            }),
            &["partitions::partitions_are_listed_by_the_bytes_of_the_name_then_by_number"],
        ),
        answered(
            "full_page_of_partitions_has_a_cursor",
            "A page that is full is taken for one that is not the last.",
            Told::Partitions(|_, max, page| {
                if page.items.len() == max.get() && page.next.is_none() {
                    page.next = page
                        .items
                        .last()
                        .map(|last| Cursor::after_partition(&last.id));
                }
            }),
            &["partitions::last_page_of_partitions_has_no_cursor_even_if_it_is_full"],
        ),
        answered(
            "pages_of_partitions_drop_their_last",
            "The partition at the boundary of two pages is on neither.",
            Told::Partitions(|_, _, page| {
                if page.next.is_some() && page.items.len() > 1 {
                    page.items.pop();
                }
            }),
            &[
                "partitions::last_page_of_partitions_has_no_cursor_even_if_it_is_full",
                "partitions::pages_of_partitions_join_to_the_whole_list",
                "partitions::partitions_deleted_between_pages_hide_no_other",
            ],
        ),
        Mutant::new(
            "partitions_are_paged_by_offset",
            "A cursor counts what was shown: removing that hides as many (BullMQ, pull 3034).",
            PagesByOffset::wrap,
            &[
                "listing::a_damaged_cursor_of_the_backend_is_invalid_whatever_byte_it_is",
                "listing::partitions_that_stay_come_once_while_others_come_and_go",
                "partitions::partitions_deleted_between_pages_hide_no_other",
            ],
        ),
        answered(
            "an_empty_backend_has_one_page_more",
            "A list of nothing says that a page follows.",
            Told::Partitions(|contents, _, page| {
                if contents.partitions.is_empty() && page.next.is_none() {
                    let none = PartitionId::new("none", 0).expect("it is within the limits");
                    page.next = Some(Cursor::after_partition(&none));
                }
            }),
            &[
                "partitions::backend_without_partitions_lists_none",
                "restore::a_restore_into_a_missing_partition_makes_none",
            ],
        ),
    ]
}
