//! The official WorkOS emulator as the remote: what it says was deleted is compared with what the
//! program says. It is not our work, so it does not share our mistakes.
//!
//! Needs node, and a folder named by `WINDLASS_EMULATOR_DIR` in which
//! `npm install workos@0.14.0 --ignore-scripts --omit=optional --omit=peer` was run.

use crate::support::{Home, Program, events, is_installed, keys, settled, skipped, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A running emulator.
struct Emulator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Emulator {
    /// Starts one; without node or the package, says so.
    fn start() -> Option<Self> {
        let Some(folder) = std::env::var_os("WINDLASS_EMULATOR_DIR").map(PathBuf::from) else {
            skipped("the official emulator: WINDLASS_EMULATOR_DIR names no folder");
            return None;
        };
        if !folder.join("node_modules/workos/dist/emulate/index.js").exists() {
            skipped("the official emulator: WINDLASS_EMULATOR_DIR has no package workos 0.14.0");
            return None;
        }
        if !is_installed("node") {
            skipped("the official emulator: node is not installed");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/emulator.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut emulator = Self { child, input, output, url: String::new() };
        emulator.url = format!("http://127.0.0.1:{}", emulator.hear());
        Some(emulator)
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
        answer
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.hear()
    }

    /// Creates objects of one kind at these instants, which have to ascend.
    fn make(&mut self, kind: &str, instants: &[&str]) -> Vec<String> {
        let object = |(index, at): (usize, &&str)| {
            let name = format!("{kind}-{index}-{}", at.replace([':', '.'], "-"));
            json!({ "at": at, "kind": kind, "name": name })
        };
        let objects: Vec<Value> = instants.iter().enumerate().map(object).collect();
        let ids = self.tell(&json!({ "make": objects }));
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// The ids on all pages of a list, or those of the deleted objects of an event.
    fn walk(&mut self, path: &str, id: impl Fn(&Value) -> &Value) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        let mut after = String::new();
        loop {
            let path = format!("{path}limit=100&order=asc{after}");
            let page = self.tell(&json!({ "call": { "method": "GET", "path": path } }));
            let objects = page["data"].as_array().unwrap();
            ids.extend(objects.iter().map(|object| id(object).as_str().unwrap().to_owned()));
            match page["list_metadata"]["after"].as_str() {
                Some(cursor) => after = format!("&after={cursor}"),
                None => return ids,
            }
        }
    }

    fn organizations(&mut self) -> BTreeSet<String> {
        self.walk("/organizations?", |object| &object["id"])
    }

    fn users(&mut self) -> BTreeSet<String> {
        self.walk("/user_management/users?", |object| &object["id"])
    }

    /// What was deleted, as the emulator's own events tell.
    fn deleted(&mut self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for kind in ["organization", "user"] {
            let path = format!("/events?events[]={kind}.deleted&");
            all.extend(self.walk(&path, |event| &event["data"]["id"]));
        }
        all
    }

    /// The ids in all DELETE requests of the program, in their order.
    fn asked(&mut self) -> Vec<String> {
        let paths = self.tell(&json!({ "asked": true }));
        let paths = paths.as_array().unwrap().iter().map(|path| path.as_str().unwrap());
        paths.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// How many there were.
    fn deletes(&mut self) -> usize {
        self.asked().len()
    }

    fn windlass(&self, home: &Home, words: &[&str]) -> Program {
        let program = home.windlass(words).env("WORKOS_API_KEY", "sk_test_emulated");
        program.env("WORKOS_BASE_URL", &self.url)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same instant so many times.
fn repeated(instant: &str, count: usize) -> Vec<&str> {
    std::iter::repeat_n(instant, count).collect()
}

#[test]
fn days_are_exact_to_the_millisecond() {
    let Some(mut emulator) = Emulator::start() else { return };
    let instants = [
        "2005-12-16T23:59:59.999Z",
        "2005-12-17T00:00:00.000Z",
        "2005-12-17T12:00:00.000Z",
        "2005-12-18T23:59:59.999Z",
        "2005-12-19T00:00:00.000Z",
    ];
    let organizations = emulator.make("organization", &instants);
    let users = emulator.make("user", &instants);
    let home = Home::new();
    let words = ["workos", "delete", "2005-12-17", "2005-12-18", "--users", "--yes"];
    let ended = emulator.windlass(&home, &words).run().code(0);
    let inside: BTreeSet<String> =
        [&organizations[1..4], &users[1..4]].concat().into_iter().collect();
    assert_eq!(emulator.deleted(), inside, "{}", ended.err);
    let outside = |ids: &[String]| BTreeSet::from([ids[0].clone(), ids[4].clone()]);
    assert_eq!(emulator.organizations(), outside(&organizations));
    assert_eq!(emulator.users(), outside(&users));
    assert!(!ended.err.contains("WARN"));
}

#[test]
fn a_list_of_several_pages_is_walked_to_its_end() {
    let Some(mut emulator) = Emulator::start() else { return };
    emulator.make("organization", &repeated("2005-12-16T10:00:00.000Z", 130));
    let made = emulator.make("organization", &repeated("2005-12-17T10:00:00.000Z", 220));
    let home = Home::new();
    let plan = ["workos", "delete", "2005-12-17", "--plan-out", "p.jsonl"];
    let ended = emulator.windlass(&home, &plan).run().code(0);
    assert!(ended.err.contains("4 pages of organizations"), "{}", ended.err);
    assert_eq!(emulator.deletes(), 0);
    let made: BTreeSet<String> = made.into_iter().collect();
    let planned: BTreeSet<String> = keys(&home.work().join("p.jsonl")).into_iter().collect();
    assert_eq!(planned, made);
    // Somebody else is quicker with three of them.
    for id in made.iter().take(3) {
        let path = format!("/organizations/{id}");
        emulator.tell(&json!({ "call": { "method": "DELETE", "path": path } }));
    }
    let apply = ["apply", "p.jsonl", "--yes", "--quota", "unlimited"];
    let ended = emulator.windlass(&home, &apply).run().code(0);
    assert!(ended.out.contains("= Already gone:          3"), "{}", ended.out);
    assert!(ended.out.contains("Successfully deleted:  217"), "{}", ended.out);
    assert_eq!(emulator.deleted(), made);
    assert_eq!(emulator.deletes(), 220);
    assert_eq!(emulator.organizations().len(), 130);
}

#[test]
fn a_real_429_is_waited_for_and_costs_nothing() {
    let Some(mut emulator) = Emulator::start() else { return };
    let made = emulator.make("user", &repeated("2005-12-17T10:00:00.000Z", 1200));
    let home = Home::new();
    let words = ["workos", "delete", "2005-12-17", "--users-only", "--yes", "--quota", "unlimited"];
    let start = Instant::now();
    let ended = emulator.windlass(&home, &words).run().code(0);
    assert!(start.elapsed() < Duration::from_secs(100));
    assert!(ended.out.contains("Successfully deleted:  1,200"), "{}", ended.out);
    assert!(ended.out.contains("Failed to delete:      0"), "{}", ended.out);
    assert!(ended.err.contains("429 for `delete user`: waiting"), "{}", ended.err);
    assert!(ended.err.contains("the remote said so"), "{}", ended.err);
    assert_eq!(emulator.deleted(), made.into_iter().collect());
}

#[test]
fn a_killed_run_goes_on() {
    let Some(mut emulator) = Emulator::start() else { return };
    let made = emulator.make("user", &repeated("2005-12-17T10:00:00.000Z", 300));
    let home = Home::new();
    let words = ["workos", "delete", "2005-12-17", "--users-only", "--yes", "--quota", "unlimited"];
    let words = [&words[..], &["--max-requests-per-second", "150"]].concat();
    let mut running = emulator.windlass(&home, &words).spawn();
    wait_until("100 deletions", || emulator.deletes() >= 100);
    assert!(running.kill().code().is_none());
    let recorded = settled(&home.of_run("journal"));
    assert!((60..300).contains(&recorded.len()), "{}", recorded.len());
    let words = ["resume", "--output", "json", "--max-requests-per-second", "300"];
    let ended = emulator.windlass(&home, &words).run().code(0);
    assert_eq!(ended.report()["outcomes"]["done"], 300);
    assert_eq!(ended.report()["outcomes"]["already_gone"], 0);
    assert_eq!(emulator.deleted(), made.into_iter().collect());
    let asked = emulator.asked();
    let again = |id: &&String| asked.iter().filter(|other| other == id).count() > 1;
    assert_eq!(recorded.iter().filter(again).count(), 0, "what was recorded is not repeated");
    assert!(asked.len() <= 300 + 40, "{}: only what was on the wire is", asked.len());
    assert_eq!(events(&home.of_run("journal")).last().unwrap()["ending"], "complete");
}

#[test]
fn a_cursor_that_is_deleted_while_listing_is_noticed() {
    let Some(mut emulator) = Emulator::start() else { return };
    emulator.make("organization", &repeated("2005-12-17T10:00:00.000Z", 250));
    emulator.tell(&json!({ "sabotage": true }));
    let home = Home::new();
    let words = ["workos", "delete", "2005-12-17", "--yes", "--retries", "0"];
    let ended = emulator.windlass(&home, &words).run().code(7);
    let words = ended.error();
    assert!(words.contains("the list goes round in circles: a page repeats the object"), "{words}");
    assert!(
        words.contains("hint: nothing was deleted; somebody may be deleting objects"),
        "{words}"
    );
    assert_eq!(emulator.deletes(), 0);
    assert!(home.runs().is_empty());
    // The next try meets nobody else.
    emulator.windlass(&home, &["workos", "delete", "2005-12-17", "-n"]).run().code(0);
    assert_eq!(keys(&home.of_run("plan.jsonl")).len(), 249);
}
