//! `windlass runs`: what is kept, and in what state.

use super::desk::Desk;
use crate::display::RunRow;
use crate::exit::{Error, Exit};
use crate::runs::RunFolder;
use clap::ArgMatches;
use windlass_engine::event::Ending;
use windlass_engine::tally::Tally;

/// Lists all runs, the newest first.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let desk = Desk::open(None, matches)?;
    desk.runs.remove_abandoned();
    let folders = desk.runs.all()?;
    let rows: Vec<RunRow> = folders.iter().map(row).collect();
    desk.screen.runs(&rows);
    Ok(Exit::Done)
}

/// A run that can't be read is listed, too, with what is wrong.
fn row(folder: &RunFolder) -> RunRow {
    let read = folder.header().and_then(|header| {
        let tally = folder.tally(&header)?;
        Ok((header, tally))
    });
    match read {
        Ok((header, tally)) => RunRow {
            run: folder.name.clone(),
            operation: format!("{} {}", header.system, header.operation),
            created_unix_ms: header.created_unix_ms,
            steps: tally.steps,
            counts: tally.counts,
            state: state(folder, &tally).to_owned(),
        },
        Err(error) => RunRow {
            run: folder.name.clone(),
            state: error.to_string().lines().next().unwrap_or("unreadable").to_owned(),
            ..RunRow::default()
        },
    }
}

fn state(folder: &RunFolder, tally: &Tally) -> &'static str {
    let left = !tally.is_complete();
    if folder.is_running() {
        return if tally.paused { "running, paused" } else { "running" };
    }
    match (&tally.ending, left) {
        _ if !folder.is_begun() => "planned",
        (_, false) if tally.counts.failed > 0 => "done, some failed",
        (_, false) => "done",
        (None, true) => "interrupted, resumable",
        (Some(Ending::Fatal(_)), true) => "ended by an error, resumable",
        (Some(_), true) => "stopped, resumable",
    }
}
