//! What people say to a run, and what they are told.

use super::Dispatcher;
use crate::event::{Ending, Event};
use crate::runner::command::{Command, Order, Status};

impl Dispatcher {
    pub(super) fn obey(&mut self, order: Order) {
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

    fn stop(&mut self, reason: &str) {
        if !self.context.stop.is_draining() {
            self.publish(Event::Stopping { reason: reason.to_owned() });
        }
        self.ending.get_or_insert(Ending::Stopped);
        self.context.stop.drain();
    }
}
