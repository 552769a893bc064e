//! Everything a person or a program sees of a run. This is the only part of the program that
//! writes to standard output and standard error.
//!
//! It owns the choice of how to show ([`Screen`]), the readers of events ([`bar`], [`lines`],
//! [`json`], [`dashboard`]) and what stands before and after a run ([`preview`], [`summary`],
//! [`html`]). It decides nothing about a run, and no write error of it may ever hurt one: a
//! closed terminal or a reader that went away is ignored.

pub mod bar;
pub mod dashboard;
pub mod html;
pub mod json;
pub mod lines;
mod messages;
mod pace;
pub mod preview;
mod progress;
mod story;
pub mod style;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod words;

pub use messages::*;

use bar::Bar;
use dashboard::Dashboard;
use json::Json;
use lines::{Detail, Lines};
use ratatui::crossterm::terminal;
use std::env;
use std::io::{self, IsTerminal, Write};
use style::Style;
use tokio::sync::mpsc::Sender;
use windlass_engine::plan::Header;
use windlass_engine::runner::{Order, Reporter};

/// Failed steps that are told while a run is at work; all of them are in the journal.
const FAILURES_TOLD: u64 = 5;
/// The width of a terminal that does not say its own.
const COLUMNS: usize = 80;

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
        Self { output, watch, debug, out_style, err_style: style(around.err_is_terminal) }
    }

    /// The readers of one listing or one run; `orders` is where a dashboard's keys go. They have
    /// to be dropped before anything else is printed, which gives the terminal back.
    #[must_use]
    pub fn reporters(&self, plan: &Header, orders: &Sender<Order>) -> Vec<Box<dyn Reporter>> {
        let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
        if self.output == Output::Json {
            reporters.push(Box::new(Json::to_stdout()));
        }
        let bar = || Box::new(Bar::new(plan, self.err_style, self.debug));
        match self.watch {
            Watch::Nothing => {}
            Watch::Lines(detail) => reporters.push(Box::new(Lines::new(plan, detail))),
            Watch::Bar => reporters.push(bar()),
            Watch::Dashboard => match Dashboard::new(plan, orders.clone()) {
                Ok(dashboard) => reporters.push(Box::new(dashboard)),
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
