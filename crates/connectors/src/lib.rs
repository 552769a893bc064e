//! The systems that Windlass knows. Each is one folder here and one line in [`CONNECTORS`].
//!
//! [`transport`] is the HTTP seam that all of them use, [`http_api`] what their raw calls have in
//! common, [`limits`] joins a vendor's quota with the operator's choices, [`expression`] asks
//! questions about objects.

pub mod cloudflare;
pub mod connector;
pub mod expression;
pub mod http_api;
pub mod limits;
pub mod mongo;
pub mod observe;
pub mod rate_headers;
pub mod transport;
pub mod workos;

pub use connector::{
    Answered, Connector, Credential, OpenError, Opened, Opening, Operation, OperationKind, Query,
    QueryError, Secret, Server, Setting, Setup, Variable,
};

use clap::ArgMatches;

/// Every system, in the order of the help.
pub static CONNECTORS: &[&Connector] =
    &[&workos::CONNECTOR, &cloudflare::CONNECTOR, &mongo::CONNECTOR, &observe::CONNECTOR];

/// The system of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Connector> {
    CONNECTORS.iter().copied().find(|connector| connector.name == name)
}

/// The system that has this top-level command.
#[must_use]
pub fn find_command(name: &str) -> Option<&'static Connector> {
    let is_first = |operation: &Operation| operation.path.first() == Some(&name);
    CONNECTORS.iter().copied().find(|connector| connector.operations.iter().any(is_first))
}

/// The operation of these words, with the system that has it.
#[must_use]
pub fn find_operation(path: &[&str]) -> Option<(&'static Connector, &'static Operation)> {
    let connector = find_command(path.first()?)?;
    let operation = connector.operations.iter().find(|operation| operation.path == path)?;
    Some((connector, operation))
}

/// The words of a command line's commands, and the arguments of the last of them.
#[must_use]
pub fn leaf(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let (mut path, mut leaf) = (Vec::new(), matches);
    while let Some((name, inner)) = leaf.subcommand() {
        path.push(name);
        leaf = inner;
    }
    (path, leaf)
}
