//! Databases, collections and indexes.

use bson::{Document, RawBsonRef, RawDocumentBuf, doc};

use super::super::collection::{Collection, Created};
use super::super::expression::to_bson;
use super::super::filter::Filter;
use super::super::reply::{Answer, CommandError, Writer};
use super::super::sort::Sort;
use super::super::wire::Request;
use super::super::world::World;

/// A cursor that has everything in its first batch.
fn whole_cursor(namespace: &str, documents: Vec<Document>) -> Writer {
    let mut writer = Writer::new();
    writer.items = documents.len() as u64;
    writer.fields(&doc! {
        "cursor": { "id": 0_i64, "ns": namespace, "firstBatch": documents },
    });
    writer
}

/// `listDatabases`.
pub fn list_databases(world: &World, request: &Request<'_>) -> Writer {
    let mut sizes: Vec<(String, i64)> = Vec::new();
    for (namespace, collection) in &world.collections {
        let database = namespace.split('.').next().unwrap_or_default();
        // Sizes are estimates here: the documents of a collection are not walked for this.
        let size = collection.documents.len() as i64 * 256 + 4_096;
        match sizes.last_mut() {
            Some((name, total)) if name == database => *total += size,
            _ => sizes.push((database.to_owned(), size)),
        }
    }
    let names_only = request.is_set("nameOnly");
    let total: i64 = sizes.iter().map(|(_, size)| size).sum();
    let databases: Vec<Document> = sizes
        .into_iter()
        .map(|(name, size)| match names_only {
            true => doc! { "name": name },
            false => doc! { "name": name, "sizeOnDisk": size, "empty": false },
        })
        .collect();
    let mut reply = doc! { "databases": databases };
    if !names_only {
        reply.insert("totalSize", total);
    }
    reply.into()
}

/// `listCollections`.
///
/// # Errors
///
/// Those of the filter.
pub fn list_collections(world: &World, request: &Request<'_>) -> Answer {
    let filter = match request.document("filter") {
        Some(filter) => Filter::read(filter)?,
        None => Filter::All(Vec::new()),
    };
    let mut found = Vec::new();
    for name in world.collection_names(request.database) {
        let full = doc! {
            "name": name,
            "type": "collection",
            "options": {},
            "info": { "readOnly": false },
            "idIndex": { "v": 2, "key": { "_id": 1 }, "name": "_id_" },
        };
        let raw = RawDocumentBuf::try_from(&full);
        if raw.is_ok_and(|raw| filter.matches(&raw)) {
            found.push(full);
        }
    }
    Ok(whole_cursor(&format!("{}.$cmd.listCollections", request.database), found))
}

/// `create`.
///
/// # Errors
///
/// Code 48 when it is there already.
pub fn create(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    if world.collections.contains_key(&namespace) {
        return Err(CommandError::new(48, format!("Collection {namespace} already exists.")));
    }
    world.collection(&namespace)?;
    Ok(Writer::new())
}

/// `drop`, which is done as well when there was nothing.
///
/// # Errors
///
/// Code 73 for a missing name.
pub fn drop_collection(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    match world.drop_collection(&namespace) {
        true => Ok(doc! { "nIndexesWas": 1, "ns": namespace }.into()),
        false => Ok(Writer::new()),
    }
}

/// `dropDatabase`.
pub fn drop_database(world: &mut World, request: &Request<'_>) -> Writer {
    for name in world.collection_names(request.database) {
        world.drop_collection(&format!("{}.{name}", request.database));
    }
    doc! { "dropped": request.database }.into()
}

/// `renameCollection`.
///
/// # Errors
///
/// Code 26 when there is none, 48 when the new name is taken.
pub fn rename(world: &mut World, request: &Request<'_>) -> Answer {
    let text = |name: &str| request.get(name).and_then(RawBsonRef::as_str).unwrap_or_default();
    let (from, to) = (text("renameCollection"), text("to"));
    if !world.collections.contains_key(from) {
        return Err(CommandError::new(26, format!("Source collection {from} does not exist")));
    }
    if world.collections.contains_key(to) {
        if !request.is_set("dropTarget") {
            return Err(CommandError::new(48, "target namespace exists"));
        }
        world.drop_collection(to);
    }
    world.collection(to)?;
    if let Some(mut collection) = world.collections.remove(from) {
        collection.namespace = to.into();
        world.collections.insert(to.to_owned(), collection);
    }
    Ok(Writer::new())
}

/// `createIndexes`: all of them or none.
///
/// # Errors
///
/// Codes 85 and 86 for conflicts, 67 for what can't be an index, 11000 for documents that are
/// there.
pub fn create_indexes(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    let wanted = request.documents("indexes");
    if wanted.is_empty() {
        return Err(CommandError::new(2, "Must specify at least one index to create"));
    }
    let is_new = !world.collections.contains_key(&namespace);
    let collection = world.collection(&namespace)?;
    let before = collection.indexes.len();
    let mut existed = 0;
    for description in &wanted {
        match collection.create_index(description) {
            Ok(Created::New) => {}
            Ok(Created::Existed) => existed += 1,
            Err(error) => {
                collection.indexes.truncate(before);
                return Err(error);
            }
        }
    }
    let mut reply = doc! {
        "numIndexesBefore": before as i32 + 1,
        "numIndexesAfter": collection.indexes.len() as i32 + 1,
        "createdCollectionAutomatically": is_new,
    };
    if existed == wanted.len() {
        reply.insert("note", "all indexes already exist");
    }
    Ok(reply.into())
}

fn existing<'a>(
    world: &'a mut World,
    request: &Request<'_>,
) -> Result<&'a mut Collection, CommandError> {
    let namespace = request.namespace()?;
    let message = format!("ns does not exist: {namespace}");
    world.collections.get_mut(&namespace).ok_or_else(|| CommandError::new(26, message))
}

/// `listIndexes`.
///
/// # Errors
///
/// Code 26 when there is no such collection.
pub fn list_indexes(world: &mut World, request: &Request<'_>) -> Answer {
    let collection = existing(world, request)?;
    Ok(whole_cursor(&collection.namespace, collection.index_descriptions()))
}

/// `dropIndexes`, by name, by fields, several by name, or all but that on `_id`.
///
/// # Errors
///
/// Code 26 when there is no such collection, 27 when there is no such index, 72 for that on `_id`.
pub fn drop_indexes(world: &mut World, request: &Request<'_>) -> Answer {
    let collection = existing(world, request)?;
    let before = collection.indexes.len();
    match request.get("index") {
        Some(RawBsonRef::String("*")) => collection.indexes.clear(),
        Some(RawBsonRef::String(name)) => drop_named(collection, name)?,
        Some(RawBsonRef::Array(names)) => {
            for name in names.into_iter().map_while(Result::ok) {
                drop_named(collection, name.as_str().unwrap_or_default())?;
            }
        }
        Some(RawBsonRef::Document(pattern)) => {
            let wanted = Sort::read(pattern);
            let found = collection.indexes.iter().find(|index| index.pattern == wanted);
            let name = found.map(|index| index.name.clone());
            let message = || format!("can't find index with key: {}", to_bson(pattern.into()));
            let name = name.ok_or_else(|| CommandError::new(27, message()))?;
            drop_named(collection, &name)?;
        }
        _ => return Err(CommandError::new(14, "'index' is of the wrong type")),
    }
    Ok(doc! { "nIndexesWas": before as i32 + 1 }.into())
}

fn drop_named(collection: &mut Collection, name: &str) -> Result<(), CommandError> {
    if name == "_id_" {
        return Err(CommandError::new(72, "cannot drop _id index"));
    }
    let before = collection.indexes.len();
    collection.indexes.retain(|index| index.name != name);
    match collection.indexes.len() < before {
        true => Ok(()),
        false => Err(CommandError::new(27, format!("index not found with name [{name}]"))),
    }
}
