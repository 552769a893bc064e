//! After the last batch: catch up with what changed in the sources meanwhile, remove the temporary
//! indexes, count. One process does it; the others wait until it is done.

mod catching_up;

use super::Migrate;
use crate::mongo::access::LOOK_AGAIN;
use crate::mongo::api::{is_code, whole};
use crate::mongo::board::{Board, LEASE, MadeIndex, RUNS, RunRecord, Stage};
use bson::{Bson, DateTime, doc};
use catching_up::Caught;
use windlass_engine::Failure;
use windlass_engine::job::Context;
use windlass_engine::plan::Plan;
use windlass_engine::runner::DiscoverError;
use windlass_engine::tally::Verified;

/// IndexNotFound and NamespaceNotFound: somebody removed it already.
const INDEX_GONE: &[i32] = &[27, 26];

impl Migrate {
    /// Ends the run, or waits until another process has.
    pub(super) async fn end(
        &self,
        context: &Context,
        plan: &Plan,
    ) -> Result<Verified, DiscoverError> {
        let board = self.board()?;
        loop {
            let record = board.record(context).await?;
            if record.is_none_or(|record| record.stage == Stage::Complete) {
                break;
            }
            if let Some(record) = take_the_end(board, context, self.access.server_ms()).await? {
                return self.end_here(context, board, plan, &record).await;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = context.stop.draining() => return Err(Failure::cancelled().into()),
            }
        }
        let message = "another machine caught up with the sources and ended the run".to_owned();
        Ok(Verified { seen: plan.header.steps, left: 0, message })
    }

    async fn end_here(
        &self,
        context: &Context,
        board: &Board,
        plan: &Plan,
        record: &RunRecord,
    ) -> Result<Verified, DiscoverError> {
        let caught = self.catch_up(context, plan).await?;
        drop_indexes(self, context, &record.indexes).await?;
        let written = self.count_written(context, board).await?;
        let planned = plan.header.steps;
        let done = doc! { "stage": "complete", "indexes": [], "added": caught.inserted as i64 };
        board.set(context, done).await?;
        Ok(verdict(planned, written, &caught))
    }

    /// How many documents bear the run's stamp, over all targets.
    async fn count_written(&self, context: &Context, board: &Board) -> Result<u64, Failure> {
        let stamp = format!("{}.run", self.migration.stamp);
        let phase = format!("{}.phase", self.migration.stamp);
        let mut sum = 0;
        for one in &self.migration.phases {
            let query = doc! { &stamp: board.run(), &phase: &one.name };
            let reply = self.access.ask(context, doc! { "count": &one.to, "query": query }).await?;
            sum += reply.get("n").and_then(whole).unwrap_or_default().unsigned_abs();
        }
        Ok(sum)
    }
}

/// Takes the end of a run for this process, unless another living one has it.
async fn take_the_end(
    board: &Board,
    context: &Context,
    now: i64,
) -> Result<Option<RunRecord>, Failure> {
    let until = DateTime::from_millis(now + i64::try_from(LEASE.as_millis()).unwrap_or_default());
    let free = [
        doc! { "ending": { "$exists": false } },
        doc! { "ending.by": board.me() },
        doc! { "ending.until": { "$lt": DateTime::from_millis(now) } },
    ];
    let command = doc! {
        "findAndModify": RUNS,
        "query": { "_id": board.run(), "stage": "working", "$or": free.to_vec() },
        "update": { "$set": { "ending": { "by": board.me(), "until": until } } },
        "new": true,
    };
    match board.access().keep(context, command).await?.get("value") {
        Some(Bson::Document(found)) => {
            let record = bson::deserialize_from_document(found.clone());
            record.map(Some).map_err(crate::mongo::access::odd)
        }
        _ => Ok(None),
    }
}

/// Removes the temporary indexes that a run made, and no others.
pub(super) async fn drop_indexes(
    job: &Migrate,
    context: &Context,
    indexes: &[MadeIndex],
) -> Result<(), Failure> {
    for MadeIndex { collection, name } in indexes {
        let command = doc! { "dropIndexes": collection, "index": name };
        match job.access.ask(context, command).await {
            Err(failure) if !is_code(&failure, INDEX_GONE) => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}

fn verdict(planned: u64, written: u64, caught: &Caught) -> Verified {
    let mut message = format!(
        "{written} documents bear this run's stamp, {planned} were planned; {}",
        caught.words()
    );
    if !caught.conflicts.is_empty() {
        message.push_str(&format!(", such as {}", caught.conflicts.join(", ")));
    }
    Verified { seen: written, left: caught.unresolved, message }
}
