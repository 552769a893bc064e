//! Law: how fast this machine hashes is measured, in a fraction of a second, before a plan tells
//! anybody a time.
//!
//! The measurement uses a smaller cost and scales: the work of bcrypt doubles with each step of its
//! cost, that of argon2id grows with memory times passes, that of scrypt with N times r times p.

use super::phc::Hasher;
use super::{Algorithm, LANES_MAX, Lanes};
use std::time::{Duration, Instant};

/// The cost of bcrypt at which lanes are compared: a call takes a few milliseconds.
const BCRYPT_COST: u32 = 5;

/// The memory up to which argon2id and scrypt are measured. It is beyond the second-level caches,
/// as the real one is.
const MEMORY_KIB: u32 = 16 * 1024;

/// More lanes must be faster by this factor: with fewer, the first hash of a batch comes earlier.
const WORTH: f64 = 1.02;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// How many passwords one call should interleave.
    pub lanes: Lanes,
    /// The time of one hash on one thread whose lanes are full.
    pub per_hash: Duration,
}

/// Measures on this thread for about `budget`: every count of lanes is tried once, if need be
/// beyond the budget (60 ms on a machine of 2022), and then again while there is time.
/// The parameters are ones that [`Algorithm::check`] accepts.
#[must_use]
pub fn calibrate(algorithm: Algorithm, budget: Duration) -> Calibration {
    let (smaller, factor) = smaller(algorithm);
    let most = if matches!(algorithm, Algorithm::Bcrypt { .. }) { LANES_MAX } else { 1 };
    let mut hasher = Hasher::new(smaller);
    // The first call of all pays for tables and memory.
    time(&mut hasher, 1);
    let mut times = vec![Vec::new(); most];
    let begun = Instant::now();
    loop {
        for (times, lanes) in times.iter_mut().zip(1..) {
            times.push(time(&mut hasher, lanes));
        }
        if begun.elapsed() >= budget {
            break;
        }
    }
    let (lanes, per_hash) = choose(&mut times);
    Calibration { lanes, per_hash: per_hash.mul_f64(factor) }
}

/// The lanes that are fastest when nothing disturbs, and the median of what they took.
pub(super) fn choose(times: &mut [Vec<Duration>]) -> (Lanes, Duration) {
    let mut best = (1, Duration::MAX);
    for (times, lanes) in times.iter_mut().zip(1..) {
        times.sort_unstable();
        if times[0].mul_f64(WORTH) < best.1 {
            best = (lanes, times[0]);
        }
    }
    let of_best = &times[best.0 - 1];
    (Lanes::new(best.0), of_best[of_best.len() / 2])
}

/// The time of one hash when this many go side by side.
fn time(hasher: &mut Hasher, lanes: u32) -> Duration {
    let passwords = vec![&b"twelve bytes"[..]; lanes as usize];
    let salts = vec![[0x5a; 16]; lanes as usize];
    let begun = Instant::now();
    let hashed = hasher.hash_with(&passwords, &salts);
    std::hint::black_box(&hashed);
    begun.elapsed() / lanes
}

/// Parameters that take a few milliseconds, and how many times longer the real ones take.
pub(super) fn smaller(algorithm: Algorithm) -> (Algorithm, f64) {
    match algorithm {
        Algorithm::Bcrypt { cost } => {
            let cost_here = cost.min(BCRYPT_COST);
            // One salted expansion, and two for each of the 2^cost rounds.
            let work = |cost: u32| (1.0 + 2.0 * f64::from(cost).exp2(), cost);
            (Algorithm::Bcrypt { cost: cost_here }, work(cost).0 / work(cost_here).0)
        }
        Algorithm::Argon2id { memory_kib, passes, lanes } => {
            let here = memory_kib.min(MEMORY_KIB.max(8 * lanes));
            let factor = f64::from(memory_kib) / f64::from(here) * f64::from(passes);
            (Algorithm::Argon2id { memory_kib: here, passes: 1, lanes }, factor)
        }
        Algorithm::Scrypt { log_n, r, p } => {
            let mut log_n_here = log_n;
            while log_n_here > 1 && (u64::from(r) << log_n_here) > u64::from(MEMORY_KIB) * 8 {
                log_n_here -= 1;
            }
            let factor = f64::from(log_n - log_n_here).exp2() * f64::from(p);
            (Algorithm::Scrypt { log_n: log_n_here, r, p: 1 }, factor)
        }
    }
}
