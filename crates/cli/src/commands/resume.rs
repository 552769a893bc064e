//! `windlass resume`: the same plan, minus what the journal has.

use super::apply::{KeyRule, connector_of, reopen};
use super::desk::{Desk, Wires, block_on};
use crate::cli::ResumeArgs;
use crate::exit::{Error, Exit};
use crate::runs::{RunFolder, Runs};
use clap::{ArgMatches, FromArgMatches};
use windlass_engine::report::Report;

/// Goes on with a run that stopped, whatever stopped it.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let args = ResumeArgs::from_arg_matches(matches).unwrap_or_default();
    let runs = Desk::open(None, matches)?.runs;
    let folder = match &args.run {
        Some(text) => runs.find(text)?,
        None => newest(&runs, args.retry_failed)?,
    };
    let plan = folder.plan()?;
    let connector = connector_of(&plan.header)?;
    let desk = Desk::open(Some(connector.name), matches)?;
    if !folder.is_begun() {
        let what = format!("run {} was only planned, never begun", folder.name);
        let hint = format!("`windlass apply {}` carries the plan out", folder.name);
        return Err(Error::new(Exit::Refused, what).hint(hint));
    }
    if folder.is_running() {
        // Taking the lock says who holds it.
        folder.lock()?;
    }
    let tally = folder.tally(&plan.header)?;
    let report = Report::new(&plan.header, &tally);
    if report.is_complete() && !(args.retry_failed && report.counts.failed > 0) {
        desk.screen.nothing_left(&report);
        return Ok(if report.counts.failed > 0 { Exit::Failed } else { Exit::Done });
    }
    block_on(async {
        let wires = Wires::new();
        let key = if args.new_key { KeyRule::Replaced } else { KeyRule::Same };
        let clock = wires.context.clock;
        let (_, opening) = reopen(&desk, connector, &plan.header, matches, clock, key)?;
        desk.screen.resuming(&report);
        desk.work(opening, plan, &folder, wires, args.retry_failed).await
    })
}

/// The newest run that has something left and that nobody is at work on.
fn newest(runs: &Runs, retry_failed: bool) -> Result<RunFolder, Error> {
    let mut hint = "`windlass runs` lists all of them".to_owned();
    for folder in runs.all()? {
        if !folder.is_begun() {
            continue;
        }
        if folder.is_running() {
            hint = format!(
                "a process is at work on run {0}: `windlass ctl {0} status` asks it",
                folder.name
            );
            continue;
        }
        let plan = folder.plan()?;
        let tally = folder.tally(&plan.header)?;
        let left = tally.steps > tally.counts.settled();
        if left || (retry_failed && tally.counts.failed > 0) {
            return Ok(folder);
        }
    }
    Err(Error::new(Exit::Usage, "there is no run to resume").hint(hint))
}
