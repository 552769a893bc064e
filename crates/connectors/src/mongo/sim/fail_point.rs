//! The `failCommand` fail point, which tests of drivers use on real servers started for tests.

use std::time::Duration;

use bson::{Document, RawBsonRef, RawDocument};
use fastrand::Rng;

use super::expression::to_bson;
use super::faults::{Sentence, Verdict};
use super::reply::CommandError;

/// Codes after which a write may be sent again, as the specification of retryable writes lists.
const RETRYABLE: [i32; 12] =
    [6, 7, 89, 91, 189, 262, 9_001, 10_107, 11_600, 11_602, 13_435, 13_436];

/// A fail point that is on.
#[derive(Clone, Debug)]
pub struct FailPoint {
    mode: Mode,
    commands: Vec<String>,
    closes_connection: bool,
    error_code: Option<i32>,
    message: String,
    labels: Option<Vec<String>>,
    block: Duration,
    write_concern_error: Option<Document>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Always,
    Times(u64),
    Skip(u64),
    Chance(f64),
}

impl FailPoint {
    /// Reads the command `configureFailPoint`; `None` switches the fail point off.
    ///
    /// # Errors
    ///
    /// Code 2 for modes that there are not, 14 for data that is no document.
    pub fn read(command: &RawDocument) -> Result<Option<Self>, CommandError> {
        let mode = match super::path::field(command, "mode") {
            Some(RawBsonRef::String("off")) => return Ok(None),
            Some(RawBsonRef::String("alwaysOn")) => Mode::Always,
            Some(RawBsonRef::Document(mode)) => read_mode(mode)?,
            _ => return Err(CommandError::new(2, "unknown mode")),
        };
        let data = command.get_document("data");
        let data = data.map_err(|_| CommandError::new(14, "'data' must be an object"))?;
        let strings = |name: &str| {
            let array = data.get_array(name).ok()?;
            let texts = array.into_iter().map_while(Result::ok).filter_map(RawBsonRef::as_str);
            Some(texts.map(ToOwned::to_owned).collect::<Vec<_>>())
        };
        let number = |name: &str| super::path::field(data, name).and_then(super::filter::integer);
        let is_set = |name: &str| data.get_bool(name).unwrap_or(false);
        let error_code = number("errorCode").and_then(|code| i32::try_from(code).ok());
        let block = match is_set("blockConnection") {
            true => number("blockTimeMS").and_then(|time| u64::try_from(time).ok()).unwrap_or(0),
            false => 0,
        };
        let concern = super::path::field(data, "writeConcernError").map(to_bson);
        Ok(Some(Self {
            mode,
            commands: strings("failCommands").unwrap_or_default(),
            closes_connection: is_set("closeConnection"),
            error_code,
            message: data
                .get_str("errorMsg")
                .unwrap_or("Failing command via 'failCommand' failpoint")
                .to_owned(),
            labels: strings("errorLabels"),
            block: Duration::from_millis(block),
            write_concern_error: concern.and_then(|it| it.as_document().cloned()),
        }))
    }

    /// Whether it strikes a command of this name, which uses up one of its times.
    pub fn strikes(&mut self, name: &str, rng: &mut Rng) -> bool {
        if !self.commands.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return false;
        }
        match &mut self.mode {
            Mode::Always => true,
            Mode::Chance(share) => rng.f64() < *share,
            Mode::Times(0) => false,
            Mode::Times(left) => {
                *left -= 1;
                true
            }
            Mode::Skip(0) => true,
            Mode::Skip(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// What it does to a command.
    pub fn apply(&self, sentence: &mut Sentence) {
        sentence.block = self.block;
        if self.closes_connection {
            sentence.verdict = Verdict::Cut;
        } else if let Some(code) = self.error_code {
            let implied = RETRYABLE.contains(&code);
            let labels = match &self.labels {
                Some(labels) => labels.clone(),
                None if implied => vec!["RetryableWriteError".to_owned()],
                None => Vec::new(),
            };
            let error = CommandError::new(code, self.message.clone());
            sentence.verdict = Verdict::Refuse(CommandError { labels, ..error });
        }
        sentence.write_concern_error.clone_from(&self.write_concern_error);
    }
}

fn read_mode(mode: &RawDocument) -> Result<Mode, CommandError> {
    let number = |name: &str| {
        let number = super::path::field(mode, name).and_then(super::filter::integer);
        number.and_then(|number| u64::try_from(number).ok())
    };
    if let Some(times) = number("times") {
        return Ok(Mode::Times(times));
    }
    if let Some(skip) = number("skip") {
        return Ok(Mode::Skip(skip));
    }
    let chance = mode.get_f64("activationProbability");
    chance.map(Mode::Chance).map_err(|_| CommandError::new(2, "unknown mode"))
}
