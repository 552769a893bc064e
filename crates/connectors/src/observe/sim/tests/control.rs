//! Flags, the control plane, and a real port.

use std::sync::Arc;

use clap::{Args, Command, FromArgMatches};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use windlass_sim::{ServeOptions, serve};

use super::*;

#[test]
fn the_flags_have_the_defaults_of_the_options() {
    let command = Options::augment_args(Command::new("observe"));
    command.clone().debug_assert();
    let parse = |flags: &[&str]| {
        let flags = [&["observe"], flags].concat();
        let matches = command.clone().try_get_matches_from(flags)?;
        Options::from_arg_matches(&matches)
    };
    assert_eq!(parse(&[]).unwrap(), Options::default());
    let parsed = parse(&[
        "--langfuse-rate=hobby",
        "--rudder-rate=1000",
        "--visible-after=2s",
        "--outage=rudder=503@10s..1h",
        "--outage=otlp=down@1s..",
        "--retry-after=http-date",
        "--knee=8",
        "--over-limit=drop",
        "--body-max=1000000",
        "--reset-after=0.1",
    ]);
    let parsed = parsed.unwrap();
    assert_eq!(parsed.langfuse_rate.ingestion, Some(1_000));
    assert_eq!((parsed.outage.len(), parsed.rudder_rate), (2, Some(1_000)));
    assert_eq!((parsed.load.knee, parsed.load.over_limit), (Some(8), OverLimit::Drop));
    assert_eq!((parsed.retry_after, parsed.body_max), (RetryAfter::HttpDate, Some(1_000_000)));
    assert!(parse(&["--langfuse-rate=0"]).is_err());
    assert!(parse(&["--outage=rudder=503"]).is_err());
    for (wrong, flag) in [
        ("--refuse-status=200", "--refuse-status"),
        ("--rudder-rate=0", "--rudder-rate"),
        ("--langfuse-public-key=a:b", "--langfuse-public-key"),
    ] {
        let refused = ObserveSim::new(parse(&[wrong]).unwrap()).unwrap_err();
        assert!(refused.contains(flag), "{refused}");
    }
}

fn control(sim: &ObserveSim, method: Method, path: &str) -> Response<Bytes> {
    sim.control(&Request::builder().method(method).uri(path).body(Bytes::new()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn events_and_counts_are_told() {
    let sim = sim(plain());
    to_rudder(&sim, "/v1/batch", batch(&[track("m1", "u", 1), track("m2", "u", 2)])).await;
    to_rudder(&sim, "/v1/batch", batch(&[track("m1", "u", 1)])).await;
    let cost = text("langfuse.observation.cost_details", "{\"total\":0.0075}");
    let priced = vec![cost, text("user.id", "u")];
    to_langfuse(&sim, export(vec![span(1, "chat", priced)])).await;
    let lines = words(&control(&sim, Method::GET, "/_sim/events?remote=rudder")).1;
    let first = "{\"at\":0,\"event\":\"clicked\",\"messageId\":\"m1\",\"sequence\":1,\
        \"times\":2,\"type\":\"track\",\"userId\":\"u\"}";
    assert_eq!(lines.lines().next(), Some(first));
    assert_eq!(lines.lines().count(), 2);
    let lines = words(&control(&sim, Method::GET, "/_sim/events?remote=langfuse")).1;
    let line = "{\"at\":0,\"cost\":\"0.0075\",\"name\":\"chat\",\"span_id\":\"0000000000000001\",\
        \"times\":1,\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"user\":\"u\"}\n";
    assert_eq!(lines, line);
    let (status, counts) = said(&control(&sim, Method::GET, "/_sim/counts"));
    let rudder = json!({
        "accepted": 3, "distinct": 2, "duplicates": 1, "out_of_order": 0, "rejected": 0,
        "suppressed": 0, "statuses": {"200": 2}, "abandoned": 0, "in_flight": 0,
        "most_in_flight": 1,
    });
    assert_eq!((status, &counts["rudder"]), (200, &rudder));
    assert_eq!(counts["langfuse"]["observations"], 1);
    assert_eq!(counts["scores"]["accepted"], 0);
    let (_, remaining) = said(&control(&sim, Method::GET, "/_sim/remaining"));
    assert_eq!(remaining["rudder"]["accepted"], 3);
    let (_, summary) = said(&control(&sim, Method::GET, "/_sim/summary"));
    assert_eq!((&summary["requests"], &summary["statuses"]["200"]), (&json!(3), &json!(3)));
    for path in ["/_sim/events", "/_sim/events?remote=x"] {
        assert_eq!(control(&sim, Method::GET, path).status(), 400, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_rows_the_counts_are_the_same() {
    let chassis = ChassisOptions { counters_only: true, ..calendar() };
    let sim = sim(Options { chassis, ..Options::default() });
    for ids in [["a", "b"], ["b", "c"]] {
        let messages = ids.map(|id| track(id, "u", 1));
        to_rudder(&sim, "/v1/batch", batch(&messages)).await;
    }
    let expected = Totals { accepted: 4, distinct: 3, duplicates: 1, out_of_order: 0, rejected: 0 };
    assert_eq!(sim.totals(Remote::Rudder), expected);
    assert!(sim.events(Remote::Rudder).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_switch_is_flipped_from_outside() {
    let sim = sim(plain());
    let send = || to_rudder(&sim, "/v1/batch", batch(&[track("m", "u", 1)]));
    let flip = |mode: &str| {
        let path = format!("/_sim/outage?remote=rudder&mode={mode}");
        control(&sim, Method::POST, &path).status().as_u16()
    };
    assert_eq!(flip("503"), 204);
    assert_eq!(send().await, (503, "service unavailable".to_owned()));
    assert_eq!(flip("off"), 204);
    assert_eq!(send().await.0, 200);
    assert_eq!(flip("odd"), 400);
    assert_eq!(control(&sim, Method::POST, "/_sim/outage?remote=rudder").status(), 400);
}

async fn raw(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut reply = vec![0; 65_536];
    let length = stream.read(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply[..length]).into_owned()
}

#[tokio::test]
async fn a_port_takes_chunks_and_lets_nobody_in_while_down() {
    let sim = Arc::new(sim(plain()));
    let any = "127.0.0.1:0".parse().unwrap();
    let (address, serving) = serve(Arc::clone(&sim), any, ServeOptions::default()).await.unwrap();
    tokio::spawn(serving);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = export_json(&[]);
    let (head, tail) = body.split_at(40);
    let request = format!(
        "POST {TRACES} HTTP/1.1\r\nhost: sim\r\nauthorization: {}\r\n\
        content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
        {:x}\r\n{head}\r\n{:x}\r\n{tail}\r\n0\r\n\r\n",
        langfuse_key(),
        head.len(),
        tail.len(),
    );
    let reply = raw(&mut stream, request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert_eq!(sim.events(Remote::Langfuse)[0].id, "00000000000000ff");
    let flip = b"POST /_sim/outage?remote=langfuse&mode=down HTTP/1.1\r\nhost: s\r\n\r\n";
    assert!(raw(&mut stream, flip).await.starts_with("HTTP/1.1 204"));
    assert_eq!(raw(&mut stream, request.as_bytes()).await, "", "cut without a reply");
}
