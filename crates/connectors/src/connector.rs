//! What a system has to offer to be on board: [`Connector`], a constant record.

use crate::limits::{Limits, VendorWindow};
use crate::transport::{BaseUrl, Transport};
use clap::{ArgMatches, Command};
use jiff::Timestamp;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use windlass_engine::clock::Clock;
use windlass_engine::job::{BoxFuture, Job};
use windlass_engine::plan::Header;

/// A system that we know.
pub struct Connector {
    /// Its name on the command line, in the config and in plans.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Where its API is.
    pub base_url: &'static str,
    /// The environment variable with another place.
    pub base_url_variable: &'static str,
    /// The environment variable with its key.
    pub key_variable: &'static str,
    /// The vendor's documented windows.
    pub windows: &'static [VendorWindow],
    /// Its commands, such as `delete`, with their own arguments only.
    pub command: fn() -> Command,
    /// Opens the job of a command line. The second argument is the subcommand's name.
    pub open: fn(&Setup, &str, &ArgMatches) -> Result<Opening, OpenError>,
    /// The arguments that also hold when a plan is applied, such as what is protected.
    pub guards: fn() -> Command,
    /// Opens the job of a plan.
    pub reopen: fn(&Setup, &Header, &ArgMatches) -> Result<Opening, OpenError>,
    /// Its simulator.
    pub simulator: SimulatorEntry,
}

/// How to start the simulator of a system.
pub struct SimulatorEntry {
    /// Its arguments.
    pub command: fn() -> Command,
    /// Serves it on this address until the process ends.
    pub start: fn(&ArgMatches, SocketAddr) -> BoxFuture<'static, Result<Serving, String>>,
}

/// A simulator on a port.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// A key that it accepts.
    pub key: String,
    /// Serves until it is dropped.
    pub serving: BoxFuture<'static, ()>,
}

/// What every job is opened with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The time of the run.
    pub clock: Clock,
    /// How hard the remote may be used.
    pub limits: Limits,
    /// Where the remote is.
    pub base_url: BaseUrl,
    /// The key to it.
    pub key: Secret,
    /// The way to it.
    pub transport: Transport,
    /// The wall clock, once for the whole plan.
    pub now: Timestamp,
    /// Expressions from the config that protect objects, on top of the command line's.
    pub protect: Vec<String>,
}

/// A job with what a person should know before it starts.
#[derive(Clone)]
pub struct Opening {
    /// The job.
    pub job: Arc<dyn Job>,
    /// The account's fingerprint.
    pub account: String,
    /// The resolved options for the plan's header.
    pub options: serde_json::Value,
    /// The same for people: name and value.
    pub selection: Vec<(&'static str, String)>,
    /// What they should know besides.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Opening").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Why a job can't be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it was understood and refused for safety, rather than not understood.
    pub refused: bool,
}

impl OpenError {
    /// Something was not understood.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), refused: false }
    }

    /// Something was understood and is not done for safety.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), refused: true }
    }
}

/// A key that shows in no log, plan, journal, report or error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a key, without the white space that copying often leaves around it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The key itself, for the request that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What can be shown of it: 16 hex digits of its SHA-256, and its public prefix, such as
    /// `sk_test_`. A key has far too much entropy to be guessed from that.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let hash = Sha256::new().chain_update("windlass account ").chain_update(&self.0).finalize();
        let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        match self.0.match_indices('_').nth(1) {
            Some((end, _)) if end <= 8 => format!("{}_{hex}", self.0.split_at(end).0),
            _ => hex,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}
