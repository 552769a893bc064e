//! Everything that a server and a network do wrong, on the real server by its fail points and on
//! the simulated one by its switches, in every phase of a migration: nothing is lost, nothing is
//! there twice, and the report tells of it.

use super::{RECIPE, RUN, Scene, response, run_of, text};
use crate::support::Program;
use mongodb::bson::{Document, doc};
use serde_json::Value;
use windlass_connectors::mongo::generate::Options as Recipe;

/// Few documents: each fault of the real server takes a whole run.
const SMALL: Recipe = Recipe { documents: 80, people: 20, months: 4, seed: 3, big: false };

/// A migration in small batches, whose report is asked for.
fn program(scene: &Scene) -> Program {
    scene.paced(&[RUN, &["--retries", "8", "--output", "json"]].concat())
}

/// Carries the migration out while so many commands fail like this behind so many that do not; it
/// has to end well. `None` where there is no server.
fn survives(skip: i32, times: i32, data: Document) -> Option<Value> {
    let scene = Scene::real()?.with(&SMALL);
    let fault = scene.db.fail_point(doc! { "skip": skip, "times": times }, data.clone())?;
    let report = program(&scene).run().code(0).report();
    drop(fault);
    assert_eq!(report["outcomes"]["failed"], 0, "{data}: {report}");
    assert_eq!(report["left"], 0, "{data}: {report}");
    scene.is_whole(&SMALL, run_of(&report));
    Some(report)
}

fn figure(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap()
}

/// Inserts of a run in small batches: that of the run itself comes first, then that of its ranges,
/// two or three of people, eight each of submissions and invitations.
const INSERTS: &[i32] = &[0, 2, 6, 15];

#[test]
fn connections_that_drop_before_an_insert() {
    for skip in INSERTS {
        let data = doc! { "failCommands": ["insert"], "closeConnection": true };
        let Some(report) = survives(*skip, 2, data) else { return };
        assert!(*skip == 0 || figure(&report, "retries") >= 1, "{report}");
    }
}

#[test]
fn connections_that_drop_before_anything_else() {
    let commands: &[(&[&str], i32)] = &[
        (&["find", "explain", "count"], 4),
        (&["find", "getMore"], 15),
        (&["findAndModify"], 1),
        (&["update"], 10),
        (&["aggregate", "count", "dropIndexes"], 6),
        (&["insert", "find", "update", "findAndModify"], 50),
    ];
    for (commands, skip) in commands {
        let data = doc! { "failCommands": commands.to_vec(), "closeConnection": true };
        if survives(*skip, 2, data).is_none() {
            return;
        }
    }
}

#[test]
fn requests_for_patience_cost_no_retries() {
    let overload = ["SystemOverloadedError", "RetryableError"];
    let all = ["insert", "find", "update", "findAndModify"];
    let cases = [
        doc! { "errorCode": 16500, "errorMsg": "Request rate is large. RetryAfterMs=20" },
        doc! { "errorCode": 462, "errorLabels": overload.to_vec() },
        doc! { "errorCode": 50, "errorMsg": "Request timed out. Retries due to rate limiting." },
    ];
    for mut data in cases {
        data.insert("failCommands", all.to_vec());
        // Behind the listing, among the batches.
        let Some(report) = survives(30, 6, data) else { return };
        assert!(figure(&report, "throttled") >= 1, "{report}");
        assert_eq!(figure(&report, "retries"), 0, "a 429 is waited for: {report}");
    }
}

#[test]
fn a_member_that_steps_down() {
    for (code, skip) in [(91, 2), (10107, 6), (11600, 15), (189, 11)] {
        let data = doc! { "failCommands": ["insert"], "errorCode": code };
        let Some(report) = survives(skip, 2, data) else { return };
        assert!(figure(&report, "retries") >= 1, "{code}: {report}");
    }
}

#[test]
fn writes_that_are_there_but_not_durable_yet() {
    let concern = doc! { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "timed out" };
    for skip in INSERTS {
        let data = doc! { "failCommands": ["insert"], "writeConcernError": concern.clone() };
        let Some(report) = survives(*skip, 2, data) else { return };
        // They are sent again, and are there by the run's own hand.
        assert!(*skip < 2 || figure(&report, "confirmed") >= 1, "{report}");
    }
}

/// A run on a simulated server that does these things by chance.
fn survives_chance(flags: &[&str]) -> (Scene, Value) {
    let scene = Scene::simulated(&[]).with(&RECIPE);
    let options = windlass_connectors::mongo::sim::Options::read(flags).unwrap();
    scene.server().sim.set_faults(options.faults.clone()).unwrap();
    let report = program(&scene).run().code(0).report();
    let quiet = windlass_connectors::mongo::sim::Options::read(&[]).unwrap();
    scene.server().sim.set_faults(quiet.faults).unwrap();
    assert_eq!(report["outcomes"]["failed"], 0, "{report}");
    scene.is_whole(&RECIPE, run_of(&report));
    (scene, report)
}

#[test]
fn answers_that_are_lost_after_the_write() {
    let lost = ["--reply-lost", "0.15", "--fault-commands", "insert"];
    let (scene, report) = survives_chance(&lost);
    let lost = scene.server().sim.ledger().lost_replies;
    assert!(lost >= 2, "{lost}: the seed gives none");
    assert!(figure(&report, "confirmed") >= 1, "{report}");
    let everywhere = ["--reply-lost", "0.04", "--reply-cut", "0.04", "--reset-before", "0.04"];
    let (scene, report) = survives_chance(&everywhere);
    assert!(scene.server().sim.ledger().lost_replies >= 2);
    assert!(figure(&report, "retries") >= 1, "{report}");
}

#[test]
fn everything_at_once() {
    let (_, report) = survives_chance(&[
        "--reset-before",
        "0.02",
        "--reply-lost",
        "0.02",
        "--reply-cut",
        "0.02",
        "--throttle-rate",
        "0.03",
        "--statement-throttle-rate",
        "0.02",
        "--overload-rate",
        "0.02",
        "--not-primary-rate",
        "0.02",
        "--write-concern-rate",
        "0.02",
        "--descending-write-errors",
        "--no-key-pattern",
    ]);
    assert!(figure(&report, "retries") >= 1, "{report}");
    assert!(figure(&report, "throttled") >= 1, "{report}");
}

/// A few people with one document each.
fn few(scene: Scene) -> Scene {
    let people = ["Ada Martin", "Zoé Petit", "Tom Ek"];
    let documents: Vec<Document> =
        (1..).zip(people).map(|(id, name)| response(id, name, "2024-01")).collect();
    scene.db.insert("responses", &documents);
    scene.file(&super::preset().replace("max_left = \"10%\"", "max_left = \"90%\""))
}

/// The `_id` that the migration gives a person: the same in every database.
fn id_of(scene: &Scene, name: &str) -> mongodb::bson::Bson {
    let report = scene.migrated(&[]);
    let user = scene.db.one("users", doc! { "migrationData.legacyName": name });
    let back = ["migrate", "rollback", run_of(&report), "--yes", "--quiet"];
    scene.windlass(&back).run().code(0);
    assert_eq!(scene.db.count("users", doc! {}), 0);
    user["_id"].clone()
}

#[test]
fn a_stranger_with_the_id_of_a_person_is_left_alone() {
    let Some(scene) = Scene::real() else { return };
    let scene = few(scene);
    let id = id_of(&scene, "Zoé Petit");
    let stranger = doc! { "_id": id, "username": "somebody", "email": "s@example.com" };
    scene.db.insert("users", std::slice::from_ref(&stranger));
    let ended = scene.run(&[]).run().code(0);
    let why = "Left out: 1, a document that no migration wrote has its `_id`";
    assert!(ended.out.contains(why) || ended.err.contains(why), "{}\n{}", ended.out, ended.err);
    assert_eq!(scene.db.one("users", doc! { "username": "somebody" }), stranger);
    assert_eq!(scene.db.count("users", doc! {}), 3);
}

#[test]
fn a_stranger_with_the_name_of_a_person_keeps_it() {
    let Some(scene) = Scene::real() else { return };
    let scene = few(scene);
    scene.db.index("users", doc! { "username": 1 }, "username_1", true);
    let stranger = doc! { "_id": 7, "username": "ada_martin", "email": "ada@example.org" };
    scene.db.insert("users", std::slice::from_ref(&stranger));
    let report = scene.migrated(&[]);
    assert_eq!(report["outcomes"]["done"], 9, "{report}");
    let ada = scene.db.one("users", doc! { "migrationData.legacyName": "Ada Martin" });
    assert_eq!(text(&ada, "username"), "ada_martin_1");
    assert_eq!(text(&ada, "email"), "ada_martin_1@migrated.example.com");
    assert_eq!(scene.db.one("users", doc! { "_id": 7 }), stranger);
    scene.verified(run_of(&report), 0);
}

#[test]
fn strangers_between_plan_and_apply_are_told() {
    let Some(scene) = Scene::real() else { return };
    let scene = few(scene);
    let zoe = id_of(&scene, "Zoé Petit");
    scene.db.index("users", doc! { "username": 1 }, "username_1", true);
    let before = scene.home.runs();
    scene.windlass(&["migrate", "run", "m.toml", "--allow-scan"]).run().code(0);
    let run = scene.home.runs().into_iter().find(|run| !before.contains(run)).unwrap();
    let strangers =
        [doc! { "_id": zoe, "username": "somebody" }, doc! { "_id": 7, "username": "ada_martin" }];
    scene.db.insert("users", &strangers);
    let report = scene.windlass(&["apply", &run, "--yes", "--output", "json"]).run();
    let report = report.code(3).report();
    assert_eq!(report["outcomes"]["failed"], 2, "{report}");
    assert_eq!(report["failures"]["conflict"], 2, "{report}");
    assert_eq!(report["outcomes"]["done"], 7, "{report}");
    for stranger in strangers {
        let found = scene.db.one("users", doc! { "_id": stranger["_id"].clone() });
        assert_eq!(found, stranger);
    }
    // Two people have no account of this run.
    let verified = scene.verified(&run, 3);
    assert!(verified.out.contains("WRONG  users: 3 expected"), "{}", verified.out);
}
