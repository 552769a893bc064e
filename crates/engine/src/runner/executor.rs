//! Carries out one batch. Steps in doubt of a job that must not repeat itself are settled first
//! by asking the remote, and only the rest is applied.

use crate::failure::{Failure, Kind};
use crate::job::{Applied, Context, Job, Outcome, Step};
use std::sync::Arc;

/// A part of a batch with what became of it.
#[derive(Debug)]
pub(super) struct Part {
    /// How many of its steps, from where the part before ended.
    pub(super) steps: usize,
    pub(super) result: Result<Applied, Failure>,
}

/// What became of a batch: of the whole, or of the parts into which it was cut.
#[derive(Debug)]
pub(super) struct Carried {
    /// The number of its first step.
    pub(super) first: u64,
    pub(super) parts: Vec<Part>,
    /// The sizes that the remote refused as too large.
    pub(super) refused: Vec<usize>,
}

/// Carries out one batch. This is the body of a spawned task.
///
/// What the remote refuses as too large is cut in two, and each half sent in its turn, down to
/// single steps.
pub(super) async fn carry_out(
    job: Arc<dyn Job>,
    context: Context,
    idempotent: bool,
    steps: Arc<Vec<Step>>,
) -> Carried {
    let first = steps.first().map_or(0, |step| step.number);
    let mut carried = Carried { first, parts: Vec::new(), refused: Vec::new() };
    let mut todo = vec![(0, steps.len())];
    while let Some((start, end)) = todo.pop() {
        let part = steps.get(start..end).unwrap_or_default();
        let result = carry_part(&*job, &context, idempotent, part).await;
        let too_large = matches!(&result, Err(failure) if failure.kind == Kind::TooLarge);
        if too_large && part.len() > 1 {
            carried.refused.push(part.len());
            let middle = start + part.len() / 2;
            todo.push((middle, end));
            todo.push((start, middle));
        } else {
            carried.parts.push(Part { steps: part.len(), result });
        }
    }
    carried
}

async fn carry_part(
    job: &dyn Job,
    context: &Context,
    idempotent: bool,
    steps: &[Step],
) -> Result<Applied, Failure> {
    if idempotent {
        apply(job, context, steps).await
    } else {
        carry_out_once(job, context, steps).await
    }
}

/// Applies a batch and counts its outcomes. What a job that miscounts has sent, it has sent.
async fn apply(job: &dyn Job, context: &Context, steps: &[Step]) -> Result<Applied, Failure> {
    let applied = job.apply(context, steps).await?;
    if applied.outcomes.len() == steps.len() {
        return Ok(applied);
    }
    let what = "a batch came back with the wrong number of outcomes";
    Err(Failure { may_have_happened: true, ..Failure::new(Kind::Bug, what) })
}

/// The way of steps that must not be sent twice: ask about those in doubt, apply the others, and
/// ask again when the answer was lost.
async fn carry_out_once(
    job: &dyn Job,
    context: &Context,
    steps: &[Step],
) -> Result<Applied, Failure> {
    let mut known = vec![None; steps.len()];
    for (step, known) in steps.iter().zip(&mut known).filter(|(step, _)| step.in_doubt) {
        *known = job.settle(context, step).await.map_err(still_in_doubt)?;
    }
    let rest: Vec<Step> = steps
        .iter()
        .zip(&known)
        .filter(|(_, known)| known.is_none())
        .map(|(step, _)| step.clone())
        .collect();
    let mut applied = if rest.is_empty() {
        Applied::nothing_sent()
    } else {
        match apply(job, context, &rest).await {
            Err(failure) if failure.may_have_happened && failure.kind != Kind::Bug => {
                settle_all(job, context, &rest, &failure).await?
            }
            other => other?,
        }
    };
    let mut fresh = std::mem::take(&mut applied.outcomes).into_iter();
    applied.outcomes =
        known.into_iter().filter_map(|known| known.or_else(|| fresh.next())).collect();
    Ok(applied)
}

/// What became of steps whose answer was lost: what the remote's state says, else the failure.
async fn settle_all(
    job: &dyn Job,
    context: &Context,
    steps: &[Step],
    failure: &Failure,
) -> Result<Applied, Failure> {
    let mut applied = Applied::nothing_sent();
    for step in steps {
        let outcome = job.settle(context, step).await.map_err(still_in_doubt)?;
        let failed = || Outcome::Failed(Box::new(failure.clone()));
        applied.outcomes.push(outcome.unwrap_or_else(failed));
    }
    Ok(applied)
}

/// The remote could not be asked, so what was in doubt before is so still.
fn still_in_doubt(mut failure: Failure) -> Failure {
    failure.may_have_happened = true;
    failure
}
