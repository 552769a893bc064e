//! `kv get`: one value as it is, or many with their names.

use super::{Form, Writer};
use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::GET_KEYS_MAX;
use crate::cloudflare::job::fetch::{Fetched, fetch};
use crate::cloudflare::job::{Source, object_of, read_key};
use crate::cloudflare::listing::Key;
use crate::cloudflare::records::{Record, Source as NameFile, Want, write_json_line};
use crate::cloudflare::selection::Selection;
use crate::connector::{Answered, OpenError, Query, QueryError};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;
use windlass_engine::{Failure, Kind};

/// Reads that may be under way, each of up to 100 values; their answers are written in order.
const READS_AHEAD: usize = 16;

/// One value.
pub struct GetOne {
    /// The account.
    pub access: Access,
    /// The namespace's id.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// What of it.
    pub what: What,
}

/// What of a key is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its bytes.
    Value,
    /// Its metadata.
    Metadata,
    /// Whether it is there.
    Existence,
}

impl GetOne {
    async fn answer(
        &self,
        context: &Context,
        out: &mut (dyn Write + Send),
    ) -> Result<Answered, QueryError> {
        match self.what {
            What::Metadata => {
                let found = self.access.lookup.metadata(context, &self.namespace, &self.key);
                let found = found.await.map_err(|failure| self.absent(failure))?;
                out.write_all(found.as_deref().map_or("null", RawValue::get).as_bytes())?;
                out.write_all(b"\n")?;
            }
            What::Value | What::Existence => {
                let (api, remote) = (&self.access.api, &self.access.remote);
                let ask = |attempt| api.get_value(&self.namespace, &self.key, attempt);
                let found = remote.call(context, operation::GET_VALUE, false, ask).await;
                return self.show(found.map(|answer| answer.value.value.bytes), out);
            }
        }
        Ok(Answered::default())
    }

    fn show(
        &self,
        found: Result<bytes::Bytes, Failure>,
        out: &mut (dyn Write + Send),
    ) -> Result<Answered, QueryError> {
        let exists = self.what == What::Existence;
        match found {
            Ok(_) if exists => writeln!(out, "true")?,
            Err(failure) if exists && failure.kind == Kind::Absent => {
                writeln!(out, "false")?;
                return Ok(Answered { differs: true, ..Answered::default() });
            }
            Ok(value) => out.write_all(&value)?,
            Err(failure) => return Err(self.absent(failure).into()),
        }
        Ok(Answered::default())
    }

    fn absent(&self, failure: Failure) -> Failure {
        if failure.kind != Kind::Absent {
            return failure;
        }
        let message = format!("there is no key `{}` in the namespace", self.key);
        Failure { message, ..failure }.with_hint("`windlass kv list --prefix` shows what is there")
    }
}

/// Many values.
pub struct GetMany {
    /// The account.
    pub access: Access,
    /// Which keys, where they are not named.
    pub source: Source,
    /// The same, compiled.
    pub selection: Selection,
    /// The names, where they are named on the command line.
    pub names: Vec<String>,
    /// A file of names.
    pub names_file: Option<PathBuf>,
    /// How they are written.
    pub form: Form,
    /// Keys a request.
    pub batch_size: usize,
}

/// Reads under way, in the order in which they are written.
struct Reads {
    under_way: VecDeque<JoinHandle<Result<Fetched, Failure>>>,
    group: Vec<Box<RawValue>>,
    absent: u64,
}

impl GetMany {
    async fn answer(
        &self,
        context: &Context,
        out: &mut (dyn Write + Send),
    ) -> Result<Answered, QueryError> {
        let mut writer = Writer::begin(out, self.form)?;
        let mut reads = Reads { under_way: VecDeque::new(), group: Vec::new(), absent: 0 };
        if !self.names.is_empty() || self.names_file.is_some() {
            self.named(context, &mut reads, &mut writer).await?;
        } else {
            self.listed(context, &mut reads, &mut writer).await?;
        }
        self.start(context, &mut reads);
        while !reads.under_way.is_empty() {
            self.write_first(&mut reads, &mut writer).await?;
        }
        writer.end()?;
        let absent = reads.absent;
        let note = format!("{absent} of the keys are not there");
        let notes = if absent > 0 { vec![note] } else { Vec::new() };
        Ok(Answered { notes, differs: absent > 0 })
    }

    async fn named(
        &self,
        context: &Context,
        reads: &mut Reads,
        writer: &mut Writer<'_>,
    ) -> Result<(), QueryError> {
        for name in &self.names {
            self.take(context, reads, writer, &plain(name)).await?;
        }
        let Some(path) = &self.names_file else { return Ok(()) };
        let unusable = |error: crate::cloudflare::records::RecordError| {
            OpenError::usage(error.to_string(), "name a file of keys")
        };
        let file = NameFile::open(path, Want::Keys).map_err(unusable)?;
        let mut keys = file.keys().map_err(unusable)?;
        while let Some(at) = keys.next().map_err(unusable)? {
            self.take(context, reads, writer, &plain(&at.item)).await?;
        }
        Ok(())
    }

    async fn listed(
        &self,
        context: &Context,
        reads: &mut Reads,
        writer: &mut Writer<'_>,
    ) -> Result<(), QueryError> {
        let folder = std::env::temp_dir();
        let list = self.source.list(&self.access, context, None, &folder);
        let mut list = list.map_err(query_error)?;
        while let Some(keys) = list.next_matching(&self.selection).await? {
            for key in keys {
                self.take_object(context, reads, writer, key).await?;
            }
        }
        Ok(())
    }

    async fn take(
        &self,
        context: &Context,
        reads: &mut Reads,
        writer: &mut Writer<'_>,
        key: &Key<'_>,
    ) -> Result<(), QueryError> {
        self.take_object(context, reads, writer, object_of(key)).await
    }

    async fn take_object(
        &self,
        context: &Context,
        reads: &mut Reads,
        writer: &mut Writer<'_>,
        key: Box<RawValue>,
    ) -> Result<(), QueryError> {
        reads.group.push(key);
        if reads.group.len() >= self.batch_size.clamp(1, GET_KEYS_MAX) {
            self.start(context, reads);
            while reads.under_way.len() > READS_AHEAD {
                self.write_first(reads, writer).await?;
            }
        }
        Ok(())
    }

    fn start(&self, context: &Context, reads: &mut Reads) {
        let group = std::mem::take(&mut reads.group);
        if group.is_empty() {
            return;
        }
        let (access, context) = (self.access.clone(), context.clone());
        let namespace = self.source.namespace.clone();
        reads.under_way.push_back(tokio::spawn(async move {
            fetch_all(&access, &context, &namespace, &group).await
        }));
    }

    async fn write_first(
        &self,
        reads: &mut Reads,
        writer: &mut Writer<'_>,
    ) -> Result<(), QueryError> {
        let Some(first) = reads.under_way.pop_front() else { return Ok(()) };
        let fetched = first
            .await
            .map_err(|error| Failure::new(Kind::Bug, format!("a task broke: {error}")))?;
        for record in fetched?.records {
            match record {
                Some(record) => self.write(writer, &record)?,
                None => reads.absent += 1,
            }
        }
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>, record: &Record) -> std::io::Result<()> {
        if self.form == Form::Text {
            return writer.text(&[record.key.as_bytes(), b"\t", &record.value]);
        }
        let mut line = Vec::new();
        write_json_line(record, &mut line);
        writer.json_text(line.trim_ascii_end())
    }
}

/// Reads a group of keys; one whose values together are too large is cut in two.
async fn fetch_all(
    access: &Access,
    context: &Context,
    namespace: &str,
    group: &[Box<RawValue>],
) -> Result<Fetched, Failure> {
    let keys = group.iter().map(|key| read_key(key)).collect::<Result<Vec<Key<'_>>, _>>()?;
    let mut todo = vec![(0, keys.len())];
    let mut all: Option<Fetched> = None;
    while let Some((start, end)) = todo.pop() {
        let part = keys.get(start..end).unwrap_or_default();
        match fetch(access, context, namespace, part, false).await {
            Err(failure) if failure.kind == Kind::TooLarge && part.len() > 1 => {
                let middle = start + part.len() / 2;
                todo.extend([(middle, end), (start, middle)]);
            }
            fetched => match &mut all {
                Some(all) => all.records.extend(fetched?.records),
                None => all = Some(fetched?),
            },
        }
    }
    all.ok_or_else(|| Failure::new(Kind::Bug, "an empty group of keys"))
}

fn plain(name: &str) -> Key<'_> {
    Key { name: name.into(), expiration: None, metadata: None }
}

/// A list that could not be read, for whoever asked.
pub fn query_error(error: windlass_engine::runner::DiscoverError) -> QueryError {
    match error {
        windlass_engine::runner::DiscoverError::Remote(failure) => failure.into(),
        windlass_engine::runner::DiscoverError::Plan(error) => {
            OpenError::usage(error.to_string(), error.hint()).into()
        }
    }
}

impl Query for GetOne {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(self.answer(context, out))
    }
}

impl Query for GetMany {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(self.answer(context, out))
    }
}
