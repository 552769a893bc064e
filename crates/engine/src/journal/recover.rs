//! Opening a journal again: what is finished, what is in doubt, what was counted so far.

use super::files::Files;
use super::recent::Recent;
use super::record::{Heading, begins_whole, read_event, unseal};
use super::writer::Journal;
use super::{FORMAT, JournalError};
use crate::bits::Bits;
use crate::event::{Event, Settled, Stamped};
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
    /// The steps among them that had nothing to do: gone already, or skipped.
    pub idle: Bits,
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
            idle: Bits::new(plan.steps),
            in_doubt: Bits::new(plan.steps),
            recent: Recent::default(),
            tally: Tally::new(plan),
        }
    }

    /// Makes room for a plan that has grown.
    pub(crate) fn grow(&mut self, steps: u64) {
        for bits in [&mut self.finished, &mut self.failed, &mut self.idle, &mut self.in_doubt] {
            bits.grow(steps);
        }
    }

    /// Forgets the steps from `steps` on: the plan lost them in a crash of the machine, and they
    /// will be listed again.
    pub(crate) fn truncate(&mut self, steps: u64) {
        for bits in [&mut self.finished, &mut self.failed, &mut self.idle, &mut self.in_doubt] {
            bits.truncate(steps);
        }
    }

    fn take_in(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::Planned { steps, .. } => self.grow(*steps),
            Event::Begun { steps } => {
                for step in steps.iter() {
                    self.in_doubt.insert(step);
                }
            }
            Event::Returned { steps } => {
                for step in steps.iter() {
                    self.in_doubt.remove(step);
                }
            }
            Event::Reopened { steps, .. } => {
                for step in steps.iter() {
                    self.finished.remove(step);
                    self.failed.remove(step);
                }
            }
            Event::Done { steps, .. } | Event::Elsewhere { steps } => {
                for step in steps.iter() {
                    self.finished.insert(step);
                    self.in_doubt.remove(step);
                }
            }
            Event::Settled { steps, .. } => {
                let finals = steps.iter().filter(|settled| settled.outcome.is_final());
                finals.for_each(|settled| self.settle(settled));
            }
            _ => {}
        }
        self.recent.take_in(stamped);
        self.tally.take_in(stamped);
    }

    fn settle(&mut self, settled: &Settled) {
        self.finished.insert(settled.step);
        match &settled.outcome {
            Outcome::Failed(failure) => {
                self.failed.insert(settled.step);
                if failure.may_have_happened {
                    return;
                }
            }
            Outcome::AlreadyGone | Outcome::Skipped(_) => {
                self.idle.insert(settled.step);
            }
            _ => {}
        }
        self.in_doubt.remove(settled.step);
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
        let whole = read_lines(files.reader()?, plan, |stamped| recovered.take_in(stamped))?;
        if whole == 0 {
            return Ok((Self::create_again(files, plan)?, recovered));
        }
        files.truncate(whole)?;
        Ok((Self::at(files, whole), recovered))
    }

    /// A journal whose very first line was torn has nothing to remember.
    fn create_again(mut files: Box<dyn Files>, plan: &Header) -> Result<Self, JournalError> {
        files.truncate(0)?;
        Ok(Self::create(files, plan)?)
    }
}

/// Reads the events of a journal without opening it for writing: for reports, and for looking
/// at a run that another process is in the middle of.
///
/// # Errors
/// As for [`Journal::open`].
pub fn replay(
    content: impl Read,
    plan: &Header,
    take: impl FnMut(&Stamped),
) -> Result<(), JournalError> {
    read_lines(content, plan, take).map(|_| ())
}

/// Reads line by line and returns how many bytes of whole lines there are.
fn read_lines(
    content: impl Read,
    plan: &Header,
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
            Ok(None) => check_heading(&line, plan)?,
            Err(_) if at_end && !begins_whole(&line) => break,
            Err(what) => return Err(JournalError::Damaged { line: number, what }),
        }
        whole += bytes;
    }
    Ok(whole)
}

fn check_heading(line: &[u8], plan: &Header) -> Result<(), JournalError> {
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
    // A run that applied while it listed had no digest when its journal began.
    let ours = heading.plan == plan.digest || heading.plan == plan.id;
    if ours { Ok(()) } else { Err(JournalError::OtherPlan) }
}
