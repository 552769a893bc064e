//! `migrate generate`: puts documents with every oddity into a collection, to try a migration on.

use crate::mongo::access::{Access, odd, operation};
use crate::mongo::board::DUPLICATE_KEY;
use crate::mongo::generate::Options as Recipe;
use bson::{RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use windlass_engine::job::{
    Applied, BatchSpec, BoxFuture, Context, Covered, Job, JobInfo, Outcome, PhaseInfo, Step,
};
use windlass_engine::plan::{Plan, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Failure, Kind};

/// Documents of one insert.
const BATCH: usize = 1000;
/// Batches begun and not settled.
const WINDOW: usize = 4;

/// What is generated, as it stands in the plan's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How many documents.
    pub documents: u64,
    /// How many people they are of.
    pub people: u64,
    /// Over how many months.
    pub months: u32,
    /// The same seed makes the same documents.
    pub seed: u64,
    /// Whether one of them is very large.
    pub big: bool,
    /// Where they go.
    pub collection: String,
}

/// The generator as a job.
pub struct Generate {
    access: Access,
    options: Options,
    recipe: Recipe,
}

impl Generate {
    /// The generation of these options.
    #[must_use]
    pub fn new(access: Access, options: Options) -> Self {
        let recipe = Recipe {
            documents: options.documents,
            people: options.people,
            months: options.months,
            seed: options.seed,
            big: options.big,
        };
        Self { access, options, recipe }
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    async fn insert(&self, context: &Context, batch: &[Step]) -> Result<Applied, Failure> {
        let documents: Vec<RawDocumentBuf> = batch
            .iter()
            .map(|step| RawDocumentBuf::try_from(&self.recipe.document(step.number)).map_err(odd))
            .collect::<Result<_, _>>()?;
        let concern = doc! { "w": 1 };
        let write = || self.access.api.insert(&self.options.collection, &documents, &concern);
        let (answer, _) = self.access.write(context, documents.len(), false, write).await?;
        let mut applied = Applied::all(&Outcome::Done, batch.len(), &answer);
        for error in &answer.value.errors {
            let outcome = if error.code == DUPLICATE_KEY {
                Outcome::AlreadyGone
            } else {
                Outcome::Failed(Box::new(Failure::new(Kind::Rejected, error.message.clone())))
            };
            if let Some(slot) = applied.outcomes.get_mut(error.index) {
                *slot = outcome;
            }
        }
        Ok(applied)
    }
}

impl Job for Generate {
    fn info(&self) -> JobInfo {
        let batch = BatchSpec { bytes_max: u64::MAX, ..BatchSpec::up_to(BATCH) };
        JobInfo {
            system: "mongo",
            operation: "migrate generate",
            phases: vec![PhaseInfo::bulk("documents", operation::WRITE, batch)],
            idempotent: true,
            window: Some(WINDOW),
            streaming: true,
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
        Box::pin(async move {
            plan.keys_unchecked();
            let nothing = serde_json::value::to_raw_value(&())
                .map_err(|error| Failure::new(Kind::Bug, error.to_string()))?;
            for n in plan.header().steps..self.options.documents {
                plan.push(&n.to_string(), "", &nothing)?;
                if (n + 1) % BATCH as u64 == 0 {
                    plan.saw(BATCH as u64);
                    plan.mark(serde_json::Value::Null)?;
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        })
    }

    /// The indexes that such a collection has: documents are found by their token and their date.
    /// The token's is not unique, since some tokens are there twice.
    fn prepare<'a>(
        &'a self,
        context: &'a Context,
        _plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Covered>, DiscoverError>> {
        Box::pin(async move {
            let token = doc! { "key": { "token": 1 }, "name": "token_1", "sparse": true };
            let created = doc! { "key": { "createdAt": -1 }, "name": "createdAt_-1" };
            for index in [token, created] {
                self.access.create_index(context, &self.options.collection, index).await?;
            }
            Ok(None)
        })
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.insert(context, batch))
    }
}
