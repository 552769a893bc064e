use super::{Closed, Feed, Paper, failed, header, page, settled, throttled, waiting};
use crate::display::lines::{Detail, Lines};
use windlass_engine::Outcome;
use windlass_engine::event::{Ending, Event, Waiting};
use windlass_engine::plan::Header;
use windlass_engine::remote::Meter;

fn lines(plan: &Header, detail: Detail) -> (Paper, Lines<Paper>) {
    let paper = Paper::default();
    (paper.clone(), Lines::with(plan, detail, paper))
}

#[test]
fn progress_comes_after_a_second_and_then_every_ten() {
    let plan = header(1000, 0);
    let (paper, lines) = lines(&plan, Detail::Normal);
    let mut feed = Feed::started(&plan, lines);
    assert_eq!(paper.take(), "Deleting 1,000 organizations\n");
    feed.done(0.5, 0..20);
    feed.tick(0.9, &Meter::default());
    assert_eq!(paper.take(), "");
    feed.event(1.0, settled(20, Outcome::AlreadyGone));
    feed.tick(1.0, &Meter::default());
    assert_eq!(
        paper.take(),
        "Deleting organizations: 21 of 1,000 (2.1%), 20 ok, 1 already gone, 21.0/s, 47s left\n"
    );
    feed.tick(10.9, &Meter::default());
    assert_eq!(paper.take(), "");
    feed.tick(11.0, &waiting(Waiting::Throttled, 40));
    let text = paper.take();
    assert!(text.ends_with(", waiting 40s: the remote said so (429)\n"), "{text}");
}

#[test]
fn nothing_moves_the_cursor_or_needs_a_character_set() {
    let plan = header(20, 5);
    let (paper, lines) = lines(&plan, Detail::Debug);
    let mut feed = Feed::new(&plan, lines);
    feed.event(0.0, page("organizations", 1));
    feed.event(0.0, super::start(&plan));
    feed.event(1.0, settled(0, failed("req")));
    feed.event(1.0, settled(1, Outcome::Skipped("protected".into())));
    feed.event(1.0, settled(2, Outcome::InDoubt));
    feed.event(1.0, throttled(1000));
    feed.event(1.0, Event::BreakerOpened { message: "down".into() });
    feed.event(1.0, Event::BreakerClosed);
    feed.event(1.0, Event::RateSet { per_second: Some(10.0) });
    feed.tick(5.0, &waiting(Waiting::Quota("writes".into()), 12));
    feed.event(6.0, Event::RunEnded { ending: Ending::Aborted });
    drop(feed);
    // The one foreign character stands for the ones that were taken out of a label.
    let text = paper.take().replace('\u{fffd}', "");
    assert!(text.chars().all(|letter| letter == '\n' || (' '..='~').contains(&letter)), "{text}");
    assert!(text.lines().count() >= 12, "{text}");
}

#[test]
fn one_line_stands_for_a_storm_of_429s() {
    let plan = header(20, 0);
    let (paper, lines) = lines(&plan, Detail::Normal);
    let mut feed = Feed::started(&plan, lines);
    paper.take();
    (0..10).for_each(|_| feed.event(1.0, throttled(4000)));
    assert_eq!(paper.take().lines().count(), 1);
    feed.event(5.0, throttled(4000));
    assert_eq!(paper.take().lines().count(), 1);
}

#[test]
fn failures_are_told_up_to_a_bound() {
    let plan = header(20, 0);
    let (paper, lines) = lines(&plan, Detail::Normal);
    let mut feed = Feed::started(&plan, lines);
    (0..10).for_each(|step| feed.event(1.0, settled(step, failed("req"))));
    let text = paper.take();
    assert_eq!(text.matches("failed: ").count(), 5, "{text}");
    assert!(text.ends_with("further failures are only counted here\n"), "{text}");
}

#[test]
fn quiet_keeps_what_a_person_has_to_know() {
    let plan = header(1, 0);
    let (paper, lines) = lines(&plan, Detail::Quiet);
    let mut feed = Feed::started(&plan, lines);
    feed.event(1.0, Event::Warning { message: "look".into() });
    feed.done(1.0, 0..1);
    feed.tick(20.0, &Meter::default());
    drop(feed);
    assert_eq!(paper.take(), "warning: look\n");
}

#[test]
fn a_closed_pipe_hurts_nothing() {
    let plan = header(10, 0);
    let mut feed = Feed::started(&plan, Lines::with(&plan, Detail::Debug, Closed));
    feed.done(1.0, 0..10);
    feed.tick(1.0, &Meter::default());
}
