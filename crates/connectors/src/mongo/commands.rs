//! The commands of MongoDB: how they are called, and what kind each is.

use super::args::{
    GenerateArgs, HashesArgs, OfRunArgs, PlanArgs, PresetArgs, RunArgs, SecretsArgs, StatusArgs,
    ThrottleArgs, VerifyArgs,
};
use crate::connector::{Operation, OperationKind};
use clap::{Arg, ArgAction, Args, Command};

const fn remote(path: &'static [&'static str], kind: OperationKind) -> Operation {
    Operation { path, kind, remote: true }
}

const fn local(path: &'static [&'static str]) -> Operation {
    Operation { path, kind: OperationKind::Query, remote: false }
}

/// What each command does.
pub const OPERATIONS: &[Operation] = &[
    remote(&["migrate", "plan"], OperationKind::Write),
    remote(&["migrate", "run"], OperationKind::Write),
    remote(&["migrate", "status"], OperationKind::Query),
    remote(&["migrate", "pause"], OperationKind::Query),
    remote(&["migrate", "resume"], OperationKind::Query),
    remote(&["migrate", "throttle"], OperationKind::Query),
    remote(&["migrate", "stop"], OperationKind::Query),
    remote(&["migrate", "verify"], OperationKind::Query),
    remote(&["migrate", "rollback"], OperationKind::Destroy),
    remote(&["migrate", "secrets"], OperationKind::Query),
    local(&["migrate", "preset"]),
    remote(&["migrate", "generate"], OperationKind::Stream),
    local(&["migrate", "hashes"]),
];

/// The one top-level command with its subcommands.
#[must_use]
pub fn commands() -> Vec<Command> {
    let migrate =
        Command::new("migrate").about("Migrate documents of a MongoDB into another shape");
    vec![
        migrate
            .subcommand(plan())
            .subcommand(one::<RunArgs>("run", "Carry a migration out, or join a run"))
            .subcommand(one::<StatusArgs>("status", "How a run stands on all machines"))
            .subcommand(one::<OfRunArgs>("pause", "Hold a run on all machines"))
            .subcommand(one::<OfRunArgs>("resume", "Let a held run go on"))
            .subcommand(one::<ThrottleArgs>("throttle", "Slow a run on all machines"))
            .subcommand(one::<OfRunArgs>("stop", "End a run on all machines, resumable"))
            .subcommand(one::<VerifyArgs>(
                "verify",
                "Compare what a run wrote with what its sources say",
            ))
            .subcommand(one::<OfRunArgs>("rollback", "Take back what a run wrote"))
            .subcommand(one::<SecretsArgs>(
                "secrets",
                "The new passwords or tokens of a run, made from its key",
            ))
            .subcommand(one::<PresetArgs>("preset", "A migration file to begin with"))
            .subcommand(one::<GenerateArgs>(
                "generate",
                "Documents with every oddity, to try a migration on",
            ))
            .subcommand(one::<HashesArgs>(
                "hashes",
                "How many passwords this machine hashes a second",
            )),
    ]
}

/// A command with its arguments, whose own description is not the command's.
fn one<A: Args>(name: &'static str, about: &'static str) -> Command {
    A::augment_args(Command::new(name)).about(about).long_about(None)
}

/// It only ever plans.
fn plan() -> Command {
    let dry_run = Arg::new("dry_run")
        .long("dry-run")
        .action(ArgAction::SetTrue)
        .default_value("true")
        .hide(true);
    one::<PlanArgs>("plan", "Check a migration and show what it would do; nothing is written")
        .arg(dry_run)
}
