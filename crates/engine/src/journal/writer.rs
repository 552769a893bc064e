//! Appending to a journal.

use super::files::Files;
use super::record::{Heading, write_event, write_heading};
use crate::event::Event;
use crate::moment::Moment;
use crate::plan::Header;
use std::io;
use std::time::Duration;

/// A sync of the journal that may run on another thread.
pub type SyncTask = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// How long an outcome may wait for its sync to the disk. A crash of the process loses nothing
/// of it, only a crash of the whole machine does, and then a delete is asked for again.
const SYNC_INTERVAL: Duration = Duration::from_millis(250);

/// The open journal of a run. Lines gather in memory until [`Journal::write`], which the
/// dispatcher calls once in each of its turns, before anything new is sent.
pub struct Journal {
    files: Box<dyn Files>,
    pending: Vec<u8>,
    /// Bytes of whole lines that are in the file.
    written: u64,
    torn: bool,
    unsynced: bool,
    synced_at: Moment,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Journal").field("written", &self.written).finish_non_exhaustive()
    }
}

impl Journal {
    /// Begins the journal of a run that applies this plan, which it knows by its digest, or by its
    /// name while the plan still grows and has none.
    ///
    /// # Errors
    /// When the first line can't be written.
    pub fn create(files: Box<dyn Files>, plan: &Header) -> io::Result<Self> {
        let mut journal = Self::at(files, 0);
        let name = if plan.digest.is_empty() { &plan.id } else { &plan.digest };
        write_heading(&mut journal.pending, &Heading::new(name));
        journal.write()?;
        Ok(journal)
    }

    /// Goes on behind `written` bytes of whole lines.
    pub(super) fn at(files: Box<dyn Files>, written: u64) -> Self {
        Self {
            files,
            pending: Vec::with_capacity(16 * 1024),
            written,
            torn: false,
            unsynced: false,
            synced_at: Moment::ZERO,
        }
    }

    /// Gathers the line of an event, if it is one to keep.
    pub fn append(&mut self, at: Moment, event: &Event) {
        if event.is_durable() {
            write_event(&mut self.pending, at, event);
        }
    }

    /// Hands the gathered lines to the system. After an error they are still gathered, and the
    /// next call first cuts off what an incomplete write may have left.
    ///
    /// # Errors
    /// What the system says: mostly a full disk.
    pub fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.files.truncate(self.written)?;
            self.torn = false;
        }
        if let Err(error) = self.files.append(&self.pending) {
            self.torn = true;
            return Err(error);
        }
        self.written += self.pending.len() as u64;
        self.pending.clear();
        self.unsynced = true;
        Ok(())
    }

    /// A sync for another thread, when there is something to sync and the last one is long
    /// enough ago; where syncing takes no time it is done here.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync_if_due(&mut self, now: Moment) -> io::Result<Option<SyncTask>> {
        if !self.unsynced || now.saturating_since(self.synced_at) < SYNC_INTERVAL {
            return Ok(None);
        }
        self.synced_at = now;
        self.unsynced = false;
        match self.files.sync_task()? {
            Some(task) => Ok(Some(task)),
            None => self.files.sync().map(|()| None),
        }
    }

    /// Writes and syncs everything; at the end of a session, and before each sending of steps
    /// that may not be sent twice.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        self.files.sync()?;
        self.unsynced = false;
        Ok(())
    }
}
