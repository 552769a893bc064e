//! What can be said to `windlass migrate`.

use clap::Args;
use std::path::PathBuf;

/// What a new plan depends on besides the migration file.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// Read sources even where the server has no index for it
    #[arg(long, help_heading = "Safety")]
    pub allow_scan: bool,

    /// The file with the key that new passwords are made from; it is created where there is none
    #[arg(long, value_name = "FILE", help_heading = "Passwords")]
    pub secrets_key: Option<PathBuf>,

    /// Threads that hash; without it one for each core
    #[arg(long, value_name = "N", help_heading = "Passwords")]
    pub hash_threads: Option<String>,
}

/// `migrate plan`
#[derive(Clone, Debug, Default, Args)]
pub struct PlanArgs {
    /// The migration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    #[command(flatten)]
    pub source: SourceArgs,
}

/// `migrate run`
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// The migration file
    #[arg(value_name = "FILE", required_unless_present = "workers_of")]
    pub file: Option<PathBuf>,

    /// Carry it out; without this the plan is shown and kept, and nothing is written
    #[arg(long, help_heading = "Safety")]
    pub execute: bool,

    /// Work on the ranges of a run that another machine began
    #[arg(long, value_name = "RUN", conflicts_with = "file")]
    pub workers_of: Option<String>,

    #[command(flatten)]
    pub source: SourceArgs,
}

/// A run of this database.
#[derive(Clone, Debug, Default, Args)]
pub struct OfRunArgs {
    /// The run's name
    #[arg(value_name = "RUN")]
    pub run: String,
}

/// `migrate status`
#[derive(Clone, Debug, Default, Args)]
pub struct StatusArgs {
    /// The run's name; without it all runs of the database
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// `migrate throttle`
#[derive(Clone, Debug, Default, Args)]
pub struct ThrottleArgs {
    /// The run's name
    #[arg(value_name = "RUN")]
    pub run: String,

    /// Requests a second for each machine, at most; 0 takes the ceiling away
    #[arg(value_name = "N")]
    pub per_second: f64,
}

/// `migrate verify`
#[derive(Clone, Debug, Default, Args)]
pub struct VerifyArgs {
    /// The run's name
    #[arg(value_name = "RUN")]
    pub run: String,

    /// Of each range, compare so many documents field by field; a number, or all
    #[arg(long, value_name = "N|all", default_value = "20")]
    pub sample: String,
}

/// `migrate secrets`
#[derive(Clone, Debug, Default, Args)]
pub struct SecretsArgs {
    /// The run's name
    #[arg(value_name = "RUN")]
    pub run: String,

    /// The file with the key that the run's passwords are made from
    #[arg(long, value_name = "FILE")]
    pub secrets_key: Option<PathBuf>,
}

/// `migrate preset`
#[derive(Clone, Debug, Default, Args)]
pub struct PresetArgs {
    /// The preset's name; without it all names
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `migrate generate`
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
    /// How many documents
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub documents: u64,

    /// How many people they are of
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub people: u64,

    /// Over how many months
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub months: u32,

    /// The same seed makes the same documents
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Make one document of 15 MB, too
    #[arg(long)]
    pub big: bool,

    /// Where they go
    #[arg(long, value_name = "NAME", default_value = "responses")]
    pub collection: String,
}

/// `migrate hashes`
#[derive(Clone, Debug, Args)]
pub struct HashesArgs {
    /// bcrypt, argon2id or scrypt
    #[arg(long, value_name = "NAME", default_value = "bcrypt")]
    pub algorithm: String,

    /// The cost of bcrypt
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub cost: u32,

    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub seconds: u64,

    /// Threads that hash; without it one for each core
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}
