//! Runs that apply while they list: nothing waits for the end of the listing, and a run that was
//! interrupted in the middle of it goes on where it was.

use crate::support::{Change, key, spec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use windlass_engine::clock::Clock;
use windlass_engine::event::Ending;
use windlass_engine::job::{BatchSpec, Covered, PhaseInfo};
use windlass_engine::journal::{Journal, Memory, Recovered};
use windlass_engine::plan::{Draft, Header, Plan, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{
    Command, DiscoverError, Order, Session, SessionSettings, run as run_session,
};
use windlass_engine::tally::{Tally, Verified};
use windlass_engine::{
    Applied, BoxFuture, Context, Event, Failure, Job, JobInfo, Kind, Moment, Outcome, Stamped,
    Step, Steps,
};

const PAGES: usize = 8;
const PAGE_KEYS: usize = 10;
const KEYS: usize = PAGES * PAGE_KEYS;

/// What happened to the objects, and when.
#[derive(Debug, Default)]
struct Book {
    /// How often each object was copied.
    copied: BTreeMap<String, u32>,
    /// Pages that were listed, by their number, in order.
    listed: Vec<usize>,
    /// How many pages had been listed when the first object was copied.
    listed_at_first: Option<usize>,
    /// Sizes of the batches that were tried.
    tried: Vec<usize>,
    /// How often the last look was taken.
    looked: u32,
}

/// Copies objects while their list is read.
struct CopyJob {
    remote: Arc<Remote>,
    book: Arc<Mutex<Book>>,
    /// The largest batch that the remote takes.
    takes: usize,
    /// How long a page takes.
    page: Duration,
    /// What the output is said to cover.
    covered: Option<Covered>,
    /// Whether the last look fails.
    look_fails: bool,
}

impl CopyJob {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("no test panics while it looks at the book")
    }

    async fn list(&self, context: &Context, plan: &mut PlanWriter) -> Result<(), DiscoverError> {
        plan.keys_ascend();
        let first = plan.resumed_at().map_or(0, |mark| mark["next"].as_u64().unwrap_or(0));
        for page in usize::try_from(first).expect("a small number")..PAGES {
            let read = |_| async {
                tokio::time::sleep(self.page).await;
                Ok(())
            };
            self.remote.call(context, 1, false, read).await?;
            self.book().listed.push(page);
            for number in page * PAGE_KEYS..(page + 1) * PAGE_KEYS {
                let object = serde_json::value::to_raw_value(&number).expect("a number is JSON");
                plan.push(&key(number), "", &object)?;
            }
            plan.saw(PAGE_KEYS as u64);
            plan.mark(serde_json::json!({ "next": page + 1 }))?;
        }
        Ok(())
    }

    async fn copy(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        self.book().tried.push(batch.len());
        if batch.len() > self.takes {
            return Err(Failure::new(Kind::TooLarge, "413"));
        }
        let answer = self
            .remote
            .call(context, 0, false, |_| async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(())
            })
            .await?;
        let mut book = self.book();
        let listed = book.listed.len();
        book.listed_at_first.get_or_insert(listed);
        for step in batch {
            *book.copied.entry(step.key.to_string()).or_default() += 1;
        }
        Ok(Applied::all(&Outcome::Done, batch.len(), &answer))
    }
}

impl Job for CopyJob {
    fn info(&self) -> JobInfo {
        JobInfo {
            system: "test",
            operation: "copy",
            phases: vec![PhaseInfo::bulk("objects", 0, BatchSpec::up_to(4))],
            idempotent: true,
            window: Some(2),
            streaming: true,
            shared: false,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.remote)]
    }

    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(self.list(context, plan))
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.copy(context, batch))
    }

    fn prepare<'a>(
        &'a self,
        _context: &'a Context,
        _plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Covered>, DiscoverError>> {
        Box::pin(async { Ok(self.covered.clone()) })
    }

    fn finish<'a>(
        &'a self,
        _context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Verified>, DiscoverError>> {
        Box::pin(async {
            self.book().looked += 1;
            if self.look_fails {
                return Err(Failure::new(Kind::Unavailable, "503").into());
            }
            let mut lines = plan.lines()?;
            let mut seen = 0;
            while lines.next_step()?.is_some() {
                seen += 1;
            }
            Ok(Some(Verified { seen, left: 0, message: "all there".into() }))
        })
    }
}

/// A folder with a plan that grows, and a journal in memory.
struct Stage {
    folder: tempfile::TempDir,
    journal: Memory,
    book: Arc<Mutex<Book>>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        Self { folder, journal: Memory::default(), book: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("plan.jsonl")
    }

    fn writer(&self) -> PlanWriter {
        let path = self.path();
        if path.with_file_name("plan.jsonl.partial").exists() {
            return PlanWriter::reopen(&path).expect("the plan is there");
        }
        PlanWriter::create(&path, draft()).expect("the folder takes files")
    }

    /// One session; `stop` says at which settled step somebody asks for a stop.
    async fn session(&self, stop: Option<u64>, twist: impl FnOnce(&mut CopyJob)) -> Tally {
        let clock = Clock::start();
        let (sender, signals) = mpsc::channel(16);
        let (orders, obeys) = mpsc::channel(16);
        let context = Context { clock, stop: Stop::default(), signals: sender };
        let mut job = CopyJob {
            remote: Arc::new(Remote::new(clock, spec(Change::Delete))),
            book: Arc::clone(&self.book),
            takes: 4,
            page: Duration::from_millis(50),
            covered: None,
            look_fails: false,
        };
        twist(&mut job);
        let (plan, listing) = self.plan();
        let (journal, recovered) = self.journal(&plan);
        let session = Session { plan, listing, journal, recovered, retry_failed: false };
        let reporters: Vec<Box<dyn windlass_engine::runner::Reporter>> =
            vec![Box::new(StopAt { at: stop, orders: orders.clone() })];
        let settings = SessionSettings { window: 2, seed: 1 };
        run_session(Arc::new(job), session, settings, context, signals, obeys, reporters).await
    }

    fn plan(&self) -> (Plan, Option<PlanWriter>) {
        if self.path().exists() {
            return (Plan::open(&self.path()).expect("the plan is whole"), None);
        }
        let mut writer = self.writer();
        writer.grow().expect("the disk has room");
        (writer.growing(), Some(writer))
    }

    fn journal(&self, plan: &Plan) -> (Journal, Recovered) {
        Journal::open(Box::new(self.journal.clone()), &plan.header).expect("the journal is whole")
    }

    fn text(&self) -> String {
        String::from_utf8(self.journal.content()).expect("a journal is text")
    }

    fn copied(&self) -> BTreeMap<String, u32> {
        self.book.lock().expect("one thread").copied.clone()
    }
}

fn draft() -> Draft {
    Draft {
        id: "run".into(),
        system: "test".into(),
        operation: "copy".into(),
        account: "f00d".into(),
        base_url: "memory".into(),
        created_unix_ms: 0,
        options: serde_json::Value::Null,
        phases: vec!["objects".to_owned()],
    }
}

/// Says stop when so many steps have their outcome.
struct StopAt {
    at: Option<u64>,
    orders: mpsc::Sender<Order>,
}

impl windlass_engine::runner::Reporter for StopAt {
    fn event(&mut self, _event: &Stamped, tally: &Tally) {
        if self.at.is_some_and(|at| tally.counts.settled() >= at) {
            self.at = None;
            let _ = self.orders.try_send(Order::new(Command::Stop, "test"));
        }
    }

    fn tick(&mut self, _now: Moment, _tally: &Tally, _meter: &windlass_engine::remote::Meter) {}
}

fn once() -> BTreeMap<String, u32> {
    (0..KEYS).map(|number| (key(number), 1)).collect()
}

#[tokio::test(start_paused = true)]
async fn it_applies_while_it_lists() {
    let stage = Stage::new();
    let tally = stage.session(None, |_| {}).await;
    assert_eq!(tally.ending, Some(Ending::Complete));
    assert_eq!((tally.counts.done, tally.steps), (KEYS as u64, KEYS as u64));
    assert_eq!(stage.copied(), once());
    assert!(stage.book.lock().expect("one thread").listed_at_first < Some(3));
    let plan = Plan::open(&stage.path()).expect("the plan is sealed at the end");
    assert_eq!((plan.header.steps, plan.header.seen()), (KEYS as u64, KEYS as u64));
    let verified = tally.verified.expect("it looked once more");
    assert_eq!((verified.seen, verified.left), (KEYS as u64, 0));
}

#[tokio::test(start_paused = true)]
async fn batches_are_full_although_the_list_is_slow() {
    let stage = Stage::new();
    stage.session(None, |_| {}).await;
    assert_eq!(stage.book.lock().expect("one thread").tried, vec![4; KEYS / 4]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_listing_goes_on_where_it_was() {
    let stage = Stage::new();
    let tally = stage.session(Some(12), |_| {}).await;
    assert_eq!(tally.ending, Some(Ending::Stopped));
    assert!(!stage.path().exists(), "the plan is not whole yet");
    let before = stage.copied().len();
    assert!((12..KEYS).contains(&before), "{before}");
    let tally = stage.session(None, |_| {}).await;
    assert_eq!((tally.ending, tally.sessions), (Some(Ending::Complete), 2));
    assert_eq!(stage.copied(), once());
    let listed = stage.book.lock().expect("one thread").listed.clone();
    assert_eq!(listed, (0..PAGES).collect::<Vec<_>>(), "no page is listed twice");
}

/// The process dies with half a page in the file: what stands behind the last mark was never
/// taken up, so it is cut off and listed again.
#[tokio::test(start_paused = true)]
async fn half_a_page_in_a_crash_is_listed_again() {
    let stage = Stage::new();
    stage.session(Some(12), |_| {}).await;
    let partial = stage.path().with_file_name("plan.jsonl.partial");
    let mut text = std::fs::read_to_string(&partial).expect("it is text");
    text.push_str("{\"step\":77,\"key\":\"k077\",\"object\":77}\n{\"step\":78,\"ke");
    std::fs::write(&partial, text).expect("the disk has room");
    let tally = stage.session(None, |_| {}).await;
    assert_eq!(tally.ending, Some(Ending::Complete));
    assert_eq!(stage.copied(), once());
    Plan::open(&stage.path()).expect("the seal covers what is there");
}

/// The machine dies, and the plan lost more than the journal: those steps are listed and applied
/// again, and no other is taken for done in their place.
#[tokio::test(start_paused = true)]
async fn a_plan_that_lost_its_end_forgets_what_the_journal_says_of_it() {
    let stage = Stage::new();
    stage.session(Some(30), |_| {}).await;
    let partial = stage.path().with_file_name("plan.jsonl.partial");
    let text = std::fs::read_to_string(&partial).expect("it is text");
    let first_mark = text.find("{\"mark\"").expect("there is a mark");
    let end = first_mark + text[first_mark..].find('\n').expect("marks are lines") + 1;
    std::fs::write(&partial, &text[..end]).expect("the disk has room");
    let before = stage.copied();
    let tally = stage.session(None, |_| {}).await;
    assert_eq!((tally.ending, tally.steps), (Some(Ending::Complete), KEYS as u64));
    let after = stage.copied();
    assert_eq!(after.len(), KEYS);
    for (name, times) in &after {
        let again = name.as_str() >= "k010" && before.contains_key(name);
        assert_eq!(*times, if again { 2 } else { 1 }, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_halved_until_it_fits() {
    let stage = Stage::new();
    let tally = stage.session(None, |job| job.takes = 1).await;
    assert_eq!((tally.ending, tally.counts.done), (Some(Ending::Complete), KEYS as u64));
    assert_eq!(stage.copied(), once());
    let tried = stage.book.lock().expect("one thread").tried.clone();
    assert_eq!(tried[..3], [4, 2, 1], "the first batch comes down to what is taken");
    assert!(tried.iter().rev().take(40).all(|size| *size <= 2), "and later ones begin there");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_too_large_alone_fails() {
    let stage = Stage::new();
    let tally = stage.session(None, |job| job.takes = 0).await;
    assert_eq!((tally.ending, tally.counts.failed), (Some(Ending::Complete), KEYS as u64));
    assert_eq!(tally.failures, BTreeMap::from([(Kind::TooLarge, KEYS as u64)]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_short_line_in_the_journal() {
    let stage = Stage::new();
    stage.session(None, |_| {}).await;
    let text = stage.text();
    assert!(text.contains(r#""event":"done","steps":[[0,3]]"#), "{text}");
    let longest = text.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 200, "{longest}");
}

/// The output of a job proves what is done: the journal may know less, or more.
#[tokio::test(start_paused = true)]
async fn the_output_is_believed_and_not_the_journal() {
    for covered in [4, 40] {
        let stage = Stage::new();
        stage.session(Some(16), |_| {}).await;
        let before = stage.copied();
        let tally = stage
            .session(None, |job| {
                job.covered = Some(Covered { below: covered, missing: Steps::default() });
            })
            .await;
        assert_eq!((tally.ending, tally.counts.done), (Some(Ending::Complete), KEYS as u64));
        for (name, times) in stage.copied() {
            let number: u64 = name[1..].parse().expect("a key is a number");
            let again = number >= covered && before.contains_key(&name);
            assert_eq!(times, if again { 2 } else { 1 }, "{name}, {covered}");
        }
    }
}

/// A step below the end of the output that has nothing in it, and of which the journal knows
/// nothing, is not done.
#[tokio::test(start_paused = true)]
async fn a_gap_in_the_output_is_filled() {
    let stage = Stage::new();
    stage.session(Some(8), |_| {}).await;
    let before = stage.copied().len() as u64;
    let gap = before + 1;
    let covered = Covered { below: before + 4, missing: [gap].into_iter().collect() };
    let tally = stage.session(None, |job| job.covered = Some(covered)).await;
    assert_eq!((tally.ending, tally.counts.done), (Some(Ending::Complete), KEYS as u64));
    let copied = stage.copied();
    let at = |number: u64| copied.get(&key(usize::try_from(number).expect("small"))).copied();
    assert_eq!((at(gap), at(gap - 1), at(gap + 1)), (Some(1), None, None));
}

/// A run is complete when it has looked once more; until then it can be resumed.
#[tokio::test(start_paused = true)]
async fn a_last_look_that_fails_is_taken_again() {
    let stage = Stage::new();
    let tally = stage.session(None, |job| job.look_fails = true).await;
    assert!(matches!(tally.ending, Some(Ending::Fatal(_))), "{:?}", tally.ending);
    let tally = stage.session(None, |_| {}).await;
    assert_eq!((tally.ending, tally.sessions), (Some(Ending::Complete), 2));
    assert_eq!(stage.copied(), once());
    assert_eq!(stage.book.lock().expect("one thread").looked, 2);
}

#[test]
fn a_plan_that_never_grew_is_not_opened_as_one() {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let path: &Path = &folder.path().join("plan.jsonl");
    assert!(PlanWriter::reopen(path).is_err());
    std::fs::write(path.with_file_name("plan.jsonl.partial"), "hello\n").expect("it has room");
    assert!(PlanWriter::reopen(path).is_err());
}

#[test]
fn events_of_a_growing_plan_are_lines_of_the_journal() {
    let event = Event::Planned { steps: 7, complete: false };
    assert!(event.is_durable());
    let json = serde_json::to_string(&event).expect("an event is JSON");
    assert_eq!(json, r#"{"event":"planned","steps":7,"complete":false}"#);
}

#[test]
fn a_whole_plan_has_its_own_count_whatever_the_journal_heard_of_its_growth() {
    let header = |digest: &str| -> Header {
        let header = serde_json::json!({
            "windlass_plan": 2, "id": "run", "system": "store", "operation": "copy",
            "account": "", "base_url": "", "created_unix_ms": 0, "options": null,
            "phases": [{ "name": "objects", "steps": 1500, "seen": 1500 }],
            "left": {}, "steps": 1500, "digest": digest,
        });
        serde_json::from_value(header).expect("it is a header")
    };
    for (digest, steps) in [("", 1000), ("5ea1", 1500)] {
        let mut tally = Tally::new(&header(digest));
        let event = Event::Planned { steps: 1000, complete: false };
        tally.take_in(&Stamped { at: Moment::ZERO, event });
        assert_eq!((tally.steps, tally.phases[0].steps), (steps, steps), "{digest:?}");
    }
}
