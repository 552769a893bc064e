//! Threads that hash, fed by one bounded queue.
//!
//! A thread takes as many passwords from the queue as one call of bcrypt interleaves, whichever
//! batches they come from, so all lanes are full while the queue is. Hashing does not run on
//! tokio's threads, where calls of a second would hold up everything else.

use super::phc::Hasher;
use super::{Algorithm, HashError, LANES_MAX, Secret};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// The passwords that wait in the queue at most. It holds several of the largest batches of a
/// migration (1,000 documents), and at the fastest cost it is less than a second of work.
pub const QUEUE: usize = 4096;

/// How many passwords one call interleaves: 1 to [`LANES_MAX`] with bcrypt, and one otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes(usize);

impl Lanes {
    /// This many lanes, moved into the allowed range.
    #[must_use]
    pub fn new(lanes: usize) -> Self {
        Self(lanes.clamp(1, LANES_MAX))
    }

    /// The number, 1 to [`LANES_MAX`].
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

/// A password on its way, and where its hash is awaited.
struct Job {
    password: Secret,
    answer: oneshot::Sender<Result<String, HashError>>,
}

/// What the threads share.
pub(super) struct Shared {
    queue: Mutex<mpsc::Receiver<Job>>,
    busy_nanos: AtomicU64,
    hashed: AtomicU64,
}

/// Threads of their own that hash. When the pool is dropped they end, each after the call it is in.
pub struct Pool {
    algorithm: Algorithm,
    threads: usize,
    queue: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pool")
            .field("algorithm", &self.algorithm)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts `threads` threads, at least one, named `hash-1` and so on. With bcrypt each call
    /// interleaves up to `lanes` passwords; the other algorithms have no use for it.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if [`Algorithm::check`] refuses the parameters; what the
    /// operating system says if it gives no thread.
    pub fn start(algorithm: Algorithm, threads: usize, lanes: Lanes) -> io::Result<Self> {
        algorithm.check().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let threads = threads.max(1);
        let lanes = match algorithm {
            Algorithm::Bcrypt { .. } => lanes,
            Algorithm::Argon2id { .. } | Algorithm::Scrypt { .. } => Lanes::new(1),
        };
        let (queue, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            queue: Mutex::new(receiver),
            busy_nanos: AtomicU64::new(0),
            hashed: AtomicU64::new(0),
        });
        for number in 1..=threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("hash-{number}"))
                .spawn(move || work(algorithm, lanes, &shared))?;
        }
        Ok(Self { algorithm, threads, queue, shared })
    }

    /// Hashes the passwords; the hashes come in the same order. Any number of callers may wait at
    /// once, and they are served first come, first served. If the future is dropped, what has not
    /// begun is not begun.
    ///
    /// # Errors
    /// [`HashError::TooLong`] or [`HashError::ZeroByte`] for the first password that bcrypt does
    /// not take, and then none is hashed; the others as they say.
    pub async fn hash(&self, passwords: Vec<Secret>) -> Result<Vec<String>, HashError> {
        for (index, password) in passwords.iter().enumerate() {
            self.algorithm.accepts(index, password.reveal())?;
        }
        let count = passwords.len();
        let mut answers = Vec::with_capacity(count);
        let mut passwords = passwords.into_iter();
        // Room for a whole batch is asked for at once, so that batches do not mix in the queue and
        // the first one is finished first.
        while let Some(most) = NonZeroUsize::new(passwords.len().min(QUEUE)) {
            let room = self.queue.reserve_many(most.get()).await.map_err(|_| HashError::Ended)?;
            for (place, password) in room.zip(passwords.by_ref()) {
                let (answer, awaited) = oneshot::channel();
                place.send(Job { password, answer });
                answers.push(awaited);
            }
        }
        let mut hashes = Vec::with_capacity(count);
        for answer in answers {
            hashes.push(answer.await.map_err(|_| HashError::Ended)??);
        }
        Ok(hashes)
    }

    /// The number of its threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The time that its threads have spent hashing since the start, all together. A call that has
    /// not ended is not in it.
    #[must_use]
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.shared.busy_nanos.load(Ordering::Relaxed))
    }

    /// How many passwords it has hashed since the start.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.shared.hashed.load(Ordering::Relaxed)
    }

    /// A view of what the threads share, which outlives the pool: they are gone when it is.
    #[cfg(test)]
    pub(super) fn shared_by(&self) -> std::sync::Weak<Shared> {
        Arc::downgrade(&self.shared)
    }
}

/// One thread, until the pool is dropped.
fn work(algorithm: Algorithm, lanes: Lanes, shared: &Shared) {
    let mut hasher = Hasher::new(algorithm);
    let mut jobs = Vec::with_capacity(lanes.get());
    while take(shared, lanes, &mut jobs) {
        let passwords: Vec<&[u8]> =
            jobs.iter().map(|job: &Job| job.password.reveal().as_bytes()).collect();
        let begun = Instant::now();
        let hashes = hasher.hash(&passwords);
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Counted before it is answered, so that who has the answer finds it counted.
        shared.busy_nanos.fetch_add(took, Ordering::Relaxed);
        if hashes.is_ok() {
            shared.hashed.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        }
        answer(&mut jobs, hashes);
    }
}

/// Waits for work and takes up to `lanes` jobs that somebody still waits for. Without one the pool
/// is gone.
fn take(shared: &Shared, lanes: Lanes, jobs: &mut Vec<Job>) -> bool {
    // The queue stays whole whatever happened to the thread that held it.
    let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
    while jobs.len() < lanes.get() {
        let next = if jobs.is_empty() { queue.blocking_recv() } else { queue.try_recv().ok() };
        match next {
            Some(job) if job.answer.is_closed() => {}
            Some(job) => jobs.push(job),
            None => break,
        }
    }
    !jobs.is_empty()
}

/// A caller that went away meanwhile does not get its answer, and that is all.
fn answer(jobs: &mut Vec<Job>, hashes: Result<Vec<String>, HashError>) {
    match hashes {
        Ok(hashes) => {
            for (job, hash) in jobs.drain(..).zip(hashes) {
                let _ = job.answer.send(Ok(hash));
            }
        }
        Err(error) => {
            for job in jobs.drain(..) {
                let _ = job.answer.send(Err(error.clone()));
            }
        }
    }
}
