//! Single faults, refusals, odd pages, and a store that shows changes late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use windlass_connectors::cloudflare::sim::{LastCursor, Options};
use windlass_engine::event::Ending;
use windlass_engine::{Kind, Outcome};
use windlass_sim::{Fault, FaultOptions};

use super::{assert_complete, free, guarded, scene, with_keys};
use crate::support::{Act, Applying, json, keys};

#[tokio::test(start_paused = true)]
async fn keys_that_are_named_as_unsuccessful_are_sent_again() {
    for status in [200, 400, 409] {
        let scene = scene(Options {
            keys: 400,
            unsuccessful_first: 5,
            unsuccessful_status: status,
            ..free()
        });
        let run = scene.carry_out(&["delete", "--all-keys"]).await;
        assert_eq!((run.tally.counts.done, run.tally.counts.failed), (400, 0), "{status}");
        assert!(scene.keys().is_empty());
        let sizes: Vec<usize> =
            scene.wire.sent("POST", "/bulk/delete").iter().map(super::Sent::items).collect();
        assert_eq!(sizes, [400, 5], "only those five");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_stay_unsuccessful_fail_by_name() {
    let scene = guarded(Options { keys: 0, ..free() }, |request| {
        let is_delete = request.uri().path().ends_with("/bulk/delete");
        let body = br#"["stuck"]"#;
        let count = serde_json::from_slice::<Vec<String>>(request.body()).map_or(0, |l| l.len());
        (is_delete && request.body().windows(7).any(|part| part == &body[1..8])).then(|| {
            let done = count - 1;
            json(
                200,
                &format!(
                    r#"{{"success":true,"errors":[],"messages":[],"result":
                    {{"successful_key_count":{done},"unsuccessful_keys":["stuck"]}}}}"#
                ),
            )
        })
    });
    for key in ["a", "stuck", "z"] {
        scene.sim.put(&scene.full, key, b"v", None, None);
    }
    let plan = scene.plan(&["delete", "--all-keys", "--no-walk"]).await;
    let run = scene.stage.apply(&plan).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (2, 1));
    let failed: Vec<_> = run.outcomes().into_iter().filter(|(.., one)| is_failed(one)).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].1, "stuck");
    assert_eq!(run.report.failures[&Kind::Unavailable], 1);
    let sent = scene.wire.sent("POST", "/bulk/delete");
    assert_eq!(sent[0].names(), ["a", "stuck", "z"]);
    assert!(sent.len() > 2 && sent[1..].iter().all(|one| one.names() == ["stuck"]));
}

fn is_failed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_))
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_for_the_edge_is_halved_until_it_is_not() {
    for takes_effect in [false, true] {
        let scene = scene(Options {
            keys: 40_000,
            bulk_524_above: Some(3_000),
            bulk_524_takes_effect: takes_effect,
            ..free()
        });
        let run = scene.carry_out(&["delete", "--all-keys"]).await;
        assert_eq!(run.tally.counts.done, 40_000);
        assert!(scene.keys().is_empty());
        let refused = scene.sim.ledger().count_of(524);
        assert!((2..=20).contains(&refused), "{refused} batches were too large");
        let sent = scene.wire.sent("POST", "/bulk/delete");
        assert_eq!(sent[0].items(), 10_000);
        let names: usize = sent.iter().map(super::Sent::items).filter(|&size| size <= 3_000).sum();
        assert_eq!(names, 40_000, "each key is in one batch that was taken");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_halved_once_grows_back() {
    let mut scene = scene(Options { keys: 200_000, ..free() });
    scene.stage.limits.concurrency = Some(1);
    let plan = scene.plan(&["delete", "--all-keys"]).await;
    for fault in [Fault::Error(524), Fault::Slow(Duration::from_secs(31))] {
        scene.sim.force([Some(fault)]);
        let before = scene.wire.sent("POST", "/bulk/delete").len();
        assert_complete(&scene.stage.apply(&plan).await);
        let sizes: Vec<usize> =
            scene.wire.sent("POST", "/bulk/delete").iter().map(super::Sent::items).collect();
        let sizes = &sizes[before..];
        assert_eq!(sizes[0], 10_000);
        // What was in a window of four when it happened is sent as it is, or in its halves.
        let (early, late) = sizes.split_at(12);
        assert!(early.contains(&5_000), "{fault:?}: {sizes:?}");
        let full = &late[..late.len() - 1];
        assert!(full.is_sorted() && full[0] > 5_000, "{fault:?}: {sizes:?}");
        assert!(full[full.len() - 1] > full[0], "{fault:?}: {sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_and_answers_that_are_too_large_are_halved() {
    let scene = scene(Options {
        keys: 1_000,
        value_bytes: 1_000,
        bulk_413_above: 200_000,
        bulk_get_413_above: 30_000,
        ..free()
    });
    let run = scene.stream(&["copy", "--to", &scene.empty]).await;
    assert_eq!(run.tally.counts.done, 1_000);
    assert_eq!(scene.sim.digest(&scene.empty), scene.sim.digest(&scene.full));
    let file = scene.stage.path("all.jsonl");
    scene.stream(&["export", "--file", &file]).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1_000);
    let text = scene.text(&["get", "--bulk", "--prefix", "", "--json"]).await;
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap().len(), 1_000);
    assert!(scene.sim.ledger().count_of(413) > 3);
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_deletion_is_seen_through() {
    for fault in [
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Error(429),
        Fault::Error(500),
        Fault::Error(502),
        Fault::Error(503),
        Fault::Error(524),
        Fault::Slow(Duration::from_secs(31)),
        Fault::Truncate,
    ] {
        let scene = scene(Options { keys: 500, ..free() });
        let plan = scene.plan(&["delete", "--prefix", "0"]).await;
        let (steps, all) = (plan.header.steps, 500);
        scene.sim.force([Some(fault)]);
        let run = scene.stage.apply(&plan).await;
        assert_complete(&run);
        assert_eq!(run.tally.counts.done, steps, "{fault:?}");
        assert_eq!(scene.sim.len(&scene.full), all - steps, "{fault:?}");
        assert_eq!(run.tally.verified.unwrap().left, 0, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_an_export_is_seen_through() {
    for fault in [
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Error(503),
        Fault::Error(524),
        Fault::Slow(Duration::from_secs(31)),
        Fault::Truncate,
        Fault::CutBody,
    ] {
        let scene = scene(Options { keys: 2_500, odd_keys: true, ..free() });
        let clean = scene.stage.path("clean.jsonl");
        scene.stream(&["export", "--file", &clean]).await;
        let file = scene.stage.path("all.jsonl");
        scene.sim.force([None, Some(fault), None, None, Some(fault), None, Some(fault)]);
        scene.stream(&["export", "--file", &file]).await;
        let [clean, faulty] = [clean, file].map(|path| std::fs::read(path).unwrap());
        assert!(clean == faulty, "{fault:?}: the two exports are the same, byte for byte");
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_an_import_is_seen_through() {
    for fault in [
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Error(429),
        Fault::Error(503),
        Fault::Error(524),
        Fault::Slow(Duration::from_secs(31)),
        Fault::Truncate,
    ] {
        let options = Options { keys: 2_500, odd_keys: true, binary_every: 3, ..free() };
        let scene = scene(Options { unsuccessful: 0.05, ..options });
        let file = scene.stage.path("all.jsonl");
        scene.stream(&["export", "--file", &file]).await;
        let words = ["kv", "import", &file, "--namespace-id", &scene.empty, "--batch-size", "500"];
        let plan = scene.stage.plan(&words).await.unwrap();
        scene.sim.force([Some(fault), None, Some(fault)]);
        let run = scene.stage.apply(&plan).await;
        assert_complete(&run);
        assert_eq!(run.tally.counts.done, 2_500, "{fault:?}");
        assert_eq!(scene.sim.digest(&scene.empty), scene.sim.digest(&scene.full), "{fault:?}");
    }
}

/// Everything at once, with a rival on the account: exactly the plan is gone at the end.
#[tokio::test(start_paused = true)]
async fn a_deletion_in_foul_weather_takes_its_plan_and_nothing_else() {
    for seed in 0..3 {
        let mut options = Options {
            keys: 60_000,
            no_limits: false,
            second_client: 0.2,
            empty_pages: 0.1,
            short_pages: 0.1,
            unsuccessful: 0.002,
            bulk_524_above: Some(400),
            lag: Duration::from_secs(10),
            odd_keys: true,
            ..free()
        };
        options.chassis.seed = seed;
        options.chassis.faults = FaultOptions {
            reset_before: 0.03,
            reset_after: 0.03,
            error_rate: 0.03,
            truncate_rate: 0.03,
            slow_rate: 0.01,
            slow_by: Duration::from_secs(45),
            ..FaultOptions::default()
        };
        let scene = scene(options);
        let before: BTreeSet<String> = scene.keys().into_iter().collect();
        let plan = scene.plan(&["delete", "--pattern", "^[0-7]", "--batch-size", "500"]).await;
        let run = scene.stage.apply(&plan).await;
        assert_complete(&run);
        assert_eq!(run.tally.counts.done, plan.header.steps);
        assert_eq!(run.tally.verified.unwrap().left, 0);
        let planned: BTreeSet<String> = keys(&plan).into_iter().collect();
        let after: BTreeSet<String> = scene.keys().into_iter().collect();
        assert_eq!(before.difference(&after).cloned().collect::<BTreeSet<_>>(), planned);
        assert!(run.tally.retries > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn empty_and_short_pages_lose_no_key() {
    for last_cursor in [LastCursor::Empty, LastCursor::Missing, LastCursor::Null] {
        let scene = scene(Options {
            keys: 20_000,
            empty_pages: 0.4,
            short_pages: 0.5,
            odd_envelopes: true,
            last_cursor,
            ..free()
        });
        let text = scene.text(&["list", "--all"]).await;
        assert_eq!(text.lines().collect::<Vec<_>>(), scene.keys());
        assert!(scene.sim.counts().list > 25, "some pages were empty or short");
        let run = scene.carry_out(&["delete", "--all-keys"]).await;
        assert_eq!(run.tally.counts.done, 20_000);
        assert!(scene.keys().is_empty());
    }
}

/// The remote may forget a cursor at any time. The walk begins anew then, and what was seen
/// already is left out.
#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_refused_loses_and_repeats_no_key() {
    let refused = std::sync::atomic::AtomicUsize::new(0);
    let scene = guarded(Options { keys: 5_500, ..free() }, move |request| {
        let asks = request.uri().query()?.contains("cursor=");
        let third = asks && refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2;
        let body = r#"{"success":false,"errors":[{"code":10001,"message":"cursor: unknown"}],
            "messages":[],"result":null}"#;
        third.then(|| json(400, body))
    });
    let text = scene.text(&["list", "--all"]).await;
    assert_eq!(text.lines().collect::<Vec<_>>(), scene.keys());
    // Three pages, the refusal, and all six pages from the first on.
    assert_eq!(scene.wire.all().len(), 3 + 1 + 6);

    let text = scene.text(&["list", "--all", "--cursor", "tampered"]).await;
    assert_eq!(text.lines().collect::<Vec<_>>(), scene.keys());
}

/// A list may show for a minute what is gone. The walk waits for it.
#[tokio::test(start_paused = true)]
async fn the_final_walk_waits_for_a_list_that_lags() {
    let scene = scene(Options { keys: 3_000, lag: Duration::from_secs(30), ..free() });
    let run = scene.carry_out(&["delete", "--all-keys"]).await;
    let verified = run.tally.verified.as_ref().unwrap();
    assert_eq!((verified.seen, verified.left), (3_000, 0));
    let took = run.took.as_secs_f64();
    assert!((17.0..=38.0).contains(&took), "after 2, 5 and 10 s, or 20 more: {took}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_written_again_are_told_by_the_walk() {
    let scene = with_keys(&["a", "b", "c", "other"]);
    let plan = scene.plan(&["delete", "--pattern", "^.$"]).await;
    let (sim, full) = (Arc::clone(&scene.sim), scene.full.clone());
    let again = Act::Do(Box::new(move || {
        assert!(sim.put(&full, "b", b"again", None, None));
        assert!(sim.put(&full, "new", b"another", None, None));
    }));
    let run = scene.stage.session(&plan, Applying { at: vec![(3, again)], ..Applying::default() });
    let run = run.await;
    assert_eq!((run.tally.ending, run.tally.counts.done), (Some(Ending::Complete), 3));
    let verified = run.tally.verified.unwrap();
    assert_eq!((verified.seen, verified.left), (3, 1));
    assert!(verified.message.contains("written again"), "{}", verified.message);
    assert_eq!(scene.keys(), ["b", "new", "other"], "what the walk finds is left alone");
}

#[tokio::test(start_paused = true)]
async fn pages_of_html_in_place_of_answers_end_with_words_and_lose_nothing() {
    let mut scene = scene(Options { keys: 100, ..free() });
    let plan = scene.plan(&["delete", "--all-keys"]).await;
    scene.stage.limits.retries = 2;
    scene.sim.force([Some(Fault::Error(502)); 3]);
    let run = scene.stage.apply(&plan).await;
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (0, 100));
    let failure = run.outcomes().into_iter().find_map(|(.., outcome)| match outcome {
        Outcome::Failed(failure) => Some(failure),
        _ => None,
    });
    let failure = failure.unwrap();
    assert_eq!((failure.kind, failure.status), (Kind::Unavailable, Some(502)));
    assert!(!failure.message.contains('<'), "{}", failure.message);
    let again = Applying { journal: run.journal, retry_failed: true, ..Applying::default() };
    assert_complete(&scene.stage.session(&plan, again).await);
    assert!(scene.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_good_or_may_only_read_ends_the_run() {
    let options = || Options { keys: 100, read_only_tokens: vec!["reads".to_owned()], ..free() };
    let mut reader = scene(options());
    reader.stage.key = "reads".to_owned();
    let plan = reader.plan(&["delete", "--all-keys"]).await;
    let run = reader.stage.apply(&plan).await;
    let Some(Ending::Fatal(failure)) = run.tally.ending else { panic!("{:?}", run.tally.ending) };
    assert!(matches!(failure.kind, Kind::Denied | Kind::Forbidden), "{failure:?}");
    assert!(failure.hint.unwrap().contains("Workers KV Storage Write"));
    assert_eq!(reader.sim.len(&reader.full), 100);

    let mut wrong = scene(options());
    wrong.stage.key = "wrong".to_owned();
    let error = wrong.stage.plan(&wrong.line(&["delete", "--all-keys"])).await.unwrap_err();
    assert!(error.to_string().contains("Authentication error"), "{error}");
    assert_eq!(wrong.sim.ledger().len(), 1, "a wrong token is not tried again");
}
