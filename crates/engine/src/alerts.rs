//! What somebody should look at: five figures of a run with their bounds, judged at every tick of
//! the dispatcher. An alert is raised once, when its figure has been out of bounds for as long as
//! its rule says, and lowered once, when it is back.

use crate::event::Event;
use crate::moment::Moment;
use crate::tally::Tally;
use std::collections::BTreeMap;
use std::time::Duration;

/// Memory above this share of its limit is an alert.
const MEMORY_SHARE: f64 = 0.80;
/// The processor above this share is an alert.
const CPU_SHARE: f64 = 0.85;
/// A rate below this share of the average is an alert.
const SLOW_SHARE: f64 = 0.50;
/// More failed steps than this share of those with an outcome are an alert.
const ERROR_SHARE: f64 = 0.05;
/// How long a figure that jumps about has to be out of bounds.
const SUSTAINED: Duration = Duration::from_secs(15);
/// The rate of the first steps says little: so long a run has to be at work.
const WARM_UP: Duration = Duration::from_secs(30);
/// So few steps make no share.
const STEPS_MIN: u64 = 20;

/// One figure at one moment: whether it is out of bounds, and how it reads.
struct Figure {
    name: &'static str,
    is_out: bool,
    message: String,
    sustained: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Out of bounds since then, not yet an alert.
    Since(Moment),
    /// An alert.
    Raised,
}

/// Watches the figures of one run.
#[derive(Debug, Default)]
pub struct Alerts {
    states: BTreeMap<&'static str, State>,
}

impl Alerts {
    /// What has to be said at this moment: alerts that are raised or lowered.
    pub fn look(&mut self, now: Moment, tally: &Tally) -> Vec<Event> {
        let figures = Self::figures(now, tally);
        figures.into_iter().filter_map(|figure| self.judge(now, figure)).collect()
    }

    fn judge(&mut self, now: Moment, figure: Figure) -> Option<Event> {
        let Figure { name, is_out, message, sustained } = figure;
        let state = self.states.get(name).copied();
        let raised = match (is_out, state) {
            (true, Some(State::Raised)) | (false, None) => return None,
            (true, since) => {
                let since = since.map_or(now, |state| match state {
                    State::Since(since) => since,
                    State::Raised => now,
                });
                if now.saturating_since(since) < sustained {
                    self.states.insert(name, State::Since(since));
                    return None;
                }
                self.states.insert(name, State::Raised);
                true
            }
            (false, Some(state)) => {
                self.states.remove(name);
                if state != State::Raised {
                    return None;
                }
                false
            }
        };
        Some(Event::Alert { name: name.to_owned(), raised, message })
    }

    fn figures(now: Moment, tally: &Tally) -> Vec<Figure> {
        let mut figures = vec![slow(now, tally), errors(tally), breaker(tally)];
        if let Some(load) = tally.load {
            let memory = load.memory_bytes as f64 / load.memory_limit_bytes.max(1) as f64;
            figures.push(Figure {
                name: "memory",
                is_out: memory > MEMORY_SHARE,
                message: format!("memory is at {:.0} % of its limit", memory * 100.0),
                sustained: Duration::ZERO,
            });
            let cpu = f64::from(load.cpu);
            figures.push(Figure {
                name: "cpu",
                is_out: cpu > CPU_SHARE,
                message: format!("the processor is at {:.0} %", cpu * 100.0),
                sustained: SUSTAINED,
            });
        }
        figures
    }
}

fn breaker(tally: &Tally) -> Figure {
    Figure {
        name: "breaker",
        is_out: tally.breaker_is_open,
        message: format!("the breaker opened, for the {}. time", tally.breaker_opened),
        sustained: Duration::ZERO,
    }
}

fn slow(now: Moment, tally: &Tally) -> Figure {
    let (rate, average) = (tally.rate_now(now), tally.rate_average(now));
    let is_warm = tally.session_age(now) >= WARM_UP && average > 0.0 && !tally.paused;
    Figure {
        name: "slow",
        is_out: is_warm && rate < SLOW_SHARE * average,
        message: format!("{rate:.1} steps a second, {average:.1} on average"),
        sustained: SUSTAINED,
    }
}

fn errors(tally: &Tally) -> Figure {
    let (failed, settled) = (tally.counts.failed, tally.counts.settled());
    let share = failed as f64 / settled.max(1) as f64;
    Figure {
        name: "errors",
        is_out: settled >= STEPS_MIN && share > ERROR_SHARE,
        message: format!("{:.1} % of the steps failed", share * 100.0),
        sustained: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stamped;
    use crate::steps::Steps;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    fn told(events: Vec<Event>) -> Vec<(String, bool)> {
        let told = |event| match event {
            Event::Alert { name, raised, .. } => (name, raised),
            other => panic!("{other:?} is no alert"),
        };
        events.into_iter().map(told).collect()
    }

    fn take(tally: &mut Tally, seconds: u64, event: Event) {
        tally.take_in(&Stamped { at: at(seconds), event });
    }

    fn load(cpu: f32, memory_bytes: u64) -> Event {
        Event::Load { cpu, cpu_all: 1.0, memory_bytes, memory_limit_bytes: 1000 }
    }

    fn done(steps: std::ops::Range<u64>) -> Event {
        let steps: Steps = steps.collect();
        Event::Done { steps, latency_us: 1, attempts: 1, status: None, request_id: None }
    }

    #[test]
    fn memory_is_told_at_once_and_once_and_when_it_is_over() {
        let (mut alerts, mut tally) = (Alerts::default(), Tally::reading("x"));
        take(&mut tally, 1, load(0.1, 800));
        assert_eq!(told(alerts.look(at(1), &tally)), []);
        take(&mut tally, 2, load(0.1, 810));
        assert_eq!(told(alerts.look(at(2), &tally)), [("memory".into(), true)]);
        assert_eq!(told(alerts.look(at(3), &tally)), []);
        take(&mut tally, 4, load(0.1, 700));
        assert_eq!(told(alerts.look(at(4), &tally)), [("memory".into(), false)]);
    }

    #[test]
    fn the_processor_has_to_be_busy_for_a_while() {
        let (mut alerts, mut tally) = (Alerts::default(), Tally::reading("x"));
        take(&mut tally, 1, load(0.9, 1));
        assert_eq!(told(alerts.look(at(1), &tally)), []);
        assert_eq!(told(alerts.look(at(15), &tally)), []);
        assert_eq!(told(alerts.look(at(16), &tally)), [("cpu".into(), true)]);
        take(&mut tally, 20, load(0.2, 1));
        assert_eq!(told(alerts.look(at(20), &tally)), [("cpu".into(), false)]);
        take(&mut tally, 21, load(0.9, 1));
        alerts.look(at(21), &tally);
        take(&mut tally, 22, load(0.2, 1));
        assert_eq!(told(alerts.look(at(22), &tally)), [], "what was never raised is not lowered");
    }

    #[test]
    fn a_rate_of_less_than_half_the_average_is_told() {
        let (mut alerts, mut tally) = (Alerts::default(), Tally::reading("x"));
        for second in 0..40 {
            take(&mut tally, second, done(second * 10..second * 10 + 10));
        }
        assert_eq!(told(alerts.look(at(40), &tally)), []);
        alerts.look(at(50), &tally);
        assert_eq!(told(alerts.look(at(65), &tally)), [("slow".into(), true)]);
    }

    #[test]
    fn an_open_breaker_is_told_until_it_closes() {
        let (mut alerts, mut tally) = (Alerts::default(), Tally::reading("x"));
        take(&mut tally, 1, Event::BreakerOpened { message: String::new() });
        assert_eq!(told(alerts.look(at(1), &tally)), [("breaker".into(), true)]);
        take(&mut tally, 2, Event::BreakerClosed);
        assert_eq!(told(alerts.look(at(2), &tally)), [("breaker".into(), false)]);
    }
}
