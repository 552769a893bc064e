//! `windlass sim`: a simulated remote on a port.

use super::desk::block_on;
use crate::display;
use crate::exit::{Error, Exit};
use clap::ArgMatches;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::sync::mpsc::channel;

/// Serves a simulator until it is interrupted.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let Some((system, matches)) = matches.subcommand() else {
        return Err(Error::new(Exit::Usage, "name a simulator").hint("see `windlass sim --help`"));
    };
    let connector = windlass_connectors::find(system)
        .ok_or_else(|| Error::new(Exit::Usage, format!("there is no simulator `{system}`")))?;
    let port = matches.get_one::<u16>("port").copied().unwrap_or_default();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    block_on(async {
        let started = (connector.simulator.start)(matches, address).await;
        let serving = started.map_err(|what| {
            Error::new(Exit::Usage, what).hint("another --port may be free; 0 takes any")
        })?;
        display::simulator(connector, &serving);
        let (speak, mut orders) = channel(1);
        tokio::select! {
            () = serving.serving => {}
            () = crate::signals::forward(speak) => {}
            _ = orders.recv() => {}
        }
        Ok(Exit::Done)
    })
}
