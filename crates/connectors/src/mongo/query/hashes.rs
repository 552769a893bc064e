//! `migrate hashes`: how many passwords this machine hashes a second, with the same threads and
//! lanes as a migration.

use crate::connector::{Answered, OpenError, Query, QueryError};
use crate::mongo::args::HashesArgs;
use crate::mongo::hashing::{Algorithm, Pool, SecretKey, calibrate};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;
use windlass_engine::{Failure, Kind};

/// How long the lanes are tried out.
const CALIBRATION: Duration = Duration::from_millis(300);

/// A measurement.
pub struct Hashes {
    algorithm: Algorithm,
    threads: usize,
    time: Duration,
    json: bool,
}

impl Hashes {
    /// The measurement that the arguments ask for.
    ///
    /// # Errors
    /// When the algorithm is not known, or its parameters are out of bounds.
    pub fn new(args: &HashesArgs, json: bool) -> Result<Self, OpenError> {
        let algorithm = match args.algorithm.as_str() {
            "bcrypt" => Algorithm::Bcrypt { cost: args.cost },
            "argon2id" => Algorithm::Argon2id { memory_kib: 19_456, passes: 2, lanes: 1 },
            "scrypt" => Algorithm::Scrypt { log_n: 17, r: 8, p: 1 },
            other => {
                let what = format!("there is no algorithm `{other}`");
                return Err(OpenError::usage(what, "there are: bcrypt, argon2id, scrypt"));
            }
        };
        algorithm.check().map_err(|what| OpenError::usage(what, "see --help"))?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            algorithm,
            threads: args.threads.unwrap_or_else(cores).max(1),
            time: Duration::from_secs(args.seconds.clamp(1, 600)),
            json,
        })
    }

    async fn measure(&self) -> Result<(u64, Duration, String), QueryError> {
        let broken = |what: String| Failure::new(Kind::Output, what);
        let measured = calibrate(self.algorithm, CALIBRATION);
        let pool = Pool::start(self.algorithm, self.threads, measured.lanes)
            .map_err(|error| broken(error.to_string()))?;
        let key = SecretKey::random().map_err(|error| broken(error.to_string()))?;
        let lanes = measured.lanes.get().to_string();
        let each = self.threads * 8;
        let passwords = || {
            let number = fastrand::u64(..).to_string();
            (0..each).map(|n| key.password(&[&number, &n.to_string()])).collect::<Vec<_>>()
        };
        let began = Instant::now();
        let mut count = 0;
        while began.elapsed() < self.time {
            let both = futures_util::future::join(pool.hash(passwords()), pool.hash(passwords()));
            let (one, other) = both.await;
            for hashed in [one, other] {
                count += hashed.map_err(|error| broken(error.to_string()))?.len() as u64;
            }
        }
        Ok((count, began.elapsed(), lanes))
    }
}

impl Query for Hashes {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        Vec::new()
    }

    fn run<'a>(
        &'a mut self,
        _context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            let (count, took, lanes) = self.measure().await?;
            let per_second = count as f64 / took.as_secs_f64();
            let words = self.algorithm.words();
            if self.json {
                let told = serde_json::json!({
                    "algorithm": words, "threads": self.threads, "lanes": lanes,
                    "hashes": count, "seconds": took.as_secs_f64(), "per_second": per_second,
                });
                writeln!(out, "{told}")?;
            } else {
                writeln!(
                    out,
                    "{words}: {per_second:.1} a second on {} threads, {lanes} passwords at once on \
                     each",
                    self.threads
                )?;
            }
            Ok(Answered::default())
        })
    }
}
