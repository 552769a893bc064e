//! `kv copy`: from one namespace into another, also of another account, while the list is read.

use super::export::list_into;
use super::fetch::fetch;
use super::import::{encode, put_items};
use super::{Source, key_of, options_of, selection_of};
use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::{GET_KEYS_MAX, PUT_ITEMS_MAX};
use crate::cloudflare::listing::Key;
use crate::cloudflare::records::Expired;
use crate::cloudflare::selection::Selection;
use crate::connector::{OpenError, Setup};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use windlass_engine::Failure;
use windlass_engine::job::{
    Applied, BatchSpec, BoxFuture, Context, Job, JobInfo, Outcome, PhaseInfo, Step,
};
use windlass_engine::plan::{Header, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;

/// Reads of one batch on the wire, at most, beside the limits of the account.
const READS_AT_ONCE: usize = 10;
/// What is read is written when it has come to so many bytes.
const BODY_BYTES: usize = 32 * 1024 * 1024;
/// Batches begun and not settled: each holds up to [`BODY_BYTES`] of values.
const WINDOW: usize = 2;

/// What is copied, as it stands in the plan's header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Where the keys are, and which of them.
    #[serde(flatten)]
    pub source: Source,
    /// The account that they go to, if it is another one.
    pub to_account: Option<String>,
    /// The namespace that they go to.
    pub to: String,
    /// What becomes of keys that expire too soon.
    pub expired: Expired,
    /// Keys a write.
    pub batch_size: usize,
}

/// A copy.
pub struct Copy {
    from: Access,
    to: Access,
    options: Options,
    selection: Selection,
}

/// What was read and not yet written.
#[derive(Default)]
struct Pending<'k> {
    keys: Vec<&'k str>,
    items: Vec<Result<Vec<u8>, Outcome>>,
    bytes: usize,
}

impl Copy {
    /// The copy of these keys.
    ///
    /// # Errors
    /// When an expression is not understood.
    pub fn new(from: Access, to: Access, options: Options) -> Result<Self, OpenError> {
        let selection = selection_of(&options.source)?;
        Ok(Self { from, to, options, selection })
    }

    /// The copy of a plan.
    ///
    /// # Errors
    /// When its header is not understood.
    pub fn of_plan(setup: &Setup, plan: &Header) -> Result<Self, OpenError> {
        let options: Options = options_of(plan)?;
        let from = Access::open(setup, options.source.account.as_deref(), true)?;
        let to = match &options.to_account {
            Some(account) => Access::open_other(setup, account, true)?,
            None => from.clone(),
        };
        Self::new(from, to, options)
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    async fn copy(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let keys = batch.iter().map(key_of).collect::<Result<Vec<Key<'_>>, _>>()?;
        let in_doubt = batch.iter().any(|step| step.in_doubt);
        let mut applied = Applied::nothing_sent();
        let mut pending = Pending::default();
        for group in keys.chunks(GET_KEYS_MAX * READS_AT_ONCE) {
            applied.attempts += self.read(context, group, &mut pending).await?;
            if pending.bytes >= BODY_BYTES {
                self.write(context, in_doubt, &mut pending, &mut applied).await?;
            }
        }
        self.write(context, in_doubt, &mut pending, &mut applied).await?;
        Ok(applied)
    }

    /// Reads a group of keys, several requests at once.
    async fn read<'k>(
        &self,
        context: &Context,
        group: &'k [Key<'_>],
        pending: &mut Pending<'k>,
    ) -> Result<u32, Failure> {
        let namespace = &self.options.source.namespace;
        let reads = group
            .chunks(GET_KEYS_MAX)
            .map(|keys| fetch(&self.from, context, namespace, keys, false));
        let mut attempts = 0;
        for fetched in join_all(reads).await {
            let fetched = fetched?;
            attempts += fetched.attempts;
            for record in fetched.records {
                let item = match record {
                    Some(mut record) => encode(&mut record, self.options.expired),
                    None => Err(Outcome::AlreadyGone),
                };
                pending.bytes += item.as_ref().map_or(0, Vec::len);
                pending.items.push(item);
            }
        }
        pending.keys.extend(group.iter().map(|key| &*key.name));
        Ok(attempts)
    }

    async fn write(
        &self,
        context: &Context,
        in_doubt: bool,
        pending: &mut Pending<'_>,
        applied: &mut Applied,
    ) -> Result<(), Failure> {
        let Pending { keys, items, .. } = std::mem::take(pending);
        let to = (self.options.to.as_str(), in_doubt);
        let put = put_items(&self.to, context, to, &keys, items).await?;
        applied.outcomes.extend(put.outcomes);
        applied.attempts += put.attempts;
        applied.latency = applied.latency.max(put.latency);
        applied.status = put.status.or(applied.status);
        applied.request_id = put.request_id.or(applied.request_id.take());
        Ok(())
    }
}

impl Job for Copy {
    fn info(&self) -> JobInfo {
        let batch = BatchSpec::up_to(self.options.batch_size.clamp(1, PUT_ITEMS_MAX));
        let mut phase = PhaseInfo::bulk("keys", operation::BULK_GET, batch);
        phase.steps_a_request = GET_KEYS_MAX as u64;
        JobInfo {
            system: "cloudflare",
            operation: "copy",
            phases: vec![phase],
            idempotent: true,
            window: Some(WINDOW),
            streaming: true,
            shared: false,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        if Arc::ptr_eq(&self.from.remote, &self.to.remote) {
            vec![Arc::clone(&self.from.remote)]
        } else {
            vec![Arc::clone(&self.from.remote), Arc::clone(&self.to.remote)]
        }
    }

    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        let source = &self.options.source;
        Box::pin(list_into(&self.from, context, source, &self.selection, plan))
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.copy(context, batch))
    }
}
