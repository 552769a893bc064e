//! From the gateway's file to a gateway that can serve: everything that can be wrong is found here,
//! before the first event is taken in.

use super::{Destination, Feed, Gateway, Machine, Running, budgets, front};
use crate::connector::{OpenError, Setup};
use crate::observe::args::ServeArgs;
use crate::observe::costs::Costs;
use crate::observe::destinations::{self, Forwarder, ForwarderMeter, Opening};
use crate::observe::flags::Flags;
use crate::observe::hold::Hold;
use crate::observe::ledger::Ledger;
use crate::observe::letters::Letterbox;
use crate::observe::mask::Masks;
use crate::observe::pipeline::Pipeline;
use crate::observe::policy::{CounterStore, Policies};
use crate::observe::price::{self, Prices, money};
use crate::observe::queue::{OnDamage, Options, Queue, QueueError, WhenFull};
use crate::observe::reload::{Reloader, Troubles};
use crate::observe::routes::Route;
use crate::observe::sample::Rules;
use crate::observe::settings::{self, Environment, Precedence, Settings, from_environment};
use crate::observe::status::HeldStatus;
use crate::observe::switches::Switches;
use crate::transport::Transport;
use arc_swap::ArcSwap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use windlass_engine::Context;
use windlass_engine::clock::{Clock, unix_millis};
use windlass_engine::runner::stop::Stop;

/// The queue of what is held may take this part of the queue's size.
const HOLD_PART: u64 = 4;
/// Signals of one destination on their way to its counters.
const SIGNALS_MAX: usize = 256;

/// What a gateway is made with, besides its settings.
pub(in crate::observe) struct With<'a> {
    /// The folder of the queue, the dead letters and the database.
    pub(in crate::observe) folder: &'a Path,
    /// The time of destinations.
    pub(in crate::observe) clock: Clock,
    /// The way to them.
    pub(in crate::observe) transport: &'a Transport,
    /// Where secrets are.
    pub(in crate::observe) environment: &'a Environment,
    /// The seed of the jitter.
    pub(in crate::observe) seed: u64,
    /// What becomes of damage in the queue.
    pub(in crate::observe) on_damage: OnDamage,
    /// Destinations whose backlog is given up.
    pub(in crate::observe) forget: &'a [String],
}

/// Opens a gateway.
///
/// # Errors
/// When what it is told makes no sense, or its port, folder or database can't be used.
pub(in crate::observe) async fn open(
    setup: &Setup,
    args: &ServeArgs,
    environment: &Environment,
) -> Result<Gateway, OpenError> {
    let settings = settings_of(setup, environment)?;
    let folder = folder(&settings, setup)?;
    let listener = listen(&settings)?;
    let with = With {
        folder: &folder,
        clock: setup.clock,
        transport: &setup.transport,
        environment,
        seed: setup.limits.seed,
        on_damage: if args.skip_damage { OnDamage::Skip } else { OnDamage::Stop },
        forget: &args.forget,
    };
    let (running, feeds) = assemble(&settings, &with).await?;
    let doors = front::open(&settings, environment, &running)?;
    Ok(Gateway {
        warnings: warnings(&settings, &running),
        hold: Hold::new(Arc::clone(&running)),
        reloader: Reloader::new(Arc::clone(&running), &settings, &folder, setup.transport.clone()),
        context: unheard(setup.clock),
        settings,
        listener,
        folder,
        running,
        feeds,
        doors,
    })
}

/// A context whose signals nobody waits for.
pub(in crate::observe) fn unheard(clock: Clock) -> Context {
    let (signals, _) = mpsc::channel(1);
    Context { clock, stop: Stop::default(), signals }
}

/// Opens everything but the doors.
///
/// # Errors
/// When what the settings say can't be used.
pub(in crate::observe) async fn assemble(
    settings: &Settings,
    with: &With<'_>,
) -> Result<(Arc<Running>, Vec<Feed>), OpenError> {
    let queue = queue(settings, with).await?;
    let hold = hold_queue(settings, with)?;
    let counters = budgets::restored(with.folder);
    let pipeline = pipeline(settings, queue.clone(), hold, &counters)?;
    let dead_letters = dead_letters(with.folder)?;
    let (destinations, feeds) = feeds(settings, with, &queue, &dead_letters).await?;
    let running = Arc::new(Running {
        pipeline,
        troubles: Troubles::default(),
        dead_letters,
        destinations,
        held: Mutex::new(HeldStatus::default()),
        machine: Machine::new(),
        started_ms: unix_millis(),
        queue_bytes_max: settings.queue.bytes,
        hold_bytes_max: settings.queue.bytes / HOLD_PART,
    });
    Ok((running, feeds))
}

/// What the gateway's file says, and what is said besides.
///
/// # Errors
/// When the file can't be read or makes no sense.
pub(in crate::observe) fn settings_of(
    setup: &Setup,
    environment: &Environment,
) -> Result<Settings, OpenError> {
    let mut settings = match setup.setting("config") {
        Some(path) => Settings::read(Path::new(path))?,
        None => from_environment(environment),
    };
    let listen = setup.setting("listen").and_then(|text| text.parse().ok());
    settings.listen = listen.unwrap_or(settings.listen);
    settings.folder = setup.setting("folder").map(PathBuf::from).or(settings.folder);
    Ok(settings)
}

/// The folder that a gateway keeps things in.
///
/// # Errors
/// When nothing names one, or it can't be made.
pub(in crate::observe) fn folder(settings: &Settings, setup: &Setup) -> Result<PathBuf, OpenError> {
    let folder =
        settings.folder.clone().or_else(|| setup.state_folder.clone()).ok_or_else(|| {
            let what = "there is no place for the queue";
            OpenError::usage(what, "name a folder that lasts: --folder DIR")
        })?;
    fs::create_dir_all(&folder).map_err(|error| {
        let what = format!("can't make the folder {}: {error}", folder.display());
        OpenError::usage(what, "name a folder that can be written: --folder DIR")
    })?;
    Ok(folder)
}

fn listen(settings: &Settings) -> Result<TcpListener, OpenError> {
    let listener = TcpListener::bind(settings.listen).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let what = format!("can't listen on {}: {error}", settings.listen);
        OpenError::usage(what, "another address may be free: --listen 127.0.0.1:0 takes any")
    })
}

async fn queue(settings: &Settings, with: &With<'_>) -> Result<Queue, OpenError> {
    let names: Vec<&str> = settings.destinations.iter().map(|one| one.name.as_str()).collect();
    let options = Options {
        bytes_max: settings.queue.bytes,
        when_full: match settings.queue.when_full {
            settings::WhenFull::Refuse => WhenFull::Refuse,
            settings::WhenFull::DropOldest => WhenFull::DropOldest,
            settings::WhenFull::DropByPriority => WhenFull::DropByPriority,
        },
        on_damage: with.on_damage,
        ..Options::default()
    };
    let queue = Queue::open(&with.folder.join("queue"), options, &names).map_err(not_opened)?;
    for name in with.forget {
        queue.forget(name).await.map_err(not_opened)?;
    }
    Ok(queue)
}

fn hold_queue(settings: &Settings, with: &With<'_>) -> Result<Queue, OpenError> {
    let options = Options {
        bytes_max: settings.queue.bytes / HOLD_PART,
        on_damage: with.on_damage,
        ..Options::default()
    };
    Queue::open(&with.folder.join("held"), options, &["hold"]).map_err(not_opened)
}

fn not_opened(error: QueueError) -> OpenError {
    let hint = match &error {
        QueueError::Damaged { .. } => "--skip-damage leaves out what can't be read, and counts it",
        QueueError::NotForgettable(_) => {
            "--forget is for a destination that the file does not name any more"
        }
        other => other.hint(),
    };
    OpenError::usage(format!("the queue: {error}"), hint)
}

fn pipeline(
    settings: &Settings,
    queue: Queue,
    hold: Queue,
    counters: &CounterStore,
) -> Result<Pipeline, OpenError> {
    let masks = Masks::compile(&settings.masks)
        .map_err(|error| OpenError::usage(error.to_string(), error.hint().to_owned()))?;
    let routes = settings.destinations.iter().enumerate();
    let routes = routes.map(|(number, one)| Route::new(one, number)).collect::<Result<_, _>>()?;
    let policies = policies(settings, counters)?;
    masks_exist(&policies, &masks).map_err(|what| {
        OpenError::usage(what, "name a rule of [[masks]], or one that is built in")
    })?;
    let above = settings.sampling.keep_above_usd.as_deref().map(|text| {
        money::pico(text).ok_or_else(|| {
            let what = format!("sampling.keep-above-usd is `{text}`");
            OpenError::usage(what, "an amount of US dollars such as \"0.25\"")
        })
    });
    Ok(Pipeline {
        routes,
        masks,
        prices: prices(settings)?,
        policies: ArcSwap::from_pointee(policies),
        sampling: Rules::new(&settings.sampling, above.transpose()?),
        alerts: Mutex::default(),
        switches: Switches::new(settings, flags(settings)?),
        costs: Costs::default(),
        queue,
        hold,
        ledger: Ledger::default(),
    })
}

fn prices(settings: &Settings) -> Result<Prices, OpenError> {
    let text = settings.prices.overrides.as_deref().map(read).transpose()?;
    let prices = Prices::bundled(text.as_deref()).map_err(|error| {
        OpenError::usage(format!("the prices: {error}"), "docs/guide/observe.md has a whole file")
    })?;
    Ok(prices.with_precedence(match settings.prices.prefer {
        Precedence::Ours => price::Precedence::Ours,
        Precedence::Stated => price::Precedence::Stated,
    }))
}

fn policies(settings: &Settings, counters: &CounterStore) -> Result<Policies, OpenError> {
    let Some(path) = &settings.policies else { return Ok(Policies::default()) };
    Policies::parse(&read(path)?, counters).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        OpenError::usage(what, error.hint().to_owned())
    })
}

/// Sees that the masks exist that policies ask for.
///
/// # Errors
/// The first one that doesn't.
pub(in crate::observe) fn masks_exist(policies: &Policies, masks: &Masks) -> Result<(), String> {
    match policies.masks().find(|(_, mask)| !masks.knows(mask)) {
        Some((policy, mask)) => Err(format!("the policy {policy} asks for the mask {mask}")),
        None => Ok(()),
    }
}

fn flags(settings: &Settings) -> Result<Flags, OpenError> {
    let Some(path) = &settings.flags else { return Ok(Flags::default()) };
    Flags::parse(&read(path)?).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        OpenError::usage(
            what,
            "the form is that of flagd: https://flagd.dev/reference/flag-definitions/",
        )
    })
}

fn read(path: &Path) -> Result<String, OpenError> {
    fs::read_to_string(path).map_err(|error| {
        let what = format!("can't read {}: {error}", path.display());
        OpenError::usage(what, "paths in the gateway's file are relative to it")
    })
}

fn dead_letters(folder: &Path) -> Result<Arc<Letterbox>, OpenError> {
    Letterbox::open(folder).map(Arc::new).map_err(|error| {
        let what = format!("can't open the dead letters: {error}");
        OpenError::usage(what, "check that the disk has room and the folder can be written")
    })
}

async fn feeds(
    settings: &Settings,
    with: &With<'_>,
    queue: &Queue,
    dead_letters: &Arc<Letterbox>,
) -> Result<(Vec<Destination>, Vec<Feed>), OpenError> {
    let opening = Opening {
        clock: with.clock,
        transport: with.transport,
        environment: with.environment,
        folder: with.folder,
        seed: with.seed,
    };
    let (mut destinations, mut feeds) = (Vec::new(), Vec::new());
    for (number, one) in settings.destinations.iter().enumerate() {
        let opened = destinations::open(one, &opening).await?;
        let remote = Arc::new(opened.remote);
        let meter = Arc::new(ForwarderMeter::default());
        let (sender, signals) = mpsc::channel(SIGNALS_MAX);
        destinations.push(Destination {
            kind: one.kind,
            flag: one.flag.clone(),
            remote: Arc::clone(&remote),
            meter: Arc::clone(&meter),
        });
        let forwarder = Forwarder {
            name: one.name.clone(),
            number,
            sink: Arc::new(opened.sink),
            remote,
            queue: queue.clone(),
            dead_letters: Arc::clone(dead_letters),
            pace: opened.pace,
            meter,
        };
        let context = Context { clock: with.clock, stop: Stop::default(), signals: sender };
        feeds.push(Feed { forwarder, context, signals });
    }
    Ok((destinations, feeds))
}

/// What a person should know that is no reason not to start.
fn warnings(settings: &Settings, running: &Running) -> Vec<String> {
    let mut warnings = Vec::new();
    if settings.destinations.is_empty() {
        warnings.push("there are no destinations: events are counted and go nowhere".to_owned());
    }
    let meter = running.pipeline.queue.meter();
    for gone in meter.destinations.iter().filter(|one| !one.is_configured && one.pending > 0) {
        warnings.push(format!(
            "{} events wait for {}, which the file does not name; --forget {} gives them up",
            gone.pending, gone.name, gone.name
        ));
    }
    if meter.damaged_bytes > 0 {
        warnings.push(format!("{} damaged bytes of the queue were left out", meter.damaged_bytes));
    }
    warnings
}
