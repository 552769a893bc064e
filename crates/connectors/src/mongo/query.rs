//! What is answered at once: how runs stand, whether what they wrote is right, lists and measures.

pub mod hashes;
pub mod preset;
pub mod secrets;
pub mod status;
pub mod verify;
pub mod wish;

use crate::mongo::access::Access;
use crate::mongo::board::{Board, RunRecord};
use crate::mongo::job::Options;
use crate::mongo::mapping::Migration;
use windlass_engine::job::Context;
use windlass_engine::{Failure, Kind};

/// A run as the database knows it.
pub struct KnownRun {
    /// Its place in the database.
    pub board: Board,
    /// The document about it.
    pub record: RunRecord,
    /// Its options.
    pub options: Options,
    /// Its migration.
    pub migration: Migration,
}

/// Looks a run up.
///
/// # Errors
/// When there is none of this name, or it is not understood.
pub async fn known_run(access: &Access, context: &Context, run: &str) -> Result<KnownRun, Failure> {
    access.server(context).await?;
    let board = Board::new(access, run, run);
    let record = board.record(context).await?.ok_or_else(|| {
        Failure::new(Kind::Rejected, format!("there is no run {run} in this database"))
            .with_hint("`windlass migrate status` lists the runs of a database")
    })?;
    let other = |what: String| {
        Failure::new(Kind::Rejected, format!("run {run} is not understood: {what}"))
            .with_hint("use the version of windlass that began it")
    };
    let options: Options =
        serde_json::from_str(&record.options).map_err(|error| other(error.to_string()))?;
    let migration = Migration::restore(&options.migration, options.variables.clone())
        .map_err(|error| other(error.to_string()))?;
    Ok(KnownRun { board, record, options, migration })
}
