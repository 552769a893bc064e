//! `migrate verify`: compares what a run wrote with what its sources say now: counts, digests of
//! every range on both sides, some documents field by field, orphans and duplicates.

use super::{KnownRun, known_run};
use crate::connector::{Answered, Query, QueryError};
use crate::mongo::access::{Access, odd};
use crate::mongo::board::{Line, Range, Stage};
use crate::mongo::job::{Work, content_digest, id_text_of};
use crate::mongo::mapping::{Existing, Given, Migration, Phase, differing, digest, id_value};
use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;
use windlass_engine::{Event, Failure};

/// Documents that are compared at once.
const AT_ONCE: usize = 500;
/// Differences that are told by name.
const EXAMPLES: usize = 10;

/// How many documents of each range are compared field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// So many.
    Some(usize),
    /// All of them.
    All,
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            _ => text
                .parse()
                .map(Self::Some)
                .map_err(|_| format!("`{text}` is neither a number nor `all`")),
        }
    }
}

/// A verification of one run.
pub struct Verify {
    /// The database.
    pub access: Access,
    /// The run.
    pub run: String,
    /// How much is compared field by field.
    pub sample: Sample,
    /// Whether the answer is for programs.
    pub json: bool,
}

/// What was found of one phase.
#[derive(Debug, Default, Serialize)]
struct PhaseFound {
    phase: String,
    /// Documents that should be there.
    expected: u64,
    /// Documents that are there with the run's stamp.
    stamped: u64,
    /// Documents that are as their sources say.
    equal: u64,
    /// Compared field by field.
    compared: u64,
    /// Not there.
    missing: u64,
    /// There, and not as their sources say.
    different: u64,
    /// Changed by somebody after the run wrote them.
    changed_since: u64,
    /// Sources that are not there any more.
    sources_gone: u64,
    /// Written by the run for no step of it.
    orphans: u64,
    /// Values that only one document may have and several have.
    duplicates: u64,
    /// Ranges whose digest is what their sources give now.
    ranges_equal: u64,
    ranges: u64,
    examples: Vec<String>,
}

impl PhaseFound {
    fn is_right(&self) -> bool {
        self.missing == 0 && self.different == 0 && self.orphans == 0 && self.duplicates == 0
    }

    fn example(&mut self, what: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }
}

/// A step with what its source makes of it.
struct Expected {
    key: String,
    target: Document,
}

impl Verify {
    async fn verify(&self, context: &Context) -> Result<(Stage, Vec<PhaseFound>), Failure> {
        let known = known_run(&self.access, context, &self.run).await?;
        let mut all = Vec::new();
        for (number, phase) in known.migration.phases.iter().enumerate() {
            let mut found = PhaseFound { phase: phase.name.clone(), ..PhaseFound::default() };
            let filter = doc! { "run": &self.run, "phase": number as i64 };
            // Without their lines first: all of them together may be large.
            for range in known.board.ranges(context, filter, true).await? {
                let whole = known.board.ranges(context, doc! { "_id": &range.id }, false).await?;
                if let Some(range) = whole.first() {
                    self.range(context, &known, phase, range, &mut found).await?;
                }
            }
            self.orphans(context, &known, phase, &mut found).await?;
            self.duplicates(context, phase, &mut found).await?;
            all.push(found);
        }
        Ok((known.record.stage, all))
    }

    /// Compares one range with its sources.
    async fn range(
        &self,
        context: &Context,
        known: &KnownRun,
        phase: &Phase,
        range: &Range,
        found: &mut PhaseFound,
    ) -> Result<(), Failure> {
        found.ranges += 1;
        let (mut sources, mut targets) = (0_u128, 0_u128);
        let mut sampled = 0;
        for lines in range.lines.chunks(AT_ONCE) {
            let expected = self.expected(context, known, phase, lines, found).await?;
            let ids: Vec<Bson> =
                expected.iter().filter_map(|one| one.target.get("_id").cloned()).collect();
            let there = self.access.by_ids(context, &phase.to, ids, None).await?.value;
            let there: HashMap<String, RawDocumentBuf> =
                there.into_iter().filter_map(|raw| Some((id_text_of(&raw)?, raw))).collect();
            for one in &expected {
                let id = RawDocumentBuf::try_from(&one.target).map_err(odd)?;
                let raw = id_text_of(&id).and_then(|id| there.get(&id));
                sources ^= content_digest(&one.target)?;
                let deep = match self.sample {
                    Sample::All => true,
                    Sample::Some(most) => sampled < most,
                };
                sampled += usize::from(deep);
                targets ^= self.compare(known, phase, one, raw, deep, found)?;
            }
        }
        found.ranges_equal += u64::from(sources == targets);
        let event = Event::Page {
            phase: phase.name.clone(),
            page: found.ranges,
            seen: found.expected,
            selected: found.equal,
            latency_us: 0,
            request_id: None,
        };
        context.signal(event).await;
        Ok(())
    }

    /// What the sources of these steps make of them now.
    async fn expected(
        &self,
        context: &Context,
        known: &KnownRun,
        phase: &Phase,
        lines: &[String],
        found: &mut PhaseFound,
    ) -> Result<Vec<Expected>, Failure> {
        let mut steps = Vec::with_capacity(lines.len());
        for line in lines {
            let line: Line<'_> = serde_json::from_str(line).map_err(odd)?;
            let work: Work = serde_json::from_str(line.object.get()).map_err(odd)?;
            steps.push((line.key.into_owned(), work));
        }
        let source_of =
            |(key, work): &(String, Work)| work.source.clone().unwrap_or_else(|| key.clone());
        let ids = steps.iter().filter_map(|step| id_value(&source_of(step))).collect();
        let read = self.access.by_ids(context, &phase.from, ids, None).await?.value;
        let sources: HashMap<String, &RawDocumentBuf> =
            read.iter().filter_map(|raw| Some((id_text_of(raw)?, raw))).collect();
        let mut expected = Vec::with_capacity(steps.len());
        for step in &steps {
            let Some(source) = sources.get(&source_of(step)) else {
                found.sources_gone += 1;
                continue;
            };
            match target_of(&known.migration, known.options.now, phase, source, step) {
                Ok(target) => expected.push(Expected { key: step.0.clone(), target }),
                Err(reason) => found.example(format!("{}: can't be made now: {reason}", step.0)),
            }
        }
        found.expected += expected.len() as u64;
        Ok(expected)
    }

    /// Compares one target and gives its digest without password and stamp.
    fn compare(
        &self,
        known: &KnownRun,
        phase: &Phase,
        expected: &Expected,
        found: Option<&RawDocumentBuf>,
        deep: bool,
        tally: &mut PhaseFound,
    ) -> Result<u128, Failure> {
        let Some(raw) = found else {
            tally.missing += 1;
            tally.example(format!("{}: is not there", expected.key));
            return Ok(0);
        };
        let stamp = known.migration.stamp.as_str();
        let is_changed = is_changed_since(raw, stamp);
        let secret = phase.password.as_ref().map(|password| password.field.as_str());
        let without: Vec<&str> = [stamp].into_iter().chain(secret).collect();
        let raw = &of_the_migration(phase, expected, raw)?;
        let content = u128::from_be_bytes(digest(raw, &without));
        let is_equal = content == content_digest(&expected.target)?;
        if deep {
            tally.compared += 1;
        }
        if is_equal {
            tally.equal += 1;
            return Ok(content);
        }
        let what = differing(&expected.target, raw, &without).join("; ");
        if is_changed {
            tally.changed_since += 1;
            tally.example(format!("{}: changed since the run: {what}", expected.key));
        } else {
            tally.different += 1;
            tally.example(format!("{}: {what}", expected.key));
        }
        Ok(content)
    }

    /// Documents with the run's stamp whose key is no step of it.
    async fn orphans(
        &self,
        context: &Context,
        known: &KnownRun,
        phase: &Phase,
        found: &mut PhaseFound,
    ) -> Result<(), Failure> {
        let stamp = &known.migration.stamp;
        let query = doc! {
            format!("{stamp}.run"): &self.run, format!("{stamp}.phase"): &phase.name,
        };
        let reply = self.access.ask(context, doc! { "count": &phase.to, "query": query }).await?;
        let count = reply.get("n").and_then(crate::mongo::api::whole).unwrap_or_default();
        found.stamped = count.unsigned_abs();
        let due = found.equal + found.different + found.changed_since + found.sources_gone;
        found.orphans = found.stamped.saturating_sub(due + self.added(context, known).await?);
        Ok(())
    }

    /// Documents that were new in the sources while the run was at work are not steps of it.
    async fn added(&self, context: &Context, known: &KnownRun) -> Result<u64, Failure> {
        let record = known.board.record(context).await?;
        Ok(record.map_or(0, |record| record.added.unsigned_abs()))
    }

    /// Values that only one document may have, counted by the server.
    async fn duplicates(
        &self,
        context: &Context,
        phase: &Phase,
        found: &mut PhaseFound,
    ) -> Result<(), Failure> {
        for unique in &phase.unique {
            let id: Document = unique
                .fields
                .iter()
                .enumerate()
                .map(|(n, field)| (format!("f{n}"), Bson::String(format!("${field}"))))
                .collect();
            let there: Document = unique
                .fields
                .iter()
                .map(|field| (field.clone(), Bson::Document(doc! { "$exists": true })))
                .collect();
            let pipeline = vec![
                doc! { "$match": there },
                doc! { "$group": { "_id": id, "n": { "$sum": 1 } } },
                doc! { "$match": { "n": { "$gt": 1 } } },
                doc! { "$limit": EXAMPLES as i64 },
            ];
            let command = doc! {
                "aggregate": &phase.to, "pipeline": pipeline, "cursor": {}, "allowDiskUse": true,
            };
            let reply = self.access.ask(context, command).await?;
            let batch =
                reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
            for double in batch.map(Vec::as_slice).unwrap_or_default() {
                found.duplicates += 1;
                found.example(format!("several have {}: {double}", unique.fields.join(" + ")));
            }
        }
        Ok(())
    }
}

/// The target of a step as its source says now.
fn target_of(
    migration: &Migration,
    now: i64,
    phase: &Phase,
    source: &RawDocument,
    (key, work): &(String, Work),
) -> Result<Document, String> {
    let references = work.referred().map_err(|failure| failure.to_string())?;
    let given = Given {
        id: phase.id(migration, key, source)?,
        key,
        count: work.count.max(1),
        set: &work.set,
        references: &references,
        now: DateTime::from_millis(now),
    };
    phase.target(source, &given)
}

/// What the migration wrote of a document: all of it, or its fields beside those that were there.
fn of_the_migration(
    phase: &Phase,
    expected: &Expected,
    raw: &RawDocumentBuf,
) -> Result<RawDocumentBuf, Failure> {
    if phase.existing != Existing::Merge {
        return Ok(raw.clone());
    }
    let document = Document::try_from(raw).map_err(odd)?;
    let is_ours = |(name, _): &(String, Bson)| expected.target.contains_key(name);
    let document: Document = document.into_iter().filter(is_ours).collect();
    RawDocumentBuf::try_from(&document).map_err(odd)
}

/// Whether a document is not as the run left it.
fn is_changed_since(raw: &RawDocument, stamp: &str) -> bool {
    let told = raw.get_document(stamp).and_then(|stamp| stamp.get_str("digest"));
    let now: String = digest(raw, &[stamp]).iter().map(|byte| format!("{byte:02x}")).collect();
    told.is_ok_and(|told| told != now)
}

fn tell(found: &PhaseFound, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let mark = if found.is_right() { "ok" } else { "WRONG" };
    writeln!(
        out,
        "{mark}  {}: {} expected, {} equal ({} of {} ranges by digest, {} compared in full)",
        found.phase, found.expected, found.equal, found.ranges_equal, found.ranges, found.compared
    )?;
    let named = [
        (found.missing, "missing"),
        (found.different, "different"),
        (found.changed_since, "changed since the run"),
        (found.sources_gone, "whose source is gone"),
        (found.orphans, "orphans"),
        (found.duplicates, "duplicates"),
    ];
    for (count, name) in named.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "    {count} {name}")?;
    }
    for example in &found.examples {
        writeln!(out, "    {example}")?;
    }
    Ok(())
}

impl Query for Verify {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            let (stage, all) = self.verify(context).await?;
            for found in &all {
                if self.json {
                    serde_json::to_writer(&mut *out, found).map_err(std::io::Error::from)?;
                    writeln!(out)?;
                } else {
                    tell(found, out)?;
                }
            }
            let differs = !all.iter().all(PhaseFound::is_right);
            let mut notes = Vec::new();
            if stage != Stage::Complete {
                notes.push(format!("run {} is not complete: {stage:?}", self.run));
            }
            Ok(Answered { notes, differs })
        })
    }
}
