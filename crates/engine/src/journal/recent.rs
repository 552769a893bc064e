//! Which requests the remote's windows still hold from earlier sessions of a run, so that a run
//! that is resumed at once keeps the quota as if it had never stopped.

use crate::event::{Event, Stamped};
use std::collections::VecDeque;
use std::time::Duration;

/// More than any window that we know holds: the largest is 6,000 in 60 s.
const ANSWERS_MAX: usize = 10_000;

/// An answer of an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastAnswer {
    /// The first step of its batch, which says which operation it was.
    pub step: u64,
    /// How many requests were sent for it.
    pub requests: u32,
    /// How long ago the answer came.
    pub ago: Duration,
}

/// The latest answers in a journal, by the wall clock.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// The wall clock at moment zero of the present session, in milliseconds since 1970.
    zero_unix_ms: u64,
    last_unix_ms: u64,
    answers: VecDeque<(u64, u64, u32)>,
}

impl Recent {
    pub(super) fn take_in(&mut self, stamped: &Stamped) {
        let at_ms = stamped.at.as_micros() / 1000;
        if let Event::RunStarted { unix_ms, .. } = &stamped.event {
            self.zero_unix_ms = unix_ms.saturating_sub(at_ms);
        }
        self.last_unix_ms = self.zero_unix_ms + at_ms;
        let (first, attempts) = match &stamped.event {
            Event::Settled { steps, attempts, .. } => (steps.first().map(|s| s.step), *attempts),
            Event::Done { steps, attempts, .. } => (steps.first(), *attempts),
            _ => (None, 0),
        };
        if let Some(first) = first.filter(|_| attempts > 0) {
            if self.answers.len() == ANSWERS_MAX {
                self.answers.pop_front();
            }
            self.answers.push_back((self.last_unix_ms, first, attempts));
        }
    }

    /// The latest answers, the oldest first. What is in doubt, one step for each of its requests,
    /// counts as answered with the journal's last line: it may have been on the wire then.
    /// A clock that was set back makes answers look fresh, which only costs patience.
    pub fn answers(
        &self,
        now_unix_ms: u64,
        in_doubt: impl Iterator<Item = u64>,
    ) -> impl Iterator<Item = PastAnswer> {
        let doubtful = in_doubt.map(|step| (self.last_unix_ms, step, 1));
        self.answers.iter().copied().chain(doubtful).map(move |(unix_ms, step, requests)| {
            let ago = Duration::from_millis(now_unix_ms.saturating_sub(unix_ms));
            PastAnswer { step, requests, ago }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Settled;
    use crate::job::Outcome;
    use crate::moment::Moment;

    fn stamped(micros: u64, event: Event) -> Stamped {
        Stamped { at: Moment::from_micros(micros), event }
    }

    fn started(unix_ms: u64) -> Event {
        let run = String::new();
        Event::RunStarted {
            version: 1,
            run,
            unix_ms,
            session: 1,
            steps: 9,
            finished: 0,
            seed: 1,
            best_ms: None,
        }
    }

    fn settled(step: u64, attempts: u32) -> Event {
        let settled = Settled { step, key: "".into(), label: None, outcome: Outcome::Done };
        let steps = vec![settled];
        Event::Settled { steps, latency_us: 1, attempts, status: None, request_id: None }
    }

    #[test]
    fn answers_are_placed_on_the_wall_clock_over_sessions() {
        let mut recent = Recent::default();
        recent.take_in(&stamped(2_000_000, started(100_000)));
        recent.take_in(&stamped(3_000_000, settled(0, 2)));
        recent.take_in(&stamped(3_000_000, settled(1, 0)));
        recent.take_in(&stamped(1_000_000, started(200_000)));
        recent.take_in(&stamped(1_500_000, settled(2, 1)));
        let answers: Vec<_> = recent.answers(210_000, [7].into_iter()).collect();
        let past =
            |step, requests, ms| PastAnswer { step, requests, ago: Duration::from_millis(ms) };
        assert_eq!(answers, [past(0, 2, 109_000), past(2, 1, 9_500), past(7, 1, 9_500)]);
        assert!(recent.answers(0, [].into_iter()).all(|past| past.ago.is_zero()));
    }

    #[test]
    fn only_the_latest_are_kept() {
        let mut recent = Recent::default();
        recent.take_in(&stamped(0, started(0)));
        for step in 0..20_000 {
            recent.take_in(&stamped(step, settled(step, 1)));
        }
        let answers: Vec<_> = recent.answers(0, [].into_iter()).collect();
        assert_eq!((answers.len(), answers[0].step), (ANSWERS_MAX, 10_000));
    }
}
