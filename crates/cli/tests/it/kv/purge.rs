//! Purging the cache: what is shown, what is sent, and what is sent only when it is meant.

use super::{Cloud, FULL};
use crate::support::Home;
use serde_json::json;
use windlass_connectors::cloudflare::sim::PurgeKind;

const ZONE: &[&str] = &["--zone", "zone-1.example"];

fn words<'a>(purge: &[&'a str]) -> Vec<&'a str> {
    [&["cache", "purge"], purge, ZONE].concat()
}

#[test]
fn nothing_is_purged_that_is_only_shown() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0"]));
    for purge in [
        &["everything"][..],
        &["files", "--file", "https://zone-1.example/a"],
        &["tags", "--tag", "a"],
        &["hosts", "--host", "www.zone-1.example"],
        &["prefixes", "--prefix", "zone-1.example/a"],
    ] {
        for group in ["purge", "invalidate"] {
            let mut words = words(purge);
            words[1] = group;
            let shown = cloud.at(&home, &[&words[..], &["--dry-run"]].concat()).run().code(0);
            assert!(shown.out.contains("zone-1.example"), "{}", shown.out);
            assert!(shown.err.contains("Nothing was changed."), "{}", shown.err);
            let asked = cloud.at(&home, &words).run().code(5);
            assert!(asked.error().contains("nobody can be asked"), "{}", asked.err);
        }
    }
    assert_eq!(cloud.sim.counts().purge, 0);
    assert_eq!(cloud.sim.ledger().count(|entry| entry.method == "POST"), 0);
    assert!(cloud.sim.purges().is_empty());
}

#[test]
fn everything_is_purged_when_it_is_meant() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0"]));
    let yes = [&words(&["everything"])[..], &["--yes"]].concat();
    cloud.at(&home, &yes).run().code(0);
    let purges = cloud.sim.purges();
    assert_eq!(purges.len(), 1);
    assert_eq!((&purges[0].zone, purges[0].kind), (&cloud.sim.zones()[0].0, PurgeKind::Everything));
    assert!(!purges[0].invalidate);
    let all = ["cache", "invalidate", "everything", "--all-zones", "--yes"];
    cloud.at(&home, &all).run().code(0);
    let purges = cloud.sim.purges();
    assert_eq!(purges.len(), 5);
    assert!(purges[1..].iter().all(|purge| purge.invalidate));
}

#[test]
fn items_are_unified_split_and_sent_to_their_zones() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0"]));
    let tags: String = (0..250).map(|n| format!("tag-{n}\n")).collect();
    home.write("work/tags.txt", format!("{tags}TAG-7\n# no tag\n"));
    let tags = [&words(&["tags", "--tags-file", "tags.txt"])[..], &["--yes"]].concat();
    let ended = cloud.at(&home, &[&tags[..], &["--output", "json"]].concat()).run().code(0);
    assert_eq!(ended.report()["outcomes"]["done"], json!(250));
    let purges = cloud.sim.purges();
    let mut sizes: Vec<usize> = purges.iter().map(|purge| purge.items.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    // The API takes prefixes without a scheme.
    let prefix = words(&["prefixes", "--prefix", "https://zone-1.example/images"]);
    cloud.at(&home, &[&prefix[..], &["--yes"]].concat()).run().code(0);
    assert_eq!(cloud.sim.purges()[3].items, ["zone-1.example/images"]);
    // Without a zone each host says its own.
    let hosts = ["cache", "purge", "hosts", "--hosts", "www.zone-2.example,zone-3.example"];
    cloud.at(&home, &[&hosts[..], &["--yes"]].concat()).run().code(0);
    let mut zones: Vec<String> =
        cloud.sim.purges()[4..].iter().map(|purge| purge.zone.clone()).collect();
    zones.sort_unstable();
    let mut expected = vec![cloud.sim.zones()[1].0.clone(), cloud.sim.zones()[2].0.clone()];
    expected.sort_unstable();
    assert_eq!(zones, expected);
    let unknown = ["cache", "purge", "hosts", "--host", "www.elsewhere.example", "--yes"];
    let ended = cloud.at(&home, &unknown).run().code(2);
    assert!(ended.error().contains("www.elsewhere.example"), "{}", ended.err);
    assert_eq!(cloud.sim.purges().len(), 6);
}

#[test]
fn purge_sync_deletes_keys_and_purges_the_tags_that_they_carry() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0"]));
    let (full, _) = cloud.ids();
    cloud.sim.put(&full, "page:1", b"1", Some(r#"{"cache-tag":"red,blue"}"#), None);
    cloud.sim.put(&full, "page:2", b"2", Some(r#"{"tags":["Blue","green"]}"#), None);
    cloud.sim.put(&full, "other", b"3", Some(r#"{"tags":["white"]}"#), None);
    let sync = ["kv", "purge-sync", "--namespace", FULL, "--prefix", "page:"];
    let sync = [&sync[..], ZONE].concat();
    cloud.at(&home, &[&sync[..], &["--dry-run"]].concat()).run().code(0);
    cloud.at(&home, &sync).run().code(5);
    assert_eq!((cloud.writes(), cloud.sim.len(&full)), (0, 3));
    cloud.at(&home, &[&sync[..], &["--yes"]].concat()).run().code(0);
    assert_eq!(cloud.sim.keys(&full), ["other"]);
    let purges = cloud.sim.purges();
    assert_eq!(purges.len(), 1);
    let mut tags: Vec<String> = purges[0].items.iter().map(|tag| tag.to_lowercase()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["blue", "green", "red"]);
}
