//! The metrics: their whole text once, and that whatever comes from outside leaves them valid.

use super::strict;
use super::{Status, full, get};
use crate::observe::costs::Sum;
use crate::observe::status::{Latency, PolicyStatus};
use proptest::prelude::*;

fn value<'a>(families: &'a [strict::Family], name: &str, labels: &[(&str, &str)]) -> &'a str {
    let samples = families.iter().flat_map(|family| &family.samples);
    let mut found = samples.filter(|sample| {
        sample.name == name
            && sample.labels.len() == labels.len()
            && labels.iter().all(|(label, value)| sample.labels[*label] == *value)
    });
    let sample = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert!(found.next().is_none());
    &sample.value
}

#[test]
fn the_whole_text_is_as_it_was_written_down() {
    let text = get("/metrics", full()).body;
    strict::read(&text);
    let expected = include_str!("metrics.txt");
    for (line, (ours, theirs)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(ours, theirs, "line {}", line + 1);
    }
    assert_eq!(text.len(), expected.len());
}

#[test]
fn a_gateway_without_anything_has_valid_metrics() {
    let families = strict::read(&get("/metrics", Status::default()).body);
    let zeroes = ["events_received_total", "unpriced_total", "dead_letters_total"];
    for name in zeroes {
        assert_eq!(value(&families, &format!("windlass_observe_{name}"), &[]), "0");
    }
    assert_eq!(value(&families, "windlass_observe_ready", &[]), "1");
}

#[test]
fn numbers_are_exact_in_base_units() {
    let mut status = full();
    let cost = Sum { cost_pico: 9_007_199_254_740_993, events: 1, ..Sum::default() };
    status.costs.insert("dear".to_owned(), cost);
    let cost = Sum { cost_pico: 1, events: 1, ..Sum::default() };
    status.costs.insert("cheap".to_owned(), cost);
    let most = Sum { cost_pico: u64::MAX, events: 1, ..Sum::default() };
    status.costs.insert("most".to_owned(), most);
    status.destinations[0].lag_ms = 60_010;
    let families = strict::read(&get("/metrics", status).body);
    let dollars = |model| value(&families, "windlass_observe_cost_usd_total", &[("model", model)]);
    assert_eq!(dollars("gpt-4o"), "0.0675");
    assert_eq!(dollars("dear"), "9007.199254740993");
    assert_eq!(dollars("cheap"), "0.000000000001");
    assert_eq!(dollars("most"), "18446744.073709551615");
    let lag = "windlass_observe_destination_lag_seconds";
    assert_eq!(value(&families, lag, &[("destination", "langfuse")]), "60.01");
}

#[test]
fn buckets_grow_even_when_counters_were_read_while_they_grew() {
    let mut status = full();
    status.queue.syncs.at_most = vec![5, 3, 12];
    status.queue.syncs.count = 11;
    let families = strict::read(&get("/metrics", status).body);
    let bucket = "windlass_observe_queue_sync_duration_seconds_bucket";
    let at = |bound| value(&families, bucket, &[("queue", "main"), ("le", bound)]);
    assert_eq!(["0.0005", "0.001", "0.02", "+Inf"].map(at), ["5", "5", "12", "12"]);
}

#[test]
fn a_histogram_of_real_times_is_told_as_it_is() {
    let mut times = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    for time in [50, 900, 900, 149_000, 40_000_000] {
        times.record(time).unwrap();
    }
    let mut status = full();
    status.doors[0].latency = Latency::of(&times, 40_150_850);
    let families = strict::read(&get("/metrics", status).body);
    let bucket = "windlass_observe_door_request_duration_seconds_bucket";
    let at = |bound| value(&families, bucket, &[("door", "otlp"), ("le", bound)]);
    let counts = ["0.0001", "0.0005", "0.001", "0.1", "0.15", "10", "+Inf"].map(at);
    assert_eq!(counts, ["1", "1", "3", "3", "4", "4", "5"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_name_comes_back_as_it_went(
        model in any::<String>(), policy in any::<String>(), mask in "[\\\\\"\n{}=, a]{0,12}"
    ) {
        let mut status = full();
        status.costs.insert(model.clone(), Sum { events: 5, ..Sum::default() });
        let policies = PolicyStatus { name: policy.clone(), matched: 6, ..PolicyStatus::default() };
        status.policies = vec![policies];
        status.masks.insert(mask.clone(), 7);
        let text = get("/metrics", status).body;
        let families = strict::read(&text);
        let yes = [("model", model.as_str()), ("priced", "yes")];
        prop_assert_eq!(value(&families, "windlass_observe_generations_total", &yes), "5");
        let policy = [("policy", policy.as_str())];
        prop_assert_eq!(value(&families, "windlass_observe_policy_matched_total", &policy), "6");
        let mask = [("mask", mask.as_str())];
        prop_assert_eq!(value(&families, "windlass_observe_masked_total", &mask), "7");
    }
}
