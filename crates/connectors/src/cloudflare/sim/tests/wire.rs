//! Flags, credentials, envelopes, faults, the control plane and a real port.

use std::sync::Arc;

use clap::{Args, Command, FromArgMatches};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use windlass_sim::{FaultOptions, ServeOptions, WindowKind, serve};

use super::*;

#[test]
fn the_flags_have_the_defaults_of_the_options() {
    let command = Options::augment_args(Command::new("cloudflare"));
    command.clone().debug_assert();
    let parse = |flags: &[&str]| {
        let flags = [&["cloudflare"], flags].concat();
        let matches = command.clone().try_get_matches_from(flags)?;
        Options::from_arg_matches(&matches)
    };
    assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Options::default()));
    let parsed = parse(&[
        "--keys=10000000",
        "--namespaces=3",
        "--zone=example.com",
        "--plan=free",
        "--windows=fixed",
        "--limit=global=unlimited",
        "--limit=purge-free=9/60s",
        "--tokens=a",
        "--tokens=b",
        "--lag=60s",
        "--bulk-524-above=5000",
        "--error-rate=0.1",
        "--error-status=524",
        "--start-at=2026-01-31T00:00:00Z",
    ]);
    let parsed = parsed.unwrap();
    assert_eq!((parsed.keys, parsed.tokens.len(), parsed.limits.len()), (10_000_000, 2, 2));
    assert_eq!((parsed.plans, parsed.windows), (vec![Plan::Free], WindowKind::Fixed));
    assert_eq!(parsed.bulk_524_above, Some(5_000));
    assert_eq!(parsed.chassis.faults.error_status, [524]);
    assert!(parse(&["--windows=bucket"]).is_err());
    assert!(parse(&["--limit=nothing=1/1s"]).is_err());
    let metadata = parse(&["--no-metadata", "--metadata"]).unwrap();
    assert!(!metadata.no_metadata, "the later one wins");
    for wrong in [
        &["--namespace-id=short"][..],
        &["--namespaces=0"],
        &["--metadata-every=0"],
        &["--zones=1", "--zone=a.example", "--zone=b.example"],
        &["--unsuccessful-status=99"],
        &["--keys=100000000000"],
    ] {
        let refused = CloudflareSim::new(parse(wrong).unwrap()).unwrap_err();
        let flag = wrong[0].split('=').next().unwrap();
        assert!(refused.contains(flag), "{refused}");
    }
}

async fn with_headers(sim: &CloudflareSim, method: Method, headers: &[(&str, &str)]) -> (u16, u64) {
    let path = if method == Method::GET {
        "/client/v4/zones".to_owned()
    } else {
        format!("{API}{}", kv(&sim.namespace_ids()[0], "/values/k"))
    };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = answer(&sim.call(request.body(Bytes::new()).unwrap()).await.unwrap());
    if reply.0 == 200 { (200, 0) } else { refusal(&reply) }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_told_apart() {
    let read_only_tokens = vec!["reader".to_owned()];
    let forbidden_tokens = vec!["nobody".to_owned()];
    let closed = sim(Options { read_only_tokens, forbidden_tokens, ..free() });
    let open = sim(Options { any_key: true, ..free() });
    let both = async |sim: &CloudflareSim, headers: &[(&str, &str)]| {
        let read = with_headers(sim, Method::GET, headers).await;
        (read, with_headers(sim, Method::PUT, headers).await)
    };
    let bearer = |token: &'static str| [("authorization", token)];
    let ok = ((200, 0), (200, 0));
    assert_eq!(both(&closed, &bearer("Bearer cf-token-1")).await, ok);
    let own = [("x-auth-email", "ops@example.com"), ("x-auth-key", "cf-key-1")];
    assert_eq!(both(&closed, &own).await, ok);
    assert_eq!(both(&open, &bearer("Bearer whatever")).await, ok);
    let strange = [("x-auth-email", "x@example.com"), ("x-auth-key", "y")];
    assert_eq!(both(&open, &strange).await, ok);
    let twice = |refused| (refused, refused);
    assert_eq!(both(&closed, &[]).await, twice((400, 9_106)));
    assert_eq!(both(&closed, &own[..1]).await, twice((400, 9_106)));
    assert_eq!(both(&closed, &bearer("Bearer wrong")).await, twice((401, 10_000)));
    assert_eq!(both(&closed, &bearer("cf-token-1")).await, twice((401, 10_000)));
    assert_eq!(both(&open, &bearer("Bearer ")).await, twice((401, 10_000)));
    assert_eq!(both(&closed, &strange).await, twice((403, 9_106)));
    assert_eq!(both(&closed, &bearer("Bearer nobody")).await, twice((403, 9_109)));
    assert_eq!(both(&closed, &bearer("Bearer reader")).await, ((200, 0), (403, 9_109)));
    let (status, body) = get(&closed, "/user/tokens/verify").await;
    assert_eq!((status, &body["result"]["status"]), (200, &json!("active")));
    closed.revoke_key();
    assert_eq!(both(&closed, &bearer("Bearer cf-token-1")).await, twice((403, 9_109)));
    assert_eq!(both(&closed, &own).await, twice((403, 9_109)));
}

#[tokio::test(start_paused = true)]
async fn a_reader_reads_in_bulk_and_purges_nothing() {
    let (sim, ns) = with_namespace(Options {
        tokens: vec!["other".to_owned()],
        read_only_tokens: vec![TOKEN.to_owned()],
        ..with_keys(2)
    });
    let keys = json!({"keys": sim.keys(&ns)});
    assert_eq!(call(&sim, Method::POST, &kv(&ns, "/bulk/get"), &keys).await.0, 200);
    let deletion = call(&sim, Method::POST, &kv(&ns, "/bulk/delete"), &json!(sim.keys(&ns))).await;
    assert_eq!(refusal(&deletion), (403, 9_109));
    let purge = format!("/zones/{}/purge_cache", sim.zones()[0].0);
    let purge = call(&sim, Method::POST, &purge, &json!({"purge_everything": true})).await;
    assert_eq!((refusal(&purge), sim.purges().len(), sim.len(&ns)), ((403, 9_109), 0, 2));
}

#[tokio::test(start_paused = true)]
async fn envelopes_are_plain_or_odd() {
    for odd_envelopes in [false, true] {
        let (sim, ns) = with_namespace(Options { odd_envelopes, ..with_keys(3) });
        let (_, page) = get(&sim, &kv(&ns, "/keys")).await;
        assert_eq!((&page["success"], &page["errors"]), (&json!(true), &json!([])));
        assert_eq!(names(&page), sim.keys(&ns));
        let (_, deleted) = answer(&send(&sim, Method::DELETE, &kv(&ns, "/values/k"), "").await);
        let missing = get(&sim, &kv(&ns, "/values/absent")).await;
        assert_eq!(refusal(&missing), (404, 10_009));
        if odd_envelopes {
            assert!(page["messages"][0].is_string() && page["messages"][1]["code"].is_u64());
            assert!(page["x_trace"].is_object());
            assert_eq!(deleted["result"], Value::Null);
            assert!(missing.1["errors"][0]["error_chain"].is_array());
        } else {
            assert_eq!((&page["messages"], &deleted["result"]), (&json!([]), &json!({})));
            assert_eq!(page.as_object().unwrap().len(), 5);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_network_do_what_they_say() {
    let (sim, ns) = with_namespace(with_keys(10));
    let keys = sim.keys(&ns);
    let delete = async |key: &str| {
        let request = Request::delete(format!("{API}{}", kv(&ns, &format!("/values/{key}"))));
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        sim.call(request.body(Bytes::new()).unwrap()).await
    };
    sim.force([
        Some(Fault::ResetBefore),
        Some(Fault::ResetAfter),
        Some(Fault::Error(524)),
        Some(Fault::Slow(Duration::from_secs(90))),
        Some(Fault::Truncate),
        Some(Fault::CutBody),
    ]);
    assert_eq!((delete(&keys[0]).await.unwrap_err(), sim.len(&ns)), (Reset, 10));
    assert_eq!((delete(&keys[0]).await.unwrap_err(), sim.len(&ns)), (Reset, 9));
    let page = delete(&keys[1]).await.unwrap();
    assert_eq!((page.status().as_u16(), sim.len(&ns)), (524, 9));
    assert!(page.body().starts_with(b"<html>") && page.headers().contains_key("cf-ray"));
    let before = tokio::time::Instant::now();
    assert_eq!(delete(&keys[1]).await.unwrap().status(), 200);
    assert_eq!((before.elapsed().as_secs(), sim.len(&ns)), (90, 8));
    let half = delete(&keys[2]).await.unwrap();
    assert!(serde_json::from_slice::<Value>(half.body()).is_err());
    let cut = delete(&keys[3]).await.unwrap();
    let length: usize = header(cut.headers(), "content-length").parse().unwrap();
    assert!(cut.body().len() < length);
    assert_eq!((sim.len(&ns), sim.counts().delete), (6, 4));
}

#[tokio::test(start_paused = true)]
async fn storms_and_unlucky_requests_are_refused_in_cloudflares_words() {
    let faults = FaultOptions {
        too_many_every: 3,
        storm: vec![windlass_sim::faults::Period {
            start: Duration::from_secs(100),
            length: Duration::from_secs(20),
        }],
        ..FaultOptions::default()
    };
    let sim = sim(Options { chassis: ChassisOptions { faults, ..calendar() }, ..free() });
    let mut codes = Vec::new();
    for _ in 0..4 {
        let reply = get(&sim, "/accounts").await;
        codes.push(if reply.0 == 200 { 0 } else { refusal(&reply).1 });
    }
    assert_eq!(codes, [0, 0, 971, 0]);
    pass(105).await;
    let reply = send(&sim, Method::GET, "/accounts", "").await;
    assert_eq!((reply.status().as_u16(), header(reply.headers(), "retry-after")), (429, "15"));
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_tells_counts_keys_and_digests() {
    let (sim, ns) = with_namespace(Options { chassis: calendar(), keys: 5, ..Options::default() });
    get(&sim, &kv(&ns, "/keys")).await;
    call(&sim, Method::POST, &kv(&ns, "/bulk/delete"), &json!(sim.keys(&ns)[..2])).await;
    let control = |path: &str| {
        let request = Request::builder().uri(path).body(Bytes::new()).unwrap();
        sim.control(&request).into_body()
    };
    let summary: Value = serde_json::from_slice(&control("/_sim/summary")).unwrap();
    assert_eq!(
        (&summary["routes"]["list"], &summary["routes"]["bulk_delete"]),
        (&json!(1), &json!(1))
    );
    assert_eq!((&summary["keys"][&ns], &summary["requests"]), (&json!(3), &json!(2)));
    assert_eq!(summary["rules"][0]["name"], "global");
    assert_eq!(summary["rules"][0]["most_counted"], 2);
    assert_eq!(
        (&summary["rules"][2]["name"], &summary["rules"][2]["burst"]),
        (&json!("purge-free"), &json!(25))
    );
    let remaining: Value = serde_json::from_slice(&control("/_sim/remaining")).unwrap();
    let first = &remaining["namespaces"][0];
    assert_eq!((&first["id"], &first["keys"]), (&json!(ns), &json!(3)));
    assert_eq!(
        (&first["names"], &first["digest"]),
        (&json!(sim.keys(&ns)), &json!(sim.digest(&ns)))
    );
    let ledger = String::from_utf8(control("/_sim/ledger").to_vec()).unwrap();
    let row: Value = serde_json::from_str(ledger.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (&row["items"], &row["effect"], &row["key"]),
        (&json!(2), &json!(true), &json!(TOKEN))
    );
}

#[tokio::test(start_paused = true)]
async fn a_digest_is_the_same_for_the_same_pairs_and_for_no_others() {
    let options =
        || Options { odd_keys: true, expiring_every: 3, binary_every: 4, ..with_keys(50) };
    let (one, ns) = with_namespace(options());
    let (two, _) = with_namespace(options());
    assert_eq!(one.digest(&ns), two.digest(&ns));
    let key = one.keys(&ns)[7].clone();
    let (value, metadata, expiration) = one.value(&ns, &key).unwrap();
    let write = |value: &[u8], metadata: Option<&str>, expiration| {
        one.put(&ns, &key, value, metadata, expiration);
        one.digest(&ns) == two.digest(&ns)
    };
    assert!(!write(b"other", metadata.as_deref(), expiration));
    assert!(!write(&value, None, expiration));
    assert!(!write(&value, metadata.as_deref(), Some(START + 999)));
    assert!(write(&value, metadata.as_deref(), expiration), "written as it was");
    assert!(one.delete_by_someone_else(&ns, &key) && !one.delete_by_someone_else(&ns, &key));
    assert_ne!(one.digest(&ns), two.digest(&ns));
    let other = ChassisOptions { seed: 1, ..calendar() };
    let (other, _) =
        with_namespace(Options { chassis: other, namespace_id: Some(ns.clone()), ..options() });
    assert_ne!(other.digest(&ns), two.digest(&ns), "another seed");
    assert_eq!(one.digest("none"), "");
}

#[tokio::test]
async fn a_port_takes_chunked_bodies_keeps_connections_and_gives_bytes() {
    let (sim, ns) = with_namespace(with_keys(2));
    let sim = Arc::new(sim);
    let any = "127.0.0.1:0".parse().unwrap();
    let (address, serving) = serve(sim.clone(), any, ServeOptions::default()).await.unwrap();
    tokio::spawn(serving);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut exchange = async |request: String| {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = vec![0; 65_536];
        let length = stream.read(&mut reply).await.unwrap();
        String::from_utf8_lossy(&reply[..length]).into_owned()
    };
    let head =
        |line: String| format!("{line} HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer {TOKEN}\r\n");
    let body = json!([{"key": "a/b", "value": "v"}]).to_string();
    let put = head(format!("PUT {API}{}", kv(&ns, "/bulk")));
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let reply = exchange(format!("{put}transfer-encoding: chunked\r\n\r\n{chunk}")).await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("cf-ray: "), "{reply}");
    let get = head(format!("GET {API}{}", kv(&ns, "/values/a%2Fb")));
    let reply = exchange(format!("{get}\r\n")).await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("\r\n\r\nv"), "{reply}");
    assert_eq!((sim.len(&ns), sim.ledger().len()), (3, 2));
}
