//! What a status and an error body mean, which ids may go into a path, and when a list goes round
//! in circles.

use super::api::{Entity, Resource, refused};
use super::job::Walk;
use bytes::Bytes;
use http::Response;
use serde_json::value::RawValue;
use std::time::Duration;
use windlass_engine::{Failure, Kind};

fn failure(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    refused(&response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap())
}

#[test]
fn a_status_has_one_meaning() {
    for (status, kind) in [
        (301, Kind::Malformed),
        (400, Kind::Rejected),
        (401, Kind::Denied),
        (403, Kind::Forbidden),
        (404, Kind::Rejected),
        (408, Kind::Unavailable),
        (409, Kind::Rejected),
        (422, Kind::Rejected),
        (429, Kind::Throttled),
        (500, Kind::Unavailable),
        (503, Kind::Unavailable),
        (599, Kind::Unavailable),
    ] {
        let failure = failure(status, &[("x-request-id", "req_7")], "");
        assert_eq!((failure.kind, failure.status), (kind, Some(status)));
        assert_eq!(failure.request_id.as_deref(), Some("req_7"));
        assert_eq!(failure.may_have_happened, kind == Kind::Unavailable, "{status}");
        assert!(!failure.message.is_empty(), "{status} says something even without a body");
    }
}

#[test]
fn error_bodies_have_many_shapes() {
    for (body, message, code) in [
        (r#"{"message":"Unauthorized"}"#, "Unauthorized", None),
        (r#"{"code":"entity_not_found","message":"No"}"#, "No", Some("entity_not_found")),
        (r#"{"error":"invalid","error_description":"Why"}"#, "Why", Some("invalid")),
        (r#"{"error":"invalid"}"#, "invalid", Some("invalid")),
        (r#""Ratelimited""#, "Ratelimited", None),
        ("no such thing", "no such thing", None),
        ("<html><body>Bad gateway</body></html>", "Conflict", None),
        (r#"{"message":7,"errors":"x"}"#, "Conflict", None),
        ("[1,2]", "Conflict", None),
        ("", "Conflict", None),
        (
            r#"{"message":"Bad","errors":[{"message":"a"},{"code":"b"},{"message":"c"}]}"#,
            "Bad: a: c",
            None,
        ),
        ("one\u{7}\ntwo", "one  two", None),
    ] {
        let failure = failure(409, &[], body);
        assert_eq!((&*failure.message, failure.code.as_deref()), (message, code), "{body}");
    }
    let long = failure(409, &[], &"x".repeat(5_000));
    assert_eq!(long.message.len(), 300);
    assert_eq!(failure(409, &[], "\u{fffd}").message, "\u{fffd}");
}

#[test]
fn a_wait_is_read_in_both_forms() {
    let wait = |headers: &[(&str, &str)]| failure(429, headers, "").wait;
    assert_eq!(wait(&[("retry-after", "17")]), Some(Duration::from_secs(17)));
    assert_eq!(wait(&[]), None);
    let dated = [
        ("date", "Thu, 15 Jan 2026 12:00:00 GMT"),
        ("retry-after", "Thu, 15 Jan 2026 12:00:30 GMT"),
    ];
    assert_eq!(wait(&dated), Some(Duration::from_secs(30)), "whatever our own clock says");
}

#[test]
fn only_plain_ids_of_their_kind_go_into_a_path() {
    let organization = |id: &str| Resource::Organization.is_id(id);
    assert!(organization("org_01HZY7K3T5Q2M8N4V6W9X1B3C5") && organization("org_a-b_c"));
    assert!(Resource::User.is_id("user_1") && !Resource::User.is_id("org_1"));
    let long = format!("org_{}", "x".repeat(125));
    for odd in ["", ".", "..", "org_", "ORG_1", "org", "org_a/b", "org_%2e", "org_é", &long] {
        assert!(!organization(odd), "{odd}");
    }
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

#[test]
fn an_object_needs_nothing_but_its_id() {
    let object = raw(r#"{"id":"org_\u0031","name":null,"email":7,"created_at":{},"x":[]}"#);
    let entity = Entity::read(&object).unwrap();
    assert_eq!((&*entity.id, &*entity.label(), entity.created_at()), ("org_1", "org_1", None));
    assert_eq!(entity.names().collect::<Vec<_>>(), ["org_1"]);
    for broken in [r#"{"name":"x"}"#, r#"{"id":7}"#, "7", r#"{"id":null}"#] {
        assert!(Entity::read(&raw(broken)).is_err(), "{broken}");
    }
}

#[test]
fn a_person_is_told_the_email_or_the_name() {
    let label = |json: &str| Entity::read(&raw(json)).unwrap().label();
    assert_eq!(
        label(r#"{"id":"user_1","name":"Ann","email":"ann@example.com"}"#),
        "ann@example.com"
    );
    assert_eq!(label(r#"{"id":"org_1","name":"Acme"}"#), "Acme");
    assert_eq!(label(r#"{"id":"org_1","name":""}"#), "org_1");
}

fn page(ids: &[&str]) -> Vec<Box<RawValue>> {
    ids.iter().map(|id| raw(&format!(r#"{{"id":"{id}"}}"#))).collect()
}

fn walk(pages: &[(&[&str], Option<&str>)]) -> Result<bool, Failure> {
    let mut walk = Walk::default();
    let mut on = Ok(true);
    for (ids, after) in pages {
        on = walk.goes_on(&page(ids), after.map(str::to_owned));
        if on.is_err() {
            break;
        }
    }
    on
}

#[test]
fn a_walk_ends_where_the_cursor_is_missing() {
    assert_eq!(walk(&[(&["a", "b"], Some("b")), (&["c"], None)]), Ok(false));
    assert_eq!(walk(&[(&[], None)]), Ok(false));
    assert_eq!(walk(&[(&["a"], Some(""))]), Ok(false));
    assert_eq!(walk(&[(&["a"], Some("a")), (&[], Some("z"))]), Ok(true), "a short page is no end");
}

#[test]
fn a_walk_that_goes_round_is_an_error() {
    for pages in [
        &[(&["a", "b"][..], Some("b")), (&["a", "c"], Some("c"))][..],
        &[(&["a", "b"], Some("b")), (&["c", "b"], Some("x"))],
        &[(&["a"], Some("a")), (&["b"], Some("b")), (&[], Some("a"))],
        &[(&["a"], Some("a")), (&["a"], None)],
    ] {
        let error = walk(pages).unwrap_err();
        assert!(error.message.contains("round in circles"), "{error}");
        assert!(error.hint.unwrap().contains("nothing was deleted"));
    }
}
