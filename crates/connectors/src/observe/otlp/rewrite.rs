//! Encoded spans changed in place: strings replaced, attributes added.
//!
//! Only what leads to a changed string is encoded again; every other byte stays as it came, unknown
//! fields among them. Because repeated fields of protobuf simply follow one another, an attribute
//! is added by appending it.

use super::span::field;
use super::wire::{Reader, Value, delimited_len, put_bytes, put_fixed64, put_header, put_number};

/// The keys under which strings that are no attributes are shown to a rewriting function.
pub mod key {
    /// The name of the span.
    pub const SPAN_NAME: &str = "span.name";
    /// The message of its status.
    pub const STATUS_MESSAGE: &str = "status.message";
    /// The name of an event.
    pub const EVENT_NAME: &str = "event.name";
    /// The trace state of the span or a link.
    pub const TRACE_STATE: &str = "trace.state";
}

/// What a field of a message leads to.
#[derive(Clone, Copy)]
enum Leads {
    /// A string with this key.
    Text(&'static str),
    /// A message.
    To(&'static [(u32, Leads)]),
    /// A `KeyValue`.
    Entry,
}

const SPAN: &[(u32, Leads)] = &[
    (field::TRACE_STATE, Leads::Text(key::TRACE_STATE)),
    (field::NAME, Leads::Text(key::SPAN_NAME)),
    (field::ATTRIBUTES, Leads::Entry),
    (field::EVENTS, Leads::To(&[(2, Leads::Text(key::EVENT_NAME)), (3, Leads::Entry)])),
    (field::LINKS, Leads::To(&[(3, Leads::Text(key::TRACE_STATE)), (4, Leads::Entry)])),
    (field::STATUS, Leads::To(&[(2, Leads::Text(key::STATUS_MESSAGE))])),
];
const RESOURCE: &[(u32, Leads)] = &[(1, Leads::Entry)];
const SCOPE: &[(u32, Leads)] = &[(3, Leads::Entry)];

/// Shows every string of a span with its key to `change`, and puts in its place what that returns.
/// `None` if nothing changes.
///
/// The key of an attribute is its own; a value in a map has the keys on the way to it joined by
/// `.`, a value in a list has the key of the list. The other strings have the keys of [`key`].
/// What cannot be read stays, so spans are to be checked before.
pub fn rewrite_span(
    span: &[u8],
    change: &mut impl FnMut(&str, &str) -> Option<String>,
) -> Option<Vec<u8>> {
    Rewriter { change, path: String::new() }.message(span, SPAN)
}

/// Does the same to the message `Resource`.
pub fn rewrite_resource(
    resource: &[u8],
    change: &mut impl FnMut(&str, &str) -> Option<String>,
) -> Option<Vec<u8>> {
    Rewriter { change, path: String::new() }.message(resource, RESOURCE)
}

/// Does the same to the message `InstrumentationScope`.
pub fn rewrite_scope(
    scope: &[u8],
    change: &mut impl FnMut(&str, &str) -> Option<String>,
) -> Option<Vec<u8>> {
    Rewriter { change, path: String::new() }.message(scope, SCOPE)
}

/// A copy that begins where something differs.
struct Patched<'a> {
    source: &'a [u8],
    /// How much of the source the copy stands for, once there is one.
    done: usize,
    copy: Option<Vec<u8>>,
}

impl<'a> Patched<'a> {
    const fn new(source: &'a [u8]) -> Self {
        Self { source, done: 0, copy: None }
    }

    /// Puts other content into the delimited field that `raw` is and that ends at `end`.
    fn replace(&mut self, raw: &[u8], end: usize, number: u32, content: &[u8]) {
        let copy = self.copy.get_or_insert_with(|| Vec::with_capacity(self.source.len()));
        copy.extend_from_slice(&self.source[self.done..end - raw.len()]);
        put_bytes(copy, number, content);
        self.done = end;
    }

    fn finish(self) -> Option<Vec<u8>> {
        let mut copy = self.copy?;
        copy.extend_from_slice(&self.source[self.done..]);
        Some(copy)
    }
}

struct Rewriter<'c, F> {
    change: &'c mut F,
    /// The key of the value that is being looked at.
    path: String,
}

impl<F: FnMut(&str, &str) -> Option<String>> Rewriter<'_, F> {
    /// Goes through the delimited fields, and replaces those for which `inner` has another content.
    fn fields(
        &mut self,
        message: &[u8],
        mut inner: impl FnMut(&mut Self, u32, &[u8]) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let mut patched = Patched::new(message);
        let mut end = 0;
        for field in Reader::new(message).map_while(Result::ok) {
            end += field.raw.len();
            if let Value::Bytes(content) = field.value
                && let Some(other) = inner(self, field.number, content)
            {
                patched.replace(field.raw, end, field.number, &other);
            }
        }
        patched.finish()
    }

    fn message(&mut self, message: &[u8], leads: &'static [(u32, Leads)]) -> Option<Vec<u8>> {
        self.fields(message, |rewriter, number, content| {
            let (_, leads) = leads.iter().find(|(known, _)| *known == number)?;
            match leads {
                Leads::Text(key) => rewriter.text(key, content),
                Leads::To(inner) => rewriter.message(content, inner),
                Leads::Entry => {
                    rewriter.path.clear();
                    rewriter.entry(content)
                }
            }
        })
    }

    fn text(&mut self, key: &str, content: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(content).ok()?;
        (self.change)(key, text).map(String::into_bytes)
    }

    /// A `KeyValue`; the path is that of the map it is in.
    fn entry(&mut self, entry: &[u8]) -> Option<Vec<u8>> {
        let outer = self.path.len();
        let key = Reader::new(entry)
            .map_while(Result::ok)
            .filter(|field| field.number == 1)
            .filter_map(|field| field.value.text().ok())
            .last();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(key.unwrap_or(""));
        let other = self.fields(
            entry,
            |rewriter, number, content| {
                if number == 2 { rewriter.value(content) } else { None }
            },
        );
        self.path.truncate(outer);
        other
    }

    /// An `AnyValue`, an item of a list or the value of an entry.
    fn value(&mut self, value: &[u8]) -> Option<Vec<u8>> {
        self.fields(value, |rewriter, number, content| match number {
            1 => {
                let path = std::mem::take(&mut rewriter.path);
                let other = rewriter.text(&path, content);
                rewriter.path = path;
                other
            }
            5 => rewriter.fields(
                content,
                |rewriter, number, item| {
                    if number == 1 { rewriter.value(item) } else { None }
                },
            ),
            6 => rewriter.fields(
                content,
                |rewriter, number, entry| {
                    if number == 1 { rewriter.entry(entry) } else { None }
                },
            ),
            _ => None,
        })
    }
}

/// The value of an attribute to be added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added<'a> {
    /// A string.
    Text(&'a str),
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A list of strings.
    Texts(&'a [&'a str]),
}

impl Added<'_> {
    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => put_bytes(out, 1, text.as_bytes()),
            Self::Bool(value) => put_number(out, 2, u64::from(value)),
            Self::Int(value) => put_number(out, 3, value.cast_unsigned()),
            Self::Double(value) => put_fixed64(out, 4, value.to_bits()),
            Self::Texts(texts) => {
                let item = |text: &&str| delimited_len(1, delimited_len(1, text.len()));
                put_header(out, 5, texts.iter().map(item).sum());
                for text in texts {
                    put_header(out, 1, delimited_len(1, text.len()));
                    put_bytes(out, 1, text.as_bytes());
                }
            }
        }
    }
}

/// Adds an attribute to an encoded span.
pub fn add_to_span(span: &mut Vec<u8>, key: &str, value: Added<'_>) {
    add(span, field::ATTRIBUTES, key, value);
}

/// Adds an attribute to an encoded resource.
#[cfg(test)]
pub fn add_to_resource(resource: &mut Vec<u8>, key: &str, value: Added<'_>) {
    add(resource, 1, key, value);
}

fn add(out: &mut Vec<u8>, number: u32, key: &str, value: Added<'_>) {
    let mut encoded = Vec::with_capacity(64);
    value.put(&mut encoded);
    let content = delimited_len(1, key.len()) + delimited_len(2, encoded.len());
    put_header(out, number, content);
    put_bytes(out, 1, key.as_bytes());
    put_bytes(out, 2, &encoded);
}
