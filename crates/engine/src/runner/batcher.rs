//! Cuts the steps of a plan into batches, leaving out what is finished.

use crate::bits::Bits;
use crate::job::{Job, PhaseInfo, Step};
use crate::plan::{Lines, Plan, PlanError};
use crate::policy::Bounds;
use crate::policy::batch_size::BatchSize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Reads steps and hands out batches, in the plan's order.
pub struct Batcher {
    job: Arc<dyn Job>,
    plan: Plan,
    lines: Lines,
    /// The number of the next step that `lines` gives.
    position: u64,
    /// The parts of a shared plan that are this process's and not read yet, each from its first
    /// step to before its end; `None` where all of the plan is.
    parts: Option<VecDeque<(u64, u64)>>,
    /// Whether the first of them has begun to be read.
    is_in_part: bool,
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
        let start = if batch.target.is_some() { count(batch.start) } else { max };
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
    /// Batches of this plan, in the sizes that the job's phases allow. Of a shared plan it gives
    /// only the parts that are granted.
    ///
    /// # Errors
    /// When the plan can't be read any more.
    pub fn new(plan: &Plan, job: Arc<dyn Job>) -> Result<Self, PlanError> {
        let info = job.info();
        let phases = info.phases.iter().map(Phase::new).collect();
        let (plan, lines) = (plan.clone(), plan.lines()?);
        let parts = info.shared.then(VecDeque::new);
        Ok(Self {
            job,
            plan,
            lines,
            position: 0,
            parts,
            is_in_part: false,
            phases,
            held: Vec::new(),
            bytes: 0,
        })
    }

    /// The steps from `first` to before `end` may be handed out.
    pub fn grant(&mut self, first: u64, end: u64) {
        if let Some(parts) = self.parts.as_mut().filter(|_| first < end) {
            parts.push_back((first, end));
        }
    }

    /// How many parts of a shared plan are granted and not handed out in full.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.as_ref().map_or(0, VecDeque::len)
    }

    /// The next batch of steps that are not finished; empty at the end of the plan, or where more
    /// has to be listed or granted first. A batch holds steps of one phase and of one part only.
    /// Steps in doubt are marked.
    ///
    /// # Errors
    /// When the plan can't be read any more.
    pub fn next(&mut self, finished: &Bits, in_doubt: &Bits) -> Result<Vec<Step>, PlanError> {
        loop {
            if self.is_full() {
                return Ok(self.take());
            }
            let mut step = match self.next_unfinished(finished)? {
                Found::Step(step) => step,
                // What is there of a batch waits for the rest of it.
                Found::Nothing if self.lines.may_grow() => return Ok(Vec::new()),
                Found::EndOfPart if self.held.is_empty() => continue,
                Found::EndOfPart | Found::Nothing => return Ok(self.take()),
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

    fn next_unfinished(&mut self, finished: &Bits) -> Result<Found, PlanError> {
        loop {
            let Some(end) = self.enter_part()? else { return Ok(Found::Nothing) };
            if self.position >= end {
                self.parts.as_mut().map(VecDeque::pop_front);
                self.is_in_part = false;
                return Ok(Found::EndOfPart);
            }
            let Some(step) = self.lines.next_step()? else { return Ok(Found::Nothing) };
            self.position = step.number + 1;
            let first =
                self.parts.as_ref().and_then(|parts| parts.front()).map_or(0, |part| part.0);
            if step.number >= first && !finished.contains(step.number) {
                return Ok(Found::Step(step));
            }
        }
    }

    /// Where the present part ends. One that begins before the present line, as that of a process
    /// that died, is read from the beginning of the plan on.
    fn enter_part(&mut self) -> Result<Option<u64>, PlanError> {
        let Some(parts) = &self.parts else { return Ok(Some(u64::MAX)) };
        let Some(&(first, end)) = parts.front() else { return Ok(None) };
        if !self.is_in_part && self.position > first {
            self.lines = self.plan.lines()?;
            self.position = 0;
        }
        self.is_in_part = true;
        Ok(Some(end))
    }
}

/// What reading on has found.
enum Found {
    Step(Step),
    /// The present part is read.
    EndOfPart,
    /// The plan, or what is granted of it, is read.
    Nothing,
}

fn count(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}
