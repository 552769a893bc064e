//! What a good server never does, at seeded rates.
//!
//! Owns the choice of what happens to each command and to its reply, and the cap on operations a
//! second. It never touches the data.

use std::time::Duration;

use bson::{Document, doc};
use fastrand::Rng;
use tokio::time::Instant;
use windlass_sim::{parse_rate, parse_span};

use super::fail_point::FailPoint;
use super::reply::CommandError;

/// The faults of the simulated server, as flags. The default is none at all.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct FaultOptions {
    /// Share of commands whose connection is cut before they take effect
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub reset_before: f64,
    /// Share of commands that take effect and whose connection is cut instead of a reply
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub reply_lost: f64,
    /// Share of commands that take effect and whose connection is cut in the middle of the reply
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub reply_cut: f64,
    /// Share of replies that come in small pieces over the time of --slow-by
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub slow_rate: f64,
    /// How long a slow reply takes
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "1s")]
    pub slow_by: Duration,
    /// Share of commands refused with code 16500 and the text RetryAfterMs, as Cosmos DB does
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub throttle_rate: f64,
    /// The number after RetryAfterMs
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 20)]
    pub retry_after_ms: u64,
    /// Share of the statements of a write refused with code 16500, while the others are applied
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub statement_throttle_rate: f64,
    /// Share of commands refused with code 462 and the labels of an overloaded server
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub overload_rate: f64,
    /// Share of commands refused because this is no primary any more
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub not_primary_rate: f64,
    /// The codes of those refusals; may be repeated
    #[arg(long, value_name = "CODE", default_values_t = NOT_PRIMARY)]
    pub not_primary_code: Vec<i32>,
    /// Share of writes that are applied and answered with a writeConcernError of code 64
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub write_concern_rate: f64,
    /// Statements that failed are listed from the last to the first
    #[arg(long)]
    pub descending_write_errors: bool,
    /// Duplicate keys are told without keyPattern and keyValue
    #[arg(long)]
    pub no_key_pattern: bool,
    /// Most documents and statements a second; beyond it commands are refused with code 16500
    #[arg(long, value_name = "COUNT")]
    pub operations_per_second: Option<u32>,
    /// Only these commands meet faults, separated by commas; otherwise all that read or write
    #[arg(long, value_name = "COMMANDS", value_delimiter = ',')]
    pub fault_commands: Vec<String>,
}

/// Shutdown in progress, not the primary, and interrupted at shutdown.
const NOT_PRIMARY: [i32; 3] = [91, 10_107, 11_600];

/// What meets faults unless the options name commands.
const COMMANDS: [&str; 12] = [
    "insert",
    "update",
    "delete",
    "find",
    "getMore",
    "aggregate",
    "count",
    "distinct",
    "findAndModify",
    "findandmodify",
    "createIndexes",
    "dropIndexes",
];

/// The commands that have a write concern.
pub const WRITES: [&str; 5] = ["insert", "update", "delete", "findAndModify", "findandmodify"];

impl Default for FaultOptions {
    fn default() -> Self {
        Self {
            reset_before: 0.0,
            reply_lost: 0.0,
            reply_cut: 0.0,
            slow_rate: 0.0,
            slow_by: Duration::from_secs(1),
            throttle_rate: 0.0,
            retry_after_ms: 20,
            statement_throttle_rate: 0.0,
            overload_rate: 0.0,
            not_primary_rate: 0.0,
            not_primary_code: NOT_PRIMARY.to_vec(),
            write_concern_rate: 0.0,
            descending_write_errors: false,
            no_key_pattern: false,
            operations_per_second: None,
            fault_commands: Vec::new(),
        }
    }
}

impl FaultOptions {
    /// Whether they make sense together.
    ///
    /// # Errors
    ///
    /// Rates of faults that exclude each other and are more than 1 together.
    pub fn check(&self) -> Result<(), String> {
        let refusals =
            self.reset_before + self.throttle_rate + self.overload_rate + self.not_primary_rate;
        let replies = self.reply_lost + self.reply_cut + self.slow_rate;
        match refusals <= 1.0 && replies <= 1.0 {
            true => Ok(()),
            false => Err("the rates of faults are more than 1 together".to_owned()),
        }
    }
}

/// What happens to a command.
#[derive(Clone, Debug)]
pub struct Sentence {
    /// It waits this long before anything else.
    pub block: Duration,
    /// Whether it is carried out.
    pub verdict: Verdict,
    /// What the reply of a write says besides.
    pub write_concern_error: Option<Document>,
    /// The way of the reply.
    pub delivery: Delivery,
}

/// Whether a command is carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is.
    Execute,
    /// It is not, and told so.
    Refuse(CommandError),
    /// It is not, and the connection is cut.
    Cut,
}

/// The way of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    Whole,
    /// The connection is cut instead.
    Lost,
    /// The connection is cut in the middle.
    Half,
    /// In small pieces over this time.
    Slow(Duration),
}

/// The faults of a running server.
#[derive(Debug)]
pub struct Faults {
    rng: Rng,
    /// The `failCommand` fail point.
    pub fail_point: Option<FailPoint>,
    /// How many operations are left of the cap, negative when a large command went into debt,
    /// and when that was so.
    budget: (f64, Option<Instant>),
}

impl Faults {
    /// No fail point, and all chances from this seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), fail_point: None, budget: (0.0, None) }
    }

    /// The randomness of the network.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Whether a statement of a write is refused.
    pub fn refuses_statement(&mut self, options: &FaultOptions) -> Option<CommandError> {
        let rate = options.statement_throttle_rate;
        (rate > 0.0 && self.rng.f64() < rate).then(|| throttled(options.retry_after_ms))
    }

    /// What happens to a command of this name with so many statements.
    pub fn judge(&mut self, name: &str, statements: u64, options: &FaultOptions) -> Sentence {
        let mut sentence = Sentence {
            block: Duration::ZERO,
            verdict: Verdict::Execute,
            write_concern_error: None,
            delivery: Delivery::Whole,
        };
        if let Some(fail_point) = &mut self.fail_point
            && fail_point.strikes(name, &mut self.rng)
        {
            fail_point.apply(&mut sentence);
            return sentence;
        }
        let named = &options.fault_commands;
        let is_met = match named.is_empty() {
            true => COMMANDS.contains(&name),
            false => named.iter().any(|own| own == name),
        };
        if !is_met {
            return sentence;
        }
        sentence.verdict = self.verdict(statements, options);
        if WRITES.contains(&name) && self.meets(options.write_concern_rate) {
            sentence.write_concern_error = Some(write_concern_error());
        }
        sentence.delivery = self.delivery(options);
        sentence
    }

    fn meets(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.rng.f64() < rate
    }

    fn verdict(&mut self, statements: u64, options: &FaultOptions) -> Verdict {
        if let Some(wait) = self.exceeds(statements, options) {
            return Verdict::Refuse(throttled(wait));
        }
        let rates = [
            options.reset_before,
            options.throttle_rate,
            options.overload_rate,
            options.not_primary_rate,
        ];
        if rates.iter().all(|rate| *rate == 0.0) {
            return Verdict::Execute;
        }
        let mut dice = self.rng.f64();
        for (place, rate) in rates.iter().enumerate() {
            if dice < *rate {
                return match place {
                    0 => Verdict::Cut,
                    1 => Verdict::Refuse(throttled(options.retry_after_ms)),
                    2 => Verdict::Refuse(overloaded()),
                    _ => {
                        let code = self.rng.choice(&options.not_primary_code);
                        Verdict::Refuse(not_primary(code.copied().unwrap_or(10_107)))
                    }
                };
            }
            dice -= rate;
        }
        Verdict::Execute
    }

    fn delivery(&mut self, options: &FaultOptions) -> Delivery {
        let ways = [
            (options.reply_lost, Delivery::Lost),
            (options.reply_cut, Delivery::Half),
            (options.slow_rate, Delivery::Slow(options.slow_by)),
        ];
        if ways.iter().all(|(rate, _)| *rate == 0.0) {
            return Delivery::Whole;
        }
        let mut dice = self.rng.f64();
        for (rate, way) in ways {
            if dice < rate {
                return way;
            }
            dice -= rate;
        }
        Delivery::Whole
    }

    /// After how many milliseconds there is room for more, when there is none now. A command
    /// passes as long as anything is left of the second, and may go into debt.
    fn exceeds(&mut self, statements: u64, options: &FaultOptions) -> Option<u64> {
        let rate = f64::from(options.operations_per_second?.max(1));
        let now = Instant::now();
        let (left, at) = self.budget;
        let left = match at {
            Some(at) => (left + rate * (now - at).as_secs_f64()).min(rate),
            None => rate,
        };
        let passes = left >= 1.0;
        let spent = if passes { statements.max(1) as f64 } else { 0.0 };
        self.budget = (left - spent, Some(now));
        (!passes).then(|| ((1.0 - left) / rate * 1_000.0).ceil() as u64)
    }
}

/// The refusal of Cosmos DB beyond its rate.
fn throttled(wait_ms: u64) -> CommandError {
    let message = format!(
        "Error=16500, RetryAfterMs={wait_ms}, Details='Response status code does not indicate \
         success: TooManyRequests (429); Reason: (Request rate is large.)'"
    );
    CommandError::new(16_500, message)
}

/// The refusal of an overloaded server.
fn overloaded() -> CommandError {
    let message = "The server is overloaded; the request was rejected by its rate limiter";
    CommandError::new(462, message).labelled(&["SystemOverloadedError", "RetryableError"])
}

fn not_primary(code: i32) -> CommandError {
    let message = match code {
        91 => "The server is in quiesce mode and will shut down",
        11_600 => "interrupted at shutdown",
        _ => "not primary",
    };
    CommandError::new(code, message).labelled(&["RetryableWriteError"])
}

fn write_concern_error() -> Document {
    doc! {
        "code": 64,
        "codeName": "WriteConcernTimeout",
        "errmsg": "waiting for replication timed out",
        "errInfo": { "wtimeout": true },
    }
}
