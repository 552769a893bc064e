//! Owns what is decided about an event: rules over its attributes, and budgets of money, tokens
//! and events over a period. Pure: the time comes in, nothing waits.
//!
//! - `parse`: how policies are written
//! - `condition`: attributes compared with values, the part that can be kept
//! - `clause`: CEL, where that is not enough
//! - `decision`: what comes out
//! - `budget`: a limit over groups of events
//! - `period`: the windows of limits
//! - `counter`: what was used in them
//! - `check`: policies tried out on events of a file
//!
//! What the attributes alone decide is kept for a minute, by exactly those attributes that policies
//! read. What counters decide is never kept, or spending would run past a limit.
//!
//! A decision takes nothing from a budget: the caller settles what was really stored. So events
//! that are refused, dropped or sent twice cost nothing. A limit is passed by no more than what is
//! between its decision and its settling at one time: by one event where they come one by one.

mod budget;
pub mod check;
mod clause;
mod condition;
mod counter;
mod decision;
mod parse;
mod period;
#[cfg(test)]
mod tests;

use budget::Budget;
use clause::Clause;
use condition::{Attribute, Condition};
use counter::Tally;
use parse::{Effect, POLICIES_MAX, Spec};
use quick_cache::sync::Cache;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128_with_seed;

pub use condition::Subject;
pub use counter::CounterStore;
pub use decision::{Action, Alert, Decision, Due, PolicyCounts, Reason};
pub use parse::{Measure, PolicyError};

/// How long the part of a decision is kept that attributes alone make.
const KEPT_MS: u64 = 60_000;
/// How many of them are kept.
const KEPT_MAX: usize = 10_000;
/// A client is asked to come again after so long at most, unless its policy says otherwise.
const RETRY_AFTER_MAX_MS: u64 = 60_000;
/// A policy without a limit alerts so often at most.
const ALERT_EVERY_MS: u64 = 60_000;

/// The policies that are in force. They never change; a new set takes their place.
#[derive(Debug)]
pub struct Policies {
    policies: Vec<Arc<Policy>>,
    /// The attributes that conditions read, each once.
    reads: Vec<Attribute>,
    store: CounterStore,
    /// Nobody outside can find two events that are kept as one.
    seed: u64,
    kept: Cache<u128, Kept>,
}

#[derive(Debug)]
struct Policy {
    name: Arc<str>,
    conditions: Vec<Condition>,
    clause: Option<Clause>,
    effect: Effect,
    budget: Option<Budget>,
    masks: Vec<Arc<str>>,
    message: Option<String>,
    retry_after: Option<Duration>,
    tally: Arc<Tally>,
    /// When it last alerted, plus one; 0 for never.
    alerted: AtomicU64,
}

/// Which policies' conditions hold, and when that was found.
#[derive(Clone, Copy, Debug)]
struct Kept {
    met: Met,
    at_ms: u64,
}

/// One bit a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Met([u64; POLICIES_MAX / 64]);

impl Default for Policies {
    fn default() -> Self {
        Self::new(Vec::new(), CounterStore::default())
    }
}

impl Policies {
    /// Policies as they are written, in TOML or in JSON. Where name, type, groups and period of one
    /// stay the same, its counters do.
    ///
    /// # Errors
    /// When they are not understood.
    pub fn parse(text: &str, store: &CounterStore) -> Result<Self, PolicyError> {
        let policies = parse::parse(text)?.into_iter().map(|spec| Arc::new(policy(spec, store)));
        Ok(Self::new(policies.collect(), store.clone()))
    }

    fn new(policies: Vec<Arc<Policy>>, store: CounterStore) -> Self {
        let conditions = policies.iter().flat_map(|policy| &policy.conditions);
        let mut reads: Vec<Attribute> =
            conditions.map(|condition| condition.attribute.clone()).collect();
        reads.sort_unstable();
        reads.dedup();
        let seed = RandomState::new().build_hasher().finish();
        Self { policies, reads, store, seed, kept: Cache::new(KEPT_MAX) }
    }

    /// Whether there are none.
    #[cfg(test)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// How many there are.
    #[cfg(test)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// The counters, for the next set of policies and for a snapshot.
    #[must_use]
    pub fn counters(&self) -> CounterStore {
        self.store.clone()
    }

    /// The masks that policies ask for: the policy's name and the mask's. Whoever puts policies in
    /// force looks whether they exist.
    pub fn masks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.policies.iter().flat_map(|policy| {
            policy.masks.iter().map(|mask| (policy.name.as_ref(), mask.as_ref()))
        })
    }

    /// What to do with an event, at a time in milliseconds since 1970. The first policy in the
    /// order of the file that drops or refuses it ends the decision.
    #[must_use]
    pub fn decide(&self, subject: &Subject<'_>, now_ms: u64) -> Decision {
        if self.policies.is_empty() {
            return Decision::default();
        }
        self.judge(subject, self.met(subject, now_ms), now_ms)
    }

    /// Adds what stored events have used, and says who should hear of it.
    pub fn settle(&self, due: &[Due], now_ms: u64) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for Due { policy, group, amount } in due {
            let Some(budget) = &policy.budget else { continue };
            let window = budget.period.start(now_ms);
            let (before, used) = budget.counters.add(group, window, *amount);
            let (measure, limit) = (budget.measure, budget.limit);
            let mut alert = |reason| {
                Tally::count(&policy.tally.alerted);
                let group = budget.label(group);
                alerts.push(Alert {
                    policy: Arc::clone(&policy.name),
                    group,
                    reason,
                    at_ms: now_ms,
                });
            };
            if budget.alert_at.is_some_and(|at| before < at && used >= at) {
                alert(Reason::Threshold { measure, used, limit });
            }
            if policy.effect == Effect::Alert && before < limit && used >= limit {
                alert(Reason::Limit { measure, used, limit });
            }
        }
        alerts
    }

    /// How often each policy did what.
    #[must_use]
    pub fn counts(&self) -> Vec<PolicyCounts> {
        self.policies.iter().map(|policy| policy.counts()).collect()
    }

    /// Which policies' conditions hold, as it was found within the last minute.
    fn met(&self, subject: &Subject<'_>, now_ms: u64) -> Met {
        if self.reads.is_empty() {
            return self.met_now(subject);
        }
        let key = self.key(subject);
        let is_fresh = |kept: &Kept| kept.at_ms <= now_ms && now_ms - kept.at_ms < KEPT_MS;
        if let Some(kept) = self.kept.get(&key).filter(is_fresh) {
            return kept.met;
        }
        let met = self.met_now(subject);
        self.kept.insert(key, Kept { met, at_ms: now_ms });
        met
    }

    fn met_now(&self, subject: &Subject<'_>) -> Met {
        let mut met = Met::default();
        for (place, policy) in self.policies.iter().enumerate() {
            if policy.conditions.iter().all(|condition| condition.holds(subject)) {
                met.0[place / 64] |= 1 << (place % 64);
            }
        }
        met
    }

    /// A hash of exactly the attributes that conditions read.
    fn key(&self, subject: &Subject<'_>) -> u128 {
        let mut bytes = Vec::with_capacity(192);
        for attribute in &self.reads {
            match attribute.of(subject) {
                None => bytes.extend_from_slice(&u64::MAX.to_le_bytes()),
                Some(value) => {
                    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
                    bytes.extend_from_slice(value.as_bytes());
                }
            }
        }
        xxh3_128_with_seed(&bytes, self.seed)
    }

    fn judge(&self, subject: &Subject<'_>, met: Met, now_ms: u64) -> Decision {
        let mut decision = Decision::default();
        for policy in met.places().filter_map(|place| self.policies.get(place)) {
            policy.judge(subject, now_ms, &mut decision);
            if decision.action != Action::Pass {
                decision.due.clear();
                decision.flags.clear();
                decision.masks.clear();
                break;
            }
        }
        decision
    }
}

impl Met {
    fn places(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let place = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (place < 64).then_some(word * 64 + place as usize)
            })
        })
    }
}

fn policy(spec: Spec, store: &CounterStore) -> Policy {
    let budget = spec.limit.map(|limit| {
        let groups: Vec<String> = limit.group_by.iter().map(Attribute::name).collect();
        let (measure, period) = (limit.measure.name(), limit.period);
        let identity = format!("{} | {measure} | {period} | {}", spec.name, groups.join(","));
        Budget {
            measure: limit.measure,
            limit: limit.amount,
            alert_at: limit.alert_at,
            period,
            group_by: limit.group_by,
            counters: store.counters(&identity),
        }
    });
    Policy {
        tally: store.tally(&spec.name),
        name: spec.name.into(),
        conditions: spec.conditions,
        clause: spec.clause,
        effect: spec.effect,
        budget,
        masks: spec.masks.into_iter().map(Arc::from).collect(),
        message: spec.message,
        retry_after: spec.retry_after,
        alerted: AtomicU64::new(0),
    }
}

impl Policy {
    /// What this policy adds to a decision about an event whose attributes it is about.
    fn judge(self: &Arc<Self>, subject: &Subject<'_>, now_ms: u64, decision: &mut Decision) {
        match self.clause.as_ref().map(|clause| clause.holds(subject)) {
            None | Some(Some(true)) => {}
            Some(Some(false)) => return,
            Some(None) => return Tally::count(&self.tally.errors),
        }
        Tally::count(&self.tally.matched);
        if let Some(budget) = &self.budget {
            let group = budget.group(subject);
            let used = budget.counters.used(&group, budget.period.start(now_ms));
            let amount = budget.amount(subject);
            let is_over = used >= budget.limit;
            if is_over {
                self.apply(&group, now_ms, decision);
            }
            if amount > 0 {
                decision.due.push(Due { policy: Arc::clone(self), group: group.into(), amount });
            }
        } else {
            self.apply("", now_ms, decision);
        }
    }

    fn apply(&self, group: &str, now_ms: u64, decision: &mut Decision) {
        match self.effect {
            Effect::Flag => {
                Tally::count(&self.tally.flagged);
                decision.flags.push(self.name.as_ref().to_owned());
            }
            Effect::Mask => {
                Tally::count(&self.tally.masked);
                for mask in &self.masks {
                    if !decision.masks.contains(mask) {
                        decision.masks.push(Arc::clone(mask));
                    }
                }
            }
            Effect::Drop => {
                Tally::count(&self.tally.dropped);
                decision.action = Action::Drop(Arc::clone(&self.name));
            }
            Effect::Refuse => {
                Tally::count(&self.tally.refused);
                decision.action = Action::Refuse {
                    policy: Arc::clone(&self.name),
                    message: self.message(group),
                    retry_after: self.retry_after(now_ms),
                };
            }
            Effect::Alert => decision.alerts.extend(self.alert(now_ms)),
        }
    }

    /// The alert of a policy without a limit; those of limits come when they are reached.
    fn alert(&self, now_ms: u64) -> Option<Alert> {
        let last = self.alerted.load(Ordering::Relaxed);
        let is_due = last == 0 || now_ms.saturating_sub(last - 1) >= ALERT_EVERY_MS;
        if self.budget.is_some() || !is_due {
            return None;
        }
        // Of several threads only one alerts.
        let next = now_ms + 1;
        self.alerted.compare_exchange(last, next, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Tally::count(&self.tally.alerted);
        let (policy, group) = (Arc::clone(&self.name), String::new());
        Some(Alert { policy, group, reason: Reason::Matched, at_ms: now_ms })
    }

    fn message(&self, group: &str) -> String {
        match (&self.message, &self.budget) {
            (Some(message), _) => message.clone(),
            (None, None) => format!("refused by the policy `{}`", self.name),
            (None, Some(budget)) => {
                let (limit, label) = (budget.measure.words(budget.limit), budget.label(group));
                let of = if label.is_empty() { label } else { format!(" for {label}") };
                format!("the policy `{}` allows {limit}{of}, and they are used up", self.name)
            }
        }
    }

    /// The rest of the period, unless the policy says something else.
    fn retry_after(&self, now_ms: u64) -> Duration {
        let end = self.budget.as_ref().and_then(|budget| budget.period.end(now_ms));
        let rest = end.map_or(RETRY_AFTER_MAX_MS, |end| end.saturating_sub(now_ms));
        let rest = rest.div_ceil(1000).max(1) * 1000;
        self.retry_after.unwrap_or(Duration::from_millis(rest.min(RETRY_AFTER_MAX_MS)))
    }

    fn counts(&self) -> PolicyCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let tally = &self.tally;
        let budget = self.budget.as_ref();
        let (groups, evicted) = budget.map_or((0, 0), |budget| budget.counters.size());
        PolicyCounts {
            name: self.name.as_ref().to_owned(),
            matched: count(&tally.matched),
            flagged: count(&tally.flagged),
            masked: count(&tally.masked),
            dropped: count(&tally.dropped),
            refused: count(&tally.refused),
            alerted: count(&tally.alerted),
            errors: count(&tally.errors),
            groups: groups as u64,
            evicted,
        }
    }
}
