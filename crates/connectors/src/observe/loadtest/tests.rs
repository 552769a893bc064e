//! The load against a small server: what it sends, when, and what it makes of the answers.

use super::bodies::Bodies;
use super::compare::Judgement;
use super::goal::{Goal, Metric};
use super::report::{Report, Times};
use super::{Door, LoadError, Pace, Plan, Running, Side, alternate, compare, measure};
use bytes::Bytes;
use clap::Parser;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server in a thread; the answer to the request of a number is a status after a time.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<(Instant, String, Bytes)>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Server {
    fn start(answer: impl Fn(u64) -> (u16, Duration) + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let (answer, count) = (Arc::new(answer), Arc::new(AtomicU64::new(0)));
                let accept = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        stream.set_nodelay(true).unwrap();
                        let (answer, count, kept) =
                            (Arc::clone(&answer), Arc::clone(&count), Arc::clone(&kept));
                        let service = service_fn(move |request: Request<Incoming>| {
                            let now = Instant::now();
                            let number = count.fetch_add(1, Ordering::SeqCst);
                            let (status, wait) = answer(number);
                            let kept = Arc::clone(&kept);
                            async move {
                                let key = request.headers().get("authorization");
                                let key = key.map_or("", |key| key.to_str().unwrap());
                                let said = format!("{} {key}", request.uri().path());
                                let body = request.into_body().collect().await.unwrap().to_bytes();
                                kept.lock().unwrap().push((now, said, body));
                                if !wait.is_zero() {
                                    tokio::time::sleep(wait).await;
                                }
                                let body = Full::new(Bytes::from_static(b"ok"));
                                let answer = Response::builder().status(status).body(body);
                                Ok::<_, Infallible>(answer.unwrap())
                            }
                        });
                        let http = http1::Builder::new();
                        tokio::task::spawn_local(
                            http.serve_connection(TokioIo::new(stream), service),
                        );
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        let url = format!("http://{}", told.recv().unwrap());
        Self { url, seen, stop: Some(stop) }
    }

    fn plan(&self, rate: f64, seconds: f64) -> Plan {
        Plan {
            url: self.url.clone(),
            door: Door::Rudder,
            pace: Pace::Fixed(rate),
            duration: Duration::from_secs_f64(seconds),
            warmup: Duration::ZERO,
            events: 1,
            bytes: 400,
            connections: 16,
            users: 100,
            key: Some("wk".to_owned()),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

#[test]
fn the_rate_is_held_and_the_counts_are_exact() {
    let server = Server::start(|_| (200, Duration::ZERO));
    let plan = Plan { warmup: Duration::from_millis(500), ..server.plan(2000.0, 2.0) };
    let report = measure(&plan).unwrap();
    assert_eq!((report.warmup, report.sent, report.unanswered), (1000, 4000, 0));
    assert_eq!(report.statuses, BTreeMap::from([(200, 4000)]));
    assert!((report.achieved_rate / 2000.0 - 1.0).abs() < 0.02, "{}", report.achieved_rate);
    assert!(report.errors.is_empty() && report.error_share() == 0.0);
    assert!(report.latency.p50_ns >= report.service.p50_ns);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 5000);
    assert!(seen.iter().all(|(_, said, _)| said == "/v1/batch Basic d2s6"));
    let text = report.text();
    assert!(text.contains("4000 requests") && text.contains("4000 x 200"), "{text}");
}

#[test]
fn a_stall_shows_in_all_requests_that_were_due_meanwhile() {
    // All answers of the half second after the five hundredth request come at its end.
    let stall = Mutex::new(None);
    let server = Server::start(move |number| {
        let mut stall = stall.lock().unwrap();
        if number == 500 {
            *stall = Some(Instant::now() + Duration::from_millis(500));
        }
        let left = stall.map(|end| end.saturating_duration_since(Instant::now()));
        (200, left.unwrap_or_default())
    });
    let plan = Plan { connections: 4, ..server.plan(1000.0, 2.0) };
    let report = measure(&plan).unwrap();
    assert_eq!(report.sent, 2000);
    // A quarter of the requests was due in the stall; a tenth of all waited 300 ms or more. A loop
    // that waits for answers would have seen it in four requests of two thousand.
    assert!(report.latency.p90_ns > 200_000_000, "{report:?}");
    assert!(report.latency.p99_ns > 450_000_000, "{report:?}");
    assert!(report.latency.p50_ns < 100_000_000, "{report:?}");
    assert!(report.service.p99_ns < 200_000_000, "{report:?}");
}

#[test]
fn statuses_and_errors_are_counted_apart() {
    let server = Server::start(|number| match number % 10 {
        0 => (429, Duration::ZERO),
        1 => (503, Duration::ZERO),
        2 => (200, Duration::from_secs(2)),
        _ => (207, Duration::ZERO),
    });
    let timeout = Duration::from_millis(300);
    let plan = Plan { timeout, connections: 100, ..server.plan(200.0, 1.0) };
    let report = measure(&plan).unwrap();
    assert_eq!(report.statuses, BTreeMap::from([(207, 140), (429, 20), (503, 20)]));
    assert_eq!(report.errors, BTreeMap::from([("timeout".to_owned(), 20)]));
    assert!((report.error_share() - 0.3).abs() < 1e-9);
}

#[test]
fn what_was_never_sent_is_not_left_out() {
    let server = Server::start(|_| (200, Duration::from_millis(100)));
    let timeout = Duration::from_millis(200);
    let plan = Plan { timeout, connections: 2, ..server.plan(500.0, 1.0) };
    let report = measure(&plan).unwrap();
    assert_eq!(report.sent + report.unanswered, 500);
    assert!((20..=26).contains(&report.sent), "{}", report.sent);
    assert!(report.latency.p50_ns > 400_000_000, "{report:?}");
    assert!(report.error_share() > 0.9);
}

#[test]
fn a_gateway_that_is_away_is_a_report() {
    let server = Server::start(|_| (200, Duration::ZERO));
    let plan = Plan { url: "http://127.0.0.1:9".to_owned(), ..server.plan(100.0, 0.5) };
    let report = measure(&plan).unwrap();
    assert_eq!(report.errors, BTreeMap::from([("connect".to_owned(), 50)]));
    let goal: Goal = "p95=10ms".parse().unwrap();
    assert!(!goal.check(&[report]).is_met);
}

#[test]
fn a_closed_loop_sends_when_it_has_its_answer() {
    let server = Server::start(|_| (200, Duration::from_millis(20)));
    let plan = Plan { pace: Pace::Closed, connections: 4, ..server.plan(1.0, 1.0) };
    let report = measure(&plan).unwrap();
    // Four connections, an answer in 20 to 30 ms: 133 to 200 requests a second.
    assert!((100..=204).contains(&report.sent), "{}", report.sent);
    assert_eq!(report.statuses.values().sum::<u64>(), report.sent);
    assert_eq!(report.rate, None);
}

#[test]
fn chance_keeps_the_mean() {
    let server = Server::start(|_| (200, Duration::ZERO));
    let plan = Plan { pace: Pace::Poisson(2000.0), ..server.plan(1.0, 1.0) };
    let report = measure(&plan).unwrap();
    // The standard deviation of 2,000 is 45.
    assert!((1750..2250).contains(&report.sent), "{}", report.sent);
}

#[test]
fn plans_that_can_not_be_done_are_refused() {
    let server = Server::start(|_| (200, Duration::ZERO));
    let good = server.plan(1.0, 1.0);
    let bad = [
        Plan { events: 0, ..good.clone() },
        Plan { connections: 0, ..good.clone() },
        Plan { pace: Pace::Fixed(f64::NAN), ..good.clone() },
        Plan { pace: Pace::Poisson(1e12), ..good.clone() },
        Plan { url: "https://127.0.0.1:1".to_owned(), ..good.clone() },
        Plan { url: "127.0.0.1".to_owned(), ..good.clone() },
        Plan { bytes: 100 << 20, ..good.clone() },
        Plan { duration: Duration::ZERO, ..good },
    ];
    for plan in bad {
        assert!(matches!(measure(&plan), Err(LoadError::Plan(_))), "{plan:?}");
    }
}

#[test]
fn bodies_of_json_have_ids_of_their_own_and_the_size() {
    for door in [Door::Rudder, Door::Legacy] {
        let bodies = Bodies::new(door, 10, 1000, 50, 7);
        let (mut ids, mut users) = (HashSet::new(), HashSet::new());
        for number in 0..100 {
            let body = bodies.body(number);
            assert!((10_000..10_300).contains(&body.len()), "{}", body.len());
            let body: Value = serde_json::from_slice(&body).unwrap();
            for event in body["batch"].as_array().unwrap() {
                let (id, user) = match door {
                    Door::Rudder => (&event["messageId"], &event["userId"]),
                    _ => (&event["id"], &event["body"]["metadata"]["user"]),
                };
                assert_eq!(id.as_str().map(str::len), Some(32));
                ids.insert(id.to_string());
                users.insert(user.as_str().unwrap().to_owned());
            }
        }
        assert_eq!((ids.len(), users.len()), (1000, 50), "{door:?}");
        assert!(users.contains("user-00000049"));
    }
}

#[test]
fn bodies_of_spans_are_read_by_others() {
    let bodies = Bodies::new(Door::Otlp, 100, 700, 50, 7);
    let mut ids = HashSet::new();
    for number in 0..20 {
        let body = bodies.body(number);
        let export = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        let spans = &export.resource_spans[0].scope_spans[0].spans;
        assert_eq!(spans.len(), 100);
        for span in spans {
            assert!((690..720).contains(&span.encoded_len()), "{}", span.encoded_len());
            assert_eq!((span.name.as_str(), span.kind), ("chat", 3));
            let took = span.end_time_unix_nano - span.start_time_unix_nano;
            assert!((50_000_000..2_000_000_000).contains(&took));
            let names: Vec<_> = span.attributes.iter().map(|one| one.key.as_str()).collect();
            assert_eq!(names.len(), 9);
            assert_eq!(names[8], "user.id");
            ids.insert((span.trace_id.clone(), span.span_id.clone()));
        }
    }
    assert_eq!(ids.len(), 2000);
}

#[test]
fn two_gateways_are_measured_in_turns_and_the_slower_is_found() {
    let mut order = Vec::new();
    let fast = Server::start(|_| (200, Duration::ZERO));
    let slow = Server::start(|_| (200, Duration::from_millis(10)));
    let (a, b) = alternate(&fast.plan(200.0, 0.3), 3, |side| {
        order.push(side);
        let url = if side == Side::A { &fast.url } else { &slow.url };
        Ok(Running::new(url.clone(), || {}))
    })
    .unwrap();
    assert_eq!(order, [Side::A, Side::B, Side::B, Side::A, Side::A, Side::B]);
    let verdict = compare(&a, &b);
    assert_eq!(verdict.rows[0].judgement, Judgement::Worse);
    assert_eq!(verdict.rows[3].judgement, Judgement::NoDifference);
    assert_eq!(compare(&b, &a).rows[0].judgement, Judgement::Better);
    assert!(verdict.is_worse() && verdict.text().contains("WORSE"));
}

#[test]
fn a_child_that_ends_or_is_never_ready_is_an_error() {
    let start = |command: &str, argument: &str| {
        let mut command = std::process::Command::new(command);
        let within = Duration::from_millis(100);
        super::side::child(command.arg(argument), "http://127.0.0.1:9", "/ready", within)
    };
    assert!(start("false", "x").is_err_and(|error| error.to_string().contains("ended")));
    assert!(start("sleep", "60").is_err_and(|error| error.to_string().contains("not ready")));
    let server = Server::start(|_| (200, Duration::ZERO));
    let mut command = std::process::Command::new("sleep");
    let within = Duration::from_secs(5);
    let running = super::side::child(command.arg("60"), &server.url, "/ready", within).unwrap();
    assert_eq!(running.url, server.url);
}

#[test]
fn goals_are_read_and_judged_by_the_median() {
    let goal = |text: &str| text.parse::<Goal>();
    assert_eq!(goal("p95=10ms"), Ok(Goal { metric: Metric::P95, bound: 10_000_000.0 }));
    assert_eq!(goal("p99.9=2s"), Ok(Goal { metric: Metric::P999, bound: 2e9 }));
    assert_eq!(goal("errors=1%"), Ok(Goal { metric: Metric::Errors, bound: 0.01 }));
    assert_eq!(goal("rate=5000"), Ok(Goal { metric: Metric::Rate, bound: 5000.0 }));
    for wrong in ["p95", "p94=1ms", "p95=fast", "errors=-1%", "rate=NaN", "rate="] {
        assert!(goal(wrong).is_err(), "{wrong}");
    }
    let rounds: Vec<Report> = [9, 11, 30].map(|ms| report(ms * 1_000_000, 0, 100.0)).to_vec();
    let check = |text: &str| goal(text).unwrap().check(&rounds);
    assert!(check("p50=11ms").is_met && !check("p50=10ms").is_met);
    assert!(check("rate=100").is_met && !check("rate=101").is_met);
    assert_eq!(check("p50=10ms").text(), "goal MISSED: p50 at most 10.00 ms, measured 11.00 ms\n");
    assert!(!goal("p50=11ms").unwrap().check(&[]).is_met);
}

#[test]
fn arguments_become_a_plan() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: super::LoadtestArgs,
    }
    let read =
        |words: &[&str]| Line::try_parse_from(["x"].iter().chain(words)).map(|line| line.args);
    let words = ["--door", "otlp", "--rate", "5000", "--duration", "2m", "--goal", "p95=1ms"];
    let args = read(&words).unwrap();
    let plan = args.plan();
    assert_eq!((plan.door, plan.pace), (Door::Otlp, Pace::Fixed(5000.0)));
    assert_eq!((plan.duration, args.rounds()), (Duration::from_secs(120), 1));
    assert_eq!(args.goals, [Goal { metric: Metric::P95, bound: 1e6 }]);
    assert_eq!(read(&["--closed"]).unwrap().plan().pace, Pace::Closed);
    assert_eq!(read(&["--config", "a", "--against", "b"]).unwrap().rounds(), 5);
    assert!(read(&["--against", "b"]).is_err());
    assert!(read(&["--closed", "--rate", "5"]).is_err());
    assert!(read(&["--goal", "p95"]).is_err());
}

/// A report with these figures.
fn report(p50_ns: u64, failed: u64, rate: f64) -> Report {
    let latency = Times { p50_ns, p95_ns: 2 * p50_ns, p99_ns: 3 * p50_ns, ..Times::default() };
    let statuses = BTreeMap::from([(200, 1000 - failed), (500, failed)]);
    Report { sent: 1000, statuses, latency, achieved_rate: rate, ..Report::default() }
}

fn rounds(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Report>> {
    let one = (1000_u64..1_000_000, 0_u64..1000, 1.0..1e5);
    let one = one.prop_map(|(p50, failed, rate)| report(p50, failed, rate));
    prop::collection::vec(one, count)
}

fn judgements(a: &[Report], b: &[Report]) -> Vec<Judgement> {
    compare(a, b).rows.iter().map(|row| row.judgement).collect()
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(a in rounds(0..8)) {
        prop_assert_eq!(judgements(&a, &a), [Judgement::NoDifference; 5]);
    }

    #[test]
    fn what_is_better_one_way_is_worse_the_other(a in rounds(3..8), b in rounds(3..8)) {
        let (there, back) = (judgements(&a, &b), judgements(&b, &a));
        for (there, back) in there.into_iter().zip(back).take(3) {
            // A change of two percent up is less than two percent down, so one way may say nothing.
            prop_assert!(there != back || there == Judgement::NoDifference);
        }
    }

    #[test]
    fn all_rounds_have_to_agree(a in rounds(3..8), odd in any::<prop::sample::Index>()) {
        let faster = |one: &Report| {
            let mut faster = report(one.latency.p50_ns / 2, 0, one.achieved_rate * 1.5);
            faster.statuses.clone_from(&one.statuses);
            faster
        };
        let mut b: Vec<Report> = a.iter().map(faster).collect();
        use Judgement::{Better, NoDifference};
        prop_assert_eq!(judgements(&a, &b), [Better, Better, Better, NoDifference, Better]);
        prop_assert_eq!(judgements(&a[..2], &b[..2]), [NoDifference; 5]);
        let odd = odd.index(a.len());
        b[odd] = report(a[odd].latency.p50_ns + 1, 0, a[odd].achieved_rate - 0.5);
        let latencies = judgements(&a, &b);
        prop_assert_eq!(&latencies[..3], &[NoDifference; 3]);
        prop_assert_eq!(latencies[4], NoDifference);
    }

    #[test]
    fn little_does_not_matter(a in rounds(3..8)) {
        let nearly = |one: &Report| {
            let mut nearly = one.clone();
            nearly.achieved_rate *= 1.01;
            nearly
        };
        let b: Vec<Report> = a.iter().map(nearly).collect();
        prop_assert_eq!(judgements(&a, &b), [Judgement::NoDifference; 5]);
    }

    #[test]
    fn any_goal_is_read_without_harm(text: String) {
        let _ = text.parse::<Goal>();
    }
}
