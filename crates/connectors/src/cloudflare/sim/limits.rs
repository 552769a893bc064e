//! The documented limits of Cloudflare's API, and which of them apply to a request.
//!
//! | name | limit | kept for |
//! | --- | --- | --- |
//! | global | 1,200 in 300 s, then a block of 300 s | the user, whatever the token |
//! | ip | 200 in 1 s | the caller's address |
//! | purge-free | 5 in 60 s, bucket of 25 | all zones on the plan |
//! | purge-pro | 5 in 1 s, bucket of 25 | all zones on the plan |
//! | purge-business | 10 in 1 s, bucket of 50 | all zones on the plan |
//! | purge-enterprise | 50 in 1 s, bucket of 500 | all zones on the plan |
//! | urls-free | 800 in 1 s | all zones on the plan |
//! | urls-pro, urls-business | 1,500 in 1 s | all zones on the plan |
//! | urls-enterprise | 3,000 in 1 s | all zones on the plan |

use std::collections::{HashMap, VecDeque};
use std::str::FromStr;
use std::time::Duration;

use windlass_sim::{Charge, Micros, Quotas, Rule, WindowKind, parse_span};

use super::options::{Options, Plan};

pub(super) const GLOBAL: usize = 0;
const IP: usize = 1;
const PURGE: usize = 2;
const URLS: usize = 6;

const NAMES: [&str; 10] = [
    "global",
    "ip",
    "purge-free",
    "purge-pro",
    "purge-business",
    "purge-enterprise",
    "urls-free",
    "urls-pro",
    "urls-business",
    "urls-enterprise",
];

/// Limit, seconds, and the capacity of those that are buckets. A bucket of URLs is documented
/// by its rate alone, so it holds what a second brings.
const DOCUMENTED: [(u32, u64, Option<u32>); 10] = [
    (1_200, 300, None),
    (200, 1, None),
    (5, 60, Some(25)),
    (5, 1, Some(25)),
    (10, 1, Some(50)),
    (50, 1, Some(500)),
    (800, 1, Some(800)),
    (1_500, 1, Some(1_500)),
    (1_500, 1, Some(1_500)),
    (3_000, 1, Some(3_000)),
];

/// Another figure for one of the documented limits, or for all of them. A bucket with another
/// limit holds as much as that limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// `None` is all of them.
    rule: Option<usize>,
    /// The limit and the length of its window; `None` is no limit.
    figure: Option<(u32, Duration)>,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = || format!("`{text}` is not like global=1200/300s");
        let (name, figure) = text.split_once('=').ok_or_else(example)?;
        let rule = NAMES.iter().position(|known| *known == name);
        if rule.is_none() && name != "all" {
            let names = NAMES.join(", ");
            return Err(format!("there is no limit `{name}`; the limits are all, {names}"));
        }
        if figure == "unlimited" {
            return Ok(Self { rule, figure: None });
        }
        let (limit, span) = figure.split_once('/').ok_or_else(example)?;
        let limit = limit.parse().map_err(|_| example())?;
        let span = parse_span(span)?;
        if span.is_zero() {
            return Err(format!("`{text}` has a window without a length"));
        }
        Ok(Self { rule, figure: Some((limit, span)) })
    }
}

pub(super) fn quotas(options: &Options) -> Quotas {
    let mut rules: Vec<Rule> = NAMES
        .into_iter()
        .zip(DOCUMENTED)
        .map(|(name, (limit, seconds, capacity))| Rule {
            name,
            limit: (!options.no_limits).then_some(limit),
            span: Duration::from_secs(seconds),
            kind: capacity.map_or(options.windows, |capacity| WindowKind::Bucket { capacity }),
            phase: Duration::ZERO,
            penalty: if name == "global" { options.block } else { Duration::ZERO },
        })
        .collect();
    for Limit { rule, figure } in &options.limits {
        let named = rule.map_or(0..rules.len(), |rule| rule..rule + 1);
        for rule in &mut rules[named] {
            rule.limit = figure.map(|(limit, _)| limit);
            rule.span = figure.map_or(rule.span, |(_, span)| span);
            if let (WindowKind::Bucket { capacity }, Some(limit)) = (&mut rule.kind, rule.limit) {
                *capacity = limit;
            }
        }
    }
    let mut rng = fastrand::Rng::with_seed(options.chassis.seed);
    for rule in &mut rules {
        rule.phase = rule.span.mul_f64(rng.f64());
    }
    Quotas::new(rules, options.second_client)
}

/// What a request takes from the limits.
#[derive(Clone, Debug)]
pub(super) struct Charges {
    charges: Vec<Charge>,
}

impl Charges {
    /// Of a request that nobody has to answer for.
    pub(super) fn anonymous() -> Self {
        Self { charges: vec![(IP, 0).into()] }
    }

    /// Of every request with a valid credential.
    pub(super) fn plain() -> Self {
        Self { charges: vec![(GLOBAL, 0).into(), (IP, 0).into()] }
    }

    /// Of a purge by URL.
    pub(super) fn of_urls(plan: Plan, urls: usize, free: bool) -> Self {
        let mut new = if free { Self::anonymous() } else { Self::plain() };
        let cost = u32::try_from(urls).unwrap_or(u32::MAX);
        new.charges.push(Charge { rule: URLS + plan as usize, scope: 0, cost });
        new
    }

    /// Of a purge by tag, host or prefix, or of everything.
    pub(super) fn of_purge(plan: Plan) -> Self {
        let mut new = Self::plain();
        new.charges.push((PURGE + plan as usize, 0).into());
        new
    }

    pub(super) fn as_slice(&self) -> &[Charge] {
        &self.charges
    }

    /// The rules that tell their standing in the headers: the global one first.
    pub(super) fn told(&self) -> impl Iterator<Item = usize> {
        self.charges.iter().map(|charge| charge.rule).filter(|rule| *rule != IP)
    }
}

/// The keys written in the last second: each may be written once in it.
#[derive(Debug, Default)]
pub(super) struct RecentWrites {
    queue: VecDeque<(Micros, (usize, Box<str>))>,
    last: HashMap<(usize, Box<str>), Micros>,
}

impl RecentWrites {
    const SPAN: Micros = 1_000_000;

    /// Forgets what is older than a second.
    pub(super) fn settle(&mut self, now: Micros) {
        while let Some((at, _)) = self.queue.front()
            && at + Self::SPAN <= now
        {
            if let Some((at, key)) = self.queue.pop_front()
                && self.last.get(&key) == Some(&at)
            {
                self.last.remove(&key);
            }
        }
    }

    /// How long a key of a namespace can't be written, if it can't.
    pub(super) fn wait(&self, now: Micros, namespace: usize, key: &str) -> Option<Duration> {
        if self.last.is_empty() {
            return None;
        }
        let at = self.last.get(&(namespace, Box::from(key)))?;
        (at + Self::SPAN).checked_sub(now).filter(|rest| *rest > 0).map(Duration::from_micros)
    }

    /// The same, and the key counts as written when it can be.
    pub(super) fn wait_or_note(
        &mut self,
        now: Micros,
        namespace: usize,
        key: &str,
    ) -> Option<Duration> {
        let wait = self.wait(now, namespace, key);
        if wait.is_none() {
            self.note(now, namespace, key);
        }
        wait
    }

    fn note(&mut self, now: Micros, namespace: usize, key: &str) {
        let key = (namespace, Box::from(key));
        self.last.insert(key.clone(), now);
        self.queue.push_back((now, key));
    }
}
