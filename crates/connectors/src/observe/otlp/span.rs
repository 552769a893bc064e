//! A span read where it lies: its fields, and its attributes one by one.

use super::wire::{Field, Malformed, Reader, Value};

/// How deeply lists and maps may be nested in an attribute. With three messages a level and five
/// around them, this stays below the 100 levels that protobuf's own libraries allow.
pub const MOST_NESTING: usize = 30;

/// The field numbers of `Span`.
pub mod field {
    /// `trace_id`, 16 bytes.
    pub const TRACE_ID: u32 = 1;
    /// `span_id`, 8 bytes.
    pub const SPAN_ID: u32 = 2;
    /// `trace_state`, a string.
    pub const TRACE_STATE: u32 = 3;
    /// `parent_span_id`, 8 bytes or none.
    pub const PARENT_SPAN_ID: u32 = 4;
    /// `name`, a string.
    pub const NAME: u32 = 5;
    /// `kind`, an enumeration.
    pub const KIND: u32 = 6;
    /// `start_time_unix_nano`, a `fixed64`.
    pub const START: u32 = 7;
    /// `end_time_unix_nano`, a `fixed64`.
    pub const END: u32 = 8;
    /// `attributes`, repeated `KeyValue`.
    pub const ATTRIBUTES: u32 = 9;
    /// `events`, repeated: 1 time, 2 name, 3 attributes.
    pub const EVENTS: u32 = 11;
    /// `links`, repeated: 1 trace, 2 span, 3 state, 4 attributes.
    pub const LINKS: u32 = 13;
    /// `status`: 2 message, 3 code.
    pub const STATUS: u32 = 15;
    /// `flags`, a `fixed32`.
    pub const FLAGS: u32 = 16;
}

/// The status code of a span that failed.
pub const STATUS_ERROR: u64 = 2;

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// None of the kinds below.
    Empty,
    /// A string.
    Text(&'a str),
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A list; its values are fields 1 of these bytes. See [`AnyValue::items`].
    List(&'a [u8]),
    /// A map; its entries are fields 1 of these bytes. See [`Attributes::of_map`].
    Map(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Reads the message `AnyValue`, without looking into lists and maps. Of several values the
    /// last counts.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut found = Self::Empty;
        for field in Reader::new(bytes) {
            let Field { number, value, .. } = field?;
            found = match number {
                1 => Self::Text(value.text()?),
                2 => Self::Bool(value.varint()? != 0),
                3 => Self::Int(value.varint()? as i64),
                4 => Self::Double(f64::from_bits(value.fixed64()?)),
                5 => Self::List(value.bytes()?),
                6 => Self::Map(value.bytes()?),
                7 => Self::Bytes(value.bytes()?),
                _ => continue,
            };
        }
        Ok(found)
    }

    /// The text of a string.
    #[cfg(test)]
    #[must_use]
    pub const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values of a list; none for anything else.
    pub fn items(self) -> impl Iterator<Item = AnyValue<'a>> {
        let bytes = if let Self::List(bytes) = self { bytes } else { &[] };
        messages(bytes, 1).filter_map(|item| AnyValue::parse(item).ok())
    }
}

/// The entries of attributes or of a map, in their order; what cannot be read is passed over, for
/// [`SpanView::parse`] has found it before.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    fields: Reader<'a>,
    number: u32,
}

impl<'a> Attributes<'a> {
    /// The `KeyValue`s that are field `number` of a message.
    #[must_use]
    pub const fn new(message: &'a [u8], number: u32) -> Self {
        Self { fields: Reader::new(message), number }
    }

    /// The entries of an [`AnyValue::Map`].
    #[must_use]
    pub const fn of_map(map: &'a [u8]) -> Self {
        Self::new(map, 1)
    }

    /// The attributes of the message `Resource`.
    #[must_use]
    pub const fn of_resource(resource: &'a [u8]) -> Self {
        Self::new(resource, 1)
    }
}

impl<'a> Attributes<'a> {
    /// The next entry: its key, and its value still to be read with [`AnyValue::parse`]. For most
    /// attributes the key is enough to know that the value is of no interest.
    #[inline]
    pub fn next_unread(&mut self) -> Option<(&'a str, &'a [u8])> {
        loop {
            let field = self.fields.next()?.ok()?;
            if field.number != self.number {
                continue;
            }
            if let Value::Bytes(bytes) = field.value
                && let Ok(entry) = key_value(bytes)
            {
                return Some(entry);
            }
        }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, AnyValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.next_unread()?;
        Some((key, AnyValue::parse(value).unwrap_or(AnyValue::Empty)))
    }
}

/// Reads the message `KeyValue`, except for what the value is.
#[inline]
fn key_value(bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let mut key = "";
    let mut value = &[][..];
    for field in Reader::new(bytes) {
        let field = field?;
        match field.number {
            1 => key = field.value.text()?,
            2 => value = field.value.bytes()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The delimited fields with this number.
fn messages(bytes: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Reader::new(bytes)
        .map_while(Result::ok)
        .filter(move |field| field.number == number)
        .filter_map(|field| field.value.bytes().ok())
}

/// A span whose every known field has been found to be readable.
#[derive(Clone, Copy, Debug)]
pub struct SpanView<'a> {
    /// The message `Span` itself.
    pub bytes: &'a [u8],
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// The parent, unless the span is the root of its trace.
    pub parent_span_id: Option<[u8; 8]>,
    /// The span's name.
    pub name: &'a str,
    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: u64,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// 0 unset, 1 ok, 2 error.
    pub status_code: u64,
    /// What went wrong.
    pub status_message: &'a str,
}

/// Why a span is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpan {
    /// Its bytes are no span.
    #[error("the span cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The trace id has not 16 bytes, or is all zeros. A log record that was sent to the address
    /// of traces looks like this: both envelopes have the same field numbers.
    #[error("the span has no valid trace id (16 bytes, not all zero); is it a span?")]
    TraceId,
    /// The span id has not 8 bytes, or is all zeros.
    #[error("the span has no valid span id (8 bytes, not all zero)")]
    SpanId,
    /// The parent's id has neither 8 bytes nor none.
    #[error("the span has a parent id of neither 0 nor 8 bytes")]
    ParentId,
}

impl<'a> SpanView<'a> {
    /// Reads a span, and sees that every attribute, event and link in it can be read.
    ///
    /// # Errors
    ///
    /// Why it is no span that a receiver would take.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadSpan> {
        let mut ids: [&[u8]; 3] = [&[]; 3];
        let mut view = Self {
            bytes,
            trace_id: [0; 16],
            span_id: [0; 8],
            parent_span_id: None,
            name: "",
            kind: 0,
            start_ns: 0,
            end_ns: 0,
            status_code: 0,
            status_message: "",
        };
        for field in Reader::new(bytes) {
            let Field { number, value, .. } = field?;
            match number {
                field::TRACE_ID => ids[0] = value.bytes()?,
                field::SPAN_ID => ids[1] = value.bytes()?,
                field::PARENT_SPAN_ID => ids[2] = value.bytes()?,
                field::TRACE_STATE => _ = value.text()?,
                field::NAME => view.name = value.text()?,
                field::KIND => view.kind = value.varint()?,
                field::START => view.start_ns = value.fixed64()?,
                field::END => view.end_ns = value.fixed64()?,
                field::ATTRIBUTES => check_key_value(value.bytes()?, 0)?,
                field::EVENTS => check_part(value.bytes()?, 3)?,
                field::LINKS => check_part(value.bytes()?, 4)?,
                field::STATUS => view.read_status(value.bytes()?)?,
                field::FLAGS => _ = value.fixed32()?,
                // How many attributes, events and links were dropped.
                10 | 12 | 14 => _ = value.varint()?,
                _ => {}
            }
        }
        view.set_ids(ids)?;
        Ok(view)
    }

    fn set_ids(&mut self, [trace, span, parent]: [&[u8]; 3]) -> Result<(), BadSpan> {
        self.trace_id = trace.try_into().map_err(|_| BadSpan::TraceId)?;
        self.span_id = span.try_into().map_err(|_| BadSpan::SpanId)?;
        if self.trace_id == [0; 16] {
            return Err(BadSpan::TraceId);
        }
        if self.span_id == [0; 8] {
            return Err(BadSpan::SpanId);
        }
        if !parent.is_empty() {
            let parent = parent.try_into().map_err(|_| BadSpan::ParentId)?;
            // Some exporters write the absent parent as zeros.
            self.parent_span_id = Some(parent).filter(|parent| *parent != [0; 8]);
        }
        Ok(())
    }

    fn read_status(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        for field in Reader::new(bytes) {
            let field = field?;
            match field.number {
                2 => self.status_message = field.value.text()?,
                3 => self.status_code = field.value.varint()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Its attributes.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, field::ATTRIBUTES)
    }

    /// The name and attributes of its events.
    pub fn events(&self) -> impl Iterator<Item = (&'a str, Attributes<'a>)> {
        messages(self.bytes, field::EVENTS).map(|event| {
            let name = Reader::new(event)
                .map_while(Result::ok)
                .filter(|field| field.number == 2)
                .filter_map(|field| field.value.text().ok())
                .last();
            (name.unwrap_or(""), Attributes::new(event, 3))
        })
    }
}

/// Sees that the attributes of a resource (field 1) can be read.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn check_resource(bytes: &[u8]) -> Result<(), Malformed> {
    for field in Reader::new(bytes) {
        let field = field?;
        match field.number {
            1 => check_key_value(field.value.bytes()?, 0)?,
            2 => _ = field.value.varint()?,
            3 => check_entity(field.value.bytes()?)?,
            _ => {}
        }
    }
    Ok(())
}

/// Sees that a reference to an entity, which has only strings, can be read.
fn check_entity(bytes: &[u8]) -> Result<(), Malformed> {
    for field in Reader::new(bytes) {
        let field = field?;
        if (1..=4).contains(&field.number) {
            field.value.text()?;
        }
    }
    Ok(())
}

/// Sees that the name, version and attributes (field 3) of a scope can be read.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn check_scope(bytes: &[u8]) -> Result<(), Malformed> {
    for field in Reader::new(bytes) {
        let field = field?;
        match field.number {
            1 | 2 => _ = field.value.text()?,
            3 => check_key_value(field.value.bytes()?, 0)?,
            4 => _ = field.value.varint()?,
            _ => {}
        }
    }
    Ok(())
}

/// Sees that an event or a link can be read, whose attributes have this number. Its other known
/// fields are an event's time (1) and name (2), a link's ids (1 and 2), state (3) and flags (6),
/// and behind the attributes of both how many of those were dropped.
fn check_part(bytes: &[u8], attributes: u32) -> Result<(), Malformed> {
    let is_event = attributes == 3;
    for field in Reader::new(bytes) {
        let Field { number, value, .. } = field?;
        match number {
            _ if number == attributes => check_key_value(value.bytes()?, 0)?,
            _ if number == attributes + 1 => _ = value.varint()?,
            1 if is_event => _ = value.fixed64()?,
            1 => _ = value.bytes()?,
            2 if is_event => _ = value.text()?,
            2 => _ = value.bytes()?,
            3 => _ = value.text()?,
            6 if !is_event => _ = value.fixed32()?,
            _ => {}
        }
    }
    Ok(())
}

fn check_key_value(bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    for field in Reader::new(bytes) {
        let field = field?;
        match field.number {
            1 => _ = field.value.text()?,
            2 => check_value(field.value.bytes()?, depth)?,
            // The index of the key in a dictionary, which only profiles have.
            3 => _ = field.value.varint()?,
            _ => {}
        }
    }
    Ok(())
}

fn check_value(bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    for field in Reader::new(bytes) {
        let Field { number, value, .. } = field?;
        match number {
            1 => _ = value.text()?,
            2 | 3 | 8 => _ = value.varint()?,
            4 => _ = value.fixed64()?,
            5 | 6 if depth >= MOST_NESTING => return Err(Malformed::TooDeep),
            5 => check_entries(value.bytes()?, |item| check_value(item, depth + 1))?,
            6 => check_entries(value.bytes()?, |entry| check_key_value(entry, depth + 1))?,
            7 => _ = value.bytes()?,
            _ => {}
        }
    }
    Ok(())
}

fn check_entries(
    bytes: &[u8],
    check: impl Fn(&[u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for field in Reader::new(bytes) {
        let field = field?;
        if field.number == 1 {
            check(field.value.bytes()?)?;
        }
    }
    Ok(())
}
