//! Events as dead letters, and back: what a person reads is the event itself, and beside it is
//! everything that it takes to send it again.

use super::dead_letters::{Content, DeadLetter, DeadLetters};
use super::event::{Shared, Stored};
use jiff::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The size of a file of letters.
const FILE_BYTES: u64 = 256 << 20;
/// Files that are kept besides the one that is written.
const FILES_KEPT: u32 = 7;
/// The file in a gateway's folder.
const FILE: &str = "dead-letters.jsonl";

/// Where letters are put.
#[derive(Debug)]
pub(super) struct Letterbox {
    file: Mutex<DeadLetters>,
    written: AtomicU64,
}

/// The file of letters in a gateway's folder.
pub(super) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

impl Letterbox {
    /// That of a gateway's folder.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = DeadLetters::open(&file_in(folder), FILE_BYTES, FILES_KEPT)?;
        Ok(Self { file: Mutex::new(file), written: AtomicU64::new(0) })
    }

    /// Puts a letter in, and syncs it.
    ///
    /// # Errors
    /// Those of the file; then it is not there.
    pub(super) fn put(&self, letter: DeadLetter) -> io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).append(&[letter])?;
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Letters that were put in since the start.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// The letter of an event that a destination refused.
pub(super) fn of_event(
    destination: &str,
    shared: &Shared,
    event: &Stored,
    reason: &str,
) -> DeadLetter {
    let around = Stored { body: Vec::new(), ..event.clone() };
    // Both have a form in postcard, and a vector grows.
    let around = postcard::to_stdvec(&(shared, around)).unwrap_or_default();
    let kind = serde_json::to_value(event.kind).ok();
    let kind = kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    letter(destination, &event.id, &kind, reason, Content::new(&around), &event.body)
}

/// The letter of bytes that are no event.
pub(super) fn of_bytes(destination: &str, id: &str, bytes: &[u8], reason: &str) -> DeadLetter {
    letter(destination, id, "unreadable", reason, Content::new(b"null"), bytes)
}

fn letter(
    destination: &str,
    id: &str,
    kind: &str,
    reason: &str,
    shared: Content,
    payload: &[u8],
) -> DeadLetter {
    DeadLetter {
        when: Timestamp::now(),
        destination: destination.to_owned(),
        id: id.to_owned(),
        kind: kind.to_owned(),
        reason: reason.to_owned(),
        status: None,
        shared,
        payload: Content::new(payload),
    }
}

/// The event of a letter; `None` for one that never was an event.
pub(super) fn event_of(letter: &DeadLetter) -> Option<(Shared, Stored)> {
    let around = letter.shared.bytes().ok()?;
    let (shared, event): (Shared, Stored) = postcard::from_bytes(&around).ok()?;
    Some((shared, Stored { body: letter.payload.bytes().ok()?, ..event }))
}
