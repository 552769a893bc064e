//! What every command that runs something needs: settings, screen, the folder of runs, and the
//! wires between a run and the world.

use super::setup::setup;
use crate::cli;
use crate::control::Listening;
use crate::display::metrics::Metrics;
use crate::display::{self, Output, Screen};
use crate::exit::{self, Error, Exit};
use crate::load;
use crate::runs::{Planned, RunFolder, Runs};
use crate::settings::{Keys, Settings};
use crate::signals;
use clap::ArgMatches;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use windlass_connectors::{Connector, Opening, Setup};
use windlass_engine::clock::Clock;
use windlass_engine::job::Job;
use windlass_engine::plan::Header;
use windlass_engine::report::Report;
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{Order, Reporter, Session, SessionSettings, run};
use windlass_engine::{Context, Event};

/// Signals on their way to the dispatcher; a full channel makes senders wait.
const SIGNALS_MAX: usize = 1024;
/// Orders on their way to the dispatcher.
const ORDERS_MAX: usize = 32;
/// Batches begun and not settled, for each request that may be on the wire: one that is sent and
/// one that is ready to follow it, or waits for its next attempt.
const BATCHES_PER_REQUEST: usize = 2;

/// Settings, screen and runs of one command.
pub struct Desk {
    /// The settings with this command's flags.
    pub settings: Settings,
    /// How things are shown.
    pub screen: Screen,
    /// The kept runs.
    pub runs: Runs,
    /// Where the figures of a run are kept, if anywhere.
    metrics_file: Option<PathBuf>,
    seed: u64,
}

/// The ends of the channels of one process, and what its jobs are given.
pub struct Wires {
    /// For the job.
    pub context: Context,
    /// What happened.
    pub signals: Receiver<Event>,
    /// What people say.
    pub orders: Receiver<Order>,
    /// The other end of `orders`.
    pub speak: Sender<Order>,
}

impl Wires {
    /// New channels, on a clock that starts now.
    pub fn new() -> Self {
        let (sender, signals) = channel(SIGNALS_MAX);
        let (speak, orders) = channel(ORDERS_MAX);
        let context = Context { clock: Clock::start(), stop: Stop::default(), signals: sender };
        Self { context, signals, orders, speak }
    }
}

impl Desk {
    /// Reads the settings for a command on this system.
    ///
    /// # Errors
    /// Wrong settings, or a state directory that can't be used.
    pub fn open(connector: Option<&Connector>, matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = cli::program_flags(matches);
        if let Some(connector) = connector {
            flags.extend(cli::system_flags(connector, matches));
        }
        let settings = Settings::load(flags)?;
        let runs = Runs::open(&settings.state_dir()?)?;
        let screen = screen(&settings, matches);
        let metrics_file = cli::show_args(matches).metrics_file;
        Ok(Self { settings, screen, runs, metrics_file, seed: fastrand::u64(..) })
    }

    /// What a job of this system is opened with.
    ///
    /// # Errors
    /// A wrong base URL, or no key.
    pub fn setup(&self, connector: &Connector, clock: Clock) -> Result<Setup, Error> {
        self.setup_with(connector, clock, self.settings.keys(connector)?)
    }

    /// The same with these keys.
    ///
    /// # Errors
    /// A wrong base URL.
    pub fn setup_with(
        &self,
        connector: &Connector,
        clock: Clock,
        keys: Keys,
    ) -> Result<Setup, Error> {
        setup(&self.settings, connector, clock, keys, self.seed)
    }

    /// How a job is shown: one that writes data to standard output has it for itself.
    #[must_use]
    pub fn screen_for(&self, opening: &Opening) -> Screen {
        if opening.data_on_stdout { self.screen.beside_data() } else { self.screen }
    }

    /// The readers of a run. They have to be dropped before anything else is printed.
    fn reporters(
        &self,
        plan: &Header,
        opening: &Opening,
        orders: &Sender<Order>,
    ) -> Vec<Box<dyn Reporter>> {
        // It may have something to say, so it comes before what takes the terminal.
        let metrics = self.metrics_file.as_ref().map(|path| Metrics::new(plan, path));
        let expected = display::expected(&opening.job.info());
        let mut reporters = self.screen_for(opening).reporters(plan, &expected, orders);
        reporters.extend(metrics.map(|metrics| Box::new(metrics) as Box<dyn Reporter>));
        reporters
    }

    /// Applies what is left of a plan, shows it, and says how the program ends.
    ///
    /// # Errors
    /// When the run can't be begun: it is locked, or its journal is damaged.
    pub async fn work(
        &self,
        opening: Opening,
        planned: Planned,
        folder: &RunFolder,
        wires: Wires,
        retry_failed: bool,
    ) -> Result<Exit, Error> {
        let _lock = folder.lock()?;
        let Planned { plan, listing } = planned;
        let (journal, recovered) = folder.journal(&plan.header)?;
        let header = plan.header.clone();
        let session = Session { plan, listing, journal, recovered, retry_failed };
        let screen = self.screen_for(&opening);
        let reporters = self.reporters(&header, &opening, &wires.speak);
        let settings = SessionSettings { window: self.window(&opening), seed: self.seed };
        let control = Listening::open(folder);
        let mut ears = std::pin::pin!(listen(control, wires.speak));
        let (job, context) = (Arc::clone(&opening.job), wires.context.clone());
        let watching = self.watch(&header.system, &*job, &context);
        let work = run(
            opening.job,
            session,
            settings,
            wires.context,
            wires.signals,
            wires.orders,
            reporters,
        );
        let tally = tokio::select! {
            tally = work => tally,
            () = &mut ears => unreachable!("ears listen for ever"),
            () = watching => unreachable!("the machine is watched for ever"),
        };
        // Whoever gave the order that ended the run is still to be told: the answer is ready.
        tokio::select! {
            biased;
            () = &mut ears => {}
            () = tokio::task::yield_now() => {}
        }
        let report = Report::new(&header, &tally);
        screen.summary(&report);
        Ok(exit::of_run(&tally))
    }

    /// Watches what the run takes of this machine, by the settings of its system.
    async fn watch(&self, system: &str, job: &dyn Job, context: &Context) {
        let cpu = self.settings.cpu_limit(system);
        let bounds = load::Bounds { cpu, memory: self.settings.memory_limit(system) };
        match load::Meter::new() {
            Ok((mut meter, machine)) => {
                load::watch(job, context, bounds, machine, || meter.measure()).await;
            }
            Err(error) => {
                let message = format!("the load of this machine is not watched: {error}");
                context.signal(Event::Warning { message }).await;
                std::future::pending().await
            }
        }
    }

    fn window(&self, opening: &Opening) -> usize {
        if let Some(window) = opening.job.info().window {
            return window;
        }
        let remotes = opening.job.remotes();
        let most = remotes.iter().map(|remote| remote.meter().concurrency).max().unwrap_or(1);
        usize::try_from(most).unwrap_or(usize::MAX).saturating_mul(BATCHES_PER_REQUEST)
    }
}

/// Signals and the control socket, for as long as it is polled. A folder that takes no socket
/// costs the run its remote control and nothing else.
async fn listen(control: std::io::Result<Listening>, speak: Sender<Order>) {
    let socket = async {
        match &control {
            Ok(listening) => listening.serve(speak.clone()).await,
            Err(error) => {
                display::note(&format!("no control from other terminals: {error}"));
                std::future::pending().await
            }
        }
    };
    tokio::join!(socket, signals::forward(speak.clone()));
}

/// How things are shown, by the settings and the arguments of a command.
pub fn screen(settings: &Settings, matches: &ArgMatches) -> Screen {
    let show = cli::show_args(matches);
    Screen::detect(output(settings), show.dashboard, show.watch.debug, show.watch.quiet)
}

/// What goes to standard output, by the settings.
pub fn output(settings: &Settings) -> Output {
    match settings.text("output") {
        Some("json") => Output::Json,
        _ => Output::Text,
    }
}

/// Runs a future to its end on this thread. A thread that is stuck in reading the terminal does
/// not hold the program up.
///
/// # Errors
/// When the system gives no timers or sockets, or what the future says.
pub fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Error::new(Exit::Bug, "the system gives no timers or sockets").because(&error)
    })?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}
