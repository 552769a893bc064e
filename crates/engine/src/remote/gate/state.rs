//! What a gate knows: its policies side by side, and who is on the wire. Every question is asked
//! and answered here without waiting.

use crate::event::Waiting;
use crate::moment::Moment;
use crate::policy::breaker::{Breaker, State as BreakerState};
use crate::policy::budget::Budget;
use crate::policy::concurrency::Concurrency;
use crate::policy::quota::{Quota, Told, Window};
use crate::policy::{Admit, Bounds};
use crate::remote::{ConcurrencySpec, OperationSpec, Spec};
use std::collections::BTreeMap;
use std::time::Duration;

/// What something that is watched asks of new work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why, in words.
    pub reason: String,
    /// Whether nothing may begin; otherwise one request at a time may.
    pub stops: bool,
}

/// A window with its name.
#[derive(Debug)]
pub(in crate::remote) struct Named {
    pub(in crate::remote) name: String,
    pub(in crate::remote) quota: Quota,
    pub(in crate::remote) window: Window,
}

#[derive(Debug)]
pub(in crate::remote) struct State {
    /// In the order of the spec; `None` where the window is unlimited.
    pub(in crate::remote) windows: Vec<Option<Named>>,
    /// The operator's own ceiling.
    pub(in crate::remote) ceiling: Option<Window>,
    pub(in crate::remote) rate: Option<f64>,
    pub(super) told: Told,
    /// Answers that told something and whose permits are not back yet.
    pub(super) told_answers: u32,
    pub(in crate::remote) concurrency: Concurrency,
    /// How many hold a [`Lead`].
    pub(super) leads: u32,
    /// Attempts of leading operations on the wire.
    pub(super) leading: u32,
    pub(in crate::remote) breaker: Breaker,
    pub(super) budget: Budget,
    pub(super) chance: fastrand::Rng,
    pub(in crate::remote) paused: bool,
    /// What is watched and says that new work has to wait, by name.
    pub(super) holds: BTreeMap<&'static str, Hold>,
    pub(in crate::remote) throttled_until: Moment,
    /// When the remote began to give no good answers, if it does so now. Time in which nobody
    /// asked, or which the remote itself asked for, is left out.
    pub(super) silent_since: Option<Moment>,
    /// Calls that have begun and not ended.
    pub(super) calls: u32,
    /// Since when nobody asks: there is no call, or all of them are paused.
    resting_since: Option<Moment>,
    pub(in crate::remote) waiting: Option<(Waiting, Option<Moment>)>,
    smooth: bool,
}

/// Why an attempt may not start now, and when to ask again; `None` means after a change.
type Refusal = (Waiting, Option<Moment>);

impl State {
    pub(super) fn new(spec: &Spec) -> Self {
        let window = |quota: Quota| Window::new(quota).with_spacing(spec.smooth);
        let named = |spec: &crate::remote::WindowSpec| {
            let quota = spec.quota?;
            Some(Named { name: spec.name.clone(), quota, window: window(quota) })
        };
        let concurrency = match spec.concurrency {
            ConcurrencySpec::Fixed(limit) => Concurrency::fixed(limit),
            ConcurrencySpec::Adaptive { min, max } => {
                Concurrency::adaptive(Bounds { min, max, start: min })
            }
        };
        let mut state = Self {
            windows: spec.windows.iter().map(named).collect(),
            ceiling: None,
            rate: None,
            told: Told::default(),
            told_answers: 0,
            concurrency,
            leads: 0,
            leading: 0,
            breaker: Breaker::default(),
            budget: Budget::default(),
            chance: fastrand::Rng::with_seed(spec.seed),
            paused: false,
            holds: BTreeMap::new(),
            throttled_until: Moment::ZERO,
            silent_since: None,
            calls: 0,
            resting_since: Some(Moment::ZERO),
            waiting: None,
            smooth: spec.smooth,
        };
        state.set_rate(spec.rate);
        state
    }

    /// Requests on the wire count against the new ceiling: their answers give permits back to it.
    pub(in crate::remote) fn set_rate(&mut self, rate: Option<f64>) {
        let out = self.concurrency.in_flight();
        let window = |rate| Window::new(per_second(rate)).with_spacing(self.smooth).with_out(out);
        self.ceiling = rate.map(window);
        self.rate = rate;
    }

    /// Keeps the time in which nobody asks out of the silence.
    pub(super) fn rest_or_ask(&mut self, now: Moment) {
        let asks = self.calls > 0 && !self.paused;
        if !asks {
            self.resting_since.get_or_insert(now);
        } else if let Some(rested) = self.resting_since.take() {
            let rested = now.saturating_since(rested);
            self.silent_since = self.silent_since.map(|since| since + rested);
        }
    }

    /// Asks every policy; the first that refuses is the reason.
    pub(super) fn check(
        &mut self,
        now: Moment,
        operation: &OperationSpec,
        items: u32,
    ) -> Result<(), Refusal> {
        if !operation.vital {
            self.is_let_through()?;
        }
        if now < self.throttled_until {
            return Err((Waiting::Throttled, Some(self.throttled_until)));
        }
        let kept = if operation.leads { 0 } else { self.kept() };
        if !self.concurrency.has_room_beside(kept) {
            return Err((Waiting::Concurrency, None));
        }
        admitted(self.told.check(now, 1), || Waiting::Told)?;
        for (index, cost) in operation.costs(items) {
            if let Some(Some(named)) = self.windows.get_mut(index) {
                let answer = named.window.check(now, cost);
                admitted(answer, || Waiting::Quota(named.name.clone()))?;
            }
        }
        if let Some(ceiling) = &mut self.ceiling {
            admitted(ceiling.check(now, 1), || Waiting::Quota("rate".into()))?;
        }
        admitted(self.breaker.check(now), || Waiting::Breaker)
    }

    /// Whether people and what is watched let new work begin.
    fn is_let_through(&self) -> Result<(), Refusal> {
        if self.paused {
            return Err((Waiting::Paused, None));
        }
        let alone = self.concurrency.in_flight() == 0;
        let mut holds = self.holds.values();
        match holds.find(|hold| hold.stops || !alone) {
            Some(hold) => Err((Waiting::Held(hold.reason.clone()), None)),
            None => Ok(()),
        }
    }

    /// Places that are kept for leading operations: one for each that holds a lead and has nothing
    /// on the wire, and never more than half of all.
    fn kept(&self) -> u32 {
        self.leads.min(self.concurrency.limit() / 2).saturating_sub(self.leading)
    }

    pub(super) fn take(&mut self, now: Moment, operation: &OperationSpec, items: u32) {
        self.for_windows(operation, items, |window, cost| window.take(now, cost));
        self.told.take(now, 1);
        self.concurrency.started(now);
        self.leading += u32::from(operation.leads);
        self.breaker.started(now);
        self.waiting = None;
    }

    pub(super) fn for_windows(
        &mut self,
        operation: &OperationSpec,
        items: u32,
        mut act: impl FnMut(&mut Window, u32),
    ) {
        for (index, cost) in operation.costs(items) {
            if let Some(Some(named)) = self.windows.get_mut(index) {
                act(&mut named.window, cost);
            }
        }
        if let Some(ceiling) = &mut self.ceiling {
            act(ceiling, 1);
        }
    }

    /// The one of these windows, or the ceiling, that is used most. Refusals are its news: with it
    /// slowed fewer requests are sent, and the others, which have room, are left as they are.
    /// Slowing them all would let a window of a minute, which recovers six times more slowly than
    /// one of ten seconds, sink to a tenth over refusals that were never about it.
    pub(super) fn fullest(
        &mut self,
        now: Moment,
        operation: &OperationSpec,
    ) -> Option<&mut Window> {
        let mine = |index: &usize| operation.costs(1).any(|(mine, _)| mine == *index);
        let windows = self.windows.iter_mut().enumerate().filter(|(index, _)| mine(index));
        let windows = windows.filter_map(|(_, named)| Some(&mut named.as_mut()?.window));
        let windows = windows.chain(self.ceiling.as_mut());
        windows.max_by(|one, other| one.load(now).total_cmp(&other.load(now)))
    }

    /// How long until the shortest of these windows has forgotten all our requests.
    pub(super) fn rest_of_window(&mut self, operation: &OperationSpec) -> Duration {
        let spans = operation.costs(1).filter_map(|(index, _)| {
            self.windows.get(index).and_then(Option::as_ref).map(|named| named.quota.span)
        });
        spans.min().unwrap_or(Duration::from_secs(1))
    }
}

pub(super) fn is_closed(breaker: &Breaker) -> bool {
    matches!(breaker.state(), BreakerState::Closed)
}

fn admitted(answer: Admit, waiting: impl FnOnce() -> Waiting) -> Result<(), Refusal> {
    match answer {
        Admit::Now => Ok(()),
        Admit::At(moment) => Err((waiting(), Some(moment))),
        Admit::WhenAnswered => Err((waiting(), None)),
    }
}

/// A ceiling of so many requests a second as a window: 30 becomes `30/1s`, 0.5 becomes `1/2s`.
pub(in crate::remote) fn per_second(rate: f64) -> Quota {
    let rate = rate.clamp(0.001, 1e6);
    if rate >= 1.0 {
        Quota { limit: rate as u32, span: Duration::from_secs_f64(rate.floor() / rate) }
    } else {
        Quota { limit: 1, span: Duration::from_secs_f64(1.0 / rate) }
    }
}
