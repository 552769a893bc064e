//! `windlass ctl`: speaks to a run in progress.

use super::desk::Desk;
use crate::control;
use crate::exit::{Error, Exit};
use clap::ArgMatches;
use windlass_engine::runner::Command;

/// Sends one order and shows the status after it.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let desk = Desk::open(None, matches)?;
    let text = matches.get_one::<String>("run").map_or("", String::as_str);
    let folder = desk.runs.find(text)?;
    let command = match matches.subcommand() {
        Some(("pause", _)) => Command::Pause,
        Some(("resume", _)) => Command::Resume,
        Some(("stop", _)) => Command::Stop,
        Some(("abort", _)) => Command::Abort,
        Some(("rate", rate)) => Command::Rate(checked(rate.get_one("per_second").copied())?),
        _ => Command::Status,
    };
    let status = control::send(&folder, command)?;
    desk.screen.status(&status);
    Ok(Exit::Done)
}

fn checked(rate: Option<f64>) -> Result<f64, Error> {
    rate.filter(|rate| *rate >= 0.0 && rate.is_finite()).ok_or_else(|| {
        Error::new(Exit::Usage, "a rate is a number of requests a second, from 0 on")
            .hint("`rate 30` allows 30 a second, `rate 0` takes the ceiling away")
    })
}
