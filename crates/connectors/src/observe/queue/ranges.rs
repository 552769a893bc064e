//! A set of sequence numbers as disjoint ranges: what is settled is many numbers in few runs.

use std::collections::BTreeMap;

/// Numbers as ranges from the first to the one after the last. Ranges that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds the numbers from `start` to before `end`.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        if let Some((&before, stop)) = self.ranges.range_mut(..=start).next_back()
            && *stop >= start
        {
            if *stop >= end {
                return;
            }
            start = before;
        }
        while let Some((&next, &stop)) = self.ranges.range(start..=end).next() {
            end = end.max(stop);
            self.ranges.remove(&next);
        }
        self.ranges.insert(start, end);
    }

    /// Whether it has this number.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    /// What of the numbers from `start` to before `end` it doesn't have.
    pub fn missing(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at = start;
        std::iter::from_fn(move || {
            at = self.first_missing(at);
            if at >= end {
                return None;
            }
            let stop = self.ranges.range(at..end).next().map_or(end, |(&next, _)| next);
            let piece = (at, stop);
            at = stop;
            Some(piece)
        })
    }

    /// The first number from `from` on that it doesn't have.
    #[must_use]
    pub fn first_missing(&self, from: u64) -> u64 {
        match self.ranges.range(..=from).next_back() {
            Some((_, &end)) if end > from => end,
            _ => from,
        }
    }

    /// The number after its greatest; 0 where it is empty.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, &end)| end)
    }

    /// In how many runs its numbers lie.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.ranges.len()
    }

    /// Its ranges in their order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(&start, &end)| (start, end))
    }
}
