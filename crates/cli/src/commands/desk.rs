//! What every command that runs something needs: settings, screen, the folder of runs, and the
//! wires between a run and the world.

use crate::cli;
use crate::control::Listening;
use crate::display::{self, Output, Screen};
use crate::exit::{self, Error, Exit};
use crate::runs::{RunFolder, Runs};
use crate::settings::Settings;
use crate::signals;
use clap::ArgMatches;
use jiff::Timestamp;
use std::future::Future;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use windlass_connectors::transport::{NetworkOptions, Transport, check_base_url};
use windlass_connectors::{Connector, Opening, Secret, Setup};
use windlass_engine::clock::Clock;
use windlass_engine::plan::Plan;
use windlass_engine::report::Report;
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{Order, Session, SessionSettings, run};
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
    pub fn open(system: Option<&str>, matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = cli::program_flags(matches);
        if let Some(system) = system {
            flags.extend(cli::limit_flags(system, matches));
        }
        let settings = Settings::load(flags)?;
        let runs = Runs::open(&settings.state_dir()?)?;
        let show = cli::show_args(matches);
        let screen = Screen::detect(output(&settings), show.dashboard, show.debug, show.quiet);
        Ok(Self { settings, screen, runs, seed: fastrand::u64(..) })
    }

    /// What a job of this system is opened with.
    ///
    /// # Errors
    /// A wrong base URL, or no key.
    pub fn setup(&self, connector: &Connector, clock: Clock) -> Result<Setup, Error> {
        self.setup_with(connector, clock, self.key(connector)?)
    }

    /// The same with this key.
    ///
    /// # Errors
    /// A wrong base URL.
    pub fn setup_with(
        &self,
        connector: &Connector,
        clock: Clock,
        key: Secret,
    ) -> Result<Setup, Error> {
        let system = connector.name;
        let text = |name: &str| self.settings.text(&format!("{system}.{name}"));
        let base_url = check_base_url(text("base-url").unwrap_or(connector.base_url));
        let limits = self.settings.limits(system, self.seed);
        let idle_connections_max = usize::try_from(limits.concurrency()).unwrap_or(usize::MAX);
        let protect = self.settings.get(&format!("{system}.protect"));
        Ok(Setup {
            clock,
            base_url: base_url
                .map_err(|error| Error::new(Exit::Usage, error.to_string()).hint(error.hint()))?,
            key,
            transport: Transport::network(NetworkOptions {
                idle_connections_max,
                ..NetworkOptions::from_env()
            }),
            limits,
            now: Timestamp::now(),
            protect: protect.map(|value| value.texts.clone()).unwrap_or_default(),
        })
    }

    /// The key, from the environment or from the file that the settings name.
    fn key(&self, connector: &Connector) -> Result<Secret, Error> {
        if let Ok(text) = std::env::var(connector.key_variable)
            && !text.trim().is_empty()
        {
            return Ok(Secret::new(&text));
        }
        let missing = || {
            let what = format!("there is no key: {} is not set", connector.key_variable);
            Error::new(Exit::Usage, what).hint(format!(
                "set {} in the environment, or `key-file` in the settings; \
                 `windlass demo` needs none",
                connector.key_variable
            ))
        };
        let path = self.settings.text(&format!("{}.key-file", connector.name));
        let path = path.ok_or_else(missing)?;
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(Exit::Usage, format!("the key file {path} can't be read"))
                .because(&error)
                .hint("`key-file` in the settings names a file that holds the key and nothing else")
        })?;
        if text.trim().is_empty() { Err(missing()) } else { Ok(Secret::new(&text)) }
    }

    /// Applies what is left of a plan, shows it, and says how the program ends.
    ///
    /// # Errors
    /// When the run can't be begun: it is locked, or its journal is damaged.
    pub async fn work(
        &self,
        opening: Opening,
        plan: Plan,
        folder: &RunFolder,
        wires: Wires,
        retry_failed: bool,
    ) -> Result<Exit, Error> {
        let _lock = folder.lock()?;
        let (journal, recovered) = folder.journal(&plan.header)?;
        let header = plan.header.clone();
        let session = Session { plan, journal, recovered, retry_failed };
        let reporters = self.screen.reporters(&header, &wires.speak);
        let settings = SessionSettings { window: self.window(&opening), seed: self.seed };
        let control = Listening::open(folder);
        let mut ears = std::pin::pin!(listen(control, wires.speak));
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
        };
        // Whoever gave the order that ended the run is still to be told: the answer is ready.
        tokio::select! {
            biased;
            () = &mut ears => {}
            () = tokio::task::yield_now() => {}
        }
        let report = Report::new(&header, &tally);
        self.screen.summary(&report);
        Ok(exit::of_run(&tally))
    }

    fn window(&self, opening: &Opening) -> usize {
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

/// How things are shown, by the settings.
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
