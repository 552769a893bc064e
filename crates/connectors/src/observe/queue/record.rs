//! A batch as bytes of a segment: written by one side, checked and taken apart by the other.
//!
//! ```text
//! segment   WLQSEG, 0, version | first number u64 | flags u32 | crc u32                 24 bytes
//! record    mark u32 | length of body u32 | crc of body u32 | own offset u64 | crc u32  24 bytes
//! body      first number u64 | span u32 | entries u32 | time u64 | synced to u64 |
//!           length of shared u32 | shared | entries
//! entry     id u128 | routes u32 | number less the first u32 | priority u8 | length u32 | payload
//! ```
//!
//! All numbers are little endian. A record says where it stands, so bytes of a segment that a
//! client sends as payload are never taken for a record when damage is stepped over.

use super::{Batch, Entry};
use bytes::Bytes;

/// The version of the format that this program writes and the newest that it reads.
pub const VERSION: u8 = 1;
/// The length of a segment's head in bytes.
pub const SEGMENT_HEAD: u64 = 24;
/// The length of a record's head in bytes.
pub const RECORD_HEAD: usize = 24;
/// The length of an entry without its payload in bytes.
pub const ENTRY_HEAD: usize = 29;
/// What every record begins with.
pub const MARK: [u8; 4] = *b"WLr\xb7";
/// The greatest body of a record.
pub const BODY_BYTES_MAX: usize = 256 << 20;

const BODY_HEAD: usize = 36;
const SEGMENT_MAGIC: [u8; 7] = *b"WLQSEG\0";
const AFTER_DOUBT: u32 = 1;

/// The little-endian number at this place, 0 where there are not enough bytes.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|raw| raw.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|raw| raw.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// The number of its first entry.
    pub first: u64,
    /// Whether the segment before it was given up after a failed sync and may end early.
    pub after_doubt: bool,
}

/// What can be wrong with a segment's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHead {
    /// A program that is newer wrote it.
    Newer(u8),
    /// It isn't one.
    Damaged,
}

impl SegmentHead {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEAD as usize] {
        let mut bytes = [0; SEGMENT_HEAD as usize];
        bytes[..7].copy_from_slice(&SEGMENT_MAGIC);
        bytes[7] = VERSION;
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&u32::from(self.after_doubt).to_le_bytes());
        let crc = crc32fast::hash(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no head, or one of a newer program.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHead> {
        if bytes.len() < SEGMENT_HEAD as usize || bytes[..7] != SEGMENT_MAGIC {
            return Err(BadHead::Damaged);
        }
        if bytes[7] > VERSION {
            return Err(BadHead::Newer(bytes[7]));
        }
        if crc32fast::hash(&bytes[..20]) != u32_at(bytes, 20) {
            return Err(BadHead::Damaged);
        }
        Ok(Self { first: u64_at(bytes, 8), after_doubt: u32_at(bytes, 16) & AFTER_DOUBT != 0 })
    }
}

/// Writes one record into a buffer whose first byte will stand at `base` in the segment.
#[derive(Debug)]
pub struct Encoder<'a> {
    buffer: &'a mut Vec<u8>,
    begin: usize,
    base: u64,
    first: u64,
    end: u64,
    entries: u32,
}

impl<'a> Encoder<'a> {
    /// Begins a record whose numbers begin at `first`.
    pub fn begin(
        buffer: &'a mut Vec<u8>,
        base: u64,
        first: u64,
        at_ms: u64,
        synced_to: u64,
        shared: &[u8],
    ) -> Self {
        let begin = buffer.len();
        buffer.extend_from_slice(&[0; RECORD_HEAD]);
        buffer.extend_from_slice(&first.to_le_bytes());
        buffer.extend_from_slice(&[0; 8]);
        buffer.extend_from_slice(&at_ms.to_le_bytes());
        buffer.extend_from_slice(&synced_to.to_le_bytes());
        buffer.extend_from_slice(&length(shared).to_le_bytes());
        buffer.extend_from_slice(shared);
        Self { buffer, begin, base, first, end: first, entries: 0 }
    }

    /// Adds an entry with its number, which is greater than the one before.
    pub fn push(&mut self, number: u64, id: u128, routes: u32, priority: u8, payload: &[u8]) {
        let head = self.buffer.len();
        self.buffer.resize(head + ENTRY_HEAD, 0);
        let bytes = &mut self.buffer[head..];
        bytes[..16].copy_from_slice(&id.to_le_bytes());
        bytes[16..20].copy_from_slice(&routes.to_le_bytes());
        bytes[20..24].copy_from_slice(&less(number, self.first).to_le_bytes());
        bytes[24] = priority;
        bytes[25..].copy_from_slice(&length(payload).to_le_bytes());
        self.buffer.extend_from_slice(payload);
        self.end = number + 1;
        self.entries += 1;
    }

    /// Leaves the record out.
    pub fn discard(self) {
        self.buffer.truncate(self.begin);
    }

    /// Ends the record.
    pub fn finish(self) {
        let record = &mut self.buffer[self.begin..];
        let (head, body) = record.split_at_mut(RECORD_HEAD);
        body[8..12].copy_from_slice(&less(self.end, self.first).to_le_bytes());
        body[12..16].copy_from_slice(&self.entries.to_le_bytes());
        head[..4].copy_from_slice(&MARK);
        head[4..8].copy_from_slice(&length(body).to_le_bytes());
        head[8..12].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        head[12..20].copy_from_slice(&(self.base + self.begin as u64).to_le_bytes());
        let crc = crc32fast::hash(&head[..20]);
        head[20..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// How long a batch is as a record, in bytes.
#[must_use]
pub fn record_bytes(batch: &Batch) -> usize {
    let entry = |entry: &Entry| ENTRY_HEAD + entry.payload.len();
    RECORD_HEAD + BODY_HEAD + batch.shared.len() + batch.entries.iter().map(entry).sum::<usize>()
}

/// A batch is never greater than [`BODY_BYTES_MAX`], which fits.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn less(number: u64, first: u64) -> u32 {
    u32::try_from(number - first).unwrap_or(u32::MAX)
}

/// The length of the body that follows, where these bytes are the head of a record that stands at
/// this offset.
#[must_use]
pub fn body_length(head: &[u8], offset: u64) -> Option<usize> {
    let head = head.get(..RECORD_HEAD)?;
    let length = u32_at(head, 4) as usize;
    let is_head = head[..4] == MARK
        && u64_at(head, 12) == offset
        && crc32fast::hash(&head[..20]) == u32_at(head, 20)
        && (BODY_HEAD..=BODY_BYTES_MAX).contains(&length);
    is_head.then_some(length)
}

/// A record that was read and checked.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it stands in its segment.
    pub offset: u64,
    body: Bytes,
}

impl Record {
    /// From its bytes, head included.
    #[must_use]
    pub fn decode(offset: u64, bytes: &Bytes) -> Option<Self> {
        let length = body_length(bytes, offset)?;
        let body = bytes.get(RECORD_HEAD..RECORD_HEAD + length)?;
        if crc32fast::hash(body) != u32_at(bytes, 8) {
            return None;
        }
        let shared = u32_at(body, 32) as usize;
        (BODY_HEAD + shared <= length)
            .then(|| Self { offset, body: bytes.slice(RECORD_HEAD..RECORD_HEAD + length) })
    }

    /// Where the record after it stands.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.offset + (RECORD_HEAD + self.body.len()) as u64
    }

    /// The number of its first entry.
    #[must_use]
    pub fn first(&self) -> u64 {
        u64_at(&self.body, 0)
    }

    /// The number after that of its last entry.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first() + u64::from(u32_at(&self.body, 8))
    }

    /// When the batch came, in milliseconds since 1970.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        u64_at(&self.body, 16)
    }

    /// Up to where the segment was synced when this was written.
    #[must_use]
    pub fn synced_to(&self) -> u64 {
        u64_at(&self.body, 24)
    }

    /// What its entries share.
    #[must_use]
    pub fn shared(&self) -> Bytes {
        self.body.slice(BODY_HEAD..self.entries_at())
    }

    /// Where in its body the entries begin.
    #[must_use]
    pub fn entries_at(&self) -> usize {
        BODY_HEAD + u32_at(&self.body, 32) as usize
    }

    /// The entry at this place of the body, and the place of the one after it.
    #[must_use]
    pub fn entry_at(&self, at: usize) -> Option<(Stored, usize)> {
        let head = self.body.get(at..at + ENTRY_HEAD)?;
        let from = at + ENTRY_HEAD;
        let to = from + u32_at(head, 25) as usize;
        self.body.get(from..to)?;
        let id = head.get(..16)?.try_into().ok()?;
        let stored = Stored {
            number: self.first() + u64::from(u32_at(head, 20)),
            id: u128::from_le_bytes(id),
            routes: u32_at(head, 16),
            priority: head[24],
            payload: (from, to),
        };
        Some((stored, to))
    }

    /// All its entries in their order.
    pub fn entries(&self) -> impl Iterator<Item = Stored> + '_ {
        let mut at = self.entries_at();
        std::iter::from_fn(move || {
            let (entry, next) = self.entry_at(at)?;
            at = next;
            Some(entry)
        })
    }

    /// The bytes of an entry, without a copy.
    #[must_use]
    pub fn payload(&self, entry: &Stored) -> Bytes {
        self.body.slice(entry.payload.0..entry.payload.1)
    }
}

/// An entry of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence number.
    pub number: u64,
    /// Its identity.
    pub id: u128,
    /// One bit for each destination, by the bits of the destinations' file.
    pub routes: u32,
    /// 0 low, 1 normal, 2 high.
    pub priority: u8,
    payload: (usize, usize),
}

impl Stored {
    /// How long it is in its segment, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        (ENTRY_HEAD + self.payload.1 - self.payload.0) as u64
    }
}
