//! The recorder of a gateway's traces and events, for Rust programs.
//!
#![doc = include_str!("../README.md")]

mod clock;
mod door;
mod exporter;
mod ids;
mod json;
mod lane;
mod message;
mod protobuf;
mod recorder;
mod settings;
mod span;
mod value;

pub use lane::{Stats, WhenFull};
pub use recorder::Recorder;
pub use settings::{Builder, StartError};
pub use span::{Generation, Span};
pub use value::Value;
