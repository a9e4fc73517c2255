use std::fs;

use storage_api::{
    Durability, ErrorKind, ItemStore, NewItem, Object, PartitionConfig, PartitionId,
    PartitionStore, StorageBackend, Verify,
};

use crate::story::{Seen, Story, home, sealed, seen};

/// What must be seen of a file cut to `len` bytes: the last state that was whole by then.
fn state_at(marks: &[(usize, Seen)], len: usize) -> &Seen {
    let whole = marks.iter().rev().find(|(end, _)| *end <= len);
    &whole.expect("the first mark is the empty state").1
}

#[tokio::test]
async fn every_change_is_seen_and_survives_reopening() {
    let story = Story::new();
    let backend = story.open().await;
    let marks = story.day(&backend).await;
    for pair in marks.windows(2) {
        assert!(pair[0].0 < pair[1].0, "each change is an entry");
    }

    backend.close().await.unwrap();
    let backend = story.open().await;

    assert_eq!(seen(&backend).await.unwrap(), marks[marks.len() - 1].1);
    assert!(Verify::verify(&backend).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_cut_at_any_byte_opens_as_the_last_whole_change_left_it() {
    let story = Story::new();
    let backend = story.open().await;
    let marks = story.day(&backend).await;
    let whole = story.bytes();
    let first = marks[0].0;
    drop(backend);

    for len in first..=whole.len() {
        story.set_bytes(&whole[..len]);
        let backend = story.open().await;
        let expected = state_at(&marks, len);
        assert_eq!(&seen(&backend).await.unwrap(), expected, "cut to {len}");
        if len % 17 != 0 {
            continue;
        }
        // What is appended behind a torn tail must not be lost at the next opening.
        let late = PartitionId::new("late", 0).unwrap();
        let config = PartitionConfig::default();
        backend.create_partition(&late, config).await.unwrap();
        drop(backend);
        let backend = story.open().await;
        let partitions = seen(&backend).await.unwrap().partitions;
        assert_eq!(
            partitions.len(),
            expected.partitions.len() + 1,
            "cut to {len}"
        );
    }
}

#[tokio::test]
async fn garbage_in_place_of_the_tail_is_dropped() {
    let story = Story::new();
    let backend = story.open().await;
    let marks = story.day(&backend).await;
    let whole = story.bytes();
    drop(backend);
    let (last_start, last) = (marks[marks.len() - 2].0, &marks[marks.len() - 1].1);

    for at in last_start..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes.extend_from_slice(&[0; 100]);
        story.set_bytes(&bytes);
        let backend = story.open().await;
        let found = seen(&backend).await.unwrap();
        assert_ne!(&found, last, "byte {at}: damaged bytes are no data");
        assert_eq!(found, marks[marks.len() - 2].1, "byte {at}");
    }
}

#[tokio::test]
async fn a_byte_damaged_before_the_tail_is_refused_and_the_file_left_as_it_is() {
    for durability in [Durability::PowerLoss, Durability::ProcessCrash] {
        let story = Story::new().with_durability(durability);
        let backend = story.open().await;
        let marks = story.day(&backend).await;
        backend.close().await.unwrap();
        let whole = story.bytes();
        let (acknowledged, expected) = &marks[marks.len() - 1];

        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            story.set_bytes(&bytes);
            match story.try_open().await {
                Ok(backend) => {
                    assert!(at >= *acknowledged, "byte {at} was acknowledged");
                    assert_eq!(&seen(&backend).await.unwrap(), expected);
                }
                Err(error) => {
                    assert!(at < *acknowledged, "byte {at}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Corrupted);
                    let names = error.object().to_string();
                    assert!(names.ends_with("journal"), "{names}");
                    assert_eq!(story.bytes(), bytes);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_journal_that_was_closed_and_lost_its_end_or_all_is_refused_and_left_as_it_is() {
    let story = Story::new();
    let backend = story.open().await;
    story.day(&backend).await;
    backend.close().await.unwrap();
    let whole = story.bytes();
    let journal = story.path("journal");

    for len in 0..whole.len() {
        fs::write(&journal, &whole[..len]).unwrap();
        for _ in 0..2 {
            let error = story.try_open().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupted, "cut to {len}: {error}");
        }
        assert_eq!(story.bytes(), &whole[..len]);
    }
    fs::remove_file(&journal).unwrap();
    for _ in 0..2 {
        let error = story.try_open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
        assert!(!journal.exists(), "it is not made anew");
    }
    fs::write(&journal, &whole).unwrap();
    story.open().await;
}

#[tokio::test]
async fn a_journal_of_a_killed_process_that_is_gone_is_not_made_anew() {
    let story = Story::new();
    let backend = story.open_home().await;
    // As a kill leaves it.
    let mark = fs::read(story.path("MARK")).unwrap();
    drop(backend);
    fs::write(story.path("MARK"), mark).unwrap();
    fs::remove_file(story.path("journal")).unwrap();

    let error = story.try_open().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
}

#[tokio::test]
async fn a_mark_that_is_damaged_anywhere_is_refused() {
    let story = Story::new();
    drop(story.open_home().await);
    let path = story.path("MARK");
    let whole = fs::read(&path).unwrap();

    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        for damaged in [&damaged[..], &whole[..at]] {
            fs::write(&path, damaged).unwrap();
            let error = story.try_open().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupted, "byte {at}: {error}");
        }
    }
}

#[tokio::test]
async fn a_frame_within_a_payload_is_no_frame() {
    let story = Story::new();
    let backend = story.open_home().await;
    let before = story.bytes().len();
    // It checks, and says that everything was on the disk; but it stands elsewhere than it says.
    let forged = frame(0, u64::MAX, b"");
    let batch = sealed(0, [NewItem::new(&forged)]);
    backend.produce(&home(), batch).await.unwrap();
    let mut torn = story.bytes();
    drop(backend);

    torn[before] ^= 1;
    story.set_bytes(&torn);

    let backend = story.open().await;
    assert!(seen(&backend).await.unwrap().partitions[0].2.is_empty());
}

#[tokio::test]
async fn a_round_of_which_only_the_end_reached_the_disk_is_a_tail() {
    let story = Story::new();
    let backend = story.open_home().await;
    let expected = seen(&backend).await.unwrap();
    let whole = story.bytes();
    drop(backend);
    let torn = vec![0; 50];
    let place = (whole.len() + torn.len()) as u64;
    let close = [19];

    // The frame behind the hole was written in the same round: when it was, the hole was not on the disk.
    let same_round = frame(place, whole.len() as u64, &close);
    story.set_bytes(&[&*whole, &torn, &same_round].concat());
    let backend = story.open().await;
    assert_eq!(seen(&backend).await.unwrap(), expected);
    drop(backend);

    let later_round = frame(place, place, &close);
    story.set_bytes(&[&*whole, &torn, &later_round].concat());
    let error = story.try_open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_replacement_leaves_the_old_journal() {
    let story = Story::new();
    let backend = story.open().await;
    let marks = story.day(&backend).await;
    let old = story.bytes();
    backend.usage().await.unwrap();
    let new = story.bytes();
    drop(backend);
    assert!(new.len() < old.len(), "usage has replaced it");

    for len in (0..new.len()).step_by(7) {
        story.set_bytes(&old);
        fs::write(story.path("journal.new"), &new[..len]).unwrap();
        let backend = story.open().await;
        let expected = &marks[marks.len() - 1].1;
        assert_eq!(&seen(&backend).await.unwrap(), expected);
        assert!(!story.path("journal.new").exists());
    }
    story.set_bytes(&new);
    let backend = story.open().await;
    assert_eq!(seen(&backend).await.unwrap(), marks[marks.len() - 1].1);
}

#[tokio::test]
async fn a_crash_in_the_middle_of_the_first_opening_leaves_an_empty_place() {
    let story = Story::new();
    drop(story.open().await);
    let first = story.bytes();

    for len in 0..first.len() {
        fs::remove_file(story.path("journal")).unwrap();
        fs::remove_file(story.path("MARK")).unwrap();
        fs::write(story.path("journal.new"), &first[..len]).unwrap();
        let backend = story.open().await;
        assert_eq!(seen(&backend).await.unwrap(), Seen::default());
    }
}

#[tokio::test]
async fn an_entry_that_the_model_refuses_names_the_file_and_the_place() {
    let story = Story::new();
    drop(story.open_home().await);
    let bytes = story.bytes();
    // The same creation again, as a frame of its own that checks.
    let start = frame_end(&bytes, HEAD_BYTES);
    let entry = &bytes[start + FRAME_HEAD_BYTES..frame_end(&bytes, start)];
    let place = bytes.len() as u64;
    let again = frame(place, place, entry);
    story.set_bytes(&[&*bytes, &again].concat());

    let error = story.try_open().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(matches!(error.object(), Object::Place(_)));
    assert!(error.reason().contains(&place.to_string()), "{error}");
}

const HEAD_BYTES: usize = 16;
const FRAME_HEAD_BYTES: usize = 32;

fn frame_end(bytes: &[u8], start: usize) -> usize {
    let len = u64::from_le_bytes(bytes[start + 16..start + 24].try_into().unwrap());
    start + FRAME_HEAD_BYTES + usize::try_from(len).unwrap()
}

/// A frame that checks.
fn frame(place: u64, on_disk: u64, entry: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    for number in [place, on_disk, entry.len() as u64] {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    let head = crc32c::crc32c(&frame);
    frame.extend_from_slice(&head.to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(entry).to_le_bytes());
    frame.extend_from_slice(entry);
    frame
}
