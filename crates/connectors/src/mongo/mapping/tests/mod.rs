//! Tests of the mapping: what a file may say, what becomes of documents, what texts errors have.

mod comparisons;
mod errors;
mod expressions;
mod identities;
mod names;
mod preset;
mod rate;

use std::collections::BTreeMap;

use bson::{Bson, DateTime, Document, RawDocumentBuf};

use super::*;

/// 2026-01-02T03:04:05.678Z, the time of every plan here.
pub(super) const NOW: DateTime = DateTime::from_millis(1_767_323_045_678);

pub(super) fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap()
}

pub(super) fn parse(text: &str) -> Result<Migration, MappingError> {
    Migration::parse(text, &|_| None)
}

/// A migration of one phase with these lines in it.
pub(super) fn migration(phase: &str) -> Migration {
    parse(&file(phase)).unwrap()
}

pub(super) fn file(phase: &str) -> String {
    format!(
        "name = \"test\"\n[variables]\nadmin = \"Zoé\"\n[[phase]]\nname = \"all\"\n\
         from = \"old\"\nto = \"new\"\n{phase}\n"
    )
}

/// The target document of a source document, with nothing given but an `_id`.
pub(super) fn target(phase: &Phase, source: &Document) -> Result<Document, String> {
    let given = Given {
        id: Bson::Int32(1),
        key: "the key",
        count: 3,
        set: &BTreeMap::new(),
        references: &[],
        now: NOW,
    };
    phase.target(&raw(source), &given)
}

/// What one expression makes of a document. [`None`]: the field is left out.
pub(super) fn evaluate(expression: &str, source: &Document) -> Result<Option<Bson>, String> {
    let quoted = toml::Value::String(expression.to_owned());
    let migration = migration(&format!("[phase.fields]\nx = {quoted}"));
    target(&migration.phases[0], source).map(|mut target| target.remove("x"))
}
