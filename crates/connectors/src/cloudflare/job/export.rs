//! `kv export`: values, metadata and expirations into a file or a stream, while the list is read.

use super::fetch::fetch;
use super::output::Output;
use super::{Place, Source, key_of, object_of, options_of, selection_of};
use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::GET_KEYS_MAX;
use crate::cloudflare::listing::Key;
use crate::cloudflare::records::{Format, Record, write_csv, write_json_line};
use crate::cloudflare::selection::Selection;
use crate::connector::{OpenError, Setup};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use windlass_engine::Failure;
use windlass_engine::job::{
    Applied, BatchSpec, BoxFuture, Context, Covered, Job, JobInfo, Outcome, PhaseInfo, Step,
};
use windlass_engine::plan::{Header, Plan, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::tally::Verified;

/// What is exported, as it stands in the plan's header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Where the keys are, and which of them.
    #[serde(flatten)]
    pub source: Source,
    /// The file; `None` is standard output.
    pub file: Option<PathBuf>,
    /// How it is written.
    pub format: Format,
    /// Whether each value is asked for by itself.
    pub one_by_one: bool,
    /// Keys a request.
    pub batch_size: usize,
}

/// An export.
pub struct Export {
    access: Access,
    options: Options,
    selection: Selection,
    output: Output,
}

impl Export {
    /// The export of these keys.
    ///
    /// # Errors
    /// When an expression is not understood.
    pub fn new(access: Access, options: Options) -> Result<Self, OpenError> {
        let selection = selection_of(&options.source)?;
        let output = match &options.file {
            Some(path) => Output::file(path.clone(), options.format),
            None => Output::stream(Box::new(std::io::stdout()), options.format),
        };
        Ok(Self { access, options, selection, output })
    }

    /// The export of a plan.
    ///
    /// # Errors
    /// When its header is not understood, or it went to a stream that is gone.
    pub fn of_plan(setup: &Setup, plan: &Header) -> Result<Self, OpenError> {
        let options: Options = options_of(plan)?;
        if options.file.is_none() {
            return Err(OpenError::refused(
                "this export went to standard output, which is gone",
                "export again; with --file it can be resumed",
            ));
        }
        let access = Access::open(setup, options.source.account.as_deref(), true)?;
        Self::new(access, options)
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    async fn apply(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Err(Failure::new(windlass_engine::Kind::Bug, "an empty batch"));
        };
        let written = self.fetch_and_put(context, batch, first.number, last.number).await;
        match &written {
            // It is cut in two and comes again.
            Err(failure) if failure.kind == windlass_engine::Kind::TooLarge && batch.len() > 1 => {}
            Err(failure) if failure.kind.fails_its_steps() => {
                // The steps fail, and those behind them go on.
                self.output.put(context, first.number..=last.number, &[]).await?;
            }
            Err(_) => self.output.give_up(first.number),
            Ok(_) => {}
        }
        written
    }

    async fn fetch_and_put(
        &self,
        context: &Context,
        batch: &[Step],
        first: u64,
        last: u64,
    ) -> Result<Applied, Failure> {
        let keys = batch.iter().map(key_of).collect::<Result<Vec<Key<'_>>, _>>()?;
        let namespace = &self.options.source.namespace;
        let one_by_one = self.options.one_by_one;
        let fetched = fetch(&self.access, context, namespace, &keys, one_by_one).await?;
        let mut lines = Vec::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for record in &fetched.records {
            outcomes.push(match record {
                Some(record) => {
                    self.write(record, &mut lines);
                    Outcome::Done
                }
                None => Outcome::AlreadyGone,
            });
        }
        self.output.put(context, first..=last, &lines).await?;
        Ok(Applied {
            outcomes,
            latency: fetched.latency,
            attempts: fetched.attempts,
            status: Some(200),
            request_id: fetched.request_id,
        })
    }

    fn write(&self, record: &Record, lines: &mut Vec<u8>) {
        match self.options.format {
            Format::Csv => write_csv(record, lines),
            _ => write_json_line(record, lines),
        }
    }
}

/// Lists into a growing plan, from its last mark on.
///
/// # Errors
/// When the list can't be read or the plan can't be written.
pub async fn list_into(
    access: &Access,
    context: &Context,
    source: &Source,
    selection: &Selection,
    plan: &mut PlanWriter,
) -> Result<(), DiscoverError> {
    plan.keys_ascend();
    let from: Option<Place> =
        plan.resumed_at().map(Place::deserialize).transpose().map_err(|error| {
            let what = format!("the plan's last mark is not understood: {error}");
            Failure::new(windlass_engine::Kind::Bug, what)
        })?;
    let folder = plan.folder().to_owned();
    let mut list = source.list(access, context, from.as_ref(), &folder)?;
    while let Some(place) = list
        .next(|keys| {
            plan.saw(keys.len() as u64);
            let before = plan.header().steps;
            for key in keys {
                match selection.matches(key) {
                    Ok(false) => {}
                    Ok(true) => {
                        plan.push(&key.name, "", &object_of(key))?;
                    }
                    Err(left) => plan.leave(&key.name, "", left.0)?,
                }
            }
            Ok::<u64, DiscoverError>(plan.header().steps - before)
        })
        .await?
    {
        plan.mark(serde_json::to_value(&place).expect("a place is plain JSON"))?;
    }
    Ok(())
}

impl Job for Export {
    fn info(&self) -> JobInfo {
        let most = self.options.batch_size.clamp(1, GET_KEYS_MAX);
        let batch = BatchSpec::up_to(most);
        let number = operation::BULK_GET;
        JobInfo {
            system: "cloudflare",
            operation: "export",
            phases: vec![PhaseInfo::bulk("keys", number, batch)],
            idempotent: true,
            window: None,
            streaming: true,
            shared: false,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        let source = &self.options.source;
        Box::pin(list_into(&self.access, context, source, &self.selection, plan))
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.apply(context, batch))
    }

    fn prepare<'a>(
        &'a self,
        _context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Covered>, DiscoverError>> {
        Box::pin(async move { self.output.prepare(plan) })
    }

    fn finish<'a>(
        &'a self,
        _context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Verified>, DiscoverError>> {
        Box::pin(async move {
            let bytes = self.output.finish(plan)?;
            let Some((bytes, path)) = bytes.zip(self.options.file.as_ref()) else {
                return Ok(None);
            };
            let message = format!("{} is whole: {bytes} bytes", path.display());
            Ok(Some(Verified { seen: plan.header.steps, left: 0, message }))
        })
    }
}
