//! The parts of a plan that several processes share: asked for one at a time, a little ahead of the
//! batches that need them.

use super::Dispatcher;
use crate::event::Event;
use crate::failure::{Failure, Kind};
use crate::job::{BoxFuture, Claim};
use crate::runner::batcher::Batcher;
use crate::steps::Steps;
use std::sync::Arc;

/// The next part is asked for while so many are granted and not handed out, so that nobody waits
/// for it: the one that is being handed out and one to follow.
const PARTS_AHEAD: usize = 2;

/// An open question for the next part.
pub(super) type Claiming = BoxFuture<'static, Result<Claim, Failure>>;

impl Dispatcher {
    /// Asks for the next part where it will be needed soon.
    pub(super) fn claim(&mut self, batcher: &Batcher) {
        let is_wanted = self.info.shared && !self.is_claimed && self.claiming.is_none();
        if !is_wanted || self.context.stop.is_draining() || batcher.parts() >= PARTS_AHEAD {
            return;
        }
        let (job, context) = (Arc::clone(&self.job), self.context.clone());
        self.claiming = Some(Box::pin(async move {
            tokio::select! {
                claim = job.claim(&context) => claim,
                () = context.stop.draining() => Err(Failure::cancelled()),
            }
        }));
    }

    pub(super) fn claimed(&mut self, claim: Result<Claim, Failure>, batcher: &mut Batcher) {
        self.claiming = None;
        match claim {
            Ok(Claim::Part { first, end, done }) => {
                self.elsewhere(done.iter());
                batcher.grant(first, end);
            }
            Ok(Claim::Elsewhere(steps)) => self.elsewhere(steps.iter()),
            Ok(Claim::Over) => self.is_claimed = true,
            Err(failure) if failure.kind == Kind::Cancelled => {}
            Err(failure) => self.end_with(failure),
        }
    }

    /// Steps that another process has carried out; those of this one are known already.
    fn elsewhere(&mut self, steps: impl Iterator<Item = u64>) {
        let steps: Steps = steps.filter(|step| !self.finished.contains(*step)).collect();
        if !steps.is_empty() {
            self.publish(Event::Elsewhere { steps });
        }
    }
}

/// Returns when the open question is answered, where there is one.
pub(super) async fn claimed(claiming: &mut Option<Claiming>) -> Result<Claim, Failure> {
    match claiming {
        Some(claiming) => claiming.await,
        None => std::future::pending().await,
    }
}
