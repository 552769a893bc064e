//! Periods in which a remote is down, refuses everything or is slow: planned ones, and a switch
//! that can be flipped while the simulator runs.

use std::str::FromStr;
use std::time::Duration;

use windlass_sim::{Micros, parse_span};

/// One of the remotes behind the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// Langfuse: everything below `/api/public/`.
    Langfuse,
    /// RudderStack's data plane: `/v1/batch` and its like.
    Rudder,
    /// Any receiver of OTLP: `/v1/traces`.
    Otlp,
}

impl Remote {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Langfuse, Self::Rudder, Self::Otlp];

    /// Its name in flags and on the control plane.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Langfuse => "langfuse",
            Self::Rudder => "rudder",
            Self::Otlp => "otlp",
        }
    }

    /// Whose path this is.
    pub(super) fn of(path: &str) -> Option<Self> {
        if path.starts_with("/api/public/") {
            return Some(Self::Langfuse);
        }
        if path == "/v1/traces" {
            return Some(Self::Otlp);
        }
        let is_rudder = path.starts_with("/v1/") || matches!(path, "/health" | "/version");
        is_rudder.then_some(Self::Rudder)
    }
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|remote| remote.name() == text);
        known.ok_or_else(|| format!("`{text}` is none of langfuse, rudder, otlp"))
    }
}

/// What a remote in trouble does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Connections are refused: no request reaches it.
    Down,
    /// It takes requests and never answers; they have no effect.
    Hang,
    /// It refuses everything with this status, in its own words.
    Status(u16),
    /// It works, and every answer is this much later.
    Slow(Duration),
}

/// How late answers are in a slow period that does not say it: longer than most clients wait.
const SLOW_BY: Duration = Duration::from_secs(30);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "down" => return Ok(Self::Down),
            "hang" => return Ok(Self::Hang),
            "slow" => return Ok(Self::Slow(SLOW_BY)),
            _ => {}
        }
        if let Some(by) = text.strip_prefix("slow:") {
            return parse_span(by).map(Self::Slow);
        }
        match text.parse() {
            Ok(status) if (400..=599).contains(&status) => Ok(Self::Status(status)),
            _ => Err(format!("`{text}` is none of down, hang, slow, slow:5s or a status like 503")),
        }
    }
}

/// A planned period of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Who is in trouble.
    pub remote: Remote,
    /// What it does.
    pub mode: Mode,
    /// When it begins, from the start of the simulator.
    pub from: Duration,
    /// When it ends, from the start of the simulator; `None` is never.
    pub to: Option<Duration>,
}

impl FromStr for Outage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = || format!("`{text}` is not like rudder=503@10s..1h");
        let (remote, rest) = text.split_once('=').ok_or_else(example)?;
        let (mode, period) = rest.split_once('@').ok_or_else(example)?;
        let (from, to) = period.split_once("..").ok_or_else(example)?;
        let (from, to) = (from.trim(), to.trim());
        let from = if from.is_empty() { Duration::ZERO } else { parse_span(from)? };
        let to = if to.is_empty() { None } else { Some(parse_span(to)?) };
        if to.is_some_and(|to| to <= from) {
            return Err(format!("`{text}` ends before it starts"));
        }
        Ok(Self { remote: remote.parse()?, mode: mode.parse()?, from, to })
    }
}

/// The trouble of all remotes.
#[derive(Debug)]
pub(super) struct Outages {
    planned: Vec<Outage>,
    /// What the switch of each remote says, once it was touched: it goes before all plans.
    switched: [Option<Option<Mode>>; 3],
}

impl Outages {
    pub(super) fn new(planned: Vec<Outage>) -> Self {
        Self { planned, switched: [None; 3] }
    }

    pub(super) fn switch(&mut self, remote: Remote, mode: Option<Mode>) {
        self.switched[remote as usize] = Some(mode);
    }

    /// The trouble of a remote at an instant.
    pub(super) fn mode(&self, remote: Remote, at: Micros) -> Option<Mode> {
        if let Some(mode) = self.switched[remote as usize] {
            return mode;
        }
        let at = Duration::from_micros(at);
        let rages = |outage: &&Outage| outage.from <= at && outage.to.is_none_or(|to| at < to);
        let mine = self.planned.iter().filter(|outage| outage.remote == remote);
        mine.rev().find(rages).map(|outage| outage.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_and_switches_are_read_or_refused() {
        let hour: Outage = "rudder=503@10s..1h".parse().unwrap();
        let expected = Outage {
            remote: Remote::Rudder,
            mode: Mode::Status(503),
            from: Duration::from_secs(10),
            to: Some(Duration::from_secs(3_600)),
        };
        assert_eq!(hour, expected);
        assert_eq!("otlp=slow:2s@..".parse::<Outage>().unwrap().to, None);
        for wrong in ["rudder=503", "x=down@1s..", "otlp=late@1s..", "otlp=down@2s..1s"] {
            assert!(wrong.parse::<Outage>().is_err(), "{wrong}");
        }
        assert_eq!("slow".parse(), Ok(Mode::Slow(Duration::from_secs(30))));
        assert!("200".parse::<Mode>().is_err());
    }

    #[test]
    fn a_plan_holds_in_its_period_and_a_switch_from_then_on() {
        let mut outages = Outages::new(vec!["otlp=down@1s..2s".parse().unwrap()]);
        let at = |outages: &Outages, seconds: u64| outages.mode(Remote::Otlp, seconds * 1_000_000);
        assert_eq!([0, 1, 2].map(|s| at(&outages, s)), [None, Some(Mode::Down), None]);
        assert_eq!(outages.mode(Remote::Rudder, 1_000_000), None);
        outages.switch(Remote::Otlp, None);
        assert_eq!(at(&outages, 1), None);
        outages.switch(Remote::Otlp, Some(Mode::Hang));
        assert_eq!(at(&outages, 9), Some(Mode::Hang));
    }
}
