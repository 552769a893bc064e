//! Messages of MongoDB's wire protocol: OP_MSG, and OP_QUERY as the very first message of old
//! handshakes.
//!
//! Owns the framing. What a command means is not its affair.

use std::io;

use bson::{RawBsonRef, RawDocument};
use bytes::{Buf, Bytes, BytesMut};

use super::reply::CommandError;

/// The largest message, in bytes, as `hello` tells clients.
pub const MESSAGE_BYTES_MAX: usize = 48_000_000;
/// Headers and section names come on top of that.
const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 16 * 1024 * 1024;
const HEADER_BYTES: usize = 16;
const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2_004;
const OP_MSG: i32 = 2_013;
const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 2;
/// The client may ask `awaitData` of a server that says so in its OP_REPLY.
const AWAIT_CAPABLE: i32 = 8;

/// One message as it came in.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number, to be named in the reply.
    pub id: i32,
    /// Whether the client expects no reply.
    pub is_unanswered: bool,
    /// Whether it came as OP_QUERY, and the reply has to be an OP_REPLY.
    pub is_old: bool,
    bytes: Bytes,
}

/// A command with its arguments.
#[derive(Debug)]
pub struct Request<'a> {
    /// The first field's name.
    pub name: &'a str,
    /// The database that it goes to.
    pub database: &'a str,
    /// Everything but what came in sections of its own.
    pub body: &'a RawDocument,
    sections: Vec<(&'a str, Vec<&'a RawDocument>)>,
}

/// Takes the next whole message out of what was read; `None` when more has to be read first.
///
/// # Errors
///
/// A length or an operation that no message has.
pub fn take(buffer: &mut BytesMut) -> io::Result<Option<Message>> {
    if buffer.len() < HEADER_BYTES {
        return Ok(None);
    }
    let length = int(buffer, 0)? as usize;
    if !(HEADER_BYTES + 4..=FRAME_BYTES_MAX).contains(&length) {
        return Err(malformed());
    }
    if buffer.len() < length {
        buffer.reserve(length - buffer.len());
        return Ok(None);
    }
    let mut bytes = buffer.split_to(length).freeze();
    let (id, operation) = (int(&bytes, 4)?, int(&bytes, 12)?);
    bytes.advance(HEADER_BYTES);
    let flags = int(&bytes, 0)? as u32;
    bytes.advance(4);
    match operation {
        OP_MSG => {
            if flags & CHECKSUM_PRESENT != 0 {
                bytes.truncate(bytes.len().saturating_sub(4));
            }
            let is_unanswered = flags & MORE_TO_COME != 0;
            Ok(Some(Message { id, is_unanswered, is_old: false, bytes }))
        }
        OP_QUERY => Ok(Some(Message { id, is_unanswered: false, is_old: true, bytes })),
        _ => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no message of the protocol")
}

fn int(bytes: &[u8], at: usize) -> io::Result<i32> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(i32::from_le_bytes).ok_or_else(malformed)
}

fn text(bytes: &[u8]) -> io::Result<(&str, &[u8])> {
    let end = memchr::memchr(0, bytes).ok_or_else(malformed)?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed())?;
    Ok((text, &bytes[end + 1..]))
}

fn document(bytes: &[u8]) -> io::Result<(&RawDocument, &[u8])> {
    let length = int(bytes, 0)? as usize;
    let own = bytes.get(..length).ok_or_else(malformed)?;
    let document = RawDocument::from_bytes(own).map_err(|_| malformed())?;
    Ok((document, &bytes[length..]))
}

impl Message {
    /// The command inside.
    ///
    /// # Errors
    ///
    /// Sections that contradict the protocol.
    pub fn request(&self) -> io::Result<Request<'_>> {
        let (mut body, mut sections) = (None, Vec::new());
        let mut database = "admin";
        let mut rest = &self.bytes[..];
        if self.is_old {
            let (namespace, after) = text(rest)?;
            database = namespace.split('.').next().unwrap_or(database);
            body = Some(document(after.get(8..).ok_or_else(malformed)?)?.0);
            rest = &[];
        }
        while let Some((&kind, after)) = rest.split_first() {
            if kind == 0 {
                let (found, after) = document(after)?;
                body = Some(found);
                rest = after;
                continue;
            }
            let length = int(after, 0)? as usize;
            let (name, mut documents) = text(after.get(4..length).ok_or_else(malformed)?)?;
            let mut all = Vec::new();
            while !documents.is_empty() {
                let (found, after) = document(documents)?;
                all.push(found);
                documents = after;
            }
            sections.push((name, all));
            rest = &after[length..];
        }
        let mut body = body.ok_or_else(malformed)?;
        let first = |body: &RawDocument| body.iter().next().and_then(Result::ok).is_some();
        // Old drivers wrap a command with further options.
        if let (true, Ok(inner)) = (self.is_old, body.get_document("$query")) {
            body = inner;
        }
        if !first(body) {
            return Err(malformed());
        }
        let name = body.iter().next().and_then(Result::ok).map_or("", |(name, _)| name.as_str());
        let database = body.get_str("$db").unwrap_or(database);
        Ok(Request { name, database, body, sections })
    }

    /// The message that answers this one with a document.
    pub fn reply(&self, document: &[u8]) -> Vec<u8> {
        let extra = if self.is_old { 20 } else { 5 };
        let length = HEADER_BYTES + extra + document.len();
        let mut bytes = Vec::with_capacity(length);
        let operation = if self.is_old { OP_REPLY } else { OP_MSG };
        for number in [length as i32, 0, self.id, operation] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        if self.is_old {
            // The flags, a cursor of 64 bits, where it starts, and how many documents follow.
            for number in [AWAIT_CAPABLE, 0, 0, 0, 1] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        } else {
            bytes.extend_from_slice(&[0; 5]);
        }
        bytes.extend_from_slice(document);
        bytes
    }
}

impl<'a> Request<'a> {
    /// An argument.
    pub fn get(&self, name: &str) -> Option<RawBsonRef<'a>> {
        self.body.get(name).ok().flatten()
    }

    /// An argument that is a document.
    pub fn document(&self, name: &str) -> Option<&'a RawDocument> {
        self.get(name).and_then(RawBsonRef::as_document)
    }

    /// An argument that is a whole number of any type.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(super::filter::integer)
    }

    /// Whether an argument is there and true.
    pub fn is_set(&self, name: &str) -> bool {
        self.is_set_or(name, false)
    }

    /// Whether an argument is true, with what holds when it is not there.
    pub fn is_set_or(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(RawBsonRef::as_bool).unwrap_or(default)
    }

    /// Documents that come in a section of their own or in an array.
    pub fn documents(&self, name: &str) -> Vec<&'a RawDocument> {
        if let Some((_, documents)) = self.sections.iter().find(|(own, _)| *own == name) {
            return documents.clone();
        }
        let Some(RawBsonRef::Array(array)) = self.get(name) else { return Vec::new() };
        array.into_iter().map_while(Result::ok).filter_map(RawBsonRef::as_document).collect()
    }

    /// The collection that the command names.
    ///
    /// # Errors
    ///
    /// Code 73 when it names none.
    pub fn collection(&self) -> Result<&'a str, CommandError> {
        let name = self.get(self.name).and_then(RawBsonRef::as_str);
        name.filter(|name| !name.is_empty()).ok_or_else(|| {
            let message = format!("Invalid namespace specified '{}.'", self.database);
            CommandError::new(73, message)
        })
    }

    /// `database.collection` of the collection that the command names.
    ///
    /// # Errors
    ///
    /// Code 73 when it names none.
    pub fn namespace(&self) -> Result<String, CommandError> {
        Ok(format!("{}.{}", self.database, self.collection()?))
    }
}
