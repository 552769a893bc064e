//! Opens jobs as the command line does, discovers into a plan on disk, applies it on a journal in
//! memory, and hands back everything that was said.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clap::Command as ClapCommand;
use http::{Request, Response};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use windlass_connectors::limits::{Limits, Profile};
use windlass_connectors::transport::Transport;
use windlass_connectors::workos::sim::{Options, WorkosSim};
use windlass_connectors::{
    Answered, Connector, OpenError, Opened, Opening, QueryError, Secret, Setup, find, leaf,
};
use windlass_engine::clock::Clock;
use windlass_engine::event::Stamped;
use windlass_engine::job::{Context, Job, Outcome};
use windlass_engine::journal::{Journal, Memory, Recovered};
use windlass_engine::plan::{Draft, Left, Line, Plan, PlanWriter};
use windlass_engine::remote::Meter;
use windlass_engine::report::Report;
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{
    Command, DiscoverError, Order, Reporter, Session, SessionSettings, discover, run,
};
use windlass_engine::tally::Tally;
use windlass_engine::{Event, Moment};
use windlass_sim::{Answer, DynSimulator};

/// The key that the simulators accept.
pub const KEY: &str = "sk_test_simulated";
/// The wall clock of all plans.
pub const NOW: &str = "2026-01-15T12:00:00Z";
/// Takes in every day of the generated objects.
pub const ALL_DAYS: [&str; 3] = ["delete", "2005-12-10", "2005-12-31"];

/// A remote with an operator in front of it.
pub struct Stage {
    pub connector: &'static Connector,
    pub transport: Transport,
    pub key: String,
    pub limits: Limits,
    pub protect: Vec<String>,
    /// Another place of the API than the connector's own.
    pub base_url: Option<String>,
    /// Whose key it is.
    pub identity: Option<String>,
    /// The key to a second account.
    pub other_key: Option<String>,
    /// The settings that only this system has.
    pub settings: BTreeMap<String, String>,
    /// Whether runs keep their events; a run of 100,000 steps has 200,000 of them.
    pub keep_events: bool,
    folder: TempDir,
    plans: Cell<u32>,
}

/// The limits of `--profile maximum` and nothing else.
pub fn maximum() -> Limits {
    Limits {
        profile: Profile::Maximum,
        rate: None,
        full_rate: Some(50.0),
        reserve: 0.0,
        quotas: Vec::new(),
        concurrency: None,
        timeout: Duration::from_secs(30),
        retries: 5,
        deadline: Duration::from_secs(900),
        smooth: false,
        seed: 7,
    }
}

/// A WorkOS with an operator in front of it.
pub fn workos(options: Options) -> (Arc<WorkosSim>, Stage) {
    let sim = Arc::new(WorkosSim::new(options).unwrap());
    let stage = Stage::new("workos", Transport::in_process(Arc::clone(&sim) as Arc<_>), KEY);
    (sim, stage)
}

impl Stage {
    pub fn new(system: &str, transport: Transport, key: &str) -> Self {
        Self {
            connector: find(system).unwrap(),
            transport,
            key: key.to_owned(),
            limits: maximum(),
            protect: Vec::new(),
            base_url: None,
            identity: None,
            other_key: None,
            settings: BTreeMap::new(),
            keep_events: true,
            folder: tempfile::tempdir().unwrap(),
            plans: Cell::new(0),
        }
    }

    /// The same with these values of `--quota`.
    pub fn quotas(mut self, quotas: &[&str]) -> Self {
        self.limits.quotas = quotas.iter().map(|text| text.parse().unwrap()).collect();
        self
    }

    pub fn setup(&self) -> Setup {
        Setup {
            clock: Clock::start(),
            limits: self.limits.clone(),
            base_url: self.base_url.as_deref().unwrap_or(self.connector.base_url).parse().unwrap(),
            key: Secret::new(&self.key),
            identity: self.identity.clone(),
            other_key: self.other_key.as_deref().map(Secret::new),
            settings: self.settings.clone(),
            json: false,
            transport: self.transport.clone(),
            now: NOW.parse().unwrap(),
            protect: self.protect.clone(),
            state_folder: None,
        }
    }

    /// Where a file beside the plans is or may be.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file beside the plans, such as one for `--exclude-file`.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Opens the job of a command line. Its first word, the top-level command, is left out where
    /// the system has just one.
    pub async fn open(&self, setup: &Setup, words: &[&str]) -> Result<Opening, OpenError> {
        match self.open_any(setup, words).await {
            Ok(Opened::Job(opening)) => Ok(opening),
            Ok(Opened::Query(_) | Opened::Server(_)) => panic!("{words:?} is a query"),
            Err(QueryError::Usage(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn open_any(&self, setup: &Setup, words: &[&str]) -> Result<Opened, QueryError> {
        let commands = (self.connector.commands)();
        let mut line = vec!["windlass".to_owned()];
        if let [only] = &commands[..] {
            line.push(only.get_name().to_owned());
        }
        line.extend(words.iter().map(|&word| word.to_owned()));
        let command = ClapCommand::new("windlass").subcommands(commands);
        let matches = command.try_get_matches_from(line).unwrap_or_else(|e| panic!("{e}"));
        let (path, matches) = leaf(&matches);
        let (context, signals) = context(setup);
        let _heard = hear(signals);
        (self.connector.open)(setup, &context, &path, matches).await
    }

    /// The answer to a command line that is a question: what is said beside it, and its bytes.
    pub async fn ask(&self, words: &[&str]) -> Result<(Answered, Vec<u8>), QueryError> {
        let setup = self.setup();
        let Opened::Query(mut query) = self.open_any(&setup, words).await? else {
            panic!("{words:?} is a job")
        };
        let (context, signals) = context(&setup);
        let _heard = hear(signals);
        let mut out = Vec::new();
        let answered = query.run(&context, &mut out).await?;
        Ok((answered, out))
    }

    /// A question whose answer is text.
    pub async fn text(&self, words: &[&str]) -> String {
        let (_, out) = self.ask(words).await.unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8(out).unwrap()
    }

    /// The plan of a command line.
    pub async fn plan(&self, words: &[&str]) -> Result<Plan, DiscoverError> {
        self.plan_with(words, Vec::new()).await
    }

    /// The same while somebody watches.
    pub async fn plan_with(
        &self,
        words: &[&str],
        mut reporters: Vec<Box<dyn Reporter>>,
    ) -> Result<Plan, DiscoverError> {
        let setup = self.setup();
        let opening = self.open(&setup, words).await.unwrap_or_else(|error| panic!("{error}"));
        let (path, writer) = self.writer(&setup, &opening);
        let (context, mut signals) = context(&setup);
        let (_orders, mut orders) = mpsc::channel(1);
        let job = opening.job;
        discover(&*job, &context, writer, &mut signals, &mut orders, &mut reporters).await?;
        Ok(Plan::open(&path).unwrap())
    }

    fn writer(&self, setup: &Setup, opening: &Opening) -> (PathBuf, PlanWriter) {
        let number = self.plans.get();
        self.plans.set(number + 1);
        let path = self.folder.path().join(format!("{number}.plan"));
        let info = opening.job.info();
        let draft = Draft {
            id: format!("run-{number}"),
            system: info.system.to_owned(),
            operation: info.operation.to_owned(),
            account: opening.account.clone(),
            base_url: setup.base_url.to_string(),
            created_unix_ms: u64::try_from(setup.now.as_millisecond()).unwrap(),
            options: opening.options.clone(),
            phases: info.phases.iter().map(|phase| phase.name.to_string()).collect(),
        };
        let writer = PlanWriter::create(&path, draft).unwrap();
        (path, writer)
    }

    /// Carries out a command line that begins while it still lists, and hands back its plan, too.
    pub async fn stream(&self, words: &[&str]) -> (Plan, Run) {
        let (path, run) = self.stream_part(words, Applying::default()).await;
        (Plan::open(&path).unwrap(), run)
    }

    /// The same, where it may not come to its end: hands back where its plan is or will be.
    pub async fn stream_part(&self, words: &[&str], applying: Applying<'_>) -> (PathBuf, Run) {
        let setup = self.setup();
        let opening = self.open(&setup, words).await.unwrap_or_else(|error| panic!("{error}"));
        let (path, mut writer) = self.writer(&setup, &opening);
        writer.grow().unwrap();
        let plan = writer.growing();
        let run = self.work(&setup, opening.job, plan, Some(writer), applying).await;
        (path, run)
    }

    /// Goes on with a stream, whether its listing came to an end or not.
    pub async fn resume_stream(&self, path: &Path, journal: &Memory) -> Run {
        let applying = Applying { journal: journal.clone(), ..Applying::default() };
        if path.exists() {
            return self.session(&Plan::open(path).unwrap(), applying).await;
        }
        let setup = self.setup();
        let mut writer = PlanWriter::reopen(path).unwrap();
        writer.grow().unwrap();
        let plan = writer.growing();
        let job = self.reopen(&setup, &plan, &[]);
        self.work(&setup, job, plan, Some(writer), applying).await
    }

    /// Whether a plan or a part of one lies on the disk.
    pub fn plans_on_disk(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".plan")).count()
    }

    /// Applies a plan on a fresh journal.
    pub async fn apply(&self, plan: &Plan) -> Run {
        self.session(plan, Applying::default()).await
    }

    /// Applies a plan with guards named on the command line.
    pub async fn apply_guarded(&self, plan: &Plan, guards: &[&str]) -> Run {
        self.session(plan, Applying { guards, ..Applying::default() }).await
    }

    /// Goes on with a run.
    pub async fn resume(&self, plan: &Plan, journal: &Memory) -> Run {
        self.session(plan, Applying { journal: journal.clone(), ..Applying::default() }).await
    }

    /// Opens the job of a plan.
    pub fn reopen(&self, setup: &Setup, plan: &Plan, guards: &[&str]) -> Arc<dyn Job> {
        let command: ClapCommand = (self.connector.guards)();
        let words = [&["guards"], guards].concat();
        let matches = command.try_get_matches_from(words).unwrap_or_else(|e| panic!("{e}"));
        (self.connector.reopen)(setup, &plan.header, &matches).unwrap().job
    }

    /// One session of a run.
    pub async fn session(&self, plan: &Plan, applying: Applying<'_>) -> Run {
        let setup = self.setup();
        let job = self.reopen(&setup, plan, applying.guards);
        self.work(&setup, job, plan.clone(), None, applying).await
    }

    async fn work(
        &self,
        setup: &Setup,
        job: Arc<dyn Job>,
        plan: Plan,
        listing: Option<PlanWriter>,
        applying: Applying<'_>,
    ) -> Run {
        let journal = applying.journal;
        let (open, recovered) = if journal.content().is_empty() {
            let fresh = Journal::create(Box::new(journal.clone()), &plan.header).unwrap();
            (fresh, Recovered::nothing(&plan.header))
        } else {
            Journal::open(Box::new(journal.clone()), &plan.header).unwrap()
        };
        let header = plan.header.clone();
        let session = Session {
            plan,
            listing,
            journal: open,
            recovered,
            retry_failed: applying.retry_failed,
        };
        let window = job.info().window.unwrap_or(2 * setup.limits.concurrency() as usize);
        let settings = SessionSettings { window, seed: setup.limits.seed };
        let (context, signals) = context(setup);
        let (say, orders) = mpsc::channel(8);
        let events = Arc::new(Mutex::new(Vec::new()));
        let mut reporters: Vec<Box<dyn Reporter>> = vec![Box::new(At { acts: applying.at, say })];
        if self.keep_events {
            reporters.push(Box::new(Recorder(Arc::clone(&events))));
        }
        let tally = run(job, session, settings, context, signals, orders, reporters).await;
        let took = setup.clock.now().saturating_since(Moment::ZERO);
        let events = std::mem::take(&mut *events.lock().unwrap());
        Run { report: Report::new(&header, &tally), tally, events, journal, took }
    }
}

/// Takes in what is said while nobody reports it, until the task is dropped with its runtime.
fn hear(mut signals: mpsc::Receiver<Event>) -> JoinHandle<()> {
    tokio::spawn(async move { while signals.recv().await.is_some() {} })
}

fn context(setup: &Setup) -> (Context, mpsc::Receiver<Event>) {
    let (signals, receiver) = mpsc::channel(256);
    (Context { clock: setup.clock, stop: Stop::default(), signals }, receiver)
}

/// How a plan is applied.
#[derive(Default)]
pub struct Applying<'a> {
    /// The words of the guards.
    pub guards: &'a [&'a str],
    /// Where the journal is; what it remembers is not done again.
    pub journal: Memory,
    /// What happens once so many steps have their outcome.
    pub at: Vec<(u64, Act)>,
    /// Whether failed steps are tried again.
    pub retry_failed: bool,
}

/// What happens in the middle of a run.
pub enum Act {
    /// Somebody gives an order.
    Order(Command),
    /// Something happens at the remote.
    Do(Box<dyn FnOnce() + Send>),
}

/// Makes things happen once so many steps have their outcome.
struct At {
    acts: Vec<(u64, Act)>,
    say: mpsc::Sender<Order>,
}

impl Reporter for At {
    fn event(&mut self, _stamped: &Stamped, tally: &Tally) {
        let settled = tally.counts.settled();
        for (_, act) in self.acts.extract_if(.., |(at, _)| *at <= settled) {
            match act {
                Act::Order(command) => self.say.try_send(Order::new(command, "interrupt")).unwrap(),
                Act::Do(act) => act(),
            }
        }
    }

    fn tick(&mut self, _now: Moment, _tally: &Tally, _meter: &Meter) {}
}

/// Keeps every event.
pub struct Recorder(pub Arc<Mutex<Vec<Stamped>>>);

impl Reporter for Recorder {
    fn event(&mut self, stamped: &Stamped, _tally: &Tally) {
        self.0.lock().unwrap().push(stamped.clone());
    }

    fn tick(&mut self, _now: Moment, _tally: &Tally, _meter: &Meter) {}
}

/// A session with everything that was said of it.
pub struct Run {
    pub tally: Tally,
    pub report: Report,
    pub events: Vec<Stamped>,
    pub journal: Memory,
    /// Virtual time.
    pub took: Duration,
}

impl Run {
    /// The outcomes of this session in their order: step, key, outcome.
    pub fn outcomes(&self) -> Vec<(u64, String, Outcome)> {
        let settled = self.events.iter().filter_map(|stamped| match &stamped.event {
            Event::Settled { steps, .. } => Some(steps),
            _ => None,
        });
        let steps = settled.flatten();
        steps.map(|one| (one.step, one.key.to_string(), one.outcome.clone())).collect()
    }

    /// Everything that was said, as text.
    pub fn said(&self) -> String {
        let events = serde_json::to_string(&self.events).unwrap();
        let report = serde_json::to_string(&self.report).unwrap();
        let journal = String::from_utf8(self.journal.content()).unwrap();
        format!("{events}\n{report}\n{journal}\n{:?}", self.tally)
    }
}

/// The keys of a plan's steps, in their order.
pub fn keys(plan: &Plan) -> Vec<String> {
    let mut lines = plan.lines().unwrap();
    let mut keys = Vec::new();
    while let Some(step) = lines.next_step().unwrap() {
        keys.push(step.key.into());
    }
    keys
}

/// What a plan leaves alone.
pub fn left(plan: &Plan) -> Vec<Left> {
    let mut lines = plan.lines().unwrap();
    let mut left = Vec::new();
    while let Some(line) = lines.next_line().unwrap() {
        if let Line::Left(one) = line {
            left.push(one);
        }
    }
    left
}

/// A way to a remote with a doorman in front of it, who looks at every request: `Some` is his own
/// answer, `None` lets it pass.
pub fn door<F>(remote: Arc<dyn DynSimulator>, look: F) -> Transport
where
    F: Fn(&Request<Bytes>) -> Option<Response<Bytes>> + Send + Sync + 'static,
{
    Transport::in_process(Arc::new(Door { remote, look }))
}

struct Door<F> {
    remote: Arc<dyn DynSimulator>,
    look: F,
}

impl<F> DynSimulator for Door<F>
where
    F: Fn(&Request<Bytes>) -> Option<Response<Bytes>> + Send + Sync + 'static,
{
    fn call_boxed(&self, request: Request<Bytes>) -> Answer<'_> {
        match (self.look)(&request) {
            Some(answer) => Box::pin(async { Ok(answer) }),
            None => self.remote.call_boxed(request),
        }
    }
}

/// An answer with a JSON body.
pub fn json(status: u16, body: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}
