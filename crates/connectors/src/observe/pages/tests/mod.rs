//! The pages: their answers, the format of the metrics, what the page may load and say, and that
//! alerts and dashboard name metrics that there are.

mod deploy;
mod metrics;
mod samples;
mod script;
mod strict;

use super::{Page, Status, answer, findings, page};
use findings::Level::{Bad, Note, Warn};
use samples::full;
use std::cell::Cell;

fn get(path: &str, status: Status) -> Page {
    answer(path, "", "", || status.clone()).unwrap()
}

fn header<'a>(page: &'a Page, name: &str) -> Option<&'a str> {
    page.headers.iter().find(|(each, _)| *each == name).map(|(_, value)| value.as_ref())
}

fn json(page: &Page) -> serde_json::Value {
    assert_eq!(page.content_type, "application/json; charset=utf-8");
    serde_json::from_str(&page.body).unwrap()
}

#[test]
fn every_path_has_its_answer_and_no_other() {
    let kinds = [
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/health", "application/json; charset=utf-8"),
        ("/ready", "application/json; charset=utf-8"),
        ("/v1/status", "application/json; charset=utf-8"),
    ];
    for (path, content_type) in kinds {
        let page = get(path, full());
        assert_eq!((page.status, page.content_type), (200, content_type), "{path}");
        assert_eq!(header(&page, "cache-control"), Some("no-store"), "{path}");
        assert_eq!(header(&page, "x-content-type-options"), Some("nosniff"), "{path}");
        assert!(page.body.ends_with('\n'), "{path}");
    }
    for path in ["", "/metrics/", "/v1/traces", "/index.html", "/favicon.ico", "//"] {
        assert_eq!(answer(path, "", "", full), None, "{path}");
    }
}

#[test]
fn health_asks_for_no_figures() {
    let asked = Cell::new(0);
    let status = || {
        asked.set(asked.get() + 1);
        full()
    };
    let health = answer("/health", "", "", status).unwrap();
    assert_eq!(json(&health)["status"], "OK");
    assert_eq!(asked.get(), 0);
    answer("/ready", "", "", status);
    assert_eq!(asked.get(), 1);
}

#[test]
fn readiness_has_its_reasons() {
    let ready = get("/ready", full());
    assert_eq!((ready.status, ready.body.as_str()), (200, "{\"ready\":true,\"reasons\":[]}\n"));
    let not_ready = vec!["the queue is full".to_owned(), "it \"drains\"".to_owned()];
    let page = get("/ready", Status { not_ready, ..full() });
    let body = "{\"ready\":false,\"reasons\":[\"the queue is full\",\"it \\\"drains\\\"\"]}\n";
    assert_eq!((page.status, page.body.as_str()), (503, body));
    assert_eq!(header(&page, "retry-after"), Some("2"));
}

#[test]
fn the_status_is_whole_and_says_what_its_buckets_are() {
    let status = json(&get("/v1/status", full()));
    assert_eq!(status["latency_bounds_us"][0], 100);
    assert_eq!(status["latency_bounds_us"].as_array().unwrap().len(), 16);
    assert_eq!(status["events"]["stored"], 797);
    assert_eq!(status["doors"][0]["requests"]["503"], 1);
    assert_eq!(status["destinations"][0]["waiting"], "429, for another 12 s");
    assert_eq!(status["costs"]["gpt-4o"]["cost_pico"], 67_500_000_000_u64);
    assert_eq!(status["findings"][0]["level"], "bad");
}

#[test]
fn whoever_wants_json_gets_it_and_may_have_it_indented() {
    let page = answer("/", "", "application/json", full).unwrap();
    assert_eq!(json(&page), json(&get("/v1/status", full())));
    assert_eq!(page.body.lines().count(), 1);
    let browser = "text/html,application/xhtml+xml,application/json;q=0.9";
    assert!(answer("/", "", browser, full).unwrap().body.starts_with("<!DOCTYPE html>"));
    assert!(answer("/", "", "*/*", full).unwrap().body.starts_with("<!DOCTYPE html>"));
    for (query, is_pretty) in [("pretty", true), ("a=b&pretty=1", true), ("pretty=0", false)] {
        let page = answer("/v1/status", query, "", full).unwrap();
        assert_eq!(page.body.lines().count() > 100, is_pretty, "{query}");
    }
}

#[test]
fn a_gateway_that_is_well_has_nothing_to_tell() {
    let mut status = full();
    status.reload_errors.clear();
    status.destinations.pop();
    assert_eq!(findings::of(&status), []);
    let page = get("/", status);
    assert!(page.body.contains("<li>✓ All is well.</li>"));
}

#[test]
fn findings_come_with_the_worst_first_and_something_to_do() {
    let mut status = full();
    status.not_ready.push("it drains".to_owned());
    status.tracing = false;
    status.queue.bytes = status.queue.bytes_max * 96 / 100 + 1;
    status.hold.bytes = status.hold.bytes_max * 4 / 5 + 1;
    status.memory_bytes = status.machine_memory_bytes;
    status.destinations[0].lag_ms = 300_000;
    status.destinations[1].last_error = Some(format!("401: {}", "x".repeat(500)));
    let found = findings::of(&status);
    assert!(found.iter().all(|finding| finding.todo.ends_with('.')), "{found:?}");
    let found: Vec<_> = found.iter().map(|one| (one.level, one.what.as_str())).collect();
    let refused = format!("rows refuses its keys or its address: 401: {}…", "x".repeat(115));
    let expected = [
        (Bad, "The gateway is not ready: it drains."),
        (Bad, "The queue is 96 % full."),
        (Bad, refused.as_str()),
        (Warn, "New content of policies is not in force: line 3: `limt`"),
        (Warn, "The process has over 80 % of the machine's memory."),
        (Warn, "The queue of what waits for its trace is 80 % full."),
        (Warn, "langfuse is 5 min behind: 429, for another 12 s."),
        (Note, "Tracing is switched off: traces are left out."),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_destination_that_is_off_or_gone_is_told_as_such() {
    let mut status = full();
    status.reload_errors.clear();
    status.destinations[0].kind = "";
    status.destinations[1].is_misconfigured = false;
    let found = findings::of(&status);
    let found: Vec<_> = found.iter().map(|one| (one.level, one.what.as_str())).collect();
    let gone = "langfuse is no longer configured, and 37 events wait for it.";
    assert_eq!(found, [(Warn, gone), (Note, "rows is switched off.")]);
}

/// What stands between the first `open` and the `close` after it.
fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let (_, rest) = text.split_once(open).unwrap();
    rest.split_once(close).unwrap().0
}

#[test]
fn the_page_stands_alone() {
    let body = get("/", full()).body;
    for word in ["http:", "https:", "//cdn", "url(", "@import", "integrity=", "<iframe", "<object"]
    {
        assert!(!body.contains(word), "{word}");
    }
    for (word, times) in [("<script", 1), ("</script", 1), ("<style", 1), ("</style", 1)] {
        assert_eq!(body.matches(word).count(), times, "{word}");
    }
    assert!(!body.contains("{{"), "a place was not filled");
    assert!(!body.contains(" src=") && !body.contains(" style=") && !body.contains(" onclick="));
    assert!(!body.contains('\r'), "a browser would change it before hashing");
    let links: Vec<_> = body.split(" href=\"").skip(1).collect();
    let links: Vec<_> = links.iter().map(|rest| rest.split_once('"').unwrap().0).collect();
    let ours = ["metrics", "v1/status?pretty", "ready", "data:,"];
    assert!(links.len() >= 5 && links.iter().all(|link| ours.contains(link)), "{links:?}");
}

#[test]
fn the_policy_allows_what_stands_in_the_page_by_its_hash() {
    // The hash of an empty text, as every implementation has it.
    assert_eq!(page::hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let page = get("/", full());
    let policy = header(&page, "content-security-policy").unwrap();
    let script = page::hash(between(&page.body, "<script>", "</script>"));
    let style = page::hash(between(&page.body, "<style>", "</style>"));
    let expected = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(policy, expected);
    assert!(!policy.contains("unsafe"));
    let other = get("/", Status::default());
    assert_eq!(header(&other, "content-security-policy"), Some(policy));
}

#[test]
fn names_from_outside_are_text_without_a_script() {
    let mut status = full();
    status.destinations[0].name = "<img src=x onerror=alert(1)>".to_owned();
    status.destinations[1].last_error = Some("</noscript><script>'\"&\u{202e}\u{7}".to_owned());
    let body = get("/", status).body;
    assert!(body.contains("<li>&lt;img src=x onerror=alert(1)&gt;: 60 delivered, 37 waiting"));
    let safe = "&lt;/noscript&gt;&lt;script&gt;&#39;&quot;&amp;\u{fffd}\u{fffd}";
    assert!(body.contains(safe));
    assert_eq!(body.matches("<script").count(), 1);
    assert!(!body.contains("<img"));
}
