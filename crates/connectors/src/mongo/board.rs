//! What all processes of a run have in common: a document about the run and one for each range of
//! its steps, in two collections beside the targets. A range is leased, worked on, and marked
//! batch by batch as it is done, so that another machine can go on with it.

use super::access::{Access, odd, operation};
use super::api::whole;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_engine::job::{Context, Step};
use windlass_engine::plan::Header;
use windlass_engine::{Failure, Kind};

/// The collection with one document a run.
pub const RUNS: &str = "windlass_runs";
/// The collection with the ranges of all runs.
pub const RANGES: &str = "windlass_ranges";
/// The collection with what was there before a run changed it.
pub const PRE_IMAGES: &str = "windlass_pre_images";

/// How long a lease lasts without being renewed. A process that was killed is taken for dead after
/// this time; one that hangs for longer writes nothing wrong, since every write may be repeated.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often leases are renewed and orders of people are heard.
pub const RENEW: Duration = Duration::from_secs(2);
/// The range documents of one insert, at most.
const RANGES_AN_INSERT: usize = 20;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its ranges are being written down.
    Preparing,
    /// Its ranges can be leased.
    Working,
    /// Everything is migrated, caught up with and looked at.
    Complete,
    /// What it wrote was taken back.
    RolledBack,
}

/// One phase of a run in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// Its name.
    pub name: String,
    /// How many steps it has.
    pub steps: i64,
}

/// A temporary index that the run made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeIndex {
    /// On which collection.
    pub collection: String,
    /// Under which name.
    pub name: String,
}

/// What people ask of all processes of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wishes {
    /// Whether nothing new may begin.
    #[serde(default)]
    pub paused: bool,
    /// Whether everybody should come to an end.
    #[serde(default)]
    pub stopped: bool,
    /// At most so many requests a second for each process.
    #[serde(default)]
    pub rate: Option<f64>,
}

/// The document about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its name.
    #[serde(rename = "_id")]
    pub run: String,
    /// The migration's name.
    pub migration: String,
    /// The options of its plan, as JSON.
    pub options: String,
    /// Its phases.
    pub phases: Vec<PhaseRecord>,
    /// Where it stands.
    pub stage: Stage,
    /// The temporary indexes that it made.
    #[serde(default)]
    pub indexes: Vec<MadeIndex>,
    /// What people ask of it.
    #[serde(default)]
    pub wishes: Wishes,
    /// Documents that were new in the sources meanwhile and were migrated, too.
    #[serde(default)]
    pub added: i64,
    /// When it was written down.
    pub created: DateTime,
}

/// One batch of a range that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// A name that only it has, so that a mark whose answer was lost is not made twice.
    pub id: i64,
    /// Its first step.
    pub first: i64,
    /// The one behind its last.
    pub end: i64,
    /// Steps that wrote a document, now or in an attempt before.
    pub written: i64,
    /// Those in it that failed.
    pub failed: Vec<i64>,
    /// All digests of what was written, added bit by bit without carry, in hex.
    pub digest: String,
    /// Who did it.
    pub by: String,
}

impl Mark {
    /// Its steps, with those that failed or without.
    fn steps(&self, with_failed: bool) -> impl Iterator<Item = i64> + '_ {
        let counts = move |step: &i64| with_failed || !self.failed.contains(step);
        (self.first..self.end).filter(counts)
    }
}

/// A range of steps as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Its name.
    #[serde(rename = "_id")]
    pub id: String,
    /// The run.
    pub run: String,
    /// Its number.
    pub n: i64,
    /// Its phase.
    pub phase: i64,
    /// Its first step.
    pub first: i64,
    /// The one behind its last.
    pub end: i64,
    /// `open`, `leased`, `done`, or `failed` where all steps were tried and some failed.
    pub state: String,
    /// Who has, or had, the lease.
    #[serde(default)]
    pub worker: Option<String>,
    /// Until when.
    #[serde(default)]
    pub until: Option<DateTime>,
    /// Steps that are not done, as of the last mark.
    pub left: i64,
    /// Its batches.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// Its steps as JSON lines; left out where nobody needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl Range {
    /// All steps that were carried out, by whomever.
    #[must_use]
    pub fn done(&self) -> BTreeSet<u64> {
        let steps = self.marks.iter().flat_map(|mark| mark.steps(false));
        steps.map(i64::unsigned_abs).collect()
    }

    /// How many steps nobody has tried yet; those that failed count as untried where they are to
    /// be tried again.
    #[must_use]
    pub fn untried(&self, retries: bool) -> u64 {
        let marks = self.marks.iter();
        let tried: BTreeSet<i64> = marks.flat_map(|mark| mark.steps(!retries)).collect();
        (self.end - self.first).unsigned_abs().saturating_sub(tried.len() as u64)
    }
}

/// A step as a range holds it.
#[derive(Serialize, Deserialize)]
pub struct Line<'a> {
    /// Its key.
    #[serde(borrow, rename = "k")]
    pub key: std::borrow::Cow<'a, str>,
    /// What a person calls it.
    #[serde(borrow, rename = "l", default)]
    pub label: std::borrow::Cow<'a, str>,
    /// What the plan knows of it.
    #[serde(borrow, rename = "o")]
    pub object: &'a RawValue,
}

/// The two collections for one run, as one process sees them.
#[derive(Clone, Debug)]
pub struct Board {
    access: Access,
    run: String,
    me: String,
}

impl Board {
    /// The board of a run for the process of this name.
    #[must_use]
    pub fn new(access: &Access, run: &str, me: &str) -> Self {
        Self { access: access.clone(), run: run.to_owned(), me: me.to_owned() }
    }

    /// The run's name.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The database.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The process's name.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.me
    }

    /// The document about the run, if there is one.
    ///
    /// # Errors
    /// As every call.
    pub async fn record(&self, context: &Context) -> Result<Option<RunRecord>, Failure> {
        let filter = doc! { "_id": &self.run };
        let found = self.access.page(context, RUNS, filter, 1, None).await?.value;
        found.first().map(parse).transpose()
    }

    /// The same while the run is held.
    ///
    /// # Errors
    /// As every call.
    pub async fn record_kept(&self, context: &Context) -> Result<Option<RunRecord>, Failure> {
        let read = |_| self.access.api.page(RUNS, doc! { "_id": &self.run }, 1, None);
        let remote = &self.access.remote;
        let found = remote.call(context, operation::KEEP, false, read).await?.value;
        found.first().map(parse).transpose()
    }

    /// Writes the run down, unless it is there.
    ///
    /// # Errors
    /// As every call.
    pub async fn register(&self, context: &Context, record: &RunRecord) -> Result<(), Failure> {
        let keys = doc! { "run": 1, "phase": 1, "state": 1, "n": 1 };
        let index = doc! { "key": keys, "name": "windlass_ranges" };
        self.access.create_index(context, RANGES, index).await?;
        let record = bson::serialize_to_raw_document_buf(record).map_err(odd)?;
        self.insert(context, RUNS, vec![record]).await
    }

    /// Documents that are there already are left as they are.
    async fn insert(
        &self,
        context: &Context,
        collection: &str,
        documents: Vec<RawDocumentBuf>,
    ) -> Result<(), Failure> {
        let concern = durable();
        let write = || self.access.api.insert(collection, &documents, &concern);
        let (answer, _) = self.access.write(context, documents.len(), false, write).await?;
        match answer.value.errors.iter().find(|error| error.code != DUPLICATE_KEY) {
            None => Ok(()),
            Some(error) => Err(Failure::new(Kind::Rejected, error.message.clone())),
        }
    }

    /// Writes ranges down; those that are there stay as they are.
    ///
    /// # Errors
    /// As every call.
    pub async fn put_ranges(&self, context: &Context, ranges: &[Range]) -> Result<(), Failure> {
        for some in ranges.chunks(RANGES_AN_INSERT) {
            let documents: Result<Vec<_>, _> =
                some.iter().map(bson::serialize_to_raw_document_buf).collect();
            self.insert(context, RANGES, documents.map_err(odd)?).await?;
        }
        Ok(())
    }

    /// The range that holds these steps, as it is before anybody has it.
    #[must_use]
    pub fn fresh_range(&self, n: i64, phase: i64, steps: &[Step]) -> Range {
        let first = steps.first().map_or(0, |step| number(step.number));
        let count = i64::try_from(steps.len()).unwrap_or(i64::MAX);
        let line = |step: &Step| {
            let (key, label) = ((&*step.key).into(), (&*step.label).into());
            serde_json::to_string(&Line { key, label, object: &step.object })
                .expect("a step is plain JSON")
        };
        Range {
            id: format!("{}/{n:08}", self.run),
            run: self.run.clone(),
            n,
            phase,
            first,
            end: first + count,
            state: "open".to_owned(),
            worker: None,
            until: None,
            left: count,
            marks: Vec::new(),
            lines: steps.iter().map(line).collect(),
        }
    }

    /// Changes members of the run's document.
    ///
    /// # Errors
    /// As every call.
    pub async fn set(&self, context: &Context, members: Document) -> Result<(), Failure> {
        let statement = doc! { "q": { "_id": &self.run }, "u": { "$set": members } };
        let command = doc! { "update": RUNS, "updates": [statement], "writeConcern": durable() };
        self.access.keep(context, command).await.map(|_| ())
    }

    /// Leases the first range of a phase that nobody has, or whose holder is dead, or that this
    /// process had in an earlier session. `held` are those that it has now; with `retries` those of
    /// its ranges in which steps failed are leased again.
    ///
    /// # Errors
    /// As every call.
    pub async fn lease(
        &self,
        context: &Context,
        phase: usize,
        held: &[i64],
        retries: bool,
    ) -> Result<Option<Range>, Failure> {
        let now = self.access.server_ms();
        let until = now + i64::try_from(LEASE.as_millis()).unwrap_or_default();
        let mine: &[&str] = if retries { &["leased", "failed"] } else { &["leased"] };
        let free = [
            doc! { "state": "open" },
            doc! { "state": "leased", "until": { "$lt": DateTime::from_millis(now) } },
            doc! { "state": { "$in": mine.to_vec() }, "worker": &self.me },
        ];
        let query = doc! {
            "run": &self.run,
            "phase": i64::try_from(phase).unwrap_or_default(),
            "n": { "$nin": held },
            "$or": free.to_vec(),
        };
        let set = doc! {
            "state": "leased", "worker": &self.me, "until": DateTime::from_millis(until),
        };
        let command = doc! {
            "findAndModify": RANGES, "query": query, "sort": { "n": 1 },
            "update": { "$set": set }, "new": true, "fields": { "lines": 0 },
            "writeConcern": durable(),
        };
        let reply = self.access.keep(context, command).await?;
        match reply.get("value") {
            Some(Bson::Document(range)) => {
                bson::deserialize_from_document(range.clone()).map(Some).map_err(odd)
            }
            _ => Ok(None),
        }
    }

    /// How many ranges of a phase are not at their end.
    ///
    /// # Errors
    /// As every call.
    pub async fn unfinished(&self, context: &Context, phase: usize) -> Result<u64, Failure> {
        let query = doc! {
            "run": &self.run,
            "phase": i64::try_from(phase).unwrap_or_default(),
            "state": { "$in": ["open", "leased"] },
        };
        let reply = self.access.keep(context, doc! { "count": RANGES, "query": query }).await?;
        Ok(reply.get("n").and_then(whole).and_then(|n| n.try_into().ok()).unwrap_or_default())
    }

    /// Records a batch of a range that was carried out, and says whether all steps of the range
    /// have been tried now. The answer may be lost and the record made again: a mark has a name.
    /// What is left follows from all marks together, since two processes may have carried the same
    /// step out.
    ///
    /// # Errors
    /// As every call.
    pub async fn mark(&self, context: &Context, range: i64, mark: &Mark) -> Result<bool, Failure> {
        let id = format!("{}/{range:08}", self.run);
        let pushed = bson::serialize_to_document(mark).map_err(odd)?;
        let command = doc! {
            "findAndModify": RANGES,
            "query": { "_id": &id, "marks.id": { "$ne": mark.id } },
            "update": { "$push": { "marks": pushed } },
            "new": true, "fields": { "lines": 0 }, "writeConcern": durable(),
        };
        let range = match self.access.keep(context, command).await?.get("value") {
            Some(Bson::Document(range)) => {
                bson::deserialize_from_document(range.clone()).map_err(odd)?
            }
            _ => self.range(context, &id).await?,
        };
        self.sum_up(context, &range).await
    }

    async fn range(&self, context: &Context, id: &str) -> Result<Range, Failure> {
        let only = doc! { "lines": 0 };
        let read = |_| self.access.api.page(RANGES, doc! { "_id": id }, 1, Some(only.clone()));
        let remote = &self.access.remote;
        let found = remote.call(context, operation::KEEP, false, read).await?.value;
        found.first().map(parse).transpose()?.ok_or_else(|| odd(format!("range {id} is gone")))
    }

    /// Writes down what the marks of a range amount to, and says whether all of it was tried.
    ///
    /// # Errors
    /// As every call.
    pub async fn sum_up(&self, context: &Context, range: &Range) -> Result<bool, Failure> {
        let left = number(range.untried(true));
        let is_tried = range.untried(false) == 0;
        let state = match (left, is_tried) {
            (0, _) => Some("done"),
            (_, true) => Some("failed"),
            _ => None,
        };
        let mut update = doc! { "$min": { "left": left } };
        if let Some(state) = state {
            update.insert("$set", doc! { "state": state });
        }
        let query = doc! { "_id": &range.id, "state": { "$ne": "done" } };
        let statement = doc! { "q": query, "u": update };
        let command = doc! { "update": RANGES, "updates": [statement], "writeConcern": durable() };
        self.access.keep(context, command).await?;
        Ok(is_tried)
    }

    /// Renews all leases of this process.
    ///
    /// # Errors
    /// As every call.
    pub async fn renew(&self, context: &Context) -> Result<(), Failure> {
        let until = self.access.server_ms() + i64::try_from(LEASE.as_millis()).unwrap_or_default();
        let statement = doc! {
            "q": { "run": &self.run, "state": "leased", "worker": &self.me },
            "u": { "$set": { "until": DateTime::from_millis(until) } },
            "multi": true,
        };
        let command = doc! { "update": RANGES, "updates": [statement], "writeConcern": durable() };
        self.access.keep(context, command).await.map(|_| ())
    }

    /// The ranges for which a filter holds, in their order.
    ///
    /// # Errors
    /// As every call.
    pub async fn ranges(
        &self,
        context: &Context,
        filter: Document,
        without_lines: bool,
    ) -> Result<Vec<Range>, Failure> {
        let projection = without_lines.then(|| doc! { "lines": 0 });
        let found = self.access.page(context, RANGES, filter, 0, projection).await?.value;
        found.iter().map(parse).collect()
    }
}

fn parse<T: serde::de::DeserializeOwned>(raw: &RawDocumentBuf) -> Result<T, Failure> {
    bson::deserialize_from_slice(raw.as_bytes()).map_err(odd)
}

/// The server's code of a duplicate key.
pub const DUPLICATE_KEY: i32 = 11000;

/// What is written down about a run has to last.
fn durable() -> Document {
    doc! { "w": "majority" }
}

/// The plan of a run in figures.
#[must_use]
pub fn phases_of(header: &Header) -> Vec<PhaseRecord> {
    let phase = |phase: &windlass_engine::plan::Phase| PhaseRecord {
        name: phase.name.clone(),
        steps: number(phase.steps),
    };
    header.phases.iter().map(phase).collect()
}

/// A step's number as the database keeps it.
#[must_use]
pub fn number(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}
