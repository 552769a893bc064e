//! The queue against what it promises.

mod bench;
mod damage;
mod faults;
mod flow;
mod full;
mod model;
mod parts;

use super::memory::Memory;
use super::{
    Appended, Batch, Disposition, Durability, Entry, Item, Options, Queue, QueueError, Ticket,
};
use bytes::Bytes;

/// Small segments, so that tests have several.
fn small() -> Options {
    Options { segment_bytes: 2_000, ..Options::default() }
}

fn open(memory: &Memory, options: Options, names: &[&str]) -> Result<Queue, QueueError> {
    Queue::open_storage(Box::new(memory.clone()), options, names)
}

/// What the event with this id has as payload: its id and some more.
fn payload(id: u128) -> Bytes {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.resize(16 + usize::try_from(id % 97).unwrap(), 7);
    bytes.into()
}

fn entry(id: u128, routes: u32) -> Entry {
    Entry { id, routes, priority: 1, payload: payload(id) }
}

fn with_priority(id: u128, routes: u32, priority: u8) -> Entry {
    Entry { priority, ..entry(id, routes) }
}

fn batch(entries: Vec<Entry>) -> Batch {
    Batch { shared: Bytes::from_static(b"shared"), at_ms: 1_000, entries }
}

/// A batch of one entry for each id, all with these routes.
fn events(ids: impl IntoIterator<Item = u128>, routes: u32) -> Batch {
    batch(ids.into_iter().map(|id| entry(id, routes)).collect())
}

fn stored(stored: u32) -> Appended {
    Appended { stored, ..Appended::default() }
}

async fn append(queue: &Queue, batch: Batch) -> Appended {
    queue.append(batch, Durability::Synced).unwrap().await.unwrap()
}

/// Everything that is pending for a destination.
async fn drain(queue: &Queue, destination: usize) -> Vec<Item> {
    let meter = queue.meter();
    let pending = usize::try_from(meter.destinations[destination].pending).unwrap();
    let mut reader = queue.reader(destination);
    let mut all = Vec::new();
    while all.len() < pending {
        let items = reader.read(7, 1_000).await.unwrap();
        assert!(!items.is_empty(), "{} of {pending} are there", all.len());
        all.extend(items);
    }
    all
}

fn ids(items: &[Item]) -> Vec<u128> {
    items.iter().map(|item| item.id).collect()
}

fn numbers(items: &[Item]) -> Vec<u64> {
    items.iter().map(|item| item.seq).collect()
}

/// Settles all these items as delivered.
fn deliver(queue: &Queue, destination: usize, items: &[Item]) -> u64 {
    queue.settle(destination, &numbers(items), Disposition::Delivered).unwrap()
}

/// The accounts of all destinations, each as routed, delivered, rejected, shed, pending; they
/// have to add up.
fn accounts(queue: &Queue) -> Vec<[u64; 5]> {
    let row = |meter: &super::DestinationMeter| {
        let row = [meter.routed, meter.delivered, meter.rejected, meter.shed, meter.pending];
        assert_eq!(row[0], row[1] + row[2] + row[3] + row[4], "{meter:?}");
        row
    };
    queue.meter().destinations.iter().map(row).collect()
}
