//! A file of JSON lines, one an event, for people, `jq` and whatever reads files. A batch is synced
//! before it counts as delivered; the line that a crash has torn is cut at the next start.

use super::{Pending, Sent};
use crate::observe::event::{CostRow, Kind};
use crate::observe::span_json;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use windlass_engine::{Failure, Kind as FailureKind};

/// Such a file.
pub(in crate::observe) struct Jsonl {
    file: Mutex<File>,
}

/// One line of it.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    kind: Kind,
    project: &'a str,
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<&'a CostRow>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    flags: &'a [String],
    weight_milli: u64,
    event: Box<RawValue>,
}

impl Jsonl {
    /// Opens the file for appending, and creates it where there is none.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let whole = whole_lines(&mut file)?;
        if whole < file.metadata()?.len() {
            file.set_len(whole)?;
        }
        Ok(Self { file: Mutex::new(file) })
    }

    pub(super) fn send(&self, batch: &[Pending]) -> Result<Sent, Failure> {
        let mut lines = Vec::new();
        let mut sent = Sent::default();
        for (place, pending) in batch.iter().enumerate() {
            if let Err(error) = append(&mut lines, pending) {
                sent.rejected.push((place, format!("it can't be a line of JSON: {error}")));
            }
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        written(&mut file, &lines).map_err(|error| {
            let what = format!("can't write the file of lines: {error}");
            Failure::new(FailureKind::Unavailable, what)
        })?;
        Ok(sent)
    }
}

/// A write that failed is taken back, so that no half of a line stays in the middle of the file.
fn written(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let done = file.write_all(lines).and_then(|()| file.sync_data());
    if done.is_err() {
        file.set_len(before)?;
    }
    done
}

fn append(lines: &mut Vec<u8>, pending: &Pending) -> Result<(), serde_json::Error> {
    let event = &pending.event;
    let json = match event.kind {
        Kind::Span => span_json::to_json(&event.body).to_string(),
        Kind::Score | Kind::Message | Kind::Patch => String::from_utf8_lossy(&event.body).into(),
    };
    let line = Line {
        id: &event.id,
        kind: event.kind,
        project: &pending.shared.project,
        at_ms: event.at_ms,
        cost: event.cost.as_ref(),
        flags: &event.flags,
        weight_milli: event.weight_milli,
        event: RawValue::from_string(json)?,
    };
    let line = serde_json::to_vec(&line)?;
    // A message may have been sent with line breaks between its fields.
    lines.extend(line.into_iter().map(|byte| if byte == b'\n' { b' ' } else { byte }));
    lines.push(b'\n');
    Ok(())
}

/// The length of the file without a torn last line.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(place) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
