//! Several machines at work on one run: processes with a state directory each, one of which may be
//! killed. Nobody works a range twice, what the dead one held is taken over, and what somebody
//! asks from a third machine is heard by all.

use super::{RECIPE, RUN, Scene, run_of};
use crate::support::{Ended, Home, Running, wait_until};
use mongodb::bson::{Document, doc};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use windlass_connectors::mongo::generate::Options as Recipe;

/// Two ranges in the phases whose ranges have 2,000 steps, and nine in that of passwords: each of
/// three machines takes the next one before its last is done.
const LARGE: Recipe = Recipe { documents: 2_600, people: 1_700, months: 12, seed: 7, big: false };

/// The name of the run that the first process began, when it can be joined.
fn joinable(scene: &Scene) -> String {
    let mut name = String::new();
    wait_until("a run that can be joined", || {
        let runs = scene.db.find("windlass_runs", doc! { "stage": "working" });
        name = runs.first().map_or(String::new(), |run| run.get_str("_id").unwrap().to_owned());
        !name.is_empty()
    });
    name
}

fn begun(scene: &Scene, more: &[&str]) -> Running {
    scene.windlass(&[RUN, &["--output", "json"], more].concat()).spawn()
}

fn joined(scene: &Scene, home: &Home, run: &str, more: &[&str]) -> Running {
    let words = ["migrate", "run", "--workers-of", run, "--execute", "--output", "json"];
    scene.at(home, &[&words, more].concat()).spawn()
}

/// How many steps each machine did, by the marks in the database.
fn shares(scene: &Scene, run: &str) -> Vec<(String, i64)> {
    let status = scene.windlass(&["migrate", "status", run, "--output", "json"]).run().code(0);
    let workers = status.json().swap_remove(0)["workers"].as_array().unwrap().clone();
    let share =
        |one: &Value| (one["worker"].as_str().unwrap().to_owned(), one["done"].as_i64().unwrap());
    workers.iter().map(share).collect()
}

/// How many machines have, or had, a range.
fn at_work(scene: &Scene, run: &str) -> usize {
    let ranges = scene.db.find("windlass_ranges", doc! { "run": run, "worker": { "$type": 2 } });
    let workers = ranges.iter().map(|range| range.get_str("worker").unwrap());
    workers.collect::<BTreeSet<&str>>().len()
}

/// The steps that several marks speak of.
fn worked_twice(scene: &Scene, run: &str) -> Vec<i64> {
    let mut steps: Vec<i64> = Vec::new();
    for range in scene.db.find("windlass_ranges", doc! { "run": run }) {
        for mark in range.get_array("marks").unwrap() {
            let mark: &Document = mark.as_document().unwrap();
            steps.extend(mark.get_i64("first").unwrap()..mark.get_i64("end").unwrap());
        }
    }
    steps.sort_unstable();
    steps.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

fn all_done(ended: Ended) -> Value {
    let report = ended.code(0).report();
    assert_eq!(report["left"], 0, "{report}");
    assert_eq!(report["outcomes"]["failed"], 0, "{report}");
    report
}

fn share_the_work(machines: usize) {
    let scene = Scene::simulated(&["--latency", "2ms..8ms", "--seed", "5"]).with(&LARGE);
    let slow = ["--max-requests-per-second", "40"];
    // A range of 200 people is ten batches, so that nobody takes all ranges at once.
    let words = [RUN, &["--output", "json"], &slow].concat();
    let first = scene.windlass(&words).env("BATCH_SIZE_INITIAL", "20").env("BATCH_SIZE_MAX", "20");
    let first = first.spawn();
    let run = joinable(&scene);
    // The work is held until everybody has a part of it.
    scene.windlass(&["migrate", "pause", &run]).run().code(0);
    let homes: Vec<Home> = (1..machines).map(|_| Home::new()).collect();
    let others: Vec<Running> = homes.iter().map(|home| joined(&scene, home, &run, &slow)).collect();
    wait_until("a range for each", || at_work(&scene, &run) == machines);
    scene.windlass(&["migrate", "throttle", &run, "500"]).run().code(0);
    scene.windlass(&["migrate", "resume", &run]).run().code(0);
    let report = all_done(first.wait());
    for other in others {
        let other = all_done(other.wait());
        assert_eq!(other["steps"], report["steps"], "all have the same plan");
    }
    let shares = shares(&scene, &run);
    let sum: i64 = shares.iter().map(|(_, done)| done).sum();
    assert_eq!(sum, report["steps"].as_i64().unwrap(), "{shares:?}");
    assert_eq!(worked_twice(&scene, &run), Vec::<i64>::new());
    assert_eq!(shares.len(), machines, "each had a part: {shares:?}");
    scene.is_whole(&LARGE, &run);
}

#[test]
fn two_machines_share_a_run() {
    share_the_work(2);
}

#[test]
fn three_machines_share_a_run() {
    share_the_work(3);
}

/// A lease lasts half a minute, so this takes that long.
#[test]
fn what_a_killed_machine_held_is_taken_over() {
    let scene = Scene::simulated(&["--latency", "2ms..8ms", "--seed", "6"]).with(&LARGE);
    let slow = ["--max-requests-per-second", "25"];
    let mut first = begun(&scene, &slow);
    let run = joinable(&scene);
    let home = Home::new();
    let second = joined(&scene, &home, &run, &["--max-requests-per-second", "60"]);
    let held = doc! { "run": &run, "worker": &run, "state": "leased", "marks.by": &run };
    wait_until("a range that is half done", || scene.db.count("windlass_ranges", held.clone()) > 0);
    assert!(first.kill().code().is_none());
    let left: i64 = scene
        .db
        .find("windlass_ranges", doc! { "run": &run, "worker": &run, "state": "leased" })
        .iter()
        .map(|range| range.get_i64("left").unwrap())
        .sum();
    assert!(left > 0, "the killed one held nothing");
    all_done(second.wait());
    let shares = shares(&scene, &run);
    let killed = shares.iter().find(|(name, _)| *name == run).unwrap();
    assert!(killed.1 > 0, "{shares:?}");
    scene.is_whole(&LARGE, &run);
    // The one that was killed finds nothing left to do.
    let again = scene.windlass(&["resume", &run, "--output", "json"]).run();
    let report = all_done(again);
    assert_eq!(report["steps"].as_i64().unwrap(), total(&scene, &run));
    scene.is_whole(&LARGE, &run);
}

fn total(scene: &Scene, run: &str) -> i64 {
    let record = scene.db.one("windlass_runs", doc! { "_id": run });
    let phases = record.get_array("phases").unwrap();
    phases.iter().map(|phase| phase.as_document().unwrap().get_i64("steps").unwrap()).sum()
}

#[test]
fn what_is_asked_from_elsewhere_is_heard_by_all() {
    let scene = Scene::simulated(&["--latency", "5ms"]).with(&LARGE);
    let slow = ["--max-requests-per-second", "8"];
    let first = begun(&scene, &slow);
    let run = joinable(&scene);
    let (home, third) = (Home::new(), Home::new());
    let second = joined(&scene, &home, &run, &slow);
    let ask = |words: &[&str]| scene.at(&third, &[&["migrate"], words].concat()).run().code(0).out;
    let done = || shares(&scene, &run).iter().map(|(_, done)| done).sum::<i64>();

    let words = ask(&["pause", &run]);
    assert_eq!(words, format!("run {run} is held on all machines, within 2 s\n"));
    let held = "paused for all machines by `windlass migrate pause`";
    wait_until("the hold", || first.out().contains(held) && second.out().contains(held));
    assert!(ask(&["status", &run]).lines().next().unwrap().ends_with("working, held"));
    // What was on the wire is answered within milliseconds; after that nothing moves.
    let before = settled(&done);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(done(), before, "a held run does nothing");

    ask(&["resume", &run]);
    wait_until("more work", || done() > before);
    ask(&["throttle", &run, "50"]);
    let rate = "\"event\":\"rate_set\",\"per_second\":50.0";
    wait_until("the rate", || first.out().contains(rate) && second.out().contains(rate));

    ask(&["stop", &run]);
    let reason = "`windlass migrate stop` for all machines";
    for machine in [first, second] {
        let ended = machine.wait().code(4);
        assert!(ended.out.contains(reason), "{}", ended.out);
        assert_eq!(ended.report()["ending"], "stopped", "{}", ended.report());
    }
    assert!(ask(&["status", &run]).lines().next().unwrap().ends_with("working, asked to stop"));
    ask(&["resume", &run]);
    all_done(scene.windlass(&["resume", &run, "--output", "json"]).run());
    scene.is_whole(&LARGE, &run);
}

/// What a figure is once it has not changed for a fifth of a second.
fn settled(figure: &impl Fn() -> i64) -> i64 {
    let mut before = figure();
    wait_until("a figure that stands still", || {
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut before, figure()) == figure()
    });
    before
}

#[test]
fn a_run_that_is_over_or_unknown_is_not_joined() {
    let scene = Scene::simulated(&[]).with(&RECIPE);
    let report = scene.migrated(&[]);
    let run = run_of(&report);
    let home = Home::new();
    let late = all_done(joined(&scene, &home, run, &[]).wait());
    assert_eq!(late["outcomes"]["done"], 0, "there was nothing left to do: {late}");
    assert_eq!(late["steps"], report["steps"]);
    scene.is_whole(&RECIPE, run);
    let unknown = joined(&scene, &home, "mongo-20200101-000000-none", &[]).wait().code(2);
    let what = "error: there is no run mongo-20200101-000000-none in this database";
    assert!(unknown.err.contains(what), "{}", unknown.err);
}
