//! `migrate rollback`: takes back what a run wrote, and nothing else. A document is removed, or
//! becomes what it was, only if it still is exactly as the run left it.

use super::super::access::{Access, odd, operation};
use super::super::api::whole;
use super::super::board::{Board, PRE_IMAGES, RANGES, RunRecord, Stage};
use super::Options as MigrateOptions;
use super::paging::{PAGE, Paging};
use super::replacing::image_id;
use super::work::id_text_of;
use super::writing::hex;
use crate::connector::OpenError;
use crate::mongo::mapping::{Migration, Phase, digest, id_value};
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use windlass_engine::job::{
    Applied, BatchSpec, BoxFuture, Context, Job, JobInfo, Outcome, PhaseInfo, Step,
};
use windlass_engine::plan::{Plan, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::tally::Verified;
use windlass_engine::{Failure, Kind};

/// Why a document is left as it is.
const CHANGED: &str = "changed by somebody since the run";
/// The documents of one batch.
const BATCH: usize = 500;
/// Batches begun and not settled.
const WINDOW: usize = 4;

/// What is taken back, as it stands in the plan's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The run whose work is taken back.
    pub run: String,
    /// That run's own options.
    pub of: MigrateOptions,
}

/// A rollback.
pub struct Rollback {
    access: Access,
    migration: Migration,
    options: Options,
}

/// What a step knows: how the document was when the run left it.
#[derive(Serialize, Deserialize)]
struct Left {
    digest: String,
}

impl Rollback {
    /// The rollback of these options.
    ///
    /// # Errors
    /// When the migration of the run is not understood.
    pub fn new(access: Access, options: Options) -> Result<Self, OpenError> {
        let migration = Migration::restore(&options.of.migration, options.of.variables.clone())
            .map_err(|error| OpenError::usage(error.message, error.hint))?;
        Ok(Self { access, migration, options })
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The phases, the last first: what refers to another goes before it.
    fn phases(&self) -> impl Iterator<Item = &Phase> {
        self.migration.phases.iter().rev()
    }

    fn phase(&self, number: usize) -> Result<&Phase, Failure> {
        let phase = self.phases().nth(number);
        phase.ok_or_else(|| Failure::new(Kind::Bug, format!("there is no phase {number}")))
    }

    async fn list(&self, context: &Context, plan: &mut PlanWriter) -> Result<(), DiscoverError> {
        plan.keys_unchecked();
        let stamp = &self.migration.stamp;
        for (number, phase) in self.phases().enumerate() {
            if number > 0 {
                plan.enter_phase(number);
            }
            let filter = self.filter(phase);
            let mut paging = Paging::new(&self.access, &phase.to, Some(&filter));
            loop {
                let page = paging.next(context).await?;
                if page.is_empty() {
                    break;
                }
                plan.saw(page.len() as u64);
                for raw in &page {
                    let key = id_text_of(raw).unwrap_or_default();
                    match digest_as_left(raw, stamp) {
                        Some(digest) => {
                            let left = serde_json::value::to_raw_value(&Left { digest });
                            let left =
                                left.map_err(|error| Failure::new(Kind::Bug, error.to_string()))?;
                            plan.push(&key, "", &left)?;
                        }
                        None => plan.leave(&key, "", CHANGED)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// What the run wrote in a phase.
    fn filter(&self, phase: &Phase) -> Document {
        let stamp = &self.migration.stamp;
        doc! { format!("{stamp}.run"): &self.options.run, format!("{stamp}.phase"): &phase.name }
    }

    async fn take_back(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let Some(first) = batch.first() else { return Ok(Applied::nothing_sent()) };
        let phase = self.phase(first.phase)?;
        let there = self.look(context, &phase.to, batch).await?;
        let images = self.images(context, phase, batch).await?;
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let (mut deletes, mut updates) = (Vec::new(), Vec::new());
        for (at, step) in batch.iter().enumerate() {
            let left: Left = serde_json::from_str(step.object.get())
                .map_err(|error| Failure::new(Kind::Bug, error.to_string()))?;
            let image = images.get(&*step.key);
            let known = match there.get(&*step.key) {
                None => Some(Outcome::AlreadyGone),
                Some(raw) if image.is_some_and(|image| image.as_bytes() == raw.as_bytes()) => {
                    Some(Outcome::AlreadyGone)
                }
                Some(raw) if digest_as_left(raw, &self.migration.stamp) != Some(left.digest) => {
                    Some(Outcome::Skipped(CHANGED.to_owned()))
                }
                Some(raw) => {
                    let query = Document::try_from(raw).map_err(odd)?;
                    match image {
                        Some(image) => {
                            let image = Document::try_from(image).map_err(odd)?;
                            updates.push((at, doc! { "q": query, "u": image }));
                        }
                        None => deletes.push((at, doc! { "q": query, "limit": 1 })),
                    }
                    None
                }
            };
            if let Some(slot) = outcomes.get_mut(at) {
                *slot = known;
            }
        }
        let mut sent = (Duration::ZERO, 0);
        for (kind, statements) in [(Change::Delete, deletes), (Change::Restore, updates)] {
            self.send(context, phase, kind, statements, &mut outcomes, &mut sent).await?;
        }
        Ok(Applied {
            outcomes: outcomes.into_iter().map(|one| one.unwrap_or(Outcome::InDoubt)).collect(),
            latency: sent.0,
            attempts: sent.1,
            ..Applied::nothing_sent()
        })
    }

    /// Sends statements that match only what was looked at. A server says how many matched, not
    /// which; where some did not, a second look tells.
    async fn send(
        &self,
        context: &Context,
        phase: &Phase,
        change: Change,
        statements: Vec<(usize, Document)>,
        outcomes: &mut [Option<Outcome>],
        sent: &mut (Duration, u32),
    ) -> Result<(), Failure> {
        if statements.is_empty() {
            return Ok(());
        }
        let raws: Vec<RawDocumentBuf> = statements
            .iter()
            .map(|(_, statement)| RawDocumentBuf::try_from(statement).map_err(odd))
            .collect::<Result<_, _>>()?;
        let concern = &self.migration.write_concern;
        let api = &self.access.api;
        let write = || async {
            match change {
                Change::Delete => api.delete(&phase.to, &raws, concern).await,
                Change::Restore => api.update(&phase.to, &raws, concern).await,
            }
        };
        let (answer, _) = self.access.write(context, raws.len(), false, write).await?;
        *sent = (sent.0 + answer.latency, sent.1 + answer.attempts);
        let all = answer.value.errors.is_empty() && answer.value.count == raws.len() as u64;
        let still =
            if all { Vec::new() } else { self.still_there(context, phase, &statements).await? };
        for (at, statement) in &statements {
            let id = statement.get_document("q").ok().and_then(|query| query.get("_id"));
            let id = id.map(super::collisions::text_of).unwrap_or_default();
            let outcome = if still.contains(&id) {
                Outcome::Skipped(CHANGED.to_owned())
            } else {
                Outcome::Done
            };
            if let Some(slot) = outcomes.get_mut(*at) {
                *slot = Some(outcome);
            }
        }
        Ok(())
    }

    /// Those of the documents that still bear the run's stamp.
    async fn still_there(
        &self,
        context: &Context,
        phase: &Phase,
        statements: &[(usize, Document)],
    ) -> Result<Vec<String>, Failure> {
        let queries = statements.iter().filter_map(|(_, one)| one.get_document("q").ok());
        let ids: Vec<Bson> = queries.filter_map(|query| query.get("_id").cloned()).collect();
        let mut filter = self.filter(phase);
        filter.insert("_id", doc! { "$in": ids });
        let only = Some(doc! { "_id": 1 });
        let found = self.access.page(context, &phase.to, filter, 0, only).await?.value;
        Ok(found.iter().filter_map(|raw| id_text_of(raw)).collect())
    }

    async fn look(
        &self,
        context: &Context,
        collection: &str,
        batch: &[Step],
    ) -> Result<HashMap<String, RawDocumentBuf>, Failure> {
        let ids = batch.iter().filter_map(|step| id_value(&step.key)).collect();
        let found = self.access.by_ids(context, collection, ids, None).await?.value;
        Ok(found.into_iter().filter_map(|raw| Some((id_text_of(&raw)?, raw))).collect())
    }

    /// What was there before, by `_id`. An image whose checksum does not fit ends the run.
    async fn images(
        &self,
        context: &Context,
        phase: &Phase,
        batch: &[Step],
    ) -> Result<HashMap<String, RawDocumentBuf>, Failure> {
        if !phase.changes_existing() {
            return Ok(HashMap::new());
        }
        let id = |step: &Step| image_id(&self.options.run, &phase.name, &step.key);
        let ids = batch.iter().map(id).collect();
        let found = self.access.by_ids(context, PRE_IMAGES, ids, None).await?.value;
        let mut images = HashMap::new();
        for raw in &found {
            let image = Document::try_from(raw).map_err(odd)?;
            let bytes = image.get_binary_generic("image").map_err(odd)?;
            let key = image.get_document("_id").and_then(|id| id.get_str("id")).map_err(odd)?;
            let checksum = hex(&Sha256::digest(bytes));
            if image.get_str("sha256").ok().is_none_or(|told| told != checksum) {
                let what = format!("the image of {key} is damaged: its checksum does not fit");
                return Err(Failure::new(Kind::Output, what)
                    .with_hint("nothing more is taken back; look at windlass_pre_images"));
            }
            let raw = RawDocumentBuf::from_bytes(bytes.clone()).map_err(odd)?;
            images.insert(key.to_owned(), raw);
        }
        Ok(images)
    }

    /// Cleans up after the last document: indexes, ranges, images, and the word that the run is
    /// taken back.
    async fn clean_up(&self, context: &Context) -> Result<Verified, Failure> {
        let run = &self.options.run;
        let board = Board::new(&self.access, run, run);
        let mut left = 0;
        for phase in self.phases() {
            let command = doc! { "count": &phase.to, "query": self.filter(phase) };
            let reply = self.access.ask(context, command).await?;
            left += reply.get("n").and_then(whole).unwrap_or_default().unsigned_abs();
        }
        if let Some(RunRecord { indexes, .. }) = board.record(context).await? {
            for index in indexes {
                let drop = doc! { "dropIndexes": index.collection, "index": index.name };
                // One that is gone already is as it should be.
                let _ = self.access.ask(context, drop).await;
            }
        }
        for (collection, field) in [(RANGES, "run"), (PRE_IMAGES, "_id.run")] {
            let statement = doc! { "q": { field: run }, "limit": 0 };
            self.access.ask(context, doc! { "delete": collection, "deletes": [statement] }).await?;
        }
        board.set(context, doc! { "stage": "rolled_back", "indexes": [] }).await?;
        let message = format!("{left} documents still bear the stamp of run {run}");
        Ok(Verified { seen: left, left, message })
    }
}

/// What is done to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Delete,
    Restore,
}

/// The digest in a document's stamp, if the document still is as the run left it.
fn digest_as_left(raw: &RawDocument, stamp: &str) -> Option<String> {
    let told = raw.get_document(stamp).ok()?.get_str("digest").ok()?.to_owned();
    (hex(&digest(raw, &[stamp])) == told).then_some(told)
}

/// Refuses to take a run back that somebody is at work on.
///
/// # Errors
/// When there is no such run, it is taken back already, or it is at work.
pub async fn check(access: &Access, context: &Context, run: &str) -> Result<RunRecord, Failure> {
    let board = Board::new(access, run, run);
    access.server(context).await?;
    let record = board.record(context).await?.ok_or_else(|| {
        Failure::new(Kind::Rejected, format!("there is no run {run} in this database"))
            .with_hint("`windlass migrate status` lists the runs of a database")
    })?;
    if record.stage == Stage::RolledBack {
        let what = format!("run {run} is rolled back already");
        return Err(Failure::new(Kind::Rejected, what).with_hint("there is nothing left to do"));
    }
    let now = bson::DateTime::from_millis(access.server_ms());
    let alive = doc! { "run": run, "state": "leased", "until": { "$gt": now } };
    let ranges = board.ranges(context, alive, true).await?;
    match ranges.first().and_then(|range| range.worker.clone()) {
        None => Ok(record),
        Some(worker) => {
            let what = format!("run {run} is at work, or was half a minute ago, as {worker}");
            let hint = format!("`windlass migrate stop {run}` ends it on all machines");
            Err(Failure::new(Kind::Rejected, what).with_hint(hint))
        }
    }
}

impl Job for Rollback {
    fn info(&self) -> JobInfo {
        let phase = |phase: &Phase| {
            let batch = BatchSpec::up_to(BATCH.min(PAGE));
            let bulk = PhaseInfo::bulk(phase.name.clone(), operation::WRITE, batch);
            PhaseInfo { steps_a_request: 1, ..bulk }
        };
        JobInfo {
            system: "mongo",
            operation: "migrate rollback",
            phases: self.phases().map(phase).collect(),
            idempotent: true,
            window: Some(WINDOW),
            streaming: false,
            shared: false,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(self.list(context, plan))
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.take_back(context, batch))
    }

    fn finish<'a>(
        &'a self,
        context: &'a Context,
        _plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Verified>, DiscoverError>> {
        Box::pin(async move { Ok(Some(self.clean_up(context).await?)) })
    }
}
