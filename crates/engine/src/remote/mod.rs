//! The only door to a remote. Quotas, concurrency, pause, breaker, retry and timeout live here
//! and nowhere else, and every request of every kind goes through [`Remote::call`].

mod call;
mod gate;
mod meter;
#[cfg(test)]
mod tests;

pub use call::{Answer, Attempt, Remote};
pub use gate::{Gate, Hold, Lead};
pub use meter::{Meter, WindowMeter};

use crate::policy::backoff::Backoff;
use crate::policy::quota::Quota;
use std::time::Duration;

/// One window of a remote's quota.
#[derive(Clone, Debug)]
pub struct WindowSpec {
    /// Its name, such as `organization-delete`.
    pub name: String,
    /// How much of it we use; `None` when the operator said `unlimited`.
    pub quota: Option<Quota>,
}

/// One kind of request.
#[derive(Clone, Debug)]
pub struct OperationSpec {
    /// Its name, such as `delete user`.
    pub name: &'static str,
    /// The windows that each of its attempts pays once, as indices into [`Spec::windows`].
    pub windows: Vec<usize>,
    /// The windows that each of its attempts pays once for each item that it carries.
    pub item_windows: Vec<usize>,
    /// Whether it may be sent again when its answer was lost.
    pub idempotent: bool,
    /// Whether others wait for what it brings, as for the next page of a list: while somebody holds
    /// a [`Lead`], a place on the wire is kept for it.
    pub leads: bool,
    /// With more items than this, an attempt without an answer in time is taken for too large a
    /// batch and handed back to be halved, where another of the same size would be lost as well.
    pub halves_above: u32,
    /// Whether it goes on while a run is paused or held, as what keeps a claim alive has to.
    pub vital: bool,
}

impl OperationSpec {
    /// An operation that may be repeated, and whose attempts pay these windows once.
    #[must_use]
    pub fn new(name: &'static str, windows: &[usize]) -> Self {
        Self {
            name,
            windows: windows.to_vec(),
            item_windows: Vec::new(),
            idempotent: true,
            leads: false,
            halves_above: u32::MAX,
            vital: false,
        }
    }

    /// What an attempt with so many items pays: windows with the permits.
    pub(crate) fn costs(&self, items: u32) -> impl Iterator<Item = (usize, u32)> {
        let once = self.windows.iter().map(|&index| (index, 1));
        once.chain(self.item_windows.iter().map(move |&index| (index, items)))
    }
}

/// How the number of requests on the wire is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConcurrencySpec {
    /// At most this many.
    Fixed(u32),
    /// Found by watching latency, for remotes whose limits are unknown.
    Adaptive {
        /// At least this many.
        min: u32,
        /// At most this many.
        max: u32,
    },
}

/// Everything that is known of a remote's limits before the first request.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The remote's name, such as `workos`.
    pub name: &'static str,
    /// Its windows.
    pub windows: Vec<WindowSpec>,
    /// The kinds of requests, in the order of their numbers.
    pub operations: Vec<OperationSpec>,
    /// The bound on requests on the wire.
    pub concurrency: ConcurrencySpec,
    /// A ceiling of ours in requests a second, on top of the windows.
    pub rate: Option<f64>,
    /// Whether requests are spread evenly inside their windows.
    pub smooth: bool,
    /// How long one attempt may take, counted from its admission.
    pub timeout: Duration,
    /// How often an attempt is made again after a failure that is not a 429.
    pub retries: u32,
    /// How the waits between attempts grow.
    pub backoff: Backoff,
    /// How long the remote may go without one good answer before the run ends.
    pub deadline: Duration,
    /// The seed of the jitter.
    pub seed: u64,
}

impl Spec {
    /// The windows that each attempt of this operation pays, with their names.
    pub fn windows_of(&self, operation: usize) -> impl Iterator<Item = (&str, Quota)> {
        let windows = self.operations.get(operation).map_or(&[][..], |spec| &spec.windows);
        windows.iter().filter_map(|&index| {
            let window = self.windows.get(index)?;
            Some((window.name.as_str(), window.quota?))
        })
    }

    /// The highest rate that windows and ceiling allow this operation for long, in requests a
    /// second; `None` when nothing limits it.
    #[must_use]
    pub fn rate_of(&self, operation: usize) -> Option<f64> {
        let window = |(_, quota): (&str, Quota)| f64::from(quota.limit) / quota.span.as_secs_f64();
        self.windows_of(operation).map(window).chain(self.rate).reduce(f64::min)
    }

    /// How long `requests` of this operation take at best, when each is answered after
    /// `round_trip`: the slowest of its windows, each used to the full and given back its span
    /// after the answers, the ceiling likewise, or the wire itself.
    #[must_use]
    pub fn time_for(&self, operation: usize, requests: u64, round_trip: Duration) -> Duration {
        let full_rounds = |limit: u64, round: Duration| {
            let rounds = requests.saturating_sub(1) / limit.max(1);
            round.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)) + round_trip
        };
        let (ConcurrencySpec::Fixed(most) | ConcurrencySpec::Adaptive { max: most, .. }) =
            self.concurrency;
        let windows = self.windows_of(operation).map(|(_, quota)| quota);
        let windows = windows
            .chain(self.rate.map(gate::per_second))
            .map(|quota| full_rounds(quota.limit.into(), quota.span + round_trip));
        let slowest = windows.chain([full_rounds(most.into(), round_trip)]).max();
        slowest.filter(|_| requests > 0).unwrap_or_default()
    }
}
