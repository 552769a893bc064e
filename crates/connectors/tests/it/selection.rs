//! What goes into a plan, what is left alone, and what must never reach the wire. The judge reads
//! the simulator's objects with a parser of its own.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use windlass_connectors::workos::sim::{Kind as Object, Options, Shape, UnknownCursor, WorkosSim};
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Failure, Kind};

use super::support::{ALL_DAYS, Stage, keys, left, workos};

/// Organizations with these ends of ids, created at these instants.
fn created(objects: &[(&str, &str)]) -> Options {
    objects.iter().fold(Options::empty(), |options, (id, at)| {
        options.with_organization(&format!("org_{id}"), id, Some(at), Map::new())
    })
}

fn fields(json: Value) -> Map<String, Value> {
    json.as_object().unwrap().clone()
}

async fn planned(stage: &Stage, words: &[&str]) -> Vec<String> {
    let words = [&["delete"], words].concat();
    let keys = keys(&stage.plan(&words).await.unwrap());
    keys.iter().map(|key| key.trim_start_matches("org_").to_owned()).collect()
}

async fn refusal(stage: &Stage, words: &[&str]) -> Failure {
    match stage.plan(words).await.unwrap_err() {
        DiscoverError::Remote(failure) => failure,
        DiscoverError::Plan(error) => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn days_end_to_the_millisecond() {
    let (_, stage) = workos(created(&[
        ("before", "2005-12-16T23:59:59.999Z"),
        ("first", "2005-12-17T00:00:00.000Z"),
        ("last", "2005-12-17T23:59:59.999Z"),
        ("after", "2005-12-18T00:00:00.000Z"),
    ]));
    assert_eq!(planned(&stage, &["2005-12-17"]).await, ["first", "last"]);
    assert_eq!(planned(&stage, &["2005-12-16", "2005-12-17"]).await, ["before", "first", "last"]);
    assert_eq!(planned(&stage, &["2005-12-18"]).await, ["after"]);
    let (from, to) = ("2005-12-17T00:00:00.001Z", "2005-12-17T23:59:59.999Z");
    assert!(planned(&stage, &[from, to]).await.is_empty(), "a written end is exclusive");
    let to = "2005-12-18T00:00:00Z";
    assert_eq!(planned(&stage, &[from, to]).await, ["last"]);
}

#[tokio::test(start_paused = true)]
async fn days_are_those_of_the_named_zone() {
    let (_, stage) = workos(created(&[
        ("before", "2026-03-28T22:59:59.999Z"),
        ("first", "2026-03-28T23:00:00.000Z"),
        ("last", "2026-03-29T21:59:59.999Z"),
        ("after", "2026-03-29T22:00:00.000Z"),
    ]));
    let day = ["2026-03-29", "--tz", "Europe/Berlin"];
    assert_eq!(planned(&stage, &day).await, ["first", "last"], "a day of 23 hours");
    let fixed = planned(&stage, &["2026-03-29", "--tz=+01:00"]).await;
    assert_eq!(fixed, ["first", "last", "after"]);
    assert_eq!(planned(&stage, &["2026-03-29"]).await, ["last", "after"], "UTC by default");
}

#[tokio::test(start_paused = true)]
async fn offsets_and_fractions_mean_the_same_instant() {
    let (_, stage) = workos(created(&[
        ("early", "2005-12-17T01:59:59.999+02:00"),
        ("east", "2005-12-17T02:00:00.000+02:00"),
        ("west", "2005-12-17T15:59:59-08:00"),
        ("late", "2005-12-17T16:00:00-08:00"),
        ("micros", "2005-12-17T23:59:59.999999Z"),
        ("whole", "2005-12-17T12:00:00Z"),
    ]));
    let planned: BTreeSet<String> = planned(&stage, &["2005-12-17"]).await.into_iter().collect();
    assert_eq!(planned, ["east", "west", "micros", "whole"].map(str::to_owned).into());
}

#[tokio::test(start_paused = true)]
async fn what_has_no_readable_date_is_left_and_listed() {
    let mut options = created(&[("dated", "2005-12-17T10:00:00.000Z")]);
    options = options.with_organization("org_missing", "Missing", None, Map::new());
    for (id, value) in [
        ("null", Value::Null),
        ("number", json!(1_134_777_600_000_u64)),
        ("empty", json!("")),
        ("word", json!("yesterday")),
        ("impossible", json!("2005-02-31T00:00:00.000Z")),
        ("day", json!("2005-12-17")),
        ("local", json!("2005-12-17T10:00:00")),
        ("object", json!({"at": "2005-12-17T10:00:00Z"})),
    ] {
        let extra = fields(json!({ "created_at": value }));
        options = options.with_organization(&format!("org_{id}"), id, None, extra);
    }
    let (sim, stage) = workos(options);
    for words in [&["delete", "2005-12-17"][..], &["delete", "--open-range", "--where", "true"]] {
        let plan = stage.plan(words).await.unwrap();
        assert_eq!(keys(&plan), ["org_dated"]);
        let left = left(&plan);
        assert_eq!(left.len(), 9);
        assert!(left.iter().all(|left| left.reason == "unknown creation date"));
        assert!(left.iter().any(|left| left.key == "org_missing" && left.label == "Missing"));
        assert_eq!(plan.header.left["unknown creation date"], 9);
    }
    let plan = stage.plan(&["delete", "2005-12-17"]).await.unwrap();
    stage.apply(&plan).await;
    assert_eq!(sim.deleted(), ["org_dated"]);
}

/// The judge: whether an object's own JSON says that it was created in these half-open days.
fn created_in(sim: &WorkosSim, kind: Object, id: &str, from: &str, to: &str) -> bool {
    let object: Value = serde_json::from_str(&sim.object(kind, id).unwrap()).unwrap();
    let instant = |text: &str| text.parse::<Timestamp>().ok();
    let at = object["created_at"].as_str().and_then(instant);
    at.is_some_and(|at| instant(from).unwrap() <= at && at < instant(to).unwrap())
}

/// Dates decide, whatever the time inside the id says and however the date is written.
#[tokio::test(start_paused = true)]
async fn odd_objects_by_the_thousand() {
    for seed in 0..3 {
        let mut options = Options {
            organizations: 1_500,
            users: 1_500,
            shape: Shape {
                missing_created_at: 0.05,
                malformed_created_at: 0.05,
                offset_created_at: 0.2,
                odd_created_at: 0.2,
                id_skew: std::time::Duration::from_secs(1),
                unknown_fields: true,
            },
            no_limits: true,
            ..Options::default()
        };
        options.chassis.seed = seed;
        let (sim, stage) = workos(options);
        let (from, to) = ("2005-12-17T00:00:00Z", "2005-12-21T00:00:00Z");
        let wanted = |kind, ids: Vec<String>| {
            let sim = &sim;
            ids.into_iter().filter(move |id| created_in(sim, kind, id, from, to))
        };
        let organizations = wanted(Object::Organization, sim.remaining_organizations());
        let wanted: Vec<String> =
            organizations.chain(wanted(Object::User, sim.remaining_users())).collect();
        let words = ["delete", "2005-12-17", "2005-12-20", "--users"];
        let plan = stage.plan(&words).await.unwrap();
        assert!(wanted.len() > 300);
        assert_eq!(keys(&plan), wanted);
        let undated = plan.header.left["unknown creation date"];
        assert!((200..400).contains(&undated), "{undated}");
        let mut deleted = stage.apply(&plan).await.outcomes();
        deleted.sort_unstable_by_key(|(step, ..)| *step);
        assert_eq!(deleted.into_iter().map(|(_, key, _)| key).collect::<Vec<_>>(), wanted);
        assert_eq!(
            sim.deleted().into_iter().collect::<BTreeSet<_>>(),
            wanted.into_iter().collect()
        );
    }
}

fn three_customers() -> Options {
    let at = Some("2005-12-17T10:00:00.000Z");
    let test = fields(json!({"metadata": {"tier": "test"}, "external_id": "crm-1"}));
    let keep = fields(json!({"metadata": {"keep": "yes"}, "external_id": "crm-2"}));
    Options::empty()
        .with_organization("org_1", "Test one", at, test)
        .with_organization("org_2", "Acme", at, keep)
        .with_organization("org_3", "Test three", at, Map::new())
        .with_user("user_1", "Ann Example", at, fields(json!({"email": "ann@example.com"})))
        .with_user("user_2", "Bob Example", at, fields(json!({"last_sign_in_at": at})))
}

#[tokio::test(start_paused = true)]
async fn where_selects_and_what_it_cannot_answer_is_left() {
    let (_, stage) = workos(three_customers());
    let tests = planned(&stage, &["2005-12-17", "--where", "name.startsWith('Test')"]).await;
    assert_eq!(tests, ["1", "3"]);
    let plan = stage.plan(&["delete", "2005-12-17", "--where", "metadata.tier == 'test'"]).await;
    let plan = plan.unwrap();
    assert_eq!(keys(&plan), ["org_1"]);
    let left: Vec<String> = left(&plan).into_iter().map(|left| left.reason + &left.key).collect();
    assert_eq!(left, ["--where can't be answeredorg_2", "--where can't be answeredorg_3"]);
}

#[tokio::test(start_paused = true)]
async fn protect_wins_and_also_protects_what_it_cannot_judge() {
    let (sim, mut stage) = workos(three_customers());
    let keep = "has(object.metadata.keep)";
    assert_eq!(planned(&stage, &["2005-12-17", "--protect", keep]).await, ["1", "3"]);
    let two = ["2005-12-17", "--protect", keep, "--protect", "name.endsWith('three')"];
    assert_eq!(planned(&stage, &two).await, ["1"]);
    let unanswerable = ["delete", "2005-12-17", "--protect", "metadata.keep == 'yes'"];
    let plan = stage.plan(&unanswerable).await.unwrap();
    assert_eq!(plan.header.steps, 0, "a rule that can't be answered protects");
    assert_eq!(plan.header.left["protected"], 3);
    stage.protect = vec![keep.to_owned()];
    let plan = stage.plan(&["delete", "2005-12-17"]).await.unwrap();
    assert_eq!(keys(&plan), ["org_1", "org_3"], "the config's rules hold, too");
    stage.apply(&plan).await;
    assert_eq!(sim.remaining_organizations(), ["org_2"]);
    let error = stage.open(&stage.setup(), &["delete", "2005-12-17", "--protect", "name ="]).await;
    assert!(error.unwrap_err().hint.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_exclude_file_names_ids_external_ids_emails_and_names() {
    let (_, stage) = workos(three_customers());
    let all = ["delete", "2005-12-17", "--users"];
    for (line, stays) in [
        ("org_1", "org_1"),
        ("  crm-2 ", "org_2"),
        ("Test three\r", "org_3"),
        ("ann@example.com", "user_1"),
        ("Bob Example", "user_2"),
    ] {
        let file = stage.file("exclude.txt", format!("# kept\n\n{line}\nnobody\n"));
        let plan = stage.plan(&[&all[..], &["--exclude-file", &file]].concat()).await.unwrap();
        assert_eq!(plan.header.left["excluded by file"], 1, "{line}");
        assert_eq!(left(&plan)[0].key, stays);
        assert_eq!(plan.header.steps, 4);
    }
    let words = [&all[..], &["--exclude-file", "/nowhere/at/all"]].concat();
    let error = stage.open(&stage.setup(), &words).await.unwrap_err();
    assert!(error.message.contains("/nowhere/at/all") && error.hint.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_kinds_of_objects_are_chosen_by_flags() {
    let (organizations, users) = ("/", "/user_management/");
    for (flags, phases, folders) in [
        (&[][..], &["organizations"][..], &[organizations][..]),
        (&["--orgs"], &["organizations"], &[organizations]),
        (&["--users"], &["organizations", "users"], &[organizations, users]),
        (&["--users", "--orgs"], &["organizations", "users"], &[organizations, users]),
        (&["--users-only"], &["users"], &[users]),
    ] {
        let (sim, stage) = workos(three_customers());
        let plan = stage.plan(&[&["delete", "2005-12-17"], flags].concat()).await.unwrap();
        let names: Vec<&str> = plan.header.phases.iter().map(|phase| &*phase.name).collect();
        assert_eq!(names, phases, "{flags:?}");
        let listed: Vec<String> = sim.ledger().paths().into_keys().collect();
        assert_eq!(listed, folders, "{flags:?}: nothing else is even read");
        let run = stage.apply(&plan).await;
        let counts = run.report.phases.iter().map(|phase| (phase.steps, phase.counts.done));
        let expected = phases.iter().map(|phase| if *phase == "users" { (2, 2) } else { (3, 3) });
        assert_eq!(counts.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    for both in ["--users", "--orgs"] {
        let command = (windlass_connectors::workos::CONNECTOR.commands)().remove(0);
        let words = ["workos", "delete", "2005-12-17", "--users-only", both];
        assert!(command.try_get_matches_from(words).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_quota_window_is_refused_before_anything_is_sent() {
    let (sim, stage) = workos(three_customers());
    let stage = stage.quotas(&["user-writes=50/1s"]);
    let error = stage.open(&stage.setup(), &["delete", "2005-12-17"]).await.unwrap_err();
    assert!(error.message.contains("user-writes"));
    assert!(error.hint.unwrap().contains("user-write,"));
    assert!(sim.ledger().is_empty());
}

/// Limits that the operator states replace the documented ones for the window that they name.
#[tokio::test(start_paused = true)]
async fn stated_limits_are_used_in_full() {
    for (quotas, most) in [
        (&["user-write=7/10s"][..], 7),
        (&["unlimited", "user-write=9/10s"], 9),
        (&["user-write=9/10s", "workos=unlimited"], 50),
    ] {
        let (sim, stage) = workos(Options { users: 50, no_limits: true, ..Options::empty() });
        let stage = stage.quotas(quotas);
        let plan = stage.plan(&[&ALL_DAYS[..], &["--users-only"]].concat()).await.unwrap();
        stage.apply(&plan).await;
        let span = std::time::Duration::from_secs(10);
        let in_window = sim.ledger().most_in_window(span, |entry| entry.method == "DELETE");
        assert_eq!(in_window, most, "{quotas:?}");
    }
}

fn busy(insert_at_head: u32, insert_in_range: u32, delete_cursor: u32) -> Options {
    Options {
        organizations: 750,
        users: 0,
        insert_at_head,
        insert_in_range,
        delete_cursor,
        no_limits: true,
        ..Options::default()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_created_while_listing_disturbs_nothing() {
    for (at_head, in_range) in [(1, 0), (0, 1), (2, 3)] {
        let (sim, stage) = workos(busy(at_head, in_range, 0));
        let before = sim.remaining_organizations();
        let plan = stage.plan(&ALL_DAYS).await.unwrap();
        let planned: BTreeSet<String> = keys(&plan).into_iter().collect();
        assert!(before.iter().all(|id| planned.contains(id)), "none is passed over");
        assert_eq!(planned.len() as u64, plan.header.steps, "none comes twice");
        let (from, to) = ("2005-12-10T00:00:00Z", "2006-01-01T00:00:00Z");
        let object = Object::Organization;
        assert!(planned.iter().all(|id| created_in(&sim, object, id, from, to)));
        assert!(sim.remaining_organizations().len() > before.len());
        stage.apply(&plan).await;
        assert_eq!(sim.deleted().into_iter().collect::<BTreeSet<_>>(), planned);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_cursor_makes_no_plan() {
    for (behaviour, kind, words) in [
        (UnknownCursor::Refuse, Kind::Rejected, "after is not a known cursor"),
        (UnknownCursor::Restart, Kind::Malformed, "goes round in circles"),
    ] {
        for every in [1, 3] {
            let options = Options { unknown_cursor: behaviour, ..busy(0, 0, every) };
            let (sim, stage) = workos(options);
            let failure = refusal(&stage, &ALL_DAYS).await;
            assert_eq!(failure.kind, kind, "{failure}");
            assert!(failure.message.contains(words), "{failure}");
            assert!(failure.hint.unwrap().contains("nothing was deleted"));
            assert_eq!(stage.plans_on_disk(), 0);
            assert_eq!(sim.ledger().count(|entry| entry.method != "GET"), 0);
            assert!(sim.ledger().len() < 60, "it gave up soon");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_only_a_position_loses_nothing() {
    let (sim, stage) = workos(Options { unknown_cursor: UnknownCursor::Position, ..busy(0, 0, 1) });
    let before = sim.remaining_organizations();
    let plan = stage.plan(&ALL_DAYS).await.unwrap();
    assert_eq!(keys(&plan), before);
    let vanished = before.len() - sim.remaining_organizations().len();
    assert_eq!(vanished, 7, "somebody deleted the end of every page but the last");
    let run = stage.apply(&plan).await;
    assert_eq!(run.tally.counts.already_gone, 7);
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (743, 0));
}

#[tokio::test(start_paused = true)]
async fn odd_ids_never_reach_the_wire() {
    let at = Some("2005-12-17T10:00:00.000Z");
    let odd = [
        "",
        ".",
        "..",
        "org_",
        "org_a/b",
        "org_a%2Fb",
        "org_..",
        "org_a?b=c",
        "org_a#b",
        "org_a b",
        "org_ä",
        "ORG_1",
        "user_1",
        "/organizations/org_1",
        &format!("org_{}", "x".repeat(200)),
    ];
    let mut options = Options::empty();
    for (number, id) in odd.iter().enumerate() {
        options = options.with_organization(id, &format!("odd {number}"), at, Map::new());
    }
    options = options.with_organization("org_fine", "fine", at, Map::new());
    let (sim, stage) = workos(options);
    let plan = stage.plan(&["delete", "2005-12-17"]).await.unwrap();
    assert_eq!(keys(&plan), ["org_fine"]);
    assert_eq!(plan.header.left["unexpected id"], odd.len() as u64);
    let run = stage.apply(&plan).await;
    assert_eq!(run.tally.counts.done, 1);
    let mut paths = BTreeSet::new();
    sim.ledger().each(|entry| {
        paths.insert(entry.path());
    });
    let expected = ["/organizations?limit=100&order=asc", "/organizations/org_fine"];
    assert_eq!(paths, expected.map(str::to_owned).into());
}

/// The cursor comes from the remote and may be anything; it must stay inside its parameter.
#[tokio::test(start_paused = true)]
async fn an_odd_cursor_stays_inside_its_parameter() {
    let mut options = Options::empty();
    for number in 0..150 {
        let id = if number == 99 { "../x?y&z=ä#".to_owned() } else { format!("org_{number}") };
        let at = format!("2005-12-17T10:{:02}:{:02}.000Z", number / 60, number % 60);
        options = options.with_organization(&id, "some", Some(&at), Map::new());
    }
    let (sim, stage) = workos(options);
    let plan = stage.plan(&["delete", "2005-12-17"]).await.unwrap();
    assert_eq!((plan.header.steps, plan.header.seen()), (149, 150));
    let only_lists = |path: String| path.starts_with("/organizations?limit=100&order=asc");
    assert_eq!(sim.ledger().count(|entry| only_lists(entry.path())), 2);
    assert_eq!(sim.ledger().len(), 2);
}
