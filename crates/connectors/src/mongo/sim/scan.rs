//! How the documents that a filter selects are found: by `_id`, by an index, or by a look at all.
//!
//! Owns the choice of the way, which `explain` tells, and the walk along it.

use std::collections::HashSet;
use std::ops::Bound;

use bson::{Document, doc};

use super::collection::{Collection, Stored};
use super::filter::{Filter, Limits};
use super::order;
use super::sort::Sort;

/// The way to the documents of a filter in an order.
#[derive(Clone, Debug)]
pub struct Route {
    access: Access,
    /// Whether the documents come in the order that was asked for.
    pub is_sorted: bool,
    is_reverse: bool,
    /// Whether every document on the way is one of the filter's.
    is_exact: bool,
}

#[derive(Clone, Debug)]
enum Access {
    Ids(Vec<Vec<u8>>),
    IdRange(Bound<Vec<u8>>, Bound<Vec<u8>>),
    Index(usize, Vec<Bounds>),
}

/// Encoded bounds, the lower one first.
pub type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

impl Route {
    /// The bounds of `_id` when it is walked as a range, and whether from its end.
    pub fn id_range(&self) -> Option<(Bounds, bool)> {
        match &self.access {
            Access::IdRange(low, high) => Some(((low.clone(), high.clone()), self.is_reverse)),
            _ => None,
        }
    }

    /// Whether every document on the way is one of the filter's.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }
}

fn as_slices(bounds: &Bounds) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice))
}

/// Whether a range has room for a key; the standard library refuses to look into others.
pub fn is_possible(bounds: &Bounds) -> bool {
    match (&bounds.0, &bounds.1) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Included(low), Bound::Included(high)) => low <= high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low < high,
    }
}

impl Collection {
    /// The best way to the documents of a filter.
    pub fn route(&self, filter: &Filter, sort: &Sort) -> Route {
        let id_order = Sort { fields: vec![("_id".to_owned(), false)] };
        let direction = sort.follows(&id_order);
        let is_sorted = sort.is_empty() || direction.is_some();
        let is_reverse = direction.unwrap_or(false);
        let limits = filter.limits("_id", false);
        let is_exact = limits.conditions == filter.len();
        if let Some(points) = limits.points {
            let access = Access::Ids(points);
            return Route { access, is_sorted, is_reverse, is_exact };
        }
        if limits.conditions == 0
            && let Some(route) = self.index_route(filter, sort, direction.is_some())
        {
            return route;
        }
        let access = Access::IdRange(limits.low, limits.high);
        Route { access, is_sorted, is_reverse, is_exact }
    }

    fn index_route(&self, filter: &Filter, sort: &Sort, is_by_id: bool) -> Option<Route> {
        let mut best: Option<(usize, Route)> = None;
        for (place, index) in self.indexes.iter().enumerate() {
            let (field, is_descending) = &index.pattern.fields[0];
            let limits = filter.limits(field, index.is_multikey);
            let order = sort.follows(&index.pattern).filter(|_| !index.is_multikey);
            let is_complete = index.partial.is_none()
                && (!index.is_sparse || (limits.conditions > 0 && !asks_for_null(&limits)));
            let asks_for_array = limits.points.iter().flatten().any(|key| key[0] == order::ARRAY);
            let is_of_use = limits.conditions > 0 || order.is_some();
            if !is_complete || asks_for_array || !is_of_use || (is_by_id && limits.conditions == 0)
            {
                continue;
            }
            let worth = match (&limits.points, order) {
                (Some(_), Some(_)) => 4,
                (Some(_), None) => 3,
                (None, Some(_)) => 2,
                (None, None) => 1,
            };
            let ranges = ranges(&limits, *is_descending);
            let is_sorted = sort.is_empty() || (order.is_some() && ranges.len() <= 1);
            let is_reverse = order.unwrap_or(false);
            let access = Access::Index(place, ranges);
            let route = Route { access, is_sorted, is_reverse, is_exact: false };
            if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                best = Some((worth, route));
            }
        }
        best.map(|(_, route)| route)
    }

    /// Shows the documents on the way that the filter selects, until `visit` says false.
    pub fn walk(
        &self,
        route: &Route,
        filter: &Filter,
        visit: &mut dyn FnMut(&[u8], &Stored) -> bool,
    ) {
        let mut show = |key: &[u8], document: &Stored| {
            !(route.is_exact || filter.matches(document)) || visit(key, document)
        };
        match &route.access {
            Access::Ids(keys) => {
                let mut look = |key: &Vec<u8>| {
                    self.documents.get(&key[..]).is_none_or(|document| show(key, document))
                };
                match route.is_reverse {
                    false => keys.iter().all(&mut look),
                    true => keys.iter().rev().all(&mut look),
                };
            }
            Access::IdRange(low, high) => {
                let bounds = (low.clone(), high.clone());
                self.walk_ids(&bounds, route.is_reverse, &mut show);
            }
            Access::Index(place, ranges) => {
                let index = &self.indexes[*place];
                let mut seen = HashSet::new();
                for bounds in ranges.iter().filter(|bounds| is_possible(bounds)) {
                    let goes_on = index.walk(as_slices(bounds), route.is_reverse, &mut |id| {
                        if index.is_multikey && !seen.insert(id.to_vec()) {
                            return true;
                        }
                        self.documents.get(id).is_none_or(|document| show(id, document))
                    });
                    if !goes_on {
                        break;
                    }
                }
            }
        }
    }

    /// Shows the documents whose encoded `_id` is within bounds, in order or in reverse, until
    /// `visit` says false.
    pub fn walk_ids(
        &self,
        bounds: &Bounds,
        is_reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Stored) -> bool,
    ) {
        if !is_possible(bounds) {
            return;
        }
        let mut range = self.documents.range::<[u8], _>(as_slices(bounds));
        match is_reverse {
            false => range.all(|(key, document)| visit(key, document)),
            true => range.rev().all(|(key, document)| visit(key, document)),
        };
    }

    /// All documents that the filter selects, sorted, without the first `skip`, at most `limit`.
    pub fn select(
        &self,
        filter: &Filter,
        sort: &Sort,
        skip: usize,
        limit: Option<usize>,
    ) -> Vec<Stored> {
        let route = self.route(filter, sort);
        let most = limit.unwrap_or(usize::MAX);
        if route.is_sorted {
            let (mut found, mut skipped) = (Vec::new(), 0);
            self.walk(&route, filter, &mut |_, document| {
                if skipped < skip {
                    skipped += 1;
                } else {
                    found.push(document.clone());
                }
                found.len() < most
            });
            return found;
        }
        let mut found = Vec::new();
        self.walk(&route, filter, &mut |key, document| {
            found.push((sort.key(document), key.to_vec(), document.clone()));
            true
        });
        found.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        found.into_iter().map(|(_, _, document)| document).skip(skip).take(most).collect()
    }

    /// The encoded `_id`s of the documents that the filter selects, at most `limit`.
    pub fn select_keys(&self, filter: &Filter, limit: usize) -> Vec<Vec<u8>> {
        let route = self.route(filter, &Sort::default());
        let mut keys = Vec::new();
        self.walk(&route, filter, &mut |key, _| {
            keys.push(key.to_vec());
            keys.len() < limit
        });
        keys
    }

    /// The `winningPlan` of `explain`.
    pub fn plan(&self, filter: &Filter, sort: &Sort) -> Document {
        let route = self.route(filter, sort);
        let direction = if route.is_reverse { "backward" } else { "forward" };
        let scan = |name: &str, pattern: &bson::Bson| {
            let found = doc! { "stage": "IXSCAN", "keyPattern": pattern, "indexName": name,
            "direction": direction };
            doc! { "stage": "FETCH", "inputStage": found }
        };
        let id = bson::Bson::Document(doc! { "_id": 1 });
        let plan = match &route.access {
            Access::Ids(keys) if keys.len() == 1 => {
                doc! { "stage": "IDHACK", "keyPattern": id, "indexName": "_id_" }
            }
            Access::IdRange(Bound::Unbounded, Bound::Unbounded) if sort.is_empty() => {
                doc! { "stage": "COLLSCAN", "direction": "forward" }
            }
            Access::IdRange(Bound::Unbounded, Bound::Unbounded) if !route.is_sorted => {
                doc! { "stage": "COLLSCAN", "direction": "forward" }
            }
            Access::Ids(_) | Access::IdRange(..) => scan("_id_", &id),
            Access::Index(place, _) => {
                let index = &self.indexes[*place];
                let none = bson::Bson::Null;
                scan(&index.name, index.description.get("key").unwrap_or(&none))
            }
        };
        match route.is_sorted {
            true => plan,
            false => doc! { "stage": "SORT", "inputStage": plan },
        }
    }
}

/// Whether a document without the field may be meant.
fn asks_for_null(limits: &Limits) -> bool {
    let null = [order::NULL];
    let ends_there = match &limits.high {
        Bound::Included(key) => key[..] == null,
        Bound::Excluded(key) => key[..] == [order::NULL + 1],
        Bound::Unbounded => false,
    };
    ends_there || limits.points.iter().flatten().any(|key| key[..] == null)
}

/// The ranges of an index whose first values are within the limits. More values, and the `_id`,
/// come after them in every entry.
fn ranges(limits: &Limits, is_descending: bool) -> Vec<Bounds> {
    let turned = |key: &Vec<u8>| {
        let mut key = key.clone();
        if is_descending {
            order::invert(&mut key);
        }
        key
    };
    if let Some(points) = &limits.points {
        let points = points.iter().map(turned);
        let ranges = points.map(|key| (Bound::Included(key.clone()), until_after(key)));
        return match is_descending {
            false => ranges.collect(),
            true => ranges.rev().collect(),
        };
    }
    let (start, end) = match is_descending {
        false => (&limits.low, &limits.high),
        true => (&limits.high, &limits.low),
    };
    let start = match start {
        Bound::Included(key) => Bound::Included(turned(key)),
        Bound::Excluded(key) => match until_after(turned(key)) {
            Bound::Excluded(next) => Bound::Included(next),
            bound => bound,
        },
        Bound::Unbounded => Bound::Unbounded,
    };
    let end = match end {
        Bound::Included(key) => until_after(turned(key)),
        Bound::Excluded(key) => Bound::Excluded(turned(key)),
        Bound::Unbounded => Bound::Unbounded,
    };
    vec![(start, end)]
}

/// The bound above everything that begins with these bytes.
fn until_after(mut key: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            return Bound::Excluded(key);
        }
    }
    Bound::Unbounded
}
