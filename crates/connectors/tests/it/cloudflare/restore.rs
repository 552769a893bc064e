//! What an export, an import and a copy keep, and what they leave out and say so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use windlass_connectors::cloudflare::sim::Options;
use windlass_engine::event::Ending;
use windlass_engine::journal::{Files, Memory};
use windlass_engine::runner::{Command, DiscoverError};
use windlass_engine::{Kind, Outcome};

use super::{Scene, assert_complete, free, guarded, scene, with_keys};
use crate::support::{Act, Applying, json, left};

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
    for (name, more) in [("all.jsonl", &[][..]), ("all.csv", &[]), ("all.jsonl", &["--binary"][..])]
    {
        let scene = scene(colourful());
        assert!(scene.sim.put(&scene.full, "empty", b"", Some("[1,\"ü\"]"), None));
        assert!(scene.sim.put(&scene.full, "lines", "a\r\nb\t\u{fffd}\"".as_bytes(), None, None));
        let file = scene.stage.path(name);
        let run = scene.stream(&[&["export", "--file", &file], more].concat()).await;
        assert_eq!(run.tally.counts.done, 2_302);
        assert_eq!(import(&scene, &file, &[]).await.counts.done, 2_302);
        assert_eq!(
            scene.sim.digest(&scene.empty),
            scene.sim.digest(&scene.full),
            "{name} {more:?}"
        );
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

/// The first interrupt lets what is on the wire come back, the second drops it.
fn interrupts(at: u64, times: usize) -> Applying<'static> {
    let interrupt = |_| (at, Act::Order(Command::Stop));
    Applying { at: (0..times).map(interrupt).collect(), ..Applying::default() }
}

/// The journal of a run as a kill leaves it: cut off anywhere.
fn cut(journal: &Memory, part: usize) -> Memory {
    let whole = journal.content();
    let mut cut = Memory::default();
    cut.append(&whole[..whole.len() * part / 100]).unwrap();
    cut
}

#[tokio::test(start_paused = true)]
async fn an_export_that_is_stopped_and_resumed_is_the_same_byte_for_byte() {
    for name in ["all.jsonl", "all.csv"] {
        for (stop_at, times, part) in
            [(0, 1, 100), (1, 2, 100), (900, 1, 100), (900, 2, 60), (2_000, 2, 0), (2_300, 2, 99)]
        {
            let scene = scene(Options { keys: 5_300, ..colourful() });
            let clean = scene.stage.path(&format!("clean-{name}"));
            scene.stream(&["export", "--file", &clean]).await;
            let file = scene.stage.path(name);
            let words = scene.line(&["export", "--file", &file]);
            let (plan, run) = scene.stage.stream_part(&words, interrupts(stop_at, times)).await;
            assert!(!run.report.is_complete());
            assert!(!Path::new(&file).exists(), "it has its name once it is whole");
            let run = scene.stage.resume_stream(&plan, &cut(&run.journal, part)).await;
            assert_complete(&run);
            let [clean, resumed] = [clean, file].map(|path| std::fs::read(path).unwrap());
            assert!(clean == resumed, "{name} stopped at {stop_at}, {times} times, {part} % kept");
        }
    }
}

/// A cursor lives as long as the remote likes. Where one is refused when a run is resumed, the
/// list begins anew and what the plan has already is left out.
#[tokio::test(start_paused = true)]
async fn an_export_whose_cursor_is_forgotten_is_resumed_all_the_same() {
    let forgotten = Arc::new(AtomicBool::new(false));
    let forgets = Arc::clone(&forgotten);
    let scene = guarded(Options { keys: 30_300, binary_every: 0, ..colourful() }, move |request| {
        let asks = request.uri().query().is_some_and(|query| query.contains("cursor="));
        let body = r#"{"success":false,"errors":[{"code":10001,"message":"cursor: unknown"}],
            "messages":[],"result":null}"#;
        (asks && forgets.swap(false, Ordering::Relaxed)).then(|| json(400, body))
    });
    let clean = scene.stage.path("clean.jsonl");
    scene.stream(&["export", "--file", &clean]).await;
    let file = scene.stage.path("all.jsonl");
    let words = scene.line(&["export", "--file", &file]);
    let (plan, run) = scene.stage.stream_part(&words, interrupts(100, 2)).await;
    assert!(!plan.exists(), "the listing was interrupted, too");
    forgotten.store(true, Ordering::Relaxed);
    let run = scene.stage.resume_stream(&plan, &run.journal).await;
    assert_complete(&run);
    assert!(!forgotten.load(Ordering::Relaxed), "a cursor was refused");
    let [clean, resumed] = [clean, file].map(|path| std::fs::read(path).unwrap());
    assert!(clean == resumed);
}

#[tokio::test(start_paused = true)]
async fn an_import_and_a_copy_that_are_stopped_and_resumed_are_the_same() {
    for (stop_at, times, part) in [(0, 1, 100), (500, 1, 100), (500, 2, 70), (1_500, 2, 0)] {
        let scene = scene(Options { namespaces: 3, ..colourful() });
        let file = scene.stage.path("all.jsonl");
        scene.stream(&["export", "--file", &file]).await;
        let words = ["kv", "import", &file, "--namespace-id", &scene.empty, "--batch-size", "100"];
        let plan = scene.stage.plan(&words).await.unwrap();
        let run = scene.stage.session(&plan, interrupts(stop_at, times)).await;
        assert!(!run.report.is_complete());
        assert_complete(&scene.stage.resume(&plan, &cut(&run.journal, part)).await);
        assert_eq!(scene.sim.digest(&scene.empty), scene.sim.digest(&scene.full));

        let third = scene.sim.namespace_ids()[2].clone();
        let words = scene.line(&["copy", "--to", &third, "--batch-size", "100"]);
        let (plan, run) = scene.stage.stream_part(&words, interrupts(stop_at, times)).await;
        assert!(!run.report.is_complete());
        assert_complete(&scene.stage.resume_stream(&plan, &cut(&run.journal, part)).await);
        assert_eq!(scene.sim.digest(&third), scene.sim.digest(&scene.full));
    }
}
