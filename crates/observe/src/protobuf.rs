//! The few forms of protobuf that a span of OTLP needs, appended to a buffer. Field numbers are
//! those of opentelemetry-proto 1.x (`trace.proto`, `common.proto`).

use crate::value::Value;

const LENGTH: u8 = 2;
const FIXED64: u8 = 1;
const FIXED32: u8 = 5;

/// How many bytes a number takes.
pub(crate) const fn varint_length(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(crate) fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The key of a field; numbers up to 15 take one byte, those above two.
fn key(field: u8, form: u8, out: &mut Vec<u8>) {
    varint(u64::from(field) << 3 | u64::from(form), out);
}

/// A field of a whole number.
pub(crate) fn number(field: u8, value: u64, out: &mut Vec<u8>) {
    key(field, 0, out);
    varint(value, out);
}

/// A field of eight bytes.
pub(crate) fn fixed64(field: u8, value: u64, out: &mut Vec<u8>) {
    key(field, FIXED64, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of four bytes.
pub(crate) fn fixed32(field: u8, value: u32, out: &mut Vec<u8>) {
    key(field, FIXED32, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of bytes, of a text or of a finished message.
pub(crate) fn bytes(field: u8, value: &[u8], out: &mut Vec<u8>) {
    header(field, value.len(), out);
    out.extend_from_slice(value);
}

/// The beginning of a field whose content of this length follows.
pub(crate) fn header(field: u8, length: usize, out: &mut Vec<u8>) {
    key(field, LENGTH, out);
    varint(length as u64, out);
}

/// How many bytes a field of this length takes, for field numbers up to 15.
pub(crate) const fn field_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

/// A `KeyValue`, as the field of this number.
pub(crate) fn attribute(field: u8, name: &str, value: Value<'_>, out: &mut Vec<u8>) {
    let inner = match value {
        Value::Text(text) => field_length(text.len()),
        Value::Bool(_) => 2,
        Value::Integer(whole) => 1 + varint_length(whole as u64),
        Value::Number(_) => 9,
    };
    header(field, field_length(name.len()) + field_length(inner), out);
    bytes(1, name.as_bytes(), out);
    header(2, inner, out);
    match value {
        Value::Text(text) => bytes(1, text.as_bytes(), out),
        Value::Bool(is_so) => number(2, u64::from(is_so), out),
        Value::Integer(whole) => number(3, whole as u64, out),
        Value::Number(any) => fixed64(4, any.to_bits(), out),
    }
}

/// The number at the beginning of what is left, which is moved behind it.
fn read_varint(left: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = left.split_first()?;
        *left = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// What a message has in a field of this number: its whole number, or its bytes. The last one
/// counts, as protobuf has it; `None` where the field is missing or the message is torn.
fn find(field: u64, mut message: &[u8]) -> Option<(u64, &[u8])> {
    let mut found = None;
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        let (value, length) = match key & 7 {
            0 => (read_varint(&mut message)?, 0),
            1 => (0, 8),
            2 => (0, usize::try_from(read_varint(&mut message)?).ok()?),
            5 => (0, 4),
            _ => return None,
        };
        let content = message.get(..length)?;
        message = &message[length..];
        if key >> 3 == field {
            found = Some((value, content));
        }
    }
    found
}

/// How many spans an `ExportTraceServiceResponse` says were rejected.
pub(crate) fn rejected_spans(response: &[u8]) -> u64 {
    let partial = find(1, response).map(|(_, partial)| partial);
    partial.and_then(|partial| find(1, partial)).map_or(0, |(rejected, _)| rejected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use proptest::prelude::*;
    use prost::Message;

    proptest! {
        #[test]
        fn a_number_is_as_long_as_said(value: u64) {
            let mut out = Vec::new();
            varint(value, &mut out);
            prop_assert_eq!(out.len(), varint_length(value));
            prop_assert_eq!(read_varint(&mut &out[..]), Some(value));
        }

        #[test]
        fn attributes_are_read_by_others(name: String, text: String, whole: i64, any: f64) {
            let values = [
                (Value::Text(&text), any_value::Value::StringValue(text.clone())),
                (Value::Integer(whole), any_value::Value::IntValue(whole)),
                (Value::Number(any), any_value::Value::DoubleValue(any)),
                (Value::Bool(true), any_value::Value::BoolValue(true)),
            ];
            for (ours, theirs) in values {
                let mut out = Vec::new();
                attribute(9, &name, ours, &mut out);
                let mut left = &out[..];
                prop_assert_eq!(read_varint(&mut left), Some(9 << 3 | 2));
                prop_assert_eq!(read_varint(&mut left), Some(left.len() as u64));
                let read = KeyValue::decode(left).unwrap();
                let value = Some(AnyValue { value: Some(theirs) });
                prop_assert_eq!(read, KeyValue { key: name.clone(), value, ..KeyValue::default() });
            }
        }

        #[test]
        fn any_answer_is_looked_at_without_harm(answer: Vec<u8>) {
            let _ = rejected_spans(&answer);
        }
    }

    #[test]
    fn rejected_spans_are_found() {
        let partial = ExportTracePartialSuccess {
            rejected_spans: 300,
            error_message: "three hundred".to_owned(),
        };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
        assert_eq!(rejected_spans(&answer.encode_to_vec()), 300);
        assert_eq!(rejected_spans(b""), 0);
        assert_eq!(rejected_spans(b"{}"), 0);
    }
}
