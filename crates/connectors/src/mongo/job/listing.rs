//! From the sources to the plan: one pass over a source for each phase, every document mapped as
//! it will be, so that what can't be migrated is known before anything is written.

mod groups;
mod mapper;
mod spool;

use super::collisions::{Admitted, Collisions, MIGRATED_BEFORE};
use super::paging::Paging;
use super::work::{Work, id_text_of};
use super::{Findings, Migrate};
use crate::mongo::access::odd;
use crate::mongo::api::is_code;
use crate::mongo::hashing::Calibration;
use crate::mongo::mapping::{Given, PasswordMode, Phase};
use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use groups::Groups;
use mapper::Mapper;
use spool::{Spool, Waiting};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use windlass_engine::job::Context;
use windlass_engine::plan::PlanWriter;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Event, Failure, Kind};

/// The server does not know `explain`, or not for this.
const NO_EXPLAIN: &[i32] = &[59, 115, 238];

/// What later phases use of the targets of one phase, by the hash of the group or key.
type Planned = HashMap<u128, Box<[u8]>>;

/// A target document that is about to be planned.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The step's key.
    pub(super) key: String,
    /// What the plan keeps of it.
    pub(super) work: Work,
    pub(super) references: Vec<Document>,
    pub(super) source: RawDocumentBuf,
    /// The target as it would be written now.
    pub(super) target: Document,
}

/// A listing of all phases.
pub(super) struct Listing<'a> {
    pub(super) job: &'a Migrate,
    pub(super) context: &'a Context,
    plan: &'a mut PlanWriter,
    planned: Vec<Planned>,
    /// Where candidates wait until it is known which of them are kept.
    spool: Option<Spool>,
    findings: Findings,
    /// Reading and mapping of the present phase: documents and time.
    read: (u64, Duration),
}

impl Migrate {
    /// Plans the migration; a worker takes over the plan of the run that it works for.
    pub(super) async fn list(
        &self,
        context: &Context,
        plan: &mut PlanWriter,
    ) -> Result<(), DiscoverError> {
        self.know_run(&plan.header().clone());
        plan.keys_unchecked();
        if self.options.workers_of.is_some() {
            return self.fetch_plan(context, plan).await;
        }
        let server = self.access.server(context).await?;
        let mut listing = Listing {
            job: self,
            context,
            plan,
            planned: Vec::new(),
            spool: None,
            findings: Findings::default(),
            read: (0, Duration::ZERO),
        };
        listing.remark("server", capabilities(&server));
        for number in 0..self.migration.phases.len() {
            listing.phase(number).await?;
        }
        let findings = listing.findings;
        *self.findings() = findings;
        Ok(())
    }
}

fn capabilities(server: &crate::mongo::api::Server) -> String {
    let watch = if server.can_watch {
        "tells of changes"
    } else {
        "tells of no changes: sources are read again at the end"
    };
    format!("wire version {}, {} statements a write, {watch}", server.wire, server.write_batch_max)
}

impl Listing<'_> {
    fn remark(&mut self, name: &str, what: String) {
        self.findings.remarks.push((name.to_owned(), what));
    }

    async fn phase(&mut self, number: usize) -> Result<(), DiscoverError> {
        let phase = self.job.phase(number)?;
        if number > 0 {
            self.plan.enter_phase(number);
        }
        self.planned.push(Planned::new());
        self.read = (0, Duration::ZERO);
        self.refuse_scan(phase).await?;
        let before = self.plan.header().clone();
        let collisions = Collisions::new(self.job, self.context, phase).await?;
        self.spool = match collisions.keeps() {
            true => Some(Spool::create(self.plan.folder()).map_err(|error| unspooled(&error))?),
            false => None,
        };
        let mut collisions = if phase.is_grouped() {
            self.grouped(number, phase, collisions).await?
        } else {
            self.single(number, phase, collisions).await?
        };
        self.settle_waiting(number, &mut collisions)?;
        for (name, what) in collisions.remarks() {
            self.remark(&name, what);
        }
        collisions.refuse()?;
        self.refuse_if_too_many_left(phase, &before)?;
        self.expect(number, phase);
        Ok(())
    }

    /// One target for each source document.
    async fn single(
        &mut self,
        number: usize,
        phase: &Phase,
        mut collisions: Collisions,
    ) -> Result<Collisions, DiscoverError> {
        let mut paging = self.job.paging(phase);
        loop {
            let began = Instant::now();
            let page = paging.next(self.context).await?;
            if page.is_empty() {
                return Ok(collisions);
            }
            self.plan.saw(page.len() as u64);
            let mut candidates = Vec::with_capacity(page.len());
            let mapped = self.mapper().candidates(phase, &page);
            for (source, mapped) in page.iter().zip(mapped) {
                match mapped {
                    Ok(candidate) => candidates.push(candidate),
                    Err(reason) => self.leave(source, &reason)?,
                }
            }
            self.admit(number, phase, &mut collisions, candidates).await?;
            self.read.0 += page.len() as u64;
            self.read.1 += began.elapsed();
            self.tell(phase, 0, paging.latency).await;
        }
    }

    /// One target for all source documents of a group.
    async fn grouped(
        &mut self,
        number: usize,
        phase: &Phase,
        mut collisions: Collisions,
    ) -> Result<Collisions, DiscoverError> {
        let mut groups = Groups::default();
        let mut paging = self.job.paging(phase);
        loop {
            let began = Instant::now();
            let page = paging.next(self.context).await?;
            if page.is_empty() {
                break;
            }
            self.plan.saw(page.len() as u64);
            for source in &page {
                match phase.place(source, self.job.now()) {
                    Ok(place) => groups.take(place, id_text_of(source).unwrap_or_default()),
                    Err(reason) => self.leave(source, &reason)?,
                }
            }
            self.read.0 += page.len() as u64;
            self.read.1 += began.elapsed();
            self.tell(phase, 0, paging.latency).await;
        }
        for some in groups.in_order().chunks(super::paging::PAGE) {
            let ids = some.iter().filter_map(groups::Group::source_id).collect();
            let found = self.job.access.by_ids(self.context, &phase.from, ids, None).await?.value;
            let sources: HashMap<String, &RawDocumentBuf> =
                found.iter().filter_map(|raw| Some((id_text_of(raw)?, raw))).collect();
            let mut candidates = Vec::with_capacity(some.len());
            let mut there = Vec::with_capacity(some.len());
            for group in some {
                match sources.get(&*group.source) {
                    Some(source) => there.push((group, *source)),
                    None => self.plan.leave(&group.key, "", "gone while it was listed")?,
                }
            }
            let mapped = self.mapper().of_groups(phase, &there);
            for ((group, _), mapped) in there.iter().zip(mapped) {
                match mapped {
                    Ok(candidate) => candidates.push(candidate),
                    Err(reason) => self.plan.leave(&group.key, "", &reason)?,
                }
            }
            self.admit(number, phase, &mut collisions, candidates).await?;
            self.tell(phase, 0, Duration::ZERO).await;
        }
        Ok(collisions)
    }

    fn mapper(&self) -> Mapper<'_> {
        Mapper { job: self.job, planned: &self.planned }
    }

    /// Plans the candidates that nothing speaks against.
    async fn admit(
        &mut self,
        number: usize,
        phase: &Phase,
        collisions: &mut Collisions,
        candidates: Vec<Candidate>,
    ) -> Result<(), DiscoverError> {
        let used = self.fields_used_of(number);
        for admitted in collisions.admit(self.job, self.context, phase, candidates).await? {
            match admitted {
                Admitted::Left { key, reason, there } => {
                    self.plan.leave(&key, "", &reason)?;
                    if let Some(there) = there {
                        self.remember(number, &key, &there, used.as_deref())?;
                    }
                }
                Admitted::Planned(candidate) => match &mut self.spool {
                    Some(spool) => {
                        let values = collisions.consider(phase, &candidate);
                        let target = used.as_deref().map(|used| {
                            let kept = kept_fields(&candidate.target, used);
                            Bson::Document(kept).into_canonical_extjson()
                        });
                        spool.put(candidate, values, target).map_err(|error| unspooled(&error))?;
                    }
                    None => {
                        self.push(&candidate.key, &candidate.work)?;
                        self.remember(number, &candidate.key, &candidate.target, used.as_deref())?;
                    }
                },
            }
        }
        Ok(())
    }

    /// Plans those of the waiting candidates that are kept.
    fn settle_waiting(
        &mut self,
        number: usize,
        collisions: &mut Collisions,
    ) -> Result<(), DiscoverError> {
        let Some(spool) = self.spool.take() else { return Ok(()) };
        let used = self.fields_used_of(number);
        for waiting in spool.drain().map_err(|error| unspooled(&error))? {
            let Waiting { key, work, values, target } =
                waiting.map_err(|error| unspooled(&error))?;
            if let Some(reason) = collisions.left(&values, &key) {
                self.plan.leave(&key, "", &reason)?;
                continue;
            }
            self.push(&key, &work)?;
            if let Some(Ok(Bson::Document(target))) = target.map(Bson::try_from) {
                self.remember(number, &key, &target, used.as_deref())?;
            }
        }
        Ok(())
    }

    fn push(&mut self, key: &str, work: &Work) -> Result<(), DiscoverError> {
        let object = serde_json::value::to_raw_value(work)
            .map_err(|error| Failure::new(Kind::Bug, error.to_string()))?;
        let label = work.set.values().next().map(String::as_str).unwrap_or_default();
        self.plan.push(key, label, &object)?;
        Ok(())
    }

    /// Keeps what later phases use of a target.
    fn remember(
        &mut self,
        number: usize,
        key: &str,
        target: &Document,
        used: Option<&[String]>,
    ) -> Result<(), Failure> {
        if let (Some(used), Some(planned)) = (used, self.planned.get_mut(number)) {
            let raw = RawDocumentBuf::try_from(&kept_fields(target, used)).map_err(odd)?;
            planned.insert(hash_of(key), raw.into_bytes().into_boxed_slice());
        }
        Ok(())
    }

    /// The fields of a phase's targets that later phases use; `None` where they use none of it.
    fn fields_used_of(&self, number: usize) -> Option<Vec<String>> {
        let phases = self.job.migration.phases.iter();
        let references = phases.flat_map(|phase| &phase.references);
        let mut used = None::<Vec<String>>;
        for reference in references.filter(|reference| reference.phase == number) {
            used.get_or_insert_default().extend(reference.fields.iter().cloned());
        }
        used
    }

    fn leave(&mut self, source: &RawDocument, reason: &str) -> Result<(), DiscoverError> {
        let key = id_text_of(source).unwrap_or_default();
        Ok(self.plan.leave(&key, "", reason)?)
    }

    async fn tell(&self, phase: &Phase, more: u64, latency: Duration) {
        let header = self.plan.header();
        let figures = header.phases.iter().find(|known| known.name == phase.name);
        let (seen, selected) = figures.map_or((0, 0), |known| (known.seen, known.steps));
        let event = Event::Page {
            phase: phase.name.clone(),
            page: (seen + more).div_ceil(super::paging::PAGE as u64),
            seen: seen + more,
            selected,
            latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
            request_id: None,
        };
        self.context.signal(event).await;
    }

    /// A source that is read without an index costs the server all of it again and again.
    async fn refuse_scan(&mut self, phase: &Phase) -> Result<(), DiscoverError> {
        let name = format!("reading for {}", phase.name);
        let Some(filter) = phase.filter.clone() else {
            // All of it is wanted, in the order of the index that every collection has.
            self.remark(&name, format!("all of {}, in the order of `_id`", phase.from));
            return Ok(());
        };
        let find = doc! { "find": &phase.from, "filter": filter };
        let explain = doc! { "explain": find, "verbosity": "queryPlanner" };
        match self.job.access.ask(self.context, explain).await {
            Ok(reply) => {
                let text = reply.to_string();
                let scans = text.contains("COLLSCAN");
                if scans && !self.job.options.allow_scan {
                    return Err(Failure::new(
                        Kind::Rejected,
                        format!("no index serves the filter of phase {}", phase.name),
                    )
                    .with_hint(
                        "make an index on the filter's fields, leave the filter to `where`, or \
                         allow the scan with --allow-scan",
                    )
                    .into());
                }
                let how = if scans { "without an index, as allowed" } else { "by an index" };
                self.remark(&name, how.to_owned());
            }
            Err(failure) if is_code(&failure, NO_EXPLAIN) => {
                self.remark(&name, "not known: the server does not explain".to_owned());
            }
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    fn refuse_if_too_many_left(
        &self,
        phase: &Phase,
        before: &windlass_engine::plan::Header,
    ) -> Result<(), DiscoverError> {
        let Some(most) = self.job.migration.max_left else { return Ok(()) };
        let header = self.plan.header();
        // What was migrated before is not lost.
        let all = |header: &windlass_engine::plan::Header| {
            let left = header.left.iter().filter(|(why, _)| !why.starts_with(MIGRATED_BEFORE));
            left.map(|(_, count)| count).sum::<u64>()
        };
        let left = all(header) - all(before);
        let seen = header.seen() - before.seen();
        let share = left as f64 / seen.max(1) as f64;
        if share <= most {
            return Ok(());
        }
        let what = format!(
            "{left} of {seen} documents of phase {} are left out, {:.1} %; max_left allows {:.1} %",
            phase.name,
            share * 100.0,
            most * 100.0
        );
        Err(Failure::new(Kind::Rejected, what)
            .with_hint("nothing was written; look at the reasons with --debug, or raise max_left")
            .into())
    }

    /// What a step of the phase will take: its hash on all threads, and reading and writing as
    /// long as reading and mapping took now, once each.
    fn expect(&mut self, number: usize, phase: &Phase) {
        let (documents, took) = self.read;
        let per_document = took.div_f64((documents.max(1)) as f64) * 2;
        let mut expected = per_document;
        if let Some(password) = &phase.password
            && let PasswordMode::Hash(algorithm) = password.mode
        {
            let measured = self.job.calibration(algorithm);
            let threads = self.job.threads();
            let each = measured.per_hash.div_f64(threads as f64);
            expected += each;
            self.remark(
                &format!("hashing {}", phase.name),
                hashing_words(&algorithm.words(), measured, threads),
            );
        }
        self.findings.expected.resize(number, None);
        self.findings.expected.push(Some(expected));
    }
}

fn hashing_words(algorithm: &str, measured: &Calibration, threads: usize) -> String {
    let per_second = threads as f64 / measured.per_hash.as_secs_f64().max(1e-9);
    format!("{algorithm}: {per_second:.1} a second on {threads} threads, as measured now")
}

impl Migrate {
    /// The plan's time.
    pub(super) fn now(&self) -> DateTime {
        DateTime::from_millis(self.options.now)
    }

    /// Reads a phase's source, only the fields that the migration uses.
    fn paging<'p>(&'p self, phase: &'p Phase) -> Paging<'p> {
        let paging = Paging::new(&self.access, &phase.from, phase.filter.as_ref());
        match phase.reads() {
            Some(fields) => {
                paging.only(fields.into_iter().map(|name| (name, Bson::Int32(1))).collect())
            }
            None => paging,
        }
    }

    /// The target document of a source, without password and stamp.
    pub(super) fn target(
        &self,
        phase: &Phase,
        source: &RawDocument,
        key: &str,
        work: &Work,
        references: &[Document],
    ) -> Result<Document, String> {
        let id = phase.id(&self.migration, key, source)?;
        let given = Given {
            id,
            key,
            count: work.count.max(1),
            set: &work.set,
            references,
            now: self.now(),
        };
        phase.target(source, &given)
    }
}

/// `_id` and the fields of a target that later phases use.
fn kept_fields(target: &Document, used: &[String]) -> Document {
    let mut kept = Document::new();
    for name in std::iter::once("_id").chain(used.iter().map(String::as_str)) {
        if let Some(value) = target.get(name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}

fn unspooled(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Output, format!("what was read can't be kept beside the plan: {error}"))
        .with_hint("check the free space of the disk; nothing was written into the database")
}

/// 128 bits of SHA-256: so many keys that two of them meet are nowhere.
pub(super) fn hash_of(text: &str) -> u128 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(text);
    hash.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}
