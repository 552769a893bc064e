//! `kv verify`: compares a namespace with an export, both in the order of the names, so that
//! memory stays constant for any number of keys.

use super::get::query_error;
use crate::cloudflare::access::Access;
use crate::cloudflare::api::GET_KEYS_MAX;
use crate::cloudflare::job::fetch::fetch;
use crate::cloudflare::job::{Source, read_key};
use crate::cloudflare::listing::Key;
use crate::cloudflare::records::{Record, RecordError, Records, Source as RecordFile, Want};
use crate::cloudflare::selection::Selection;
use crate::connector::{Answered, OpenError, Query, QueryError};
use serde_json::Value;
use serde_json::value::RawValue;
use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// A comparison.
pub struct Verify {
    /// The account.
    pub access: Access,
    /// Which keys of the namespace.
    pub source: Source,
    /// The same, compiled.
    pub selection: Selection,
    /// The export.
    pub path: PathBuf,
    /// Whether values are compared, too.
    pub with_values: bool,
}

/// A key of the namespace with the record of the file that it has to be equal to.
struct Pair {
    listed: Box<RawValue>,
    record: Record,
}

/// The two sides, and what was found different so far.
struct Comparison<'a> {
    out: &'a mut (dyn Write + Send),
    records: Records<BufReader<File>>,
    held: Option<Record>,
    same: u64,
    differences: u64,
    pairs: Vec<Pair>,
}

impl Verify {
    async fn answer(
        &self,
        context: &Context,
        out: &mut (dyn Write + Send),
    ) -> Result<Answered, QueryError> {
        let file = RecordFile::open(&self.path, Want::Records).map_err(unusable)?;
        let records = file.records().map_err(unusable)?;
        let (pairs, same, differences) = (Vec::new(), 0, 0);
        let mut side = Comparison { out, records, held: None, same, differences, pairs };
        side.advance()?;
        let folder = std::env::temp_dir();
        let list = self.source.list(&self.access, context, None, &folder);
        let mut list = list.map_err(query_error)?;
        while let Some(keys) = list.next_matching(&self.selection).await? {
            for key in keys {
                side.meet(key)?;
                if side.pairs.len() >= GET_KEYS_MAX {
                    self.compare(context, &mut side).await?;
                }
            }
        }
        self.compare(context, &mut side).await?;
        side.rest()
    }

    async fn compare(
        &self,
        context: &Context,
        side: &mut Comparison<'_>,
    ) -> Result<(), QueryError> {
        let pairs = std::mem::take(&mut side.pairs);
        let keys =
            pairs.iter().map(|pair| read_key(&pair.listed)).collect::<Result<Vec<_>, _>>()?;
        let found = if self.with_values && !keys.is_empty() {
            let namespace = &self.source.namespace;
            fetch(&self.access, context, namespace, &keys, false).await?.records
        } else {
            Vec::new()
        };
        let mut found = found.into_iter();
        for (pair, key) in pairs.iter().zip(&keys) {
            let value = found.next();
            let what = difference(pair, key, value.as_ref().map(Option::as_ref));
            side.tell(&pair.record.key, what)?;
        }
        Ok(())
    }
}

/// What is different between a record and the key as it is, if anything is.
fn difference(pair: &Pair, key: &Key<'_>, value: Option<Option<&Record>>) -> Option<&'static str> {
    let record = &pair.record;
    let json = |text: Option<&RawValue>| -> Option<Value> {
        text.and_then(|text| serde_json::from_str(text.get()).ok())
            .filter(|json| *json != Value::Null)
    };
    if json(record.metadata.as_deref()) != json(key.metadata) {
        return Some("has other metadata");
    }
    if record.expiration_ttl.is_none() && record.expiration != key.expiration {
        return Some("expires at another time");
    }
    match value {
        Some(None) => Some("is gone"),
        Some(Some(found)) if found.value != record.value => Some("has another value"),
        _ => None,
    }
}

impl Comparison<'_> {
    /// The next record of the file, which has to be behind the one before.
    fn advance(&mut self) -> Result<(), QueryError> {
        let next = self.records.next().map_err(unusable)?.map(|at| (at.item, at.line));
        if let Some(((next, line), held)) = next.as_ref().zip(self.held.as_ref())
            && next.key <= held.key
        {
            return Err(OpenError::usage(
                format!("line {line}: `{}` is not in the order of the names", next.key),
                "`kv export` writes records in that order; sort the file by key, byte by byte",
            )
            .into());
        }
        self.held = next.map(|(record, _)| record);
        Ok(())
    }

    /// Takes in the next key of the list.
    fn meet(&mut self, listed: Box<RawValue>) -> Result<(), QueryError> {
        let name = read_key(&listed)?.name.into_owned();
        loop {
            let Some(record) = &self.held else { return self.tell(&name, Some("is only there")) };
            match record.key.as_str().cmp(&name) {
                Ordering::Less => {
                    let key = record.key.clone();
                    self.tell(&key, Some("is missing"))?;
                    self.advance()?;
                }
                Ordering::Greater => return self.tell(&name, Some("is only there")),
                Ordering::Equal => {
                    let record = record.clone();
                    self.pairs.push(Pair { listed, record });
                    return self.advance();
                }
            }
        }
    }

    fn tell(&mut self, key: &str, what: Option<&str>) -> Result<(), QueryError> {
        match what {
            None => self.same += 1,
            Some(what) => {
                self.differences += 1;
                writeln!(self.out, "{key}\t{what}")?;
            }
        }
        Ok(())
    }

    /// Whatever the file has behind the end of the list.
    fn rest(mut self) -> Result<Answered, QueryError> {
        while let Some(key) = self.held.as_ref().map(|record| record.key.clone()) {
            self.tell(&key, Some("is missing"))?;
            self.advance()?;
        }
        let note = format!("{} keys are the same, {} are not", self.same, self.differences);
        Ok(Answered { notes: vec![note], differs: self.differences > 0 })
    }
}

fn unusable(error: RecordError) -> QueryError {
    OpenError::usage(error.to_string(), "name a file that `kv export` wrote").into()
}

impl Query for Verify {
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
