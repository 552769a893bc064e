//! The pairs of one namespace: generated ones, and over them what was written and deleted.
//!
//! Owns which keys exist, and when lists and reads come to see it. A generated key takes no memory
//! until one of them is deleted, and one bit from then on.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::ops::Bound;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use windlass_sim::Micros;

use super::generate::Generated;

/// What was written under one key.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub value: Arc<[u8]>,
    /// JSON without white space.
    pub metadata: Option<Arc<str>>,
    /// In seconds since 1970.
    pub expiration: Option<u64>,
}

/// One bit for each generated key.
#[derive(Clone, Debug, Default)]
struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    fn is_set(&self, index: u64) -> bool {
        let word = self.words.get((index / 64) as usize);
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// False when it was set before.
    fn set(&mut self, index: u64, of: u64) -> bool {
        if self.words.is_empty() {
            self.words = vec![0; of.div_ceil(64) as usize];
        }
        let word = &mut self.words[(index / 64) as usize];
        let is_new = *word >> (index % 64) & 1 == 0;
        *word |= 1 << (index % 64);
        self.count += u64::from(is_new);
        is_new
    }

    /// The first index from this one on that is not set, whatever the length.
    fn first_clear(&self, mut index: u64) -> u64 {
        while let Some(word) = self.words.get((index / 64) as usize) {
            let run = u64::from((word >> (index % 64)).trailing_ones());
            index += run.min(64 - index % 64);
            if run == 0 || !index.is_multiple_of(64) {
                return index;
            }
        }
        index
    }
}

/// What differs from the generated keys.
#[derive(Clone, Debug, Default)]
struct Overlay {
    /// Generated keys that are deleted or written over.
    gone: Bits,
    puts: BTreeMap<Box<str>, Put>,
}

impl Overlay {
    /// Writes or deletes; true when there was something before.
    fn apply(&mut self, generated: &Generated, key: &str, put: Option<Put>) -> bool {
        let index = generated.find(key);
        let mut existed = index.is_some_and(|index| self.gone.set(index, generated.count));
        match put {
            Some(put) => existed |= self.puts.insert(key.into(), put).is_some(),
            None if self.puts.is_empty() => {}
            None => existed |= self.puts.remove(key).is_some(),
        }
        existed
    }
}

/// The state that lists and reads see, when they see changes late.
#[derive(Debug, Default)]
struct Lagging {
    seen: Overlay,
    /// Changes by the instant at which they are seen, and by their order for those of one instant.
    due: BTreeMap<(Micros, u64), (Box<str>, Option<Put>)>,
    /// The last instant of each key in `due`: its changes are seen in their order.
    latest: HashMap<Box<str>, Micros>,
    changes: u64,
}

/// Which state is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// As it was changed.
    Truth,
    /// As it is seen.
    Seen,
}

/// A pair, where it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pair<'a> {
    Generated(u64),
    Put(&'a str, &'a Put),
}

/// The pairs of one namespace.
#[derive(Debug)]
pub(super) struct Store {
    generated: Generated,
    truth: Overlay,
    lagging: Option<Lagging>,
}

impl Store {
    pub(super) fn new(generated: Generated, lags: bool) -> Self {
        Self { generated, truth: Overlay::default(), lagging: lags.then(Lagging::default) }
    }

    pub(super) fn generated(&self) -> &Generated {
        &self.generated
    }

    /// Tells when the generated keys expire that do, in seconds since 1970.
    pub(super) fn expire_at(&mut self, expires_at: u64) {
        self.generated.expires_at = expires_at;
    }

    fn overlay(&self, view: View) -> &Overlay {
        match (view, &self.lagging) {
            (View::Seen, Some(lagging)) => &lagging.seen,
            _ => &self.truth,
        }
    }

    /// Writes or deletes a key, which is seen at `due`; true when there was something before.
    pub(super) fn write(&mut self, key: &str, put: Option<Put>, due: Micros) -> bool {
        if let Some(lagging) = &mut self.lagging {
            let before = lagging.latest.get(key).copied().unwrap_or(0);
            let due = due.max(before);
            lagging.changes += 1;
            lagging.due.insert((due, lagging.changes), (key.into(), put.clone()));
            lagging.latest.insert(key.into(), due);
        }
        self.truth.apply(&self.generated, key, put)
    }

    /// The same, seen at once, whatever was still to be seen of the key.
    pub(super) fn write_now(&mut self, key: &str, put: Option<Put>, now: Micros) -> bool {
        if let Some(lagging) = &mut self.lagging
            && lagging.latest.remove(key).is_some()
        {
            lagging.due.retain(|_, (other, _)| **other != *key);
        }
        let existed = self.write(key, put, now);
        self.settle(now);
        existed
    }

    /// Lets the changes be seen whose time has come.
    pub(super) fn settle(&mut self, now: Micros) {
        let Some(lagging) = &mut self.lagging else { return };
        while let Some(first) = lagging.due.first_entry()
            && first.key().0 <= now
        {
            let ((due, _), (key, put)) = first.remove_entry();
            if lagging.latest.get(&key) == Some(&due) {
                lagging.latest.remove(&key);
            }
            lagging.seen.apply(&self.generated, &key, put);
        }
    }

    /// The pair of a key, unless it is expired at `now`, in seconds since 1970.
    pub(super) fn get(&self, view: View, key: &str, now: u64) -> Option<Pair<'_>> {
        let overlay = self.overlay(view);
        let pair = match overlay.puts.get_key_value(key) {
            Some((key, put)) => Pair::Put(key, put),
            None => {
                let index = self.generated.find(key)?;
                Some(Pair::Generated(index)).filter(|_| !overlay.gone.is_set(index))?
            }
        };
        Some(pair).filter(|pair| !self.is_expired(pair, now))
    }

    fn is_expired(&self, pair: &Pair<'_>, now: u64) -> bool {
        self.expiration(pair).is_some_and(|at| at <= now)
    }

    /// How many pairs there are at `now`.
    pub(super) fn len(&self, now: u64) -> u64 {
        let generated = self.generated.count - self.truth.gone.count;
        let mut expired = 0;
        if self.generated.expiring_every > 0 && self.generated.expires_at <= now {
            let mut index = 0;
            while index < self.generated.count {
                expired += u64::from(!self.truth.gone.is_set(index));
                index += self.generated.expiring_every;
            }
        }
        let puts = self.truth.puts.values();
        let puts = puts.filter(|put| put.expiration.is_none_or(|at| at > now)).count();
        generated - expired + puts as u64
    }

    /// The pairs in the order of their names that begin with `prefix` and follow `after`.
    pub(super) fn walk<'a>(
        &'a self,
        view: View,
        prefix: &'a str,
        after: Option<&str>,
        now: u64,
    ) -> Walk<'a> {
        let overlay = self.overlay(view);
        let (generated, start) = (&self.generated, prefix.as_bytes());
        let index = generated.partition(|name| match after {
            Some(after) => name < start || name <= after.as_bytes(),
            None => name < start,
        });
        let end = generated.partition(|name| name < start || name.starts_with(start));
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut puts = overlay.puts.range::<str, _>((from, Bound::Unbounded));
        let next_put = puts.next().map(|(key, put)| (&**key, put));
        Walk { store: self, overlay, index, end, puts, next_put, prefix, now }
    }

    /// All names in their order.
    pub(super) fn names(&self, now: u64) -> Vec<String> {
        self.walk(View::Truth, "", None, now).map(|pair| self.name(&pair)).collect()
    }

    /// A hash over the names, values, metadata and expirations of all pairs.
    pub(super) fn digest(&self, now: u64) -> String {
        let (mut hash, mut buffer) = (Sha256::new(), Vec::new());
        for pair in self.walk(View::Truth, "", None, now) {
            hash_part(&mut hash, self.name(&pair).as_bytes());
            buffer.clear();
            self.push_value(&mut buffer, &pair);
            hash_part(&mut hash, &buffer);
            buffer.clear();
            self.push_metadata(&mut buffer, &pair);
            hash_part(&mut hash, &buffer);
            hash_part(&mut hash, &self.expiration(&pair).unwrap_or(0).to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes the value of a pair.
    pub(super) fn push_value(&self, out: &mut Vec<u8>, pair: &Pair<'_>) {
        match pair {
            Pair::Generated(index) => self.generated.push_value(out, *index),
            Pair::Put(_, put) => out.extend_from_slice(&put.value),
        }
    }

    /// Writes the metadata of a pair; false when it has none.
    pub(super) fn push_metadata(&self, out: &mut Vec<u8>, pair: &Pair<'_>) -> bool {
        match pair {
            Pair::Generated(index) => self.generated.push_metadata(out, *index),
            Pair::Put(_, put) => {
                put.metadata.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
                put.metadata.is_some()
            }
        }
    }

    /// When a pair expires, in seconds since 1970, if ever.
    pub(super) fn expiration(&self, pair: &Pair<'_>) -> Option<u64> {
        match pair {
            Pair::Generated(index) => self.generated.expiration(*index),
            Pair::Put(_, put) => put.expiration,
        }
    }

    pub(super) fn name(&self, pair: &Pair<'_>) -> String {
        match pair {
            Pair::Generated(index) => self.generated.name(*index).to_text(),
            Pair::Put(key, _) => (*key).to_owned(),
        }
    }
}

/// With its length, so that no two parts run into each other.
fn hash_part(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// A walk over pairs in the order of their names.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    store: &'a Store,
    overlay: &'a Overlay,
    /// The next generated key, and the first one that is no longer wanted.
    index: u64,
    end: u64,
    puts: btree_map::Range<'a, Box<str>, Put>,
    next_put: Option<(&'a str, &'a Put)>,
    prefix: &'a str,
    now: u64,
}

impl<'a> Walk<'a> {
    fn next_generated(&mut self) -> Option<u64> {
        let generated = &self.store.generated;
        loop {
            self.index = self.overlay.gone.first_clear(self.index);
            if self.index >= self.end {
                return None;
            }
            if generated.expiration(self.index).is_none_or(|at| at > self.now) {
                return Some(self.index);
            }
            self.index += 1;
        }
    }

    fn advance_put(&mut self) {
        self.next_put = self.puts.next().map(|(key, put)| (&**key, put));
    }

    fn next_put(&mut self) -> Option<(&'a str, &'a Put)> {
        while let Some((key, put)) = self.next_put
            && key.starts_with(self.prefix)
        {
            if put.expiration.is_none_or(|at| at > self.now) {
                return Some((key, put));
            }
            self.advance_put();
        }
        None
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let index = self.next_generated();
        let put = self.next_put();
        let put = put.filter(|(key, _)| {
            index.is_none_or(|index| key.as_bytes() < self.store.generated.name(index).as_bytes())
        });
        if let Some((key, put)) = put {
            self.advance_put();
            return Some(Pair::Put(key, put));
        }
        index.map(|index| {
            self.index = index + 1;
            Pair::Generated(index)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn the_first_clear_bit_is_found_across_full_words() {
        let mut bits = Bits::default();
        assert_eq!(bits.first_clear(5), 5);
        for index in (0..200).filter(|index| *index != 7 && *index != 130) {
            assert!(bits.set(index, 1_000));
            assert!(!bits.set(index, 1_000));
        }
        let firsts = [0, 7, 8, 64, 128, 130, 131, 199, 200, 999, 1_000, 1_100];
        let expected = [7, 7, 130, 130, 130, 130, 200, 200, 200, 999, 1_000, 1_100];
        assert_eq!(firsts.map(|index| bits.first_clear(index)), expected);
        assert_eq!(bits.count, 198);
    }
}
