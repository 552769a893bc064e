//! The running totals of a run: a fold over its events, the same for the screen, the report and
//! a journal that is read again.

use crate::event::{Ending, Event, Settled, Stamped};
use crate::failure::Kind;
use crate::job::Outcome;
use crate::moment::Moment;
use crate::plan::{Header, Phase};
use crate::series::Series;
use crate::steps::Steps;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many failures are kept by name; all of them are in the journal.
pub const FAILURES_KEPT: usize = 10;
/// The seconds that the present rate is taken over.
const RECENT_SECONDS: u64 = 5;
/// The seconds that the sparkline shows.
const SPARK_SECONDS: usize = 120;
/// Latencies beyond an hour count as an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Counts by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Carried out by this run.
    pub done: u64,
    /// Somebody else had done it.
    pub already_gone: u64,
    /// Left alone on purpose.
    pub skipped: u64,
    /// Could not be carried out.
    pub failed: u64,
    /// Carried out by other processes that share the plan.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub elsewhere: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    /// How many steps have a final outcome.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.done + self.already_gone + self.skipped + self.failed + self.elsewhere
    }

    fn of(&mut self, outcome: &Outcome) -> Option<&mut u64> {
        match outcome {
            Outcome::Done | Outcome::DoneConfirmed => Some(&mut self.done),
            Outcome::AlreadyGone => Some(&mut self.already_gone),
            Outcome::Skipped(_) => Some(&mut self.skipped),
            Outcome::Failed(_) => Some(&mut self.failed),
            Outcome::InDoubt => None,
        }
    }
}

/// One phase of the plan with what became of its steps.
#[derive(Clone, Debug)]
pub struct PhaseTally {
    /// What it counts.
    pub name: String,
    /// How many steps it has.
    pub steps: u64,
    /// What became of them so far.
    pub counts: Counts,
    first: u64,
}

/// What a job found when it looked once more at what it had done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// How many objects it looked at.
    pub seen: u64,
    /// How many of them are not as they should be.
    pub left: u64,
    /// What it found, in words.
    pub message: String,
}

/// What this process takes of the machine. See [`Event::Load`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Processor time in use that is not ours on purpose, from 0 to 1.
    pub cpu: f32,
    /// All processor time in use, from 0 to 1.
    pub cpu_all: f32,
    /// Memory of this process in bytes.
    pub memory_bytes: u64,
    /// The memory that it may take in bytes.
    pub memory_limit_bytes: u64,
}

/// The totals of a run so far, over all its sessions.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The run's name.
    pub run: String,
    /// How many sessions it had.
    pub sessions: u32,
    /// When its first session began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The time that all steps take at best under the quotas of the latest session.
    pub best: Option<Duration>,
    /// How many steps the plan has.
    pub steps: u64,
    /// What became of them.
    pub counts: Counts,
    /// The same for each phase.
    pub phases: Vec<PhaseTally>,
    /// Among the done ones: proved by the remote's state because the answer was lost.
    pub confirmed: u64,
    /// Begun, and aborted without an answer.
    pub in_doubt: u64,
    /// Attempts that were sent for steps.
    pub attempts: u64,
    /// Attempts that were made again.
    pub retries: u64,
    /// Answers of the kind 429.
    pub throttled: u64,
    /// How long 429s held everything up.
    pub throttled_for: Duration,
    /// How often the breaker opened.
    pub breaker_opened: u64,
    /// Whether it is open now.
    pub breaker_is_open: bool,
    /// Failed steps by class.
    pub failures: BTreeMap<Kind, u64>,
    /// The first failed steps by name; [`FAILURES_KEPT`] at most.
    pub first_failures: Vec<Settled>,
    /// Why steps were skipped.
    pub skipped: BTreeMap<String, u64>,
    /// Latency of answers, in microseconds.
    pub latency_us: Histogram<u32>,
    /// Throughput and latency over the run's time.
    pub series: Series,
    /// Whether somebody paused it.
    pub paused: bool,
    /// What holds new work up: what is watched, with what it says.
    pub held: BTreeMap<String, String>,
    /// The alerts that are raised, by name, with their figures in words.
    pub alerts: BTreeMap<String, String>,
    /// How often alerts were raised, by name.
    pub alerts_raised: BTreeMap<String, u64>,
    /// What this process takes of the machine, as measured last.
    pub load: Option<Load>,
    /// How many steps the latest batch had.
    pub batch: u64,
    /// What the job found when it looked once more at what it had done.
    pub verified: Option<Verified>,
    /// How the last session ended; `None` while one runs, or after a crash.
    pub ending: Option<Ending>,
    failed_kinds: BTreeMap<u64, Kind>,
    /// Time of the sessions before this one.
    before: Duration,
    /// Whether the plan is whole: it does not grow any more, whatever the journal, which a kill
    /// may have cut off before the last word about the listing, says of its growth.
    is_whole: bool,
    /// When this session began to apply, on the clock of its process.
    began: Moment,
    /// Until when the 429s of this session hold everything up.
    throttled_until: Moment,
    /// The latest moment of this session.
    at: Moment,
    recent: Recent,
}

impl Tally {
    /// The totals of something that only reads, under this name: no steps, no phases.
    #[must_use]
    pub fn reading(name: &str) -> Self {
        Self::of(name, 0, &[])
    }

    /// The totals of a run that has not begun.
    #[must_use]
    pub fn new(plan: &Header) -> Self {
        let is_whole = !plan.digest.is_empty();
        Self { is_whole, ..Self::of(&plan.id, plan.steps, &plan.phases) }
    }

    fn of(run: &str, steps: u64, phases: &[Phase]) -> Self {
        let mut first = 0;
        let phase = |phase: &Phase| {
            let begins = first;
            first += phase.steps;
            let name = phase.name.clone();
            PhaseTally { name, steps: phase.steps, counts: Counts::default(), first: begins }
        };
        Self {
            run: run.to_owned(),
            sessions: 0,
            started_unix_ms: 0,
            best: None,
            steps,
            counts: Counts::default(),
            phases: phases.iter().map(phase).collect(),
            confirmed: 0,
            in_doubt: 0,
            attempts: 0,
            retries: 0,
            throttled: 0,
            throttled_for: Duration::ZERO,
            breaker_opened: 0,
            breaker_is_open: false,
            failures: BTreeMap::new(),
            first_failures: Vec::new(),
            skipped: BTreeMap::new(),
            latency_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 2)
                .expect("the bounds are in order"),
            series: Series::default(),
            paused: false,
            held: BTreeMap::new(),
            alerts: BTreeMap::new(),
            alerts_raised: BTreeMap::new(),
            load: None,
            batch: 0,
            verified: None,
            ending: None,
            failed_kinds: BTreeMap::new(),
            before: Duration::ZERO,
            is_whole: false,
            began: Moment::ZERO,
            throttled_until: Moment::ZERO,
            at: Moment::ZERO,
            recent: Recent::default(),
        }
    }

    /// Takes one event in.
    pub fn take_in(&mut self, stamped: &Stamped) {
        if let Event::RunStarted { session, unix_ms, run, best_ms, .. } = &stamped.event {
            self.begin_session(stamped.at, *session, *unix_ms, run);
            self.best = best_ms.map(Duration::from_millis);
        }
        self.at = self.at.max(stamped.at);
        match &stamped.event {
            Event::Settled { steps, latency_us, attempts, .. } => {
                self.settle(steps, *latency_us, *attempts);
            }
            Event::Done { steps, latency_us, attempts, .. } => {
                self.done(steps, *latency_us, *attempts);
            }
            Event::Planned { steps, .. } => self.grow(*steps),
            Event::Elsewhere { steps } => self.elsewhere(steps),
            Event::Held { by, reason } => {
                self.held.insert(by.clone(), reason.clone());
            }
            Event::Released { by } => {
                self.held.remove(by);
            }
            Event::Alert { name, raised, message } => self.alert(name, *raised, message),
            Event::Load { cpu, cpu_all, memory_bytes, memory_limit_bytes } => {
                self.load = Some(Load {
                    cpu: *cpu,
                    cpu_all: *cpu_all,
                    memory_bytes: *memory_bytes,
                    memory_limit_bytes: *memory_limit_bytes,
                });
            }
            Event::Reopened { steps } => steps.iter().for_each(|step| self.reopen(step)),
            Event::Throttled { wait_ms, .. } => {
                self.throttled += 1;
                // Those that were on the wire together ask for much the same time: it counts once.
                let until = self.at + Duration::from_millis(*wait_ms);
                self.throttled_for += until.saturating_since(self.throttled_until.max(self.at));
                self.throttled_until = self.throttled_until.max(until);
                self.series.throttled(self.run_moment());
            }
            Event::Retrying { .. } => self.retries += 1,
            Event::BreakerOpened { .. } => {
                self.breaker_opened += 1;
                self.breaker_is_open = true;
            }
            Event::BreakerClosed => self.breaker_is_open = false,
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::Verified { seen, left, message } => {
                let message = message.clone();
                self.verified = Some(Verified { seen: *seen, left: *left, message });
            }
            Event::RunEnded { ending } => self.ending = Some(ending.clone()),
            _ => {}
        }
    }

    /// Whether every step has its outcome and the run came to its end: after the last step a job
    /// may look once more at what it has done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.steps <= self.counts.settled() && self.ending == Some(Ending::Complete)
    }

    /// How long the run has been at work, over all its sessions, up to the latest event.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.before + self.at.saturating_since(self.began)
    }

    /// The same with the present session's time brought up to `now`.
    #[must_use]
    pub fn elapsed_at(&self, now: Moment) -> Duration {
        self.before + self.at.max(now).saturating_since(self.began)
    }

    /// How long the present session has been at work.
    #[must_use]
    pub fn session_age(&self, now: Moment) -> Duration {
        self.at.max(now).saturating_since(self.began)
    }

    /// Steps with an outcome in this session, a second, over the last five seconds.
    #[must_use]
    pub fn rate_now(&self, now: Moment) -> f64 {
        self.recent.rate(self.began, now)
    }

    /// The most steps with an outcome in any one second of this session.
    #[must_use]
    pub fn rate_peak(&self) -> u64 {
        self.recent.peak
    }

    /// Steps with an outcome, a second, over the time of this session.
    #[must_use]
    pub fn rate_average(&self, now: Moment) -> f64 {
        let seconds = self.at.max(now).saturating_since(self.began).as_secs_f64();
        if seconds > 0.0 { self.recent.total as f64 / seconds } else { 0.0 }
    }

    /// Steps with an outcome in each of the last seconds, oldest first.
    #[must_use]
    pub fn spark(&self, now: Moment) -> Vec<u64> {
        self.recent.spark(now)
    }

    /// A latency percentile in milliseconds, `share` from 0 to 1; 0 when nothing was answered.
    #[must_use]
    pub fn latency_ms(&self, share: f64) -> f64 {
        self.latency_us.value_at_quantile(share) as f64 / 1000.0
    }

    fn begin_session(&mut self, at: Moment, session: u32, unix_ms: u64, run: &str) {
        self.before = self.elapsed();
        self.began = at;
        self.at = at;
        self.throttled_until = at;
        self.sessions = session;
        run.clone_into(&mut self.run);
        self.recent = Recent::default();
        self.in_doubt = 0;
        self.verified = None;
        self.ending = None;
        self.paused = false;
        self.breaker_is_open = false;
        self.held.clear();
        self.alerts.clear();
        self.load = None;
        if self.started_unix_ms == 0 {
            self.started_unix_ms = unix_ms;
        }
    }

    fn settle(&mut self, steps: &[Settled], latency_us: u64, attempts: u32) {
        for settled in steps {
            self.settle_one(settled);
        }
        self.answered(steps.len() as u64, latency_us, attempts);
    }

    /// Steps of one phase or of several, in ascending order.
    fn elsewhere(&mut self, steps: &Steps) {
        self.counts.elsewhere += steps.count();
        for step in steps.iter() {
            if let Some(phase) = self.phase_mut(step) {
                phase.counts.elsewhere += 1;
            }
        }
    }

    fn alert(&mut self, name: &str, raised: bool, message: &str) {
        if raised {
            self.alerts.insert(name.to_owned(), message.to_owned());
            *self.alerts_raised.entry(name.to_owned()).or_default() += 1;
        } else {
            self.alerts.remove(name);
        }
    }

    fn answered(&mut self, count: u64, latency_us: u64, attempts: u32) {
        self.batch = count;
        self.attempts += u64::from(attempts);
        // A step that failed has attempts and no answer worth measuring.
        let sent = latency_us > 0;
        if sent {
            self.latency_us.saturating_record(latency_us);
        }
        self.series.settled(self.run_moment(), count, sent.then_some(latency_us));
        self.recent.add(self.at, count);
    }

    /// A batch whose steps stand in one phase, as every batch does.
    fn done(&mut self, steps: &Steps, latency_us: u64, attempts: u32) {
        let count = steps.count();
        if let Some(phase) = steps.first().and_then(|first| self.phase_mut(first)) {
            phase.counts.done += count;
        }
        self.counts.done += count;
        self.answered(count, latency_us, attempts);
    }

    /// The plan has grown; a plan that grows has one phase.
    fn grow(&mut self, steps: u64) {
        if self.is_whole {
            return;
        }
        self.steps = steps;
        if let Some(phase) = self.phases.first_mut() {
            phase.steps = steps;
        }
    }

    fn settle_one(&mut self, settled: &Settled) {
        let phase = self.phase_mut(settled.step);
        if let Some(count) = phase.and_then(|phase| phase.counts.of(&settled.outcome)) {
            *count += 1;
        }
        match self.counts.of(&settled.outcome) {
            Some(count) => *count += 1,
            None => self.in_doubt += 1,
        }
        match &settled.outcome {
            Outcome::DoneConfirmed => self.confirmed += 1,
            Outcome::Skipped(reason) => {
                *self.skipped.entry(reason.clone()).or_default() += 1;
            }
            Outcome::Failed(failure) => {
                *self.failures.entry(failure.kind).or_default() += 1;
                self.failed_kinds.insert(settled.step, failure.kind);
                if self.first_failures.len() < FAILURES_KEPT {
                    self.first_failures.push(settled.clone());
                }
            }
            _ => {}
        }
    }

    fn reopen(&mut self, step: u64) {
        let Some(kind) = self.failed_kinds.remove(&step) else {
            // Only what is done besides is ever taken back: its output was lost.
            self.counts.done = self.counts.done.saturating_sub(1);
            if let Some(phase) = self.phase_mut(step) {
                phase.counts.done = phase.counts.done.saturating_sub(1);
            }
            return;
        };
        self.counts.failed -= 1;
        if let Some(phase) = self.phase_mut(step) {
            phase.counts.failed -= 1;
        }
        if let Some(count) = self.failures.get_mut(&kind) {
            *count -= 1;
        }
        self.failures.retain(|_, count| *count > 0);
        self.first_failures.retain(|settled| settled.step != step);
    }

    fn phase_mut(&mut self, step: u64) -> Option<&mut PhaseTally> {
        self.phases.iter_mut().rev().find(|phase| phase.first <= step && phase.steps > 0)
    }

    fn run_moment(&self) -> Moment {
        Moment::ZERO + self.elapsed()
    }
}

/// Outcomes in each of the last seconds of a session; seconds without any are not kept.
#[derive(Clone, Debug, Default)]
struct Recent {
    seconds: VecDeque<(u64, u64)>,
    total: u64,
    peak: u64,
}

fn second_of(moment: Moment) -> u64 {
    moment.as_micros() / 1_000_000
}

impl Recent {
    fn add(&mut self, at: Moment, count: u64) {
        let second = second_of(at);
        if self.seconds.back().is_none_or(|(last, _)| *last < second) {
            self.seconds.push_back((second, 0));
        }
        if self.seconds.len() > SPARK_SECONDS {
            self.seconds.pop_front();
        }
        if let Some((_, sum)) = self.seconds.back_mut() {
            *sum += count;
            self.peak = self.peak.max(*sum);
        }
        self.total += count;
    }

    fn rate(&self, began: Moment, now: Moment) -> f64 {
        let age = now.saturating_since(began).as_secs_f64().min(RECENT_SECONDS as f64);
        if age <= 0.0 {
            return 0.0;
        }
        let oldest = second_of(now).saturating_sub(RECENT_SECONDS - 1);
        let recent = self.seconds.iter().rev().take_while(|(second, _)| *second >= oldest);
        recent.map(|(_, count)| count).sum::<u64>() as f64 / age
    }

    fn spark(&self, now: Moment) -> Vec<u64> {
        let end = second_of(now) + 1;
        let start = end.saturating_sub(SPARK_SECONDS as u64);
        let mut spark = vec![0; usize::try_from(end - start).expect("two minutes")];
        for &(second, count) in self.seconds.iter().filter(|(second, _)| *second >= start) {
            let index = usize::try_from(second - start).expect("two minutes");
            if let Some(bar) = spark.get_mut(index) {
                *bar = count;
            }
        }
        spark
    }
}
