//! A small remote in memory, a job over it, and one session of a run. The remote remembers every
//! request it saw and every answer that was delivered, and can be copied at any moment: what the
//! copy sees from then on is a crash of the program at that moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use windlass_engine::clock::Clock;
use windlass_engine::job::{BatchSpec, PhaseInfo};
use windlass_engine::journal::{Files, Journal, JournalError};
use windlass_engine::plan::{Draft, Plan, PlanWriter};
use windlass_engine::policy::backoff::Backoff;
use windlass_engine::remote::{ConcurrencySpec, OperationSpec, Remote, Spec};
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{
    DiscoverError, Order, Reporter, Session, SessionSettings, run as run_session,
};
use windlass_engine::tally::Tally;
use windlass_engine::{
    Applied, BoxFuture, Context, Event, Failure, Job, JobInfo, Kind, Outcome, Step,
};

/// What the remote is asked to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Take it away; doing it twice does no harm.
    Delete,
    /// Add one to it; doing it twice is wrong.
    Count,
}

/// One request that reached the remote's network.
#[derive(Clone, Debug)]
pub struct Request {
    /// The objects it is about.
    pub keys: Vec<String>,
    change: Change,
    /// What the remote did about each, once it did.
    landed: Option<Vec<bool>>,
    /// Whether its answer was delivered.
    pub answered: bool,
}

/// What the remote knows.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The objects with their counts.
    pub objects: BTreeMap<String, u64>,
    /// Every request, in the order of arrival.
    pub requests: Vec<Request>,
}

/// The remote. Clones are the same remote.
#[derive(Clone, Debug, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
}

impl World {
    /// A remote with these objects.
    pub fn with(keys: impl IntoIterator<Item = String>) -> Self {
        let world = Self::default();
        world.state().objects.extend(keys.into_iter().map(|key| (key, 0)));
        world
    }

    /// What it knows now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it looks at the remote")
    }

    /// The keys of all requests so far, in the order of arrival.
    pub fn asked(&self) -> Vec<String> {
        self.state().requests.iter().flat_map(|request| request.keys.clone()).collect()
    }

    async fn request(&self, keys: Vec<String>, change: Change) -> Vec<bool> {
        let number = {
            let requests = &mut self.state().requests;
            requests.push(Request { keys, change, landed: None, answered: false });
            requests.len() - 1
        };
        let half = Duration::from_millis(2 + (number as u64 * 7) % 5);
        tokio::time::sleep(half).await;
        let result = self.state().land(number);
        tokio::time::sleep(half).await;
        self.state().requests[number].answered = true;
        result
    }
}

impl State {
    /// The program is gone. What was on the wire takes effect now, or never will.
    pub fn crash(&mut self, lands: bool) {
        for number in 0..self.requests.len() {
            if lands {
                self.land(number);
            } else {
                self.requests[number].landed.get_or_insert_default();
            }
        }
    }

    /// Lets a request take effect, once.
    fn land(&mut self, number: usize) -> Vec<bool> {
        let request = &mut self.requests[number];
        if let Some(landed) = &request.landed {
            return landed.clone();
        }
        let objects = &mut self.objects;
        let change = |key: &String| match request.change {
            Change::Delete => objects.remove(key).is_some(),
            Change::Count => objects.get_mut(key).map(|count| *count += 1).is_some(),
        };
        let landed: Vec<bool> = request.keys.iter().map(change).collect();
        request.landed = Some(landed.clone());
        landed
    }
}

/// What a test makes of a batch instead of, or before, sending it.
pub type Twist =
    dyn Fn(&[Step]) -> BoxFuture<'static, Result<Option<Applied>, Failure>> + Send + Sync;

/// A job over the [`World`].
pub struct Work {
    /// The remote's gate.
    pub remote: Arc<Remote>,
    world: World,
    change: Change,
    /// How many steps one request carries.
    pub batch: usize,
    /// What to do before a batch is sent.
    pub twist: Option<Box<Twist>>,
    /// From when on every request is refused before it does anything.
    pub refused_from: Option<Instant>,
}

impl Work {
    fn admits(&self) -> Result<(), Failure> {
        match self.refused_from {
            Some(from) if Instant::now() >= from => Err(Failure::new(Kind::Denied, "status 401")),
            _ => Ok(()),
        }
    }
}

impl Job for Work {
    fn info(&self) -> JobInfo {
        let batch = BatchSpec { min: self.batch, ..BatchSpec::up_to(self.batch) };
        let phase = |name| PhaseInfo::bulk(name, 0, batch);
        JobInfo {
            system: "test",
            operation: "change",
            phases: PHASES.map(phase).to_vec(),
            idempotent: self.change == Change::Delete,
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
        _context: &'a Context,
        _plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(async { Err(Failure::new(Kind::Bug, "its plans are made by hand").into()) })
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(async move {
            if let Some(twist) = &self.twist
                && let Some(applied) = twist(batch).await?
            {
                return Ok(applied);
            }
            let keys: Vec<String> = batch.iter().map(|step| step.key.to_string()).collect();
            let in_doubt = batch.iter().any(|step| step.in_doubt);
            let answer = self.remote.call(context, 0, in_doubt, |attempt| {
                let keys = keys.clone();
                async move {
                    self.admits()?;
                    Ok((self.world.request(keys, self.change).await, attempt.in_doubt))
                }
            });
            let answer = answer.await?;
            let (results, in_doubt) = answer.value;
            let outcome = |changed: bool| match (changed, in_doubt) {
                (true, _) => Outcome::Done,
                (false, true) => Outcome::DoneConfirmed,
                (false, false) => Outcome::AlreadyGone,
            };
            Ok(Applied {
                outcomes: results.into_iter().map(outcome).collect(),
                latency: answer.latency,
                attempts: answer.attempts,
                status: Some(200),
                request_id: None,
            })
        })
    }

    fn settle<'a>(
        &'a self,
        context: &'a Context,
        step: &'a Step,
    ) -> BoxFuture<'a, Result<Option<Outcome>, Failure>> {
        Box::pin(async move {
            let ask = |_| async {
                self.admits()?;
                tokio::time::sleep(Duration::from_millis(3)).await;
                Ok(self.world.state().objects.get(&*step.key).copied().unwrap_or_default())
            };
            let count = self.remote.call(context, 1, false, ask).await?.value;
            Ok((count > 0).then_some(Outcome::DoneConfirmed))
        })
    }
}

const PHASES: [&str; 2] = ["first", "second"];

/// A plan over the keys `k000` and so on, the second half of them in a second phase.
pub fn plan(folder: &Path, steps: usize) -> Plan {
    let path = folder.join("plan.jsonl");
    let draft = Draft {
        id: "run".into(),
        system: "test".into(),
        operation: "change".into(),
        account: "f00d".into(),
        base_url: "memory".into(),
        created_unix_ms: 0,
        options: serde_json::Value::Null,
        phases: PHASES.map(str::to_owned).to_vec(),
    };
    let mut writer = PlanWriter::create(&path, draft).expect("the folder is there");
    let object = serde_json::value::to_raw_value(&()).expect("nothing is JSON");
    for number in 0..steps {
        if number == steps / 2 {
            writer.enter_phase(1);
        }
        writer.push(&key(number), "a label", &object).expect("the disk has room");
    }
    writer.finish().expect("the disk has room");
    Plan::open(&path).expect("it was just written")
}

/// The key of a step.
pub fn key(number: usize) -> String {
    format!("k{number:03}")
}

/// One session of a run, ready to go.
pub struct Run {
    /// The job.
    pub work: Work,
    /// The plan with its journal.
    pub session: Session,
    /// Batches at once.
    pub window: usize,
    /// What the job is given.
    pub context: Context,
    /// Takes orders.
    pub orders: mpsc::Sender<Order>,
    /// Who watches.
    pub reporters: Vec<Box<dyn Reporter>>,
    signals: mpsc::Receiver<Event>,
    obeys: mpsc::Receiver<Order>,
}

impl Run {
    /// Opens the journal, new or old, for a session over this remote.
    ///
    /// # Errors
    /// What the journal says.
    pub fn new(
        world: &World,
        change: Change,
        plan: &Plan,
        files: impl Files + 'static,
    ) -> Result<Self, JournalError> {
        let (journal, recovered) = Journal::open(Box::new(files), &plan.header)?;
        let clock = Clock::start();
        let (sender, signals) = mpsc::channel(16);
        let (orders, obeys) = mpsc::channel(16);
        let work = Work {
            remote: Arc::new(Remote::new(clock, spec(change))),
            world: world.clone(),
            change,
            batch: 1,
            twist: None,
            refused_from: None,
        };
        Ok(Self {
            work,
            session: Session {
                plan: plan.clone(),
                listing: None,
                journal,
                recovered,
                retry_failed: false,
            },
            window: 4,
            context: Context { clock, stop: Stop::default(), signals: sender },
            orders,
            reporters: Vec::new(),
            signals,
            obeys,
        })
    }

    /// Runs the session to its end.
    pub async fn go(self) -> Tally {
        self.go_as(Arc::new).await
    }

    /// Runs the session with a job made from this one.
    pub async fn go_as<J: Job + 'static>(self, job: impl FnOnce(Work) -> Arc<J>) -> Tally {
        let settings = SessionSettings { window: self.window, seed: 1 };
        // The orders' sender stays alive, as it does in the program.
        let _orders = self.orders;
        let job: Arc<dyn Job> = job(self.work);
        run_session(
            job,
            self.session,
            settings,
            self.context,
            self.signals,
            self.obeys,
            self.reporters,
        )
        .await
    }
}

/// The remote's limits.
pub fn spec(change: Change) -> Spec {
    let operation =
        |name, idempotent| OperationSpec { idempotent, ..OperationSpec::new(name, &[]) };
    Spec {
        name: "memory",
        windows: Vec::new(),
        operations: vec![operation("change", change == Change::Delete), operation("ask", true)],
        concurrency: ConcurrencySpec::Fixed(3),
        rate: None,
        smooth: false,
        timeout: Duration::from_secs(5),
        retries: 2,
        backoff: Backoff::default(),
        deadline: Duration::from_secs(100),
        seed: 1,
    }
}
