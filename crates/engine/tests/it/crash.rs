//! Goal: wherever a run dies, its next session ends with the remote exactly as planned, nothing
//! that was answered and journaled is sent again, and what must not happen twice does not.
//!
//! Method: exhaustive. The disk fills up at every byte of the journal and loses every sync; the
//! program is killed at every write, every event and every millisecond, and at each of those
//! moments the requests on the wire take effect or get lost. Each time a second session resumes
//! from the bytes that are there.

use crate::support::{Change, Run, World, key, plan};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use windlass_engine::event::Ending;
use windlass_engine::journal::{Faulty, Files, Journal, Memory, Recovered, SyncTask};
use windlass_engine::plan::Plan;
use windlass_engine::remote::Meter;
use windlass_engine::runner::Reporter;
use windlass_engine::tally::Tally;
use windlass_engine::{Kind, Moment, Stamped};

const STEPS: usize = 12;
/// Objects that are not in the plan.
const OTHERS: usize = 3;

fn world() -> World {
    World::with((0..STEPS + OTHERS).map(key))
}

fn memory_of(bytes: &[u8]) -> Memory {
    let mut memory = Memory::default();
    memory.append(bytes).expect("memory takes bytes");
    memory
}

fn recovered(bytes: &[u8], plan: &Plan) -> Recovered {
    let opened = Journal::open(Box::new(memory_of(bytes)), &plan.header);
    opened.expect("what a crash leaves can be opened").1
}

/// The remote and the journal's bytes at the moment of a crash.
#[derive(Clone)]
struct Wreck {
    world: World,
    journal: Vec<u8>,
    what: String,
}

impl Wreck {
    /// A copy of both; the run that goes on does not reach the copy.
    fn of(world: &World, journal: Vec<u8>, what: impl Into<String>) -> Self {
        let copy = World::default();
        *copy.state() = world.state().clone();
        Self { world: copy, journal, what: what.into() }
    }

    /// Resumes twice: with the requests on the wire lost, and with all of them carried out.
    async fn check(&self, plan: &Plan, change: Change) {
        for land in [false, true] {
            let wreck = Self::of(&self.world, self.journal.clone(), &*self.what);
            wreck.world.state().crash(land);
            let what = format!("{:?}, {}, landed: {land}", change, self.what);
            wreck.resume(plan, change, &what).await;
        }
    }

    async fn resume(self, plan: &Plan, change: Change, what: &str) {
        let before = recovered(&self.journal, plan);
        let asked_before = self.world.asked();
        // Intent before sending: nothing is out there that the journal does not know of.
        for asked in &asked_before {
            let number = asked[1..].parse().expect("keys are numbered");
            let known = before.finished.contains(number) || before.in_doubt.contains(number);
            assert!(known, "{what}: {asked} was sent and the journal has nothing of it");
        }
        let files = memory_of(&self.journal);
        let run = Run::new(&self.world, change, plan, files.clone()).expect("it opened before");
        let tally = run.go().await;
        assert_eq!(tally.ending, Some(Ending::Complete), "{what}");
        assert_eq!(tally.counts.done + tally.counts.already_gone, STEPS as u64, "{what}");

        let after = recovered(&files.content(), plan);
        assert_eq!((after.finished.count(), after.in_doubt.count()), (STEPS as u64, 0), "{what}");
        assert_eq!(format!("{:?}", after.tally), format!("{tally:?}"), "{what}");
        let asked = self.world.asked();
        for again in asked.iter().skip(asked_before.len()) {
            let number = again[1..].parse().expect("keys are numbered");
            assert!(!before.finished.contains(number), "{what}: {again} was finished, sent again");
        }
        check_remote(&self.world, change, what);
    }
}

/// The remote is as the plan wants it, and what is not in the plan is as it was.
fn check_remote(world: &World, change: Change, what: &str) {
    let objects = world.state().objects.clone();
    let expected = match change {
        Change::Delete => (STEPS..STEPS + OTHERS).map(|number| (key(number), 0)).collect(),
        Change::Count => {
            (0..STEPS + OTHERS).map(|number| (key(number), u64::from(number < STEPS))).collect()
        }
    };
    assert_eq!(objects, expected, "{what}");
    let planned: BTreeSet<String> = (0..STEPS).map(key).collect();
    assert!(world.asked().iter().all(|asked| planned.contains(asked)), "{what}");
}

/// Runs on a disk with these faults. Returns what is left, and how the run ended if it began.
async fn run_on_faulty(
    plan: &Plan,
    change: Change,
    bytes: u64,
    syncs: u64,
) -> (Wreck, Option<Tally>) {
    let (world, memory) = (world(), Memory::default());
    let faulty = Faulty::new(memory.clone(), bytes, syncs);
    let tally = match Run::new(&world, change, plan, faulty) {
        Ok(run) => Some(run.go().await),
        Err(_) => None,
    };
    let what = format!("disk of {bytes} bytes and {syncs} syncs");
    (Wreck::of(&world, memory.content(), what), tally)
}

/// A run on a disk that lasts, and the size of its journal.
async fn calm_run(plan: &Plan, change: Change) -> u64 {
    let (wreck, tally) = run_on_faulty(plan, change, u64::MAX, u64::MAX).await;
    assert_eq!(tally.expect("it began").ending, Some(Ending::Complete));
    check_remote(&wreck.world, change, "a run on a disk that lasts");
    wreck.journal.len() as u64
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_up_at_any_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), STEPS);
    for change in [Change::Delete, Change::Count] {
        // The lengths of moments differ a little from run to run.
        let longest = calm_run(&plan, change).await + 50;
        let mut lost = 0;
        for bytes in 0..longest {
            let (wreck, tally) = run_on_faulty(&plan, change, bytes, u64::MAX).await;
            if let Some(Tally { ending: Some(Ending::JournalLost(why)), .. }) = &tally {
                assert!(why.contains("no space"), "{why}");
                assert!(wreck.journal.len() as u64 <= bytes);
                lost += 1;
            }
            wreck.check(&plan, change).await;
        }
        assert!(lost > longest * 8 / 10, "only {lost} of {longest} disks were too small");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_loses_any_sync() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), STEPS);
    for (change, most) in [(Change::Delete, 3), (Change::Count, 2 * STEPS as u64)] {
        for syncs in 0..most {
            let (wreck, tally) = run_on_faulty(&plan, change, u64::MAX, syncs).await;
            let ending = tally.expect("it began").ending;
            if syncs == 0 {
                assert!(matches!(ending, Some(Ending::JournalLost(_))), "{ending:?}");
                let asked = wreck.world.asked().len();
                assert_eq!(
                    asked > 0,
                    change == Change::Delete,
                    "intents are synced before sending"
                );
            }
            wreck.check(&plan, change).await;
        }
    }
}

type Wrecks = Arc<Mutex<Vec<Wreck>>>;

/// A disk that takes a wreck at each of its writes: before it, after it, and in the middle, and
/// one of a power cut, which takes everything with it that was not synced.
struct Filming {
    memory: Memory,
    synced: usize,
    world: World,
    wrecks: Wrecks,
    power_cuts: Wrecks,
}

impl Filming {
    fn film(&self) {
        let content = self.memory.content();
        let cut = content[..self.synced].to_vec();
        let at = content.len();
        let wreck = Wreck::of(&self.world, content, format!("killed at byte {at}"));
        self.wrecks.lock().expect("one thread").push(wreck);
        let cut = Wreck::of(&self.world, cut, format!("power cut at byte {at}"));
        self.power_cuts.lock().expect("one thread").push(cut);
    }
}

impl Files for Filming {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(bytes.len().div_ceil(3).max(1)) {
            self.film();
            self.memory.append(part)?;
        }
        self.film();
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.memory.truncate(length)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.film();
        self.synced = self.memory.content().len();
        self.film();
        Ok(())
    }
    fn sync_task(&self) -> io::Result<Option<SyncTask>> {
        Ok(None)
    }
    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        self.memory.reader()
    }
}

/// Takes a wreck at each event.
struct Witness {
    memory: Memory,
    world: World,
    wrecks: Wrecks,
}

impl Reporter for Witness {
    fn event(&mut self, stamped: &Stamped, _tally: &Tally) {
        let what = format!("killed at {:?}", stamped.event);
        let wreck = Wreck::of(&self.world, self.memory.content(), what);
        self.wrecks.lock().expect("one thread").push(wreck);
    }
    fn tick(&mut self, _now: Moment, _tally: &Tally, _meter: &Meter) {}
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_write_sync_or_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), STEPS);
    for change in [Change::Delete, Change::Count] {
        let (world, memory) = (world(), Memory::default());
        let (wrecks, power_cuts) = (Wrecks::default(), Wrecks::default());
        let files = Filming {
            memory: memory.clone(),
            synced: 0,
            world: world.clone(),
            wrecks: Arc::clone(&wrecks),
            power_cuts: Arc::clone(&power_cuts),
        };
        let mut run = Run::new(&world, change, &plan, files).expect("a new journal");
        let (seen, wrecks_too) = (world.clone(), Arc::clone(&wrecks));
        run.reporters.push(Box::new(Witness { memory, world: seen, wrecks: wrecks_too }));
        assert_eq!(run.go().await.ending, Some(Ending::Complete));
        check_remote(&world, change, "the run that was watched");
        let wrecks = wrecks.lock().expect("one thread").clone();
        assert!(wrecks.len() > 60, "{} wrecks", wrecks.len());
        for wreck in wrecks {
            wreck.check(&plan, change).await;
        }
        // Only what must not happen twice pays for syncs before it is sent.
        if change == Change::Count {
            let cuts = power_cuts.lock().expect("one thread").clone();
            for wreck in cuts {
                wreck.check(&plan, change).await;
            }
        }
    }
}

/// The future of the run is dropped with everything in it. The requests on the wire live on.
#[tokio::test(start_paused = true)]
async fn a_kill_at_any_millisecond() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), STEPS);
    for change in [Change::Delete, Change::Count] {
        let mut cut_short = 0;
        for millis in 0.. {
            let (world, memory) = (world(), Memory::default());
            let run = Run::new(&world, change, &plan, memory.clone()).expect("a new journal");
            let ended = tokio::time::timeout(Duration::from_millis(millis), run.go()).await;
            let wreck = Wreck::of(&world, memory.content(), format!("killed after {millis} ms"));
            if ended.is_ok() {
                break;
            }
            cut_short += 1;
            wreck.check(&plan, change).await;
        }
        assert!(cut_short > 20, "it lived for {cut_short} ms");
    }
}

/// Killed, resumed, killed again: each session lives a little longer than the one before.
#[tokio::test(start_paused = true)]
async fn a_kill_of_every_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), STEPS);
    for change in [Change::Delete, Change::Count] {
        for first in 1..12 {
            let (world, mut journal) = (world(), Vec::new());
            for session in 0..6 {
                let memory = memory_of(&journal);
                let run = Run::new(&world, change, &plan, memory.clone()).expect("it opens");
                let lives = Duration::from_millis(first + session % 3);
                let _ = tokio::time::timeout(lives, run.go()).await;
                journal = memory.content();
                world.state().crash(session % 2 == 0);
            }
            let what = format!("sessions of {first} ms");
            Wreck::of(&world, journal, what).check(&plan, change).await;
        }
    }
}

/// Killed, then stopped or refused while it asks about what is in doubt: the doubt must last.
#[tokio::test(start_paused = true)]
async fn a_stop_while_doubts_are_settled() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), STEPS);
    for change in [Change::Delete, Change::Count] {
        for (killed_at, stopped_at) in
            (3..12).flat_map(|killed| (0..10).map(move |at| (killed, at)))
        {
            for refused in [false, true] {
                let (world, memory) = (world(), Memory::default());
                let run = Run::new(&world, change, &plan, memory.clone()).expect("a new journal");
                let _ = tokio::time::timeout(Duration::from_millis(killed_at), run.go()).await;
                world.state().crash(true);

                let mut run = Run::new(&world, change, &plan, memory.clone()).expect("it opens");
                let stop = run.context.stop.clone();
                if refused {
                    let until = tokio::time::Instant::now() + Duration::from_millis(stopped_at);
                    run.work.refused_from = Some(until);
                } else {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(stopped_at)).await;
                        stop.drain();
                    });
                }
                let ending = run.go().await.ending;
                let expected = match (&ending, refused) {
                    (Some(Ending::Fatal(failure)), true) => failure.kind == Kind::Denied,
                    (Some(Ending::Stopped), false) => true,
                    _ => false,
                };
                assert!(expected, "{ending:?}");
                let what = format!(
                    "killed after {killed_at} ms, after {stopped_at} ms more refused: {refused}"
                );
                Wreck::of(&world, memory.content(), what).check(&plan, change).await;
            }
        }
    }
}

/// Killed, then the disk fills up at any byte, or loses any sync, while the next session begins
/// steps in doubt again.
#[tokio::test(start_paused = true)]
async fn a_failing_disk_while_doubts_are_settled() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), STEPS);
    for change in [Change::Delete, Change::Count] {
        let full = (0..700).map(|bytes| (bytes, u64::MAX));
        let unsynced = (0..STEPS as u64).map(|syncs| (u64::MAX, syncs));
        for (bytes, syncs) in full.chain(unsynced) {
            let (world, memory) = (world(), Memory::default());
            let run = Run::new(&world, change, &plan, memory.clone()).expect("a new journal");
            let _ = tokio::time::timeout(Duration::from_millis(6), run.go()).await;
            world.state().crash(true);
            let faulty = Faulty::new(memory.clone(), bytes, syncs);
            Run::new(&world, change, &plan, faulty).expect("it opens").go().await;
            let what = format!("a resume on a disk of {bytes} bytes and {syncs} syncs");
            Wreck::of(&world, memory.content(), what).check(&plan, change).await;
        }
    }
}

/// A disk whose syncs on another thread fail, as after a lost mount, and whether one was tried.
struct Unmounted(Memory, Arc<AtomicBool>);

impl Files for Unmounted {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn sync_task(&self) -> io::Result<Option<SyncTask>> {
        self.1.store(true, Ordering::Relaxed);
        Ok(Some(Box::new(|| Err(io::Error::other("the mount is gone")))))
    }
    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        self.0.reader()
    }
}

/// Runs of several lengths, so that some end while the sync is under way: a later sync that
/// succeeds says nothing of what the lost one should have saved.
#[tokio::test(start_paused = true)]
async fn a_sync_lost_on_another_thread_is_told() {
    let mut told = 0;
    for steps in (100..200).step_by(4) {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = plan(folder.path(), steps);
        let world = World::with((0..steps).map(key));
        let tried = Arc::new(AtomicBool::new(false));
        let files = Unmounted(Memory::default(), Arc::clone(&tried));
        let run = Run::new(&world, Change::Delete, &plan, files).expect("a new journal");
        let ending = run.go().await.ending;
        let lost = matches!(&ending, Some(Ending::JournalLost(why)) if why.contains("mount"));
        assert_eq!(lost, tried.load(Ordering::Relaxed), "{steps}: {ending:?}");
        told += u32::from(lost);
    }
    assert!((5..25).contains(&told), "{told} of 25 runs lived to their first sync");
}
