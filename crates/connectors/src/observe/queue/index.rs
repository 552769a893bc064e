//! The segments of the log, and where in them to begin.

use super::record::{Record, SEGMENT_HEAD};
use std::collections::BTreeMap;

/// A reader that begins anywhere skips at most so many bytes.
const POINT_BYTES: u64 = 256 << 10;
/// The age of what is pending is known to so many milliseconds.
const POINT_MS: u64 = 1_000;

/// The name of a segment's file: the number of its first entry, and how often it was rewritten.
#[must_use]
pub fn file_name(first: u64, generation: u32) -> String {
    format!("segment-{first:020}-{generation:05}.log")
}

/// The two numbers of such a name.
#[must_use]
pub fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (first, generation) =
        name.strip_prefix("segment-")?.strip_suffix(".log")?.split_once('-')?;
    Some((first.parse().ok()?, generation.parse().ok()?))
}

/// A place in a segment where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The number of the record's first entry.
    pub number: u64,
    /// Where it stands.
    pub offset: u64,
    /// When its batch came, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What is known of a segment.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// How often it was rewritten.
    pub generation: u32,
    /// The number after its last entry; equal to its first where it is empty.
    pub end: u64,
    /// How long it is as far as it can be read.
    pub bytes: u64,
    /// How much of it was certainly synced.
    pub synced: u64,
    /// Whether nothing is written to it any more.
    pub is_sealed: bool,
    /// Whether a sync of it failed, so that what is behind `synced` may not read back.
    pub is_doubtful: bool,
    /// The bytes of its entries of low, normal and high priority.
    pub by_priority: [u64; 3],
    points: Vec<Point>,
}

impl Segment {
    /// An empty one whose first entry will have this number.
    #[must_use]
    pub fn new(first: u64, generation: u32) -> Self {
        let bytes = SEGMENT_HEAD;
        Self { generation, end: first, bytes, synced: bytes, ..Self::default() }
    }

    /// Adds a record's place, unless the place before it is near enough.
    pub fn mark(&mut self, point: Point) {
        let is_needed = self.points.last().is_none_or(|last| {
            point.offset - last.offset >= POINT_BYTES
                || point.at_ms.saturating_sub(last.at_ms) >= POINT_MS
        });
        if is_needed {
            self.points.push(point);
        }
    }

    /// Adds a record that was read.
    pub fn add(&mut self, record: &Record) {
        self.mark(Point { number: record.first(), offset: record.offset, at_ms: record.at_ms() });
        self.end = self.end.max(record.end());
        self.bytes = record.next_offset();
        for entry in record.entries() {
            self.by_priority[usize::from(entry.priority.min(2))] += entry.bytes();
        }
    }

    /// The place to begin at to find this number.
    #[must_use]
    pub fn point(&self, number: u64) -> Option<Point> {
        let after = self.points.partition_point(|point| point.number <= number);
        self.points.get(after.saturating_sub(1)).copied()
    }
}

/// All segments by the number of their first entry.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The last one is being written.
    pub segments: BTreeMap<u64, Segment>,
}

/// What a reader has to read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first number of the segment.
    pub first: u64,
    /// How often it was rewritten.
    pub generation: u32,
    /// The offset of a record at or before the number that is wanted.
    pub offset: u64,
    /// Where the segment ends, as far as it can be read.
    pub bytes: u64,
    /// The number after its last entry.
    pub end: u64,
    /// Damage from here on is no error.
    pub doubtful_from: u64,
}

impl Index {
    /// Where the entry with this number is, or else the next one.
    #[must_use]
    pub fn find(&self, number: u64) -> Option<Place> {
        let before = self.segments.range(..=number).next_back();
        let here = before.filter(|(_, segment)| number < segment.end);
        let next = || self.segments.range(number..).find(|(first, segment)| segment.end > **first);
        let (&first, segment) = here.or_else(next)?;
        Some(Place {
            first,
            generation: segment.generation,
            offset: segment.point(number).map_or(SEGMENT_HEAD, |point| point.offset),
            bytes: segment.bytes,
            end: segment.end,
            doubtful_from: if segment.is_doubtful { segment.synced } else { u64::MAX },
        })
    }

    /// When the entry with this number came, or one shortly before it.
    #[must_use]
    pub fn time_of(&self, number: u64) -> Option<u64> {
        let place = self.find(number)?;
        Some(self.segments.get(&place.first)?.point(number.max(place.first))?.at_ms)
    }
}
