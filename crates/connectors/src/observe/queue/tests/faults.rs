//! Disks that are full, and disks that lose a sync.

use super::*;
use crate::observe::queue::NotStored;
use std::io::ErrorKind;

async fn refused(queue: &Queue, batch: Batch) -> ErrorKind {
    match queue.append(batch, Durability::Synced).unwrap().await {
        Err(NotStored::Disk(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    append(&queue, events(0..10, 1)).await;
    for room in 0..300 {
        memory.limit(Some(memory.used() + room));
        assert_eq!(refused(&queue, events(20..30, 1)).await, ErrorKind::StorageFull);
    }
    assert_eq!(ids(&drain(&queue, 0).await), (0..10).collect::<Vec<_>>());
    assert_eq!(accounts(&queue), [[10, 0, 0, 0, 10]]);
    memory.limit(None);
    assert_eq!(append(&queue, events(20..30, 1)).await, stored(10), "they don't count as known");
    let meter = queue.meter();
    assert_eq!((meter.failed, meter.write_failures), (3_000, 300));
    let after = open(&memory.power_cut(|_| 0), small(), &["a"]).unwrap();
    assert_eq!(ids(&drain(&after, 0).await), (0..10).chain(20..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_disk_neither_stops_delivery_nor_the_start() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    for id in 0..100 {
        append(&queue, events([id], 1)).await;
    }
    let before = memory.used();
    memory.limit(Some(before));
    let items = drain(&queue, 0).await;
    deliver(&queue, 0, &items[..30]);
    let meter = queue.meter();
    assert!(meter.destinations[0].is_unrecorded);
    assert_eq!(accounts(&queue), [[100, 30, 0, 0, 70]]);
    drop(queue.sync().await);
    assert!(memory.used() < before, "settled segments make room");
    assert_eq!(append(&queue, events([200], 1)).await, stored(1));
    queue.sync().await.unwrap();
    assert!(!queue.meter().destinations[0].is_unrecorded);
    let killed = memory.killed();
    killed.limit(Some(killed.used()));
    let queue = open(&killed, small(), &["a"]).unwrap();
    assert_eq!(accounts(&queue), [[101, 30, 0, 0, 71]]);
    let left = drain(&queue, 0).await;
    assert_eq!(ids(&left), (30..100).chain([200]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failed_sync_is_never_passed_off_as_a_good_one() {
    for failing_truncates in [0, 1] {
        let memory = Memory::default();
        let queue = open(&memory, small(), &["a"]).unwrap();
        append(&queue, events(0..5, 1)).await;
        memory.fail_syncs(1);
        memory.fail_truncates(failing_truncates);
        assert_eq!(refused(&queue, events(5..10, 1)).await, ErrorKind::Other);
        assert_eq!(ids(&drain(&queue, 0).await), (0..5).collect::<Vec<_>>());
        assert_eq!(append(&queue, events(5..12, 1)).await, stored(7), "they don't count as known");
        assert_eq!(memory.names("segment-").len(), 2, "the segment was given up");
        assert_eq!(queue.meter().sync_failures, 1);
        assert_eq!(ids(&drain(&queue, 0).await), (0..12).collect::<Vec<_>>());
        for choice in [0, 1_000_000] {
            let after = memory.power_cut(|bound| choice.min(bound - 1));
            let after = open(&after, small(), &["a"]).unwrap();
            assert_eq!(ids(&drain(&after, 0).await), (0..12).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn what_a_later_sync_can_not_save_is_stepped_over() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    append(&queue, events(0..3, 1)).await;
    queue.append(events(3..6, 1), Durability::Written).unwrap().await.unwrap();
    memory.fail_syncs(1);
    assert!(queue.sync().await.is_err());
    append(&queue, events(6..9, 1)).await;
    let after = open(&memory.power_cut(|bound| bound - 1), small(), &["a"]).unwrap();
    after.sync().await.unwrap();
    assert_eq!(ids(&drain(&after, 0).await), [0, 1, 2, 6, 7, 8]);
    let again = open(&memory.killed(), small(), &["a"]).unwrap();
    assert_eq!(ids(&drain(&again, 0).await), (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_copy_of_what_may_be_lost_is_stored() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    append(&queue, events(0..3, 1)).await;
    queue.append(events(3..6, 1), Durability::Written).unwrap().await.unwrap();
    memory.fail_syncs(1);
    assert!(queue.sync().await.is_err());
    let answer = append(&queue, events(0..6, 1)).await;
    assert_eq!(answer, Appended { duplicates: 3, ..stored(3) });
    let after = open(&memory.power_cut(|_| 0), small(), &["a"]).unwrap();
    after.sync().await.unwrap();
    assert_eq!(ids(&drain(&after, 0).await), (0..6).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_segment_whose_making_failed_is_not_in_the_way() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["a"]).unwrap();
    memory.fail_syncs(3);
    for _ in 0..3 {
        assert_eq!(refused(&queue, events(0..3, 1)).await, ErrorKind::Other);
    }
    assert_eq!(append(&queue, events(0..3, 1)).await, stored(3));
    queue.sync().await.unwrap();
    assert_eq!(memory.names("segment-").len(), 1);
    assert_eq!(append(&queue, events(3..6, 1)).await, stored(3));
    let after = open(&memory.power_cut(|_| 0), small(), &["a"]).unwrap();
    assert_eq!(ids(&drain(&after, 0).await), (0..6).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dead_destination_takes_nothing_from_the_other() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["alive", "dead"]).unwrap();
    let mut reader = queue.reader(0);
    for first in (0..2_000).step_by(20) {
        append(&queue, events(first..first + 20, 0b11)).await;
        let mut left = 20;
        while left > 0 {
            let items = reader.read(20, 100_000).await.unwrap();
            left -= items.len();
            assert_eq!(deliver(&queue, 0, &items), items.len() as u64);
        }
    }
    assert_eq!(accounts(&queue), [[2_000, 2_000, 0, 0, 0], [2_000, 0, 0, 0, 2_000]]);
    let runs = queue.meter().destinations[0].runs;
    assert_eq!(runs, 1);
    assert_eq!(ids(&drain(&queue, 1).await), (0..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_second_one_settled_is_one_run() {
    let memory = Memory::default();
    let queue = open(&memory, small(), &["even", "odd"]).unwrap();
    for first in (0..3_000).step_by(100) {
        let entries = (first..first + 100).map(|id| entry(id, if id % 2 == 0 { 1 } else { 2 }));
        append(&queue, batch(entries.collect())).await;
    }
    let even = drain(&queue, 0).await;
    deliver(&queue, 0, &even[1..]);
    assert_eq!(queue.meter().destinations[0].runs, 1);
    let killed = open(&memory.killed(), small(), &["even", "odd"]).unwrap();
    assert!(killed.meter().destinations[0].runs <= 2);
    assert_eq!(ids(&drain(&killed, 0).await), [0]);
    assert_eq!(drain(&killed, 1).await.len(), 1_500);
}

#[tokio::test]
async fn acknowledgements_are_replaced_by_a_snapshot() {
    let memory = Memory::default();
    let queue = open(&memory, Options::default(), &["a"]).unwrap();
    append(&queue, events(0..40_000, 1)).await;
    let mut reader = queue.reader(0);
    let mut settled = 0;
    while settled < 39_000 {
        for item in reader.read(1_000, 1 << 20).await.unwrap() {
            settled += deliver(&queue, 0, std::slice::from_ref(&item));
        }
    }
    let name = memory.names("acks-").remove(0);
    let mut before = 0;
    memory.edit(&name, |content| before = content.len());
    queue.sync().await.unwrap();
    let mut after = 0;
    memory.edit(&name, |content| after = content.len());
    assert!(before > 1 << 20 && after < 1_000, "{before} bytes, then {after}");
    let more = reader.read(10, 1 << 20).await.unwrap();
    settled += deliver(&queue, 0, &more);
    let after = open(&memory.killed(), Options::default(), &["a"]).unwrap();
    assert_eq!(accounts(&after), [[40_000, settled, 0, 0, 40_000 - settled]]);
}
