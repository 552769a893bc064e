//! A gateway from its first breath to its last: it opens the queues and destinations, serves the
//! doors on threads of their own, forwards on one, and ends in an order in which nothing is lost.
//!
//! The order of a stop: the doors close and answer what they have; the destinations get what is
//! queued for as long as the limit allows; what is on the wire is answered; the queues are synced.
//! What is still queued then is sent at the next start.

mod budgets;
mod front;
mod open;
mod snapshot;

use super::destinations::{Forwarder, ForwarderMeter};
use super::doors::Doors;
use super::hold::Hold;
use super::letters::Letterbox;
use super::pipeline::Pipeline;
use super::reload::{Reloader, Troubles};
use super::settings::{DestinationKind, Settings};
use super::status::HeldStatus;
use crate::connector::{OpenError, Server};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use windlass_engine::job::BoxFuture;
use windlass_engine::remote::Remote;
use windlass_engine::runner::stop::Stop;
use windlass_engine::{Context, Event};

#[cfg(test)]
pub(super) use open::{With, assemble, unheard};
pub(super) use open::{folder, masks_exist, open, settings_of};
pub(super) use snapshot::Machine;

/// How often a stop looks whether everything is delivered.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long what is on the wire has at a stop, when the limit for delivering is over.
const WIRE_LIMIT: Duration = Duration::from_secs(5);

/// A gateway that is open and not yet serving.
pub(super) struct Gateway {
    settings: Settings,
    listener: TcpListener,
    folder: PathBuf,
    running: Arc<Running>,
    feeds: Vec<Feed>,
    hold: Hold,
    reloader: Reloader,
    doors: Arc<Doors<front::Behind>>,
    context: Context,
    warnings: Vec<String>,
}

/// A forwarder with what it runs in.
pub(super) struct Feed {
    forwarder: Forwarder,
    context: Context,
    signals: mpsc::Receiver<Event>,
}

impl Feed {
    /// Begins to forward; the stop ends it.
    pub(super) fn spawn(self, tasks: &mut JoinSet<()>) -> Stop {
        let stop = self.context.stop.clone();
        tasks.spawn(count_signals(self.signals, Arc::clone(&self.forwarder.meter)));
        tasks.spawn(self.forwarder.run(self.context));
        stop
    }
}

/// What all parts of a running gateway share.
pub(super) struct Running {
    pub(super) pipeline: Pipeline,
    pub(super) troubles: Troubles,
    pub(super) dead_letters: Arc<Letterbox>,
    destinations: Vec<Destination>,
    pub(super) held: Mutex<HeldStatus>,
    machine: Machine,
    started_ms: u64,
    queue_bytes_max: u64,
    hold_bytes_max: u64,
}

/// A destination as it is seen from outside.
struct Destination {
    kind: DestinationKind,
    flag: Option<String>,
    remote: Arc<Remote>,
    meter: Arc<ForwarderMeter>,
}

impl Server for Gateway {
    fn greeting(&self) -> Vec<(&'static str, String)> {
        let place = self.listener.local_addr().map_or(self.settings.listen, |address| address);
        let names = self.settings.destinations.iter().map(|one| one.name.as_str());
        let names: Vec<&str> = names.collect();
        let projects = match self.settings.projects.len() {
            0 => "no keys: everybody on this machine may send".to_owned(),
            1 => "1 project with a key".to_owned(),
            count => format!("{count} projects with keys"),
        };
        let mut lines = vec![
            ("listening", format!("http://{place}")),
            ("projects", projects),
            ("destinations", names.join(", ")),
            ("folder", self.folder.display().to_string()),
        ];
        lines.extend(self.warnings.iter().map(|warning| ("warning", warning.clone())));
        lines
    }

    fn serve(self: Box<Self>, stop: Stop) -> BoxFuture<'static, Result<Vec<String>, OpenError>> {
        Box::pin(self.work(stop))
    }
}

impl Gateway {
    async fn work(self: Box<Self>, stop: Stop) -> Result<Vec<String>, OpenError> {
        let Self { settings, listener, running, feeds, hold, reloader, doors, context, .. } = *self;
        let folder = self.folder;
        let mut tasks = JoinSet::new();
        let mut feed_stops = Vec::new();
        for feed in feeds {
            feed_stops.push(feed.spawn(&mut tasks));
        }
        tasks.spawn(hold.run(context.clone()));
        tasks.spawn(reloader.run(context.clone()));
        tasks.spawn(budgets::keep(Arc::clone(&running), folder, context.clone()));
        let door_stop = Stop::default();
        let threads = front::spawn(&settings, &listener, &doors, &door_stop)?;
        // The threads have copies; without this one the port is free once they close.
        drop(listener);
        stop.draining().await;

        door_stop.drain();
        let closed = tokio::task::spawn_blocking(move || threads.join());
        let limit = tokio::time::sleep(settings.drain);
        tokio::pin!(limit);
        tokio::select! {
            _ = closed => {}
            () = &mut limit => {}
            () = stop.aborting() => {}
        }
        tokio::select! {
            () = all_delivered(&running) => {}
            () = &mut limit => {}
            () = stop.aborting() => {}
        }
        context.stop.drain();
        feed_stops.iter().for_each(Stop::drain);
        let wire = async { while tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = wire => {}
            () = tokio::time::sleep(WIRE_LIMIT) => {}
            () = stop.aborting() => {}
        }
        tasks.abort_all();
        let left = left_behind(&running);
        running.pipeline.queue.close();
        running.pipeline.hold.close();
        Ok(left)
    }
}

/// Waits until nothing waits for a destination that is reachable.
async fn all_delivered(running: &Running) {
    loop {
        let meter = running.pipeline.queue.meter();
        let waits =
            meter.destinations.iter().zip(&running.destinations).any(|(one, destination)| {
                one.pending > 0 && !destination.meter.misconfigured.load(Ordering::Relaxed)
            });
        if !waits && meter.waiting_batches == 0 {
            return;
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

/// What a person should know at the end: what is still queued.
fn left_behind(running: &Running) -> Vec<String> {
    let meter = running.pipeline.queue.meter();
    let left = meter.destinations.iter().filter(|one| one.pending > 0);
    let line = |one: &super::queue::DestinationMeter| {
        format!("{} events wait for {}; the next start sends them", one.pending, one.name)
    };
    let mut lines: Vec<String> = left.map(line).collect();
    let held: u64 = running.pipeline.hold.meter().destinations.iter().map(|one| one.pending).sum();
    if held > 0 {
        lines.push(format!("{held} parts and undecided spans are held for the next start"));
    }
    if lines.is_empty() {
        lines.push("everything is delivered".to_owned());
    }
    lines
}

/// Counts what the engine tells of one destination.
async fn count_signals(mut signals: mpsc::Receiver<Event>, meter: Arc<ForwarderMeter>) {
    while let Some(event) = signals.recv().await {
        match event {
            Event::Throttled { .. } => meter.throttled.fetch_add(1, Ordering::Relaxed),
            Event::Retrying { message, .. } => {
                meter.note(message);
                meter.retries.fetch_add(1, Ordering::Relaxed)
            }
            _ => continue,
        };
    }
}
