//! Writing a plan: steps stream to disk, memory holds 8 bytes a step to find repeated keys.

use super::{FORMAT, Header, Phase, PlanError};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Room in the header for what is known only at the end: counts, reasons and the digest.
const HEADER_ROOM_BYTES: usize = 1024;

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
    pub options: serde_json::Value,
    /// The names of the phases, in their order.
    pub phases: Vec<&'static str>,
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
    partial: PathBuf,
    file: BufWriter<File>,
    header: Header,
    header_bytes: usize,
    reasons_bytes: usize,
    body: Sha256,
    keys: KeySet,
    phase: usize,
    line: Vec<u8>,
}

#[derive(Serialize)]
struct StepLine<'a> {
    step: u64,
    key: &'a str,
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
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let phase = |name: &&str| Phase { name: (*name).to_owned(), steps: 0, seen: 0 };
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
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(256 * 1024, file),
            header,
            header_bytes,
            reasons_bytes: 0,
            body: Sha256::new(),
            keys: KeySet::default(),
            phase: 0,
            line: Vec::with_capacity(1024),
            partial: partial.clone(),
        };
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

    /// Adds a step to the present phase, unless its key is there already.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn push(&mut self, key: &str, label: &str, object: &RawValue) -> Result<Pushed, PlanError> {
        if !self.keys.insert(key) {
            return Ok(Pushed::Repeated);
        }
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
        Ok(self.header)
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
    fn end_line(&mut self) -> Result<(), PlanError> {
        for byte in self.line.iter_mut().filter(|byte| **byte == b'\n') {
            *byte = b' ';
        }
        self.line.push(b'\n');
        self.body.update(&self.line);
        let written = self.file.write_all(&self.line);
        self.line.clear();
        written.map_err(|source| PlanError::Io { path: self.partial.clone(), source })
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

/// Makes a rename in the file's folder last through a power cut.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The keys seen so far, by a hash of 64 bits with a secret seed: 18 MiB for a million keys. Two
/// different keys meet with a chance of 3 in 100 million then, and the price is one object left
/// alone.
#[derive(Debug, Default)]
struct KeySet {
    seed: RandomState,
    hashes: HashSet<u64, BuildHasherDefault<Plain>>,
}

impl KeySet {
    fn insert(&mut self, key: &str) -> bool {
        self.hashes.insert(self.seed.hash_one(key))
    }

    fn clear(&mut self) {
        self.hashes = HashSet::default();
    }
}

/// Takes a number that is a hash already as it is.
#[derive(Debug, Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only whole hashes are put in");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
