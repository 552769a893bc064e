//! The queue against a model of plain maps, through random work, crashes and faults.

use super::*;
use crate::observe::queue::{NotStored, Reader, WhenFull};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The new entries of a batch with routes and priority, how many old ids come again, and how
/// durable it shall be.
type Appending = (Vec<(u32, u8)>, u8, Durability);

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Batches are appended at once.
    Append(Vec<Appending>),
    /// A destination reads so many.
    Read(usize, usize),
    /// A destination settles some of what it has read: each of which this pattern has the bit.
    Settle(usize, u64, Disposition),
    /// A destination begins to read anew.
    Again(usize),
    Sync,
    /// The process is closed and started.
    Restart,
    /// The process is killed.
    Kill,
    /// The power is cut; what was not synced is kept in part, by this seed.
    PowerCut(u64),
    /// The disk takes only so many bytes more, or all.
    Room(Option<usize>),
    /// So many syncs fail.
    FailSyncs(u32),
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![
        3 => Just(Durability::Synced),
        2 => Just(Durability::Written),
        1 => Just(Durability::None),
    ]
}

fn disposition() -> impl Strategy<Value = Disposition> {
    prop::sample::select(Disposition::ALL.to_vec())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entries = prop::collection::vec((0_u32..8, 0_u8..3), 0..12);
    let batches = prop::collection::vec((entries, 0_u8..3, durability()), 1..4);
    let step = prop_oneof![
        12 => batches.prop_map(Step::Append),
        8 => (0_usize..3, 1_usize..30).prop_map(|(place, count)| Step::Read(place, count)),
        8 => (0_usize..3, any::<u64>(), disposition()).prop_map(|(p, b, d)| Step::Settle(p, b, d)),
        2 => (0_usize..3).prop_map(Step::Again),
        2 => Just(Step::Sync),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerCut),
        1 => prop::option::weighted(0.4, 0_usize..800).prop_map(Step::Room),
        1 => (0_u32..2).prop_map(Step::FailSyncs),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is known of an event for one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fate {
    /// It has to be read until it is settled.
    is_pending: bool,
    /// A power cut can't lose it.
    is_durable: bool,
    /// It was settled, and whether a power cut can undo that.
    is_settled: bool,
    is_settled_for_good: bool,
}

struct World {
    memory: Memory,
    options: Options,
    queue: Option<Queue>,
    readers: Vec<Option<Reader>>,
    /// What each destination has read and not settled, by number.
    held: [BTreeMap<u64, u128>; 3],
    fates: [BTreeMap<u128, Fate>; 3],
    /// What was stored and what was asked for, in this order.
    stored: BTreeSet<u128>,
    /// What nobody waited for and may not be written yet.
    unconfirmed: BTreeSet<u128>,
    routes: BTreeMap<u128, u32>,
    next: u128,
    /// A disk that is full or failing may have settlements in memory only.
    is_faulty: bool,
    /// There was a fault in a process before this one, on the same machine.
    is_tainted: bool,
    has_copies: bool,
}

impl World {
    fn new(options: Options) -> Self {
        let memory = Memory::default();
        let mut world = Self {
            memory,
            options,
            queue: None,
            readers: Vec::new(),
            held: Default::default(),
            fates: Default::default(),
            stored: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            routes: BTreeMap::new(),
            next: 1,
            is_faulty: false,
            is_tainted: false,
            has_copies: false,
        };
        world.start();
        world
    }

    fn queue(&self) -> &Queue {
        self.queue.as_ref().unwrap()
    }

    fn start(&mut self) {
        let queue = open(&self.memory, self.options, &NAMES).unwrap();
        self.readers = (0..3).map(|place| Some(queue.reader(place))).collect();
        self.queue = Some(queue);
        self.held = Default::default();
    }

    async fn append(&mut self, batches: Vec<Appending>) {
        let mut tickets = Vec::new();
        for (fresh, old, durability) in batches {
            let mut entries = Vec::new();
            for (routes, priority) in fresh {
                entries.push(with_priority(self.next, routes, priority));
                self.routes.insert(self.next, routes);
                self.next += 1;
            }
            for back in 0..u128::from(old) {
                let id = self.next.saturating_sub(back * 7 + 1);
                if let Some(&routes) = self.routes.get(&id) {
                    entries.push(entry(id, routes));
                }
            }
            let ids: Vec<u128> = entries.iter().map(|entry| entry.id).collect();
            let ticket = self.queue().append(batch(entries), durability).unwrap();
            tickets.push((ids, durability, ticket));
        }
        // A sync is for all that was written before; what nobody waited for may not be.
        let before: Vec<u128> = self.stored.difference(&self.unconfirmed).copied().collect();
        let (mut certain, mut is_synced) = (Vec::new(), false);
        for (ids, durability, ticket) in tickets {
            match ticket.await {
                Ok(_) if durability == Durability::None => {
                    self.learn(&ids);
                    self.unconfirmed.extend(ids);
                }
                Ok(answer) => {
                    if durability == Durability::Synced {
                        let is_new = |id: &&u128| !self.is_tainted || !self.stored.contains(*id);
                        certain.extend(ids.iter().filter(is_new).copied());
                    }
                    assert_eq!((answer.stored + answer.duplicates) as usize, ids.len());
                    self.store(&ids, answer);
                    is_synced |= durability == Durability::Synced;
                }
                Err(NotStored::Disk(_)) => assert!(self.is_faulty),
                Err(error) => panic!("{error}"),
            }
        }
        if is_synced && !self.is_faulty {
            certain.extend(before);
        }
        for id in certain.into_iter().filter(|id| self.stored.contains(id)) {
            for fates in &mut self.fates {
                if let Some(fate) = fates.get_mut(&id) {
                    fate.is_durable = true;
                }
            }
        }
    }

    /// Enters events of which the queue says that they are stored.
    fn store(&mut self, ids: &[u128], answer: Appended) {
        let distinct: BTreeSet<u128> = ids.iter().copied().collect();
        let new = distinct.iter().filter(|id| !self.stored.contains(id)).count();
        if !self.is_faulty {
            assert!(answer.stored as usize <= new, "a copy was stored: {ids:?} {answer:?}");
        }
        self.learn(ids);
    }

    fn learn(&mut self, ids: &[u128]) {
        for id in ids {
            self.stored.insert(*id);
            for (place, fates) in self.fates.iter_mut().enumerate() {
                if self.routes[id] >> place & 1 == 1 {
                    let fate = fates.entry(*id).or_default();
                    fate.is_pending = !fate.is_settled;
                }
            }
        }
    }

    async fn read(&mut self, place: usize, count: usize) {
        self.queue().sync().await.ok();
        if self.queue().meter().destinations[place].pending == 0 {
            return;
        }
        let mut reader = self.readers[place].take().unwrap();
        let wait = std::time::Duration::from_millis(5);
        if let Ok(items) = tokio::time::timeout(wait, reader.read(count, 1_500)).await {
            let items = items.unwrap();
            assert!((1..=count).contains(&items.len()));
            assert!(numbers(&items).is_sorted());
            for item in items {
                assert_eq!(item.payload, payload(item.id));
                assert!(self.routes[&item.id] >> place & 1 == 1);
                let is_settled = self.fates[place].get(&item.id).is_some_and(|f| f.is_settled);
                assert!(!is_settled || self.is_faulty || self.has_copies);
                self.held[place].insert(item.seq, item.id);
            }
        }
        self.readers[place] = Some(reader);
    }

    fn settle(&mut self, place: usize, pattern: u64, disposition: Disposition) {
        let chosen = |(at, _): &(usize, &u64)| pattern >> (at % 64) & 1 == 1;
        let mut numbers: Vec<u64> =
            self.held[place].keys().enumerate().filter(chosen).map(|(_, seq)| *seq).collect();
        if pattern.is_multiple_of(3) {
            numbers.reverse();
        }
        let settled = self.queue().settle(place, &numbers, disposition).unwrap();
        assert_eq!(settled, numbers.len() as u64);
        for number in numbers {
            let id = self.held[place].remove(&number).unwrap();
            let fate = self.fates[place].entry(id).or_default();
            (fate.is_pending, fate.is_settled) = (false, true);
        }
    }

    async fn sync(&mut self) {
        if self.queue().sync().await.is_err() {
            assert!(self.is_faulty);
            return;
        }
        self.unconfirmed.clear();
        for fate in self.fates.iter_mut().flat_map(BTreeMap::values_mut) {
            fate.is_settled_for_good |= fate.is_settled;
            fate.is_durable |= fate.is_pending && !self.is_faulty;
        }
    }

    /// Starts on what a crash has left, and compares with what may be missing and what not.
    async fn crash(&mut self, memory: Memory, keeps_written: bool) {
        self.readers.clear();
        self.queue = None;
        self.memory = memory;
        // What a failed sync has lost is still in the cache of the machine, whose next process
        // can't know of it.
        let was_faulty = self.is_faulty;
        self.is_faulty = was_faulty && keeps_written;
        self.is_tainted = self.is_faulty;
        self.start();
        self.queue().sync().await.unwrap();
        let mut alive = BTreeSet::new();
        for place in 0..3 {
            let items = drain(self.queue(), place).await;
            let read: BTreeSet<u128> = items.iter().map(|item| item.id).collect();
            // Where a sync has failed, a copy may have been stored to be on the safe side.
            self.has_copies |= was_faulty && read.len() < items.len();
            assert!(self.has_copies || read.len() == items.len(), "an event came twice");
            for (id, fate) in &self.fates[place] {
                let is_written = keeps_written && !was_faulty && !self.unconfirmed.contains(id);
                let must = fate.is_pending && (fate.is_durable || is_written);
                assert!(!must || read.contains(id), "{id} is lost for {place}: {fate:?}");
                let for_good = fate.is_settled_for_good || (keeps_written && fate.is_settled);
                let is_done = for_good && !was_faulty;
                assert!(!is_done || !read.contains(id), "{id} comes again for {place}");
            }
            for item in &items {
                assert!(self.routes[&item.id] >> place & 1 == 1);
                assert_eq!(item.payload, payload(item.id));
            }
            let fates = &mut self.fates[place];
            fates.retain(|id, fate| read.contains(id) || fate.is_settled);
            for id in &read {
                // After a failed sync nobody can say what the disk has, a new process least of all.
                let is_durable = !was_faulty;
                fates.insert(*id, Fate { is_pending: true, is_durable, ..Fate::default() });
            }
            for fate in fates.values_mut().filter(|fate| fate.is_settled) {
                fate.is_settled_for_good = !was_faulty;
            }
            alive.extend(read);
        }
        self.stored.retain(|id| alive.contains(id));
        self.unconfirmed.clear();
    }

    /// What has to be true between any two steps.
    fn check(&self) {
        for (row, fates) in accounts(self.queue()).iter().zip(&self.fates) {
            if !self.is_faulty && !self.has_copies {
                let pending = fates.values().filter(|fate| fate.is_pending).count() as u64;
                // Batches that nobody waits for may still be on their way.
                assert!(row[4] <= pending, "{row:?} but {pending} are pending");
            }
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append(batches) => self.append(batches).await,
            Step::Read(place, count) => self.read(place, count).await,
            Step::Settle(place, pattern, disposition) => self.settle(place, pattern, disposition),
            Step::Again(place) => {
                self.readers[place] = Some(self.queue().reader(place));
                self.held[place].clear();
            }
            Step::Sync => self.sync().await,
            Step::Restart => {
                self.sync().await;
                self.queue().close();
                let memory = self.memory.killed();
                self.crash(memory, true).await;
            }
            Step::Kill => {
                let memory = self.memory.killed();
                self.crash(memory, true).await;
            }
            Step::PowerCut(seed) => {
                let mut random = seed | 1;
                let memory = self.memory.power_cut(|bound| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    usize::try_from((random >> 33) % bound as u64).unwrap()
                });
                self.crash(memory, false).await;
            }
            Step::Room(room) => {
                self.is_faulty |= room.is_some();
                self.memory.limit(room.map(|room| self.memory.used() + room));
            }
            Step::FailSyncs(count) => {
                self.is_faulty |= count > 0;
                self.memory.fail_syncs(count);
            }
        }
    }
}

fn run(options: Options, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(options);
        for step in steps {
            world.step(step).await;
            world.check();
        }
        world.queue().sync().await.ok();
        let memory = world.memory.killed();
        world.crash(memory, true).await;
    });
}

/// Cases are found anew each time: those of threads don't repeat from a seed.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_durable_is_lost_and_nothing_settled_comes_again(steps in steps()) {
        run(Options { segment_bytes: 600, ..Options::default() }, steps);
    }

    #[test]
    fn what_is_shed_is_counted(
        steps in steps(),
        when_full in prop::sample::select(vec![WhenFull::DropOldest, WhenFull::DropByPriority]),
    ) {
        shed(when_full, steps);
    }
}

/// At its bound, every entry that a destination was to have is settled, shed or pending, also
/// over crashes of the process.
fn shed(when_full: WhenFull, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = Options { bytes_max: 4_000, when_full, segment_bytes: 500, ..Options::default() };
    runtime.block_on(async {
        let mut memory = Memory::default();
        let mut queue = open(&memory, options, &NAMES).unwrap();
        let (mut routed, mut next) = ([0_u64; 3], 0_u128);
        for step in steps {
            match step {
                Step::Append(batches) => {
                    for (entries, ..) in batches {
                        let first = next;
                        next += entries.len() as u128;
                        let entries: Vec<Entry> = (first..)
                            .zip(&entries)
                            .map(|(id, &(routes, priority))| with_priority(id, routes, priority))
                            .collect();
                        for (place, sum) in routed.iter_mut().enumerate() {
                            *sum += entries.iter().filter(|e| e.routes >> place & 1 == 1).count()
                                as u64;
                        }
                        let all = u32::try_from(entries.len()).unwrap();
                        let answer = append(&queue, batch(entries)).await;
                        assert_eq!(answer.stored + answer.shed, all);
                    }
                }
                Step::Settle(place, pattern, disposition) => {
                    let items = drain(&queue, place).await;
                    let chosen = items.iter().filter(|item| pattern >> (item.id % 64) & 1 == 1);
                    let chosen: Vec<u64> = chosen.map(|item| item.seq).collect();
                    queue.settle(place, &chosen, disposition).unwrap();
                }
                Step::Kill | Step::PowerCut(_) => {
                    // Everything is synced, so that both lose nothing.
                    queue.sync().await.unwrap();
                    memory = match step {
                        Step::Kill => memory.killed(),
                        _ => memory.power_cut(|_| 0),
                    };
                    queue = open(&memory, options, &NAMES).unwrap();
                    // A power cut can bring back segments that were removed; they go again.
                    queue.sync().await.unwrap();
                }
                _ => {}
            }
            let rows = accounts(&queue);
            assert_eq!([rows[0][0], rows[1][0], rows[2][0]], routed);
            let bytes = queue.meter().log_bytes;
            assert!(bytes <= options.bytes_max, "{bytes} bytes");
        }
        for place in 0..3 {
            let items = drain(&queue, place).await;
            assert!(numbers(&items).is_sorted());
            deliver(&queue, place, &items);
            assert_eq!(accounts(&queue)[place][4], 0);
        }
    });
}
