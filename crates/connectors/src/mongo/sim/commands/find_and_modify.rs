//! `findAndModify`: one document found, changed and shown as one act.

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};

use super::super::collection::Stored;
use super::super::expression::to_bson;
use super::super::filter::Filter;
use super::super::order;
use super::super::path;
use super::super::projection::Projection;
use super::super::reply::Answer;
use super::super::sort::Sort;
use super::super::update::Update;
use super::super::wire::Request;
use super::super::world::World;
use super::write::{change, remove, upsert};

/// Carries it out.
///
/// # Errors
///
/// Those of filters, updates and unique indexes.
pub fn run(world: &mut World, request: &Request<'_>) -> Answer {
    match carry_out(world, request) {
        Err(mut error) if error.code == 11_000 && world.options.faults.no_key_pattern => {
            error.more.clear();
            Err(error)
        }
        answer => answer,
    }
}

fn carry_out(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    let nothing = RawDocumentBuf::new();
    let query = request.document("query").unwrap_or(&nothing);
    let filter = Filter::read(query)?;
    let sort = request.document("sort").map(Sort::read).unwrap_or_default();
    let fields = request.document("fields").map(Projection::read).transpose()?.flatten();
    let found = world.collections.get(&namespace);
    let found = found.and_then(|it| it.select(&filter, &sort, 0, Some(1)).pop());
    if request.is_set("remove") {
        if let Some(old) = &found {
            remove(world, &namespace, &key(old));
        }
        let count = i32::from(found.is_some());
        let value = shown(found.as_deref(), fields.as_ref());
        return Ok(doc! { "lastErrorObject": { "n": count }, "value": value }.into());
    }
    let update = Update::read(request.get("update").unwrap_or(RawBsonRef::Null))?;
    let wants_new = request.is_set("new");
    let current = |world: &World, key: &[u8]| -> Option<Stored> {
        world.collections.get(&namespace)?.documents.get(key).cloned()
    };
    let (status, value): (Document, Option<Stored>) = match found {
        Some(old) => {
            let key = key(&old);
            change(world, &namespace, &key, &update)?;
            let new = current(world, &key);
            (doc! { "n": 1, "updatedExisting": true }, if wants_new { new } else { Some(old) })
        }
        None if request.is_set("upsert") => {
            let id = upsert(world, &namespace, query, &update)?;
            let wrapped = RawDocumentBuf::try_from(&doc! { "_id": &id });
            let key = wrapped.as_ref().map(|it| key(it)).unwrap_or_default();
            let new = current(world, &key).filter(|_| wants_new);
            (doc! { "n": 1, "updatedExisting": false, "upserted": id }, new)
        }
        None => (doc! { "n": 0, "updatedExisting": false }, None),
    };
    let value = shown(value.as_deref(), fields.as_ref());
    Ok(doc! { "lastErrorObject": status, "value": value }.into())
}

fn key(document: &RawDocument) -> Vec<u8> {
    order::key_of(path::field(document, "_id"))
}

fn shown(document: Option<&RawDocumentBuf>, fields: Option<&Projection>) -> Bson {
    match (document, fields) {
        (None, _) => Bson::Null,
        (Some(document), None) => to_bson(RawBsonRef::Document(document)),
        (Some(document), Some(fields)) => to_bson(RawBsonRef::Document(&fields.apply(document))),
    }
}
