//! What a command is answered with: a document that is still open at its end, or an error.
//!
//! Owns the bytes of replies. Documents of the store are copied into them as they are.

use bson::{Document, RawDocumentBuf, Timestamp, doc};

/// A BSON document in the making. Its fields are written in their order; what is opened with
/// [`Writer::open`] must be closed.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    opened: Vec<usize>,
    /// Statements that were carried out, or documents inside, for the ledger.
    pub items: u64,
}

/// The end of a document.
const END: u8 = 0;

impl Writer {
    /// An empty document.
    pub fn new() -> Self {
        Self { bytes: vec![0; 4], opened: Vec::new(), items: 0 }
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    fn name(&mut self, kind: u8, name: &str) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(END);
    }

    /// Opens a document inside.
    pub fn open(&mut self, name: &str) {
        self.begin(3, name);
    }

    /// Opens an array inside.
    pub fn open_array(&mut self, name: &str) {
        self.begin(4, name);
    }

    fn begin(&mut self, kind: u8, name: &str) {
        self.name(kind, name);
        self.opened.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    /// Closes what was opened last.
    pub fn close(&mut self) {
        self.bytes.push(END);
        let start = self.opened.pop().unwrap_or(0);
        self.put_length(start);
    }

    fn put_length(&mut self, start: usize) {
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// A 32-bit integer.
    pub fn int(&mut self, name: &str, value: i32) {
        self.name(0x10, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A 64-bit integer.
    pub fn long(&mut self, name: &str, value: i64) {
        self.name(0x12, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A double.
    pub fn double(&mut self, name: &str, value: f64) {
        self.name(1, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A string.
    pub fn string(&mut self, name: &str, value: &str) {
        self.name(2, name);
        self.bytes.extend_from_slice(&(value.len() as u32 + 1).to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(END);
    }

    /// A timestamp.
    pub fn timestamp(&mut self, name: &str, value: Timestamp) {
        self.name(0x11, name);
        self.bytes.extend_from_slice(&value.increment.to_le_bytes());
        self.bytes.extend_from_slice(&value.time.to_le_bytes());
    }

    /// A binary value of the generic subtype.
    pub fn binary(&mut self, name: &str, value: &[u8]) {
        self.name(5, name);
        self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.bytes.push(0);
        self.bytes.extend_from_slice(value);
    }

    /// The next document of an array, which is the one at this place.
    pub fn element(&mut self, place: usize, document: &[u8]) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = place;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes.push(3);
        self.bytes.extend_from_slice(&digits[start..]);
        self.bytes.push(END);
        self.bytes.extend_from_slice(document);
    }

    /// The fields of a document that is complete already, after those that are here.
    pub fn fields(&mut self, document: &Document) {
        if let Ok(raw) = RawDocumentBuf::try_from(document) {
            let bytes = raw.as_bytes();
            self.bytes.extend_from_slice(&bytes[4..bytes.len() - 1]);
        }
    }

    /// The document, which ends here.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        self.put_length(0);
        self.bytes
    }
}

impl From<Document> for Writer {
    fn from(document: Document) -> Self {
        let mut writer = Self::new();
        writer.fields(&document);
        writer
    }
}

/// Why a command or a statement was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandError {
    /// The number that drivers go by.
    pub code: i32,
    /// What happened, in words.
    pub message: String,
    /// Labels like `RetryableWriteError`.
    pub labels: Vec<String>,
    /// Further fields, such as the pattern of a duplicate key.
    pub more: Box<Document>,
}

impl CommandError {
    /// An error without labels.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), more: Box::default() }
    }

    /// The same with labels.
    pub fn labelled(self, labels: &[&str]) -> Self {
        Self { labels: labels.iter().map(|&label| label.to_owned()).collect(), ..self }
    }

    /// The fields of a reply that refuses a command.
    pub fn to_document(&self) -> Document {
        let mut reply = doc! { "errmsg": &self.message, "code": self.code };
        if let Some(name) = code_name(self.code) {
            reply.insert("codeName", name);
        }
        if !self.labels.is_empty() {
            reply.insert("errorLabels", self.labels.clone());
        }
        reply.extend((*self.more).clone());
        reply
    }

    /// An element of `writeErrors`.
    pub fn to_write_error(&self, index: usize) -> Document {
        let mut error = doc! { "index": index as i32, "code": self.code };
        error.insert("errmsg", self.message.clone());
        error.extend((*self.more).clone());
        error
    }
}

/// The name of a code, as the manual's page on error codes lists it.
pub fn code_name(code: i32) -> Option<&'static str> {
    let name = match code {
        2 => "BadValue",
        6 => "HostUnreachable",
        7 => "HostNotFound",
        9 => "FailedToParse",
        14 => "TypeMismatch",
        16 => "InvalidLength",
        20 => "IllegalOperation",
        26 => "NamespaceNotFound",
        27 => "IndexNotFound",
        28 => "PathNotViable",
        43 => "CursorNotFound",
        48 => "NamespaceExists",
        50 => "MaxTimeMSExpired",
        59 => "CommandNotFound",
        64 => "WriteConcernTimeout",
        66 => "ImmutableField",
        67 => "CannotCreateIndex",
        72 => "InvalidOptions",
        73 => "InvalidNamespace",
        85 => "IndexOptionsConflict",
        86 => "IndexKeySpecsConflict",
        89 => "NetworkTimeout",
        91 => "ShutdownInProgress",
        112 => "WriteConflict",
        171 => "CannotIndexParallelArrays",
        189 => "PrimarySteppedDown",
        225 => "TransactionTooOld",
        262 => "ExceededTimeLimit",
        286 => "ChangeStreamHistoryLost",
        462 => "IngressRequestRateLimitExceeded",
        10_107 => "NotWritablePrimary",
        10_334 => "BSONObjectTooLarge",
        11_000 => "DuplicateKey",
        11_600 => "InterruptedAtShutdown",
        11_602 => "InterruptedDueToReplStateChange",
        13_435 => "NotPrimaryNoSecondaryOk",
        13_436 => "NotPrimaryOrSecondary",
        16_500 => "TooManyRequests",
        _ => return None,
    };
    Some(name)
}

/// What a command ends with.
pub type Answer = Result<Writer, CommandError>;
