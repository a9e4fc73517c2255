//! What is given out after a restore is greater than what was restored.

use storage_api::limits::RESTORED_NUMBER_MAX;
use storage_api::{
    Floors, Holder, ItemId, ItemState, LeaseId, NewItem, Position, RetryTo, Timestamp, Version,
};

use crate::env::{Env, answer_of, at};
use crate::part::{Part, payloads, ready_at, receipt, whole};

/// Leased at that position by that lease.
fn leased_by(lease: u64, position: u64) -> ItemState {
    ItemState::Leased {
        position: answer_of(Position::new(position)),
        lease: answer_of(LeaseId::new(lease)),
        deadline: Timestamp::MAX,
        holder: Holder::new(1).ok(),
    }
}

/// The id, the position and the lease of an item that is produced and leased now, ahead of all others.
async fn next_numbers(part: &Part) -> (u64, u64, u64) {
    let item = NewItem::new("next").priority(0);
    let id = part.produce_one(at(0), item).await;
    let leased = part.lease_one(at(0), at(10)).await;
    assert_eq!(leased.id, id);
    let position = leased.state.position().expect("it is ready or leased");
    (id.get(), position.get(), receipt(&leased).lease.get())
}

fn all_floors(floor: u64) -> Floors {
    let floors = Floors::none().with_id(answer_of(ItemId::new(floor)));
    let floors = floors.and_then(|all| all.with_position(answer_of(Position::new(floor))));
    let floors = floors.and_then(|all| all.with_lease(answer_of(LeaseId::new(floor))));
    let floors = floors.and_then(|all| all.with_version(answer_of(Version::new(floor))));
    answer_of(floors)
}

pub(super) async fn later_numbers_are_greater_than_restored_ones(env: Env) {
    for largest in [1000, 1 << 32, RESTORED_NUMBER_MAX] {
        let part = env.partition(&format!("up to {largest}")).await;
        let high = whole(largest, "high", leased_by(largest, largest));
        let low = whole(1, "low", ready_at(1));

        part.restore(vec![high, low], Floors::none()).await;

        let (id, position, lease) = next_numbers(&part).await;
        assert!(id > largest, "id {id} after {largest}");
        assert!(position > largest, "position {position} after {largest}");
        assert!(lease > largest, "lease {lease} after {largest}");
    }
}

pub(super) async fn later_numbers_are_greater_than_the_floors(env: Env) {
    let part = env.partition("a").await;
    let item = whole(3, "x", ready_at(3));

    for floor in [1000, RESTORED_NUMBER_MAX] {
        let mut item = item.clone();
        item.id = answer_of(ItemId::new(floor - 1));
        item.state = ready_at(floor - 1);
        part.restore(vec![item], all_floors(floor)).await;

        let (id, position, lease) = next_numbers(&part).await;
        assert!(id > floor, "id {id} above floor {floor}");
        assert!(position > floor, "position {position} above floor {floor}");
        assert!(lease > floor, "lease {lease} above floor {floor}");
    }
}

pub(super) async fn floors_hold_without_an_item(env: Env) {
    let part = env.partition("a").await;
    let floor = 1 << 40;

    part.restore(Vec::new(), all_floors(floor)).await;

    let (id, position, lease) = next_numbers(&part).await;
    let version = env.put("n", "k", "v").await.get();
    let numbers = [id, position, lease, version];
    assert!(
        numbers.iter().all(|number| *number > floor),
        "{numbers:?} above {floor}"
    );
}

pub(super) async fn low_floors_and_numbers_lower_nothing(env: Env) {
    let part = env.partition("a").await;
    let high = whole(1000, "high", leased_by(1000, 1000));
    part.restore(vec![high], all_floors(2000)).await;

    let low = whole(1, "low", leased_by(1, 1));
    part.restore(vec![low], all_floors(5)).await;

    let (id, position, lease) = next_numbers(&part).await;
    let version = env.put("n", "k", "v").await.get();
    let numbers = [id, position, lease, version];
    assert!(
        numbers.iter().all(|number| *number > 2000),
        "{numbers:?} above 2000"
    );
}

pub(super) async fn leases_of_other_partitions_are_greater_than_restored_ones(env: Env) {
    let (part, other) = (env.partition("a").await, env.partition("other").await);
    let restored = whole(1, "x", leased_by(1 << 40, 1));

    part.restore(vec![restored], Floors::none()).await;

    let (.., lease) = next_numbers(&other).await;
    assert!(lease > 1 << 40, "lease {lease}");
}

pub(super) async fn a_floor_of_versions_holds_for_partitions_and_metadata(env: Env) {
    let part = env.partition("a").await;
    let floor = answer_of(Version::new(1 << 40));
    let floors = answer_of(Floors::none().with_version(floor));

    part.restore(vec![whole(1, "x", ready_at(1))], floors).await;

    let put = env.put("n", "k", "v").await;
    let updated = part.update(Default::default()).await;
    let created = env.partition("b").await.info().await.created;
    assert!(put > floor, "{put} above {floor}");
    assert!(updated > floor, "{updated} above {floor}");
    assert!(created > floor, "{created} above {floor}");
}

pub(super) async fn a_restored_item_retried_stands_behind_all(env: Env) {
    let part = env.partition("a").await;
    let first = whole(1, "retried", ready_at(10));
    let last = whole(2, "last", ready_at(1000));
    part.restore(vec![first, last], Floors::none()).await;

    let leased = part.lease_one(at(0), at(10)).await;
    part.retry(at(0), receipt(&leased), RetryTo::Now).await;

    let order = part.lease(at(0), at(10), 2).await;
    assert_eq!(payloads(&order), ["last", "retried"]);
}

pub(super) async fn floors_survive_reopening(env: Env) {
    let part = env.partition("a").await;
    let floor = 1 << 40;
    let item = whole(1, "x", ready_at(1));
    part.restore(vec![item], all_floors(floor)).await;

    env.reopen().await;

    let (id, position, lease) = next_numbers(&part).await;
    let version = env.put("n", "k", "v").await.get();
    let numbers = [id, position, lease, version];
    assert!(
        numbers.iter().all(|number| *number > floor),
        "{numbers:?} above {floor}"
    );
}
