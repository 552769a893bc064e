//! `windlass demo`: the main job against a simulated WorkOS in this process, over a real socket.

use super::desk::{Desk, Wires, block_on};
use super::plan::plan_and_apply;
use crate::cli::{Choices, command};
use crate::display;
use crate::exit::{Error, Exit};
use crate::settings::Keys;
use clap::ArgMatches;
use std::net::{Ipv4Addr, SocketAddr};
use windlass_connectors::transport::check_base_url;
use windlass_connectors::{Connector, Opened, OperationKind, Secret, leaf, workos};

/// Enough to meet both limits once and to be over in half a minute: about 35 organizations fit into
/// one window of 40, and about 600 users take a window and a half of 400 in 10 s.
const SIMULATOR: &[&str] =
    &["workos", "--strict", "--orgs", "80", "--users", "1500", "--latency", "20ms..120ms"];

/// Starts the simulator, runs the deletion of a week against it, and says where to look next.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let connector = &workos::CONNECTOR;
    let desk = Desk::open(Some(connector), matches)?;
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
    let (path, matches) = leaf(&matches);
    let wires = Wires::new();
    let keys = Keys::of(Secret::new(key));
    let mut setup = desk.setup_with(connector, wires.context.clock, keys)?;
    setup.base_url =
        check_base_url(base_url).map_err(|error| Error::new(Exit::Bug, error.to_string()))?;
    let opened = (connector.open)(&setup, &wires.context, &path, matches).await?;
    let Opened::Job(opening) = opened else {
        return Err(Error::new(Exit::Bug, "the demo's command is no job"));
    };
    let choices = Choices::of(OperationKind::Destroy, matches);
    plan_and_apply(desk, connector, &setup, opening, &choices, wires).await
}
