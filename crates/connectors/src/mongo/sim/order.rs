//! The order of BSON values across all types, as bytes that compare like the values.
//!
//! Owns the encoding behind `_id` paging, sorting, indexes and comparisons. Every encoded value
//! ends itself, so that encoded values can be chained, and inverted for a descending order.
//! Numbers of all types compare with each other; a Decimal128 counts as the nearest double.

use bson::{RawBsonRef, RawDocument};

/// The place of the types in the order, as the manual's page on comparison lists them.
pub const MIN_KEY: u8 = 10;
/// Null, and a field that is missing.
pub const NULL: u8 = 20;
/// Where an empty array stands in an index on its elements: the deprecated type Undefined.
pub const UNDEFINED: u8 = 15;
/// Arrays.
pub const ARRAY: u8 = 80;
/// After everything else.
pub const MAX_KEY: u8 = 240;
const NUMBER: u8 = 30;
const STRING: u8 = 60;
const OBJECT: u8 = 70;
const BINARY: u8 = 90;
const OBJECT_ID: u8 = 100;
const BOOLEAN: u8 = 110;
const DATE: u8 = 120;
const TIMESTAMP: u8 = 130;
const REGEX: u8 = 140;
const DB_POINTER: u8 = 150;
const CODE: u8 = 160;
const SCOPED_CODE: u8 = 170;

/// Where the type of the value stands among the types.
pub fn class(value: RawBsonRef<'_>) -> u8 {
    match value {
        RawBsonRef::MinKey => MIN_KEY,
        RawBsonRef::Undefined => UNDEFINED,
        RawBsonRef::Null => NULL,
        RawBsonRef::Int32(_)
        | RawBsonRef::Int64(_)
        | RawBsonRef::Double(_)
        | RawBsonRef::Decimal128(_) => NUMBER,
        RawBsonRef::String(_) | RawBsonRef::Symbol(_) => STRING,
        RawBsonRef::Document(_) => OBJECT,
        RawBsonRef::Array(_) => ARRAY,
        RawBsonRef::Binary(_) => BINARY,
        RawBsonRef::ObjectId(_) => OBJECT_ID,
        RawBsonRef::Boolean(_) => BOOLEAN,
        RawBsonRef::DateTime(_) => DATE,
        RawBsonRef::Timestamp(_) => TIMESTAMP,
        RawBsonRef::RegularExpression(_) => REGEX,
        RawBsonRef::DbPointer(_) => DB_POINTER,
        RawBsonRef::JavaScriptCode(_) => CODE,
        RawBsonRef::JavaScriptCodeWithScope(_) => SCOPED_CODE,
        RawBsonRef::MaxKey => MAX_KEY,
    }
}

/// The encoded value.
pub fn key(value: RawBsonRef<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    encode(&mut out, value);
    out
}

/// The encoded value, or that of null when there is none.
pub fn key_of(value: Option<RawBsonRef<'_>>) -> Vec<u8> {
    key(value.unwrap_or(RawBsonRef::Null))
}

/// Appends the encoded value.
pub fn encode(out: &mut Vec<u8>, value: RawBsonRef<'_>) {
    out.push(class(value));
    encode_body(out, value);
}

/// Turns the order around.
pub fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

fn encode_body(out: &mut Vec<u8>, value: RawBsonRef<'_>) {
    match value {
        RawBsonRef::Null | RawBsonRef::Undefined | RawBsonRef::MinKey | RawBsonRef::MaxKey => {}
        RawBsonRef::Int32(number) => integer(out, i64::from(number)),
        RawBsonRef::Int64(number) => integer(out, number),
        RawBsonRef::Double(number) => double(out, number, 0),
        RawBsonRef::Decimal128(number) => {
            double(out, number.to_string().parse().unwrap_or(f64::NAN), 0);
        }
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => {
            string(out, text.as_bytes())
        }
        RawBsonRef::Document(document) => object(out, document),
        RawBsonRef::Array(array) => {
            for element in array.into_iter().map_while(Result::ok) {
                encode(out, element);
            }
            out.push(0);
        }
        RawBsonRef::Binary(binary) => {
            out.extend_from_slice(&(binary.bytes.len() as u32).to_be_bytes());
            out.push(binary.subtype.into());
            out.extend_from_slice(binary.bytes);
        }
        RawBsonRef::ObjectId(id) => out.extend_from_slice(&id.bytes()),
        RawBsonRef::Boolean(value) => out.push(u8::from(value)),
        RawBsonRef::DateTime(date) => signed(out, date.timestamp_millis()),
        RawBsonRef::Timestamp(stamp) => {
            out.extend_from_slice(&stamp.time.to_be_bytes());
            out.extend_from_slice(&stamp.increment.to_be_bytes());
        }
        RawBsonRef::RegularExpression(regex) => {
            string(out, regex.pattern.as_str().as_bytes());
            string(out, regex.options.as_str().as_bytes());
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            string(out, code.code.as_bytes());
            object(out, code.scope);
        }
        RawBsonRef::DbPointer(_) => string(out, format!("{value:?}").as_bytes()),
    }
}

/// Objects compare field by field: the type, then the name, then the value.
fn object(out: &mut Vec<u8>, document: &RawDocument) {
    for (name, value) in document.iter().map_while(Result::ok) {
        out.push(class(value));
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(0);
        encode_body(out, value);
    }
    out.push(0);
}

/// A zero inside becomes `00 FF`, and `00 00` ends it.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(zero) = memchr::memchr(0, rest) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, 0xFF]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 0]);
}

fn signed(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&((number as u64) ^ (1 << 63)).to_be_bytes());
}

/// As the largest double that is not above it, and how far it is above that: a double holds only
/// 53 bits.
fn integer(out: &mut Vec<u8>, number: i64) {
    let mut floor = number as f64;
    if floor as i128 > i128::from(number) {
        floor = floor.next_down();
    }
    let rest = i128::from(number) - floor as i128;
    double(out, floor, rest as u16);
}

fn double(out: &mut Vec<u8>, number: f64, rest: u16) {
    // Not-a-number is the smallest number, and zero has no sign.
    let bits = match number {
        number if number.is_nan() => 0,
        0.0 => 1 << 63,
        number if number > 0.0 => number.to_bits() | (1 << 63),
        number => !number.to_bits(),
    };
    out.extend_from_slice(&bits.to_be_bytes());
    out.extend_from_slice(&rest.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, RawDocumentBuf, doc, oid::ObjectId};
    use proptest::prelude::*;

    use super::*;

    fn key_of_bson(value: impl Into<Bson>) -> Vec<u8> {
        let document = RawDocumentBuf::try_from(&doc! { "v": value.into() }).unwrap();
        key(document.get("v").unwrap().unwrap())
    }

    #[test]
    fn values_of_all_types_stand_in_the_documented_order() {
        let order: Vec<Bson> = vec![
            Bson::MinKey,
            Bson::Null,
            Bson::Double(f64::NAN),
            Bson::Double(f64::NEG_INFINITY),
            Bson::Int64(i64::MIN),
            Bson::Int32(-1),
            Bson::Double(-0.5),
            Bson::Int32(0),
            Bson::Decimal128("0.25".parse().unwrap()),
            Bson::Double(0.5),
            Bson::Int64(9_007_199_254_740_992),
            Bson::Int64(9_007_199_254_740_993),
            Bson::Int64(i64::MAX - 1),
            Bson::Int64(i64::MAX),
            Bson::Double(1e300),
            "".into(),
            "a".into(),
            "a\0".into(),
            "ab".into(),
            "é".into(),
            Document::new().into(),
            doc! { "a": 1 }.into(),
            doc! { "a": 1, "b": 1 }.into(),
            doc! { "b": 0 }.into(),
            doc! { "a": "x" }.into(),
            Bson::Array(vec![]),
            Bson::Array(vec![1.into()]),
            Bson::Array(vec![1.into(), 0.into()]),
            Bson::Binary(bson::Binary { subtype: 0.into(), bytes: vec![9] }),
            Bson::Binary(bson::Binary { subtype: 0.into(), bytes: vec![0, 0] }),
            ObjectId::from_bytes([0; 12]).into(),
            ObjectId::from_bytes([1; 12]).into(),
            false.into(),
            true.into(),
            bson::DateTime::from_millis(-1).into(),
            bson::DateTime::from_millis(1).into(),
            Bson::Timestamp(bson::Timestamp { time: 1, increment: 2 }),
            Bson::Timestamp(bson::Timestamp { time: 2, increment: 1 }),
            Bson::MaxKey,
        ];
        for pair in order.windows(2) {
            let keys = (key_of_bson(pair[0].clone()), key_of_bson(pair[1].clone()));
            assert!(keys.0 < keys.1, "{:?} is not before {:?}", pair[0], pair[1]);
        }
    }

    #[test]
    fn equal_numbers_of_different_types_are_equal() {
        let one = key_of_bson(1_i32);
        assert_eq!(one, key_of_bson(1_i64));
        assert_eq!(one, key_of_bson(1.0));
        assert_eq!(one, key_of_bson(Bson::Decimal128("1".parse().unwrap())));
        assert_eq!(key_of_bson(0.0), key_of_bson(-0.0));
    }

    proptest! {
        #[test]
        fn integers_and_texts_keep_their_order(a: i64, b: i64, c in ".{0,8}", d in ".{0,8}") {
            prop_assert_eq!(key_of_bson(a).cmp(&key_of_bson(b)), a.cmp(&b));
            prop_assert_eq!(key_of_bson(&*c).cmp(&key_of_bson(&*d)), c.cmp(&d));
            let (mut up, mut down) = (key_of_bson(a), key_of_bson(b));
            invert(&mut up);
            invert(&mut down);
            prop_assert_eq!(up.cmp(&down), b.cmp(&a));
        }
    }
}
