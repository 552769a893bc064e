//! How the full screen is laid out and drawn.

use super::Board;
use crate::display::progress::{Shown, left};
use crate::display::story::{self, Tone};
use crate::display::words;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};
use windlass_engine::Moment;
use windlass_engine::event::Waiting;
use windlass_engine::remote::{Meter, WindowMeter};
use windlass_engine::tally::{Load, PhaseTally, Tally};

/// The phases that are shown at once: those around the one at work.
const PHASES_MAX: u16 = 10;
/// The quota windows that are shown.
const WINDOWS_MAX: u16 = 8;
/// The lines about the state of the run.
const STATE_ROWS: u16 = 4;
/// The alerts, and the reasons to wait besides the first, that are shown.
const NOTICES_MAX: usize = 4;
/// From so many rows on the chart of the throughput is a high one.
const TALL: u16 = 32;
/// The columns of the overall bar, at most.
const BAR_MAX: usize = 60;

/// Everything that one drawing needs.
pub(super) struct View<'a> {
    pub(super) board: &'a Board,
    pub(super) now: Moment,
    pub(super) tally: &'a Tally,
    pub(super) meter: &'a Meter,
}

impl View<'_> {
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let notices = self.notices(usize::from(area.width));
        let windows = rows(self.meter.windows.len(), WINDOWS_MAX).max(STATE_ROWS) + 2;
        let chart = if area.height < TALL { 5 } else { 8 };
        let wishes = [
            Wish { rank: 0, least: 1, most: 1 },
            Wish { rank: 1, least: 1, most: 1 },
            Wish { rank: 2, least: 1, most: rows(notices.len(), NOTICES_MAX as u16 + 1) },
            Wish { rank: 3, least: 3, most: rows(self.tally.phases.len(), PHASES_MAX) + 2 },
            Wish { rank: 6, least: 3, most: chart },
            Wish { rank: 4, least: 3, most: windows },
            Wish { rank: 7, least: 3, most: u16::MAX },
            Wish { rank: 5, least: 1, most: 1 },
        ];
        let [title, overall, notes, phases, throughput, state, events, keys] =
            Layout::vertical(heights(area.height, wishes).map(Constraint::Length)).areas(area);
        frame.render_widget(self.title(title.width), title);
        frame.render_widget(self.overall(usize::from(overall.width)), overall);
        frame.render_widget(Paragraph::new(notices), notes);
        self.phases(frame, phases);
        self.throughput(frame, throughput);
        self.limits(frame, state);
        self.events(frame, events);
        frame.render_widget(self.keys(), keys);
    }

    fn title(&self, columns: u16) -> Line<'static> {
        let board = self.board;
        let name = format!(" windlass  {} {}", board.system, board.operation);
        let run = format!("{}  account {} ", self.tally.run, board.account);
        let (name, run) = (words::plain(&name), words::plain(&run));
        let room = usize::from(columns).saturating_sub(words::width(&name) + 2);
        let run = words::cut(&run, room);
        let gap = room.saturating_sub(words::width(&run)) + 2;
        Line::from(format!("{name}{}{run}", " ".repeat(gap))).reversed()
    }

    /// All phases together: how much is done, since when, and until when.
    fn overall(&self, columns: usize) -> Line<'static> {
        let tally = self.tally;
        let settled = tally.counts.settled();
        let elapsed = words::duration(tally.elapsed_at(self.now));
        let mut text = String::new();
        if tally.steps > 0 {
            text.push_str(&format!(
                "{}  {}/{}  ",
                words::percent(settled, tally.steps),
                words::count(settled),
                words::count(tally.steps)
            ));
        }
        text.push_str(&format!("elapsed {elapsed}"));
        if let Some(eta) = self.board.progress.eta(self.now, tally, self.meter) {
            text.push_str(&format!("  ETA {}", words::eta(eta)));
        }
        let name = " Overall ";
        let room = columns.saturating_sub(words::width(name) + words::width(&text) + 2);
        let bar = if tally.steps == 0 || room < 4 { 0 } else { room.min(BAR_MAX) };
        Line::from(vec![
            Span::from(name).bold(),
            Span::from(words::progress_bar(settled, tally.steps, bar)).fg(Color::Cyan),
            Span::from(format!(" {text}")),
        ])
    }

    /// What it waits for and the alerts that are raised; the first line is always there.
    fn notices(&self, columns: usize) -> Vec<Line<'static>> {
        let tally = self.tally;
        let cut = |text: String| words::cut(&words::plain(&text), columns);
        let alert = |(name, message): (&String, &String)| {
            Line::from(cut(format!(" ! alert {name}: {message} "))).fg(Color::Red).bold().reversed()
        };
        let held = |(by, reason): (&String, &String)| format!(" held by {by}: {reason}");
        // What holds it is told by name, so the gate's word for the same is not needed.
        let is_told = |reason: &String| tally.held.values().any(|held| held == reason);
        let waiting = match &self.meter.waiting {
            Some(Waiting::Held(reason)) if is_told(reason) && !self.is_stopping() => None,
            _ => story::waiting(self.meter, self.is_stopping()),
        };
        let waiting = waiting.map(|waiting| format!(" {waiting}"));
        let mut waits = waiting.into_iter().chain(tally.held.iter().map(held));
        let yellow = |text: String| Line::from(cut(text)).fg(Color::Yellow);
        let first = waits.next().map_or_else(|| Line::from(" at work"), yellow);
        let more = tally.alerts.iter().map(alert).chain(waits.map(yellow));
        std::iter::once(first).chain(more.take(NOTICES_MAX)).collect()
    }

    fn is_stopping(&self) -> bool {
        self.board.progress.is_stopping()
    }

    fn phases(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = boxed("Progress");
        let inner = block.inner(area);
        frame.render_widget(block, area);
        if let Shown::Listing(listing) = self.board.progress.shown(self.tally) {
            let text = format!(
                "{}: page {}, {} seen, {} match, {} pages/s",
                self.board.progress.title(&listing.phase),
                words::count(listing.pages),
                words::count(listing.seen),
                words::count(listing.selected),
                words::decimal(listing.rate(self.now))
            );
            return frame.render_widget(Line::from(text), inner);
        }
        let current = self.board.progress.pace().map_or(0, |(index, _)| index);
        let shown = usize::from(inner.height);
        let last_start = self.tally.phases.len().saturating_sub(shown);
        let start = current.saturating_sub(shown / 2).min(last_start);
        let phases = self.tally.phases.iter().enumerate().skip(start).take(shown);
        let name = |phase: &PhaseTally| words::width(&phase.name);
        let widest = self.tally.phases.iter().map(name).max().unwrap_or(0).min(24);
        let rows: Vec<PhaseRow> = phases.map(|(index, phase)| self.phase(index, phase)).collect();
        let texts = rows.iter().map(PhaseRow::width).max().unwrap_or(0);
        let bar = usize::from(inner.width).saturating_sub(widest + 1 + texts).min(40);
        let bar = if bar < 4 { 0 } else { bar };
        let lines: Vec<Line<'static>> = rows.into_iter().map(|row| row.line(widest, bar)).collect();
        frame.render_widget(Paragraph::new(lines), inner);
    }

    fn phase(&self, index: usize, phase: &PhaseTally) -> PhaseRow {
        let counts = phase.counts;
        let settled = counts.settled();
        let mut after = String::new();
        if counts.already_gone > 0 {
            after.push_str(&format!(" = {}", words::count(counts.already_gone)));
        }
        if counts.skipped > 0 {
            after.push_str(&format!(" - {}", words::count(counts.skipped)));
        }
        if counts.elsewhere > 0 {
            after.push_str(&format!(" + {} by others", words::count(counts.elsewhere)));
        }
        if let Some((current, pace)) = self.board.progress.pace()
            && current == index
            && self.tally.held.is_empty()
            && let Some(eta) = pace.eta(self.now, left(phase), self.tally, self.meter)
        {
            after.push_str(&format!("  ETA {}", words::eta(eta)));
        }
        PhaseRow {
            name: words::plain(&phase.name),
            settled,
            steps: phase.steps,
            share: format!(
                " {:>6}  {}/{}  ",
                words::percent(settled, phase.steps),
                words::count(settled),
                words::count(phase.steps)
            ),
            done: format!("✓ {} ", words::count(counts.done)),
            failed: format!("✗ {}", words::count(counts.failed)),
            has_failed: counts.failed > 0,
            after,
        }
    }

    fn throughput(&self, frame: &mut Frame<'_>, area: Rect) {
        let (tally, now) = (self.tally, self.now);
        let speed = format!(
            "now {}, average {}, peak {}/s",
            words::rate(tally.rate_now(now)),
            words::rate(tally.rate_average(now)),
            words::count(tally.rate_peak())
        );
        let block = boxed(&format!("Throughput: {speed}"));
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let answers_rows = u16::from(inner.height > 1);
        let [chart, answers] =
            Layout::vertical([Constraint::Fill(1), Constraint::Length(answers_rows)]).areas(inner);
        let spark = tally.spark(now);
        let newest = spark.len().saturating_sub(usize::from(chart.width));
        let spark = spark.get(newest..).unwrap_or_default();
        frame.render_widget(Sparkline::default().data(spark).fg(Color::Cyan), chart);
        let answers_text = format!(
            "latency p50 {}, p95 {}, p99 {}",
            words::latency(tally.latency_ms(0.50)),
            words::latency(tally.latency_ms(0.95)),
            words::latency(tally.latency_ms(0.99))
        );
        frame.render_widget(Line::from(answers_text), answers);
    }

    /// The windows of the quota beside the state, which has all of the width where there are none.
    fn limits(&self, frame: &mut Frame<'_>, area: Rect) {
        if self.meter.windows.is_empty() {
            return self.state(frame, area);
        }
        let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]);
        let [windows, state] = halves.areas(area);
        self.windows(frame, windows);
        self.state(frame, state);
    }

    fn windows(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = boxed("Quota left");
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let room = usize::from(inner.width);
        let windows = &self.meter.windows;
        let name = |window: &WindowMeter| words::width(&window.name);
        let widest = windows.iter().map(name).max().unwrap_or(0);
        let lines: Vec<Line<'static>> =
            windows.iter().map(|window| quota(window, widest, room)).collect();
        frame.render_widget(Paragraph::new(lines), inner);
    }

    fn state(&self, frame: &mut Frame<'_>, area: Rect) {
        let (tally, meter) = (self.tally, self.meter);
        let ceiling = meter.rate.map_or("none".to_owned(), words::rate);
        let failed = tally.counts.failed;
        let share = match failed {
            0 => String::new(),
            failed => format!(" ({})", words::percent(failed, tally.counts.settled())),
        };
        let errors = Line::from(format!("errors {}{share}", words::count(failed)));
        let mut lines = vec![
            Line::from(format!(
                "on the wire {}/{}, ceiling {ceiling}",
                meter.in_flight, meter.concurrency
            )),
            Line::from(format!(
                "batch {}, retries {}, 429s {}",
                words::count(tally.batch),
                words::count(tally.retries),
                words::count(tally.throttled)
            )),
            if failed > 0 { errors.fg(Color::Red) } else { errors },
        ];
        lines.extend(tally.load.map(load));
        frame.render_widget(Paragraph::new(lines).block(boxed("State")), area);
    }

    fn events(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = boxed("Events");
        let inner = block.inner(area);
        let story = &self.board.story;
        let start = story.len().saturating_sub(usize::from(inner.height));
        let line = |(at, told): &(Moment, story::Told)| {
            let (symbol, colour) = match told.tone {
                Tone::Note => (" ", Color::Reset),
                Tone::Good => ("✓", Color::Green),
                Tone::Warn => ("!", Color::Yellow),
                Tone::Bad => ("✗", Color::Red),
            };
            let at = words::eta(at.saturating_since(Moment::ZERO));
            Line::from(vec![
                Span::from(format!("{at:>7} ")),
                Span::from(format!("{symbol} ")).fg(colour),
                Span::from(words::cut(&told.text, usize::from(inner.width).saturating_sub(10))),
            ])
        };
        let lines: Vec<Line<'static>> = story.iter().skip(start).map(line).collect();
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn keys(&self) -> Line<'static> {
        let pause = if self.meter.paused { "resume" } else { "pause" };
        let text = if self.board.help {
            format!(" p {pause}  + x1.25  - x0.8  q, Ctrl-C stop (the wire drains), twice: abort")
        } else {
            format!(" p {pause}   + faster   - slower   q stop   ? help")
        };
        Line::from(text).style(Style::new().fg(Color::Cyan))
    }
}

/// A phase as it is written: name, bar, and the texts behind it.
struct PhaseRow {
    name: String,
    settled: u64,
    steps: u64,
    share: String,
    done: String,
    failed: String,
    has_failed: bool,
    after: String,
}

impl PhaseRow {
    /// The columns of the texts behind the bar.
    fn width(&self) -> usize {
        [&self.share, &self.done, &self.failed, &self.after]
            .into_iter()
            .map(|text| words::width(text))
            .sum()
    }

    fn line(self, widest: usize, bar: usize) -> Line<'static> {
        let name = words::cut(&self.name, widest);
        let gap = " ".repeat(widest - words::width(&name));
        let failed = if self.has_failed { Color::Red } else { Color::Reset };
        Line::from(vec![
            Span::from(format!("{name}{gap} ")),
            Span::from(words::progress_bar(self.settled, self.steps, bar)).fg(Color::Cyan),
            Span::from(self.share),
            Span::from(self.done).fg(Color::Green),
            Span::from(self.failed).fg(failed),
            Span::from(self.after),
        ])
    }
}

/// What one part of the screen would like.
#[derive(Clone, Copy)]
struct Wish {
    /// How gladly it is kept where there is little room; 0 stays longest.
    rank: u8,
    /// With fewer rows it is left out.
    least: u16,
    /// It has no use for more.
    most: u16,
}

/// The rows of each part. In the order of their ranks each gets its least while that fits, and
/// then those that are there grow.
fn heights<const N: usize>(rows: u16, wishes: [Wish; N]) -> [u16; N] {
    let mut ranked: Vec<(usize, Wish)> = wishes.into_iter().enumerate().collect();
    ranked.sort_by_key(|(_, wish)| wish.rank);
    let mut heights = [0; N];
    let mut room = rows;
    for &(index, wish) in &ranked {
        if wish.least <= room {
            heights[index] = wish.least;
            room -= wish.least;
        }
    }
    for &(index, wish) in &ranked {
        if heights[index] > 0 {
            let more = wish.most.saturating_sub(wish.least).min(room);
            heights[index] += more;
            room -= more;
        }
    }
    heights
}

fn load(load: Load) -> Line<'static> {
    let Load { cpu, cpu_all, memory_bytes, memory_limit_bytes } = load;
    let mut text = format!(
        "memory {} of {}, CPU {:.0}%",
        words::bytes(memory_bytes),
        words::bytes(memory_limit_bytes),
        cpu_all * 100.0
    );
    // What is spent on purpose, as on hashing, is no load that anything waits for.
    if cpu_all - cpu >= 0.01 {
        text.push_str(&format!(", {:.0}% on purpose", (cpu_all - cpu) * 100.0));
    }
    Line::from(text)
}

/// As many rows as things, within bounds.
fn rows(things: usize, most: u16) -> u16 {
    u16::try_from(things).unwrap_or(most).clamp(1, most)
}

fn boxed(title: &str) -> Block<'static> {
    Block::bordered().title(format!(" {title} "))
}

fn quota(window: &WindowMeter, widest: usize, room: usize) -> Line<'static> {
    let available = u64::from(window.available);
    let mut text = format!(" {} of {}", words::count(available), window.quota);
    let is_slowed = window.factor < 0.995;
    if is_slowed {
        text.push_str(&format!(", slowed to {:.0}%", window.factor * 100.0));
    }
    let widest = widest.min(room.saturating_sub(words::width(&text)));
    let name = words::cut(&words::plain(&window.name), widest);
    let gap = " ".repeat(widest - words::width(&name));
    let bar = room.saturating_sub(widest + words::width(&text) + 1).min(12);
    let bar = match words::progress_bar(available, u64::from(window.quota.limit), bar) {
        bar if bar.is_empty() => bar,
        bar => format!(" {bar}"),
    };
    Line::from(vec![
        Span::from(format!("{name}{gap}")),
        Span::from(bar).fg(Color::Cyan),
        Span::from(text).fg(if is_slowed { Color::Yellow } else { Color::Reset }),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISHES: [Wish; 4] = [
        Wish { rank: 0, least: 1, most: 1 },
        Wish { rank: 2, least: 3, most: 6 },
        Wish { rank: 1, least: 3, most: 4 },
        Wish { rank: 3, least: 3, most: u16::MAX },
    ];

    #[test]
    fn what_matters_least_is_left_out_first_and_what_is_there_grows() {
        for (rows, expected) in [
            (0, [0, 0, 0, 0]),
            (1, [1, 0, 0, 0]),
            (3, [1, 0, 0, 0]),
            (6, [1, 0, 4, 0]),
            (7, [1, 3, 3, 0]),
            (10, [1, 3, 3, 3]),
            (12, [1, 4, 4, 3]),
            (50, [1, 6, 4, 39]),
        ] {
            assert_eq!(heights(rows, WISHES), expected, "{rows}");
        }
    }
}
