//! Every connector on the engine, against its simulator in this process, in virtual time.
//!
//! One binary, so that it links once. The simulator judges: its ledger says what was asked for,
//! when, and what it changed, and it shares no code with the connector or the engine.
//!
//! - `support`: opens jobs from argument vectors, discovers, applies, and keeps all that was said
//! - `fixtures`: what the laws need to know of each connector
//! - `laws`: what must hold for every connector
//! - `scenarios`: a hundred thousand steps against strict limits, faults and rivals
//! - `selection`: what goes into a plan and what must never
//! - `plan_apply`: what becomes of a plan when it meets the remote
//! - `faults`: single faults, refusals, and what the remote's headers say
//! - `cloudflare`: all of this for the second system, and what only it has
//! - `mongo`: the laws for the third, on real sockets and in real time

#[cfg(test)]
mod cloudflare;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod mongo;
#[cfg(test)]
mod plan_apply;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod selection;
#[cfg(test)]
mod support;
