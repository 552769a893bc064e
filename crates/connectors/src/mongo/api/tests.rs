use super::refusal::code_of;
use super::*;

#[test]
fn a_place_is_told_without_its_password() {
    let place = Place::of("mongodb://ann:secret@a:1,b:2/shop?replicaSet=r").unwrap();
    assert_eq!(place.words(), "a:1,b:2/shop");
    assert_eq!(place.user.as_deref(), Some("ann"));
    let place = Place::of("mongodb+srv://cluster.example.net/shop").unwrap();
    assert_eq!(place.words(), "cluster.example.net/shop");
    assert_eq!(Place::of("mongodb://a:1").unwrap_err(), "it names no database");
    assert!(Place::of("postgres://a/b").is_err());
}

#[test]
fn a_reply_is_read_whatever_the_types_of_its_numbers() {
    let reply = doc! { "ok": 1.0, "n": 3.0, "writeErrors": [
        { "index": 2_i64, "code": 11000.0, "errmsg": "dup", "keyPattern": { "_id": 1 } },
        { "index": 0, "code": 121, "errmsg": "no" },
    ] };
    let written = written(&reply).unwrap();
    assert_eq!(written.count, 3);
    let told: Vec<_> = written.errors.iter().map(|e| (e.index, e.code, e.fields.len())).collect();
    assert_eq!(told, [(0, 121, 0), (2, 11000, 1)], "in the order of the statements");
}

#[test]
fn a_statement_refused_for_a_while_is_sent_again_with_the_others() {
    let reply = doc! { "ok": 1, "n": 1, "writeErrors": [
        { "index": 0, "code": 11000, "errmsg": "dup" },
        { "index": 1, "code": 16500, "errmsg": "Request rate is large. RetryAfterMs=34, ..." },
    ] };
    let failure = written(&reply).unwrap_err();
    assert_eq!((failure.kind, failure.may_have_happened), (Kind::Throttled, true));
    assert_eq!(failure.wait, Some(Duration::from_millis(34)));
}

#[test]
fn a_write_concern_that_was_not_met_may_have_happened() {
    let reply =
        doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 64, "errmsg": "timed out" } };
    let failure = written(&reply).unwrap_err();
    assert_eq!((failure.kind, failure.may_have_happened), (Kind::Unavailable, true));
    assert_eq!(failure.message, "write concern: timed out");
    assert_eq!(code_of(&failure), Some(64));
}
