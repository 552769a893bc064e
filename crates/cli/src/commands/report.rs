//! `windlass report`: what a run did, from its journal.

use super::desk::Desk;
use crate::display;
use crate::exit::{Error, Exit};
use crate::runs::io_error;
use clap::ArgMatches;
use std::path::PathBuf;
use windlass_engine::report::Report;

/// Shows the report of a run, or writes it as a page.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let desk = Desk::open(None, matches)?;
    let folder = match matches.get_one::<String>("run") {
        Some(text) => desk.runs.find(text)?,
        None => desk.runs.all()?.into_iter().next().ok_or_else(|| {
            Error::new(Exit::Usage, "there is no run yet").hint("`windlass demo` makes one")
        })?,
    };
    let header = folder.header()?;
    let report = Report::new(&header, &folder.tally(&header)?);
    match matches.get_one::<PathBuf>("html") {
        Some(path) => {
            std::fs::write(path, display::html::page(&report))
                .map_err(|error| io_error(path, &error))?;
            display::note(&format!("the report is in {}", path.display()));
        }
        None => desk.screen.report(&report),
    }
    Ok(Exit::Done)
}
