//! The dispatcher: owns all state of a run, merges everything that happens into one line of
//! events, journals them, and shows them to the reporters. Its loop begins batches while the
//! window has room, then waits for whatever comes first.
//!
//! In each turn the gathered lines of the journal are written before anything new is sent.

use super::batcher::Batcher;
use super::command::{Command, Order, Status};
use super::discover::{DiscoverError, TICK, watched};
use super::executor::{Carried, carry_out};
use super::reporter::Reporter;
use crate::bits::Bits;
use crate::clock::unix_millis;
use crate::event::{EVENTS_VERSION, Ending, Event, Settled, Stamped};
use crate::failure::{EndsRun, Failure, Kind};
use crate::job::{Applied, Context, Job, JobInfo, Outcome, Skip, Step};
use crate::journal::{Journal, Recovered};
use crate::plan::Plan;
use crate::policy::Bounds;
use crate::policy::batch_size::BatchSize;
use crate::remote::Meter;
use crate::tally::Tally;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// How long an adaptive batch should take.
const BATCH_TARGET: Duration = Duration::from_secs(2);
/// Skipped steps are journaled in lines of so many.
const SKIPS_A_LINE: usize = 500;

/// One session of a run: a job, its plan and what its journal remembers.
#[derive(Debug)]
pub struct Session {
    /// The plan to apply.
    pub plan: Plan,
    /// Its open journal.
    pub journal: Journal,
    /// What the journal remembers.
    pub recovered: Recovered,
    /// Whether steps that failed in an earlier session are tried again.
    pub retry_failed: bool,
}

/// The bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// Batches begun and not settled, at most. At least the concurrency, or the wire idles.
    pub window: usize,
    /// The seed of the jitter, for the record.
    pub seed: u64,
}

/// Applies what is left of a plan and returns the run's totals; how it ended stands in
/// [`Tally::ending`]. Every way out leaves a complete journal.
pub async fn run(
    job: Arc<dyn Job>,
    session: Session,
    settings: SessionSettings,
    context: Context,
    mut signals: Receiver<Event>,
    mut orders: Receiver<Order>,
    mut reporters: Vec<Box<dyn Reporter>>,
) -> Tally {
    recall(&*job, &session);
    let recheck = job.recheck(&context, &session.plan);
    let tally = session.recovered.tally.clone();
    let skips =
        watched(&*job, &context, tally, recheck, &mut signals, &mut orders, &mut reporters).await;
    let mut dispatcher = Dispatcher::new(job, session, settings, context, reporters);
    dispatcher.begin(settings);
    match skips {
        Ok(skips) => {
            dispatcher.skip(&skips);
            dispatcher.work(&mut signals, &mut orders).await;
        }
        Err(DiscoverError::Remote(failure)) if failure.kind == Kind::Cancelled => {
            dispatcher.ending = Some(Ending::Stopped);
        }
        Err(DiscoverError::Remote(failure)) => dispatcher.end_with(failure),
        Err(DiscoverError::Plan(error)) => {
            dispatcher.end_with(Failure::new(Kind::Bug, error.to_string()).with_hint(error.hint()));
        }
    }
    dispatcher.end().await
}

struct Dispatcher {
    job: Arc<dyn Job>,
    info: JobInfo,
    context: Context,
    window: usize,
    plan: Plan,
    journal: Journal,
    finished: Bits,
    failed: Bits,
    in_doubt: Bits,
    retry_failed: bool,
    tally: Tally,
    reporters: Vec<Box<dyn Reporter>>,
    tasks: JoinSet<Carried>,
    /// Steps that were begun and have no outcome yet, with their keys.
    begun: BTreeMap<u64, Box<str>>,
    ending: Option<Ending>,
    /// The last kind of failure that could end the run, and how often in a row.
    streak: Option<(Kind, u32)>,
    answered: bool,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Dispatcher {
    fn new(
        job: Arc<dyn Job>,
        session: Session,
        settings: SessionSettings,
        context: Context,
        reporters: Vec<Box<dyn Reporter>>,
    ) -> Self {
        let recovered = session.recovered;
        Self {
            info: job.info(),
            job,
            context,
            window: settings.window.max(1),
            plan: session.plan,
            journal: session.journal,
            finished: recovered.finished,
            failed: recovered.failed,
            in_doubt: recovered.in_doubt,
            retry_failed: session.retry_failed,
            tally: recovered.tally,
            reporters,
            tasks: JoinSet::new(),
            begun: BTreeMap::new(),
            ending: None,
            streak: None,
            answered: false,
            syncing: None,
        }
    }

    fn begin(&mut self, settings: SessionSettings) {
        self.publish(Event::RunStarted {
            version: EVENTS_VERSION,
            run: self.plan.header.id.clone(),
            unix_ms: unix_millis(),
            session: self.tally.sessions + 1,
            steps: self.plan.header.steps,
            finished: self.finished.count(),
            seed: settings.seed,
            best_ms: self.best_ms(),
        });
        if self.retry_failed && self.failed.count() > 0 {
            let steps: Vec<u64> = self.failed.iter().collect();
            for &step in &steps {
                self.finished.remove(step);
            }
            self.publish(Event::Reopened { steps });
        }
    }

    /// The time for all steps when nothing but the quota holds them up: no round trip counts.
    fn best_ms(&self) -> Option<u64> {
        let remotes = self.job.remotes();
        let spec = remotes.first()?.spec();
        let phases = self.info.phases.iter().zip(&self.plan.header.phases);
        let times =
            phases.map(|(info, phase)| spec.time_for(info.operation, phase.steps, Duration::ZERO));
        u64::try_from(times.sum::<Duration>().as_millis()).ok().filter(|best| *best > 0)
    }

    fn skip(&mut self, skips: &[Skip]) {
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

    async fn work(&mut self, signals: &mut Receiver<Event>, orders: &mut Receiver<Order>) {
        let mut batcher = match self.plan.lines() {
            Ok(lines) => Batcher::new(lines, self.batch_size()),
            Err(error) => return self.end_with(Failure::new(Kind::Bug, error.to_string())),
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let stop = self.context.stop.clone();
        loop {
            self.fill(&mut batcher);
            self.write_journal();
            if self.tasks.is_empty() {
                break;
            }
            tokio::select! {
                Some(joined) = self.tasks.join_next() => self.joined(joined, &mut batcher),
                Some(event) = signals.recv() => self.publish(event),
                Some(order) = orders.recv() => self.obey(order),
                _ = tick.tick() => self.tick().await,
                () = stop.aborting() => break,
            }
            while let Some(joined) = self.tasks.try_join_next() {
                self.joined(joined, &mut batcher);
            }
        }
        while let Ok(event) = signals.try_recv() {
            self.publish(event);
        }
        self.abandon();
    }

    fn batch_size(&self) -> BatchSize {
        let (min, max) = (*self.info.batch.start(), *self.info.batch.end());
        BatchSize::new(Bounds { min: count(min), max: count(max), start: count(min) }, BATCH_TARGET)
    }

    /// Begins as many batches as the window has room for: intents first, on record, then tasks.
    fn fill(&mut self, batcher: &mut Batcher) {
        let mut batches = Vec::new();
        let mut steps = Vec::new();
        while !self.context.stop.is_draining() && self.tasks.len() + batches.len() < self.window {
            let batch = match batcher.next(&self.finished, &self.in_doubt) {
                Ok(batch) => batch,
                Err(error) => {
                    self.end_with(Failure::new(Kind::Bug, error.to_string()));
                    break;
                }
            };
            if batch.is_empty() {
                break;
            }
            steps.extend(batch.iter().map(|step| step.number));
            batches.push(batch);
        }
        if batches.is_empty() {
            return;
        }
        self.publish(Event::Begun { steps });
        if !self.intents_are_safe() {
            return self.give_back(&batches.concat());
        }
        for batch in batches {
            self.begun.extend(batch.iter().map(|step| (step.number, step.key.clone())));
            self.tasks.spawn(carry_out(Arc::clone(&self.job), self.context.clone(), batch));
        }
    }

    /// An intent has to be with the system before its step is sent, and on the disk where the
    /// step may not be sent twice.
    fn intents_are_safe(&mut self) -> bool {
        if self.info.idempotent {
            self.write_journal();
        } else if let Err(error) = self.journal.sync() {
            self.journal_lost(&error);
        }
        !self.journal_is_lost()
    }

    fn joined(&mut self, joined: Result<Carried, JoinError>, batcher: &mut Batcher) {
        match joined {
            Ok(carried) => {
                for step in &carried.steps {
                    self.begun.remove(&step.number);
                }
                if let Ok(applied) = &carried.result {
                    batcher.observed(carried.steps.len(), applied.latency);
                }
                self.settle(carried);
            }
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                self.end_with(Failure::new(Kind::Bug, format!("a task broke: {error}")));
            }
        }
    }

    fn settle(&mut self, carried: Carried) {
        let steps = carried.steps;
        let failure = match carried.result {
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
    fn give_back(&mut self, steps: &[Step]) {
        let (doubtful, untouched): (Vec<&Step>, _) = steps.iter().partition(|step| step.in_doubt);
        if !untouched.is_empty() {
            let steps = untouched.iter().map(|step| step.number).collect();
            self.publish(Event::Returned { steps });
        }
        if !doubtful.is_empty() {
            self.publish(settled_all(doubtful, |_| Outcome::InDoubt, None));
        }
    }

    fn outcomes(&mut self, steps: Vec<Step>, applied: Applied) {
        let attempts = applied.attempts;
        let latency_us = u64::try_from(applied.latency.as_micros()).unwrap_or(u64::MAX);
        // An answer within the clock's grain was an answer all the same.
        let latency_us = if attempts > 0 { latency_us.max(1) } else { latency_us };
        let settled = steps.into_iter().zip(applied.outcomes).map(|(step, outcome)| Settled {
            label: (!matches!(outcome, Outcome::Done)).then_some(step.label),
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

    fn obey(&mut self, order: Order) {
        let remotes = self.job.remotes();
        match order.command {
            Command::Pause | Command::Resume => {
                let paused = order.command == Command::Pause;
                remotes.iter().for_each(|remote| remote.gate().set_paused(paused));
                self.publish(if paused { Event::Paused } else { Event::Resumed });
            }
            Command::Stop if order.by == "interrupt" && self.context.stop.is_draining() => {
                self.context.stop.abort();
            }
            Command::Stop => self.stop(order.by),
            Command::Abort => self.context.stop.abort(),
            Command::Rate(rate) => self.set_rate(rate),
            Command::Scale(factor) => {
                let meter = self.meter();
                let now = self.tally.rate_now(self.context.clock.now()).max(1.0);
                self.set_rate(meter.rate.unwrap_or(now) * factor);
            }
            Command::Status => {}
        }
        if let Some(reply) = order.reply {
            // Whoever asked may have gone away.
            let _ = reply.send(self.status());
        }
    }

    fn set_rate(&mut self, rate: f64) {
        let rate = (rate > 0.0 && rate.is_finite()).then_some(rate);
        self.job.remotes().iter().for_each(|remote| remote.gate().set_rate(rate));
        self.publish(Event::RateSet { per_second: rate });
    }

    fn status(&self) -> Status {
        let meter = self.meter();
        Status {
            run: self.tally.run.clone(),
            steps: self.tally.steps,
            counts: self.tally.counts,
            in_flight: meter.in_flight,
            per_second: self.tally.rate_now(self.context.clock.now()),
            rate: meter.rate,
            paused: meter.paused,
            stopping: self.context.stop.is_draining(),
        }
    }

    fn meter(&self) -> Meter {
        self.job.remotes().first().map_or_else(Meter::default, |remote| remote.meter())
    }

    fn stop(&mut self, reason: &str) {
        if !self.context.stop.is_draining() {
            self.publish(Event::Stopping { reason: reason.to_owned() });
        }
        self.ending.get_or_insert(Ending::Stopped);
        self.context.stop.drain();
    }

    fn end_with(&mut self, failure: Failure) {
        if !matches!(self.ending, Some(Ending::Fatal(_) | Ending::JournalLost(_))) {
            self.publish(Event::Stopping { reason: failure.to_string() });
            self.ending = Some(Ending::Fatal(Box::new(failure)));
        }
        self.context.stop.drain();
    }

    fn publish(&mut self, event: Event) {
        if let Event::Settled { steps, .. } = &event {
            for settled in steps.iter().filter(|settled| settled.outcome.is_final()) {
                self.finished.insert(settled.step);
            }
        }
        let stamped = Stamped { at: self.context.clock.now(), event };
        self.journal.append(stamped.at, &stamped.event);
        self.tally.take_in(&stamped);
        for reporter in &mut self.reporters {
            reporter.event(&stamped, &self.tally);
        }
    }

    async fn tick(&mut self) {
        let now = self.context.clock.now();
        let meter = self.meter();
        for reporter in &mut self.reporters {
            reporter.tick(now, &self.tally, &meter);
        }
        if let Some(syncing) = self.syncing.take_if(|syncing| syncing.is_finished()) {
            self.synced(syncing).await;
        }
        if self.syncing.is_none() && !self.journal_is_lost() {
            match self.journal.sync_if_due(now) {
                Ok(Some(task)) => self.syncing = Some(tokio::task::spawn_blocking(task)),
                Ok(None) => {}
                Err(error) => self.journal_lost(&error),
            }
        }
    }

    async fn synced(&mut self, syncing: JoinHandle<io::Result<()>>) {
        let synced = syncing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = synced {
            self.journal_lost(&error);
        }
    }

    fn write_journal(&mut self) {
        if !self.journal_is_lost()
            && let Err(error) = self.journal.write()
        {
            self.journal_lost(&error);
        }
    }

    fn journal_is_lost(&self) -> bool {
        matches!(self.ending, Some(Ending::JournalLost(_)))
    }

    /// Without a journal nothing may be sent: what is on the wire is answered, then the run ends.
    fn journal_lost(&mut self, error: &io::Error) {
        self.ending = Some(Ending::JournalLost(error.to_string()));
        self.publish(Event::Stopping { reason: format!("the journal can't be written: {error}") });
        self.context.stop.drain();
    }

    /// What is still on the wire after an abort is in doubt, and so is what a broken task left.
    fn abandon(&mut self) {
        if self.begun.is_empty() {
            return;
        }
        let aborted = !self.tasks.is_empty();
        self.tasks.abort_all();
        let begun = std::mem::take(&mut self.begun);
        let steps = begun.into_iter().map(|(step, key)| Settled {
            step,
            key,
            label: None,
            outcome: Outcome::InDoubt,
        });
        let event = settled_event(steps.collect(), None);
        self.publish(event);
        if aborted {
            self.ending = Some(Ending::Aborted);
        }
    }

    /// Records how the session ended and syncs the journal. A journal that was lost is tried once
    /// more: space may have been freed while the wire drained.
    async fn end(mut self) -> Tally {
        if let Some(syncing) = self.syncing.take() {
            self.synced(syncing).await;
        }
        let ending = match self.ending.take().unwrap_or(Ending::Stopped) {
            Ending::Stopped if self.finished.count() == self.plan.header.steps => Ending::Complete,
            ending => ending,
        };
        self.publish(Event::RunEnded { ending });
        if let Err(error) = self.journal.sync()
            && !matches!(self.tally.ending, Some(Ending::JournalLost(_)))
        {
            self.tally.ending = Some(Ending::JournalLost(error.to_string()));
        }
        let now = self.context.clock.now();
        let meter = self.meter();
        for reporter in &mut self.reporters {
            reporter.tick(now, &self.tally, &meter);
        }
        self.tally
    }
}

/// Tells the gate what the remote's windows still hold from earlier sessions.
fn recall(job: &dyn Job, session: &Session) {
    let remotes = job.remotes();
    let Some(remote) = remotes.first() else { return };
    let phases = job.info().phases;
    let recovered = &session.recovered;
    for past in recovered.recent.answers(unix_millis(), recovered.in_doubt.iter()) {
        let phase = session.plan.header.phase_of(past.step);
        if let Some(info) = phases.get(phase) {
            remote.gate().recall(info.operation, past.ago, past.requests);
        }
    }
}

fn count(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}

fn settled_all<'a>(
    steps: impl IntoIterator<Item = &'a Step>,
    outcome: impl Fn(&Step) -> Outcome,
    failure: Option<&Failure>,
) -> Event {
    let settled = steps.into_iter().map(|step| Settled {
        step: step.number,
        key: step.key.clone(),
        label: Some(step.label.clone()),
        outcome: outcome(step),
    });
    settled_event(settled.collect(), failure)
}

fn settled_event(steps: Vec<Settled>, failure: Option<&Failure>) -> Event {
    Event::Settled {
        steps,
        latency_us: 0,
        attempts: failure.map_or(0, |failure| failure.attempts),
        status: failure.and_then(|failure| failure.status),
        request_id: failure.and_then(|failure| failure.request_id.clone()),
    }
}
