//! What a gate looks like at one moment, for screens and metrics.

use super::gate::State;
use crate::event::Waiting;
use crate::moment::Moment;
use crate::policy::quota::Quota;
use serde::Serialize;

/// One window of the quota.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowMeter {
    /// Its name.
    pub name: String,
    /// The share of it that we use.
    #[serde(rename = "quota")]
    pub quota: Quota,
    /// How many requests may start at once.
    pub available: u32,
    /// 1 normally; less after a 429, until it has grown back.
    pub factor: f64,
}

/// A gate at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Meter {
    /// Requests on the wire.
    pub in_flight: u32,
    /// At most so many.
    pub concurrency: u32,
    /// The windows that are not unlimited.
    pub windows: Vec<WindowMeter>,
    /// The operator's ceiling in requests a second.
    pub rate: Option<f64>,
    /// Whether somebody paused it.
    pub paused: bool,
    /// Why nothing starts at this moment; `None` when nobody is waiting.
    pub waiting: Option<Waiting>,
    /// Microseconds until that is over, where it is known.
    pub waiting_us: Option<u64>,
}

impl Meter {
    pub(super) fn read(now: Moment, state: &mut State) -> Self {
        let windows = state.windows.iter_mut().flatten().map(|named| WindowMeter {
            name: named.name.clone(),
            quota: named.quota,
            available: named.window.available(now),
            factor: named.window.factor(),
        });
        let (waiting, until) = match &state.waiting {
            Some((waiting, until)) => (Some(waiting.clone()), *until),
            None => (None, None),
        };
        let micros = |until: Moment| {
            u64::try_from(until.saturating_since(now).as_micros()).unwrap_or(u64::MAX)
        };
        Self {
            in_flight: state.concurrency.in_flight(),
            concurrency: state.concurrency.limit(),
            windows: windows.collect(),
            rate: state.rate,
            paused: state.paused,
            waiting,
            waiting_us: until.map(micros),
        }
    }
}
