//! `windlass apply`: carries out exactly what a plan says, for the same account only and while
//! it is fresh.

use super::desk::{Desk, Wires, block_on};
use super::plan::{adopt, confirm, refuse_if_too_large};
use super::preview::preview;
use crate::cli::ApplyArgs;
use crate::display::words;
use crate::exit::{Error, Exit};
use crate::runs::Planned;
use crate::settings::{Origin, variables_with_keys};
use clap::{Arg, ArgMatches, FromArgMatches};
use std::path::Path;
use std::time::Duration;
use windlass_connectors::transport::{BaseUrl, check_base_url};
use windlass_connectors::{Connector, Opening, OperationKind, Setup};
use windlass_engine::clock::{Clock, unix_millis};
use windlass_engine::plan::{Header, Plan};

/// A clock may run a little behind the one that made the plan.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Carries out a plan.
pub fn run(matches: &ArgMatches) -> Result<Exit, Error> {
    let args = ApplyArgs::from_arg_matches(matches).unwrap_or_default();
    let plan = find_plan(matches, &args.plan)?;
    let connector = connector_of(&plan.header)?;
    let desk = Desk::open(Some(connector), matches)?;
    refuse_if_stale(&desk, connector, &plan.header)?;
    block_on(async {
        let mut wires = Wires::new();
        let (_, opening) =
            reopen(&desk, connector, &plan.header, matches, wires.context.clock, KeyRule::Same)?;
        let kind = connector.kind_of(&plan.header.operation);
        if kind == OperationKind::Destroy {
            refuse_if_too_large(&desk, connector, &plan.header)?;
        }
        let folder = desk.runs.create(&plan.header.id)?;
        if folder.is_begun() {
            let what = format!("this plan was begun already, as run {}", folder.name);
            return Err(Error::new(Exit::Refused, what).hint(format!(
                "`windlass resume {0}` goes on with it, `windlass report {0}` shows it",
                folder.name
            )));
        }
        let plan = adopt(&plan, &folder)?;
        let screen = desk.screen_for(&opening);
        screen.preview(&preview(&opening, &plan)?, false);
        if plan.header.steps == 0 {
            screen.nothing_to_do(&plan.header);
            return Ok(Exit::Done);
        }
        if kind == OperationKind::Destroy && !args.yes {
            confirm(&plan.header, &opening, &mut wires).await?;
        }
        desk.work(opening, Planned::whole(plan), &folder, wires, false).await
    })
}

/// A file where there is one, else a run by its name.
fn find_plan(matches: &ArgMatches, text: &str) -> Result<Plan, Error> {
    let path = Path::new(text);
    if path.is_file() {
        return Ok(Plan::open(path)?);
    }
    let looks_like_path = text.contains(['/', '\\']) || path.extension().is_some();
    let found = Desk::open(None, matches)?.runs.find(text);
    match found {
        Ok(folder) => folder.plan(),
        Err(_) if looks_like_path => {
            Err(Error::new(Exit::Usage, format!("there is no plan {text}"))
                .hint("name a file that --plan-out wrote, or a run that --dry-run planned"))
        }
        Err(error) => Err(error),
    }
}

/// The system that a plan belongs to.
pub fn connector_of(plan: &Header) -> Result<&'static Connector, Error> {
    windlass_connectors::find(&plan.system).ok_or_else(|| {
        let what = format!("the plan is for `{}`, which this program does not know", plan.system);
        Error::new(Exit::Usage, what).hint("use the version of windlass that made it")
    })
}

/// Which key a plan may be carried out with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// The one it was made with.
    Same,
    /// Another one of the same account: the first was revoked in the middle of the run.
    Replaced,
}

/// Opens the job of a plan, for the account and the base URL that it was made with. A base URL
/// that nobody named is the plan's own: the account has to fit, too.
pub fn reopen(
    desk: &Desk,
    connector: &Connector,
    plan: &Header,
    matches: &ArgMatches,
    clock: Clock,
    key: KeyRule,
) -> Result<(Setup, Opening), Error> {
    let mut setup = desk.setup(connector, clock)?;
    if connector.has_base_url() {
        setup.base_url = base_url_of(desk, connector, plan, &setup.base_url)?;
    }
    let opening = (connector.reopen)(&setup, plan, &guards(connector, matches))?;
    if key == KeyRule::Same && opening.account != plan.account {
        let what = format!(
            "the plan was made with another key or account ({}) than the present one ({})",
            plan.account, opening.account
        );
        return Err(Error::new(Exit::Refused, what).hint(format!(
            "set {} to the key of the plan's account, or make a new plan; \
             `windlass resume --new-key` \
             goes on with a run whose key was replaced",
            variables_with_keys(connector)
        )));
    }
    Ok((setup, opening))
}

/// The base URL of a plan, unless a person named another one.
fn base_url_of(
    desk: &Desk,
    connector: &Connector,
    plan: &Header,
    present: &BaseUrl,
) -> Result<BaseUrl, Error> {
    let named = desk.settings.get(&format!("{}.base-url", connector.name));
    if named.is_none_or(|value| value.origin == Origin::Default) {
        return check_base_url(&plan.base_url)
            .map_err(|error| Error::new(Exit::Usage, error.to_string()).hint(error.hint()));
    }
    if present.to_string() != plan.base_url {
        let what = format!("the plan was made for {}, not for {present}", plan.base_url);
        return Err(Error::new(Exit::Refused, what)
            .hint("apply it with the base URL it was made for, or make a new plan"));
    }
    Ok(present.clone())
}

/// The guards of a command line; one that does not have all of them names none.
fn guards(connector: &Connector, matches: &ArgMatches) -> ArgMatches {
    let command = (connector.guards)();
    let known = |argument: &Arg| matches.try_contains_id(argument.get_id().as_str()).is_ok();
    if command.get_arguments().all(known) {
        return matches.clone();
    }
    command.get_matches_from(["guards"])
}

fn refuse_if_stale(desk: &Desk, connector: &Connector, plan: &Header) -> Result<(), Error> {
    let age_max = desk.settings.duration(connector.name, "max-age");
    let now = unix_millis();
    let age = Duration::from_millis(now.saturating_sub(plan.created_unix_ms));
    let ahead = Duration::from_millis(plan.created_unix_ms.saturating_sub(now));
    if age > age_max || ahead > CLOCK_SKEW {
        let what = format!(
            "the plan is from {}, older than {} (--max-age)",
            words::when(plan.created_unix_ms),
            words::duration(age_max)
        );
        return Err(Error::new(Exit::Refused, what)
            .hint("make a new plan: what it would change may be different by now"));
    }
    Ok(())
}
