//! The way of a new plan: list, show it, ask, carry it out.

use super::desk::{Desk, Wires};
use super::preview::preview;
use crate::cli::Choices;
use crate::display::{self, Screen, words};
use crate::exit::{Error, Exit};
use crate::runs::{Planned, RunFolder, io_error};
use crate::signals;
use jiff::tz::TimeZone;
use std::io::BufRead;
use std::path::PathBuf;
use windlass_connectors::{Connector, Opening, OperationKind, Setup};
use windlass_engine::clock::unix_millis;
use windlass_engine::plan::{Draft, Header, Plan, PlanWriter};
use windlass_engine::runner::{Command, discover};

/// What the reasons for leaving an object alone have in common where an expression says neither yes
/// nor no to it.
const UNANSWERED: &str = "can't be answered";

/// The whole way of a new plan.
pub async fn plan_and_apply(
    desk: &Desk,
    connector: &Connector,
    setup: &Setup,
    opening: Opening,
    choices: &Choices,
    mut wires: Wires,
) -> Result<Exit, Error> {
    let draft = draft(connector, setup, &opening);
    let folder = match &choices.plan_out {
        Some(_) => None,
        None => Some(desk.runs.create(&draft.id)?),
    };
    let path = plan_path(choices, folder.as_ref());
    if let (OperationKind::Stream, Some(folder)) = (choices.kind, &folder) {
        return stream(desk, opening, draft, folder, wires).await;
    }
    let screen = desk.screen_for(&opening);
    let made = async {
        // While it is listed, a run is at work for everybody who looks at its folder.
        let _lock = folder.as_ref().map(RunFolder::lock).transpose()?;
        make(&screen, &opening, draft, &path, &mut wires).await
    };
    let plan = match made.await.and_then(|plan| checked(&screen, &opening, choices, plan)) {
        Ok(plan) => plan,
        Err(error) => {
            if let Some(folder) = folder {
                folder.discard();
            }
            return Err(error);
        }
    };
    if choices.kind == OperationKind::Destroy {
        refuse_if_too_large(desk, connector, &plan.header)?;
    }
    let Some(folder) = folder.filter(|_| !choices.changes_nothing()) else {
        let name = choices.plan_out.as_ref().map(|path| path.display().to_string());
        screen.planned(&plan.header, &path, name.as_deref(), choices.lacks_execute);
        return Ok(Exit::Done);
    };
    if plan.header.steps == 0 {
        screen.nothing_to_do(&plan.header);
        folder.discard();
        return Ok(Exit::Done);
    }
    if choices.asks() {
        confirm(&plan.header, &opening, &mut wires).await?;
    }
    desk.work(opening, Planned::whole(plan), &folder, wires, false).await
}

/// The way of what destroys nothing: it begins while it still lists.
async fn stream(
    desk: &Desk,
    opening: Opening,
    draft: Draft,
    folder: &RunFolder,
    wires: Wires,
) -> Result<Exit, Error> {
    let leaves_nothing = opening.data_on_stdout;
    let planned = Planned::growing(PlanWriter::create(&folder.plan_path(), draft)?)?;
    let exit = desk.work(opening, planned, folder, wires, false).await?;
    if leaves_nothing && exit == Exit::Done {
        // What went to a stream can't be gone on with, and nothing of it failed.
        folder.discard();
    }
    Ok(exit)
}

/// Shows a plan where one is to be shown, and refuses one that is empty for want of an answer.
fn checked(
    screen: &Screen,
    opening: &Opening,
    choices: &Choices,
    plan: Plan,
) -> Result<Plan, Error> {
    if choices.kind != OperationKind::Stream {
        screen.preview(&preview(opening, &plan)?, choices.only_plans());
    }
    let reasons = plan.header.left.iter();
    let unanswered: u64 =
        reasons.filter(|(why, _)| why.contains(UNANSWERED)).map(|(_, count)| count).sum();
    if plan.header.steps > 0 || unanswered == 0 {
        return Ok(plan);
    }
    // Whoever asked for a file must not take this one for a plan.
    let _ = std::fs::remove_file(plan.path());
    let what = format!(
        "nothing is selected: the expression could not be answered for {}",
        words::plural(unanswered, "object")
    );
    Err(Error::new(Exit::Usage, what).hint(
        "it has to be true or false for every object; `has(object.FIELD)` asks whether there is \
         such a field",
    ))
}

fn plan_path(choices: &Choices, folder: Option<&RunFolder>) -> PathBuf {
    let in_folder = || folder.map(RunFolder::plan_path).unwrap_or_default();
    choices.plan_out.clone().unwrap_or_else(in_folder)
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
        phases: info.phases.iter().map(|phase| phase.name.to_string()).collect(),
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
    screen: &Screen,
    opening: &Opening,
    draft: Draft,
    path: &std::path::Path,
    wires: &mut Wires,
) -> Result<Plan, Error> {
    let writer = PlanWriter::create(path, draft)?;
    let expected = display::expected(&opening.job.info());
    let mut reporters = screen.reporters(writer.header(), &expected, &wires.speak);
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

/// The ceiling is checked before the first step is sent.
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

/// Asks for the number of objects to be typed, or for the word that the job asks for.
pub async fn confirm(plan: &Header, opening: &Opening, wires: &mut Wires) -> Result<(), Error> {
    if !display::can_ask() {
        return Err(Error::new(Exit::Refused, "nobody can be asked: this is not a terminal")
            .hint("--yes goes ahead without asking; --dry-run shows the plan only"));
    }
    display::question(plan, opening.question.as_deref());
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let typed = tokio::select! {
        read = reading => read.ok().and_then(Result::ok).unwrap_or_default(),
        () = interrupted(wires) => String::new(),
    };
    if is_yes(&typed, plan, opening.question.as_deref()) {
        return Ok(());
    }
    Err(Error::new(Exit::Refused, "not confirmed; nothing was changed").hint(format!(
        "the plan is kept: `windlass apply {}` carries it out, as long as it is fresh",
        plan.id
    )))
}

/// Whether this is exactly what was asked for. A number may be grouped; an empty word is none.
fn is_yes(typed: &str, plan: &Header, word: Option<&str>) -> bool {
    let typed = typed.trim();
    match word {
        Some(word) => typed == word.trim() && !typed.is_empty(),
        None => typed.replace([',', '_'], "") == plan.steps.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_engine::plan::FORMAT;

    #[test]
    fn only_what_is_asked_for_is_a_yes() {
        let plan = Header {
            windlass_plan: FORMAT,
            id: "run".into(),
            system: "store".into(),
            operation: "drop".into(),
            account: String::new(),
            base_url: String::new(),
            created_unix_ms: 0,
            options: serde_json::Value::Null,
            phases: Vec::new(),
            left: [].into(),
            steps: 1_200,
            digest: String::new(),
        };
        for typed in ["1200", "1,200\n", " 1_200 "] {
            assert!(is_yes(typed, &plan, None), "{typed}");
            assert!(!is_yes(typed, &plan, Some("My Store")), "{typed}");
        }
        for typed in ["", "yes", "120", "1201", "My Store"] {
            assert!(!is_yes(typed, &plan, None), "{typed}");
        }
        assert!(is_yes("My Store\n", &plan, Some("My Store")));
        for typed in ["", "my store", "My", "My Store 2"] {
            assert!(!is_yes(typed, &plan, Some("My Store")), "{typed}");
        }
        assert!(!is_yes("", &plan, Some("")), "an empty word can't be meant");
    }
}
