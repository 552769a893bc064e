//! Everything a person or a program sees of a run. This is the only part of the program that
//! writes to standard output and standard error.
//!
//! It owns the choice of how to show ([`Screen`]), the readers of events ([`bar`], [`lines`],
//! [`json`], [`dashboard`], [`metrics`]), what stands before and after a run ([`preview`],
//! [`summary`], [`html`]), and where the answers of queries go ([`Answer`]). It decides nothing
//! about a run, and no write error of it may ever hurt one: a closed terminal or a reader that went
//! away is ignored.

mod answer;
pub mod bar;
pub mod dashboard;
pub mod html;
pub mod json;
pub mod lines;
mod messages;
pub mod metrics;
mod pace;
pub mod preview;
mod progress;
mod story;
pub mod style;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod words;

pub use answer::Answer;
pub use messages::*;
pub use pace::expected_for;

use bar::Bar;
use dashboard::Dashboard;
use json::Json;
use lines::{Detail, Lines};
use ratatui::crossterm::terminal;
use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use style::Style;
use tokio::sync::mpsc::Sender;
use windlass_engine::job::JobInfo;
use windlass_engine::plan::{FORMAT, Header};
use windlass_engine::runner::{Order, Reporter};

/// Failed steps that are told while a run is at work; all of them are in the journal.
const FAILURES_TOLD: u64 = 5;
/// The width of a terminal that does not say its own.
const COLUMNS: usize = 80;

/// The time that a step of each phase is expected to take, known before the first is settled;
/// `None` where the quota alone says it.
pub type Expected = Vec<Option<Duration>>;

/// What a job expects of its phases.
#[must_use]
pub fn expected(info: &JobInfo) -> Expected {
    info.phases.iter().map(|phase| phase.expected).collect()
}

/// What goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Words for people.
    Text,
    /// One JSON object a line for programs.
    Json,
}

/// What the choice of how to show depends on.
#[derive(Clone, Copy, Debug)]
struct Surroundings {
    out_is_terminal: bool,
    err_is_terminal: bool,
    /// `NO_COLOR` is set and not empty.
    no_color: bool,
    /// `TERM` is `dumb`: it can't move its cursor.
    dumb: bool,
}

/// How a run is watched on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Nothing,
    Lines(Detail),
    Bar,
    Dashboard,
}

/// How things are shown in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    output: Output,
    watch: Watch,
    debug: bool,
    out_style: Style,
    err_style: Style,
    out_is_terminal: bool,
    /// Whether standard error can move its cursor.
    moving: bool,
    /// Whether a job writes data to standard output, which then has nothing of ours.
    data_on_stdout: bool,
}

impl Screen {
    /// The choice that follows from flags, terminals and environment: a progress line where
    /// standard error is a terminal, plain lines where it is not.
    #[must_use]
    pub fn detect(output: Output, dashboard: bool, debug: bool, quiet: bool) -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let surroundings = Surroundings {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            no_color: set("NO_COLOR").is_some(),
            dumb: set("TERM").is_some_and(|term| term == "dumb"),
        };
        Self::choose(surroundings, output, dashboard, debug, quiet)
    }

    fn choose(
        around: Surroundings,
        output: Output,
        dashboard: bool,
        debug: bool,
        quiet: bool,
    ) -> Self {
        let moving = around.err_is_terminal && !around.dumb;
        // JSON and a progress line on one terminal would be drawn through each other.
        let mixed = output == Output::Json && (around.out_is_terminal || !around.err_is_terminal);
        let watch = if debug && (mixed || !moving) {
            Watch::Lines(Detail::Debug)
        } else if mixed {
            Watch::Nothing
        } else if quiet {
            Watch::Lines(Detail::Quiet)
        } else if dashboard && moving {
            Watch::Dashboard
        } else if moving {
            Watch::Bar
        } else {
            Watch::Lines(Detail::Normal)
        };
        let style = |is_terminal: bool| Style::new(is_terminal && !around.no_color && !around.dumb);
        let out_style = style(around.out_is_terminal && output == Output::Text);
        Self {
            output,
            watch,
            debug,
            out_style,
            err_style: style(around.err_is_terminal),
            out_is_terminal: around.out_is_terminal,
            moving,
            data_on_stdout: false,
        }
    }

    /// The same where a job writes data to standard output: all that is ours goes to standard
    /// error.
    #[must_use]
    pub fn beside_data(mut self) -> Self {
        self.data_on_stdout = true;
        self.out_style = self.err_style;
        match self.watch {
            // A bar on a terminal that data is printed on would be drawn through it, and so would
            // one between JSON lines.
            Watch::Bar | Watch::Dashboard if self.output == Output::Json => {
                self.watch = Watch::Nothing;
            }
            Watch::Bar | Watch::Dashboard if self.out_is_terminal => {
                self.watch = Watch::Lines(Detail::Trouble);
            }
            _ => {}
        }
        self
    }

    /// Whether the answer to a query and its progress line are on one terminal.
    #[must_use]
    pub fn shares_terminal(&self) -> bool {
        self.out_is_terminal && self.query_watch() == Watch::Bar
    }

    /// What is watched of a query: its data is what was asked for, so where there is no progress
    /// line, nothing is told but trouble.
    fn query_watch(&self) -> Watch {
        match self.watch {
            Watch::Lines(Detail::Normal) | Watch::Nothing => Watch::Lines(Detail::Trouble),
            Watch::Dashboard => Watch::Bar,
            other => other,
        }
    }

    /// The readers of a query's signals. They have to be dropped before anything else is printed.
    #[must_use]
    pub fn watchers(&self, name: &str) -> Vec<Box<dyn Reporter>> {
        let header = header_of_query(name);
        match self.query_watch() {
            Watch::Lines(detail) => vec![Box::new(Lines::new(&header, detail))],
            _ => {
                let bar = Bar::new(&header, self.err_style, self.debug);
                vec![Box::new(bar.beside_answer())]
            }
        }
    }

    /// The readers of one listing or one run; `orders` is where a dashboard's keys go. They have
    /// to be dropped before anything else is printed, which gives the terminal back.
    #[must_use]
    pub fn reporters(
        &self,
        plan: &Header,
        expected: &Expected,
        orders: &Sender<Order>,
    ) -> Vec<Box<dyn Reporter>> {
        let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
        match (self.output, self.data_on_stdout) {
            (Output::Json, false) => reporters.push(Box::new(Json::to_stdout())),
            (Output::Json, true) => reporters.push(Box::new(Json::with(io::stderr()))),
            (Output::Text, _) => {}
        }
        let bar = || {
            let bar = Bar::new(plan, self.err_style, self.debug);
            Box::new(bar.expecting(expected.clone()))
        };
        match self.watch {
            Watch::Nothing => {}
            Watch::Lines(detail) => {
                let lines = Lines::new(plan, detail);
                reporters.push(Box::new(lines.expecting(expected.clone())));
            }
            Watch::Bar => reporters.push(bar()),
            Watch::Dashboard => match Dashboard::new(plan, orders.clone()) {
                Ok(dashboard) => {
                    reporters.push(Box::new(dashboard.expecting(expected.clone())));
                }
                // A terminal without an alternate screen still has a line.
                Err(_) => reporters.push(bar()),
            },
        }
        reporters
    }

    /// Whether nothing but results and failures is wanted.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.watch == Watch::Lines(Detail::Quiet)
    }

    /// What goes to standard output.
    #[must_use]
    pub fn output(&self) -> Output {
        self.output
    }

    /// Writes results: to standard output, unless a job has it for its data.
    fn put(&self, text: &str) {
        if self.data_on_stdout { tell(text) } else { print(text) }
    }

    /// The style of standard output.
    #[must_use]
    pub fn out_style(&self) -> Style {
        self.out_style
    }

    /// The style of standard error.
    #[must_use]
    pub fn err_style(&self) -> Style {
        self.err_style
    }
}

/// What the readers of events are told about a query: it has no plan.
fn header_of_query(name: &str) -> Header {
    Header {
        windlass_plan: FORMAT,
        id: name.to_owned(),
        system: String::new(),
        operation: name.to_owned(),
        account: String::new(),
        base_url: String::new(),
        created_unix_ms: 0,
        options: serde_json::Value::Null,
        phases: Vec::new(),
        left: BTreeMap::new(),
        steps: 0,
        digest: String::new(),
    }
}

/// Writes data to standard output, exactly as it is.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes words to standard error, exactly as they are.
pub fn tell(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// The width of the terminal now.
fn columns() -> usize {
    match terminal::size() {
        Ok((columns, _)) if columns > 0 => usize::from(columns),
        _ => COLUMNS,
    }
}
