//! This machine's load while a run is at work: it is measured every few seconds, told as an event,
//! and what it means for new work is passed on to the gates of the job's remotes.
//!
//! What a measurement means is decided by [`Pressure`]; here are only the figures that it is
//! given, the words about its verdict, and the clock.

#[cfg(test)]
mod tests;

use crate::display::words;
use crate::settings::MemoryLimit;
use std::collections::BTreeMap;
use std::time::Duration;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use windlass_engine::job::Job;
use windlass_engine::policy::pressure::{Limits, Load, Pressure, Reason, Verdict};
use windlass_engine::remote::Hold;
use windlass_engine::{Context, Event, Moment};

/// When the first look is taken: processor use is the difference between two looks.
const FIRST: Duration = Duration::from_secs(1);
/// How long between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// The share of the memory limit from which requests go one at a time. [`Pressure`] stops new work
/// at 98 % of the limit, so that what is on the wire still fits below it.
const MEMORY_SLOW: f32 = 0.90;

/// The names of what is watched.
const CPU: &str = "cpu";
const MEMORY: &str = "memory";

/// How much of the machine a run may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The share of processor time, from 0 to 1; `None` watches none.
    pub cpu: Option<f32>,
    /// The memory of this process.
    pub memory: MemoryLimit,
}

/// The machine at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Processor time in use since the last look, as a share from 0 to 1 of all cores.
    pub cpu: f32,
    /// Memory of this process in bytes.
    pub memory_bytes: u64,
}

/// What does not change about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its cores.
    pub cores: usize,
    /// Its memory, or as much of it as this process may see, in bytes.
    pub memory_bytes: u64,
}

/// Measures this machine.
pub struct Meter {
    system: System,
    pid: Option<Pid>,
}

impl Meter {
    /// Begins to measure, and says what the machine is.
    ///
    /// # Errors
    /// Where the system does not say what it is.
    pub fn new() -> Result<(Self, Machine), sysinfo::Error> {
        let mut system = System::new()?;
        system.refresh_memory();
        system.refresh_cpu_usage();
        // A container may have less than the machine that it is on.
        let contained = system.cgroup_limits().map(|limits| limits.total_memory);
        let memory_bytes = contained.filter(|bytes| *bytes > 0).unwrap_or(u64::MAX);
        let machine = Machine {
            cores: system.cpus().len().max(1),
            memory_bytes: memory_bytes.min(system.total_memory()),
        };
        Ok((Self { system, pid: sysinfo::get_current_pid().ok() }, machine))
    }

    /// Takes one measurement; it reads a few small files of the kernel's.
    pub fn measure(&mut self) -> Measured {
        self.system.refresh_cpu_usage();
        let memory_bytes = self.pid.and_then(|pid| {
            let only = ProcessesToUpdate::Some(&[pid]);
            let memory = ProcessRefreshKind::nothing().with_memory();
            self.system.refresh_processes_specifics(only, false, memory);
            self.system.process(pid).map(sysinfo::Process::memory)
        });
        let cpu = self.system.global_cpu_usage() / 100.0;
        Measured { cpu: cpu.clamp(0.0, 1.0), memory_bytes: memory_bytes.unwrap_or_default() }
    }
}

/// What a look changes about a watch: `Some` holds new work up, `None` lets it go on.
type Change = (&'static str, Option<Hold>);

/// What is remembered between two looks.
struct Watch {
    pressure: Pressure,
    cpu_limit: Option<f32>,
    memory_limit_bytes: u64,
    cores: usize,
    looked: Moment,
    busy: Duration,
    /// What holds new work up, and whether it stops it.
    holding: BTreeMap<&'static str, bool>,
}

impl Watch {
    fn new(bounds: Bounds, machine: Machine, now: Moment, busy: Duration) -> Self {
        let usual = Limits::default();
        let cpu = bounds.cpu.unwrap_or(usual.cpu);
        let limits = Limits { cpu, memory: MEMORY_SLOW, ..usual };
        Self {
            pressure: Pressure::new(limits),
            cpu_limit: bounds.cpu,
            memory_limit_bytes: bounds.memory.bytes(machine.memory_bytes),
            cores: machine.cores,
            looked: now,
            busy,
            holding: BTreeMap::new(),
        }
    }

    /// What a measurement means: the event that tells of it, and what changes with it. `busy` is
    /// all processor time that the job has spent on purpose so far.
    fn look(&mut self, now: Moment, measured: Measured, busy: Duration) -> (Event, Vec<Change>) {
        let cpu = (measured.cpu - self.on_purpose(now, busy)).clamp(0.0, 1.0);
        let memory = measured.memory_bytes as f64 / self.memory_limit_bytes.max(1) as f64;
        let verdict = self.pressure.observe(Load {
            // What is not a number changes nothing.
            cpu: if self.cpu_limit.is_some() { cpu } else { f32::NAN },
            memory: memory as f32,
        });
        let event = Event::Load {
            cpu,
            cpu_all: measured.cpu,
            memory_bytes: measured.memory_bytes,
            memory_limit_bytes: self.memory_limit_bytes,
        };
        (event, self.changes(verdict, cpu, measured.memory_bytes))
    }

    /// The share of the machine that the job used on purpose since the last look.
    fn on_purpose(&mut self, now: Moment, busy: Duration) -> f32 {
        let spent = busy.saturating_sub(self.busy).as_secs_f64();
        let time = now.saturating_since(self.looked).as_secs_f64() * self.cores as f64;
        (self.busy, self.looked) = (busy, now);
        if time > 0.0 { (spent / time) as f32 } else { 0.0 }
    }

    fn changes(&mut self, verdict: Verdict, cpu: f32, memory_bytes: u64) -> Vec<Change> {
        let (reason, stops) = match verdict {
            Verdict::Normal => (None, false),
            Verdict::Slow { reason } => (Some(reason), false),
            Verdict::Stop { reason } => (Some(reason), true),
        };
        let is_cpu = matches!(reason, Some(Reason::Cpu | Reason::Both));
        let is_memory = matches!(reason, Some(Reason::Memory | Reason::Both));
        let mut changes = Vec::new();
        for (watch, is_held) in [(CPU, is_cpu), (MEMORY, is_memory)] {
            let wanted = is_held.then_some(stops);
            if self.holding.get(watch).copied() == wanted {
                continue;
            }
            let hold = wanted.map(|stops| {
                self.holding.insert(watch, stops);
                Hold { reason: self.reason(watch, stops, cpu, memory_bytes), stops }
            });
            if hold.is_none() {
                self.holding.remove(watch);
            }
            changes.push((watch, hold));
        }
        changes
    }

    fn reason(&self, watch: &str, stops: bool, cpu: f32, memory_bytes: u64) -> String {
        let what = if watch == CPU {
            let limit = self.cpu_limit.unwrap_or(1.0);
            format!("the processor is at {:.0}% (cpu-limit {:.0}%)", cpu * 100.0, limit * 100.0)
        } else {
            let (used, limit) = (words::bytes(memory_bytes), words::bytes(self.memory_limit_bytes));
            format!("memory is at {used} (memory-limit {limit})")
        };
        let meaning = if stops { "nothing new is sent" } else { "one request at a time" };
        format!("{what}, {meaning}")
    }
}

/// Watches the machine for as long as it is polled, which is never over.
pub async fn watch(
    job: &dyn Job,
    context: &Context,
    bounds: Bounds,
    machine: Machine,
    mut measure: impl FnMut() -> Measured,
) {
    let began = context.clock.now();
    let mut watch = Watch::new(bounds, machine, began, job.busy());
    let mut next = began + FIRST;
    loop {
        context.clock.sleep_until(next).await;
        let now = context.clock.now();
        next = now + EVERY;
        let (load, changes) = watch.look(now, measure(), job.busy());
        context.signal(load).await;
        for (by, hold) in changes {
            for remote in job.remotes() {
                remote.gate().hold(by, hold.clone());
            }
            let by = by.to_owned();
            let event = match hold {
                Some(Hold { reason, .. }) => Event::Held { by, reason },
                None => Event::Released { by },
            };
            context.signal(event).await;
        }
    }
}
