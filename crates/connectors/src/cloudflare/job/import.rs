//! `kv import` and `kv put --bulk`: the records of a file, checked before anything is sent, then
//! written 10,000 a request.
//!
//! A plan does not hold the values a second time: a step says where in the file its record stands.

use super::{options_of, until_taken};
use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::PUT_ITEMS_MAX;
use crate::cloudflare::records::{
    At, Expired, Lifetime, Record, RecordError, Source as RecordFile, Want, to_bulk_item,
};
use crate::connector::{OpenError, Setup};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use windlass_engine::job::{
    Applied, BatchSpec, BoxFuture, Context, Job, JobInfo, Outcome, PhaseInfo, Skip, Step,
};
use windlass_engine::plan::{Header, Plan, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Failure, Kind};

/// The bytes of one request's body, at most. The documented bound is 100 MB; half of it keeps the
/// memory of the batches at hand small.
const BODY_BYTES: u64 = 48 * 1024 * 1024;
/// Batches begun and not settled, each with its records in memory.
const WINDOW: usize = 3;

/// Seconds that a record may be on its way: one that expires too soon when it arrives spoils its
/// whole batch.
const ON_THE_WAY: u64 = 10;

/// Why a record is left out.
pub const TOO_SHORT: &str = "less than 60 s to live";
const SUPERSEDED: &str = "a later record has the same key";

/// What is imported, as it stands in the plan's header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// The account.
    pub account: Option<String>,
    /// The namespace's id.
    pub namespace: String,
    /// The file.
    pub file: PathBuf,
    /// Its bytes when the plan was made.
    pub file_bytes: u64,
    /// What becomes of keys that expire too soon.
    pub expired: Expired,
    /// Records a request.
    pub batch_size: usize,
    /// How the command is called.
    pub operation: String,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Spot {
    offset: u64,
    length: u64,
    /// Bytes in a request.
    bytes: u64,
    /// The step with an earlier record of this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supersedes: Option<u64>,
}

/// An import.
pub struct Import {
    access: Access,
    options: Options,
    records: RecordFile,
}

impl Import {
    /// The import of this file.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn new(access: Access, options: Options) -> Result<Self, OpenError> {
        let records = RecordFile::open(&options.file, Want::Records)
            .map_err(|error| OpenError::usage(error.to_string(), "name a file of records"))?;
        Ok(Self { access, options, records })
    }

    /// The import of a plan.
    ///
    /// # Errors
    /// When its header is not understood, or the file has changed.
    pub fn of_plan(setup: &Setup, plan: &Header) -> Result<Self, OpenError> {
        let options: Options = options_of(plan)?;
        let bytes = std::fs::metadata(&options.file).map(|meta| meta.len()).unwrap_or_default();
        if bytes != options.file_bytes {
            let what = format!(
                "{} has {bytes} bytes; it had {} when the plan was made",
                options.file.display(),
                options.file_bytes
            );
            return Err(OpenError::refused(what, "bring the file back, or import anew"));
        }
        let access = Access::open(setup, options.account.as_deref(), true)?;
        Self::new(access, options)
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Reads and checks every record: a mistake on the last line is found before the first is sent.
    fn plan(&self, plan: &mut PlanWriter) -> Result<(), DiscoverError> {
        plan.keys_unchecked();
        let seed = RandomState::new();
        let mut steps: HashMap<u64, u64> = HashMap::new();
        let mut records = self.records.records().map_err(|error| unusable(&error))?;
        let mut item = Vec::new();
        while let Some(at) = records.next().map_err(|error| unusable(&error))? {
            plan.saw(1);
            let At { item: mut record, line, offset, length } = at;
            record.check().map_err(|what| wrong_line(line, &what))?;
            if record.settle(now(), self.options.expired) == Lifetime::TooShort {
                plan.leave(&record.key, "", TOO_SHORT)?;
                continue;
            }
            item.clear();
            let bytes = to_bulk_item(&record, &mut item) as u64;
            let supersedes = steps.insert(seed.hash_one(&record.key), plan.header().steps);
            let spot = Spot { offset, length, bytes, supersedes };
            let object = serde_json::value::to_raw_value(&spot).expect("numbers are plain JSON");
            plan.push(&record.key, "", &object)?;
        }
        Ok(())
    }

    /// The body of a batch with the outcomes of records that can't be written any more.
    fn read(&self, batch: &[Step]) -> Result<Vec<Result<Vec<u8>, Outcome>>, Failure> {
        batch.iter().map(|step| self.read_one(step)).collect()
    }

    fn read_one(&self, step: &Step) -> Result<Result<Vec<u8>, Outcome>, Failure> {
        let spot = spot_of(step)?;
        let record = self.records.read_at(spot.offset, spot.length);
        let mut record = record.map_err(|error| changed(&error.to_string()))?;
        if record.key != *step.key {
            return Err(changed(&format!("`{}` is not where it was", step.key)));
        }
        Ok(encode(&mut record, self.options.expired))
    }

    async fn put(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let items = self.read(batch)?;
        let in_doubt = batch.iter().any(|step| step.in_doubt);
        let to = (self.options.namespace.as_str(), in_doubt);
        let keys: Vec<&str> = batch.iter().map(|step| &*step.key).collect();
        put_items(&self.access, context, to, &keys, items).await
    }
}

/// A record as a request carries it, unless it lives too short by now.
pub fn encode(record: &mut Record, expired: Expired) -> Result<Vec<u8>, Outcome> {
    if record.settle(now() + ON_THE_WAY, expired) == Lifetime::TooShort {
        return Err(Outcome::Skipped(TOO_SHORT.to_owned()));
    }
    let mut item = Vec::new();
    to_bulk_item(record, &mut item);
    Ok(item)
}

/// Writes encoded records into a namespace; what has an outcome already is left out.
///
/// # Errors
/// As every call.
pub async fn put_items(
    access: &Access,
    context: &Context,
    (namespace, in_doubt): (&str, bool),
    keys: &[&str],
    items: Vec<Result<Vec<u8>, Outcome>>,
) -> Result<Applied, Failure> {
    let sent: Vec<usize> =
        (0..items.len()).filter(|&n| matches!(items.get(n), Some(Ok(_)))).collect();
    let sent_keys: Vec<&str> = sent.iter().filter_map(|&n| keys.get(n).copied()).collect();
    let mut applied = if sent.is_empty() {
        Applied::nothing_sent()
    } else {
        until_taken(context, &sent_keys, |numbers| {
            let bodies = numbers.iter().filter_map(|&n| items.get(*sent.get(n)?)?.as_ref().ok());
            let body = array_of(bodies);
            let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            async move {
                let number = operation::BULK_PUT;
                let put = |attempt| access.api.bulk_put(namespace, body.clone(), count, attempt);
                access.remote.call_with(context, number, count, in_doubt, put).await
            }
        })
        .await?
    };
    let mut fresh = std::mem::take(&mut applied.outcomes).into_iter();
    let known = items.into_iter().map(|item| match item {
        Ok(_) => fresh.next().unwrap_or(Outcome::InDoubt),
        Err(outcome) => outcome,
    });
    applied.outcomes = known.collect();
    Ok(applied)
}

fn array_of<'a>(items: impl Iterator<Item = &'a Vec<u8>>) -> Bytes {
    let mut body = vec![b'['];
    for item in items {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.push(b']');
    body.into()
}

fn spot_of(step: &Step) -> Result<Spot, Failure> {
    serde_json::from_str(step.object.get()).map_err(|error| {
        Failure::new(Kind::Bug, format!("step {} has no place: {error}", step.number))
    })
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

fn unusable(error: &RecordError) -> Failure {
    Failure::new(Kind::Rejected, error.to_string()).with_hint("nothing was sent; mend the file")
}

fn wrong_line(line: u64, what: &str) -> Failure {
    Failure::new(Kind::Rejected, format!("line {line}: {what}"))
        .with_hint("nothing was sent; mend the file")
}

fn changed(what: &str) -> Failure {
    Failure::new(Kind::Output, format!("the file has changed since the plan was made: {what}"))
        .with_hint("bring the file back and `windlass resume`, or import anew")
}

impl Job for Import {
    fn info(&self) -> JobInfo {
        let max = self.options.batch_size.clamp(1, PUT_ITEMS_MAX);
        let batch = BatchSpec { bytes_max: BODY_BYTES, ..BatchSpec::up_to(max) };
        JobInfo {
            system: "cloudflare",
            operation: if self.options.operation == "put" { "put" } else { "import" },
            phases: vec![PhaseInfo::bulk("records", operation::BULK_PUT, batch)],
            idempotent: true,
            window: Some(WINDOW),
            streaming: false,
            shared: false,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn discover<'a>(
        &'a self,
        _context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(async move { self.plan(plan) })
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.put(context, batch))
    }

    fn weight(&self, step: &Step) -> u64 {
        spot_of(step).map_or(BODY_BYTES, |spot| spot.bytes)
    }

    fn recheck<'a>(
        &'a self,
        _context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Vec<Skip>, DiscoverError>> {
        Box::pin(async move {
            let mut skips = Vec::new();
            let mut lines = plan.lines()?;
            while let Some(step) = lines.next_step()? {
                if let Some(earlier) = spot_of(&step)?.supersedes {
                    let reason = SUPERSEDED.to_owned();
                    let label = step.label;
                    skips.push(Skip { step: earlier, key: step.key, label, reason });
                }
            }
            Ok(skips)
        })
    }
}
