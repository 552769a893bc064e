//! Candidates of which one of several is kept: they wait in a file until all are seen, since only
//! then the best of them is known. Reading and mapping the sources twice would take twice as long,
//! and memory for all of them is more than there may be.

use super::Candidate;
use crate::mongo::job::work::Work;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::Path;

/// A candidate that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Its step's key.
    pub(super) key: String,
    /// What the plan keeps of it.
    pub(super) work: Work,
    /// The hashes of its values under each rule.
    pub(super) values: Vec<Option<u128>>,
    /// What later phases use of its target, as extended JSON.
    pub(super) target: Option<serde_json::Value>,
}

/// The file; it has no name and is gone with the process.
#[derive(Debug)]
pub(super) struct Spool(BufWriter<File>);

impl Spool {
    /// A file in the folder of the plan.
    ///
    /// # Errors
    /// When it can't be created.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(256 * 1024, tempfile::tempfile_in(folder)?)))
    }

    /// Adds a candidate.
    ///
    /// # Errors
    /// When the disk is full.
    pub(super) fn put(
        &mut self,
        candidate: Candidate,
        values: Vec<Option<u128>>,
        target: Option<serde_json::Value>,
    ) -> io::Result<()> {
        let Candidate { key, work, .. } = candidate;
        serde_json::to_writer(&mut self.0, &Waiting { key, work, values, target })?;
        self.0.write_all(b"\n")
    }

    /// All that wait, in their order.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn drain(self) -> io::Result<impl Iterator<Item = io::Result<Waiting>>> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let lines = BufReader::with_capacity(256 * 1024, file).lines();
        Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
    }
}
