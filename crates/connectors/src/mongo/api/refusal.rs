//! What an error of the driver means for a run: one table of the server's codes and labels.

use mongodb::error::{CommandError, Error, ErrorKind};
use std::time::Duration;
use windlass_engine::{Failure, Kind};

/// The server asks for patience: too many requests for what is provisioned (16500 of Azure Cosmos
/// DB), its own retries of those given up after a minute (50 there), overload of its admission
/// control (462).
const PATIENCE: &[i32] = &[16500, 50, 462];
/// Credentials are not accepted: AuthenticationFailed, and Atlas' own.
const DENIED: &[i32] = &[18, 8000];
/// Unauthorized: this user may not do this.
const FORBIDDEN: &[i32] = &[13];
/// The member steps down, shuts down, is unreachable or no primary, or a cursor or a snapshot was
/// lost; "retryable" in the drivers' specification, together with WriteConflict.
const AWAY: &[i32] = &[
    6, 7, 43, 63, 64, 89, 91, 112, 133, 134, 150, 189, 234, 246, 262, 9001, 10058, 10107, 11600,
    11602, 13388, 13435, 13436,
];
/// The request or a document in it is too large.
const TOO_LARGE: &[i32] = &[10334, 17419, 17420, 2];

/// An error of the driver as a failure.
#[must_use]
pub fn failure_of(error: &Error) -> Failure {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => of_command(error, command),
        ErrorKind::Io(io) => lost(io.to_string(), true),
        ErrorKind::ConnectionPoolCleared { message, .. } => lost(message.clone(), false),
        ErrorKind::ServerSelection { message, .. } => lost(first_line(message), false)
            .with_hint("check that the server is up and that MONGODB_URI names it"),
        ErrorKind::DnsResolve { message, .. } => lost(message.clone(), false),
        ErrorKind::Authentication { message, .. } => {
            Failure::new(Kind::Denied, message.clone()).with_hint("check user and password")
        }
        ErrorKind::IncompatibleServer { message, .. } => {
            Failure::new(Kind::Rejected, message.clone())
                .with_hint("servers from version 4.4 on are supported")
        }
        ErrorKind::InvalidArgument { message, .. } => Failure::new(Kind::Rejected, message.clone()),
        ErrorKind::InvalidTlsConfig { message, .. } => {
            Failure::new(Kind::Rejected, message.clone()).with_hint("check the URI's TLS options")
        }
        other => {
            let mut failure = Failure::new(Kind::Malformed, other.to_string());
            failure.may_have_happened = true;
            failure
        }
    }
}

fn lost(message: String, may_have_happened: bool) -> Failure {
    let mut failure = Failure::new(Kind::Unavailable, message);
    failure.may_have_happened = may_have_happened;
    failure
}

/// The driver tells all it knows of the topology; what is wrong stands before it.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.split(" Topology:").next().unwrap_or_default().to_owned()
}

fn of_command(error: &Error, command: &CommandError) -> Failure {
    let is_overload = error.contains_label("SystemOverloadedError");
    let kind = kind_of(command.code, is_overload, &command.message);
    let mut failure = Failure::new(kind, command.message.clone());
    failure.code = Some(format!("{} {}", command.code, command.code_name).trim().to_owned());
    failure.wait = error.base_backoff().or_else(|| told_wait(&command.message));
    let wrote_nothing = error.contains_label("NoWritesPerformed") || is_overload;
    failure.may_have_happened = kind.verdict().retry && !wrote_nothing && command.code != 16500;
    match kind {
        Kind::Forbidden => failure.with_hint("the user of MONGODB_URI lacks a role for this"),
        Kind::Denied => failure.with_hint("check user and password of MONGODB_URI"),
        _ => failure,
    }
}

fn kind_of(code: i32, is_overload: bool, message: &str) -> Kind {
    match code {
        _ if is_overload || PATIENCE.contains(&code) => Kind::Throttled,
        _ if DENIED.contains(&code) => Kind::Denied,
        _ if FORBIDDEN.contains(&code) => Kind::Forbidden,
        _ if AWAY.contains(&code) => Kind::Unavailable,
        2 if !message.contains("too large") => Kind::Rejected,
        _ if TOO_LARGE.contains(&code) => Kind::TooLarge,
        _ => Kind::Rejected,
    }
}

/// One statement's error as a failure of its write, where it passes by itself; the other statements
/// may have been carried out.
#[must_use]
pub fn passing(code: i32, message: &str) -> Option<Failure> {
    let kind = kind_of(code, false, message);
    let mut failure = Failure::new(kind, message);
    failure.code = Some(code.to_string());
    failure.wait = told_wait(message);
    failure.may_have_happened = true;
    kind.verdict().retry.then_some(failure)
}

/// Azure Cosmos DB names the wait in its message: `RetryAfterMs=34`.
fn told_wait(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("RetryAfterMs=")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_millis)
}

/// The server's code of a failure.
#[must_use]
pub fn code_of(failure: &Failure) -> Option<i32> {
    failure.code.as_deref()?.split(' ').next()?.parse().ok()
}

/// Whether a failure has one of these codes.
#[must_use]
pub fn is_code(failure: &Failure, codes: &[i32]) -> bool {
    code_of(failure).is_some_and(|code| codes.contains(&code))
}
