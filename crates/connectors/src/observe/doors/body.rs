//! Bodies of requests, received within bounds of size, time and memory.

pub use super::unpack::Packing;
use super::unpack::{NotUnpacked, unpack};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The bounds of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// How many bytes may come over the network.
    pub packed: usize,
    /// How many bytes it may have once it is unpacked.
    pub unpacked: usize,
    /// How long it may take to arrive.
    pub time: Duration,
    /// How long a sender may be silent at first before its rate counts.
    pub grace: Duration,
    /// How many bytes a second it must send at least, on average after the grace.
    pub rate: u32,
}

/// Why a body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It has more bytes than it may, packed or unpacked.
    TooLarge,
    /// It came too slowly.
    TooSlow,
    /// There is no memory for it now.
    NoMemory,
    /// It is not compressed as its header says.
    Corrupt,
    /// The connection broke.
    Gone,
}

/// The memory that all bodies together may take.
#[derive(Clone, Debug)]
pub struct Memory {
    free: Arc<Semaphore>,
}

/// Memory is counted in pieces of this many bytes, for a semaphore counts no further than 2^29.
const UNIT: usize = 1 << 10;

impl Memory {
    /// This many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))) }
    }

    /// How many bytes are free.
    #[cfg(test)]
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.available_permits() * UNIT
    }

    /// Nothing yet, to grow.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held { memory: self.clone(), bytes: 0, permit: None }
    }
}

/// Memory that a body has; it is free again when this is dropped.
#[derive(Debug)]
pub struct Held {
    memory: Memory,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes as many bytes more.
    ///
    /// # Errors
    ///
    /// [`NotTaken::NoMemory`] if they are not free.
    pub fn grow(&mut self, more: usize) -> Result<(), NotTaken> {
        self.bytes = self.bytes.saturating_add(more);
        let units = self.bytes.div_ceil(UNIT);
        let missing = units - self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| NotTaken::NoMemory)?;
        let taken = self.memory.free.clone().try_acquire_many_owned(missing);
        let taken = taken.map_err(|_| NotTaken::NoMemory)?;
        match &mut self.permit {
            Some(permit) => permit.merge(taken),
            empty => *empty = Some(taken),
        }
        Ok(())
    }
}

/// Receives a body as it comes over the network.
///
/// # Errors
///
/// [`NotTaken`].
pub async fn receive<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    limits: &BodyLimits,
    held: &mut Held,
) -> Result<Vec<u8>, NotTaken> {
    let announced = body.size_hint().lower();
    if announced > limits.packed as u64 {
        return Err(NotTaken::TooLarge);
    }
    let start = Instant::now();
    // Room is made for what has come, never for what is announced only.
    let mut packed = Vec::new();
    while let Some(frame) = timeout_at(patience(start, packed.len(), limits), body.frame())
        .await
        .map_err(|_| NotTaken::TooSlow)?
    {
        let Ok(data) = frame.map_err(|_| NotTaken::Gone)?.into_data() else { continue };
        if packed.len() + data.len() > limits.packed {
            return Err(NotTaken::TooLarge);
        }
        held.grow(data.len())?;
        packed.extend_from_slice(&data);
    }
    Ok(packed)
}

/// Until when the next piece must have come.
fn patience(start: Instant, received: usize, limits: &BodyLimits) -> Instant {
    let earned = Duration::from_secs_f64(received as f64 / f64::from(limits.rate.max(1)));
    start + (limits.grace + earned).min(limits.time)
}

/// Unpacks a body that was received.
///
/// # Errors
///
/// [`NotTaken`].
pub fn unpacked(
    packed: Vec<u8>,
    packing: Packing,
    limits: &BodyLimits,
    held: &mut Held,
) -> Result<Vec<u8>, NotTaken> {
    if packing == Packing::Identity {
        let fits = packed.len() <= limits.unpacked;
        return if fits { Ok(packed) } else { Err(NotTaken::TooLarge) };
    }
    unpack(&packed, packing, limits.unpacked, |more| held.grow(more)).map_err(|why| match why {
        NotUnpacked::TooLarge => NotTaken::TooLarge,
        NotUnpacked::Corrupt => NotTaken::Corrupt,
        NotUnpacked::NoRoom(why) => why,
    })
}

/// Reads what is left of a refused body, and forgets it. A client that is still sending would
/// otherwise find its connection reset and the answer lost, and would send the same again.
pub async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B, limits: &BodyLimits) {
    let start = Instant::now();
    let mut received = 0_usize;
    while received <= limits.packed.saturating_mul(2) {
        let next = timeout_at(patience(start, received, limits), body.frame()).await;
        let Ok(Some(Ok(frame))) = next else { return };
        received = received.saturating_add(frame.data_ref().map_or(1, Bytes::len));
    }
}
