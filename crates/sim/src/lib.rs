//! The chassis of every simulator: what all remotes have in common, without any vendor's facts.
//!
//! A vendor's simulator is a [`World`]: its data, and one function that answers one request.
//! [`Chassis`] puts it behind a network made of [`latency`], [`faults`], [`quota`] windows and a
//! [`ledger`] of every request, and is a [`Simulator`]: callable in process, also under tokio's
//! paused clock, or [`serve`]d on a TCP port.
//!
//! It must never use code of the engine or of a client: the judge and the judged share no code. It
//! must never read any clock but tokio's, except once, to know the calendar date of the start.

mod chassis;
mod control;
pub mod faults;
pub mod latency;
pub mod ledger;
pub mod quota;
mod serve;
mod span;
#[cfg(test)]
mod tests;

pub use chassis::{Arrival, Chassis, ChassisOptions, Reply, World};
pub use faults::{Fault, FaultOptions};
pub use latency::LatencyOptions;
pub use ledger::{Entry, Ledger};
pub use quota::{Charge, Quotas, Rejection, Rule, Standing, WindowKind};
pub use serve::{ServeOptions, serve};
pub use span::{parse_rate, parse_span};

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};

/// Microseconds since the simulator started, on tokio's clock.
pub type Micros = u64;

/// The connection was cut without a reply. Like on a real network, the caller is not told whether
/// its request took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection reset by peer")
    }
}

impl std::error::Error for Reset {}

/// A remote that exists only in this process.
///
/// A call whose future is dropped before the request has "arrived" (the uplink part of the
/// latency) never reaches the remote; one dropped later has taken effect.
pub trait Simulator: Send + Sync + 'static {
    /// Sends one request and waits for its reply, in tokio's time.
    ///
    /// # Errors
    ///
    /// [`Reset`] when the connection was cut, before or after the request took effect.
    fn call(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, Reset>> + Send;

    /// Answers a request of the control plane, whose paths begin with `/_sim/`. Such requests need
    /// no key, meet no fault, and are neither counted nor recorded.
    fn control(&self, request: &Request<Bytes>) -> Response<Bytes>;
}

/// The reply of a [`DynSimulator`], still to come.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Reset>> + Send + 'a>>;

/// A [`Simulator`] behind a pointer, for code that does not know which one it calls. Every
/// simulator is one; the price is one allocation a call.
pub trait DynSimulator: Send + Sync + 'static {
    /// The same as [`Simulator::call`].
    fn call_boxed(&self, request: Request<Bytes>) -> Answer<'_>;
}

impl<S: Simulator> DynSimulator for S {
    fn call_boxed(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(self.call(request))
    }
}
