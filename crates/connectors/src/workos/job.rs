//! The job: lists with the selection, deletes one object a step.

use super::api::{Api, Deleted, Entity, Reply, Resource};
pub use super::selection::Selection;
use super::selection::{Choice, reasons};
use super::{CONNECTOR, WINDOWS};
use crate::connector::{OpenError, Setup};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use windlass_engine::job::{
    Applied, BoxFuture, Context, Job, JobInfo, Outcome, PhaseInfo, Skip, Step,
};
use windlass_engine::plan::{Plan, PlanWriter};
use windlass_engine::remote::{Answer, OperationSpec, Remote};
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Event, Failure, Kind};

/// A list of a hundred million objects is beyond every account; more pages mean a loop.
const PAGES_MAX: u64 = 1_000_000;

/// The numbers of the operations at the remote.
const LIST_ORGANIZATIONS: usize = 0;
const DELETE_ORGANIZATION: usize = 1;
const LIST_USERS: usize = 2;
const DELETE_USER: usize = 3;

/// Which windows an operation pays, by their place in [`WINDOWS`]. That reading `/organizations`
/// does not count against the deletions' window is an assumption: the documentation names the
/// window after Delete Organization.
fn operations() -> Vec<OperationSpec> {
    let operation = OperationSpec::new;
    let [organization_delete, user_write, user_read, everything] = [0, 1, 2, 3];
    vec![
        operation("list organizations", &[everything]),
        operation("delete organization", &[organization_delete, everything]),
        operation("list users", &[user_read, everything]),
        operation("delete user", &[user_write, everything]),
    ]
}

impl Resource {
    const fn phase(self) -> PhaseInfo {
        match self {
            Self::Organization => PhaseInfo::single("organizations", DELETE_ORGANIZATION),
            Self::User => PhaseInfo::single("users", DELETE_USER),
        }
    }

    const fn list(self) -> usize {
        match self {
            Self::Organization => LIST_ORGANIZATIONS,
            Self::User => LIST_USERS,
        }
    }
}

/// Bulk deletion.
pub struct Delete {
    api: Api,
    remote: Arc<Remote>,
    selection: Selection,
    resources: Vec<Resource>,
}

impl Delete {
    /// The job of this selection.
    ///
    /// # Errors
    /// When an override names an unknown window, or the key can't be sent.
    pub fn new(setup: &Setup, selection: Selection) -> Result<Self, OpenError> {
        let spec = setup
            .limits
            .spec(CONNECTOR.name, WINDOWS, operations())
            .map_err(|error| OpenError::usage(error.to_string(), error.hint()))?;
        let api = Api::new(setup.transport.clone(), setup.base_url.clone(), &setup.key);
        Ok(Self {
            api: api.map_err(|_| {
                OpenError::usage(
                    "the key holds characters that can't be sent",
                    "copy WORKOS_API_KEY again from the WorkOS dashboard",
                )
            })?,
            remote: Arc::new(Remote::new(setup.clock, spec)),
            resources: selection.resources().collect(),
            selection,
        })
    }

    /// Walks a list to its end and shows every page to `take`, which says how many objects of
    /// the phase are selected so far.
    async fn walk(
        &self,
        context: &Context,
        resource: Resource,
        mut take: impl FnMut(&[Box<RawValue>]) -> Result<u64, DiscoverError>,
    ) -> Result<(), DiscoverError> {
        let mut walk = Walk::default();
        loop {
            let after = walk.after.clone();
            let answer = self
                .remote
                .call(context, resource.list(), false, |attempt| {
                    self.api.list(resource, after.as_deref(), attempt)
                })
                .await
                .map_err(|failure| lost_cursor(failure, after.as_deref()))?;
            let page = answer.value.value;
            walk.seen += page.data.len() as u64;
            let selected = take(&page.data)?;
            context
                .signal(Event::Page {
                    phase: resource.phase().name.into_owned(),
                    page: walk.pages + 1,
                    seen: walk.seen,
                    selected,
                    latency_us: micros(answer.latency),
                    request_id: answer.value.request_id,
                })
                .await;
            if !walk.goes_on(&page.data, page.list_metadata.after)? {
                return Ok(());
            }
        }
    }

    async fn discover(
        &self,
        context: &Context,
        plan: &mut PlanWriter,
    ) -> Result<(), DiscoverError> {
        for (phase, &resource) in self.resources.iter().enumerate() {
            plan.enter_phase(phase);
            self.walk(context, resource, |objects| {
                plan.saw(objects.len() as u64);
                for object in objects {
                    self.consider(resource, object, plan)?;
                }
                Ok(plan.header().phases.get(phase).map_or(0, |phase| phase.steps))
            })
            .await?;
        }
        Ok(())
    }

    fn consider(
        &self,
        resource: Resource,
        object: &RawValue,
        plan: &mut PlanWriter,
    ) -> Result<(), DiscoverError> {
        let entity = read(object)?;
        match self.selection.choose(resource, &entity, object) {
            Choice::Pass => {}
            Choice::Delete => {
                plan.push(&entity.id, &entity.label(), object)?;
            }
            Choice::Leave(reason) => plan.leave(&entity.id, &entity.label(), reason)?,
        }
        Ok(())
    }

    async fn apply(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let [step] = batch else {
            return Err(Failure::new(Kind::Bug, "WorkOS deletes one object a request"));
        };
        let resource = self.resources.get(step.phase).copied();
        let resource = resource.filter(|resource| resource.is_id(&step.key)).ok_or_else(|| {
            Failure::new(Kind::Bug, format!("`{}` is not the id of this phase's objects", step.key))
        })?;
        let answer = self
            .remote
            .call(context, resource.phase().operation, step.in_doubt, |attempt| async {
                let in_doubt = attempt.in_doubt;
                let reply = self.api.delete(resource, &step.key, attempt).await?;
                Ok((outcome(reply.value, in_doubt), reply))
            })
            .await?;
        Ok(applied(answer))
    }

    /// Lists again, where asked for, and looks at the plan's own objects where a guard is new.
    async fn recheck(&self, context: &Context, plan: &Plan) -> Result<Vec<Skip>, DiscoverError> {
        if !self.selection.drift_check && !self.selection.stricter {
            return Ok(Vec::new());
        }
        let states = if self.selection.drift_check {
            self.states(context).await?
        } else {
            States::default()
        };
        let mut skips = Vec::new();
        let mut lines = plan.lines()?;
        while let Some(step) = lines.next_step()? {
            let entity = read(&step.object)?;
            let guarded = self.selection.guarded(&entity, &step.object);
            if let Some(reason) = guarded.or_else(|| states.drift(&entity)) {
                let reason = reason.to_owned();
                skips.push(Skip { step: step.number, key: step.key, label: step.label, reason });
            }
        }
        Ok(skips)
    }

    async fn states(&self, context: &Context) -> Result<States, DiscoverError> {
        let mut states = States::default();
        for &resource in &self.resources {
            self.walk(context, resource, |objects| {
                for object in objects {
                    let entity = read(object)?;
                    states.take(&entity, self.selection.guarded(&entity, object));
                }
                Ok(0)
            })
            .await?;
        }
        Ok(states)
    }
}

/// A 404 for an object that an earlier attempt may have deleted proves that it did.
fn outcome(deleted: Deleted, in_doubt: bool) -> Outcome {
    match (deleted, in_doubt) {
        (Deleted::Now, _) => Outcome::Done,
        (Deleted::Absent, true) => Outcome::DoneConfirmed,
        (Deleted::Absent, false) => Outcome::AlreadyGone,
    }
}

fn applied(answer: Answer<(Outcome, Reply<Deleted>)>) -> Applied {
    let (outcome, reply) = answer.value;
    Applied {
        outcomes: vec![outcome],
        latency: answer.latency,
        attempts: answer.attempts,
        status: Some(reply.status),
        request_id: reply.request_id,
    }
}

fn read(object: &RawValue) -> Result<Entity<'_>, Failure> {
    Entity::read(object).map_err(|error| {
        Failure::new(Kind::Malformed, format!("the list holds an object without an id: {error}"))
            .with_hint("check the base URL: this does not answer as WorkOS does")
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How far a walk through a list has come, and whether it goes round in circles. With cursors
/// that are ids, a server that has lost the cursor's object may begin again at the first page.
#[derive(Debug, Default)]
pub(super) struct Walk {
    after: Option<String>,
    cursors: HashSet<String>,
    boundaries: HashSet<String>,
    pages: u64,
    seen: u64,
}

impl Walk {
    pub(super) fn goes_on(
        &mut self,
        objects: &[Box<RawValue>],
        after: Option<String>,
    ) -> Result<bool, Failure> {
        self.pages += 1;
        for edge in [objects.first(), objects.last()].into_iter().flatten().take(objects.len()) {
            let id = read(edge)?.id.into_owned();
            if !self.boundaries.insert(id.clone()) {
                return Err(self.circle(&format!("a page repeats the object {id}")));
            }
        }
        let Some(after) = after.filter(|after| !after.is_empty()) else { return Ok(false) };
        if !self.cursors.insert(after.clone()) {
            return Err(self.circle(&format!("the cursor {after} came twice")));
        }
        if self.pages >= PAGES_MAX {
            return Err(self.circle(&format!("there are over {PAGES_MAX} pages")));
        }
        self.after = Some(after);
        Ok(true)
    }

    fn circle(&self, what: &str) -> Failure {
        let message = format!("the list goes round in circles: {what} (page {})", self.pages);
        Failure::new(Kind::Malformed, message).with_hint(CURSOR_HINT)
    }
}

/// What to do about a list that changed while it was walked.
const CURSOR_HINT: &str = "nothing was deleted; somebody may be deleting objects at the same time: \
                           try again";

/// A list that refuses the cursor it gave out itself has lost the object that it names.
fn lost_cursor(failure: Failure, after: Option<&str>) -> Failure {
    match after {
        Some(_) if failure.kind == Kind::Rejected => failure.with_hint(CURSOR_HINT),
        _ => failure,
    }
}

/// The state of every listed object by hashes, 16 bytes each.
#[derive(Debug, Default)]
struct States {
    seed: RandomState,
    by_id: HashMap<u64, Result<u64, &'static str>>,
}

impl States {
    fn take(&mut self, entity: &Entity<'_>, guarded: Option<&'static str>) {
        let id = self.seed.hash_one(&entity.id);
        let state = guarded.map_or_else(|| Ok(self.seed.hash_one(entity.version())), Err);
        self.by_id.insert(id, state);
    }

    /// Why the object of a plan must be left alone now. One that is listed no longer is not a
    /// reason: its deletion will find it gone.
    fn drift(&self, planned: &Entity<'_>) -> Option<&'static str> {
        match self.by_id.get(&self.seed.hash_one(&planned.id))? {
            Err(reason) => Some(reason),
            Ok(state) if *state == self.seed.hash_one(planned.version()) => None,
            Ok(_) => Some(reasons::CHANGED),
        }
    }
}

impl Job for Delete {
    fn info(&self) -> JobInfo {
        JobInfo {
            system: CONNECTOR.name,
            operation: "delete",
            phases: self.resources.iter().map(|resource| resource.phase()).collect(),
            idempotent: true,
            window: None,
            streaming: false,
            shared: false,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.remote)]
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
        Box::pin(self.apply(context, batch))
    }

    fn recheck<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Vec<Skip>, DiscoverError>> {
        Box::pin(self.recheck(context, plan))
    }
}
