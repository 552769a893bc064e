//! The files for Prometheus and Grafana speak of metrics that there are, with their labels.

use super::strict::{self, Family};
use super::{full, get};
use std::collections::BTreeSet;

const ALERTS: &str = include_str!("../../../../../../deploy/observe/alerts.yml");
const ALERTS_TEST: &str = include_str!("../../../../../../deploy/observe/alerts_test.yml");
const DASHBOARD: &str = include_str!("../../../../../../deploy/observe/dashboard.json");
const UNIT: &str = include_str!("../../../../../../deploy/observe/windlass-observe.service");

const NONE: [&String; 0] = [];

fn families() -> Vec<Family> {
    strict::read(&get("/metrics", full()).body)
}

/// Every name of a sample that the text of `/metrics` has.
fn sample_names() -> BTreeSet<String> {
    let families = families();
    families.iter().flat_map(|family| &family.samples).map(|one| one.name.clone()).collect()
}

/// The words of a text that can only be names of metrics.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("windlass_observe_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_of_the_alerts_is_there() {
    let there = sample_names();
    let asked = named(ALERTS);
    assert!(asked.len() > 20, "{asked:?}");
    assert_eq!(asked.difference(&there).collect::<Vec<_>>(), NONE);
    let tested = named(ALERTS_TEST);
    assert!(tested.len() > 8, "{tested:?}");
    assert_eq!(tested.difference(&there).collect::<Vec<_>>(), NONE);
}

#[test]
fn every_metric_of_the_dashboard_is_there() {
    let asked = named(DASHBOARD);
    assert!(asked.len() > 40, "{asked:?}");
    let there = sample_names();
    assert_eq!(asked.difference(&there).collect::<Vec<_>>(), NONE);
}

/// What a text puts between braces right after this name.
fn matchers<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.match_indices(name)
        .filter_map(|(place, _)| text[place + name.len()..].strip_prefix('{'))
        .map(|rest| rest.split_once('}').unwrap().0)
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_labels_that_there_are() {
    let mut checked = 0;
    for sample in families().iter().flat_map(|family| &family.samples) {
        for text in [ALERTS, DASHBOARD] {
            for asked in matchers(text, &sample.name).iter().flat_map(|all| all.split(',')) {
                let label = asked.split(['=', '!']).next().unwrap();
                let is_there = label == "instance" || sample.labels.contains_key(label);
                assert!(is_there, "{} has no {label}", sample.name);
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn every_alert_says_what_is_so_and_what_to_do() {
    let alerts: Vec<_> = ALERTS.split("- alert: ").skip(1).collect();
    assert_eq!(alerts.len(), 20);
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        assert!(name.starts_with("WindlassObserve") && names.insert(name), "{name}");
        for part in ["expr: ", "severity: ", "summary: ", "description: ", "action: "] {
            assert_eq!(alert.matches(part).count(), 1, "{name}: {part}");
        }
    }
}

#[test]
fn the_alerts_have_the_limits_that_were_promised() {
    let limits = [
        ("WindlassObserveSlowP95", "> 0.15"),
        ("WindlassObserveSlowP99", "> 0.2"),
        ("WindlassObserveErrors", "> 0.01"),
        ("WindlassObserveQueueFilling", "> 0.8"),
        ("WindlassObserveMemory", "> 0.8"),
        ("WindlassObserveDatabasePoolBusy", "> 0.8"),
    ];
    for (name, limit) in limits {
        let (_, alert) = ALERTS.split_once(&format!("- alert: {name}\n")).unwrap();
        let alert = alert.split("- alert: ").next().unwrap();
        assert!(alert.contains(&format!("{limit}\n")), "{name}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 38);
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for column in at("x")..at("x") + at("w") {
            assert!(column < 24, "{panel}");
            for line in at("y")..at("y") + at("h") {
                assert!(taken.insert((column, line)), "two panels in one place: {panel}");
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }
    assert!(ids.len() > 30);
}

#[test]
fn a_stop_has_more_time_than_the_drain() {
    let setting = |name: &str| UNIT.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let drain = crate::observe::settings::Settings::default().drain.as_secs();
    let stop: u64 = setting("TimeoutStopSec=").strip_suffix('s').unwrap().parse().unwrap();
    assert!(stop >= drain + 5, "{stop} {drain}");
    assert_eq!(setting("Restart="), "always");
    assert_eq!(setting("StateDirectory="), "windlass-observe");
    assert!(setting("ExecStart=").starts_with("/usr/local/bin/windlass observe serve "));
}
