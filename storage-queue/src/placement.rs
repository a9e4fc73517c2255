//! Where the partitions of a queue go: by affinity, with the largest remainder.

/// The storage of each new partition, as an index, where `existing` says how many each storage has already.
///
/// Each storage's share of all `total` partitions is by affinity: whole shares first, what is left over to the largest
/// remainders, the earlier storage where two are equal. So the numbers add up, and every partition is placed. Partitions do
/// not move: where a storage has more than its share, the new ones go to those that lack most.
pub(crate) fn place(affinities: &[u32], existing: &[u32], total: u32) -> Vec<usize> {
    let mut lacking: Vec<i64> = shares(affinities, total)
        .iter()
        .zip(existing)
        .map(|(share, has)| i64::from(*share) - i64::from(*has))
        .collect();
    let new = total.saturating_sub(existing.iter().sum());
    (0..new)
        .map(|_| {
            // The first of the largest: max_by_key gives the last.
            let storages = (0..lacking.len()).rev();
            let storage = storages.max_by_key(|storage| lacking[*storage]);
            let storage = storage.expect("there is at least one storage");
            lacking[storage] -= 1;
            storage
        })
        .collect()
}

fn shares(affinities: &[u32], total: u32) -> Vec<u32> {
    let sum: u64 = affinities.iter().map(|affinity| u64::from(*affinity)).sum();
    let quota = |affinity: u32| u64::from(total) * u64::from(affinity);
    let mut shares: Vec<u32> = affinities
        .iter()
        .map(|affinity| {
            u32::try_from(quota(*affinity) / sum).expect("a share is part of the total")
        })
        .collect();
    let mut by_remainder: Vec<usize> = (0..affinities.len()).collect();
    by_remainder.sort_by_key(|storage| std::cmp::Reverse(quota(affinities[*storage]) % sum));
    let left = total - shares.iter().sum::<u32>();
    for storage in by_remainder.into_iter().take(left as usize) {
        shares[storage] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_affinity_and_add_up() {
        for (affinities, total, expected) in [
            (&[1][..], 5, &[5][..]),
            (&[3, 1], 4, &[3, 1]),
            (&[3, 1], 1, &[1, 0]),
            (&[1, 1, 1], 4, &[2, 1, 1]),
            (&[1, 2, 3], 10, &[2, 3, 5]),
            (&[0, 1], 3, &[0, 3]),
            (&[u32::MAX, u32::MAX], 1024, &[512, 512]),
        ] {
            assert_eq!(
                shares(affinities, total),
                expected,
                "{affinities:?} {total}"
            );
        }
    }

    #[test]
    fn every_partition_is_placed_whatever_the_affinities() {
        for seed in 0..1000_u32 {
            let affinities: Vec<u32> = (1..=seed % 7 + 1)
                .map(|n| seed.wrapping_mul(n * 7919) % 11)
                .collect();
            if affinities.iter().sum::<u32>() == 0 {
                continue;
            }
            let total = seed % 97 + 1;

            let placed = place(&affinities, &vec![0; affinities.len()], total);

            assert_eq!(placed.len(), total as usize);
            assert!(placed.iter().all(|storage| affinities[*storage] > 0));
        }
    }

    #[test]
    fn a_growing_queue_fills_up_the_storages_that_lack_most() {
        assert_eq!(place(&[1, 1], &[2, 0], 4), [1, 1]);
        assert_eq!(place(&[1, 1], &[4, 0], 5), [1]);
        assert_eq!(place(&[1, 1], &[1, 1], 2), [0; 0]);
    }
}
