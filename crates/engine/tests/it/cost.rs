//! What the engine itself costs: a plan of 100,000 steps with its journal on a disk, against a
//! remote that answers at once, through a gate with a window, at a concurrency of 64.

use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use windlass_engine::clock::Clock;
use windlass_engine::event::Ending;
use windlass_engine::job::PhaseInfo;
use windlass_engine::journal::{Disk, Journal};
use windlass_engine::plan::{Draft, Plan, PlanWriter};
use windlass_engine::policy::backoff::Backoff;
use windlass_engine::remote::{ConcurrencySpec, OperationSpec, Remote, Spec, WindowSpec};
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{DiscoverError, Session, SessionSettings, run};
use windlass_engine::{Applied, BoxFuture, Context, Failure, Job, JobInfo, Kind, Outcome, Step};

const STEPS: u64 = 100_000;

struct Instantly(Arc<Remote>);

impl Job for Instantly {
    fn info(&self) -> JobInfo {
        JobInfo {
            system: "test",
            operation: "nothing",
            phases: vec![PhaseInfo::single("objects", 0)],
            idempotent: true,
            window: None,
            streaming: false,
            shared: false,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.0)]
    }

    fn discover<'a>(
        &'a self,
        _context: &'a Context,
        _plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(async { Err(Failure::new(Kind::Bug, "its plan is made by hand").into()) })
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        _batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(async move {
            let answer = |_| async {
                tokio::task::yield_now().await;
                Ok(())
            };
            let answer = self.0.call(context, 0, false, answer).await?;
            Ok(Applied {
                outcomes: vec![Outcome::Done],
                latency: answer.latency,
                attempts: answer.attempts,
                status: Some(200),
                request_id: None,
            })
        })
    }
}

fn spec() -> Spec {
    let quota = "1000000/1s".parse().expect("it is a quota");
    Spec {
        name: "test",
        windows: vec![WindowSpec { name: "all".into(), quota: Some(quota) }],
        operations: vec![OperationSpec::new("send", &[0])],
        concurrency: ConcurrencySpec::Fixed(64),
        rate: None,
        smooth: false,
        timeout: Duration::from_secs(5),
        retries: 2,
        backoff: Backoff::default(),
        deadline: Duration::from_secs(100),
        seed: 1,
    }
}

fn plan(folder: &std::path::Path) -> Plan {
    let path = folder.join("plan.jsonl");
    let draft = Draft {
        id: "run".into(),
        system: "test".into(),
        operation: "nothing".into(),
        account: "f00d".into(),
        base_url: "memory".into(),
        created_unix_ms: 0,
        options: serde_json::Value::Null,
        phases: vec!["objects".to_owned()],
    };
    let mut writer = PlanWriter::create(&path, draft).expect("the folder is there");
    let object = RawValue::from_string("{\"name\":\"an object\"}".into()).expect("it is JSON");
    for number in 0..STEPS {
        writer.push(&format!("user_{number:026}"), "a@b.c", &object).expect("the disk has room");
    }
    writer.finish().expect("the disk has room");
    Plan::open(&path).expect("it was just written")
}

/// The bound is for a busy machine and a build without optimisation; the figure itself is printed.
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_steps_cost_little_real_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path());
    let disk = Disk::create(&folder.path().join("journal")).expect("the folder is there");
    let (journal, recovered) =
        Journal::open(Box::new(disk), &plan.header).expect("the folder is there");
    let clock = Clock::start();
    let (sender, signals) = mpsc::channel(1024);
    let (_orders, obeys) = mpsc::channel(1);
    let context = Context { clock, stop: Stop::default(), signals: sender };
    let job = Arc::new(Instantly(Arc::new(Remote::new(clock, spec()))));
    let session = Session { plan, listing: None, journal, recovered, retry_failed: false };
    let settings = SessionSettings { window: 128, seed: 1 };
    let began = Instant::now();
    let tally = run(job, session, settings, context, signals, obeys, Vec::new()).await;
    let took = began.elapsed();
    assert_eq!((tally.ending, tally.counts.done), (Some(Ending::Complete), STEPS));
    println!("{STEPS} steps in {took:?}: {} ns a step", took.as_nanos() / u128::from(STEPS));
    assert!(took < Duration::from_secs(10), "{took:?}");
}
