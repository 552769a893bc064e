//! Owns what limits count: one amount for each group and window, bounded in number, kept while the
//! policies are replaced and written down while the program is not running.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many groups one policy may have.
const GROUPS_MAX: usize = 100_000;
/// How many policies' counters are kept that no policy has any more.
const UNUSED_MAX: usize = 1_000;
/// The form of a snapshot.
const VERSION: u32 = 1;
/// No entry.
const NONE: u32 = u32::MAX;

/// The counters of all policies. Cheap to clone; all clones are the same counters.
#[derive(Clone, Debug)]
pub struct CounterStore {
    groups_max: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    counters: Mutex<BTreeMap<String, Arc<Counters>>>,
    tallies: Mutex<BTreeMap<String, Arc<Tally>>>,
}

/// Why a snapshot can't be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is damaged.
    #[error("the counters of policies can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A later version of the program has written it.
    #[error("the counters of policies have form {0}, this program knows 1")]
    Newer(u32),
}

/// How often a policy did what, since the program was started.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) matched: AtomicU64,
    pub(super) flagged: AtomicU64,
    pub(super) masked: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) alerted: AtomicU64,
    pub(super) errors: AtomicU64,
}

impl Default for CounterStore {
    fn default() -> Self {
        Self::with_groups_max(GROUPS_MAX)
    }
}

impl CounterStore {
    /// Counters of which each policy has at most so many groups, at least one; usual are 100,000.
    /// Beyond it the group that was asked for least recently begins anew, which is counted.
    #[must_use]
    pub fn with_groups_max(groups_max: usize) -> Self {
        let groups_max = groups_max.clamp(1, NONE as usize - 1);
        Self { groups_max, shared: Arc::default() }
    }

    /// The counters of a policy; the same ones for the same identity.
    pub(super) fn counters(&self, identity: &str) -> Arc<Counters> {
        let mut all = locked(&self.shared.counters);
        if let Some(counters) = all.get(identity) {
            return Arc::clone(counters);
        }
        if all.len() >= UNUSED_MAX {
            all.retain(|_, counters| Arc::strong_count(counters) > 1);
        }
        let counters = Arc::new(Counters::new(self.groups_max));
        all.insert(identity.to_owned(), Arc::clone(&counters));
        counters
    }

    pub(super) fn tally(&self, policy: &str) -> Arc<Tally> {
        let mut all = locked(&self.shared.tallies);
        if all.len() >= UNUSED_MAX {
            all.retain(|_, tally| Arc::strong_count(tally) > 1);
        }
        Arc::clone(all.entry(policy.to_owned()).or_default())
    }

    /// Everything that was counted, to be restored by another run of the program.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let all: Vec<(String, Arc<Counters>)> = {
            let all = locked(&self.shared.counters);
            all.iter().map(|(identity, one)| (identity.clone(), Arc::clone(one))).collect()
        };
        let counters = all
            .into_iter()
            .map(|(policy, counters)| Saved { policy, groups: locked(&counters.groups).saved() })
            .collect();
        // Maps with text as their keys, numbers and texts can always be written.
        serde_json::to_vec(&Snapshot { version: VERSION, counters }).unwrap_or_default()
    }

    /// Takes up what another run has counted. What was counted since then for the same group of
    /// the same policy is replaced, so this comes first.
    ///
    /// # Errors
    /// When the bytes are no snapshot, or a later version's. Nothing is changed then.
    pub fn restore(&self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let snapshot: Snapshot = serde_json::from_slice(snapshot)?;
        if snapshot.version > VERSION {
            return Err(RestoreError::Newer(snapshot.version));
        }
        for saved in snapshot.counters {
            let counters = self.counters(&saved.policy);
            let mut groups = locked(&counters.groups);
            for (group, window, used) in saved.groups {
                let slot = groups.slot(&group, window);
                groups.entries[slot].window = window;
                groups.entries[slot].used = used;
            }
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u32,
    counters: Vec<Saved>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    policy: String,
    /// The group, when its window began, and what was used in it; the latest one last.
    groups: Vec<(String, u64, u64)>,
}

/// The counters of one policy.
#[derive(Debug)]
pub(super) struct Counters {
    groups: Mutex<Groups>,
}

impl Counters {
    fn new(max: usize) -> Self {
        let groups = Groups { max, newest: NONE, oldest: NONE, ..Groups::default() };
        Self { groups: Mutex::new(groups) }
    }

    /// What a group has used in the window that began at `window`. When the clock went back, the
    /// latest window that the group was seen in stays its window.
    pub(super) fn used(&self, group: &str, window: u64) -> u64 {
        let mut groups = locked(&self.groups);
        let Some(&slot) = groups.places.get(group) else { return 0 };
        groups.touch(slot);
        let entry = &groups.entries[slot as usize];
        if entry.window >= window { entry.used } else { 0 }
    }

    /// Adds what was used; says how much it was before and is now.
    pub(super) fn add(&self, group: &str, window: u64, amount: u64) -> (u64, u64) {
        let mut groups = locked(&self.groups);
        let slot = groups.slot(group, window);
        let entry = &mut groups.entries[slot];
        if entry.window < window {
            (entry.window, entry.used) = (window, 0);
        }
        let before = entry.used;
        entry.used = before.saturating_add(amount);
        (before, entry.used)
    }

    /// How many groups there are, and how many had to go.
    pub(super) fn size(&self) -> (usize, u64) {
        let groups = locked(&self.groups);
        (groups.places.len(), groups.evicted)
    }
}

/// Groups in the order of their last use: a list through the entries, the newest at its head.
#[derive(Debug, Default)]
struct Groups {
    max: usize,
    places: HashMap<Arc<str>, u32>,
    entries: Vec<Entry>,
    newest: u32,
    oldest: u32,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    group: Arc<str>,
    window: u64,
    used: u64,
    newer: u32,
    older: u32,
}

impl Groups {
    /// The place of a group's entry, which is now the newest; a new one where there is none.
    fn slot(&mut self, group: &str, window: u64) -> usize {
        if let Some(&slot) = self.places.get(group) {
            self.touch(slot);
            return slot as usize;
        }
        let group: Arc<str> = group.into();
        let entry = Entry { group: Arc::clone(&group), window, used: 0, newer: NONE, older: NONE };
        let slot = if self.entries.len() < self.max {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let slot = self.oldest;
            self.unlink(slot);
            self.evicted += 1;
            let old = std::mem::replace(&mut self.entries[slot as usize], entry);
            self.places.remove(&old.group);
            slot
        };
        self.places.insert(group, slot);
        self.link(slot);
        slot as usize
    }

    fn touch(&mut self, slot: u32) {
        if self.newest != slot {
            self.unlink(slot);
            self.link(slot);
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Entry { newer, older, .. } = self.entries[slot as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, slot: u32) {
        let older = self.newest;
        self.entries[slot as usize].older = older;
        self.entries[slot as usize].newer = NONE;
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    fn saved(&self) -> Vec<(String, u64, u64)> {
        let mut saved = Vec::with_capacity(self.entries.len());
        let mut slot = self.oldest;
        while let Some(entry) = self.entries.get(slot as usize) {
            saved.push((entry.group.as_ref().to_owned(), entry.window, entry.used));
            slot = entry.newer;
        }
        saved
    }
}

impl Tally {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_counted_by_group_and_window() {
        let counters = CounterStore::default().counters("a");
        assert_eq!(counters.used("x", 10), 0);
        assert_eq!(counters.add("x", 10, 5), (0, 5));
        assert_eq!(counters.add("x", 10, 7), (5, 12));
        assert_eq!((counters.used("x", 10), counters.used("y", 10)), (12, 0));
        assert_eq!(counters.used("x", 20), 0);
        assert_eq!(counters.add("x", 20, 1), (0, 1));
        assert_eq!(counters.add("x", 10, 1), (1, 2), "a clock that went back opens no new window");
        assert_eq!(counters.add("x", 20, u64::MAX), (2, u64::MAX));
    }

    #[test]
    fn the_group_used_least_recently_goes_and_is_counted() {
        let store = CounterStore::with_groups_max(3);
        let counters = store.counters("a");
        for group in ["x", "y", "z"] {
            counters.add(group, 0, 1);
        }
        assert_eq!(counters.used("x", 0), 1);
        counters.add("w", 0, 1);
        assert_eq!(counters.size(), (3, 1));
        assert_eq!(["x", "y", "z", "w"].map(|group| counters.used(group, 0)), [1, 0, 1, 1]);
        let one = CounterStore::with_groups_max(0).counters("a");
        one.add("x", 0, 1);
        one.add("y", 0, 2);
        assert_eq!((one.used("x", 0), one.used("y", 0), one.size()), (0, 2, (1, 1)));
    }

    #[test]
    fn a_snapshot_brings_everything_back_in_its_order() {
        let store = CounterStore::with_groups_max(2);
        store.counters("a").add("x", 10, 5);
        store.counters("a").add("y", 10, 6);
        store.counters("a").used("x", 10);
        store.counters("b").add("", 0, 7);
        let next = CounterStore::with_groups_max(2);
        next.restore(&store.snapshot()).unwrap();
        assert_eq!(next.snapshot(), store.snapshot());
        next.counters("a").add("z", 10, 1);
        let left = ["x", "y", "z"].map(|group| next.counters("a").used(group, 10));
        assert_eq!((left, next.counters("b").used("", 0)), ([5, 0, 1], 7));
    }

    #[test]
    fn what_is_no_snapshot_changes_nothing() {
        let store = CounterStore::default();
        store.counters("a").add("x", 10, 5);
        assert!(matches!(store.restore(b"{"), Err(RestoreError::Unreadable(_))));
        let newer = br#"{"version":2,"counters":[{"policy":"a","groups":[["x",10,9]]}]}"#;
        assert!(matches!(store.restore(newer), Err(RestoreError::Newer(2))));
        assert_eq!(store.counters("a").used("x", 10), 5);
    }

    proptest! {
        #[test]
        fn groups_are_those_of_a_plain_list(
            steps in proptest::collection::vec((0_u8..8, any::<bool>()), 0..200),
            max in 1_usize..6,
        ) {
            let counters = CounterStore::with_groups_max(max).counters("a");
            let mut model: Vec<(String, u64)> = Vec::new();
            for (group, adds) in steps {
                let group = group.to_string();
                let known = model.iter().position(|(name, _)| *name == group);
                let mut entry = known.map(|place| model.remove(place));
                if adds {
                    let entry = entry.get_or_insert((group.clone(), 0));
                    entry.1 += 1;
                    prop_assert_eq!(counters.add(&group, 0, 1).1, entry.1);
                } else {
                    let used = entry.as_ref().map_or(0, |entry| entry.1);
                    prop_assert_eq!(counters.used(&group, 0), used);
                }
                model.extend(entry);
                if model.len() > max {
                    model.remove(0);
                }
            }
            let saved = locked(&counters.groups).saved();
            let saved: Vec<(String, u64)> =
                saved.into_iter().map(|(group, _, used)| (group, used)).collect();
            prop_assert_eq!(saved, model);
        }
    }
}
