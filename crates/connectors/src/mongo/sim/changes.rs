//! Change streams: what of the oplog a client sees, and from where on.

use std::collections::BTreeMap;

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, Timestamp, doc};

use super::collection::{Collection, Stored};
use super::expression::to_bson;
use super::oplog::{Entry, Event, Oplog, time, timestamp};
use super::order;
use super::pipeline::Stage;
use super::reply::CommandError;

/// A change stream of one client.
#[derive(Clone, Debug)]
pub struct Stream {
    scope: Scope,
    /// Everything up to this time was looked at.
    seen: u64,
    stages: Vec<Stage>,
    looks_up: bool,
    shows_before: bool,
    is_ended: bool,
}

/// Whose changes are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the server.
    Server,
    /// Those of the collections whose names begin like this, with a dot at its end.
    Database(String),
    /// Those of one collection.
    Collection(String),
}

impl Scope {
    fn has(&self, namespace: &str) -> bool {
        match self {
            Self::Server => true,
            Self::Database(start) => namespace.starts_with(start),
            Self::Collection(own) => namespace == own,
        }
    }
}

impl Stream {
    /// Opens a stream; `arguments` are those of the stage `$changeStream`.
    ///
    /// # Errors
    ///
    /// Code 260 for a resume token that is none, 286 when the oplog does not reach back so far.
    pub fn open(
        scope: Scope,
        arguments: &RawDocument,
        stages: Vec<Stage>,
        oplog: &Oplog,
    ) -> Result<Self, CommandError> {
        let mut seen = oplog.now();
        if let Ok(start) = arguments.get_timestamp("startAtOperationTime") {
            seen = time(start).saturating_sub(1);
        }
        for name in ["resumeAfter", "startAfter"] {
            if let Some(RawBsonRef::Document(token)) = super::path::field(arguments, name) {
                seen = read_token(token)?;
            }
        }
        if !oplog.reaches_back_to(seen) {
            return Err(lost());
        }
        let is = |name: &str, value: &str| arguments.get_str(name).is_ok_and(|own| own == value);
        let before = arguments.get_str("fullDocumentBeforeChange");
        Ok(Self {
            scope,
            seen,
            stages,
            looks_up: is("fullDocument", "updateLookup"),
            shows_before: before.is_ok_and(|value| value != "off"),
            is_ended: false,
        })
    }

    /// Whether it has shown its last event.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Goes past what is not for the client, and says whether there is something for it then.
    pub fn find_news(&mut self, oplog: &Oplog) -> bool {
        if !oplog.reaches_back_to(self.seen) {
            return true;
        }
        for entry in oplog.after(self.seen) {
            if self.scope.has(&entry.namespace) {
                return true;
            }
            self.seen = entry.time;
        }
        false
    }

    /// The token from which the stream goes on after everything it was shown.
    pub fn token(&self) -> Document {
        write_token(self.seen)
    }

    /// The next events, at most so many.
    ///
    /// # Errors
    ///
    /// Code 286 when the oplog does not reach back so far any more.
    pub fn next(
        &mut self,
        oplog: &Oplog,
        collections: &BTreeMap<String, Collection>,
        most: usize,
    ) -> Result<Vec<Stored>, CommandError> {
        if !oplog.reaches_back_to(self.seen) {
            return Err(lost());
        }
        let mut events = Vec::new();
        for entry in oplog.after(self.seen) {
            if events.len() >= most || self.is_ended {
                return Ok(events);
            }
            self.seen = entry.time;
            if !self.scope.has(&entry.namespace) {
                continue;
            }
            let mut all = vec![self.event(entry, collections)];
            if matches!((&entry.event, &self.scope), (Event::Drop, Scope::Collection(_))) {
                all.push(invalidation(entry));
                self.is_ended = true;
            }
            for event in all {
                let event = RawDocumentBuf::try_from(&event);
                let event = event.map_err(|error| CommandError::new(2, error.to_string()))?;
                events.extend(
                    self.stages
                        .iter()
                        .try_fold(vec![event.into()], |found, stage| stage.apply(found))?,
                );
            }
        }
        self.seen = self.seen.max(oplog.now());
        Ok(events)
    }

    fn event(&self, entry: &Entry, collections: &BTreeMap<String, Collection>) -> Document {
        let (database, collection) = entry.namespace.split_once('.').unwrap_or_default();
        let mut event = head(entry, kind(&entry.event));
        let namespace = doc! { "db": database, "coll": collection };
        let (document, before) = match &entry.event {
            Event::Insert(document) => (document, None),
            Event::Update(before, document) | Event::Replace(before, document) => {
                (document, Some(before))
            }
            Event::Delete(document) => (document, Some(document)),
            Event::Drop => {
                event.insert("ns", namespace);
                return event;
            }
        };
        let id = super::path::field(document, "_id").unwrap_or(RawBsonRef::Null);
        if let Event::Insert(document) | Event::Replace(_, document) = &entry.event {
            event.insert("fullDocument", read(document));
        }
        if let (Event::Update(..), true) = (&entry.event, self.looks_up) {
            let collection = collections.get(&*entry.namespace);
            let now = collection.and_then(|it| it.documents.get(&order::key(id)[..]));
            event.insert("fullDocument", now.map_or(Bson::Null, |it| read(it).into()));
        }
        event.insert("ns", namespace);
        event.insert("documentKey", doc! { "_id": to_bson(id) });
        if let Event::Update(before, after) = &entry.event {
            event.insert("updateDescription", description(&read(before), &read(after)));
        }
        if let (true, Some(before)) = (self.shows_before, before) {
            event.insert("fullDocumentBeforeChange", read(before));
        }
        event
    }
}

fn head(entry: &Entry, kind: &str) -> Document {
    doc! {
        "_id": write_token(entry.time),
        "operationType": kind,
        "clusterTime": Bson::Timestamp(timestamp(entry.time)),
        "wallTime": bson::DateTime::now(),
    }
}

fn invalidation(entry: &Entry) -> Document {
    head(entry, "invalidate")
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Insert(_) => "insert",
        Event::Update(..) => "update",
        Event::Replace(..) => "replace",
        Event::Delete(_) => "delete",
        Event::Drop => "drop",
    }
}

fn read(document: &RawDocumentBuf) -> Document {
    Document::try_from(&**document).unwrap_or_default()
}

fn lost() -> CommandError {
    let message = "Resume of change stream was not possible, as the resume point may no longer be \
                   in the oplog.";
    CommandError::new(286, message).labelled(&["NonResumableChangeStreamError"])
}

/// A token is the time in hexadecimal digits, which stand in the order of the times.
fn write_token(time: u64) -> Document {
    doc! { "_data": format!("{time:016X}") }
}

fn read_token(token: &RawDocument) -> Result<u64, CommandError> {
    let digits = token.get_str("_data").unwrap_or_default();
    u64::from_str_radix(digits, 16)
        .map_err(|_| CommandError::new(260, format!("Bad resume token: {digits}")))
}

/// What an update changed, with dotted paths into documents; arrays are told as a whole.
fn description(before: &Document, after: &Document) -> Document {
    let (mut updated, mut removed) = (Document::new(), Vec::new());
    compare("", before, after, &mut updated, &mut removed);
    doc! { "updatedFields": updated, "removedFields": removed, "truncatedArrays": [] }
}

fn compare(
    outer: &str,
    before: &Document,
    after: &Document,
    updated: &mut Document,
    removed: &mut Vec<String>,
) {
    for (name, value) in after {
        let path = format!("{outer}{name}");
        match (before.get(name), value) {
            (Some(old), new) if old == new => {}
            (Some(Bson::Document(old)), Bson::Document(new)) => {
                compare(&format!("{path}."), old, new, updated, removed);
            }
            (_, new) => {
                updated.insert(path, new.clone());
            }
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    removed.extend(gone.map(|name| format!("{outer}{name}")));
}

/// The time of the latest change, as replies tell it.
pub fn operation_time(oplog: &Oplog) -> Timestamp {
    timestamp(oplog.now())
}
