//! The metrics file: its text to the letter, and what becomes of one that can't be written.

use super::{Deaf, Feed, failed, header, seconds, settled, start};
use crate::display::metrics::Metrics;
use windlass_engine::Outcome;
use windlass_engine::event::{Ending, Event, Stamped};
use windlass_engine::remote::Meter;
use windlass_engine::runner::Reporter;

const EXPECTED: &str = r#"# HELP windlass_steps Steps of the plan.
# TYPE windlass_steps gauge
windlass_steps{R} 6
# HELP windlass_steps_settled_total Steps with an outcome.
# TYPE windlass_steps_settled_total counter
windlass_steps_settled_total{R,outcome="done"} 2
windlass_steps_settled_total{R,outcome="already_gone"} 0
windlass_steps_settled_total{R,outcome="skipped"} 0
windlass_steps_settled_total{R,outcome="failed"} 1
windlass_steps_settled_total{R,outcome="elsewhere"} 1
# HELP windlass_phase_steps Steps of a phase of the plan.
# TYPE windlass_phase_steps gauge
windlass_phase_steps{R,phase="organizations"} 4
windlass_phase_steps{R,phase="us\"ers\\"} 2
# HELP windlass_phase_settled_total Steps of a phase with an outcome.
# TYPE windlass_phase_settled_total counter
windlass_phase_settled_total{R,phase="organizations",outcome="done"} 2
windlass_phase_settled_total{R,phase="organizations",outcome="already_gone"} 0
windlass_phase_settled_total{R,phase="organizations",outcome="skipped"} 0
windlass_phase_settled_total{R,phase="organizations",outcome="failed"} 1
windlass_phase_settled_total{R,phase="organizations",outcome="elsewhere"} 1
windlass_phase_settled_total{R,phase="us\"ers\\",outcome="done"} 0
windlass_phase_settled_total{R,phase="us\"ers\\",outcome="already_gone"} 0
windlass_phase_settled_total{R,phase="us\"ers\\",outcome="skipped"} 0
windlass_phase_settled_total{R,phase="us\"ers\\",outcome="failed"} 0
windlass_phase_settled_total{R,phase="us\"ers\\",outcome="elsewhere"} 0
# HELP windlass_rate Steps with an outcome a second: now, on average and at most in one second.
# TYPE windlass_rate gauge
windlass_rate{R,over="now"} 0.75
windlass_rate{R,over="average"} 0.75
windlass_rate{R,over="peak"} 2
# HELP windlass_batch_size Steps of the latest batch.
# TYPE windlass_batch_size gauge
windlass_batch_size{R} 1
# HELP windlass_requests_in_flight Requests on the wire.
# TYPE windlass_requests_in_flight gauge
windlass_requests_in_flight{R} 7
# HELP windlass_concurrency Requests that may be on the wire.
# TYPE windlass_concurrency gauge
windlass_concurrency{R} 10
# HELP windlass_retries_total Attempts that were made again.
# TYPE windlass_retries_total counter
windlass_retries_total{R} 0
# HELP windlass_throttled_total Answers that asked for patience (429).
# TYPE windlass_throttled_total counter
windlass_throttled_total{R} 0
# HELP windlass_breaker_open Whether the breaker is open.
# TYPE windlass_breaker_open gauge
windlass_breaker_open{R} 1
# HELP windlass_memory_bytes Memory of the process.
# TYPE windlass_memory_bytes gauge
windlass_memory_bytes{R} 4096
# HELP windlass_memory_limit_bytes Memory that the process may take.
# TYPE windlass_memory_limit_bytes gauge
windlass_memory_limit_bytes{R} 8192
# HELP windlass_cpu_ratio Share of processor time in use, without what is spent on purpose.
# TYPE windlass_cpu_ratio gauge
windlass_cpu_ratio{R} 0.25
# HELP windlass_held Whether this holds new work up.
# TYPE windlass_held gauge
windlass_held{R,by="cpu"} 0
windlass_held{R,by="memory"} 1
# HELP windlass_alert Whether this alert is raised.
# TYPE windlass_alert gauge
windlass_alert{R,name="breaker"} 1
windlass_alert{R,name="cpu"} 0
windlass_alert{R,name="errors"} 0
windlass_alert{R,name="memory"} 0
windlass_alert{R,name="slow"} 0
# HELP windlass_alerts_total How often this alert was raised.
# TYPE windlass_alerts_total counter
windlass_alerts_total{R,name="breaker"} 1
windlass_alerts_total{R,name="cpu"} 0
windlass_alerts_total{R,name="errors"} 0
windlass_alerts_total{R,name="memory"} 1
windlass_alerts_total{R,name="slow"} 0
"#;

/// What has happened to a run of four organizations and two users.
fn events(plan: &windlass_engine::plan::Header) -> Vec<Event> {
    let held = |by: &str| Event::Held { by: by.into(), reason: "it is short".into() };
    let alert = |name: &str, raised| {
        let message = "it is short".to_owned();
        Event::Alert { name: name.into(), raised, message }
    };
    let load =
        Event::Load { cpu: 0.25, cpu_all: 0.9, memory_bytes: 4096, memory_limit_bytes: 8192 };
    vec![
        start(plan),
        settled(0, Outcome::Done),
        settled(1, Outcome::Done),
        Event::Elsewhere { steps: [2].into_iter().collect() },
        load,
        held("cpu"),
        held("memory"),
        Event::Released { by: "cpu".into() },
        Event::BreakerOpened { message: "silence".into() },
        alert("breaker", true),
        alert("memory", true),
        alert("memory", false),
    ]
}

#[test]
fn a_run_is_told_as_prometheus_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("windlass.prom");
    let mut plan = header(4, 2);
    plan.phases[1].name = "us\"ers\\".into();
    let mut feed = Feed::new(&plan, Deaf);
    let mut metrics = Metrics::new(&plan, &path);
    assert!(!path.exists(), "nothing is known yet");
    let mut say = |at: f64, event: Event| {
        let stamped = Stamped { at: seconds(at), event };
        feed.tally.take_in(&stamped);
        metrics.event(&stamped, &feed.tally);
    };
    for (index, event) in events(&plan).into_iter().enumerate() {
        say(if index == 0 { 0.0 } else { 1.0 }, event);
    }
    say(3.0, settled(3, failed("req")));
    let meter = Meter { in_flight: 7, concurrency: 10, ..Meter::default() };
    metrics.tick(seconds(4.0), &feed.tally, &meter);
    let read = || std::fs::read_to_string(&path).unwrap();
    let labels = "run=\"run-1\",system=\"workos\",operation=\"delete\"";
    assert_eq!(read(), EXPECTED.replace("{R", &format!("{{{labels}")));

    feed.tally.retries = 9;
    metrics.tick(seconds(8.9), &feed.tally, &meter);
    assert!(!read().contains("} 9\n"), "five seconds are not over");
    feed.tally
        .take_in(&Stamped { at: seconds(8.9), event: Event::RunEnded { ending: Ending::Stopped } });
    metrics.tick(seconds(8.9), &feed.tally, &meter);
    assert!(read().contains("windlass_retries_total{") && read().contains("} 9\n"));
    let names = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 1, "no temporary file is left");
}

#[test]
fn a_file_that_can_t_be_written_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let plan = header(4, 2);
    let mut feed = Feed::started(&plan, Metrics::new(&plan, &folder.path().join("no/file")));
    feed.done(1.0, 0..2);
    feed.tick(2.0, &Meter::default());
    feed.tick(9.0, &Meter::default());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
