//! The four documented limits of WorkOS, and which of them apply to a request.
//!
//! | name | limit | kept for |
//! | --- | --- | --- |
//! | all | 6,000 in 60 s | each API key |
//! | organization-delete | 50 in 60 s | each API key |
//! | authkit-read | 1,000 in 10 s | the environment, whatever the key |
//! | authkit-write | 500 in 10 s | the environment, whatever the key |

use std::str::FromStr;
use std::time::Duration;

use http::Method;
use windlass_sim::{Quotas, Rule, WindowKind, parse_span};

use super::options::Options;

pub(super) const ALL: usize = 0;
pub(super) const ORGANIZATION_DELETE: usize = 1;
pub(super) const AUTHKIT_READ: usize = 2;
pub(super) const AUTHKIT_WRITE: usize = 3;

const NAMES: [&str; 4] = ["all", "organization-delete", "authkit-read", "authkit-write"];
const DOCUMENTED: [(u32, u64); 4] = [(6_000, 60), (50, 60), (1_000, 10), (500, 10)];

/// Another figure for one of the documented limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    rule: usize,
    /// The limit and the length of its window; `None` is no limit.
    figure: Option<(u32, Duration)>,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = || format!("`{text}` is not like organization-delete=50/60s");
        let (name, figure) = text.split_once('=').ok_or_else(example)?;
        let rule = NAMES.iter().position(|known| *known == name).ok_or_else(|| {
            format!("there is no limit `{name}`; the limits are {}", NAMES.join(", "))
        })?;
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
    let kind = if options.strict { WindowKind::Sliding } else { options.windows };
    let mut rules: Vec<Rule> = NAMES
        .into_iter()
        .zip(DOCUMENTED)
        .map(|(name, (limit, seconds))| {
            let limit = (!options.no_limits).then_some(limit);
            let (span, phase) = (Duration::from_secs(seconds), Duration::ZERO);
            Rule { name, limit, span, kind, phase, penalty: Duration::ZERO }
        })
        .collect();
    for Limit { rule, figure } in &options.limits {
        rules[*rule].limit = figure.map(|(limit, _)| limit);
        rules[*rule].span = figure.map_or(rules[*rule].span, |(_, span)| span);
    }
    let mut rng = fastrand::Rng::with_seed(options.chassis.seed);
    for rule in &mut rules {
        rule.phase = rule.span.mul_f64(rng.f64());
    }
    Quotas::new(rules, options.second_client)
}

/// The rules that apply to a request with their scope: a key's number, or 0 for the environment.
#[derive(Clone, Copy)]
pub(super) struct Charges {
    charges: [(usize, usize); 2],
    length: usize,
}

impl Charges {
    pub(super) fn of(method: &Method, path: &str, key: usize) -> Self {
        let read = method == Method::GET;
        let second = if path.starts_with("/user_management/") {
            Some((if read { AUTHKIT_READ } else { AUTHKIT_WRITE }, 0))
        } else if method == Method::DELETE && path.starts_with("/organizations/") {
            Some((ORGANIZATION_DELETE, key))
        } else {
            None
        };
        let length = 1 + usize::from(second.is_some());
        Self { charges: [(ALL, key), second.unwrap_or_default()], length }
    }

    pub(super) fn as_slice(&self) -> &[(usize, usize)] {
        &self.charges[..self.length]
    }
}
