//! What becomes of batches: outcomes, steps that are given back, failures that end the run.

use super::Dispatcher;
use crate::event::{Ending, Event, Settled};
use crate::failure::{EndsRun, Failure, Kind};
use crate::job::{Applied, Outcome, Step};
use crate::runner::batcher::Batcher;
use crate::runner::executor::Carried;
use std::sync::Arc;

impl Dispatcher {
    pub(super) fn carried(&mut self, carried: Carried, batcher: &mut Batcher) {
        let Some(steps) = self.begun.remove(&carried.first) else { return };
        let mut steps = Arc::try_unwrap(steps).unwrap_or_else(|shared| (*shared).clone());
        let phase = steps.first().map_or(0, |step| step.phase);
        for size in carried.refused {
            batcher.refused(phase, size);
        }
        for part in carried.parts {
            let rest = steps.split_off(part.steps);
            let part_steps = std::mem::replace(&mut steps, rest);
            if let Ok(applied) = &part.result {
                batcher.observed(phase, part_steps.len(), applied.latency);
            }
            self.settle(part_steps, part.result);
        }
    }

    pub(super) fn settle(&mut self, steps: Vec<Step>, result: Result<Applied, Failure>) {
        let failure = match result {
            Ok(applied) => {
                self.answered = true;
                self.streak = None;
                return self.outcomes(steps, applied);
            }
            Err(failure) => failure,
        };
        let unsent = failure.kind == Kind::Cancelled;
        let ends_run = !unsent && self.ends_run(failure.kind);
        if !unsent && !ends_run {
            self.answered = true;
            let each = |_: &Step| Outcome::Failed(Box::new(failure.clone()));
            return self.publish(settled_all(&steps, each, Some(&failure)));
        }
        if failure.may_have_happened {
            self.publish(settled_all(&steps, |_| Outcome::InDoubt, None));
        } else {
            self.give_back(&steps);
        }
        if ends_run {
            self.end_with(failure);
        }
    }

    /// Steps that were begun but not sent are what they were before: untouched, or in doubt.
    pub(super) fn give_back(&mut self, steps: &[Step]) {
        let (doubtful, untouched): (Vec<&Step>, Vec<&Step>) =
            steps.iter().partition(|step| step.in_doubt);
        if !untouched.is_empty() {
            let steps = untouched.iter().map(|step| step.number).collect();
            self.publish(Event::Returned { steps });
        }
        if !doubtful.is_empty() {
            self.publish(settled_all(doubtful, |_| Outcome::InDoubt, None));
        }
    }

    pub(super) fn outcomes(&mut self, steps: Vec<Step>, applied: Applied) {
        let attempts = applied.attempts;
        let latency_us = u64::try_from(applied.latency.as_micros()).unwrap_or(u64::MAX);
        // An answer within the clock's grain was an answer all the same.
        let latency_us = if attempts > 0 { latency_us.max(1) } else { latency_us };
        if self.is_plainly_done(&steps, &applied.outcomes) {
            let steps = steps.iter().map(|step| step.number).collect();
            let (status, request_id) = (applied.status, applied.request_id);
            return self.publish(Event::Done { steps, latency_us, attempts, status, request_id });
        }
        let settled = steps.into_iter().zip(applied.outcomes).map(|(step, outcome)| Settled {
            label: (!matches!(outcome, Outcome::Done))
                .then_some(step.label)
                .filter(|label| is_said(label)),
            step: step.number,
            key: step.key,
            outcome,
        });
        self.publish(Event::Settled {
            steps: settled.collect(),
            latency_us,
            attempts,
            status: applied.status,
            request_id: applied.request_id,
        });
    }

    /// Whether one line is enough for a whole batch. A single step keeps its key, for `grep`.
    fn is_plainly_done(&self, steps: &[Step], outcomes: &[Outcome]) -> bool {
        let phase = steps.first().and_then(|step| self.info.phases.get(step.phase));
        phase.is_some_and(|phase| phase.batch.max > 1)
            && outcomes.iter().all(|outcome| *outcome == Outcome::Done)
    }

    /// Whether a failure of this kind is about more than its step. The first answer of a session
    /// already is, and so is one after the end has begun: its siblings met the same wall.
    fn ends_run(&mut self, kind: Kind) -> bool {
        match kind.verdict().ends_run {
            EndsRun::Never => {
                self.streak = None;
                false
            }
            EndsRun::Always => true,
            EndsRun::After(limit) => {
                let before = self.streak.filter(|(last, _)| *last == kind).map_or(0, |(_, n)| n);
                self.streak = Some((kind, before + 1));
                let ending = matches!(&self.ending, Some(Ending::Fatal(last)) if last.kind == kind);
                before + 1 >= limit || !self.answered || ending
            }
        }
    }

    /// What is still on the wire after an abort is in doubt, and so is what a broken task left.
    pub(super) fn abandon(&mut self) {
        if self.begun.is_empty() {
            return;
        }
        let aborted = !self.tasks.is_empty();
        self.tasks.abort_all();
        let begun = std::mem::take(&mut self.begun);
        let steps = begun.values().flat_map(|batch| batch.iter()).map(|step| Settled {
            step: step.number,
            key: step.key.clone(),
            label: None,
            outcome: Outcome::InDoubt,
        });
        let event = settled_event(steps.collect(), None);
        self.publish(event);
        if aborted {
            self.ending = Some(Ending::Aborted);
        }
    }
}

fn is_said(label: &str) -> bool {
    !label.is_empty()
}

fn settled_all<'a>(
    steps: impl IntoIterator<Item = &'a Step>,
    outcome: impl Fn(&Step) -> Outcome,
    failure: Option<&Failure>,
) -> Event {
    let settled = steps.into_iter().map(|step| Settled {
        step: step.number,
        key: step.key.clone(),
        label: Some(step.label.clone()).filter(|label| is_said(label)),
        outcome: outcome(step),
    });
    settled_event(settled.collect(), failure)
}

pub(super) fn settled_event(steps: Vec<Settled>, failure: Option<&Failure>) -> Event {
    Event::Settled {
        steps,
        latency_us: 0,
        attempts: failure.map_or(0, |failure| failure.attempts),
        status: failure.and_then(|failure| failure.status),
        request_id: failure.and_then(|failure| failure.request_id.clone()),
    }
}
