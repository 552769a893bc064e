//! What stands around a run: the preview, the question, the summary, lists and single lines.

use super::preview::{Preview, plan_text};
use super::{Output, Screen, print, summary, tell, words};
use crate::exit;
use serde::Serialize;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use windlass_connectors::Connector;
use windlass_connectors::connector::Serving;
use windlass_engine::event::Ending;
use windlass_engine::plan::Header;
use windlass_engine::report::Report;
use windlass_engine::runner::Status;
use windlass_engine::tally::{Counts, Tally};

/// One line of `windlass runs`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunRow {
    /// The run's name.
    pub run: String,
    /// System and operation.
    pub operation: String,
    /// When its plan was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// How many steps its plan has.
    pub steps: u64,
    /// What became of them.
    #[serde(rename = "outcomes")]
    pub counts: Counts,
    /// Its state in words.
    pub state: String,
}

impl Screen {
    /// A note as a hint to what can be done next.
    #[must_use]
    pub fn noted(&self, note: &str) -> String {
        format!("{} {}", self.err_style().name("note:"), words::plain(note))
    }

    fn put_json(&self, value: &impl Serialize) {
        self.put(&json_line(value));
    }

    /// Shows a plan before the question, or as the result of a dry run, where it is the data that
    /// was asked for. For programs the header says all of it.
    pub fn preview(&self, preview: &Preview, is_result: bool) {
        match (self.output(), is_result) {
            (Output::Json, _) => {}
            (Output::Text, true) => self.put(&plan_text(preview, self.out_style())),
            (Output::Text, false) if self.is_quiet() => {}
            (Output::Text, false) => tell(&plan_text(preview, self.err_style())),
        }
    }

    /// Says that nothing was changed and where the plan is: in a file that somebody named, or in
    /// the folder of its run.
    pub fn planned(&self, plan: &Header, path: &Path, named: Option<&str>, lacks_execute: bool) {
        if self.output() == Output::Json {
            return self.put_json(&json!({ "event": "planned", "path": path, "plan": plan }));
        }
        let name = named.unwrap_or(&plan.id);
        tell(&format!("\nNothing was changed. The plan is kept in {}\n", path.display()));
        if plan.steps > 0 {
            let style = self.err_style();
            let hint = if lacks_execute {
                format!("add --execute to carry it out, or: windlass apply {name}")
            } else {
                format!("`windlass apply {name}` carries it out")
            };
            tell(&format!("\n{} {hint}\n", style.name("hint:")));
        }
    }

    /// Says that a plan is empty.
    pub fn nothing_to_do(&self, plan: &Header) {
        if self.output() == Output::Json {
            let mut tally = Tally::new(plan);
            tally.ending = Some(Ending::Complete);
            return self.put(&summary::json(&Report::new(plan, &tally)));
        }
        tell("\nThere is nothing to do.\n");
    }

    /// Says that a run has nothing left.
    pub fn nothing_left(&self, report: &Report) {
        if self.output() == Output::Json {
            return self.put(&summary::json(report));
        }
        tell(&format!("Run {} has nothing left to do.\n", report.run));
        if report.counts.failed > 0 {
            let hint = self.err_style().name("hint:");
            tell(&format!(
                "\n{hint} `windlass resume {} --retry-failed` tries the {} failed again\n",
                report.run,
                words::count(report.counts.failed)
            ));
        }
    }

    /// Says what a resumed run goes on with.
    pub fn resuming(&self, report: &Report) {
        if self.output() == Output::Text {
            tell(&format!(
                "Resuming run {}: {} of {} are finished, {} are left\n",
                report.run,
                words::count(report.counts.settled()),
                words::count(report.steps),
                words::count(report.left)
            ));
        }
    }

    /// Shows the summary at the end of a session, and how to go on when something is left.
    pub fn summary(&self, report: &Report) {
        if self.output() == Output::Json {
            return self.put(&summary::json(report));
        }
        self.put(&summary::text(report, self.out_style()));
        let style = self.err_style();
        if report.left > 0 {
            tell(&format!("\n{} `windlass resume {}` goes on\n", style.name("hint:"), report.run));
        } else if report.counts.failed > 0 {
            let hint = style.name("hint:");
            tell(&format!(
                "\n{hint} `windlass resume {} --retry-failed` tries the failed again\n",
                report.run
            ));
        }
    }

    /// Shows the report of a run.
    pub fn report(&self, report: &Report) {
        match self.output() {
            Output::Json => print(&summary::json(report)),
            Output::Text => print(&summary::text(report, self.out_style())),
        }
    }

    /// Lists runs.
    pub fn runs(&self, rows: &[RunRow]) {
        if self.output() == Output::Json {
            return rows.iter().for_each(print_json);
        }
        if rows.is_empty() {
            return tell("There are no runs yet. `windlass demo` makes one.\n");
        }
        let widest = rows.iter().map(|row| words::width(&row.run)).max().unwrap_or(0);
        for row in rows {
            let progress =
                format!("{}/{}", words::count(row.counts.settled()), words::count(row.steps));
            print(&format!(
                "{:widest$}  {:<15}  {}  {progress:>17}  {}\n",
                row.run,
                row.operation,
                words::when(row.created_unix_ms),
                row.state
            ));
        }
    }

    /// Shows how a run in progress is.
    pub fn status(&self, status: &Status) {
        if self.output() == Output::Json {
            return print_json(status);
        }
        let state = match (status.stopping, status.paused) {
            (true, _) => "stopping",
            (false, true) => "paused",
            (false, false) => "at work",
        };
        let rate = status
            .rate
            .map_or("no ceiling".to_owned(), |rate| format!("at most {}", words::rate(rate)));
        print(&format!(
            "{}: {state}, {} of {} settled ({} failed), {} on the wire, {} now, {rate}\n",
            status.run,
            words::count(status.counts.settled()),
            words::count(status.steps),
            words::count(status.counts.failed),
            status.in_flight,
            words::rate(status.per_second),
        ));
    }
}

/// Writes an error in its one form.
pub fn error(error: &exit::Error) {
    tell(&format!("{error}\n"));
}

/// Writes a line for the person at the terminal.
pub fn note(text: &str) {
    tell(&format!("{text}\n"));
}

/// Writes bytes to standard output, exactly as they are.
pub fn data(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    // A reader that went away is its own concern.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Whether somebody can be asked: both ends of the terminal are there.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for the number of steps to be typed, or for this word.
pub fn question(plan: &Header, word: Option<&str>) {
    tell(&format!("\n{}", question_text(plan, word)));
}

pub(super) fn question_text(plan: &Header, word: Option<&str>) -> String {
    let operation = words::plain(&plan.operation);
    let asked = match word {
        Some(word) => format!("{} to {operation}", words::plain(word)),
        None => format!("{} to {operation} them", plan.steps),
    };
    format!("This can't be undone. Type {asked}: ")
}

/// Lists settings: key, value, origin.
pub fn settings(rows: &[(String, String, String)], output: Output) {
    let widest = |column: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| words::width(column(row))).max().unwrap_or(0)
    };
    let (keys, values) = (widest(|row| &row.0), widest(|row| &row.1));
    for (key, value, origin) in rows {
        match output {
            Output::Json => print_json(&json!({ "key": key, "value": value, "origin": origin })),
            Output::Text => print(&format!("{key:keys$}  {value:values$}  {origin}\n")),
        }
    }
}

/// Lists environment variables: name, what it sets.
pub fn variables(rows: &[(&'static str, String)], output: Output) {
    let widest = rows.iter().map(|(name, _)| words::width(name)).max().unwrap_or(0);
    for (name, sets) in rows {
        match output {
            Output::Json => print_json(&json!({ "variable": name, "sets": sets })),
            Output::Text => print(&format!("{name:widest$}  {sets}\n")),
        }
    }
}

/// Says where a simulator listens and how to use it.
pub fn simulator(connector: &Connector, serving: &Serving) {
    let url = match connector.has_base_url() {
        true => format!("http://{}{}", serving.address, path_of(connector.base_url)),
        false => serving.key.clone(),
    };
    print(&format!("{url}\n"));
    let key = connector.credentials.first().map(|credential| credential.variable);
    let place = connector.base_url_variables.first().copied();
    let known = [key.map(|name| (name, serving.key.clone())), place.map(|name| (name, url))];
    let others = serving.environment.iter().cloned();
    let variables = known.into_iter().flatten().chain(others);
    let variables: String = variables.map(|(name, value)| format!("{name}={value} ")).collect();
    let command = connector.operations.first().and_then(|operation| operation.path.first());
    tell(&format!(
        "The simulated {} listens; Ctrl-C ends it. In another terminal:\n\n  \
         {variables}windlass {} --help\n\n",
        connector.name,
        command.unwrap_or(&"")
    ));
}

/// Says that a server listens: its first line is where, on standard output for scripts, and
/// everything is there for people.
pub fn greeting(lines: &[(&'static str, String)]) {
    if let Some((_, place)) = lines.first() {
        print(&format!("{place}\n"));
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in lines {
        tell(&format!("{name:width$}  {}\n", words::plain(value)));
    }
    tell("Ctrl-C ends it in good order.\n");
}

/// The path of a URL, without a slash at its end.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| rest.split_at(at).1).trim_end_matches('/')
}

/// The demo's first words.
pub fn demo_begins(base_url: &str) {
    tell(&format!(
        "A simulated WorkOS listens on {base_url}, with the documented limits: 50 organization\n\
         deletions in any 60 s, 500 user writes in any 10 s. This is a real run against it:\n\n  \
         windlass workos delete 2005-12-17 2005-12-25 --users --yes\n\n"
    ));
}

/// The demo's last words.
pub fn demo_ends(run: &str) {
    tell(&format!(
        "\nThe plan, with every object whole, and the journal are kept. Look at them:\n\n  \
         windlass report {run} --html report.html\n  windlass runs\n"
    ));
}

fn print_json(value: &impl Serialize) {
    print(&json_line(value));
}

fn json_line(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("it is plain JSON");
    line.push('\n');
    line
}
