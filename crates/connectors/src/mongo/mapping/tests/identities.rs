//! `_id`s as text, keys, derived `_id`s, and the order of values.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Decimal128, Timestamp, doc};
use proptest::prelude::*;

use super::super::identity::{derived_id, key_text};
use super::super::{Order, id_text, id_value};
use super::raw;

fn text_of(id: &Bson) -> String {
    let document = raw(&doc! { "_id": id.clone() });
    id_text(document.get("_id").unwrap().unwrap())
}

#[test]
fn ids_are_readable_texts() {
    let id = ObjectId::parse_str("0123456789abcdef01234567").unwrap();
    for (id, expected) in [
        (Bson::ObjectId(id), "0123456789abcdef01234567"),
        (Bson::String("anna \"x\"".to_owned()), "\"anna \\\"x\\\"\""),
        (Bson::Int32(5), "{\"$numberInt\":\"5\"}"),
        (Bson::Int64(5), "{\"$numberLong\":\"5\"}"),
        (Bson::Double(5.0), "{\"$numberDouble\":\"5.0\"}"),
        (Bson::Boolean(true), "true"),
        (Bson::Null, "null"),
        (Bson::Document(doc! { "b": 1, "a": "x" }), "{\"b\":{\"$numberInt\":\"1\"},\"a\":\"x\"}"),
    ] {
        assert_eq!(text_of(&id), expected);
        assert_eq!(raw(&doc! { "_id": id_value(expected) }), raw(&doc! { "_id": id }));
    }
}

#[test]
fn texts_that_no_id_has_are_refused() {
    for text in ["", "x", "5", "\"x", "{", "0123456789ABCDEF01234567", " true", "{\"a\": true}"] {
        assert_eq!(id_value(text), None, "{text}");
    }
}

#[test]
fn keys_are_the_text_itself_unless_it_looks_like_another_value() {
    assert_eq!(key_text(&Bson::from("anna bell")), "anna bell");
    assert_eq!(key_text(&Bson::from("true")), "\"true\"");
    assert_eq!(key_text(&Bson::from("0123456789abcdef01234567")), "\"0123456789abcdef01234567\"");
    assert_eq!(key_text(&Bson::from("\"true\"")), "\"\\\"true\\\"\"");
    assert_eq!(key_text(&Bson::Boolean(true)), "true");
}

#[test]
fn derived_ids_are_fixed_for_ever() {
    // sha256(u64be(4) "test" u64be(5) "users" u64be(4) "anna"), first 12 bytes.
    let id = derived_id("test", "users", "anna");
    assert_eq!(id.to_hex(), "7a3cea1488b0ccb7d56da481");
    assert_ne!(derived_id("tes", "tusers", "anna"), id);
    assert_ne!(derived_id("test", "usersa", "nna"), id);
}

#[test]
fn values_sort_as_the_server_sorts_them() {
    let id = ObjectId::from_bytes([7; 12]);
    let binary = |bytes: &[u8]| {
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
    };
    let sorted = [
        Bson::MinKey,
        Bson::Null,
        Bson::Double(f64::NAN),
        Bson::Double(f64::NEG_INFINITY),
        Bson::Int64(i64::MIN),
        Bson::Double(-1.5),
        Bson::Int32(-1),
        Bson::Int32(0),
        Bson::Double(0.5),
        Bson::Decimal128("1.25".parse::<Decimal128>().unwrap()),
        Bson::Int64(9_007_199_254_740_992),
        Bson::Int64(9_007_199_254_740_993),
        Bson::Int64(i64::MAX),
        Bson::Double(f64::INFINITY),
        Bson::from(""),
        Bson::from("a"),
        Bson::from("a\0"),
        Bson::from("ab"),
        Bson::from("b"),
        Bson::Document(doc! {}),
        Bson::Document(doc! { "a": 1 }),
        Bson::Document(doc! { "a": 2 }),
        Bson::Array(vec![]),
        Bson::Array(vec![Bson::Int32(1)]),
        Bson::Array(vec![Bson::Int32(1), Bson::Int32(1)]),
        binary(&[9]),
        binary(&[1, 1]),
        Bson::ObjectId(id),
        Bson::Boolean(false),
        Bson::Boolean(true),
        Bson::DateTime(bson::DateTime::from_millis(-1)),
        Bson::DateTime(bson::DateTime::from_millis(1)),
        Bson::Timestamp(Timestamp { time: 1, increment: 2 }),
        Bson::MaxKey,
    ];
    for pair in sorted.windows(2) {
        assert!(Order::of(&pair[0]) < Order::of(&pair[1]), "{pair:?}");
    }
    assert_eq!(Order::of(&Bson::Int32(5)), Order::of(&Bson::Double(5.0)));
    assert_eq!(Order::of(&Bson::Double(-0.0)), Order::of(&Bson::Int64(0)));
}

#[test]
fn what_is_missing_comes_last() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (one, two) = (Order::of(&Bson::Int32(1)), Order::of(&Bson::Int32(2)));
    assert_eq!(Order::missing_last(Some(&one), Some(&two)), Less);
    assert_eq!(Order::missing_last(Some(&two), None), Less);
    assert_eq!(Order::missing_last(None, Some(&one)), Greater);
    assert_eq!(Order::missing_last(None, None), Equal);
}

fn any_id() -> impl Strategy<Value = Bson> {
    let leaf = prop_oneof![
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        any::<String>().prop_map(Bson::String),
        "[0-9a-f]{24}".prop_map(Bson::String),
        any::<i32>().prop_map(Bson::Int32),
        any::<i64>().prop_map(Bson::Int64),
        (-1e300_f64..1e300).prop_map(Bson::Double),
        any::<bool>().prop_map(Bson::Boolean),
        (-4e12_f64..4e14).prop_map(|ms| Bson::DateTime(bson::DateTime::from_millis(ms as i64))),
        any::<Vec<u8>>()
            .prop_map(|bytes| Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes })),
        any::<(u32, u32)>()
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        Just(Bson::Null),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop::collection::vec(("[a-z]{1,5}", inner), 0..4)
            .prop_map(|fields| Bson::Document(fields.into_iter().collect()))
    })
}

proptest! {
    #[test]
    fn a_text_gives_its_id_back(id in any_id()) {
        // Documents with other orders of fields are equal in Rust, so their bytes are compared.
        let back = id_value(&text_of(&id)).unwrap();
        prop_assert_eq!(raw(&doc! { "_id": back }), raw(&doc! { "_id": id }));
    }

    #[test]
    fn keys_of_different_values_differ(one in any_id(), other in any_id()) {
        let same = raw(&doc! { "_id": one.clone() }) == raw(&doc! { "_id": other.clone() });
        prop_assert_eq!(key_text(&one) == key_text(&other), same);
    }

    #[test]
    fn numbers_sort_by_value(one in any::<i64>(), other in any::<i64>(), near in -3_i64..3) {
        for other in [other, one.saturating_add(near)] {
            let (first, second) = (Order::of(&Bson::Int64(one)), Order::of(&Bson::Int64(other)));
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
        }
    }
}
