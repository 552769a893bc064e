//! What others change while a migration is planned, at work, or over: new, changed and deleted
//! sources, changed targets, documents that were there before, and what `migrate verify` and
//! `migrate rollback` make of it.

use super::server::Kind;
use super::{RUN, Scene, response, run_of, text};
use crate::support::wait_until;
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

/// Twelve people with one document each, the token of which tells which it is.
fn people(scene: Scene) -> Scene {
    let names =
        ["Ada", "Ben", "Cem", "Dan", "Eva", "Fay", "Gus", "Hal", "Ida", "Jan", "Kim", "Lea"];
    let documents: Vec<Document> = (1..)
        .zip(names)
        .map(|(id, name)| response(id, &format!("{name} Martin"), "2024-01"))
        .collect();
    scene.db.insert("responses", &documents);
    scene.file(&super::preset())
}

fn answer(scene: &Scene, id: i32) -> String {
    let key = format!("{{\"$numberInt\":\"{id}\"}}");
    let one = scene.db.one("submissions", doc! { "_windlass.key": key });
    let first = one.get_array("responses").unwrap()[0].as_document().unwrap().clone();
    text(&first, "answer").to_owned()
}

/// Somebody writes a new document, changes one and deletes one.
fn edit(scene: &Scene) {
    scene.db.insert("responses", &[response(100, "Zoé Petit", "2024-02")]);
    let change = doc! { "$set": { "responses.0.answer": "Mieux" } };
    assert_eq!(scene.db.update("responses", doc! { "_id": 2 }, change), 1);
    assert_eq!(scene.db.delete("responses", doc! { "_id": 3 }), 1);
}

fn kinds() -> impl Iterator<Item = Scene> {
    let without = ["--no-change-streams", "--latency", "2ms"];
    let real = [Kind::ReplicaSet, Kind::Standalone].into_iter().filter_map(Scene::on);
    real.chain([Scene::simulated(&["--latency", "2ms"]), Scene::simulated(&without)])
}

#[test]
fn changes_between_plan_and_apply_are_caught() {
    for scene in kinds() {
        let scene = people(scene);
        scene.windlass(&["migrate", "plan", "m.toml", "--allow-scan"]).run().code(0);
        let run = scene.home.run();
        edit(&scene);
        let ended = scene.windlass(&["apply", &run, "--yes", "--output", "json"]).run().code(0);
        let report = ended.report();
        assert_eq!(report["outcomes"]["failed"], 0, "{report}");
        assert!(report["outcomes"]["already_gone"].as_u64().unwrap() >= 2, "{report}");
        let message = report["verified"]["message"].as_str().unwrap();
        assert!(message.contains("3 added"), "{message}");
        assert_eq!(answer(&scene, 2), "Mieux");
        let zoe = scene.db.one("users", doc! { "username": "zoe_petit" });
        let hers = scene.db.one("submissions", doc! { "userId": zoe["_id"].clone() });
        assert_eq!(text(&hers, "month"), "2024-02");
        assert!(text(&zoe, "password").starts_with("$2b$04$"));
        assert_eq!(scene.db.count("invitations", doc! { "fromUserId": zoe["_id"].clone() }), 1);
        scene.verified(&run, 0);
    }
}

#[test]
fn changes_during_the_run_are_caught() {
    for scene in kinds() {
        let scene = people(scene);
        let slow = ["--max-requests-per-second", "8", "--output", "json"];
        let running = scene.paced(&[RUN, &slow].concat()).spawn();
        // Their targets are there when the sources change.
        let key = |id: i32| doc! { "_windlass.key": format!("{{\"$numberInt\":\"{id}\"}}") };
        wait_until("three submissions", || {
            (1..=3).all(|id| scene.db.count("submissions", key(id)) == 1)
        });
        edit(&scene);
        let report = running.wait().code(0).report();
        let message = report["verified"]["message"].as_str().unwrap();
        assert!(message.contains("3 added, 1 brought up to date"), "{message}");
        let told =
            if message.contains("changed meanwhile") { ", 1 deleted" } else { ", 0 deleted" };
        assert!(message.contains(told) && message.contains("0 unresolved"), "{message}");
        assert_eq!(answer(&scene, 2), "Mieux");
        assert_eq!(scene.db.count("users", doc! { "username": "zoe_petit" }), 1);
        let verified = scene.verified(run_of(&report), 0);
        assert!(verified.out.contains("1 whose source is gone"), "{}", verified.out);
    }
}

#[test]
fn a_target_that_somebody_changed_is_told_and_kept() {
    let Some(scene) = Scene::real() else { return };
    let scene = people(scene);
    let run = run_of(&scene.migrated(&[])).to_owned();
    let eva = doc! { "username": "eva_martin" };
    let change = doc! { "$set": { "metadata.lastActive": DateTime::from_millis(7), "new": 1 } };
    assert_eq!(scene.db.update("users", eva.clone(), change), 1);
    let changed = scene.db.one("users", eva.clone());
    let verified = scene.verified(&run, 0);
    assert!(verified.out.contains("1 changed since the run"), "{}", verified.out);
    scene.windlass(&["migrate", "rollback", &run, "--yes"]).run();
    assert_eq!(scene.db.all("users"), [changed]);
    assert_eq!(scene.db.count("submissions", doc! {}), 0);
}

/// Lamps of an old catalogue go over those of a new one.
fn lamps(existing: &str) -> String {
    format!(
        r#"
        name = "lamps"
        [[phase]]
        name = "lamps"
        from = "old"
        to = "new"
        id = "doc.lamp"
        existing = "{existing}"
        [phase.fields]
        colour = "doc.colour"
        "#
    )
}

/// Three old lamps, two of which are in the new catalogue with more about them.
fn catalogue(existing: &str) -> Option<(Scene, Vec<Vec<u8>>, String)> {
    let scene = Scene::real()?.file(&lamps(existing));
    let old = ["red", "blue", "green"].into_iter().enumerate();
    let old: Vec<Document> =
        old.map(|(n, colour)| doc! { "lamp": format!("lamp-{n}"), "colour": colour }).collect();
    scene.db.insert("old", &old);
    let since = DateTime::from_millis(1_699_999_999_123);
    let new = [
        doc! { "_id": "lamp-0", "colour": "white", "price": 1.5, "since": since },
        doc! { "_id": "lamp-1", "price": 7_i64, "colour": "white", "null": Bson::Null },
        doc! { "_id": "lamp-9", "colour": "white" },
    ];
    scene.db.insert("new", &new);
    let before = bytes(&scene);
    let run = run_of(&scene.migrated(&[])).to_owned();
    assert_eq!(scene.db.count("new", doc! {}), 4);
    assert_eq!(scene.db.one("new", doc! { "_id": "lamp-9" }), new[2]);
    for (n, colour) in ["red", "blue", "green"].into_iter().enumerate() {
        let lamp = scene.db.one("new", doc! { "_id": format!("lamp-{n}") });
        assert_eq!(text(&lamp, "colour"), colour);
    }
    scene.verified(&run, 0);
    Some((scene, before, run))
}

/// All documents of the new catalogue, as the bytes that they are.
fn bytes(scene: &Scene) -> Vec<Vec<u8>> {
    let raw = |one: &Document| RawDocumentBuf::try_from(one).unwrap().into_bytes();
    scene.db.all("new").iter().map(raw).collect()
}

#[test]
fn what_was_replaced_comes_back_byte_by_byte() {
    let Some((scene, before, run)) = catalogue("replace") else { return };
    let lamp = scene.db.one("new", doc! { "_id": "lamp-1" });
    assert_eq!(lamp.get("price"), None, "{lamp}");
    scene.windlass(&["migrate", "rollback", &run, "--yes"]).run().code(0);
    assert_eq!(bytes(&scene), before);
    assert_eq!(scene.db.count("windlass_pre_images", doc! {}), 0);
}

#[test]
fn what_was_merged_comes_back_byte_by_byte() {
    let Some((scene, before, run)) = catalogue("merge") else { return };
    let lamp = scene.db.one("new", doc! { "_id": "lamp-1" });
    assert_eq!(lamp.get("price"), Some(&Bson::Int64(7)), "{lamp}");
    scene.windlass(&["migrate", "rollback", &run, "--yes"]).run().code(0);
    assert_eq!(bytes(&scene), before);
}

#[test]
fn a_damaged_image_is_refused() {
    let Some((scene, _, run)) = catalogue("replace") else { return };
    let after = bytes(&scene);
    let image = doc! { "_id.run": &run, "_id.id": "\"lamp-0\"" };
    let change = doc! { "$set": { "sha256": "0".repeat(64) } };
    assert_eq!(scene.db.update("windlass_pre_images", image, change), 1);
    let ended = scene.windlass(&["migrate", "rollback", &run, "--yes"]).run();
    assert_ne!(ended.status.code(), Some(0));
    let what = "the image of \"lamp-0\" is damaged: its checksum does not fit";
    assert!(ended.err.contains(what), "{}", ended.err);
    assert_eq!(bytes(&scene), after, "nothing is taken back");
    assert_eq!(scene.db.count("windlass_pre_images", doc! {}), 2);
}

/// A migration that somebody damages by hand; what its comparison says then.
fn damaged(damage: impl Fn(&Scene, &str)) -> Option<String> {
    let scene = people(Scene::real()?);
    let run = run_of(&scene.migrated(&[])).to_owned();
    damage(&scene, &run);
    Some(scene.verified(&run, 3).out)
}

#[test]
fn a_missing_document_is_found() {
    let delete = |scene: &Scene, _: &str| {
        assert_eq!(scene.db.delete("users", doc! { "username": "kim_martin" }), 1);
    };
    let Some(out) = damaged(delete) else { return };
    assert!(out.contains("WRONG  users: 12 expected, 11 equal"), "{out}");
    assert!(out.contains("    1 missing\n    kim martin: is not there"), "{out}");
}

#[test]
fn a_document_with_another_content_is_found() {
    // Without its digest it does not look as if somebody had worked on it.
    let change = |scene: &Scene, _: &str| {
        let change = doc! { "$set": { "role": "admin" }, "$unset": { "_windlass.digest": 1 } };
        assert_eq!(scene.db.update("users", doc! { "username": "kim_martin" }, change), 1);
    };
    let Some(out) = damaged(change) else { return };
    assert!(out.contains("WRONG  users: 12 expected, 11 equal"), "{out}");
    assert!(out.contains("    1 different\n    kim martin: role"), "{out}");
}

#[test]
fn a_document_of_no_step_is_found() {
    let insert = |scene: &Scene, run: &str| {
        let stamp = doc! { "run": run, "phase": "submissions", "key": "none", "digest": "" };
        scene.db.insert("submissions", &[doc! { "month": "2024-09", "_windlass": stamp }]);
    };
    let Some(out) = damaged(insert) else { return };
    assert!(out.contains("WRONG  submissions: 12 expected, 12 equal"), "{out}");
    assert!(out.contains("    1 orphans"), "{out}");
}

#[test]
fn a_value_that_two_have_is_found() {
    let insert = |scene: &Scene, _: &str| {
        let one = scene.db.find("submissions", doc! {}).swap_remove(0);
        let twin = doc! { "userId": one["userId"].clone(), "month": text(&one, "month") };
        scene.db.insert("submissions", &[twin]);
    };
    let Some(out) = damaged(insert) else { return };
    assert!(out.contains("WRONG  submissions: 12 expected, 12 equal"), "{out}");
    assert!(out.contains("    1 duplicates"), "{out}");
}
