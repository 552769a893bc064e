//! The word to stop, in two levels.

use std::sync::Arc;
use tokio::sync::watch;

/// How urgently a run should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Not at all.
    Running,
    /// Start nothing more; what is on the wire is answered.
    Draining,
    /// Drop what is on the wire, too.
    Aborting,
}

/// Told to everything that waits. Copies share the level, which only rises.
#[derive(Clone, Debug)]
pub struct Stop {
    level: Arc<watch::Sender<Level>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { level: Arc::new(watch::Sender::new(Level::Running)) }
    }
}

impl Stop {
    /// Asks to start nothing more.
    pub fn drain(&self) {
        self.raise(Level::Draining);
    }

    /// Asks to drop what is on the wire, too.
    pub fn abort(&self) {
        self.raise(Level::Aborting);
    }

    /// Whether nothing more may be started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.level.borrow() >= Level::Draining
    }

    /// Returns when nothing more may be started.
    pub async fn draining(&self) {
        self.reached(Level::Draining).await;
    }

    /// Returns when what is on the wire is to be dropped.
    pub async fn aborting(&self) {
        self.reached(Level::Aborting).await;
    }

    fn raise(&self, to: Level) {
        self.level.send_if_modified(|level| {
            let higher = to > *level;
            *level = (*level).max(to);
            higher
        });
    }

    async fn reached(&self, level: Level) {
        let mut watch = self.level.subscribe();
        // The sender lives as long as self, so waiting can't fail.
        let _ = watch.wait_for(|now| *now >= level).await;
    }
}
