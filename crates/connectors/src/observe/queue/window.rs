//! Which events came lately, so that a copy is not stored twice. Bounded: two generations, of
//! which the older is forgotten when the younger is full.

use std::collections::HashSet;
use std::mem;

/// The ids of the last events. At least the last half of its size is known, at most all of it.
/// A million ids take 36 MB: per generation 2^20 places of 17 bytes.
#[derive(Debug)]
pub struct Window {
    young: HashSet<u128>,
    old: HashSet<u128>,
    generation_max: usize,
}

impl Window {
    /// A window over so many ids; 0 knows none.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), generation_max: size.div_ceil(2) }
    }

    /// Remembers an id; says whether it is new.
    pub fn insert(&mut self, id: u128) -> bool {
        if self.generation_max == 0 {
            return true;
        }
        if self.old.contains(&id) || !self.young.insert(id) {
            return false;
        }
        if self.young.len() >= self.generation_max {
            // The full table is dropped, not cleared: an idle queue shall not keep it.
            self.old = mem::take(&mut self.young);
        }
        true
    }

    /// Forgets an id whose event was not stored after all.
    pub fn remove(&mut self, id: u128) {
        if !self.young.remove(&id) {
            self.old.remove(&id);
        }
    }

    /// How many ids it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
