//! `windlass demo`: the main job against a simulated WorkOS in this process, over a real socket.

use super::desk::{Desk, Wires, block_on};
use super::plan::plan_and_apply;
use crate::cli::{SafetyArgs, command};
use crate::display;
use crate::exit::{Error, Exit};
use clap::ArgMatches;
use std::net::{Ipv4Addr, SocketAddr};
use windlass_connectors::transport::check_base_url;
use windlass_connectors::{Connector, Secret, workos};

/// Enough to meet both limits once and to be over in half a minute: about 35 organizations fit into
/// one window of 40, and about 600 users take a window and a half of 400 in 10 s.
const SIMULATOR: &[&str] =
    &["workos", "--strict", "--orgs", "80", "--users", "1500", "--latency", "20ms..120ms"];

/// Starts the simulator, runs the deletion of a week against it, and says where to look next.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let connector = &workos::CONNECTOR;
    let desk = Desk::open(Some(connector.name), matches)?;
    block_on(async {
        let options = (connector.simulator.command)().get_matches_from(SIMULATOR);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let started = (connector.simulator.start)(&options, address).await;
        let serving = started.map_err(|what| Error::new(Exit::Bug, what))?;
        let base_url = format!("http://{}", serving.address);
        display::demo_begins(&base_url);
        let exit = tokio::select! {
            exit = delete(&desk, connector, &base_url, &serving.key) => exit,
            () = serving.serving => Err(Error::new(Exit::Bug, "the simulator ended")),
        }?;
        let newest = desk.runs.all()?.into_iter().next();
        display::demo_ends(newest.as_ref().map_or("", |run| run.name.as_str()));
        Ok(exit)
    })
}

async fn delete(
    desk: &Desk,
    connector: &Connector,
    base_url: &str,
    key: &str,
) -> Result<Exit, Error> {
    let words = ["windlass", "workos", "delete", "2005-12-17", "2005-12-25", "--users", "--yes"];
    let matches = command().get_matches_from(words);
    let inner = matches.subcommand().and_then(|(_, system)| system.subcommand());
    let (operation, matches) = inner.expect("the words are a whole command");
    let wires = Wires::new();
    let mut setup = desk.setup_with(connector, wires.context.clock, Secret::new(key))?;
    setup.base_url =
        check_base_url(base_url).map_err(|error| Error::new(Exit::Bug, error.to_string()))?;
    let opening = (connector.open)(&setup, operation, matches)?;
    let safety = SafetyArgs { yes: true, ..SafetyArgs::default() };
    plan_and_apply(desk, connector, &setup, opening, &safety, wires).await
}
