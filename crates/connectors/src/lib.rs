//! The systems that Windlass knows. Each is one folder here and one line in [`CONNECTORS`].
//!
//! [`transport`] is the HTTP seam that all of them use, [`limits`] joins a vendor's quota with
//! the operator's choices, [`expression`] asks questions about objects.

pub mod connector;
pub mod expression;
pub mod limits;
pub mod rate_headers;
pub mod transport;
pub mod workos;

pub use connector::{Connector, OpenError, Opening, Secret, Setup};

/// Every system, in the order of the help.
pub static CONNECTORS: &[&Connector] = &[&workos::CONNECTOR];

/// The system of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Connector> {
    CONNECTORS.iter().copied().find(|connector| connector.name == name)
}
