//! One file for each command. They read settings, open jobs and runs, and leave the showing to
//! [`crate::display`].

mod apply;
mod completions;
mod config;
mod ctl;
mod demo;
mod desk;
mod operation;
mod plan;
mod preview;
mod query;
mod report;
mod resume;
mod runs;
mod setup;
mod sim;

use crate::exit::{Error, Exit};
use clap::ArgMatches;

/// Carries out the command of this command line.
///
/// # Errors
/// Everything that ends the program before or instead of a run.
pub fn dispatch(matches: &ArgMatches) -> Result<Exit, Error> {
    let Some((name, inner)) = matches.subcommand() else {
        return Err(Error::new(Exit::Usage, "no command is given").hint("see `windlass --help`"));
    };
    match name {
        "apply" => apply::run(inner),
        "resume" => resume::run(inner),
        "runs" => runs::run(inner),
        "report" => report::run(inner),
        "ctl" => ctl::run(inner),
        "sim" => sim::run(inner),
        "demo" => demo::run(inner),
        "config" => config::run(inner),
        "completions" => Ok(completions::run(inner)),
        _ => operation::run(matches),
    }
}
