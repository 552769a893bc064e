//! Where the answer to a query goes: standard output, in large pieces.
//!
//! Where a progress line is drawn on the same terminal, only whole lines are handed on, so that
//! the line is always drawn below them, and it is cleared before they come.

use super::Screen;
use super::bar::CLEAR;
use std::io::{self, Write};

/// What is gathered before it is handed on.
pub(super) const GATHERED_MAX: usize = 256 * 1024;

/// The answer to a query.
pub struct Answer<W: Write + Send = io::Stdout, E: Write + Send = io::Stderr> {
    out: W,
    /// The terminal that has a progress line, where the answer goes to the same one.
    line: Option<E>,
    gathered: Vec<u8>,
}

impl Answer {
    /// An answer on standard output.
    #[must_use]
    pub fn to_stdout(screen: &Screen) -> Self {
        Self::with(io::stdout(), screen.shares_terminal().then(io::stderr))
    }
}

impl<W: Write + Send, E: Write + Send> Answer<W, E> {
    /// An answer on `out`, with a progress line on `line`.
    #[must_use]
    pub fn with(out: W, line: Option<E>) -> Self {
        Self { out, line, gathered: Vec::with_capacity(2 * GATHERED_MAX) }
    }

    /// Hands the rest on, when there is no progress line any more.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.line = None;
        self.hand_on()?;
        self.out.flush()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let end = match &self.line {
            Some(_) => self.gathered.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1),
            None => self.gathered.len(),
        };
        if end == 0 {
            return Ok(());
        }
        if let Some(line) = &mut self.line {
            // A terminal that takes no progress line may still take the answer.
            let _ = line.write_all(CLEAR.as_bytes()).and_then(|()| line.flush());
        }
        let written = self.out.write_all(self.gathered.get(..end).unwrap_or_default());
        self.gathered.drain(..end);
        written
    }
}

impl<W: Write + Send, E: Write + Send> Write for Answer<W, E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHERED_MAX {
            self.hand_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.out.flush()
    }
}
