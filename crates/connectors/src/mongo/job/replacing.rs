//! Writing over documents that are there: what was there is kept first, raw and with a checksum,
//! and a document that changes between the look and the write is looked at again.

use super::Migrate;
use super::collisions::text_of;
use super::work::id_text_of;
use super::writing::{Made, Sent, hex};
use crate::mongo::access::odd;
use crate::mongo::board::{DUPLICATE_KEY, PRE_IMAGES};
use crate::mongo::mapping::{Existing, Phase, digest};
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawDocumentBuf, doc};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use windlass_engine::job::{Context, Outcome};
use windlass_engine::{Failure, Kind};

/// How often a document that others change at the same time is looked at again.
const LOOKS: usize = 10;

impl Migrate {
    /// Writes documents whether something is there or not.
    pub(super) async fn replace(
        &self,
        context: &Context,
        phase: &Phase,
        made: Vec<Made>,
    ) -> Result<Sent, Failure> {
        let mut sent = Sent { outcomes: BTreeMap::new(), latency: Duration::ZERO, attempts: 0 };
        let mut pending: Vec<&Made> = made.iter().collect();
        for _ in 0..LOOKS {
            if pending.is_empty() {
                return Ok(sent);
            }
            let there = self.look(context, phase, &pending).await?;
            let run = self.board()?.run();
            let (ours, others): (Vec<&Made>, Vec<&Made>) = pending.iter().partition(|one| {
                is_of_run(there.get(&text_of(&one.id)), &self.migration.stamp, run)
            });
            sent.outcomes.extend(ours.iter().map(|one| (one.at, Outcome::DoneConfirmed)));
            self.keep_images(context, phase, &others, &there).await?;
            let statements = self.statements(phase, &others, &there)?;
            pending = self.send(context, phase, &others, statements, &mut sent).await?;
        }
        let busy = || Failure::new(Kind::Conflict, "others change it all the time".to_owned());
        let outcome = |one: &&Made| (one.at, Outcome::Failed(Box::new(busy())));
        sent.outcomes.extend(pending.iter().map(outcome));
        Ok(sent)
    }

    async fn look(
        &self,
        context: &Context,
        phase: &Phase,
        pending: &[&Made],
    ) -> Result<HashMap<String, RawDocumentBuf>, Failure> {
        let ids = pending.iter().map(|one| one.id.clone()).collect();
        let found = self.access.by_ids(context, &phase.to, ids, None).await?.value;
        Ok(found.into_iter().filter_map(|raw| Some((id_text_of(&raw)?, raw))).collect())
    }

    /// Keeps what is there before it is changed. The first image of a run stays: a repeated batch
    /// must not take its own work for it.
    async fn keep_images(
        &self,
        context: &Context,
        phase: &Phase,
        pending: &[&Made],
        there: &HashMap<String, RawDocumentBuf>,
    ) -> Result<(), Failure> {
        let run = self.board()?.run();
        let image = |one: &&Made| {
            let id = text_of(&one.id);
            let raw = there.get(&id)?;
            let bytes = raw.as_bytes().to_vec();
            let checksum = hex(&Sha256::digest(&bytes));
            let image = doc! {
                "_id": { "run": run, "phase": &phase.name, "id": &id },
                "image": Binary { subtype: BinarySubtype::Generic, bytes },
                "sha256": checksum,
            };
            Some(RawDocumentBuf::try_from(&image).map_err(odd))
        };
        let images: Vec<_> = pending.iter().filter_map(image).collect::<Result<_, _>>()?;
        if images.is_empty() {
            return Ok(());
        }
        let concern = &self.migration.write_concern;
        let write = || self.access.api.insert(PRE_IMAGES, &images, concern);
        let (answer, _) = self.access.write(context, images.len(), false, write).await?;
        match answer.value.errors.iter().find(|error| error.code != DUPLICATE_KEY) {
            None => Ok(()),
            Some(error) => Err(Failure::new(Kind::Rejected, error.message.clone())),
        }
    }

    /// One statement for each document: an insert where nothing is there, else a replacement that
    /// only matches what was looked at.
    fn statements(
        &self,
        phase: &Phase,
        pending: &[&Made],
        there: &HashMap<String, RawDocumentBuf>,
    ) -> Result<Vec<RawDocumentBuf>, Failure> {
        let one_of = |one: &&Made| {
            let present = there.get(&text_of(&one.id)).map(Document::try_from).transpose();
            let present = present.map_err(odd)?;
            let (query, fresh) = match present {
                None => (doc! { "_id": one.id.clone() }, one.document.clone()),
                Some(present) => {
                    let fresh = self.over(phase, one, &present)?;
                    (present, fresh)
                }
            };
            let upsert = !there.contains_key(&text_of(&one.id));
            let change = if upsert {
                doc! { "$setOnInsert": fresh }
            } else {
                fresh
            };
            RawDocumentBuf::try_from(&doc! { "q": query, "u": change, "upsert": upsert })
                .map_err(odd)
        };
        pending.iter().map(one_of).collect()
    }

    /// What stands there afterwards: the new document, or the old one with its fields.
    fn over(&self, phase: &Phase, one: &Made, present: &Document) -> Result<Document, Failure> {
        if phase.existing != Existing::Merge {
            return Ok(one.document.clone());
        }
        let mut merged = present.clone();
        let stamp = &self.migration.stamp;
        merged.extend(one.document.clone());
        let raw = RawDocumentBuf::try_from(&merged).map_err(odd)?;
        let told = hex(&digest(&raw, &[stamp]));
        if let Ok(stamp) = merged.get_document_mut(stamp) {
            stamp.insert("digest", told);
        }
        Ok(merged)
    }

    /// Sends the statements and says which documents have to be looked at again: a server says how
    /// many statements matched, not which.
    async fn send<'m>(
        &self,
        context: &Context,
        phase: &Phase,
        pending: &[&'m Made],
        statements: Vec<RawDocumentBuf>,
        sent: &mut Sent,
    ) -> Result<Vec<&'m Made>, Failure> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let concern = &self.migration.write_concern;
        let write = || self.access.api.update(&phase.to, &statements, concern);
        let (answer, _) = self.access.write(context, statements.len(), false, write).await?;
        sent.latency += answer.latency;
        sent.attempts += answer.attempts;
        let errors = &answer.value.errors;
        if errors.is_empty() && answer.value.count == statements.len() as u64 {
            sent.outcomes.extend(pending.iter().map(|one| (one.at, Outcome::Done)));
            return Ok(Vec::new());
        }
        let mut again = Vec::new();
        for (index, one) in pending.iter().enumerate() {
            match errors.iter().find(|error| error.index == index) {
                Some(error) if error.code != DUPLICATE_KEY => {
                    let failure = Failure::new(Kind::Rejected, error.message.clone());
                    sent.outcomes.insert(one.at, Outcome::Failed(Box::new(failure)));
                }
                _ => again.push(*one),
            }
        }
        Ok(again)
    }
}

fn is_of_run(raw: Option<&RawDocumentBuf>, stamp: &str, run: &str) -> bool {
    let document = raw.and_then(|raw| Document::try_from(raw).ok());
    let found = document.as_ref().and_then(|document| document.get_document(stamp).ok());
    found.is_some_and(|stamp| stamp.get_str("run").is_ok_and(|found| found == run))
}

/// The document of an `_id` as the database names images.
#[must_use]
pub(super) fn image_id(run: &str, phase: &str, id: &str) -> Bson {
    Bson::Document(doc! { "run": run, "phase": phase, "id": id })
}
