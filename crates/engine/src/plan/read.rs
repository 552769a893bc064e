//! Reading a plan: checked as a whole first, then streamed.

use super::grow::Growth;
use super::write::{digest, header_json};
use super::{FORMAT, Header, LINE_BYTES_MAX, PlanError};
use crate::job::Step;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A finished plan whose seal was found whole.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its first line.
    pub header: Header,
    pub(super) path: PathBuf,
    pub(super) body_at: u64,
    /// There while it is listed.
    pub(super) growth: Option<Growth>,
}

/// An object that was left out on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Left {
    /// Why.
    #[serde(rename = "left")]
    pub reason: String,
    /// In which phase.
    pub phase: String,
    /// The remote's name for it.
    pub key: String,
    /// What a person calls it.
    pub label: String,
}

/// One line of a plan after its header.
#[derive(Clone, Debug)]
pub enum Line {
    /// Something to be done.
    Step(Step),
    /// Something left alone.
    Left(Left),
}

#[derive(Deserialize)]
struct StepLine<'a> {
    step: u64,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    #[serde(default)]
    label: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl Plan {
    /// Opens a plan and checks all of it: its format, its count and its seal.
    ///
    /// # Errors
    /// When it can't be read, was never finished, was changed, or is of a newer format.
    pub fn open(path: &Path) -> Result<Self, PlanError> {
        let io = |source| PlanError::Io { path: path.to_owned(), source };
        let mut reader = BufReader::with_capacity(256 * 1024, File::open(path).map_err(io)?);
        let mut first = Vec::new();
        (&mut reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut first).map_err(io)?;
        let header = parse_header(path, &first)?;
        let mut body = Sha256::new();
        loop {
            let chunk = reader.fill_buf().map_err(io)?;
            if chunk.is_empty() {
                break;
            }
            body.update(chunk);
            let read = chunk.len();
            reader.consume(read);
        }
        if digest(&header, body) != header.digest {
            return Err(damaged(path, "its digest does not match its content"));
        }
        Ok(Self { header, path: path.to_owned(), body_at: first.len() as u64, growth: None })
    }

    /// Its growth, while it is listed.
    pub(crate) fn growth(&self) -> Option<Growth> {
        self.growth.clone()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All lines after the header, as a stream.
    ///
    /// # Errors
    /// When the file can't be opened any more.
    pub fn lines(&self) -> Result<Lines, PlanError> {
        let io = |source| PlanError::Io { path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(io)?;
        file.seek(SeekFrom::Start(self.body_at)).map_err(io)?;
        Ok(Lines {
            reader: BufReader::with_capacity(64 * 1024, file),
            header: self.header.clone(),
            path: self.path.clone(),
            line: Vec::new(),
            growth: self.growth.clone(),
            read: 0,
        })
    }
}

/// The lines of a plan, read one at a time.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<File>,
    header: Header,
    path: PathBuf,
    line: Vec<u8>,
    growth: Option<Growth>,
    /// Bytes read so far.
    read: u64,
}

impl Lines {
    /// Whether there may be more behind the end that was met.
    pub(crate) fn may_grow(&self) -> bool {
        self.growth.as_ref().is_some_and(|growth| !growth.visible().complete)
    }

    /// The next step, passing over what was left out; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read or changed under us.
    pub fn next_step(&mut self) -> Result<Option<Step>, PlanError> {
        loop {
            match self.next_line()? {
                Some(Line::Step(step)) => return Ok(Some(step)),
                Some(Line::Left(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next line of either kind; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read or changed under us.
    pub fn next_line(&mut self) -> Result<Option<Line>, PlanError> {
        loop {
            let hidden = |growth: &Growth| growth.visible().bytes <= self.read;
            if self.growth.as_ref().is_some_and(hidden) {
                return Ok(None);
            }
            self.line.clear();
            let read = self
                .reader
                .read_until(b'\n', &mut self.line)
                .map_err(|source| PlanError::Io { path: self.path.clone(), source })?;
            self.read += read as u64;
            if read == 0 {
                return Ok(None);
            }
            if !self.line.starts_with(b"{\"mark\":") {
                break;
            }
        }
        let parsed = if self.line.starts_with(b"{\"left\":") {
            serde_json::from_slice(&self.line).map(Line::Left)
        } else {
            serde_json::from_slice::<StepLine<'_>>(&self.line)
                .map(|line| Line::Step(step_of(&self.header, &line)))
        };
        parsed.map(Some).map_err(|error| damaged(&self.path, &format!("a line is broken: {error}")))
    }
}

fn step_of(header: &Header, line: &StepLine<'_>) -> Step {
    Step {
        number: line.step,
        phase: header.phase_of(line.step),
        key: line.key.as_ref().into(),
        label: line.label.as_ref().into(),
        object: line.object.to_owned(),
        in_doubt: false,
    }
}

/// Only the version is read first: a newer format may have other fields.
#[derive(Deserialize)]
struct Version {
    windlass_plan: u32,
}

fn parse_header(path: &Path, line: &[u8]) -> Result<Header, PlanError> {
    let header = parse_unsealed(path, line)?;
    if header.digest.is_empty() {
        return Err(PlanError::Unfinished { path: path.to_owned() });
    }
    // The digest covers what the header says; this covers how it is written.
    let padding = line.strip_prefix(&header_json(&header)[..]);
    let is_ours = padding.and_then(|rest| rest.strip_suffix(b"\n"));
    if !is_ours.is_some_and(|rest| rest.iter().all(|&byte| byte == b' ')) {
        return Err(damaged(path, "its first line was written anew"));
    }
    Ok(header)
}

/// A header, whether the plan was finished or not.
pub(super) fn parse_unsealed(path: &Path, line: &[u8]) -> Result<Header, PlanError> {
    let version: Version = serde_json::from_slice(line)
        .map_err(|_| damaged(path, "its first line is not a plan's"))?;
    if version.windlass_plan > FORMAT {
        return Err(PlanError::Newer { path: path.to_owned(), found: version.windlass_plan });
    }
    serde_json::from_slice(line)
        .map_err(|error| damaged(path, &format!("its first line is broken: {error}")))
}

fn damaged(path: &Path, what: &str) -> PlanError {
    PlanError::Damaged { path: path.to_owned(), what: what.to_owned() }
}
