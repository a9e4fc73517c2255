//! What RocksDB itself makes of logs that are damaged: why the driver looks at them first, and which mode it takes.

use std::fs;
use std::path::Path;

use rocksdb::{DB, DBRecoveryMode, Options};

use storage_stories::scene::copy;

const ROWS: usize = 10;

/// How many of the rows are there once a killed database was opened, or `None` where it was refused; `harm` is done to its
/// log before.
fn rows_left(mode: DBRecoveryMode, harm: impl Fn(&mut Vec<u8>)) -> Option<usize> {
    let scratch = tempfile::tempdir().unwrap();
    let (live, killed) = (scratch.path().join("live"), scratch.path().join("killed"));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_recovery_mode(mode);
    let database = DB::open(&options, &live).unwrap();
    for row in 0..ROWS {
        database.put(row.to_be_bytes(), [7; 100]).unwrap();
    }
    copy(&live, &killed);
    let log = fs::read_dir(&killed)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| is_log(path));
    let log = log.unwrap();
    let mut bytes = fs::read(&log).unwrap();
    harm(&mut bytes);
    fs::write(log, bytes).unwrap();

    let opened = DB::open(&options, &killed).ok()?;
    let is_there = |row: &usize| opened.get(row.to_be_bytes()).unwrap().is_some();
    Some((0..ROWS).filter(is_there).count())
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

#[test]
fn each_mode_makes_something_else_of_a_damaged_log() {
    let flip_middle = |log: &mut Vec<u8>| {
        let middle = log.len() / 2;
        log[middle] ^= 1;
    };
    let flip_last = |log: &mut Vec<u8>| {
        let last = log.len() - 1;
        log[last] ^= 1;
    };
    let cut = |log: &mut Vec<u8>| log.truncate(log.len() - 1);

    let outcomes = |mode: fn() -> DBRecoveryMode| {
        [
            rows_left(mode(), flip_middle),
            rows_left(mode(), flip_last),
            rows_left(mode(), cut),
        ]
    };

    // What stood behind the damage was acknowledged, and is gone without a word.
    let expected = [Some(ROWS / 2), Some(ROWS - 1), Some(ROWS - 1)];
    assert_eq!(outcomes(|| DBRecoveryMode::PointInTime), expected);
    // Damage is told; but it replays the logs behind one that lost its tail.
    let expected = [None, None, Some(ROWS - 1)];
    let tolerant = outcomes(|| DBRecoveryMode::TolerateCorruptedTailRecords);
    assert_eq!(tolerant, expected);
    // Every crash would be damage.
    let expected = [None; 3];
    assert_eq!(outcomes(|| DBRecoveryMode::AbsoluteConsistency), expected);
}
