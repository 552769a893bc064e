//! MongoDB: migrates documents into another shape. The facts about the remote, with their sources,
//! are in this folder's README.
//!
//! - `args`, `commands`: what can be said; `open`: what is to be done then
//! - `access`: the database behind its limits; `api`: raw calls; `board`: what a run keeps there
//! - `mapping`: what a migration file says; `hashing`: passwords; `generate`: documents to try
//! - `job`: what runs in steps; `query`: what is answered at once

mod access;
mod api;
mod args;
mod board;
mod commands;
pub mod generate;
pub mod hashing;
mod job;
pub mod mapping;
mod open;
mod query;
pub mod sim;
#[cfg(test)]
mod tests;

use crate::connector::{Connector, Credential, Serving, Setting, SimulatorEntry, Variable};
use clap::{Args, Command, FromArgMatches};
use std::net::SocketAddr;
use std::sync::Arc;
use windlass_engine::job::BoxFuture;

/// A setting that is checked where it is used.
const fn setting(name: &'static str, variables: &'static [&'static str]) -> Setting {
    Setting { name, variables, check: |_| Ok(()) }
}

/// The settings that only this system has.
const SETTINGS: &[Setting] = &[
    setting("secrets-key", &["WINDLASS_SECRETS_KEY"]),
    setting("hash-threads", &["WORKER_THREAD_COUNT"]),
    setting("batch-min", &["BATCH_SIZE_MIN"]),
    setting("batch-start", &["BATCH_SIZE_INITIAL"]),
    setting("batch-max", &["BATCH_SIZE_MAX"]),
    setting("batch-target-ms", &["PERFORMANCE_TARGET_MS"]),
    setting("checkpoint-interval", &["CHECKPOINT_INTERVAL"]),
];

/// Its own variables for settings that every system has.
const VARIABLES: &[Variable] = &[
    Variable::new("concurrency", "MAX_CONCURRENT_OPERATIONS"),
    Variable::new("retries", "RETRY_ATTEMPTS"),
];

/// The record of this system.
pub static CONNECTOR: Connector = Connector {
    name: "mongo",
    summary: "MongoDB: migrate documents into another shape, with checkpoints and rollback",
    base_url: "",
    base_url_variables: &[],
    credentials: &[Credential { variable: "MONGODB_URI", identity: None }],
    other_credential: None,
    windows: &[],
    full_rate: None,
    settings: SETTINGS,
    variables: VARIABLES,
    commands: commands::commands,
    operations: commands::OPERATIONS,
    open: |setup, context, path, matches| Box::pin(open::open(setup, context, path, matches)),
    guards: || Command::new("guards"),
    reopen: |setup, plan, _guards| open::reopen(setup, plan),
    simulator: SimulatorEntry {
        command: || {
            sim::Options::augment_args(Command::new("mongo"))
                .about("A small MongoDB of your own, on a port of this machine")
        },
        start: |matches, address| start_simulator(sim::Options::from_arg_matches(matches), address),
    },
};

fn start_simulator(
    options: Result<sim::Options, clap::Error>,
    address: SocketAddr,
) -> BoxFuture<'static, Result<Serving, String>> {
    Box::pin(async move {
        let options = options.map_err(|error| error.to_string())?;
        let simulator = Arc::new(sim::MongoSim::new(options)?);
        let (address, serving) = sim::serve(simulator, address)
            .await
            .map_err(|error| format!("can't listen on {address}: {error}"))?;
        let key = format!("mongodb://{address}/faf");
        Ok(Serving { address, key, environment: Vec::new(), serving: Box::pin(serving) })
    })
}
