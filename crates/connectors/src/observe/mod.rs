//! Observe: a gateway for LLM traces and product events. It captures, prices, judges and forwards
//! them, and loses none. The facts about clients and remotes are in this folder's README.
//!
//! In the order of an event's way:
//! - `doors`: the HTTP front; `dialects` and `otlp`: what clients say, in one set of words, `event`
//! - `pipeline`: `mask`, `price`, `policy`, `sample` and `switches` (`flags`), `routes`, `annotate`
//! - `queue`: what is on disk; `hold`: what is joined or decided before it goes on
//! - `destinations`: Langfuse, RudderStack, OTLP, SQL, files; `dead_letters` and `letters`: what
//!   they refuse; `replay`: once more
//! - `gateway`: all of it together, from `settings`; `reload`: files that change meanwhile
//! - `status`, `ledger`, `costs`, `pages`: what is seen of it; `loadtest`: how fast it is
//! - `query`: `check`, `replay` and `loadtest` on the command line

mod annotate;
mod args;
mod costs;
mod dead_letters;
mod destinations;
mod dialects;
mod doors;
mod event;
mod flags;
mod gateway;
mod hold;
mod ledger;
mod letters;
mod loadtest;
mod mask;
mod otlp;
mod pages;
mod pipeline;
mod policy;
mod price;
mod query;
mod queue;
mod reload;
mod replay;
mod routes;
mod sample;
mod settings;
pub mod sim;
mod span_json;
mod status;
mod switches;
#[cfg(test)]
mod tests;

use crate::connector::{
    Connector, OpenError, Opened, Operation, OperationKind, QueryError, Serving, Setting, Setup,
    SimulatorEntry,
};
use args::{CheckArgs, ReplayArgs, ServeArgs};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use loadtest::LoadtestArgs;
use settings::Environment;
use std::net::SocketAddr;
use std::sync::Arc;
use windlass_engine::job::BoxFuture;
use windlass_engine::plan::Header;

const fn local(path: &'static [&'static str], kind: OperationKind) -> Operation {
    Operation { path, kind, remote: false }
}

/// The record of this system.
pub static CONNECTOR: Connector = Connector {
    name: "observe",
    summary: "Observe: capture LLM traces and product events, price, judge and forward them",
    base_url: "",
    base_url_variables: &[],
    credentials: &[],
    other_credential: None,
    windows: &[],
    full_rate: None,
    settings: &[
        Setting { name: "config", variables: &["OBSERVE_CONFIG"], check: |_| Ok(()) },
        Setting { name: "listen", variables: &["OBSERVE_LISTEN"], check: settings::check_listen },
        Setting { name: "folder", variables: &["OBSERVE_FOLDER"], check: |_| Ok(()) },
    ],
    variables: &[],
    commands: args::commands,
    operations: &[
        local(&["observe", "serve"], OperationKind::Serve),
        local(&["observe", "loadtest"], OperationKind::Query),
        local(&["observe", "check"], OperationKind::Query),
        local(&["observe", "replay"], OperationKind::Query),
    ],
    open: |setup, _context, path, matches| Box::pin(open(setup, path, matches)),
    guards: || Command::new("guards"),
    reopen: |_setup: &Setup, _plan: &Header, _guards: &ArgMatches| {
        let hint = "a gateway has no plans; start it with `windlass observe serve`";
        Err(OpenError::usage("no plan is of this system", hint))
    },
    simulator: SimulatorEntry {
        command: || {
            sim::Options::augment_args(Command::new("observe"))
                .about("A Langfuse, a RudderStack and a receiver of OTLP, on one port")
        },
        start: |matches, address| start_simulator(sim::Options::from_arg_matches(matches), address),
    },
};

async fn open(setup: &Setup, path: &[&str], matches: &ArgMatches) -> Result<Opened, QueryError> {
    let environment = Environment::of_process();
    Ok(match path.last().copied() {
        Some("serve") => {
            let args = parsed::<ServeArgs>(matches)?;
            Opened::Server(Box::new(gateway::open(setup, &args, &environment).await?))
        }
        Some("loadtest") => {
            let args = parsed::<LoadtestArgs>(matches)?;
            Opened::Query(Box::new(query::Loadtest::new(args, setup.json)))
        }
        Some("check") => {
            let args = parsed::<CheckArgs>(matches)?;
            Opened::Query(Box::new(query::Check::open(&args, setup.json)?))
        }
        _ => {
            let args = parsed::<ReplayArgs>(matches)?;
            Opened::Query(Box::new(query::Replay::open(&args, setup, &environment)?))
        }
    })
}

fn parsed<A: FromArgMatches>(matches: &ArgMatches) -> Result<A, OpenError> {
    A::from_arg_matches(matches)
        .map_err(|error| OpenError::usage(error.to_string(), "see --help for the arguments"))
}

fn start_simulator(
    options: Result<sim::Options, clap::Error>,
    address: SocketAddr,
) -> BoxFuture<'static, Result<Serving, String>> {
    Box::pin(async move {
        let options = options.map_err(|error| error.to_string())?;
        let serve = options.serve.clone();
        let simulator = Arc::new(sim::ObserveSim::new(options)?);
        let (address, serving) = windlass_sim::serve(simulator, address, serve)
            .await
            .map_err(|error| format!("can't listen on {address}: {error}"))?;
        let key = format!("http://{address}");
        let environment = vec![
            ("LANGFUSE_BASE_URL", key.clone()),
            ("LANGFUSE_PUBLIC_KEY", "pk-lf-simulated".to_owned()),
            ("LANGFUSE_SECRET_KEY", "sk-lf-simulated".to_owned()),
            ("RUDDERSTACK_DATA_PLANE_URL", key.clone()),
            ("RUDDERSTACK_WRITE_KEY", "simulated-write-key".to_owned()),
        ];
        Ok(Serving { address, key, environment, serving: Box::pin(serving) })
    })
}
