//! What a system has to offer to be on board: [`Connector`], a constant record.

use crate::limits::{Limits, VendorWindow};
use crate::transport::{BaseUrl, Transport};
use clap::{ArgMatches, Command};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use windlass_engine::Failure;
use windlass_engine::clock::Clock;
use windlass_engine::job::{BoxFuture, Context, Job};
use windlass_engine::plan::Header;
use windlass_engine::remote::Remote;
use windlass_engine::runner::stop::Stop;

/// A system that we know.
pub struct Connector {
    /// Its name in settings, plans, journals and the names of runs.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Where its API is; empty for a system whose key says where it is.
    pub base_url: &'static str,
    /// The environment variables with another place; the first that is set wins.
    pub base_url_variables: &'static [&'static str],
    /// The keys that it takes; the first whose variable is set wins.
    pub credentials: &'static [Credential],
    /// The environment variable with the key to a second account, for operations between two.
    pub other_credential: Option<&'static str>,
    /// The vendor's documented windows.
    pub windows: &'static [VendorWindow],
    /// The requests a second that are called 100 % where `--max-requests-per-second` sets the
    /// share of the windows, too; `None` makes it a ceiling and nothing else.
    pub full_rate: Option<f64>,
    /// The settings that only it has.
    pub settings: &'static [Setting],
    /// Its own environment variables for settings that every system has.
    pub variables: &'static [Variable],
    /// Its top-level commands, with their own arguments only.
    pub commands: fn() -> Vec<Command>,
    /// What its commands without further subcommands do: one entry for each of them.
    pub operations: &'static [Operation],
    /// Opens what a command line asks for.
    pub open: Open,
    /// The arguments that also hold when a plan is applied, such as what is protected.
    pub guards: fn() -> Command,
    /// Opens the job of a plan.
    pub reopen: fn(&Setup, &Header, &ArgMatches) -> Result<Opening, OpenError>,
    /// Its simulator.
    pub simulator: SimulatorEntry,
}

impl fmt::Debug for Connector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Opens what a command line asks for, with the [`Operation::path`] and the arguments of its last
/// command. It may ask the remote what a name means, and changes nothing.
pub type Open = for<'a> fn(
    &'a Setup,
    &'a Context,
    &'a [&'a str],
    &'a ArgMatches,
) -> BoxFuture<'a, Result<Opened, QueryError>>;

impl Connector {
    /// Whether it has a base URL, which then can be set. See [`Connector::base_url`].
    #[must_use]
    pub const fn has_base_url(&self) -> bool {
        !self.base_url.is_empty()
    }

    /// Whether any of its operations calls a remote under limits, which then can be set.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.operations.iter().any(|operation| operation.remote)
    }

    /// What the operation of a plan is, by [`Header::operation`]: words of its path. One that is
    /// not known, or that several kinds share, is taken for the kind that asks most.
    #[must_use]
    pub fn kind_of(&self, operation: &str) -> OperationKind {
        let known = self.operations.iter().filter(|known| known.is_called(operation));
        let mut kinds = known.map(|known| known.kind);
        match kinds.next() {
            Some(first) if kinds.all(|kind| kind == first) => first,
            _ => OperationKind::Destroy,
        }
    }
}

/// A key that a system takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The environment variable with the key.
    pub variable: &'static str,
    /// The environment variable with whose key it is, where the remote wants to be told.
    pub identity: Option<&'static str>,
}

/// A setting that only one system has, such as `account-id`. It is a single text.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in the system's table. A flag of this name sets it, too.
    pub name: &'static str,
    /// The environment variables that set it; the first that is set wins.
    pub variables: &'static [&'static str],
    /// Says what is wrong with a text, if anything is.
    pub check: fn(&str) -> Result<(), String>,
}

/// A system's own environment variable for a setting that every system has. It goes before the
/// variable that holds for all systems.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The name of the setting, such as `timeout`.
    pub setting: &'static str,
    /// The name of the variable.
    pub variable: &'static str,
    /// Turns the variable's text into the setting's, where the two have different units.
    pub read: fn(&str) -> String,
}

impl Variable {
    /// A variable that is written like the setting.
    #[must_use]
    pub const fn new(setting: &'static str, variable: &'static str) -> Self {
        Self { setting, variable, read: str::to_owned }
    }

    /// A variable that is a number of seconds, for a setting that is a time.
    #[must_use]
    pub const fn seconds(setting: &'static str, variable: &'static str) -> Self {
        Self { setting, variable, read: |text| with_unit(text, "s") }
    }
}

/// A text that has a unit already is left as it is.
fn with_unit(text: &str, unit: &str) -> String {
    let text = text.trim();
    let is_number = text.parse::<f64>().is_ok();
    if is_number { format!("{text}{unit}") } else { text.to_owned() }
}

/// What one command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The words of the command: `["workos", "delete"]`, to any depth.
    pub path: &'static [&'static str],
    /// What kind it is.
    pub kind: OperationKind,
    /// Whether it needs the remote. One that does not is opened without a key, and has no
    /// arguments about limits.
    pub remote: bool,
}

impl Operation {
    /// Whether plans call it so: by words of its path that stand together, such as `delete`,
    /// `namespaces create`, or `purge` for `cache purge tags`.
    fn is_called(&self, operation: &str) -> bool {
        let words: Vec<&str> = operation.split(' ').collect();
        self.path.windows(words.len()).any(|part| part == words)
    }
}

/// How an operation is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// It takes something away: a plan, a preview, the count typed, a ceiling.
    Destroy,
    /// It adds or changes something: a plan and a preview, but no question and no ceiling.
    Write,
    /// It takes nothing away and begins while it still lists: no plan is shown.
    Stream,
    /// It answers on standard output and changes nothing: there is no run.
    Query,
    /// It goes on until it is stopped: there is no plan, and its own pages show it.
    Serve,
}

/// How to start the simulator of a system.
#[derive(Clone, Copy)]
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
    /// Further variables that a command line needs to reach it, such as an account's.
    pub environment: Vec<(&'static str, String)>,
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
    /// Where the remote is; nowhere for a system whose key says where it is.
    pub base_url: BaseUrl,
    /// The key to it; empty for an operation that needs no remote and where none is set.
    pub key: Secret,
    /// Whose key it is, where its [`Credential`] says so.
    pub identity: Option<String>,
    /// The key to a second account, where one is set.
    pub other_key: Option<Secret>,
    /// The system's own settings; see [`Setup::setting`].
    pub settings: BTreeMap<String, String>,
    /// Whether answers are for programs: JSON lines.
    pub json: bool,
    /// The way to it.
    pub transport: Transport,
    /// The wall clock, once for the whole plan.
    pub now: Timestamp,
    /// Expressions from the config that protect objects, on top of the command line's.
    pub protect: Vec<String>,
    /// A folder for what the system keeps between its runs. It may not be there yet; `None` where
    /// nothing says where such folders are.
    pub state_folder: Option<PathBuf>,
}

impl Setup {
    /// The value of one of the system's own settings.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Opened {
    /// Something to be done, in steps.
    Job(Opening),
    /// Something to be answered.
    Query(Box<dyn Query>),
    /// Something that goes on until it is stopped.
    Server(Box<dyn Server>),
}

/// Something that listens on a port and works until it is stopped.
pub trait Server: Send {
    /// What a person should know when it starts, by name: where it listens first.
    fn greeting(&self) -> Vec<(&'static str, String)>;

    /// Works until a stop is asked for, ends in good order, and says what there is to say then. A
    /// second stop drops what is still on the wire.
    ///
    /// # Errors
    /// When it can't go on.
    fn serve(self: Box<Self>, stop: Stop) -> BoxFuture<'static, Result<Vec<String>, OpenError>>;
}

impl fmt::Debug for dyn Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Server")
    }
}

/// A question to a remote, or about files of ours. It changes nothing.
pub trait Query: Send {
    /// The remotes it asks, the one that limits it first.
    fn remotes(&self) -> Vec<Arc<Remote>>;

    /// Finds the answer and writes it to `out`, which is buffered and flushed by the caller. It
    /// should end where writing fails: the reader has gone away.
    ///
    /// # Errors
    /// When a remote or `out` fails, or what was asked turns out to make no sense.
    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>>;
}

impl fmt::Debug for dyn Query {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Query")
    }
}

/// What is to be said beside an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Lines for the person at the terminal, such as where the list goes on.
    pub notes: Vec<String>,
    /// Whether things that were compared are not the same.
    pub differs: bool,
}

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A remote failed.
    #[error(transparent)]
    Remote(#[from] Failure),
    /// The answer could not be written.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// The question makes no sense at this remote.
    #[error(transparent)]
    Usage(#[from] OpenError),
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
    /// What has to be typed before it starts, such as the title of what will be gone; `None`
    /// takes the number of steps.
    pub question: Option<String>,
    /// Whether it writes data to standard output, which then has nothing else.
    pub data_on_stdout: bool,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{find_command, find_operation, workos};

    const fn operation(path: &'static [&'static str], kind: OperationKind) -> Operation {
        Operation { path, kind, remote: true }
    }

    static STORE: Connector = Connector {
        name: "store",
        operations: &[
            operation(&["kv", "namespaces", "create"], OperationKind::Write),
            operation(&["kv", "put"], OperationKind::Write),
            operation(&["kv", "copy"], OperationKind::Stream),
            operation(&["cache", "purge", "tags"], OperationKind::Destroy),
            operation(&["cache", "copy"], OperationKind::Write),
        ],
        ..workos::CONNECTOR
    };

    #[test]
    fn the_kind_of_a_plan_is_that_of_its_operation_or_the_one_that_asks_most() {
        for (name, kind) in [
            ("put", OperationKind::Write),
            ("create", OperationKind::Write),
            ("namespaces create", OperationKind::Write),
            ("kv copy", OperationKind::Stream),
            ("purge", OperationKind::Destroy),
            ("copy", OperationKind::Destroy),
            ("kv create", OperationKind::Destroy),
            ("pu", OperationKind::Destroy),
            ("", OperationKind::Destroy),
        ] {
            assert_eq!(STORE.kind_of(name), kind, "{name}");
        }
    }

    #[test]
    fn operations_are_found_by_all_of_their_words() {
        let (connector, operation) = find_operation(&["workos", "delete"]).unwrap();
        assert_eq!((connector.name, operation.kind), ("workos", OperationKind::Destroy));
        for path in [&["workos"][..], &["delete"], &["workos", "delete", "users"], &[]] {
            assert!(find_operation(path).is_none(), "{path:?}");
        }
        assert_eq!(find_command("workos").map(|connector| connector.name), Some("workos"));
        assert!(find_command("delete").is_none());
    }

    #[test]
    fn the_words_and_arguments_of_the_last_command_are_found() {
        let inner = Command::new("inner").arg(clap::Arg::new("name"));
        let outer = Command::new("outer").subcommand(Command::new("middle").subcommand(inner));
        let matches = outer.get_matches_from(["outer", "middle", "inner", "Ann"]);
        let (path, leaf) = crate::leaf(&matches);
        assert_eq!(path, ["middle", "inner"]);
        assert_eq!(leaf.get_one::<String>("name").unwrap(), "Ann");
    }

    #[test]
    fn a_number_gets_its_unit_and_a_time_keeps_its_own() {
        let seconds = Variable::seconds("timeout", "T").read;
        for (text, read) in [("60", "60s"), (" 1.5 ", "1.5s"), ("2m", "2m"), ("soon", "soon")] {
            assert_eq!(seconds(text), read);
        }
        assert_eq!((Variable::new("concurrency", "C").read)("7"), "7");
    }
}
