//! The decisions about pace, as plain structs: `now` and an observation in, a decision out.
//!
//! Owns: how many requests may start in a window ([`quota`]), how many may be on the wire
//! ([`concurrency`]), how long to wait before another attempt ([`backoff`]), how many further
//! attempts are affordable ([`budget`]), when to leave a failing remote alone ([`breaker`]), how
//! large a batch should be ([`batch_size`]) and when this machine is too busy ([`pressure`]).
//!
//! Nothing in here may read a clock, draw a random number, take a lock, write a log or await. The
//! remote's gate is the one place that joins these decisions to the runtime.

pub mod backoff;
pub mod batch_size;
pub mod breaker;
pub mod budget;
pub mod concurrency;
pub mod pressure;
pub mod quota;

#[cfg(test)]
mod tests;

use crate::moment::Moment;

/// The answer to "may this request start now?".
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Admit {
    /// It may start now.
    Now,
    /// It may not start yet: ask again at this moment, which always lies in the future.
    At(Moment),
    /// What is missing is on the wire: nothing can be said before an answer arrives. Never said
    /// while nothing is on the wire.
    WhenAnswered,
}

/// Where an adaptive figure starts and the limits it never leaves.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The least it may become. Zero is read as one.
    pub min: u32,
    /// The most it may become. Less than `min` is read as `min`.
    pub max: u32,
    /// Where it begins, moved into the two limits when it lies outside.
    pub start: u32,
}

impl Bounds {
    /// The same bounds with `1 <= min <= start <= max`.
    #[must_use]
    pub fn ordered(self) -> Self {
        let min = self.min.max(1);
        let max = self.max.max(min);
        Self { min, max, start: self.start.clamp(min, max) }
    }
}
