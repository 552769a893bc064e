//! `--dashboard`: the full screen on standard error, and the keys that steer a run.
//!
//! It takes the terminal (raw mode, alternate screen) and gives it back when it is dropped, when
//! drawing fails and when the program panics. Without a terminal to draw on it falls silent; the
//! run goes on.

mod terminal;
mod view;

use super::Expected;
use super::progress::Progress;
use super::story::{self, Told};
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::VecDeque;
use std::io;
use tokio::sync::mpsc::Sender;
use view::View;
use windlass_engine::Moment;
use windlass_engine::event::Stamped;
use windlass_engine::plan::Header;
use windlass_engine::remote::Meter;
use windlass_engine::runner::{Command, Order, Reporter};
use windlass_engine::tally::Tally;

/// The lines of what happened that are kept.
const STORY_LINES: usize = 40;
/// How much a key raises the ceiling.
const FASTER: f64 = 1.25;
/// How much a key lowers it.
const SLOWER: f64 = 0.8;
/// The keys read in one tick; a stuck key must not keep the run from its work.
const KEYS_A_TICK: usize = 32;

/// The full screen.
pub struct Dashboard {
    /// `None` after drawing failed.
    screen: Option<terminal::Screen>,
    board: Board,
}

impl Dashboard {
    /// Takes the terminal. Keys become orders, as from somebody at the keyboard.
    ///
    /// # Errors
    /// When the terminal can't be switched.
    pub fn new(plan: &Header, orders: Sender<Order>) -> io::Result<Self> {
        Ok(Self { screen: Some(terminal::Screen::take()?), board: Board::new(plan, orders) })
    }

    /// The same with what a step of each phase is expected to take.
    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.board.progress.expect(expected);
        self
    }
}

impl Reporter for Dashboard {
    fn event(&mut self, stamped: &Stamped, tally: &Tally) {
        self.board.event(stamped, tally);
    }

    fn tick(&mut self, now: Moment, tally: &Tally, meter: &Meter) {
        let Some(screen) = &mut self.screen else { return };
        for _ in 0..KEYS_A_TICK {
            let Some(key) = screen.key() else { break };
            self.board.key(key);
        }
        self.board.progress.observe(now, meter);
        let drawn = self.board.draw(screen.canvas(), now, tally, meter);
        if drawn.is_err() || !screen.is_ours() {
            self.screen = None;
        }
    }
}

/// What the screen shows and what its keys do, on any terminal.
struct Board {
    system: String,
    operation: String,
    account: String,
    progress: Progress,
    story: VecDeque<(Moment, Told)>,
    orders: Sender<Order>,
    paused: bool,
    help: bool,
}

impl Board {
    fn new(plan: &Header, orders: Sender<Order>) -> Self {
        Self {
            system: plan.system.clone(),
            operation: plan.operation.clone(),
            account: plan.account.clone(),
            progress: Progress::new(plan),
            story: VecDeque::with_capacity(STORY_LINES),
            orders,
            paused: false,
            help: false,
        }
    }

    fn event(&mut self, stamped: &Stamped, tally: &Tally) {
        let event = &stamped.event;
        let progress = self.progress.event(stamped, tally);
        let told = story::notable(event).into_iter().chain(story::throttle(event));
        for told in told.chain(story::failures(event)).chain(progress) {
            if self.story.len() == STORY_LINES {
                self.story.pop_front();
            }
            self.story.push_back((stamped.at, told));
        }
    }

    fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let command = match key.code {
            // Raw mode takes the signal away, so the key stands for it: twice, it aborts.
            KeyCode::Char('c') if control => Command::Stop,
            KeyCode::Char('q') => Command::Stop,
            KeyCode::Char('p') if self.paused => Command::Resume,
            KeyCode::Char('p') => Command::Pause,
            KeyCode::Char('+' | '=') => Command::Scale(FASTER),
            KeyCode::Char('-') => Command::Scale(SLOWER),
            KeyCode::Char('?' | 'h') => {
                self.help = !self.help;
                return;
            }
            _ => return,
        };
        let by = if command == Command::Stop { "interrupt" } else { "dashboard" };
        // A full queue means that the dispatcher is not waiting for more of the same.
        let _ = self.orders.try_send(Order::new(command, by));
    }

    fn draw<B: Backend>(
        &mut self,
        canvas: &mut Terminal<B>,
        now: Moment,
        tally: &Tally,
        meter: &Meter,
    ) -> Result<(), B::Error> {
        self.paused = meter.paused;
        let view = View { board: self, now, tally, meter };
        canvas.draw(|frame| view.draw(frame)).map(|_| ())
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! The screen without a terminal.

    use super::{Board, KeyEvent, Order, Sender};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use windlass_engine::Moment;
    use windlass_engine::event::Stamped;
    use windlass_engine::plan::Header;
    use windlass_engine::remote::Meter;
    use windlass_engine::tally::Tally;

    /// A dashboard of so many columns and rows, drawn into memory.
    pub struct Paper {
        board: Board,
        canvas: Terminal<TestBackend>,
    }

    impl Paper {
        pub fn new(plan: &Header, orders: Sender<Order>, columns: u16, rows: u16) -> Self {
            let canvas = Terminal::new(TestBackend::new(columns, rows)).expect("memory");
            Self { board: Board::new(plan, orders), canvas }
        }

        pub fn event(&mut self, stamped: &Stamped, tally: &Tally) {
            self.board.event(stamped, tally);
        }

        pub fn key(&mut self, key: KeyEvent) {
            self.board.key(key);
        }

        /// The rows of the screen.
        pub fn draw(&mut self, now: Moment, tally: &Tally, meter: &Meter) -> Vec<String> {
            self.board.progress.observe(now, meter);
            self.board.draw(&mut self.canvas, now, tally, meter).expect("memory");
            let buffer = self.canvas.backend().buffer();
            let width = usize::from(buffer.area.width);
            let row = |cells: &[ratatui::buffer::Cell]| {
                let text: String = cells.iter().map(|cell| cell.symbol()).collect();
                text.trim_end().to_owned()
            };
            buffer.content.chunks(width).map(row).collect()
        }
    }
}
