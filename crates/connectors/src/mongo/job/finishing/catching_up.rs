//! What changed in the sources while a run was at work: told by the server's change streams where
//! it has them, else found by reading all sources once more. A document that is new is migrated,
//! one that changed is brought up to date where nobody touched its target since; everything else
//! is told.

use super::super::Migrate;
use super::super::collisions::{at_path, text_of};
use super::super::cores::on_all_cores;
use super::super::listing::hash_of;
use super::super::paging::Paging;
use super::super::work::{Work, id_text_of};
use super::super::writing::{Made, Sent, hex};
use crate::mongo::access::odd;
use crate::mongo::api::is_code;
use crate::mongo::hashing::Secret;
use crate::mongo::mapping::{Collision, Phase, Reference, Unique, digest, id_value, numbered};
use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType, ResumeToken};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use windlass_engine::job::{Context, Outcome};
use windlass_engine::plan::{Line, Plan};
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Event, Failure};

/// The server has no change streams, or no history that goes back so far.
const NO_CHANGES: &[i32] = &[40573, 40324, 59, 115, 303, 286, 280, 72, 20];
/// Changes that are read before the attempt counts as answered: well within its time.
const CHANGES_AN_ATTEMPT: usize = 10_000;
/// Documents that are compared at once.
const AT_ONCE: usize = 500;
/// Conflicts that are told by name.
const EXAMPLES: usize = 5;
/// Numbers that are tried for a name that is taken.
const NUMBERS: u32 = 1000;

/// What catching up found and did.
#[derive(Debug, Default)]
pub(super) struct Caught {
    by_stream: bool,
    changed: u64,
    pub(super) inserted: u64,
    updated: u64,
    deleted: u64,
    /// Documents that are not as their sources say, because somebody changed both.
    pub(super) unresolved: u64,
    /// The first of them.
    pub(super) conflicts: Vec<String>,
}

impl Caught {
    /// In a line for people.
    pub(super) fn words(&self) -> String {
        let how = if self.by_stream { "changed meanwhile" } else { "looked at once more" };
        format!(
            "{} sources {how}: {} added, {} brought up to date, {} deleted at the source, \
             {} unresolved",
            self.changed, self.inserted, self.updated, self.deleted, self.unresolved
        )
    }

    fn conflict(&mut self, phase: &Phase, key: &str, what: &str) {
        self.unresolved += 1;
        if self.conflicts.len() < EXAMPLES {
            self.conflicts.push(format!("{} {key}: {what}", phase.name));
        }
    }
}

/// What a change stream has told so far.
#[derive(Debug, Default)]
struct Changes {
    changed: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Where it goes on.
    token: Option<ResumeToken>,
}

impl Changes {
    fn take(&mut self, event: ChangeStreamEvent<Document>) {
        self.token = Some(event.id);
        let id = event.document_key.as_ref().and_then(|key| key.get("_id")).map(text_of);
        let Some(id) = id else { return };
        if event.operation_type == OperationType::Delete {
            self.changed.remove(&id);
            self.deleted.insert(id);
        } else {
            self.deleted.remove(&id);
            self.changed.insert(id);
        }
    }
}

/// The phases and keys of what the plan left out: to look for their places again would ask the
/// server about each of them, most likely to find the same reason.
fn left_by_plan(plan: &Plan) -> Result<HashSet<(String, u128)>, DiscoverError> {
    let mut left = HashSet::new();
    let mut lines = plan.lines()?;
    while let Some(line) = lines.next_line()? {
        if let Line::Left(line) = line {
            left.insert((line.phase, hash_of(&line.key)));
        }
    }
    Ok(left)
}

/// Where a source belongs, and what is to be found there.
struct Sought<'s> {
    key: String,
    id: Bson,
    source: &'s RawDocument,
    /// The keys of what it refers to.
    references: Vec<String>,
    /// How many of the sources at hand belong there.
    count: u64,
}

/// What is to be done about a place.
enum Verdict<'a> {
    /// Nothing.
    Same,
    /// Its source says something else now.
    Changed { key: String, target: Document, present: Document },
    /// Nothing is there.
    Missing(Fresh<'a>),
}

/// A target that is not there yet, with all that it is made of.
struct Fresh<'a> {
    phase: &'a Phase,
    key: String,
    source: &'a RawDocument,
    referred: Vec<Document>,
    work: Work,
    target: Document,
}

impl Migrate {
    /// Brings the targets up to what the sources say now.
    pub(super) async fn catch_up(
        &self,
        context: &Context,
        plan: &Plan,
    ) -> Result<Caught, DiscoverError> {
        let server = self.access.server(context).await?;
        let history = self.options.history.filter(|_| server.can_watch);
        if let Some((time, increment)) = history {
            match self.by_stream(context, Timestamp { time, increment }).await {
                Err(failure) if is_code(&failure, NO_CHANGES) => {
                    let message = format!(
                        "the server can't tell what changed meanwhile, all sources are read once \
                         more: {failure}"
                    );
                    context.signal(Event::Warning { message }).await;
                }
                other => return Ok(other?),
            }
        }
        Ok(self.by_reading(context, &left_by_plan(plan)?).await?)
    }

    async fn by_stream(&self, context: &Context, from: Timestamp) -> Result<Caught, Failure> {
        let mut caught = Caught { by_stream: true, ..Caught::default() };
        let sources: BTreeSet<&str> =
            self.migration.phases.iter().map(|phase| phase.from.as_str()).collect();
        for source in sources {
            let (changed, deleted) = self.changed(context, source, from).await?;
            caught.changed += changed.len() as u64;
            caught.deleted += deleted;
            let ids: Vec<Bson> = changed.iter().filter_map(|text| id_value(text)).collect();
            for some in ids.chunks(AT_ONCE) {
                let found = self.access.by_ids(context, source, some.to_vec(), None).await?.value;
                for phase in self.migration.phases.iter().filter(|phase| phase.from == source) {
                    self.reconcile(context, phase, &found, &mut caught).await?;
                }
            }
        }
        Ok(caught)
    }

    /// The `_id`s of documents that changed since, and how many were deleted. A stream that breaks
    /// is opened again where it was.
    async fn changed(
        &self,
        context: &Context,
        source: &str,
        from: Timestamp,
    ) -> Result<(BTreeSet<String>, u64), Failure> {
        let changes = Mutex::new(Changes::default());
        loop {
            let read = |_| self.read_changes(source, from, &changes);
            let operation = crate::mongo::access::operation::READ;
            if self.access.remote.call(context, operation, false, read).await?.value {
                break;
            }
        }
        let Changes { changed, deleted, .. } =
            changes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((changed, deleted.len() as u64))
    }

    /// Takes the next changes in, and says whether there are no more.
    async fn read_changes(
        &self,
        source: &str,
        from: Timestamp,
        changes: &Mutex<Changes>,
    ) -> Result<bool, Failure> {
        let lock = || changes.lock().unwrap_or_else(PoisonError::into_inner);
        let token = lock().token.clone();
        let mut stream = self.access.api.changes(source, from, token).await?;
        for _ in 0..CHANGES_AN_ATTEMPT {
            let next = stream.next_if_any().await;
            match next.map_err(|error| crate::mongo::api::failure_of(&error))? {
                Some(event) => lock().take(event),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Reads all sources once more, without those that the plan left out.
    async fn by_reading(
        &self,
        context: &Context,
        left: &HashSet<(String, u128)>,
    ) -> Result<Caught, Failure> {
        let mut caught = Caught::default();
        for phase in &self.migration.phases {
            let mut paging = Paging::new(&self.access, &phase.from, phase.filter.as_ref());
            let (mut page_number, mut seen) = (0, 0);
            loop {
                let mut page = paging.next(context).await?;
                if page.is_empty() {
                    break;
                }
                page_number += 1;
                seen += page.len() as u64;
                page.retain(|raw| {
                    let id = id_text_of(raw).unwrap_or_default();
                    !left.contains(&(phase.name.clone(), hash_of(&id)))
                });
                for some in page.chunks(AT_ONCE) {
                    self.reconcile(context, phase, some, &mut caught).await?;
                }
                let latency_us = u64::try_from(paging.latency.as_micros()).unwrap_or(u64::MAX);
                let event = Event::Page {
                    phase: format!("{} once more", phase.name),
                    page: page_number,
                    seen,
                    selected: 0,
                    latency_us,
                    request_id: None,
                };
                context.signal(event).await;
            }
            caught.changed += seen;
        }
        Ok(caught)
    }

    /// Compares what these sources say with what is there, and mends what is ours to mend.
    async fn reconcile(
        &self,
        context: &Context,
        phase: &Phase,
        sources: &[RawDocumentBuf],
        caught: &mut Caught,
    ) -> Result<(), Failure> {
        let places = self.places(phase, sources);
        let ids = places.iter().map(|place| place.id.clone()).collect();
        let there = self.documents(context, &phase.to, ids, None).await?;
        let referred = self.look_up(context, phase, &places).await?;
        let verdicts = on_all_cores(self.threads(), &places, |place| {
            self.compare(phase, place, there.get(&text_of(&place.id)), &referred)
        });
        for verdict in verdicts {
            match verdict? {
                Verdict::Same => {}
                Verdict::Changed { key, target, present } => {
                    self.update(context, phase, &key, &target, &present, caught).await?;
                }
                Verdict::Missing(fresh) => self.add_fresh(context, fresh, caught).await?,
            }
        }
        Ok(())
    }

    /// Where these sources belong, each place once.
    fn places<'s>(&self, phase: &Phase, sources: &'s [RawDocumentBuf]) -> Vec<Sought<'s>> {
        let mut places: BTreeMap<String, Sought<'s>> = BTreeMap::new();
        for source in sources {
            let Ok(place) = phase.place(source, self.now()) else { continue };
            if let Some(known) = places.get_mut(&place.key) {
                known.count += 1;
            } else if let Ok(id) = phase.id(&self.migration, &place.key, source) {
                let (key, references) = (place.key.clone(), place.references);
                places.insert(place.key, Sought { key, id, source, references, count: 1 });
            }
        }
        places.into_values().collect()
    }

    /// Documents by the texts of their `_id`s.
    async fn documents(
        &self,
        context: &Context,
        collection: &str,
        ids: Vec<Bson>,
        projection: Option<Document>,
    ) -> Result<HashMap<String, Document>, Failure> {
        let found = self.access.by_ids(context, collection, ids, projection).await?.value;
        let read = |raw: &RawDocumentBuf| {
            let document = Document::try_from(raw).map_err(odd)?;
            Ok((id_text_of(raw).unwrap_or_default(), document))
        };
        found.iter().map(read).collect()
    }

    /// The targets that these places refer to, as they are now: for each reference of the phase by
    /// `_id`.
    async fn look_up(
        &self,
        context: &Context,
        phase: &Phase,
        places: &[Sought<'_>],
    ) -> Result<Vec<HashMap<String, Document>>, Failure> {
        let mut all = Vec::new();
        for (n, reference) in phase.references.iter().enumerate() {
            let to = self.phase(reference.phase)?;
            let id = |place: &Sought<'_>| {
                to.id(&self.migration, place.references.get(n)?, place.source).ok()
            };
            let ids: Vec<Bson> = places.iter().filter_map(id).collect();
            let fields = reference.fields.iter().map(|name| (name.clone(), Bson::Int32(1)));
            let only: Document = fields.chain([("_id".to_owned(), Bson::Int32(1))]).collect();
            all.push(self.documents(context, &to.to, ids, Some(only)).await?);
        }
        Ok(all)
    }

    /// What is to be done about one place.
    fn compare<'s>(
        &'s self,
        phase: &'s Phase,
        place: &Sought<'s>,
        present: Option<&Document>,
        referred: &[HashMap<String, Document>],
    ) -> Result<Verdict<'s>, Failure> {
        // A group's target is made of its first document; one that is there stays as it is.
        if present.is_some() && (phase.is_grouped() || phase.changes_existing()) {
            return Ok(Verdict::Same);
        }
        let Some(referred) = self.referred_by(phase, place, referred) else {
            return Ok(Verdict::Same);
        };
        let mut work = Work { count: place.count, ..Work::default() };
        let numbered = |rule: &&Unique| matches!(rule.collision, Collision::Number { .. });
        for field in phase.unique.iter().filter(numbered).filter_map(|rule| rule.fields.first()) {
            if let Some(Bson::String(given)) = present.and_then(|there| at_path(there, field)) {
                work.set.insert(field.clone(), given.clone());
            }
        }
        let made = self.target(phase, place.source, &place.key, &work, &referred);
        // What can't be made was left out by the plan, too.
        let Ok(target) = made else { return Ok(Verdict::Same) };
        let key = place.key.clone();
        match present {
            None => {
                let source = place.source;
                Ok(Verdict::Missing(Fresh { phase, key, source, referred, work, target }))
            }
            Some(present) if self.bare(phase, &target)? == self.bare(phase, present)? => {
                Ok(Verdict::Same)
            }
            Some(present) => Ok(Verdict::Changed { key, target, present: present.clone() }),
        }
    }

    /// The targets that a place refers to; `None` where one is missing, which was a reason to
    /// leave the document out.
    fn referred_by(
        &self,
        phase: &Phase,
        place: &Sought<'_>,
        referred: &[HashMap<String, Document>],
    ) -> Option<Vec<Document>> {
        let one = |(n, reference): (usize, &Reference)| {
            let to = self.phase(reference.phase).ok()?;
            let key = place.references.get(n)?;
            let id = to.id(&self.migration, key, place.source).ok()?;
            referred.get(n)?.get(&text_of(&id)).cloned()
        };
        phase.references.iter().enumerate().map(one).collect()
    }

    /// The digest of what the migration says of a document: without password and stamp.
    fn bare(&self, phase: &Phase, document: &Document) -> Result<[u8; 16], Failure> {
        let raw = RawDocumentBuf::try_from(document).map_err(odd)?;
        let secret = phase.password.as_ref().map(|password| password.field.as_str());
        let without: Vec<&str> =
            [self.migration.stamp.as_str()].into_iter().chain(secret).collect();
        Ok(digest(&raw, &without))
    }

    /// Writes a target that is missing, unless one of its values is taken.
    async fn add_fresh(
        &self,
        context: &Context,
        mut fresh: Fresh<'_>,
        caught: &mut Caught,
    ) -> Result<(), Failure> {
        for rule in 0..fresh.phase.unique.len() {
            if !self.is_free(context, rule, &mut fresh).await? {
                return Ok(());
            }
        }
        let Ok(plain) = self.plain_password(fresh.phase, fresh.source) else { return Ok(()) };
        self.add(context, fresh.phase, &fresh.key, plain, fresh.target, caught).await
    }

    /// Whether a new document may have its values under a rule; it gets a number where the rule
    /// gives numbers.
    async fn is_free(
        &self,
        context: &Context,
        rule: usize,
        fresh: &mut Fresh<'_>,
    ) -> Result<bool, Failure> {
        let Some(unique) = fresh.phase.unique.get(rule) else { return Ok(true) };
        let numbering = match (&unique.collision, unique.fields.first()) {
            (Collision::Number { length }, Some(field)) => Some((*length, field)),
            _ => None,
        };
        for n in 1..NUMBERS {
            if !self.is_taken(context, fresh.phase, &unique.fields, &fresh.target).await? {
                return Ok(true);
            }
            let Some((length, field)) = numbering else { return Ok(false) };
            fresh.work.set.remove(field);
            let base = self.made(fresh).ok();
            let Some(Bson::String(base)) = base.and_then(|base| at_path(&base, field).cloned())
            else {
                return Ok(false);
            };
            fresh.work.set.insert(field.clone(), numbered(&base, n, length));
            let Ok(target) = self.made(fresh) else { return Ok(false) };
            fresh.target = target;
        }
        Ok(false)
    }

    fn made(&self, fresh: &Fresh<'_>) -> Result<Document, String> {
        self.target(fresh.phase, fresh.source, &fresh.key, &fresh.work, &fresh.referred)
    }

    async fn is_taken(
        &self,
        context: &Context,
        phase: &Phase,
        fields: &[String],
        target: &Document,
    ) -> Result<bool, Failure> {
        let own = target.get("_id").cloned().unwrap_or(Bson::Null);
        let mut filter = doc! { "_id": { "$ne": own } };
        for field in fields {
            filter.insert(field.clone(), at_path(target, field).cloned().unwrap_or(Bson::Null));
        }
        let found =
            self.access.page(context, &phase.to, filter, 1, Some(doc! { "_id": 1 })).await?;
        Ok(!found.value.is_empty())
    }

    async fn add(
        &self,
        context: &Context,
        phase: &Phase,
        key: &str,
        plain: Option<Secret>,
        target: Document,
        caught: &mut Caught,
    ) -> Result<(), Failure> {
        let made = vec![Made::new(0, key, plain, target)?];
        let made = self.stamped(phase, self.with_passwords(phase, made).await?)?;
        let Sent { outcomes, .. } = self.insert(context, phase, true, made).await?;
        match outcomes.get(&0) {
            Some(Outcome::Failed(failure)) => {
                caught.conflict(phase, key, &failure.to_string());
            }
            _ => caught.inserted += 1,
        }
        Ok(())
    }

    /// Brings a target up to date, unless it is, or somebody else changed it since.
    async fn update(
        &self,
        context: &Context,
        phase: &Phase,
        key: &str,
        target: &Document,
        present: &Document,
        caught: &mut Caught,
    ) -> Result<(), Failure> {
        let stamp = &self.migration.stamp;
        let secret = phase.password.as_ref().map(|password| password.field.as_str());
        let raw = RawDocumentBuf::try_from(present).map_err(odd)?;
        let told = present.get_document(stamp).and_then(|stamp| stamp.get_str("digest"));
        let as_left = hex(&digest(&raw, &[stamp]));
        if told.as_ref().ok().is_none_or(|told| *told != as_left) {
            caught.conflict(phase, key, "its source and its target were both changed");
            return Ok(());
        }
        let mut fresh = target.clone();
        if let Some((name, value)) = secret.and_then(|name| Some((name, present.get(name)?))) {
            fresh.insert(name, value.clone());
        }
        let id = fresh.get("_id").cloned().unwrap_or(Bson::Null);
        let made = Made::new(0, key, None, fresh)?;
        let made = self.stamped(phase, vec![made])?;
        let document = made.into_iter().next().map(|one| one.document).unwrap_or_default();
        let query = doc! { "_id": id, format!("{stamp}.digest"): told.unwrap_or_default() };
        let statement =
            RawDocumentBuf::try_from(&doc! { "q": query, "u": document }).map_err(odd)?;
        let statements = [statement];
        let concern = &self.migration.write_concern;
        let write = || self.access.api.update(&phase.to, &statements, concern);
        let (answer, _) = self.access.write(context, 1, false, write).await?;
        match answer.value.errors.first() {
            Some(error) => caught.conflict(phase, key, &error.message),
            None => caught.updated += 1,
        }
        Ok(())
    }
}
