//! The file of dead letters: events that a destination will never take, with the reason, as JSON
//! lines that an operator can read, and that are read again to replay them.
//!
//! What is appended is synced before the answer, so that an event may be settled as rejected after
//! that. When the file is large enough it is renamed (`.1`, `.2`, ... , the greatest number the
//! oldest), and the oldest is removed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The longest line that is read.
pub const LINE_BYTES_MAX: u64 = 512 << 20;

/// Bytes as they are best read: JSON as JSON, everything else in base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The JSON itself.
    Json(Box<RawValue>),
    /// Standard base64 with padding.
    Base64(String),
}

impl Content {
    /// From any bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        match text.and_then(|text| RawValue::from_string(one_line(text)).ok()) {
            Some(json) => Self::Json(json),
            None => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// The bytes again. In JSON, line ends between tokens have become spaces.
    ///
    /// # Errors
    /// When the base64 was changed into something else.
    pub fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Json(json) => Ok(json.get().as_bytes().to_vec()),
            Self::Base64(text) => STANDARD.decode(text),
        }
    }
}

/// JSON on one line. Inside its strings a line end is always escaped, so one that is not stands
/// between tokens, where a space means the same.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// An event that a destination will never take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it was given up.
    pub when: Timestamp,
    /// The destination that refused it.
    pub destination: String,
    /// The event's identity as its sender gave it.
    pub id: String,
    /// What it is.
    pub kind: String,
    /// Why it was refused.
    pub reason: String,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// What the events of its request share.
    pub shared: Content,
    /// The event.
    pub payload: Content,
}

/// The file that is appended to, with its predecessors.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    keep: u32,
}

impl DeadLetters {
    /// Opens the file or makes it. It is renamed before it would pass `bytes_max`, unless a
    /// single append does, and `keep` files are kept with other names.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, bytes_max: u64, keep: u32) -> io::Result<Self> {
        let file = open(path)?;
        let mut letters = Self { path: path.to_path_buf(), file, bytes: 0, bytes_max, keep };
        letters.bytes = letters.whole_bytes()?;
        letters.file.set_len(letters.bytes)?;
        Ok(letters)
    }

    /// Up to where the file has whole lines: a crash may have torn the last one.
    fn whole_bytes(&mut self) -> io::Result<u64> {
        let mut end = self.file.metadata()?.len();
        let mut chunk = vec![0; 64 << 10];
        while end > 0 {
            let start = end.saturating_sub(chunk.len() as u64);
            let part = &mut chunk[..usize::try_from(end - start).map_err(io::Error::other)?];
            self.file.seek(SeekFrom::Start(start))?;
            self.file.read_exact(part)?;
            if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
                return Ok(start + at as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    /// Adds letters and syncs them. After an error none of them is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for letter in letters {
            serde_json::to_writer(&mut lines, letter)?;
            lines.push(b'\n');
        }
        if self.bytes > 0 && self.bytes + lines.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Where the cut fails too, a letter may be there of an event that is not settled: it
            // is refused once more and then there twice.
            drop(self.file.set_len(self.bytes));
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// How many bytes the file has that is appended to.
    #[cfg(test)]
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (0..self.keep).rev() {
            let moved = fs::rename(self.numbered(number), self.numbered(number + 1));
            if let Err(error) = moved
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        if self.keep == 0 {
            fs::remove_file(&self.path)?;
        }
        self.file = open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        numbered(&self.path, number)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The file and its predecessors that are there, oldest first.
#[must_use]
pub fn files(path: &Path) -> Vec<PathBuf> {
    let all = (0..).map(|number| numbered(path, number));
    let mut there: Vec<PathBuf> = all.take_while(|path| path.exists()).collect();
    there.reverse();
    there
}

/// Why a letter can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What the system says.
    #[error("can't read the dead letters: {0}")]
    Disk(#[from] io::Error),
    /// The line is no letter; reading goes on with the next.
    #[error("line {line} is no dead letter: {source}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// The letters of a file in their order.
#[derive(Debug)]
pub struct Letters {
    input: BufReader<File>,
    line: u64,
    buffer: Vec<u8>,
}

/// Reads the letters of one file, one at a time. A last line without its end, which a crash has
/// torn or a program is just writing, is left out.
///
/// # Errors
/// When the file can't be opened.
pub fn read(path: &Path) -> io::Result<Letters> {
    Ok(Letters { input: BufReader::new(File::open(path)?), line: 0, buffer: Vec::new() })
}

impl Iterator for Letters {
    type Item = Result<DeadLetter, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.buffer.clear();
            let mut input = (&mut self.input).take(LINE_BYTES_MAX);
            if let Err(error) = input.read_until(b'\n', &mut self.buffer) {
                return Some(Err(error.into()));
            }
            if self.buffer.pop() != Some(b'\n') {
                return None;
            }
            self.line += 1;
            if self.buffer.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line = self.line;
            let letter = serde_json::from_slice(&self.buffer);
            return Some(letter.map_err(|source| ReadError::Line { line, source }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str, payload: &[u8]) -> DeadLetter {
        DeadLetter {
            when: "2026-02-03T04:05:06Z".parse().unwrap(),
            destination: "langfuse".to_owned(),
            id: id.to_owned(),
            kind: "span".to_owned(),
            reason: "400: malformed \"span\"".to_owned(),
            status: Some(400),
            shared: Content::new(b"\x01"),
            payload: Content::new(payload),
        }
    }

    fn ids(path: &Path) -> Vec<String> {
        read(path).unwrap().map(|letter| letter.unwrap().id).collect()
    }

    #[test]
    fn a_letter_is_one_line_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let mut letters = DeadLetters::open(&path, 1 << 20, 2).unwrap();
        let json = b"{\n \"a\": 1.00,\r\n \"b\": \"x\\n\"}";
        letters.append(&[letter("one", json), letter("two", b"\xff\n")]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "{\"when\":\"2026-02-03T04:05:06Z\",\"destination\":\"langfuse\",\"id\":\"one\",\
             \"kind\":\"span\",\"reason\":\"400: malformed \\\"span\\\"\",\"status\":400,\
             \"shared\":{\"base64\":\"AQ==\"},\
             \"payload\":{\"json\":{  \"a\": 1.00,   \"b\": \"x\\n\"}}}"
        );
        assert!(lines[1].ends_with("\"payload\":{\"base64\":\"/wo=\"}}"));
        let read: Vec<DeadLetter> = read(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read[0].payload.bytes().unwrap(), b"{  \"a\": 1.00,   \"b\": \"x\\n\"}");
        assert_eq!(read[1].payload.bytes().unwrap(), b"\xff\n");
        assert_eq!(read[1].shared.bytes().unwrap(), b"\x01");
    }

    #[test]
    fn old_files_are_renamed_and_the_oldest_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let mut letters = DeadLetters::open(&path, 500, 2).unwrap();
        for id in ["a", "b", "c", "d", "e", "f", "g"] {
            letters.append(&[letter(id, b"1")]).unwrap();
        }
        let found: Vec<Vec<String>> = files(&path).iter().map(|path| ids(path)).collect();
        assert_eq!(found, [vec!["c", "d"], vec!["e", "f"], vec!["g"]]);
        assert_eq!(letters.bytes(), fs::metadata(&path).unwrap().len());
        let mut none = DeadLetters::open(&folder.path().join("none.jsonl"), 300, 0).unwrap();
        none.append(&[letter("a", b"1")]).unwrap();
        none.append(&[letter("b", b"1")]).unwrap();
        assert_eq!(ids(&folder.path().join("none.jsonl")), ["b"]);
        assert_eq!(files(&folder.path().join("none.jsonl")).len(), 1);
    }

    #[test]
    fn a_torn_line_is_cut_wherever_it_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        DeadLetters::open(&path, 1 << 20, 2).unwrap().append(&[letter("a", b"1")]).unwrap();
        let first = fs::read(&path).unwrap();
        for cut in 0..first.len() {
            fs::write(&path, [&first[..], &first[..cut]].concat()).unwrap();
            assert_eq!(ids(&path), ["a"]);
            let mut letters = DeadLetters::open(&path, 1 << 20, 2).unwrap();
            letters.append(&[letter("b", b"1")]).unwrap();
            assert_eq!(ids(&path), ["a", "b"]);
        }
        let long = vec![b'x'; 200_000];
        fs::write(&path, [&first[..], &long].concat()).unwrap();
        assert_eq!(DeadLetters::open(&path, 1 << 20, 2).unwrap().bytes(), first.len() as u64);
        fs::write(&path, &long).unwrap();
        assert_eq!(DeadLetters::open(&path, 1 << 20, 2).unwrap().bytes(), 0);
    }

    #[test]
    fn a_line_that_is_none_does_not_end_the_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        DeadLetters::open(&path, 1 << 20, 2).unwrap().append(&[letter("a", b"1")]).unwrap();
        let line = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{line}\n{{\"id\":1}}\n{line}")).unwrap();
        let read: Vec<_> = read(&path).unwrap().collect();
        assert_eq!(read.len(), 3);
        let error = read[1].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("line 3 is no dead letter: "), "{error}");
    }
}
