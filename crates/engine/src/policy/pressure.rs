//! Law: this machine's load slows or stops the start of new work above a limit, and lets it go on
//! only when the load is clearly below that limit again.
//!
//! Worked example with the default limits (CPU 85 %, memory 80 %, margin 5 points): CPU at 88 %
//! says slow. At 83 % it still says slow, and at 79 % normal. Memory at 82 % says slow, and stop if
//! the CPU is above its limit too or memory reaches 90 %.
//!
//! CPU alone never stops work: a full processor is slow, a full memory is fatal. Work that has
//! begun always goes on, since ending it is what frees memory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Memory this far above its limit stops new work by itself.
const SEVERE: f32 = 0.10;
/// Memory that counts as severe whatever the limit, so that a limit near 100 % still can stop.
const SEVERE_MAX: f32 = 0.98;

/// Loads, as shares from 0 to 1, from which this machine counts as busy.
#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// The share of processor time.
    pub cpu: f32,
    /// The share of memory in use.
    pub memory: f32,
    /// How far below its limit a load must fall before it counts as over.
    pub resume_margin: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu: 0.85, memory: 0.80, resume_margin: 0.05 }
    }
}

/// One measurement, as shares from 0 to 1. A figure that is not a number was not measured and
/// changes nothing.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Load {
    /// The share of processor time.
    pub cpu: f32,
    /// The share of memory in use.
    pub memory: f32,
}

/// What is short.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The processor is above its limit.
    Cpu,
    /// Memory is above its limit.
    Memory,
    /// Both are.
    Both,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU load is above its limit",
            Self::Memory => "memory use is above its limit",
            Self::Both => "CPU load and memory use are above their limits",
        })
    }
}

/// What a load means for new work.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Start work as usual.
    Normal,
    /// Start less.
    Slow {
        /// What is short.
        reason: Reason,
    },
    /// Start nothing new until a later verdict.
    Stop {
        /// What is short.
        reason: Reason,
    },
}

/// A limit with memory: on from `on`, off only below `off`.
#[derive(Copy, Clone, Debug)]
struct Latch {
    on: f32,
    off: f32,
    is_on: bool,
}

impl Latch {
    fn new(on: f32, margin: f32) -> Self {
        Self { on, off: on - margin, is_on: false }
    }

    fn observe(&mut self, load: f32) -> bool {
        if load >= self.on {
            self.is_on = true;
        } else if load < self.off {
            self.is_on = false;
        }
        self.is_on
    }
}

/// Turns measurements of this machine into verdicts.
#[derive(Clone, Debug)]
pub struct Pressure {
    cpu: Latch,
    memory: Latch,
    memory_severe: Latch,
}

impl Default for Pressure {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Pressure {
    /// Limits outside 0 to 1 are moved there; one that is not a number becomes the default.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let usual = Limits::default();
        let cpu = share(limits.cpu, usual.cpu);
        let memory = share(limits.memory, usual.memory);
        let margin = share(limits.resume_margin, usual.resume_margin);
        let severe = (memory + SEVERE).min(SEVERE_MAX).max(memory);
        Self {
            cpu: Latch::new(cpu, margin),
            memory: Latch::new(memory, margin),
            memory_severe: Latch::new(severe, margin),
        }
    }

    /// The verdict after this measurement.
    pub fn observe(&mut self, load: Load) -> Verdict {
        let cpu = self.cpu.observe(load.cpu);
        let memory = self.memory.observe(load.memory);
        let severe = self.memory_severe.observe(load.memory);
        match (cpu, memory, severe) {
            (true, true, _) => Verdict::Stop { reason: Reason::Both },
            (false, _, true) => Verdict::Stop { reason: Reason::Memory },
            (false, true, false) => Verdict::Slow { reason: Reason::Memory },
            (true, false, _) => Verdict::Slow { reason: Reason::Cpu },
            (false, false, false) => Verdict::Normal,
        }
    }
}

fn share(value: f32, otherwise: f32) -> f32 {
    if value.is_nan() { otherwise } else { value.clamp(0.0, 1.0) }
}
