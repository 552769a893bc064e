//! The run's place in the database: writing it down, leasing ranges, keeping the leases, hearing
//! what people ask, and fetching the plan of a run that another machine began.

use super::Migrate;
use crate::mongo::access::LOOK_AGAIN;
use crate::mongo::board::{
    Board, Line, MadeIndex, RENEW, Range, RunRecord, Stage, Wishes, phases_of,
};
use bson::{DateTime, doc};
use std::collections::BTreeMap;
use windlass_engine::job::{Claim, Context, Step};
use windlass_engine::plan::{Plan, PlanWriter};
use windlass_engine::remote::Hold;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Event, Failure, Kind, Steps};

/// Steps of a range where each is quick: a fraction of a minute of work, so that machines share a
/// run evenly and a dead one costs little.
const RANGE_STEPS: usize = 2000;
/// Steps of a range where each has a password to be hashed.
const RANGE_STEPS_HASHED: usize = 200;
/// Ranges that are written or read together.
const RANGES_AT_ONCE: i64 = 20;

/// The ranges that this process has, and what it knows of the others.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// By number, each from its first step to before its end.
    ranges: BTreeMap<i64, (u64, u64)>,
    /// Whether steps that failed in an earlier session are tried again.
    retries: bool,
    /// The phases before this one are finished everywhere.
    phase: usize,
    told_elsewhere: bool,
    /// The ceiling that people asked of all machines last.
    rate: Option<f64>,
}

impl Held {
    /// The range that a step is in.
    pub(super) fn range_of(&self, step: u64) -> Option<i64> {
        let holds = |(first, end): &(u64, u64)| (*first..*end).contains(&step);
        self.ranges.iter().find(|(_, range)| holds(range)).map(|(n, _)| *n)
    }

    /// Steps that failed are to be tried again.
    pub(super) fn retry(&mut self) {
        self.retries = true;
    }

    fn names(&self) -> Vec<i64> {
        self.ranges.keys().copied().collect()
    }
}

impl Migrate {
    /// Writes the run and its ranges down, unless an earlier session did, and makes its temporary
    /// indexes.
    pub(super) async fn write_down(
        &self,
        context: &Context,
        plan: &Plan,
    ) -> Result<(), DiscoverError> {
        let server = self.access.server(context).await?;
        debug_assert!(server.write_batch_max > 0, "a server takes statements");
        let board = self.board()?;
        let record = match board.record(context).await? {
            Some(record) => record,
            None if self.options.workers_of.is_some() => return Err(gone(board).into()),
            None => {
                let record = self.record(board, plan);
                board.register(context, &record).await?;
                record
            }
        };
        match record.stage {
            Stage::RolledBack => Err(rolled_back(board).into()),
            Stage::Working | Stage::Complete => Ok(()),
            Stage::Preparing if self.options.workers_of.is_some() => {
                Err(still_preparing(board).into())
            }
            Stage::Preparing => {
                self.put_ranges(context, board, plan).await?;
                let made = self.make_indexes(context).await?;
                let made = bson::serialize_to_bson(&made).map_err(crate::mongo::access::odd)?;
                board.set(context, doc! { "indexes": made, "stage": "working" }).await?;
                Ok(())
            }
        }
    }

    fn record(&self, board: &Board, plan: &Plan) -> RunRecord {
        RunRecord {
            run: board.run().to_owned(),
            migration: self.migration.name.clone(),
            options: plan.header.options.to_string(),
            phases: phases_of(&plan.header),
            stage: Stage::Preparing,
            indexes: Vec::new(),
            wishes: Wishes::default(),
            added: 0,
            created: DateTime::from_millis(self.access.server_ms()),
        }
    }

    async fn put_ranges(
        &self,
        context: &Context,
        board: &Board,
        plan: &Plan,
    ) -> Result<(), DiscoverError> {
        let mut lines = plan.lines()?;
        let mut cutter = Cutter { board, number: 0, held: Vec::new() };
        let mut ranges = Vec::new();
        while let Some(step) = lines.next_step()? {
            let most = self.range_steps(step.phase);
            ranges.extend(cutter.take(step, most));
            if ranges.len() >= RANGES_AT_ONCE as usize {
                board.put_ranges(context, &std::mem::take(&mut ranges)).await?;
            }
        }
        ranges.extend(cutter.cut());
        board.put_ranges(context, &ranges).await?;
        Ok(())
    }

    fn range_steps(&self, phase: usize) -> usize {
        let phase = self.migration.phases.get(phase);
        let hashes = phase.is_some_and(|phase| phase.password.is_some());
        if hashes { RANGE_STEPS_HASHED } else { RANGE_STEPS }
    }

    /// Makes the temporary indexes that are not there. Their names tell whose they are, so that one
    /// that was there before is never dropped.
    async fn make_indexes(&self, context: &Context) -> Result<Vec<MadeIndex>, Failure> {
        let board = self.board()?;
        let mut made = Vec::new();
        for (n, index) in self.migration.indexes.iter().enumerate() {
            let name = format!("windlass_{}_{n}", board.run());
            let mut spec = doc! { "key": index.keys.clone(), "name": &name };
            if index.unique {
                spec.insert("unique", true);
            }
            if self.access.create_index(context, &index.collection, spec).await? {
                made.push(MadeIndex { collection: index.collection.clone(), name });
            }
        }
        Ok(made)
    }

    /// Leases the next range. A phase begins when the one before is finished everywhere.
    pub(super) async fn take_range(&self, context: &Context) -> Result<Claim, Failure> {
        let board = self.board()?;
        let phases = self.migration.phases.len();
        loop {
            let stirred = self.stirred.notified();
            let (phase, names, retries) = {
                let held = self.held();
                (held.phase, held.names(), held.retries)
            };
            if phase >= phases {
                return self.elsewhere_or_over(context, board).await;
            }
            if let Some(range) = board.lease(context, phase, &names, retries).await? {
                if let Some(claim) = self.hold(&range, retries) {
                    return Ok(claim);
                }
                // All of it was tried before the process was killed.
                board.sum_up(context, &range).await?;
                continue;
            }
            if board.unfinished(context, phase).await? == 0 {
                self.held().phase += 1;
                continue;
            }
            // Others, or our own last batches, are still at work on this phase.
            tokio::select! {
                () = stirred => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Takes note of a range that was leased; `None` where nothing of it is left to be tried. What
    /// this process did before it was killed counts as done, too: a mark is made only after the
    /// write was acknowledged.
    fn hold(&self, range: &Range, retries: bool) -> Option<Claim> {
        let (first, end) = (range.first.unsigned_abs(), range.end.unsigned_abs());
        self.held().ranges.insert(range.n, (first, end));
        let done = range.done().into_iter().collect();
        (range.untried(retries) > 0).then_some(Claim::Part { first, end, done })
    }

    /// Before the end: what others did has to be known here, too, and what this process did before
    /// it was killed and could not write into its journal.
    async fn elsewhere_or_over(&self, context: &Context, board: &Board) -> Result<Claim, Failure> {
        if std::mem::replace(&mut self.held().told_elsewhere, true) {
            return Ok(Claim::Over);
        }
        let ranges = board.ranges(context, doc! { "run": board.run() }, true).await?;
        let steps: Steps = ranges.iter().flat_map(Range::done).collect();
        Ok(if steps.is_empty() { Claim::Over } else { Claim::Elsewhere(steps) })
    }

    /// Renews the leases and hears what people ask, for as long as it is polled.
    pub(super) async fn keep_leases(&self, context: &Context) {
        loop {
            tokio::time::sleep(RENEW).await;
            let Some(board) = self.board.get() else { continue };
            // One that is missed is renewed the next time: a lease lasts fifteen times as long.
            if board.renew(context).await.is_ok()
                && let Ok(Some(record)) = board.record_kept(context).await
            {
                self.obey(context, &record.wishes).await;
            }
        }
    }

    async fn obey(&self, context: &Context, wishes: &Wishes) {
        let gate = self.access.remote.gate();
        let reason = "paused for all machines by `windlass migrate pause`";
        let hold = wishes.paused.then(|| Hold { reason: reason.to_owned(), stops: true });
        if gate.hold("operator", hold) {
            let by = "operator".to_owned();
            let event = match wishes.paused {
                true => Event::Held { by, reason: reason.to_owned() },
                false => Event::Released { by },
            };
            context.signal(event).await;
        }
        let obeyed = std::mem::replace(&mut self.held().rate, wishes.rate);
        if wishes.rate != obeyed {
            gate.set_rate(wishes.rate);
            context.signal(Event::RateSet { per_second: wishes.rate }).await;
        }
        if wishes.stopped && !context.stop.is_draining() {
            let reason = "`windlass migrate stop` for all machines".to_owned();
            context.signal(Event::Stopping { reason }).await;
            context.stop.drain();
        }
    }

    /// Takes over the plan of the run that this process works for: the same steps with the same
    /// numbers.
    pub(super) async fn fetch_plan(
        &self,
        context: &Context,
        plan: &mut PlanWriter,
    ) -> Result<(), DiscoverError> {
        let board = self.board()?;
        let record = board.record(context).await?.ok_or_else(|| gone(board))?;
        match record.stage {
            Stage::RolledBack => return Err(rolled_back(board).into()),
            Stage::Preparing => return Err(still_preparing(board).into()),
            Stage::Working | Stage::Complete => {}
        }
        let (mut next, mut phase) = (0, 0);
        loop {
            let some = (next..next + RANGES_AT_ONCE).map(|n| format!("{}/{n:08}", board.run()));
            let id = doc! { "$in": some.collect::<Vec<_>>() };
            let ranges = board.ranges(context, doc! { "_id": id }, false).await?;
            if ranges.is_empty() {
                return Ok(());
            }
            next += RANGES_AT_ONCE;
            for range in ranges {
                let number = usize::try_from(range.phase).unwrap_or_default();
                if number > phase {
                    plan.enter_phase(number);
                    phase = number;
                }
                plan.saw(range.lines.len() as u64);
                for line in &range.lines {
                    let line: Line<'_> = serde_json::from_str(line)
                        .map_err(|error| Failure::new(Kind::Malformed, error.to_string()))?;
                    plan.push(&line.key, &line.label, line.object)?;
                }
            }
        }
    }
}

/// Cuts the steps of a plan into ranges of one phase each.
struct Cutter<'a> {
    board: &'a Board,
    number: i64,
    held: Vec<Step>,
}

impl Cutter<'_> {
    fn take(&mut self, step: Step, most: usize) -> Option<Range> {
        let fits = self.held.len() < most
            && self.held.first().is_none_or(|first| first.phase == step.phase);
        let cut = if fits { None } else { self.cut() };
        self.held.push(step);
        cut
    }

    fn cut(&mut self) -> Option<Range> {
        let phase = self.held.first()?.phase;
        let phase = i64::try_from(phase).unwrap_or(i64::MAX);
        let range = self.board.fresh_range(self.number, phase, &self.held);
        self.number += 1;
        self.held.clear();
        Some(range)
    }
}

fn gone(board: &Board) -> Failure {
    Failure::new(Kind::Rejected, format!("there is no run {} in this database", board.run()))
        .with_hint("`windlass migrate status` lists the runs of a database")
}

fn rolled_back(board: &Board) -> Failure {
    Failure::new(Kind::Rejected, format!("run {} was rolled back", board.run()))
        .with_hint("begin a new run")
}

fn still_preparing(board: &Board) -> Failure {
    let what = format!("run {} is not written down in full yet", board.run());
    Failure::new(Kind::Rejected, what)
        .with_hint("wait for the machine that began it, or resume it there")
}
