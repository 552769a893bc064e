//! Which source documents make one target: for each group its value, how many documents it has,
//! and the one of them that the target is made from.

use super::hash_of;
use crate::mongo::mapping::{Order, Place, id_value};
use bson::Bson;
use std::collections::HashMap;

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    /// Its value, as text.
    pub(super) key: Box<str>,
    /// How many documents it has.
    pub(super) count: u32,
    /// The `_id` of the document that the target is made from, as text.
    pub(super) source: Box<str>,
    order: Option<Order>,
}

impl Group {
    /// The same `_id` as a value.
    pub(super) fn source_id(&self) -> Option<Bson> {
        id_value(&self.source)
    }
}

/// All groups, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    by_key: HashMap<u128, u32>,
}

impl Groups {
    /// Takes a document in. The one with the least order makes the target; one without an order
    /// comes last, and of equal ones the first that was met.
    pub(super) fn take(&mut self, place: Place, source: String) {
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let index = *self.by_key.entry(hash_of(&place.key)).or_insert(next);
        let Some(group) = self.groups.get_mut(index as usize) else {
            self.groups.push(Group {
                key: place.key.into(),
                count: 1,
                source: source.into(),
                order: place.order,
            });
            return;
        };
        group.count += 1;
        let is_before = match (&place.order, &group.order) {
            (Some(new), Some(old)) => new < old,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_before {
            group.source = source.into();
            group.order = place.order;
        }
    }

    /// The groups in the order in which they were met.
    pub(super) fn in_order(&self) -> &[Group] {
        &self.groups
    }
}
