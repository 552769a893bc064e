//! Namespaces, accounts, zones and what purges may ask for.

use super::*;

const NAMESPACES: &str = "/accounts/acc/storage/kv/namespaces";

#[tokio::test(start_paused = true)]
async fn namespaces_are_created_shown_renamed_and_deleted() {
    let sim = sim(free());
    let (status, body) = call(&sim, Method::POST, NAMESPACES, &json!({"title": "new"})).await;
    assert_eq!(status, 200);
    let id = body["result"]["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(body["result"], json!({"id": id, "title": "new", "supports_url_encoding": true}));
    for title in ["new", "namespace-1"] {
        let again = call(&sim, Method::POST, NAMESPACES, &json!({"title": title})).await;
        assert_eq!(refusal(&again), (400, 10_014));
    }
    let eu = json!({"title": "in the union", "jurisdiction": "eu"});
    let (_, body) = call(&sim, Method::POST, NAMESPACES, &eu).await;
    assert_eq!(body["result"]["jurisdiction"], "eu");
    let mars = json!({"title": "far", "jurisdiction": "mars"});
    assert_eq!(refusal(&call(&sim, Method::POST, NAMESPACES, &mars).await), (400, 10_001));
    assert_eq!(refusal(&call(&sim, Method::POST, NAMESPACES, &json!({})).await), (400, 10_001));
    let path = format!("{NAMESPACES}/{id}");
    assert_eq!(call(&sim, Method::PUT, &path, &json!({"title": "newer"})).await.0, 200);
    assert_eq!(get(&sim, &path).await.1["result"]["title"], "newer");
    let taken = call(&sim, Method::PUT, &path, &json!({"title": "namespace-2"})).await;
    assert_eq!(refusal(&taken), (400, 10_014));
    sim.put(&id, "k", b"v", None, None);
    assert_eq!(send(&sim, Method::DELETE, &path, "").await.status(), 200);
    for reply in [
        get(&sim, &path).await,
        get(&sim, &format!("{path}/keys")).await,
        answer(&send(&sim, Method::DELETE, &path, "").await),
    ] {
        assert_eq!(refusal(&reply), (404, 10_013));
    }
    assert_eq!((sim.len(&id), sim.namespace_ids().len()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_listed_in_numbered_pages() {
    let sim = sim(Options { namespaces: 45, ..free() });
    let titles = async |query: &str| {
        let (status, body) = get(&sim, &format!("{NAMESPACES}?{query}")).await;
        assert_eq!(status, 200, "{body}");
        let titles = body["result"].as_array().unwrap().iter();
        let titles: Vec<String> =
            titles.map(|one| one["title"].as_str().unwrap().to_owned()).collect();
        (titles, body["result_info"].clone())
    };
    let (page, info) = titles("order=title&direction=asc&page=3").await;
    assert_eq!(page, ["namespace-5", "namespace-6", "namespace-7", "namespace-8", "namespace-9"]);
    let expected = json!({
        "count": 5, "page": 3, "per_page": 20, "total_count": 45, "total_pages": 3,
    });
    assert_eq!(info, expected);
    assert_eq!(titles("order=title&direction=desc").await.0[0], "namespace-9");
    // What wrangler asks for: all on one page, and then the next one.
    assert_eq!(titles("per_page=1000&order=title&direction=asc").await.0.len(), 45);
    assert_eq!(titles("per_page=1000&order=title&direction=asc&page=2").await.0, [""; 0]);
    for wrong in ["per_page=1001", "per_page=0", "page=0", "order=age", "direction=up"] {
        assert_eq!(refusal(&get(&sim, &format!("{NAMESPACES}?{wrong}")).await), (400, 10_001));
    }
    let by_id = get(&sim, &format!("{NAMESPACES}?per_page=100")).await.1;
    let ids = by_id["result"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap());
    assert!(ids.is_sorted());
    assert_eq!(sim.counts().namespaces, 10);
}

#[tokio::test(start_paused = true)]
async fn an_account_has_a_thousand_namespaces() {
    let sim = sim(Options { namespaces: 999, keys: 1, ..free() });
    let create =
        async |title: &str| call(&sim, Method::POST, NAMESPACES, &json!({"title": title})).await.0;
    assert_eq!([create("one more").await, create("one too many").await], [200, 400]);
}

#[tokio::test(start_paused = true)]
async fn identifiers_are_looked_at() {
    let id = "0123456789abcdef0123456789abcdef";
    let sim = sim(Options { namespace_id: Some(id.to_owned()), ..free() });
    assert_eq!(sim.namespace_ids()[0], id);
    let keys =
        |account: &str, ns: &str| format!("/accounts/{account}/storage/kv/namespaces/{ns}/keys");
    assert_eq!(get(&sim, &keys("acc", id)).await.0, 200);
    assert_eq!(get(&sim, &keys(id, id)).await.0, 200, "any account of 32 digits is ours");
    assert_eq!(refusal(&get(&sim, &keys("other", id)).await), (404, 7_003));
    assert_eq!(refusal(&get(&sim, &keys("acc", "namespace-1")).await), (404, 7_003));
    assert_eq!(refusal(&get(&sim, &keys("acc", &id.replace('0', "1"))).await), (404, 10_013));
    assert_eq!(refusal(&get(&sim, "/nothing/here").await), (404, 7_000));
    let outside = Request::builder().uri("/zones").header("authorization", "Bearer cf-token-1");
    let outside = sim.call(outside.body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(refusal(&answer(&outside)), (404, 7_000));
    let wrong = call(&sim, Method::PATCH, &kv(id, ""), &json!({})).await;
    assert_eq!(refusal(&wrong), (405, 7_001));
}

#[tokio::test(start_paused = true)]
async fn zones_are_listed_in_numbered_pages_and_filtered() {
    let zone_names = vec!["example.com".to_owned(), "example.org".to_owned()];
    let accounts = vec!["acc".to_owned(), "f".repeat(32)];
    let sim = sim(Options { zones: 55, zone_names, accounts, ..free() });
    let listed = async |query: &str| {
        let (status, body) = get(&sim, &format!("/zones?{query}")).await;
        assert_eq!(status, 200, "{body}");
        let names = body["result"].as_array().unwrap().iter();
        let names: Vec<String> =
            names.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        (names, body["result_info"]["total_count"].as_u64().unwrap())
    };
    let (first, total) = listed("").await;
    assert_eq!((first.len(), total), (20, 55));
    assert_eq!(first[..3], ["example.com", "example.org", "zone-3.example"]);
    assert_eq!(listed("per_page=50&page=2").await.0.len(), 5);
    assert_eq!(listed("per_page=50&page=3").await.0, [""; 0]);
    assert_eq!(refusal(&get(&sim, "/zones?per_page=51").await), (400, 10_001));
    assert_eq!(listed("name=example.org").await.0, ["example.org"]);
    assert_eq!(listed("name=example.net").await.1, 0);
    assert_eq!(listed("account.id=acc").await.1, 28);
    assert_eq!(listed(&format!("account.id={}", "f".repeat(32))).await.1, 27);
    assert_eq!(
        listed(&format!("account.id={}", "a".repeat(32))).await.1,
        28,
        "another name of acc"
    );
    assert_eq!(listed("account.id=other").await.1, 0);
    assert_eq!(listed("status=pending").await.1, 0);
    assert_eq!(listed("status=pending&name=example.com&match=any").await.1, 1);
    let (id, name) = sim.zones()[1].clone();
    let (_, body) = get(&sim, &format!("/zones/{id}")).await;
    assert_eq!((&body["result"]["name"], name.as_str()), (&json!("example.org"), "example.org"));
    assert_eq!(body["result"]["plan"]["legacy_id"], "pro");
    assert_eq!(body["result"]["account"]["id"], "f".repeat(32));
    assert_eq!(refusal(&get(&sim, "/zones/example.com").await), (404, 7_003));
    assert_eq!(refusal(&get(&sim, &format!("/zones/{}", "0".repeat(32))).await), (403, 9_109));
    let (_, accounts) = get(&sim, "/accounts").await;
    assert_eq!(accounts["result"][0]["id"], "acc");
    assert_eq!(accounts["result_info"]["total_count"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_accepted_with_the_zones_id_and_remembered() {
    let sim = sim(free());
    let zone = sim.zones()[3].0.clone();
    let with_headers =
        json!({"url": "https://e.example/a", "headers": {"Origin": "https://o.example"}});
    let rows = [
        (json!({"purge_everything": true}), "purge_cache", PurgeKind::Everything, 0),
        (
            json!({"files": ["https://e.example/a?b=c", with_headers]}),
            "purge_cache",
            PurgeKind::Files,
            2,
        ),
        (json!({"tags": ["A-tag", "b:tag"]}), "invalidate_cache", PurgeKind::Tags, 2),
        (json!({"hosts": ["e.example"]}), "environments/e1/purge_cache", PurgeKind::Hosts, 1),
        (
            json!({"prefixes": ["e.example/a/b"]}),
            "environments/e1/invalidate_cache",
            PurgeKind::Prefixes,
            1,
        ),
    ];
    for (body, verb, kind, items) in &rows {
        let (status, reply) =
            call(&sim, Method::POST, &format!("/zones/{zone}/{verb}"), body).await;
        assert_eq!((status, &reply["result"]), (200, &json!({"id": zone})), "{body}");
        let last = sim.purges().pop().unwrap();
        assert_eq!((last.kind, last.items.len(), &last.zone), (*kind, *items, &zone));
        assert_eq!(last.invalidate, verb.ends_with("invalidate_cache"));
        assert_eq!(last.environment.is_some(), verb.starts_with("environments"));
    }
    assert_eq!(sim.purges()[1].items[0], "https://e.example/a?b=c");
    assert_eq!(serde_json::from_str::<Value>(&sim.purges()[1].items[1]).unwrap(), with_headers);
    assert_eq!(sim.counts().purge, 5);
    let mut items = Vec::new();
    sim.ledger().each(|entry| items.push(entry.items));
    assert_eq!(items, [0, 2, 2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_purge_names_exactly_one_well_formed_kind() {
    let sim = sim(free());
    let zone = sim.zones()[3].0.clone();
    let path = format!("/zones/{zone}/purge_cache");
    let deep = |slashes: usize| format!("e.example{}", "/a".repeat(slashes));
    for good in [json!({"prefixes": [deep(31)]}), json!({"tags": ["t".repeat(1_024)]})] {
        assert_eq!(call(&sim, Method::POST, &path, &good).await.0, 200, "{good}");
    }
    let accepted = sim.purges().len();
    for wrong in [
        json!({}),
        json!([]),
        json!({"purge_everything": false}),
        json!({"purge_everything": true, "tags": ["t"]}),
        json!({"tags": ["t"], "hosts": ["e.example"]}),
        json!({"tags": []}),
        json!({"tags": "t"}),
        json!({"tags": ["with space"]}),
        json!({"tags": ["ü"]}),
        json!({"tags": ["t".repeat(512), "t".repeat(513)]}),
        json!({"files": ["/no/scheme"]}),
        json!({"files": ["ftp://e.example/"]}),
        json!({"files": [{"headers": {}}]}),
        json!({"hosts": ["https://e.example"]}),
        json!({"hosts": ["e.example/path"]}),
        json!({"prefixes": ["https://e.example/a"]}),
        json!({"prefixes": ["e.example/a?b"]}),
        json!({"prefixes": ["e.example/a#b"]}),
        json!({"prefixes": [deep(32)]}),
    ] {
        let reply = call(&sim, Method::POST, &path, &wrong).await;
        assert_eq!(refusal(&reply), (400, 1_012), "{wrong}");
    }
    let in_environment = format!("/zones/{zone}/environments/e1/purge_cache");
    let files = json!({"files": ["https://e.example/"]});
    assert_eq!(refusal(&call(&sim, Method::POST, &in_environment, &files).await), (400, 1_136));
    assert_eq!(send(&sim, Method::GET, &path, "").await.status(), 405);
    assert_eq!(sim.purges().len(), accepted);
}

#[tokio::test(start_paused = true)]
async fn a_purge_has_as_many_items_as_its_plan_allows() {
    let most = async |plan: Plan, url_items: usize, kind: &str| {
        let sim = sim(Options { plans: vec![plan], url_items, ..free() });
        let zone = sim.zones()[0].0.clone();
        let item = |n: usize| match kind {
            "files" => format!("https://e.example/{n}"),
            "tags" => format!("t{n}"),
            _ => format!("e{n}.example"),
        };
        let mut most = 0;
        for count in [30, 31, 100, 101, 500, 501] {
            let items: Vec<String> = (0..count).map(item).collect();
            let path = format!("/zones/{zone}/purge_cache");
            let reply = call(&sim, Method::POST, &path, &json!({kind: items})).await;
            if reply.0 == 200 {
                most = count;
            } else {
                assert_eq!(refusal(&reply), (400, 1_012));
            }
        }
        most
    };
    for kind in ["tags", "hosts", "prefixes"] {
        assert_eq!(most(Plan::Free, 30, kind).await, 100, "{kind}");
        assert_eq!(most(Plan::Enterprise, 30, kind).await, 100, "{kind}");
    }
    assert_eq!(most(Plan::Free, 100, "files").await, 100);
    assert_eq!(most(Plan::Business, 30, "files").await, 30, "what was seen");
    assert_eq!(most(Plan::Enterprise, 30, "files").await, 500);
}
