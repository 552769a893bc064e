//! Keys with their values as files: what an export writes, an import and a deletion read.
//!
//! A record is one JSON object with the names that Cloudflare's bulk write has: `key`, `value`,
//! `base64`, `expiration`, `expiration_ttl`, `metadata`. So a line of an export is an item of a
//! bulk write, an array of the lines is a file for `wrangler kv bulk put`, and both ways round.
//! CSV has the same names as columns.
//!
//! - `read`: records and names from any of the formats, with where each stands
//! - `split`: files into records, without understanding them
//! - `parse`: one record out of its text

mod parse;
mod read;
mod split;
#[cfg(test)]
mod tests;

pub(super) use parse::csv_fields;
pub use read::{At, Format, Positions, Records, Source, Want};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io;

/// The longest key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 512;
/// The longest value: 25 MiB.
pub const VALUE_BYTES_MAX: usize = 25 << 20;
/// The longest metadata, in bytes of JSON without white space.
pub const METADATA_BYTES_MAX: usize = 1_024;
/// What is written must live so many seconds at least.
pub const LIFETIME_MIN: u64 = 60;
/// The longest text of one record. A value of 25 MiB has at most 50 MiB as text of which every
/// character is escaped, and 33.4 MiB in base64.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// The columns of our CSV, in their order.
const CSV_HEADER: &[u8] = b"key,value,base64,expiration,metadata\n";

/// A key with its value and what goes with it.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Its name.
    pub key: String,
    /// Its value, any bytes.
    pub value: Vec<u8>,
    /// When it expires, in seconds since 1970.
    pub expiration: Option<u64>,
    /// So many seconds after writing it expires. It wins over `expiration`; exports have none.
    pub expiration_ttl: Option<u64>,
    /// Its metadata as it is written.
    pub metadata: Option<Box<RawValue>>,
}

/// What becomes of a key that would expire too soon to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expired {
    /// It is not written.
    #[default]
    Skip,
    /// It is written to live for the least time that is allowed.
    Clamp,
    /// It is written to live for good.
    DropTtl,
}

impl Expired {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Clamp, Self::DropTtl];

    /// Its name in flags and plans.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Clamp => "clamp",
            Self::DropTtl => "drop-ttl",
        }
    }
}

impl std::str::FromStr for Expired {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == text);
        let names = Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("`{text}` is no policy; there are {names}"))
    }
}

/// What became of the lifetime of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It is as it was written.
    Kept,
    /// It is now the least that is allowed.
    Clamped,
    /// It is now without end.
    Dropped,
    /// It is too short, and the record is to be left out.
    TooShort,
}

/// Why a record can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file can't be read.
    #[error("the file can't be read: {0}")]
    Io(#[from] io::Error),
    /// The record is not one, or could not be written.
    #[error("line {line}: {what}")]
    Invalid {
        /// The line on which it begins, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

#[derive(Serialize)]
struct Item<'a> {
    key: &'a str,
    value: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    base64: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
}

impl Record {
    /// Whether Cloudflare would take it, but for its expiration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        check_key(&self.key)?;
        let bytes = self.value.len();
        if bytes > VALUE_BYTES_MAX {
            return Err(format!("the value of `{}` has {bytes} bytes, over 25 MiB", self.key));
        }
        let bytes = self.metadata.as_deref().map_or(0, compact_bytes);
        if bytes > METADATA_BYTES_MAX {
            let key = &self.key;
            return Err(format!("the metadata of `{key}` have {bytes} bytes, over 1,024"));
        }
        Ok(())
    }

    /// Sees to it that the record lives long enough to be written at `now`, in seconds since
    /// 1970. A whole batch is refused for one record that does not, so `now` is best the latest
    /// time at which the request may arrive.
    pub fn settle(&mut self, now: u64, expired: Expired) -> Lifetime {
        let left = match (self.expiration_ttl, self.expiration) {
            (Some(ttl), _) => ttl,
            (None, Some(expiration)) => expiration.saturating_sub(now),
            (None, None) => return Lifetime::Kept,
        };
        if left >= LIFETIME_MIN {
            return Lifetime::Kept;
        }
        match expired {
            Expired::Skip => Lifetime::TooShort,
            Expired::Clamp => {
                // Counted by Cloudflare's clock from when it is written, it can't be too short.
                (self.expiration, self.expiration_ttl) = (None, Some(LIFETIME_MIN));
                Lifetime::Clamped
            }
            Expired::DropTtl => {
                (self.expiration, self.expiration_ttl) = (None, None);
                Lifetime::Dropped
            }
        }
    }

    /// The value as text, where it is: UTF-8 without control characters but tab, newline and
    /// carriage return. Other bytes go into files in base64.
    fn text(&self) -> Option<&str> {
        let is_odd = |c: u8| c.is_ascii_control() && !matches!(c, b'\t' | b'\n' | b'\r');
        std::str::from_utf8(&self.value).ok().filter(|text| !text.bytes().any(is_odd))
    }
}

/// Whether Cloudflare would take a key of this name.
///
/// # Errors
/// What is wrong with it.
pub fn check_key(key: &str) -> Result<(), String> {
    match key {
        "" => Err("the key is empty".to_owned()),
        "." | ".." => Err(format!("`{key}` can't be a key")),
        _ if key.len() > KEY_BYTES_MAX => {
            let start: String = key.chars().take(32).collect();
            Err(format!("the key `{start}...` has {} bytes, over {KEY_BYTES_MAX}", key.len()))
        }
        _ => Ok(()),
    }
}

/// The bytes of JSON without white space, which is what Cloudflare counts. Only what is long is
/// written anew to be counted.
fn compact_bytes(json: &RawValue) -> usize {
    let written = json.get().len();
    if written <= METADATA_BYTES_MAX {
        return written;
    }
    let value = serde_json::from_str::<serde_json::Value>(json.get());
    value.map_or(written, |value| value.to_string().len())
}

/// Appends the record as an item of a bulk write, and returns how many bytes it has.
///
/// # Panics
/// Never: text and JSON can always be written to memory.
pub fn to_bulk_item(record: &Record, out: &mut Vec<u8>) -> usize {
    let before = out.len();
    let encoded;
    let (value, base64) = match record.text() {
        Some(text) => (text, false),
        None => {
            encoded = STANDARD.encode(&record.value);
            (&*encoded, true)
        }
    };
    let item = Item {
        key: &record.key,
        value,
        base64,
        expiration: record.expiration,
        expiration_ttl: record.expiration_ttl,
        metadata: record.metadata.as_deref(),
    };
    serde_json::to_writer(&mut *out, &item).expect("text and JSON are written to memory");
    out.len() - before
}

/// Appends the record as a line of JSON.
pub fn write_json_line(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    to_bulk_item(record, out);
    // Metadata stay as they were written, which may have been on several lines.
    for byte in out.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.push(b'\n');
}

/// Appends the first line of our CSV.
pub fn write_csv_header(out: &mut Vec<u8>) {
    out.extend_from_slice(CSV_HEADER);
}

/// Appends the record as a line of CSV, quoted as RFC 4180 has it. A line ends with a newline
/// alone, which every reader of CSV takes.
pub fn write_csv(record: &Record, out: &mut Vec<u8>) {
    write_field(record.key.as_bytes(), out);
    out.push(b',');
    match record.text() {
        Some(text) => {
            write_field(text.as_bytes(), out);
            out.extend_from_slice(b",,");
        }
        None => {
            out.extend_from_slice(STANDARD.encode(&record.value).as_bytes());
            out.extend_from_slice(b",true,");
        }
    }
    if let Some(expiration) = record.expiration {
        out.extend_from_slice(expiration.to_string().as_bytes());
    }
    out.push(b',');
    if let Some(metadata) = &record.metadata {
        write_field(metadata.get().as_bytes(), out);
    }
    out.push(b'\n');
}

fn write_field(field: &[u8], out: &mut Vec<u8>) {
    if !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for part in field.split_inclusive(|&byte| byte == b'"') {
        out.extend_from_slice(part);
        if part.last() == Some(&b'"') {
            out.push(b'"');
        }
    }
    out.push(b'"');
}
