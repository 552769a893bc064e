//! `windlass SYSTEM OPERATION`: list, show the plan, ask, carry it out.

use super::desk::{Desk, Wires, block_on};
use super::preview::preview;
use crate::cli::SafetyArgs;
use crate::display;
use crate::exit::{Error, Exit};
use crate::runs::{RunFolder, io_error};
use crate::signals;
use clap::{ArgMatches, FromArgMatches};
use jiff::tz::TimeZone;
use std::io::BufRead;
use std::path::PathBuf;
use windlass_connectors::{Connector, Opening, Setup};
use windlass_engine::clock::unix_millis;
use windlass_engine::plan::{Draft, Header, Plan, PlanWriter};
use windlass_engine::runner::{Command, discover};

/// Lists, shows, asks and applies.
pub fn run(system: &str, matches: &ArgMatches) -> Result<Exit, Error> {
    let connector = windlass_connectors::find(system)
        .ok_or_else(|| Error::new(Exit::Usage, format!("there is no command `{system}`")))?;
    let Some((operation, matches)) = matches.subcommand() else {
        return Err(Error::new(Exit::Usage, format!("`{system}` needs an operation")));
    };
    let desk = Desk::open(Some(system), matches)?;
    let safety = SafetyArgs::from_arg_matches(matches).unwrap_or_default();
    block_on(async {
        let wires = Wires::new();
        let setup = desk.setup(connector, wires.context.clock)?;
        let opening = (connector.open)(&setup, operation, matches)?;
        plan_and_apply(&desk, connector, &setup, opening, &safety, wires).await
    })
}

/// The whole way of a new plan.
pub async fn plan_and_apply(
    desk: &Desk,
    connector: &Connector,
    setup: &Setup,
    opening: Opening,
    safety: &SafetyArgs,
    mut wires: Wires,
) -> Result<Exit, Error> {
    let draft = draft(connector, setup, &opening);
    let folder = match &safety.plan_out {
        Some(_) => None,
        None => Some(desk.runs.create(&draft.id)?),
    };
    let path = plan_path(safety, folder.as_ref());
    let made = make(desk, &opening, draft, &path, &mut wires).await;
    let plan = match made {
        Ok(plan) => plan,
        Err(error) => {
            if let Some(folder) = folder {
                folder.discard();
            }
            return Err(error);
        }
    };
    let is_result = safety.dry_run || safety.plan_out.is_some();
    desk.screen.preview(&preview(&opening, &plan)?, is_result);
    refuse_if_too_large(desk, connector, &plan.header)?;
    let Some(folder) = folder.filter(|_| !safety.dry_run) else {
        desk.screen.planned(&plan.header, &path, safety.plan_out.is_some());
        return Ok(Exit::Done);
    };
    if plan.header.steps == 0 {
        desk.screen.nothing_to_do(&plan.header);
        folder.discard();
        return Ok(Exit::Done);
    }
    if !safety.yes {
        confirm(&plan.header, &mut wires).await?;
    }
    desk.work(opening, plan, &folder, wires, false).await
}

fn plan_path(safety: &SafetyArgs, folder: Option<&RunFolder>) -> PathBuf {
    let in_folder = || folder.map(RunFolder::plan_path).unwrap_or_default();
    safety.plan_out.clone().unwrap_or_else(in_folder)
}

fn draft(connector: &Connector, setup: &Setup, opening: &Opening) -> Draft {
    let info = opening.job.info();
    Draft {
        id: new_name(connector.name, setup),
        system: info.system.to_owned(),
        operation: info.operation.to_owned(),
        account: opening.account.clone(),
        base_url: setup.base_url.to_string(),
        created_unix_ms: unix_millis(),
        options: opening.options.clone(),
        phases: info.phases.iter().map(|phase| phase.name).collect(),
    }
}

/// A name that sorts by time and that can be told over the phone: `workos-20260115-120000-k3f9`.
fn new_name(system: &str, setup: &Setup) -> String {
    let when = setup.now.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S");
    let tail: String = std::iter::repeat_with(fastrand::alphanumeric).take(4).collect();
    let tail = tail.to_lowercase();
    format!("{system}-{when}-{tail}")
}

async fn make(
    desk: &Desk,
    opening: &Opening,
    draft: Draft,
    path: &std::path::Path,
    wires: &mut Wires,
) -> Result<Plan, Error> {
    let writer = PlanWriter::create(path, draft)?;
    let mut reporters = desk.screen.reporters(writer.header(), &wires.speak);
    let listing = discover(
        &*opening.job,
        &wires.context,
        writer,
        &mut wires.signals,
        &mut wires.orders,
        &mut reporters,
    );
    let header = tokio::select! {
        header = listing => header,
        () = signals::forward(wires.speak.clone()) => unreachable!("signals are awaited for ever"),
    };
    drop(reporters);
    header?;
    Ok(Plan::open(path)?)
}

/// The ceiling is checked before the first deletion is sent.
pub fn refuse_if_too_large(desk: &Desk, connector: &Connector, plan: &Header) -> Result<(), Error> {
    match desk.settings.ceiling(connector.name) {
        Some(ceiling) if ceiling.is_exceeded(plan.steps, plan.seen()) => {
            let what = format!(
                "the plan has {} steps of {} objects seen, more than --max-delete {ceiling} allows",
                plan.steps,
                plan.seen()
            );
            Err(Error::new(Exit::Refused, what)
                .hint("nothing was changed; narrow the selection, or raise --max-delete"))
        }
        _ => Ok(()),
    }
}

/// Asks for the number of objects to be typed.
pub async fn confirm(plan: &Header, wires: &mut Wires) -> Result<(), Error> {
    if !display::can_ask() {
        return Err(Error::new(Exit::Refused, "nobody can be asked: this is not a terminal")
            .hint("--yes goes ahead without asking; --dry-run shows the plan only"));
    }
    display::question(plan);
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let typed = tokio::select! {
        read = reading => read.ok().and_then(Result::ok).unwrap_or_default(),
        () = interrupted(wires) => String::new(),
    };
    if typed.trim().replace([',', '_'], "") == plan.steps.to_string() {
        return Ok(());
    }
    Err(Error::new(Exit::Refused, "not confirmed; nothing was changed").hint(format!(
        "the plan is kept: `windlass apply {}` carries it out, as long as it is fresh",
        plan.id
    )))
}

async fn interrupted(wires: &mut Wires) {
    let listening = async {
        while let Some(order) = wires.orders.recv().await {
            if matches!(order.command, Command::Stop | Command::Abort) {
                break;
            }
        }
    };
    tokio::select! {
        () = listening => {}
        () = signals::forward(wires.speak.clone()) => {}
    }
}

/// Copies a plan into the folder of its run.
pub fn adopt(plan: &Plan, folder: &RunFolder) -> Result<Plan, Error> {
    let target = folder.plan_path();
    if !target.exists() {
        let partial = target.with_extension("partial");
        std::fs::copy(plan.path(), &partial)
            .and_then(|_| std::fs::rename(&partial, &target))
            .map_err(|error| io_error(&target, &error))?;
    }
    folder.plan()
}
