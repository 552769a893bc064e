//! Values that only one target document may have: what the migration's own documents would share,
//! and what is in the target collection already.

use super::Migrate;
use super::listing::{Candidate, hash_of};
use crate::mongo::access::{Access, odd};
use crate::mongo::mapping::{Collision, Order, Phase, Unique, numbered};
use bson::{Bson, Document, RawDocumentBuf, doc};
use std::collections::{HashMap, HashSet};
use windlass_engine::job::Context;
use windlass_engine::{Failure, Kind};

/// Collisions that are told by name.
const EXAMPLES: usize = 5;
/// How the reason begins for documents that an earlier run of the migration wrote.
pub(super) const MIGRATED_BEFORE: &str = "migrated before";
/// A number behind a name beyond this means that something is wrong with the names.
const NUMBER_MAX: u32 = 1_000_000;

/// What becomes of a candidate.
pub(super) enum Admitted {
    /// It is planned.
    Planned(Candidate),
    /// It is left out.
    Left {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
        /// The target that is there already, with the fields that later phases use.
        there: Option<Document>,
    },
}

/// The state of one rule.
struct Rule {
    unique: Unique,
    /// The values that are taken, by hash.
    taken: HashSet<u128>,
    /// For values of which one document is kept: the best one, by the hash of its key.
    best: HashMap<u128, (Option<Order>, u128)>,
    /// The last number that was given to a base.
    last: HashMap<u128, u32>,
    met: u64,
    examples: Vec<String>,
}

/// All rules of a phase.
pub(super) struct Collisions {
    rules: Vec<Rule>,
    /// Whether there is anything in the target collection.
    target_has_documents: bool,
}

impl Collisions {
    pub(super) async fn new(
        job: &Migrate,
        context: &Context,
        phase: &Phase,
    ) -> Result<Self, Failure> {
        let target_has_documents = job.access.count(context, &phase.to).await? > 0;
        let rule = |unique: &Unique| Rule {
            unique: unique.clone(),
            taken: HashSet::new(),
            best: HashMap::new(),
            last: HashMap::new(),
            met: 0,
            examples: Vec::new(),
        };
        Ok(Self { rules: phase.unique.iter().map(rule).collect(), target_has_documents })
    }

    /// Whether one document of several has to be chosen, for which all have to be seen first.
    pub(super) fn keeps(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.unique.collision, Collision::Keep { .. }))
    }

    /// Takes note of a document of which one of several is to be kept, and gives the hashes of its
    /// values.
    pub(super) fn consider(&mut self, phase: &Phase, candidate: &Candidate) -> Vec<Option<u128>> {
        let values = phase.unique_values(&candidate.target);
        for (index, (rule, value)) in self.rules.iter_mut().zip(&values).enumerate() {
            let (Collision::Keep { .. }, Some(value)) = (&rule.unique.collision, value) else {
                continue;
            };
            let order = phase.keep_order(index, &candidate.source);
            let key = hash_of(&candidate.key);
            let best = rule.best.entry(value.hash).or_insert_with(|| (order.clone(), key));
            if order > best.0 {
                *best = (order, key);
            } else if best.1 != key {
                rule.example(&value.text);
            }
        }
        values.into_iter().map(|value| value.map(|value| value.hash)).collect()
    }

    /// Why a document that was considered is left out; `None` where it is the one that is kept.
    pub(super) fn left(&mut self, values: &[Option<u128>], key: &str) -> Option<String> {
        let key = hash_of(key);
        for (rule, value) in self.rules.iter_mut().zip(values) {
            let (Collision::Keep { otherwise, .. }, Some(value)) = (&rule.unique.collision, value)
            else {
                continue;
            };
            if rule.best.get(value).is_some_and(|(_, best)| *best != key) {
                rule.met += 1;
                return Some(otherwise.clone());
            }
        }
        None
    }

    /// Says what becomes of these candidates, in their order.
    pub(super) async fn admit(
        &mut self,
        job: &Migrate,
        context: &Context,
        phase: &Phase,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Admitted>, Failure> {
        let mut admitted = self.without_those_there(job, context, phase, candidates).await?;
        for index in 0..self.rules.len() {
            self.give_out(job, context, phase, index, &mut admitted).await?;
        }
        Ok(admitted)
    }

    /// Documents whose target is there already, from an earlier run of this migration.
    async fn without_those_there(
        &self,
        job: &Migrate,
        context: &Context,
        phase: &Phase,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Admitted>, Failure> {
        if !self.target_has_documents || phase.changes_existing() || candidates.is_empty() {
            return Ok(candidates.into_iter().map(Admitted::Planned).collect());
        }
        let ids: Vec<Bson> =
            candidates.iter().filter_map(|one| one.target.get("_id").cloned()).collect();
        let stamp = &job.migration.stamp;
        let found = job.access.by_ids(context, &phase.to, ids, None).await?.value;
        let mut there = HashMap::new();
        for raw in &found {
            let document = Document::try_from(raw).map_err(odd)?;
            there.insert(super::work::id_text_of(raw).unwrap_or_default(), document);
        }
        let mut say = |candidate: Candidate| {
            let id = candidate.target.get("_id").map(text_of).unwrap_or_default();
            match there.remove(&id) {
                None => Admitted::Planned(candidate),
                Some(document) => {
                    let reason = by_whom(&document, stamp);
                    Admitted::Left { key: candidate.key, reason, there: Some(document) }
                }
            }
        };
        Ok(candidates.into_iter().map(&mut say).collect())
    }

    /// Gives the values of one rule out, and gives others out where the target collection has
    /// them, until no value is there twice.
    async fn give_out(
        &mut self,
        job: &Migrate,
        context: &Context,
        phase: &Phase,
        index: usize,
        admitted: &mut [Admitted],
    ) -> Result<(), Failure> {
        let mut pending: Vec<usize> = (0..admitted.len()).collect();
        while !pending.is_empty() {
            for &at in &pending {
                if let Some(one) = admitted.get_mut(at) {
                    self.judge(job, phase, index, one)?;
                }
            }
            let there = self.there(job, context, phase, index, admitted, &pending).await?;
            pending.clear();
            for (at, one) in admitted.iter_mut().enumerate() {
                let Admitted::Planned(candidate) = one else { continue };
                let value = phase.unique_values(&candidate.target).swap_remove(index);
                let Some(value) = value.filter(|value| there.contains(&value.hash)) else {
                    continue;
                };
                if let Some(rule) = self.rules.get_mut(index) {
                    rule.meet(&value.text);
                    match &rule.unique.collision {
                        Collision::Number { .. } => {
                            let field =
                                rule.unique.fields.first().map(String::as_str).unwrap_or_default();
                            candidate.work.set.remove(field);
                            pending.push(at);
                        }
                        _ => {
                            let reason = "its place is taken by a document that is there already";
                            let key = std::mem::take(&mut candidate.key);
                            let reason = reason.to_owned();
                            *one = Admitted::Left { key, reason, there: None };
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks at one candidate under one rule.
    fn judge(
        &mut self,
        job: &Migrate,
        phase: &Phase,
        index: usize,
        admitted: &mut Admitted,
    ) -> Result<(), Failure> {
        let Admitted::Planned(candidate) = admitted else { return Ok(()) };
        let Some(rule) = self.rules.get_mut(index) else { return Ok(()) };
        let Some(value) = phase.unique_values(&candidate.target).swap_remove(index) else {
            return Ok(());
        };
        let reason = match &rule.unique.collision {
            Collision::Number { length } => {
                return rule.number(job, phase, candidate, *length);
            }
            Collision::Skip { otherwise } if !rule.taken.insert(value.hash) => otherwise.clone(),
            Collision::Fail if !rule.taken.insert(value.hash) => "not unique".to_owned(),
            // Which one is kept is known when all are seen.
            Collision::Keep { .. } | Collision::Skip { .. } | Collision::Fail => return Ok(()),
        };
        rule.meet(&value.text);
        let key = std::mem::take(&mut candidate.key);
        *admitted = Admitted::Left { key, reason, there: None };
        Ok(())
    }

    /// The values of the pending candidates that other documents of the target collection have.
    async fn there(
        &self,
        job: &Migrate,
        context: &Context,
        phase: &Phase,
        index: usize,
        admitted: &[Admitted],
        pending: &[usize],
    ) -> Result<HashSet<u128>, Failure> {
        let Some(rule) = self.rules.get(index).filter(|_| self.target_has_documents) else {
            return Ok(HashSet::new());
        };
        let Some(field) = rule.unique.fields.first() else { return Ok(HashSet::new()) };
        let planned = pending.iter().filter_map(|at| match admitted.get(*at) {
            Some(Admitted::Planned(candidate)) => Some(candidate),
            _ => None,
        });
        let mut values = Vec::new();
        let mut own = HashSet::new();
        for candidate in planned {
            values.extend(at_path(&candidate.target, field).cloned());
            own.extend(candidate.target.get("_id").map(text_of));
        }
        if values.is_empty() {
            return Ok(HashSet::new());
        }
        let found = with_values(&job.access, context, &phase.to, &rule.unique, values).await?;
        let others = found.iter().filter_map(|raw| Document::try_from(raw).ok());
        let others =
            others.filter(|one| one.get("_id").is_none_or(|id| !own.contains(&text_of(id))));
        let values = others.filter_map(|one| phase.unique_values(&one).swap_remove(index));
        Ok(values.map(|value| value.hash).collect())
    }

    /// What a person should know about them.
    pub(super) fn remarks(&self) -> Vec<(String, String)> {
        let met = self.rules.iter().filter(|rule| rule.met > 0);
        let remark = |rule: &Rule| {
            let name = format!("same {}", rule.unique.fields.join(" + "));
            let how = match &rule.unique.collision {
                Collision::Number { .. } => "got a number",
                Collision::Keep { .. } | Collision::Skip { .. } => "left out",
                Collision::Fail => "refused",
            };
            (name, format!("{} {how}, such as {}", rule.met, rule.examples.join(", ")))
        };
        met.map(remark).collect()
    }

    /// Ends the listing where values are shared that may not be.
    ///
    /// # Errors
    /// When there is such a value.
    pub(super) fn refuse(&self) -> Result<(), Failure> {
        let fails = |rule: &&Rule| rule.met > 0 && matches!(rule.unique.collision, Collision::Fail);
        let Some(rule) = self.rules.iter().find(fails) else { return Ok(()) };
        let what = format!(
            "{} documents have the same {} as another, such as {}",
            rule.met,
            rule.unique.fields.join(" + "),
            rule.examples.join(", ")
        );
        let hint = "nothing was written; say in the migration file what to do: collision = \
                    \"number\", \"keep\" or \"skip\"";
        Err(Failure::new(Kind::Conflict, what).with_hint(hint))
    }
}

impl Rule {
    fn meet(&mut self, text: &str) {
        self.met += 1;
        self.example(text);
    }

    fn example(&mut self, text: &str) {
        if self.examples.len() < EXAMPLES && !self.examples.iter().any(|known| known == text) {
            self.examples.push(text.to_owned());
        }
    }

    /// Gives a value out that nobody has, with a number behind it where needed.
    fn number(
        &mut self,
        job: &Migrate,
        phase: &Phase,
        candidate: &mut Candidate,
        length: usize,
    ) -> Result<(), Failure> {
        let field = self.unique.fields.first().cloned().unwrap_or_default();
        let Some(Bson::String(base)) = at_path(&candidate.target, &field).cloned() else {
            return Ok(());
        };
        let base_hash = hash_of(&base);
        let from = self.last.get(&base_hash).map_or(0, |last| last + 1);
        for n in from..NUMBER_MAX {
            let value = if n == 0 { base.clone() } else { numbered(&base, n, length) };
            if !self.taken.insert(hash_of(&value)) {
                continue;
            }
            self.last.insert(base_hash, n);
            if n > 0 {
                self.meet(&base);
                candidate.work.set.insert(field, value);
                let Candidate { key, work, references, source, .. } = &*candidate;
                let target = job.target(phase, source, key, work, references);
                candidate.target = target.map_err(|reason| Failure::new(Kind::Rejected, reason))?;
            } else {
                candidate.work.set.insert(field, value);
            }
            return Ok(());
        }
        Err(Failure::new(Kind::Rejected, format!("no number is left for `{base}`")))
    }
}

/// The documents of a collection that have one of these values in the first field of a rule, with
/// all fields of the rule.
async fn with_values(
    access: &Access,
    context: &Context,
    collection: &str,
    unique: &Unique,
    values: Vec<Bson>,
) -> Result<Vec<RawDocumentBuf>, Failure> {
    let Some(field) = unique.fields.first() else { return Ok(Vec::new()) };
    let projection: Document =
        unique.fields.iter().map(|name| (name.clone(), Bson::Int32(1))).collect();
    let filter = doc! { field: { "$in": values } };
    Ok(access.page(context, collection, filter, 0, Some(projection)).await?.value)
}

fn by_whom(document: &Document, stamp: &str) -> String {
    match document.get_document(stamp).and_then(|stamp| stamp.get_str("run")) {
        Ok(run) => format!("{MIGRATED_BEFORE}, by run {run}"),
        Err(_) => "a document that no migration wrote has its `_id`".to_owned(),
    }
}

/// The value at a dotted path.
pub(super) fn at_path<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((first, rest)) => at_path(document.get_document(first).ok()?, rest),
    }
}

/// An `_id` as text.
pub(super) fn text_of(id: &Bson) -> String {
    let mut raw = RawDocumentBuf::new();
    if let Ok(value) = bson::RawBson::try_from(id.clone()) {
        raw.append(bson::cstr!("_id"), value);
    }
    super::work::id_text_of(&raw).unwrap_or_default()
}
