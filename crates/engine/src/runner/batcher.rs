//! Cuts the steps of a plan into batches, leaving out what is finished.

use crate::bits::Bits;
use crate::job::{Job, PhaseInfo, Step};
use crate::plan::{Lines, PlanError};
use crate::policy::Bounds;
use crate::policy::batch_size::BatchSize;
use std::sync::Arc;
use std::time::Duration;

/// Reads steps and hands out batches, in the plan's order.
pub struct Batcher {
    job: Arc<dyn Job>,
    lines: Lines,
    phases: Vec<Phase>,
    /// What was read and belongs to the next batch.
    held: Vec<Step>,
    bytes: u64,
}

struct Phase {
    size: BatchSize,
    bytes_max: u64,
}

impl Phase {
    fn new(info: &PhaseInfo) -> Self {
        let batch = info.batch;
        let (min, max) = (count(batch.min), count(batch.max));
        let start = if batch.target.is_some() { min } else { max };
        let size = BatchSize::new(Bounds { min, max, start }, batch.target);
        Self { size, bytes_max: batch.bytes_max }
    }
}

impl std::fmt::Debug for Batcher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Batcher").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Batcher {
    /// Batches of these lines, in the sizes that the job's phases allow.
    #[must_use]
    pub fn new(lines: Lines, job: Arc<dyn Job>) -> Self {
        let phases = job.info().phases.iter().map(Phase::new).collect();
        Self { job, lines, phases, held: Vec::new(), bytes: 0 }
    }

    /// The next batch of steps that are not finished; empty at the end of the plan, or where more
    /// has to be listed first. A batch holds steps of one phase only. Steps in doubt are marked.
    ///
    /// # Errors
    /// When the plan can't be read any more.
    pub fn next(&mut self, finished: &Bits, in_doubt: &Bits) -> Result<Vec<Step>, PlanError> {
        loop {
            if self.is_full() {
                return Ok(self.take());
            }
            let Some(mut step) = self.next_unfinished(finished)? else {
                // What is there of a batch waits for the rest of it.
                let waits = self.lines.may_grow();
                return Ok(if waits { Vec::new() } else { self.take() });
            };
            step.in_doubt = in_doubt.contains(step.number);
            let bytes = self.job.weight(&step);
            if self.fits(&step, bytes) {
                self.bytes += bytes;
                self.held.push(step);
            } else {
                let batch = self.take();
                self.bytes = bytes;
                self.held.push(step);
                return Ok(batch);
            }
        }
    }

    /// Lets the size adapt to how long a batch of this phase took.
    pub fn observed(&mut self, phase: usize, steps: usize, took: Duration) {
        if let Some(phase) = self.phases.get_mut(phase) {
            phase.size.observed(steps, took);
        }
    }

    /// Lets the size adapt to a refusal: so many steps of this phase were too many.
    pub fn refused(&mut self, phase: usize, steps: usize) {
        if let Some(phase) = self.phases.get_mut(phase) {
            phase.size.too_large(steps);
        }
    }

    fn is_full(&self) -> bool {
        let phase = self.held.first().and_then(|first| self.phases.get(first.phase));
        phase.is_some_and(|phase| self.held.len() >= phase.size.size())
    }

    fn fits(&self, step: &Step, bytes: u64) -> bool {
        let Some(first) = self.held.first() else { return true };
        let most = self.phases.get(first.phase).map_or(0, |phase| phase.bytes_max);
        first.phase == step.phase && self.bytes.saturating_add(bytes) <= most
    }

    /// As many of the held steps as make a batch: after a refusal more may be held.
    fn take(&mut self) -> Vec<Step> {
        let phase = self.held.first().and_then(|first| self.phases.get(first.phase));
        let most = phase.map_or(1, |phase| phase.size.size().max(1));
        if self.held.len() <= most {
            self.bytes = 0;
            return std::mem::take(&mut self.held);
        }
        let rest = self.held.split_off(most);
        self.bytes = rest.iter().map(|step| self.job.weight(step)).sum();
        std::mem::replace(&mut self.held, rest)
    }

    fn next_unfinished(&mut self, finished: &Bits) -> Result<Option<Step>, PlanError> {
        while let Some(step) = self.lines.next_step()? {
            if !finished.contains(step.number) {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }
}

fn count(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}
