//! That the scenes prove something: each mistake in the drivers' locking is caught by the scene named for it.

use storage_schedules::MISFITS;
use storage_schedules::mistakes::{LIST, making};

use crate::explore::{Scene, failure};
use crate::kv::{self, Engine};
use crate::memory;
use storage_schedules::memory::Overflow;

/// Makes the mistake and runs the scene as often as it is run without it, until it fails with some of these words.
fn assert_caught(name: &str, scene: Scene, words: &[&str]) {
    let mistake = LIST.iter().find(|mistake| mistake.name == name);
    let mistake = mistake.expect("every mistake is in the list");
    assert!(
        !MISFITS.contains(&name),
        "{name} is not made any more: the source is no longer what its edits say; mend them in src/mistakes/list.rs"
    );

    let failure = making(mistake, || failure(scene));

    let (runs, why) = failure.unwrap_or_else(|| panic!("{name} survived every schedule"));
    assert!(
        words.iter().any(|words| why.contains(words)),
        "{name} is caught for another reason: {why}"
    );
    eprintln!("{name} is caught by schedule {runs}: {why}");
}

/// Declares a test for each mistake, with what the failure says, and that none of the list is left out.
macro_rules! caught {
    ($($name:ident by $scene:expr, $($words:literal)or+;)*) => {
        $(
            #[test]
            fn $name() {
                assert_caught(stringify!($name), || $scene, &[$($words),+]);
            }
        )*

        #[test]
        fn every_mistake_has_a_scene() {
            let named = [$(stringify!($name)),*];
            let listed: Vec<_> = LIST.iter().map(|mistake| mistake.name).collect();

            assert_eq!(named[..], listed, "the tests, and the list in src/mistakes/list.rs");
        }
    };
}

caught! {
    counts_what_came_during_a_sync_as_synced by kv::power_goes(Engine::Many, 2), "was acknowledged, but only";
    tells_those_who_came_during_a_sync by kv::power_goes(Engine::Many, 1), "was acknowledged, but only";
    calls_the_syncing_thread_before_it_queues by kv::everything_is_worked_off(Engine::Many, 1), "deadlock!";
    leaves_a_closed_gate_without_its_lock by kv::closed_while_called(Engine::Many), "deadlock!";
    looks_whether_the_gate_is_closed_before_it_is_counted by kv::closed_while_called(Engine::Many), "deadlock!" or "right: Closed";
    takes_a_round_out_of_sight_before_it_is_written by kv::read_beside_rounds(Engine::One), "items of q/";
    lets_go_between_looking_at_a_number_and_taking_it by kv::everything_is_worked_off(Engine::Many, 2), "a lease was given twice";
    trusts_a_partition_that_went_while_it_waited by kv::partitions_come_and_go(Engine::Many), "an id was given twice";
    locks_partitions_in_the_order_in_which_they_are_named by kv::partitions_come_and_go(Engine::Many), "deadlock!";
    stops_writing_after_it_told_of_a_failure by kv::engine_fails(Engine::Many), "after a failure";
    calls_synced_what_was_abandoned by kv::engine_fails(Engine::One), "was acknowledged";
    forgets_to_leave_when_it_is_dropped by kv::calls_are_dropped(Engine::Many), "deadlock!";
    looks_for_room_and_takes_it_in_two_steps by memory::limit_holds(Overflow::Reject), "in the account" or "subtract with overflow";
    marks_by_what_was_taken_a_moment_ago by memory::marks_agree(), "filled and drained once";
    reads_a_number_and_writes_the_next_in_two_steps by memory::leases_differ(), "a lease was given twice";
    forgets_for_a_moment_what_a_deleted_partition_gave by memory::partitions_come_and_go(), "an id was given twice";
    takes_a_shortcut_to_what_has_gone by memory::partitions_come_and_go(), "an id was given twice";
    fires_before_it_changes by memory::everything_is_worked_off(1), "deadlock!";
    lets_go_between_checks_and_writes by memory::increments_are_kept(), "increments that were committed";
    wakes_nobody_when_it_closes by memory::closed_while_called(), "deadlock!";
}
