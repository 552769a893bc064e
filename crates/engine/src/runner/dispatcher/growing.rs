//! The plan of a run that applies while it lists: the listing beside the work, and what it adds.

use super::Dispatcher;
use crate::event::Event;
use crate::job::{BoxFuture, Context, Job};
use crate::plan::{Growth, Plan, PlanWriter, Visible};
use crate::runner::discover::DiscoverError;
use std::sync::Arc;

/// The rest of a listing, as it goes on beside the work.
pub(super) type Listing = BoxFuture<'static, Result<Plan, DiscoverError>>;

impl Dispatcher {
    /// Takes up what was listed since the last turn.
    pub(super) fn take_growth(&mut self) {
        let Some((growth, taken)) = &mut self.growth else { return };
        let now = growth.visible();
        if now == *taken {
            return;
        }
        *taken = now;
        self.plan.header.steps = now.steps;
        for bits in [&mut self.finished, &mut self.failed, &mut self.idle, &mut self.in_doubt] {
            bits.grow(now.steps);
        }
        self.publish(Event::Planned { steps: now.steps, complete: now.complete });
    }

    pub(super) fn listed(&mut self, listed: Result<Plan, DiscoverError>) {
        self.listing = None;
        match listed {
            Ok(plan) => self.plan = plan,
            Err(error) => self.end_by(error),
        }
    }
}

/// Goes on with the listing of a plan that grows.
pub(super) fn listing(job: &Arc<dyn Job>, context: &Context, mut writer: PlanWriter) -> Listing {
    let (job, context) = (Arc::clone(job), context.clone());
    Box::pin(async move {
        job.discover(&context, &mut writer).await?;
        Ok(writer.finish_growing()?)
    })
}

/// Returns when the listing is over, where there is one.
pub(super) async fn listed(listing: &mut Option<Listing>) -> Result<Plan, DiscoverError> {
    match listing {
        Some(listing) => listing.await,
        None => std::future::pending().await,
    }
}

/// Returns when there is more of a growing plan than was taken up.
pub(super) async fn grown(growth: Option<&(Growth, Visible)>) {
    match growth {
        Some((growth, taken)) if !taken.complete => growth.beyond(*taken).await,
        _ => std::future::pending().await,
    }
}
