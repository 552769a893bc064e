//! What one destination has settled: in memory as ranges, on disk as a small append-only file of
//! acknowledgements that is now and then replaced by a snapshot of itself.
//!
//! ```text
//! file    WLQACK, 0, version                                                8 bytes
//! record  length u32 | crc u32 | kind u8 | counts u64... | ranges (from u64, to u64)...
//! ```
//!
//! A record of kind 0 to 2 says how many entries became delivered, rejected or shed, and which
//! numbers need not be read again: those and numbers between them that aren't the destination's.
//! A snapshot, kind 3, has all three counts and all ranges.

use super::Disposition;
use super::meter::{Counters, DestinationMeter, count};
use super::names::Known;
use super::ranges::RangeSet;
use super::record::{Record, Stored};
use super::storage::{self, Appender, Storage};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MAGIC: [u8; 7] = *b"WLQACK\0";
/// The version of the format that this program writes and the newest that it reads.
pub const VERSION: u8 = 1;
const SNAPSHOT: u8 = 3;
/// A file is replaced when it is greater than this and twice its last snapshot.
const COMPACT_BYTES: u64 = 1 << 20;

/// The entries of one segment that are for the destination.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    pending: u64,
    entries: u64,
    bytes: u64,
}

/// What a ledger knows, under its lock.
#[derive(Default)]
pub struct State {
    /// Numbers that need not be read: settled, or not the destination's.
    pub done: RangeSet,
    counts: [u64; 3],
    routed: u64,
    pending: u64,
    shares: BTreeMap<u64, Share>,
    /// The number after the last one that exists.
    end: u64,
    /// `None` where there is none yet, or where a write to it failed.
    file: Option<Arc<dyn Appender>>,
    file_bytes: u64,
    snapshot_bytes: u64,
    is_unsynced: bool,
    is_unrecorded: bool,
    is_forgotten: bool,
    /// What is recorded while a snapshot is being written.
    aside: Option<Vec<u8>>,
}

/// The account of one destination.
pub struct Ledger {
    /// Its name, its bit, and its first number.
    pub known: Known,
    state: Mutex<State>,
}

/// What a settlement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// So many entries were not settled before.
    pub count: u64,
    /// A segment has nothing for this destination any more.
    pub emptied_segment: bool,
}

/// An entry that a rewritten segment still has: number, routes, bytes.
pub type Kept = (u64, u32, u64);

/// The file of a destination.
#[must_use]
pub fn file_name(known: &Known) -> String {
    format!("acks-{:02}-{:020}.log", known.bit, known.since)
}

impl State {
    /// Counts what is pending of these numbers as settled, and remembers the numbers.
    fn take(&mut self, start: u64, end: u64, settled: &mut Settled) {
        let mut at = start;
        while at < end {
            let next = self.shares.range(at + 1..).next().map_or(end, |(&first, _)| first.min(end));
            if let Some((_, share)) = self.shares.range_mut(..=at).next_back()
                && share.pending > 0
            {
                let taken = share.pending.min(next - at);
                share.pending -= taken;
                settled.count += taken;
                settled.emptied_segment |= share.pending == 0;
            }
            at = next;
        }
        self.done.insert(start, end);
    }

    /// Enters settled entries in the counts and the file.
    fn enter(&mut self, disposition: Disposition, counted: u64, ranges: &[(u64, u64)]) {
        self.counts[disposition as usize] += counted;
        self.pending -= counted.min(self.pending);
        let mut body = vec![disposition as u8];
        body.extend_from_slice(&counted.to_le_bytes());
        for (start, end) in ranges {
            body.extend_from_slice(&start.to_le_bytes());
            body.extend_from_slice(&end.to_le_bytes());
        }
        let record = frame(&body);
        if let Some(aside) = &mut self.aside {
            aside.extend_from_slice(&record);
        }
        let Some(file) = &self.file else {
            self.is_unrecorded = true;
            return;
        };
        if file.append(&record).is_ok() {
            self.file_bytes += record.len() as u64;
            self.is_unsynced = true;
        } else {
            // A torn record hides what comes after it, so nothing more goes into this file. Where
            // it can't be cut either, the next reading of the file ends there.
            drop(file.truncate(self.file_bytes));
            self.file = None;
            self.is_unrecorded = true;
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut body = vec![SNAPSHOT];
        for count in self.counts {
            body.extend_from_slice(&count.to_le_bytes());
        }
        for (start, end) in self.done.iter() {
            body.extend_from_slice(&start.to_le_bytes());
            body.extend_from_slice(&end.to_le_bytes());
        }
        let mut content = MAGIC.to_vec();
        content.push(VERSION);
        content.extend_from_slice(&frame(&body));
        content
    }

    /// Reads one record's body; `None` where it makes no sense.
    fn replay(&mut self, body: &[u8]) -> Option<()> {
        let (&kind, rest) = body.split_first()?;
        let mut words = rest.chunks_exact(8).map(|raw| raw.try_into().map(u64::from_le_bytes));
        if kind == SNAPSHOT {
            self.done = RangeSet::default();
            for count in &mut self.counts {
                *count = words.next()?.ok()?;
            }
        } else {
            *self.counts.get_mut(usize::from(kind))? += words.next()?.ok()?;
        }
        while let Some(start) = words.next() {
            self.done.insert(start.ok()?, words.next()?.ok()?);
        }
        Some(())
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(8 + body.len());
    record.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    record.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    record.extend_from_slice(body);
    record
}

/// The body of the record at the beginning of these bytes.
fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let body = bytes.get(8..8 + length)?;
    (crc32fast::hash(body) == crc).then_some(body)
}

/// Why a file of acknowledgements can't be used.
#[derive(Debug)]
pub enum BadFile {
    /// What the system says.
    Disk(io::Error),
    /// A program that is newer wrote it.
    Newer(u8),
}

impl Ledger {
    /// One without entries.
    #[must_use]
    pub fn new(known: Known) -> Self {
        let mut state = State { end: known.since, ..State::default() };
        state.done.insert(0, known.since);
        Self { known, state: Mutex::new(state) }
    }

    /// Reads the file, and cuts what is torn or damaged at its end: entries whose settlement is
    /// lost with that are read again, which is the safe side.
    ///
    /// # Errors
    /// When the file can't be read, or a newer program wrote it.
    pub fn load(storage: &dyn Storage, known: Known) -> Result<Self, BadFile> {
        let name = file_name(&known);
        let ledger = Self::new(known);
        let content = match storage::read_all(storage, &name) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ledger),
            Err(error) => return Err(BadFile::Disk(error)),
        };
        if content.get(..7) != Some(&MAGIC[..]) {
            return Ok(ledger);
        }
        match content.get(7) {
            Some(&VERSION) => {}
            Some(&found) if found > VERSION => return Err(BadFile::Newer(found)),
            _ => return Ok(ledger),
        }
        let mut state = ledger.state();
        let mut at = 8;
        while let Some(body) = unframe(&content[at..]) {
            if state.replay(body).is_none() {
                break;
            }
            at += 8 + body.len();
        }
        let since = ledger.known.since;
        state.done.insert(0, since);
        state.file_bytes = at as u64;
        // The process that wrote it may have ended before it synced.
        state.is_unsynced = true;
        // Where the torn part can't be cut or the file not be opened, a new one is written soon.
        let file = storage.open(&name);
        let is_whole = at == content.len();
        state.file = file.ok().filter(|file| is_whole || file.truncate(at as u64).is_ok());
        drop(state);
        Ok(ledger)
    }

    /// Its state; no I/O but a plain write happens under this lock.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an entry is for this destination.
    #[must_use]
    pub const fn is_for(&self, number: u64, routes: u32) -> bool {
        routes >> self.known.bit & 1 == 1 && number >= self.known.since
    }

    /// Which of these numbers are not settled.
    pub fn are_open(&self, numbers: &[u64]) -> Vec<bool> {
        let state = self.state();
        numbers.iter().map(|&number| state.done.first_missing(number) == number).collect()
    }

    /// Settles numbers that the destination has read.
    pub fn settle(
        &self,
        numbers: &[u64],
        disposition: Disposition,
        counters: &Counters,
    ) -> Settled {
        if numbers.is_sorted() {
            return self.settle_sorted(numbers, disposition, counters);
        }
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        self.settle_sorted(&sorted, disposition, counters)
    }

    fn settle_sorted(
        &self,
        numbers: &[u64],
        disposition: Disposition,
        counters: &Counters,
    ) -> Settled {
        let (mut settled, mut ranges) = (Settled::default(), Vec::<(u64, u64)>::new());
        let mut state = self.state();
        let was_recorded = !state.is_unrecorded;
        let mut at = 0;
        while at < numbers.len() {
            let start = numbers[at];
            let mut end = start;
            while at < numbers.len() && numbers[at] <= end {
                end = numbers[at] + 1;
                at += 1;
            }
            // A number that was never given out would make a later entry with it settled.
            let end = end.min(state.end);
            let mut from = start;
            while from < end {
                let Some((from_missing, to)) = state.done.missing(from, end).next() else { break };
                state.take(from_missing, to, &mut settled);
                match ranges.last_mut() {
                    // What lies between is done, so one range tells all of it.
                    Some(last) if state.done.first_missing(last.1) >= from_missing => last.1 = to,
                    _ => ranges.push((from_missing, to)),
                }
                from = to;
            }
        }
        if !ranges.is_empty() {
            state.enter(disposition, settled.count, &ranges);
        }
        if was_recorded && state.is_unrecorded {
            count(&counters.write_failures);
        }
        settled
    }

    /// Gives up what is pending of a segment.
    pub fn shed_segment(&self, first: u64, end: u64) -> u64 {
        let mut state = self.state();
        let counted =
            state.shares.get_mut(&first).map_or(0, |share| std::mem::take(&mut share.pending));
        state.done.insert(first, end);
        if counted > 0 {
            state.enter(Disposition::Shed, counted, &[(first, end)]);
        }
        counted
    }

    /// Counts entries that were shed before they got numbers.
    pub fn shed_unstored(&self, count: u64) {
        let mut state = self.state();
        state.routed += count;
        state.pending += count;
        state.enter(Disposition::Shed, count, &[]);
    }

    /// Adds entries of a segment, of which the last number is before `end`.
    pub fn add(&self, first: u64, entries: u64, bytes: u64, end: u64) {
        let mut state = self.state();
        state.end = end;
        if entries > 0 {
            state.routed += entries;
            state.pending += entries;
            let share = state.shares.entry(first).or_default();
            share.pending += entries;
            share.entries += entries;
            share.bytes += bytes;
        }
    }

    /// Adds what of a record is pending while the log is opened, and joins numbers that are not
    /// the destination's with settled ones before them, so that few runs are left.
    /// `before` is the number after the last entry before the record.
    pub fn recover(&self, first: u64, record: &Record, before: u64) {
        let mut state = self.state();
        let mut added = Share::default();
        let mut before = before;
        for entry in record.entries() {
            state.join(before, entry.number);
            before = entry.number + 1;
            if !self.is_for(entry.number, entry.routes) {
                state.join(entry.number, before);
            } else if !state.done.contains(entry.number) {
                added.pending += 1;
                added.bytes += entry.bytes();
            }
        }
        if added.pending > 0 {
            let share = state.shares.entry(first).or_default();
            share.pending += added.pending;
            share.entries += added.pending;
            share.bytes += added.bytes;
            state.pending += added.pending;
        }
    }

    /// Ends the opening: `next` is the number after all that were ever given out.
    pub fn recovered(&self, next: u64) {
        let mut state = self.state();
        state.end = next;
        state.routed = state.pending + state.counts.iter().sum::<u64>();
    }

    /// Which of a record's entries are pending, as this destination's bit in `pending`.
    pub fn pending_of(&self, entries: &[Stored], pending: &mut [u32]) {
        let state = self.state();
        if state.is_forgotten {
            return;
        }
        for (entry, bits) in entries.iter().zip(pending) {
            if self.is_for(entry.number, entry.routes) && !state.done.contains(entry.number) {
                *bits |= 1 << self.known.bit;
            }
        }
    }

    /// Counts a segment anew that was rewritten with these entries; what is pending and neither
    /// kept nor settled was damaged and is given up.
    pub fn recount(&self, first: u64, kept: &[Kept], damaged: &[(u64, u64)]) {
        let mut state = self.state();
        let mut share = Share::default();
        for &(number, routes, bytes) in kept {
            if self.is_for(number, routes) && !state.done.contains(number) {
                share.pending += 1;
                share.entries += 1;
                share.bytes += bytes;
            }
        }
        let was = state.shares.get(&first).map_or(0, |share| share.pending);
        state.shares.insert(first, share);
        for &(start, end) in damaged {
            state.done.insert(start, end);
        }
        if was > share.pending {
            state.enter(Disposition::Shed, was - share.pending, damaged);
        }
    }

    /// Forgets a segment that is gone.
    pub fn remove_segment(&self, first: u64, end: u64) {
        let mut state = self.state();
        state.shares.remove(&first);
        state.done.insert(first, end);
    }

    /// How many entries of a segment are pending.
    #[must_use]
    pub fn pending_in(&self, first: u64) -> u64 {
        self.state().shares.get(&first).map_or(0, |share| share.pending)
    }

    /// Gives up everything, and the destination; answers how many entries were pending.
    pub fn forget(&self) -> u64 {
        let mut state = self.state();
        let pending = state.pending;
        let end = state.end;
        *state = State { is_forgotten: true, end, ..State::default() };
        state.done.insert(0, end);
        pending
    }

    /// Its figures with the number of the oldest pending entry; `None` where it is forgotten.
    pub fn meter(&self) -> Option<(DestinationMeter, Option<u64>)> {
        let state = self.state();
        if state.is_forgotten {
            return None;
        }
        let bytes = |share: &Share| share.bytes * share.pending / share.entries.max(1);
        let oldest = state.shares.iter().find(|(_, share)| share.pending > 0);
        let oldest = oldest.map(|(&first, _)| state.done.first_missing(first));
        let meter = DestinationMeter {
            name: self.known.name.clone(),
            routed: state.routed,
            delivered: state.counts[Disposition::Delivered as usize],
            rejected: state.counts[Disposition::Rejected as usize],
            shed: state.counts[Disposition::Shed as usize],
            pending: state.pending,
            pending_bytes: state.shares.values().map(bytes).sum(),
            runs: state.done.runs(),
            is_unrecorded: state.is_unrecorded,
            ..DestinationMeter::default()
        };
        Some((meter, oldest))
    }

    /// Makes the file outlive a power cut, and replaces it where it is broken or has grown.
    ///
    /// # Errors
    /// What the system says; it can be tried again.
    pub fn save(&self, storage: &dyn Storage) -> io::Result<()> {
        let state = self.state();
        let limit = COMPACT_BYTES.max(2 * state.snapshot_bytes);
        let is_broken = state.is_unrecorded || state.file.is_none();
        if !state.is_forgotten && (is_broken || state.file_bytes > limit) {
            drop(state);
            return self.replace(storage);
        }
        let file = state.file.clone().filter(|_| state.is_unsynced);
        drop(state);
        let Some(file) = file else { return Ok(()) };
        self.state().is_unsynced = false;
        file.sync().inspect_err(|_| {
            let mut state = self.state();
            // After a failed sync the file can't be trusted, so the next turn writes a new one.
            state.is_unrecorded = true;
            state.file = None;
        })
    }

    /// Makes the file where there is none.
    ///
    /// # Errors
    /// What the system says; [`Self::save`] tries again.
    pub fn create_file(&self, storage: &dyn Storage) -> io::Result<()> {
        if self.state().file.is_some() {
            return Ok(());
        }
        self.replace(storage)
    }

    fn replace(&self, storage: &dyn Storage) -> io::Result<()> {
        let written = self.write_snapshot(storage);
        if written.is_err() {
            let mut state = self.state();
            (state.aside, state.is_unrecorded) = (None, true);
        }
        written
    }

    fn write_snapshot(&self, storage: &dyn Storage) -> io::Result<()> {
        let mut state = self.state();
        let content = state.snapshot();
        state.aside = Some(Vec::new());
        drop(state);
        let name = file_name(&self.known);
        let fresh = format!("{name}.new");
        let file = storage.create(&fresh)?;
        file.append(&content)?;
        file.sync()?;
        let mut state = self.state();
        let aside = state.aside.take().unwrap_or_default();
        file.append(&aside)?;
        storage.rename(&fresh, &name)?;
        state.snapshot_bytes = content.len() as u64;
        state.file_bytes = (content.len() + aside.len()) as u64;
        (state.is_unsynced, state.is_unrecorded) = (!aside.is_empty(), false);
        state.file = Some(file);
        drop(state);
        storage.sync_names()
    }
}

impl State {
    /// Joins numbers that no one needs to read with settled ones right before them.
    fn join(&mut self, start: u64, end: u64) {
        if start < end && (start == 0 || self.done.contains(start - 1)) {
            self.done.insert(start, end);
        }
    }
}
