//! The server's own request windows and buckets, which decide between an answer and a 429.
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
    /// A bucket of tokens: it holds `capacity` of them at most, is full at the start, and gets the
    /// rule's limit of new ones, evenly, over the rule's span.
    #[value(skip)]
    Bucket {
        /// The most tokens that it holds, which is the largest burst.
        capacity: u32,
    },
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
    /// cannot know it. Only fixed windows have one.
    pub phase: Duration,
    /// For how long everything in the scope is refused once a request was one too many; zero is no
    /// longer than the window itself asks for. Requests during that time do not prolong it.
    pub penalty: Duration,
}

/// What a request takes from one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The index of the rule.
    pub rule: usize,
    /// Whose window of that rule.
    pub scope: usize,
    /// How many requests it counts for, or how many tokens it takes.
    pub cost: u32,
}

impl From<(usize, usize)> for Charge {
    fn from((rule, scope): (usize, usize)) -> Self {
        Self { rule, scope, cost: 1 }
    }
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
    touched: u16,
    counted: bool,
}

impl Quotas {
    /// The most rules that a remote can have: the ledger keeps one bit for each.
    pub const MOST_RULES: usize = 16;

    /// Windows for these rules, all empty. `rival_share` is the share of each limit that a second,
    /// steady client on the same key takes for itself; 0 is nobody.
    ///
    /// # Panics
    ///
    /// With more than [`Quotas::MOST_RULES`] rules, or a span of zero.
    #[must_use]
    pub fn new(rules: Vec<Rule>, rival_share: f64) -> Self {
        assert!(rules.len() <= Self::MOST_RULES, "a remote has at most 16 rules");
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
        self.admit_each(now, charges.iter().copied().map(Charge::from))
    }

    /// The same for requests that count for more than one.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] when one of the windows has too little room.
    pub fn admit_costs(&mut self, now: Micros, charges: &[Charge]) -> Result<(), Rejection> {
        self.admit_each(now, charges.iter().copied())
    }

    fn admit_each(
        &mut self,
        now: Micros,
        charges: impl Iterator<Item = Charge> + Clone,
    ) -> Result<(), Rejection> {
        let mut rejection: Option<Rejection> = None;
        for Charge { rule, scope, cost } in charges.clone() {
            self.touched |= 1 << rule;
            let Some(window) = self.window(now, rule, scope) else { continue };
            if let Some(wait) = window.refusal(now, cost).map(Duration::from_micros)
                && rejection.is_none_or(|worst| worst.wait < wait)
            {
                rejection = Some(Rejection { rule, wait });
            }
        }
        if let Some(rejection) = rejection {
            return Err(rejection);
        }
        self.counted = true;
        for Charge { rule, scope, cost } in charges {
            if let Some(window) = self.window(now, rule, scope) {
                window.count(now, cost);
            }
        }
        Ok(())
    }

    /// The tightest of the limited windows, for rate limit headers.
    pub fn standing(&mut self, now: Micros, charges: &[(usize, usize)]) -> Option<Standing> {
        let mut tightest: Option<Standing> = None;
        for &(rule, scope) in charges {
            let Some(window) = self.window(now, rule, scope) else { continue };
            let (remaining, reset) = window.standing(now);
            if tightest.is_none_or(|other| remaining < other.remaining) {
                let reset = Duration::from_micros(reset);
                tightest = Some(Standing { rule, limit: window.limit, remaining, reset });
            }
        }
        tightest
    }

    /// Which rules applied since the last call, one bit each, and whether the request counted.
    pub(crate) fn take_marks(&mut self) -> (u16, bool) {
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
    penalty: Micros,
    /// Everything is refused until then.
    blocked_until: Micros,
    /// Instant of the rival's next request, and the time between two of them.
    rival: Option<(Micros, Micros)>,
}

#[derive(Debug)]
enum Past {
    /// The arrivals that are younger than the span.
    Log(VecDeque<Micros>),
    /// The number of the current window, and how many requests it has.
    Counter { phase: Micros, index: u64, used: u32 },
    /// Tokens in parts: a token is as many parts as the span has microseconds, so that each
    /// microsecond brings as many parts as the limit has requests, without rounding.
    Bucket { full: u64, parts: u64, at: Micros },
}

impl Window {
    fn new(rule: &Rule, limit: u32, rival_share: f64) -> Self {
        let span = micros(rule.span).max(1);
        let past = match rule.kind {
            WindowKind::Sliding => Past::Log(VecDeque::with_capacity(limit.min(10_000) as usize)),
            WindowKind::Fixed => {
                Past::Counter { phase: span - micros(rule.phase) % span, index: 0, used: 0 }
            }
            WindowKind::Bucket { capacity } => {
                let full = u64::from(capacity).saturating_mul(span);
                Past::Bucket { full, parts: full, at: 0 }
            }
        };
        let rival_requests = f64::from(limit) * rival_share;
        let rival = (rival_requests >= 1.0).then(|| (0, (span as f64 / rival_requests) as u64));
        let penalty = micros(rule.penalty);
        Self { limit, span, past, penalty, blocked_until: 0, rival }
    }

    /// Lets the second client send what it has sent by `now`, and forgets the past beyond the span.
    fn let_rival_spend(&mut self, now: Micros) {
        if let Some((mut next, step)) = self.rival {
            let step = step.max(1);
            let horizon = now.saturating_sub(self.span);
            next += horizon.saturating_sub(next).div_ceil(step) * step;
            while next <= now {
                self.advance(next);
                if self.left() > 0 {
                    self.count(next, 1);
                }
                next += step;
            }
            self.rival = Some((next, step));
        }
        self.advance(now);
    }

    fn advance(&mut self, now: Micros) {
        let (span, limit) = (self.span, u64::from(self.limit));
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
            Past::Bucket { full, parts, at } => {
                let new = now.saturating_sub(*at).saturating_mul(limit);
                (*parts, *at) = (parts.saturating_add(new).min(*full), now.max(*at));
            }
        }
    }

    /// How many more requests there is room for.
    fn left(&self) -> u32 {
        match &self.past {
            Past::Log(log) => {
                self.limit.saturating_sub(u32::try_from(log.len()).unwrap_or(u32::MAX))
            }
            Past::Counter { used, .. } => self.limit.saturating_sub(*used),
            Past::Bucket { parts, .. } => u32::try_from(parts / self.span).unwrap_or(u32::MAX),
        }
    }

    fn count(&mut self, now: Micros, cost: u32) {
        match &mut self.past {
            Past::Log(log) => log.extend(std::iter::repeat_n(now, cost as usize)),
            Past::Counter { used, .. } => *used = used.saturating_add(cost),
            Past::Bucket { parts, .. } => {
                *parts = parts.saturating_sub(u64::from(cost).saturating_mul(self.span));
            }
        }
    }

    /// The time for which a request is refused, if it is, which may begin a penalty.
    fn refusal(&mut self, now: Micros, cost: u32) -> Option<Micros> {
        if now < self.blocked_until {
            return Some(self.blocked_until - now);
        }
        let wait = self.wait(now, cost)?;
        if self.penalty > 0 {
            self.blocked_until = now + self.penalty;
        }
        Some(wait.max(self.penalty))
    }

    /// The time until there is room; `None` when there is room now.
    fn wait(&self, now: Micros, cost: u32) -> Option<Micros> {
        let lacking = cost.saturating_sub(self.left());
        if lacking == 0 {
            return None;
        }
        Some(match &self.past {
            Past::Log(log) => {
                log.get(lacking as usize - 1).map_or(self.span, |&oldest| oldest + self.span - now)
            }
            Past::Counter { .. } => self.reset(now),
            Past::Bucket { parts, .. } => {
                let needed = u64::from(cost).saturating_mul(self.span).saturating_sub(*parts);
                needed.div_ceil(u64::from(self.limit.max(1)))
            }
        })
    }

    /// How many more requests there is room for, and the time until the whole limit is free.
    fn standing(&self, now: Micros) -> (u32, Micros) {
        match self.blocked_until.checked_sub(now) {
            Some(rest) if rest > 0 => (0, rest),
            _ => (self.left(), self.reset(now)),
        }
    }

    /// The time until the whole limit is free.
    fn reset(&self, now: Micros) -> Micros {
        match &self.past {
            Past::Log(log) => log.back().map_or(0, |&newest| newest + self.span - now),
            Past::Counter { phase, index, .. } => (index + 1) * self.span - (now + phase),
            Past::Bucket { full, parts, .. } => {
                full.saturating_sub(*parts).div_ceil(u64::from(self.limit.max(1)))
            }
        }
    }
}
