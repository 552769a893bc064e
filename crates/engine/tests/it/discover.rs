//! Discovery from outside: it shows its pages, and only a listing that came to its end is a plan.

use serde_json::value::RawValue;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use windlass_engine::clock::Clock;
use windlass_engine::job::PhaseInfo;
use windlass_engine::plan::{Draft, Header, Plan, PlanError, PlanWriter};
use windlass_engine::policy::backoff::Backoff;
use windlass_engine::remote::{ConcurrencySpec, Meter, OperationSpec, Remote, Spec};
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{Command, DiscoverError, Order, Reporter, discover};
use windlass_engine::tally::Tally;
use windlass_engine::{
    Applied, BoxFuture, Context, Event, Failure, Job, JobInfo, Kind, Moment, Stamped, Step,
};

const PAGES: u64 = 5;
const PAGE_TAKES: Duration = Duration::from_millis(100);

/// A job whose list has five pages of one object each. It may fail at one of them.
struct Listing {
    remote: Arc<Remote>,
    fails_at: Option<u64>,
}

impl Job for Listing {
    fn info(&self) -> JobInfo {
        JobInfo {
            system: "test",
            operation: "list",
            phases: vec![PhaseInfo::single("objects", 0)],
            idempotent: true,
            window: None,
            streaming: false,
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
        Box::pin(async move {
            for page in 1..=PAGES {
                let read = |_| async {
                    tokio::time::sleep(PAGE_TAKES).await;
                    match self.fails_at {
                        Some(at) if at == page => Err(Failure::new(Kind::Denied, "status 401")),
                        _ => Ok(()),
                    }
                };
                self.remote.call(context, 0, false, read).await?;
                let object = RawValue::from_string("{}".into()).expect("it is JSON");
                plan.saw(1);
                plan.push(&format!("key{page}"), "label", &object)?;
                let phase = "objects".into();
                let (seen, selected) = (page, page);
                let event =
                    Event::Page { phase, page, seen, selected, latency_us: 1, request_id: None };
                context.signal(event).await;
            }
            Ok(())
        })
    }

    fn apply<'a>(
        &'a self,
        _context: &'a Context,
        _batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(async { Err(Failure::new(Kind::Bug, "discovery changes nothing")) })
    }
}

fn spec() -> Spec {
    Spec {
        name: "list",
        windows: Vec::new(),
        operations: vec![OperationSpec::new("page", &[])],
        concurrency: ConcurrencySpec::Fixed(1),
        rate: None,
        smooth: false,
        timeout: Duration::from_secs(5),
        retries: 2,
        backoff: Backoff::default(),
        deadline: Duration::from_secs(100),
        seed: 1,
    }
}

fn draft() -> Draft {
    Draft {
        id: "run".into(),
        system: "test".into(),
        operation: "list".into(),
        account: "f00d".into(),
        base_url: "memory".into(),
        created_unix_ms: 0,
        options: serde_json::Value::Null,
        phases: vec!["objects".to_owned()],
    }
}

#[derive(Clone, Default)]
struct Seen {
    events: Arc<Mutex<Vec<Stamped>>>,
    ticks: Arc<Mutex<u32>>,
}

impl Reporter for Seen {
    fn event(&mut self, stamped: &Stamped, _tally: &Tally) {
        self.events.lock().expect("one thread").push(stamped.clone());
    }
    fn tick(&mut self, _now: Moment, _tally: &Tally, _meter: &Meter) {
        *self.ticks.lock().expect("one thread") += 1;
    }
}

struct Stage {
    path: PathBuf,
    seen: Seen,
    result: Result<Header, DiscoverError>,
    took: Duration,
    _folder: tempfile::TempDir,
}

/// Lists, with orders that come after so many milliseconds.
async fn list(fails_at: Option<u64>, commands: &[(u64, Command)]) -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.jsonl");
    let clock = Clock::start();
    let (sender, mut signals) = mpsc::channel(1);
    let (orders, mut obeys) = mpsc::channel(4);
    let context = Context { clock, stop: Stop::default(), signals: sender };
    let job = Listing { remote: Arc::new(Remote::new(clock, spec())), fails_at };
    for &(millis, command) in commands {
        let orders = orders.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            orders.send(Order::new(command, "interrupt")).await.expect("it runs");
        });
    }
    let seen = Seen::default();
    let mut reporters: Vec<Box<dyn Reporter>> = vec![Box::new(seen.clone())];
    let plan = PlanWriter::create(&path, draft()).expect("the folder is there");
    let began = tokio::time::Instant::now();
    let result = discover(&job, &context, plan, &mut signals, &mut obeys, &mut reporters).await;
    Stage { path, seen, result, took: began.elapsed(), _folder: folder }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_came_to_its_end_is_a_plan_and_was_watched() {
    let stage = list(None, &[]).await;
    let header = stage.result.expect("nothing went wrong");
    assert_eq!((header.steps, header.seen()), (PAGES, PAGES));
    assert_eq!(Plan::open(&stage.path).expect("it is whole").header, header);
    let events = stage.seen.events.lock().expect("one thread").clone();
    let pages: Vec<u64> = events
        .iter()
        .map(|stamped| match stamped.event {
            Event::Page { page, .. } => page,
            ref other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(pages, [1, 2, 3, 4, 5], "the last one, too");
    assert!(events.is_sorted_by_key(|stamped| stamped.at));
    let ticks = *stage.seen.ticks.lock().expect("one thread");
    assert!((5..=8).contains(&ticks), "{ticks} ticks in half a second");
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_listing_leaves_no_plan() {
    for (commands, expected) in [
        (vec![(150, Command::Stop)], 200),
        (vec![(150, Command::Stop), (170, Command::Stop)], 170),
        (vec![(150, Command::Abort)], 150),
        (vec![(120, Command::Pause), (130, Command::Rate(1.0)), (150, Command::Stop)], 200),
    ] {
        let stage = list(None, &commands).await;
        let Err(DiscoverError::Remote(failure)) = stage.result else { panic!("it has a plan") };
        assert_eq!(failure.kind, Kind::Cancelled, "{commands:?}");
        assert!(!stage.path.exists());
        let expected = Duration::from_millis(expected);
        let late = stage.took.saturating_sub(expected);
        assert!(stage.took >= expected && late <= Duration::from_millis(2), "{:?}", stage.took);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_listing_leaves_no_plan() {
    let stage = list(Some(3), &[]).await;
    let Err(DiscoverError::Remote(failure)) = stage.result else { panic!("it has a plan") };
    assert_eq!(failure.kind, Kind::Denied);
    assert!(!stage.path.exists());
    assert!(matches!(Plan::open(&stage.path), Err(PlanError::Io { .. })));
    let events = stage.seen.events.lock().expect("one thread").len();
    assert_eq!(events, 2, "what was read before was shown");
}
