//! Records and names from any of the formats, as a stream, each with its place in the file, so
//! that one can be read again alone.

use super::parse::{Csv, json_key, json_record};
use super::split::{Place, Shape, Splitter, invalid};
use super::{RECORD_BYTES_MAX, Record, RecordError, check_key};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How much of a file is looked at to see what it is.
const HEAD_BYTES: usize = 64 << 10;

/// How records stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// One JSON array of objects; for keys, also of strings.
    JsonArray,
    /// A line that names the columns, then one record a line.
    Csv,
    /// One key a line as it is; there are no values.
    Names,
}

/// What is wanted from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Keys with their values.
    Records,
    /// Keys alone; a file with values has them as well.
    Keys,
}

/// Something read, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// What was read.
    pub item: T,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The byte at which it begins.
    pub offset: u64,
    /// How many bytes it has there.
    pub length: u64,
}

impl<T> At<T> {
    fn new(item: T, place: Place) -> Self {
        Self { item, line: place.line, offset: place.offset, length: place.length }
    }
}

/// What a file is: by the ending of its name, else by how it begins. Only a JSON object or array
/// at its beginning tells JSON from a list of names.
#[must_use]
pub fn detect(path: Option<&Path>, head: &[u8], want: Want) -> Format {
    let ending = path.and_then(Path::extension).and_then(|ending| ending.to_str());
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let first = head.first();
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => return Format::Csv,
        Some("jsonl" | "ndjson") => return Format::JsonLines,
        Some("txt") if want == Want::Keys => return Format::Names,
        Some("json") if first == Some(&b'[') => return Format::JsonArray,
        Some("json") => return Format::JsonLines,
        _ => {}
    }
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match (want, first) {
        (_, Some(b'[')) => Format::JsonArray,
        (Want::Records, Some(b'{')) => Format::JsonLines,
        (Want::Records, _) => Format::Csv,
        (Want::Keys, Some(b'{')) if json_key(line.trim_ascii()).is_ok() => Format::JsonLines,
        (Want::Keys, _) if line.starts_with(b"key,") => Format::Csv,
        (Want::Keys, _) => Format::Names,
    }
}

/// Reads one record after the other.
#[derive(Debug)]
struct Texts<R> {
    splitter: Splitter<R>,
    format: Format,
    want: Want,
    csv: Option<Csv>,
}

impl<R: BufRead> Texts<R> {
    fn new(reader: R, format: Format, want: Want) -> Self {
        let shape = match format {
            Format::JsonLines | Format::Names => Shape::Lines,
            Format::JsonArray => Shape::Array,
            Format::Csv => Shape::QuotedLines,
        };
        Self { splitter: Splitter::new(reader, shape), format, want, csv: None }
    }

    /// Reads the first line of a CSV, which names its columns, if that is still to be done.
    fn header(&mut self) -> Result<(), RecordError> {
        if self.format != Format::Csv || self.csv.is_some() {
            return Ok(());
        }
        let csv = match self.splitter.next()? {
            Some((line, place)) => Csv::of_header(line, self.want == Want::Records)
                .map_err(|what| invalid(place.line, what))?,
            None => Csv::default(),
        };
        self.csv = Some(csv);
        Ok(())
    }

    /// The next record by `read`, and its place. Where only what is `whole` is wanted, a record
    /// that the end of the file cuts off is none.
    fn next<T>(
        &mut self,
        read: impl FnOnce(Format, Option<&Csv>, &[u8]) -> Result<T, String>,
        whole: bool,
    ) -> Result<Option<(T, Place)>, RecordError> {
        self.header()?;
        let Some((text, place)) = self.splitter.next()? else { return Ok(None) };
        if whole && !place.whole {
            return Ok(None);
        }
        let item = read(self.format, self.csv.as_ref(), text);
        Ok(Some((item.map_err(|what| invalid(place.line, what))?, place)))
    }
}

fn record_of(format: Format, csv: Option<&Csv>, text: &[u8]) -> Result<Record, String> {
    let record = match (format, csv) {
        (Format::Csv, Some(csv)) => csv.record(text),
        (Format::Names | Format::Csv, _) => Err("a list of names has no values".to_owned()),
        (Format::JsonLines | Format::JsonArray, _) => json_record(text.trim_ascii()),
    }?;
    record.check()?;
    Ok(record)
}

fn key_of(format: Format, csv: Option<&Csv>, text: &[u8]) -> Result<String, String> {
    let key = match (format, csv) {
        (Format::Csv, Some(csv)) => csv.key(text),
        (Format::Names | Format::Csv, _) => {
            std::str::from_utf8(text).map(str::to_owned).map_err(|_| "it is not UTF-8".to_owned())
        }
        (Format::JsonLines | Format::JsonArray, _) => json_key(text.trim_ascii()),
    }?;
    check_key(&key)?;
    Ok(key)
}

/// The records of a file, one at a time.
#[derive(Debug)]
pub struct Records<R>(Texts<R>);

impl<R: BufRead> Records<R> {
    /// Reads records of this format.
    pub fn new(reader: R, format: Format) -> Self {
        Self(Texts::new(reader, format, Want::Records))
    }

    /// The next record, checked but for its expiration; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read, or this record is not one. The next call goes on with the
    /// record behind it; a JSON array that is broken itself ends.
    pub fn next(&mut self) -> Result<Option<At<Record>>, RecordError> {
        Ok(self.0.next(record_of, false)?.map(|(record, place)| At::new(record, place)))
    }
}

/// The keys of a file, one at a time.
#[derive(Debug)]
pub struct Keys<R>(Texts<R>);

impl<R: BufRead> Keys<R> {
    /// Reads keys of this format.
    pub fn new(reader: R, format: Format) -> Self {
        Self(Texts::new(reader, format, Want::Keys))
    }

    /// The next key; `None` at the end.
    ///
    /// # Errors
    /// As [`Records::next`].
    pub fn next(&mut self) -> Result<Option<At<String>>, RecordError> {
        Ok(self.0.next(key_of, false)?.map(|(key, place)| At::new(key, place)))
    }
}

/// The keys of an export that may be cut off, each with the byte behind its record: what was
/// written whole. It is an iterator, and ends before a torn record at the end of the file.
#[derive(Debug)]
pub struct Positions<R> {
    texts: Texts<R>,
    over: bool,
}

impl<R: BufRead> Positions<R> {
    /// Reads an export in this format: JSON lines or CSV.
    pub fn new(reader: R, format: Format) -> Self {
        Self { texts: Texts::new(reader, format, Want::Keys), over: false }
    }
}

impl<R: BufRead> Iterator for Positions<R> {
    type Item = Result<(String, u64), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        // What is torn is not even parsed: a part of a record may look like a whole one.
        let next = self.texts.next(key_of, true).transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next.map(|next| next.map(|(key, place)| (key, place.end)))
    }
}

/// A file of records, or of keys.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: File,
    format: Format,
    /// What the first line of a CSV says.
    csv: Option<Csv>,
}

impl Source {
    /// Opens a file and finds out what it is.
    ///
    /// # Errors
    /// When it can't be read, or is a CSV whose first line does not name its columns.
    pub fn open(path: &Path, want: Want) -> Result<Self, RecordError> {
        let file = File::open(path)?;
        let mut head = Vec::new();
        (&file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        let format = detect(Some(path), &head, want);
        let mut csv = None;
        if format == Format::Csv {
            let reader = BufReader::new(File::open(path)?);
            let mut texts = Texts::new(reader, format, want);
            texts.header()?;
            csv = texts.csv;
        }
        Ok(Self { path: path.to_owned(), file, format, csv })
    }

    fn reader(&self) -> Result<BufReader<File>, RecordError> {
        Ok(BufReader::with_capacity(256 << 10, File::open(&self.path)?))
    }

    /// All its records, from the first one on.
    ///
    /// # Errors
    /// When it can't be opened any more.
    pub fn records(&self) -> Result<Records<BufReader<File>>, RecordError> {
        Ok(Records::new(self.reader()?, self.format))
    }

    /// All its keys, from the first one on.
    ///
    /// # Errors
    /// When it can't be opened any more.
    pub fn keys(&self) -> Result<Keys<BufReader<File>>, RecordError> {
        Ok(Keys::new(self.reader()?, self.format))
    }

    /// The record at a place that [`Records::next`] told of. May be called from several threads.
    ///
    /// # Errors
    /// When it can't be read, or no record stands there any more: the line is 0 then.
    pub fn read_at(&self, offset: u64, length: u64) -> Result<Record, RecordError> {
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes > RECORD_BYTES_MAX {
            return Err(invalid(0, "a record is longer than 64 MiB"));
        }
        let mut text = vec![0; bytes];
        self.file.read_exact_at(&mut text, offset)?;
        record_of(self.format, self.csv.as_ref(), &text).map_err(|what| invalid(0, what))
    }
}
