//! The engine as a whole, in one binary so that it links once: runs, crashes, discovery, cost.

mod cost;
mod crash;
mod discover;
mod runner;
mod shared;
mod streaming;
mod support;
