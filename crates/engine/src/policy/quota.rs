//! Law: no window of length `span`, wherever it starts on the server's own clock, ever holds more
//! than `limit` requests.
//!
//! How: there are `limit` permits. A request holds its permit while it is on the wire and for one
//! further span after its answer arrived. The server counted the request before we had its answer,
//! so when the permit is used again the first use is at least a span in the past, whatever the
//! network or a busy machine did in between.
//!
//! Worked example, quota `2/10s`: two requests start at 0 s; asked for a third, the window says
//! "when answered". Their answers arrive at 1 s and 3 s. Asked at 5 s, it says "at 11 s", where one
//! permit returns; the other returns at 13 s. Two requests every 10 s plus a round trip is the
//! price of never exceeding two in any 10 s.
//!
//! A token bucket of capacity 50 that refills at 50 a second sends 50 at once and 49 more within
//! the same second. It is not used here.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::Admit;
use crate::moment::Moment;

/// The longest span of a quota and the longest wait believed from a server's headers: one day.
pub const SPAN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The full factor of a window, in thousandths.
const FULL: u32 = 1_000;
/// The least a window is slowed to, in thousandths.
const SLOWEST: u32 = 100;
/// What one calm span gives back, in thousandths.
const RECOVERY: u32 = 50;

/// A vendor's limit: at most `limit` requests in any `span`.
///
/// Written as `50/60s`, `1200/5m` or `10/250ms`, with the units `ms`, `s`, `m` and `h`.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quota {
    /// Requests, at least one.
    pub limit: u32,
    /// The length of the window, above zero and at most [`SPAN_MAX`].
    pub span: Duration,
}

/// A text that is not a quota, with what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is not a quota: {problem}")]
pub struct QuotaError {
    text: String,
    problem: &'static str,
}

impl QuotaError {
    /// What to write instead.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "write a whole number of requests, a slash and a span, such as 50/60s, 10/250ms or \
         1200/5m; one request every two seconds is 1/2s"
    }
}

impl Quota {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (limit, span) = text.trim().split_once('/').ok_or("there is no slash in it")?;
        if !limit.bytes().all(|byte| byte.is_ascii_digit()) || limit.is_empty() {
            return Err("the limit before the slash is not a whole number");
        }
        let limit = limit.parse().map_err(|_| "the limit is above 4,294,967,295")?;
        if limit == 0 {
            return Err("the limit must be at least 1");
        }
        let span = parse_span(span)?;
        Ok(Self { limit, span })
    }
}

fn parse_span(text: &str) -> Result<Duration, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err("the span has no unit (ms, s, m or h)"),
        _ => return Err("the span is not a whole number with one of the units ms, s, m, h"),
    };
    if number.is_empty() {
        return Err("the span has no number before its unit");
    }
    let too_long = "the span must be at most 24h";
    let number: u64 = number.parse().map_err(|_| too_long)?;
    let span = Duration::from_millis(number.checked_mul(unit_millis).ok_or(too_long)?);
    match span {
        Duration::ZERO => Err("the span must be longer than zero"),
        span if span > SPAN_MAX => Err(too_long),
        span => Ok(span),
    }
}

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        Self::parse(text).map_err(|problem| QuotaError { text: text.to_owned(), problem })
    }
}

/// Whole hours, whole minutes above one, whole seconds, else milliseconds (rounded up): `50/60s`
/// stays `50/60s` and `300s` becomes `5m`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.span.as_nanos().div_ceil(1_000_000);
        let (number, unit) = match millis {
            m if m % 3_600_000 == 0 => (m / 3_600_000, "h"),
            m if m % 60_000 == 0 && m > 60_000 => (m / 60_000, "m"),
            m if m % 1_000 == 0 => (m / 1_000, "s"),
            m => (m, "ms"),
        };
        write!(f, "{}/{number}{unit}", self.limit)
    }
}

impl TryFrom<String> for Quota {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error: QuotaError| format!("{error} (hint: {})", error.hint()))
    }
}

impl From<Quota> for String {
    fn from(quota: Quota) -> Self {
        quota.to_string()
    }
}

/// How far a window has been slowed after push-back, in thousandths of its limit.
#[derive(Copy, Clone, Debug)]
struct Slowing {
    factor: u32,
    calm_since: Moment,
    lowered_at: Option<Moment>,
}

impl Slowing {
    const NONE: Self = Self { factor: FULL, calm_since: Moment::ZERO, lowered_at: None };

    /// Gives back 5 % for every whole span since the last push-back.
    fn recover(&mut self, now: Moment, span_micros: u64) {
        let spans = micros(now.saturating_since(self.calm_since)) / span_micros;
        if self.factor == FULL || spans == 0 {
            return;
        }
        let gained = RECOVERY * u32::try_from(spans.min(20)).expect("at most 20");
        self.factor = (self.factor + gained).min(FULL);
        self.calm_since += Duration::from_micros(spans.saturating_mul(span_micros));
    }

    /// Takes a fifth away, at most once a span: one burst of refusals is one piece of news.
    fn slow(&mut self, now: Moment, span: Duration) {
        self.calm_since = now;
        if self.lowered_at.is_some_and(|at| now < at + span) {
            return;
        }
        self.lowered_at = Some(now);
        self.factor = (self.factor * 4 / 5).max(SLOWEST);
    }

    /// The limit in force.
    fn apply(self, limit: u32) -> u32 {
        let slowed = u64::from(limit) * u64::from(self.factor) / u64::from(FULL);
        u32::try_from(slowed).expect("no more than the limit").max(1)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The permits of one quota.
///
/// Whoever takes permits must give the same number back by [`Window::answered`], once, when the
/// answer is there or the attempt was given up.
#[derive(Clone, Debug)]
pub struct Window {
    quota: Quota,
    out: u32,
    /// Permits on their way back, earliest first, at most one entry for each microsecond and never
    /// more entries than permits.
    cooling: VecDeque<(Moment, u32)>,
    cooling_sum: u32,
    slowing: Slowing,
    spacing: bool,
    spaced_until: Moment,
}

impl Window {
    /// A window with all its permits at hand. A limit of zero is read as one.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self {
            quota: Quota { limit: quota.limit.max(1), ..quota },
            out: 0,
            cooling: VecDeque::new(),
            cooling_sum: 0,
            slowing: Slowing::NONE,
            spacing: false,
            spaced_until: Moment::ZERO,
        }
    }

    /// Whether requests are also spaced evenly, by `span / limit` for each permit. Even pacing is
    /// kinder to a small remote; the guarantee does not need it.
    #[must_use]
    pub const fn with_spacing(mut self, spacing: bool) -> Self {
        self.spacing = spacing;
        self
    }

    /// Counts requests that are on the wire already, for a window that is put in force in the
    /// middle of a run: their answers will give permits back.
    #[must_use]
    pub const fn with_out(mut self, out: u32) -> Self {
        self.out = out;
        self
    }

    /// Takes in requests of an earlier process whose permits come back at `back_at`. At most the
    /// limit is taken in, since that process kept it, too. Called in the order of `back_at`, before
    /// anything is taken.
    pub fn recall(&mut self, now: Moment, back_at: Moment, cost: u32) {
        let cost = cost.min(self.quota.limit.saturating_sub(self.held()));
        if back_at <= now || cost == 0 {
            return;
        }
        self.cooling_sum += cost;
        match self.cooling.back_mut() {
            Some((last, count)) if *last >= back_at => *count += cost,
            _ => self.cooling.push_back((back_at, cost)),
        }
    }

    /// The quota, with the limit as last set and before any slowing.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Permits on the wire.
    #[must_use]
    pub const fn out(&self) -> u32 {
        self.out
    }

    /// The part of the limit in force, from 0.1 to 1.0, as of the last call that was given a time.
    #[must_use]
    pub fn factor(&self) -> f64 {
        f64::from(self.slowing.factor) / f64::from(FULL)
    }

    /// Permits that could be taken at this moment, spacing aside.
    #[must_use]
    pub fn available(&self, now: Moment) -> u32 {
        let mut slowing = self.slowing;
        slowing.recover(now, self.span_micros());
        let back = self.cooling.iter().take_while(|(at, _)| *at <= now).map(|(_, n)| n);
        let held = self.held() - back.sum::<u32>();
        slowing.apply(self.quota.limit).saturating_sub(held)
    }

    /// The part of the limit in force that is not available at this moment, from 0 to 1.
    #[must_use]
    pub fn load(&self, now: Moment) -> f64 {
        let mut slowing = self.slowing;
        slowing.recover(now, self.span_micros());
        let limit = slowing.apply(self.quota.limit);
        f64::from(limit - self.available(now)) / f64::from(limit)
    }

    /// Whether a request of this cost may start now. It takes nothing.
    ///
    /// When the answer is [`Admit::At`], asking again at that moment gets [`Admit::Now`] unless
    /// something else happened in between. A cost of zero is free. A cost that reaches or exceeds
    /// the limit in force cannot be split: it is charged like the whole limit, so it waits until
    /// every permit is back and then goes alone.
    pub fn check(&mut self, now: Moment, cost: u32) -> Admit {
        self.refresh(now);
        if cost == 0 {
            return Admit::Now;
        }
        let limit = self.slowing.apply(self.quota.limit);
        // At most `held`, so a request always fits once everything is back.
        let missing = self.held().saturating_sub(limit.saturating_sub(cost));
        if missing > 0 {
            return match self.back_at(missing) {
                Some(at) => Admit::At(at.max(self.spaced_until)),
                None => Admit::WhenAnswered,
            };
        }
        if self.spaced_until > now { Admit::At(self.spaced_until) } else { Admit::Now }
    }

    /// Takes the permits of a request that starts now. Only after [`Window::check`] said
    /// [`Admit::Now`] for the same moment and cost.
    pub fn take(&mut self, now: Moment, cost: u32) {
        debug_assert_eq!(self.check(now, cost), Admit::Now, "take without leave");
        self.refresh(now);
        self.out = self.out.saturating_add(cost);
        if self.spacing {
            let limit = u128::from(self.slowing.apply(self.quota.limit));
            let gap = (u128::from(self.span_micros()) * u128::from(cost)).div_ceil(limit);
            self.spaced_until = now + Duration::from_micros(u64::try_from(gap).unwrap_or(u64::MAX));
        }
    }

    /// The request was answered, or given up: its permits return a span from now.
    pub fn answered(&mut self, now: Moment, cost: u32) {
        debug_assert!(cost <= self.out, "more permits returned than taken");
        self.refresh(now);
        let cost = cost.min(self.out);
        if cost == 0 {
            return;
        }
        self.out -= cost;
        self.cooling_sum += cost;
        let back_at = now + self.quota.span;
        match self.cooling.back_mut() {
            Some((last, count)) if *last >= back_at => *count += cost,
            _ => self.cooling.push_back((back_at, cost)),
        }
    }

    /// Changes the limit of a running window. After a cut, permits beyond the new limit are simply
    /// not handed out again. Zero is read as one.
    pub fn set_limit(&mut self, limit: u32) {
        self.quota.limit = limit.max(1);
    }

    /// The remote pushed back: the limit in force becomes 80 % of what it was, at most once a span
    /// and never below a tenth of the limit or one permit. Every span without push-back gives 5 %
    /// of the limit back.
    pub fn slow(&mut self, now: Moment) {
        self.refresh(now);
        self.slowing.slow(now, self.quota.span);
    }

    #[cfg(test)]
    pub(super) fn cooling_entries(&self) -> usize {
        self.cooling.len()
    }

    fn span_micros(&self) -> u64 {
        micros(self.quota.span).max(1)
    }

    const fn held(&self) -> u32 {
        self.out + self.cooling_sum
    }

    /// When this many of the cooling permits will be back, if there are as many.
    fn back_at(&self, wanted: u32) -> Option<Moment> {
        let mut back = 0;
        let entry = self.cooling.iter().find(|(_, count)| {
            back += count;
            back >= wanted
        });
        entry.map(|(at, _)| *at)
    }

    fn refresh(&mut self, now: Moment) {
        while let Some((_, count)) = self.cooling.pop_front_if(|(at, _)| *at <= now) {
            self.cooling_sum -= count;
        }
        self.slowing.recover(now, self.span_micros());
    }
}

/// One statement of the server about what is left until a reset.
#[derive(Copy, Clone, Debug)]
struct Figure {
    remaining: u32,
    resets_at: Moment,
    /// Requests answered without a figure of their own, before the same reset. One of them may have
    /// overtaken the answer this figure came with, so it may not be included.
    unheard: u32,
}

/// What the server's own headers said about what is left.
///
/// It catches what a [`Window`] cannot know: others who use the same key. Costs, `remaining` and
/// `in_flight` are in the same unit, requests as the server counts them. Until the reset no more
/// requests may start than were left, minus those on the wire, which the figure may or may not
/// include.
///
/// Worked example: an answer says 5 left, reset in 30 s, while 3 requests are on the wire. Two more
/// may start. With the next answer (4 left, 4 on the wire) none may: the word is "when answered".
/// Once all are answered and the last one said 0 left, it is "at the reset".
#[derive(Clone, Debug, Default)]
pub struct Told {
    figure: Option<Figure>,
    in_flight: u32,
}

/// Servers round the time to their reset to whole seconds, so two resets within a second of each
/// other are taken for the same one.
const RESET_ROUNDING: Duration = Duration::from_secs(1);

impl Told {
    /// Nothing heard yet, so nothing is withheld.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An answer said that `remaining` are left and that the count starts afresh in `resets_in`
    /// (believed up to [`SPAN_MAX`]). `in_flight` is what is on the wire now, without the request
    /// just answered.
    ///
    /// A newer figure replaces the older one. Answers overtake each other: of two figures for the
    /// same reset the lower one is newer, since the server's count only falls until the reset.
    pub fn learn(&mut self, now: Moment, remaining: u32, resets_in: Duration, in_flight: u32) {
        self.expire(now);
        self.in_flight = in_flight;
        let resets_at = now + resets_in.min(SPAN_MAX);
        let unheard = match self.figure {
            Some(old) if resets_at <= old.resets_at + RESET_ROUNDING => {
                if remaining > old.remaining {
                    return;
                }
                old.unheard
            }
            _ => 0,
        };
        self.figure = Some(Figure { remaining, resets_at, unheard });
    }

    /// A request was answered without saying what is left, or was given up. It is held against what
    /// is left until the reset. Call this for every such request: one thought to be on the wire for
    /// ever would be waited for in vain.
    pub fn answered(&mut self, now: Moment, cost: u32) {
        self.expire(now);
        self.in_flight = self.in_flight.saturating_sub(cost);
        if let Some(figure) = &mut self.figure {
            figure.unheard = figure.unheard.saturating_add(cost);
        }
    }

    /// Whether a request of this cost may start now. It takes nothing.
    ///
    /// With nothing left it is [`Admit::WhenAnswered`] while requests are on the wire, because
    /// their answers bring a better figure, and [`Admit::At`] the reset otherwise.
    #[must_use]
    pub fn check(&self, now: Moment, cost: u32) -> Admit {
        match self.figure {
            Some(figure) if figure.resets_at > now => {
                let gone = self.in_flight.saturating_add(figure.unheard);
                match figure.remaining.saturating_sub(gone) {
                    left if left >= cost => Admit::Now,
                    _ if self.in_flight > 0 => Admit::WhenAnswered,
                    _ => Admit::At(figure.resets_at),
                }
            }
            _ => Admit::Now,
        }
    }

    /// Counts a request that starts now. Only after [`Told::check`] said [`Admit::Now`].
    pub fn take(&mut self, now: Moment, cost: u32) {
        debug_assert_eq!(self.check(now, cost), Admit::Now, "take without leave");
        self.expire(now);
        self.in_flight = self.in_flight.saturating_add(cost);
    }

    fn expire(&mut self, now: Moment) {
        if self.figure.is_some_and(|figure| figure.resets_at <= now) {
            self.figure = None;
        }
    }
}
