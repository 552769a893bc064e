//! Files into records without understanding them: lines, lines that go on inside quotes, and the
//! items of a JSON array. Each has its place in the file, and none is longer than the bound.

use super::{RECORD_BYTES_MAX, RecordError};
use std::io::{self, BufRead, Read};

/// The mark that some programs put before text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The byte at which it begins.
    pub offset: u64,
    /// How many bytes it has, without what ends it.
    pub length: u64,
    /// The byte behind it and what ends it.
    pub end: u64,
    /// Whether something ended it, rather than the end of the file.
    pub whole: bool,
}

/// How records stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One a line.
    Lines,
    /// One a line, but a newline inside quotes ends none.
    QuotedLines,
    /// Items of a JSON array.
    Array,
}

/// Splits what it reads.
#[derive(Debug)]
pub(super) struct Splitter<R> {
    reader: R,
    shape: Shape,
    /// The present record.
    record: Vec<u8>,
    offset: u64,
    line: u64,
    within: Within,
}

/// Where in an array it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Before,
    /// Behind the bracket.
    Opened,
    /// Behind an item.
    Items,
    After,
    /// It is no array; nothing more is read of it.
    Broken,
}

impl<R: BufRead> Splitter<R> {
    pub(super) fn new(reader: R, shape: Shape) -> Self {
        Self { reader, shape, record: Vec::new(), offset: 0, line: 1, within: Within::Before }
    }

    /// The next record that is not empty, and its place.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], Place)>, RecordError> {
        let place = match self.shape {
            Shape::Lines => self.next_line(false)?,
            Shape::QuotedLines => self.next_line(true)?,
            Shape::Array => self.next_item()?,
        };
        Ok(place.map(|place| (&*self.record, place)))
    }

    fn next_line(&mut self, quoted: bool) -> Result<Option<Place>, RecordError> {
        loop {
            self.record.clear();
            let (start, line) = (self.offset, self.line);
            let whole = self.read_line(quoted)?;
            if self.record.is_empty() {
                return Ok(None);
            }
            let end = self.offset;
            let mark = if start == 0 { self.skip_mark() } else { 0 };
            if whole {
                self.record.pop();
            }
            if self.record.last() == Some(&b'\r') {
                self.record.pop();
            }
            if !self.record.is_empty() {
                let length = self.record.len() as u64;
                return Ok(Some(Place { line, offset: start + mark, length, end, whole }));
            }
        }
    }

    fn skip_mark(&mut self) -> u64 {
        if !self.record.starts_with(BYTE_ORDER_MARK) {
            return 0;
        }
        self.record.drain(..BYTE_ORDER_MARK.len());
        BYTE_ORDER_MARK.len() as u64
    }

    /// Reads to the newline that ends a record; whether there is one.
    fn read_line(&mut self, quoted: bool) -> Result<bool, RecordError> {
        let (start, mut quotes) = (self.line, 0);
        loop {
            let from = self.record.len();
            let room = (RECORD_BYTES_MAX + 1).saturating_sub(from) as u64;
            let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.record)?;
            self.offset += read as u64;
            if self.record.len() > RECORD_BYTES_MAX {
                return Err(invalid(start, "a record is longer than 64 MiB"));
            }
            let part = self.record.get(from..).unwrap_or_default();
            let ended = part.last() == Some(&b'\n');
            self.line += u64::from(ended);
            quotes += memchr::memchr_iter(b'"', part).count();
            // A quote inside quotes is doubled, so that their number says whether one is open.
            if !ended || !quoted || quotes % 2 == 0 {
                return Ok(ended);
            }
        }
    }

    /// Reads the next item of the array. What is wrong with the array itself ends it.
    fn next_item(&mut self) -> Result<Option<Place>, RecordError> {
        self.record.clear();
        let begun = self.begin_item();
        if begun.is_err() {
            self.within = Within::Broken;
        }
        let Some((line, offset)) = begun? else { return Ok(None) };
        let ended = self.read_item(line);
        if ended.is_err() {
            self.within = Within::Broken;
        }
        ended?;
        let length = self.record.len() as u64;
        Ok(Some(Place { line, offset, length, end: self.offset, whole: true }))
    }

    /// Goes to the first byte of the next item, and says where it is.
    fn begin_item(&mut self) -> Result<Option<(u64, u64)>, RecordError> {
        while self.within != Within::Broken {
            let Some(byte) = self.peek()? else {
                return match self.within {
                    Within::After => Ok(None),
                    Within::Before => Err(invalid(self.line, "there is no array")),
                    _ => Err(invalid(self.line, "the array is cut off: it has no end")),
                };
            };
            let place = (self.line, self.offset);
            self.within = match (self.within, byte) {
                (within, byte) if byte.is_ascii_whitespace() => within,
                (Within::Before, b'\xef' | b'\xbb' | b'\xbf') if place.1 < 3 => Within::Before,
                (Within::Before, b'[') => Within::Opened,
                (Within::Opened | Within::Items, b']') => Within::After,
                (Within::Items, b',') => {
                    self.take(byte);
                    return self.behind_comma().map(Some);
                }
                (Within::Opened, _) => return Ok(Some(place)),
                (Within::Before, _) => return Err(invalid(place.0, "this is not a JSON array")),
                (Within::Items, _) => {
                    return Err(invalid(place.0, "a comma is missing in the array"));
                }
                (Within::After | Within::Broken, _) => {
                    return Err(invalid(place.0, "something stands behind the array"));
                }
            };
            self.take(byte);
        }
        Ok(None)
    }

    fn behind_comma(&mut self) -> Result<(u64, u64), RecordError> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok((self.line, self.offset));
            }
            self.take(byte);
        }
        Err(invalid(self.line, "the array is cut off: it has no end"))
    }

    /// Reads one JSON value, as far as brackets and strings tell where it ends.
    fn read_item(&mut self, line: u64) -> Result<(), RecordError> {
        let mut scan = Scan::default();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Err(invalid(line, "the array is cut off inside this item"));
            }
            let (used, ended) = scan.pass(buffer);
            let passed = buffer.get(..used).unwrap_or_default();
            self.record.extend_from_slice(passed);
            self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
            self.offset += used as u64;
            self.reader.consume(used);
            if self.record.len() > RECORD_BYTES_MAX {
                return Err(invalid(line, "an item is longer than 64 MiB"));
            }
            if ended {
                self.within = Within::Items;
                let text = self.record.trim_ascii_end().len();
                self.record.truncate(text);
                return match text {
                    0 => Err(invalid(line, "an item is missing in the array")),
                    _ => Ok(()),
                };
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    fn take(&mut self, byte: u8) {
        self.reader.consume(1);
        self.offset += 1;
        self.line += u64::from(byte == b'\n');
    }
}

/// How far a JSON value was read.
#[derive(Debug, Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// How many of these bytes belong to the value, and whether it ends there: before the comma
    /// or bracket of the array around it.
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b',' | b']' | b'}' if self.depth == 0 => return (at, true),
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        (bytes.len(), false)
    }
}

pub(super) fn invalid(line: u64, what: impl Into<String>) -> RecordError {
    RecordError::Invalid { line, what: what.into() }
}
