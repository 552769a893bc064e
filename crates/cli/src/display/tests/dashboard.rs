use super::{
    Deaf, Feed, HOSTILE, failed, header, page, seconds, settled, start, throttled, window,
};
use crate::display::dashboard::testing::Paper;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc::{Receiver, channel};
use windlass_engine::Outcome;
use windlass_engine::event::{Event, Stamped, Waiting};
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
        "run-1  account fp_12ab",
        " Overall ████████",
        " 35.7%  501/1,400  elapsed 20.0s  ETA ",
        " at work",
        " 50.1%  501/1,000  ✓ 499 ✗ 2  ETA ",
        "users         ░░░░",
        "Throughput: now 42.0/s, average 25.1/s, peak 289/s",
        "latency p50 41 ms, p95 41 ms, p99 41 ms",
        "480 of 500/1s",
        "12 of 50/60s, slowed to 70%",
        "on the wire 7/10, ceiling 25.6/s",
        "batch 1, retries 0, 429s 1",
        "errors 2 (0.3%)",
        "19s ! 429 for `delete organization`",
        " p pause   + faster   - slower   q stop   ? help",
    ];
    for text in expected {
        assert!(screen.contains(text), "{text:?} is missing in\n{screen}");
    }
    assert!(!screen.contains(HOSTILE) && !screen.contains('\x1b'), "{screen}");
}

/// Everything besides that a run can have: an alert, a hold, the machine's load, other processes.
fn strained(feed: &mut Feed<Deaf>, paper: &mut Paper) {
    let mut say = |event: Event| {
        let stamped = Stamped { at: seconds(19.5), event };
        feed.tally.take_in(&stamped);
        paper.event(&stamped, &feed.tally);
    };
    say(Event::Load {
        cpu: 0.25,
        cpu_all: 0.95,
        memory_bytes: 3_900 << 20,
        memory_limit_bytes: 4_096 << 20,
    });
    let message = "memory is at 95 % of its limit".to_owned();
    say(Event::Alert { name: "memory".into(), raised: true, message });
    let reason = "memory is at 3,900 MB (memory-limit 4,096 MB), one request at a time";
    say(Event::Held { by: "memory".into(), reason: reason.into() });
    say(Event::Elsewhere { steps: (501..601).collect() });
}

#[test]
fn what_holds_it_up_and_what_is_wrong_stands_above_the_rest() {
    for (columns, rows) in [(80, 24), (140, 40)] {
        let (mut feed, mut paper, _orders) = half_done(columns, rows);
        strained(&mut feed, &mut paper);
        let held = feed.tally.held.get("memory").cloned().unwrap();
        let meter = Meter { waiting: Some(Waiting::Held(held)), windows: Vec::new(), ..meter() };
        let screen = paper.draw(seconds(20.0), &feed.tally, &meter);
        let expected = [
            " windlass  workos delete",
            " Overall ████████",
            " held by memory: memory is at 3,900 MB (memory-limit 4,096 MB), one request at",
            " ! alert memory: memory is at 95 % of its limit",
            "┌ Progress ─",
        ];
        for (row, text) in screen.iter().zip(expected) {
            assert!(row.starts_with(text), "{row}");
        }
        let screen = screen.join("\n");
        for text in [
            "✓ 499 ✗ 2 + 100 by others",
            "memory 3,900 MB of 4,096 MB, CPU 95%, 70% on purpose",
            "errors 2 (0.3%)",
            "20s ! held by memory: ",
            " p pause",
        ] {
            assert!(screen.contains(text), "{text:?} is missing in\n{screen}");
        }
    }
}

#[test]
fn a_tall_screen_has_room_for_more() {
    let (feed, mut paper, _orders) = half_done(140, 40);
    let rows = paper.draw(seconds(20.0), &feed.tally, &meter());
    let at = |text: &str| rows.iter().position(|row| row.contains(text)).unwrap();
    assert_eq!(at("┌ Throughput:") + 8, at("┌ Quota left ─"), "a high chart");
    assert!(rows.len() - at("┌ Events ─") > 12, "and more of what happened");
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
