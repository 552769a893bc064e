//! `kv delete` and `kv purge-sync`: keys by name or by selection, 10,000 a request, then the cache
//! tags that they carried, then a walk that shows what is left.

use super::purge::{PurgeTarget, purge};
use super::{Source, object_of, options_of, selection_of, until_taken, walk};
use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::DELETE_ITEMS_MAX;
use crate::cloudflare::records;
use crate::cloudflare::records::{Want, check_key};
use crate::cloudflare::selection::{Selection, tags_of};
use crate::cloudflare::targets::{Plan as PurgePlan, TargetKind};
use crate::connector::{OpenError, Setup};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use windlass_engine::Failure;
use windlass_engine::job::{Applied, BatchSpec, BoxFuture, Context, Job, JobInfo, PhaseInfo, Step};
use windlass_engine::plan::{Header, Plan, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::tally::Verified;

/// Batches begun and not settled: each holds ten thousand names, some 3 MB with what the list said
/// of them.
const WINDOW: usize = 4;
/// Cache tags of one run, at most: a purge of more is a purge of everything.
const TAGS_MAX: usize = 1_000_000;

/// What is deleted, as it stands in the plan's header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Where the keys are, and which of them.
    #[serde(flatten)]
    pub source: Source,
    /// Whether they are taken by name, from the command line or a file.
    pub by_name: bool,
    /// The file with the names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names_file: Option<PathBuf>,
    /// Keys a request.
    pub batch_size: usize,
    /// Whether the namespace is walked once more at the end.
    pub walk: bool,
    /// The purge that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<TagPurge>,
}

/// Which cache tags are purged after the keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TagPurge {
    /// The zone.
    pub zone: PurgeTarget,
    /// What it is booked as.
    pub plan: PurgePlan,
    /// Tags that were named: nothing else is purged then.
    pub named: Vec<String>,
    /// Whether the keys' metadata tells tags.
    pub extract: bool,
    /// Tags for when the keys told none.
    pub instead: Vec<String>,
}

/// The deletion of keys.
pub struct Delete {
    access: Access,
    options: Options,
    selection: Selection,
    /// Named on the command line.
    names: Vec<String>,
}

impl Delete {
    /// The deletion of these keys.
    ///
    /// # Errors
    /// When an expression is not understood.
    pub fn new(access: Access, options: Options, names: Vec<String>) -> Result<Self, OpenError> {
        let selection = selection_of(&options.source)?;
        Ok(Self { access, options, selection, names })
    }

    /// The deletion of a plan.
    ///
    /// # Errors
    /// When its header is not understood.
    pub fn of_plan(setup: &Setup, plan: &Header) -> Result<Self, OpenError> {
        let options: Options = options_of(plan)?;
        let access = Access::open(setup, options.source.account.as_deref(), true)?;
        Self::new(access, options, Vec::new())
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    async fn discover(
        &self,
        context: &Context,
        plan: &mut PlanWriter,
    ) -> Result<(), DiscoverError> {
        let tags = if self.options.by_name {
            self.take_names(plan)?;
            BTreeMap::new()
        } else {
            self.take_listed(context, plan).await?
        };
        if let Some(purge) = &self.options.purge {
            plan.enter_phase(1);
            push_tags(plan, purge, tags)?;
        }
        Ok(())
    }

    /// Names need no request: what is not there counts as deleted at the remote.
    fn take_names(&self, plan: &mut PlanWriter) -> Result<(), DiscoverError> {
        for name in &self.names {
            push_name(plan, name)?;
        }
        let Some(path) = &self.options.names_file else { return Ok(()) };
        let source = records::Source::open(path, Want::Keys).map_err(|error| unusable(&error))?;
        let mut keys = source.keys().map_err(|error| unusable(&error))?;
        while let Some(at) = keys.next().map_err(|error| unusable(&error))? {
            push_name(plan, &at.item)?;
        }
        Ok(())
    }

    async fn take_listed(
        &self,
        context: &Context,
        plan: &mut PlanWriter,
    ) -> Result<BTreeMap<String, String>, DiscoverError> {
        plan.keys_ascend();
        let folder = plan.folder().to_owned();
        let mut list = self.options.source.list(&self.access, context, None, &folder)?;
        let extracts = self.options.purge.as_ref().is_some_and(TagPurge::reads_metadata);
        let mut tags = BTreeMap::new();
        loop {
            let page = list.next(|keys| {
                plan.saw(keys.len() as u64);
                let before = plan.header().steps;
                for key in keys {
                    match self.selection.matches(key) {
                        Ok(false) => {}
                        Ok(true) => {
                            plan.push(&key.name, "", &object_of(key))?;
                            if extracts && tags.len() < TAGS_MAX {
                                collect_tags(&mut tags, key.metadata);
                            }
                        }
                        Err(left) => plan.leave(&key.name, "", left.0)?,
                    }
                }
                Ok::<u64, DiscoverError>(plan.header().steps - before)
            });
            if page.await?.is_none() {
                return Ok(tags);
            }
        }
    }

    async fn delete(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let names: Vec<&str> = batch.iter().map(|step| &*step.key).collect();
        let in_doubt = batch.iter().any(|step| step.in_doubt);
        until_taken(context, &names, |numbers| {
            let items = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let chosen: Vec<&str> = numbers.iter().filter_map(|&n| names.get(n).copied()).collect();
            let body = Bytes::from(serde_json::to_vec(&chosen).expect("names are plain JSON"));
            let (api, remote) = (&self.access.api, &self.access.remote);
            let namespace = &self.options.source.namespace;
            async move {
                let number = operation::BULK_DELETE;
                let delete = |attempt| api.bulk_delete(namespace, body.clone(), items, attempt);
                remote.call_with(context, number, items, in_doubt, delete).await
            }
        })
        .await
    }
}

impl TagPurge {
    fn reads_metadata(&self) -> bool {
        self.extract && self.named.is_empty()
    }
}

fn push_name(plan: &mut PlanWriter, name: &str) -> Result<(), DiscoverError> {
    check_key(name).map_err(|what| {
        Failure::new(windlass_engine::Kind::Rejected, format!("`{name}` is no key: {what}"))
            .with_hint("nothing was changed; mend the list of keys")
    })?;
    let key =
        crate::cloudflare::listing::Key { name: name.into(), expiration: None, metadata: None };
    plan.saw(1);
    plan.push(name, "", &object_of(&key))?;
    Ok(())
}

/// A file of keys or records that can't be used.
pub fn unusable(error: &records::RecordError) -> Failure {
    Failure::new(windlass_engine::Kind::Rejected, error.to_string())
        .with_hint("nothing was changed; mend the file")
}

/// Cache tags are the same in any case; the first spelling is kept.
fn collect_tags(
    tags: &mut BTreeMap<String, String>,
    metadata: Option<&serde_json::value::RawValue>,
) {
    let Some(metadata) = metadata else { return };
    for tag in tags_of(metadata).tags {
        tags.entry(tag.to_lowercase()).or_insert(tag);
    }
}

fn push_tags(
    plan: &mut PlanWriter,
    purge: &TagPurge,
    found: BTreeMap<String, String>,
) -> Result<(), DiscoverError> {
    let named =
        if purge.named.is_empty() && found.is_empty() { &purge.instead } else { &purge.named };
    let mut tags = found;
    tags.extend(named.iter().map(|tag| (tag.to_lowercase(), tag.clone())));
    for (key, tag) in tags {
        let item = TargetKind::Tags.read(&tag).map_err(|error| {
            Failure::new(windlass_engine::Kind::Rejected, error.message)
                .with_hint("nothing was changed")
        })?;
        let object = serde_json::value::RawValue::from_string(item.json)
            .expect("an item of a purge is JSON");
        plan.push(&key, &tag, &object)?;
    }
    Ok(())
}

impl Job for Delete {
    fn info(&self) -> JobInfo {
        let batch = BatchSpec::up_to(self.options.batch_size.clamp(1, DELETE_ITEMS_MAX));
        let mut phases = vec![PhaseInfo::bulk("keys", operation::BULK_DELETE, batch)];
        if let Some(purge) = &self.options.purge {
            let most = TargetKind::Tags.items_per_call(purge.plan);
            let batch = BatchSpec::up_to(most as usize);
            phases.push(PhaseInfo::bulk("tags", operation::PURGE, batch));
        }
        JobInfo {
            system: "cloudflare",
            operation: if self.options.purge.is_some() { "purge-sync" } else { "delete" },
            phases,
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
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(self.discover(context, plan))
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        let tags = self.options.purge.as_ref();
        let tags = tags.filter(|_| batch.first().is_some_and(|step| step.phase == 1));
        match tags {
            Some(tags) => {
                Box::pin(purge(&self.access, context, &tags.zone, TargetKind::Tags, false, batch))
            }
            None => Box::pin(self.delete(context, batch)),
        }
    }

    fn finish<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Verified>, DiscoverError>> {
        Box::pin(async move {
            if !self.options.walk || self.options.by_name {
                return Ok(None);
            }
            walk::until_gone(&self.access, context, &self.options.source, plan).await.map(Some)
        })
    }
}
