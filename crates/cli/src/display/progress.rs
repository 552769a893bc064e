//! Where a listing or a run is: which phase is at work, since when, and the lines that tell of
//! its beginning and end. The bar, the plain lines and the dashboard show the same progress.

use super::Expected;
use super::pace::{Pace, expected_for};
use super::story::{Told, Tone};
use super::words::{self, Verb};
use std::time::Duration;
use windlass_engine::Moment;
use windlass_engine::event::{Ending, Event, Stamped};
use windlass_engine::plan::Header;
use windlass_engine::remote::Meter;
use windlass_engine::tally::{PhaseTally, Tally};

/// One listing of the remote.
#[derive(Clone, Debug)]
pub struct Listing {
    /// What is listed.
    pub phase: String,
    /// Pages read in this listing.
    pub pages: u64,
    /// Objects seen.
    pub seen: u64,
    /// Objects that match.
    pub selected: u64,
    began: Moment,
    last: Moment,
    told: u64,
}

impl Listing {
    /// Pages a second.
    #[must_use]
    pub fn rate(&self, now: Moment) -> f64 {
        let seconds = now.saturating_since(self.began).as_secs_f64();
        if seconds > 0.0 { self.pages as f64 / seconds } else { 0.0 }
    }

    fn ended(&mut self) -> Option<Told> {
        if self.told == self.pages {
            return None;
        }
        self.told = self.pages;
        let lasted = words::duration(self.last.saturating_since(self.began));
        Some(Told::new(
            Tone::Good,
            format!(
                "{} of {} in {lasted}: {} seen, {} match",
                words::plural(self.pages, "page"),
                self.phase,
                words::count(self.seen),
                words::count(self.selected)
            ),
        ))
    }
}

/// The phase that is at work.
#[derive(Clone, Debug)]
struct Current {
    index: usize,
    pace: Pace,
}

/// What there is to show.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// Nothing has happened yet.
    Nothing,
    /// The remote is being listed.
    Listing(&'a Listing),
    /// A phase is at work.
    Phase(&'a PhaseTally, &'a Pace),
    /// The run has ended.
    Ended,
}

/// Where a listing or a run is.
#[derive(Clone, Debug)]
pub struct Progress {
    verb: Verb,
    /// What is done while nothing is changed: listing for a plan, checking the objects of one that
    /// is there, or reading for a query, which has no phases at all.
    reading: &'static str,
    running: bool,
    ended: bool,
    stopping: bool,
    listings: Vec<Listing>,
    /// The listing that had the last page.
    open: usize,
    current: Option<Current>,
    /// Steps of each phase that this session has to settle. The last steps of one phase wait for
    /// their quota while the first of the next are on their way, so phases overlap.
    to_do: Vec<u64>,
    /// Steps of each phase that had their outcome when this session began.
    before: Vec<u64>,
    /// What a step of each phase is expected to take.
    expected: Expected,
    /// Whether the plan still grows while it is applied.
    grows: bool,
    /// What kept the listing up last; told once, since nothing else moves meanwhile.
    trouble: String,
}

impl Progress {
    /// Before anything happened.
    #[must_use]
    pub fn new(plan: &Header) -> Self {
        Self {
            verb: Verb::of(&plan.operation),
            reading: match plan.phases.is_empty() {
                true => "Reading",
                false if plan.steps > 0 => "Checking",
                false => "Listing",
            },
            running: false,
            ended: false,
            stopping: false,
            listings: Vec::new(),
            open: 0,
            current: None,
            to_do: Vec::new(),
            before: Vec::new(),
            expected: Expected::new(),
            grows: false,
            trouble: String::new(),
        }
    }

    /// Takes in what a step of each phase is expected to take.
    pub fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    /// How long it will still take: the phase at work at its pace, and where it is known before
    /// what a step of every later phase takes, these phases, too. `None` while nobody can know.
    #[must_use]
    pub fn eta(&self, now: Moment, tally: &Tally, meter: &Meter) -> Option<Duration> {
        let current = self.current.as_ref()?;
        let phase = tally.phases.get(current.index)?;
        let here = if tally.held.is_empty() {
            let foreseen = || self.foreseen(current.index, phase).filter(|_| !meter.paused);
            current.pace.eta(now, left(phase), tally, meter).or_else(foreseen)?
        } else {
            // Neither schedule nor average knows how long it is held up, so it goes on as now.
            let rate = tally.rate_now(now);
            (rate > 0.0).then(|| Duration::from_secs_f64((left(phase) as f64 / rate).min(1e9)))?
        };
        let later = tally.phases.iter().enumerate().skip(current.index + 1);
        let later: Option<Duration> = later.map(|(index, phase)| self.foreseen(index, phase)).sum();
        Some(here.saturating_add(later.unwrap_or_default()))
    }

    /// What is left of a phase at the cost that is expected of its steps.
    fn foreseen(&self, index: usize, phase: &PhaseTally) -> Option<Duration> {
        if left(phase) == 0 {
            return Some(Duration::ZERO);
        }
        let each = self.expected.get(index).copied().flatten()?;
        Some(expected_for(each, left(phase)))
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Takes an event in and tells what began or ended with it.
    pub fn event(&mut self, stamped: &Stamped, tally: &Tally) -> Vec<Told> {
        match &stamped.event {
            Event::RunStarted { finished, steps, .. } => {
                let mut told = self.finish();
                self.running = true;
                self.before = tally.phases.iter().map(|phase| phase.counts.settled()).collect();
                self.count(tally);
                if *finished > 0 {
                    told.push(Told::new(
                        Tone::Note,
                        format!(
                            "resuming: {} of {} have their outcome already",
                            words::count(*finished),
                            words::plural(*steps, "step")
                        ),
                    ));
                }
                told.extend(self.advance(stamped.at, tally));
                told
            }
            Event::Page { phase, seen, selected, .. } => {
                self.page(stamped.at, phase, *seen, *selected)
            }
            Event::Retrying { message, .. } if !self.running && self.trouble != *message => {
                self.trouble.clone_from(message);
                vec![Told::new(Tone::Warn, format!("trying again: {message}"))]
            }
            Event::Stopping { .. } => {
                self.stopping = true;
                Vec::new()
            }
            Event::Planned { complete, .. } => {
                self.grows = !complete;
                self.count(tally);
                if let Some(current) = &mut self.current
                    && let Some(to_do) = self.to_do.get(current.index)
                {
                    current.pace.grow(*to_do);
                }
                self.advance(stamped.at, tally)
            }
            Event::Reopened { .. } => {
                self.to_do = tally.phases.iter().map(left).collect();
                self.advance(stamped.at, tally)
            }
            Event::Settled { .. } | Event::Done { .. } | Event::Elsewhere { .. } => {
                self.advance(stamped.at, tally)
            }
            Event::RunEnded { ending } => {
                self.ended = true;
                self.cut_short(stamped.at, tally, ending).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Looks at the remote's windows; to be called at every tick.
    pub fn observe(&mut self, now: Moment, meter: &Meter) {
        if let Some(current) = &mut self.current {
            current.pace.observe(now, meter);
        }
    }

    /// What there is to show.
    #[must_use]
    pub fn shown<'a>(&'a self, tally: &'a Tally) -> Shown<'a> {
        if self.ended {
            return Shown::Ended;
        }
        if self.running {
            let current = self.current.as_ref();
            let phase = |current: &'a Current| Some((tally.phases.get(current.index)?, current));
            return current
                .and_then(phase)
                .map_or(Shown::Nothing, |(phase, current)| Shown::Phase(phase, &current.pace));
        }
        self.listings.get(self.open).map_or(Shown::Nothing, Shown::Listing)
    }

    /// The index of the phase at work with its pace.
    #[must_use]
    pub fn pace(&self) -> Option<(usize, &Pace)> {
        self.current.as_ref().map(|current| (current.index, &current.pace))
    }

    /// What is being done to what: `Deleting organizations`.
    #[must_use]
    pub fn title(&self, what: &str) -> String {
        let doing = match self.running {
            true => words::capital(&self.verb.doing),
            false => self.reading.to_owned(),
        };
        words::plain(format!("{doing} {what}").trim_end())
    }

    /// The lines of listings that are over; nobody says so but their end.
    pub fn finish(&mut self) -> Vec<Told> {
        self.listings.iter_mut().filter_map(Listing::ended).collect()
    }

    fn page(&mut self, at: Moment, phase: &str, seen: u64, selected: u64) -> Vec<Told> {
        let known = self.listings.iter().position(|listing| listing.phase == phase);
        let mut told = Vec::new();
        let index = known.unwrap_or(self.listings.len());
        if known.is_none() {
            let previous = self.listings.get_mut(self.open);
            let began = previous.as_ref().map_or(Moment::ZERO, |listing| listing.last);
            told.extend(previous.and_then(Listing::ended));
            told.push(Told::new(Tone::Note, self.title(phase)));
            let (pages, seen, selected) = (0, 0, 0);
            let phase = phase.to_owned();
            self.listings.push(Listing { phase, pages, seen, selected, began, last: at, told: 0 });
        }
        self.open = index;
        if let Some(listing) = self.listings.get_mut(index) {
            listing.pages += 1;
            (listing.seen, listing.selected, listing.last) = (seen, selected, at);
        }
        told
    }

    /// Takes the steps of each phase that this session has to do.
    fn count(&mut self, tally: &Tally) {
        let steps = tally.phases.iter().map(|phase| phase.steps);
        let before = self.before.iter().copied().chain(std::iter::repeat(0));
        self.to_do =
            steps.zip(before).map(|(steps, before)| steps.saturating_sub(before)).collect();
    }

    /// Moves on to the first phase with steps left, and tells of what that ends and begins.
    fn advance(&mut self, at: Moment, tally: &Tally) -> Vec<Told> {
        // What is listed so far may be done while the listing goes on.
        let index = tally.phases.iter().position(|phase| left(phase) > 0);
        let index = index.or_else(|| self.grows.then_some(0));
        if self.current.as_ref().map(|current| current.index) == index {
            return Vec::new();
        }
        let mut told = Vec::new();
        if let Some(current) = self.current.take()
            && let Some(phase) = tally.phases.get(current.index)
        {
            let to_do = self.to_do.get(current.index).copied().unwrap_or(phase.steps);
            told.extend(completed(phase, to_do, current.pace.lasted(at)));
        }
        if let Some(index) = index
            && let Some(phase) = tally.phases.get(index)
        {
            let to_do = self.to_do.get(index).copied().unwrap_or(phase.steps);
            let what = match self.grows {
                true => phase.name.clone(),
                false => words::counted(to_do, &phase.name),
            };
            told.push(Told::new(Tone::Note, self.title(&what)));
            self.current = Some(Current { index, pace: Pace::new(at, left(phase)) });
        }
        told
    }

    fn cut_short(&mut self, at: Moment, tally: &Tally, ending: &Ending) -> Option<Told> {
        let current = self.current.take()?;
        let phase = tally.phases.get(current.index)?;
        let word = match ending {
            Ending::Complete => return None,
            Ending::Stopped => "stopped",
            Ending::Aborted => "aborted",
            Ending::Fatal(_) | Ending::JournalLost(_) => "ended",
        };
        let lasted = words::duration(current.pace.lasted(at));
        let settled = words::count(phase.counts.settled());
        let steps = words::counted(phase.steps, &phase.name);
        Some(Told::new(Tone::Warn, format!("{word} after {settled} of {steps}, {lasted}")))
    }
}

/// Steps of a phase without a final outcome.
#[must_use]
pub fn left(phase: &PhaseTally) -> u64 {
    phase.steps.saturating_sub(phase.counts.settled())
}

fn completed(phase: &PhaseTally, settled: u64, lasted: Duration) -> Option<Told> {
    if left(phase) > 0 {
        return None;
    }
    let mut text =
        format!("{} in {}", words::counted(settled, &phase.name), words::duration(lasted));
    if lasted > Duration::ZERO {
        let rate = settled as f64 / lasted.as_secs_f64();
        text.push_str(&format!(" ({})", words::rate(rate)));
    }
    let failed = phase.counts.failed;
    if failed == 0 {
        return Some(Told::new(Tone::Good, text));
    }
    Some(Told::new(Tone::Warn, format!("{text}, {} failed", words::count(failed))))
}
