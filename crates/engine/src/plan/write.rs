//! Writing a plan: steps stream to disk, memory holds 8 bytes a step to find repeated keys.

use super::grow::{Growth, Visible};
use super::keys::Keys;
use super::{FORMAT, Header, Phase, Plan, PlanError};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Room in the header for what is known only at the end: counts, reasons and the digest.
const HEADER_ROOM_BYTES: usize = 1024;

/// A plan goes to the disk in pieces of so many bytes: 32 MiB.
const WRITE_BACK_BYTES: u64 = 32 * 1024 * 1024;

/// The part of that room which reasons may fill. Further ones are counted under
/// [`OTHER_REASONS`], so that no listing fails at its end because its header is full.
const REASONS_ROOM_BYTES: usize = 512;
/// What a reason takes beside its own text: punctuation and the widest count.
const REASON_EXTRA_BYTES: usize = 24;
/// The name of all reasons that found no room of their own.
const OTHER_REASONS: &str = "other reasons";

/// What is known of a plan before its first step.
#[derive(Clone, Debug)]
pub struct Draft {
    /// See [`Header::id`].
    pub id: String,
    /// See [`Header::system`].
    pub system: String,
    /// See [`Header::operation`].
    pub operation: String,
    /// See [`Header::account`].
    pub account: String,
    /// See [`Header::base_url`].
    pub base_url: String,
    /// See [`Header::created_unix_ms`].
    pub created_unix_ms: u64,
    /// See [`Header::options`].
    pub options: Value,
    /// The names of the phases, in their order.
    pub phases: Vec<String>,
}

/// What became of a step that was offered to the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the plan.
    New,
    /// Its key was there already; the plan has it once.
    Repeated,
}

/// Writes a plan to a file beside its final place and moves it there when it is whole.
#[derive(Debug)]
pub struct PlanWriter {
    path: PathBuf,
    pub(super) partial: PathBuf,
    pub(super) file: BufWriter<File>,
    pub(super) header: Header,
    header_bytes: usize,
    reasons_bytes: usize,
    /// Bytes after the header.
    pub(super) body_bytes: u64,
    body: Sha256,
    pub(super) keys: Keys,
    phase: usize,
    pub(super) line: Vec<u8>,
    /// Bytes of the body that are on their way to the disk.
    written_back: u64,
    pub(super) growth: Option<Growth>,
    pub(super) resumed: Option<Value>,
}

#[derive(Serialize)]
struct StepLine<'a> {
    step: u64,
    key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    object: &'a RawValue,
}

#[derive(Serialize)]
struct LeftLine<'a> {
    left: &'a str,
    phase: &'a str,
    key: &'a str,
    label: &'a str,
}

impl PlanWriter {
    /// Begins a plan at `path`.
    ///
    /// # Errors
    /// When the file can't be created.
    pub fn create(path: &Path, draft: Draft) -> Result<Self, PlanError> {
        let partial = partial_path(path);
        let phase = |name: &String| Phase { name: name.clone(), steps: 0, seen: 0 };
        let header = Header {
            windlass_plan: FORMAT,
            id: draft.id,
            system: draft.system,
            operation: draft.operation,
            account: draft.account,
            base_url: draft.base_url,
            created_unix_ms: draft.created_unix_ms,
            options: draft.options,
            phases: draft.phases.iter().map(phase).collect(),
            left: std::collections::BTreeMap::new(),
            steps: 0,
            digest: String::new(),
        };
        let io = |source| PlanError::Io { path: partial.clone(), source };
        let file = File::create(&partial).map_err(io)?;
        let header_bytes = header_json(&header).len() + HEADER_ROOM_BYTES;
        let mut writer = Self::at(path, file, header, header_bytes);
        writer.write_header().map_err(io)?;
        Ok(writer)
    }

    /// Goes on to the phase with this index. Phases come in their order.
    ///
    /// # Panics
    /// When `phase` lies before the present one or is not in the draft: a broken job.
    pub fn enter_phase(&mut self, phase: usize) {
        assert!(phase >= self.phase && phase < self.header.phases.len(), "phases come in order");
        self.phase = phase;
        self.keys.clear();
    }

    /// Counts objects that the listing of the present phase saw.
    pub fn saw(&mut self, objects: u64) {
        self.present_phase().seen += objects;
    }

    /// Promises that keys come in ascending order of their bytes, phase by phase, so that none
    /// has to be remembered but the last: memory stays constant for any number of steps.
    pub fn keys_ascend(&mut self) {
        self.keys = Keys::ascending();
    }

    /// Takes every step as it comes: the job looks after repeated keys itself.
    pub fn keys_unchecked(&mut self) {
        self.keys = Keys::Unchecked;
    }

    /// Adds a step to the present phase, unless its key is there already. A label that says no
    /// more than the key is left empty.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn push(&mut self, key: &str, label: &str, object: &RawValue) -> Result<Pushed, PlanError> {
        if !self.keys.insert(key) {
            return Ok(Pushed::Repeated);
        }
        let label = if label == key { "" } else { label };
        let line = StepLine { step: self.header.steps, key, label, object };
        serde_json::to_writer(&mut self.line, &line).expect("a step is plain JSON");
        self.end_line()?;
        self.header.steps += 1;
        self.present_phase().steps += 1;
        Ok(Pushed::New)
    }

    /// Records an object that matched but is left out on purpose.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn leave(&mut self, key: &str, label: &str, reason: &str) -> Result<(), PlanError> {
        let phase = self.present_phase().name.clone();
        let line = LeftLine { left: reason, phase: &phase, key, label };
        serde_json::to_writer(&mut self.line, &line).expect("a line is plain JSON");
        self.count_left(reason);
        self.end_line()
    }

    /// A writer at the beginning of a file whose header, of so many bytes, is there already.
    pub(super) fn at(path: &Path, file: File, header: Header, header_bytes: usize) -> Self {
        let reason = |reason: &String| reason.len() + REASON_EXTRA_BYTES;
        Self {
            path: path.to_owned(),
            partial: partial_path(path),
            file: BufWriter::with_capacity(256 * 1024, file),
            header_bytes,
            reasons_bytes: header.left.keys().map(reason).sum(),
            header,
            body_bytes: 0,
            body: Sha256::new(),
            keys: Keys::default(),
            phase: 0,
            line: Vec::with_capacity(1024),
            written_back: 0,
            growth: None,
            resumed: None,
        }
    }

    /// Takes in a line that stands in the file already.
    pub(super) fn take_again(&mut self, line: &[u8]) {
        self.body.update(line);
        self.body_bytes += line.len() as u64;
    }

    /// Where the body is now, to come back to.
    pub(super) fn body_state(&self) -> (u64, Sha256) {
        (self.body_bytes, self.body.clone())
    }

    /// Goes back to a place in the body and cuts the file off there.
    pub(super) fn cut_back(&mut self, to: (u64, Sha256), header_bytes: u64) -> io::Result<()> {
        (self.body_bytes, self.body) = to;
        let end = header_bytes + self.body_bytes;
        self.file.get_ref().set_len(end)?;
        self.file.seek(SeekFrom::Start(end)).map(|_| ())
    }

    /// The bytes of the header with its room and its end.
    pub(super) fn header_room(&self) -> u64 {
        self.header_bytes as u64 + 1
    }

    /// The folder that the plan will stand in, where its job may keep what it needs meanwhile.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// What is known so far.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Seals the plan and moves it to its place; only now is it a plan.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn finish(mut self) -> Result<Header, PlanError> {
        self.header.digest = digest(&self.header, self.body.clone());
        if let Err(source) = self.seal() {
            let path = self.path.clone();
            self.discard();
            return Err(PlanError::Io { path, source });
        }
        if let Some(growth) = &self.growth {
            let (bytes, steps) = (self.body_bytes, self.header.steps);
            growth.show(Visible { bytes, steps, complete: true });
        }
        Ok(self.header)
    }

    /// The same, and opens the plan that it has become.
    ///
    /// # Errors
    /// As [`PlanWriter::finish`].
    pub(crate) fn finish_growing(self) -> Result<Plan, PlanError> {
        let (path, body_at) = (self.path.clone(), self.header_room());
        Ok(Plan { header: self.finish()?, path, body_at, growth: None })
    }

    /// Gives a listing up that failed: nothing of it stays on disk.
    pub fn discard(self) {
        // What can't be removed is no plan either, and the next listing takes its place.
        let _ = std::fs::remove_file(&self.partial);
    }

    fn seal(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.write_header()?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        sync_folder_of(&self.path)
    }

    fn write_header(&mut self) -> io::Result<()> {
        let mut text = header_json(&self.header);
        if text.len() > self.header_bytes {
            return Err(io::Error::other("the plan's header outgrew its room"));
        }
        text.resize(self.header_bytes, b' ');
        text.push(b'\n');
        self.file.write_all(&text)
    }

    fn count_left(&mut self, reason: &str) {
        let mut name = reason;
        if !self.header.left.contains_key(reason) {
            let bytes = serde_json::to_string(reason).expect("a text is plain JSON").len();
            let total = self.reasons_bytes + bytes + REASON_EXTRA_BYTES;
            if total <= REASONS_ROOM_BYTES {
                self.reasons_bytes = total;
            } else {
                name = OTHER_REASONS;
            }
        }
        *self.header.left.entry(name.to_owned()).or_default() += 1;
    }

    /// An object may come over several lines; between its tokens a space is as good.
    pub(super) fn end_line(&mut self) -> Result<(), PlanError> {
        for byte in self.line.iter_mut().filter(|byte| **byte == b'\n') {
            *byte = b' ';
        }
        self.line.push(b'\n');
        self.body.update(&self.line);
        self.body_bytes += self.line.len() as u64;
        let written = self.file.write_all(&self.line).and_then(|()| self.write_back());
        self.line.clear();
        written.map_err(|source| PlanError::Io { path: self.partial.clone(), source })
    }

    /// Hands what was written to the disk while the listing goes on: the sync at the end of a plan
    /// of hundreds of megabytes would otherwise hold up whoever waits for its question.
    fn write_back(&mut self) -> io::Result<()> {
        if self.body_bytes < self.written_back + WRITE_BACK_BYTES {
            return Ok(());
        }
        self.written_back = self.body_bytes;
        let file = self.file.get_ref().try_clone()?;
        // What goes wrong here goes wrong again, and is told, at the end.
        std::thread::spawn(move || file.sync_data());
        Ok(())
    }

    fn present_phase(&mut self) -> &mut Phase {
        self.header.phases.get_mut(self.phase).expect("the phase was checked on entering")
    }
}

/// The header as one line of JSON.
pub(super) fn header_json(header: &Header) -> Vec<u8> {
    serde_json::to_vec(header).expect("a header is plain JSON")
}

/// The seal over the header without its digest and over all lines.
pub(super) fn digest(header: &Header, body: Sha256) -> String {
    let unsealed = Header { digest: String::new(), ..header.clone() };
    let mut seal = Sha256::new();
    seal.update(header_json(&unsealed));
    seal.update(body.finalize());
    seal.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a plan lies until it is whole.
pub(super) fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Makes a rename in the file's folder last through a power cut.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
