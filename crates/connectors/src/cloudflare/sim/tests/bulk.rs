//! The bulk calls.

use super::*;

async fn bulk_put(sim: &CloudflareSim, ns: &str, body: &Value) -> (u16, Value) {
    call(sim, Method::PUT, &kv(ns, "/bulk"), body).await
}

async fn bulk_delete(sim: &CloudflareSim, ns: &str, keys: &Value) -> (u16, Value) {
    call(sim, Method::POST, &kv(ns, "/bulk/delete"), keys).await
}

async fn bulk_get(sim: &CloudflareSim, ns: &str, body: &Value) -> (u16, Value) {
    call(sim, Method::POST, &kv(ns, "/bulk/get"), body).await
}

fn items(sim: &CloudflareSim) -> Vec<(u16, u16)> {
    let mut items = Vec::new();
    sim.ledger().each(|entry| items.push((entry.status.unwrap(), entry.items)));
    items
}

#[tokio::test(start_paused = true)]
async fn a_bulk_write_keeps_each_pair_as_it_was_sent() {
    let (sim, ns) = with_namespace(with_keys(0));
    let body = json!([
        {"key": "plain", "value": "text \"quoted\" ü"},
        {"key": "bytes", "value": "AP+A", "base64": true},
        {"key": "all", "value": "", "metadata": {"z": 1, "a": [null]}, "expiration": START + 100},
        {"key": "life", "value": "v", "expiration_ttl": 60, "metadata": null, "unknown": 1},
        {"key": "twice", "value": "first"},
        {"key": "twice", "value": "last"},
    ]);
    let (status, body) = bulk_put(&sim, &ns, &body).await;
    assert_eq!(status, 200);
    assert_eq!(body["result"], json!({"successful_key_count": 6, "unsuccessful_keys": []}));
    let value = |key: &str| sim.value(&ns, key).unwrap();
    assert_eq!(value("plain"), ("text \"quoted\" ü".into(), None, None));
    assert_eq!(value("bytes"), (vec![0, 255, 128], None, None));
    let metadata = Some(r#"{"a":[null],"z":1}"#.to_owned());
    assert_eq!(value("all"), (vec![], metadata, Some(START + 100)));
    assert_eq!(value("life"), (b"v".to_vec(), None, Some(START + 60)));
    assert_eq!(value("twice").0, b"last");
    assert_eq!(sim.len(&ns), 5);
    assert_eq!(items(&sim), [(200, 6)]);
}

#[tokio::test(start_paused = true)]
async fn metadata_keeps_the_order_of_its_fields_and_loses_its_spaces() {
    let (sim, ns) = with_namespace(with_keys(0));
    let body = br#"[{"key":"k","value":"v","metadata": { "z" : "a \" b" , "a" : 1.50 } }]"#;
    assert_eq!(send(&sim, Method::PUT, &kv(&ns, "/bulk"), &body[..]).await.status(), 200);
    let metadata = sim.value(&ns, "k").unwrap().1;
    assert_eq!(metadata.as_deref(), Some(r#"{"z":"a \" b","a":1.50}"#));
}

#[tokio::test(start_paused = true)]
async fn one_wrong_pair_spoils_the_whole_write() {
    let (sim, ns) = with_namespace(with_keys(0));
    let long = "k".repeat(513);
    let metadata = "m".repeat(1_023);
    for (pair, expected) in [
        (json!({"key": "", "value": "v"}), (400, 10_001)),
        (json!({"key": ".", "value": "v"}), (400, 10_001)),
        (json!({"key": "..", "value": "v"}), (400, 10_001)),
        (json!({"key": long, "value": "v"}), (400, 10_001)),
        (json!({"key": "k", "value": 123}), (400, 10_001)),
        (json!({"key": "k"}), (400, 10_001)),
        (json!({"key": "k", "value": "no base 64", "base64": true}), (400, 10_001)),
        (json!({"key": "k", "value": "v", "expiration_ttl": 10}), (400, 10_001)),
        (json!({"key": "k", "value": "v", "expiration": START + 59}), (400, 10_001)),
        (json!({"key": "k", "value": "v", "metadata": metadata}), (413, 10_001)),
    ] {
        let body = json!([{"key": "good", "value": "v"}, pair]);
        let reply = bulk_put(&sim, &ns, &body).await;
        assert_eq!(refusal(&reply), expected, "{pair}");
        assert_eq!(sim.len(&ns), 0);
    }
    let reply = answer(&send(&sim, Method::PUT, &kv(&ns, "/bulk"), "not JSON").await);
    assert_eq!(refusal(&reply), (400, 10_001));
}

#[tokio::test(start_paused = true)]
async fn a_bulk_call_takes_ten_thousand_items_and_no_more() {
    let (sim, ns) = with_namespace(with_keys(10_002));
    let keys = sim.keys(&ns);
    assert_eq!(refusal(&bulk_delete(&sim, &ns, &json!(keys[..10_001])).await), (400, 10_001));
    assert_eq!(sim.len(&ns), 10_002);
    assert_eq!(bulk_delete(&sim, &ns, &json!(keys[..10_000])).await.0, 200);
    assert_eq!(sim.keys(&ns), keys[10_000..]);
    let pairs: Vec<Value> =
        keys[..10_001].iter().map(|key| json!({"key": key, "value": "v"})).collect();
    assert_eq!(refusal(&bulk_put(&sim, &ns, &json!(pairs)).await), (400, 10_001));
    assert_eq!(bulk_put(&sim, &ns, &json!(pairs[..10_000])).await.0, 200);
    assert_eq!(sim.len(&ns), 10_002);
    assert_eq!(sim.value(&ns, &keys[5]).unwrap(), (b"v".to_vec(), None, None));
    assert_eq!(items(&sim), [(400, 10_001), (200, 10_000), (400, 10_001), (200, 10_000)]);
    assert_eq!((sim.counts().bulk_delete, sim.counts().bulk_put), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn both_deletions_work_and_absent_keys_count_as_successful() {
    let (sim, ns) = with_namespace(with_keys(100));
    let keys = sim.keys(&ns);
    sim.put(&ns, "quo\"te", b"v", None, None);
    let (_, body) = bulk_delete(&sim, &ns, &json!([keys[0], keys[0], "absent", "quo\"te"])).await;
    assert_eq!(body["result"], json!({"successful_key_count": 4, "unsuccessful_keys": []}));
    let (status, _) = call(&sim, Method::DELETE, &kv(&ns, "/bulk"), &json!([keys[99]])).await;
    assert_eq!((status, sim.keys(&ns)), (200, keys[1..99].to_vec()));
    for wrong in [json!([{"key": "k"}]), json!({"keys": []}), json!([1]), json!(["."])] {
        assert_eq!(refusal(&bulk_delete(&sim, &ns, &wrong).await), (400, 10_001), "{wrong}");
    }
    assert_eq!(bulk_delete(&sim, &ns, &json!([])).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_read_gives_values_or_null() {
    let (sim, ns) = with_namespace(Options { binary_every: 2, value_bytes: 12, ..with_keys(4) });
    let keys = sim.keys(&ns);
    sim.put(&ns, "with", b"{\"a\": 1}", Some("{\"m\":2}"), Some(START + 500));
    let read = json!({"keys": [keys[1], "absent", "with", "with"]});
    let (status, body) = bulk_get(&sim, &ns, &read).await;
    assert_eq!(status, 200);
    let first = String::from_utf8(sim.value(&ns, &keys[1]).unwrap().0).unwrap();
    let expected = json!({keys[1].clone(): first, "absent": null, "with": "{\"a\": 1}"});
    assert_eq!(body["result"], json!({"values": expected}));
    let read = json!({"keys": ["with", "absent", keys[1]], "withMetadata": true, "type": "text"});
    let values = bulk_get(&sim, &ns, &read).await.1["result"]["values"].clone();
    let with = json!({"value": "{\"a\": 1}", "metadata": {"m": 2}, "expiration": START + 500});
    assert_eq!((&values["with"], &values["absent"]), (&with, &Value::Null));
    assert_eq!(values[&keys[1]]["metadata"]["tag"], "t-1");
    let read = json!({"keys": ["with"], "type": "json", "withMetadata": true});
    let (_, body) = bulk_get(&sim, &ns, &read).await;
    assert_eq!(body["result"]["values"]["with"]["value"], json!({"a": 1}));
    // Bytes that are no text come back broken.
    let (_, body) = bulk_get(&sim, &ns, &json!({"keys": [keys[0]]})).await;
    let text = body["result"]["values"][&keys[0]].as_str().unwrap();
    assert!(text.starts_with("\u{FFFD}\u{FFFD}\0\n\""), "{text:?}");
    assert_eq!(items(&sim), [(200, 4), (200, 3), (200, 1), (200, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_read_has_its_bounds() {
    let (sim, ns) = with_namespace(Options { value_bytes: 250_000, ..with_keys(101) });
    let keys = sim.keys(&ns);
    assert_eq!(bulk_get(&sim, &ns, &json!({"keys": keys[..100]})).await.0, 200, "25 MB");
    for wrong in [
        json!({"keys": keys}),
        json!({"keys": []}),
        json!({"keys": ["k"], "type": "binary"}),
        json!({"keys": [keys[0]], "type": "json"}),
        json!({"keys": [""]}),
        json!(["k"]),
    ] {
        assert_eq!(refusal(&bulk_get(&sim, &ns, &wrong).await), (400, 10_001), "{wrong}");
    }
    sim.put(&ns, "big", &vec![b'v'; 250_001], None, None);
    let mut too_large = keys[..99].to_vec();
    too_large.push("big".to_owned());
    let reply = bulk_get(&sim, &ns, &json!({"keys": too_large})).await;
    assert_eq!(refusal(&reply), (413, 10_001));
}

#[tokio::test(start_paused = true)]
async fn unsuccessful_keys_are_named_and_nothing_is_done_to_them() {
    let (sim, ns) = with_namespace(Options { unsuccessful_first: 3, ..with_keys(10) });
    let keys = sim.keys(&ns);
    let (status, body) = bulk_delete(&sim, &ns, &json!(keys)).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)));
    let expected = json!({"successful_key_count": 7, "unsuccessful_keys": keys[..3]});
    assert_eq!((&body["result"], sim.keys(&ns)), (&expected, keys[..3].to_vec()));
    let (_, again) = bulk_delete(&sim, &ns, &json!(keys[..3])).await;
    assert_eq!(again["result"]["successful_key_count"], 3);
    assert_eq!(sim.len(&ns), 0);
    let rate = Options { unsuccessful: 0.25, unsuccessful_status: 400, ..with_keys(0) };
    let (sim, ns) = with_namespace(rate);
    let pairs: Vec<Value> =
        (0..1_000).map(|n| json!({"key": format!("k{n}"), "value": "v"})).collect();
    let (status, body) = bulk_put(&sim, &ns, &json!(pairs)).await;
    assert_eq!(status, 400);
    let failed = body["result"]["unsuccessful_keys"].as_array().unwrap();
    assert!((200..300).contains(&failed.len()), "{}", failed.len());
    assert_eq!(sim.len(&ns), 1_000 - failed.len() as u64);
    assert!(failed.iter().all(|key| sim.value(&ns, key.as_str().unwrap()).is_none()));
}

#[tokio::test(start_paused = true)]
async fn large_bulk_calls_time_out_at_the_edge_with_a_page() {
    for (takes_effect, left) in [(false, 20), (true, 9)] {
        let options = Options { bulk_524_above: Some(10), ..with_keys(20) };
        let options = Options { bulk_524_takes_effect: takes_effect, ..options };
        let (sim, ns) = with_namespace(options);
        let keys = sim.keys(&ns);
        let path = kv(&ns, "/bulk/delete");
        let reply = send(&sim, Method::POST, &path, json!(keys[..11]).to_string()).await;
        assert_eq!((reply.status().as_u16(), sim.len(&ns)), (524, left));
        assert_eq!(header(reply.headers(), "content-type"), "text/html; charset=UTF-8");
        assert!(reply.body().starts_with(b"<!DOCTYPE html>"));
        assert_eq!(bulk_delete(&sim, &ns, &json!(keys[..10])).await.0, 200);
        let read = json!({"keys": keys[..11]}).to_string();
        let reply = send(&sim, Method::POST, &kv(&ns, "/bulk/get"), read).await;
        assert_eq!(reply.status(), 524);
    }
}

#[tokio::test(start_paused = true)]
async fn large_bodies_are_refused() {
    let (sim, ns) = with_namespace(Options { bulk_413_above: 100, ..with_keys(0) });
    let body = |length: usize| {
        let rest = length - r#"[{"key":"k","value":""}]"#.len();
        format!(r#"[{{"key":"k","value":"{}"}}]"#, "v".repeat(rest))
    };
    for (length, expected) in [(100, 200), (101, 413)] {
        let reply = send(&sim, Method::PUT, &kv(&ns, "/bulk"), body(length)).await;
        assert_eq!(reply.status(), expected);
    }
    let (sim, ns) = with_namespace(with_keys(0));
    let value = "v".repeat(24_999_970);
    let pair = |key: &str| format!(r#"{{"key":"{key}","value":"{value}"}}"#);
    let four = format!("[{},{},{},{}]", pair("a"), pair("b"), pair("c"), pair("d"));
    assert!(four.len() <= 100_000_000);
    assert_eq!(send(&sim, Method::PUT, &kv(&ns, "/bulk"), four.clone()).await.status(), 200);
    let too_large = format!("{four}{}", " ".repeat(100_000_001 - four.len()));
    assert_eq!(send(&sim, Method::PUT, &kv(&ns, "/bulk"), too_large).await.status(), 413);
}

#[tokio::test(start_paused = true)]
async fn an_older_api_tells_no_counts() {
    let (sim, ns) = with_namespace(Options { empty_bulk_results: true, ..with_keys(5) });
    let keys = sim.keys(&ns);
    let (status, body) = bulk_delete(&sim, &ns, &json!(keys[..2])).await;
    assert_eq!((status, &body["result"], sim.len(&ns)), (200, &json!({}), 3));
}
