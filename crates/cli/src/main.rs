//! Windlass: bulk operations against rate-limited remotes. This file parses, runs, and ends the
//! program with the right code.

mod cli;
mod commands;
mod control;
mod display;
mod exit;
mod load;
mod runs;
mod settings;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    match commands::dispatch(&matches) {
        Ok(exit) => exit.into(),
        Err(error) => {
            display::error(&error);
            error.exit.into()
        }
    }
}
