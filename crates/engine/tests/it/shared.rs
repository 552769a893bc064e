//! Plans that several processes share: each part is carried out by one of them, and those of a
//! process that died are taken over.

use crate::support::{Change, Run, Work, World, key, plan};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use windlass_engine::event::Ending;
use windlass_engine::journal::Memory;
use windlass_engine::plan::PlanWriter;
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{
    Applied, BoxFuture, Claim, Context, Event, Failure, Job, JobInfo, Step, Steps,
};

const STEPS: usize = 40;
const PART: u64 = 5;
const LEASE: Duration = Duration::from_secs(10);

/// The parts of the plan as all processes see them.
#[derive(Debug, Default)]
struct Pool {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    first: u64,
    end: u64,
    holder: Option<(&'static str, Instant)>,
    done: BTreeSet<u64>,
    /// Who knows that it is done.
    known_to: Vec<&'static str>,
}

impl Part {
    fn is_done(&self) -> bool {
        self.done.len() as u64 == self.end - self.first
    }
}

impl Pool {
    fn new(steps: usize) -> Arc<Mutex<Self>> {
        let firsts = (0..steps as u64).step_by(PART as usize);
        let part = |first| Part {
            first,
            end: first + PART,
            holder: None,
            done: BTreeSet::new(),
            known_to: Vec::new(),
        };
        Arc::new(Mutex::new(Self { parts: firsts.map(part).collect() }))
    }

    fn take(&mut self, me: &'static str) -> Option<Claim> {
        if self.parts.iter().all(Part::is_done) {
            let news = self.parts.iter_mut().find(|part| !part.known_to.contains(&me));
            let Some(part) = news else { return Some(Claim::Over) };
            part.known_to.push(me);
            return Some(Claim::Elsewhere(part.done.iter().copied().collect()));
        }
        let now = Instant::now();
        let free =
            |part: &&mut Part| !part.is_done() && part.holder.is_none_or(|(_, until)| until <= now);
        let part = self.parts.iter_mut().find(free)?;
        part.holder = Some((me, now + LEASE));
        let done: Steps = part.done.iter().copied().collect();
        Some(Claim::Part { first: part.first, end: part.end, done })
    }
}

/// The work of one of the processes.
struct Sharing {
    work: Work,
    pool: Arc<Mutex<Pool>>,
    me: &'static str,
}

impl Job for Sharing {
    fn info(&self) -> JobInfo {
        JobInfo { shared: true, ..self.work.info() }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        self.work.remotes()
    }

    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        self.work.discover(context, plan)
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(async move {
            let applied = self.work.apply(context, batch).await?;
            let mut pool = self.pool.lock().expect("no test panics with the pool");
            for step in batch {
                let part = pool.parts.iter_mut().find(|part| step.number < part.end);
                part.expect("every step is in a part").done.insert(step.number);
            }
            Ok(applied)
        })
    }

    fn claim<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, Result<Claim, Failure>> {
        Box::pin(async {
            loop {
                let taken = self.pool.lock().expect("no test panics with the pool").take(self.me);
                if let Some(claim) = taken {
                    return Ok(claim);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    }
}

fn session(
    world: &World,
    plan: &windlass_engine::plan::Plan,
    files: Memory,
    pool: &Arc<Mutex<Pool>>,
    me: &'static str,
) -> impl Future<Output = windlass_engine::tally::Tally> + use<> {
    let mut run = Run::new(world, Change::Count, plan, files).expect("the journal is fresh");
    run.work.batch = 3;
    let pool = Arc::clone(pool);
    run.go_as(move |work| Arc::new(Sharing { work, pool, me }))
}

fn once_each(world: &World) {
    let state = world.state();
    assert!(state.objects.values().all(|count| *count == 1), "{:?}", state.objects);
}

#[tokio::test(start_paused = true)]
async fn two_processes_carry_a_plan_out_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), STEPS);
    let world = World::with((0..STEPS).map(key));
    let pool = Pool::new(STEPS);
    let one = session(&world, &plan, Memory::default(), &pool, "one");
    let other = session(&world, &plan, Memory::default(), &pool, "other");
    let (one, other) = tokio::join!(one, other);
    once_each(&world);
    assert_eq!((&one.ending, &other.ending), (&Some(Ending::Complete), &Some(Ending::Complete)));
    assert_eq!(one.counts.elsewhere, other.counts.done);
    assert_eq!(other.counts.elsewhere, one.counts.done);
    assert_eq!(one.counts.done + other.counts.done, STEPS as u64);
    assert!(one.counts.done > 0 && other.counts.done > 0, "both have work");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_dead_process_is_taken_over_without_what_it_had_done() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), STEPS);
    let world = World::with((0..STEPS).map(key));
    let pool = Pool::new(STEPS);
    {
        let mut pool = pool.lock().unwrap();
        let part = &mut pool.parts[1];
        part.holder = Some(("dead", Instant::now() + LEASE));
        part.done.extend([5, 7]);
        world.state().objects.extend([(key(5), 1), (key(7), 1)]);
    }
    let files = Memory::default();
    let tally = session(&world, &plan, files.clone(), &pool, "one").await;
    once_each(&world);
    assert_eq!(tally.ending, Some(Ending::Complete));
    assert_eq!((tally.counts.done, tally.counts.elsewhere), (38, 2));
    assert!(tally.elapsed() >= LEASE, "the dead one's part is waited for");
    // What others did is remembered: another session has nothing to do.
    let again = session(&world, &plan, files, &pool, "one").await;
    assert_eq!((again.counts.done, again.counts.elsewhere), (38, 2));
    once_each(&world);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_ends_the_run_resumable() {
    struct Broken(Work);
    impl Job for Broken {
        fn info(&self) -> JobInfo {
            JobInfo { shared: true, ..self.0.info() }
        }
        fn remotes(&self) -> Vec<Arc<Remote>> {
            self.0.remotes()
        }
        fn discover<'a>(
            &'a self,
            context: &'a Context,
            plan: &'a mut PlanWriter,
        ) -> BoxFuture<'a, Result<(), DiscoverError>> {
            self.0.discover(context, plan)
        }
        fn apply<'a>(
            &'a self,
            context: &'a Context,
            batch: &'a [Step],
        ) -> BoxFuture<'a, Result<Applied, Failure>> {
            self.0.apply(context, batch)
        }
        fn claim<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Claim, Failure>> {
            Box::pin(async { Err(Failure::new(windlass_engine::Kind::Away, "nobody is there")) })
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), STEPS);
    let world = World::with((0..STEPS).map(key));
    let run = Run::new(&world, Change::Count, &plan, Memory::default()).unwrap();
    let tally = run.go_as(|work| Arc::new(Broken(work))).await;
    assert!(matches!(tally.ending, Some(Ending::Fatal(_))), "{:?}", tally.ending);
    assert!(world.asked().is_empty(), "nothing is sent unclaimed");
}

#[test]
fn steps_of_others_are_counted_apart() {
    let text = r#"{"event":"elsewhere","steps":[1,[3,5]]}"#;
    let event: Event = serde_json::from_str(text).unwrap();
    assert_eq!(event, Event::Elsewhere { steps: [1, 3, 4, 5].into_iter().collect() });
}
