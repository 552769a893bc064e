//! What clients of many kinds say, in one set of words.
//!
//! - `facts`: a span to its facts; `attributes` has the names that the conventions give them
//! - `usage`: counts of tokens to disjoint buckets
//! - `cost`: decimal texts to billionths of a thousandth of a dollar
//! - `provider`: names of providers
//! - `ids`: ids of other forms than OTLP's
//! - `messages`: product events of RudderStack
//! - `patches`: the envelopes of old clients of Langfuse, and scores
//! - `join`: such envelopes to spans
//! - `json_text`: JSON with common mistakes

pub mod attributes;
pub mod cost;
pub mod facts;
pub mod ids;
pub mod join;
pub mod json_text;
pub mod messages;
pub mod patches;
pub mod provider;
pub mod usage;

#[cfg(test)]
mod tests;
