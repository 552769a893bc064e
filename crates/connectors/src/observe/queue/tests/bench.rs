//! How fast it is on the disk of this machine, and how much memory a backlog takes. Ignored, to be
//! run by hand with `--ignored --nocapture` in a release build.

use super::*;
use std::time::{Duration, Instant};

/// Memory of this process in MiB, from Linux.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn body(first: u128, count: u128) -> Batch {
    let payload = Bytes::from(vec![0x5a; 500]);
    let hash = |id: u128| id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let entry = |id| Entry { id: hash(id), routes: 0b11, priority: 1, payload: payload.clone() };
    batch((first..first + count).map(entry).collect())
}

/// Appends so many entries in batches, waits while the queue is busy, and says entries a second.
async fn fill(queue: &Queue, first: u128, total: u128, size: u128, durability: Durability) -> f64 {
    let begun = Instant::now();
    let mut last = None;
    for at in (first..first + total).step_by(usize::try_from(size).unwrap()) {
        let fresh = body(at, size);
        loop {
            match queue.append(fresh.clone(), durability) {
                Ok(ticket) => break last = Some(ticket),
                Err(_) => tokio::time::sleep(Duration::from_micros(100)).await,
            }
        }
    }
    last.unwrap().await.unwrap();
    queue.sync().await.unwrap();
    total as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed_and_memory() {
    for (size, total) in [(100, 1_000_000), (1, 500_000)] {
        for durability in [Durability::None, Durability::Written, Durability::Synced] {
            let folder = tempfile::tempdir_in("/var/tmp").unwrap();
            let queue = Queue::open(folder.path(), Options::default(), &["a", "b"]).unwrap();
            let before = resident_mib();
            let rate = fill(&queue, 0, total, size, durability).await;
            let meter = queue.meter();
            let syncs: u64 = meter.syncs.counts.iter().sum();
            println!(
                "{size:>3} a batch, {durability:?}: {rate:.0} entries/s, {syncs} syncs of {} us, \
                 {} MiB of log, resident {before} -> {} MiB",
                meter.syncs.sum_us / syncs.max(1),
                meter.log_bytes >> 20,
                resident_mib(),
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn latency_of_one_caller() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let queue = Queue::open(folder.path(), Options::default(), &["a", "b"]).unwrap();
    for durability in [Durability::None, Durability::Written, Durability::Synced] {
        let (mut calls, mut answers) = (Vec::new(), Vec::new());
        for at in 0..2_000_u128 {
            let fresh = body(at + 1_000_000 * (durability as u128 + 1), 1);
            let begun = Instant::now();
            let ticket = queue.append(fresh, durability).unwrap();
            calls.push(begun.elapsed());
            ticket.await.unwrap();
            answers.push(begun.elapsed());
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        calls.sort_unstable();
        answers.sort_unstable();
        println!(
            "{durability:?}: call p50 {:?} p99 {:?}, answer p50 {:?} p99 {:?}",
            calls[1_000], calls[1_980], answers[1_000], answers[1_980]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_million_is_read_settled_and_opened_again() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let queue = Queue::open(folder.path(), Options::default(), &["a", "b"]).unwrap();
    fill(&queue, 0, 1_000_000, 100, Durability::Written).await;
    println!("1,000,000 queued: resident {} MiB", resident_mib());
    drop(queue);
    let begun = Instant::now();
    let queue = Queue::open(folder.path(), Options::default(), &["a", "b"]).unwrap();
    println!("opened in {:?}, resident {} MiB", begun.elapsed(), resident_mib());
    for (place, size) in [(0, 1_000), (1, 100)] {
        let (mut reader, mut count, begun) = (queue.reader(place), 0, Instant::now());
        while count < 1_000_000 {
            let items = reader.read(size, 4 << 20).await.unwrap();
            count += items.len();
            let settled = deliver(&queue, place, &items);
            assert_eq!(settled, items.len() as u64);
        }
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        println!("read and settled by {size}: {rate:.0} entries/s, {:.0} MB/s", rate * 500.0 / 1e6);
    }
    println!("after reading: resident {} MiB", resident_mib());
    queue.sync().await.unwrap();
    assert_eq!(accounts(&queue), [[1_000_000, 1_000_000, 0, 0, 0]; 2]);
    println!("{} segments left", queue.meter().segments);
}
