//! What clients were recorded to send, and what it comes to.

mod facts;
mod join;
mod messages;
mod patches;
mod usage;
