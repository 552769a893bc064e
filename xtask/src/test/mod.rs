//! `cargo xtask test`: everything that has to hold, step by step, with one line of sums at the
//! end. A step that fails does not keep the others from being run.

mod count;
mod stream;
pub mod tools;

use crate::place::{Place, shown};
use crate::{docs, tidy};
use anyhow::Result;
use count::Count;
use std::process::Command;
use std::time::Instant;
use tools::Tools;

/// What happened so far.
#[derive(Debug, Default)]
struct Course {
    tests: Count,
    failed_steps: Vec<String>,
}

/// Runs all steps; the last line on stdout is `N passed, N failed, N skipped`. A step that is no
/// test counts as one failure when it fails.
pub fn run(quick: bool) -> Result<bool> {
    let place = Place::find()?;
    let tools = Tools::find(&place, quick);
    tools.report();
    let mut course = Course::default();
    course.command(place.cargo(&["fmt", "--all", "--check"]));
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    course.command(place.cargo(&clippy));
    course.tests(&place, &tools);
    let mut document = place.cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    document.env("RUSTDOCFLAGS", "-D warnings");
    course.command(document);
    course.own("tidy", || tidy::run(&place));
    course.own("docs --check", || docs::run(&place, docs::Mode::CheckWithBuilt));
    Ok(course.end())
}

impl Course {
    /// A command that holds or does not.
    fn command(&mut self, mut command: Command) {
        let name = shown(&command);
        self.own(&name, || Ok(command.status()?.success()));
    }

    /// All tests in one invocation, so that everything is linked once.
    fn tests(&mut self, place: &Place, tools: &Tools) {
        let mut command = place.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
        tools.give_to(&mut command);
        let mut counted = Count::default();
        self.own(&shown(&command), || {
            let (success, count) = stream::run(&mut command)?;
            counted = count;
            Ok(success)
        });
        self.tests = counted;
    }

    fn own(&mut self, name: &str, step: impl FnOnce() -> Result<bool>) {
        println!("\n--- {name}");
        let start = Instant::now();
        let well = step().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            false
        });
        let word = if well { "done" } else { "FAILED" };
        println!("--- {name}: {word} after {:.1} s", start.elapsed().as_secs_f64());
        if !well {
            self.failed_steps.push(name.to_owned());
        }
    }

    fn end(self) -> bool {
        println!();
        for step in &self.failed_steps {
            println!("failed: {step}");
        }
        // The step of the tests fails because a test did; if none did, something did not compile.
        let counted = usize::from(self.tests.failed > 0);
        let mut sum = self.tests;
        sum.failed += self.failed_steps.len().saturating_sub(counted);
        println!("{sum}");
        sum.failed == 0
    }
}
