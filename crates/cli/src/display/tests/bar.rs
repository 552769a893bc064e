use super::{
    Closed, Feed, HOSTILE, Paper, failed, header, page, settled, throttled, waiting, window,
};
use crate::display::bar::Bar;
use crate::display::style::Style;
use crate::display::words;
use windlass_engine::Outcome;
use windlass_engine::event::{Ending, Event, Waiting};
use windlass_engine::plan::Header;
use windlass_engine::remote::Meter;

const CLEAR: &str = "\r\x1b[K";

fn bar(plan: &Header, columns: fn() -> usize) -> (Paper, Bar<Paper>) {
    let paper = Paper::default();
    (paper.clone(), Bar::with(plan, Style::default(), false, paper, columns))
}

fn drawn(paper: &Paper) -> String {
    let text = paper.take();
    text.rsplit(CLEAR).next().unwrap().to_owned()
}

/// 651 done and 3 failed of 1,000, the last second at 42 a second.
fn half_done(columns: fn() -> usize) -> (Paper, Feed<Bar<Paper>>) {
    let plan = header(1000, 0);
    let (paper, bar) = bar(&plan, columns);
    let mut feed = Feed::started(&plan, bar);
    feed.done(10.0, 0..441);
    (441..444).for_each(|step| feed.event(10.0, settled(step, failed("req"))));
    feed.done(17.0, 444..654);
    (paper, feed)
}

#[test]
fn the_line_shows_everything_where_there_is_room() {
    let (paper, mut feed) = half_done(|| 120);
    feed.tick(20.0, &Meter::default());
    assert_eq!(
        drawn(&paper),
        "   Deleting organizations |██████████████████░░░░░░░░░░| 65.4% | 654/1,000 | ✓ 651 ✗ 3 \
         | 42.0/s | ETA: 11s"
    );
}

#[test]
fn it_never_reaches_the_last_column() {
    type Case = (fn() -> usize, &'static [&'static str]);
    let cases: [Case; 6] = [
        (|| 90, &["|███████░░░|", "65.4%", "654/1,000", "✓ 651 ✗ 3", "42.0/s", "ETA: 11s"]),
        (|| 80, &["|█████░░░|", "65.4%", "654/1,000", "✓ 651 ✗ 3", "ETA: 11s"]),
        (|| 60, &["65.4%", "654/1,000", "ETA: 11s"]),
        (|| 40, &["65.4%"]),
        (|| 20, &[]),
        (|| 1, &[]),
    ];
    for (columns, kept) in cases {
        let (paper, mut feed) = half_done(columns);
        feed.tick(20.0, &Meter::default());
        let line = drawn(&paper);
        assert!(words::width(&line) < columns(), "{line}");
        let bare = |text: &str| text.replace(['█', '░', '|'], " ");
        let parts = bare(&line).split_whitespace().skip(2).map(str::to_owned).collect::<Vec<_>>();
        let expected = bare(&kept.join(" "));
        assert_eq!(parts, expected.split_whitespace().collect::<Vec<_>>(), "{line}");
        assert_eq!(line.contains('█'), columns() >= 80, "{line}");
    }
}

#[test]
fn what_it_waits_for_stands_at_the_end() {
    let (paper, mut feed) = half_done(|| 150);
    let mut ends_with = |meter: &Meter, end: &str| {
        feed.tick(20.0, meter);
        let line = drawn(&paper);
        assert!(line.ends_with(end), "{line}");
    };
    let quota = || Waiting::Quota("organization-delete".into());
    ends_with(&waiting(quota(), 12), " | waiting 12s: quota organization-delete");
    ends_with(&waiting(quota(), 0), "ETA: 11s");
    ends_with(&waiting(Waiting::Concurrency, 0), "ETA: 11s");
    ends_with(&waiting(Waiting::Throttled, 40), " | waiting 40s: the remote said so (429)");
    ends_with(&waiting(Waiting::Breaker, 4), " | breaker open, next probe in 4s");
    ends_with(&Meter { paused: true, ..Meter::default() }, " | paused");
    feed.event(20.0, Event::Stopping { reason: "interrupt".into() });
    feed.tick(20.0, &Meter { in_flight: 3, ..Meter::default() });
    assert!(drawn(&paper).ends_with(" | stopping: 3 on the wire"));
}

#[test]
fn a_lumpy_quota_shows_the_average_and_what_was_gone_already() {
    let plan = header(100, 0);
    let (paper, bar) = bar(&plan, || 150);
    let mut feed = Feed::started(&plan, bar);
    feed.done(0.1, 0..49);
    feed.event(0.1, settled(49, Outcome::AlreadyGone));
    let windows = vec![window("writes", "50/60s", 0)];
    feed.tick(25.0, &Meter { windows, ..waiting(Waiting::Quota("writes".into()), 35) });
    let line = drawn(&paper);
    assert!(line.contains(" | = 1 already gone | avg 2.0/s | ETA: "), "{line}");
}

#[test]
fn phases_begin_and_end_with_a_line_that_stays() {
    let plan = header(2, 1);
    let (paper, bar) = bar(&plan, || 120);
    let mut feed = Feed::started(&plan, bar);
    feed.done(0.5, 0..2);
    assert_eq!(
        paper.take(),
        format!(
            "{CLEAR}  Deleting 2 organizations\n{CLEAR}✓ 2 organizations in 500ms (4.0/s)\n  \
             Deleting 1 user\n"
        )
    );
    feed.event(1.0, Event::RunEnded { ending: Ending::Stopped });
    feed.tick(1.0, &Meter::default());
    assert_eq!(paper.take(), format!("{CLEAR}! stopped after 0 of 1 user, 500ms\n{CLEAR}"));
}

#[test]
fn a_resumed_run_says_what_is_done_already() {
    let plan = header(10, 0);
    let (paper, bar) = bar(&plan, || 120);
    let mut feed = Feed::started(&plan, bar);
    feed.done(1.0, 0..4);
    let mut again = super::start(&plan);
    if let Event::RunStarted { session, finished, .. } = &mut again {
        (*session, *finished) = (2, 4);
    }
    let (paper2, bar) = self::bar(&plan, || 120);
    let mut second = Feed { tally: feed.tally.clone(), reporter: bar };
    second.event(0.0, again);
    drop(paper);
    assert_eq!(
        paper2.take(),
        format!(
            "{CLEAR}  resuming: 4 of 10 steps have their outcome already\n  Deleting 6 \
             organizations\n"
        )
    );
}

#[test]
fn the_first_failures_stand_above_the_line_and_can_not_steer_the_terminal() {
    let plan = header(100, 0);
    let (paper, bar) = bar(&plan, || 200);
    let mut feed = Feed::started(&plan, bar);
    (0..8).for_each(|step| feed.event(1.0, settled(step, failed("req_5"))));
    feed.event(1.0, throttled(4000));
    let text = paper.take();
    assert_eq!(text.matches("not allowed (status 422) [request req_5]").count(), 5);
    assert!(!text.contains(HOSTILE) && !text.contains("\x1b[2J"), "{text:?}");
    assert!(!text.contains("429"), "a wait is the line's own matter: {text}");
}

#[test]
fn a_listing_has_a_line_of_its_own() {
    let plan = header(0, 0);
    let (paper, bar) = bar(&plan, || 120);
    let mut feed = Feed::new(&plan, bar);
    feed.tick(0.0, &Meter::default());
    assert_eq!(drawn(&paper), "   Listing …");
    (1..=12).for_each(|number| feed.event(1.5, page("users", number)));
    paper.take();
    feed.tick(1.5, &Meter::default());
    assert_eq!(drawn(&paper), "   Listing users | page 12 | 1,200 seen | 276 match | 8.0 pages/s");
    drop(feed);
    assert_eq!(
        paper.take(),
        format!("{CLEAR}✓ 12 pages of users in 1.5s: 1,200 seen, 276 match\n{CLEAR}")
    );
}

#[test]
fn debug_tells_every_page_step_and_429() {
    let plan = header(10, 0);
    let paper = Paper::default();
    let bar = Bar::with(&plan, Style::default(), true, paper.clone(), || 120);
    let mut feed = Feed::new(&plan, bar);
    feed.event(0.0, page("users", 3));
    feed.event(0.0, throttled(4000));
    feed.event(0.0, settled(3, Outcome::Done));
    let text = paper.take();
    let lines = [
        "  page 3 of users: 300 seen, 69 match so far, 41 ms, request req_1\n",
        "! 429 for `delete organization`: waiting 4.0s, the remote said so, request req_7\n",
        "✓ step 3 org_3: done, status 204, 41 ms, request req_9\n",
    ];
    for line in lines {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn colour_is_added_after_measuring() {
    let plan = header(1000, 0);
    let paper = Paper::default();
    let bar = Bar::with(&plan, Style::new(true), false, paper.clone(), || 120);
    let mut feed = Feed::started(&plan, bar);
    feed.event(1.0, settled(0, failed("req")));
    feed.tick(1.0, &Meter::default());
    assert!(paper.take().contains("\x1b[32m✓\x1b[0m 0 \x1b[31m✗\x1b[0m 1"));
}

#[test]
fn a_closed_terminal_hurts_nothing() {
    let plan = header(10, 0);
    let mut feed = Feed::started(&plan, Bar::with(&plan, Style::default(), true, Closed, || 80));
    feed.done(1.0, 0..10);
    feed.tick(1.0, &Meter::default());
}
