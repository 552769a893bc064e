//! What a job or a query is opened with, from the settings in force.

use crate::exit::{Error, Exit};
use crate::settings::{Keys, Settings};
use jiff::Timestamp;
use windlass_connectors::transport::{BaseUrl, NetworkOptions, Transport, check_base_url};
use windlass_connectors::{Connector, Setup};
use windlass_engine::clock::Clock;

/// What is opened on this system is opened with this; `seed` is that of the jitter.
///
/// # Errors
/// A wrong base URL.
pub fn setup(
    settings: &Settings,
    connector: &Connector,
    clock: Clock,
    keys: Keys,
    seed: u64,
) -> Result<Setup, Error> {
    let system = connector.name;
    let text = |name: &str| settings.text(&format!("{system}.{name}"));
    let base_url = if connector.has_base_url() {
        check_base_url(text("base-url").unwrap_or(connector.base_url))
            .map_err(|error| Error::new(Exit::Usage, error.to_string()).hint(error.hint()))?
    } else {
        BaseUrl::nowhere()
    };
    let limits = settings.limits(connector, seed);
    let idle_connections_max = usize::try_from(limits.concurrency()).unwrap_or(usize::MAX);
    let protect = settings.get(&format!("{system}.protect"));
    Ok(Setup {
        clock,
        base_url,
        key: keys.key,
        identity: keys.identity,
        other_key: keys.other_key,
        settings: settings.own(connector),
        json: settings.text("output") == Some("json"),
        transport: Transport::network(NetworkOptions {
            idle_connections_max,
            ..NetworkOptions::from_env()
        }),
        limits,
        now: Timestamp::now(),
        protect: protect.map(|value| value.texts.clone()).unwrap_or_default(),
        state_folder: settings.state_dir().ok().map(|folder| folder.join(system)),
    })
}

/// The keys for an operation. One that needs no remote is opened with those that there are.
///
/// # Errors
/// When the operation needs a key and there is none, or not all of one.
pub fn keys(settings: &Settings, connector: &Connector, remote: bool) -> Result<Keys, Error> {
    match settings.keys(connector) {
        Err(_) if !remote => Ok(Keys::none()),
        found => found,
    }
}
