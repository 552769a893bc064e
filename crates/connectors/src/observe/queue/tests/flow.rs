//! Appending, reading and settling when nothing goes wrong.

use super::*;
use crate::observe::queue::{NotStored, Refused, WhenFull};
use std::time::Duration;

#[tokio::test]
async fn every_destination_reads_its_own_in_order() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a", "b"]).unwrap();
    for first in (0..300).step_by(3) {
        let entries = vec![entry(first, 0b11), entry(first + 1, 0b01), entry(first + 2, 0b10)];
        assert_eq!(append(&queue, batch(entries)).await, stored(3));
    }
    let (a, b) = (drain(&queue, 0).await, drain(&queue, 1).await);
    assert_eq!(ids(&a), (0..300).filter(|id| id % 3 != 2).collect::<Vec<_>>());
    assert_eq!(ids(&b), (0..300).filter(|id| id % 3 != 1).collect::<Vec<_>>());
    assert!(a.iter().all(|item| item.payload == payload(item.id) && item.shared == "shared"));
    assert!(numbers(&a).is_sorted());
    assert_eq!(a[0].shared.as_ptr(), a[1].shared.as_ptr());
    assert!(memory.names("segment-").len() > 5);
    assert_eq!(accounts(&queue), [[200, 0, 0, 0, 200], [200, 0, 0, 0, 200]]);
}

#[tokio::test]
async fn what_is_settled_is_not_read_again() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a", "b"]).unwrap();
    append(&queue, events(0..100, 0b11)).await;
    let items = drain(&queue, 0).await;
    assert_eq!(deliver(&queue, 0, &items[..50]), 50);
    assert_eq!(deliver(&queue, 0, &items[40..50]), 0, "once is once");
    assert_eq!(queue.settle(0, &[60, 70, 61], Disposition::Rejected).unwrap(), 3);
    assert_eq!(queue.settle(0, &[80], Disposition::Shed).unwrap(), 1);
    assert_eq!(queue.settle(0, &[100, 101, 5_000], Disposition::Delivered).unwrap(), 0);
    assert_eq!(accounts(&queue), [[100, 50, 3, 1, 46], [100, 0, 0, 0, 100]]);
    let left: Vec<u128> = (50..100).filter(|id| ![60, 61, 70, 80].contains(id)).collect();
    assert_eq!(ids(&drain(&queue, 0).await), left);
    let killed = open(&memory.killed(), small(), &["a", "b"]).unwrap();
    assert_eq!(accounts(&killed), [[100, 50, 3, 1, 46], [100, 0, 0, 0, 100]]);
    assert_eq!(ids(&drain(&killed, 0).await), left);
    assert_eq!(ids(&drain(&killed, 1).await), (0..100).collect::<Vec<_>>());
    assert_eq!(append(&killed, events([1_000], 0b11)).await, stored(1));
    assert_eq!(drain(&killed, 0).await.last().unwrap().seq, 100);
}

#[tokio::test]
async fn a_reader_waits_for_more() {
    let queue = open(&Memory::default(), small(), &["a"]).unwrap();
    let mut reader = queue.reader(0);
    let more = async {
        tokio::task::yield_now().await;
        append(&queue, events([7], 1)).await;
    };
    let (items, ()) = tokio::join!(reader.read(10, 10), more);
    assert_eq!(ids(&items.unwrap()), [7]);
    let nothing = tokio::time::timeout(Duration::from_millis(20), reader.read(10, 10)).await;
    assert!(nothing.is_err());
    append(&queue, events([8, 9], 1)).await;
    assert_eq!(ids(&reader.read(1, 1_000).await.unwrap()), [8]);
    assert_eq!(ids(&reader.read(1, 1_000).await.unwrap()), [9]);
}

#[tokio::test]
async fn a_reading_that_is_dropped_loses_nothing() {
    let queue = open(&Memory::default(), small(), &["a"]).unwrap();
    append(&queue, events(0..200, 1)).await;
    let mut reader = queue.reader(0);
    let mut read = Vec::new();
    for step in 0..10_000 {
        let wait = Duration::from_micros(step % 40);
        if let Ok(items) = tokio::time::timeout(wait, reader.read(50, 100_000)).await {
            read.extend(ids(&items.unwrap()));
        }
        if read.len() == 200 {
            break;
        }
    }
    assert_eq!(read, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn reading_keeps_to_its_bounds() {
    let queue = open(&Memory::default(), small(), &["a"]).unwrap();
    let large = Entry { payload: Bytes::from(vec![1; 500_000]), ..entry(0, 1) };
    append(&queue, batch(vec![large, entry(97, 1), entry(194, 1), entry(291, 1)])).await;
    let mut reader = queue.reader(0);
    assert_eq!(ids(&reader.read(10, 40).await.unwrap()), [0], "one that is too large comes alone");
    assert_eq!(ids(&reader.read(10, 40).await.unwrap()), [97, 194], "each has 16 bytes");
    assert_eq!(ids(&reader.read(10, 40).await.unwrap()), [291]);
}

#[tokio::test]
async fn copies_are_stored_once_also_after_a_restart() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    let twice = batch(vec![entry(1, 1), entry(2, 1), entry(1, 1)]);
    let known = |stored, duplicates| Appended { stored, duplicates, shed: 0 };
    assert_eq!(append(&queue, twice).await, known(2, 1));
    assert_eq!(append(&queue, events([2, 3], 1)).await, known(1, 1));
    queue.close();
    let queue = open(&memory, small(), &["a"]).unwrap();
    assert_eq!(append(&queue, events([1, 2, 3, 4], 1)).await, known(1, 3));
    assert_eq!(ids(&drain(&queue, 0).await), [1, 2, 3, 4]);
    let meter = queue.meter();
    assert_eq!((meter.stored, meter.duplicates), (1, 3));
}

#[tokio::test]
async fn a_copy_waits_for_the_first_to_be_durable() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    queue.append(events([1], 1), Durability::Written).unwrap().await.unwrap();
    assert_eq!(append(&queue, events([1], 1)).await.duplicates, 1);
    let after = open(&memory.power_cut(|_| 0), small(), &["a"]).unwrap();
    assert_eq!(ids(&drain(&after, 0).await), [1]);
}

#[tokio::test]
async fn one_sync_is_for_all_that_wait() {
    let memory = Memory::default();
    let queue = open(&memory, Options::default(), &["a"]).unwrap();
    append(&queue, events([0], 1)).await;
    let (syncs, appends) = memory.work();
    let tickets: Vec<Ticket> =
        (1..=1_000).map(|id| queue.append(events([id], 1), Durability::Synced).unwrap()).collect();
    for ticket in tickets {
        assert_eq!(ticket.await.unwrap(), stored(1));
    }
    let (later_syncs, later_appends) = memory.work();
    assert!(later_syncs - syncs < 500, "{} syncs", later_syncs - syncs);
    assert!(later_appends - appends < 500);
    let times = queue.meter().syncs;
    let timed = times.counts.iter().sum::<u64>();
    assert!((2..=later_syncs).contains(&timed), "{timed} of {later_syncs}");
}

#[tokio::test]
async fn nobody_waits_for_what_is_not_waited_for() {
    let memory = Memory::default();
    let queue = open(&memory, Options::default(), &["a"]).unwrap();
    let ticket = queue.append(events([1], 1), Durability::None).unwrap();
    assert_eq!(ticket.await.unwrap(), Appended::default());
    let mut reader = queue.reader(0);
    assert_eq!(ids(&reader.read(10, 10).await.unwrap()), [1]);
    queue.sync().await.unwrap();
    let after = open(&memory.power_cut(|_| 0), small(), &["a"]).unwrap();
    assert_eq!(ids(&drain(&after, 0).await), [1]);
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let memory = Memory::default();
    let options = Options { waiting_batches: 10, waiting_bytes: 5_000, ..small() };
    let queue = open(&memory, options, &["a"]).unwrap();
    let mut results = Vec::new();
    for id in 0..50 {
        results.push(queue.append(events([id], 1), Durability::None));
    }
    let taken = results.iter().filter(|result| result.is_ok()).count();
    let busy = results.iter().filter(|result| matches!(result, Err(Refused::Busy))).count();
    assert_eq!(taken + busy, 50);
    assert!(taken >= 10);
    queue.sync().await.unwrap();
    let meter = queue.meter();
    assert_eq!((meter.stored, meter.refused_busy), (taken as u64, busy as u64));
    assert_eq!((meter.waiting_batches, meter.waiting_bytes), (0, 0));
    let large = Entry { payload: Bytes::from(vec![1; 50_000]), ..entry(99, 1) };
    assert_eq!(append(&queue, batch(vec![large])).await, stored(1), "alone it may be larger");
}

#[tokio::test]
async fn settled_segments_are_removed_also_in_the_middle() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a", "b"]).unwrap();
    for id in 0..200 {
        append(&queue, events([id], 0b11)).await;
    }
    let before = memory.names("segment-").len();
    let (a, b) = (drain(&queue, 0).await, drain(&queue, 1).await);
    deliver(&queue, 0, &a);
    queue.sync().await.unwrap();
    assert_eq!(memory.names("segment-").len(), before, "b has settled nothing");
    let middle: Vec<Item> = b.iter().filter(|item| item.id >= 20).cloned().collect();
    deliver(&queue, 1, &middle);
    queue.sync().await.unwrap();
    let left = memory.names("segment-").len();
    assert!(left <= 3, "{left} of {before} are left");
    assert_eq!(ids(&drain(&queue, 1).await), (0..20).collect::<Vec<_>>());
    let killed = open(&memory.killed(), small(), &["a", "b"]).unwrap();
    assert_eq!(ids(&drain(&killed, 1).await), (0..20).collect::<Vec<_>>());
    assert_eq!(accounts(&killed), [[200, 200, 0, 0, 0], [200, 180, 0, 0, 20]]);
}

#[tokio::test]
async fn a_changed_configuration_mixes_nothing_up() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a", "b"]).unwrap();
    append(&queue, batch(vec![entry(1, 0b01), entry(2, 0b10)])).await;
    queue.close();
    let queue = open(&memory, small(), &["c", "b"]).unwrap();
    append(&queue, batch(vec![entry(3, 0b01), entry(4, 0b10)])).await;
    assert_eq!(ids(&drain(&queue, 0).await), [3]);
    assert_eq!(ids(&drain(&queue, 1).await), [2, 4]);
    let names = |queue: &Queue| {
        let all = queue.meter().destinations.into_iter();
        all.map(|one| (one.name, one.is_configured, one.pending)).collect::<Vec<_>>()
    };
    let all = [("c".to_owned(), true, 1), ("b".to_owned(), true, 2), ("a".to_owned(), false, 1)];
    assert_eq!(names(&queue), all);
    assert!(matches!(queue.forget("b").await, Err(QueueError::NotForgettable(_))));
    assert_eq!(queue.forget("a").await.unwrap(), 1);
    assert!(matches!(queue.forget("a").await, Err(QueueError::NotForgettable(_))));
    assert_eq!(names(&queue).len(), 2);
    queue.close();
    // The bit of the one that was forgotten is free, and old entries are not the new one's.
    let queue = open(&memory, small(), &["a", "b", "c"]).unwrap();
    assert_eq!(accounts(&queue)[0], [0; 5]);
    append(&queue, batch(vec![entry(5, 0b001)])).await;
    assert_eq!(ids(&drain(&queue, 0).await), [5]);
    assert_eq!(ids(&drain(&queue, 2).await), [3]);
}

#[tokio::test]
async fn destinations_are_at_most_32() {
    let names: Vec<String> = (0..33).map(|place| format!("d{place}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let memory = Memory::default();
    let refused = open(&memory, small(), &names).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "destination \"d32\" can't be added: a queue has at most 32, with names of one line"
    );
    let queue = open(&memory, small(), &names[..32]).unwrap();
    append(&queue, events([1], u32::MAX)).await;
    assert_eq!(ids(&drain(&queue, 31).await), [1]);
    queue.close();
    assert!(matches!(open(&memory, small(), &["a\nb"]), Err(QueueError::Destination(_))));
    assert!(matches!(open(&memory, small(), &["d1", "d1"]), Err(QueueError::Destination(_))));
}

#[tokio::test]
async fn two_can_not_have_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(folder.path(), small(), &["a"]).unwrap();
    append(&queue, events([1, 2], 1)).await;
    let second = Queue::open(folder.path(), small(), &["a"]);
    assert!(matches!(second, Err(QueueError::Locked)));
    let mut reader = queue.reader(0);
    queue.close();
    assert!(reader.read(10, 10).await.unwrap().is_empty());
    assert_eq!(queue.append(events([3], 1), Durability::None).unwrap_err(), Refused::Closed);
    assert!(matches!(queue.settle(0, &[0], Disposition::Delivered), Err(QueueError::Closed)));
    assert!(matches!(queue.sync().await, Err(QueueError::Closed)));
    let again = Queue::open(folder.path(), small(), &["a"]).unwrap();
    assert_eq!(ids(&drain(&again, 0).await), [1, 2]);
}

#[tokio::test]
async fn closing_writes_what_waits() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    for id in 0..100 {
        drop(queue.append(events([id], 1), Durability::None).unwrap());
    }
    queue.close();
    let after = open(&memory.power_cut(|_| 0), small(), &["a"]).unwrap();
    assert_eq!(ids(&drain(&after, 0).await), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_age_of_the_oldest_is_known() {
    let queue = open(&Memory::default(), small(), &["a"]).unwrap();
    for id in 0..100 {
        let at_ms = 5_000 * u64::try_from(id).unwrap();
        append(&queue, Batch { at_ms, ..events([id], 1) }).await;
    }
    let oldest = || queue.meter().destinations[0].oldest_ms;
    assert_eq!(oldest(), Some(0));
    let items = drain(&queue, 0).await;
    deliver(&queue, 0, &items[..42]);
    assert_eq!(oldest(), Some(5_000 * 42));
    deliver(&queue, 0, &items[43..]);
    assert_eq!(oldest(), Some(5_000 * 42));
    let bytes = queue.meter().destinations[0].pending_bytes;
    assert!((29..=29 + 16 + 97).contains(&bytes), "{bytes} bytes for one");
    deliver(&queue, 0, &items);
    assert_eq!(oldest(), None);
}

#[tokio::test]
async fn a_batch_that_can_never_fit_is_refused() {
    let options = Options { bytes_max: 10_000, when_full: WhenFull::DropOldest, ..small() };
    let queue = open(&Memory::default(), options, &["a"]).unwrap();
    let large = Entry { payload: Bytes::from(vec![1; 6_000]), ..entry(1, 1) };
    let refused = queue.append(batch(vec![large]), Durability::Synced).unwrap_err();
    assert_eq!(refused, Refused::TooLarge);
    assert_eq!(queue.meter().refused_other, 1);
    let ticket = queue.append(events([2], 1), Durability::Synced).unwrap();
    drop(queue);
    assert!(matches!(ticket.await, Ok(_) | Err(NotStored::Closed)));
}
