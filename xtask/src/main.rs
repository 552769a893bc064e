//! The project's own tools, run as `cargo xtask COMMAND`: everything that needs a program and is
//! no part of the product.
//!
//! It depends on next to nothing, since it is built before the first test can run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod bench;
mod docs;
mod measure;
mod place;
mod prices;
mod test;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [--quick]             everything that has to hold; --quick installs nothing
  tidy                       the rules of the house that no compiler knows
  docs [--check]             write docs/reference, or fail when it is stale
  bench [--quick] [--write]  windlass beside what people run today; --write puts it in README.md
        [--only JOB,...] [--rounds N]
  prices FILE                reduce a price map, LiteLLM's wheel or JSON, and build it in
  measure FILE COMMAND...    run a command and write its time, CPU and memory to FILE
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was well.
fn dispatch(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(false),
        ["test", "--quick"] => test::run(true),
        ["tidy"] => tidy::run(&place::Place::find()?),
        ["docs"] => docs::run(&place::Place::find()?, docs::Mode::Write),
        ["docs", "--check"] => docs::run(&place::Place::find()?, docs::Mode::Check),
        ["bench", flags @ ..] => bench::run(flags),
        ["prices", file] => prices::run(&place::Place::find()?, file),
        ["measure", file, command @ ..] => measure::run(file, command),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(true)
        }
        [] => bail!("name a command\n\n{HELP}"),
        other => bail!("`{}` is not understood\n\n{HELP}", other.join(" ")),
    }
}
