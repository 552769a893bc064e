//! What the commands of this system can be told.

use super::loadtest::LoadtestArgs;
use clap::{Args, Command};
use std::path::PathBuf;

/// The arguments of `observe serve`.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// The gateway's file; without it, the destinations that the environment names, and a SQLite
    /// file [env: OBSERVE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,

    /// Where the doors are, instead of what the file says [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// The folder of the queue, the dead letters and the database, instead of what the file says
    #[arg(long, value_name = "DIR")]
    folder: Option<String>,

    /// Leave out what can't be read of a damaged queue, and count it
    #[arg(long)]
    pub skip_damage: bool,

    /// Give up the backlog of a destination that is no longer configured
    #[arg(long, value_name = "NAME")]
    pub forget: Vec<String>,
}

/// The arguments of `observe check`.
#[derive(Clone, Debug, Default, Args)]
pub struct CheckArgs {
    /// The file of policies
    pub policy: PathBuf,

    /// Events, one JSON object a line: what a file of lines has, messages of RudderStack, or
    /// envelopes of Langfuse; - reads them from standard input
    pub events: PathBuf,
}

/// The arguments of `observe replay`.
#[derive(Clone, Debug, Default, Args)]
pub struct ReplayArgs {
    /// Files of dead letters; without one, those of the gateway's folder
    pub files: Vec<PathBuf>,

    /// The gateway's file, which says where its folder is [env: OBSERVE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,

    /// The gateway's folder, instead of what the file says
    #[arg(long, value_name = "DIR")]
    folder: Option<String>,

    /// Only what this destination refused
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,

    /// Only say what would be sent again
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// The commands of this system.
pub fn commands() -> Vec<Command> {
    let serve = ServeArgs::augment_args(Command::new("serve"))
        .about("Take in traces and product events, and forward them; Ctrl-C ends it");
    let loadtest = LoadtestArgs::augment_args(Command::new("loadtest"))
        .about("Measure a gateway: latency under a rate, or two configurations side by side");
    let check = CheckArgs::augment_args(Command::new("check"))
        .about("Show what policies decide about events, and change nothing");
    let replay = ReplayArgs::augment_args(Command::new("replay"))
        .about("Send dead letters again, to the destination that refused them");
    let observe = Command::new("observe")
        .about("Capture LLM traces and product events, price them, judge them, forward them")
        .subcommands([serve, loadtest, check, replay]);
    vec![observe]
}
