//! What reads events: bars, lines, dashboards, JSON, metrics.

use crate::event::Stamped;
use crate::moment::Moment;
use crate::remote::Meter;
use crate::tally::Tally;

/// Reads the events of a run. It must be quick and must not fail: a closed terminal or a full
/// pipe is its own concern, never the run's.
pub trait Reporter: Send {
    /// Something happened; the tally has it already.
    fn event(&mut self, stamped: &Stamped, tally: &Tally);

    /// Ten times a second: the moment to draw.
    fn tick(&mut self, now: Moment, tally: &Tally, meter: &Meter);
}
