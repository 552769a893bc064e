//! OTLP without generated code: spans are read where they lie, and forwarded as they came, so that
//! what we do not know of them survives.
//!
//! - `wire`: the encoding of protobuf, read and written
//! - `span`: a span and its attributes, borrowed
//! - `request`: an export request taken apart into scopes and spans
//! - `json`: OTLP in JSON, brought into the same bytes
//! - `rewrite`: strings replaced and attributes added in encoded spans
//! - `export`: export requests put together
//! - `answer`: what a receiver answers

pub mod answer;
pub mod export;
pub mod json;
pub mod request;
pub mod rewrite;
pub mod span;
pub mod wire;

#[cfg(test)]
mod tests;
