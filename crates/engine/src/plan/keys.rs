//! Which keys a plan has already: each object is in it once.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// The keys of the present phase.
#[derive(Debug)]
pub(super) enum Keys {
    /// In any order: every key is remembered by its hash.
    Any(KeySet),
    /// In ascending order of their bytes: only the last is remembered.
    Ascending(Option<String>),
    /// However the job likes: it looks after repeated keys itself.
    Unchecked,
}

impl Default for Keys {
    fn default() -> Self {
        Self::Any(KeySet::default())
    }
}

impl Keys {
    /// Keys that ascend, before the first of them.
    pub(super) const fn ascending() -> Self {
        Self::Ascending(None)
    }

    /// Puts a key in; false when it was there, or is out of order, which a list that promised its
    /// order only gives for what it gave before.
    pub(super) fn insert(&mut self, key: &str) -> bool {
        match self {
            Self::Any(set) => set.insert(key),
            Self::Ascending(Some(last)) => {
                let fresh = key > last.as_str();
                if fresh {
                    last.clear();
                    last.push_str(key);
                }
                fresh
            }
            Self::Unchecked => true,
            Self::Ascending(none) => {
                *none = Some(key.to_owned());
                true
            }
        }
    }

    /// Forgets all keys: a new phase begins.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Any(set) => set.clear(),
            Self::Ascending(last) => *last = None,
            Self::Unchecked => {}
        }
    }
}

/// The keys seen so far, by a hash of 64 bits with a secret seed: 18 MiB for a million keys. Two
/// different keys meet with a chance of 3 in 100 million then, and the price is one object left
/// alone.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    seed: RandomState,
    hashes: HashSet<u64, BuildHasherDefault<Plain>>,
}

impl KeySet {
    fn insert(&mut self, key: &str) -> bool {
        self.hashes.insert(self.seed.hash_one(key))
    }

    fn clear(&mut self) {
        self.hashes = HashSet::default();
    }
}

/// Takes a number that is a hash already as it is.
#[derive(Debug, Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only whole hashes are put in");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
