//! The gateway as its users meet it: clients that their makers publish send to it, and what comes
//! out at the simulators of the destinations and in the databases is compared with what was sent.
//!
//! - `gateway`: the gateway and the simulators as processes; `http`: a small client of our own
//! - `postgres`, `rows`: a PostgreSQL of one's own, and what stands in the databases
//! - `clients`: real clients, the scripts in the folder of that name
//! - `load`: a generator that keeps every id that was acknowledged; `loss`: kills under that load
//! - `faults`: what users and machines do wrong

mod clients;
mod faults;
mod gateway;
mod http;
mod load;
mod loss;
mod postgres;
mod rows;
