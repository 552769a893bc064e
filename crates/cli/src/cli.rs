//! The command line: every system's own arguments from its connector, joined with those that all
//! of them share.

use crate::settings::Flags;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command};
use clap_complete::Shell;
use std::path::PathBuf;
use windlass_connectors::{CONNECTORS, Connector, OperationKind, find_operation};

/// How a remote may be used; the same for every system.
#[derive(Clone, Debug, Default, Args)]
pub struct LimitArgs {
    /// How much of the documented quota is used: conservative, balanced, aggressive, maximum
    #[arg(long, value_name = "NAME", help_heading = "Limits")]
    profile: Option<String>,

    /// Override a window of the quota: WINDOW=50/60s, WINDOW=unlimited, or unlimited for all
    #[arg(long, value_name = "WINDOW=QUOTA", help_heading = "Limits")]
    quota: Vec<String>,

    /// The share of every window that is left to the account's other users, such as 5%
    #[arg(long, value_name = "N%", help_heading = "Limits")]
    reserve: Option<String>,

    /// A ceiling in requests a second [env: MAX_REQUESTS_PER_SECOND]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_requests_per_second: Option<String>,

    /// Requests on the wire, at most [env: CONCURRENCY]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    concurrency: Option<String>,

    /// Spread requests evenly inside their windows
    #[arg(long, help_heading = "Limits")]
    smooth: bool,

    /// How long one attempt may take
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    timeout: Option<String>,

    /// How often a request is made again after a failure; a 429 costs none of them
    #[arg(long, value_name = "N", help_heading = "Limits")]
    retries: Option<String>,

    /// How long the remote may be silent before the run ends, resumable
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    deadline: Option<String>,
}

/// Where a remote is, for systems whose key does not say so.
#[derive(Clone, Debug, Default, Args)]
pub struct PlaceArgs {
    /// Where the API is
    #[arg(long, value_name = "URL", help_heading = "Remote")]
    base_url: Option<String>,
}

/// How a run is shown; the same for every command that runs something.
#[derive(Clone, Debug, Default, Args)]
pub struct ShowArgs {
    /// Full screen with charts; keys: p pause, + and - rate, q stop
    #[arg(long, help_heading = "Display")]
    pub dashboard: bool,

    /// Keep the run's figures in this file as Prometheus reads them, for its textfile collector
    #[arg(long, value_name = "FILE", help_heading = "Display")]
    pub metrics_file: Option<PathBuf>,

    #[command(flatten)]
    pub watch: WatchArgs,
}

/// How anything that talks to a remote is shown.
#[derive(Clone, Debug, Default, Args)]
pub struct WatchArgs {
    /// Show every page, rate-limit hit, retry and answer with its request id
    #[arg(long, help_heading = "Display")]
    pub debug: bool,

    /// Show nothing but results and trouble
    #[arg(long, short, help_heading = "Display")]
    pub quiet: bool,
}

/// What is done with a plan.
#[derive(Clone, Debug, Default, Args)]
pub struct PlanArgs {
    /// Show what would be done, keep the plan, change nothing
    #[arg(long, short = 'n', conflicts_with = "resume", help_heading = "Safety")]
    dry_run: bool,

    /// Write the plan to this file and change nothing; `windlass apply FILE` carries it out
    #[arg(long, value_name = "FILE", conflicts_with = "resume", help_heading = "Safety")]
    plan_out: Option<PathBuf>,
}

/// What guards a destructive run.
#[derive(Clone, Debug, Default, Args)]
pub struct SafetyArgs {
    #[command(flatten)]
    plan: PlanArgs,

    /// Refuse when the plan has more than this: a number, or a share of what was listed (10%)
    #[arg(long, value_name = "N|N%", help_heading = "Safety")]
    max_delete: Option<String>,

    /// Do not ask; for automation
    #[arg(long, short, visible_alias = "force", help_heading = "Safety")]
    yes: bool,
}

/// How an interrupted run is taken up again by the command that began it.
#[derive(Clone, Debug, Default, Args)]
pub struct ResumeFlag {
    /// Go on with the newest unfinished run of this very command
    #[arg(long, help_heading = "Safety")]
    resume: bool,
}

/// What a command line says about how its operation is carried out.
#[derive(Clone, Debug)]
pub struct Choices {
    /// What kind of operation it is.
    pub kind: OperationKind,
    /// Show the plan and change nothing.
    pub dry_run: bool,
    /// Show the plan and change nothing, because the command wants to be told `--execute`.
    pub lacks_execute: bool,
    /// Write the plan to this file and change nothing.
    pub plan_out: Option<PathBuf>,
    /// Do not ask.
    pub yes: bool,
    /// Go on with a run instead of beginning one.
    pub resume: bool,
}

impl Choices {
    /// What the arguments of an operation say; it may have none of them.
    #[must_use]
    pub fn of(kind: OperationKind, matches: &ArgMatches) -> Self {
        Self {
            kind,
            dry_run: flag(matches, "dry_run"),
            lacks_execute: has_flag(matches, "execute")
                && !flag(matches, "execute")
                && !is_given(matches, "workers_of"),
            plan_out: matches.try_get_one("plan_out").ok().flatten().cloned(),
            yes: flag(matches, "yes"),
            resume: flag(matches, "resume"),
        }
    }

    /// Whether the plan is all that is wanted.
    #[must_use]
    pub fn only_plans(&self) -> bool {
        self.changes_nothing() || self.plan_out.is_some()
    }

    /// Whether it ends with the plan, which is kept in its run's folder.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.dry_run || self.lacks_execute
    }

    /// Whether a person has to say yes before anything is changed.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.kind == OperationKind::Destroy && !self.yes
    }
}

/// What guards the application of a plan.
#[derive(Clone, Debug, Default, Args)]
pub struct ApplyArgs {
    /// A plan file, or the name of a run that was only planned
    pub plan: String,

    /// How old the plan may be
    #[arg(long, value_name = "TIME", help_heading = "Safety")]
    max_age: Option<String>,

    /// Refuse when the plan has more than this: a number, or a share of what was listed (10%)
    #[arg(long, value_name = "N|N%", help_heading = "Safety")]
    pub max_delete: Option<String>,

    /// Do not ask; for automation
    #[arg(long, short, visible_alias = "force", help_heading = "Safety")]
    pub yes: bool,
}

/// What a resumed run can be told.
#[derive(Clone, Debug, Default, Args)]
pub struct ResumeArgs {
    /// The run's name or a part of it; without it, the newest that can be resumed
    pub run: Option<String>,

    /// Try again what failed
    #[arg(long)]
    pub retry_failed: bool,

    /// The account's key was replaced: go on with the present one, of the same environment
    #[arg(long)]
    pub new_key: bool,
}

impl ResumeArgs {
    /// What a command line says; `--resume` of another command says none of it.
    #[must_use]
    pub fn of(matches: &ArgMatches) -> Self {
        Self {
            run: matches.try_get_one("run").ok().flatten().cloned(),
            retry_failed: flag(matches, "retry_failed"),
            new_key: flag(matches, "new_key"),
        }
    }
}

/// The arguments of one text that are settings of a system.
const SETTINGS: &[(&str, &str)] = &[
    ("profile", "profile"),
    ("reserve", "reserve"),
    ("max_requests_per_second", "max-requests-per-second"),
    ("concurrency", "concurrency"),
    ("timeout", "timeout"),
    ("retries", "retries"),
    ("deadline", "deadline"),
    ("base_url", "base-url"),
    ("max_delete", "max-delete"),
    ("max_age", "max-age"),
];

/// Flags of a system as settings, with the name of the flag: those of every system, and those
/// that the system's own arguments share their names with.
pub fn system_flags(connector: &Connector, matches: &ArgMatches) -> Flags {
    let system = connector.name;
    let key = |name: &'static str, texts: Vec<String>| (format!("{system}.{name}"), name, texts);
    let common = SETTINGS.iter().filter_map(|(id, name)| Some(key(name, said(matches, id)?)));
    let own = connector.settings.iter();
    let own =
        own.filter_map(|own| Some(key(own.name, said(matches, &own.name.replace('-', "_"))?)));
    let mut flags: Flags = common.chain(own).collect();
    if flag(matches, "smooth") {
        flags.push(key("smooth", vec!["true".to_owned()]));
    }
    flags.extend(said(matches, "quota").map(|texts| key("quota", texts)));
    flags
}

/// How a run is to be shown; a command that runs nothing has no such flags.
pub fn show_args(matches: &ArgMatches) -> ShowArgs {
    ShowArgs {
        dashboard: flag(matches, "dashboard"),
        metrics_file: matches.try_get_one("metrics_file").ok().flatten().cloned(),
        watch: WatchArgs { debug: flag(matches, "debug"), quiet: flag(matches, "quiet") },
    }
}

/// Whether a flag is given. A command that has no such flag, or another thing of this name, does
/// not have it.
fn flag(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or_default()
}

/// Whether a command has this flag, given or not.
fn has_flag(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).is_ok_and(|value| value.is_some())
}

/// Whether an argument stands on the command line, whatever it takes.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).unwrap_or_default()
}

/// The texts that an argument has on the command line, if it is there at all.
fn said(matches: &ArgMatches, id: &str) -> Option<Vec<String>> {
    let texts: Vec<String> = matches.try_get_many(id).ok().flatten()?.cloned().collect();
    let is_said = matches.value_source(id) == Some(ValueSource::CommandLine);
    is_said.then_some(texts)
}

/// The global flags as settings.
pub fn program_flags(matches: &ArgMatches) -> Flags {
    let names = [("output", "output"), ("state_dir", "state-dir")];
    let flag = |(id, name): (&str, &'static str)| Some((name.to_owned(), name, said(matches, id)?));
    names.into_iter().filter_map(flag).collect()
}

/// The whole command line.
pub fn command() -> Command {
    let systems = CONNECTORS.iter().flat_map(|connector| (connector.commands)());
    Command::new("windlass")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Bulk operations against rate-limited APIs: a plan first, exact limits, \
             nothing lost, nothing done twice",
        )
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(global("output", "output", "text|json", "Text for people, or one JSON line an event"))
        .arg(global("state_dir", "state-dir", "DIR", STATE_DIR_HELP))
        .subcommands(systems.map(|command| dressed(command, &[])))
        .subcommand(apply())
        .subcommand(resume())
        .subcommand(Command::new("runs").about("List the runs that are kept"))
        .subcommand(report())
        .subcommand(ctl())
        .subcommand(simulators())
        .subcommand(shown(
            Command::new("demo").about("A real run against a simulated WorkOS: no key, no network"),
        ))
        .subcommand(
            Command::new("config")
                .about("Settings")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(Command::new("show").about("Every setting with its value and origin"))
                .subcommand(
                    Command::new("variables").about("The environment variables that set something"),
                ),
        )
        .subcommand(
            Command::new("completions")
                .about("Completions for a shell")
                .arg(Arg::new("shell").required(true).value_parser(clap::value_parser!(Shell))),
        )
}

const STATE_DIR_HELP: &str = "Where runs are kept [env: WINDLASS_STATE_DIR]";

const EXIT_CODES: &str = "Exit codes: 0 all done, 1 bug, 2 usage or settings, \
3 finished with failed steps, \
4 stopped early (resumable), 5 refused for safety, 6 credentials refused, 7 remote unavailable";

fn global(id: &'static str, long: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(long).value_name(value).help(help).global(true).help_heading("Global")
}

/// A command of a system, with the arguments that its kind of operation shares with others, down
/// to its last subcommands.
fn dressed(command: Command, above: &[&str]) -> Command {
    let name = command.get_name().to_owned();
    let path = [above, &[&name]].concat();
    let inner: Vec<String> =
        command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let mut command = match find_operation(&path) {
        Some((connector, operation)) => {
            let has_place = operation.remote && connector.has_base_url();
            operated(command, operation.kind, operation.remote, has_place)
        }
        None => command.subcommand_required(true).arg_required_else_help(true),
    };
    for name in inner {
        command = command.mut_subcommand(name, |inner| dressed(inner, &path));
    }
    command
}

fn operated(command: Command, kind: OperationKind, remote: bool, has_place: bool) -> Command {
    let command = match kind {
        OperationKind::Destroy => with::<ResumeFlag>(with::<SafetyArgs>(command)),
        OperationKind::Write => with::<ResumeFlag>(with::<PlanArgs>(command)),
        OperationKind::Stream => with::<ResumeFlag>(command),
        OperationKind::Query | OperationKind::Serve => command,
    };
    let command = if remote { with::<LimitArgs>(command) } else { command };
    let command = if has_place { with::<PlaceArgs>(command) } else { command };
    match kind {
        OperationKind::Query => with::<WatchArgs>(command),
        OperationKind::Serve => command,
        _ => shown(command),
    }
}

/// Whatever the system of the plan turns out to be.
fn limited(command: Command) -> Command {
    with::<PlaceArgs>(with::<LimitArgs>(command))
}

fn shown(command: Command) -> Command {
    with::<ShowArgs>(command)
}

/// Adds the arguments that the command does not have itself.
fn with<A: Args>(command: Command) -> Command {
    joined(command, A::augment_args(Command::new("arguments")))
}

fn joined(mut command: Command, arguments: Command) -> Command {
    for argument in arguments.get_arguments() {
        let is_same = |own: &Arg| {
            own.get_id() == argument.get_id()
                || (own.get_long().is_some() && own.get_long() == argument.get_long())
        };
        if !command.get_arguments().any(is_same) {
            // It comes behind those that are there, not where it stood among its own.
            command = command.arg(argument.clone().display_order(None));
        }
    }
    command
}

/// The guards of every connector; a flag that two of them share is there once.
fn guarded(command: Command) -> Command {
    CONNECTORS.iter().fold(command, |command, connector| joined(command, (connector.guards)()))
}

fn apply() -> Command {
    let command = Command::new("apply").about("Carry out a plan, exactly");
    shown(limited(guarded(with::<ApplyArgs>(command))))
}

fn resume() -> Command {
    let command = Command::new("resume").about("Go on with a run that stopped");
    shown(limited(guarded(with::<ResumeArgs>(command))))
}

fn report() -> Command {
    Command::new("report")
        .about("What a run did")
        .arg(Arg::new("run").help("The run's name or a part of it; without it, the newest"))
        .arg(
            Arg::new("html")
                .long("html")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write one self-contained page with charts"),
        )
}

fn ctl() -> Command {
    let run = || Arg::new("run").required(true).help("The run's name or a part of it");
    let word = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("ctl")
        .about("Control a run in progress from another terminal")
        .arg(run())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(word("pause", "Send nothing until resumed"))
        .subcommand(word("resume", "Go on"))
        .subcommand(word("stop", "Start nothing more and end; the run can be resumed"))
        .subcommand(word("abort", "End now; what is on the wire is in doubt"))
        .subcommand(word("status", "Tell how it is"))
        .subcommand(
            word("rate", "At most so many requests a second; 0 takes the ceiling away").arg(
                Arg::new("per_second")
                    .required(true)
                    .value_name("N")
                    .value_parser(clap::value_parser!(f64)),
            ),
        )
}

fn simulators() -> Command {
    let each = CONNECTORS.iter().map(|connector| {
        let about =
            format!("A simulated {}, with switches for its limits and faults", connector.name);
        (connector.simulator.command)().about(about).arg(
            Arg::new("port")
                .long("port")
                .value_name("PORT")
                .default_value("4100")
                .value_parser(clap::value_parser!(u16))
                .help("The port to listen on; 0 takes a free one"),
        )
    });
    Command::new("sim")
        .about("A simulated remote on a port of this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(each)
}

#[cfg(test)]
mod tests;
