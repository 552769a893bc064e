//! A set of step numbers as ranges, so that a batch of ten thousand is one pair of numbers in the
//! journal.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Step numbers, kept as ranges in the order in which they were added.
///
/// As JSON it is a list whose items are numbers or pairs: `[3, [7, 9]]` is 3, 7, 8 and 9.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// First and last of each range, both in it.
    ranges: Vec<(u64, u64)>,
}

impl Steps {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The first that was added.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|(first, _)| *first)
    }

    /// All of them, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|&(first, last)| first..=last)
    }

    fn push(&mut self, step: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(step) => *last = step,
            _ => self.ranges.push((step, step)),
        }
    }
}

impl FromIterator<u64> for Steps {
    fn from_iter<I: IntoIterator<Item = u64>>(steps: I) -> Self {
        let mut set = Self::default();
        set.extend(steps);
        set
    }
}

impl Extend<u64> for Steps {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, steps: I) {
        steps.into_iter().for_each(|step| self.push(step));
    }
}

/// One item of the list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Item {
    One(u64),
    Range(u64, u64),
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.ranges.iter().map(|&(first, last)| {
            if first == last { Item::One(first) } else { Item::Range(first, last) }
        }))
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::<Item>::deserialize(deserializer)?;
        let mut set = Self::default();
        for item in items {
            let (first, last) = match item {
                Item::One(step) => (step, step),
                Item::Range(first, last) => (first, last),
            };
            if first > last || last == u64::MAX {
                return Err(serde::de::Error::custom("a range of steps ends before it begins"));
            }
            set.ranges.push((first, last));
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_keeps_numbers_and_order(steps in proptest::collection::vec(0u64..40, 0..60)) {
            let set: Steps = steps.iter().copied().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), steps.clone());
            prop_assert_eq!(set.count(), steps.len() as u64);
            prop_assert_eq!(set.first(), steps.first().copied());
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<Steps>(&json).unwrap(), set);
        }
    }

    #[test]
    fn a_range_is_a_pair() {
        let set: Steps = [3, 7, 8, 9].into_iter().collect();
        assert_eq!(serde_json::to_string(&set).unwrap(), "[3,[7,9]]");
        assert_eq!(serde_json::from_str::<Steps>("[3,7,8,9]").unwrap().count(), 4);
        assert!(serde_json::from_str::<Steps>("[[9,7]]").is_err());
    }
}
