//! The order of values, as the server sorts them.

use std::cmp::Ordering;

use bson::{Bson, RawBsonRef};

/// A value as bytes that compare as the server compares values: first by kind (`MinKey`, null,
/// numbers, strings, documents, arrays, binary data, `ObjectId`, booleans, dates, timestamps,
/// regular expressions, `MaxKey`), then within the kind. Numbers compare by value whatever their
/// type; a `Decimal128` by the double nearest to it. Strings compare by their bytes.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Order(Vec<u8>);

impl Order {
    /// The order of a value.
    #[must_use]
    pub fn of(value: &Bson) -> Self {
        let mut bytes = Vec::with_capacity(18);
        write(value, &mut bytes);
        Self(bytes)
    }

    /// The order of a value of a document, as of its `_id`.
    #[must_use]
    pub fn of_raw(value: RawBsonRef<'_>) -> Self {
        // Damaged bytes sort first; no document of a server has them.
        Bson::try_from(value).map_or_else(|_| Self(Vec::new()), |value| Self::of(&value))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares two that may be missing; those that are come last.
    #[must_use]
    pub fn missing_last(left: Option<&Self>, right: Option<&Self>) -> Ordering {
        match (left, right) {
            (Some(left), Some(right)) => left.cmp(right),
            (left, right) => left.is_none().cmp(&right.is_none()),
        }
    }
}

fn write(value: &Bson, out: &mut Vec<u8>) {
    match value {
        Bson::MinKey => out.push(0),
        Bson::Undefined => out.push(4),
        Bson::Null => out.push(5),
        Bson::Int32(number) => write_integer(i64::from(*number), out),
        Bson::Int64(number) => write_integer(*number, out),
        Bson::Double(number) => write_number(*number, 0, out),
        Bson::Decimal128(number) => {
            let nearest = number.to_string().parse::<f64>().unwrap_or(f64::NAN);
            write_number(nearest, 0, out);
        }
        Bson::String(text) | Bson::Symbol(text) => write_text(15, text, out),
        Bson::Document(document) => {
            out.push(20);
            for (name, value) in document {
                out.push(1);
                write_text(1, name, out);
                write(value, out);
            }
            out.push(0);
        }
        Bson::Array(items) => {
            out.push(25);
            for item in items {
                out.push(1);
                write(item, out);
            }
            out.push(0);
        }
        Bson::Binary(binary) => {
            out.push(30);
            out.extend((binary.bytes.len() as u64).to_be_bytes());
            out.push(binary.subtype.into());
            out.extend(&binary.bytes);
        }
        Bson::ObjectId(id) => {
            out.push(35);
            out.extend(id.bytes());
        }
        Bson::Boolean(yes) => out.extend([40, u8::from(*yes)]),
        Bson::DateTime(date) => {
            out.push(45);
            out.extend(flipped(date.timestamp_millis()));
        }
        Bson::Timestamp(stamp) => {
            out.push(47);
            out.extend(stamp.time.to_be_bytes());
            out.extend(stamp.increment.to_be_bytes());
        }
        Bson::MaxKey => out.push(255),
        // Regular expressions and code: any fixed order will do, so that of their texts.
        other => write_text(50, &other.clone().into_canonical_extjson().to_string(), out),
    }
}

/// A text behind its kind, ended so that a text sorts before all that begin with it.
fn write_text(kind: u8, text: &str, out: &mut Vec<u8>) {
    out.push(kind);
    for byte in text.bytes() {
        match byte {
            0 => out.extend([0, 255]),
            byte => out.push(byte),
        }
    }
    out.extend([0, 0]);
}

/// An integer: the double nearest to it, and how far that is off.
fn write_integer(number: i64, out: &mut Vec<u8>) {
    let nearest = number as f64;
    // The double of an i64 is at most 2^63, and at most 512 away.
    let rest = i128::from(number) - nearest as i128;
    write_number(nearest, i64::try_from(rest).unwrap_or(0), out);
}

fn write_number(number: f64, rest: i64, out: &mut Vec<u8>) {
    out.push(10);
    if number.is_nan() {
        // The server sorts it before all other numbers.
        out.extend([0; 16]);
        return;
    }
    // Minus zero equals zero.
    let bits = (number + 0.0).to_bits();
    let sortable = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
    out.extend(sortable.to_be_bytes());
    out.extend(flipped(rest));
}

fn flipped(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}
