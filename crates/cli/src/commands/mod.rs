//! One file for each command. They read settings, open jobs and runs, and leave the showing to
//! [`crate::display`].

mod apply;
mod completions;
mod config;
mod ctl;
mod demo;
mod desk;
mod plan;
mod preview;
mod report;
mod resume;
mod runs;
mod sim;

use crate::exit::{Error, Exit};
use clap::ArgMatches;

/// Carries out the command of this command line.
///
/// # Errors
/// Everything that ends the program before or instead of a run.
pub fn dispatch(matches: &ArgMatches) -> Result<Exit, Error> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Error::new(Exit::Usage, "no command is given").hint("see `windlass --help`"));
    };
    match name {
        "apply" => apply::run(matches),
        "resume" => resume::run(matches),
        "runs" => runs::run(matches),
        "report" => report::run(matches),
        "ctl" => ctl::run(matches),
        "sim" => sim::run(matches),
        "demo" => demo::run(matches),
        "config" => config::run(matches),
        "completions" => Ok(completions::run(matches)),
        system => plan::run(system, matches),
    }
}
