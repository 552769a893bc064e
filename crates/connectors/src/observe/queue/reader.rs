//! Reads what is for one destination, in order, from the segments' files, so that a backlog takes
//! no memory.

use super::index::{Place, file_name};
use super::ledger::Ledger;
use super::meter::count;
use super::record::Record;
use super::scan::{self, Piece, Span};
use super::waiting::Command;
use super::{Core, Item, OnDamage, QueueError};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// So much is read from a file at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// A segment can be rewritten or removed between being found and being opened; more often than
/// this in a row it can't.
const ATTEMPTS: usize = 100;

/// A place to go on reading at: a record of this segment and generation begins at this offset.
#[derive(Clone, Copy, Debug)]
struct Position {
    first: u64,
    generation: u32,
    offset: u64,
}

/// Reads for one destination. It gives every entry once; to read again what was given and not
/// settled, make a new reader.
pub struct Reader {
    core: Arc<Core>,
    ledger: usize,
    tail: watch::Receiver<u64>,
    /// The number that is wanted next.
    number: u64,
    position: Option<Position>,
    records: VecDeque<Record>,
    /// Where the next entry of the first record is; 0 at its beginning.
    entry_at: usize,
    /// What a call has found that was then dropped before it could answer.
    ready: Vec<Item>,
    ready_bytes: usize,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reader").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Records that were read.
struct Filled {
    records: Vec<Record>,
    position: Option<Position>,
    /// There is nothing for the reader before this number.
    number: u64,
}

impl Reader {
    pub(super) fn new(core: Arc<Core>, ledger: usize) -> Self {
        let number = core.ledgers[ledger].state().done.first_missing(0);
        let tail = core.tail.clone();
        Self {
            core,
            ledger,
            tail,
            number,
            position: None,
            records: VecDeque::new(),
            entry_at: 0,
            ready: Vec::new(),
            ready_bytes: 0,
        }
    }

    /// The next entries that are for the destination and not settled, at most so many, and at
    /// most so many bytes of payload unless the first alone has more. Waits until there is one;
    /// then gives what is there. No entry is lost when the future is dropped. Empty when the
    /// queue is closed.
    ///
    /// # Errors
    /// When the log can't be read, or is damaged and damage is not skipped. The reader stays
    /// where it is.
    pub async fn read(
        &mut self,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<Item>, QueueError> {
        let max_events = max_events.max(1);
        loop {
            if self.core.waiting.is_closed() {
                return Ok(Vec::new());
            }
            let is_full = self.collect(max_events, max_bytes);
            let tail = *self.tail.borrow_and_update();
            let has_more = self.number < tail;
            if is_full || (!has_more && !self.ready.is_empty()) {
                return Ok(self.give(max_events));
            }
            if has_more {
                match self.fill(tail).await {
                    Err(_) if !self.ready.is_empty() => return Ok(self.give(max_events)),
                    filled => filled?,
                }
            } else if self.tail.changed().await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    fn give(&mut self, max_events: usize) -> Vec<Item> {
        self.ready_bytes = 0;
        if self.ready.len() <= max_events {
            return std::mem::take(&mut self.ready);
        }
        let rest = self.ready.split_off(max_events);
        self.ready_bytes = rest.iter().map(|item| item.payload.len()).sum();
        std::mem::replace(&mut self.ready, rest)
    }

    /// Takes items out of the records that were read; says whether there are enough.
    fn collect(&mut self, max_events: usize, max_bytes: usize) -> bool {
        while let Some(record) = self.records.front() {
            if self.ready.len() >= max_events || self.ready_bytes >= max_bytes {
                return true;
            }
            let ledger: &Ledger = &self.core.ledgers[self.ledger];
            let mut state = ledger.state();
            let shared = record.shared();
            let mut at = self.entry_at.max(record.entries_at());
            while let Some((entry, next)) = record.entry_at(at) {
                if entry.number >= self.number {
                    // There is no entry with a number that was left out.
                    state.done.insert(self.number, entry.number);
                    let is_mine = ledger.is_for(entry.number, entry.routes);
                    if !is_mine {
                        state.done.insert(entry.number, entry.number + 1);
                    } else if !state.done.contains(entry.number) {
                        let payload = record.payload(&entry);
                        let is_over = self.ready_bytes + payload.len() > max_bytes;
                        if self.ready.len() >= max_events || (is_over && !self.ready.is_empty()) {
                            self.entry_at = at;
                            return true;
                        }
                        self.ready_bytes += payload.len();
                        self.ready.push(Item {
                            seq: entry.number,
                            id: entry.id,
                            priority: entry.priority,
                            shared: shared.clone(),
                            payload,
                        });
                    }
                    self.number = entry.number + 1;
                }
                at = next;
            }
            self.number = self.number.max(record.end());
            drop(state);
            self.records.pop_front();
            self.entry_at = 0;
        }
        self.ready.len() >= max_events || self.ready_bytes >= max_bytes
    }

    /// Reads more records. Page cache or not, it is done on a thread that may block.
    async fn fill(&mut self, tail: u64) -> Result<(), QueueError> {
        let (core, number, position) = (Arc::clone(&self.core), self.number, self.position);
        let work = move || fill(&core, number, position, tail);
        let filled = match tokio::task::spawn_blocking(work).await {
            Ok(filled) => filled?,
            Err(_) => return Err(QueueError::Closed),
        };
        if filled.number > self.number {
            self.core.ledgers[self.ledger].state().done.insert(self.number, filled.number);
            self.number = filled.number;
        }
        self.position = filled.position;
        self.records.extend(filled.records);
        Ok(())
    }
}

/// Reads the records that have this number or come next, up to the `tail`.
fn fill(core: &Core, number: u64, hint: Option<Position>, tail: u64) -> Result<Filled, QueueError> {
    let (mut number, mut hint) = (number, hint);
    for _ in 0..ATTEMPTS {
        let Some(place) = core.index().find(number) else {
            return Ok(Filled { records: Vec::new(), position: None, number: tail });
        };
        number = number.max(place.first);
        let here =
            |hint: &Position| hint.first == place.first && hint.generation == place.generation;
        let offset = hint.filter(here).map_or(place.offset, |hint| hint.offset);
        if offset >= place.bytes {
            number = place.end;
            continue;
        }
        let (first, generation) = (place.first, place.generation);
        let piece = match read(core, &place, offset) {
            Err(QueueError::Disk { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            piece => piece?,
        };
        let position = Position { first, generation, offset: piece.next };
        if piece.records.is_empty() {
            hint = Some(position);
            continue;
        }
        return Ok(Filled { records: piece.records, position: Some(position), number });
    }
    // Nothing was lost: the reader stays where it is and the next call tries again.
    Ok(Filled { records: Vec::new(), position: hint, number })
}

/// Reads one piece and decides about damage in it.
fn read(core: &Core, place: &Place, offset: u64) -> Result<Piece, QueueError> {
    let name = file_name(place.first, place.generation);
    let span = Span { name: &name, from: offset, until: place.bytes, chunk: CHUNK_BYTES };
    let mut piece =
        scan::read_piece(&*core.storage, span).map_err(QueueError::disk("read a segment"))?;
    let Some((from, _)) = piece.damage else { return Ok(piece) };
    if core.options.on_damage == OnDamage::Skip || from >= place.doubtful_from {
        core.waiting.command(Command::Repair(place.first));
        return Ok(piece);
    }
    if piece.records.is_empty() {
        count(&core.counters.read_failures);
        return Err(QueueError::Damaged { file: name, offset: from });
    }
    // What is good before the damage is given first; the next call comes back to it.
    piece.next = from;
    Ok(piece)
}
