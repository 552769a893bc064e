//! The oracle is the generated code of `opentelemetry-proto`: what it encodes we must read, and
//! what we encode it must read, to the same values.

mod answers;
mod json;
mod requests;
mod rewriting;
mod samples;
mod wire;
