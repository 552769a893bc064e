//! What goes wrong between a client and a remote, at seeded rates or on demand.
//!
//! Owns the choice of the fault of each request, the periods in which everything is refused, and
//! whether the keys are revoked. It must never touch the data: what a fault does to a request is
//! the affair of the chassis.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use http::Method;

use crate::Micros;
use crate::span::{micros, parse_rate, parse_span};

/// One fault of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut and the request had no effect.
    ResetBefore,
    /// The request takes effect, then the connection is cut.
    ResetAfter,
    /// A proxy answers with this status and an HTML page; the request had no effect.
    Error(u16),
    /// The request takes effect, and the reply comes this much later.
    Slow(Duration),
    /// The request takes effect, and the second half of the reply's body is missing.
    Truncate,
    /// The request takes effect, and the connection ends in the middle of the reply's body: it is
    /// shorter than its Content-Length says.
    CutBody,
}

/// The faults of a simulated remote, as flags. The default is none at all.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct FaultOptions {
    /// Share of requests whose connection is cut before they take effect
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub reset_before: f64,
    /// Share of requests whose connection is cut after they took effect
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub reset_after: f64,
    /// Share of requests answered with an error status and an HTML page, without effect
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub error_rate: f64,
    /// The error statuses to choose from; may be repeated
    #[arg(long, value_name = "STATUS", default_values_t = ERRORS)]
    pub error_status: Vec<u16>,
    /// Share of requests whose reply is late by --slow-by
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub slow_rate: f64,
    /// How late a slow reply is
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "60s")]
    pub slow_by: Duration,
    /// Share of replies whose JSON ends in the middle
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub truncate_rate: f64,
    /// Share of replies whose body is shorter than its Content-Length says
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub cut_body_rate: f64,
    /// One in this many requests is answered 429, whatever the limits; 0 is none
    #[arg(long, value_name = "REQUESTS", default_value_t = 0)]
    pub too_many_every: u64,
    /// Only requests with this method meet the faults above; may be repeated
    #[arg(long, value_name = "METHOD")]
    pub fault_method: Vec<Method>,
    /// A period in which every request is answered 429, as start and length since the start of the
    /// simulator, for example `10s+30s`; may be repeated
    #[arg(long, value_name = "START+LENGTH", value_parser = parse_period)]
    pub storm: Vec<Period>,
    /// Every key is revoked after this many requests
    #[arg(long, value_name = "COUNT")]
    pub revoke_after: Option<u64>,
    /// Every key is revoked at this time since the start
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub revoke_at: Option<Duration>,
}

/// What proxies and overloaded remotes say most often.
const ERRORS: [u16; 3] = [500, 502, 503];

impl Default for FaultOptions {
    fn default() -> Self {
        Self {
            reset_before: 0.0,
            reset_after: 0.0,
            error_rate: 0.0,
            error_status: ERRORS.to_vec(),
            slow_rate: 0.0,
            slow_by: Duration::from_secs(60),
            truncate_rate: 0.0,
            cut_body_rate: 0.0,
            too_many_every: 0,
            fault_method: Vec::new(),
            storm: Vec::new(),
            revoke_after: None,
            revoke_at: None,
        }
    }
}

/// A period since the start of the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// When it begins.
    pub start: Duration,
    /// How long it lasts.
    pub length: Duration,
}

fn parse_period(text: &str) -> Result<Period, String> {
    let (start, length) =
        text.split_once('+').ok_or_else(|| format!("`{text}` is not like 10s+30s"))?;
    Ok(Period { start: parse_span(start)?, length: parse_span(length)? })
}

/// The faults of a running simulator.
#[derive(Debug)]
pub(crate) struct Faults {
    options: FaultOptions,
    any_rate: bool,
    forced: VecDeque<Option<Fault>>,
    arrived: u64,
    revoked: bool,
}

impl Faults {
    pub(crate) fn new(options: FaultOptions) -> Self {
        let rates = [options.reset_before, options.reset_after, options.error_rate];
        let late = [options.slow_rate, options.truncate_rate, options.cut_body_rate];
        let any_rate = rates.iter().chain(&late).any(|&rate| rate > 0.0);
        Self { options, any_rate, forced: VecDeque::new(), arrived: 0, revoked: false }
    }

    /// The next requests meet exactly these, in order, before any rate is looked at.
    pub(crate) fn force(&mut self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.forced.extend(faults);
    }

    pub(crate) fn revoke(&mut self) {
        self.revoked = true;
    }

    /// Counts an arrival and draws its fault.
    pub(crate) fn draw(&mut self, now: Micros, method: &Method, rng: &mut Rng) -> Option<Fault> {
        self.arrived += 1;
        let options = &self.options;
        self.revoked |= options.revoke_after.is_some_and(|most| self.arrived > most)
            || options.revoke_at.is_some_and(|at| micros(at) <= now);
        if let Some(forced) = self.forced.pop_front() {
            return forced;
        }
        let spared = !options.fault_method.is_empty() && !options.fault_method.contains(method);
        if !self.any_rate || spared {
            return None;
        }
        let status = rng.choice(&options.error_status).copied().unwrap_or(500);
        let mut dice = rng.f64();
        for (rate, fault) in [
            (options.reset_before, Fault::ResetBefore),
            (options.reset_after, Fault::ResetAfter),
            (options.error_rate, Fault::Error(status)),
            (options.slow_rate, Fault::Slow(options.slow_by)),
            (options.truncate_rate, Fault::Truncate),
            (options.cut_body_rate, Fault::CutBody),
        ] {
            if dice < rate {
                return Some(fault);
            }
            dice -= rate;
        }
        None
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// For how long the request that was drawn last is refused, if it is: for the rest of the
    /// storm that rages now, or for a second when its number is one of the unlucky ones.
    pub(crate) fn refusal(&self, now: Micros) -> Option<Duration> {
        let unlucky = self.options.too_many_every;
        let unlucky = unlucky > 0 && self.arrived.is_multiple_of(unlucky);
        self.storm(now).or(unlucky.then_some(Duration::from_secs(1)))
    }

    fn storm(&self, now: Micros) -> Option<Duration> {
        let now = Duration::from_micros(now);
        let ends = self.options.storm.iter().filter(|storm| storm.start <= now);
        ends.filter_map(|storm| (storm.start + storm.length).checked_sub(now))
            .filter(|left| !left.is_zero())
            .max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(options: &FaultOptions, method: &Method, wanted: Fault) -> usize {
        let mut faults = Faults::new(options.clone());
        let mut rng = Rng::with_seed(11);
        (0..10_000).filter(|_| faults.draw(0, method, &mut rng) == Some(wanted)).count()
    }

    #[test]
    fn rates_are_kept_and_do_not_disturb_each_other() {
        let options = FaultOptions {
            reset_before: 0.1,
            reset_after: 0.2,
            truncate_rate: 0.3,
            ..FaultOptions::default()
        };
        for (fault, expected) in
            [(Fault::ResetBefore, 1_000), (Fault::ResetAfter, 2_000), (Fault::Truncate, 3_000)]
        {
            let met = count(&options, &Method::DELETE, fault);
            assert!(met.abs_diff(expected) < 200, "{fault:?} {met} times, not about {expected}");
        }
    }

    #[test]
    fn only_the_named_methods_meet_faults() {
        let options = FaultOptions {
            reset_before: 1.0,
            fault_method: vec![Method::DELETE],
            ..FaultOptions::default()
        };
        assert_eq!(count(&options, &Method::GET, Fault::ResetBefore), 0);
        assert_eq!(count(&options, &Method::DELETE, Fault::ResetBefore), 10_000);
    }

    #[test]
    fn forced_faults_come_first_and_in_order() {
        let mut faults = Faults::new(FaultOptions::default());
        let mut rng = Rng::with_seed(1);
        faults.force([None, Some(Fault::Error(502)), Some(Fault::Truncate)]);
        let mut draw = || faults.draw(0, &Method::GET, &mut rng);
        assert_eq!(draw(), None);
        assert_eq!(draw(), Some(Fault::Error(502)));
        assert_eq!(draw(), Some(Fault::Truncate));
        assert_eq!(draw(), None);
    }

    #[test]
    fn a_storm_begins_and_ends_on_time() {
        let storm = vec![parse_period("10s+30s").unwrap()];
        let faults = Faults::new(FaultOptions { storm, ..FaultOptions::default() });
        assert_eq!(faults.storm(9_999_999), None);
        assert_eq!(faults.storm(10_000_000), Some(Duration::from_secs(30)));
        assert_eq!(faults.storm(39_999_999), Some(Duration::from_micros(1)));
        assert_eq!(faults.storm(40_000_000), None);
        assert!(parse_period("10s").is_err());
    }

    #[test]
    fn one_in_so_many_requests_is_refused() {
        let options = FaultOptions { too_many_every: 3, ..FaultOptions::default() };
        let mut faults = Faults::new(options);
        let mut rng = Rng::with_seed(1);
        let refused: Vec<bool> = (0..7)
            .map(|_| {
                faults.draw(0, &Method::GET, &mut rng);
                faults.refusal(0).is_some()
            })
            .collect();
        assert_eq!(refused, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn errors_have_the_statuses_that_are_asked_for() {
        let options = FaultOptions { error_rate: 1.0, ..FaultOptions::default() };
        assert_eq!(count(&options, &Method::GET, Fault::Error(524)), 0);
        let options = FaultOptions { error_status: vec![524], ..options };
        assert_eq!(count(&options, &Method::GET, Fault::Error(524)), 10_000);
    }

    #[test]
    fn keys_are_revoked_by_count_and_by_time() {
        let options = FaultOptions { revoke_after: Some(2), ..FaultOptions::default() };
        let mut faults = Faults::new(options);
        let mut rng = Rng::with_seed(1);
        let mut after = |faults: &mut Faults, now| {
            faults.draw(now, &Method::GET, &mut rng);
            faults.is_revoked()
        };
        assert_eq!([0; 3].map(|now| after(&mut faults, now)), [false, false, true]);
        let revoke_at = Some(Duration::from_secs(1));
        let mut faults = Faults::new(FaultOptions { revoke_at, ..FaultOptions::default() });
        assert_eq!(
            [0, 999_999, 1_000_000].map(|now| after(&mut faults, now)),
            [false, false, true]
        );
    }
}
