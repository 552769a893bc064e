//! The command line: every system's own arguments from its connector, joined with those that all
//! of them share.

use crate::settings::Flags;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use clap_complete::Shell;
use std::path::PathBuf;
use windlass_connectors::CONNECTORS;

/// How a remote may be used; the same for every system.
#[derive(Clone, Debug, Default, Args)]
pub struct LimitArgs {
    /// How much of the documented quota is used: conservative, balanced, aggressive, maximum
    #[arg(long, value_name = "NAME", help_heading = "Limits")]
    profile: Option<String>,

    /// Override a window of the quota: WINDOW=50/60s, WINDOW=unlimited, or unlimited for all
    #[arg(long, value_name = "WINDOW=QUOTA", help_heading = "Limits")]
    quota: Vec<String>,

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

    /// Show every page, rate-limit hit, retry and answer with its request id
    #[arg(long, help_heading = "Display")]
    pub debug: bool,

    /// Show nothing but the summary
    #[arg(long, short, help_heading = "Display")]
    pub quiet: bool,
}

/// What guards a destructive run.
#[derive(Clone, Debug, Default, Args)]
pub struct SafetyArgs {
    /// Show what would be done, keep the plan, change nothing
    #[arg(long, short = 'n', help_heading = "Safety")]
    pub dry_run: bool,

    /// Write the plan to this file and change nothing; `windlass apply FILE` carries it out
    #[arg(long, value_name = "FILE", help_heading = "Safety")]
    pub plan_out: Option<PathBuf>,

    /// Refuse when the plan has more than this: a number, or a share of what was listed (10%)
    #[arg(long, value_name = "N|N%", help_heading = "Safety")]
    pub max_delete: Option<String>,

    /// Do not ask; for automation
    #[arg(long, short, help_heading = "Safety")]
    pub yes: bool,
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
    #[arg(long, short, help_heading = "Safety")]
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

/// Flags of a system as settings, with the name of the flag.
pub fn limit_flags(system: &str, matches: &ArgMatches) -> Flags {
    if !has(matches, "profile") {
        return Flags::new();
    }
    let Ok(args) = LimitArgs::from_arg_matches(matches) else { return Flags::new() };
    let smooth = args.smooth.then(|| "true".to_owned());
    let singles = [
        ("profile", args.profile),
        ("max-requests-per-second", args.max_requests_per_second),
        ("concurrency", args.concurrency),
        ("smooth", smooth),
        ("timeout", args.timeout),
        ("retries", args.retries),
        ("deadline", args.deadline),
        ("base-url", args.base_url),
        ("max-delete", optional(matches, "max_delete")),
        ("max-age", optional(matches, "max_age")),
    ];
    let mut flags: Flags = singles
        .into_iter()
        .filter_map(|(name, text)| Some((format!("{system}.{name}"), name, vec![text?])))
        .collect();
    if !args.quota.is_empty() {
        flags.push((format!("{system}.quota"), "quota", args.quota));
    }
    flags
}

/// How a run is to be shown; a command that runs nothing has no such flags.
pub fn show_args(matches: &ArgMatches) -> ShowArgs {
    let args = has(matches, "dashboard").then(|| ShowArgs::from_arg_matches(matches).ok());
    args.flatten().unwrap_or_default()
}

/// Whether a command has an argument at all; clap takes asking for one that it does not have as a
/// mistake.
fn has(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok()
}

/// The global flags as settings.
pub fn program_flags(matches: &ArgMatches) -> Flags {
    let names = [("output", "output"), ("state_dir", "state-dir")];
    let flag = |(id, name): (&str, &'static str)| {
        Some((name.to_owned(), name, vec![optional(matches, id)?]))
    };
    names.into_iter().filter_map(flag).collect()
}

fn optional(matches: &ArgMatches, id: &str) -> Option<String> {
    matches.try_get_one::<String>(id).ok().flatten().cloned()
}

/// The whole command line.
pub fn command() -> Command {
    let systems = CONNECTORS.iter().map(|connector| {
        let mut command =
            (connector.command)().subcommand_required(true).arg_required_else_help(true);
        let names: Vec<String> =
            command.get_subcommands().map(|operation| operation.get_name().to_owned()).collect();
        for name in names {
            command = command.mut_subcommand(name, |operation| {
                shown(with::<LimitArgs>(with::<SafetyArgs>(operation)))
            });
        }
        command
    });
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
        .subcommands(systems)
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
                .subcommand(Command::new("show").about("Every setting with its value and origin")),
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

fn shown(command: Command) -> Command {
    with::<ShowArgs>(command)
}

/// Adds arguments. The words about the command stay its own: clap would take those about the
/// arguments instead.
fn with<A: Args>(command: Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    A::augment_args(command).about(about)
}

/// The guards of every connector; a flag that two of them share is there once.
fn guarded(mut command: Command) -> Command {
    for connector in CONNECTORS {
        for arg in (connector.guards)().get_arguments() {
            if !command.get_arguments().any(|known| known.get_id() == arg.get_id()) {
                command = command.arg(arg.clone());
            }
        }
    }
    command
}

fn apply() -> Command {
    let command = Command::new("apply").about("Carry out a plan, exactly");
    shown(with::<LimitArgs>(guarded(with::<ApplyArgs>(command))))
}

fn resume() -> Command {
    let command = Command::new("resume").about("Go on with a run that stopped");
    shown(with::<LimitArgs>(guarded(with::<ResumeArgs>(command))))
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
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
