//! How large a queue may be, and what happens at its bounds.

/// What happens to a batch when the log has reached its bound on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused.
    #[default]
    Refuse,
    /// The oldest segment is shed for the destinations that haven't settled it.
    DropOldest,
    /// Entries of low priority are shed from all segments, then those of normal priority, and only
    /// then the oldest segment. New entries are shed at once where only more important ones are
    /// left; new ones of low priority are always shed at once.
    DropByPriority,
}

/// What happens when synced bytes can't be read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// It is an error: the queue does not open, a reader does not go on.
    #[default]
    Stop,
    /// What is damaged is left out and counted, and the segment rewritten without it.
    Skip,
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The log takes at most so many bytes on disk. While a segment is rewritten, one more
    /// segment may be there.
    pub bytes_max: u64,
    /// What happens at that bound.
    pub when_full: WhenFull,
    /// A segment is closed when it has so many bytes; at most an eighth of `bytes_max`.
    pub segment_bytes: u64,
    /// So many batches may wait to be written.
    pub waiting_batches: usize,
    /// So many bytes may wait to be written; a batch that is greater waits alone.
    pub waiting_bytes: usize,
    /// Copies are recognised among so many events, at least among half of them.
    pub window: usize,
    /// What happens to damage.
    pub on_damage: OnDamage,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes_max: 10 << 30,
            when_full: WhenFull::Refuse,
            segment_bytes: 64 << 20,
            waiting_batches: 16_384,
            waiting_bytes: 64 << 20,
            window: 1_000_000,
            on_damage: OnDamage::Stop,
        }
    }
}

impl Options {
    /// Where a segment is closed.
    pub(super) fn segment_limit(&self) -> u64 {
        self.segment_bytes.min(self.bytes_max / 8).max(1)
    }
}
