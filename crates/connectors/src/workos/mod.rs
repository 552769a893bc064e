//! WorkOS: bulk deletion of organizations and users by creation date. The facts about the
//! remote, with their sources, are in this folder's README.

mod api;
mod args;
mod dates;
mod job;
mod selection;
pub mod sim;
#[cfg(test)]
mod tests;

use crate::connector::{
    Connector, Credential, OpenError, Opened, Opening, Operation, OperationKind, QueryError,
    Serving, Setup, SimulatorEntry,
};
use crate::limits::VendorWindow;
use args::{DeleteArgs, GuardArgs};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use job::Selection;
use std::net::SocketAddr;
use std::sync::Arc;
use windlass_engine::job::BoxFuture;
use windlass_engine::plan::Header;

/// The windows that WorkOS documents under "rate limits": Delete Organization per API key, the
/// two AuthKit windows per environment, and everything together per API key.
const WINDOWS: &[VendorWindow] = &[
    VendorWindow { name: "organization-delete", limit: 50, seconds: 60 },
    VendorWindow { name: "user-write", limit: 500, seconds: 10 },
    VendorWindow { name: "user-read", limit: 1000, seconds: 10 },
    VendorWindow { name: "everything", limit: 6000, seconds: 60 },
];

/// The record of this system.
pub static CONNECTOR: Connector = Connector {
    name: "workos",
    summary: "WorkOS: delete organizations and users by creation date",
    base_url: "https://api.workos.com",
    base_url_variables: &["WORKOS_BASE_URL"],
    credentials: &[Credential { variable: "WORKOS_API_KEY", identity: None }],
    other_credential: None,
    windows: WINDOWS,
    // The scripts that people come from take 50 requests a second for the whole quota.
    full_rate: Some(50.0),
    settings: &[],
    variables: &[],
    commands: || {
        // The text comes last: arguments bring that of their own type along.
        let delete = DeleteArgs::augment_args(Command::new("delete"));
        let delete = delete.about("Delete organizations, and users, by creation date");
        vec![Command::new("workos").about(CONNECTOR.summary).subcommand(delete)]
    },
    operations: &[Operation {
        path: &["workos", "delete"],
        kind: OperationKind::Destroy,
        remote: true,
    }],
    open: |setup, _context, _path, matches| {
        Box::pin(std::future::ready(open(setup, matches).map_err(QueryError::from)))
    },
    guards: || GuardArgs::augment_args(Command::new("guards")),
    reopen,
    simulator: SimulatorEntry {
        command: || {
            sim::Options::augment_args(Command::new("workos"))
                .about("A WorkOS of your own, on a port of this machine")
        },
        start: |matches, address| start_simulator(sim::Options::from_arg_matches(matches), address),
    },
};

fn open(setup: &Setup, matches: &ArgMatches) -> Result<Opened, OpenError> {
    let args = DeleteArgs::from_arg_matches(matches).map_err(|error| internal(&error))?;
    let selection = Selection::resolve(&args, setup)?;
    opening(setup, selection).map(Opened::Job)
}

fn reopen(setup: &Setup, plan: &Header, matches: &ArgMatches) -> Result<Opening, OpenError> {
    let guards = GuardArgs::from_arg_matches(matches).map_err(|error| internal(&error))?;
    let selection = Selection::of_plan(plan, &guards, setup)?;
    opening(setup, selection)
}

fn opening(setup: &Setup, selection: Selection) -> Result<Opening, OpenError> {
    Ok(Opening {
        account: setup.key.fingerprint(),
        options: selection.options(),
        selection: selection.for_people(),
        warnings: selection.warnings(setup),
        question: None,
        data_on_stdout: false,
        job: Arc::new(job::Delete::new(setup, selection)?),
    })
}

fn internal(error: &clap::Error) -> OpenError {
    OpenError::usage(error.to_string(), "see --help")
}

fn start_simulator(
    options: Result<sim::Options, clap::Error>,
    address: SocketAddr,
) -> BoxFuture<'static, Result<Serving, String>> {
    Box::pin(async move {
        let options = options.map_err(|error| error.to_string())?;
        let serve = options.serve.clone();
        let key = options.keys.first().cloned().unwrap_or_default();
        let simulator = Arc::new(sim::WorkosSim::new(options)?);
        let (address, serving) = windlass_sim::serve(simulator, address, serve)
            .await
            .map_err(|error| format!("can't listen on {address}: {error}"))?;
        Ok(Serving { address, key, environment: Vec::new(), serving: Box::pin(serving) })
    })
}
