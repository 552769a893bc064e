//! Finds everything again: destinations, acknowledgements, segments. Cuts what a crash has torn,
//! and leaves what is damaged to the operator's decision.

use super::index::{Index, Segment, file_name, parse_name};
use super::ledger::{self, BadFile, Ledger};
use super::meter::Counters;
use super::names::{self, Known};
use super::record::{self, BadHead, SEGMENT_HEAD, SegmentHead};
use super::scan::{self, Span};
use super::storage::Storage;
use super::waiting::Waiting;
use super::window::Window;
use super::writer::{Start, Writer};
use super::{Core, OnDamage, Options, QueueError};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// A segment is read in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// An open queue whose writer has still to be started.
pub struct Opened {
    pub(super) core: Arc<Core>,
    pub(super) writer: Writer,
}

/// What is found while the log is read.
struct Finding<'a> {
    storage: &'a dyn Storage,
    on_damage: OnDamage,
    ledgers: Vec<Ledger>,
    window: Window,
    counters: Counters,
    index: Index,
    repairs: Vec<u64>,
    /// The number after all that exist.
    next: u64,
}

/// A segment's file.
#[derive(Clone, Debug)]
struct Found {
    first: u64,
    generation: u32,
    length: u64,
    head: Result<SegmentHead, BadHead>,
    /// Whether its end may be missing or torn.
    may_be_torn: bool,
    is_last: bool,
}

/// Opens a queue; see [`super::Queue::open`].
pub fn open(
    storage: Box<dyn Storage>,
    options: Options,
    destinations: &[&str],
) -> Result<Opened, QueueError> {
    let lock = storage.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => QueueError::Locked,
        _ => QueueError::Disk { doing: "take the lock", source },
    })?;
    let mut known = names::read(&*storage)?;
    let found = tidy(&*storage, &known)?;
    let mut finding = Finding {
        storage: &*storage,
        on_damage: options.on_damage,
        ledgers: Vec::new(),
        window: Window::new(options.window),
        counters: Counters::default(),
        index: Index::default(),
        repairs: Vec::new(),
        next: 0,
    };
    for known in &known {
        finding.add_ledger(known.clone())?;
    }
    for segment in &found {
        finding.read_segment(segment)?;
    }
    let next = finding.next;
    let before = known.len();
    if names::add(&mut known, destinations, next)? {
        names::write(&*storage, &known)?;
    }
    finding.ledgers.extend(known[before..].iter().cloned().map(Ledger::new));
    for ledger in &finding.ledgers {
        ledger.recovered(next);
        // On a full disk the queue opens all the same: delivering is what makes room again.
        drop(ledger.create_file(&*storage));
    }
    let Finding { ledgers, window, counters, index, repairs, .. } = finding;
    counters.known_ids.store(window.len() as u64, Relaxed);
    let place = |name: &&str| ledgers.iter().position(|ledger| ledger.known.name == **name);
    let configured: Vec<usize> = destinations.iter().filter_map(place).collect();
    let bits: Vec<u32> = configured.iter().map(|place| 1 << ledgers[*place].known.bit).collect();
    let is_same = bits.iter().enumerate().all(|(place, bit)| *bit == 1 << place);
    let (sender, tail) = watch::channel(next);
    let core = Arc::new(Core {
        waiting: Waiting::new(options.waiting_batches, options.waiting_bytes),
        bits: Some(bits).filter(|bits| !is_same || bits.len() < ledgers.len()),
        storage,
        options,
        ledgers,
        configured,
        index: Mutex::new(index),
        counters,
        lock: Mutex::new(Some(lock)),
        tail,
    });
    let start = Start { next, window, repairs };
    let writer = Writer::new(Arc::clone(&core), sender, start);
    Ok(Opened { core, writer })
}

/// Removes what an unfinished change has left and finds the segments, oldest first.
fn tidy(storage: &dyn Storage, known: &[Known]) -> Result<Vec<Found>, QueueError> {
    let acks: Vec<String> = known.iter().map(ledger::file_name).collect();
    let mut newest = BTreeMap::<u64, u32>::new();
    let mut stale = Vec::new();
    for name in storage.list().map_err(QueueError::disk("list the files"))? {
        if let Some((first, generation)) = parse_name(&name) {
            match newest.insert(first, generation) {
                Some(other) if other > generation => {
                    newest.insert(first, other);
                    stale.push(name);
                }
                Some(other) => stale.push(file_name(first, other)),
                None => {}
            }
        } else if name.ends_with(".new") || (name.starts_with("acks-") && !acks.contains(&name)) {
            stale.push(name);
        }
    }
    for name in stale {
        storage.remove(&name).map_err(QueueError::disk("remove an old file"))?;
    }
    find(storage, newest)
}

fn find(storage: &dyn Storage, newest: BTreeMap<u64, u32>) -> Result<Vec<Found>, QueueError> {
    let mut all = Vec::<Found>::new();
    let last = newest.last_key_value().map(|(first, _)| *first);
    for (first, generation) in newest {
        let name = file_name(first, generation);
        let doing = QueueError::disk("read a segment");
        let mut head = [0; SEGMENT_HEAD as usize];
        let read = storage.length(&name).and_then(|length| {
            storage.read_at(&name, 0, &mut head)?;
            Ok(length)
        });
        let length = read.map_err(doing)?;
        let head = SegmentHead::decode(&head);
        if head == Err(BadHead::Damaged) && length <= SEGMENT_HEAD && last == Some(first) {
            // A crash or a failed sync while it was made: nothing was ever in it.
            storage.remove(&name).map_err(QueueError::disk("remove an old file"))?;
            break;
        }
        if let Err(BadHead::Newer(found)) = head {
            return Err(QueueError::Newer { file: name, found, known: record::VERSION });
        }
        if let Some(last) = all.last_mut() {
            last.may_be_torn = head.is_ok_and(|head| head.after_doubt);
            last.is_last = false;
        }
        all.push(Found { first, generation, length, head, may_be_torn: true, is_last: true });
    }
    Ok(all)
}

impl Finding<'_> {
    fn add_ledger(&mut self, known: Known) -> Result<(), QueueError> {
        let file = ledger::file_name(&known);
        let ledger = Ledger::load(self.storage, known).map_err(|bad| match bad {
            BadFile::Disk(source) => QueueError::Disk { doing: "read acknowledgements", source },
            BadFile::Newer(found) => QueueError::Newer { file, found, known: ledger::VERSION },
        })?;
        // A crash can lose entries whose settlement it kept: their numbers are not used again.
        self.next = self.next.max(ledger.state().done.end());
        self.ledgers.push(ledger);
        Ok(())
    }

    fn read_segment(&mut self, found: &Found) -> Result<(), QueueError> {
        let name = file_name(found.first, found.generation);
        self.next = self.next.max(found.first);
        if found.head.is_err() && self.on_damage == OnDamage::Stop {
            return Err(QueueError::Damaged { file: name, offset: 0 });
        }
        let mut segment = Segment::new(found.first, found.generation);
        let (mut damages, mut synced) = (Vec::new(), SEGMENT_HEAD);
        let mut from = SEGMENT_HEAD;
        let mut before = self.index.segments.last_key_value().map_or(0, |(_, last)| last.end);
        while from < found.length {
            let span = Span { name: &name, from, until: found.length, chunk: PIECE_BYTES };
            let piece =
                scan::read_piece(self.storage, span).map_err(QueueError::disk("read a segment"))?;
            for record in &piece.records {
                synced = synced.max(record.synced_to());
                segment.add(record);
                for entry in record.entries() {
                    self.window.insert(entry.id);
                }
                for ledger in &self.ledgers {
                    ledger.recover(found.first, record, before);
                }
                before = before.max(record.end());
            }
            damages.extend(piece.damage);
            from = piece.next;
        }
        segment.bytes = found.length.max(SEGMENT_HEAD);
        self.judge(found, &name, &damages, synced, &mut segment)?;
        (segment.is_sealed, segment.is_doubtful) = (true, found.may_be_torn);
        segment.synced = synced;
        self.next = self.next.max(segment.end);
        self.counters.grow(segment.bytes);
        self.index.segments.insert(found.first, segment);
        Ok(())
    }

    /// Decides what becomes of damage. What was written after the last sync that is told of may
    /// be missing or torn after a crash, also in its middle.
    fn judge(
        &mut self,
        found: &Found,
        name: &str,
        damages: &[(u64, u64)],
        synced: u64,
        segment: &mut Segment,
    ) -> Result<(), QueueError> {
        let mut needs_repair = found.head.is_err();
        for &(from, to) in damages {
            let is_torn = found.may_be_torn && from >= synced;
            if is_torn && found.is_last && to == found.length {
                self.cut(name, from).map_err(QueueError::disk("cut a torn segment"))?;
                self.counters.torn_bytes.fetch_add(to - from, Relaxed);
                segment.bytes = from;
                continue;
            }
            if !is_torn && self.on_damage == OnDamage::Stop {
                return Err(QueueError::Damaged { file: name.to_owned(), offset: from });
            }
            needs_repair = true;
        }
        if needs_repair {
            self.repairs.push(found.first);
        }
        if found.is_last {
            // Killed before it synced, the process may have left bytes that only the cache has.
            // Where a sync of that process had failed, this one says nothing, and nobody knows:
            // so the next segment tells that what was not certainly synced here is in doubt.
            drop(self.storage.open(name).and_then(|file| file.sync()));
        }
        Ok(())
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        let file = self.storage.open(name)?;
        file.truncate(length)?;
        file.sync()
    }
}
