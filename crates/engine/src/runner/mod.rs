//! The engine proper: the dispatcher owns all state of a run and is the only author of events,
//! the executor carries batches out, one spawned task each.

pub mod batcher;
pub mod command;
mod discover;
mod dispatcher;
mod executor;
pub mod reporter;
pub mod stop;

pub use command::{Command, Order, Status};
pub use discover::{DiscoverError, discover, watch};
pub use dispatcher::{Session, SessionSettings, run};
pub use reporter::Reporter;
