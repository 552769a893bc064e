//! The cache by itself, and keys together with the cache tags that they carry.

use std::collections::BTreeSet;
use std::time::Duration;

use windlass_connectors::cloudflare::sim::{Options, Plan, PurgeKind};

use super::{Scene, assert_complete, free, scene, with_keys};
use crate::support::Run;

const ZONE: &str = "zone-1.example";

/// The tags that were purged, in their order.
fn purged(scene: &Scene) -> Vec<String> {
    let mut items = Vec::new();
    for purge in scene.sim.purges() {
        assert_eq!(purge.kind, PurgeKind::Tags);
        assert_eq!(purge.zone, scene.sim.zones()[0].0);
        items.extend(purge.items);
    }
    items.sort_unstable();
    items
}

fn tagged() -> Scene {
    let scene = with_keys(&["plain"]);
    for (key, metadata) in [
        ("p-1", r#"{"cache-tags":["red","blue"]}"#),
        ("p-2", r#"{"cache-tag":"Red, green"}"#),
        ("p-3", r#"{"tags":["blue"],"kind":"page"}"#),
        ("p-4", r#"{"kind":"page"}"#),
        ("q-1", r#"{"cacheTags":["yellow"],"kind":"page"}"#),
    ] {
        assert!(scene.sim.put(&scene.full, key, b"v", Some(metadata), None));
    }
    scene
}

async fn purge_sync(scene: &Scene, words: &[&str]) -> Run {
    scene.carry_out(&[&["purge-sync", "--zone", ZONE], words].concat()).await
}

#[tokio::test(start_paused = true)]
async fn keys_go_and_then_each_of_their_tags_is_purged_once() {
    let scene = tagged();
    let run = purge_sync(&scene, &["--prefix", "p-"]).await;
    assert_eq!(run.tally.counts.done, 4 + 3);
    assert_eq!(scene.keys(), ["plain", "q-1"]);
    assert_eq!(purged(&scene), ["blue", "green", "red"], "whatever their case");
    assert_eq!(scene.sim.purges().len(), 1);
    let sent = scene.wire.all();
    let place = |part: &str| sent.iter().position(|one| one.uri.contains(part)).unwrap();
    assert!(place("/bulk/delete") < place("/purge_cache"), "the keys go first");
}

#[tokio::test(start_paused = true)]
async fn tags_that_are_named_are_purged_whatever_the_keys_carry() {
    let scene = tagged();
    let words = ["--prefix", "p-", "--cache-tag", "one", "--cache-tag", "two"];
    assert_eq!(purge_sync(&scene, &words).await.tally.counts.done, 4 + 2);
    assert_eq!(purged(&scene), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn tags_are_derived_from_what_was_searched_for_where_keys_carry_none() {
    for (words, tags) in [
        (&["--extract-tags", "false"][..], &["page"][..]),
        (
            &["--extract-tags", "false", "--derived-tags"],
            &["page", "page-file", "page-path", "page-type-file", "page-type-image"],
        ),
    ] {
        let scene = tagged();
        let select = ["--tag-field", "kind", "--tag-value", "page"];
        let run = purge_sync(&scene, &[&select, words].concat()).await;
        assert_eq!(run.tally.counts.done, 3 + tags.len() as u64);
        assert_eq!(scene.keys(), ["p-1", "p-2", "plain"]);
        assert_eq!(purged(&scene), tags);
    }
}

#[tokio::test(start_paused = true)]
async fn planning_a_purge_sync_changes_nothing() {
    let scene = tagged();
    let plan = scene.plan(&["purge-sync", "--zone", ZONE, "--prefix", "p-"]).await;
    assert_eq!(plan.header.steps, 4 + 3);
    assert!(scene.wire.all().iter().all(|sent| sent.method == "GET"));
    assert_eq!(scene.keys().len(), 6);
}

fn of_plan(plan: Plan) -> Scene {
    scene(Options { plans: vec![plan], no_limits: false, ..free() })
}

/// 40 calls: 25 at once, and the others at five a minute. No more is sent than the plan allows.
#[tokio::test(start_paused = true)]
async fn the_bucket_of_the_free_plan_is_never_overdrawn() {
    let scene = of_plan(Plan::Free);
    let tags: String = (0..4_000).map(|number| format!("t{number:04}\n")).collect();
    let file = scene.stage.file("tags.txt", tags);
    let words = ["cache", "purge", "tags", "--zone", ZONE, "--tags-file", &file];
    let plan = scene.stage.plan(&words).await.unwrap();
    assert_eq!(plan.header.steps, 4_000);
    let run = scene.stage.apply(&plan).await;
    assert_complete(&run);
    assert_eq!((run.tally.counts.done, scene.sim.ledger().too_many()), (4_000, 0));
    assert_eq!(purged(&scene).len(), 4_000);
    assert_eq!(purged(&scene).into_iter().collect::<BTreeSet<_>>().len(), 4_000);
    assert_eq!(scene.sim.purges().len(), 40, "100 tags a call");
    let least = Duration::from_secs(15 * 12);
    assert!(run.took >= least && run.took < least * 3, "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn each_plan_keeps_its_own_limits() {
    for (plan, name, calls) in [
        (Plan::Pro, "pro", 100_u32),
        (Plan::Business, "business", 200),
        (Plan::Enterprise, "enterprise", 600),
    ] {
        let mut scene = of_plan(plan);
        scene.stage.settings.insert("purge-plan".to_owned(), name.to_owned());
        let hosts: String = (0..calls).map(|number| format!("h{number}.{ZONE}\n")).collect();
        let file = scene.stage.file("hosts.txt", hosts);
        let words =
            ["cache", "purge", "hosts", "--zone", ZONE, "--hosts-file", &file, "--batch-size", "1"];
        let plan = scene.stage.plan(&words).await.unwrap();
        // Plan and run are two processes.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let run = scene.stage.apply(&plan).await;
        assert_complete(&run);
        assert_eq!(run.tally.counts.done, u64::from(calls), "{name}");
        assert_eq!(scene.sim.ledger().too_many(), 0, "{name}");
        assert!(run.took < Duration::from_secs(60), "{name}: {:?}", run.took);
    }
}

/// 30 URLs a call were seen where 100 are documented.
#[tokio::test(start_paused = true)]
async fn a_call_with_too_many_items_is_halved() {
    let scene = scene(Options { url_items: 30, ..free() });
    let urls: String = (0..250).map(|number| format!("https://{ZONE}/{number}.png\n")).collect();
    let file = scene.stage.file("urls.txt", urls);
    let words = ["cache", "purge", "files", "--zone", ZONE, "--files-list", &file];
    let plan = scene.stage.plan(&words).await.unwrap();
    let run = scene.stage.apply(&plan).await;
    assert_complete(&run);
    assert_eq!(run.tally.counts.done, 250);
    let items: Vec<String> = scene.sim.purges().into_iter().flat_map(|one| one.items).collect();
    assert_eq!(items.len(), 250, "each once");
    assert_eq!(items.iter().collect::<BTreeSet<_>>().len(), 250);
    assert!(scene.sim.purges().iter().all(|one| one.items.len() <= 30));
    assert!((1..=8).contains(&scene.sim.ledger().count_of(400)));
}

#[tokio::test(start_paused = true)]
async fn tags_of_more_letters_than_a_call_takes_are_halved() {
    let scene = scene(free());
    let tag = |number: u32| format!("{number:03}{}\n", "x".repeat(50));
    let file = scene.stage.file("tags.txt", (0..100).map(tag).collect::<String>());
    let words = ["cache", "purge", "tags", "--zone", ZONE, "--tags-file", &file];
    let plan = scene.stage.plan(&words).await.unwrap();
    let run = scene.stage.apply(&plan).await;
    assert_complete(&run);
    assert_eq!(run.tally.counts.done, 100);
    assert_eq!(purged(&scene).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn invalidating_marks_as_stale() {
    let scene = scene(free());
    let words = ["cache", "invalidate", "tags", "--zone", ZONE, "--tags", "a,B,A"];
    let plan = scene.stage.plan(&words).await.unwrap();
    assert_complete(&scene.stage.apply(&plan).await);
    let purges = scene.sim.purges();
    assert_eq!(purges.len(), 1);
    assert!(purges[0].invalidate);
    assert_eq!(purges[0].items.len(), 2, "tags are the same in any case");
}
