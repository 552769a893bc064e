use super::{Closed, Feed, Paper, header, page, throttled, waiting};
use crate::display::answer::{Answer, GATHERED_MAX};
use crate::display::bar::{Bar, CLEAR};
use crate::display::lines::{Detail, Lines};
use crate::display::style::Style;
use crate::display::{Output, Screen, Surroundings, Watch, header_of_query};
use std::io::Write;
use windlass_engine::Kind;
use windlass_engine::event::{Event, Waiting};
use windlass_engine::remote::Meter;

fn screen(
    out_is_terminal: bool,
    err_is_terminal: bool,
    output: Output,
    flags: [bool; 3],
) -> Screen {
    let around = Surroundings { out_is_terminal, err_is_terminal, no_color: false, dumb: false };
    let [dashboard, debug, quiet] = flags;
    Screen::choose(around, output, dashboard, debug, quiet)
}

fn retrying() -> Event {
    let (operation, message) = ("list keys".into(), "502 Bad Gateway".into());
    Event::Retrying { operation, attempt: 1, kind: Kind::Unavailable, message, wait_ms: 100 }
}

#[test]
fn a_query_has_a_line_on_a_terminal_and_only_trouble_elsewhere() {
    let watch = |screen: Screen| screen.query_watch();
    let trouble = Watch::Lines(Detail::Trouble);
    assert_eq!(watch(screen(true, true, Output::Text, [false; 3])), Watch::Bar);
    assert_eq!(watch(screen(false, true, Output::Text, [false; 3])), Watch::Bar);
    assert_eq!(watch(screen(true, false, Output::Text, [false; 3])), trouble);
    assert_eq!(watch(screen(false, false, Output::Text, [false; 3])), trouble);
    assert_eq!(watch(screen(true, true, Output::Json, [false; 3])), trouble);
    let debug = [false, true, false];
    let pages = Watch::Lines(Detail::Debug);
    assert_eq!(watch(screen(false, false, Output::Text, debug)), pages);
    let quiet = Watch::Lines(Detail::Quiet);
    assert_eq!(watch(screen(true, true, Output::Text, [false, false, true])), quiet);
    assert!(screen(true, true, Output::Text, [false; 3]).shares_terminal());
    assert!(!screen(false, true, Output::Text, [false; 3]).shares_terminal());
    assert!(!screen(true, false, Output::Text, [false; 3]).shares_terminal());
}

#[test]
fn a_job_s_data_has_standard_output_for_itself() {
    let beside = |out, err, output| screen(out, err, output, [false; 3]).beside_data();
    assert!(beside(true, true, Output::Text).data_on_stdout);
    assert_eq!(beside(true, true, Output::Text).watch, Watch::Lines(Detail::Trouble));
    assert_eq!(beside(false, true, Output::Text).watch, Watch::Bar);
    assert_eq!(beside(false, true, Output::Json).watch, Watch::Nothing, "JSON is on stderr, too");
    assert_eq!(beside(false, false, Output::Text).watch, Watch::Lines(Detail::Normal));
    assert!(!beside(true, false, Output::Text).out_style().is_coloured());
}

#[test]
fn only_whole_lines_come_beside_a_progress_line() {
    let (out, line) = (Paper::default(), Paper::default());
    let mut answer = Answer::with(out.clone(), Some(line.clone()));
    answer.write_all(b"one\ntwo\nthr").unwrap();
    assert_eq!((out.take(), line.take()), (String::new(), String::new()));
    answer.flush().unwrap();
    assert_eq!((out.take(), line.take()), ("one\ntwo\n".to_owned(), CLEAR.to_owned()));
    answer.flush().unwrap();
    assert_eq!((out.take(), line.take()), (String::new(), String::new()));
    answer.write_all(b"ee").unwrap();
    answer.finish().unwrap();
    assert_eq!((out.take(), line.take()), ("three".to_owned(), String::new()));
}

#[test]
fn an_answer_comes_in_large_pieces_and_nothing_is_lost() {
    let out = Paper::default();
    let mut answer = Answer::with(out.clone(), None::<Paper>);
    let line = "x".repeat(99) + "\n";
    let lines = GATHERED_MAX / line.len() + 1;
    for _ in 1..lines {
        answer.write_all(line.as_bytes()).unwrap();
        assert_eq!(out.take(), "");
    }
    answer.write_all(line.as_bytes()).unwrap();
    assert_eq!(out.take().len(), lines * line.len());
    answer.write_all(b"rest").unwrap();
    answer.finish().unwrap();
    assert_eq!(out.take(), "rest");
    let mut closed = Answer::with(Closed, Some(Closed));
    closed.write_all(b"x\n").unwrap();
    assert!(closed.finish().is_err());
}

#[test]
fn lines_beside_an_answer_tell_trouble_alone() {
    let (plan, paper) = (header_of_query("kv list"), Paper::default());
    let mut feed = Feed::new(&plan, Lines::with(&plan, Detail::Trouble, paper.clone()));
    for number in 1..=3 {
        feed.event(1.0, page("keys", number));
        feed.tick(20.0, &Meter::default());
    }
    assert_eq!(paper.take(), "");
    feed.event(21.0, retrying());
    feed.event(21.0, throttled(4000));
    feed.event(21.1, throttled(4000));
    assert_eq!(
        paper.take(),
        "warning: trying again: 502 Bad Gateway\n\
         warning: 429 for `delete organization`: waiting 4.0s, the remote said so, request req_7\n"
    );
    feed.tick(30.0, &waiting(Waiting::Quota("global".into()), 200));
    let text = paper.take();
    assert!(text.starts_with("Reading keys: 3 pages, 300 seen"), "{text}");
    assert!(text.ends_with(", waiting 3m 20s: quota global\n"), "{text}");
    feed.tick(31.0, &waiting(Waiting::Quota("global".into()), 199));
    drop(feed);
    assert_eq!(paper.take(), "");
}

#[test]
fn a_line_beside_an_answer_leaves_nothing_and_comes_late() {
    let (plan, paper) = (header_of_query("kv list"), Paper::default());
    let bar = || {
        let bar = Bar::with(&plan, Style::default(), false, paper.clone(), || 120);
        Feed::new(&plan, bar.beside_answer())
    };
    let mut soon = bar();
    soon.event(0.1, page("keys", 1));
    soon.tick(0.4, &Meter::default());
    drop(soon);
    assert_eq!(paper.take(), "", "what is answered soon has no line");
    let mut late = bar();
    late.event(0.1, page("keys", 1));
    late.tick(0.5, &Meter::default());
    let drawn = paper.take();
    assert!(drawn.starts_with(&format!("{CLEAR}   Reading keys | page 1")), "{drawn:?}");
    late.event(0.6, retrying());
    assert!(paper.take().contains("! trying again: 502 Bad Gateway\n"));
    drop(late);
    assert_eq!(paper.take(), CLEAR);
    // The line of a run that only lists says what it found.
    let plan = header(0, 0);
    let mut run =
        Feed::new(&plan, Bar::with(&plan, Style::default(), false, paper.clone(), || 120));
    run.event(0.1, page("keys", 1));
    drop(run);
    assert!(paper.take().contains("1 page of keys"));
}
