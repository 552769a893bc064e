//! The server's own request windows, which decide between an answer and a 429.
//!
//! Owns the counts. A request is counted when it arrives, in every window that applies to it or in
//! none: a rejected request does not count. It must never round a waiting time: whole seconds in a
//! Retry-After header are the affair of the reply.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Micros;
use crate::span::micros;

/// How a window looks at the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum WindowKind {
    /// The exact log: no half-open interval of the span, wherever it begins, holds more than the
    /// limit. The strictest judge.
    #[default]
    Sliding,
    /// A counter that returns to zero at fixed instants. It lets twice the limit pass around such
    /// an instant.
    Fixed,
}

/// One limit of the remote: at most `limit` requests in a window of `span`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name in summaries and flags.
    pub name: &'static str,
    /// The most requests in one window; `None` is no limit.
    pub limit: Option<u32>,
    /// The length of the window.
    pub span: Duration,
    /// How the window looks at the past.
    pub kind: WindowKind,
    /// When the first fixed window ends, as an offset from the start of the simulator. A client
    /// cannot know it. Without meaning for a sliding window.
    pub phase: Duration,
}

/// Why and for how long a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The index of the rule that has no room for the longest time.
    pub rule: usize,
    /// The time until every window that applies has room again, if nobody else uses it.
    pub wait: Duration,
}

/// What a remote would say in its rate limit headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The index of the rule with the least left.
    pub rule: usize,
    /// The limit of that rule.
    pub limit: u32,
    /// How many more requests it would take now.
    pub remaining: u32,
    /// The time until it has its whole limit again.
    pub reset: Duration,
}

/// All windows of a remote. A rule has one window for each scope, for example for each API key.
#[derive(Debug)]
pub struct Quotas {
    rules: Vec<Rule>,
    windows: Vec<Vec<Window>>,
    rival_share: f64,
    touched: u8,
    counted: bool,
}

impl Quotas {
    /// The most rules that a remote can have: the ledger keeps one bit for each.
    pub const MOST_RULES: usize = 8;

    /// Windows for these rules, all empty. `rival_share` is the share of each limit that a second,
    /// steady client on the same key takes for itself; 0 is nobody.
    ///
    /// # Panics
    ///
    /// With more than [`Quotas::MOST_RULES`] rules, or a span of zero.
    #[must_use]
    pub fn new(rules: Vec<Rule>, rival_share: f64) -> Self {
        assert!(rules.len() <= Self::MOST_RULES, "a remote has at most 8 rules");
        assert!(rules.iter().all(|rule| !rule.span.is_zero()), "a window has a length");
        let windows = rules.iter().map(|_| Vec::new()).collect();
        Self { rules, windows, rival_share, touched: 0, counted: false }
    }

    /// The rules, by index.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Counts a request that arrives `now` in each window, given as (rule, scope), or in none.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] when one of the windows is full.
    pub fn admit(&mut self, now: Micros, charges: &[(usize, usize)]) -> Result<(), Rejection> {
        let mut rejection: Option<Rejection> = None;
        for &(rule, scope) in charges {
            self.touched |= 1 << rule;
            let Some(window) = self.window(now, rule, scope) else { continue };
            if let Some(wait) = window.wait(now).map(Duration::from_micros)
                && rejection.is_none_or(|worst| worst.wait < wait)
            {
                rejection = Some(Rejection { rule, wait });
            }
        }
        if let Some(rejection) = rejection {
            return Err(rejection);
        }
        self.counted = true;
        for &(rule, scope) in charges {
            if let Some(window) = self.window(now, rule, scope) {
                window.count(now);
            }
        }
        Ok(())
    }

    /// The tightest of the limited windows, for rate limit headers.
    pub fn standing(&mut self, now: Micros, charges: &[(usize, usize)]) -> Option<Standing> {
        let mut tightest: Option<Standing> = None;
        for &(rule, scope) in charges {
            let Some(window) = self.window(now, rule, scope) else { continue };
            let remaining = window.limit.saturating_sub(window.used());
            let reset = window.reset(now);
            if tightest.is_none_or(|other| remaining < other.remaining) {
                let reset = Duration::from_micros(reset);
                tightest = Some(Standing { rule, limit: window.limit, remaining, reset });
            }
        }
        tightest
    }

    /// Which rules applied since the last call, one bit each, and whether the request counted.
    pub(crate) fn take_marks(&mut self) -> (u8, bool) {
        (std::mem::take(&mut self.touched), std::mem::take(&mut self.counted))
    }

    fn window(&mut self, now: Micros, rule: usize, scope: usize) -> Option<&mut Window> {
        let described = &self.rules[rule];
        let limit = described.limit?;
        let scopes = &mut self.windows[rule];
        while scopes.len() <= scope {
            scopes.push(Window::new(described, limit, self.rival_share));
        }
        let window = &mut scopes[scope];
        window.let_rival_spend(now);
        Some(window)
    }
}

#[derive(Debug)]
struct Window {
    limit: u32,
    span: Micros,
    past: Past,
    /// Instant of the rival's next request, and the time between two of them.
    rival: Option<(Micros, Micros)>,
}

#[derive(Debug)]
enum Past {
    /// The arrivals that are younger than the span.
    Log(VecDeque<Micros>),
    /// The number of the current window, and how many requests it has.
    Counter { phase: Micros, index: u64, used: u32 },
}

impl Window {
    fn new(rule: &Rule, limit: u32, rival_share: f64) -> Self {
        let span = micros(rule.span).max(1);
        let past = match rule.kind {
            WindowKind::Sliding => Past::Log(VecDeque::with_capacity(limit.min(10_000) as usize)),
            WindowKind::Fixed => {
                Past::Counter { phase: span - micros(rule.phase) % span, index: 0, used: 0 }
            }
        };
        let rival_requests = f64::from(limit) * rival_share;
        let rival = (rival_requests >= 1.0).then(|| (0, (span as f64 / rival_requests) as u64));
        Self { limit, span, past, rival }
    }

    /// Lets the second client send what it has sent by `now`, and forgets the past beyond the span.
    fn let_rival_spend(&mut self, now: Micros) {
        if let Some((mut next, step)) = self.rival {
            let step = step.max(1);
            let horizon = now.saturating_sub(self.span);
            next += horizon.saturating_sub(next).div_ceil(step) * step;
            while next <= now {
                self.advance(next);
                if self.used() < self.limit {
                    self.count(next);
                }
                next += step;
            }
            self.rival = Some((next, step));
        }
        self.advance(now);
    }

    fn advance(&mut self, now: Micros) {
        let span = self.span;
        match &mut self.past {
            Past::Log(log) => {
                while log.front().is_some_and(|&old| old + span <= now) {
                    log.pop_front();
                }
            }
            Past::Counter { phase, index, used } => {
                let current = (now + *phase) / span;
                if current != *index {
                    (*index, *used) = (current, 0);
                }
            }
        }
    }

    fn used(&self) -> u32 {
        match &self.past {
            Past::Log(log) => u32::try_from(log.len()).unwrap_or(u32::MAX),
            Past::Counter { used, .. } => *used,
        }
    }

    fn count(&mut self, now: Micros) {
        match &mut self.past {
            Past::Log(log) => log.push_back(now),
            Past::Counter { used, .. } => *used += 1,
        }
    }

    /// The time until there is room; `None` when there is room now.
    fn wait(&self, now: Micros) -> Option<Micros> {
        if self.used() < self.limit {
            return None;
        }
        Some(match &self.past {
            Past::Log(log) => log.front().map_or(self.span, |&oldest| oldest + self.span - now),
            Past::Counter { .. } => self.reset(now),
        })
    }

    /// The time until the whole limit is free.
    fn reset(&self, now: Micros) -> Micros {
        match &self.past {
            Past::Log(log) => log.back().map_or(0, |&newest| newest + self.span - now),
            Past::Counter { phase, index, .. } => (index + 1) * self.span - (now + phase),
        }
    }
}
