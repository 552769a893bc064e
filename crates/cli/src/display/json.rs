//! `--output json`: one JSON object a line on standard output, and nothing else there.
//!
//! Each line is an event with its moment first: `{"at_us":1250,"event":"settled",...}`; `at_us`
//! are microseconds since the session began. `begun` is left out, as it says nothing that the
//! outcomes do not; every `settled` is there. The report at the end is
//! [`summary::json`](super::summary::json).

use std::io::{self, Write};
use windlass_engine::Moment;
use windlass_engine::event::{Event, Stamped};
use windlass_engine::remote::Meter;
use windlass_engine::runner::Reporter;
use windlass_engine::tally::Tally;

/// Lines are handed to the system when so many bytes are gathered, and at every tick.
const GATHERED_MAX: usize = 64 * 1024;

/// Events as JSON lines.
pub struct Json<W: Write + Send = io::Stdout> {
    out: W,
    gathered: Vec<u8>,
    /// Whether the reader has gone away; then nothing is written any more.
    gone: bool,
}

impl Json {
    /// JSON lines on standard output.
    #[must_use]
    pub fn to_stdout() -> Self {
        Self::with(io::stdout())
    }
}

impl<W: Write + Send> Json<W> {
    /// JSON lines on `out`.
    #[must_use]
    pub fn with(out: W) -> Self {
        Self { out, gathered: Vec::with_capacity(2 * GATHERED_MAX), gone: false }
    }

    fn flush(&mut self) {
        if !self.gone && !self.gathered.is_empty() {
            let written = self.out.write_all(&self.gathered).and_then(|()| self.out.flush());
            self.gone = written.is_err();
        }
        self.gathered.clear();
    }
}

impl<W: Write + Send> Reporter for Json<W> {
    fn event(&mut self, stamped: &Stamped, _: &Tally) {
        if self.gone || matches!(stamped.event, Event::Begun { .. }) {
            return;
        }
        // An event is always an object, so its own opening brace gives way to the moment.
        let _ = write!(self.gathered, "{{\"at_us\":{},", stamped.at.as_micros());
        let brace = self.gathered.len();
        if serde_json::to_writer(&mut self.gathered, &stamped.event).is_ok() {
            self.gathered.remove(brace);
        }
        self.gathered.push(b'\n');
        if self.gathered.len() >= GATHERED_MAX || matches!(stamped.event, Event::RunEnded { .. }) {
            self.flush();
        }
    }

    fn tick(&mut self, _: Moment, _: &Tally, _: &Meter) {
        self.flush();
    }
}

impl<W: Write + Send> Drop for Json<W> {
    fn drop(&mut self) {
        self.flush();
    }
}
