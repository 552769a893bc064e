//! `cache purge` and `cache invalidate`: items of one kind in one zone or several.

use super::options_of;
use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::Action;
use crate::cloudflare::targets::{EVERYTHING, Plan as PurgePlan, Target, TargetKind, body};
use crate::connector::{OpenError, Setup};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use windlass_engine::job::{
    Applied, BatchSpec, BoxFuture, Context, Job, JobInfo, Outcome, PhaseInfo, Step,
};
use windlass_engine::plan::{Header, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Failure, Kind};

/// A zone, or one of its environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeTarget {
    /// The zone's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The environment, where the zone has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// What is purged, as it stands in the plan's header. The items are the plan's steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// The account whose zones these are.
    pub account: Option<String>,
    /// The zones, one phase each.
    pub zones: Vec<PurgeTarget>,
    /// What the items are; `None` is everything.
    pub kind: Option<TargetKind>,
    /// Whether content is marked as stale instead of dropped.
    pub invalidate: bool,
    /// What the zones are booked as.
    pub plan: PurgePlan,
    /// Items a request.
    pub batch_size: usize,
}

/// A purge.
pub struct Purge {
    access: Access,
    options: Options,
    /// The items of each zone.
    items: Vec<Vec<Target>>,
}

impl Purge {
    /// The purge of these items, in the order of the options' zones.
    #[must_use]
    pub fn new(access: Access, options: Options, items: Vec<Vec<Target>>) -> Self {
        Self { access, options, items }
    }

    /// The purge of a plan.
    ///
    /// # Errors
    /// When its header is not understood.
    pub fn of_plan(setup: &Setup, plan: &Header) -> Result<Self, OpenError> {
        let options: Options = options_of(plan)?;
        let access = Access::open(setup, options.account.as_deref(), true)?;
        Ok(Self::new(access, options, Vec::new()))
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn plan(&self, plan: &mut PlanWriter) -> Result<(), DiscoverError> {
        for (phase, zone) in self.options.zones.iter().enumerate() {
            plan.enter_phase(phase);
            if self.options.kind.is_none() {
                let object = serde_json::value::to_raw_value(zone).expect("a zone is plain JSON");
                plan.saw(1);
                plan.push(&zone.id, &format!("everything of {}", zone.name), &object)?;
            }
            for item in self.items.get(phase).into_iter().flatten() {
                let object = RawValue::from_string(item.json.clone());
                plan.saw(1);
                plan.push(&item.name, "", &object.expect("an item of a purge is JSON"))?;
            }
        }
        Ok(())
    }

    async fn purge(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let phase = batch.first().map_or(0, |step| step.phase);
        let zone = self.options.zones.get(phase).ok_or_else(|| {
            Failure::new(Kind::Bug, format!("the plan has no zone for phase {phase}"))
        })?;
        let invalidate = self.options.invalidate;
        match self.options.kind {
            Some(kind) => purge(&self.access, context, zone, kind, invalidate, batch).await,
            None => {
                let body = Bytes::from_static(EVERYTHING);
                send(&self.access, context, zone, operation::PURGE, invalidate, body, batch).await
            }
        }
    }
}

/// Purges a batch of items of one kind in one zone.
///
/// # Errors
/// As every call.
pub async fn purge(
    access: &Access,
    context: &Context,
    zone: &PurgeTarget,
    kind: TargetKind,
    invalidate: bool,
    batch: &[Step],
) -> Result<Applied, Failure> {
    let body = body(kind, batch.iter().map(|step| step.object.get()));
    let number = if kind == TargetKind::Files { operation::PURGE_FILES } else { operation::PURGE };
    send(access, context, zone, number, invalidate, body, batch).await
}

async fn send(
    access: &Access,
    context: &Context,
    zone: &PurgeTarget,
    number: usize,
    invalidate: bool,
    body: Bytes,
    batch: &[Step],
) -> Result<Applied, Failure> {
    let items = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    let in_doubt = batch.iter().any(|step| step.in_doubt);
    let how = if invalidate { Action::Invalidate } else { Action::Purge };
    let environment = zone.environment.as_deref();
    let answer = access
        .remote
        .call_with(context, number, items, in_doubt, |attempt| {
            access.api.purge(&zone.id, environment, how, body.clone(), items, attempt)
        })
        .await?;
    let mut applied = Applied::all(&Outcome::Done, batch.len(), &answer);
    applied.status = Some(answer.value.status);
    applied.request_id = answer.value.request_id;
    Ok(applied)
}

impl Job for Purge {
    fn info(&self) -> JobInfo {
        let number = match self.options.kind {
            Some(TargetKind::Files) => operation::PURGE_FILES,
            _ => operation::PURGE,
        };
        let batch = match self.options.kind {
            Some(_) => BatchSpec::up_to(self.options.batch_size.max(1)),
            None => BatchSpec::SINGLE,
        };
        let phase = |zone: &PurgeTarget| PhaseInfo::bulk(zone.name.clone(), number, batch);
        JobInfo {
            system: "cloudflare",
            operation: words(self.options.kind, self.options.invalidate),
            phases: self.options.zones.iter().map(phase).collect(),
            idempotent: true,
            window: None,
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
        Box::pin(self.purge(context, batch))
    }
}

/// The operation's name: the last two words of its command.
const fn words(kind: Option<TargetKind>, invalidate: bool) -> &'static str {
    match (invalidate, kind) {
        (false, None) => "purge everything",
        (false, Some(TargetKind::Files)) => "purge files",
        (false, Some(TargetKind::Tags)) => "purge tags",
        (false, Some(TargetKind::Hosts)) => "purge hosts",
        (false, Some(TargetKind::Prefixes)) => "purge prefixes",
        (true, None) => "invalidate everything",
        (true, Some(TargetKind::Files)) => "invalidate files",
        (true, Some(TargetKind::Tags)) => "invalidate tags",
        (true, Some(TargetKind::Hosts)) => "invalidate hosts",
        (true, Some(TargetKind::Prefixes)) => "invalidate prefixes",
    }
}
