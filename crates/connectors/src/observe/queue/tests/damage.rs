//! Files that are cut anywhere or changed anywhere, and files of a newer program.

use super::*;
use crate::observe::queue::OnDamage;

const SKIP: OnDamage = OnDamage::Skip;

/// A folder with one segment of 20 synced batches of two events and some that were never synced.
async fn one_segment() -> (Memory, String) {
    let memory = Memory::default();
    let queue = open(&memory, Options::default(), &["a"]).unwrap();
    for first in (0..40).step_by(2) {
        append(&queue, events([first, first + 1], 1)).await;
    }
    let killed = memory.killed();
    let name = killed.names("segment-").remove(0);
    (killed, name)
}

fn length(memory: &Memory, name: &str) -> usize {
    let mut length = 0;
    memory.edit(name, |content| length = content.len());
    length
}

#[tokio::test]
async fn a_segment_cut_anywhere_opens_with_what_is_whole() {
    let (memory, name) = one_segment().await;
    let mut last = 0;
    for cut in 0..=length(&memory, &name) {
        let torn = memory.killed();
        torn.edit(&name, |content| content.truncate(cut));
        let queue = open(&torn, small(), &["a"]).unwrap();
        let read = ids(&drain(&queue, 0).await);
        let count = u128::try_from(read.len()).unwrap();
        assert_eq!(read, (0..count).collect::<Vec<_>>(), "cut at {cut}");
        assert!(count >= last && count - last <= 2 && count % 2 == 0);
        last = count;
        let known = Appended { duplicates: u32::try_from(count).unwrap(), ..stored(1) };
        assert_eq!(append(&queue, events((0..count).chain([99]), 1)).await, known);
        queue.close();
        let queue = open(&torn, small(), &["a"]).unwrap();
        assert_eq!(drain(&queue, 0).await.len(), read.len() + 1, "cut at {cut}, opened again");
    }
    assert_eq!(last, 40);
}

#[tokio::test]
async fn a_changed_byte_is_an_error_or_skipped_and_counted() {
    let (memory, name) = one_segment().await;
    let length = length(&memory, &name);
    let (mut errors, mut cuts) = (0, 0);
    for place in 0..length {
        let damaged = memory.killed();
        damaged.edit(&name, |content| content[place] ^= 1 << (place % 8));
        match open(&damaged, small(), &["a"]) {
            Ok(queue) => {
                // Nothing tells that the last commit was synced, so it passes for a torn tail.
                cuts += 1;
                assert_eq!(ids(&drain(&queue, 0).await), (0..38).collect::<Vec<_>>());
                assert!(queue.meter().torn_bytes > 0);
            }
            Err(QueueError::Damaged { offset, .. }) => {
                errors += 1;
                assert!(offset <= place as u64 && place as u64 <= offset + 300);
            }
            Err(QueueError::Newer { found, known: 1, .. }) => assert_eq!((place, found), (7, 129)),
            Err(other) => panic!("{other}"),
        }
        if place == 7 {
            continue;
        }
        let queue = open(&damaged, Options { on_damage: SKIP, ..small() }, &["a"]).unwrap();
        queue.sync().await.unwrap();
        let (read, meter) = (ids(&drain(&queue, 0).await), queue.meter());
        assert!(read.len() >= 38 && read.is_sorted(), "{place}: {read:?}");
        assert_eq!(accounts(&queue)[0][4], read.len() as u64);
        assert!(place < 24 || meter.damaged_bytes + meter.torn_bytes > 0 || read.len() == 38);
        queue.close();
        // It is rewritten, so the next start needs no permission.
        let queue = open(&damaged, small(), &["a"]).unwrap();
        assert_eq!(ids(&drain(&queue, 0).await), read, "{place}");
    }
    assert!(errors > 1_500 && (50..400).contains(&cuts), "{errors} errors, {cuts} cuts");
}

#[tokio::test]
async fn after_a_clean_end_the_last_commit_is_certain_too() {
    let memory = Memory::default();
    let queue = open(&memory, Options::default(), &["a"]).unwrap();
    append(&queue, events([1, 2], 1)).await;
    queue.close();
    let name = memory.names("segment-").remove(0);
    memory.edit(&name, |content| content[100] ^= 1);
    assert!(matches!(open(&memory, small(), &["a"]), Err(QueueError::Damaged { offset: 24, .. })));
}

#[tokio::test]
async fn a_hole_in_what_was_never_synced_loses_nothing_else() {
    let memory = Memory::default();
    let queue = open(&memory, Options::default(), &["a"]).unwrap();
    append(&queue, events([0, 1], 1)).await;
    for id in 2..10 {
        queue.append(events([id], 1), Durability::Written).unwrap().await.unwrap();
    }
    let killed = memory.killed();
    let name = killed.names("segment-").remove(0);
    // A power cut may leave later pages and lose earlier ones.
    killed.edit(&name, |content| content[400..450].fill(0));
    let queue = open(&killed, small(), &["a"]).unwrap();
    queue.sync().await.unwrap();
    let read = ids(&drain(&queue, 0).await);
    assert!(read.starts_with(&[0, 1]) && read.ends_with(&[9]));
    assert!((7..10).contains(&read.len()), "{read:?}");
    let meter = queue.meter();
    assert!(meter.damaged_bytes >= 50);
    assert_eq!(meter.damaged_entries, 10 - read.len() as u64);
}

#[tokio::test]
async fn a_reader_stops_at_damage_or_passes_it() {
    for (on_damage, expected) in [(OnDamage::Stop, None), (SKIP, Some(()))] {
        let memory = Memory::default();
        let queue = open(&memory, Options { on_damage, ..small() }, &["a", "b"]).unwrap();
        for id in 0..100 {
            append(&queue, events([id], 0b11)).await;
        }
        let name = memory.names("segment-").remove(1);
        memory.edit(&name, |content| content[500] ^= 1);
        let mut reader = queue.reader(0);
        let mut read = Vec::new();
        let error = loop {
            match reader.read(1_000, 100_000).await {
                Ok(items) => read.extend(ids(&items)),
                Err(error) => break Some(error),
            }
            if read.last() == Some(&99) {
                break None;
            }
        };
        assert_eq!(error.is_none(), expected.is_some());
        assert!(read.is_sorted() && read.len() < 100);
        if expected.is_none() {
            assert!(matches!(error, Some(QueueError::Damaged { file, .. }) if file == name));
            assert!(reader.read(10, 10).await.is_err(), "it stays there");
            // It met the damage once before it had given what was good.
            assert_eq!(queue.meter().read_failures, 3);
            continue;
        }
        queue.sync().await.unwrap();
        assert_eq!(read.len(), 99);
        assert_eq!(accounts(&queue), [[100, 0, 0, 1, 99]; 2]);
        assert_eq!(ids(&drain(&queue, 1).await), read);
    }
}

#[tokio::test]
async fn a_payload_that_holds_a_record_is_never_taken_for_one() {
    let (memory, name) = one_segment().await;
    let mut content = Vec::new();
    memory.edit(&name, |bytes| content.clone_from(bytes));
    let fresh = Memory::default();
    let queue = open(&fresh, Options::default(), &["a"]).unwrap();
    let trojan = Entry { payload: content.into(), ..entry(500, 1) };
    append(&queue, batch(vec![trojan])).await;
    append(&queue, events([501], 1)).await;
    let killed = fresh.killed();
    killed.edit(&name, |bytes| bytes[50] ^= 1);
    let skip = Options { on_damage: SKIP, ..Options::default() };
    let queue = open(&killed, skip, &["a"]).unwrap();
    assert_eq!(ids(&drain(&queue, 0).await), [501]);
}

#[tokio::test]
async fn damaged_acknowledgements_repeat_and_never_lose() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    append(&queue, events(0..30, 1)).await;
    for item in drain(&queue, 0).await.chunks(3).take(8) {
        deliver(&queue, 0, item);
    }
    let name = memory.names("acks-").remove(0);
    let length = length(&memory, &name);
    for place in 0..length {
        let damaged = memory.killed();
        damaged.edit(&name, |content| content[place] ^= 4);
        let opened = open(&damaged, small(), &["a"]);
        if place == 7 {
            assert!(matches!(opened, Err(QueueError::Newer { found: 5, known: 1, .. })));
            continue;
        }
        let queue = opened.unwrap();
        let read = ids(&drain(&queue, 0).await);
        assert!(read.ends_with(&[24, 25, 26, 27, 28, 29]) && read.is_sorted());
        assert_eq!(accounts(&queue)[0][0], 30);
    }
    for cut in 0..length {
        let torn = memory.killed();
        torn.edit(&name, |content| content.truncate(cut));
        let queue = open(&torn, small(), &["a"]).unwrap();
        let items = drain(&queue, 0).await;
        assert!(ids(&items).ends_with(&[24, 25, 26, 27, 28, 29]));
        deliver(&queue, 0, &items);
        let queue = open(&torn.killed(), small(), &["a"]).unwrap();
        assert_eq!(accounts(&queue), [[30, 30, 0, 0, 0]], "cut at {cut}");
    }
}

#[tokio::test]
async fn a_lost_end_of_the_log_does_not_swallow_later_events() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    append(&queue, events(0..5, 1)).await;
    queue.append(events(5..10, 1), Durability::Written).unwrap().await.unwrap();
    let items = drain(&queue, 0).await;
    deliver(&queue, 0, &items);
    // The acknowledgements outlive the power cut, the events that they are for don't.
    let cut = memory.killed();
    let name = cut.names("segment-").remove(0);
    let whole = length(&cut, &name);
    cut.edit(&name, |content| content.truncate(whole - 10));
    let queue = open(&cut, small(), &["a"]).unwrap();
    append(&queue, events(20..25, 1)).await;
    let items = drain(&queue, 0).await;
    assert_eq!(ids(&items), (20..25).collect::<Vec<_>>());
    assert_eq!(numbers(&items), (10..15).collect::<Vec<_>>());
}
