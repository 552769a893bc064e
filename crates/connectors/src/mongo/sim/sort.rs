//! Sort patterns, which are also the patterns of indexes.

use bson::{RawBsonRef, RawDocument};

use super::filter::integer;
use super::order;
use super::path;

/// The fields of an order, the most important first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// Each path, and whether larger values come first.
    pub fields: Vec<(String, bool)>,
}

impl Sort {
    /// Reads `{ "a": 1, "b": -1 }`.
    pub fn read(document: &RawDocument) -> Self {
        let fields = document.iter().map_while(Result::ok).map(|(name, direction)| {
            (name.as_str().to_owned(), integer(direction).is_some_and(|number| number < 0))
        });
        Self { fields: fields.collect() }
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Bytes by which documents stand in this order.
    pub fn key(&self, document: &RawDocument) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * self.fields.len());
        for (name, is_descending) in &self.fields {
            out.extend(extreme(document, name, *is_descending));
        }
        out
    }

    /// Whether an index with the other pattern has the documents in this order, `Some(true)` when
    /// it has to be read from its end.
    pub fn follows(&self, index: &Self) -> Option<bool> {
        if self.fields.len() > index.fields.len() {
            return None;
        }
        let mut pairs = self.fields.iter().zip(&index.fields);
        if !pairs.clone().all(|(own, other)| own.0 == other.0) {
            return None;
        }
        let (own, other) = pairs.next()?;
        let is_reverse = own.1 != other.1;
        pairs.all(|(own, other)| (own.1 != other.1) == is_reverse).then_some(is_reverse)
    }
}

/// The encoded value by which a document is sorted: the smallest of an array when ascending, the
/// largest when descending.
fn extreme(document: &RawDocument, name: &str, is_descending: bool) -> Vec<u8> {
    let mut best: Option<Vec<u8>> = None;
    path::any(document, name, &mut |value| {
        let mut offer = |value: Option<RawBsonRef<'_>>| {
            let mut key = order::key_of(value);
            if is_descending {
                order::invert(&mut key);
            }
            if best.as_ref().is_none_or(|best| key < *best) {
                best = Some(key);
            }
        };
        match value {
            Some(RawBsonRef::Array(array)) if !array.is_empty() => {
                array.into_iter().map_while(Result::ok).for_each(|element| offer(Some(element)));
            }
            value => offer(value),
        }
        false
    });
    best.unwrap_or_else(|| {
        let mut key = vec![order::NULL];
        if is_descending {
            order::invert(&mut key);
        }
        key
    })
}
