//! Placeholder.

pub mod transport;
pub mod workos;
