//! `windlass config show`: every setting with its value and where it comes from.

use crate::cli;
use crate::display;
use crate::exit::{Error, Exit};
use crate::settings::Settings;
use clap::ArgMatches;

/// Shows the settings in force.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let mut leaf = matches;
    while let Some((_, inner)) = leaf.subcommand() {
        leaf = inner;
    }
    let settings = Settings::load(cli::program_flags(leaf))?;
    let state_dir = settings.state_dir()?.display().to_string();
    let mut rows: Vec<(String, String, String)> = settings
        .iter()
        .map(|(key, value)| (key.to_owned(), value.texts.join(", "), value.origin.to_string()))
        .collect();
    if settings.text("state-dir").is_none() {
        rows.push(("state-dir".to_owned(), state_dir, "default".to_owned()));
    }
    rows.sort();
    display::settings(&rows, super::desk::output(&settings));
    Ok(Exit::Done)
}
