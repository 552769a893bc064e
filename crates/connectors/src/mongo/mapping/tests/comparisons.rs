//! Digests and lists of differences.

use bson::oid::ObjectId;
use bson::{Bson, Decimal128, Document, RawDocument, doc};
use proptest::prelude::*;

use super::super::{differing, digest};
use super::raw;

fn digest_of(document: &Document) -> [u8; 16] {
    digest(&raw(document), &["_windlass"])
}

#[test]
fn the_order_of_top_level_fields_does_not_count() {
    let one = doc! { "_id": 1, "a": "x", "b": { "c": 1, "d": [1, 2] } };
    let other = doc! { "b": { "c": 1, "d": [1, 2] }, "_windlass": "run 1", "_id": 1, "a": "x" };
    assert_eq!(digest_of(&one), digest_of(&other));
    assert_eq!(differing(&one, &raw(&other), &["_windlass"]), Vec::<String>::new());
}

#[test]
fn everything_else_counts() {
    let one = doc! { "_id": 1, "a": "x", "b": { "c": 1, "d": true } };
    for other in [
        doc! { "_id": 2, "a": "x", "b": { "c": 1, "d": true } },
        doc! { "_id": 1_i64, "a": "x", "b": { "c": 1, "d": true } },
        doc! { "_id": 1, "a": "x", "b": { "d": true, "c": 1 } },
        doc! { "_id": 1, "a": "x", "b": { "c": 1, "d": true }, "e": Bson::Null },
        doc! { "_id": 1, "a": Bson::Symbol("x".to_owned()), "b": { "c": 1, "d": true } },
        doc! { "_id": 1, "b": { "c": 1, "d": true } },
    ] {
        assert_ne!(digest_of(&one), digest_of(&other), "{other}");
        assert_ne!(differing(&one, &raw(&other), &[]), Vec::<String>::new(), "{other}");
    }
}

#[test]
fn fields_of_every_type_are_found_in_the_bytes() {
    let document = doc! {
        "double": 1.5, "string": "x", "document": { "a": 1 }, "array": [1, "x"],
        "binary": Bson::Binary(bson::Binary {
            subtype: bson::spec::BinarySubtype::BinaryOld, bytes: vec![1, 2, 3],
        }),
        "undefined": Bson::Undefined, "id": ObjectId::from_bytes([1; 12]), "bool": true,
        "date": bson::DateTime::from_millis(5), "null": Bson::Null,
        "regex": bson::Regex {
            pattern: "a.b".try_into().unwrap(), options: "i".try_into().unwrap(),
        },
        "code": Bson::JavaScriptCode("f()".to_owned()), "symbol": Bson::Symbol("s".to_owned()),
        "scope": Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope {
            code: "f()".to_owned(), scope: doc! { "a": 1 },
        }),
        "int": 1, "stamp": Bson::Timestamp(bson::Timestamp { time: 1, increment: 2 }),
        "long": 1_i64, "decimal": "1.50".parse::<Decimal128>().unwrap(),
        "min": Bson::MinKey, "max": Bson::MaxKey,
    };
    let names: Vec<&String> = document.keys().collect();
    for name in names {
        // If a size were wrong, the fields behind it would be other bytes in another order.
        let mut moved = document.clone();
        let value = moved.remove(name).unwrap();
        assert_ne!(digest_of(&moved), digest_of(&document), "{name}");
        moved.insert(name.clone(), value);
        assert_eq!(digest_of(&moved), digest_of(&document), "{name}");
    }
}

#[test]
fn damaged_bytes_equal_themselves_only() {
    let good = raw(&doc! { "a": 1 });
    let mut bytes = good.as_bytes().to_vec();
    bytes[4] = 0x63;
    let bad = RawDocument::from_bytes(&bytes).unwrap();
    assert_ne!(digest(bad, &[]), digest(&good, &[]));
    assert_eq!(digest(bad, &[]), digest(bad, &[]));
    let differences = differing(&doc! { "a": 1 }, bad, &[]);
    assert!(differences[0].starts_with("the document is damaged: "), "{differences:?}");
}

#[test]
fn differences_are_told_with_their_paths() {
    let expected = doc! {
        "_id": 1, "name": "anna", "n": 1, "same": [1, { "a": 1 }], "gone": true,
        "deep": { "list": [{ "a": 1 }, { "a": 2 }], "order": { "a": 1, "b": 2 } },
    };
    let found = doc! {
        "_id": 1, "name": "x".repeat(80), "n": 1_i64, "same": [1, { "a": 1 }], "new": Bson::Null,
        "deep": { "list": [{ "a": 1 }, { "a": 3 }, 4], "order": { "b": 2, "a": 1 } }, "run": 7,
    };
    let list = differing(&expected, &raw(&found), &["run"]);
    assert_eq!(
        list,
        [
            "deep.list.1.a: {\"$numberInt\":\"3\"} instead of {\"$numberInt\":\"2\"}".to_owned(),
            "deep.list.2: {\"$numberInt\":\"4\"} instead of nothing".to_owned(),
            "deep.order: its fields are in another order".to_owned(),
            "gone: missing instead of true".to_owned(),
            "n: {\"$numberLong\":\"1\"} instead of {\"$numberInt\":\"1\"}".to_owned(),
            format!("name: \"{}... instead of \"anna\"", "x".repeat(59)),
            "new: null instead of nothing".to_owned(),
        ]
    );
}

#[test]
fn differences_are_bounded() {
    let many: Document = (0..30).map(|at| (format!("f{at:02}"), Bson::Int32(at))).collect();
    let list = differing(&many, &raw(&doc! {}), &[]);
    assert_eq!(list.len(), 21);
    assert_eq!(list[20], "and 10 more");
}

proptest! {
    #[test]
    fn a_digest_is_that_of_the_fields_in_any_order(
        fields in prop::collection::btree_map("[a-z]{1,6}", any::<(i64, String)>(), 0..8),
        turn in 0_usize..8,
    ) {
        let mut list: Vec<(String, Bson)> = fields
            .into_iter()
            .map(|(name, (number, text))| (name, Bson::Document(doc! { "n": number, "t": text })))
            .collect();
        let before: Document = list.iter().cloned().collect();
        if !list.is_empty() {
            let turn = turn % list.len();
            list.rotate_left(turn);
        }
        let after: Document = list.into_iter().collect();
        prop_assert_eq!(digest_of(&before), digest_of(&after));
        prop_assert!(differing(&before, &raw(&after), &[]).is_empty());
    }
}
