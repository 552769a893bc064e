//! Reading a collection in the order of its `_id`s, page by page, from any place on: a page that
//! got lost is asked for again, and nothing is skipped or read twice.
//!
//! A comparison such as `_id > "x"` finds values of the same BSON type only, so after the last
//! document of one type the next types are asked for by name, in the order in which servers sort
//! them.

use crate::mongo::access::Access;
use bson::spec::ElementType;
use bson::{Bson, Document, RawDocumentBuf, doc};
use std::time::Duration;
use windlass_engine::Failure;
use windlass_engine::job::Context;

/// Documents a page.
pub const PAGE: usize = 1000;

/// The types in the order in which servers sort them; those of one group compare with each other.
const SORTED: &[&[&str]] = &[
    &["minKey"],
    &["null", "undefined"],
    &["int", "long", "double", "decimal"],
    &["string", "symbol"],
    &["object"],
    &["array"],
    &["binData"],
    &["objectId"],
    &["bool"],
    &["date"],
    &["timestamp"],
    &["regex"],
    &["maxKey"],
];

/// Where a reading of a collection is.
#[derive(Clone, Debug)]
pub struct Paging<'a> {
    access: &'a Access,
    collection: &'a str,
    filter: Option<&'a Document>,
    projection: Option<Document>,
    after: Option<Bson>,
    is_over: bool,
    /// How long the last page took.
    pub latency: Duration,
}

impl<'a> Paging<'a> {
    /// From the beginning, those for which the filter holds.
    #[must_use]
    pub fn new(access: &'a Access, collection: &'a str, filter: Option<&'a Document>) -> Self {
        Self {
            access,
            collection,
            filter,
            projection: None,
            after: None,
            is_over: false,
            latency: Duration::ZERO,
        }
    }

    /// Only these fields of each document.
    #[must_use]
    pub fn only(mut self, projection: Document) -> Self {
        self.projection = Some(projection);
        self
    }

    /// The next page; empty at the end.
    ///
    /// # Errors
    /// As every call.
    pub async fn next(&mut self, context: &Context) -> Result<Vec<RawDocumentBuf>, Failure> {
        while !self.is_over {
            let bounds = self.after.as_ref().map(|after| doc! { "_id": { "$gt": after.clone() } });
            let had_bounds = bounds.is_some();
            let mut page = self.read(context, bounds).await?;
            if page.len() < PAGE && had_bounds {
                // The type of the last one is read; what is behind it begins with the next types.
                page.extend(self.beyond(context).await?);
            }
            self.is_over = page.len() < PAGE;
            self.go_behind(&page);
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }

    async fn beyond(&mut self, context: &Context) -> Result<Vec<RawDocumentBuf>, Failure> {
        let later = later_types(self.after.as_ref());
        if later.is_empty() {
            return Ok(Vec::new());
        }
        self.read(context, Some(doc! { "_id": { "$type": later } })).await
    }

    fn go_behind(&mut self, page: &[RawDocumentBuf]) {
        let last = page.last().and_then(|raw| raw.get("_id").ok().flatten());
        if let Some(id) = last.and_then(|id| Bson::try_from(id).ok()) {
            self.after = Some(id);
        }
    }

    async fn read(
        &mut self,
        context: &Context,
        bounds: Option<Document>,
    ) -> Result<Vec<RawDocumentBuf>, Failure> {
        let filter = match (self.filter, bounds) {
            (None, None) => doc! {},
            (Some(filter), None) => filter.clone(),
            (None, Some(bounds)) => bounds,
            (Some(filter), Some(bounds)) => doc! { "$and": [bounds, filter.clone()] },
        };
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let projection = self.projection.clone();
        let answer = self.access.page(context, self.collection, filter, limit, projection).await?;
        self.latency = answer.latency;
        Ok(answer.value)
    }
}

/// The names of the types that are sorted behind this value's.
fn later_types(after: Option<&Bson>) -> Vec<&'static str> {
    let Some(after) = after else { return Vec::new() };
    let name = type_name(after.element_type());
    let group = SORTED.iter().position(|group| group.contains(&name));
    let later = SORTED.iter().skip(group.map_or(SORTED.len(), |group| group + 1));
    later.flat_map(|group| group.iter().copied()).collect()
}

/// The name of a type in the server's `$type`.
fn type_name(element: ElementType) -> &'static str {
    match element {
        ElementType::Double => "double",
        ElementType::String => "string",
        ElementType::EmbeddedDocument => "object",
        ElementType::Array => "array",
        ElementType::Binary => "binData",
        ElementType::Undefined => "undefined",
        ElementType::ObjectId => "objectId",
        ElementType::Boolean => "bool",
        ElementType::DateTime => "date",
        ElementType::Null => "null",
        ElementType::RegularExpression => "regex",
        ElementType::Symbol => "symbol",
        ElementType::Int32 => "int",
        ElementType::Int64 => "long",
        ElementType::Timestamp => "timestamp",
        ElementType::Decimal128 => "decimal",
        ElementType::MinKey => "minKey",
        ElementType::MaxKey => "maxKey",
        _ => "javascript",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_behind_a_value_are_those_that_servers_sort_behind_it() {
        let after = Bson::String("x".into());
        let later = later_types(Some(&after));
        assert_eq!(later.first(), Some(&"object"));
        assert!(later.contains(&"objectId") && !later.contains(&"symbol"));
        assert!(!later.contains(&"int"));
        assert_eq!(later_types(Some(&Bson::MaxKey)), Vec::<&str>::new());
        assert_eq!(later_types(None), Vec::<&str>::new());
        let numbers = later_types(Some(&Bson::Int32(1)));
        assert_eq!(numbers.first(), Some(&"string"), "numbers of all types compare");
    }
}
