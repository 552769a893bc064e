//! `windlass COMMAND ...` of a system: opens what its command line asks for, and hands it to the
//! way of its kind.

use super::desk::{Desk, Wires, block_on, screen};
use super::plan::plan_and_apply;
use super::query::answer;
use super::resume::{go_on, newest_like};
use super::setup::{keys, setup};
use crate::cli::{self, Choices};
use crate::display::{self, Screen};
use crate::exit::{Error, Exit};
use crate::settings::Settings;
use crate::signals;
use clap::ArgMatches;
use windlass_connectors::{
    Connector, Opened, Operation, OperationKind, QueryError, find_operation, leaf,
};
use windlass_engine::runner::stop::Stop;
use windlass_engine::runner::{Order, watch};
use windlass_engine::tally::Tally;

/// Carries out the command of a system; `matches` are those of the whole command line.
///
/// # Errors
/// Everything that ends the program before or instead of a run.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let (path, matches) = leaf(matches);
    let (connector, operation) = find_operation(&path).ok_or_else(|| {
        let what = format!("there is no command `{}`", path.join(" "));
        Error::new(Exit::Usage, what).hint("see `windlass --help`")
    })?;
    match operation.kind {
        OperationKind::Query => ask(connector, operation, matches),
        OperationKind::Serve => serve(connector, operation, matches),
        _ => carry_out(connector, operation, matches),
    }
}

/// A query needs no place to keep runs.
fn ask(connector: &Connector, operation: &Operation, matches: &ArgMatches) -> Result<Exit, Error> {
    let mut flags = cli::program_flags(matches);
    flags.extend(cli::system_flags(connector, matches));
    let settings = Settings::load(flags)?;
    block_on(async {
        let mut wires = Wires::new();
        let keys = keys(&settings, connector, operation.remote)?;
        let seed = fastrand::u64(..);
        let setup = setup(&settings, connector, wires.context.clock, keys, seed)?;
        let screen = screen(&settings, matches);
        let context = wires.context.clone();
        let opening = (connector.open)(&setup, &context, operation.path, matches);
        match opened(screen, operation.path, opening, &mut wires).await? {
            Opened::Query(query) => answer(screen, operation.path, query, wires).await,
            Opened::Job(_) | Opened::Server(_) => Err(not_its_kind(operation)),
        }
    })
}

fn not_its_kind(operation: &Operation) -> Error {
    let what = format!("`{}` opened something of another kind", operation.path.join(" "));
    Error::new(Exit::Bug, what)
}

/// Works until it is interrupted. The first interrupt ends it in good order, the second one now.
fn serve(
    connector: &Connector,
    operation: &Operation,
    matches: &ArgMatches,
) -> Result<Exit, Error> {
    let mut flags = cli::program_flags(matches);
    flags.extend(cli::system_flags(connector, matches));
    let settings = Settings::load(flags)?;
    block_on(async {
        let mut wires = Wires::new();
        let keys = keys(&settings, connector, operation.remote)?;
        let setup = setup(&settings, connector, wires.context.clock, keys, fastrand::u64(..))?;
        let context = wires.context.clone();
        let opening = (connector.open)(&setup, &context, operation.path, matches);
        let stop = Stop::default();
        // One pair of ears from before the opening to the end: a signal between two would be lost.
        let ears = async {
            tokio::join!(signals::forward(wires.speak), stop_when_told(&mut wires.orders, &stop))
        };
        let work = async {
            let Opened::Server(server) = opening.await? else {
                return Err(not_its_kind(operation));
            };
            display::greeting(&server.greeting());
            Ok(server.serve(stop.clone()).await.map_err(QueryError::from)?)
        };
        tokio::select! {
            biased;
            _ = ears => unreachable!("signals and orders are awaited for ever"),
            ended = work => {
                for line in ended? {
                    display::note(&line);
                }
                Ok(Exit::Done)
            }
        }
    })
}

/// Each order raises the level of the stop by one.
async fn stop_when_told(orders: &mut tokio::sync::mpsc::Receiver<Order>, stop: &Stop) {
    while orders.recv().await.is_some() {
        if stop.is_draining() {
            stop.abort();
        } else {
            display::note("stopping: what is on the wire is answered; again to drop it");
            stop.drain();
        }
    }
    std::future::pending().await
}

/// Waits until a command line is opened, which may have to ask the remote what a name means.
async fn opened(
    screen: Screen,
    path: &[&str],
    opening: impl Future<Output = Result<Opened, QueryError>>,
    wires: &mut Wires,
) -> Result<Opened, Error> {
    let name = path.join(" ");
    let mut reporters = screen.watchers(&name);
    let (context, speak) = (wires.context.clone(), wires.speak.clone());
    let opened = watch(
        &[],
        &context,
        Tally::reading(&name),
        opening,
        &mut wires.signals,
        &mut wires.orders,
        &mut reporters,
    );
    tokio::select! {
        opened = opened => Ok(opened?),
        () = signals::forward(speak) => unreachable!("signals are awaited for ever"),
    }
}

fn carry_out(
    connector: &Connector,
    operation: &Operation,
    matches: &ArgMatches,
) -> Result<Exit, Error> {
    let desk = Desk::open(Some(connector), matches)?;
    let choices = Choices::of(operation.kind, matches);
    block_on(async {
        let mut wires = Wires::new();
        let keys = keys(&desk.settings, connector, operation.remote)?;
        let setup = desk.setup_with(connector, wires.context.clock, keys)?;
        let context = wires.context.clone();
        let opening = (connector.open)(&setup, &context, operation.path, matches);
        match opened(desk.screen, operation.path, opening, &mut wires).await? {
            Opened::Query(query) => answer(desk.screen, operation.path, query, wires).await,
            Opened::Server(_) => Err(not_its_kind(operation)),
            Opened::Job(opening) if choices.resume => {
                let folder = newest_like(&desk.runs, &setup, &opening)?;
                go_on(&desk, connector, &folder, matches, wires).await
            }
            Opened::Job(opening) => {
                plan_and_apply(&desk, connector, &setup, opening, &choices, wires).await
            }
        }
    })
}
