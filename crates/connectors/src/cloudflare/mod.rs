//! Cloudflare: Workers KV for namespaces of millions of keys, and cache purge. The facts about
//! the remote, with their sources, are in this folder's README.
//!
//! - `args`, `commands`: what can be said; `open`, `purges`: what is to be done then
//! - `access`: the account behind its limits; `api`: raw calls; `lookup`: what was asked already
//! - `listing`, `selection`: keys, page by page; `records`, `targets`: files of records and items
//! - `job`: what runs in steps; `query`: what is answered at once

mod access;
mod api;
mod args;
mod commands;
mod job;
mod listing;
mod lookup;
mod open;
mod purges;
mod query;
mod records;
mod selection;
pub mod sim;
mod targets;
#[cfg(test)]
mod tests;

use crate::connector::{Connector, Credential, Serving, Setting, SimulatorEntry, Variable};
use crate::limits::VendorWindow;
use access::{GLOBAL_LIMIT, GLOBAL_SECONDS};
use clap::{Args, Command, FromArgMatches};
use std::net::SocketAddr;
use std::sync::Arc;
use windlass_engine::job::BoxFuture;

/// The documented windows ("API limits", "Purge limits"): everything of a user, everything of an
/// address, and purging, here as it is for zones booked as Free.
const WINDOWS: &[VendorWindow] = &[
    VendorWindow { name: "global", limit: GLOBAL_LIMIT, seconds: GLOBAL_SECONDS },
    VendorWindow { name: "address", limit: 200, seconds: 1 },
    VendorWindow { name: "purge", limit: 25, seconds: 300 },
    VendorWindow { name: "purge-urls", limit: 800, seconds: 1 },
];

/// The settings that only this system has.
const SETTINGS: &[Setting] = &[
    Setting {
        name: "account-id",
        variables: &["CLOUDFLARE_ACCOUNT_ID", "CF_ACCOUNT_ID"],
        check: |_| Ok(()),
    },
    Setting { name: "zone-id", variables: &["CLOUDFLARE_ZONE_ID"], check: |_| Ok(()) },
    Setting {
        name: "purge-plan",
        variables: &["CLOUDFLARE_PURGE_PLAN"],
        check: |text| text.parse::<targets::Plan>().map(|_| ()),
    },
];

/// Its own variables for settings that every system has.
const VARIABLES: &[Variable] = &[
    Variable::seconds("timeout", "CLOUDFLARE_API_TIMEOUT"),
    Variable::new("concurrency", "CLOUDFLARE_MAX_CONCURRENCY"),
    Variable::new("concurrency", "CLOUDFLARE_CACHE_CONCURRENCY"),
    Variable::new("retries", "CLOUDFLARE_RETRY_COUNT"),
];

/// The record of this system.
pub static CONNECTOR: Connector = Connector {
    name: "cloudflare",
    summary: "Cloudflare: Workers KV for namespaces of millions of keys, and cache purge",
    base_url: "https://api.cloudflare.com/client/v4",
    base_url_variables: &["CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_BASE_URL", "CF_API_BASE_URL"],
    credentials: &[
        Credential { variable: "CLOUDFLARE_API_TOKEN", identity: None },
        Credential { variable: "CF_API_TOKEN", identity: None },
        Credential { variable: "CLOUDFLARE_API_KEY", identity: Some("CLOUDFLARE_EMAIL") },
        Credential { variable: "CF_API_KEY", identity: Some("CF_EMAIL") },
    ],
    other_credential: Some("CLOUDFLARE_TO_API_TOKEN"),
    windows: WINDOWS,
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
            sim::Options::augment_args(Command::new("cloudflare"))
                .about("A Cloudflare of your own, on a port of this machine")
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
        let serve = options.serve.clone();
        let key = options.tokens.first().cloned().unwrap_or_default();
        let simulator = Arc::new(sim::CloudflareSim::new(options)?);
        let (address, serving) = windlass_sim::serve(simulator, address, serve)
            .await
            .map_err(|error| format!("can't listen on {address}: {error}"))?;
        let environment = vec![("CLOUDFLARE_ACCOUNT_ID", "acc".to_owned())];
        Ok(Serving { address, key, environment, serving: Box::pin(serving) })
    })
}
