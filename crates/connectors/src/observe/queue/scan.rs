//! Reads a segment piece by piece, checks every record, and finds the next good one behind damage.

use super::record::{self, MARK, RECORD_HEAD, Record};
use super::storage::Storage;
use bytes::Bytes;
use std::io;

/// The records of a piece of a segment.
#[derive(Debug, Default)]
pub struct Piece {
    /// In their order.
    pub records: Vec<Record>,
    /// Where the piece after it begins.
    pub next: u64,
    /// The bytes from here to before there, after the last of `records`, are damaged.
    pub damage: Option<(u64, u64)>,
}

/// A part of a file that is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The file.
    pub name: &'a str,
    /// Where a record begins.
    pub from: u64,
    /// Where the last record ends.
    pub until: u64,
    /// About how many bytes are read at a time; a record that is longer is read whole.
    pub chunk: usize,
}

impl Span<'_> {
    fn bytes(&self, storage: &dyn Storage, from: u64, most: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.until.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; left.min(most)];
        let count = storage.read_at(self.name, from, &mut buffer)?;
        buffer.truncate(count);
        Ok(buffer.into())
    }
}

/// Reads the records at the beginning of a span, at least one where there is one.
///
/// # Errors
/// What the system says.
pub fn read_piece(storage: &dyn Storage, span: Span<'_>) -> io::Result<Piece> {
    let mut piece = Piece { next: span.from, ..Piece::default() };
    let mut chunk = span.bytes(storage, span.from, span.chunk.max(RECORD_HEAD))?;
    while piece.next < span.until {
        let at = usize::try_from(piece.next - span.from).unwrap_or(usize::MAX).min(chunk.len());
        let rest = chunk.slice(at..);
        if let Some(record) = Record::decode(piece.next, &rest) {
            piece.next = record.next_offset();
            piece.records.push(record);
            continue;
        }
        let reaches_end = span.from + chunk.len() as u64 >= span.until;
        let wanted = record::body_length(&rest, piece.next).map(|body| RECORD_HEAD + body);
        let is_cut = wanted.map_or(rest.len() < RECORD_HEAD, |wanted| rest.len() < wanted);
        if is_cut && !reaches_end {
            if !piece.records.is_empty() {
                return Ok(piece);
            }
            let whole = span.bytes(storage, span.from, wanted.unwrap_or(RECORD_HEAD))?;
            if whole.len() > chunk.len() {
                chunk = whole;
                continue;
            }
        }
        let good = find_record(storage, span, piece.next + 1)?.unwrap_or(span.until);
        piece.damage = Some((piece.next, good));
        piece.next = good;
        break;
    }
    Ok(piece)
}

/// Where the first good record from this place on stands.
fn find_record(storage: &dyn Storage, span: Span<'_>, from: u64) -> io::Result<Option<u64>> {
    let mut base = from;
    while base < span.until {
        let chunk = span.bytes(storage, base, 1 << 20)?;
        for at in memchr::memmem::find_iter(&chunk, &MARK) {
            let offset = base + at as u64;
            let head = span.bytes(storage, offset, RECORD_HEAD)?;
            let Some(body) = record::body_length(&head, offset) else { continue };
            let whole = span.bytes(storage, offset, RECORD_HEAD + body)?;
            if Record::decode(offset, &whole).is_some() {
                return Ok(Some(offset));
            }
        }
        if chunk.len() <= MARK.len() {
            break;
        }
        // The mark may lie across two chunks.
        base += (chunk.len() - MARK.len() + 1) as u64;
    }
    Ok(None)
}
