//! Outages, load, and what a request in trouble leaves behind.

use std::sync::Arc;

use tokio::time::Instant;

use super::*;

async fn try_otlp(sim: &ObserveSim) -> Option<u16> {
    let request = Request::builder().method(Method::POST).uri("/v1/traces");
    let request = request.header("content-type", "application/x-protobuf");
    let reply = sim.call(request.body(named(&["a"]).into()).unwrap()).await;
    reply.ok().map(|reply| reply.status().as_u16())
}

#[tokio::test(start_paused = true)]
async fn a_planned_outage_begins_and_ends_on_time() {
    let sim = sim(Options { outage: vec!["otlp=down@1s..1h".parse().unwrap()], ..plain() });
    let mut seen = Vec::new();
    for seconds in [0, 1, 3_598, 1] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        seen.push(try_otlp(&sim).await);
    }
    assert_eq!(seen, [Some(200), None, None, Some(200)]);
    assert_eq!(sim.ledger().len(), 2, "who is down sees no request");
    assert_eq!(sim.traffic(Remote::Otlp).statuses, [(0, 2), (200, 2)].into());
}

#[tokio::test(start_paused = true)]
async fn each_remote_refuses_in_its_own_words() {
    let sim = sim(plain());
    for status in [429, 503] {
        Remote::ALL.iter().for_each(|remote| sim.set_outage(*remote, Some(Mode::Status(status))));
        let words_of_rudder =
            if status == 429 { "max requests limit reached" } else { "service unavailable" };
        let refused = to_rudder(&sim, "/v1/batch", batch(&[track("m", "u", 1)])).await;
        assert_eq!(refused, (status, words_of_rudder.to_owned()));
        let (told, body) = to_langfuse(&sim, named(&["a"])).await;
        let message = if status == 429 { "Rate limit exceeded" } else { "Service Unavailable" };
        assert_eq!((told, &body["message"]), (status, &json!(message)));
        let reply = to_otlp(&sim, named(&["a"])).await;
        assert_eq!((reply.status().as_u16(), header_of(&reply, "retry-after")), (status, "1"));
    }
    Remote::ALL.iter().for_each(|remote| sim.set_outage(*remote, None));
    assert_eq!(try_otlp(&sim).await, Some(200));
    assert_eq!(sim.totals(Remote::Rudder).accepted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_remote_has_effect_and_a_hanging_one_has_none() {
    let sim = sim(plain());
    sim.set_outage(Remote::Otlp, Some(Mode::Slow(Duration::from_secs(5))));
    let start = Instant::now();
    assert_eq!(try_otlp(&sim).await, Some(200));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    sim.set_outage(Remote::Otlp, Some(Mode::Hang));
    let hour = Duration::from_secs(3_600);
    assert!(tokio::time::timeout(hour, try_otlp(&sim)).await.is_err());
    assert_eq!(sim.totals(Remote::Otlp).accepted, 1);
    let traffic = sim.traffic(Remote::Otlp);
    assert_eq!((traffic.in_flight, traffic.abandoned), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn answers_slow_down_with_the_requests_in_flight_up_to_a_limit() {
    let ms = Duration::from_millis;
    for (over_limit, expected) in [
        (OverLimit::Unavailable, Some(503)),
        (OverLimit::TooMany, Some(429)),
        (OverLimit::Drop, None),
    ] {
        let load = LoadOptions {
            delay_base: ms(10),
            delay_slope: ms(5),
            knee: None,
            hard_limit: Some(3),
            over_limit,
        };
        let sim = Arc::new(sim(Options { load, ..plain() }));
        let start = Instant::now();
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let sim = Arc::clone(&sim);
                tokio::spawn(async move { (try_otlp(&sim).await, start.elapsed()) })
            })
            .collect();
        let mut seen = Vec::new();
        for call in calls {
            seen.push(call.await.unwrap());
        }
        let served = [10, 15, 20].map(|late| (Some(200), ms(late)));
        assert_eq!(seen[..3], served);
        assert_eq!(seen[3], (expected, Duration::ZERO));
        assert_eq!(sim.traffic(Remote::Otlp).most_in_flight, 4);
        assert_eq!(sim.totals(Remote::Otlp).accepted, 3);
        // The remotes do not share their capacity.
        assert_eq!(sim.traffic(Remote::Rudder).most_in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "a measurement of the whole process, to be run alone"]
async fn a_million_events_of_each_remote_fit_in_500_megabytes() {
    let sim = sim(plain());
    let count = 1_000_000;
    let mut before = resident();
    for remote in [Remote::Rudder, Remote::Langfuse, Remote::Otlp] {
        for first in (0..count).step_by(1_000) {
            let numbers = first..first + 1_000;
            match remote {
                Remote::Rudder => drop(to_rudder(&sim, "/v1/batch", messages(numbers)).await),
                Remote::Langfuse => drop(to_langfuse(&sim, spans(numbers)).await),
                Remote::Otlp => drop(to_otlp(&sim, spans(numbers)).await),
            }
        }
        assert_eq!(sim.totals(remote).distinct, 1_000_000);
        let megabytes = (resident() - before) >> 20;
        assert!(megabytes < 500, "{}: {megabytes} MB", remote.name());
        before = resident();
    }
}

fn messages(numbers: std::ops::Range<i64>) -> String {
    let message =
        |n| track(&format!("{n:08}-0000-4000-8000-000000000000"), &format!("user-{}", n / 10), n);
    batch(&numbers.map(message).collect::<Vec<Value>>())
}

fn spans(numbers: std::ops::Range<i64>) -> Vec<u8> {
    let numbered = numbers.map(|n| {
        let mut span = span(n.unsigned_abs(), "chat", priced(n));
        span.trace_id = (i128::from(n) + 1).to_be_bytes().to_vec();
        span
    });
    export(numbered.collect())
}

fn priced(n: i64) -> Vec<KeyValue> {
    vec![
        text("langfuse.observation.model.name", "gpt-4o"),
        text("user.id", &format!("user-{}", n / 10)),
        text("langfuse.observation.usage_details", &format!("{{\"input\":{n},\"output\":500}}")),
        text("langfuse.observation.cost_details", "{\"input\":0.0025,\"output\":0.005}"),
    ]
}

/// Bytes of memory of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}
