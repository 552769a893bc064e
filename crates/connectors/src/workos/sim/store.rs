//! The objects of one kind, in the order of their creation.
//!
//! Owns which objects exist. A generated object takes 40 bytes; all its text is made again from
//! its number whenever it is shown, so that a million of them fit in some 50 MB.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use windlass_sim::Micros;

/// Where an object stands in its list: the milliseconds of its creation in the upper 48 bits, and
/// 80 bits that tell apart what was created in the same one. It has the form of a ULID.
pub(super) type Place = u128;

/// How `created_at` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    Plain,
    Missing,
    Malformed,
    Offset,
    Odd,
}

/// What is kept of one object.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// From which its texts are made.
    pub number: u32,
    /// How much later than its creation the time inside its id is, in milliseconds.
    pub skew: u16,
    pub stamp: Stamp,
    /// Its deletion is refused.
    pub kept: bool,
    /// Deleted, but still shown for a while.
    pub fading: bool,
    /// Its id and JSON, when it was given rather than generated.
    pub given: Option<Box<Given>>,
}

/// An object that was given rather than generated.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub id: String,
    pub json: String,
}

/// The objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Store {
    records: BTreeMap<Place, Record>,
    /// The places of objects whose id does not tell it.
    aliases: HashMap<String, Place>,
    fading: VecDeque<(Micros, Place)>,
}

/// One page of a list, as places in the order in which they are shown.
#[derive(Debug)]
pub(super) struct Page {
    pub places: Vec<Place>,
    /// Something comes before the first of them, and after the last.
    pub more: (bool, bool),
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Start,
    /// The page follows this place in the order of the list.
    After(Place),
    /// The page ends just in front of this place.
    Before(Place),
}

impl Store {
    pub(super) fn fill(&mut self, records: Vec<(Place, Record)>, id: impl Fn(Place) -> String) {
        for (place, record) in &records {
            if record.skew != 0 {
                self.aliases.insert(id(skewed(*place, record.skew)), *place);
            }
        }
        self.records = records.into_iter().collect();
    }

    /// Adds one object at its place or the next free one.
    pub(super) fn insert(&mut self, mut place: Place, record: Record) -> Place {
        while self.records.contains_key(&place) {
            place += 1;
        }
        if let Some(given) = &record.given {
            self.aliases.insert(given.id.clone(), place);
        }
        self.records.insert(place, record);
        place
    }

    /// The place of the object with this id, whose own digits are `decoded` when they are a ULID.
    pub(super) fn find(&self, id: &str, decoded: Option<Place>) -> Option<Place> {
        if !self.aliases.is_empty()
            && let Some(place) = self.aliases.get(id)
        {
            return Some(*place);
        }
        let place = decoded?;
        let record = self.records.get(&place)?;
        (record.skew == 0 && record.given.is_none()).then_some(place)
    }

    pub(super) fn get(&self, place: Place) -> Option<&Record> {
        self.records.get(&place)
    }

    /// Removes an object now.
    pub(super) fn remove(&mut self, place: Place, id: &str) -> bool {
        if !self.aliases.is_empty() {
            self.aliases.remove(id);
        }
        self.records.remove(&place).is_some()
    }

    /// Removes an object at a later time; it is shown until then.
    pub(super) fn fade(&mut self, place: Place, until: Micros) {
        if let Some(record) = self.records.get_mut(&place) {
            record.fading = true;
            self.fading.push_back((until, place));
        }
    }

    /// Removes the objects whose time has come.
    pub(super) fn settle(&mut self, now: Micros, id: impl Fn(Place, &Record) -> String) {
        while let Some(&(until, place)) = self.fading.front()
            && until <= now
        {
            self.fading.pop_front();
            if let Some(record) = self.records.remove(&place) {
                self.aliases.remove(&id(place, &record));
            }
        }
    }

    /// How many objects exist that are not deleted.
    pub(super) fn len(&self) -> usize {
        self.records.len() - self.fading.len()
    }

    /// All objects that are not deleted, oldest first.
    pub(super) fn remaining(&self) -> impl Iterator<Item = (Place, &Record)> {
        let kept = self.records.iter().filter(|(_, record)| !record.fading);
        kept.map(|(place, record)| (*place, record))
    }

    /// One page of the list, oldest first when `ascending`.
    pub(super) fn page(&self, ascending: bool, from: From, length: usize) -> Page {
        use Bound::{Excluded, Unbounded};
        // Walking towards the start of the list gives the page in reverse.
        let towards_start = matches!(from, From::Before(_));
        let upwards = ascending != towards_start;
        let range = match from {
            From::Start => (Unbounded, Unbounded),
            From::After(place) | From::Before(place) if upwards => (Excluded(place), Unbounded),
            From::After(place) | From::Before(place) => (Unbounded, Excluded(place)),
        };
        let walk = self.records.range(range).map(|(place, _)| *place);
        let mut places: Vec<Place> =
            if upwards { walk.take(length).collect() } else { walk.rev().take(length).collect() };
        if towards_start {
            places.reverse();
        }
        let beyond = |place: Option<&Place>, up: bool| {
            place.is_some_and(|&place| {
                let bounds =
                    if up { (Excluded(place), Unbounded) } else { (Unbounded, Excluded(place)) };
                self.records.range(bounds).next().is_some()
            })
        };
        let more = (beyond(places.first(), !ascending), beyond(places.last(), ascending));
        Page { places, more }
    }
}

/// The place that an id's digits tell when its time is later than the creation.
pub(super) fn skewed(place: Place, skew: u16) -> Place {
    place + (u128::from(skew) << 80)
}
