//! Extended JSON that keeps the order of fields. Two documents with their fields in another order
//! are two values for the server, as an `_id` and in a query.

use std::fmt::Write as _;

use bson::{Bson, Document};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// JSON whose objects are lists of entries.
enum Json {
    Leaf(serde_json::Value),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The canonical extended JSON of a value.
pub(super) fn write(value: &Bson) -> String {
    let mut out = String::new();
    write_into(value, &mut out);
    out
}

fn write_into(value: &Bson, out: &mut String) {
    match value {
        Bson::Document(document) => {
            out.push('{');
            for (at, (name, value)) in document.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                // Writing to a string does not fail.
                let _ = write!(out, "{}:", serde_json::Value::from(name.as_str()));
                write_into(value, out);
            }
            out.push('}');
        }
        Bson::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write_into(item, out);
            }
            out.push(']');
        }
        other => {
            let _ = write!(out, "{}", other.clone().into_canonical_extjson());
        }
    }
}

/// The value of a text of extended JSON, canonical or relaxed.
///
/// # Errors
/// When it is not JSON, or names a type and has not its form.
pub(super) fn read(text: &str) -> Result<Bson, String> {
    let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    json.into_bson()
}

impl Json {
    fn into_bson(self) -> Result<Bson, String> {
        match self {
            Self::Leaf(value) => Bson::try_from(value).map_err(|error| error.to_string()),
            Self::Array(items) => {
                let items: Result<_, _> = items.into_iter().map(Self::into_bson).collect();
                Ok(Bson::Array(items?))
            }
            Self::Object(entries) => {
                // A type is an object whose names begin with a dollar; so are operators of a
                // query, which come out as a document.
                if entries.iter().any(|(name, _)| name.starts_with('$')) {
                    let value = Self::unordered(&entries);
                    let typed = Bson::try_from(value).map_err(|error| error.to_string())?;
                    if !matches!(typed, Bson::Document(_)) {
                        return Ok(typed);
                    }
                }
                let mut document = Document::new();
                for (name, value) in entries {
                    document.insert(name, value.into_bson()?);
                }
                Ok(Bson::Document(document))
            }
        }
    }

    fn unordered(entries: &[(String, Self)]) -> serde_json::Value {
        let entry = |(name, value): &(String, Self)| (name.clone(), value.to_value());
        serde_json::Value::Object(entries.iter().map(entry).collect())
    }

    fn to_value(&self) -> serde_json::Value {
        match self {
            Self::Leaf(value) => value.clone(),
            Self::Array(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(entries) => Self::unordered(entries),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Leaf(serde_json::Value::Null))
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Json, E> {
        Ok(Json::Leaf(yes.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Leaf(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Leaf(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Leaf(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Leaf(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if entries.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            entries.push((name, value));
        }
        Ok(Json::Object(entries))
    }
}
