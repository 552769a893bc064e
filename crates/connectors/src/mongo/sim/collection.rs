//! The documents of one collection with their indexes.
//!
//! Owns the documents in the order of their `_id`, as the bytes that came in, and every change of
//! them: it keeps indexes and documents in step, and unique what is to be unique.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc, oid::ObjectId};

use super::expression::to_bson;
use super::index::{Index, duplicate};
use super::ledger::Written;
use super::order;
use super::path;
use super::reply::CommandError;

/// The largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most indexes of a collection, that on `_id` included.
const INDEXES_MAX: usize = 64;

/// A document of the store, which nobody changes: a change puts another one in its place.
pub type Stored = Arc<RawDocumentBuf>;
/// An encoded `_id`.
pub type Key = Box<[u8]>;

/// One collection.
#[derive(Debug)]
pub struct Collection {
    /// `database.collection`.
    pub namespace: Arc<str>,
    /// The documents by encoded `_id`.
    pub documents: BTreeMap<Key, Stored>,
    /// All indexes but that on `_id`.
    pub indexes: Vec<Index>,
    /// What was written into it since the server began.
    pub written: Written,
}

/// What `createIndexes` says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// There is one more.
    New,
    /// The same one was there.
    Existed,
}

impl Collection {
    /// An empty collection.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            documents: BTreeMap::new(),
            indexes: Vec::new(),
            written: Written::default(),
        }
    }

    /// Puts a document in, with a new `_id` if it has none.
    ///
    /// # Errors
    ///
    /// Code 11000 for a value that must be unique and is there, 10334 for a document that is too
    /// large, 2 for an `_id` that can be none.
    pub fn insert(&mut self, document: &RawDocument) -> Result<Stored, CommandError> {
        let (key, stored) = with_id(document)?;
        if self.documents.contains_key(&key) {
            return Err(self.duplicate_id(&stored));
        }
        self.index(&key, None, Some(&stored))?;
        self.documents.insert(key, stored.clone());
        self.written.inserted += 1;
        Ok(stored)
    }

    /// Puts a document in the place of another one with the same `_id`.
    ///
    /// # Errors
    ///
    /// Codes 11000 and 10334, as with inserts.
    pub fn replace(
        &mut self,
        key: &[u8],
        document: RawDocumentBuf,
    ) -> Result<Stored, CommandError> {
        check_size(&document)?;
        let stored = Arc::new(document);
        let old = self.documents.get(key).cloned();
        self.index(key, old.as_deref(), Some(&stored))?;
        if let Some(place) = self.documents.get_mut(key) {
            *place = stored.clone();
        }
        self.written.updated += 1;
        Ok(stored)
    }

    /// Takes a document out.
    pub fn remove(&mut self, key: &[u8]) -> Option<Stored> {
        let old = self.documents.remove(key)?;
        for index in &mut self.indexes {
            if let Ok(keys) = index.keys(&old) {
                index.remove(&keys, key);
            }
        }
        self.written.deleted += 1;
        Some(old)
    }

    /// Brings the indexes from the old document to the new one, all of them or none.
    fn index(
        &mut self,
        id: &[u8],
        old: Option<&RawDocumentBuf>,
        new: Option<&RawDocumentBuf>,
    ) -> Result<(), CommandError> {
        if self.indexes.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(self.indexes.len());
        for (place, index) in self.indexes.iter().enumerate() {
            let keys = |document: Option<&RawDocumentBuf>| {
                document.map_or(Ok(Vec::new()), |document| index.keys(document))
            };
            let (before, after) = (keys(old)?, keys(new)?);
            if before == after {
                continue;
            }
            if index.is_unique && after.iter().any(|key| index.is_taken(key, id)) {
                let nothing = RawDocumentBuf::new();
                return Err(index.duplicate(&self.namespace, new.unwrap_or(&nothing)));
            }
            changes.push((place, before, after));
        }
        for (place, before, after) in changes {
            self.indexes[place].remove(&before, id);
            self.indexes[place].add(&after, id);
        }
        Ok(())
    }

    fn duplicate_id(&self, document: &RawDocument) -> CommandError {
        let id = path::field(document, "_id").map_or(bson::Bson::Null, to_bson);
        duplicate(&self.namespace, "_id_", doc! { "_id": 1 }, doc! { "_id": id })
    }

    /// Makes an index over the documents that are there.
    ///
    /// # Errors
    ///
    /// Code 85 when the same fields have an index of another name or other options, 86 when the
    /// name is taken by an index of other fields or options, 67 for what can't be an index, 11000
    /// when the documents that are there contradict it.
    pub fn create_index(&mut self, description: &RawDocument) -> Result<Created, CommandError> {
        let mut index = Index::new(description)?;
        if is_id(&index.description) {
            return Ok(Created::Existed);
        }
        for other in &self.indexes {
            if is_same(&other.description, &index.description) {
                return Ok(Created::Existed);
            }
            conflict(other, &index)?;
        }
        if self.indexes.len() + 1 >= INDEXES_MAX {
            return Err(CommandError::new(67, "add index fails, too many indexes"));
        }
        for (id, document) in &self.documents {
            let keys = index.keys(document)?;
            if index.is_unique && keys.iter().any(|key| index.is_taken(key, id)) {
                return Err(index.duplicate(&self.namespace, document));
            }
            index.add(&keys, id);
        }
        self.indexes.push(index);
        Ok(Created::New)
    }

    /// The descriptions of all indexes, that on `_id` first.
    pub fn index_descriptions(&self) -> Vec<Document> {
        let first = doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" };
        let others = self.indexes.iter().map(|index| index.description.clone());
        std::iter::once(first).chain(others).collect()
    }
}

fn is_id(description: &Document) -> bool {
    let key = description.get_document("key");
    key.is_ok_and(|key| key.len() == 1 && key.contains_key("_id"))
}

fn is_same(one: &Document, other: &Document) -> bool {
    let options = |of: &Document| {
        let mut of: BTreeMap<String, String> =
            of.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect();
        of.retain(|name, value| name != "v" && value != "false");
        of
    };
    options(one) == options(other)
}

/// Directions are equal as numbers, whatever their type.
fn shown(name: &str, value: &bson::Bson) -> String {
    match value {
        bson::Bson::Document(fields) if name == "key" => {
            let fields = fields.iter().map(|(name, value)| {
                let number = value.as_i64().or(value.as_i32().map(i64::from));
                let number = number.or(value.as_f64().map(|number| number as i64));
                format!("{name}:{}", number.map_or(value.to_string(), |n| n.to_string()))
            });
            fields.collect::<Vec<_>>().join(",")
        }
        value => value.to_string(),
    }
}

fn conflict(old: &Index, new: &Index) -> Result<(), CommandError> {
    let is_pattern_same = old.pattern == new.pattern;
    if old.name == new.name {
        let message = format!(
            "An existing index has the same name as the requested index: {}. Requested index: {}, \
             existing index: {}",
            old.name, new.description, old.description
        );
        return Err(CommandError::new(86, message));
    }
    let filter = |of: &Index| of.description.get("partialFilterExpression").cloned();
    if is_pattern_same && filter(old) == filter(new) {
        let message = format!("Index already exists with a different name: {}", old.name);
        return Err(CommandError::new(85, message));
    }
    Ok(())
}

fn check_size(document: &RawDocument) -> Result<(), CommandError> {
    let size = document.as_bytes().len();
    if size > DOCUMENT_BYTES_MAX {
        let message = format!(
            "object to insert too large. size in bytes: {size}, max size: {DOCUMENT_BYTES_MAX}"
        );
        return Err(CommandError::new(10_334, message));
    }
    Ok(())
}

/// The encoded `_id` of a document and the document as it is stored: with its `_id` in front.
fn with_id(document: &RawDocument) -> Result<(Key, Stored), CommandError> {
    check_size(document)?;
    if let Some(Ok((name, value))) = document.iter().next()
        && name.as_str() == "_id"
    {
        return Ok((id_key(value)?, Arc::new(document.to_owned())));
    }
    let mut stored = RawDocumentBuf::new();
    let id = ObjectId::new();
    let value = path::field(document, "_id").unwrap_or(RawBsonRef::ObjectId(id));
    let key = id_key(value)?;
    stored.append(bson::raw::cstr!("_id"), value);
    for (name, value) in document.iter().map_while(Result::ok) {
        if name.as_str() != "_id" {
            stored.append(name, value);
        }
    }
    Ok((key, Arc::new(stored)))
}

fn id_key(value: RawBsonRef<'_>) -> Result<Key, CommandError> {
    match value {
        RawBsonRef::Array(_) | RawBsonRef::RegularExpression(_) | RawBsonRef::Undefined => {
            Err(CommandError::new(53, "The '_id' value cannot be of this type"))
        }
        value => Ok(order::key(value).into()),
    }
}
