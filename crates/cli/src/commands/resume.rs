//! `windlass resume`, and `--resume` of the commands that begin runs: the same plan, minus what the
//! journal has.

use super::apply::{KeyRule, connector_of, reopen};
use super::desk::{Desk, Wires, block_on};
use crate::cli::ResumeArgs;
use crate::exit::{Error, Exit};
use crate::runs::{RunFolder, Runs};
use clap::ArgMatches;
use serde_json::Value;
use windlass_connectors::{Connector, Opening, Setup};
use windlass_engine::plan::Header;
use windlass_engine::report::Report;

/// Goes on with a run that stopped, whatever stopped it.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let args = ResumeArgs::of(matches);
    let runs = Desk::open(None, matches)?.runs;
    let folder = match &args.run {
        Some(text) => runs.find(text)?,
        None => newest(&runs, args.retry_failed)?,
    };
    let connector = connector_of(&folder.header()?)?;
    let desk = Desk::open(Some(connector), matches)?;
    block_on(go_on(&desk, connector, &folder, matches, Wires::new()))
}

/// Goes on with this run.
///
/// # Errors
/// When it can't be gone on with: it was never begun, somebody is at work on it, or the account
/// is another one.
pub async fn go_on(
    desk: &Desk,
    connector: &Connector,
    folder: &RunFolder,
    matches: &ArgMatches,
    wires: Wires,
) -> Result<Exit, Error> {
    let args = ResumeArgs::of(matches);
    let header = folder.header()?;
    if !folder.is_begun() {
        let what = format!("run {} was only planned, never begun", folder.name);
        let hint = format!("`windlass apply {}` carries the plan out", folder.name);
        return Err(Error::new(Exit::Refused, what).hint(hint));
    }
    if folder.is_running() {
        // Taking the lock says who holds it.
        folder.lock()?;
    }
    let tally = folder.tally(&header)?;
    let report = Report::new(&header, &tally);
    if report.is_complete() && !(args.retry_failed && report.counts.failed > 0) {
        desk.screen.nothing_left(&report);
        return Ok(if report.counts.failed > 0 { Exit::Failed } else { Exit::Done });
    }
    let key = if args.new_key { KeyRule::Replaced } else { KeyRule::Same };
    let clock = wires.context.clock;
    let (_, opening) = reopen(desk, connector, &header, matches, clock, key)?;
    desk.screen_for(&opening).resuming(&report);
    desk.work(opening, folder.planned()?, folder, wires, args.retry_failed).await
}

/// The newest run that has something left and that nobody is at work on.
fn newest(runs: &Runs, retry_failed: bool) -> Result<RunFolder, Error> {
    newest_of(runs, retry_failed, |_| true)?.map_err(|busy| {
        let hint = busy.unwrap_or_else(|| "`windlass runs` lists all of them".to_owned());
        Error::new(Exit::Usage, "there is no run to resume").hint(hint)
    })
}

/// The newest unfinished run of this very job: with the same options, on the same account.
///
/// # Errors
/// When there is none.
pub fn newest_like(runs: &Runs, setup: &Setup, opening: &Opening) -> Result<RunFolder, Error> {
    let info = opening.job.info();
    let base_url = setup.base_url.to_string();
    let is_like = |plan: &Header| {
        plan.system == info.system
            && plan.operation == info.operation
            && plan.account == opening.account
            && plan.base_url == base_url
            && is_same(&plan.options, &opening.options)
    };
    newest_of(runs, false, is_like)?.map_err(|busy| {
        let hint = busy.unwrap_or_else(|| {
            "leave --resume out to begin one; `windlass runs` lists the others, and \
             `windlass resume RUN` goes on with one of them"
                .to_owned()
        });
        Error::new(Exit::Usage, "there is no unfinished run of this command").hint(hint)
    })
}

/// Whether two commands mean the same. `now` says when their options were resolved, not what they
/// are.
fn is_same(one: &Value, other: &Value) -> bool {
    let timeless = |options: &Value| {
        let mut options = options.clone();
        options.as_object_mut().map(|members| members.remove("now"));
        options
    };
    timeless(one) == timeless(other)
}

/// The newest such run that can be gone on with; else what to do about one that somebody is at
/// work on.
fn newest_of(
    runs: &Runs,
    retry_failed: bool,
    is_meant: impl Fn(&Header) -> bool,
) -> Result<Result<RunFolder, Option<String>>, Error> {
    let mut busy = None;
    for folder in runs.all()? {
        if !folder.is_begun() {
            continue;
        }
        let header = folder.header()?;
        if !is_meant(&header) {
            continue;
        }
        if folder.is_running() {
            busy = Some(format!(
                "a process is at work on run {0}: `windlass ctl {0} status` asks it",
                folder.name
            ));
            continue;
        }
        let tally = folder.tally(&header)?;
        if !tally.is_complete() || (retry_failed && tally.counts.failed > 0) {
            return Ok(Ok(folder));
        }
    }
    Ok(Err(busy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_moment_of_asking_is_no_difference() {
        let options = json!({ "prefix": "a", "now": 1, "inner": { "now": 1 } });
        let later = json!({ "prefix": "a", "now": 2, "inner": { "now": 1 } });
        assert!(is_same(&options, &later) && is_same(&json!([1]), &json!([1])));
        for other in [
            json!({ "prefix": "b", "now": 1, "inner": { "now": 1 } }),
            json!({ "prefix": "a", "now": 1, "inner": { "now": 2 } }),
            json!({ "prefix": "a", "now": 1 }),
        ] {
            assert!(!is_same(&options, &other), "{other}");
        }
    }
}
