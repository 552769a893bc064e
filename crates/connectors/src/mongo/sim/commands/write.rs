//! `insert`, `update` and `delete`.

use bson::{Bson, Document, RawBsonRef, RawDocument, doc};

use super::super::collection::Collection;
use super::super::expression::to_bson;
use super::super::filter::{Filter, integer};
use super::super::oplog::Event;
use super::super::path;
use super::super::reply::{Answer, CommandError, Writer};
use super::super::update::Update;
use super::super::wire::Request;
use super::super::world::World;

/// What one statement ends with.
type Outcome = Result<(), CommandError>;

/// The statements of one command, and what became of them.
#[derive(Debug, Default)]
struct Batch {
    done: i32,
    changed: i32,
    upserted: Vec<Document>,
    errors: Vec<Document>,
}

/// Carries out the statements in their order; after the first failure no more of an ordered batch.
fn each(
    world: &mut World,
    request: &Request<'_>,
    statements: &[&RawDocument],
    mut carry_out: impl FnMut(&mut World, &RawDocument, usize, &mut Batch) -> Outcome,
) -> Result<Batch, CommandError> {
    let most = world.options.max_write_batch_size;
    if statements.is_empty() || statements.len() > most as usize {
        let message = format!(
            "Write batch sizes must be between 1 and {most}. Got {} operations.",
            statements.len()
        );
        return Err(CommandError::new(16, message));
    }
    let is_ordered = request.is_set_or("ordered", true);
    let mut batch = Batch::default();
    for (index, statement) in statements.iter().enumerate() {
        let refused = world.faults.refuses_statement(&world.options.faults);
        let outcome = match refused {
            Some(error) => Err(error),
            None => carry_out(world, statement, index, &mut batch),
        };
        if let Err(mut error) = outcome {
            if world.options.faults.no_key_pattern && error.code == 11_000 {
                error.more.clear();
            }
            batch.errors.push(error.to_write_error(index));
            if is_ordered {
                break;
            }
        }
    }
    if world.options.faults.descending_write_errors {
        batch.errors.reverse();
    }
    Ok(batch)
}

impl Batch {
    fn reply(self, statements: usize, counts_changes: bool) -> Writer {
        let mut writer = Writer::new();
        writer.items = statements as u64;
        writer.int("n", self.done);
        if counts_changes {
            writer.int("nModified", self.changed);
        }
        if !self.upserted.is_empty() {
            writer.fields(&doc! { "upserted": self.upserted });
        }
        if !self.errors.is_empty() {
            writer.fields(&doc! { "writeErrors": self.errors });
        }
        writer
    }
}

/// `insert`.
///
/// # Errors
///
/// Code 73 for names that no collection can have, 16 for batches that are too large.
pub fn insert(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    let documents = request.documents("documents");
    world.collection(&namespace)?;
    let batch = each(world, request, &documents, |world, document, _, batch| {
        let collection = world.collection(&namespace)?;
        let stored = collection.insert(document)?;
        let name = collection.namespace.clone();
        world.note(&name, Event::Insert(stored));
        batch.done += 1;
        Ok(())
    })?;
    Ok(batch.reply(documents.len(), false))
}

/// `update`.
///
/// # Errors
///
/// Code 73 for names that no collection can have, 16 for batches that are too large.
pub fn update(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    let statements = request.documents("updates");
    world.collection(&namespace)?;
    let batch = each(world, request, &statements, |world, statement, index, batch| {
        update_statement(world, &namespace, statement, index, batch)
    })?;
    Ok(batch.reply(statements.len(), true))
}

fn document<'a>(statement: &'a RawDocument, name: &str) -> Result<&'a RawDocument, CommandError> {
    let message = format!("BSON field '{name}' is missing but a required field");
    statement.get_document(name).map_err(|_| CommandError::new(9, message))
}

fn update_statement(
    world: &mut World,
    namespace: &str,
    statement: &RawDocument,
    index: usize,
    batch: &mut Batch,
) -> Result<(), CommandError> {
    let query = document(statement, "q")?;
    let filter = Filter::read(query)?;
    let update = Update::read(path::field(statement, "u").unwrap_or(RawBsonRef::Null))?;
    let is_set = |name: &str| statement.get_bool(name).unwrap_or(false);
    if update.is_replacement() && is_set("multi") {
        let message = "multi update is not supported for replacement-style update";
        return Err(CommandError::new(9, message));
    }
    let most = if is_set("multi") { usize::MAX } else { 1 };
    let keys = world.collection(namespace)?.select_keys(&filter, most);
    for key in &keys {
        batch.changed += i32::from(change(world, namespace, key, &update)?);
        batch.done += 1;
    }
    if keys.is_empty() && is_set("upsert") {
        let id = upsert(world, namespace, query, &update)?;
        batch.upserted.push(doc! { "index": index as i32, "_id": id });
        batch.done += 1;
    }
    Ok(())
}

/// Updates one document, and says whether that changed it.
///
/// # Errors
///
/// Those of updates and of unique indexes.
pub fn change(
    world: &mut World,
    namespace: &str,
    key: &[u8],
    update: &Update,
) -> Result<bool, CommandError> {
    let collection = world.collection(namespace)?;
    let Some(old) = collection.documents.get(key).cloned() else { return Ok(false) };
    let Some(new) = update.apply(&old)? else { return Ok(false) };
    let new = collection.replace(key, new)?;
    let name = collection.namespace.clone();
    let event = match update.is_replacement() {
        true => Event::Replace(old, new),
        false => Event::Update(old, new),
    };
    world.note(&name, event);
    Ok(true)
}

/// Inserts what an upsert makes of its filter and its update; tells the new `_id`.
///
/// # Errors
///
/// Those of updates and of inserts.
pub fn upsert(
    world: &mut World,
    namespace: &str,
    query: &RawDocument,
    update: &Update,
) -> Result<Bson, CommandError> {
    let new = update.insertion(query)?;
    let collection = world.collection(namespace)?;
    let stored = collection.insert(&new)?;
    let name = collection.namespace.clone();
    let id = path::field(&stored, "_id").map_or(Bson::Null, to_bson);
    world.note(&name, Event::Insert(stored));
    Ok(id)
}

/// `delete`.
///
/// # Errors
///
/// Code 73 for a missing name, 16 for batches that are too large.
pub fn delete(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    let statements = request.documents("deletes");
    let batch = each(world, request, &statements, |world, statement, _, batch| {
        let filter = Filter::read(document(statement, "q")?)?;
        let limit = path::field(statement, "limit").and_then(integer);
        let most = if limit == Some(1) { 1 } else { usize::MAX };
        let collection = world.collections.get(&namespace);
        let keys = collection.map_or(Vec::new(), |it: &Collection| it.select_keys(&filter, most));
        for key in keys {
            batch.done += i32::from(remove(world, &namespace, &key));
        }
        Ok(())
    })?;
    Ok(batch.reply(statements.len(), false))
}

/// Takes a document out, and says whether it was there.
pub fn remove(world: &mut World, namespace: &str, key: &[u8]) -> bool {
    let Some(collection) = world.collections.get_mut(namespace) else { return false };
    let Some(old) = collection.remove(key) else { return false };
    let name = collection.namespace.clone();
    world.note(&name, Event::Delete(old));
    true
}
