//! Carrying a batch out: read its sources, make its targets, hash, write, and mark it as done.

use super::Migrate;
use super::collisions::MIGRATED_BEFORE;
use super::cores::on_all_cores;
use super::work::{Work, id_text_of};
use crate::mongo::access::{Access, odd};
use crate::mongo::api::{WriteError, whole};
use crate::mongo::board::{DUPLICATE_KEY, Mark, number};
use crate::mongo::hashing::{HashError, Lanes, Pool, Secret};
use crate::mongo::mapping::{Password, PasswordMode, Phase, digest};
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use windlass_engine::job::{Applied, Context, Outcome, Step};
use windlass_engine::{Failure, Kind};

/// A target document on its way.
#[derive(Debug)]
pub(super) struct Made {
    /// Its place in the batch.
    pub(super) at: usize,
    /// The key of its step.
    pub(super) key: String,
    /// Its `_id`.
    pub(super) id: Bson,
    /// The password that its source has in plain text, where that is hashed.
    pub(super) plain: Option<Secret>,
    /// All of it, with password and stamp.
    pub(super) document: Document,
    /// The digest of what its source says, without password and stamp.
    pub(super) content: u128,
}

impl Made {
    /// A target that has neither password nor stamp yet.
    ///
    /// # Errors
    /// When it can't be written as BSON.
    pub(super) fn new(
        at: usize,
        key: &str,
        plain: Option<Secret>,
        document: Document,
    ) -> Result<Self, Failure> {
        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
        let content = content_digest(&document)?;
        Ok(Self { at, key: key.to_owned(), id, plain, document, content })
    }
}

/// What became of the documents of a batch that were sent.
pub(super) struct Sent {
    pub(super) outcomes: BTreeMap<usize, Outcome>,
    pub(super) latency: Duration,
    pub(super) attempts: u32,
}

impl Migrate {
    /// Carries out one batch of one phase and one range.
    pub(super) async fn carry_out(
        &self,
        context: &Context,
        batch: &[Step],
    ) -> Result<Applied, Failure> {
        let Some(first) = batch.first() else { return Ok(Applied::nothing_sent()) };
        let phase = self.phase(first.phase)?;
        let began = Instant::now();
        let (made, mut outcomes, sources_took) = self.make(context, phase, batch).await?;
        let made = self.with_passwords(phase, made).await?;
        let preparing = began.elapsed();
        let in_doubt = batch.iter().any(|step| step.in_doubt);
        let made = self.stamped(phase, made)?;
        let content = made.iter().map(|one| (one.at, one.content)).collect();
        let sent = if phase.changes_existing() {
            self.replace(context, phase, made).await?
        } else {
            self.insert(context, phase, in_doubt, made).await?
        };
        outcomes.extend(sent.outcomes);
        self.mark_done(context, batch, &outcomes, &content).await?;
        let outcomes: Vec<Outcome> = outcomes.into_values().collect();
        Ok(Applied {
            outcomes,
            // What a batch takes is what its size is chosen by: its hashes are part of it.
            latency: preparing.max(sources_took) + sent.latency,
            attempts: sent.attempts,
            status: None,
            request_id: None,
        })
    }

    /// Reads the sources of a batch and makes what can be made of them.
    async fn make(
        &self,
        context: &Context,
        phase: &Phase,
        batch: &[Step],
    ) -> Result<(Vec<Made>, BTreeMap<usize, Outcome>, Duration), Failure> {
        let works: Vec<Work> = batch.iter().map(Work::of).collect::<Result<_, _>>()?;
        let ids: Vec<Bson> = works
            .iter()
            .zip(batch)
            .map(|(work, step)| work.source_id(step))
            .collect::<Result<_, _>>()?;
        let answer = self.access.by_ids(context, &phase.from, ids, None).await?;
        let found = answer.value.iter();
        let sources: HashMap<String, &RawDocumentBuf> =
            found.filter_map(|raw| Some((id_text_of(raw)?, raw))).collect();
        let steps: Vec<(usize, &Step, &Work)> = batch
            .iter()
            .zip(&works)
            .enumerate()
            .map(|(at, (step, work))| (at, step, work))
            .collect();
        let results = on_all_cores(self.threads(), &steps, |&(at, step, work)| {
            let source = sources.get(work.source.as_deref().unwrap_or(&step.key));
            let source = source.ok_or(Outcome::AlreadyGone)?;
            self.make_one(phase, (at, step), work, source)
        });
        let (mut made, mut outcomes) = (Vec::new(), BTreeMap::new());
        for (at, result) in results.into_iter().enumerate() {
            match result {
                Ok(one) => made.push(one),
                Err(outcome) => {
                    outcomes.insert(at, outcome);
                }
            }
        }
        Ok((made, outcomes, answer.latency))
    }

    fn make_one(
        &self,
        phase: &Phase,
        (at, step): (usize, &Step),
        work: &Work,
        source: &RawDocument,
    ) -> Result<Made, Outcome> {
        let changed = |what: &str| Outcome::Skipped(format!("changed since the plan: {what}"));
        let place = phase.place(source, self.now()).map_err(|reason| changed(&reason))?;
        if place.key != *step.key {
            return Err(changed("it belongs elsewhere now"));
        }
        let failed = |failure: Failure| Outcome::Failed(Box::new(failure));
        let references = work.referred().map_err(failed)?;
        let target = self
            .target(phase, source, &step.key, work, &references)
            .map_err(|reason| failed(Failure::new(Kind::Rejected, reason)))?;
        let plain = self
            .plain_password(phase, source)
            .map_err(|reason| failed(Failure::new(Kind::Rejected, reason)))?;
        Made::new(at, &step.key, plain, target).map_err(failed)
    }

    /// The password that a source has in plain text, where the phase hashes it.
    pub(super) fn plain_password(
        &self,
        phase: &Phase,
        source: &RawDocument,
    ) -> Result<Option<Secret>, String> {
        if phase.password.as_ref().is_none_or(|password| !password.existing) {
            return Ok(None);
        }
        phase.plain_password(source).map(|text| Some(Secret::new(text)))
    }

    /// Gives each target its password, where the phase has one.
    pub(super) async fn with_passwords(
        &self,
        phase: &Phase,
        mut made: Vec<Made>,
    ) -> Result<Vec<Made>, Failure> {
        let Some(password) = &phase.password else { return Ok(made) };
        let texts = match password.mode {
            PasswordMode::ResetToken => {
                made.iter().map(|one| self.token(phase, &one.key)).collect()
            }
            PasswordMode::Hash(_) => {
                let plain = made
                    .iter_mut()
                    .map(|one| one.plain.take().unwrap_or_else(|| self.password(phase, &one.key)));
                self.pool(password)?.hash(plain.collect()).await.map_err(unhashed)?
            }
        };
        for (one, text) in made.iter_mut().zip(texts) {
            set_at(&mut one.document, &password.field, Bson::String(text));
        }
        Ok(made)
    }

    fn context_of<'a>(&'a self, phase: &'a Phase, key: &'a str) -> [&'a str; 3] {
        let run = self.board.get().map_or("", |board| board.run());
        [run, &phase.name, key]
    }

    /// The new password of a target: the same on every machine that has the key.
    fn password(&self, phase: &Phase, key: &str) -> Secret {
        self.secrets.password(&self.context_of(phase, key))
    }

    fn token(&self, phase: &Phase, key: &str) -> String {
        self.secrets.token(&self.context_of(phase, key)).digest
    }

    /// The hashing threads, started with the first batch that needs them.
    fn pool(&self, password: &Password) -> Result<&Pool, Failure> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let PasswordMode::Hash(algorithm) = password.mode else {
            return Err(Failure::new(Kind::Bug, "a token is not hashed slowly".to_owned()));
        };
        let measured = self.calibration(algorithm);
        let lanes: Lanes = measured.lanes;
        let started = Pool::start(algorithm, self.threads(), lanes)
            .map_err(|error| Failure::new(Kind::Output, format!("no thread to hash: {error}")))?;
        Ok(self.pool.get_or_init(|| started))
    }

    /// Puts the stamp on each target: which run wrote it, from what, and how it was then.
    pub(super) fn stamped(&self, phase: &Phase, mut made: Vec<Made>) -> Result<Vec<Made>, Failure> {
        let run = self.board()?.run().to_owned();
        for one in &mut made {
            let raw = RawDocumentBuf::try_from(&one.document).map_err(odd)?;
            let stamp = doc! {
                "run": &run, "phase": &phase.name, "key": &one.key,
                "digest": hex(&digest(&raw, &[])),
            };
            one.document.insert(self.migration.stamp.clone(), stamp);
        }
        Ok(made)
    }

    /// Inserts documents whose `_id`s follow from their sources: what is there already was written
    /// by an attempt before, or by another run, as its stamp says.
    pub(super) async fn insert(
        &self,
        context: &Context,
        phase: &Phase,
        in_doubt: bool,
        made: Vec<Made>,
    ) -> Result<Sent, Failure> {
        if made.is_empty() {
            return Ok(Sent { outcomes: BTreeMap::new(), latency: Duration::ZERO, attempts: 0 });
        }
        let documents: Vec<RawDocumentBuf> = made
            .iter()
            .map(|one| RawDocumentBuf::try_from(&one.document).map_err(odd))
            .collect::<Result<_, _>>()?;
        let concern = &self.migration.write_concern;
        let write = || self.access.api.insert(&phase.to, &documents, concern);
        let (answer, doubted) =
            self.access.write(context, documents.len(), in_doubt, write).await?;
        let mut outcomes: BTreeMap<usize, Outcome> =
            made.iter().map(|one| (one.at, Outcome::Done)).collect();
        let (there, refused): (Vec<&WriteError>, Vec<&WriteError>) = answer
            .value
            .errors
            .iter()
            .partition(|error| error.code == DUPLICATE_KEY && may_be_of_id(error));
        for error in refused {
            if let Some(one) = made.get(error.index) {
                outcomes.insert(one.at, refusal(error));
            }
        }
        let there: Vec<(&Made, &WriteError)> =
            there.iter().filter_map(|error| Some((made.get(error.index)?, *error))).collect();
        outcomes.extend(self.whose(context, phase, doubted, &there).await?);
        Ok(Sent { outcomes, latency: answer.latency, attempts: answer.attempts })
    }

    /// What became of documents that the server says are there.
    async fn whose(
        &self,
        context: &Context,
        phase: &Phase,
        doubted: bool,
        there: &[(&Made, &WriteError)],
    ) -> Result<Vec<(usize, Outcome)>, Failure> {
        if there.is_empty() {
            return Ok(Vec::new());
        }
        let stamp = &self.migration.stamp;
        let ids = there.iter().map(|(one, _)| one.id.clone()).collect();
        let runs = runs_of(&self.access, context, &phase.to, stamp, ids).await?;
        let run = self.board()?.run();
        let judge = |(one, error): &(&Made, &WriteError)| {
            let outcome = match runs.get(&super::collisions::text_of(&one.id)) {
                Some(Some(found)) if found == run && doubted => Outcome::DoneConfirmed,
                Some(Some(found)) if found == run => Outcome::Done,
                Some(Some(other)) => Outcome::Skipped(format!("{MIGRATED_BEFORE}, by run {other}")),
                Some(None) => refusal(error),
                // Not its `_id` but another unique value is taken.
                None => refusal(error),
            };
            (one.at, outcome)
        };
        Ok(there.iter().map(judge).collect())
    }

    /// Records in the database which steps are done, before the journal says so.
    async fn mark_done(
        &self,
        context: &Context,
        batch: &[Step],
        outcomes: &BTreeMap<usize, Outcome>,
        content: &HashMap<usize, u128>,
    ) -> Result<(), Failure> {
        let Some(first) = batch.first() else { return Ok(()) };
        let Some(range) = self.held().range_of(first.number) else { return Ok(()) };
        let board = self.board()?;
        for (from, end) in spans(batch) {
            let mut mark = Mark {
                id: i64::from_ne_bytes(fastrand::u64(..).to_ne_bytes()),
                first: number(from),
                end: number(end),
                written: 0,
                failed: Vec::new(),
                digest: String::new(),
                by: board.me().to_owned(),
            };
            let mut sum = 0;
            for (at, step) in batch.iter().enumerate() {
                match outcomes.get(&at).filter(|_| (from..end).contains(&step.number)) {
                    Some(Outcome::Done | Outcome::DoneConfirmed) => {
                        mark.written += 1;
                        sum ^= content.get(&at).copied().unwrap_or_default();
                    }
                    Some(Outcome::Failed(_)) => mark.failed.push(number(step.number)),
                    _ => {}
                }
            }
            mark.digest = format!("{sum:032x}");
            if board.mark(context, range, &mark).await? {
                self.stirred.notify_waiters();
            }
        }
        Ok(())
    }
}

/// A batch of a resumed range may have gaps: its steps as spans without any.
fn spans(batch: &[Step]) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for step in batch {
        match spans.last_mut() {
            Some((_, end)) if *end == step.number => *end += 1,
            _ => spans.push((step.number, step.number + 1)),
        }
    }
    spans
}

/// Which run wrote each of these documents; `None` where no stamp is on it.
pub(super) async fn runs_of(
    access: &Access,
    context: &Context,
    collection: &str,
    stamp: &str,
    ids: Vec<Bson>,
) -> Result<HashMap<String, Option<String>>, Failure> {
    let projection = doc! { "_id": 1, format!("{stamp}.run"): 1 };
    let found = access.by_ids(context, collection, ids, Some(projection)).await?.value;
    let read = |raw: &RawDocumentBuf| {
        let document = Document::try_from(raw).ok()?;
        let run = document.get_document(stamp).ok().and_then(|stamp| stamp.get_str("run").ok());
        Some((id_text_of(raw)?, run.map(str::to_owned)))
    };
    Ok(found.iter().filter_map(read).collect())
}

/// Some servers do not say which index a duplicate key is in.
fn may_be_of_id(error: &WriteError) -> bool {
    error.fields.is_empty() || error.fields == ["_id"]
}

fn refusal(error: &WriteError) -> Outcome {
    let kind = if error.code == DUPLICATE_KEY { Kind::Conflict } else { Kind::Rejected };
    let mut failure = Failure::new(kind, error.message.clone());
    failure.code = Some(error.code.to_string());
    Outcome::Failed(Box::new(failure))
}

fn unhashed(error: HashError) -> Failure {
    Failure::new(Kind::Rejected, error.to_string())
}

/// The digest of a target that has neither password nor stamp yet.
///
/// # Errors
/// When it can't be written as BSON.
pub fn content_digest(target: &Document) -> Result<u128, Failure> {
    let raw = RawDocumentBuf::try_from(target).map_err(odd)?;
    Ok(u128::from_be_bytes(digest(&raw, &[])))
}

/// Bytes as hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sets the value at a dotted path, making the documents on the way.
fn set_at(document: &mut Document, path: &str, value: Bson) {
    match path.split_once('.') {
        None => {
            document.insert(path, value);
        }
        Some((first, rest)) => {
            let mut inner = document.get_document(first).cloned().unwrap_or_default();
            set_at(&mut inner, rest, value);
            document.insert(first, inner);
        }
    }
}

/// How many documents a write's reply speaks of.
#[must_use]
pub(super) fn count_in(reply: &Document, name: &str) -> u64 {
    reply.get(name).and_then(whole).and_then(|n| n.try_into().ok()).unwrap_or_default()
}
