//! Each switch does what it says, lists are complete whatever happens while they are walked, and
//! the windows let no more pass than documented. All time is virtual.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Command, FromArgMatches};
use http::{Method, Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use windlass_sim::{Simulator, WindowKind};

use super::*;

const KEY: &str = "sk_test_simulated";
const ORGANIZATIONS: &str = "/organizations";
const USERS: &str = "/user_management/users";

fn sim(options: Options) -> WorkosSim {
    WorkosSim::new(options).unwrap()
}

fn few(organizations: u32, users: u32) -> Options {
    Options { organizations, users, ..Options::default() }
}

async fn send(sim: &WorkosSim, method: Method, path: &str, key: &str) -> Response<Bytes> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {key}"));
    sim.call(request.body(Bytes::new()).unwrap()).await.unwrap()
}

async fn get(sim: &WorkosSim, path: &str) -> (u16, Value) {
    let reply = send(sim, Method::GET, path, KEY).await;
    let body = serde_json::from_slice(reply.body()).unwrap();
    (reply.status().as_u16(), body)
}

async fn delete(sim: &WorkosSim, folder: &str, id: &str) -> Response<Bytes> {
    send(sim, Method::DELETE, &format!("{folder}/{id}"), KEY).await
}

async fn delete_status(sim: &WorkosSim, folder: &str, id: &str) -> u16 {
    delete(sim, folder, id).await.status().as_u16()
}

fn refusal(reply: &Response<Bytes>) -> (u16, &str) {
    (reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap())
}

fn ids(page: &Value) -> Vec<String> {
    let ids = page["data"].as_array().unwrap().iter();
    ids.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

/// Walks a whole list by one of its cursors.
async fn walk(sim: &WorkosSim, path: &str, query: &str, cursor: &str) -> Vec<Value> {
    let mut objects = Vec::new();
    let mut next = String::new();
    for _ in 0..1_000 {
        let (status, page) = get(sim, &format!("{path}?{query}{next}")).await;
        assert_eq!(status, 200, "{page}");
        objects.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["list_metadata"][cursor].as_str() {
            Some(id) => next = format!("&{cursor}={id}"),
            None => return objects,
        }
    }
    panic!("the list has no end");
}

fn id_set(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

fn created_at(object: &Value) -> Option<Timestamp> {
    object["created_at"].as_str()?.parse().ok()
}

#[test]
fn the_flags_have_the_defaults_of_the_options() {
    let command = Options::augment_args(Command::new("workos"));
    let about = command.get_about().unwrap().to_string();
    assert!(about.starts_with("What the simulated WorkOS holds"), "{about}");
    let parse = |flags: &[&str]| {
        let flags = [&["workos"], flags].concat();
        let matches = command.clone().try_get_matches_from(flags)?;
        Options::from_arg_matches(&matches)
    };
    assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Options::default()));
    let parsed = parse(&[
        "--orgs=7",
        "--strict",
        "--limit=organization-delete=50/1s",
        "--limit=all=unlimited",
        "--latency=5ms..200ms",
        "--retry-after=http-date",
        "--storm=1s+2s",
    ]);
    let parsed = parsed.unwrap();
    assert_eq!((parsed.organizations, parsed.limits.len()), (7, 2));
    assert!(parse(&["--limit=nothing=1/1s"]).is_err());
    assert!(parse(&["--limit=all=1/0s"]).is_err());
    assert!(parse(&["--from=2005-02-31"]).is_err());
    assert!(parse(&["--strict", "--no-limits"]).is_err());
    let backwards = parse(&["--from=2006-01-01"]).unwrap();
    assert!(WorkosSim::new(backwards).unwrap_err().contains("--from"));
}

#[tokio::test(start_paused = true)]
async fn walks_are_complete_sorted_and_without_repetition_in_both_orders() {
    let sim = sim(few(230, 310));
    for (path, remaining) in
        [(ORGANIZATIONS, sim.remaining_organizations()), (USERS, sim.remaining_users())]
    {
        for (query, ascending) in [("limit=100&order=asc", true), ("limit=7&order=desc", false)] {
            let objects = walk(&sim, path, query, "after").await;
            let times: Vec<_> = objects.iter().map(|one| created_at(one).unwrap()).collect();
            assert!(times.is_sorted_by(|a, b| if ascending { a <= b } else { a >= b }));
            assert_eq!(objects.len(), remaining.len());
            assert_eq!(id_set(&objects), remaining.iter().cloned().collect());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn before_goes_back_and_normal_crosses_the_cursors() {
    let sim = sim(few(60, 0));
    let (_, first) = get(&sim, "/organizations?limit=20").await;
    assert!(first["list_metadata"]["before"].is_null());
    let after = first["list_metadata"]["after"].as_str().unwrap();
    assert_eq!(after, ids(&first)[19]);
    let (_, second) = get(&sim, &format!("/organizations?limit=20&after={after}")).await;
    let back = second["list_metadata"]["before"].as_str().unwrap();
    let (_, again) = get(&sim, &format!("/organizations?limit=20&before={back}")).await;
    assert_eq!(ids(&again), ids(&first));
    let (_, normal) = get(&sim, "/organizations?limit=20&order=normal").await;
    assert_eq!(ids(&normal), ids(&first), "newest first");
    assert!(normal["list_metadata"]["after"].is_null(), "nothing is newer");
    let all = walk(&sim, ORGANIZATIONS, "limit=20&order=normal", "before").await;
    assert_eq!(id_set(&all), sim.remaining_organizations().into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn a_walk_finds_all_that_was_there_while_others_insert_and_delete() {
    for order in ["asc", "desc"] {
        let sim = sim(Options {
            insert_at_head: 2,
            insert_in_range: 3,
            delete_cursor: 4,
            unknown_cursor: UnknownCursor::Position,
            ..few(200, 0)
        });
        let there: BTreeSet<String> = sim.remaining_organizations().into_iter().collect();
        let objects = walk(&sim, ORGANIZATIONS, &format!("limit=10&order={order}"), "after").await;
        let seen = id_set(&objects);
        assert_eq!(seen.len(), objects.len(), "nothing twice");
        assert!(seen.is_superset(&there));
        let now: BTreeSet<String> = sim.remaining_organizations().into_iter().collect();
        assert!(there.difference(&now).count() >= 4, "cursors were deleted");
        assert!(now.difference(&there).count() >= 10, "others were inserted");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_limit_has_a_default_and_bounds() {
    let strict = sim(few(150, 0));
    let clamp = sim(Options { page_limit: PageLimit::Clamp, ..few(150, 0) });
    let (_, page) = get(&strict, ORGANIZATIONS).await;
    assert_eq!(ids(&page).len(), 10);
    for (limit, clamped) in [("0", 10), ("101", 100), ("-1", 1), ("ten", 10)] {
        let path = format!("/organizations?limit={limit}");
        assert_eq!(get(&strict, &path).await.0, 422);
        assert_eq!(ids(&get(&clamp, &path).await.1).len(), clamped, "{limit}");
    }
    assert_eq!(ids(&get(&strict, "/organizations?limit=100&search=x").await.1).len(), 100);
    assert_eq!(get(&strict, "/organizations?order=up").await.0, 422);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_cursor_is_refused_or_restarts_or_is_a_position() {
    for (unknown_cursor, status) in [
        (UnknownCursor::Refuse, 422),
        (UnknownCursor::Restart, 200),
        (UnknownCursor::Position, 200),
    ] {
        let sim = sim(Options { unknown_cursor, ..few(30, 0) });
        let (_, first) = get(&sim, "/organizations?order=asc").await;
        let cursor = first["list_metadata"]["after"].as_str().unwrap();
        let path = format!("/organizations?order=asc&after={cursor}");
        let (_, expected) = get(&sim, &path).await;
        assert!(sim.delete_by_someone_else(Kind::Organization, cursor));
        let (met, page) = get(&sim, &path).await;
        assert_eq!(met, status);
        match unknown_cursor {
            UnknownCursor::Refuse => {}
            UnknownCursor::Restart => assert_eq!(ids(&page)[..9], ids(&first)[..9]),
            UnknownCursor::Position => assert_eq!(ids(&page), ids(&expected)),
        }
        let nonsense = get(&sim, "/organizations?after=nonsense").await.0;
        assert_eq!(nonsense, if unknown_cursor == UnknownCursor::Restart { 200 } else { 422 });
    }
}

#[tokio::test(start_paused = true)]
async fn deletions_are_answered_once_and_repetitions_with_404() {
    let sim = sim(few(10, 40));
    let before = sim.memberships();
    assert_eq!(before, 40);
    let organization = sim.remaining_organizations()[3].clone();
    let reply = delete(&sim, ORGANIZATIONS, &organization).await;
    assert_eq!((reply.status().as_u16(), reply.body().len()), (202, 0));
    assert!(sim.memberships() < before, "memberships went with it");
    assert_eq!(sim.remaining_users().len(), 40, "users stay");
    let reply = delete(&sim, ORGANIZATIONS, &organization).await;
    assert_eq!(reply.status().as_u16(), 404);
    let quoted = format!("Organization not found: '{organization}'.");
    assert!(String::from_utf8_lossy(reply.body()).contains(&quoted));
    for user in sim.remaining_users() {
        assert_eq!(delete_status(&sim, USERS, &user).await, 204);
    }
    assert_eq!((sim.memberships(), sim.remaining_users().len()), (0, 0));
    assert_eq!(sim.deleted().len(), 41);
    assert_eq!(delete_status(&sim, USERS, "").await, 404);
    assert_eq!(delete_status(&sim, "/elsewhere", &organization).await, 404);
}

#[tokio::test(start_paused = true)]
async fn some_objects_refuse_their_deletion() {
    let sim = sim(Options {
        undeletable_users: 0.5,
        undeletable_organizations: 1.0,
        user_delete_status: 200,
        no_limits: true,
        ..few(3, 200)
    });
    let mut statuses: HashMap<u16, usize> = HashMap::new();
    for user in sim.remaining_users() {
        *statuses.entry(delete_status(&sim, USERS, &user).await).or_default() += 1;
    }
    assert_eq!(statuses.len(), 2);
    assert!(statuses[&409].abs_diff(100) < 40 && statuses[&200] == 200 - statuses[&409]);
    assert_eq!(sim.remaining_users().len(), statuses[&409]);
    let organization = &sim.remaining_organizations()[0];
    assert_eq!(delete_status(&sim, ORGANIZATIONS, organization).await, 403);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_organization_may_stay_visible_for_a_while() {
    let delay = Duration::from_secs(5);
    let sim = sim(Options { deletion_delay: delay, ..few(5, 0) });
    let id = sim.remaining_organizations()[0].clone();
    let path = format!("{ORGANIZATIONS}/{id}");
    assert_eq!(delete_status(&sim, ORGANIZATIONS, &id).await, 202);
    assert_eq!(sim.remaining_organizations().len(), 4);
    tokio::time::sleep(delay - Duration::from_millis(1)).await;
    assert_eq!(get(&sim, &path).await.0, 200);
    assert!(ids(&get(&sim, ORGANIZATIONS).await.1).contains(&id));
    assert_eq!(delete_status(&sim, ORGANIZATIONS, &id).await, 202);
    assert_eq!(sim.deleted(), [id.as_str()], "the repetition had no effect");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(get(&sim, &path).await.0, 404);
    assert!(!ids(&get(&sim, ORGANIZATIONS).await.1).contains(&id));
}

#[tokio::test(start_paused = true)]
async fn the_documented_limits_are_kept_apart() {
    let sim = sim(Options {
        strict: true,
        keys: vec![KEY.to_owned(), "sk_two".to_owned()],
        ..few(200, 700)
    });
    let organizations = sim.remaining_organizations();
    for id in &organizations[..50] {
        assert_eq!(delete_status(&sim, ORGANIZATIONS, id).await, 202);
    }
    let refused = delete(&sim, ORGANIZATIONS, &organizations[50]).await;
    assert_eq!(refusal(&refused), (429, "60"));
    // Reading organizations, and deleting with another key, is not held up by that.
    assert_eq!(get(&sim, ORGANIZATIONS).await.0, 200);
    let path = format!("{ORGANIZATIONS}/{}", organizations[50]);
    assert_eq!(send(&sim, Method::DELETE, &path, "sk_two").await.status(), 202);
    let users = sim.remaining_users();
    for id in &users[..500] {
        assert_eq!(delete_status(&sim, USERS, id).await, 204);
    }
    // The limit on users is one for all keys of the environment.
    let path = format!("{USERS}/{}", users[500]);
    let refused = send(&sim, Method::DELETE, &path, "sk_two").await;
    assert_eq!(refusal(&refused), (429, "10"));
    assert_eq!(get(&sim, USERS).await.0, 200);
    tokio::time::sleep(Duration::from_millis(9_999)).await;
    assert_eq!(delete_status(&sim, USERS, &users[500]).await, 429);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(delete_status(&sim, USERS, &users[500]).await, 204);
    assert_eq!(sim.ledger().too_many(), 3);
}

#[tokio::test(start_paused = true)]
async fn limits_can_be_changed_and_taken_away() {
    let limits = vec!["organization-delete=3/1s".parse().unwrap()];
    let faster = sim(Options { limits, ..few(100, 0) });
    let limits = vec!["organization-delete=unlimited".parse().unwrap()];
    let free = sim(Options { limits, ..few(100, 0) });
    let none = sim(Options { no_limits: true, ..few(100, 0) });
    for (sim, expected) in [(faster, 3), (free, 100), (none, 100)] {
        let mut deleted = 0;
        for id in sim.remaining_organizations() {
            deleted += usize::from(delete_status(&sim, ORGANIZATIONS, &id).await == 202);
        }
        assert_eq!(deleted, expected);
    }
}

/// Spends the limit at the end of one window and again at the start of the next, and tells the
/// most deletions that passed in any 60 seconds.
async fn most_around_a_border(options: Options) -> usize {
    let sim = sim(options);
    let id = sim.remaining_organizations()[0].clone();
    let burst = async || {
        for _ in 0..60 {
            delete(&sim, ORGANIZATIONS, &id).await;
        }
        delete(&sim, ORGANIZATIONS, &id).await
    };
    let wait: u64 = refusal(&burst().await).1.parse().unwrap();
    for pause in [wait * 1_000 + 58_000, 2_000] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        burst().await;
    }
    sim.ledger().most_in_window(Duration::from_secs(60), |entry| entry.status != Some(429))
}

#[tokio::test(start_paused = true)]
async fn a_sliding_window_is_exact_and_a_fixed_one_lets_twice_the_limit_pass() {
    let strict = Options { strict: true, windows: WindowKind::Fixed, ..few(10, 0) };
    assert_eq!(most_around_a_border(strict.clone()).await, 50);
    let fixed = Options { strict: false, ..strict };
    assert_eq!(most_around_a_border(fixed).await, 100);
}

#[tokio::test(start_paused = true)]
async fn a_second_client_on_the_key_leaves_only_a_part() {
    let sim = sim(Options { second_client: 0.4, strict: true, ..few(100, 0) });
    tokio::time::sleep(Duration::from_secs(600)).await;
    let mut deleted = 0;
    for id in sim.remaining_organizations() {
        deleted += usize::from(delete_status(&sim, ORGANIZATIONS, &id).await == 202);
    }
    assert_eq!(deleted, 30);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_takes_each_of_its_forms() {
    let limits: Vec<Limit> = vec!["all=1/90s".parse().unwrap()];
    let base = Options { limits, ..few(3, 0) };
    let refuse = async |options: Options| {
        let sim = sim(options);
        get(&sim, ORGANIZATIONS).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        send(&sim, Method::GET, ORGANIZATIONS, KEY).await
    };
    let plain = refuse(base.clone()).await;
    assert_eq!(&plain.headers()["retry-after"], "90", "rounded up from 89.5");
    let body: Value = serde_json::from_slice(plain.body()).unwrap();
    assert_eq!(body["code"], "rate_limit_exceeded");
    assert!(!plain.headers().contains_key("x-ratelimit-limit"));
    let dated = refuse(Options { retry_after: RetryAfter::HttpDate, ..base.clone() }).await;
    let instant = |name: &str| {
        let text = dated.headers()[name].to_str().unwrap();
        jiff::fmt::rfc2822::parse(text).unwrap().timestamp().as_second()
    };
    let wait = instant("retry-after") - instant("date");
    assert!((90..=91).contains(&wait), "{wait}");
    let string = Options { too_many_body: TooManyBody::String, ..base.clone() };
    let string = refuse(Options { retry_after: RetryAfter::Absent, ..string }).await;
    assert!(!string.headers().contains_key("retry-after"));
    assert_eq!(&string.body()[..], b"\"Ratelimited\"");
    let html = refuse(Options { too_many_body: TooManyBody::Html, ..base.clone() }).await;
    assert!(html.body().starts_with(b"<html>"));
    let limited = refuse(Options { limit_headers: LimitHeaders::XRatelimit, ..base.clone() }).await;
    assert_eq!(&limited.headers()["x-ratelimit-limit"], "1");
    assert_eq!(&limited.headers()["x-ratelimit-remaining"], "0");
    assert_eq!(&limited.headers()["x-ratelimit-reset"], "90");
    let limited = refuse(Options { limit_headers: LimitHeaders::Ratelimit, ..base }).await;
    assert_eq!(&limited.headers()["ratelimit-policy"], "\"all\";q=1;w=90");
}

#[tokio::test(start_paused = true)]
async fn keys_are_told_apart() {
    let forbidden_keys = vec!["sk_nothing".to_owned()];
    let read_only_keys = vec!["sk_read".to_owned()];
    let closed = sim(Options { forbidden_keys, read_only_keys, ..few(5, 5) });
    let open = sim(Options { any_key: true, ..few(5, 5) });
    let id = closed.remaining_organizations()[0].clone();
    let path = format!("{ORGANIZATIONS}/{id}");
    let statuses = async |sim: &WorkosSim, key: &str| {
        let read = send(sim, Method::GET, ORGANIZATIONS, key).await.status().as_u16();
        (read, send(sim, Method::DELETE, &path, key).await.status().as_u16())
    };
    assert_eq!(statuses(&closed, "sk_wrong").await, (401, 401));
    assert_eq!(statuses(&closed, "").await, (401, 401));
    assert_eq!(statuses(&closed, "sk_nothing").await, (403, 403));
    assert_eq!(statuses(&closed, "sk_read").await, (200, 403));
    assert_eq!(statuses(&closed, KEY).await, (200, 202));
    assert_eq!(statuses(&open, "sk_whatever").await, (200, 202));
    closed.revoke_key();
    assert_eq!(statuses(&closed, KEY).await, (401, 401));
    let no_key = Request::builder().uri(ORGANIZATIONS).body(Bytes::new()).unwrap();
    let reply = open.call(no_key).await.unwrap();
    assert_eq!(reply.status(), 401);
    assert!(reply.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
}

#[tokio::test(start_paused = true)]
async fn objects_take_the_shapes_that_are_asked_for() {
    let shape = Shape {
        missing_created_at: 0.2,
        malformed_created_at: 0.2,
        offset_created_at: 0.2,
        odd_created_at: 0.2,
        id_skew: Duration::from_secs(1),
        unknown_fields: true,
    };
    let sim = sim(Options { shape, no_limits: true, ..few(0, 500) });
    let users = walk(&sim, USERS, "limit=100&order=asc", "after").await;
    assert_eq!(users.len(), 500);
    let share = |wanted: &dyn Fn(&Value) -> bool| users.iter().filter(|user| wanted(user)).count();
    let text_ends = |user: &Value, end: &str| {
        user["created_at"].as_str().is_some_and(|text| text.ends_with(end))
    };
    for (name, met) in [
        ("missing", share(&|user| user.get("created_at").is_none())),
        ("malformed", {
            share(&|user| user.get("created_at").is_some() && created_at(user).is_none())
        }),
        ("offset", share(&|user| text_ends(user, ":00"))),
    ] {
        assert!((60..=140).contains(&met), "{met} of 500 are {name}");
    }
    assert!(share(&|user| user["created_at"].as_str().is_some_and(|t| t.len() == 27)) > 50);
    assert_eq!(share(&|user| user["x_future"]["nested"].is_array()), 500);
    let later = share(&|user| {
        let digits = user["id"].as_str().and_then(|id| id.strip_prefix("user_"));
        let of_id = generate::created(generate::ulid_place(digits.unwrap()).unwrap());
        let created = created_at(user).map(|instant| instant.as_millisecond().unsigned_abs());
        created.is_some_and(|created| (created + 1..=created + 1_000).contains(&of_id))
    });
    assert!(later > 250, "{later} ids are later than their object");
    // A skewed id is as good as any other.
    for user in &sim.remaining_users()[..20] {
        assert_eq!(delete_status(&sim, USERS, user).await, 204);
        assert_eq!(delete_status(&sim, USERS, user).await, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn given_objects_appear_as_they_were_given() {
    let extra = Map::from_iter([("metadata".to_owned(), json!({"protect": "yes"}))]);
    let sim = sim(Options::empty()
        .with_organization("org_last", "Last", Some("2005-12-17T23:59:59.999Z"), extra)
        .with_organization("org_odd", "Odd", Some("yesterday"), Map::new())
        .with_organization(
            "org_first",
            "First \"quoted\"",
            Some("2005-12-17T00:00:00Z"),
            Map::new(),
        )
        .with_organization("../weird id", "Weird", None, Map::new())
        .with_user("user_a", "Ada Lovelace", Some("2005-12-17T01:00:00+02:00"), Map::new()));
    let (_, page) = get(&sim, "/organizations?order=asc").await;
    assert_eq!(ids(&page), ["org_first", "../weird id", "org_last", "org_odd"]);
    assert_eq!(page["data"][0]["name"], "First \"quoted\"");
    assert!(page["data"][1].get("created_at").is_none());
    assert_eq!(page["data"][2]["metadata"]["protect"], "yes");
    let (_, page) = get(&sim, "/organizations?order=asc&after=org_first&limit=1").await;
    assert_eq!(ids(&page), ["../weird id"]);
    assert_eq!(delete_status(&sim, ORGANIZATIONS, "..%2Fweird%20id").await, 202);
    assert_eq!(sim.deleted(), ["../weird id"]);
    assert_eq!(delete_status(&sim, ORGANIZATIONS, "org_last").await, 202);
    assert_eq!(sim.remaining_organizations(), ["org_first", "org_odd"]);
    let (_, user) = get(&sim, "/user_management/users/user_a").await;
    assert_eq!((&user["first_name"], &user["last_name"]), (&json!("Ada"), &json!("Lovelace")));
}

#[tokio::test(start_paused = true)]
async fn the_generated_data_looks_real_and_is_spread_over_the_days() {
    let sim = sim(Options { no_limits: true, ..few(500, 2_000) });
    let organizations = walk(&sim, ORGANIZATIONS, "limit=100&order=asc", "after").await;
    let users = walk(&sim, USERS, "limit=100&order=asc", "after").await;
    let mut days: HashMap<String, usize> = HashMap::new();
    for object in organizations.iter().chain(&users) {
        let text = object["created_at"].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
        *days.entry(text[..10].to_owned()).or_default() += 1;
    }
    assert_eq!(days.len(), 22);
    assert!(days.values().all(|&count| count > 2_500 / 22 / 2), "{days:?}");
    let names: HashSet<&str> = organizations.iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert!(names.len() > 350 && names.len() < 500, "{} names", names.len());
    assert!(names.iter().any(|name| !name.is_ascii()) && names.iter().any(|n| n.contains('"')));
    assert!(users.iter().any(|user| user["first_name"].is_null()));
    let at = |end: &str| {
        organizations.iter().filter(|o| o["created_at"].as_str().unwrap().ends_with(end)).count()
    };
    assert!(at("T00:00:00.000Z") >= 10 && at("T23:59:59.999Z") >= 10);
    let day = "2005-12-17".parse().unwrap();
    let one_day = WorkosSim::new(Options { all_on: Some(day), ..few(100, 0) }).unwrap();
    let objects = walk(&one_day, ORGANIZATIONS, "limit=100", "after").await;
    assert_eq!(objects.len(), 100);
    let on_day = |o: &Value| o["created_at"].as_str().unwrap().starts_with("2005-12-17T");
    assert!(objects.iter().all(on_day));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_world() {
    let chassis = |seed| windlass_sim::ChassisOptions { seed, ..Default::default() };
    let world = |seed| sim(Options { chassis: chassis(seed), ..few(20, 20) });
    let (one, same, other) = (world(1), world(1), world(2));
    let page = async |sim: &WorkosSim| get(sim, "/user_management/users?limit=20").await.1;
    assert_eq!(page(&one).await, page(&same).await);
    assert_ne!(page(&one).await, page(&other).await);
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_tells_what_remains_and_what_was_met() {
    let sim = sim(few(3, 4));
    let id = sim.remaining_organizations()[0].clone();
    delete(&sim, ORGANIZATIONS, &id).await;
    let control = |path: &str| {
        let request = Request::builder().uri(path).body(Bytes::new()).unwrap();
        sim.control(&request).into_body()
    };
    let summary: Value = serde_json::from_slice(&control("/_sim/summary")).unwrap();
    assert_eq!((&summary["organizations"], &summary["users"]), (&json!(2), &json!(4)));
    assert_eq!(summary["rules"][1]["name"], "organization-delete");
    assert_eq!(summary["rules"][1]["most_arrived"], 1);
    let remaining: Value = serde_json::from_slice(&control("/_sim/remaining")).unwrap();
    assert_eq!(remaining["organizations"], json!(sim.remaining_organizations()));
}

#[test]
fn an_object_is_small() {
    assert!(size_of::<(store::Place, store::Record)>() <= 48);
}
