//! The arguments of `windlass workos delete`.

use clap::Args;
use std::path::PathBuf;

/// What to delete.
#[derive(Clone, Debug, Default, Args)]
pub struct DeleteArgs {
    /// First day (YYYY-MM-DD, in UTC unless --tz), or an instant (2005-12-17T10:00:00Z)
    pub start: Option<String>,

    /// Last day, inclusive; without it, the first day alone. An instant is exact and exclusive
    pub end: Option<String>,

    /// Delete users, too
    #[arg(long, help_heading = "Selection")]
    pub users: bool,

    /// Delete organizations (the default; with --users, both)
    #[arg(long, help_heading = "Selection")]
    pub orgs: bool,

    /// Delete users and leave organizations alone
    #[arg(long, conflicts_with_all = ["users", "orgs"], help_heading = "Selection")]
    pub users_only: bool,

    /// The time zone of the days: an IANA name (Europe/Berlin) or an offset (+02:00)
    #[arg(long, value_name = "ZONE", default_value = "UTC", help_heading = "Selection")]
    pub tz: String,

    /// Only what was created longer ago than this (30d, 12h, 90m)
    #[arg(long, value_name = "AGE", help_heading = "Selection")]
    #[arg(conflicts_with_all = ["start", "end"])]
    pub older_than: Option<String>,

    /// Only what was created within this time (30d, 12h, 90m)
    #[arg(long, value_name = "AGE", help_heading = "Selection")]
    #[arg(conflicts_with_all = ["start", "end"])]
    pub newer_than: Option<String>,

    /// Allow a range without a beginning, which takes in nearly everything
    #[arg(long, help_heading = "Selection")]
    pub open_range: bool,

    /// Only objects for which this CEL expression holds, such as 'name.startsWith("Test")'
    #[arg(long = "where", value_name = "CEL", help_heading = "Selection")]
    pub filter: Option<String>,

    /// What must stay, whatever else is said
    #[command(flatten)]
    pub guards: GuardArgs,
}

/// What must stay; these hold when a plan is applied, too.
#[derive(Clone, Debug, Default, Args)]
pub struct GuardArgs {
    /// Never delete objects for which this CEL expression holds (may be repeated)
    #[arg(long, value_name = "CEL", help_heading = "Safety")]
    pub protect: Vec<String>,

    /// Never delete what this file names: an id, external id, email or name a line
    #[arg(long, value_name = "FILE", help_heading = "Safety")]
    pub exclude_file: Option<PathBuf>,

    /// List again before the first deletion and leave alone what changed since the plan
    #[arg(long, help_heading = "Safety")]
    pub drift_check: bool,
}
