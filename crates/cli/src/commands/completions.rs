//! `windlass completions`: completions for a shell, on stdout.

use crate::cli;
use crate::display;
use crate::exit::Exit;
use clap::ArgMatches;
use clap_complete::Shell;

/// Writes the completions of a shell.
pub fn run(matches: &ArgMatches) -> Exit {
    let shell = matches.get_one::<Shell>("shell").copied().unwrap_or(Shell::Bash);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "windlass", &mut script);
    display::data(&script);
    Exit::Done
}
