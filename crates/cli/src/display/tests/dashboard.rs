use super::{
    Deaf, Feed, HOSTILE, failed, header, page, seconds, settled, start, throttled, window,
};
use crate::display::dashboard::testing::Paper;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc::{Receiver, channel};
use windlass_engine::Outcome;
use windlass_engine::event::{Event, Stamped};
use windlass_engine::remote::Meter;
use windlass_engine::runner::{Command, Order};

/// 501 of 1,000 organizations, two of them failed, 42 a second in the last five.
fn half_done(columns: u16, rows: u16) -> (Feed<Deaf>, Paper, Receiver<Order>) {
    let plan = header(1000, 400);
    let (orders, taken) = channel(4);
    let mut paper = Paper::new(&plan, orders, columns, rows);
    let mut feed = Feed::new(&plan, Deaf);
    let mut say = |at: f64, event: Event| {
        let stamped = Stamped { at: seconds(at), event };
        feed.tally.take_in(&stamped);
        paper.event(&stamped, &feed.tally);
    };
    say(0.0, start(&plan));
    (0..289).for_each(|step| say(7.0, settled(step, Outcome::Done)));
    (289..291).for_each(|step| say(8.0, settled(step, failed("req"))));
    (291..501).for_each(|step| say(17.0, settled(step, Outcome::Done)));
    say(19.0, throttled(4000));
    (feed, paper, taken)
}

fn meter() -> Meter {
    let mut slowed = window("organization-delete", "50/60s", 12);
    slowed.factor = 0.7;
    let windows = vec![window("all", "500/1s", 480), slowed];
    Meter { in_flight: 7, concurrency: 10, windows, rate: Some(25.6), ..Meter::default() }
}

#[test]
fn everything_is_on_a_small_screen() {
    let (feed, mut paper, _orders) = half_done(80, 24);
    let rows = paper.draw(seconds(20.0), &feed.tally, &meter());
    let screen = rows.join("\n");
    let expected = [
        " windlass  workos delete",
        "account fp_12ab  20.0s",
        " 50.1%  501/1,000  ✓ 499 ✗ 2  ETA ",
        "users         ░░░░",
        "Throughput: now 42.0/s, average 25.1/s, peak 289/s",
        "latency p50 41 ms, p95 41 ms, p99 41 ms",
        "480 of 500/1s",
        "12 of 50/60s, slowed to 70%",
        "on the wire 7/10",
        "ceiling 25.6/s",
        "attempts 501, retries 0, 429s 1",
        "19s ! 429 for `delete organization`",
        " p pause   + faster   - slower   q stop   ? help",
    ];
    for text in expected {
        assert!(screen.contains(text), "{text:?} is missing in\n{screen}");
    }
    assert!(!screen.contains(HOSTILE) && !screen.contains('\x1b'), "{screen}");
}

#[test]
fn no_size_of_screen_breaks_it() {
    for (columns, rows) in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
        let (feed, mut paper, _orders) = half_done(columns, rows);
        let drawn = paper.draw(seconds(20.0), &feed.tally, &meter());
        assert_eq!(drawn.len(), usize::from(rows));
    }
}

#[test]
fn a_listing_is_shown_before_the_run() {
    let plan = header(0, 0);
    let (orders, _taken) = channel(4);
    let mut paper = Paper::new(&plan, orders, 100, 24);
    let mut feed = Feed::new(&plan, Deaf);
    let stamped = Stamped { at: seconds(1.0), event: page("users", 12) };
    feed.tally.take_in(&stamped);
    paper.event(&stamped, &feed.tally);
    let screen = paper.draw(seconds(1.0), &feed.tally, &Meter::default()).join("\n");
    assert!(screen.contains("Listing users: page 1, 1,200 seen, 276 match"), "{screen}");
}

#[test]
fn keys_are_orders() {
    let (feed, mut paper, mut orders) = half_done(80, 24);
    let mut press = |paper: &mut Paper, code, modifiers| {
        paper.key(KeyEvent::new(code, modifiers));
        orders.try_recv().ok().map(|order| (order.command, order.by))
    };
    let none = KeyModifiers::NONE;
    let plain = |letter| (KeyCode::Char(letter), none);
    let cases = [
        (plain('p'), Some((Command::Pause, "dashboard"))),
        ((KeyCode::Char('+'), KeyModifiers::SHIFT), Some((Command::Scale(1.25), "dashboard"))),
        (plain('-'), Some((Command::Scale(0.8), "dashboard"))),
        (plain('q'), Some((Command::Stop, "interrupt"))),
        ((KeyCode::Char('c'), KeyModifiers::CONTROL), Some((Command::Stop, "interrupt"))),
        (plain('c'), None),
        ((KeyCode::Enter, none), None),
        (plain('?'), None),
    ];
    for ((code, modifiers), expected) in cases {
        assert_eq!(press(&mut paper, code, modifiers), expected, "{code:?}");
    }
    let paused = Meter { paused: true, ..meter() };
    let screen = paper.draw(seconds(20.0), &feed.tally, &paused).join("\n");
    assert!(screen.contains("p resume") && screen.contains("twice: abort"), "{screen}");
    assert_eq!(press(&mut paper, KeyCode::Char('p'), none), Some((Command::Resume, "dashboard")));
}

#[test]
fn a_full_queue_of_orders_blocks_nobody() {
    let (_feed, mut paper, mut orders) = half_done(80, 24);
    for _ in 0..10 {
        paper.key(KeyEvent::new(KeyCode::Char('+'), KeyModifiers::NONE));
    }
    assert_eq!(std::iter::from_fn(|| orders.try_recv().ok()).count(), 4);
}
