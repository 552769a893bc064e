//! What an export, an import and a copy keep, and what they leave out and say so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use windlass_connectors::cloudflare::sim::Options;
use windlass_engine::event::Ending;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Kind, Outcome};

use super::{Scene, assert_complete, free, scene, with_keys};
use crate::support::left;

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Odd names, binary and empty values, metadata and expirations.
fn colourful() -> Options {
    Options {
        keys: 2_300,
        odd_keys: true,
        binary_every: 7,
        metadata_every: 2,
        expiring_every: 5,
        expires_in: Duration::from_secs(86_400),
        ..free()
    }
}

async fn import(scene: &Scene, file: &str, more: &[&str]) -> windlass_engine::report::Report {
    let words = [&["kv", "import", file, "--namespace-id", &scene.empty], more].concat();
    let plan = scene.stage.plan(&words).await.unwrap();
    let run = scene.stage.apply(&plan).await;
    assert_complete(&run);
    run.report
}

#[tokio::test(start_paused = true)]
async fn what_is_exported_and_imported_is_the_same() {
    for (name, more) in
        [("all.jsonl", &[][..]), ("all.csv", &[]), ("all.jsonl", &["--binary"][..])]
    {
        let scene = scene(colourful());
        assert!(scene.sim.put(&scene.full, "empty", b"", Some("[1,\"ü\"]"), None));
        assert!(scene.sim.put(&scene.full, "lines", "a\r\nb\t\u{fffd}\"".as_bytes(), None, None));
        let file = scene.stage.path(name);
        let run = scene.stream(&[&["export", "--file", &file], more].concat()).await;
        assert_eq!(run.tally.counts.done, 2_302);
        assert_eq!(import(&scene, &file, &[]).await.counts.done, 2_302);
        assert_eq!(scene.sim.digest(&scene.empty), scene.sim.digest(&scene.full), "{name} {more:?}");
        let verify = ["kv", "verify", &file, "--namespace-id", &scene.empty];
        let (said, _) = scene.stage.ask(&verify).await.unwrap();
        assert!(!said.differs, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_the_same() {
    let scene = scene(colourful());
    let run = scene.stream(&["copy", "--to", &scene.empty]).await;
    assert_eq!(run.tally.counts.done, 2_300);
    assert_eq!(scene.sim.digest(&scene.empty), scene.sim.digest(&scene.full));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_goes_between_list_and_read_is_already_gone() {
    let scene = with_keys(&["a", "b", "c"]);
    let file = scene.stage.path("all.jsonl");
    let plan = scene.plan(&["export", "--file", &file]).await;
    assert!(scene.sim.delete_by_someone_else(&scene.full, "b"));
    let run = scene.stage.apply(&plan).await;
    assert_complete(&run);
    assert_eq!((run.tally.counts.done, run.tally.counts.already_gone), (2, 1));
    let gone: Vec<_> =
        run.outcomes().into_iter().filter(|(.., one)| *one == Outcome::AlreadyGone).collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].1, "b");
    let expected = "{\"key\":\"a\",\"value\":\"a\"}\n{\"key\":\"c\",\"value\":\"c\"}\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn keys_with_less_than_a_minute_to_live_are_restored_as_asked_for() {
    for policy in ["skip", "clamp", "drop-ttl"] {
        let scene = scene(Options { keys: 0, ..free() });
        let (soon, past, later) = (now() + 30, now() - 1_000, now() + 86_400);
        let file = scene.stage.file(
            "all.jsonl",
            format!(
                "{{\"key\":\"good\",\"value\":\"1\"}}\n\
                 {{\"key\":\"later\",\"value\":\"2\",\"expiration\":{later}}}\n\
                 {{\"key\":\"past\",\"value\":\"3\",\"expiration\":{past}}}\n\
                 {{\"key\":\"soon\",\"value\":\"4\",\"expiration\":{soon}}}\n"
            ),
        );
        let words = ["import", &file, "--expired", policy];
        let plan = scene.plan(&words).await;
        let run = scene.stage.apply(&plan).await;
        assert_complete(&run);
        let expiration = |key: &str| scene.sim.value(&scene.full, key).map(|pair| pair.2);
        assert_eq!(expiration("good"), Some(None));
        assert_eq!(expiration("later"), Some(Some(later)));
        let both = [expiration("past"), expiration("soon")];
        match policy {
            "skip" => {
                assert_eq!(both, [None, None]);
                let left = left(&plan);
                let names: Vec<&str> = left.iter().map(|one| &*one.key).collect();
                assert_eq!(names, ["past", "soon"]);
                assert!(left.iter().all(|one| one.reason == "less than 60 s to live"));
            }
            "clamp" => {
                for one in both {
                    let at = one.unwrap().unwrap();
                    assert!((now() + 50..=now() + 70).contains(&at), "{at}");
                }
            }
            _ => assert_eq!(both, [Some(None), Some(None)]),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_records_with_one_key_the_last_wins() {
    let scene = scene(Options { keys: 0, strict_writes: true, ..free() });
    let line = |key: &str, value: &str| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n");
    let text = [line("a", "1"), line("b", "1"), line("a", "2"), line("c", "1"), line("a", "3")];
    let file = scene.stage.file("all.jsonl", text.concat());
    let plan = scene.plan(&["import", &file]).await;
    let run = scene.stage.apply(&plan).await;
    assert_complete(&run);
    assert_eq!((run.tally.counts.done, run.tally.counts.skipped), (3, 2));
    let skipped: Vec<_> = run.tally.skipped.iter().collect();
    assert_eq!(skipped, [(&"a later record has the same key".to_owned(), &2)]);
    assert_eq!(scene.sim.value(&scene.full, "a"), Some((b"3".to_vec(), None, None)));
    assert_eq!(scene.keys(), ["a", "b", "c"]);
    let sent = scene.wire.sent("PUT", "/bulk");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].items(), 3, "one write a second is allowed for a key");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_wrong_is_found_before_anything_is_sent() {
    let good = "{\"key\":\"a\",\"value\":\"1\"}\n".repeat(3);
    let long = "k".repeat(513);
    for (bad, words) in [
        ("{\"key\":\"b\",\"value\":".to_owned(), ""),
        ("{\"key\":\"b\",\"value\":7}".to_owned(), ""),
        ("{\"value\":\"1\"}".to_owned(), "key"),
        (format!("{{\"key\":\"{long}\",\"value\":\"1\"}}"), "over 512"),
        ("{\"key\":\"..\",\"value\":\"1\"}".to_owned(), "can't be a key"),
        (format!("{{\"key\":\"m\",\"value\":\"1\",\"metadata\":\"{long}{long}\"}}"), "1,024"),
    ] {
        let scene = scene(Options { keys: 0, ..free() });
        let file = scene.stage.file("all.jsonl", format!("{good}{bad}\n"));
        let error = scene.stage.plan(&scene.line(&["import", &file])).await.unwrap_err();
        let DiscoverError::Remote(failure) = error else { panic!("{error}") };
        assert_eq!(failure.kind, Kind::Rejected);
        assert!(failure.message.starts_with("line 4: "), "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(failure.hint.unwrap().contains("nothing was sent"));
        assert!(scene.wire.all().is_empty());
        assert_eq!(scene.stage.plans_on_disk(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_after_the_plan_is_not_half_imported() {
    let scene = scene(Options { keys: 0, ..free() });
    let file = scene.stage.file("all.jsonl", "{\"key\":\"aa\",\"value\":\"1\"}\n");
    let plan = scene.plan(&["import", &file]).await;
    scene.stage.file("all.jsonl", "{\"key\":\"zz\",\"value\":\"1\"}\n");
    let run = scene.stage.apply(&plan).await;
    let Some(Ending::Fatal(failure)) = run.tally.ending else { panic!("{:?}", run.tally.ending) };
    assert!(failure.message.contains("changed since the plan"), "{}", failure.message);
    assert!(scene.wire.all().is_empty());
}
