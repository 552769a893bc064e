//! RudderStack's plain words.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_with_ok_in_plain_text() {
    let sim = sim(plain());
    let body = batch(&[track("m1", "u1", 1), track("m2", "u1", 2)]);
    let key = rudder_key();
    // The Node SDK labels compressed JSON as a form.
    let headers = [
        ("authorization", key.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
    ];
    let reply = send(&sim, "/v1/batch", &headers, gzip(body.as_bytes())).await;
    assert_eq!(words(&reply), (200, "ok".to_owned()));
    assert_eq!(header_of(&reply, "content-type"), "text/plain; charset=utf-8");
    let events = sim.events(Remote::Rudder);
    let expected = Delivered {
        id: "m1".to_owned(),
        class: "track".to_owned(),
        name: "clicked".to_owned(),
        user: "u1".to_owned(),
        sequence: Some(1),
        times: 1,
        ..Delivered::default()
    };
    assert_eq!((events.len(), &events[0]), (2, &expected));
}

#[tokio::test(start_paused = true)]
async fn every_refusal_has_its_words_and_no_time_to_wait() {
    let small = Options { rudder_body_max: 400, poison: vec!["bad".to_owned()], ..plain() };
    let sim = sim(small);
    let nobody = json!({"batch": [track("m1", "u1", 1), {"type": "track", "event": "e"}]});
    let huge = batch(&vec![track("m", "u", 1); 9]);
    let mut poison = track("m", "u", 1);
    poison["event"] = "bad".into();
    for (body, expected) in [
        (String::new(), (400, "request body is nil")),
        ("{".to_owned(), (400, "invalid json")),
        ("{\"batch\":[]}".to_owned(), (400, "empty batch payload")),
        ("{}".to_owned(), (400, "empty batch payload")),
        ("{\"batch\":[7]}".to_owned(), (400, "event is not a valid rudder event")),
        (nobody.to_string(), (400, "request neither has anonymousId nor userId")),
        (huge, (413, "request size exceeds max limit")),
        (batch(&[poison]), (400, "invalid json")),
    ] {
        assert_eq!(to_rudder(&sim, "/v1/batch", body).await, (expected.0, expected.1.to_owned()));
    }
    // One bad message takes the good one along.
    assert!(sim.events(Remote::Rudder).is_empty());
    let wrong = basic_header("other", "");
    for (headers, expected) in [
        (vec![], (401, "failed to read writekey from header")),
        (vec![("authorization", wrong.as_str())], (401, "invalid write key")),
    ] {
        let reply = send(&sim, "/v1/batch", &headers, batch(&[track("m", "u", 1)])).await;
        assert_eq!(words(&reply), (expected.0, expected.1.to_owned()));
    }
    let disabled = super::sim(Options { source_disabled: true, ..plain() });
    let refused = to_rudder(&disabled, "/v1/batch", batch(&[track("m", "u", 1)])).await;
    assert_eq!(refused, (404, "source is disabled".to_owned()));
    assert_eq!(to_rudder(&sim, "/v1/unknown", "{}").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn single_endpoints_take_one_message_of_the_type_of_their_path() {
    let sim = sim(plain());
    let body = json!({"messageId": "m1", "anonymousId": "a1", "name": "home"}).to_string();
    assert_eq!(to_rudder(&sim, "/v1/page", body).await, (200, "ok".to_owned()));
    let unnamed = json!({"userId": 7, "event": "e"}).to_string();
    assert_eq!(to_rudder(&sim, "/v1/track", unnamed).await.0, 200);
    let events = sim.events(Remote::Rudder);
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.id.as_str(), e.class.as_str(), e.name.as_str(), e.user.as_str()))
        .collect();
    assert_eq!(seen, [("m1", "page", "home", ""), ("generated-1", "track", "e", "7")]);
    assert_eq!(events[0].anonymous_id, "a1");
}

#[tokio::test(start_paused = true)]
async fn the_size_is_measured_unpacked_and_wrapped() {
    let message = track("m", "u", 1).to_string();
    let options = |most| Options { rudder_body_max: most, ..plain() };
    let fits = sim(options(message.len() + 12));
    assert_eq!(to_rudder(&fits, "/v1/track", message.clone()).await.0, 200);
    let small = sim(options(message.len() + 11));
    assert_eq!(to_rudder(&small, "/v1/track", message).await.0, 413);
    assert_eq!(Options::default().rudder_body_max, 4_096_000);
}

#[tokio::test(start_paused = true)]
async fn a_batch_over_the_rate_is_refused_whole_and_never_told_when() {
    let sim = sim(Options { rudder_rate: Some(10), ..plain() });
    let of = |count: usize| batch(&vec![track("m", "u", 1); count]);
    assert_eq!(to_rudder(&sim, "/v1/batch", of(8)).await.0, 200);
    let key = rudder_key();
    let reply = send(&sim, "/v1/batch", &[("authorization", &key)], of(3)).await;
    assert_eq!(words(&reply), (429, "max requests limit reached".to_owned()));
    assert_eq!(reply.headers().len(), 1, "only the content type: {:?}", reply.headers());
    assert_eq!(to_rudder(&sim, "/v1/batch", of(2)).await.0, 200);
    // Ten in sixty seconds: one more every six.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(to_rudder(&sim, "/v1/batch", of(2)).await.0, 429);
    assert_eq!(to_rudder(&sim, "/v1/batch", of(1)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_answer_waits_for_the_commit_and_the_effect_does_not() {
    let commit = Duration::from_millis(20);
    let sim = sim(Options { commit, ..plain() });
    let start = tokio::time::Instant::now();
    to_rudder(&sim, "/v1/batch", batch(&[track("m", "u", 1)])).await;
    assert_eq!(start.elapsed(), commit);
    assert_eq!(to_rudder(&sim, "/v1/batch", "{").await.0, 400);
    assert_eq!(start.elapsed(), commit, "a refusal commits nothing");
    let send = to_rudder(&sim, "/v1/batch", batch(&[track("m2", "u", 2)]));
    assert!(tokio::time::timeout(commit / 2, send).await.is_err());
    assert_eq!(sim.totals(Remote::Rudder).accepted, 2);
    assert_eq!(sim.traffic(Remote::Rudder).abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn duplicates_are_seen_unless_deduplication_is_on() {
    for (dedup, times, suppressed) in [(false, 3, 0), (true, 2, 1)] {
        let sim = sim(Options { dedup, ..plain() });
        let send = || to_rudder(&sim, "/v1/batch", batch(&[track("m", "u", 1)]));
        send().await;
        send().await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(send().await.0, 200);
        assert_eq!(sim.events(Remote::Rudder)[0].times, times);
        assert_eq!(sim.chassis.with_world(|world| world.rudder.suppressed), suppressed);
    }
}

#[tokio::test(start_paused = true)]
async fn disorder_is_counted_by_user_at_the_first_arrival() {
    let sim = sim(plain());
    let sent = [("a", "u", 1), ("c", "u", 3), ("b", "u", 2), ("a", "u", 1), ("x", "v", 1)];
    for (id, user, sequence) in sent {
        to_rudder(&sim, "/v1/batch", batch(&[track(id, user, sequence)])).await;
    }
    let expected = Totals { accepted: 5, distinct: 4, duplicates: 1, out_of_order: 1, rejected: 0 };
    assert_eq!(sim.totals(Remote::Rudder), expected);
}
