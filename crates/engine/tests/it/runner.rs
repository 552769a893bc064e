//! The runner from outside: how sessions end and go on, what orders do, and what reporters see.

use crate::support::{Change, Run, Work, World, key, plan};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use windlass_engine::event::Ending;
use windlass_engine::job::Skip;
use windlass_engine::journal::{Journal, Memory, Recovered, replay};
use windlass_engine::plan::Plan;
use windlass_engine::remote::{Meter, Remote};
use windlass_engine::runner::{Command, DiscoverError, Order, Reporter, Status};
use windlass_engine::tally::Tally;
use windlass_engine::{
    Applied, BoxFuture, Context, Event, Failure, Job, JobInfo, Kind, Moment, Outcome, Stamped, Step,
};

/// A plan of so many steps, its remote and its journal.
struct Stage {
    plan: Plan,
    world: World,
    memory: Memory,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(steps: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = plan(folder.path(), steps);
        let world = World::with((0..steps).map(key));
        Self { plan, world, memory: Memory::default(), _folder: folder }
    }

    fn run(&self, change: Change) -> Run {
        Run::new(&self.world, change, &self.plan, self.memory.clone()).expect("the journal opens")
    }

    fn recovered(&self) -> Recovered {
        let opened = Journal::open(Box::new(self.memory.clone()), &self.plan.header);
        opened.expect("the journal opens").1
    }

    fn events(&self) -> Vec<Stamped> {
        let mut events = Vec::new();
        let content = self.memory.content();
        let take = |stamped: &Stamped| events.push(stamped.clone());
        replay(&content[..], &self.plan.header, take).expect("the journal is whole");
        events
    }

    /// Resumes, and checks that everything is done then and that no step was sent twice except
    /// those that were in doubt.
    async fn completes(&self, change: Change) -> Tally {
        let doubtful = self.recovered().in_doubt.count();
        let tally = self.run(change).go().await;
        assert_eq!(tally.ending, Some(Ending::Complete));
        let steps = self.plan.header.steps;
        assert_eq!(tally.counts.settled() - tally.counts.skipped - tally.counts.failed, steps);
        let asked = self.world.asked().len() as u64;
        assert!(asked <= steps + doubtful, "{asked} requests for {steps} steps");
        tally
    }
}

/// Decides about each batch by its first key before it is sent.
fn twist<F, T>(run: &mut Run, decide: F)
where
    F: Fn(String) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Option<Applied>, Failure>> + Send + 'static,
{
    run.work.twist =
        Some(Box::new(move |batch: &[Step]| Box::pin(decide(batch[0].key.to_string()))));
}

/// Fails the batches of these steps.
fn fail(run: &mut Run, steps: impl IntoIterator<Item = usize>, kind: Kind) {
    let keys: Vec<String> = steps.into_iter().map(key).collect();
    twist(run, move |key| {
        let failing = keys.contains(&key);
        async move { if failing { Err(Failure::new(kind, "no")) } else { Ok(None) } }
    });
}

fn later(millis: u64, act: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        act.await;
    });
}

fn order_later(run: &Run, millis: u64, command: Command, by: &'static str) {
    let orders = run.orders.clone();
    later(millis, async move { orders.send(Order::new(command, by)).await.expect("it runs") });
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_wire_drain_and_the_run_goes_on_later() {
    for by in ["ctl", "interrupt"] {
        let stage = Stage::new(40);
        let run = stage.run(Change::Delete);
        order_later(&run, 30, Command::Stop, by);
        let tally = run.go().await;
        assert_eq!(tally.ending, Some(Ending::Stopped));
        assert!((4..30).contains(&tally.counts.done), "{}", tally.counts.done);
        assert_eq!(stage.world.asked().len() as u64, tally.counts.done, "the wire was drained");
        assert!(stage.world.state().requests.iter().all(|request| request.answered));
        let recovered = stage.recovered();
        assert_eq!(
            (recovered.in_doubt.count(), recovered.finished.count()),
            (0, tally.counts.done)
        );
        let reasons = stage
            .events()
            .into_iter()
            .filter(|stamped| matches!(&stamped.event, Event::Stopping { reason } if reason == by));
        assert_eq!(reasons.count(), 1);
        let tally = stage.completes(Change::Delete).await;
        assert_eq!((tally.sessions, tally.counts.done), (2, 40));
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_leaves_the_wire_in_doubt() {
    for twice in [false, true] {
        let stage = Stage::new(40);
        let run = stage.run(Change::Count);
        if twice {
            order_later(&run, 30, Command::Stop, "interrupt");
            order_later(&run, 31, Command::Stop, "interrupt");
        } else {
            order_later(&run, 31, Command::Abort, "ctl");
        }
        let tally = run.go().await;
        assert_eq!(tally.ending, Some(Ending::Aborted));
        let flying = stage.world.state().requests.iter().filter(|sent| !sent.answered).count();
        assert!((1..=4).contains(&flying) && tally.in_doubt >= flying as u64);
        let recovered = stage.recovered();
        assert_eq!(recovered.in_doubt.count(), tally.in_doubt);
        assert!(stage.events().last().is_some_and(|stamped| stamped.event.is_durable()));
        stage.world.state().crash(true);
        let tally = stage.completes(Change::Count).await;
        assert!(tally.confirmed >= 1);
        assert!(stage.world.state().objects.values().all(|count| *count == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_by_another_process_aborts_nothing() {
    let stage = Stage::new(40);
    let run = stage.run(Change::Delete);
    order_later(&run, 30, Command::Stop, "ctl");
    order_later(&run, 31, Command::Stop, "ctl");
    assert_eq!(run.go().await.ending, Some(Ending::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_last_answers_is_a_complete_run() {
    let stage = Stage::new(3);
    let run = stage.run(Change::Delete);
    order_later(&run, 1, Command::Stop, "interrupt");
    assert_eq!(run.go().await.ending, Some(Ending::Complete));
    assert_eq!(stage.recovered().finished.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_end_the_run_and_fail_no_step() {
    let stage = Stage::new(40);
    let mut run = stage.run(Change::Delete);
    fail(&mut run, 10..40, Kind::Denied);
    let tally = run.go().await;
    let Some(Ending::Fatal(failure)) = &tally.ending else { panic!("{:?}", tally.ending) };
    assert_eq!(failure.kind, Kind::Denied);
    assert_eq!((tally.counts.done, tally.counts.failed, tally.in_doubt), (10, 0, 0));
    let recovered = stage.recovered();
    assert_eq!((recovered.finished.count(), recovered.in_doubt.count()), (10, 0));
    assert_eq!(stage.completes(Change::Delete).await.counts.done, 40);
}

#[tokio::test(start_paused = true)]
async fn three_refusals_in_a_row_are_about_the_credentials() {
    let stage = Stage::new(20);
    let mut run = stage.run(Change::Delete);
    run.window = 1;
    fail(&mut run, 5..20, Kind::Forbidden);
    let tally = run.go().await;
    assert!(matches!(&tally.ending, Some(Ending::Fatal(last)) if last.kind == Kind::Forbidden));
    assert_eq!((tally.counts.done, tally.counts.failed), (5, 2), "the third is given back");
    assert_eq!(stage.recovered().finished.count(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_between_successes_is_a_failed_step() {
    let stage = Stage::new(20);
    let mut run = stage.run(Change::Delete);
    run.window = 1;
    fail(&mut run, [2, 3, 5, 6, 19], Kind::Forbidden);
    let tally = run.go().await;
    assert_eq!(tally.ending, Some(Ending::Complete));
    assert_eq!((tally.counts.done, tally.counts.failed), (15, 5));
    assert_eq!(tally.failures, BTreeMap::from([(Kind::Forbidden, 5)]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_as_the_first_answer_ends_the_run() {
    let stage = Stage::new(20);
    let mut run = stage.run(Change::Delete);
    fail(&mut run, 0..20, Kind::Forbidden);
    let tally = run.go().await;
    assert!(matches!(&tally.ending, Some(Ending::Fatal(last)) if last.kind == Kind::Forbidden));
    assert_eq!(tally.counts.settled(), 0);
    assert_eq!(stage.recovered().finished.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_ends_the_run_with_a_complete_journal() {
    let stage = Stage::new(30);
    let mut run = stage.run(Change::Count);
    twist(&mut run, |key| async move {
        assert!(key != "k007", "this step breaks its task");
        Ok(None)
    });
    let tally = run.go().await;
    assert!(matches!(&tally.ending, Some(Ending::Fatal(last)) if last.kind == Kind::Bug));
    assert!(matches!(stage.events().last().map(|last| &last.event), Some(Event::RunEnded { .. })));
    let recovered = stage.recovered();
    assert_eq!((recovered.in_doubt.iter().collect::<Vec<_>>(), tally.in_doubt), (vec![7], 1));
    assert_eq!(recovered.finished.count(), tally.counts.done);
    assert_eq!(stage.world.asked().len() as u64, tally.counts.done, "the others were answered");
    stage.completes(Change::Count).await;
    assert!(stage.world.state().objects.values().all(|count| *count == 1));
}

/// Whatever a job that miscounts has sent, it has sent.
#[tokio::test(start_paused = true)]
async fn a_wrong_number_of_outcomes_is_a_bug_and_leaves_its_batch_in_doubt() {
    for outcomes in [0, 2, 4] {
        let stage = Stage::new(12);
        let mut run = stage.run(Change::Count);
        run.work.batch = 3;
        twist(&mut run, move |key| async move {
            let applied = Applied {
                outcomes: vec![Outcome::Done; outcomes],
                latency: Duration::ZERO,
                attempts: 1,
                status: None,
                request_id: None,
            };
            Ok((key == "k003").then_some(applied))
        });
        let tally = run.go().await;
        assert!(matches!(&tally.ending, Some(Ending::Fatal(last)) if last.kind == Kind::Bug));
        let recovered = stage.recovered();
        assert_eq!(recovered.in_doubt.iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(tally.in_doubt, 3);
    }
}

/// The answer is lost, and the question after it is refused.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_that_cannot_be_asked_about_stays_in_doubt() {
    let stage = Stage::new(10);
    let mut run = stage.run(Change::Count);
    run.window = 1;
    run.work.refused_from = Some(tokio::time::Instant::now());
    let lost = Failure { may_have_happened: true, ..Failure::new(Kind::TimedOut, "lost") };
    twist(&mut run, move |_| std::future::ready(Err(lost.clone())));
    let tally = run.go().await;
    assert!(matches!(&tally.ending, Some(Ending::Fatal(last)) if last.kind == Kind::Denied));
    assert_eq!(stage.recovered().in_doubt.iter().collect::<Vec<_>>(), [0]);
}

/// The job of the stage with a look before its first step.
struct Rechecked {
    work: Work,
    skips: Vec<u64>,
    takes: Duration,
    fails: Option<Kind>,
}

impl Job for Rechecked {
    fn info(&self) -> JobInfo {
        self.work.info()
    }
    fn remotes(&self) -> Vec<Arc<Remote>> {
        self.work.remotes()
    }
    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut windlass_engine::plan::PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        self.work.discover(context, plan)
    }
    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        self.work.apply(context, batch)
    }
    fn recheck<'a>(
        &'a self,
        _context: &'a Context,
        _plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Vec<Skip>, DiscoverError>> {
        Box::pin(async {
            tokio::time::sleep(self.takes).await;
            if let Some(kind) = self.fails {
                return Err(Failure::new(kind, "no").into());
            }
            let skip = |&step: &u64| {
                let (key, label, reason) = ("".into(), "".into(), "changed since".into());
                Skip { step, key, label, reason }
            };
            Ok(self.skips.iter().map(skip).collect())
        })
    }
}

async fn go_rechecked(run: Run, skips: &[u64], fails: Option<Kind>) -> Tally {
    let (skips, takes) = (skips.to_vec(), Duration::from_millis(50));
    run.go_as(|work| Arc::new(Rechecked { work, skips, takes, fails })).await
}

#[tokio::test(start_paused = true)]
async fn what_changed_since_the_plan_is_left_alone() {
    let stage = Stage::new(700);
    let skips: Vec<u64> = (50..650).collect();
    let tally = go_rechecked(stage.run(Change::Delete), &skips, None).await;
    assert_eq!(tally.ending, Some(Ending::Complete));
    assert_eq!((tally.counts.done, tally.counts.skipped), (100, 600));
    assert_eq!(tally.skipped, BTreeMap::from([("changed since".into(), 600)]));
    assert_eq!(stage.world.asked().len(), 100);
    let tally = go_rechecked(stage.run(Change::Delete), &skips, None).await;
    assert_eq!((tally.ending, tally.counts.skipped), (Some(Ending::Complete), 600));
    assert_eq!(stage.recovered().tally.counts.skipped, 600, "they are counted once");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_the_look_before_fails_or_is_stopped() {
    let stage = Stage::new(20);
    let tally = go_rechecked(stage.run(Change::Delete), &[], Some(Kind::Denied)).await;
    assert!(matches!(&tally.ending, Some(Ending::Fatal(last)) if last.kind == Kind::Denied));

    for command in [Command::Stop, Command::Abort] {
        let run = stage.run(Change::Delete);
        order_later(&run, 20, command, "interrupt");
        let tally = go_rechecked(run, &[], None).await;
        assert_eq!(tally.ending, Some(Ending::Stopped), "{command:?}");
    }
    assert_eq!(stage.world.asked().len(), 0);
    assert_eq!(stage.completes(Change::Delete).await.sessions, 4);
}

#[tokio::test(start_paused = true)]
async fn failed_steps_are_tried_again_only_when_asked_for() {
    let stage = Stage::new(20);
    let mut run = stage.run(Change::Delete);
    fail(&mut run, [4, 9], Kind::Rejected);
    let tally = run.go().await;
    assert_eq!((tally.counts.done, tally.counts.failed), (18, 2));

    let tally = stage.run(Change::Delete).go().await;
    assert_eq!((tally.counts.done, tally.counts.failed), (18, 2));
    assert_eq!(stage.world.asked().len(), 18);

    let mut run = stage.run(Change::Delete);
    run.session.retry_failed = true;
    fail(&mut run, [9], Kind::Conflict);
    let tally = run.go().await;
    assert_eq!((tally.counts.done, tally.counts.failed), (19, 1));
    assert_eq!(tally.failures, BTreeMap::from([(Kind::Conflict, 1)]));
    assert_eq!(stage.world.asked().last(), Some(&key(4)));
    let recovered = stage.recovered();
    assert_eq!(recovered.failed.iter().collect::<Vec<_>>(), [9]);
    assert_eq!(format!("{:?}", recovered.tally), format!("{tally:?}"));
}

async fn ask(orders: &mpsc::Sender<Order>, command: Command) -> Status {
    let (reply, status) = oneshot::channel();
    let order = Order { command, by: "ctl", reply: Some(reply) };
    orders.send(order).await.expect("it runs");
    status.await.expect("every order is answered")
}

#[tokio::test(start_paused = true)]
async fn orders_are_obeyed_and_answered() {
    let stage = Stage::new(200);
    let run = stage.run(Change::Delete);
    let orders = run.orders.clone();
    let world = stage.world.clone();
    let commanding = tokio::spawn(async move {
        let millis = |millis| tokio::time::sleep(Duration::from_millis(millis));
        millis(30).await;
        let status = ask(&orders, Command::Status).await;
        assert_eq!((status.run.as_str(), status.steps), ("run", 200));
        assert!(status.counts.done > 0 && status.in_flight > 0 && status.in_flight <= 3);
        assert!(!status.paused && !status.stopping && status.rate.is_none());

        assert!(ask(&orders, Command::Pause).await.paused);
        millis(20).await;
        let before = world.asked().len();
        millis(60_000).await;
        assert_eq!(world.asked().len(), before, "nothing is sent in a pause");
        assert_eq!(ask(&orders, Command::Rate(8.0)).await.rate, Some(8.0));
        assert!(!ask(&orders, Command::Resume).await.paused);
        millis(10_000).await;
        let sent = world.asked().len() - before;
        assert!((70..=80).contains(&sent), "{sent} sent in ten seconds at 8 a second");
        assert_eq!(ask(&orders, Command::Scale(0.5)).await.rate, Some(4.0));
        let before = world.asked().len();
        millis(10_000).await;
        let sent = world.asked().len() - before;
        assert!((35..=44).contains(&sent), "{sent} sent in ten seconds at 4 a second");
        assert_eq!(ask(&orders, Command::Rate(0.0)).await.rate, None, "no ceiling any more");
        let status = ask(&orders, Command::Stop).await;
        assert!(status.stopping);
    });
    let tally = run.go().await;
    commanding.await.expect("all orders did what they say");
    assert_eq!(tally.ending, Some(Ending::Stopped));
    let events = stage.events();
    let has = |event: &Event| events.iter().filter(|stamped| stamped.event == *event).count();
    assert_eq!((has(&Event::Paused), has(&Event::Resumed)), (1, 1));
    assert_eq!(has(&Event::RateSet { per_second: Some(4.0) }), 1);
    stage.completes(Change::Delete).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_begun_than_the_window_holds() {
    for window in [1, 2, 7] {
        let stage = Stage::new(50);
        let mut run = stage.run(Change::Delete);
        run.window = window;
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        twist(&mut run, move |_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok(None)
            }
        });
        assert_eq!(run.go().await.ending, Some(Ending::Complete));
        assert_eq!(seen.load(Ordering::Relaxed), window);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_holds_steps_of_one_phase_in_their_order() {
    let stage = Stage::new(24);
    let mut run = stage.run(Change::Delete);
    run.work.batch = 5;
    run.window = 1;
    assert_eq!(run.go().await.counts.done, 24);
    let sizes: Vec<_> =
        stage.world.state().requests.iter().map(|request| request.keys.len()).collect();
    assert_eq!(sizes, [5, 5, 2, 5, 5, 2], "the second phase begins at step 12");
    assert_eq!(stage.world.asked(), (0..24).map(key).collect::<Vec<_>>());
}

/// What a reporter was shown.
#[derive(Clone, Default)]
struct Seen {
    events: Arc<Mutex<Vec<Stamped>>>,
    ticks: Arc<Mutex<Vec<Moment>>>,
}

impl Seen {
    fn events(&self) -> Vec<Stamped> {
        self.events.lock().expect("one thread").clone()
    }
}

impl Reporter for Seen {
    fn event(&mut self, stamped: &Stamped, _tally: &Tally) {
        self.events.lock().expect("one thread").push(stamped.clone());
    }
    fn tick(&mut self, now: Moment, _tally: &Tally, _meter: &Meter) {
        self.ticks.lock().expect("one thread").push(now);
    }
}

/// A messy run in three sessions: the totals on the screen, those of a journal that is opened
/// again, and those of a fold over its events are the same.
#[tokio::test(start_paused = true)]
async fn the_totals_are_the_fold_over_the_journal() {
    let stage = Stage::new(60);
    let mut run = stage.run(Change::Delete);
    fail(&mut run, [3, 20], Kind::Rejected);
    order_later(&run, 60, Command::Pause, "ctl");
    order_later(&run, 500, Command::Resume, "ctl");
    order_later(&run, 530, Command::Abort, "ctl");
    run.go().await;
    let mut run = stage.run(Change::Delete);
    run.session.retry_failed = true;
    order_later(&run, 40, Command::Stop, "ctl");
    run.go().await;
    let tally = stage.run(Change::Delete).go().await;
    assert_eq!((&tally.ending, tally.sessions), (&Some(Ending::Complete), 3));

    let mut fold = Tally::new(&stage.plan.header);
    stage.events().iter().for_each(|stamped| fold.take_in(stamped));
    assert_eq!(format!("{fold:?}"), format!("{tally:?}"));
    assert_eq!(format!("{:?}", stage.recovered().tally), format!("{tally:?}"));
    assert_eq!(tally.counts.settled(), 60);
    let phases: u64 = tally.phases.iter().map(|phase| phase.counts.settled()).sum();
    assert_eq!(phases, 60);
}

#[tokio::test(start_paused = true)]
async fn a_reporter_sees_everything_in_order() {
    let stage = Stage::new(100);
    let mut run = stage.run(Change::Delete);
    let seen = Seen::default();
    run.reporters.push(Box::new(seen.clone()));
    run.go().await;
    let events = seen.events();
    assert_eq!(events, stage.events(), "the journal and the screen have one author");
    assert!(events.is_sorted_by_key(|stamped| stamped.at));
    assert!(matches!(events[0].event, Event::RunStarted { session: 1, finished: 0, .. }));
    let last = &events[events.len() - 1].event;
    assert_eq!(*last, Event::RunEnded { ending: Ending::Complete });
    let mut begun = std::collections::BTreeSet::new();
    for stamped in &events {
        match &stamped.event {
            Event::Begun { steps } => assert!(steps.iter().all(|step| begun.insert(step))),
            Event::Settled { steps, .. } => {
                assert!(steps.iter().all(|settled| begun.remove(&settled.step)));
            }
            _ => {}
        }
    }
    assert!(begun.is_empty());
    let ticks = seen.ticks.lock().expect("one thread").clone();
    assert!(ticks.is_sorted());
    let took = events[events.len() - 1].at.as_micros();
    let expected = took / 100_000;
    assert!((expected..=expected + 3).contains(&(ticks.len() as u64)), "{} ticks", ticks.len());
}

#[tokio::test(start_paused = true)]
async fn an_empty_plan_is_complete_at_once() {
    let stage = Stage::new(0);
    let tally = stage.run(Change::Delete).go().await;
    assert_eq!((tally.ending, tally.counts.settled()), (Some(Ending::Complete), 0));
    assert_eq!(tally.sessions, 1);
}

/// A plan that breaks under the run ends it; it is not taken for the end of the plan.
#[tokio::test(start_paused = true)]
async fn a_plan_that_breaks_under_the_run_ends_it() {
    let stage = Stage::new(2000);
    let path: &Path = stage.plan.path();
    let text = std::fs::read_to_string(path).expect("the plan is text");
    std::fs::write(path, text.replace("\"k1500\"", "\"k1500")).expect("the disk has room");
    let tally = stage.run(Change::Delete).go().await;
    assert!(matches!(&tally.ending, Some(Ending::Fatal(last)) if last.kind == Kind::Bug));
    assert_eq!((tally.counts.done, stage.recovered().finished.count()), (1500, 1500));
}
