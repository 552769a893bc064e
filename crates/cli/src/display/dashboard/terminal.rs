//! Taking the terminal and giving it back, whatever happens.

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether the terminal is ours at the moment. A process has one terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal while it is ours.
pub(super) struct Screen {
    canvas: Terminal<CrosstermBackend<io::Stderr>>,
    /// Whether keys can be read; after an error they are not asked for again.
    keys: bool,
}

impl Screen {
    /// Switches to raw mode and the alternate screen.
    pub(super) fn take() -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        TAKEN.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stderr(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stderr())));
        match taken {
            Ok(canvas) => Ok(Self { canvas, keys: true }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// What is drawn on.
    pub(super) fn canvas(&mut self) -> &mut Terminal<CrosstermBackend<io::Stderr>> {
        &mut self.canvas
    }

    /// Whether nobody gave the terminal back behind our back: a panic of some task does.
    pub(super) fn is_ours(&self) -> bool {
        TAKEN.load(Ordering::SeqCst)
    }

    /// A key that was pressed, without waiting for one.
    pub(super) fn key(&mut self) -> Option<KeyEvent> {
        while self.keys {
            match event::poll(Duration::ZERO).and_then(|some| some.then(event::read).transpose()) {
                Ok(Some(Event::Key(key))) => return Some(key),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(_) => self.keys = false,
            }
        }
        None
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Undoes everything once. Errors are ignored: there is nothing left to do about them.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
