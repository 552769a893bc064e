//! What is known of a job before its first step is settled: the time of a step and the remarks.

use super::{Deaf, Feed, header, seconds, settled, start};
use crate::display::preview::{Phase, Preview, plan_text};
use crate::display::progress::Progress;
use crate::display::style::Style;
use std::time::Duration;
use windlass_engine::Outcome;
use windlass_engine::event::{Event, Stamped};
use windlass_engine::remote::Meter;

/// 100 of 1,000 organizations are done in 10 s, none of 400 users is.
fn begun(expected: [Option<u64>; 2], done: u64) -> (Feed<Deaf>, Progress) {
    let plan = header(1000, 400);
    let mut feed = Feed::new(&plan, Deaf);
    let mut progress = Progress::new(&plan);
    progress.expect(expected.map(|millis| millis.map(Duration::from_millis)).to_vec());
    let mut say = |at: f64, event: Event| {
        let stamped = Stamped { at: seconds(at), event };
        feed.tally.take_in(&stamped);
        progress.event(&stamped, &feed.tally);
    };
    say(0.0, start(&plan));
    (0..done).for_each(|step| say(10.0, settled(step, Outcome::Done)));
    (feed, progress)
}

fn eta(expected: [Option<u64>; 2], done: u64) -> Option<f64> {
    let (feed, progress) = begun(expected, done);
    let eta = progress.eta(seconds(10.0), &feed.tally, &Meter::default());
    eta.map(|eta| eta.as_secs_f64())
}

#[test]
fn phases_to_come_count_at_what_their_steps_are_expected_to_take() {
    // 900 organizations are left at 10 a second, and 400 users at 250 ms each.
    assert_eq!(eta([None, Some(250)], 100), Some(90.0 + 100.0));
    assert_eq!(eta([Some(1), Some(250)], 100), Some(90.0 + 100.0), "what is measured goes before");
    assert_eq!(eta([None, None], 100), Some(90.0), "nothing is known of the users");
    assert_eq!(eta([Some(500), Some(250)], 0), Some(500.0 + 100.0));
    assert_eq!(eta([None, Some(250)], 0), None);
    assert_eq!(eta([None, Some(250)], 1000), Some(100.0));
}

#[test]
fn while_it_is_paused_nobody_knows() {
    let (feed, progress) = begun([Some(500), Some(250)], 0);
    let paused = Meter { paused: true, ..Meter::default() };
    assert_eq!(progress.eta(seconds(10.0), &feed.tally, &paused), None);
}

#[test]
fn what_is_held_up_goes_on_as_it_does_now() {
    let (mut feed, progress) = begun([None, Some(250)], 100);
    feed.event(10.0, Event::Held { by: "cpu".into(), reason: "busy".into() });
    let mut eta = |at: f64, done: std::ops::Range<u64>| {
        feed.done(at, done);
        let eta = progress.eta(seconds(at), &feed.tally, &Meter::default());
        eta.map(|eta| eta.as_secs_f64())
    };
    // 10 in the last five seconds are 2 a second: 890 organizations, then 400 users at 250 ms.
    assert_eq!(eta(20.0, 100..110), Some(445.0 + 100.0));
    assert_eq!(eta(30.0, 110..110), None, "nothing moves");
    feed.event(30.0, Event::Released { by: "cpu".into() });
    let eta = progress.eta(seconds(30.0), &feed.tally, &Meter::default());
    assert!(eta.is_some(), "its average is what counts again");
}

#[test]
fn remarks_stand_between_what_was_found_and_how_long_it_takes() {
    let phase = Phase {
        name: "users".into(),
        steps: 400,
        expected: Some(Duration::from_secs(100)),
        rate: Some(4.0),
        ..Phase::default()
    };
    let preview = Preview {
        operation: "migrate".into(),
        phases: vec![phase],
        remarks: vec![
            ("index".into(), "email_1 covers the sources".into()),
            ("without a name".into(), "3\x1b[2J of 400".into()),
        ],
        warnings: vec!["3 have no name".into()],
        ..Preview::default()
    };
    let expected = "\n✓ Found 400 users to migrate\n\
        \nChecked:\n  index:           email_1 covers the sources\n  \
        without a name:  3\u{fffd}[2J of 400\n\
        \nExpected time:\n  400 users: about 1m 40s at 4.0/s\n\
        \n! warning: 3 have no name\n";
    assert_eq!(plan_text(&preview, Style::default()), expected);
}
