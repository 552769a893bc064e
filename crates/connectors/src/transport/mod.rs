//! The one-method HTTP seam: every HTTP request of every connector goes through
//! [`Transport::send`], to the network or to a simulator in the same process.
//!
//! It owns connections, TLS, proxies and the bound on answers. It never retries, never follows a
//! redirect, never waits for a timeout of its own and never judges a status: quota, retry and
//! timeouts belong to the engine, and an answer of any status is an `Ok`.
//!
//! - `base_url`: the check of a base URL when settings are read
//! - `network`: the pool of connections and the exchange of one request
//! - `connect`: TCP, proxy tunnel and TLS for one new connection
//! - `error`: what can go wrong, and whether the request may have taken effect

mod base_url;
mod connect;
mod error;
mod network;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use windlass_sim::DynSimulator;

pub use base_url::{BaseUrl, BaseUrlError, check_base_url};
pub use connect::{CaFileError, ProxyRules, read_ca_file};
pub use error::{ConnectReason, TransportError};
pub use network::{BODY_BYTES_MAX, IDLE_CONNECTIONS_MAX, Network, NetworkOptions};

/// Where requests go. Clones share the connections.
#[derive(Clone)]
pub enum Transport {
    /// Real sockets.
    Network(Arc<Network>),
    /// A simulator, called as a function: no sockets, so time may be paused.
    InProcess(Arc<dyn DynSimulator>),
}

impl Transport {
    /// Sends requests over the network. Opens nothing and reads no certificate yet.
    pub fn network(options: NetworkOptions) -> Self {
        Self::Network(Arc::new(Network::new(options)))
    }

    /// Hands requests to `simulator`, with the same absolute URI that the network would get. A
    /// connection that the simulator cuts is a [`TransportError::Reset`].
    pub fn in_process(simulator: Arc<dyn DynSimulator>) -> Self {
        Self::InProcess(simulator)
    }

    /// Sends one request once and reads its whole answer.
    ///
    /// The URI is absolute, best made by [`BaseUrl::join`]; the `Host` header is set here.
    /// Dropping the future closes an HTTP/1.1 connection, or resets the stream of an HTTP/2 one,
    /// so the caller may put any timeout around it.
    ///
    /// # Errors
    ///
    /// Fails where no complete answer came; see [`TransportError`] for the kinds and for
    /// [`TransportError::may_have_arrived`]. An HTTP status is never an error here.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        match self {
            Self::Network(network) => network.send(request).await,
            Self::InProcess(simulator) => {
                let answer = simulator.call_boxed(request).await;
                answer.map_err(|reset| TransportError::Reset {
                    origin: "the simulator".to_owned(),
                    may_have_arrived: true,
                    source: Some(reset.into()),
                })
            }
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network(_) => "Transport::Network",
            Self::InProcess(_) => "Transport::InProcess",
        })
    }
}
