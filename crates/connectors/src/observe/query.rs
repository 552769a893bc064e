//! What is answered at once: decisions of policies, dead letters that are sent again, and
//! measurements.

use super::args::{CheckArgs, ReplayArgs};
use super::event::Facts;
use super::gateway;
use super::loadtest::{self, LoadtestArgs, Running, Side, side};
use super::policy::{Policies, check};
use super::price::Prices;
use super::replay;
use super::settings::Environment;
use crate::connector::{Answered, OpenError, Query, QueryError, Setup};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// `observe check`.
pub(super) struct Check {
    policies: Policies,
    events: PathBuf,
    json: bool,
}

impl Check {
    pub(super) fn open(args: &CheckArgs, json: bool) -> Result<Self, OpenError> {
        let text = read(&args.policy)?;
        let policies = Policies::parse(&text, &Default::default()).map_err(|error| {
            let what = format!("{}: {error}", args.policy.display());
            OpenError::usage(what, error.hint().to_owned())
        })?;
        Ok(Self { policies, events: args.events.clone(), json })
    }

    fn lines(&self) -> Result<Box<dyn BufRead>, OpenError> {
        if self.events == Path::new("-") {
            return Ok(Box::new(BufReader::new(io::stdin())));
        }
        let file = File::open(&self.events).map_err(|error| {
            let what = format!("can't read {}: {error}", self.events.display());
            OpenError::usage(what, "name a file of JSON lines, or - for standard input")
        })?;
        Ok(Box::new(BufReader::new(file)))
    }
}

impl Query for Check {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        Vec::new()
    }

    fn run<'a>(
        &'a mut self,
        _context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            let lines = self.lines()?;
            let prices = Prices::bundled(None)
                .map_err(|error| OpenError::usage(error.to_string(), "this is a bug"))?;
            let price = |facts: &Facts| prices.cost(facts).and_then(|row| row.cost_pico);
            let format = if self.json { check::Format::Json } else { check::Format::Table };
            let mut out = out;
            check::check(&self.policies, lines.lines(), &price, format, &mut out)?;
            Ok(Answered::default())
        })
    }
}

/// `observe replay`.
pub(super) struct Replay {
    folder: PathBuf,
    files: Vec<PathBuf>,
    destination: Option<String>,
    dry_run: bool,
}

impl Replay {
    pub(super) fn open(
        args: &ReplayArgs,
        setup: &Setup,
        environment: &Environment,
    ) -> Result<Self, OpenError> {
        let folder = gateway::folder(&gateway::settings_of(setup, environment)?, setup)?;
        let files = match args.files.is_empty() {
            true => replay::letters_in(&folder),
            false => args.files.clone(),
        };
        let (destination, dry_run) = (args.destination.clone(), args.dry_run);
        Ok(Self { folder, files, destination, dry_run })
    }
}

impl Query for Replay {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        Vec::new()
    }

    fn run<'a>(
        &'a mut self,
        _context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            let only = self.destination.as_deref();
            let found = replay::hand_over(&self.folder, &self.files, only, self.dry_run)?;
            for (name, count) in &found.by_destination {
                writeln!(out, "{count} for {name}")?;
            }
            let mut notes = Vec::new();
            if found.unreadable > 0 {
                notes.push(format!("{} lines are no dead letters and were left", found.unreadable));
            }
            notes.push(match (found.by_destination.is_empty(), self.dry_run) {
                (true, _) => "there is nothing to send again".to_owned(),
                (false, true) => "nothing was changed".to_owned(),
                (false, false) => {
                    "the gateway of this folder sends them now, or when it starts".to_owned()
                }
            });
            Ok(Answered { notes, differs: false })
        })
    }
}

/// `observe loadtest`.
pub(super) struct Loadtest {
    args: LoadtestArgs,
    json: bool,
}

impl Loadtest {
    pub(super) fn new(args: LoadtestArgs, json: bool) -> Self {
        Self { args, json }
    }
}

impl Query for Loadtest {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        Vec::new()
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        let args = self.args.clone();
        Box::pin(async move {
            // It has threads of its own, and an interrupt must be heard meanwhile.
            let work = tokio::task::spawn_blocking(move || loadtest::execute(&args, start));
            let outcome = tokio::select! {
                done = work => done.map_err(io::Error::other)?.map_err(|error| {
                    OpenError::usage(error.to_string(), "is the gateway there? --url says where")
                })?,
                () = context.stop.draining() => return Ok(Answered::default()),
            };
            let text = match self.json {
                true => serde_json::to_string(&outcome).map_err(io::Error::from)? + "\n",
                false => outcome.text(),
            };
            out.write_all(text.as_bytes())?;
            Ok(Answered { notes: Vec::new(), differs: !outcome.is_met() })
        })
    }
}

/// How long a gateway may take to start.
const START: Duration = Duration::from_secs(30);

/// Starts a gateway with this file on a free port, with a queue of its own.
fn start(_side: Side, config: &Path) -> io::Result<Running> {
    let free = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let address = free.local_addr()?;
    drop(free);
    let folder = tempfile::tempdir()?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["observe", "serve", "--listen", &address.to_string(), "--config"]).arg(config);
    command.arg("--folder").arg(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let running = side::child(&mut command, &format!("http://{address}"), "/ready", START)?;
    // The folder lives a little longer than the gateway.
    let url = running.url.clone();
    Ok(Running::new(url, move || {
        drop(running);
        drop(folder);
    }))
}

fn read(path: &Path) -> Result<String, OpenError> {
    std::fs::read_to_string(path).map_err(|error| {
        let what = format!("can't read {}: {error}", path.display());
        OpenError::usage(what, "name a file of policies; docs/guide/observe.md has one")
    })
}
