//! The migration as a job: what it is made of, and which part does what.
//!
//! `listing` reads the sources and plans, `writing` carries batches out, `sharing` leases ranges
//! and keeps them, `watching` looks at the server's state, `finishing` catches up with what changed
//! meanwhile and cleans up. `rollback` and `generate` are jobs of their own.

mod collisions;
mod cores;
mod finishing;
pub mod generate;
mod listing;
mod paging;
mod replacing;
pub mod rollback;
mod sharing;
mod watching;
mod work;
mod writing;

pub use watching::Throttle;
pub use work::{Work, id_text_of};
pub use writing::content_digest;

use super::access::{Access, CONCURRENCY_MAX, operation};
use super::board::Board;
use super::hashing::{Algorithm, Calibration, Pool, SecretKey, calibrate};
use super::mapping::{Migration, Phase};
use crate::connector::OpenError;
use serde::{Deserialize, Serialize};
use sharing::Held;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use windlass_engine::job::{
    Applied, BatchSpec, BoxFuture, Claim, Context, Covered, Job, JobInfo, PhaseInfo, Step,
};
use windlass_engine::plan::{Header, Plan, PlanWriter};
use windlass_engine::remote::Remote;
use windlass_engine::runner::DiscoverError;
use windlass_engine::tally::Verified;
use windlass_engine::{Failure, Kind};

/// The bytes of the source documents of one batch. With [`WINDOW`] batches, each with its sources
/// and its targets, this bounds the memory of a run.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// Batches begun and not settled: as many as may be on the wire, so that reading, hashing and
/// writing of successive ones overlap.
const WINDOW: usize = CONCURRENCY_MAX as usize;

/// How long the measurement of one hashing algorithm may take.
const CALIBRATION: Duration = Duration::from_millis(300);

/// How large batches may be and how long one should take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// At least so many documents.
    pub batch_min: usize,
    /// The first batch.
    pub batch_start: usize,
    /// At most so many documents.
    pub batch_max: usize,
    /// What a batch should take, in milliseconds.
    pub target_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { batch_min: 10, batch_start: 100, batch_max: 1000, target_ms: 2000 }
    }
}

/// What is migrated, as it stands in the plan's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The migration file.
    pub migration: String,
    /// Its variables, as they were resolved.
    pub variables: BTreeMap<String, String>,
    /// Where the database is, for people.
    pub place: String,
    /// The time of the plan in milliseconds since 1970: what `now` means.
    pub now: i64,
    /// Where the server's history stood before the sources were read: seconds and increment.
    pub history: Option<(u32, u32)>,
    /// Whether sources may be read without an index.
    pub allow_scan: bool,
    /// The sizes of batches.
    pub pace: Pace,
    /// The fingerprint of the key that new passwords are made from; without one nobody can be
    /// told them.
    pub secrets: Option<String>,
    /// The run whose ranges this one works on; `None` for a run of its own.
    pub workers_of: Option<String>,
}

/// What the machine is allowed, which no plan says.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// Threads that hash; one for each core where nothing is said.
    pub threads: Option<usize>,
    /// The file with the key that new passwords are made from.
    pub secrets_key: Option<PathBuf>,
}

/// What the listing found, for the preview.
#[derive(Clone, Debug, Default)]
struct Findings {
    remarks: Vec<(String, String)>,
    /// What one step of each phase takes.
    expected: Vec<Option<Duration>>,
}

/// A migration.
pub struct Migrate {
    access: Access,
    migration: Arc<Migration>,
    options: Options,
    secrets: SecretKey,
    means: Means,
    /// The hashing threads, from the first batch that needs them on.
    pool: OnceLock<Pool>,
    calibration: OnceLock<Calibration>,
    /// The board, from the moment on at which the run's name is known.
    board: OnceLock<Board>,
    findings: Mutex<Findings>,
    held: Mutex<Held>,
    stirred: tokio::sync::Notify,
}

impl Migrate {
    /// The migration of these options.
    ///
    /// # Errors
    /// When the migration file is not understood, or the key of its passwords is another one.
    pub fn new(access: Access, options: Options, means: Means) -> Result<Self, OpenError> {
        let migration = Migration::restore(&options.migration, options.variables.clone())
            .map_err(|error| OpenError::usage(error.message, error.hint))?;
        let secrets = secrets_of(&means, &options)?;
        Ok(Self {
            access,
            migration: Arc::new(migration),
            options,
            secrets,
            means,
            pool: OnceLock::new(),
            calibration: OnceLock::new(),
            board: OnceLock::new(),
            findings: Mutex::default(),
            held: Mutex::default(),
            stirred: tokio::sync::Notify::new(),
        })
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The migration file, understood.
    #[must_use]
    pub fn migration(&self) -> &Migration {
        &self.migration
    }

    fn phase(&self, number: usize) -> Result<&Phase, Failure> {
        self.migration
            .phases
            .get(number)
            .ok_or_else(|| Failure::new(Kind::Bug, format!("there is no phase {number}")))
    }

    /// The name of the run whose documents are written: this one's, or the one that it works for.
    fn run_of<'a>(&'a self, header: &'a Header) -> &'a str {
        self.options.workers_of.as_deref().unwrap_or(&header.id)
    }

    fn know_run(&self, header: &Header) -> &Board {
        self.board.get_or_init(|| Board::new(&self.access, self.run_of(header), &header.id))
    }

    fn board(&self) -> Result<&Board, Failure> {
        self.board
            .get()
            .ok_or_else(|| Failure::new(Kind::Bug, "the run's name is not known yet".to_owned()))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn findings(&self) -> std::sync::MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How this machine hashes, measured once: for the plan's estimate, or before the first batch.
    fn calibration(&self, algorithm: Algorithm) -> &Calibration {
        self.calibration.get_or_init(|| calibrate(algorithm, CALIBRATION))
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.means.threads.unwrap_or_else(cores).max(1)
    }

    fn phase_info(&self, number: usize, phase: &Phase) -> PhaseInfo {
        let pace = self.options.pace;
        let batch = BatchSpec {
            min: pace.batch_min,
            start: pace.batch_start.clamp(pace.batch_min, pace.batch_max),
            max: pace.batch_max,
            bytes_max: BATCH_BYTES,
            target: Some(Duration::from_millis(pace.target_ms)),
        };
        let expected = self.findings().expected.get(number).copied().flatten();
        let name = phase.name.clone();
        // What limits it is no quota of requests, so one step is not a share of one.
        let bulk = PhaseInfo::bulk(name, operation::WRITE, batch);
        PhaseInfo { expected, steps_a_request: 1, ..bulk }
    }
}

/// The key of this run's passwords. Without a file it is a new one that nobody ever sees.
fn secrets_of(means: &Means, options: &Options) -> Result<SecretKey, OpenError> {
    let unusable = |error: super::hashing::KeyError| {
        OpenError::usage(error.to_string(), "name another file with --secrets-key")
    };
    match (&means.secrets_key, &options.secrets) {
        (None, None) => SecretKey::random().map_err(unusable),
        (None, Some(_)) => Err(OpenError::usage(
            "the new passwords of this run are made from a key that is not named",
            "name its file with --secrets-key or WINDLASS_SECRETS_KEY",
        )),
        (Some(path), expected) => {
            let key = SecretKey::load_or_create(path).map_err(unusable)?;
            match expected.as_ref().filter(|known| **known != key.fingerprint()) {
                None => Ok(key),
                Some(_) => Err(OpenError::refused(
                    format!("{} is not the key that this run began with", path.display()),
                    "name the file of that key; another one would give other passwords",
                )),
            }
        }
    }
}

impl Job for Migrate {
    fn info(&self) -> JobInfo {
        let phases = self.migration.phases.iter().enumerate();
        JobInfo {
            system: "mongo",
            operation: "migrate run",
            phases: phases.map(|(number, phase)| self.phase_info(number, phase)).collect(),
            idempotent: true,
            window: Some(WINDOW),
            streaming: false,
            shared: true,
        }
    }

    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>> {
        Box::pin(self.list(context, plan))
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(self.carry_out(context, batch))
    }

    fn weight(&self, step: &Step) -> u64 {
        Work::of(step).map_or(BATCH_BYTES, |work| work.bytes)
    }

    fn prepare<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Covered>, DiscoverError>> {
        Box::pin(async move {
            self.know_run(&plan.header);
            self.write_down(context, plan).await?;
            Ok(None)
        })
    }

    fn claim<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Claim, Failure>> {
        Box::pin(self.take_range(context))
    }

    fn accompany<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            tokio::join!(self.keep_leases(context), self.watch(context));
        })
    }

    fn reopened(&self) {
        self.held().retry();
    }

    fn busy(&self) -> Duration {
        self.pool.get().map_or(Duration::ZERO, Pool::busy)
    }

    fn remarks(&self) -> Vec<(String, String)> {
        self.findings().remarks.clone()
    }

    fn finish<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Verified>, DiscoverError>> {
        Box::pin(async move { Ok(Some(self.end(context, plan).await?)) })
    }
}
