//! `kv namespaces drop`: a whole namespace, named before it goes.

use super::options_of;
use crate::cloudflare::access::{Access, operation};
use crate::connector::{OpenError, Setup};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use windlass_engine::job::{Applied, BoxFuture, Context, Job, JobInfo, Outcome, PhaseInfo, Step};
use windlass_engine::plan::{Header, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Failure, Kind};

/// Which namespace, as it stands in the plan's header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Its account.
    pub account: Option<String>,
    /// Its id.
    pub namespace: String,
}

/// The end of a namespace.
pub struct DropNamespace {
    access: Access,
    options: Options,
}

impl DropNamespace {
    /// The end of this namespace.
    #[must_use]
    pub fn new(access: Access, options: Options) -> Self {
        Self { access, options }
    }

    /// The one of a plan.
    ///
    /// # Errors
    /// When its header is not understood.
    pub fn of_plan(setup: &Setup, plan: &Header) -> Result<Self, OpenError> {
        let options: Options = options_of(plan)?;
        let access = Access::open(setup, options.account.as_deref(), true)?;
        Ok(Self::new(access, options))
    }

    async fn plan(&self, context: &Context, plan: &mut PlanWriter) -> Result<(), DiscoverError> {
        let id = &self.options.namespace;
        let (api, remote) = (&self.access.api, &self.access.remote);
        let ask = |attempt| api.namespace(id, attempt);
        let answer = remote.call(context, operation::READ_NAMESPACES, false, ask).await?;
        let namespace = answer.value.value;
        let object = serde_json::value::to_raw_value(&namespace).expect("it came as JSON");
        plan.saw(1);
        plan.push(&namespace.id, &namespace.title, &object)?;
        Ok(())
    }

    async fn drop(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let [step] = batch else {
            return Err(Failure::new(Kind::Bug, "namespaces are dropped one by one"));
        };
        let (api, remote) = (&self.access.api, &self.access.remote);
        let number = operation::DROP_NAMESPACE;
        let drop = |attempt| api.delete_namespace(&step.key, attempt);
        match remote.call(context, number, step.in_doubt, drop).await {
            Ok(answer) => {
                self.access.lookup.forget_namespace(&step.key);
                let mut applied = Applied::all(&Outcome::Done, 1, &answer);
                applied.status = Some(answer.value.status);
                applied.request_id = answer.value.request_id;
                Ok(applied)
            }
            Err(failure) if is_unknown_namespace(&failure) => {
                let gone = failure.may_have_happened || step.in_doubt;
                let outcome = if gone { Outcome::DoneConfirmed } else { Outcome::AlreadyGone };
                Ok(Applied {
                    outcomes: vec![outcome],
                    attempts: failure.attempts,
                    status: failure.status,
                    request_id: failure.request_id,
                    ..Applied::nothing_sent()
                })
            }
            Err(failure) => Err(failure),
        }
    }
}

/// 404 with the code of a namespace that is not there.
fn is_unknown_namespace(failure: &Failure) -> bool {
    failure.status == Some(404) && failure.code.as_deref() == Some("10013")
}

impl Job for DropNamespace {
    fn info(&self) -> JobInfo {
        JobInfo {
            system: "cloudflare",
            operation: "namespaces drop",
            phases: vec![PhaseInfo::single("namespaces", operation::DROP_NAMESPACE)],
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
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(self.plan(context, plan))
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.drop(context, batch))
    }
}
