//! The dispatcher: owns all state of a run, merges everything that happens into one line of
//! events, journals them, and shows them to the reporters. Its loop begins batches while the
//! window has room, then waits for whatever comes first.
//!
//! In each turn the gathered lines of the journal are written before anything new is sent.

mod claiming;
mod growing;
mod orders;
mod settling;
mod stages;

use super::batcher::Batcher;
use super::command::Order;
use super::discover::{DiscoverError, TICK, watch};
use super::executor::{Carried, carry_out};
use super::reporter::Reporter;
use crate::alerts::Alerts;
use crate::bits::Bits;
use crate::clock::unix_millis;
use crate::event::{EVENTS_VERSION, Ending, Event, Stamped};
use crate::failure::{Failure, Kind};
use crate::job::{Context, Job, JobInfo, Step};
use crate::journal::{Journal, Recovered};
use crate::plan::{Growth, Plan, PlanWriter, Visible};
use crate::remote::Meter;
use crate::steps::Steps;
use crate::tally::Tally;
use claiming::{Claiming, claimed};
use growing::{Listing, grown, listed, listing};
use stages::recall;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// Skipped steps are journaled in lines of so many.
const SKIPS_A_LINE: usize = 500;

/// One session of a run: a job, its plan and what its journal remembers.
#[derive(Debug)]
pub struct Session {
    /// The plan to apply, as far as it is there.
    pub plan: Plan,
    /// The rest of its listing, for a plan that is applied while it grows.
    pub listing: Option<PlanWriter>,
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
    let tally = session.recovered.tally.clone();
    let remotes = job.remotes();
    let _beside = accompany(&job, &context);
    let before = async {
        let covered = job.prepare(&context, &session.plan).await?;
        Ok((covered, job.recheck(&context, &session.plan).await?))
    };
    let before =
        watch(&remotes, &context, tally, before, &mut signals, &mut orders, &mut reporters).await;
    let mut dispatcher = Dispatcher::new(job, session, settings, context, reporters);
    dispatcher.begin(settings);
    match before {
        Ok((covered, skips)) => {
            dispatcher.believe(covered);
            dispatcher.skip(&skips);
            dispatcher.work(&mut signals, &mut orders).await;
            dispatcher.look_again(&mut signals, &mut orders).await;
        }
        Err(error) => dispatcher.end_by(error),
    }
    dispatcher.end().await
}

/// What goes on beside the work, until this is dropped.
fn accompany(job: &Arc<dyn Job>, context: &Context) -> JoinSet<()> {
    let (job, context) = (Arc::clone(job), context.clone());
    let mut beside = JoinSet::new();
    beside.spawn(async move { job.accompany(&context).await });
    beside
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
    idle: Bits,
    in_doubt: Bits,
    retry_failed: bool,
    tally: Tally,
    reporters: Vec<Box<dyn Reporter>>,
    tasks: JoinSet<Carried>,
    /// Batches that were begun and have no outcome yet, by the number of their first step.
    begun: BTreeMap<u64, Arc<Vec<Step>>>,
    listing: Option<Listing>,
    /// How far the growing plan is listed, and how much of that was taken up.
    growth: Option<(Growth, Visible)>,
    /// The growing plan's file: what the journal says of its steps must not last longer.
    plan_file: Option<File>,
    /// The question for the next part of a shared plan, while it is open.
    claiming: Option<Claiming>,
    /// Whether nothing of the plan is left to be claimed.
    is_claimed: bool,
    alerts: Alerts,
    ending: Option<Ending>,
    /// Whether every step has its outcome, and the job has looked at them once more.
    complete: bool,
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
        let mut recovered = session.recovered;
        recovered.grow(session.plan.header.steps);
        recovered.truncate(session.plan.header.steps);
        let plan_file = session.listing.as_ref().and_then(|writer| writer.handle().ok());
        let growth = session.plan.growth().map(|growth| (growth, Visible::default()));
        let listing = session.listing.map(|writer| listing(&job, &context, writer));
        Self {
            info: job.info(),
            job,
            context,
            listing,
            growth,
            plan_file,
            window: settings.window.max(1),
            plan: session.plan,
            journal: session.journal,
            finished: recovered.finished,
            failed: recovered.failed,
            idle: recovered.idle,
            in_doubt: recovered.in_doubt,
            retry_failed: session.retry_failed,
            tally: recovered.tally,
            reporters,
            tasks: JoinSet::new(),
            begun: BTreeMap::new(),
            claiming: None,
            is_claimed: false,
            alerts: Alerts::default(),
            ending: None,
            complete: false,
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
            let steps: Steps = self.failed.iter().collect();
            self.job.reopened();
            self.reopen(steps);
        }
    }

    /// The time for all steps when nothing but the quota holds them up: no round trip counts.
    fn best_ms(&self) -> Option<u64> {
        let remotes = self.job.remotes();
        let spec = remotes.first()?.spec();
        let phases = self.info.phases.iter().zip(&self.plan.header.phases);
        let times = phases.map(|(info, phase)| {
            let requests = info.requests(phase.steps);
            spec.time_for(info.operation, requests, Duration::ZERO)
        });
        u64::try_from(times.sum::<Duration>().as_millis()).ok().filter(|best| *best > 0)
    }

    fn reopen(&mut self, steps: Steps) {
        for step in steps.iter() {
            self.finished.remove(step);
        }
        self.publish(Event::Reopened { steps });
    }

    async fn work(&mut self, signals: &mut Receiver<Event>, orders: &mut Receiver<Order>) {
        let mut batcher = match Batcher::new(&self.plan, Arc::clone(&self.job)) {
            Ok(batcher) => batcher,
            Err(error) => return self.end_with(Failure::new(Kind::Bug, error.to_string())),
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let stop = self.context.stop.clone();
        loop {
            self.take_growth();
            self.claim(&batcher);
            self.fill(&mut batcher);
            self.write_journal();
            if self.tasks.is_empty() && self.listing.is_none() && self.claiming.is_none() {
                break;
            }
            tokio::select! {
                Some(joined) = self.tasks.join_next() => self.joined(joined, &mut batcher),
                listed = listed(&mut self.listing) => self.listed(listed),
                () = grown(self.growth.as_ref()) => {}
                claim = claimed(&mut self.claiming) => self.claimed(claim, &mut batcher),
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

    /// Whether the plan is whole and every step of it has its outcome.
    fn is_done(&self) -> bool {
        let listed = self.growth.as_ref().is_none_or(|(_, taken)| taken.complete);
        let claimed = !self.info.shared || self.is_claimed;
        listed && claimed && self.finished.count() == self.plan.header.steps
    }

    fn end_by(&mut self, error: DiscoverError) {
        match error {
            DiscoverError::Remote(failure) if failure.kind == Kind::Cancelled => {
                self.ending.get_or_insert(Ending::Stopped);
            }
            DiscoverError::Remote(failure) => self.end_with(failure),
            DiscoverError::Plan(error) => {
                let failure = Failure::new(Kind::Bug, error.to_string());
                self.end_with(failure.with_hint(error.hint()));
            }
        }
    }

    /// Begins as many batches as the window has room for: intents first, on record, then tasks.
    fn fill(&mut self, batcher: &mut Batcher) {
        let mut batches = Vec::new();
        let mut steps = Steps::default();
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
            let batch = Arc::new(batch);
            let first = batch.first().map_or(0, |step| step.number);
            self.begun.insert(first, Arc::clone(&batch));
            let (job, context) = (Arc::clone(&self.job), self.context.clone());
            self.tasks.spawn(carry_out(job, context, self.info.idempotent, batch));
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
            Ok(carried) => self.carried(carried, batcher),
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                self.end_with(Failure::new(Kind::Bug, format!("a task broke: {error}")));
            }
        }
    }

    fn meter(&self) -> Meter {
        self.job.remotes().first().map_or_else(Meter::default, |remote| remote.meter())
    }

    fn end_with(&mut self, failure: Failure) {
        if !matches!(self.ending, Some(Ending::Fatal(_) | Ending::JournalLost(_))) {
            self.publish(Event::Stopping { reason: failure.to_string() });
            self.ending = Some(Ending::Fatal(Box::new(failure)));
        }
        self.context.stop.drain();
    }

    fn publish(&mut self, event: Event) {
        match &event {
            Event::Settled { steps, .. } => {
                for settled in steps.iter().filter(|settled| settled.outcome.is_final()) {
                    self.finished.insert(settled.step);
                }
            }
            Event::Done { steps, .. } | Event::Elsewhere { steps } => {
                for step in steps.iter() {
                    self.finished.insert(step);
                }
            }
            _ => {}
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
        for alert in self.alerts.look(now, &self.tally) {
            self.publish(alert);
        }
        let meter = self.meter();
        for reporter in &mut self.reporters {
            reporter.tick(now, &self.tally, &meter);
        }
        if let Some(syncing) = self.syncing.take_if(|syncing| syncing.is_finished()) {
            self.synced(syncing).await;
        }
        if self.syncing.is_none() && !self.journal_is_lost() {
            match self.journal.sync_if_due(now) {
                Ok(Some(task)) => {
                    let plan = self.plan_file.as_ref().and_then(|file| file.try_clone().ok());
                    self.syncing = Some(tokio::task::spawn_blocking(move || {
                        plan.map_or(Ok(()), |plan| plan.sync_data())?;
                        task()
                    }));
                }
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

    /// Records how the session ended and syncs the journal. A journal that was lost is tried once
    /// more: space may have been freed while the wire drained.
    async fn end(mut self) -> Tally {
        if let Some(syncing) = self.syncing.take() {
            self.synced(syncing).await;
        }
        let ending = match self.ending.take().unwrap_or(Ending::Stopped) {
            Ending::Stopped if self.complete => Ending::Complete,
            ending => ending,
        };
        self.publish(Event::RunEnded { ending });
        let plan = self.plan_file.as_ref().map_or(Ok(()), File::sync_data);
        if let Err(error) = plan.and_then(|()| self.journal.sync())
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
