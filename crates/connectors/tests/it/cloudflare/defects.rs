//! Sixteen defects of an older tool for the same work. Each is a test by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use serde_json::Value;
use windlass_connectors::OperationKind;
use windlass_connectors::cloudflare::sim::{Options, PurgeKind};
use windlass_sim::latency::parse_range;
use windlass_sim::{ChassisOptions, Fault, LatencyOptions};

use super::{free, guarded, scene, with_keys};
use crate::support::keys;

const MIXED: [&str; 5] = ["a-1", "a-2", "b-1", "b-2", "c"];

#[tokio::test(start_paused = true)]
async fn d01_a_pattern_selects_what_is_deleted() {
    let scene = with_keys(&MIXED);
    let none = scene.plan(&["delete", "--bulk", "--pattern", "^z"]).await;
    assert_eq!((none.header.steps, none.header.seen()), (0, 5));
    let plan = scene.plan(&["delete", "--bulk", "--pattern", "^a-"]).await;
    assert_eq!(keys(&plan), ["a-1", "a-2"]);
    let run = scene.stage.apply(&plan).await;
    assert_eq!(run.tally.counts.done, 2);
    assert_eq!(scene.keys(), ["b-1", "b-2", "c"]);
}

#[tokio::test(start_paused = true)]
async fn d02_a_pattern_selects_what_is_listed() {
    let scene = with_keys(&MIXED);
    assert_eq!(scene.text(&["list", "--pattern", "1$"]).await, "a-1\nb-1\n");
    assert_eq!(scene.text(&["list", "--pattern", "^z"]).await, "");
}

#[tokio::test(start_paused = true)]
async fn d03_a_dry_run_purges_nothing() {
    let scene = scene(free());
    let words = ["cache", "purge", "everything", "--zone", "zone-1.example"];
    let plan = scene.stage.plan(&words).await.unwrap();
    assert_eq!(plan.header.steps, 1);
    assert!(scene.wire.all().iter().all(|sent| sent.method == "GET"));
    assert!(scene.sim.purges().is_empty());
    assert_eq!(scene.stage.apply(&plan).await.tally.counts.done, 1);
    let purges = scene.sim.purges();
    assert_eq!(purges.len(), 1, "only applying the plan purges");
    assert_eq!(purges[0].kind, PurgeKind::Everything);
    assert_eq!(purges[0].zone, scene.sim.zones()[0].0);
}

#[tokio::test(start_paused = true)]
async fn d04_put_stores_the_bytes_and_the_metadata_that_were_given() {
    // 2026-01-31 at midnight, in seconds since 1970.
    const START: u64 = 1_769_817_600;
    let chassis = ChassisOptions {
        start_at: Some("2026-01-31T00:00:00Z".parse().unwrap()),
        ..ChassisOptions::default()
    };
    let scene = scene(Options { keys: 0, chassis, ..free() });
    let json = "{\"a\":1,\"b\":[\"ü\"]}";
    let put = ["put", "--key", "hello/a b", "--value", "world", "--metadata-json", json];
    assert_eq!(scene.text(&put).await, "");
    let expected = (b"world".to_vec(), Some(json.to_owned()), None);
    assert_eq!(scene.sim.value(&scene.full, "hello/a b"), Some(expected));
    assert_eq!(scene.text(&["get", "--key", "hello/a b"]).await, "world");

    let bytes = [0x00, 0xFF, 0xFE, b'\r', b'\n', 0x80, b'"'];
    let file = scene.stage.file("value.bin", bytes);
    for (metadata, kept) in [(&[][..], None), (&["--metadata-json", "[7]"], Some("[7]".to_owned()))]
    {
        let put = ["put", "--key", "bin", "--file", &file, "--expiration-ttl", "120"];
        scene.text(&[&put, metadata].concat()).await;
        let expected = (bytes.to_vec(), kept, Some(START + 120));
        assert_eq!(scene.sim.value(&scene.full, "bin"), Some(expected));
        let (_, out) = scene.stage.ask(&scene.line(&["get", "--key", "bin"])).await.unwrap();
        assert_eq!(out, bytes);
    }
    assert!(scene.wire.all().iter().all(|sent| !sent.uri.contains("metadata")));
}

/// The value of each key in a JSON array of records.
fn values(text: &str) -> BTreeMap<String, String> {
    let records: Vec<Value> = serde_json::from_str(text).unwrap();
    let pair = |record: &Value| {
        let field = |name: &str| record[name].as_str().unwrap().to_owned();
        (field("key"), field("value"))
    };
    let values: BTreeMap<_, _> = records.iter().map(pair).collect();
    assert_eq!(values.len(), records.len(), "no key comes twice");
    values
}

#[tokio::test(start_paused = true)]
async fn d05_a_bulk_get_has_the_values_of_all_matches() {
    let scene = scene(Options { keys: 1_500, odd_keys: true, ..free() });
    let found = values(&scene.text(&["get", "--bulk", "--prefix", "", "--json"]).await);
    assert_eq!(found.len(), 1_500);
    for key in scene.keys() {
        let (value, ..) = scene.sim.value(&scene.full, &key).unwrap();
        assert_eq!(found[&key].as_bytes(), value, "{key}");
    }
    let counts = scene.sim.counts();
    assert_eq!((counts.list, counts.bulk_get, counts.get, counts.total()), (2, 15, 0, 17));
}

#[tokio::test(start_paused = true)]
async fn d06_a_429_in_a_bulk_delete_is_waited_for() {
    let turn = AtomicUsize::new(0);
    let scene = guarded(Options { keys: 30, ..free() }, move |request| {
        let is_delete = request.uri().path().ends_with("/bulk/delete");
        if !is_delete || turn.fetch_add(1, Ordering::Relaxed) > 0 {
            return None;
        }
        let body = r#"{"success":false,"errors":[{"code":971,"message":"Please wait"}],
            "messages":[],"result":null}"#;
        let answer = Response::builder().status(429).header("retry-after", "7");
        Some(answer.body(body.into()).unwrap())
    });
    let run = scene.carry_out(&["delete", "--all-keys"]).await;
    assert_eq!((run.tally.counts.done, run.tally.throttled, run.tally.retries), (30, 1, 0));
    assert!(run.took >= Duration::from_secs(7), "{:?}", run.took);
    assert_eq!(scene.wire.sent("POST", "/bulk/delete").len(), 2);
    let counts = scene.sim.counts();
    assert_eq!((counts.bulk_delete, counts.delete), (1, 0), "never one by one");
    assert!(scene.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn d07_a_429_or_5xx_in_a_list_is_tried_again() {
    let scene = scene(Options { keys: 3_500, ..free() });
    let error = |status| Some(Fault::Error(status));
    scene.sim.force([None, error(429), error(503), None, error(500), error(524), error(502)]);
    let text = scene.text(&["list", "--all"]).await;
    assert_eq!(text.lines().collect::<Vec<_>>(), scene.keys());
    assert_eq!(scene.sim.ledger().len(), 4 + 5);
    scene.sim.force([error(429), error(503)]);
    assert_eq!(scene.plan(&["delete", "--all-keys"]).await.header.steps, 3_500);
}

#[tokio::test(start_paused = true)]
async fn d08_metadata_come_with_the_list_and_cost_no_request_of_their_own() {
    let scene = scene(Options { keys: 5_000, metadata_every: 3, ..free() });
    let list = ["list", "--tag-field", "type", "--tag-value", "image", "--metadata"];
    let text = scene.text(&list).await;
    // Every third of them has metadata, and every fourth that has is an image: 5,000 / 12.
    assert_eq!(text.lines().count(), 417);
    assert!(text.lines().all(|line| line.contains("\"type\":\"image\"")));
    let plan = scene.plan(&["delete", "--search", "IMAGE"]).await;
    assert_eq!(plan.header.steps, 417);
    let counts = scene.sim.counts();
    assert_eq!((counts.list, counts.metadata, counts.total()), (10, 0, 10));
}

#[tokio::test(start_paused = true)]
async fn d09_a_deletion_by_tag_is_planned_and_asked_for() {
    let scene = scene(Options { keys: 400, ..free() });
    let words = scene.line(&["delete", "--tag-field", "type", "--tag-value", "image"]);
    let setup = scene.stage.setup();
    let opening = scene.stage.open(&setup, &words).await.unwrap();
    assert_eq!(scene.stage.connector.kind_of(opening.job.info().operation), OperationKind::Destroy);
    let plan = scene.stage.plan(&words).await.unwrap();
    assert_eq!(plan.header.steps, 100);
    let sent = scene.wire.all();
    let of_account = "/client/v4/accounts/acc/storage/kv/namespaces/";
    assert!(sent.iter().all(|one| one.method == "GET" && one.uri.contains(of_account)));
    assert_eq!(scene.sim.len(&scene.full), 400, "planning deletes nothing");
    let run = scene.stage.apply(&plan).await;
    assert_eq!((run.tally.counts.done, scene.sim.len(&scene.full)), (100, 300));
}

#[tokio::test(start_paused = true)]
async fn d10_json_is_json_and_nothing_else() {
    let scene = with_keys(&MIXED);
    assert_eq!(scene.text(&["list", "--json", "--search", "nowhere"]).await, "[]\n");
    assert_eq!(scene.text(&["get", "--bulk", "--json", "--search", "nowhere"]).await, "[]\n");
    let text = scene.text(&["list", "--json", "--prefix", "a"]).await;
    let names: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(names, [serde_json::json!({"name": "a-1"}), serde_json::json!({"name": "a-2"})]);
}

#[tokio::test(start_paused = true)]
async fn d11_prefixes_are_sent_without_their_scheme() {
    let scene = scene(free());
    let with = "https://www.zone-1.example/a/b";
    let words = ["cache", "purge", "prefixes", "--zone", "zone-1.example", "--prefix", with];
    let plan = scene.stage.plan(&words).await.unwrap();
    assert_eq!(scene.stage.apply(&plan).await.tally.counts.done, 1);
    let purges = scene.sim.purges();
    assert_eq!(purges[0].kind, PurgeKind::Prefixes);
    assert_eq!(purges[0].items, ["www.zone-1.example/a/b"]);
    let body = &scene.wire.sent("POST", "/purge_cache")[0].body;
    assert_eq!(&body[..], br#"{"prefixes":["www.zone-1.example/a/b"]}"#);
}

#[tokio::test(start_paused = true)]
async fn d12_the_base_url_of_the_settings_is_used() {
    let mut scene = with_keys(&MIXED);
    scene.stage.base_url = Some("http://127.0.0.1:8787/client/v4".to_owned());
    scene.text(&["list", "--all"]).await;
    scene.carry_out(&["delete", "--key", "c"]).await;
    let sent = scene.wire.all();
    assert_eq!(sent.len(), 2);
    let place = "http://127.0.0.1:8787/client/v4/accounts/acc/";
    assert!(sent.iter().all(|one| one.uri.starts_with(place)), "{sent:?}");
    let variables = scene.stage.connector.base_url_variables;
    assert_eq!(variables[..2], ["CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_BASE_URL"]);
}

#[tokio::test(start_paused = true)]
async fn d13_zones_are_read_page_by_page() {
    let scene = scene(Options { zones: 60, ..free() });
    let words = ["cache", "purge", "hosts", "--host", "www.zone-55.example"];
    let plan = scene.stage.plan(&words).await.unwrap();
    assert_eq!(scene.sim.counts().zones, 2, "50 a page");
    assert_eq!(scene.stage.apply(&plan).await.tally.counts.done, 1);
    let purges = scene.sim.purges();
    assert_eq!(purges.len(), 1);
    assert_eq!(purges[0].zone, scene.sim.zones()[54].0);
    let everything = ["cache", "purge", "everything", "--all-zones"];
    assert_eq!(scene.stage.plan(&everything).await.unwrap().header.steps, 60);
    assert_eq!(scene.stage.text(&["zones", "list"]).await.lines().count(), 60);
}

#[tokio::test(start_paused = true)]
async fn d14_shards_are_listed_side_by_side_and_exactly() {
    let chain = scene(Options { keys: 20_000, ..free() });
    let began = tokio::time::Instant::now();
    chain.text(&["list", "--all"]).await;
    let alone = began.elapsed();
    assert_eq!(chain.wire.most_at_once(), 1, "a chain has one page on the wire");

    let scene = scene(Options { keys: 20_000, ..free() });
    let began = tokio::time::Instant::now();
    let text = scene.text(&["list", "--all", "--shards", "hex"]).await;
    let took = began.elapsed();
    assert_eq!(scene.wire.most_at_once(), 16);
    let mut names: Vec<&str> = text.lines().collect();
    assert_eq!(names.len(), 20_000);
    names.sort_unstable();
    assert_eq!(names, scene.keys());
    assert!(took < alone / 5, "{took:?} instead of {alone:?}");
    let plan = scene.plan(&["delete", "--all-keys", "--shards", "hex"]).await;
    assert_eq!(keys(&plan), scene.keys(), "a plan is in the order of the names all the same");
}

#[tokio::test(start_paused = true)]
async fn d14_pages_are_not_collected() {
    let scene = scene(Options { keys: 100_000, ..free() });
    let text = scene.text(&["list", "--all", "--limit", "1500"]).await;
    assert_eq!(text.lines().collect::<Vec<_>>(), scene.keys()[..1_500]);
    let asked = scene.sim.counts().list;
    assert!((2..=5).contains(&asked), "{asked} pages of 100: two taken, three at most ahead");
}

#[tokio::test(start_paused = true)]
async fn d14_answers_are_kept_unless_told_not_to() {
    let scene = scene(free());
    let words =
        ["cache", "purge", "everything", "--zone", "zone-1.example", "--zone", "zone-2.example"];
    assert_eq!(scene.stage.plan(&words).await.unwrap().header.steps, 2);
    assert_eq!(scene.sim.counts().zones, 1, "two zones are looked up in one list");
    scene.stage.plan(&[&words[..], &["--no-cache"]].concat()).await.unwrap();
    assert_eq!(scene.sim.counts().zones, 3, "and in two of them");
}

#[tokio::test(start_paused = true)]
async fn d15_each_key_has_its_own_value_whatever_is_under_way() {
    let latency = parse_range("1ms..400ms").unwrap();
    let latency = LatencyOptions { latency, jitter: Duration::from_millis(100) };
    let chassis = ChassisOptions { latency, ..ChassisOptions::default() };
    let scene = scene(Options { keys: 5_000, chassis, ..free() });
    let found = values(&scene.text(&["get", "--bulk", "--prefix", "", "--json"]).await);
    assert!(scene.wire.most_at_once() >= 10, "{}", scene.wire.most_at_once());
    assert_eq!(found.len(), 5_000);
    for (key, value) in &found {
        let (own, ..) = scene.sim.value(&scene.full, key).unwrap();
        assert_eq!(value.as_bytes(), own, "{key}");
    }
    assert_eq!(found.values().collect::<BTreeSet<_>>().len(), 5_000, "no two are alike");
}

#[tokio::test(start_paused = true)]
async fn d16_standard_output_has_data_alone() {
    let scene = scene(Options { keys: 2_500, ..free() });
    scene.sim.force([Some(Fault::Error(503)), None]);
    let (said, out) = scene.stage.ask(&scene.line(&["list"])).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.lines().collect::<Vec<_>>(), scene.keys()[..1_000]);
    assert_eq!(said.notes.len(), 1);
    assert!(said.notes[0].contains("--cursor"), "where it goes on is said beside the data");

    let first = &scene.keys()[0];
    let names = format!("{first},nowhere");
    let (said, out) =
        scene.stage.ask(&scene.line(&["get", "--bulk", "--keys", &names])).await.unwrap();
    let (value, ..) = scene.sim.value(&scene.full, first).unwrap();
    assert_eq!(out, [first.as_bytes(), b"\t", &value, b"\n"].concat());
    assert_eq!(said.notes, ["1 of the keys are not there"]);
    assert!(said.differs);

    let setup = scene.stage.setup();
    let export = scene.stage.open(&setup, &scene.line(&["export"])).await.unwrap();
    assert!(export.data_on_stdout);
    let delete = scene.stage.open(&setup, &scene.line(&["delete", "--all-keys"])).await.unwrap();
    assert!(!delete.data_on_stdout);
}
