//! Cuts the steps of a plan into batches, leaving out what is finished.

use crate::bits::Bits;
use crate::job::Step;
use crate::plan::{Lines, PlanError};
use crate::policy::batch_size::BatchSize;
use std::time::Duration;

/// The most bytes of objects in one batch.
const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Reads steps and hands out batches, in the plan's order.
#[derive(Debug)]
pub struct Batcher {
    lines: Lines,
    held: Option<Step>,
    size: BatchSize,
}

impl Batcher {
    /// Batches of these lines in adaptive sizes.
    #[must_use]
    pub fn new(lines: Lines, size: BatchSize) -> Self {
        Self { lines, held: None, size }
    }

    /// The next batch of steps that are not finished; empty at the end of the plan. A batch
    /// holds steps of one phase only. Steps in doubt are marked.
    ///
    /// # Errors
    /// When the plan can't be read any more.
    pub fn next(&mut self, finished: &Bits, in_doubt: &Bits) -> Result<Vec<Step>, PlanError> {
        let mut batch: Vec<Step> = Vec::new();
        let mut bytes = 0;
        let most = self.size.size();
        while batch.len() < most {
            let next = match self.held.take() {
                Some(step) => Some(step),
                None => self.next_unfinished(finished)?,
            };
            let Some(mut step) = next else { break };
            bytes += step.object.get().len();
            let fits = batch
                .first()
                .is_none_or(|first| first.phase == step.phase && bytes <= BATCH_BYTES_MAX);
            if !fits {
                self.held = Some(step);
                break;
            }
            step.in_doubt = in_doubt.contains(step.number);
            batch.push(step);
        }
        Ok(batch)
    }

    /// Lets the size adapt to how long a batch took.
    pub fn observed(&mut self, steps: usize, took: Duration) {
        self.size.observed(steps, took);
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
