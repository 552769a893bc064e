//! The questions of this system: what is answered on standard output without a run.

pub mod get;
pub mod list;
pub mod names;
pub mod put;
pub mod verify;

use super::listing::Key;
use crate::connector::{Answered, OpenError, Query, QueryError};
use serde_json::value::RawValue;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// How an answer of many records is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people and for other tools.
    Text,
    /// One JSON array.
    Array,
    /// A JSON object a line.
    Lines,
}

impl Form {
    /// What the flag of the command and the program's own setting mean together.
    #[must_use]
    pub const fn of(array: bool, lines: bool) -> Self {
        match (array, lines) {
            (true, _) => Self::Array,
            (false, true) => Self::Lines,
            (false, false) => Self::Text,
        }
    }
}

/// Records on their way to standard output, whatever their form.
pub struct Writer<'a> {
    out: &'a mut (dyn Write + Send),
    form: Form,
    count: u64,
    line: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Before the first record.
    ///
    /// # Errors
    /// When the reader has gone away.
    pub fn begin(out: &'a mut (dyn Write + Send), form: Form) -> io::Result<Self> {
        if form == Form::Array {
            out.write_all(b"[")?;
        }
        Ok(Self { out, form, count: 0, line: Vec::with_capacity(512) })
    }

    /// One record as JSON.
    ///
    /// # Errors
    /// As above.
    pub fn json(&mut self, record: &impl serde::Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.json_text_of_line()
    }

    /// One record as JSON that is written already, without an end of line.
    ///
    /// # Errors
    /// As above.
    pub fn json_text(&mut self, json: &[u8]) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(json);
        self.json_text_of_line()
    }

    fn json_text_of_line(&mut self) -> io::Result<()> {
        if self.form == Form::Array {
            self.out.write_all(if self.count == 0 { b"\n" } else { b",\n" })?;
        } else {
            self.line.push(b'\n');
        }
        self.count += 1;
        self.out.write_all(&self.line)
    }

    /// One line of text.
    ///
    /// # Errors
    /// As above.
    pub fn text(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.line.clear();
        parts.iter().for_each(|part| self.line.extend_from_slice(part));
        self.line.push(b'\n');
        self.count += 1;
        self.out.write_all(&self.line)
    }

    /// A key as the list tells it: its name, and where wanted expiration and metadata behind tabs.
    ///
    /// # Errors
    /// As above.
    pub fn key(&mut self, key: &Key<'_>, with_metadata: bool) -> io::Result<()> {
        if self.form != Form::Text {
            return self.json(key);
        }
        if !with_metadata {
            return self.text(&[key.name.as_bytes()]);
        }
        let expiration = key.expiration.map(|at| at.to_string()).unwrap_or_default();
        let metadata = key.metadata.map_or("", RawValue::get);
        let parts = [&*key.name, "\t", &expiration, "\t", metadata].map(str::as_bytes);
        self.text(&parts)
    }

    /// Behind the last record; says how many there were.
    ///
    /// # Errors
    /// As above.
    pub fn end(self) -> io::Result<u64> {
        if self.form == Form::Array {
            self.out.write_all(if self.count == 0 { b"]\n" } else { b"\n]\n" })?;
        }
        Ok(self.count)
    }
}

/// An answer that goes to a file. The file is there once the answer is whole.
pub struct ToFile {
    inner: Box<dyn Query>,
    path: PathBuf,
}

impl ToFile {
    /// The answer to this question, to be written to this file.
    ///
    /// # Errors
    /// When there is no folder for it.
    pub fn create(inner: Box<dyn Query>, path: &Path) -> Result<Self, OpenError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if !folder.is_none_or(Path::is_dir) {
            let what = format!("there is no folder for {}", path.display());
            return Err(OpenError::usage(what, "make the folder first"));
        }
        Ok(Self { inner, path: path.to_owned() })
    }

    async fn answer(&mut self, context: &Context) -> Result<Answered, QueryError> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = self.path.with_file_name(name);
        let mut file = io::BufWriter::new(std::fs::File::create(&partial)?);
        let answered = self.inner.run(context, &mut file).await;
        let written = file.flush().and_then(|()| file.get_ref().sync_all());
        match answered {
            Ok(answered) => {
                written?;
                std::fs::rename(&partial, &self.path)?;
                Ok(answered)
            }
            Err(error) => {
                // What is there of an answer that failed is of no use.
                let _ = std::fs::remove_file(&partial);
                Err(error)
            }
        }
    }
}

impl Query for ToFile {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        self.inner.remotes()
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        _out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(self.answer(context))
    }
}
