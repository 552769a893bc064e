//! What went wrong in the program that did this migration before, each with the right answer: it
//! died after three seconds, refused its own mail addresses, dropped batches, made two accounts
//! for everybody, dropped indexes of others, counted wrong, lost capitals, and told nobody the new
//! passwords.

use super::{RECIPE, Scene, preset, response, run_of, spans, text};
use crate::support::{events, wait_until};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use regex::Regex;
use std::collections::BTreeMap;
use windlass_connectors::mongo::generate::Options as Recipe;

/// People of one document each.
fn people(scene: Scene, names: &[&str]) -> Scene {
    let documents: Vec<Document> =
        (1..).zip(names).map(|(id, name)| response(id, name, "2024-01")).collect();
    scene.db.insert("responses", &documents);
    scene.file(&preset().replace("max_left = \"10%\"", "max_left = \"90%\""))
}

#[test]
fn a_run_longer_than_three_seconds_ends_well() {
    let Some(scene) = Scene::real() else { return };
    let scene = scene.with(&RECIPE);
    let report = scene.migrated(&["--max-requests-per-second", "2"]);
    assert!(report["seconds"].as_f64().unwrap() > 3.0, "{report}");
    assert_eq!(report["ending"], "complete");
    scene.is_whole(&RECIPE, run_of(&report));
}

#[test]
fn mail_addresses_fit_the_schema_of_users() {
    let Some(scene) = Scene::real() else { return };
    let scene = scene.with(&RECIPE);
    scene.migrated(&[]);
    // The application's own validator of `email`; and its limits of `username`.
    let email = Regex::new(r"^\w+([.-]?\w+)*@\w+([.-]?\w+)*(\.\w{2,3})+$").unwrap();
    let username = Regex::new(r"^[a-z0-9_]{3,30}$").unwrap();
    let users = scene.db.all("users");
    assert_eq!(users.len() as u64, RECIPE.expected().people);
    for user in users {
        assert!(email.is_match(text(&user, "email")), "{user}");
        assert_eq!(text(&user, "email"), text(&user, "email").to_lowercase());
        assert!(username.is_match(text(&user, "username")), "{user}");
    }
}

#[test]
fn a_failed_batch_is_tried_again_and_not_dropped() {
    let Some(scene) = Scene::real() else { return };
    let scene = scene.with(&RECIPE);
    // The run and its ranges are written down first; then the batch of people fails twice.
    let data = doc! { "failCommands": ["insert"], "errorCode": 11600 };
    let Some(fault) = scene.db.fail_point(doc! { "skip": 2, "times": 2 }, data) else { return };
    let report = scene.migrated(&[]);
    drop(fault);
    assert_eq!(report["retries"], 2, "{report}");
    assert_eq!(report["outcomes"]["failed"], 0, "{report}");
    scene.is_whole(&RECIPE, run_of(&report));
}

#[test]
fn a_killed_run_resumed_has_each_person_once() {
    let Some(scene) = Scene::real() else { return };
    let scene = scene.with(&RECIPE);
    let words = [super::RUN, &["--max-requests-per-second", "12"]].concat();
    let mut running = scene.paced(&words).spawn();
    // Near the end of the people, before any submission.
    wait_until("the people", || scene.db.count("users", doc! {}) >= 35);
    assert!(running.kill().code().is_none());
    assert!(scene.db.count("submissions", doc! {}) < 150, "it was killed too late");
    let report = scene.windlass(&["resume", "--output", "json"]).run().code(0).report();
    assert_eq!(report["sessions"], 2, "{report}");
    scene.is_whole(&RECIPE, run_of(&report));
    // Even a run from the beginning finds nothing to do.
    let again = scene.migrated(&[]);
    assert_eq!(again["steps"], 0, "{again}");
    scene.is_whole(&RECIPE, run_of(&report));
}

#[test]
fn an_index_that_was_there_is_never_dropped() {
    let Some(scene) = Scene::real() else { return };
    let scene = people(scene, &["Ada Martin", "Tom Ek"]);
    scene.db.index("users", doc! { "migrationData.legacyName": 1 }, "mine", false);
    scene.db.index("users", doc! { "migrationData.source": 1 }, "source", false);
    let report = scene.migrated(&[]);
    assert_eq!(scene.db.indexes("users"), ["_id_", "mine", "source"]);
    scene.windlass(&["migrate", "rollback", run_of(&report), "--yes"]).run().code(0);
    assert_eq!(scene.db.indexes("users"), ["_id_", "mine", "source"]);
    // Where there is none, it is there during the run alone.
    scene.db.command(doc! { "dropIndexes": "users", "index": "mine" });
    let words = [super::RUN, &["--max-requests-per-second", "5"]].concat();
    let running = scene.windlass(&words).spawn();
    let is_ours = |name: &String| name.starts_with("windlass_mongo-") && name.ends_with("_0");
    wait_until("the index", || scene.db.indexes("users").iter().any(is_ours));
    running.wait().code(0);
    assert_eq!(scene.db.indexes("users"), ["_id_", "source"]);
}

#[test]
fn invitations_are_counted_right_and_a_wrong_count_is_no_success() {
    let Some(scene) = Scene::real() else { return };
    let scene = people(scene, &["Ada Martin", "Tom Ek", "Zoé Petit"]);
    let report = scene.migrated(&[]);
    assert_eq!(report["phases"][2]["name"], "invitations");
    assert_eq!(report["phases"][2]["outcomes"]["done"], 3, "{report}");
    assert_eq!(scene.db.count("invitations", doc! {}), 3);
    let right = scene.verified(run_of(&report), 0);
    assert!(right.out.contains("ok  invitations: 3 expected, 3 equal"), "{}", right.out);
    let one = doc! { "token": format!("{:064x}", 2) };
    assert_eq!(scene.db.delete("invitations", one), 1);
    let wrong = scene.verified(run_of(&report), 3);
    assert!(wrong.out.contains("WRONG  invitations: 3 expected, 2 equal"), "{}", wrong.out);
    assert!(wrong.out.contains("1 missing"), "{}", wrong.out);
}

#[test]
fn legacy_names_keep_their_capitals() {
    let Some(scene) = Scene::real() else { return };
    let names = ["Jean-Luc D'ARC", "McKenzie O'Neil", "ÉLOÏSE"];
    let scene = people(scene, &names);
    scene.migrated(&[]);
    for name in names {
        assert_eq!(scene.db.count("users", doc! { "migrationData.legacyName": name }), 1, "{name}");
    }
}

#[test]
fn hashing_overlaps_with_writing() {
    let scene = Scene::simulated(&["--latency", "20ms"]).with(&RECIPE);
    let report = scene.paced(&[super::RUN, &["--output", "json"]].concat()).run().code(0).report();
    let people = report["phases"][0]["steps"].as_u64().unwrap();
    // While one batch of people is written, others are begun: they are hashed meanwhile.
    let (mut begun, mut most) = (0_u64, 0);
    let numbers = |event: &serde_json::Value| -> u64 {
        let people = spans(event).into_iter().filter(|(_, last)| *last < people);
        people.map(|(first, last)| last - first + 1).sum()
    };
    for event in events(&scene.home.of_run("journal")) {
        match event["event"].as_str() {
            Some("begun") => begun += numbers(&event),
            Some("done") => begun -= numbers(&event),
            _ => {}
        }
        most = most.max(begun);
    }
    // A batch has twelve people at most.
    assert!(most > 12, "{most} of {people} people were under way at once");
}

/// The sizes of the batches of submissions, in their order.
fn sizes(scene: &Scene, variables: &[(&str, &str)]) -> Vec<u64> {
    let program = scene.run(&["--output", "json", "--concurrency", "1"]);
    let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
    let ended = program.run().code(0);
    let report = ended.report();
    let people = report["phases"][0]["steps"].as_u64().unwrap();
    let end = people + report["phases"][1]["steps"].as_u64().unwrap();
    let events = ended.json();
    let done = events.iter().filter(|event| event["event"] == "done");
    let mut spans: Vec<(u64, u64)> = done.flat_map(spans).collect();
    spans.sort_unstable();
    let inside = spans.iter().filter(|(first, _)| (people..end).contains(first));
    inside.map(|(first, last)| last - first + 1).collect()
}

#[test]
fn batches_grow_and_shrink_with_what_they_take() {
    let recipe = Recipe { documents: 1500, people: 60, months: 30, seed: 4, big: false };
    let paced = [("BATCH_SIZE_MIN", "5"), ("BATCH_SIZE_INITIAL", "20"), ("BATCH_SIZE_MAX", "300")];
    let quick = Scene::simulated(&[]).with(&recipe);
    let grown = sizes(&quick, &paced);
    assert_eq!(grown[0], 20, "{grown:?}");
    assert!(grown.iter().any(|size| *size > 40), "{grown:?}");
    assert!(grown.iter().all(|size| *size <= 300), "{grown:?}");
    let slow = Scene::simulated(&["--latency", "30ms"]).with(&recipe);
    let target = [&paced[..], &[("PERFORMANCE_TARGET_MS", "10")]].concat();
    let shrunk = sizes(&slow, &target);
    assert_eq!(shrunk[0], 20, "{shrunk:?}");
    assert!(shrunk[1..].iter().all(|size| *size <= 20), "{shrunk:?}");
    assert!(shrunk.iter().filter(|size| **size == 5).count() > 10, "{shrunk:?}");
}

#[test]
fn every_documented_variable_is_heard() {
    let scene = Scene::simulated(&[]);
    let scene = people(scene, &["Ada Martin", "Tom Ek"]);
    let variables = [
        ("BATCH_SIZE_MIN", "3", "mongo.batch-min"),
        ("BATCH_SIZE_INITIAL", "7", "mongo.batch-start"),
        ("BATCH_SIZE_MAX", "77", "mongo.batch-max"),
        ("PERFORMANCE_TARGET_MS", "1234", "mongo.batch-target-ms"),
        ("CHECKPOINT_INTERVAL", "55", "mongo.checkpoint-interval"),
        ("RETRY_ATTEMPTS", "9", "mongo.retries"),
        ("MAX_CONCURRENT_OPERATIONS", "4", "mongo.concurrency"),
        ("WORKER_THREAD_COUNT", "2", "mongo.hash-threads"),
    ];
    for (variable, value, setting) in variables {
        let shown = scene.windlass(&["config", "show"]).env(variable, value).run().code(0);
        let is_told = |line: &str| {
            let mut words = line.split_whitespace();
            (words.next(), words.next()) == (Some(setting), Some(value)) && line.contains(variable)
        };
        assert!(shown.out.lines().any(is_told), "{variable}\n{}", shown.out);
    }
    // Those of batches reach the plan, and a checkpoint is never further away than asked.
    let program = variables
        .iter()
        .fold(scene.run(&["--output", "json"]), |program, known| program.env(known.0, known.1));
    let ended = program.env("FORM_ADMIN_NAME", "tom EK").run().code(0);
    let record = scene.db.one("windlass_runs", doc! { "_id": run_of(&ended.report()) });
    let options: serde_json::Value = serde_json::from_str(text(&record, "options")).unwrap();
    let pace = serde_json::json!({
        "batch_min": 3, "batch_start": 7, "batch_max": 55, "target_ms": 1234,
    });
    assert_eq!(options["pace"], pace);
    let role = |name: &str| {
        let user = scene.db.one("users", doc! { "migrationData.legacyName": name });
        text(&user, "role").to_owned()
    };
    assert_eq!((role("Tom Ek"), role("Ada Martin")), ("admin".to_owned(), "user".to_owned()));
}

#[test]
fn new_passwords_can_be_told_to_their_owners() {
    let Some(scene) = Scene::real() else { return };
    let scene = scene.with(&RECIPE);
    let report = scene.migrated(&["--secrets-key", "key"]);
    let words = ["migrate", "secrets", run_of(&report), "--secrets-key", "key"];
    let told = scene.windlass(&words).run().code(0);
    let mut passwords = BTreeMap::new();
    for secret in told.json() {
        let text = |name: &str| secret[name].as_str().unwrap().to_owned();
        passwords.insert(text("name"), text("password"));
    }
    let users = scene.db.all("users");
    assert_eq!(passwords.len(), users.len());
    for user in &users {
        let password = &passwords[text(user, "username")];
        assert!(bcrypt::verify(password, text(user, "password")).unwrap(), "{user}");
        assert!(!bcrypt::verify("wrong", text(user, "password")).unwrap());
        assert!(password.len() >= 12, "{password}");
        let classes: [fn(char) -> bool; 4] = [
            |letter| letter.is_ascii_lowercase(),
            |letter| letter.is_ascii_uppercase(),
            |letter| letter.is_ascii_digit(),
            |letter| letter.is_ascii_punctuation(),
        ];
        assert!(classes.iter().all(|class| password.contains(*class)), "{password}");
    }
    // Nothing that is kept on this machine has a password in it.
    let runs = scene.home.state().join("runs").join(run_of(&report));
    for name in ["journal", "plan.jsonl"] {
        let kept = std::fs::read_to_string(runs.join(name)).unwrap();
        assert!(!passwords.values().any(|password| kept.contains(password.as_str())), "{name}");
    }
}

#[test]
fn a_rollback_leaves_what_others_wrote() {
    let Some(scene) = Scene::real() else { return };
    let scene = people(scene, &["Ada Martin", "Tom Ek", "Zoé Petit"]);
    let date = DateTime::from_millis(1_699_999_999_123);
    let before = doc! { "_id": ObjectId::new(), "username": "before", "since": date };
    scene.db.insert("users", std::slice::from_ref(&before));
    let sources = scene.db.all("responses");
    let report = scene.migrated(&[]);
    let after = doc! { "_id": ObjectId::new(), "username": "after", "by": ObjectId::new() };
    scene.db.insert("users", std::slice::from_ref(&after));
    let tom = doc! { "migrationData.legacyName": "Tom Ek" };
    scene.db.update("users", tom.clone(), doc! { "$set": { "metadata.lastActive": date } });
    let changed = scene.db.one("users", tom);
    let back = ["migrate", "rollback", run_of(&report), "--yes", "--output", "json"];
    let back = scene.windlass(&back).run();
    assert!(back.err.contains("error: ") || back.report()["left"] == 0, "{}", back.err);
    let mut left = vec![before, after, changed];
    left.sort_by_key(|one| one.get_object_id("_id").unwrap().bytes());
    assert_eq!(scene.db.all("users"), left);
    assert_eq!(scene.db.count("submissions", doc! {}), 0);
    assert_eq!(scene.db.count("invitations", doc! {}), 0);
    assert_eq!(scene.db.all("responses"), sources, "sources are never written");
}

#[test]
fn memory_pressure_and_failures_do_not_kill_the_run() {
    let scene = Scene::simulated(&["--latency", "5ms"]).with(&RECIPE);
    let faults = ["--not-primary-rate", "0.1", "--reset-before", "0.05"];
    let options = windlass_connectors::mongo::sim::Options::read(&faults).unwrap();
    scene.server().sim.set_faults(options.faults).unwrap();
    let words = [super::RUN, &["--output", "json", "--retries", "8"]].concat();
    // No process is as small as that, so nothing new is sent; nothing dies of it either.
    let mut running = scene.paced(&words).env("MEMORY_LIMIT_MB", "1").spawn();
    wait_until("the hold", || running.out().contains("\"event\":\"held\",\"by\":\"memory\""));
    assert!(running.is_running());
    running.signal("INT");
    let stopped = running.wait().code(4).report();
    assert!(stopped["left"].as_u64().unwrap() > 0, "{stopped}");
    let words = ["resume", run_of(&stopped), "--output", "json", "--retries", "8"];
    let report = scene.paced(&words).run().code(0).report();
    assert!(report["retries"].as_u64().unwrap() >= 1, "{report}");
    assert_eq!(report["outcomes"]["failed"], 0, "{report}");
    scene.server().sim.set_faults(Default::default()).unwrap();
    scene.is_whole(&RECIPE, run_of(&report));
}

#[test]
fn names_of_all_scripts_become_usable_usernames() {
    let Some(scene) = Scene::real() else { return };
    let names = [
        ("Łukasz Żak", "lukasz_zak"),
        ("e\u{301}loi\u{308}se", "eloise"),
        ("Bjørn Lecœur", "bjorn_lecoeur"),
        ("王明", "wang_ming"),
        ("Борис Чехов", "boris_chekhov"),
        ("Al", "al_63"),
        ("Jean - Pierre!", "jean_pierre"),
    ];
    let all: Vec<&str> = names.iter().map(|(name, _)| *name).chain(["🦊", "ليلى حداد"]).collect();
    let scene = people(scene, &all);
    scene.migrated(&[]);
    let users = scene.db.all("users");
    let found: Vec<&str> = users.iter().map(|user| text(user, "username")).collect();
    assert_eq!(found.len(), names.len() + 2, "{found:?}");
    for (name, username) in names {
        assert!(found.contains(&username), "{name}: {found:?}");
    }
    let usable = Regex::new("^[a-z0-9]([a-z0-9_]{1,28})[a-z0-9]$").unwrap();
    for username in &found {
        assert!(usable.is_match(username) && *username != "000", "{username}");
    }
}
