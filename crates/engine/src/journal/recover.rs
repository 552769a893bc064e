//! Opening a journal again: what is finished, what is in doubt, what was counted so far.

use super::files::Files;
use super::recent::Recent;
use super::record::{Heading, begins_whole, read_event, unseal};
use super::writer::Journal;
use super::{FORMAT, JournalError};
use crate::bits::Bits;
use crate::event::{Event, Stamped};
use crate::job::Outcome;
use crate::plan::Header;
use crate::tally::Tally;
use std::io::{BufRead, BufReader, Read};

/// What a journal remembers.
#[derive(Debug)]
pub struct Recovered {
    /// The steps that have a final outcome.
    pub finished: Bits,
    /// The steps among them that failed.
    pub failed: Bits,
    /// The steps that may have been carried out without our knowing: begun without an outcome, or
    /// failed in a way that leaves it open, which matters when they are tried again.
    pub in_doubt: Bits,
    /// The latest answers, which the remote's windows may still hold.
    pub recent: Recent,
    /// The fold over all events so far.
    pub tally: Tally,
}

impl Recovered {
    /// The memory of a run that has not begun.
    #[must_use]
    pub fn nothing(plan: &Header) -> Self {
        Self {
            finished: Bits::new(plan.steps),
            failed: Bits::new(plan.steps),
            in_doubt: Bits::new(plan.steps),
            recent: Recent::default(),
            tally: Tally::new(plan),
        }
    }

    fn take_in(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::Begun { steps } => {
                for &step in steps {
                    self.in_doubt.insert(step);
                }
            }
            Event::Returned { steps } => {
                for &step in steps {
                    self.in_doubt.remove(step);
                }
            }
            Event::Reopened { steps, .. } => {
                for &step in steps {
                    self.finished.remove(step);
                    self.failed.remove(step);
                }
            }
            Event::Settled { steps, .. } => {
                for settled in steps.iter().filter(|settled| settled.outcome.is_final()) {
                    self.finished.insert(settled.step);
                    let failure = match &settled.outcome {
                        Outcome::Failed(failure) => {
                            self.failed.insert(settled.step);
                            Some(failure)
                        }
                        _ => None,
                    };
                    if !failure.is_some_and(|failure| failure.may_have_happened) {
                        self.in_doubt.remove(settled.step);
                    }
                }
            }
            _ => {}
        }
        self.recent.take_in(stamped);
        self.tally.take_in(stamped);
    }
}

impl Journal {
    /// Opens the journal of a run and reads all of it. A torn last line is cut off.
    ///
    /// # Errors
    /// When it can't be read, is damaged elsewhere than at its end, is newer, or belongs to
    /// another plan.
    pub fn open(
        mut files: Box<dyn Files>,
        plan: &Header,
    ) -> Result<(Self, Recovered), JournalError> {
        let mut recovered = Recovered::nothing(plan);
        let whole =
            read_lines(files.reader()?, &plan.digest, |stamped| recovered.take_in(stamped))?;
        if whole == 0 {
            return Ok((Self::create_again(files, &plan.digest)?, recovered));
        }
        files.truncate(whole)?;
        Ok((Self::at(files, whole), recovered))
    }

    /// A journal whose very first line was torn has nothing to remember.
    fn create_again(mut files: Box<dyn Files>, digest: &str) -> Result<Self, JournalError> {
        files.truncate(0)?;
        Ok(Self::create(files, digest)?)
    }
}

/// Reads the events of a journal without opening it for writing: for reports, and for looking
/// at a run that another process is in the middle of.
///
/// # Errors
/// As for [`Journal::open`].
pub fn replay(
    content: impl Read,
    plan_digest: &str,
    take: impl FnMut(&Stamped),
) -> Result<(), JournalError> {
    read_lines(content, plan_digest, take).map(|_| ())
}

/// Reads line by line and returns how many bytes of whole lines there are.
fn read_lines(
    content: impl Read,
    plan_digest: &str,
    mut take: impl FnMut(&Stamped),
) -> Result<u64, JournalError> {
    let mut reader = BufReader::with_capacity(256 * 1024, content);
    let mut line = Vec::new();
    let mut whole = 0;
    for number in 1.. {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line)? as u64;
        if bytes == 0 {
            break;
        }
        let ended = line.pop_if(|byte| *byte == b'\n').is_some();
        let at_end = !ended || reader.fill_buf()?.is_empty();
        let read = unseal(&line)
            .and_then(|content| if number == 1 { Ok(None) } else { read_event(content).map(Some) });
        match read {
            Ok(_) if !ended => break,
            Ok(Some(stamped)) => take(&stamped),
            Ok(None) => check_heading(&line, plan_digest)?,
            Err(_) if at_end && !begins_whole(&line) => break,
            Err(what) => return Err(JournalError::Damaged { line: number, what }),
        }
        whole += bytes;
    }
    Ok(whole)
}

fn check_heading(line: &[u8], plan_digest: &str) -> Result<(), JournalError> {
    let damaged = |what: String| JournalError::Damaged { line: 1, what };
    let content = unseal(line).map_err(damaged)?;
    let version: serde_json::Value =
        serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
    let found = version.get("windlass_journal").and_then(serde_json::Value::as_u64);
    let found = found.ok_or_else(|| damaged("it is not a journal".into()))?;
    if found > u64::from(FORMAT) {
        return Err(JournalError::Newer { found: u32::try_from(found).unwrap_or(u32::MAX) });
    }
    let heading: Heading =
        serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
    if heading.plan == plan_digest { Ok(()) } else { Err(JournalError::OtherPlan) }
}
