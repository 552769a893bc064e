//! What changed in the sources while a run was at work: told by the server's change streams where
//! it has them, else found by reading all sources once more. A document that is new is migrated,
//! one that changed is brought up to date where nobody touched its target since; everything else
//! is told.

use super::super::Migrate;
use super::super::collisions::{at_path, text_of};
use super::super::paging::Paging;
use super::super::work::{Work, id_text_of};
use super::super::writing::{Made, Sent, hex};
use crate::mongo::access::odd;
use crate::mongo::api::is_code;
use crate::mongo::hashing::Secret;
use crate::mongo::mapping::{Collision, Phase, digest, id_value, numbered};
use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::change_stream::event::OperationType;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use windlass_engine::job::{Context, Outcome};
use windlass_engine::{Event, Failure};

/// The server has no change streams, or no history that goes back so far.
const NO_CHANGES: &[i32] = &[40573, 40324, 59, 115, 303, 286, 280, 72, 20];
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

/// A target that is not there yet, with all that it is made of.
struct Fresh<'a> {
    phase: &'a Phase,
    key: &'a str,
    source: &'a RawDocument,
    referred: Vec<Document>,
    work: Work,
    target: Document,
}

impl Migrate {
    /// Brings the targets up to what the sources say now.
    pub(super) async fn catch_up(&self, context: &Context) -> Result<Caught, Failure> {
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
                other => return other,
            }
        }
        self.by_reading(context).await
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

    /// The `_id`s of documents that changed since, and how many were deleted.
    async fn changed(
        &self,
        context: &Context,
        source: &str,
        from: Timestamp,
    ) -> Result<(BTreeSet<String>, u64), Failure> {
        let open = |_| self.access.api.changes(source, from);
        let operation = crate::mongo::access::operation::READ;
        let mut stream = self.access.remote.call(context, operation, false, open).await?.value;
        let (mut changed, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let next = stream.next_if_any().await;
            let Some(event) = next.map_err(|error| crate::mongo::api::failure_of(&error))? else {
                break;
            };
            let id = event.document_key.as_ref().and_then(|key| key.get("_id")).map(text_of);
            let Some(id) = id else { continue };
            if event.operation_type == OperationType::Delete {
                changed.remove(&id);
                deleted.insert(id);
            } else {
                deleted.remove(&id);
                changed.insert(id);
            }
        }
        Ok((changed, deleted.len() as u64))
    }

    async fn by_reading(&self, context: &Context) -> Result<Caught, Failure> {
        let mut caught = Caught::default();
        for phase in &self.migration.phases {
            let mut paging = Paging::new(&self.access, &phase.from, phase.filter.as_ref());
            loop {
                let page = paging.next(context).await?;
                if page.is_empty() {
                    break;
                }
                caught.changed += page.len() as u64;
                for some in page.chunks(AT_ONCE) {
                    self.reconcile(context, phase, some, &mut caught).await?;
                }
            }
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
        let now = self.now();
        let mut places: BTreeMap<String, (&RawDocumentBuf, Vec<String>, u64)> = BTreeMap::new();
        for source in sources {
            if let Ok(place) = phase.place(source, now) {
                let entry = places.entry(place.key).or_insert((source, place.references, 0));
                entry.2 += 1;
            }
        }
        let mut ids = BTreeMap::new();
        for (key, (source, ..)) in &places {
            if let Ok(id) = phase.id(&self.migration, key, source) {
                ids.insert(key.clone(), id);
            }
        }
        let found =
            self.access.by_ids(context, &phase.to, ids.values().cloned().collect(), None).await?;
        let there: HashMap<String, RawDocumentBuf> =
            found.value.into_iter().filter_map(|raw| Some((id_text_of(&raw)?, raw))).collect();
        for (key, (source, references, count)) in &places {
            let Some(id) = ids.get(key) else { continue };
            let present = there.get(&text_of(id));
            if present.is_some() && (phase.is_grouped() || phase.changes_existing()) {
                continue;
            }
            let work = Work { count: *count, ..Work::default() };
            self.mend(context, phase, (key, source, references), work, present, caught).await?;
        }
        Ok(())
    }

    async fn mend(
        &self,
        context: &Context,
        phase: &Phase,
        (key, source, references): (&str, &RawDocument, &[String]),
        mut work: Work,
        present: Option<&RawDocumentBuf>,
        caught: &mut Caught,
    ) -> Result<(), Failure> {
        let Some(referred) = self.look_up(context, phase, source, references).await? else {
            return Ok(());
        };
        let present = present.map(Document::try_from).transpose().map_err(odd)?;
        if let Some(present) = &present {
            for rule in phase.unique.iter() {
                if let (Collision::Number { .. }, Some(field)) =
                    (&rule.collision, rule.fields.first())
                    && let Some(Bson::String(given)) = at_path(present, field)
                {
                    work.set.insert(field.clone(), given.clone());
                }
            }
        }
        let Ok(target) = self.target(phase, source, key, &work, &referred) else {
            return Ok(());
        };
        if let Some(present) = present {
            return self.update(context, phase, key, &target, &present, caught).await;
        }
        let mut fresh = Fresh { phase, key, source, referred, work, target };
        for rule in 0..phase.unique.len() {
            if !self.is_free(context, rule, &mut fresh).await? {
                return Ok(());
            }
        }
        let Ok(plain) = self.plain_password(phase, source) else { return Ok(()) };
        self.add(context, phase, key, plain, fresh.target, caught).await
    }

    /// The targets that this one refers to, as they are now; `None` where one is missing, which
    /// was a reason to leave the document out.
    async fn look_up(
        &self,
        context: &Context,
        phase: &Phase,
        source: &RawDocument,
        keys: &[String],
    ) -> Result<Option<Vec<Document>>, Failure> {
        let mut referred = Vec::new();
        for (reference, key) in phase.references.iter().zip(keys) {
            let to = self.phase(reference.phase)?;
            let Ok(id) = to.id(&self.migration, key, source) else { return Ok(None) };
            let fields = reference.fields.iter().map(|name| (name.clone(), Bson::Int32(1)));
            let projection: Document = fields.chain([("_id".to_owned(), Bson::Int32(1))]).collect();
            let found =
                self.access.by_ids(context, &to.to, vec![id], Some(projection)).await?.value;
            let Some(raw) = found.first() else { return Ok(None) };
            referred.push(Document::try_from(raw).map_err(odd)?);
        }
        Ok(Some(referred))
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
        self.target(fresh.phase, fresh.source, fresh.key, &fresh.work, &fresh.referred)
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
        let bare = |document: &Document| -> Result<[u8; 16], Failure> {
            let raw = RawDocumentBuf::try_from(document).map_err(odd)?;
            let without: Vec<&str> = [stamp.as_str()].into_iter().chain(secret).collect();
            Ok(digest(&raw, &without))
        };
        if bare(target)? == bare(present)? {
            return Ok(());
        }
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
