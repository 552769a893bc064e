//! kill -9 at seeded moments of deletions, exports, imports and copies, which then are gone on
//! with until they end by themselves: the end is that of a run that was never interrupted.
//!
//! A moment is a number of requests that the session may send before it is killed, and a few
//! milliseconds more, so that kills meet the middle of the work on a slow machine, too.

use super::{Cloud, EMPTY, FULL};
use crate::support::{Home, Running, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

/// The kills of each kind of work.
const KILLS: u32 = 12;
/// The most kills of one run.
const IN_A_ROW: u32 = 4;
const KEYS: u64 = 1_500;
/// Answers take 5 to 25 ms; nothing is limited, odd names and binary values are among the keys.
const WORLD: &[&str] = &[
    "--keys",
    "1500",
    "--odd-keys",
    "--binary-every",
    "60",
    "--expiring-every",
    "50",
    "--no-limits",
    "--latency",
    "5ms..25ms",
    "--seed",
];
const FAST: &[&str] = &["--quota", "unlimited", "--concurrency", "4", "--quiet"];

/// A kind of work.
struct Work<'a> {
    /// The words that begin it.
    words: &'a [&'a str],
    /// How many requests it takes, about.
    requests: u64,
    /// Whether it asks before it begins.
    destroys: bool,
}

/// The words that a person would type now.
fn next_words(home: &Home, work: &Work<'_>) -> Vec<String> {
    let folder = |run: &String| home.state().join("runs").join(run);
    let begun = |run: &&String| folder(run).join("journal").exists();
    let planned = |run: &&String| folder(run).join("plan.jsonl").exists();
    let runs = home.runs();
    let words = match (runs.iter().rfind(begun), runs.iter().rfind(planned)) {
        (Some(run), _) => vec!["resume", run],
        (None, Some(run)) if work.destroys => vec!["apply", run, "--yes"],
        _ => work.words.to_vec(),
    };
    words.iter().chain(FAST).map(|word| (*word).to_owned()).collect()
}

/// Kills a process at a moment that the generator chooses; false when it ended before.
fn killed(cloud: &Cloud, running: &mut Running, work: &Work<'_>, rng: &mut fastrand::Rng) -> bool {
    let before = cloud.sim.ledger().len();
    let requests = rng.u64(0..work.requests / 3);
    let more = Duration::from_micros(rng.u64(0..20_000));
    let mut ended = false;
    wait_until("the moment of a kill", || {
        ended = !running.is_running();
        ended || cloud.sim.ledger().len() - before >= requests
    });
    std::thread::sleep(more);
    !ended && running.kill().code().is_none()
}

/// Carries work out with kills, and says how many there were, in how many of them the work was
/// under way, and what the last report of the run says.
fn carried_out(
    cloud: &Cloud,
    home: &Home,
    work: &Work<'_>,
    rng: &mut fastrand::Rng,
    kills_max: u32,
) -> (u32, u32, Value) {
    let (mut kills, mut resumed) = (0, 0);
    loop {
        let words = next_words(home, work);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        resumed += u32::from(words[0] == "resume");
        let mut running = cloud.at(home, &words).spawn();
        if kills == kills_max || !killed(cloud, &mut running, work, rng) {
            let ended = running.wait();
            let words = words.join(" ");
            assert_eq!(ended.status.code(), Some(0), "{words}\n{}\n{}", ended.out, ended.err);
            break;
        }
        kills += 1;
    }
    let folder = |run: &&String| home.state().join("runs").join(run).join("journal").exists();
    let run = home.runs().into_iter().rfind(|run| folder(&run)).unwrap();
    let report = home.windlass(&["report", &run, "--output", "json"]).run().code(0).report();
    (kills, resumed, report)
}

/// Runs of a work, each in a world of its own, until there were enough kills. `judge` looks at
/// each world before and after it.
fn story<T>(
    work: &Work<'_>,
    seed: u64,
    before: impl Fn(&Cloud, &Home) -> T,
    after: impl Fn(&Cloud, &Home, T, &Value),
) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut kills, mut resumed) = (0, 0);
    while kills < KILLS {
        let world = rng.u32(..).to_string();
        let (home, cloud) = (Home::new(), Cloud::start(&[WORLD, &[&world]].concat()));
        let known = before(&cloud, &home);
        let most = IN_A_ROW.min(KILLS - kills);
        let (killed, gone_on, report) = carried_out(&cloud, &home, work, &mut rng, most);
        assert_eq!(report["left"], json!(0), "{report}");
        after(&cloud, &home, known, &report);
        kills += killed;
        resumed += gone_on;
    }
    assert!(
        resumed >= KILLS / 3,
        "{resumed} resumed of {kills} kills: the moments are badly chosen"
    );
}

/// The steps of a report that have a final outcome.
fn settled(report: &Value) -> u64 {
    let outcomes = report["outcomes"].as_object().unwrap();
    outcomes.values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn deletions() {
    let words = [
        "kv",
        "delete",
        "--namespace",
        FULL,
        "--pattern",
        "^[0-9a]",
        "--batch-size",
        "20",
        "--yes",
    ];
    let work = Work { words: &words, requests: 55, destroys: true };
    let before = |cloud: &Cloud, _: &Home| {
        let mut pairs = cloud.pairs(&cloud.ids().0);
        pairs.retain(|key, _| {
            !key.starts_with(|first: char| first.is_ascii_digit() || first == 'a')
        });
        pairs
    };
    story(&work, 1, before, |cloud, _, others, report| {
        assert!(others.len() > 300, "{}", others.len());
        assert_eq!(cloud.pairs(&cloud.ids().0), others, "nothing else is touched");
        assert_eq!(report["steps"], json!(KEYS - others.len() as u64));
        assert_eq!(json!(settled(report)), report["steps"], "{report}");
        assert_eq!(report["outcomes"]["failed"], json!(0), "{report}");
    });
}

fn exports(format: &'static str, seed: u64) {
    let name = format!("killed.{format}");
    let words = ["kv", "export", "--namespace", FULL, "-o", &name, "--batch-size", "20"];
    let work = Work { words: &words, requests: 100, destroys: false };
    let whole = format!("whole.{format}");
    let before = |cloud: &Cloud, _: &Home| {
        let elsewhere = Home::new();
        let words = ["kv", "export", "--namespace", FULL, "-o", &whole, "--quiet"];
        cloud.at(&elsewhere, &words).run().code(0);
        std::fs::read(elsewhere.work().join(&whole)).unwrap()
    };
    story(&work, seed, before, |_, home, whole, report| {
        let killed = std::fs::read(home.work().join(&name)).unwrap();
        assert!(killed == whole, "{} bytes instead of {}", killed.len(), whole.len());
        assert_eq!(std::fs::read_dir(home.work()).unwrap().count(), 1, "no other file is left");
        assert_eq!((&report["steps"], settled(report)), (&json!(KEYS), KEYS), "{report}");
        assert_eq!(report["outcomes"]["failed"], json!(0), "{report}");
    });
}

#[test]
fn exports_as_lines() {
    exports("jsonl", 2);
}

#[test]
fn exports_as_csv() {
    exports("csv", 3);
}

#[test]
fn imports() {
    let words = ["kv", "import", "a.jsonl", "--namespace", EMPTY, "--batch-size", "15"];
    let work = Work { words: &words, requests: 100, destroys: false };
    let before = |cloud: &Cloud, home: &Home| {
        let words = ["kv", "export", "--namespace", FULL, "-o", "a.jsonl", "--quiet"];
        let elsewhere = Home::new();
        cloud.at(&elsewhere, &words).run().code(0);
        let export = std::fs::read(elsewhere.work().join("a.jsonl")).unwrap();
        home.write("work/a.jsonl", export);
    };
    story(&work, 4, before, |cloud, home, (), report| {
        let (full, empty) = cloud.ids();
        assert_eq!(cloud.sim.digest(&empty), cloud.sim.digest(&full));
        let verify = ["kv", "verify", "a.jsonl", "--namespace", EMPTY];
        let verified = cloud.at(home, &verify).run().code(0);
        assert!(verified.err.contains("1500 keys are the same, 0 are not"), "{}", verified.err);
        assert_eq!((&report["steps"], settled(report)), (&json!(KEYS), KEYS), "{report}");
        assert_eq!(report["outcomes"]["failed"], json!(0), "{report}");
    });
}

#[test]
fn copies() {
    let words = ["kv", "copy", "--namespace", FULL, "--to", EMPTY, "--batch-size", "15"];
    let work = Work { words: &words, requests: 200, destroys: false };
    story(
        &work,
        5,
        |_, _| (),
        |cloud, _, (), report| {
            let (full, empty) = cloud.ids();
            assert_eq!(cloud.sim.digest(&empty), cloud.sim.digest(&full));
            assert_eq!((&report["steps"], settled(report)), (&json!(KEYS), KEYS), "{report}");
            assert_eq!(report["outcomes"]["failed"], json!(0), "{report}");
        },
    );
}

#[test]
fn an_interrupted_export_goes_on_with_its_own_words() {
    let (home, cloud) = (Home::new(), Cloud::start(&[WORLD, &["7"]].concat()));
    let whole = ["kv", "export", "--namespace", FULL, "-o", "whole.jsonl", "--quiet"];
    cloud.at(&home, &whole).run().code(0);
    let words = ["kv", "export", "--namespace", FULL, "-o", "a.jsonl", "--batch-size", "10"];
    let before = cloud.sim.counts().bulk_get;
    let running = cloud.at(&home, &[&words[..], &["--concurrency", "2"]].concat()).spawn();
    wait_until("twenty reads", || cloud.sim.counts().bulk_get >= before + 20);
    running.signal("INT");
    let ended = running.wait().code(4);
    assert!(ended.err.contains("stopping (interrupt)"), "{}", ended.err);
    assert!(ended.err.contains("hint: `windlass resume cloudflare-"), "{}", ended.err);
    assert!(!home.work().join("a.jsonl").exists(), "it is not whole and does not look so");
    cloud.at(&home, &[&words[..], &["--resume"]].concat()).run().code(0);
    let read = |name: &str| std::fs::read(home.work().join(name)).unwrap();
    assert!(read("a.jsonl") == read("whole.jsonl"));
    assert_eq!(std::fs::read_dir(home.work()).unwrap().count(), 2, "no other file is left");
    let again = cloud.at(&home, &[&words[..], &["--resume"]].concat()).run();
    assert_ne!(again.status.code(), Some(0), "there is nothing left to go on with");
}
