//! The chassis judged from outside: windows against a brute-force count, faults against what a
//! client sees and what the world kept, and a real port against raw HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::Period;
use crate::{
    Arrival, Charge, Chassis, ChassisOptions, Fault, FaultOptions, LatencyOptions, Quotas, Reply,
    Reset, Rule, ServeOptions, Simulator, WindowKind, World, serve,
};
use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderName, Method, Request, Response};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Counts what reaches it, and has one window.
#[derive(Default)]
struct Counter {
    effects: u32,
}

impl World for Counter {
    const REQUEST_ID: Option<HeaderName> = Some(HeaderName::from_static("x-request-id"));

    fn key<'a>(&self, _: &'a Request<Bytes>) -> &'a str {
        "key"
    }

    fn answer(&mut self, _: &Request<Bytes>, arrival: Arrival, quotas: &mut Quotas) -> Reply {
        let status = match quotas.admit(arrival.at, &[(0, 0)]) {
            _ if arrival.revoked => 401,
            _ if arrival.storm.is_some() => 429,
            Ok(()) => 200,
            Err(_) => 429,
        };
        let mut response = Response::new(Bytes::from_static(b"{\"some\":\"json\"}"));
        *response.status_mut() = status.try_into().unwrap();
        if status != 200 {
            return Reply::unchanged(response);
        }
        self.effects += 1;
        Reply::changed(response)
    }

    fn is_kept_for_each_key(&self, _: usize) -> bool {
        true
    }

    fn remaining(&self) -> Value {
        json!(["left"])
    }

    fn summary(&self) -> Map<String, Value> {
        Map::from_iter([("effects".to_owned(), self.effects.into())])
    }
}

fn rule(limit: u32, span: Duration, kind: WindowKind) -> Rule {
    let (phase, penalty) = (Duration::ZERO, Duration::ZERO);
    Rule { name: "all", limit: Some(limit), span, kind, phase, penalty }
}

fn counter(limit: u32, options: ChassisOptions) -> Chassis<Counter> {
    let rules = vec![rule(limit, Duration::from_secs(60), WindowKind::Sliding)];
    Chassis::new(options, Quotas::new(rules, 0.0), Counter::default())
}

fn get() -> Request<Bytes> {
    Request::builder().method(Method::GET).uri("/things/1").body(Bytes::new()).unwrap()
}

#[test]
fn a_sliding_window_accepts_exactly_what_a_count_over_all_the_past_would() {
    let mut rng = Rng::with_seed(8);
    for _ in 0..100 {
        let (limit, span) = (rng.u32(0..9), rng.u64(1..50));
        let rules = vec![rule(limit, Duration::from_micros(span), WindowKind::Sliding)];
        let mut quotas = Quotas::new(rules, 0.0);
        let mut accepted: Vec<u64> = Vec::new();
        let mut now = 0;
        for _ in 0..300 {
            now += rng.u64(0..12);
            let room_at = |now: u64| {
                let young = accepted.iter().filter(|&&at| at + span > now).count();
                young < limit as usize
            };
            match quotas.admit(now, &[(0, 0)]) {
                Ok(()) => {
                    assert!(room_at(now));
                    accepted.push(now);
                }
                Err(rejection) => {
                    assert!(!room_at(now));
                    let wait = u64::try_from(rejection.wait.as_micros()).unwrap();
                    assert!(limit == 0 || room_at(now + wait), "room after the told time");
                    assert!(!room_at(now + wait - 1), "and not before");
                }
            }
        }
    }
}

#[test]
fn a_fixed_window_starts_anew_at_its_border_and_lets_twice_the_limit_pass_there() {
    let mut rule = rule(5, Duration::from_micros(100), WindowKind::Fixed);
    rule.phase = Duration::from_micros(30);
    let mut quotas = Quotas::new(vec![rule], 0.0);
    let accepted = |now| (0..9).filter(|_| quotas.admit(now, &[(0, 0)]).is_ok()).count();
    assert_eq!([29, 30, 129, 130].map(accepted), [5, 5, 0, 5]);
}

#[test]
fn a_request_counts_in_all_windows_or_in_none_and_scopes_are_apart() {
    let second = Duration::from_secs(1);
    let rules = vec![
        rule(3, second, WindowKind::Sliding),
        rule(1, second, WindowKind::Sliding),
        Rule { limit: None, ..rule(0, second, WindowKind::Sliding) },
    ];
    let mut quotas = Quotas::new(rules, 0.0);
    assert!(quotas.admit(0, &[(0, 0), (1, 0), (2, 0)]).is_ok());
    for _ in 0..5 {
        assert_eq!(quotas.admit(0, &[(0, 0), (1, 0)]).unwrap_err().rule, 1);
    }
    assert_eq!(quotas.standing(0, &[(0, 0)]).unwrap().remaining, 2);
    assert!(quotas.admit(0, &[(0, 0), (1, 1)]).is_ok());
}

#[test]
fn a_second_client_takes_its_share_of_every_window() {
    let span = Duration::from_secs(60);
    for kind in [WindowKind::Sliding, WindowKind::Fixed] {
        // One request a second: more than is left beside the second client's 20 a minute.
        let mut quotas = Quotas::new(vec![rule(50, span, kind)], 0.4);
        let accepted = (0..600).filter(|n| quotas.admit(n * 1_000_000, &[(0, 0)]).is_ok()).count();
        assert!((300..=400).contains(&accepted), "{kind:?}: {accepted} in ten minutes");
    }
    let mut idle = Quotas::new(vec![rule(50, span, WindowKind::Sliding)], 0.4);
    assert_eq!(idle.standing(3_600_000_000, &[(0, 0)]).unwrap().remaining, 30);
}

#[test]
fn a_penalty_refuses_everything_for_its_time_and_is_not_prolonged() {
    let second = 1_000_000;
    let span = Duration::from_secs(300);
    let mut blocking = rule(1_200, span, WindowKind::Sliding);
    blocking.penalty = span;
    let mut quotas = Quotas::new(vec![blocking], 0.0);
    // Spread over 200 seconds, so that the window has room again long before the penalty ends.
    let admitted = (0..1_200).filter(|n| quotas.admit(n * second / 6, &[(0, 0)]).is_ok()).count();
    assert_eq!(admitted, 1_200);
    assert_eq!(quotas.admit(200 * second, &[(0, 0)]).unwrap_err().wait, span);
    let later = quotas.admit(400 * second, &[(0, 0)]).unwrap_err();
    assert_eq!(later.wait, Duration::from_secs(100), "counted from the first request too many");
    let standing = quotas.standing(400 * second, &[(0, 0)]).unwrap();
    assert_eq!((standing.remaining, standing.reset), (0, Duration::from_secs(100)));
    assert!(quotas.admit(500 * second - 1, &[(0, 0)]).is_err());
    assert!(quotas.admit(500 * second, &[(0, 0)]).is_ok());
}

#[test]
fn a_bucket_lets_its_capacity_pass_at_once_and_then_its_rate() {
    let minute = Duration::from_secs(60);
    let five_a_minute = rule(5, minute, WindowKind::Bucket { capacity: 25 });
    let mut quotas = Quotas::new(vec![five_a_minute], 0.0);
    let mut accepted = |now: u64| (0..99).filter(|_| quotas.admit(now, &[(0, 0)]).is_ok()).count();
    assert_eq!(accepted(0), 25);
    // One token every twelve seconds.
    let twelve = 12_000_000;
    assert_eq!([twelve - 1, twelve, 3 * twelve, 1_000 * twelve].map(&mut accepted), [0, 1, 2, 25]);
    let wait = quotas.admit(1_000 * twelve, &[(0, 0)]).unwrap_err().wait;
    assert_eq!(wait, Duration::from_secs(12));
    let whole = quotas.standing(1_000 * twelve, &[(0, 0)]).unwrap();
    assert_eq!((whole.limit, whole.remaining, whole.reset), (5, 0, 5 * minute));
}

#[test]
fn a_request_can_cost_more_than_one() {
    let second = Duration::from_secs(1);
    let rules = vec![
        rule(800, second, WindowKind::Bucket { capacity: 800 }),
        rule(3, second, WindowKind::Sliding),
        rule(3, second, WindowKind::Fixed),
    ];
    let mut quotas = Quotas::new(rules, 0.0);
    let mut take = |now, rule, cost| quotas.admit_costs(now, &[Charge { rule, scope: 0, cost }]);
    assert!(take(0, 0, 500).is_ok());
    assert_eq!(take(0, 0, 500).unwrap_err().wait, Duration::from_micros(250_000));
    assert!(take(250_000, 0, 500).is_ok());
    for rule in [1, 2] {
        assert!(take(10, rule, 2).is_ok());
        assert!(take(20, rule, 2).is_err());
        assert!(take(30, rule, 1).is_ok());
    }
    assert_eq!(take(40, 1, 2).unwrap_err().wait, Duration::from_micros(999_970));
}

#[tokio::test(start_paused = true)]
async fn the_uplink_delay_passes_before_the_count_and_the_downlink_after() {
    let latency = LatencyOptions::constant(Duration::from_millis(80));
    let sim = counter(9, ChassisOptions { latency, ..ChassisOptions::default() });
    let start = Instant::now();
    sim.call(get()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(80));
    sim.ledger().each(|entry| assert_eq!(entry.at, 40_000));
    assert_eq!(sim.ledger().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_to_the_world_and_to_the_client_what_it_says() {
    let sim = counter(100, ChassisOptions::default());
    let late = Duration::from_secs(90);
    sim.force([
        Some(Fault::ResetBefore),
        Some(Fault::ResetAfter),
        Some(Fault::Error(502)),
        Some(Fault::Slow(late)),
        Some(Fault::Truncate),
        Some(Fault::CutBody),
    ]);
    let effects = || sim.with_world(|world| world.effects);
    assert_eq!((sim.call(get()).await.unwrap_err(), effects()), (Reset, 0));
    assert_eq!((sim.call(get()).await.unwrap_err(), effects()), (Reset, 1));
    let page = sim.call(get()).await.unwrap();
    assert_eq!((page.status().as_u16(), effects()), (502, 1));
    assert!(page.body().starts_with(b"<html>"));
    let start = Instant::now();
    sim.call(get()).await.unwrap();
    assert_eq!((start.elapsed(), effects()), (late, 2));
    let half = sim.call(get()).await.unwrap();
    assert!(serde_json::from_slice::<Value>(half.body()).is_err());
    assert!(half.headers().contains_key("x-request-id"));
    assert_eq!(effects(), 3);
    let cut = sim.call(get()).await.unwrap();
    assert_eq!((&cut.headers()["content-length"], cut.body().len()), (&"15".parse().unwrap(), 7));
    let mut seen = Vec::new();
    sim.ledger().each(|entry| seen.push((entry.status, entry.effect)));
    let expected = [None, None, Some(502), Some(200), Some(200), Some(200)];
    assert!(seen.into_iter().eq(expected.into_iter().zip([false, true, false, true, true, true])));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_waits_for_has_still_taken_effect() {
    let sim = counter(9, ChassisOptions::default());
    sim.force([Some(Fault::Slow(Duration::from_secs(60)))]);
    let patience = Duration::from_secs(30);
    assert!(tokio::time::timeout(patience, sim.call(get())).await.is_err());
    assert_eq!(sim.with_world(|world| world.effects), 1);
}

#[tokio::test(start_paused = true)]
async fn the_calendar_starts_when_it_is_told_to() {
    let start_at = Some("2026-01-31T00:00:00Z".parse().unwrap());
    let sim = counter(9, ChassisOptions { start_at, ..ChassisOptions::default() });
    tokio::time::sleep(Duration::from_secs(90)).await;
    let (at, wall) = sim.now();
    assert_eq!((at, wall.to_string().as_str()), (90_000_000, "2026-01-31T00:01:30Z"));
}

#[tokio::test(start_paused = true)]
async fn storms_and_revocation_come_at_their_time() {
    let secs = Duration::from_secs;
    let storm = vec![Period { start: secs(10), length: secs(5) }];
    let faults = FaultOptions { storm, revoke_at: Some(secs(30)), ..FaultOptions::default() };
    let sim = counter(100, ChassisOptions { faults, ..ChassisOptions::default() });
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(sim.call(get()).await.unwrap().status().as_u16());
        tokio::time::sleep(secs(6)).await;
    }
    // At 12 seconds the storm rages; at 30 the key is gone.
    assert_eq!(statuses, [200, 200, 429, 200, 200, 401]);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_and_the_windows_agree() {
    let sim = counter(50, ChassisOptions::default());
    let mut rng = Rng::with_seed(2);
    for _ in 0..2_000 {
        sim.call(get()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(rng.u64(0..900))).await;
    }
    let minute = Duration::from_secs(60);
    assert_eq!(sim.ledger().most_in_window(minute, |entry| entry.status == Some(200)), 50);
    let (arrived, counted) = sim.ledger().most_of_rule(0, minute, true);
    assert!(arrived > 100, "{arrived} arrived");
    assert_eq!(counted, 50);
    assert_eq!(sim.ledger().count_of(200) + sim.ledger().too_many(), 2_000);
}

async fn raw(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut reply = vec![0; 65_536];
    let length = stream.read(&mut reply).await.unwrap();
    String::from_utf8(reply[..length].to_vec()).unwrap()
}

async fn on_port(options: ServeOptions) -> (Arc<Chassis<Counter>>, TcpStream) {
    let sim = Arc::new(counter(2, ChassisOptions::default()));
    let any = "127.0.0.1:0".parse().unwrap();
    let (address, serving) = serve(sim.clone(), any, options).await.unwrap();
    tokio::spawn(serving);
    (sim, TcpStream::connect(address).await.unwrap())
}

const THING: &str = "DELETE /things/1 HTTP/1.1\r\nhost: sim\r\n\r\n";

#[tokio::test]
async fn a_port_keeps_connections_answers_and_cuts() {
    let (sim, mut stream) = on_port(ServeOptions::default()).await;
    for expected in ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 429"] {
        let reply = raw(&mut stream, THING).await;
        assert!(reply.starts_with(expected), "{reply}");
        assert!(reply.contains("x-request-id: req_"), "{reply}");
    }
    sim.force([Some(Fault::ResetBefore)]);
    assert_eq!(raw(&mut stream, THING).await, "", "cut without a reply");
}

#[tokio::test]
async fn a_cut_body_ends_before_its_length_and_takes_the_connection_along() {
    let (sim, mut stream) = on_port(ServeOptions::default()).await;
    sim.force([Some(Fault::CutBody)]);
    stream.write_all(THING.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.contains("content-length: 15\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\n{\"some\""), "{reply}");
}

#[tokio::test]
async fn the_control_plane_answers_and_is_not_counted() {
    let (sim, mut stream) = on_port(ServeOptions::default()).await;
    raw(&mut stream, THING).await;
    let mut control =
        async |what: &str| raw(&mut stream, &format!("{what} HTTP/1.1\r\nhost: sim\r\n\r\n")).await;
    let summary = control("GET /_sim/summary").await;
    let body: Value = serde_json::from_str(summary.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["effects"], 1);
    assert_eq!(body["statuses"]["200"], 1);
    assert_eq!(body["rules"][0]["most_counted"], 1);
    assert!(control("GET /_sim/ledger").await.contains("\"path\":\"/things/1\""));
    assert!(control("GET /_sim/remaining").await.ends_with("[\"left\"]"));
    assert!(control("GET /_sim/unknown").await.starts_with("HTTP/1.1 404"));
    assert!(control("POST /_sim/revoke").await.starts_with("HTTP/1.1 204"));
    assert_eq!(sim.ledger().len(), 1);
    assert!(raw(&mut stream, THING).await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let idle_close = Some(Duration::from_millis(50));
    let (_sim, mut stream) = on_port(ServeOptions { idle_close }).await;
    assert!(raw(&mut stream, THING).await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    let closed = stream.read_to_end(&mut rest);
    tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap().unwrap();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}
