//! The one thread that writes the log: it takes everything that waits, writes it with one write,
//! syncs once where anybody asked for it, and answers.

use super::index::{Index, Point, Segment, file_name};
use super::meter::count;
use super::record::{Encoder, SEGMENT_HEAD, SegmentHead};
use super::scan::{self, Span};
use super::storage::Appender;
use super::waiting::{Command, Request, Taken};
use super::window::Window;
use super::{Appended, Core, DESTINATIONS_MAX, NotStored, QueueError, names};
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// One commit has at most so many bytes, unless a single batch has more.
const GROUP_BYTES: usize = 8 << 20;
/// What nobody waits for is synced so often.
const TICK: Duration = Duration::from_secs(1);

/// The segment that is written.
pub struct Active {
    pub(super) first: u64,
    file: Arc<dyn Appender>,
    bytes: u64,
    synced: u64,
}

/// The writer's state.
pub struct Writer {
    pub(super) core: Arc<Core>,
    tail: watch::Sender<u64>,
    pub(super) active: Option<Active>,
    /// The number that the next entry gets.
    next: u64,
    window: Window,
    buffer: Vec<u8>,
    /// Whether the last segment may end early: the next one says so in its head.
    after_doubt: bool,
    /// Segments whose making failed have lower generations.
    generation: u32,
    /// Files that couldn't be removed yet.
    pub(super) leftover: Vec<String>,
    /// Segments to be rewritten without their damage.
    repairs: Vec<u64>,
    ticked: Instant,
}

/// What opening found for the writer.
pub struct Start {
    pub(super) next: u64,
    pub(super) window: Window,
    pub(super) repairs: Vec<u64>,
}

/// A group of batches as bytes, and what has to be entered when they are written.
struct Group {
    answers: Vec<Appended>,
    ids: Vec<u128>,
    points: Vec<Point>,
    /// Entries and bytes by the log's routing bits.
    tallies: [(u64, u64); DESTINATIONS_MAX],
    /// Entries that were shed at once, by the log's routing bits.
    shed: [u64; DESTINATIONS_MAX],
    by_priority: [u64; 3],
}

/// Closes the way in when the writer ends, whatever ended it.
struct Closing(Arc<Core>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.waiting.abandon();
    }
}

fn each_bit(routes: u32, mut visit: impl FnMut(usize)) {
    let mut left = routes;
    while left != 0 {
        visit(left.trailing_zeros() as usize);
        left &= left - 1;
    }
}

impl Writer {
    pub(super) fn new(core: Arc<Core>, tail: watch::Sender<u64>, start: Start) -> Self {
        Self {
            core,
            tail,
            active: None,
            next: start.next,
            window: start.window,
            buffer: Vec::new(),
            // What the process before has written last may not be on the disk.
            after_doubt: true,
            generation: 0,
            leftover: Vec::new(),
            repairs: start.repairs,
            ticked: Instant::now(),
        }
    }

    /// Works until the queue is closed.
    pub fn run(mut self) {
        let closing = Closing(Arc::clone(&self.core));
        self.repair();
        self.sweep();
        let mut spare = Vec::new();
        loop {
            let taken = self.core.waiting.take(mem::take(&mut spare), self.ticked + TICK);
            let Taken { mut requests, commands, is_closed } = taken;
            self.commit_all(&mut requests);
            spare = requests;
            for command in commands {
                self.obey(command);
            }
            if is_closed {
                break;
            }
            if self.ticked.elapsed() >= TICK {
                self.tick();
            }
        }
        self.finish();
        drop(closing);
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        // A failure is counted, and shows in the meter; the next tick tries again.
        drop(self.sync());
        self.repair();
        self.sweep();
        // A burst may have left a buffer of many megabytes.
        self.buffer.shrink_to(GROUP_BYTES / 4);
        self.core.counters.known_ids.store(self.window.len() as u64, Relaxed);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Sweep => self.sweep(),
            Command::Repair(first) => {
                self.repairs.push(first);
                self.repair();
            }
            #[cfg(test)]
            Command::Sync(answer) => {
                self.sweep();
                let done = self.sync().map_err(QueueError::disk("sync"));
                // Whoever asked may have gone.
                drop(answer.send(done));
            }
            Command::Forget(name, answer) => drop(answer.send(self.forget(&name))),
        }
    }

    fn repair(&mut self) {
        let mut repairs = mem::take(&mut self.repairs);
        repairs.dedup();
        // What can't be rewritten now is still skipped by readers, and tried again.
        repairs.retain(|first| self.rewrite(*first, None).is_err());
        self.repairs = repairs;
    }

    fn finish(&mut self) {
        drop(self.sync());
        let Some(active) = &mut self.active else { return };
        // It says up to where everything was synced; without it damage in the last commit would
        // pass for a torn tail.
        let mut seal = Vec::new();
        Encoder::begin(&mut seal, active.bytes, self.next, 0, active.synced, &[]).finish();
        if active.file.append(&seal).is_err() {
            drop(active.file.truncate(active.bytes));
        }
    }

    fn forget(&mut self, name: &str) -> Result<u64, QueueError> {
        let core = Arc::clone(&self.core);
        let is_gone = |place: &usize| !core.configured.contains(place);
        let mut places = (0..core.ledgers.len()).filter(is_gone);
        let place = places.find(|place| core.ledgers[*place].known.name == name);
        let refused = || QueueError::NotForgettable(name.to_owned());
        let ledger = &core.ledgers[place.ok_or_else(refused)?];
        let mut known = names::read(&*core.storage)?;
        let before = known.len();
        known.retain(|known| known.name != name);
        if known.len() == before {
            return Err(refused());
        }
        names::write(&*core.storage, &known)?;
        let pending = ledger.forget();
        self.leftover.push(super::ledger::file_name(&ledger.known));
        self.sweep();
        Ok(pending)
    }

    /// Makes the log and the acknowledgements outlive a power cut.
    fn sync(&mut self) -> io::Result<()> {
        let log = self.sync_active();
        let mut result = Ok(());
        for ledger in &self.core.ledgers {
            if let Err(error) = ledger.save(&*self.core.storage) {
                count(&self.core.counters.write_failures);
                result = Err(error);
            }
        }
        log.and(result)
    }

    fn sync_active(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.synced == active.bytes {
            return Ok(());
        }
        let begun = Instant::now();
        let synced = active.file.sync();
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.core.counters.synced(micros);
        if let Err(error) = synced {
            count(&self.core.counters.sync_failures);
            self.abandon();
            return Err(error);
        }
        active.synced = active.bytes;
        if let Some(segment) = self.core.index().segments.get_mut(&active.first) {
            segment.synced = active.bytes;
        }
        Ok(())
    }

    /// Gives the segment up that is written: after a failed sync nobody knows what of it is on
    /// the disk, and a second sync may claim that all of it is.
    fn abandon(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.after_doubt = true;
        let mut index = self.core.index();
        let Some(segment) = index.segments.get_mut(&active.first) else { return };
        (segment.is_sealed, segment.is_doubtful) = (true, true);
        let (until, name) = (segment.bytes, file_name(active.first, segment.generation));
        drop(index);
        // Batches that were reported as failed shall not come back; where the cut fails too, they
        // may, as copies of what their sender sends again.
        drop(active.file.truncate(until));
        self.unlearn(&name, active.synced, until);
    }

    /// Forgets the ids of entries that may be lost, so that a copy of one is stored and not taken
    /// for known.
    fn unlearn(&mut self, name: &str, from: u64, until: u64) {
        let mut from = from;
        while from < until {
            let span = Span { name, from, until, chunk: GROUP_BYTES };
            // What can't even be read is known as long as the window lasts.
            let Ok(piece) = scan::read_piece(&*self.core.storage, span) else { return };
            for entry in piece.records.iter().flat_map(|record| record.entries()) {
                self.window.remove(entry.id);
            }
            from = piece.next;
        }
    }

    /// Ends the segment that is written.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        self.sync_active()?;
        if let Some(active) = self.active.take()
            && let Some(segment) = self.core.index().segments.get_mut(&active.first)
        {
            segment.is_sealed = true;
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let first = self.next;
        let generation = {
            let index: &Index = &self.core.index();
            let after_empty = index.segments.get(&first).map_or(0, |empty| empty.generation + 1);
            after_empty.max(self.generation)
        };
        let name = file_name(first, generation);
        let head = SegmentHead { first, after_doubt: self.after_doubt };
        let made = self.core.storage.create(&name).and_then(|file| {
            file.append(&head.encode())?;
            file.sync()?;
            self.core.storage.sync_names()?;
            Ok(file)
        });
        let file = made.inspect_err(|_| {
            // The name is to be removed, so it is not used again.
            self.generation = generation + 1;
            self.leftover.push(name);
        })?;
        self.after_doubt = false;
        let segment = Segment::new(first, generation);
        let bytes = segment.bytes;
        self.core.counters.grow(bytes);
        if let Some(empty) = self.core.index().segments.insert(first, segment) {
            self.core.counters.shrink(empty.bytes);
            self.leftover.push(file_name(first, empty.generation));
        }
        self.active = Some(Active { first, file, bytes, synced: bytes });
        Ok(())
    }

    fn commit_all(&mut self, requests: &mut Vec<Request>) {
        let mut rest = requests.as_mut_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let is_within = |request: &&Request| {
                bytes += request.bytes;
                bytes <= GROUP_BYTES
            };
            let count = rest.iter().take_while(is_within).count().max(1);
            let (group, others) = rest.split_at_mut(count);
            self.commit(group);
            rest = others;
        }
        requests.clear();
    }

    fn commit(&mut self, requests: &mut [Request]) {
        let bytes = requests.iter().map(|request| request.bytes).sum();
        let answers = self.store(requests, bytes);
        // What is in the log already must not count as waiting too, or there would seem to be
        // less room than there is; the other way round the bound could be passed.
        self.core.waiting.release(requests.len(), bytes);
        for (place, request) in requests.iter_mut().enumerate() {
            let answer = match &answers {
                Ok(answers) => Ok(answers[place]),
                Err(error) => Err(error.clone()),
            };
            match answer {
                Ok(appended) => self.core.counters.append(appended),
                Err(_) => self.core.counters.fail(request.batch.entries.len()),
            }
            if let Some(reply) = request.reply.take() {
                // Whoever waited may have gone.
                drop(reply.send(answer));
            }
            request.batch = super::Batch::default();
        }
    }

    fn store(&mut self, requests: &[Request], bytes: usize) -> Result<Vec<Appended>, NotStored> {
        let disk = |error| NotStored::Disk(Arc::new(error));
        let lowest = self.make_room(requests, bytes as u64 + SEGMENT_HEAD)?;
        if let Some(active) = &self.active
            && active.bytes >= self.core.options.segment_limit()
        {
            // A failed sync here is counted; it fails none of the batches that are waiting.
            drop(self.seal());
        }
        let mut entries = requests.iter().flat_map(|request| &request.batch.entries);
        let has_some = entries.any(|entry| entry.priority.min(2) >= lowest);
        if self.active.is_none() && has_some {
            self.begin_segment().map_err(|error| {
                count(&self.core.counters.write_failures);
                disk(error)
            })?;
        }
        let group = self.encode(requests, lowest);
        let wants_sync = requests.iter().any(|request| request.wants_sync);
        let written = self.write().and_then(|()| match wants_sync {
            true => self.sync_active(),
            false => Ok(()),
        });
        if let Err(error) = written {
            for id in group.ids {
                self.window.remove(id);
            }
            return Err(disk(error));
        }
        self.publish(&group);
        Ok(group.answers)
    }

    /// Gives numbers to what is new and makes records of it.
    fn encode(&mut self, requests: &[Request], lowest: u8) -> Group {
        let mut group = Group {
            answers: Vec::with_capacity(requests.len()),
            ids: Vec::new(),
            points: Vec::new(),
            tallies: [(0, 0); DESTINATIONS_MAX],
            shed: [0; DESTINATIONS_MAX],
            by_priority: [0; 3],
        };
        self.buffer.clear();
        let (base, synced) =
            self.active.as_ref().map_or((0, 0), |active| (active.bytes, active.synced));
        for request in requests {
            let answer = self.encode_batch(&request.batch, (base, synced), lowest, &mut group);
            group.answers.push(answer);
        }
        group
    }

    fn encode_batch(
        &mut self,
        batch: &super::Batch,
        (base, synced): (u64, u64),
        lowest: u8,
        group: &mut Group,
    ) -> Appended {
        let mut answer = Appended::default();
        let (first, offset) = (self.next, base + self.buffer.len() as u64);
        let mut record =
            Encoder::begin(&mut self.buffer, base, first, batch.at_ms, synced, &batch.shared);
        for entry in &batch.entries {
            let routes = self.core.routes(entry.routes);
            let priority = entry.priority.min(2);
            if priority < lowest {
                each_bit(routes, |bit| group.shed[bit] += 1);
                answer.shed += 1;
                continue;
            }
            if !self.window.insert(entry.id) {
                answer.duplicates += 1;
                continue;
            }
            group.ids.push(entry.id);
            record.push(self.next, entry.id, routes, priority, &entry.payload);
            let bytes = (super::record::ENTRY_HEAD + entry.payload.len()) as u64;
            group.by_priority[usize::from(priority)] += bytes;
            each_bit(routes, |bit| {
                group.tallies[bit].0 += 1;
                group.tallies[bit].1 += bytes;
            });
            self.next += 1;
            answer.stored += 1;
        }
        if answer.stored == 0 {
            record.discard();
        } else {
            record.finish();
            group.points.push(Point { number: first, offset, at_ms: batch.at_ms });
        }
        answer
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        match active.file.append(&self.buffer) {
            Ok(()) => {
                active.bytes += self.buffer.len() as u64;
                Ok(())
            }
            Err(error) => {
                count(&self.core.counters.write_failures);
                if active.file.truncate(active.bytes).is_err() {
                    self.abandon();
                }
                Err(error)
            }
        }
    }

    /// Lets the readers see a group that was written.
    fn publish(&mut self, group: &Group) {
        let segment = self.active.as_ref().map(|active| (active.first, active.bytes));
        let (first, written) = segment.unwrap_or((self.next, 0));
        for ledger in &self.core.ledgers {
            let (entries, bytes) = group.tallies[usize::from(ledger.known.bit)];
            ledger.add(first, entries, bytes, self.next);
            let shed = group.shed[usize::from(ledger.known.bit)];
            if shed > 0 {
                ledger.shed_unstored(shed);
            }
        }
        if self.buffer.is_empty() {
            return;
        }
        self.core.counters.grow(self.buffer.len() as u64);
        let mut index = self.core.index();
        if let Some(segment) = index.segments.get_mut(&first) {
            for point in &group.points {
                segment.mark(*point);
            }
            (segment.bytes, segment.end) = (written, self.next);
            for (sum, bytes) in segment.by_priority.iter_mut().zip(group.by_priority) {
                *sum += bytes;
            }
        }
        drop(index);
        self.tail.send_replace(self.next);
    }
}
