//! A plan that is applied while it is listed: what its readers may see, and how its listing goes
//! on after a crash.
//!
//! Lines become visible at a [`PlanMark`], which says how far the listing came. What stands behind
//! the last mark was never seen by a reader, so it is cut off when the plan is opened again, and
//! listed once more.

use super::read::parse_unsealed;
use super::write::partial_path;
use super::{Header, LINE_BYTES_MAX, Phase, Plan, PlanError, PlanWriter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use tokio::sync::watch;

/// How much of a growing plan can be read. Copies show the same plan.
#[derive(Clone, Debug)]
pub struct Growth {
    visible: watch::Sender<Visible>,
}

/// What readers may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visible {
    /// Bytes after the header.
    pub(crate) bytes: u64,
    /// Steps in them.
    pub(crate) steps: u64,
    /// Whether nothing will be added.
    pub(crate) complete: bool,
}

impl Growth {
    fn new(visible: Visible) -> Self {
        Self { visible: watch::Sender::new(visible) }
    }

    pub(crate) fn visible(&self) -> Visible {
        *self.visible.borrow()
    }

    /// Returns when there is something else to see than `seen`.
    pub(crate) async fn beyond(&self, seen: Visible) {
        let mut watching = self.visible.subscribe();
        // The sender lives as long as `self`.
        let _ = watching.wait_for(|now| *now != seen).await;
    }

    pub(super) fn show(&self, visible: Visible) {
        self.visible.send_replace(visible);
    }
}

/// How far a listing came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanMark {
    /// The job's own words for the place.
    pub mark: Value,
    /// How many steps stand before it.
    pub steps: u64,
    phases: Vec<Phase>,
    left: BTreeMap<String, u64>,
}

impl PlanWriter {
    /// Lets the plan be applied while it is listed: from each [`PlanWriter::mark`] on, readers see
    /// what stands before it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn grow(&mut self) -> Result<Growth, PlanError> {
        let steps = self.header.steps;
        let visible = Visible { bytes: self.body_bytes, steps, complete: false };
        let growth = Growth::new(visible);
        self.growth = Some(growth.clone());
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(|source| PlanError::Io { path: self.partial.clone(), source })?;
        Ok(growth)
    }

    /// Marks how far the listing came and shows readers everything before it. A plan that does
    /// not grow needs no marks, and none is written.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn mark(&mut self, mark: Value) -> Result<(), PlanError> {
        let Some(growth) = self.growth.clone() else { return Ok(()) };
        let (steps, phases) = (self.header.steps, self.header.phases.clone());
        let line = PlanMark { mark, steps, phases, left: self.header.left.clone() };
        serde_json::to_writer(&mut self.line, &line).expect("a mark is plain JSON");
        self.end_line()?;
        let io = |source| PlanError::Io { path: self.partial.clone(), source };
        self.file.flush().map_err(io)?;
        let bytes = self.body_bytes;
        growth.show(Visible { bytes, steps, complete: false });
        Ok(())
    }

    /// Opens a plan again whose listing was interrupted, cuts off what stands behind its last
    /// mark. [`PlanWriter::resumed_at`] tells that mark.
    ///
    /// # Errors
    /// When the file can't be read or written, is no plan, or is of a newer format.
    pub fn reopen(path: &Path) -> Result<Self, PlanError> {
        let partial = partial_path(path);
        let io = |source| PlanError::Io { path: partial.clone(), source };
        let file = OpenOptions::new().read(true).write(true).open(&partial).map_err(io)?;
        let mut reader = BufReader::with_capacity(256 * 1024, file.try_clone().map_err(io)?);
        let mut line = Vec::new();
        read_line(&mut reader, &mut line).map_err(io)?;
        let header = parse_unsealed(&partial, &line)?;
        let header_bytes = line.len() as u64;
        let mut writer = Self::at(path, file, header, line.len().saturating_sub(1));
        let mut kept = writer.body_state();
        let mut last = None;
        loop {
            read_line(&mut reader, &mut line).map_err(io)?;
            if !line.ends_with(b"\n") {
                break;
            }
            writer.take_again(&line);
            if line.starts_with(b"{\"mark\":")
                && let Ok(mark) = serde_json::from_slice::<PlanMark>(&line)
            {
                kept = writer.body_state();
                last = Some(mark);
            }
        }
        writer.cut_back(kept, header_bytes).map_err(io)?;
        if let Some(mark) = last {
            writer.header.steps = mark.steps;
            writer.header.phases = mark.phases;
            writer.header.left = mark.left;
            writer.resumed = Some(mark.mark);
        }
        Ok(writer)
    }

    /// The job's own words for the place where an interrupted listing goes on.
    #[must_use]
    pub fn resumed_at(&self) -> Option<&Value> {
        self.resumed.as_ref()
    }

    /// The plan as far as it is visible, while it grows.
    #[must_use]
    pub fn growing(&self) -> Plan {
        Plan {
            header: self.header.clone(),
            path: self.partial.clone(),
            body_at: self.header_room(),
            growth: self.growth.clone(),
        }
    }

    /// A second handle on the file, for syncing it.
    ///
    /// # Errors
    /// What the system says.
    pub fn handle(&self) -> std::io::Result<File> {
        self.file.get_ref().try_clone()
    }
}

impl Header {
    /// The first line of the plan at `path`, or of what there is of it while it grows. The rest is
    /// not looked at, so it costs the same for a plan of any size.
    ///
    /// # Errors
    /// When there is none, or it is of a newer format.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let growing = partial_path(path);
        let path = if path.exists() { path } else { growing.as_path() };
        let io = |source| PlanError::Io { path: path.to_owned(), source };
        let mut line = Vec::new();
        read_line(&mut BufReader::new(File::open(path).map_err(io)?), &mut line).map_err(io)?;
        parse_unsealed(path, &line)
    }
}

fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    line.clear();
    reader.take(LINE_BYTES_MAX as u64).read_until(b'\n', line)
}
