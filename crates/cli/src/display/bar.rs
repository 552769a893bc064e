//! The progress line of a terminal: one line, redrawn ten times a second, with what happened
//! printed above it.

use super::progress::{Progress, Shown};
use super::story::{self, Told, Tone};
use super::style::Style;
use super::{Expected, FAILURES_TOLD, words};
use std::io::{self, Write};
use std::time::Duration;
use windlass_engine::Moment;
use windlass_engine::event::Stamped;
use windlass_engine::plan::Header;
use windlass_engine::remote::Meter;
use windlass_engine::runner::Reporter;
use windlass_engine::tally::{Counts, PhaseTally, Tally};

/// The width of the drawn bar where there is room.
const BAR_MAX: usize = 28;
/// Below this a bar says nothing that the percentage does not say.
const BAR_MIN: usize = 6;
/// What a bar costs besides itself: its frame, as the blank after it is the separator's.
const BAR_FRAME: usize = 1;
/// How long a query may take without a line.
const SOON: Duration = Duration::from_millis(500);
/// Between the parts.
const SEPARATOR: &str = " | ";
/// Clears the line from its beginning.
pub const CLEAR: &str = "\r\x1b[K";

/// The progress line. Dropped, it leaves the cursor at the beginning of an empty line.
pub struct Bar<W: Write + Send = io::Stderr> {
    out: W,
    columns: fn() -> usize,
    style: Style,
    debug: bool,
    /// Whether it stands beside the answer to a query: then nothing is told but trouble, and one
    /// that is answered soon is not worth a line.
    beside_answer: bool,
    progress: Progress,
    failures: u64,
    line: String,
}

impl Bar {
    /// A progress line on standard error.
    #[must_use]
    pub fn new(plan: &Header, style: Style, debug: bool) -> Self {
        Self::with(plan, style, debug, io::stderr(), super::columns)
    }
}

impl<W: Write + Send> Bar<W> {
    /// A progress line on `out`, whose width is asked for at every drawing.
    #[must_use]
    pub fn with(plan: &Header, style: Style, debug: bool, out: W, columns: fn() -> usize) -> Self {
        let progress = Progress::new(plan);
        let (failures, line) = (0, String::new());
        Self { out, columns, style, debug, beside_answer: false, progress, failures, line }
    }

    /// The same beside the answer to a query.
    #[must_use]
    pub fn beside_answer(mut self) -> Self {
        self.beside_answer = true;
        self
    }

    /// The same with what a step of each phase is expected to take.
    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.progress.expect(expected);
        self
    }

    fn is_worth_saying(&self, line: &Told) -> bool {
        !self.beside_answer || self.debug || matches!(line.tone, Tone::Warn | Tone::Bad)
    }

    /// Prints lines above the progress line in one write, so that nothing flickers.
    fn say(&mut self, told: &[Told]) {
        if told.is_empty() {
            return;
        }
        let mut text = String::from(CLEAR);
        for line in told {
            text.push_str(&line.symbol(self.style));
            text.push('\n');
        }
        text.push_str(&self.line);
        self.write(&text);
    }

    /// A terminal that is gone is no reason to end a run.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

impl<W: Write + Send> Reporter for Bar<W> {
    fn event(&mut self, stamped: &Stamped, tally: &Tally) {
        let mut told = Vec::new();
        for failure in story::failures(&stamped.event) {
            self.failures += 1;
            if self.debug || self.failures <= FAILURES_TOLD {
                told.push(failure);
            }
        }
        if self.debug {
            told.extend(story::details(&stamped.event));
        }
        told.extend(story::notable(&stamped.event));
        told.extend(self.progress.event(stamped, tally));
        if matches!(self.progress.shown(tally), Shown::Ended) {
            self.line.clear();
        }
        told.retain(|line| self.is_worth_saying(line));
        self.say(&told);
    }

    fn tick(&mut self, now: Moment, tally: &Tally, meter: &Meter) {
        self.progress.observe(now, meter);
        if self.beside_answer && now < Moment::ZERO + SOON {
            return;
        }
        self.line = match self.progress.shown(tally) {
            Shown::Ended => String::new(),
            shown => {
                // The last column stays free, or terminals wrap.
                let columns = (self.columns)().saturating_sub(1);
                line(&self.progress, shown, now, tally, meter).fit(columns, self.style)
            }
        };
        let text = format!("{CLEAR}{}", self.line);
        self.write(&text);
    }
}

impl<W: Write + Send> Drop for Bar<W> {
    fn drop(&mut self) {
        let mut told = self.progress.finish();
        told.retain(|line| self.is_worth_saying(line));
        let was_drawn = !self.line.is_empty() || !self.beside_answer;
        self.line.clear();
        self.say(&told);
        if was_drawn {
            self.write(CLEAR);
        }
    }
}

/// How gladly a part of the line is kept on a narrow terminal; 0 stays longest.
type Rank = u8;

/// What it waits for is rather cut than left out, if so much of it stays.
const CUT_MIN: usize = 16;
const RANK_CUT: Rank = 1;
/// The drawn bar stands between the parts that inform and those that repeat.
const RANK_BAR: Rank = 5;

/// The parts of a progress line.
struct Parts {
    head: String,
    bar: Option<(u64, u64)>,
    tail: Vec<(String, Rank)>,
    failed: u64,
}

fn line(progress: &Progress, shown: Shown<'_>, now: Moment, tally: &Tally, meter: &Meter) -> Parts {
    let mut parts = match shown {
        Shown::Phase(phase, pace) => {
            let left = super::progress::left(phase);
            let mut parts = of_phase(progress, phase);
            let rate = if pace.is_lumpy(meter) {
                format!("avg {}", words::rate(pace.average(now, left)))
            } else {
                words::rate(tally.rate_now(now))
            };
            parts.tail.push((rate, 6));
            if let Some(eta) = progress.eta(now, tally, meter) {
                parts.tail.push((format!("ETA: {}", words::eta(eta)), 3));
            }
            parts
        }
        Shown::Listing(listing) => {
            let rate = format!("{} pages/s", words::decimal(listing.rate(now)));
            let tail = vec![
                (format!("page {}", words::count(listing.pages)), 3),
                (format!("{} seen", words::count(listing.seen)), 1),
                (format!("{} match", words::count(listing.selected)), 0),
                (rate, 4),
            ];
            let head = format!("   {}", progress.title(&listing.phase));
            Parts { head, bar: None, tail, failed: 0 }
        }
        Shown::Nothing | Shown::Ended => {
            let head = format!("   {}", progress.title("…"));
            Parts { head, bar: None, tail: Vec::new(), failed: 0 }
        }
    };
    if let Some(waiting) = story::waiting(meter, progress.is_stopping()) {
        parts.tail.push((waiting, 1));
    }
    parts
}

fn of_phase(progress: &Progress, phase: &PhaseTally) -> Parts {
    let Counts { done, already_gone, skipped, failed, elsewhere } = phase.counts;
    let settled = phase.counts.settled();
    let mut tail = vec![
        (words::percent(settled, phase.steps), 0),
        (format!("{}/{}", words::count(settled), words::count(phase.steps)), 2),
        // Without failures the counts say little that the line before does not.
        (
            format!("✓ {} ✗ {}", words::count(done), words::count(failed)),
            if failed > 0 { 4 } else { 9 },
        ),
    ];
    if already_gone > 0 {
        tail.push((format!("= {} already gone", words::count(already_gone)), 8));
    }
    if skipped > 0 {
        tail.push((format!("- {} skipped", words::count(skipped)), 8));
    }
    if elsewhere > 0 {
        tail.push((format!("+ {} by others", words::count(elsewhere)), 8));
    }
    let head = format!("   {}", progress.title(&phase.name));
    Parts { head, bar: Some((settled, phase.steps)), tail, failed }
}

impl Parts {
    /// The line for so many columns: parts are taken in by their rank while they fit, and the bar
    /// gets what is left.
    fn fit(mut self, columns: usize, style: Style) -> String {
        let mut room = columns.saturating_sub(words::width(&self.head));
        let mut order: Vec<(Rank, usize)> =
            self.tail.iter().enumerate().map(|(index, (_, rank))| (*rank, index)).collect();
        order.sort_unstable();
        let mut kept = Vec::new();
        let mut bar = false;
        for (rank, index) in order {
            if rank > RANK_BAR && !bar && self.bar.is_some() && room >= BAR_FRAME + BAR_MIN {
                bar = true;
                room -= BAR_FRAME + BAR_MIN;
            }
            if let Some((text, _)) = self.tail.get_mut(index) {
                let free = room.saturating_sub(SEPARATOR.len());
                if rank == RANK_CUT && words::width(text) > free && free >= CUT_MIN {
                    *text = words::cut(text, free);
                }
                if words::width(text) <= free {
                    room = free - words::width(text);
                    kept.push(index);
                }
            }
        }
        kept.sort_unstable();
        // The least bar was set aside above, unless no part was ranked behind it.
        let free = if bar { room + BAR_MIN } else { room.saturating_sub(BAR_FRAME) };
        let bar = self.bar.filter(|_| free >= BAR_MIN && !kept.is_empty());
        let tail: Vec<&str> = kept
            .iter()
            .filter_map(|&index| self.tail.get(index))
            .map(|(text, _)| &**text)
            .collect();
        let tail = tail.join(SEPARATOR);
        let line = match bar {
            Some((part, whole)) => {
                let bar = words::progress_bar(part, whole, free.min(BAR_MAX));
                format!("{} |{bar}| {tail}", self.head)
            }
            None if tail.is_empty() => words::cut(&self.head, columns),
            None => format!("{}{SEPARATOR}{tail}", self.head),
        };
        paint(&line, self.failed, style)
    }
}

/// Colours what was measured without colour.
fn paint(line: &str, failed: u64, style: Style) -> String {
    if !style.is_coloured() {
        return line.to_owned();
    }
    let line = line.replacen('✓', &style.good("✓"), 1);
    if failed == 0 { line } else { line.replacen('✗', &style.bad("✗"), 1) }
}
