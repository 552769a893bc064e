//! One bit a step: the set of finished steps of a run.

/// A set of step numbers below a fixed length, at one bit each: 1.25 MB for ten million steps.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    /// An empty set that can hold the numbers `0..length`.
    #[must_use]
    pub fn new(length: u64) -> Self {
        let words = usize::try_from(length.div_ceil(64)).expect("a plan fits in memory at a bit");
        Self { words: vec![0; words], count: 0 }
    }

    /// Makes room for the numbers `0..length`; it never shrinks.
    pub fn grow(&mut self, length: u64) {
        let words = Self::new(length).words.len();
        self.words.resize(words.max(self.words.len()), 0);
    }

    /// Takes every number from `length` on out.
    pub fn truncate(&mut self, length: u64) {
        let beyond: Vec<u64> = self.iter().filter(|number| *number >= length).collect();
        for number in beyond {
            self.remove(number);
        }
    }

    /// Puts `number` in; true when it was not there before. A number beyond the length is not
    /// taken, and false comes back.
    pub fn insert(&mut self, number: u64) -> bool {
        let Some(word) = self.word_mut(number) else { return false };
        let mask = 1 << (number % 64);
        let fresh = *word & mask == 0;
        *word |= mask;
        self.count += u64::from(fresh);
        fresh
    }

    /// Takes `number` out; true when it was there.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some(word) = self.word_mut(number) else { return false };
        let mask = 1 << (number % 64);
        let present = *word & mask != 0;
        *word &= !mask;
        self.count -= u64::from(present);
        present
    }

    /// Whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        usize::try_from(number / 64)
            .ok()
            .and_then(|index| self.words.get(index))
            .is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The numbers in the set, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            (0..64)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| index as u64 * 64 + bit)
        })
    }

    fn word_mut(&mut self, number: u64) -> Option<&mut u64> {
        self.words.get_mut(usize::try_from(number / 64).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(moves in proptest::collection::vec((any::<bool>(), 0u64..150), 0..300)) {
            let mut bits = Bits::new(150);
            let mut model = BTreeSet::new();
            for (put, number) in moves {
                if put {
                    prop_assert_eq!(bits.insert(number), model.insert(number));
                } else {
                    prop_assert_eq!(bits.remove(number), model.remove(&number));
                }
                prop_assert_eq!(bits.contains(number), model.contains(&number));
            }
            prop_assert_eq!(bits.count(), model.len() as u64);
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_number_beyond_the_length_is_not_taken() {
        let mut bits = Bits::new(64);
        assert!(!bits.insert(64) && !bits.contains(64) && !bits.remove(u64::MAX));
    }
}
