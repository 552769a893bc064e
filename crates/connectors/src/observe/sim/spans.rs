//! Spans as a receiver sees them, whichever encoding they came in: how export requests are read,
//! and what makes one unreadable.
//!
//! A request is taken or refused as a whole here: one id of the wrong length, or one field that
//! should be an array and is none, and nothing of it is stored. Real receivers do the same.

use std::fmt::Write;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Map, Value};

use super::wire::{AnyKind, AnyValue, ExportRequest, KeyValue, RpcStatus};

/// The encoding of a request, and so of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// By the content type, which may have parameters.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let content_type = content_type.to_ascii_lowercase();
        if content_type.contains("application/x-protobuf") {
            return Some(Self::Protobuf);
        }
        content_type.contains("application/json").then_some(Self::Json)
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// A `google.rpc.Status`.
    pub(super) fn status(self, code: i32, message: &str) -> Vec<u8> {
        match self {
            Self::Protobuf => RpcStatus { code, message: message.to_owned() }.encode_to_vec(),
            Self::Json => {
                serde_json::json!({"code": code, "message": message}).to_string().into_bytes()
            }
        }
    }
}

/// Attributes in their order. There are few, so looking at all of them beats a map.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(pub Vec<(String, Value)>);

impl Attributes {
    /// The attribute of this name; one that is null is none.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// The first of these names that there is.
    pub(super) fn first(&self, names: &[&str]) -> Option<&Value> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The text of the first of these names that is not empty.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name).map(plain).filter(|text| !text.is_empty()))
    }

    /// The attributes whose names begin so, without that beginning.
    pub(super) fn below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }

    pub(super) fn to_json(&self) -> Value {
        Value::Object(self.0.iter().cloned().collect())
    }
}

/// A value as text: a string as it is, all else as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where spans come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub resource: Attributes,
    pub scope_name: String,
    pub scope_version: String,
    pub scope: Attributes,
}

/// One span with ids in hexadecimal.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent_id: Option<String>,
    pub name: String,
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: Attributes,
    pub events: Vec<(String, Attributes)>,
    pub status_code: i64,
    pub status_message: String,
    pub origin: Rc<Origin>,
}

/// Why a request is no export of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Not protobuf, or not JSON.
    Malformed,
    /// An id of the wrong length, or a field that should be an array and is none.
    Invalid(String),
}

/// The spans of an export request.
pub(super) fn read(encoding: Encoding, body: &[u8]) -> Result<Vec<Span>, Unreadable> {
    match encoding {
        Encoding::Protobuf => {
            let request = ExportRequest::decode(body).map_err(|_| Unreadable::Malformed)?;
            from_protobuf(request)
        }
        Encoding::Json => {
            let request: Value = serde_json::from_slice(body).map_err(|_| Unreadable::Malformed)?;
            from_json(&request)
        }
    }
}

fn from_protobuf(request: ExportRequest) -> Result<Vec<Span>, Unreadable> {
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = attributes(resource_spans.resource.unwrap_or_default().attributes);
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans.scope.unwrap_or_default();
            let origin = Rc::new(Origin {
                resource: resource.clone(),
                scope_name: scope.name,
                scope_version: scope.version,
                scope: attributes(scope.attributes),
            });
            for span in scope_spans.spans {
                let status = span.status.unwrap_or_default();
                let parent_id = Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty());
                let events = span.events.into_iter();
                spans.push(Span {
                    trace_id: id_of_bytes(&span.trace_id, 16, "traceId")?,
                    span_id: id_of_bytes(&span.span_id, 8, "spanId")?,
                    parent_id,
                    name: span.name,
                    start_ns: span.start_time_unix_nano,
                    end_ns: span.end_time_unix_nano,
                    attributes: attributes(span.attributes),
                    events: events
                        .map(|event| (event.name, attributes(event.attributes)))
                        .collect(),
                    status_code: i64::from(status.code),
                    status_message: status.message,
                    origin: Rc::clone(&origin),
                });
            }
        }
    }
    Ok(spans)
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    let pairs = pairs.into_iter().map(|pair| (pair.key, any(pair.value.unwrap_or_default())));
    Attributes(pairs.collect())
}

fn any(value: AnyValue) -> Value {
    match value.kind {
        None => Value::Null,
        Some(AnyKind::Text(text)) => text.into(),
        Some(AnyKind::Bool(bool)) => bool.into(),
        Some(AnyKind::Int(number)) => number.into(),
        Some(AnyKind::Double(number)) => number.into(),
        Some(AnyKind::Array(array)) => array.values.into_iter().map(any).collect(),
        Some(AnyKind::Map(map)) => Value::Object(attributes(map.values).0.into_iter().collect()),
        Some(AnyKind::Bytes(bytes)) => STANDARD.encode(bytes).into(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn id_of_bytes(bytes: &[u8], length: usize, name: &str) -> Result<String, Unreadable> {
    match bytes.len() {
        0 => Err(Unreadable::Invalid(format!("{name}: absent"))),
        found if found != length => Err(Unreadable::Invalid(format!("{name}: wrong_length"))),
        _ => Ok(hex(bytes)),
    }
}

fn from_json(request: &Value) -> Result<Vec<Span>, Unreadable> {
    let mut spans = Vec::new();
    for resource_spans in array(request, "resourceSpans")? {
        let resource = json_attributes(&resource_spans["resource"])?;
        for scope_spans in array(resource_spans, "scopeSpans")? {
            let scope = &scope_spans["scope"];
            let origin = Rc::new(Origin {
                resource: resource.clone(),
                scope_name: text(&scope["name"]),
                scope_version: text(&scope["version"]),
                scope: json_attributes(scope)?,
            });
            for span in array(scope_spans, "spans")? {
                spans.push(json_span(span, &origin)?);
            }
        }
    }
    Ok(spans)
}

fn json_span(span: &Value, origin: &Rc<Origin>) -> Result<Span, Unreadable> {
    let mut events = Vec::new();
    for event in array(span, "events")? {
        events.push((text(&event["name"]), json_attributes(event)?));
    }
    Ok(Span {
        trace_id: id_of_json(&span["traceId"], 16, "traceId")?,
        span_id: id_of_json(&span["spanId"], 8, "spanId")?,
        parent_id: Some(text(&span["parentSpanId"]).to_ascii_lowercase())
            .filter(|id| !id.is_empty()),
        name: text(&span["name"]),
        start_ns: number(&span["startTimeUnixNano"]),
        end_ns: number(&span["endTimeUnixNano"]),
        attributes: json_attributes(span)?,
        events,
        status_code: span["status"]["code"].as_i64().unwrap_or(0),
        status_message: text(&span["status"]["message"]),
        origin: Rc::clone(origin),
    })
}

/// A field that is an array, or is not there.
fn array<'a>(of: &'a Value, name: &str) -> Result<&'a [Value], Unreadable> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(Unreadable::Invalid(format!("{name}: not an array"))),
    }
}

fn json_attributes(of: &Value) -> Result<Attributes, Unreadable> {
    let pairs = array(of, "attributes")?.iter();
    Ok(Attributes(pairs.map(|pair| (text(&pair["key"]), json_any(&pair["value"]))).collect()))
}

/// The mapping of protobuf to JSON writes numbers of 64 bits as strings; real exporters also write
/// them as numbers.
fn json_any(value: &Value) -> Value {
    let Some((kind, content)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "stringValue" | "boolValue" | "bytesValue" => content.clone(),
        "intValue" => match content {
            Value::String(text) => text.parse::<i64>().map_or(Value::Null, Value::from),
            other => other.clone(),
        },
        "doubleValue" => match content {
            Value::String(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
            other => other.clone(),
        },
        "arrayValue" => {
            let values = content["values"].as_array();
            values.map_or_else(Vec::new, |all| all.iter().map(json_any).collect()).into()
        }
        "kvlistValue" => {
            let values = content["values"].as_array().map_or(&[][..], Vec::as_slice);
            let pairs = values.iter().map(|pair| (text(&pair["key"]), json_any(&pair["value"])));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    }
}

/// An id in hexadecimal, or as the array of its bytes, which old Python SDKs send.
fn id_of_json(value: &Value, length: usize, name: &str) -> Result<String, Unreadable> {
    let wrong = |why: &str| Err(Unreadable::Invalid(format!("{name}: {why}")));
    match value {
        Value::Null => wrong("absent"),
        Value::String(text) if text.is_empty() => wrong("absent"),
        Value::String(text) if text.len() != 2 * length => wrong("wrong_length"),
        Value::String(text) if text.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            Ok(text.to_ascii_lowercase())
        }
        Value::Array(bytes) => {
            let bytes = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok());
            match bytes.collect::<Option<Vec<u8>>>() {
                Some(bytes) => id_of_bytes(&bytes, length, name),
                None => wrong("not_an_id"),
            }
        }
        _ => wrong("not_an_id"),
    }
}
