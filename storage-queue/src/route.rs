//! Which partition a key belongs to. The answer is stable: it is part of what is stored.

/// The partition of a key, below `partitions`, which is at least 1.
///
/// FNV-1a, then a jump consistent hash: where a queue grows from n to m partitions, a key stays where it was or goes to a
/// new partition, and only (m - n) / m of the keys move.
pub(crate) fn partition_of(key: &[u8], partitions: u32) -> u32 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    jump(mix(hash), partitions)
}

/// Spreads every bit of a number over all 64: FNV alone leaves the high bits of short keys nearly equal, and numbers given
/// out one after the other differ in few.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Lamping and Veach's jump consistent hash.
fn jump(mut hash: u64, partitions: u32) -> u32 {
    let mut partition = 0;
    let mut next = 0_u64;
    while next < u64::from(partitions) {
        partition = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (partition + 1) * 2^31 / ((hash >> 33) + 1), in whole numbers: no rounding differs between machines.
        next = ((partition + 1) << 31) / ((hash >> 33) + 1);
    }
    u32::try_from(partition).expect("it is below the number of partitions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_where_they_always_were() {
        let found: Vec<u32> = ["", "a", "b", "customer-17", "é"]
            .iter()
            .map(|key| partition_of(key.as_bytes(), 16))
            .collect();

        assert_eq!(
            found, PINNED,
            "a change here sends keys of stored queues elsewhere"
        );
    }

    const PINNED: [u32; 5] = [11, 9, 12, 10, 15];

    #[test]
    fn keys_are_spread_evenly() {
        let mut counts = [0; 8];
        for key in 0..80_000_u32 {
            counts[partition_of(&key.to_le_bytes(), 8) as usize] += 1;
        }

        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn growing_moves_keys_to_new_partitions_only() {
        let mut moved = 0;
        for key in 0..10_000_u32 {
            let (before, after) = (
                partition_of(&key.to_le_bytes(), 4),
                partition_of(&key.to_le_bytes(), 5),
            );
            assert!(after == before || after == 4);
            moved += u32::from(after != before);
        }

        assert!((1_800..2_200).contains(&moved), "{moved}");
    }
}
