//! `migrate status`: how a run stands on all machines, as the database knows it.

use super::KnownRun;
use crate::connector::{Answered, Query, QueryError};
use crate::mongo::access::{Access, odd};
use crate::mongo::board::{RUNS, Range, RunRecord};
use bson::doc;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use windlass_engine::Failure;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// How runs stand.
pub struct Status {
    /// The database.
    pub access: Access,
    /// One run, or all.
    pub run: Option<String>,
    /// Whether the answer is for programs.
    pub json: bool,
}

/// One phase of a run.
#[derive(Debug, Serialize)]
struct PhaseStatus {
    phase: String,
    steps: i64,
    done: i64,
    failed: i64,
    ranges: usize,
    ranges_done: usize,
}

/// One machine at work.
#[derive(Debug, Default, Serialize)]
struct WorkerStatus {
    worker: String,
    ranges: usize,
    done: i64,
    alive: bool,
}

/// A run as it stands.
#[derive(Debug, Serialize)]
struct RunStatus {
    run: String,
    migration: String,
    stage: String,
    paused: bool,
    stopping: bool,
    rate: Option<f64>,
    phases: Vec<PhaseStatus>,
    workers: Vec<WorkerStatus>,
}

impl Status {
    async fn look(&self, context: &Context) -> Result<Vec<RunStatus>, Failure> {
        self.access.server(context).await?;
        let filter = self.run.as_ref().map_or(doc! {}, |run| doc! { "_id": run });
        let found = self.access.page(context, RUNS, filter, 0, None).await?.value;
        let mut runs = Vec::new();
        for raw in &found {
            let record: RunRecord = bson::deserialize_from_slice(raw.as_bytes()).map_err(odd)?;
            let board = crate::mongo::board::Board::new(&self.access, &record.run, &record.run);
            let ranges = board.ranges(context, doc! { "run": &record.run }, true).await?;
            runs.push(status_of(&record, &ranges, self.access.server_ms()));
        }
        if let (Some(run), true) = (&self.run, runs.is_empty()) {
            super::known_run(&self.access, context, run).await.map(|_: KnownRun| ())?;
        }
        Ok(runs)
    }
}

fn status_of(record: &RunRecord, ranges: &[Range], now: i64) -> RunStatus {
    let phases = record.phases.iter().enumerate().map(|(number, phase)| {
        let number = i64::try_from(number).unwrap_or_default();
        let of: Vec<&Range> = ranges.iter().filter(|range| range.phase == number).collect();
        let sum = |figure: fn(&Range) -> i64| of.iter().map(|range| figure(range)).sum::<i64>();
        let left = sum(|range| range.left.max(0));
        PhaseStatus {
            phase: phase.name.clone(),
            steps: phase.steps,
            done: phase.steps - left,
            failed: sum(|range| if range.state == "failed" { range.left } else { 0 }),
            ranges: of.len(),
            ranges_done: of.iter().filter(|range| range.state == "done").count(),
        }
    });
    let mut workers: BTreeMap<String, WorkerStatus> = BTreeMap::new();
    for range in ranges {
        for mark in &range.marks {
            let worker = workers.entry(mark.by.clone()).or_default();
            worker.done += mark.end - mark.first - mark.failed.len() as i64;
        }
        if let (Some(name), "leased") = (&range.worker, range.state.as_str()) {
            let worker = workers.entry(name.clone()).or_default();
            worker.ranges += 1;
            worker.alive |= range.until.is_some_and(|until| until.timestamp_millis() > now);
        }
    }
    let named = |(name, status)| WorkerStatus { worker: name, ..status };
    RunStatus {
        run: record.run.clone(),
        migration: record.migration.clone(),
        stage: format!("{:?}", record.stage).to_lowercase(),
        paused: record.wishes.paused,
        stopping: record.wishes.stopped,
        rate: record.wishes.rate,
        phases: phases.collect(),
        workers: workers.into_iter().map(named).collect(),
    }
}

fn tell(status: &RunStatus, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let held = match (status.paused, status.stopping) {
        (_, true) => ", asked to stop",
        (true, _) => ", held",
        _ => "",
    };
    writeln!(out, "{}  {}  {}{held}", status.run, status.migration, status.stage)?;
    for phase in &status.phases {
        let share = 100.0 * phase.done as f64 / phase.steps.max(1) as f64;
        writeln!(
            out,
            "  {}: {} of {} ({share:.1} %), {} failed, {} of {} ranges",
            phase.phase, phase.done, phase.steps, phase.failed, phase.ranges_done, phase.ranges
        )?;
    }
    for worker in &status.workers {
        let state = match (worker.alive, worker.ranges) {
            (true, _) => "at work",
            (false, 0) => "away",
            (false, _) => "silent; its ranges are free",
        };
        writeln!(
            out,
            "  machine {}: {} done, {} ranges, {state}",
            worker.worker, worker.done, worker.ranges
        )?;
    }
    Ok(())
}

impl Query for Status {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            let runs = self.look(context).await?;
            for status in &runs {
                if self.json {
                    serde_json::to_writer(&mut *out, status).map_err(std::io::Error::from)?;
                    writeln!(out)?;
                } else {
                    tell(status, out)?;
                }
            }
            let none = runs.is_empty() && !self.json;
            let notes = if none { vec!["no run in this database".to_owned()] } else { Vec::new() };
            Ok(Answered { notes, differs: false })
        })
    }
}
