//! What was appended and is not yet written: bounded in batches and bytes, and quick to push to.

use super::{Appended, Batch, Durability, NotStored, QueueError, Refused, Ticket};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Batches that nobody waits for are collected for so long, so that the writer is woken, and the
/// disk asked, hundreds of times a second and not a hundred thousand times.
const LINGER: Duration = Duration::from_millis(2);
/// So many bytes are enough to begin writing.
const LINGER_BYTES: usize = 1 << 20;

/// A batch with who waits for it.
#[derive(Debug)]
pub struct Request {
    /// The batch.
    pub batch: Batch,
    /// Whether it has to be synced.
    pub wants_sync: bool,
    /// Its length as a record.
    pub bytes: usize,
    /// Who waits for it.
    pub reply: Option<oneshot::Sender<Result<Appended, NotStored>>>,
}

/// Something else that the writer has to do.
#[derive(Debug)]
pub enum Command {
    /// Remove segments that are settled.
    Sweep,
    /// Rewrite the segment of this first number without what is damaged.
    Repair(u64),
    /// Sync everything.
    #[cfg(test)]
    Sync(oneshot::Sender<Result<(), QueueError>>),
    /// Give up a destination.
    Forget(String, oneshot::Sender<Result<u64, QueueError>>),
}

/// What the writer gets.
#[derive(Debug, Default)]
pub struct Taken {
    /// In the order of their coming.
    pub requests: Vec<Request>,
    /// In the order of their coming.
    pub commands: Vec<Command>,
    /// Nothing will come any more.
    pub is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    Awake,
    /// Nothing waits.
    Idle,
    /// Something waits, but nobody for it.
    Linger,
}

#[derive(Debug)]
struct State {
    requests: Vec<Request>,
    commands: Vec<Command>,
    /// Batches and bytes that were pushed and not released, those included that the writer has.
    held: (usize, usize),
    since: Option<Instant>,
    is_urgent: bool,
    is_closed: bool,
    sleep: Sleep,
}

/// The batches on their way to the writer.
#[derive(Debug)]
pub struct Waiting {
    state: Mutex<State>,
    wake: Condvar,
    batches_max: usize,
    bytes_max: usize,
}

impl Waiting {
    /// Empty, with room for so much.
    #[must_use]
    pub fn new(batches_max: usize, bytes_max: usize) -> Self {
        let state = State {
            requests: Vec::new(),
            commands: Vec::new(),
            held: (0, 0),
            since: None,
            is_urgent: false,
            is_closed: false,
            sleep: Sleep::Awake,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), batches_max, bytes_max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch of so many bytes in, where the log has `room` for it and all that waits.
    ///
    /// # Errors
    /// When it has no place here or in the log.
    pub fn push(
        &self,
        batch: Batch,
        durability: Durability,
        bytes: usize,
        room: u64,
    ) -> Result<Ticket, Refused> {
        let mut state = self.state();
        let (batches, held) = state.held;
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if (held + bytes) as u64 > room {
            return Err(Refused::Full);
        }
        if batches >= self.batches_max || (held > 0 && held + bytes > self.bytes_max) {
            return Err(Refused::Busy);
        }
        let (reply, ticket) = match durability {
            Durability::None => (None, None),
            Durability::Synced | Durability::Written => {
                let (reply, ticket) = oneshot::channel();
                (Some(reply), Some(ticket))
            }
        };
        let wants_sync = durability == Durability::Synced;
        let is_urgent = reply.is_some();
        state.requests.push(Request { batch, wants_sync, bytes, reply });
        state.held = (batches + 1, held + bytes);
        state.is_urgent |= is_urgent;
        let is_enough = is_urgent || held + bytes >= LINGER_BYTES;
        if state.sleep == Sleep::Idle || (state.sleep == Sleep::Linger && is_enough) {
            state.sleep = Sleep::Awake;
            drop(state);
            self.wake.notify_one();
        }
        Ok(Ticket(ticket))
    }

    /// Puts a command in. After the end it is dropped, and who waits for it learns that.
    pub fn command(&self, command: Command) {
        let mut state = self.state();
        if !state.is_closed {
            state.commands.push(command);
            state.sleep = Sleep::Awake;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Says that nothing will come any more.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.wake.notify_all();
    }

    /// Drops everything that is left, for a writer that is gone.
    pub fn abandon(&self) {
        self.close();
        let mut state = self.state();
        state.requests.clear();
        state.commands.clear();
    }

    /// Whether nothing will come any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// How many batches and bytes wait or are being written.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        self.state().held
    }

    /// Says that so many batches and bytes are written, or never will be.
    pub fn release(&self, batches: usize, bytes: usize) {
        let mut state = self.state();
        state.held.0 -= batches;
        state.held.1 -= bytes;
    }

    /// Waits until there is something to do or it is `until`, and takes all of it. `spare` is an
    /// empty vector whose memory is used again.
    #[must_use]
    pub fn take(&self, spare: Vec<Request>, until: Instant) -> Taken {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let is_waiting = !state.requests.is_empty();
            let since = if is_waiting { *state.since.get_or_insert(now) } else { now };
            let is_enough = is_waiting && (state.is_urgent || state.held.1 >= LINGER_BYTES);
            let limit = if is_waiting { until.min(since + LINGER) } else { until };
            let has_command = !state.commands.is_empty() || state.is_closed;
            if is_enough || has_command || now >= limit {
                break;
            }
            state.sleep = if is_waiting { Sleep::Linger } else { Sleep::Idle };
            state = self
                .wake
                .wait_timeout(state, limit - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.sleep = Sleep::Awake;
        }
        (state.is_urgent, state.since) = (false, None);
        Taken {
            requests: mem::replace(&mut state.requests, spare),
            commands: mem::take(&mut state.commands),
            is_closed: state.is_closed,
        }
    }
}
