//! Looking at what new work has to wait for: the server's replication lag and queue, its latency
//! against what it was at the start, a query's count, a file, the hours of the day. Each is a watch
//! with a name, and each reason is shown by it.

mod rules;
#[cfg(test)]
mod tests;

use super::Migrate;
use crate::mongo::access::operation;
use crate::mongo::api::whole;
use bson::{Bson, Document, doc};
pub use rules::Throttle;
use std::time::Duration;
use windlass_engine::job::Context;
use windlass_engine::remote::Hold;
use windlass_engine::{Event, Failure};

/// How long between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Pings that make the baseline of the latency.
const BASELINE: usize = 5;
/// A latency below this is never slow, whatever the baseline was.
const LATENCY_MIN: Duration = Duration::from_millis(20);

/// The latencies of pings.
#[derive(Debug, Default)]
struct Pings {
    baseline: Vec<Duration>,
    recent: Duration,
}

impl Pings {
    /// Takes one in and says how many times the baseline the recent ones are.
    fn take(&mut self, latency: Duration) -> Option<f64> {
        if self.baseline.len() < BASELINE {
            self.baseline.push(latency);
            self.recent = latency;
            return None;
        }
        self.recent = (self.recent * 3 + latency) / 4;
        let mut sorted = self.baseline.clone();
        sorted.sort();
        let usual = sorted.get(BASELINE / 2)?.max(&Duration::from_micros(1)).as_secs_f64();
        (self.recent >= LATENCY_MIN).then_some(self.recent.as_secs_f64() / usual)
    }
}

impl Migrate {
    /// Looks again and again, for as long as it is polled.
    pub(super) async fn watch(&self, context: &Context) {
        let Some(throttle) = Throttle::of(&self.migration.text).ok().flatten() else { return };
        let mut pings = Pings::default();
        loop {
            for (watch, reason) in self.look_at(context, &throttle, &mut pings).await {
                self.tell_hold(context, watch, reason).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Each watch with what it says now. What can't be found out holds nothing up.
    async fn look_at(
        &self,
        context: &Context,
        throttle: &Throttle,
        pings: &mut Pings,
    ) -> Vec<(&'static str, Option<Hold>)> {
        let mut found = Vec::new();
        if let Some(file) = &throttle.file {
            let stops = Hold { reason: format!("{} is there", file.display()), stops: true };
            found.push(("file", file.exists().then_some(stops)));
        }
        if let Some(hours) = &throttle.hours {
            found.push(("hours", hours.hold(jiff::Zoned::now().time())));
        }
        if let Some(most) = throttle.lag {
            found.push((
                "replication-lag",
                self.lag(context).await.ok().flatten().and_then(|lag| {
                    let reason = format!("a member is {} s behind", lag.as_secs());
                    (lag > most.0).then_some(Hold { reason, stops: true })
                }),
            ));
        }
        if let Some(most) = throttle.queue {
            found.push((
                "queue",
                self.queue(context).await.ok().flatten().and_then(|queue| {
                    let reason = format!("{queue} operations wait at the server, {most} may");
                    (queue > most).then_some(Hold { reason, stops: false })
                }),
            ));
        }
        if let Some(most) = throttle.latency
            && let Ok(latency) = self.ping(context).await
        {
            let times = pings.take(latency).filter(|times| *times > most);
            let reason =
                |times| format!("the server answers {times:.1} times slower than at first");
            found
                .push(("latency", times.map(|times| Hold { reason: reason(times), stops: false })));
        }
        if let Some(query) = &throttle.query
            && let Ok(count) = self.count_of(context, &query.collection, &query.filter).await
        {
            let reason = format!("{count} documents of {} match the query", query.collection);
            let hold = Hold { reason, stops: true };
            found.push(("query", (count > query.above).then_some(hold)));
        }
        found
    }

    async fn tell_hold(&self, context: &Context, watch: &'static str, hold: Option<Hold>) {
        let by = watch.to_owned();
        let event = match &hold {
            Some(hold) => Event::Held { by, reason: hold.reason.clone() },
            None => Event::Released { by },
        };
        let gate = self.access.remote.gate();
        let was_held = gate.is_held(watch);
        gate.hold(watch, hold.clone());
        // A reason with a figure in it changes all the time; that it holds is told once.
        if was_held != hold.is_some() {
            context.signal(event).await;
        }
    }

    /// How far the slowest member that has data is behind; `None` without a replica set.
    async fn lag(&self, context: &Context) -> Result<Option<Duration>, Failure> {
        let command = doc! { "replSetGetStatus": 1 };
        let reply = self.admin(context, command).await?;
        let members = reply.get_array("members").map(Vec::as_slice).unwrap_or_default();
        let at = |member: &Bson| {
            let member = member.as_document()?;
            let state = member.get("state").and_then(whole)?;
            let at = member.get_datetime("optimeDate").ok()?.timestamp_millis();
            matches!(state, 1 | 2).then_some(at)
        };
        let times: Vec<i64> = members.iter().filter_map(at).collect();
        let spread = times.iter().max().zip(times.iter().min()).map(|(last, first)| last - first);
        Ok(spread.map(|ms| Duration::from_millis(ms.unsigned_abs())))
    }

    async fn queue(&self, context: &Context) -> Result<Option<u64>, Failure> {
        let reply = self.access.keep(context, doc! { "serverStatus": 1 }).await?;
        let lock = reply.get_document("globalLock").ok();
        let queue = lock.and_then(|lock| lock.get_document("currentQueue").ok());
        let total = queue.and_then(|queue| queue.get("total")).and_then(whole);
        Ok(total.map(i64::unsigned_abs))
    }

    async fn ping(&self, context: &Context) -> Result<Duration, Failure> {
        let send = |_| self.access.api.command(doc! { "ping": 1 });
        Ok(self.access.remote.call(context, operation::KEEP, false, send).await?.latency)
    }

    async fn count_of(
        &self,
        context: &Context,
        collection: &str,
        filter: &Document,
    ) -> Result<u64, Failure> {
        let command = doc! { "count": collection, "query": filter.clone() };
        let reply = self.access.keep(context, command).await?;
        Ok(super::writing::count_in(&reply, "n"))
    }

    async fn admin(&self, context: &Context, command: Document) -> Result<Document, Failure> {
        let send = |_| self.access.api.admin(command.clone());
        Ok(self.access.remote.call(context, operation::KEEP, false, send).await?.value)
    }
}
