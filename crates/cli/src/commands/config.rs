//! `windlass config`: every setting with its value and where it comes from, and the environment
//! variables that set something.

use crate::cli;
use crate::display;
use crate::exit::{Error, Exit};
use crate::settings::{Settings, sources};
use clap::ArgMatches;
use windlass_connectors::{CONNECTORS, leaf};

/// Shows the settings in force, or what sets them.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let (path, matches) = leaf(matches);
    let settings = Settings::load(cli::program_flags(matches))?;
    match path.last() {
        Some(&"variables") => {
            display::variables(&variables(), super::desk::output(&settings));
            Ok(Exit::Done)
        }
        _ => show(&settings),
    }
}

/// Every variable with what it sets; of several that set the same, the first goes before.
fn variables() -> Vec<(&'static str, String)> {
    let mut rows: Vec<_> =
        sources(CONNECTORS).into_iter().map(|source| (source.variable, source.key)).collect();
    for connector in CONNECTORS {
        let system = connector.name;
        for credential in connector.credentials {
            rows.push((credential.variable, format!("the key to {system}")));
            let whose = credential.identity;
            rows.extend(whose.map(|name| (name, format!("whose key {} is", credential.variable))));
        }
        let other = connector.other_credential;
        rows.extend(other.map(|name| (name, format!("the key to a second account of {system}"))));
    }
    rows
}

fn show(settings: &Settings) -> Result<Exit, Error> {
    let state_dir = settings.state_dir()?.display().to_string();
    let mut rows: Vec<(String, String, String)> = settings
        .iter()
        .map(|(key, value)| (key.to_owned(), value.texts.join(", "), value.origin.to_string()))
        .collect();
    if settings.text("state-dir").is_none() {
        rows.push(("state-dir".to_owned(), state_dir, "default".to_owned()));
    }
    rows.sort();
    display::settings(&rows, super::desk::output(settings));
    Ok(Exit::Done)
}
