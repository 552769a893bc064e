//! What the plan knows of a step beyond its key: what can't be found out again from the source
//! document alone.

use crate::mongo::mapping::{id_text, id_value};
use bson::{Bson, Document};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windlass_engine::job::Step;
use windlass_engine::{Failure, Kind};

/// What a step has to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The source document, as text, where the key is a group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many documents the group has.
    #[serde(default, skip_serializing_if = "is_one")]
    pub count: u64,
    /// Values that were given out, such as a user name with a number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// The documents that it refers to: `_id` and the fields in use, as extended JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<serde_json::Value>,
    /// The bytes of the source document.
    pub bytes: u64,
}

fn is_one(count: &u64) -> bool {
    *count <= 1
}

impl Work {
    /// Reads it from a step.
    ///
    /// # Errors
    /// When the step is not one of ours.
    pub fn of(step: &Step) -> Result<Self, Failure> {
        let work: Self = serde_json::from_str(step.object.get()).map_err(|error| {
            Failure::new(Kind::Bug, format!("step {} is not understood: {error}", step.number))
        })?;
        Ok(Self { count: work.count.max(1), ..work })
    }

    /// The `_id` of the source document.
    ///
    /// # Errors
    /// When the text of it is not understood.
    pub fn source_id(&self, step: &Step) -> Result<Bson, Failure> {
        let text = self.source.as_deref().unwrap_or(&step.key);
        id_value(text).ok_or_else(|| {
            Failure::new(Kind::Bug, format!("step {} has no `_id`: {text}", step.number))
        })
    }

    /// The documents that it refers to.
    ///
    /// # Errors
    /// When they are not extended JSON.
    pub fn referred(&self) -> Result<Vec<Document>, Failure> {
        let read = |json: &serde_json::Value| match Bson::try_from(json.clone()) {
            Ok(Bson::Document(document)) => Ok(document),
            _ => Err(Failure::new(Kind::Bug, "a reference is no document".to_owned())),
        };
        self.references.iter().map(read).collect()
    }
}

/// The `_id` of a raw document as text.
#[must_use]
pub fn id_text_of(document: &bson::RawDocument) -> Option<String> {
    document.get("_id").ok().flatten().map(id_text)
}
