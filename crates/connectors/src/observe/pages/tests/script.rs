//! The script of the page: that it writes text and never markup, and that its arithmetic is right.

use super::{full, get};
use std::process::Command;

const PARTS: [&str; 4] = [
    include_str!("../words.js"),
    include_str!("../series.js"),
    include_str!("../findings.js"),
    include_str!("../page.js"),
];

#[test]
fn nothing_from_outside_can_become_markup_or_code() {
    let sinks = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "createContextualFragment",
        "DOMParser",
        "eval(",
        "Function(",
        "srcdoc",
        "javascript:",
        "</",
        "<!--",
    ];
    for part in PARTS {
        for sink in sinks {
            assert!(!part.contains(sink), "{sink}");
        }
        // The only attributes that are set are drawings and words that are read aloud.
        for (place, _) in part.match_indices("setAttribute(\"") {
            let name = part[place + 14..].split('"').next().unwrap();
            assert!(["d", "aria-label", "aria-expanded"].contains(&name), "{name}");
        }
    }
}

#[test]
fn the_script_finds_every_node_that_it_writes_to() {
    let body = get("/", full()).body;
    let mut ids = 0;
    for opening in ["at(\"", "spark(\"", "rows(\""] {
        for (place, _) in PARTS[3].match_indices(opening) {
            let id = PARTS[3][place + opening.len()..].split('"').next().unwrap();
            assert_eq!(body.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
            ids += 1;
        }
    }
    assert!(ids > 40, "{ids}");
}

#[test]
fn the_account_of_the_page_leaves_nothing_out() {
    let status = serde_json::to_value(full()).unwrap();
    let (_, account) = PARTS[3].split_once("const ACCOUNT = [").unwrap();
    let (account, _) = account.split_once("];").unwrap();
    let counts = status["events"].as_object().unwrap();
    assert_eq!(account.matches("[\"").count(), counts.len() - 1);
    for name in counts.keys().filter(|name| *name != "received") {
        assert_eq!(account.matches(&format!("[\"{name}\", ")).count(), 1, "{name}");
    }
}

/// Runs the parts without a page, and then `check`. Says so where there is no Node.js to do it.
fn run(check: &str) {
    let status = serde_json::to_string(&full()).unwrap();
    let bounds = serde_json::to_string(&super::super::LATENCY_BOUNDS_US).unwrap();
    let start = format!(
        "const assert = require('node:assert'); const clone = structuredClone;\n\
         const full = {{ ...{status}, latency_bounds_us: {bounds}, findings: [] }};\n"
    );
    let program = [PARTS[0], PARTS[1], PARTS[2], &start, check].concat();
    match Command::new("node").arg("-e").arg(program).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        }
        Err(error) => println!("not checked, for there is no node: {error}"),
    }
}

#[test]
fn figures_are_said_as_people_say_them() {
    run(r#"
        assert.deepEqual([0, 1234, 12345, 4560000].map(short), ["0", "1,234", "12.3 k", "4.56 M"]);
        assert.deepEqual([0, 0.01, 2.345, 1234].map(pace), ["0", "< 0.1", "2.3", "1,234"]);
        assert.deepEqual([12, 1536, 4 * 2 ** 30].map(bytes), ["12 B", "1.5 KiB", "4.0 GiB"]);
        assert.deepEqual([0, 300, 59999, 61000, 7500000, 2e8].map(span),
          ["0 s", "< 1 s", "59 s", "1 min 1 s", "2 h 5 min", "2 d 7 h"]);
        assert.deepEqual([null, 12, 4321, 43210, 2.5e6].map(latency),
          ["–", "12 µs", "4.3 ms", "43 ms", "2.5 s"]);
        assert.deepEqual([share(0, 9), share(1, 1e6), share(1, 50), share(1, 0), share(9, 9)],
          ["0 %", "< 0.01 %", "2.0 %", "–", "100 %"]);
        assert.deepEqual([0, 1, 25e8, 12.5e12].map(usd), ["$0", "< $0.0001", "$0.0025", "$12.50"]);
    "#);
}

#[test]
fn figures_of_now_are_differences() {
    run(r#"
        remember(full);
        assert.equal(rate("received", 5000), 0);
        const later = clone(full);
        later.now_ms += 10_000;
        later.events.received += 500;
        later.doors[0].requests["503"] += 3;
        later.doors[0].requests["200"] += 97;
        later.doors[0].latency.count += 100;
        later.doors[0].latency.at_most =
          later.doors[0].latency.at_most.map((n, i) => n + (i >= 5 ? 100 : i >= 4 ? 50 : 0));
        remember(later);
        assert.equal(rate("received", 5000), 50);
        assert.equal(grown("door otlp errors", 60_000), 3);
        const times = measured("doors", 60_000);
        assert.equal(times.at(-1), 100);
        assert.equal(quantile(later.latency_bounds_us, times, 0.5), 2000);
        assert.equal(quantile(later.latency_bounds_us, times, 0.75), 3500);
        assert.equal(quantile(later.latency_bounds_us, times, 1, 4000), 4000);
        assert.equal(quantile(later.latency_bounds_us, [], 0.5), null);
        const found = findingsOf(later).map((one) => one.what);
        assert.ok(found.includes("3.0 % of the requests failed in the last minute."), found);
        remember({ ...later, started_ms: later.started_ms + 1, now_ms: later.now_ms + 1000 });
        assert.equal(samples.length, 1);
        for (let second = 2; second < 900; second += 1) {
          const status = { ...later, started_ms: later.started_ms + 1 };
          remember({ ...status, now_ms: later.now_ms + 1000 * second });
        }
        assert.ok(samples.length <= 306, samples.length);
    "#);
}

#[test]
fn a_destination_does_what_its_figures_say() {
    run(r#"
        const [base] = full.destinations;
        const calm = { ...base, waiting: "", pending: 0, lag_ms: 0 };
        remember({ ...full, destinations: [calm] });
        const after = (change) => {
          const one = { ...calm, ...change };
          samples.length = 1;
          remember({ ...full, now_ms: full.now_ms + 60_000, destinations: [one] });
          return stateOf(one).join(" ");
        };
        assert.equal(after({}), "good idle");
        assert.equal(after({ delivered: 90 }), "good delivering");
        assert.equal(after({ is_misconfigured: true, is_off: true }), "bad misconfigured");
        assert.equal(after({ kind: "" }), "warn not configured");
        assert.equal(after({ is_off: true }), "note switched off");
        assert.equal(after({ throttled: 9, waiting: "429" }), "warn throttled: 429");
        assert.equal(after({ waiting: "breaker" }), "warn waiting: breaker");
        assert.equal(after({ pending: 5, lag_ms: 40_000 }), "warn not moving");
        assert.equal(after({ pending: 5, lag_ms: 90_000, delivered: 70 }), "warn falling behind");
        samples[0].values.set(`to ${calm.name} pending`, 1200);
        assert.equal(after({ pending: 600, lag_ms: 90_000, delivered: 70 }),
          "good catching up, 1 min 0 s left");
    "#);
}
