//! The recorder against a gateway that answers, refuses, stalls, closes and hangs.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod server;
mod spans;

use proptest::prelude::*;
use serde_json::json;
use server::{OK, Reply, Server};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use windlass_observe::{Builder, Recorder, StartError, Stats, WhenFull};

const LONG: Duration = Duration::from_secs(20);

fn events(server: &Server) -> Builder {
    Recorder::to(&server.url).write_key("wk").linger(Duration::from_millis(5))
}

/// What became of everything, which always adds up.
fn checked(stats: Stats) -> Stats {
    let ended = stats.dropped + stats.sent + stats.failed + stats.refused;
    assert_eq!(stats.recorded, ended + stats.queued, "{stats:?}");
    stats
}

#[test]
fn events_arrive_as_rudderstack_takes_them() {
    let server = Server::start(|_, _| OK);
    let recorder = events(&server).environment("staging").release("1.2").start().unwrap();
    recorder.identify("user-1", &[("plan", "pro".into())]);
    recorder.track("user-1", "message_sent", &[("length", 12.into()), ("share", 0.5.into())]);
    assert!(recorder.flush(LONG));
    let stats = checked(recorder.stats());
    assert_eq!((stats.recorded, stats.sent, stats.queued), (2, 2, 0));

    let requests = server.requests();
    let request = &requests[0];
    assert_eq!(request.path, "/v1/batch");
    assert_eq!(request.header("authorization"), Some("Basic d2s6"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let messages: Vec<_> = requests.iter().flat_map(server::Request::messages).collect();
    assert_eq!(messages[0]["type"], "identify");
    assert_eq!(messages[0]["context"]["traits"], json!({"plan": "pro"}));
    assert_eq!(messages[1]["event"], "message_sent");
    assert_eq!(messages[1]["properties"], json!({"length": 12, "share": 0.5}));
    assert_eq!(messages[1]["context"]["environment"], "staging");
    assert_eq!(messages[1]["context"]["library"]["name"], "windlass-observe");
    assert_eq!(messages[1]["messageId"].as_str().map(str::len), Some(32));
}

#[test]
fn batches_keep_their_bounds_and_every_event_arrives_once() {
    let server = Server::start(|_, _| OK);
    let recorder = events(&server).batch(100, 1 << 20).start().unwrap();
    for number in 0..1050 {
        recorder.track("u", "e", &[("n", number.into())]);
    }
    assert!(recorder.flush(LONG));
    let requests = server.requests();
    assert!(requests.len() >= 11, "{} requests", requests.len());
    assert!(requests.iter().all(|request| request.messages().len() <= 100));
    let numbers = requests.iter().flat_map(server::Request::messages);
    let numbers: Vec<_> = numbers.map(|one| one["properties"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..1050).collect::<Vec<_>>());
}

#[test]
fn bytes_bound_a_batch_too() {
    let server = Server::start(|_, _| OK);
    let recorder = events(&server).batch(1000, 10_000).start().unwrap();
    let text = "x".repeat(3000);
    for _ in 0..12 {
        recorder.track("u", "e", &[("text", (&text).into())]);
    }
    assert!(recorder.flush(LONG));
    assert!(server.requests().iter().all(|request| request.body.len() < 14_000));
}

#[test]
fn what_may_pass_later_is_sent_again_with_the_same_ids() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Answer(503, "", Vec::new()),
        1 => Reply::Close,
        2 => Reply::Answer(429, "Retry-After: 1\r\n", Vec::new()),
        3 => Reply::Answer(502, "Retry-After: 0\r\n", Vec::new()),
        _ => OK,
    });
    let recorder = events(&server).linger(Duration::from_secs(60)).start().unwrap();
    for _ in 0..10 {
        recorder.track("u", "e", &[]);
    }
    assert!(recorder.flush(LONG));
    assert_eq!(checked(recorder.stats()).sent, 10);
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    let ids = |request: &server::Request| {
        let ids = request.messages().into_iter().map(|one| one["messageId"].to_string());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&requests[0]).iter().collect::<HashSet<_>>().len(), 10);
    assert!(requests.iter().all(|request| ids(request) == ids(&requests[0])));
    assert!(requests[3].at - requests[2].at >= Duration::from_secs(1), "the wait is honoured");
    let sent_at = |request: &server::Request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        body["sentAt"].as_str().unwrap().to_owned()
    };
    assert!(sent_at(&requests[4]) > sent_at(&requests[0]));
}

#[test]
fn what_is_refused_is_not_sent_again() {
    for status in [400, 401, 404, 500, 302] {
        let server = Server::start(move |_, _| Reply::Answer(status, "", b"no".to_vec()));
        let recorder = events(&server).start().unwrap();
        recorder.track("u", "e", &[]);
        assert!(recorder.flush(LONG));
        let stats = checked(recorder.stats());
        assert_eq!((stats.refused, server.requests().len()), (1, 1), "{status}");
    }
}

#[test]
fn too_large_a_request_goes_in_halves() {
    // The gateway takes 3 events at most, and never the one with the poison.
    let server = Server::start(|_, request| {
        let messages = request.messages();
        let has_poison = messages.iter().any(|one| one["event"] == "poison");
        if has_poison || messages.len() > 3 { Reply::Answer(413, "", Vec::new()) } else { OK }
    });
    let recorder = events(&server).linger(Duration::from_secs(60)).start().unwrap();
    for number in 0..16 {
        recorder.track("u", if number == 5 { "poison" } else { "e" }, &[]);
    }
    assert!(recorder.flush(LONG));
    let stats = checked(recorder.stats());
    assert_eq!((stats.sent, stats.refused, stats.failed), (15, 1, 0));
}

#[test]
fn what_is_too_large_by_itself_is_dropped() {
    let server = Server::start(|_, _| OK);
    let recorder = events(&server).request_bytes(2000).start().unwrap();
    let (small, large) = ("x".repeat(700), "x".repeat(2000));
    // Each of these bytes becomes six in JSON, which only the background knows.
    let grows = "\u{1}".repeat(400);
    for text in [&small, &large, &grows, &small, &small, &small] {
        recorder.track("u", "e", &[("text", text.into())]);
    }
    assert!(recorder.flush(LONG));
    let stats = checked(recorder.stats());
    assert_eq!((stats.sent, stats.dropped), (4, 2));
    assert!(server.requests().iter().all(|request| request.body.len() <= 2000));
}

#[test]
fn a_gateway_that_is_away_costs_events_and_no_time() {
    let recorder = Recorder::to("http://127.0.0.1:9")
        .write_key("wk")
        .queue(100, 1 << 20)
        .batch(10, 1 << 20)
        .linger(Duration::from_millis(1))
        .give_up_after(Duration::from_millis(300))
        .start()
        .unwrap();
    let begun = Instant::now();
    for _ in 0..10_000 {
        recorder.track("u", "e", &[]);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let stats = checked(recorder.stats());
    assert_eq!(stats.recorded, 10_000);
    assert!(stats.dropped >= 9800 && stats.sent == 0, "{stats:?}");
    assert!(recorder.flush(LONG));
    let stats = checked(recorder.stats());
    assert_eq!((stats.queued, stats.dropped + stats.failed), (0, 10_000));
    assert!(stats.failed >= 100);
}

#[test]
fn a_gateway_that_hangs_holds_nobody_up() {
    let server = Server::start(|_, _| Reply::Hang);
    let settings = events(&server).queue(50, 1 << 20).when_full(WhenFull::DropOldest);
    let recorder = settings.drop_timeout(Duration::from_millis(200)).start().unwrap();
    recorder.track("u", "first", &[]);
    while server.requests().is_empty() {
        std::thread::yield_now();
    }
    for number in 0..60 {
        recorder.track("u", "e", &[("n", number.into())]);
    }
    let stats = checked(recorder.stats());
    assert_eq!((stats.queued, stats.dropped), (51, 10));
    let begun = Instant::now();
    assert!(!recorder.flush(Duration::from_millis(50)));
    drop(recorder);
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[test]
fn the_end_sends_what_is_queued() {
    let server = Server::start(|_, _| OK);
    let recorder = events(&server).linger(Duration::from_secs(60)).start().unwrap();
    let clone = recorder.clone();
    for _ in 0..2000 {
        clone.track("u", "e", &[]);
    }
    drop(recorder);
    assert_eq!(clone.stats().queued, 2000, "a clone keeps the background");
    let later = clone.clone();
    let stats = checked(clone.shutdown(LONG));
    assert_eq!((stats.sent, stats.queued), (2000, 0));
    later.track("u", "too late", &[]);
    let stats = checked(later.stats());
    assert_eq!((stats.recorded, stats.dropped), (2001, 1));
    let arrived = server.requests().iter().map(|request| request.messages().len()).sum::<usize>();
    assert_eq!(arrived, 2000);
}

#[test]
fn the_end_gives_up_what_would_take_too_long() {
    let server = Server::start(|_, _| Reply::Answer(503, "Retry-After: 60\r\n", Vec::new()));
    let recorder = events(&server).start().unwrap();
    recorder.track("u", "e", &[]);
    let begun = Instant::now();
    let stats = checked(recorder.shutdown(Duration::from_millis(300)));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!((stats.failed, stats.queued), (1, 0));
}

#[test]
fn what_is_switched_off_or_has_no_key_is_not_sent() {
    let server = Server::start(|_, _| OK);
    let recorder = events(&server).start().unwrap();
    recorder.set_enabled(false);
    recorder.track("u", "e", &[]);
    assert!(!recorder.span("s").is_recorded());
    assert_eq!(recorder.stats(), Stats::default());
    recorder.set_enabled(true);
    recorder.span("no keys for spans").end();
    recorder.track("u", "e", &[]);
    assert!(recorder.flush(LONG));
    let stats = checked(recorder.stats());
    assert_eq!((stats.recorded, stats.dropped, stats.sent), (2, 1, 1));
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let start = |url: &str| Recorder::to(url).write_key("wk").start();
    assert!(matches!(start("127.0.0.1:4318"), Err(StartError::Address(_))));
    assert!(matches!(start("http://"), Err(StartError::Address(_))));
    assert!(matches!(start("http://a b"), Err(StartError::Address(_))));
    assert!(matches!(Recorder::to("http://a").start(), Err(StartError::Keys)));
    let https = start("https://127.0.0.1:1");
    assert_eq!(matches!(https, Err(StartError::Tls(_))), !cfg!(feature = "tls"));
}

#[cfg(feature = "gzip")]
#[test]
fn requests_are_compressed_where_it_is_asked_for() {
    use std::io::Read;
    let server = Server::start(|_, _| OK);
    let recorder = events(&server).gzip(true).start().unwrap();
    recorder.track("u", "e", &[("text", "x".repeat(10_000).as_str().into())]);
    assert!(recorder.flush(LONG));
    let request = &server.requests()[0];
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert!(request.body.len() < 1000);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&request.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains(&"x".repeat(10_000)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the gateway answers and however small the queue is: every event is counted once,
    /// and those counted as sent are those that the gateway took.
    #[test]
    fn every_event_ends_once(
        answers in prop::collection::vec(0_u8..8, 1..12),
        events in 1_u64..300,
        queue in 1_usize..200,
        batch in 1_usize..50,
        oldest: bool,
    ) {
        let served = answers.clone();
        let server = Server::start(move |number, request| match served[number % served.len()] {
            0..=2 => OK,
            3 => Reply::Answer(400, "", Vec::new()),
            4 => Reply::Answer(503, "Retry-After: 0\r\n", Vec::new()),
            5 => Reply::Close,
            6 if request.messages().len() > 2 => Reply::Answer(413, "", Vec::new()),
            _ => Reply::Answer(429, "Retry-After: 0\r\n", Vec::new()),
        });
        let when_full = if oldest { WhenFull::DropOldest } else { WhenFull::DropNewest };
        let recorder = Recorder::to(&server.url)
            .write_key("wk")
            .queue(queue, 1 << 20)
            .batch(batch, 1 << 20)
            .when_full(when_full)
            .linger(Duration::from_millis(1))
            .give_up_after(Duration::from_millis(20))
            .start()
            .unwrap();
        for _ in 0..events {
            recorder.track("u", "e", &[]);
            checked(recorder.stats());
        }
        let stats = checked(recorder.shutdown(LONG));
        prop_assert_eq!((stats.recorded, stats.queued), (events, 0));
        let taken = server.requests().into_iter().enumerate().filter(|(number, _)| {
            answers[number % answers.len()] < 3
        });
        let taken: usize = taken.map(|(_, request)| request.messages().len()).sum();
        prop_assert_eq!(stats.sent, taken as u64);
    }
}
