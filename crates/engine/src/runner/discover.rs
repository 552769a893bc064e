//! Discovery: lets a job read its remote and write the plan, while somebody watches.

use super::command::{Command, Order};
use super::reporter::Reporter;
use crate::event::{Event, Stamped};
use crate::failure::Failure;
use crate::job::{Context, Job};
use crate::plan::{Header, PlanError, PlanWriter};
use crate::remote::{Meter, Remote};
use crate::tally::Tally;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

/// How often reporters may draw.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The remote could not be read.
    #[error(transparent)]
    Remote(#[from] Failure),
    /// The plan could not be written or read.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Writes the plan of a job. The plan appears at its place only when the whole listing is done.
///
/// # Errors
/// When the remote can't be read to the end, a stop is asked for, or the disk is full.
pub async fn discover(
    job: &dyn Job,
    context: &Context,
    mut plan: PlanWriter,
    signals: &mut Receiver<Event>,
    orders: &mut Receiver<Order>,
    reporters: &mut [Box<dyn Reporter>],
) -> Result<Header, DiscoverError> {
    let remotes = job.remotes();
    let tally = Tally::new(plan.header());
    let mut watcher = Watcher { context, remotes: &remotes, tally, reporters };
    let listed = watcher.watch(job.discover(context, &mut plan), signals, orders).await;
    watcher.draw();
    if let Err(error) = listed {
        plan.discard();
        return Err(error);
    }
    Ok(plan.finish()?)
}

/// Runs a future that only reads, while signals are shown and a stop is obeyed.
///
/// # Errors
/// What the future says; [`Kind::Cancelled`](crate::Kind::Cancelled) when it is aborted.
pub async fn watch<T, E: From<Failure>>(
    remotes: &[Arc<Remote>],
    context: &Context,
    tally: Tally,
    reading: impl Future<Output = Result<T, E>>,
    signals: &mut Receiver<Event>,
    orders: &mut Receiver<Order>,
    reporters: &mut [Box<dyn Reporter>],
) -> Result<T, E> {
    Watcher { context, remotes, tally, reporters }.watch(reading, signals, orders).await
}

struct Watcher<'a> {
    context: &'a Context,
    remotes: &'a [Arc<Remote>],
    tally: Tally,
    reporters: &'a mut [Box<dyn Reporter>],
}

impl Watcher<'_> {
    async fn watch<T, E: From<Failure>>(
        &mut self,
        reading: impl Future<Output = Result<T, E>>,
        signals: &mut Receiver<Event>,
        orders: &mut Receiver<Order>,
    ) -> Result<T, E> {
        let mut reading = std::pin::pin!(reading);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let read = loop {
            tokio::select! {
                // A reading that is done at once is not worth showing.
                biased;
                read = &mut reading => break read,
                Some(event) = signals.recv() => self.publish(event),
                Some(order) = orders.recv() => self.obey(&order),
                _ = tick.tick() => self.draw(),
                () = self.context.stop.aborting() => return Err(Failure::cancelled().into()),
            }
        };
        while let Ok(event) = signals.try_recv() {
            self.publish(event);
        }
        read
    }

    fn publish(&mut self, event: Event) {
        let stamped = Stamped { at: self.context.clock.now(), event };
        self.tally.take_in(&stamped);
        for reporter in self.reporters.iter_mut() {
            reporter.event(&stamped, &self.tally);
        }
    }

    /// While nothing is being changed, the only order that means something is to stop.
    fn obey(&mut self, order: &Order) {
        match order.command {
            Command::Stop if self.context.stop.is_draining() => self.context.stop.abort(),
            Command::Stop => self.context.stop.drain(),
            Command::Abort => self.context.stop.abort(),
            _ => {}
        }
    }

    fn draw(&mut self) {
        let now = self.context.clock.now();
        let meter = self.remotes.first().map_or_else(Meter::default, |remote| remote.meter());
        for reporter in self.reporters.iter_mut() {
            reporter.tick(now, &self.tally, &meter);
        }
    }
}
