//! Namespaces and zones by their names, and with which credentials.

use windlass_connectors::cloudflare::sim::Options;

use super::{assert_complete, free, scene};
use crate::support::keys;

#[tokio::test(start_paused = true)]
async fn namespaces_are_created_renamed_and_listed() {
    let scene = scene(free());
    let made = scene.stage.text(&["kv", "namespaces", "create", "--title", "fresh"]).await;
    let ids = scene.sim.namespace_ids();
    assert_eq!(ids.len(), 3);
    assert_eq!(made, format!("{}\tfresh\n", ids[2]));
    let rename = ["kv", "namespaces", "rename", "--namespace", "fresh", "--title", "stale"];
    assert_eq!(scene.stage.text(&rename).await, format!("{}\tstale\n", ids[2]));
    let listed = scene.stage.text(&["kv", "namespaces", "list"]).await;
    let mut lines: Vec<&str> = listed.lines().collect();
    lines.sort_unstable_by_key(|line| line.split('\t').nth(1));
    let expected = ["namespace-1", "namespace-2", "stale"];
    let expected: Vec<String> =
        ids.iter().zip(expected).map(|(id, title)| format!("{id}\t{title}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(scene.stage.text(&["kv", "list"]).await, listed, "without a namespace, all of them");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_dropped_by_its_title_alone() {
    let scene = scene(free());
    let words = ["kv", "namespaces", "drop", "--namespace", "namespace-1"];
    let setup = scene.stage.setup();
    let opening = scene.stage.open(&setup, &words).await.unwrap();
    assert_eq!(opening.question.as_deref(), Some("namespace-1"), "what has to be typed");
    let plan = scene.stage.plan(&words).await.unwrap();
    assert_eq!(keys(&plan), [scene.full.as_str()]);
    assert!(scene.wire.all().iter().all(|sent| sent.method == "GET"));
    assert_eq!(scene.sim.len(&scene.full), 1_000);
    assert_complete(&scene.stage.apply(&plan).await);
    assert_eq!(scene.sim.namespace_ids(), [scene.empty.as_str()]);
    let again = scene.stage.apply(&plan).await;
    assert_eq!(again.tally.counts.already_gone, 1);
}

#[tokio::test(start_paused = true)]
async fn a_title_and_an_id_mean_the_same_namespace() {
    let scene = scene(free());
    let by_title = scene.stage.text(&["kv", "list", "--namespace", "namespace-1"]).await;
    assert_eq!(scene.sim.counts().namespaces, 1);
    let by_id = scene.stage.text(&["kv", "list", "--namespace", &scene.full]).await;
    assert_eq!(scene.sim.counts().namespaces, 1, "an id is not looked up");
    assert_eq!(by_title, by_id);
    assert_eq!(by_title.lines().count(), 1_000);
    let error = scene.stage.ask(&["kv", "list", "--namespace", "namespace-3"]).await.unwrap_err();
    assert!(error.to_string().contains("namespace-3"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_key_with_its_address_is_as_good_as_a_token() {
    let mut scene = scene(free());
    scene.stage.key = "cf-key-1".to_owned();
    assert!(scene.stage.ask(&scene.line(&["list"])).await.is_err(), "it is no token");
    scene.stage.identity = Some("ops@example.com".to_owned());
    assert_eq!(scene.text(&["list"]).await.lines().count(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_copy_into_another_account_uses_the_key_to_that_account() {
    let mut scene = scene(Options {
        keys: 250,
        accounts: vec!["acc".to_owned(), "acc2".to_owned()],
        tokens: vec!["cf-token-1".to_owned(), "cf-token-2".to_owned()],
        ..free()
    });
    scene.stage.other_key = Some("cf-token-2".to_owned());
    scene.stream(&["copy", "--to", &scene.empty, "--to-account-id", "acc2"]).await;
    assert_eq!(scene.sim.digest(&scene.empty), scene.sim.digest(&scene.full));
    let mut writes = 0;
    scene.sim.ledger().each(|entry| {
        let writes_here = entry.method == "PUT";
        assert_eq!(entry.key, if writes_here { "cf-token-2" } else { "cf-token-1" });
        assert_eq!(entry.folder.contains("/accounts/acc2/"), writes_here);
        writes += u32::from(writes_here);
    });
    assert_eq!(writes, 1);
}
