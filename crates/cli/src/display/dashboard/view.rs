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
use windlass_engine::remote::{Meter, WindowMeter};
use windlass_engine::tally::{PhaseTally, Tally};

/// The phases that are shown at once: those around the one at work.
const PHASES_MAX: u16 = 4;
/// The quota windows that are shown.
const WINDOWS_MAX: u16 = 5;
/// Title, throughput with three rows of sparkline, state, and the line of keys.
const THROUGHPUT_ROWS: u16 = 6;
const STATE_ROWS: u16 = 4;

/// Everything that one drawing needs.
pub(super) struct View<'a> {
    pub(super) board: &'a Board,
    pub(super) now: Moment,
    pub(super) tally: &'a Tally,
    pub(super) meter: &'a Meter,
}

impl View<'_> {
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let phases = rows(self.tally.phases.len(), PHASES_MAX) + 2;
        let windows = rows(self.meter.windows.len(), WINDOWS_MAX).max(STATE_ROWS) + 2;
        let [title, top, middle, quota, events, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(phases),
            Constraint::Length(THROUGHPUT_ROWS),
            Constraint::Length(windows),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let [windows, state] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(quota);
        frame.render_widget(self.title(title.width), title);
        self.phases(frame, top);
        self.throughput(frame, middle);
        self.windows(frame, windows);
        self.state(frame, state);
        self.events(frame, events);
        frame.render_widget(self.keys(), keys);
    }

    fn title(&self, columns: u16) -> Line<'static> {
        let board = self.board;
        let name = format!(" windlass  {} {}", board.system, board.operation);
        let elapsed = words::duration(self.tally.elapsed_at(self.now));
        let run = format!("{}  account {}  {elapsed} ", self.tally.run, board.account);
        let (name, run) = (words::plain(&name), words::plain(&run));
        let room = usize::from(columns).saturating_sub(words::width(&name) + 2);
        let run = words::cut(&run, room);
        let gap = room.saturating_sub(words::width(&run)) + 2;
        Line::from(format!("{name}{}{run}", " ".repeat(gap))).reversed()
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
        if let Some((current, pace)) = self.board.progress.pace()
            && current == index
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
        let [chart, answers] =
            Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(inner);
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

    fn windows(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = boxed("Quota left");
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let room = usize::from(inner.width);
        let windows = &self.meter.windows;
        let name = |window: &WindowMeter| words::width(&window.name);
        let widest = windows.iter().map(name).max().unwrap_or(0);
        let mut lines: Vec<Line<'static>> =
            windows.iter().map(|window| quota(window, widest, room)).collect();
        if lines.is_empty() {
            lines.push(Line::from("no limit known"));
        }
        frame.render_widget(Paragraph::new(lines), inner);
    }

    fn state(&self, frame: &mut Frame<'_>, area: Rect) {
        let (tally, meter) = (self.tally, self.meter);
        let stopping = self.board.progress.is_stopping();
        let waiting = match story::waiting(meter, stopping) {
            Some(waiting) => Line::from(waiting).fg(Color::Yellow),
            None => Line::from("at work"),
        };
        let rate = meter.rate.map_or("none".to_owned(), words::rate);
        let lines = vec![
            waiting,
            Line::from(format!("on the wire {}/{}", meter.in_flight, meter.concurrency)),
            Line::from(format!("ceiling {rate}")),
            Line::from(format!(
                "attempts {}, retries {}, 429s {}",
                words::count(tally.attempts),
                words::count(tally.retries),
                words::count(tally.throttled)
            )),
        ];
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
