use super::{Closed, Feed, Paper, header, report, settled, throttled};
use crate::display::json::Json;
use crate::display::summary;
use serde_json::Value;
use windlass_engine::Outcome;
use windlass_engine::event::Event;
use windlass_engine::remote::Meter;

#[test]
fn every_line_is_flat_json_with_its_moment_first() {
    let plan = header(10, 0);
    let paper = Paper::default();
    let mut feed = Feed::started(&plan, Json::with(paper.clone()));
    feed.event(1.0, Event::Begun { steps: [0].into_iter().collect() });
    feed.event(1.25, settled(0, Outcome::Done));
    feed.event(2.0, throttled(4000));
    assert_eq!(paper.take(), "", "lines are gathered until the tick");
    feed.tick(2.0, &Meter::default());
    let text = paper.take();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["run_started", "settled", "throttled"]);
    let settled = text.lines().nth(1).unwrap();
    assert!(settled.starts_with(r#"{"at_us":1250000,"event":"settled","steps":[{"#), "{settled}");
    assert_eq!(lines[1]["steps"][0]["key"], "org_0");
}

#[test]
fn nothing_is_lost_at_the_end() {
    let plan = header(10, 0);
    let paper = Paper::default();
    let feed = Feed::started(&plan, Json::with(paper.clone()));
    drop(feed);
    assert_eq!(paper.take().lines().count(), 1);
}

#[test]
fn a_reader_that_went_away_hurts_nothing() {
    let plan = header(10, 0);
    let mut feed = Feed::started(&plan, Json::with(Closed));
    feed.tick(1.0, &Meter::default());
    feed.done(1.0, 0..10);
    feed.tick(1.0, &Meter::default());
}

#[test]
fn the_report_is_one_more_line() {
    let text = summary::json(&report());
    assert_eq!(text.matches('\n').count(), 1);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["event"], "report");
    assert_eq!(value["outcomes"]["failed"], 15);
    assert_eq!(value["left"], 0);
}
