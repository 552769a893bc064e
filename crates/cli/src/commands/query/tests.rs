//! Queries that are answered, that fail in their middle, and that are interrupted.

use super::*;
use crate::display::Output;
use std::io;
use std::sync::{Arc, Mutex};
use windlass_connectors::OpenError;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;
use windlass_engine::runner::{Command, Order};
use windlass_engine::{Failure, Kind};

/// What a made-up query does once it has written its lines.
#[derive(Clone, Copy)]
enum End {
    Answered,
    Fails(Kind),
    Usage,
    WaitsForTheStop,
    WaitsForEver,
}

struct Asked {
    lines: usize,
    end: End,
}

impl Query for Asked {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        Vec::new()
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            for number in 0..self.lines {
                writeln!(out, "line {number}")?;
            }
            match self.end {
                End::Answered => Ok(Answered { notes: vec!["more".to_owned()], differs: true }),
                End::Fails(kind) => Err(Failure::new(kind, "no luck").into()),
                End::Usage => Err(OpenError::usage("no such thing", "name another").into()),
                End::WaitsForTheStop => {
                    context.stop.draining().await;
                    Err(Failure::cancelled().into())
                }
                End::WaitsForEver => std::future::pending().await,
            }
        })
    }
}

/// Takes so many bytes and then fails like this.
#[derive(Clone)]
struct Paper {
    text: Arc<Mutex<Vec<u8>>>,
    room: usize,
    full: ErrorKind,
}

impl Paper {
    fn new(room: usize, full: ErrorKind) -> Self {
        Self { text: Arc::default(), room, full }
    }

    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap();
        let free = self.room.saturating_sub(text.len()).min(bytes.len());
        text.extend_from_slice(&bytes[..free]);
        if free == 0 { Err(self.full.into()) } else { Ok(free) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn asked(lines: usize, end: End, paper: &Paper, stops: usize) -> Result<Answered, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut wires = Wires::new();
        for _ in 0..stops {
            wires.speak.send(Order::new(Command::Stop, "interrupt")).await.unwrap();
        }
        let out = Answer::with(paper.clone(), None::<Paper>);
        let query = Box::new(Asked { lines, end });
        written("kv list", query, &mut wires, Vec::new(), out).await
    })
}

#[test]
fn an_answer_is_whole_and_says_whether_things_differ() {
    let paper = Paper::new(usize::MAX, ErrorKind::Other);
    let answered = asked(50_000, End::Answered, &paper, 0).unwrap();
    assert_eq!(answered, Answered { notes: vec!["more".to_owned()], differs: true });
    assert_eq!(paper.text().lines().count(), 50_000);
    assert!(paper.text().ends_with("line 49999\n"));
    let screen = Screen::detect(Output::Json, false, false, false);
    assert_eq!(told(&screen, &Answered::default()), Exit::Done);
    assert_eq!(told(&screen, &Answered { notes: Vec::new(), differs: true }), Exit::Failed);
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let paper = Paper::new(10, ErrorKind::BrokenPipe);
    assert_eq!(asked(50_000, End::Answered, &paper, 0).unwrap(), Answered::default());
    let paper = Paper::new(10, ErrorKind::BrokenPipe);
    assert_eq!(asked(2, End::Answered, &paper, 0).unwrap(), Answered::default(), "at the end");
    let error = asked(2, End::Answered, &Paper::new(10, ErrorKind::StorageFull), 0).unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.to_string().starts_with("error: the answer can't be written\n"), "{error}");
}

#[test]
fn what_was_found_before_a_failure_is_written() {
    for (kind, exit) in [
        (Kind::Denied, Exit::Denied),
        (Kind::Forbidden, Exit::Denied),
        (Kind::Rejected, Exit::Usage),
        (Kind::Absent, Exit::Usage),
        (Kind::Malformed, Exit::Unavailable),
        (Kind::Away, Exit::Unavailable),
        (Kind::Bug, Exit::Bug),
    ] {
        let paper = Paper::new(usize::MAX, ErrorKind::Other);
        let error = asked(2, End::Fails(kind), &paper, 0).unwrap_err();
        assert_eq!(error.exit, exit, "{kind:?}");
        let head = if exit == Exit::Usage { "error: no luck" } else { "caused by: no luck" };
        assert!(error.to_string().contains(head), "{error}");
        assert_eq!(paper.text(), "line 0\nline 1\n");
    }
    let error = asked(0, End::Usage, &Paper::new(0, ErrorKind::Other), 0).unwrap_err();
    assert_eq!(error.to_string(), "error: no such thing\n\nhint: name another");
    assert_eq!(error.exit, Exit::Usage);
}

#[test]
fn an_interrupt_stops_a_query_and_a_second_one_drops_it() {
    for (end, stops) in [(End::WaitsForTheStop, 1), (End::WaitsForEver, 2)] {
        let paper = Paper::new(usize::MAX, ErrorKind::Other);
        let error = asked(1, end, &paper, stops).unwrap_err();
        assert_eq!(error.exit, Exit::Stopped);
        assert!(error.to_string().starts_with("error: stopped; the answer is not whole"));
        assert_eq!(paper.text(), "line 0\n");
    }
}
