//! Cursors: what of an answer is still to come.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::changes::Stream;
use super::collection::{Collection, Stored};
use super::filter::Filter;
use super::oplog::Oplog;
use super::projection::Projection;
use super::reply::{CommandError, Writer};
use super::scan::Bounds;

/// The documents of one reply take at most so many bytes, besides the first of them.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most open cursors; beyond it the oldest is closed.
const CURSORS_MAX: usize = 10_000;
/// Most events of one reply of a change stream.
const EVENTS_MAX: usize = 10_000;

/// A cursor.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// What it reads: `database.collection`.
    pub namespace: String,
    /// Where its documents come from.
    pub source: Source,
    /// What is shown of them.
    pub projection: Option<Projection>,
}

/// Where the documents of a cursor come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// They are chosen already.
    Chosen(VecDeque<Stored>),
    /// They are walked to in the order of their `_id`; what is written meanwhile is seen.
    Walk(Walk),
    /// They are changes.
    Changes(Box<Stream>),
}

/// A walk in the order of `_id`.
#[derive(Clone, Debug)]
pub struct Walk {
    /// What is not behind it yet.
    pub bounds: Bounds,
    /// Whether it goes from the largest to the smallest.
    pub is_reverse: bool,
    /// What the documents must fulfil besides; `None` when they all do.
    pub filter: Option<Filter>,
    /// How many more there may be.
    pub left: usize,
}

/// All open cursors.
#[derive(Debug, Default)]
pub struct Cursors {
    open: BTreeMap<i64, Cursor>,
    last: i64,
}

impl Cursors {
    /// Keeps a cursor, and tells its number.
    pub fn keep(&mut self, cursor: Cursor) -> i64 {
        self.last += 1;
        self.open.insert(self.last, cursor);
        if self.open.len() > CURSORS_MAX {
            self.open.pop_first();
        }
        self.last
    }

    /// Takes a cursor out to read from it.
    ///
    /// # Errors
    ///
    /// Code 43 when there is none of this number.
    pub fn take(&mut self, id: i64) -> Result<Cursor, CommandError> {
        let message = format!("cursor id {id} not found");
        self.open.remove(&id).ok_or_else(|| CommandError::new(43, message))
    }

    /// Puts back what [`Cursors::take`] took.
    pub fn put_back(&mut self, id: i64, cursor: Cursor) {
        self.open.insert(id, cursor);
    }

    /// Closes a cursor, and says whether there was one.
    pub fn close(&mut self, id: i64) -> bool {
        self.open.remove(&id).is_some()
    }

    /// A cursor.
    pub fn get_mut(&mut self, id: i64) -> Option<&mut Cursor> {
        self.open.get_mut(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

impl Cursor {
    /// Writes the next batch as an array of this name, and says whether it was the last one.
    ///
    /// # Errors
    ///
    /// Those of change streams.
    pub fn write_batch(
        &mut self,
        name: &str,
        most: usize,
        collections: &BTreeMap<String, Collection>,
        oplog: &Oplog,
        writer: &mut Writer,
    ) -> Result<bool, CommandError> {
        let end = writer.len() + BATCH_BYTES_MAX;
        let mut batch = Batch { projection: self.projection.as_ref(), most, end, count: 0, writer };
        let events = match &mut self.source {
            Source::Changes(stream) => stream.next(oplog, collections, most.min(EVENTS_MAX))?,
            _ => Vec::new(),
        };
        batch.writer.open_array(name);
        let is_done = match &mut self.source {
            Source::Chosen(documents) => {
                while let Some(document) = documents.front() {
                    if !batch.add(document) {
                        break;
                    }
                    documents.pop_front();
                }
                documents.is_empty()
            }
            Source::Walk(walk) => match collections.get(&self.namespace) {
                Some(collection) => walk.write(collection, &mut batch),
                None => true,
            },
            Source::Changes(stream) => {
                for (place, event) in events.iter().enumerate() {
                    batch.writer.element(place, event.as_bytes());
                }
                batch.count = events.len();
                stream.is_ended()
            }
        };
        let count = batch.count;
        writer.close();
        writer.items += count as u64;
        if let Source::Changes(stream) = &self.source {
            writer.fields(&bson::doc! { "postBatchResumeToken": stream.token() });
        }
        Ok(is_done)
    }
}

struct Batch<'a> {
    projection: Option<&'a Projection>,
    most: usize,
    end: usize,
    count: usize,
    writer: &'a mut Writer,
}

impl Batch<'_> {
    /// Adds a document if there is room, and says whether it did.
    fn add(&mut self, document: &Stored) -> bool {
        let is_full = self.writer.len() + document.as_bytes().len() > self.end;
        if self.count >= self.most || (is_full && self.count > 0) {
            return false;
        }
        match self.projection {
            None => self.writer.element(self.count, document.as_bytes()),
            Some(projection) => {
                self.writer.element(self.count, projection.apply(document).as_bytes());
            }
        }
        self.count += 1;
        true
    }
}

impl Walk {
    /// Writes what fits, and says whether the end was reached.
    fn write(&mut self, collection: &Collection, batch: &mut Batch<'_>) -> bool {
        let (mut last, mut is_done) = (None, true);
        let Self { bounds, is_reverse, filter, left } = self;
        collection.walk_ids(bounds, *is_reverse, &mut |key, document| {
            if *left == 0 {
                return false;
            }
            if filter.as_ref().is_none_or(|filter| filter.matches(document)) {
                if !batch.add(document) {
                    is_done = false;
                    return false;
                }
                *left -= 1;
            }
            last = Some(key.to_vec());
            true
        });
        if let Some(last) = last {
            match is_reverse {
                false => bounds.0 = Bound::Excluded(last),
                true => bounds.1 = Bound::Excluded(last),
            }
        }
        is_done
    }
}
