//! Makes room: removes segments that are settled, sheds what may be shed, rewrites segments
//! without what is shed or damaged.

use super::index::{Segment, file_name};
use super::ledger::Kept;
use super::meter::count;
use super::record::{Encoder, Record, SEGMENT_HEAD, SegmentHead, Stored};
use super::scan::{self, Span};
use super::storage::Appender;
use super::waiting::Request;
use super::writer::Writer;
use super::{Disposition, NotStored, WhenFull};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A segment is read in pieces of so many bytes to be rewritten.
const PIECE_BYTES: usize = 1 << 20;

/// A segment that is being rewritten.
struct Rewriting {
    file: Arc<dyn Appender>,
    segment: Segment,
    kept: Vec<Kept>,
    /// The numbers to be shed, for each ledger.
    shed: Vec<Vec<u64>>,
    damaged: Vec<(u64, u64)>,
    damaged_bytes: u64,
    /// The number after the last entry that was read.
    number: u64,
    has_damage_before: bool,
}

impl Writer {
    /// Removes segments in which nothing is pending, and files that couldn't be removed before.
    pub(super) fn sweep(&mut self) {
        let core = Arc::clone(&self.core);
        let sealed = |(first, segment): (&u64, &Segment)| segment.is_sealed.then_some(*first);
        let mut firsts: Vec<u64> = core.index().segments.iter().filter_map(sealed).collect();
        firsts.retain(|first| core.ledgers.iter().all(|ledger| ledger.pending_in(*first) == 0));
        if !firsts.is_empty() {
            // The counts in these files are all that is left of the entries. Where they can't be
            // saved, a full disk needs the room more.
            for ledger in &core.ledgers {
                if ledger.save(&*core.storage).is_err() {
                    count(&core.counters.write_failures);
                }
            }
        }
        for first in firsts {
            self.remove(first);
        }
        self.leftover.retain(|name| {
            let removed = core.storage.remove(name);
            removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
        });
    }

    fn remove(&mut self, first: u64) {
        let Some(segment) = self.core.index().segments.remove(&first) else { return };
        for ledger in &self.core.ledgers {
            ledger.remove_segment(first, segment.end);
        }
        self.core.counters.shrink(segment.bytes);
        self.leftover.push(file_name(first, segment.generation));
    }

    fn fits(&self, bytes: u64) -> bool {
        self.core.counters.log_bytes() + bytes <= self.core.options.bytes_max
    }

    /// Makes room for a group of so many bytes; says what the lowest priority is that it has
    /// room for.
    ///
    /// # Errors
    /// When there is no room for any of it.
    pub(super) fn make_room(&mut self, requests: &[Request], bytes: u64) -> Result<u8, NotStored> {
        let when_full = self.core.options.when_full;
        if when_full == WhenFull::Refuse || self.fits(bytes) {
            return Ok(0);
        }
        self.sweep();
        if when_full == WhenFull::DropOldest {
            return self.drop_oldest_for(bytes).map(|()| 0);
        }
        let mut by_priority = [0; 3];
        for entry in requests.iter().flat_map(|request| &request.batch.entries) {
            let bytes = super::record::ENTRY_HEAD + entry.payload.len();
            by_priority[usize::from(entry.priority.min(2))] += bytes as u64;
        }
        let [low, normal, high] = by_priority;
        if self.fits(bytes) {
            return Ok(0);
        }
        let without_low = bytes - low;
        if normal + high == 0 || self.shed_up_to(0, without_low) {
            return Ok(1);
        }
        if self.shed_up_to(1, without_low) {
            return Ok(1);
        }
        if high > 0 {
            self.drop_oldest_for(without_low - normal)?;
        }
        Ok(2)
    }

    fn drop_oldest_for(&mut self, bytes: u64) -> Result<(), NotStored> {
        while !self.fits(bytes) {
            let oldest = self.core.index().segments.first_key_value().map(|(first, _)| *first);
            let oldest = oldest.ok_or(NotStored::Full)?;
            if self.active.as_ref().is_some_and(|active| active.first == oldest) {
                self.seal().map_err(|error| NotStored::Disk(Arc::new(error)))?;
            }
            let end = self.core.index().segments.get(&oldest).map_or(oldest, |segment| segment.end);
            for ledger in &self.core.ledgers {
                ledger.shed_segment(oldest, end);
            }
            self.sweep();
        }
        Ok(())
    }

    /// Sheds entries up to this priority, in the oldest segments first, until there is room for
    /// so many bytes and some more, so that not every commit rewrites a segment; says whether
    /// there is room.
    fn shed_up_to(&mut self, priority: usize, bytes: u64) -> bool {
        let ample = bytes + self.core.options.segment_limit();
        let active = self.active.as_ref().map(|active| active.first);
        let has_some = |segment: &Segment| segment.by_priority[..=priority].iter().sum::<u64>() > 0;
        let firsts: Vec<u64> = {
            let index = self.core.index();
            let some = index.segments.iter().filter(|(_, segment)| has_some(segment));
            some.map(|(first, _)| *first).collect()
        };
        for first in firsts {
            if self.fits(ample) {
                break;
            }
            if active == Some(first) && self.seal().is_err() {
                break;
            }
            if self.rewrite(first, Some(priority)).is_err() {
                count(&self.core.counters.write_failures);
            }
        }
        self.fits(bytes)
    }

    /// Writes a segment anew with what is pending, without entries up to this priority and
    /// without what is damaged. The old one is there until the new one is synced.
    ///
    /// # Errors
    /// What the system says; the segment is then as it was.
    pub(super) fn rewrite(&mut self, first: u64, shed_up_to: Option<usize>) -> io::Result<()> {
        let Some(old) = self.core.index().segments.get(&first).cloned() else { return Ok(()) };
        if !old.is_sealed {
            return Ok(());
        }
        let fresh = format!("{}.new", file_name(first, old.generation + 1));
        let done = self.rewrite_into(&fresh, first, &old, shed_up_to);
        if done.is_err() {
            self.leftover.push(fresh);
        }
        done
    }

    fn rewrite_into(
        &mut self,
        fresh: &str,
        first: u64,
        old: &Segment,
        shed_up_to: Option<usize>,
    ) -> io::Result<()> {
        let core = Arc::clone(&self.core);
        let name = file_name(first, old.generation);
        let head = self.head_of(&name, first)?;
        let mut new = Rewriting {
            file: core.storage.create(fresh)?,
            segment: Segment::new(first, old.generation + 1),
            kept: Vec::new(),
            shed: vec![Vec::new(); core.ledgers.len()],
            damaged: Vec::new(),
            damaged_bytes: 0,
            number: first,
            has_damage_before: false,
        };
        new.file.append(&head.encode())?;
        let mut from = SEGMENT_HEAD;
        while from < old.bytes {
            let span = Span { name: &name, from, until: old.bytes, chunk: PIECE_BYTES };
            let piece = scan::read_piece(&*core.storage, span)?;
            self.rewrite_piece(&mut new, &piece.records, shed_up_to)?;
            if let Some((start, end)) = piece.damage {
                new.has_damage_before = true;
                new.damaged_bytes += end - start;
            }
            from = piece.next;
        }
        if new.has_damage_before {
            new.damaged.push((new.number, old.end));
        }
        new.file.sync()?;
        self.put_in_place(fresh, first, old, new)
    }

    fn head_of(&self, name: &str, first: u64) -> io::Result<SegmentHead> {
        let mut head = [0; SEGMENT_HEAD as usize];
        self.core.storage.read_at(name, 0, &mut head)?;
        // A head that is damaged was stepped over when the queue was opened.
        Ok(SegmentHead::decode(&head).unwrap_or(SegmentHead { first, after_doubt: true }))
    }

    fn rewrite_piece(
        &self,
        new: &mut Rewriting,
        records: &[Record],
        shed_up_to: Option<usize>,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        let base = new.segment.bytes;
        let (mut entries, mut pending) = (Vec::<Stored>::new(), Vec::<u32>::new());
        for record in records {
            if std::mem::take(&mut new.has_damage_before) {
                new.damaged.push((new.number, record.first()));
            }
            new.number = record.end();
            entries.clear();
            entries.extend(record.entries());
            pending.clear();
            pending.resize(entries.len(), 0);
            for ledger in &self.core.ledgers {
                ledger.pending_of(&entries, &mut pending);
            }
            let (at, shared) = (base + buffer.len() as u64, record.shared());
            let mut encoder =
                Encoder::begin(&mut buffer, base, record.first(), record.at_ms(), at, &shared);
            let mut is_empty = true;
            for (entry, &bits) in entries.iter().zip(&pending) {
                let is_shed = shed_up_to.is_some_and(|most| usize::from(entry.priority) <= most);
                if bits != 0 && is_shed {
                    for (ledger, shed) in self.core.ledgers.iter().zip(&mut new.shed) {
                        if bits >> ledger.known.bit & 1 == 1 {
                            shed.push(entry.number);
                        }
                    }
                } else if bits != 0 {
                    let payload = record.payload(entry);
                    encoder.push(entry.number, entry.id, entry.routes, entry.priority, &payload);
                    new.kept.push((entry.number, entry.routes, entry.bytes()));
                    is_empty = false;
                }
            }
            if is_empty {
                encoder.discard();
            } else {
                encoder.finish();
            }
        }
        new.file.append(&buffer)?;
        self.add_records(&mut new.segment, base, buffer);
        Ok(())
    }

    fn add_records(&self, segment: &mut Segment, base: u64, buffer: Vec<u8>) {
        let bytes = bytes::Bytes::from(buffer);
        let mut at = 0;
        while let Some(record) = Record::decode(base + at as u64, &bytes.slice(at..)) {
            segment.add(&record);
            at = usize::try_from(record.next_offset() - base).unwrap_or(bytes.len());
        }
    }

    /// Sheds first, then changes the files: a crash between leaves entries in the log that are
    /// settled, which is nothing, and never entries missing that aren't.
    fn put_in_place(
        &mut self,
        fresh: &str,
        first: u64,
        old: &Segment,
        mut new: Rewriting,
    ) -> io::Result<()> {
        let core = Arc::clone(&self.core);
        let name = file_name(first, new.segment.generation);
        for (ledger, shed) in core.ledgers.iter().zip(&new.shed) {
            if !shed.is_empty() {
                ledger.settle(shed, Disposition::Shed, &core.counters);
                ledger.save(&*core.storage)?;
            }
        }
        if !new.kept.is_empty() {
            core.storage.rename(fresh, &name)?;
            core.storage.sync_names()?;
        }
        for ledger in &core.ledgers {
            ledger.recount(first, &new.kept, &new.damaged);
        }
        count(&core.counters.rewritten);
        let lost: u64 = new.damaged.iter().map(|(start, end)| end - start).sum();
        core.counters.damaged_bytes.fetch_add(new.damaged_bytes, Relaxed);
        core.counters.damaged_entries.fetch_add(lost, Relaxed);
        if new.kept.is_empty() {
            self.leftover.push(fresh.to_owned());
            self.sweep();
            return Ok(());
        }
        (new.segment.end, new.segment.synced) = (old.end, new.segment.bytes);
        new.segment.is_sealed = true;
        core.counters.grow(new.segment.bytes);
        core.counters.shrink(old.bytes);
        core.index().segments.insert(first, new.segment);
        self.leftover.push(file_name(first, old.generation));
        self.sweep();
        Ok(())
    }
}
