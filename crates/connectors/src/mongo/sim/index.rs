//! Secondary indexes: their entries, and what they keep unique.

use std::collections::BTreeMap;
use std::ops::Bound;

use bson::{Document, RawBsonRef, RawDocument, doc};

use super::filter::Filter;
use super::order;
use super::path;
use super::reply::CommandError;
use super::sort::Sort;

/// An index of one collection.
#[derive(Clone, Debug)]
pub struct Index {
    /// How it was asked for, with its name.
    pub description: Document,
    /// Its name.
    pub name: String,
    /// Its fields.
    pub pattern: Sort,
    /// Whether two documents may not have the same values.
    pub is_unique: bool,
    /// Whether documents without any of the fields are left out.
    pub is_sparse: bool,
    /// Documents that do not fulfil it are left out.
    pub partial: Option<Filter>,
    /// Whether some value was an element of an array.
    pub is_multikey: bool,
    /// The encoded values followed by the encoded `_id`, with where the latter begins.
    entries: BTreeMap<Box<[u8]>, u32>,
}

impl Index {
    /// An empty index. `description` has at least `key` and `name`.
    ///
    /// # Errors
    ///
    /// Code 67 for a pattern that no index can have, and errors of the partial filter.
    pub fn new(description: &RawDocument) -> Result<Self, CommandError> {
        let refuse = |message: &str| Err(CommandError::new(67, message));
        let Ok(key) = description.get_document("key") else {
            return refuse("The 'key' field is a required property of an index specification");
        };
        let Ok(name) = description.get_str("name") else {
            return refuse("The 'name' field is a required property of an index specification");
        };
        if key.is_empty() {
            return refuse("Index keys cannot be an empty object");
        }
        let mut kinds = key.iter().map_while(Result::ok);
        if kinds.any(|(_, kind)| kind.as_str().is_some_and(|kind| kind != "hashed")) {
            return refuse("Unknown index plugin");
        }
        let is_set = |name: &str| description.get_bool(name).unwrap_or(false);
        let partial = match description.get_document("partialFilterExpression") {
            Ok(filter) => Some(Filter::read(filter)?),
            Err(_) => None,
        };
        let mut kept = Document::try_from(description).unwrap_or_default();
        kept.remove("background");
        kept.remove("ns");
        let mut full = doc! { "v": 2 };
        full.extend(kept);
        Ok(Self {
            name: name.to_owned(),
            pattern: Sort::read(key),
            is_unique: is_set("unique"),
            is_sparse: is_set("sparse"),
            partial,
            is_multikey: false,
            entries: BTreeMap::new(),
            description: full,
        })
    }

    /// The encoded values of a document, none if it is left out.
    ///
    /// # Errors
    ///
    /// Code 171 when two of the fields are arrays.
    pub fn keys(&self, document: &RawDocument) -> Result<Vec<Vec<u8>>, CommandError> {
        if self.partial.as_ref().is_some_and(|filter| !filter.matches(document)) {
            return Ok(Vec::new());
        }
        let (mut keys, mut arrays, mut has_any) = (vec![Vec::new()], 0, false);
        for (name, is_descending) in &self.pattern.fields {
            let (mut values, found) = field_keys(document, name);
            has_any |= found;
            if *is_descending {
                values.iter_mut().for_each(|value| order::invert(value));
            }
            if values.len() > 1 {
                arrays += 1;
            }
            keys = keys
                .iter()
                .flat_map(|start| values.iter().map(|value| [&start[..], &value[..]].concat()))
                .collect();
        }
        if arrays > 1 {
            return Err(CommandError::new(171, "cannot index parallel arrays"));
        }
        if self.is_sparse && !has_any {
            keys.clear();
        }
        Ok(keys)
    }

    /// Whether another document than this one has the same values.
    pub fn is_taken(&self, key: &[u8], id: &[u8]) -> bool {
        let from = (Bound::Included(key), Bound::Unbounded);
        let same = self.entries.range::<[u8], _>(from);
        same.take_while(|(entry, split)| &entry[..**split as usize] == key)
            .any(|(entry, split)| &entry[*split as usize..] != id)
    }

    /// Adds the entries of a document.
    pub fn add(&mut self, keys: &[Vec<u8>], id: &[u8]) {
        self.is_multikey |= keys.len() > 1;
        for key in keys {
            self.entries.insert([key, id].concat().into(), key.len() as u32);
        }
    }

    /// Removes the entries of a document.
    pub fn remove(&mut self, keys: &[Vec<u8>], id: &[u8]) {
        for key in keys {
            self.entries.remove(&[key, id].concat()[..]);
        }
    }

    /// Shows the encoded `_id`s of the entries within the bounds until `visit` says false.
    pub fn walk(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        is_reverse: bool,
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> bool {
        let range = self.entries.range::<[u8], _>(bounds);
        let mut ids = range.map(|(entry, split)| &entry[*split as usize..]);
        match is_reverse {
            false => ids.all(visit),
            true => ids.rev().all(visit),
        }
    }

    /// The refusal of a document with these values.
    pub fn duplicate(&self, namespace: &str, document: &RawDocument) -> CommandError {
        let mut values = Document::new();
        for (name, _) in &self.pattern.fields {
            let value = path::first(document, name).unwrap_or(RawBsonRef::Null);
            values.insert(name, super::expression::to_bson(value));
        }
        let pattern = self.description.get_document("key").cloned().unwrap_or_default();
        duplicate(namespace, &self.name, pattern, values)
    }
}

/// The refusal of a value that is there already.
pub fn duplicate(
    namespace: &str,
    index: &str,
    pattern: Document,
    values: Document,
) -> CommandError {
    let shown = values.to_string();
    let message = format!(
        "E11000 duplicate key error collection: {namespace} index: {index} dup key: {shown}"
    );
    let more = Box::new(doc! { "keyPattern": pattern, "keyValue": values });
    CommandError { more, ..CommandError::new(11_000, message) }
}

/// The encoded values of one field, those of an array's elements one by one, without doubles; and
/// whether there is the field at all.
fn field_keys(document: &RawDocument, name: &str) -> (Vec<Vec<u8>>, bool) {
    let (mut keys, mut found) = (Vec::new(), false);
    path::any(document, name, &mut |value| {
        found |= value.is_some();
        match value {
            Some(RawBsonRef::Array(array)) if array.is_empty() => {
                keys.push(vec![order::UNDEFINED]);
            }
            Some(RawBsonRef::Array(array)) => {
                keys.extend(array.into_iter().map_while(Result::ok).map(order::key));
            }
            value => keys.push(order::key_of(value)),
        }
        false
    });
    if keys.is_empty() {
        keys.push(vec![order::NULL]);
    }
    keys.sort_unstable();
    keys.dedup();
    (keys, found)
}
