//! A queue at its bound, in all three ways.

use super::*;
use crate::observe::queue::{Refused, WhenFull};

const MOST: u64 = 40_000;

fn bounded(when_full: WhenFull) -> Options {
    Options { bytes_max: MOST, when_full, ..small() }
}

/// The bytes of the log's files.
fn log_bytes(memory: &Memory) -> u64 {
    let mut bytes = 0;
    for name in memory.names("segment-") {
        memory.edit(&name, |content| bytes += content.len() as u64);
    }
    bytes
}

#[tokio::test]
async fn a_full_queue_refuses_until_there_is_room() {
    let memory = Memory::default();
    let queue = open(&memory, bounded(WhenFull::Refuse), &["a"]).unwrap();
    let mut taken = 0;
    let refused = loop {
        match queue.append(events([taken], 1), Durability::Synced) {
            Ok(ticket) => assert_eq!(ticket.await.unwrap(), stored(1)),
            Err(refused) => break refused,
        }
        taken += 1;
        assert!(log_bytes(&memory) <= MOST);
    };
    assert_eq!(refused, Refused::Full);
    assert!(taken > 150 && log_bytes(&memory) > MOST - 300);
    assert_eq!(queue.meter().refused_full, 1);
    let items = drain(&queue, 0).await;
    assert_eq!(ids(&items), (0..taken).collect::<Vec<_>>());
    deliver(&queue, 0, &items[..100]);
    queue.sync().await.unwrap();
    assert_eq!(append(&queue, events([taken], 1)).await, stored(1));
}

#[tokio::test]
async fn the_oldest_are_shed_for_those_that_lag() {
    let memory = Memory::default();
    let queue = open(&memory, bounded(WhenFull::DropOldest), &["fast", "slow"]).unwrap();
    let mut reader = queue.reader(0);
    for id in 0..1_000 {
        assert_eq!(append(&queue, events([id], 0b11)).await, stored(1));
        assert!(log_bytes(&memory) <= MOST);
        assert_eq!(deliver(&queue, 0, &reader.read(10, 1_000).await.unwrap()), 1);
    }
    let [fast, slow] = accounts(&queue)[..] else { panic!("two") };
    assert_eq!(fast, [1_000, 1_000, 0, 0, 0]);
    assert!(slow[3] > 700 && slow[4] > 100, "{slow:?}");
    let left = ids(&drain(&queue, 1).await);
    assert_eq!(left, (u128::from(slow[3])..1_000).collect::<Vec<_>>());
    let killed = open(&memory.killed(), bounded(WhenFull::DropOldest), &["fast", "slow"]).unwrap();
    assert_eq!(accounts(&killed), [fast, slow]);
}

#[tokio::test]
async fn the_least_important_are_shed_first() {
    let memory = Memory::default();
    let options = bounded(WhenFull::DropByPriority);
    let queue = open(&memory, options, &["a"]).unwrap();
    let mut next = 0;
    let mut by_class = [0_u64; 3];
    // Lows and normals until it is full.
    while log_bytes(&memory) < MOST - 1_500 {
        append(&queue, batch(vec![with_priority(next, 1, 0), with_priority(next + 1, 1, 1)])).await;
        next += 2;
        by_class[0] += 1;
        by_class[1] += 1;
    }
    assert_eq!(accounts(&queue)[0][3], 0);
    // Normals drive out lows, and only lows.
    let count_of = |items: &[Item], class: u8| items.iter().filter(|i| i.priority == class).count();
    for _ in 0..by_class[0] / 2 {
        assert_eq!(append(&queue, batch(vec![with_priority(next, 1, 1)])).await, stored(1));
        next += 1;
        by_class[1] += 1;
        assert!(log_bytes(&memory) <= MOST);
    }
    let items = drain(&queue, 0).await;
    assert_eq!(count_of(&items, 1) as u64, by_class[1]);
    let low = count_of(&items, 0) as u64;
    assert!(low < by_class[0]);
    assert_eq!(accounts(&queue)[0][3], by_class[0] - low);
    assert!(numbers(&items).is_sorted());
    // Highs drive out everything else, and at last the oldest of their own.
    let mut highs = 0_u64;
    while count_of(&drain(&queue, 0).await, 1) > 0 {
        append(&queue, batch(vec![with_priority(next, 1, 2)])).await;
        next += 1;
        highs += 1;
    }
    let items = drain(&queue, 0).await;
    assert_eq!(count_of(&items, 2) as u64, highs, "no high was shed while a normal was there");
    // Now new lows and normals are shed at once, and counted.
    let (before, stored_before) = (accounts(&queue)[0], queue.meter().stored);
    while log_bytes(&memory) < MOST - 250 {
        append(&queue, batch(vec![with_priority(next, 1, 2)])).await;
        next += 1;
    }
    let mixed = batch(vec![with_priority(next, 1, 0), with_priority(next + 1, 1, 1)]);
    let mut shed = 0;
    for _ in 0..20 {
        shed += u64::from(append(&queue, mixed.clone()).await.shed);
    }
    assert!(shed >= 30, "{shed}");
    let meter = queue.meter();
    assert_eq!(meter.shed_unstored, shed);
    assert!(meter.rewritten > 5);
    let stored_since = meter.stored - stored_before;
    assert_eq!(accounts(&queue)[0][0], before[0] + stored_since + shed);
    next += 2;
    for id in next..next + 500 {
        assert_eq!(append(&queue, batch(vec![with_priority(id, 1, 2)])).await, stored(1));
        assert!(log_bytes(&memory) <= MOST);
    }
    let items = drain(&queue, 0).await;
    assert_eq!(items.last().unwrap().id, next + 499);
    assert!(ids(&items).is_sorted());
    let row = accounts(&queue);
    let killed = open(&memory.killed(), options, &["a"]).unwrap();
    assert_eq!(accounts(&killed), row);
    assert_eq!(ids(&drain(&killed, 0).await), ids(&items));
}
