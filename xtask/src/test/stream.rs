//! Runs a command and reads its output while the person at the terminal does.

use super::count::Count;
use anyhow::{Context, Result};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

/// Whether the command ended well, and what it printed of tests. Cargo is told to keep its
/// colours when ours is a terminal, since it sees a pipe.
pub fn run(command: &mut Command) -> Result<(bool, Count)> {
    if io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("stdout is a pipe")?;
    let stderr = child.stderr.take().context("stderr is a pipe")?;
    let count = thread::scope(|scope| {
        let errors = scope.spawn(|| copy(stderr, io::stderr()));
        let lines = copy(stdout, io::stdout())?;
        let errors = errors.join().expect("a copy does not panic")?;
        io::Result::Ok(lines.plus(errors))
    })?;
    Ok((child.wait()?.success(), count))
}

fn copy(from: impl Read, mut to: impl Write) -> io::Result<Count> {
    let mut count = Count::default();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        count.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_passed_on_unchanged() {
        let text = b"SKIPPED: one\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\xff no end";
        let mut passed_on = Vec::new();
        let count = copy(&text[..], &mut passed_on).unwrap();
        assert_eq!(passed_on, text);
        assert_eq!(count.to_string(), "1 passed, 0 failed, 1 skipped");
    }
}
