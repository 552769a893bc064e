//! What stands before the first batch and after the last: what the remote still holds from
//! earlier sessions, what the job finds done already, and its last look.

use super::settling::settled_event;
use super::{Dispatcher, SKIPS_A_LINE, Session};
use crate::clock::unix_millis;
use crate::event::{Ending, Event, Settled};
use crate::job::{Covered, Job, Outcome, Skip};
use crate::runner::command::Order;
use crate::runner::discover::watch;
use crate::steps::Steps;
use crate::tally::Verified;
use std::collections::BTreeSet;
use tokio::sync::mpsc::Receiver;

impl Dispatcher {
    /// The job's own output proves what is done. A step that has nothing in it is what the journal
    /// says: gone, failed, or still to be done.
    pub(super) fn believe(&mut self, covered: Option<Covered>) {
        let Some(covered) = covered else { return };
        let Covered { below, missing } = covered;
        let missing: BTreeSet<u64> = missing.iter().collect();
        let there = (0..below).filter(|step| !missing.contains(step));
        let steps: Steps = there.filter(|step| !self.finished.contains(*step)).collect();
        if !steps.is_empty() {
            let (latency_us, attempts) = (0, 0);
            let (status, request_id) = (None, None);
            self.publish(Event::Done { steps, latency_us, attempts, status, request_id });
        }
        let idle = |step: &u64| self.failed.contains(*step) || self.idle.contains(*step);
        let lost = self.finished.iter().filter(|step| *step >= below && !idle(step));
        let steps: Steps = lost.collect();
        if !steps.is_empty() {
            self.reopen(steps);
        }
    }

    pub(super) fn skip(&mut self, skips: &[Skip]) {
        for chunk in skips.chunks(SKIPS_A_LINE) {
            let fresh = chunk.iter().filter(|skip| self.finished.insert(skip.step));
            let steps: Vec<Settled> = fresh
                .map(|skip| Settled {
                    step: skip.step,
                    key: skip.key.clone(),
                    label: Some(skip.label.clone()),
                    outcome: Outcome::Skipped(skip.reason.clone()),
                })
                .collect();
            if !steps.is_empty() {
                self.publish(settled_event(steps, None));
            }
        }
    }

    /// Lets the job look once more at what it did.
    pub(super) async fn look_again(
        &mut self,
        signals: &mut Receiver<Event>,
        orders: &mut Receiver<Order>,
    ) {
        if !matches!(self.ending, None | Some(Ending::Stopped)) || !self.is_done() {
            return;
        }
        let remotes = self.job.remotes();
        let tally = self.tally.clone();
        let looking = self.job.finish(&self.context, &self.plan);
        let reporters = &mut self.reporters;
        let found =
            watch(&remotes, &self.context, tally, looking, signals, orders, reporters).await;
        match found {
            Ok(found) => {
                self.complete = true;
                if let Some(Verified { seen, left, message }) = found {
                    self.publish(Event::Verified { seen, left, message });
                }
            }
            Err(error) => self.end_by(error),
        }
    }
}

/// Tells the gate what the remote's windows still hold from earlier sessions.
pub(super) fn recall(job: &dyn Job, session: &Session) {
    let remotes = job.remotes();
    let Some(remote) = remotes.first() else { return };
    let phases = job.info().phases;
    let recovered = &session.recovered;
    let carried = |phase: usize| phases.get(phase).map_or(1, |info| info.steps_a_request.max(1));
    let phase_of = |step| session.plan.header.phase_of(step);
    // One step stands for the request that it shared with others.
    let doubtful = recovered.in_doubt.iter().filter(|step| step % carried(phase_of(*step)) == 0);
    for past in recovered.recent.answers(unix_millis(), doubtful) {
        let phase = session.plan.header.phase_of(past.step);
        if let Some(info) = phases.get(phase) {
            remote.gate().recall(info.operation, past.ago, past.requests);
        }
    }
}
