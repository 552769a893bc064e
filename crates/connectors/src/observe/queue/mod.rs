//! The durable queue between the doors and the destinations: a log of segments on disk that is
//! appended to by requests and read by several destinations, each at its own pace.
//!
//! - A [`Batch`] is what one request brought. Its entries get numbers that only grow, and each says
//!   which destinations it is for.
//! - [`Queue::append`] never blocks. One thread writes everything that waits with one write, and
//!   with one sync where anybody asked for it; a [`Ticket`] resolves when that is done.
//! - A [`Reader`] gives the entries of one destination in their order, and [`Queue::settle`] says
//!   what became of them. What isn't settled is read again after a restart, what is settled is not.
//! - For every destination `routed == delivered + rejected + shed + pending`, at any time and over
//!   restarts. Counts and settled numbers lie in a small file per destination.
//! - What was acknowledged after a sync outlives `kill -9` and a power cut. A tail that was never
//!   synced may be torn and is cut; damage in what was synced is an error until the operator
//!   says that it shall be skipped, and what is skipped is counted.
//! - The log has a bound. At it appends are refused, or the oldest or the least important entries
//!   are shed; see [`WhenFull`].
//!
//! Modules: `waiting` holds what is appended and not yet written, `writer` commits it, `room` makes
//! room and rewrites segments, `reader` reads, `ledger` keeps what a destination has settled,
//! `index` knows the segments, `open` finds everything again. `record` and `scan` are the format,
//! `ranges` and `window` the small structures, `storage` the seam to the disk.

mod index;
mod ledger;
#[cfg(test)]
mod memory;
mod meter;
mod names;
mod open;
mod options;
mod ranges;
mod reader;
mod record;
mod room;
mod scan;
mod storage;
#[cfg(test)]
mod tests;
mod waiting;
mod window;
mod writer;

pub use meter::{DestinationMeter, Meter, SYNC_BOUNDS_US};
pub use options::{OnDamage, Options, WhenFull};
pub use reader::Reader;

use bytes::Bytes;
use index::Index;
use ledger::Ledger;
use meter::Counters;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use storage::{Disk, Storage};
use tokio::sync::{oneshot, watch};
use waiting::{Command, Waiting};

/// The most destinations that a queue can have, those included that are no longer configured.
pub const DESTINATIONS_MAX: usize = 32;

/// What one request brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What its entries share; the queue does not look into it.
    pub shared: Bytes,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its events.
    pub entries: Vec<Entry>,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The same for every copy of the event, and for no other.
    pub id: u128,
    /// Who shall have it: bit `i` is the destination at place `i` of [`Queue::open`].
    pub routes: u32,
    /// Who is shed first: 0 low, 1 normal, 2 and more high.
    pub priority: u8,
    /// The event itself; the queue does not look into it.
    pub payload: Bytes,
}

/// An event as a destination reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number; what is read grows in it.
    pub seq: u64,
    /// See [`Entry::id`].
    pub id: u128,
    /// 0 low, 1 normal, 2 high.
    pub priority: u8,
    /// See [`Batch::shared`]; the same allocation for all items of a batch.
    pub shared: Bytes,
    /// See [`Entry::payload`]. It keeps about 256 KiB of the log in memory as long as it lives.
    pub payload: Bytes,
}

/// When a ticket resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the batch outlives a power cut.
    Synced,
    /// When the batch outlives the end of the process; it is synced within a second.
    Written,
    /// At once. The batch is written within a few milliseconds and synced within a second.
    None,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// So many entries are new and in the log.
    pub stored: u32,
    /// So many were known already.
    pub duplicates: u32,
    /// So many were shed at once, because the queue is full of what is more important.
    pub shed: u32,
}

/// Why a batch is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More waits to be written than may; it will be less in milliseconds.
    #[error("the queue is busy: more waits to be written than may")]
    Busy,
    /// The log has reached its bound on disk.
    #[error("the queue is full: its bound on disk is reached")]
    Full,
    /// The batch alone has more than half of the bytes that the log may have, or 256 MiB.
    #[error("the batch is too large for the queue")]
    TooLarge,
    /// The queue is closed.
    #[error("the queue is closed")]
    Closed,
}

/// Why a batch that was taken is not stored. None of its entries is, and none counts as known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotStored {
    /// The disk refused it; the queue tries again with the next batch.
    #[error("can't write to the queue: {0}")]
    Disk(Arc<io::Error>),
    /// There is no room left that could be made.
    #[error("the queue is full: its bound on disk is reached")]
    Full,
    /// The queue was closed before.
    #[error("the queue is closed")]
    Closed,
}

/// A batch on its way to the disk: resolves as its [`Durability`] says.
#[derive(Debug)]
#[must_use = "a batch is durable when its ticket says so"]
pub struct Ticket(Option<oneshot::Receiver<Result<Appended, NotStored>>>);

impl Future for Ticket {
    type Output = Result<Appended, NotStored>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = &mut self.0 else { return Poll::Ready(Ok(Appended::default())) };
        Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or(Err(NotStored::Closed)))
    }
}

/// What became of an event at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The destination has it.
    Delivered,
    /// The destination will never take it; it is in the file of dead letters.
    Rejected,
    /// It was given up for want of room, or with its destination.
    Shed,
}

impl Disposition {
    /// All of them, in the order of the counts.
    #[cfg(test)]
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Rejected, Self::Shed];
}

/// What can go wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The system refused something.
    #[error("can't {doing} in the queue's folder: {source}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("another process uses the queue's folder")]
    Locked,
    /// A newer program wrote the file.
    #[error("{file} has format {found}, this program knows up to {known}")]
    Newer {
        /// The file in the queue's folder.
        file: String,
        /// Its format.
        found: u8,
        /// The newest that is known.
        known: u8,
    },
    /// What was synced can't be read back.
    #[error("{file} is damaged at byte {offset}")]
    Damaged {
        /// The file in the queue's folder.
        file: String,
        /// Where the damage begins.
        offset: u64,
    },
    /// More destinations than [`DESTINATIONS_MAX`], or one of a name that can't be.
    #[error("destination {0:?} can't be added: a queue has at most 32, with names of one line")]
    Destination(String),
    /// No such destination, or one that is in use and can't be forgotten.
    #[error("no destination {0:?} that is no longer configured")]
    NotForgettable(String),
    /// The queue is closed.
    #[error("the queue is closed")]
    Closed,
}

impl QueueError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Disk { .. } => "check that the disk has room and the folder can be written",
            Self::Locked => "stop the other process, or give this one a folder of its own",
            Self::Newer { .. } => "use the newer program, or a new folder",
            Self::Damaged { .. } => {
                "start once with the option to skip damage; what can't be read is counted and lost"
            }
            Self::Destination(_) => "forget a destination that is no longer configured",
            Self::NotForgettable(_) => "take it out of the configuration first",
            Self::Closed => "open it again",
        }
    }

    fn disk(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { doing, source }
    }
}

/// What the queue's threads and readers share.
struct Core {
    storage: Box<dyn Storage>,
    options: Options,
    /// By bit, those included that are no longer configured.
    ledgers: Vec<Ledger>,
    /// The place in `ledgers` of each configured destination, in the order of the configuration.
    configured: Vec<usize>,
    /// The routing bits of the log for each bit of the configuration; `None` where they are equal.
    bits: Option<Vec<u32>>,
    index: Mutex<Index>,
    waiting: Waiting,
    counters: Counters,
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
    /// The number after the last entry that can be read.
    tail: watch::Receiver<u64>,
}

impl Core {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Routing bits of the configuration as those of the log.
    fn routes(&self, routes: u32) -> u32 {
        let Some(bits) = &self.bits else { return routes };
        let to = |(place, bit): (usize, &u32)| if routes >> place & 1 == 1 { *bit } else { 0 };
        bits.iter().enumerate().map(to).fold(0, |all, bit| all | bit)
    }
}

/// The writer's thread; the last owner ends it.
struct Owner {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Owner {
    fn close(&self) {
        self.core.waiting.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has failed its tickets; there is nothing to add.
            drop(thread.join());
        }
        *self.core.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

/// A durable queue. Copies are the same queue; the last one closes it, and so does
/// [`Queue::close`].
#[derive(Clone)]
pub struct Queue {
    core: Arc<Core>,
    owner: Arc<Owner>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Queue").field("options", &self.core.options).finish_non_exhaustive()
    }
}

impl Queue {
    /// Opens the queue of a folder, or makes one, for these destinations. Reads the whole log once.
    ///
    /// A destination that is new has what is appended from now on. One that is gone from the
    /// configuration keeps what it hadn't settled until [`Queue::forget`].
    ///
    /// # Errors
    /// When another process has the folder, when a file is damaged or of a newer program, when
    /// there are too many destinations, and what the system says.
    pub fn open(
        folder: &Path,
        options: Options,
        destinations: &[&str],
    ) -> Result<Self, QueueError> {
        let disk = Disk::new(folder.to_path_buf()).map_err(QueueError::disk("make it"))?;
        Self::open_storage(Box::new(disk), options, destinations)
    }

    fn open_storage(
        storage: Box<dyn Storage>,
        options: Options,
        destinations: &[&str],
    ) -> Result<Self, QueueError> {
        let opened = open::open(storage, options, destinations)?;
        let core = opened.core;
        let thread = std::thread::Builder::new()
            .name("queue-writer".to_owned())
            .spawn(move || opened.writer.run())
            .map_err(QueueError::disk("start the writer"))?;
        let owner = Owner { core: Arc::clone(&core), thread: Mutex::new(Some(thread)) };
        Ok(Self { core, owner: Arc::new(owner) })
    }

    /// Takes a batch, all of it or nothing. Never blocks and does no I/O.
    ///
    /// # Errors
    /// When it isn't taken; every refusal is counted.
    pub fn append(&self, batch: Batch, durability: Durability) -> Result<Ticket, Refused> {
        let bytes = record::record_bytes(&batch);
        let count = batch.entries.len();
        self.admit(batch, durability, bytes)
            .inspect_err(|refused| self.core.counters.refuse(*refused, count))
    }

    fn admit(&self, batch: Batch, durability: Durability, bytes: usize) -> Result<Ticket, Refused> {
        let (core, options) = (&self.core, &self.core.options);
        if bytes > record::BODY_BYTES_MAX || bytes as u64 > options.bytes_max / 2 {
            return Err(Refused::TooLarge);
        }
        let is_bounded = options.when_full == WhenFull::Refuse;
        let room = if is_bounded { options.bytes_max } else { u64::MAX };
        core.waiting.push(batch, durability, bytes, room.saturating_sub(core.counters.log_bytes()))
    }

    /// A reader for the destination at this place of the configuration, which begins with the
    /// oldest entry that isn't settled. Several readers of one destination read the same.
    ///
    /// # Panics
    /// When there is no such destination.
    #[must_use]
    pub fn reader(&self, destination: usize) -> Reader {
        Reader::new(Arc::clone(&self.core), self.core.configured[destination])
    }

    /// Says what became of entries that a destination has read; answers how many of them were
    /// not settled before. Their order does not matter, runs are cheapest. It is one small write.
    ///
    /// Where the disk refuses that write, the entries are settled all the same, and recorded as
    /// soon as the disk lets us; a crash before that reads them again.
    ///
    /// # Errors
    /// When the queue is closed.
    ///
    /// # Panics
    /// When there is no such destination.
    pub fn settle(
        &self,
        destination: usize,
        numbers: &[u64],
        disposition: Disposition,
    ) -> Result<u64, QueueError> {
        if self.core.waiting.is_closed() {
            return Err(QueueError::Closed);
        }
        let ledger = &self.core.ledgers[self.core.configured[destination]];
        let settled = ledger.settle(numbers, disposition, &self.core.counters);
        if settled.emptied_segment {
            self.core.waiting.command(Command::Sweep);
        }
        Ok(settled.count)
    }

    /// Which of these entries a destination hasn't settled: what was read may have been shed
    /// meanwhile.
    ///
    /// # Panics
    /// When there is no such destination.
    #[must_use]
    pub fn are_open(&self, destination: usize, numbers: &[u64]) -> Vec<bool> {
        self.core.ledgers[self.core.configured[destination]].are_open(numbers)
    }

    /// Makes everything that was appended and settled before outlive a power cut.
    ///
    /// # Errors
    /// When the queue is closed or the disk refuses it.
    #[cfg(test)]
    pub async fn sync(&self) -> Result<(), QueueError> {
        let (answer, done) = oneshot::channel();
        self.core.waiting.command(Command::Sync(answer));
        done.await.unwrap_or(Err(QueueError::Closed))
    }

    /// Gives up what a destination that is no longer configured has not settled, and the
    /// destination with its counts; answers how many entries that were.
    ///
    /// # Errors
    /// When there is no such destination, when it is configured, when the queue is closed, and
    /// what the system says.
    pub async fn forget(&self, name: &str) -> Result<u64, QueueError> {
        let (answer, done) = oneshot::channel();
        self.core.waiting.command(Command::Forget(name.to_owned(), answer));
        done.await.unwrap_or(Err(QueueError::Closed))
    }

    /// All counts and sizes. It takes every lock for a moment, so ask once a second, not once an
    /// event.
    #[must_use]
    pub fn meter(&self) -> Meter {
        meter::read(&self.core)
    }

    /// Writes and syncs what was taken, ends the writer and gives the folder free. Blocks for as
    /// long as that takes. Readers end; later appends and settlements are refused.
    pub fn close(&self) {
        self.owner.close();
    }
}
