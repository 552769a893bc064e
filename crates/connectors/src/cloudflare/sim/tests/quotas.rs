//! The limits: who is refused, for how long, and what the headers say.

use super::*;

fn limited() -> Options {
    Options { chassis: calendar(), ..Options::default() }
}

async fn status(sim: &CloudflareSim) -> u16 {
    send(sim, Method::GET, "/accounts", "").await.status().as_u16()
}

/// Sends requests a hundredth of a second apart, and counts the answers.
async fn accepted(sim: &CloudflareSim, requests: usize) -> usize {
    let mut accepted = 0;
    for _ in 0..requests {
        accepted += usize::from(status(sim).await == 200);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    accepted
}

#[tokio::test(start_paused = true)]
async fn one_request_beyond_1200_in_five_minutes_blocks_everything_for_five() {
    let sim = sim(limited());
    assert_eq!(accepted(&sim, 1_200).await, 1_200);
    pass(200).await;
    let reply = send(&sim, Method::GET, "/accounts", "").await;
    assert_eq!(refusal(&answer(&reply)), (429, 971));
    assert_eq!(header(reply.headers(), "retry-after"), "300");
    assert_eq!(header(reply.headers(), "ratelimit"), "\"default\";r=0;t=300");
    assert_eq!(header(reply.headers(), "ratelimit-policy"), "\"default\";q=1200;w=300");
    // At 312 seconds the window is empty again, but not the block; asking does not prolong it.
    pass(200).await;
    let reply = send(&sim, Method::GET, "/zones", "").await;
    assert_eq!((reply.status().as_u16(), header(reply.headers(), "retry-after")), (429, "100"));
    pass(99).await;
    assert_eq!(status(&sim).await, 429);
    pass(1).await;
    assert_eq!(status(&sim).await, 200);
    let five_minutes = Duration::from_secs(300);
    let most = sim.ledger().most_in_window(five_minutes, |entry| entry.status == Some(200));
    assert_eq!((most, sim.ledger().too_many()), (1_200, 3));
    let (_, counted) = sim.ledger().most_of_rule(0, five_minutes, false);
    assert_eq!(counted, 1_200);
    assert_eq!(sim.counts().total(), 1_201);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_window_lets_twice_the_limit_pass_around_its_border() {
    let most = async |windows: windlass_sim::WindowKind| {
        let sim = sim(Options { windows, block: Duration::ZERO, ..limited() });
        // Ten minutes of pressing: more than one border is in them.
        let mut sent = 0;
        while sent < 60_000 {
            accepted(&sim, 100).await;
            sent += 100;
        }
        sim.ledger().most_in_window(Duration::from_secs(300), |entry| entry.status == Some(200))
    };
    assert_eq!(most(windlass_sim::WindowKind::Sliding).await, 1_200);
    let fixed = most(windlass_sim::WindowKind::Fixed).await;
    assert!((1_201..=2_400).contains(&fixed), "{fixed}");
}

#[tokio::test(start_paused = true)]
async fn an_address_has_200_requests_a_second_and_no_block() {
    let sim = sim(limited());
    let mut statuses = Vec::new();
    for _ in 0..201 {
        statuses.push(status(&sim).await);
    }
    assert_eq!((statuses[199], statuses[200]), (200, 429));
    let reply = send(&sim, Method::GET, "/accounts", "").await;
    assert_eq!(header(reply.headers(), "retry-after"), "1");
    assert_eq!(header(reply.headers(), "ratelimit"), "\"default\";r=1000;t=300");
    pass(1).await;
    assert_eq!(status(&sim).await, 200);
}

#[tokio::test(start_paused = true)]
async fn all_credentials_of_the_user_share_the_limit_and_others_do_not_count() {
    let tokens = vec![TOKEN.to_owned(), "cf-token-2".to_owned()];
    let limits = vec!["global=3/300s".parse().unwrap()];
    let sim = sim(Options { tokens, limits, ..limited() });
    let with = async |headers: &[(&'static str, &str)]| {
        let mut request = Request::builder().uri("/client/v4/accounts");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sim.call(request.body(Bytes::new()).unwrap()).await.unwrap().status().as_u16()
    };
    let key = [("x-auth-email", "ops@example.com"), ("x-auth-key", "cf-key-1")];
    assert_eq!(with(&[("authorization", "Bearer cf-token-1")]).await, 200);
    assert_eq!(with(&[("authorization", "Bearer wrong")]).await, 401);
    assert_eq!(with(&[("authorization", "Bearer cf-token-2")]).await, 200);
    assert_eq!(with(&key).await, 200);
    assert_eq!(with(&[("authorization", "Bearer cf-token-2")]).await, 429);
    assert_eq!(with(&key).await, 429);
}

#[tokio::test(start_paused = true)]
async fn limits_can_be_changed_and_lifted() {
    let limits = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let two = sim(Options { limits: limits(&["global=2/10s"]), ..limited() });
    assert_eq!([status(&two).await, status(&two).await, status(&two).await], [200, 200, 429]);
    for options in [
        Options { limits: limits(&["all=unlimited"]), ..limited() },
        Options { no_limits: true, ..limited() },
    ] {
        let free = sim(options);
        for _ in 0..3_000 {
            assert_eq!(status(&free).await, 200);
        }
        let reply = send(&free, Method::GET, "/accounts", "").await;
        assert!(!reply.headers().contains_key("ratelimit"), "no limit, nothing to tell");
    }
    let quiet = sim(Options { no_limit_headers: true, ..limited() });
    let reply = send(&quiet, Method::GET, "/accounts", "").await;
    assert!(!reply.headers().contains_key("ratelimit"));
    assert!("nothing=1/1s".parse::<Limit>().unwrap_err().contains("purge-free"));
    assert!("global=1/0s".parse::<Limit>().is_err());
    assert!("global".parse::<Limit>().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_second_client_of_the_user_leaves_only_a_part() {
    let sim = sim(Options { second_client: 0.5, ..limited() });
    pass(600).await;
    let reply = send(&sim, Method::GET, "/accounts", "").await;
    assert!(header(reply.headers(), "ratelimit").starts_with("\"default\";r=599;"));
    // The other's requests of the last five minutes leave as fast as its new ones come.
    let accepted = accepted(&sim, 700).await;
    assert!((595..=600).contains(&accepted), "{accepted}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_to_come_again_in_each_of_its_forms() {
    let refused = async |retry_after: RetryAfter| {
        let limits = vec!["global=1/300s".parse().unwrap()];
        let sim = sim(Options { retry_after, limits, ..limited() });
        status(&sim).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        send(&sim, Method::GET, "/accounts", "").await
    };
    let dated = refused(RetryAfter::HttpDate).await;
    assert_eq!(header(dated.headers(), "retry-after"), "Sat, 31 Jan 2026 00:05:01 GMT");
    assert_eq!(header(dated.headers(), "date"), "Sat, 31 Jan 2026 00:00:00 GMT");
    let silent = refused(RetryAfter::Absent).await;
    assert_eq!((silent.status().as_u16(), header(silent.headers(), "retry-after")), (429, ""));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_written_once_a_second_and_bulk_only_when_strict() {
    for strict_writes in [false, true] {
        let (sim, ns) = with_namespace(Options { strict_writes, keys: 0, ..limited() });
        let other = sim.namespace_ids()[1].clone();
        let put = async |ns: &str, key: &str| {
            send(&sim, Method::PUT, &kv(ns, &format!("/values/{key}")), "v").await
        };
        assert_eq!(put(&ns, "a").await.status(), 200);
        let reply = put(&ns, "a").await;
        assert_eq!(refusal(&answer(&reply)), (429, 971));
        assert_eq!(header(reply.headers(), "retry-after"), "1");
        assert_eq!(put(&ns, "b").await.status(), 200);
        assert_eq!(put(&other, "a").await.status(), 200);
        let bulk = async |keys: &[&str]| {
            let pairs: Vec<Value> =
                keys.iter().map(|key| json!({"key": key, "value": "w"})).collect();
            call(&sim, Method::PUT, &kv(&ns, "/bulk"), &json!(pairs)).await.0
        };
        let expected = if strict_writes { [429, 429] } else { [200, 200] };
        assert_eq!([bulk(&["c", "a"]).await, bulk(&["d", "d"]).await], expected);
        pass(1).await;
        assert_eq!(put(&ns, "a").await.status(), 200);
        assert_eq!(bulk(&["e", "f"]).await, 200);
        pass(1).await;
        assert_eq!(bulk(&["e", "f"]).await, 200);
    }
}

async fn purge(sim: &CloudflareSim, zone: &str, body: &Value) -> Response<Bytes> {
    send(sim, Method::POST, &format!("/zones/{zone}/purge_cache"), body.to_string()).await
}

#[tokio::test(start_paused = true)]
async fn purges_have_the_bucket_of_their_plan_for_all_zones_on_it() {
    // Plan, bucket, and how many more after a second, or after a minute for the first.
    let rows = [
        (Plan::Free, 25, 5),
        (Plan::Pro, 25, 5),
        (Plan::Business, 50, 10),
        (Plan::Enterprise, 500, 50),
    ];
    for (plan, burst, rate) in rows {
        let limits = vec!["ip=unlimited".parse().unwrap()];
        let sim = sim(Options { plans: vec![plan], limits, ..limited() });
        let zones = sim.zones();
        let accepted = async || {
            let mut accepted = 0;
            loop {
                let zone = &zones[accepted % zones.len()].0;
                let reply = purge(&sim, zone, &json!({"tags": ["t"]})).await;
                if reply.status() == 429 {
                    return (accepted, header(reply.headers(), "retry-after").to_owned());
                }
                accepted += 1;
            }
        };
        let wait = if plan == Plan::Free { "12" } else { "1" };
        assert_eq!(accepted().await, (burst, wait.to_owned()), "{plan:?}");
        pass(if plan == Plan::Free { 60 } else { 1 }).await;
        assert_eq!(accepted().await, (rate, wait.to_owned()), "{plan:?}");
        assert_eq!(sim.purges().len(), burst + rate);
        // Nothing else is refused.
        assert_eq!(status(&sim).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn the_headers_of_a_purge_tell_its_bucket_too() {
    let sim = sim(limited());
    let zone = sim.zones()[0].0.clone();
    let reply = purge(&sim, &zone, &json!({"purge_everything": true})).await;
    assert_eq!(
        header(reply.headers(), "ratelimit"),
        "\"default\";r=1199;t=300, \"purge-free\";r=24;t=12"
    );
    assert_eq!(
        header(reply.headers(), "ratelimit-policy"),
        "\"default\";q=1200;w=300, \"purge-free\";q=5;w=60"
    );
}

#[tokio::test(start_paused = true)]
async fn urls_have_a_rate_of_their_own_and_no_bucket_of_requests() {
    for (plan, rate) in
        [(Plan::Free, 8), (Plan::Pro, 15), (Plan::Business, 15), (Plan::Enterprise, 30)]
    {
        let sim = sim(Options { plans: vec![plan], ..limited() });
        let zone = sim.zones()[0].0.clone();
        let urls: Vec<String> = (0..100).map(|n| format!("https://zone-1.example/{n}")).collect();
        let body = json!({"files": urls});
        let mut statuses = Vec::new();
        for _ in 0..=rate {
            statuses.push(purge(&sim, &zone, &body).await.status().as_u16());
        }
        let accepted = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!((accepted, statuses[rate]), (rate, 429), "{plan:?}");
        pass(1).await;
        assert_eq!(purge(&sim, &zone, &body).await.status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn purges_by_url_can_be_free_of_the_global_limit() {
    for (free_url_purge, expected) in [(false, [200, 200, 429]), (true, [200, 200, 200])] {
        let limits = vec!["global=2/300s".parse().unwrap()];
        let sim = sim(Options { free_url_purge, limits, ..limited() });
        let zone = sim.zones()[0].0.clone();
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let body = json!({"files": ["https://zone-1.example/"]});
            statuses.push(purge(&sim, &zone, &body).await.status().as_u16());
        }
        assert_eq!(statuses, expected);
    }
}
