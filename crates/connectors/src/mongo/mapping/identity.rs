//! What tells documents apart: `_id`s as text, keys of groups, derived `_id`s.

use bson::oid::ObjectId;
use bson::{Bson, RawBsonRef};
use sha2::{Digest, Sha256};

use super::json;

/// An `_id` as text: 24 hexadecimal digits for an `ObjectId`, JSON for a string, canonical
/// extended JSON for everything else. [`id_value`] is its exact inverse.
#[must_use]
pub fn id_text(id: RawBsonRef<'_>) -> String {
    match id {
        RawBsonRef::ObjectId(id) => id.to_hex(),
        RawBsonRef::String(text) => serde_json::Value::from(text).to_string(),
        other => match Bson::try_from(other) {
            Ok(owned) => bson_text(&owned),
            // Damaged bytes: no document of a server has them.
            Err(error) => format!("damaged: {error}"),
        },
    }
}

/// As [`id_text`], for an owned value.
pub(super) fn bson_text(id: &Bson) -> String {
    match id {
        Bson::ObjectId(id) => id.to_hex(),
        Bson::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        other => json::write(other),
    }
}

/// The `_id` that [`id_text`] made this text of. [`None`] for a text that it does not make.
#[must_use]
pub fn id_value(text: &str) -> Option<Bson> {
    if let Ok(id) = ObjectId::parse_str(text) {
        return (id.to_hex() == text).then_some(Bson::ObjectId(id));
    }
    let value = json::read(text).ok()?;
    (bson_text(&value) == text).then_some(value)
}

/// The text of a group's value: a string is itself, unless it would be read as something else.
pub(super) fn key_text(value: &Bson) -> String {
    match value {
        Bson::String(text) if id_value(text).is_none() => text.clone(),
        other => bson_text(other),
    }
}

/// The `_id` of the target document with this key: the first 12 bytes of SHA-256 over the
/// migration's name, the phase's name and the key, each behind its length.
pub(super) fn derived_id(migration: &str, phase: &str, key: &str) -> ObjectId {
    let mut hash = Sha256::new();
    for part in [migration, phase, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&hash.finalize()[..12]);
    ObjectId::from_bytes(bytes)
}
