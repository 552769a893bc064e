//! `find`, `getMore` and what else only reads.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};

use super::super::collection::Collection;
use super::super::cursors::{Cursor, Source, Walk};
use super::super::expression::append;
use super::super::filter::Filter;
use super::super::order;
use super::super::path;
use super::super::projection::Projection;
use super::super::reply::{Answer, CommandError, Writer};
use super::super::sort::Sort;
use super::super::wire::Request;
use super::super::world::World;

/// How many documents a first batch has unless the client says.
pub const FIRST_BATCH: usize = 101;
/// For how long a change stream waits for news unless the client says.
const AWAIT: Duration = Duration::from_secs(1);

fn size(request: &Request<'_>, name: &str) -> Option<usize> {
    request.integer(name).and_then(|number| usize::try_from(number.unsigned_abs()).ok())
}

fn filter_of(request: &Request<'_>, name: &str) -> Result<Filter, CommandError> {
    match request.document(name) {
        Some(filter) => Filter::read(filter),
        None => Ok(Filter::All(Vec::new())),
    }
}

fn sort_of(request: &Request<'_>) -> Sort {
    request.document("sort").map(Sort::read).unwrap_or_default()
}

/// `find`.
///
/// # Errors
///
/// Those of filters and projections.
pub fn find(world: &mut World, request: &Request<'_>) -> Answer {
    let namespace = request.namespace()?;
    let filter = filter_of(request, "filter")?;
    let sort = sort_of(request);
    let projection = request.document("projection").map(Projection::read).transpose()?.flatten();
    let skip = size(request, "skip").unwrap_or(0);
    let limit = size(request, "limit").filter(|limit| *limit > 0);
    let batch = size(request, "batchSize").unwrap_or(FIRST_BATCH);
    let empty = Collection::new(&namespace);
    let collection = world.collections.get(&namespace).unwrap_or(&empty);
    let route = collection.route(&filter, &sort);
    let source = match route.id_range() {
        Some((bounds, is_reverse)) if route.is_sorted && skip == 0 => {
            let bounds = narrowed(bounds, request);
            let filter = (!route.is_exact()).then_some(filter);
            let left = limit.unwrap_or(usize::MAX);
            Source::Walk(Walk { bounds, is_reverse, filter, left })
        }
        _ => Source::Chosen(collection.select(&filter, &sort, skip, limit).into()),
    };
    let cursor = Cursor { namespace, source, projection };
    let is_single =
        request.is_set("singleBatch") || request.integer("limit").is_some_and(|limit| limit < 0);
    first_batch(world, cursor, batch, is_single)
}

/// Bounds by `min` and `max` with a hint at `_id`, which unlike filters go across all types.
fn narrowed(
    mut bounds: super::super::scan::Bounds,
    request: &Request<'_>,
) -> super::super::scan::Bounds {
    let bound = |name: &str| Some(order::key(path::field(request.document(name)?, "_id")?));
    if let Some(min) = bound("min") {
        bounds.0 = Bound::Included(min);
    }
    if let Some(max) = bound("max") {
        bounds.1 = Bound::Excluded(max);
    }
    bounds
}

/// The first reply of a cursor, which stays open unless it is at its end.
///
/// # Errors
///
/// Those of change streams.
pub fn first_batch(world: &mut World, mut cursor: Cursor, most: usize, is_single: bool) -> Answer {
    let mut writer = Writer::new();
    writer.open("cursor");
    let is_done =
        cursor.write_batch("firstBatch", most, &world.collections, &world.oplog, &mut writer)?;
    let namespace = cursor.namespace.clone();
    let id = if is_done || is_single { 0 } else { world.cursors.keep(cursor) };
    writer.long("id", id);
    writer.string("ns", &namespace);
    writer.close();
    Ok(writer)
}

/// `getMore`.
///
/// # Errors
///
/// Code 43 for a cursor that is not there, and those of change streams.
pub fn get_more(world: &mut World, request: &Request<'_>) -> Answer {
    let id = request.integer("getMore").unwrap_or(0);
    let most = size(request, "batchSize").filter(|size| *size > 0).unwrap_or(usize::MAX);
    let mut cursor = world.cursors.take(id)?;
    let mut writer = Writer::new();
    writer.open("cursor");
    let is_done =
        cursor.write_batch("nextBatch", most, &world.collections, &world.oplog, &mut writer)?;
    writer.long("id", if is_done { 0 } else { id });
    writer.string("ns", &cursor.namespace);
    writer.close();
    if !is_done {
        world.cursors.put_back(id, cursor);
    }
    Ok(writer)
}

/// For how long a `getMore` on a change stream without news has to wait; `None` when it has not.
pub fn must_wait(world: &mut World, request: &Request<'_>) -> Option<Duration> {
    if request.name != "getMore" {
        return None;
    }
    let cursor = world.cursors.get_mut(request.integer("getMore")?)?;
    let Source::Changes(stream) = &mut cursor.source else { return None };
    let longest = request.integer("maxTimeMS").and_then(|time| u64::try_from(time).ok());
    let longest = longest.map_or(AWAIT, Duration::from_millis);
    (!stream.find_news(&world.oplog)).then_some(longest)
}

/// `killCursors`.
///
/// # Errors
///
/// Code 14 when the numbers are no array.
pub fn kill_cursors(world: &mut World, request: &Request<'_>) -> Answer {
    let Some(RawBsonRef::Array(ids)) = request.get("cursors") else {
        return Err(CommandError::new(14, "'cursors' must be an array"));
    };
    let (mut killed, mut missing) = (Vec::new(), Vec::new());
    for id in ids.into_iter().map_while(Result::ok).filter_map(super::super::filter::integer) {
        if world.cursors.close(id) { killed.push(id) } else { missing.push(id) }
    }
    let none: [i64; 0] = [];
    Ok(doc! {
        "cursorsKilled": killed,
        "cursorsNotFound": missing,
        "cursorsAlive": none.to_vec(),
        "cursorsUnknown": none.to_vec(),
    }
    .into())
}

/// `count`.
///
/// # Errors
///
/// Those of filters.
pub fn count(world: &mut World, request: &Request<'_>) -> Answer {
    let filter = filter_of(request, "query")?;
    let collection = world.collections.get(&request.namespace()?);
    let found = collection.map_or(0, |collection| {
        if filter.len() == 0 {
            return collection.documents.len();
        }
        let mut count = 0;
        let route = collection.route(&filter, &Sort::default());
        collection.walk(&route, &filter, &mut |_, _| {
            count += 1;
            true
        });
        count
    });
    let found = found.saturating_sub(size(request, "skip").unwrap_or(0));
    let limit = size(request, "limit").filter(|limit| *limit > 0);
    Ok(doc! { "n": found.min(limit.unwrap_or(usize::MAX)) as i32 }.into())
}

/// `distinct`.
///
/// # Errors
///
/// Those of filters, and 2 for a missing field.
pub fn distinct(world: &mut World, request: &Request<'_>) -> Answer {
    let Some(field) = request.get("key").and_then(RawBsonRef::as_str) else {
        return Err(CommandError::new(2, "'key' must be a string"));
    };
    let filter = filter_of(request, "query")?;
    let collection = world.collections.get(&request.namespace()?);
    let documents =
        collection.map_or(Vec::new(), |it| it.select(&filter, &Sort::default(), 0, None));
    let (mut seen, mut values) = (BTreeSet::new(), bson::RawArrayBuf::new());
    for document in &documents {
        path::any(document, field, &mut |value| {
            let mut take = |value: RawBsonRef<'_>| {
                if seen.insert(order::key(value)) {
                    values.push(value);
                }
            };
            match value {
                Some(RawBsonRef::Array(array)) => {
                    array.into_iter().map_while(Result::ok).for_each(take);
                }
                Some(value) => take(value),
                None => {}
            }
            false
        });
    }
    let mut reply = RawDocumentBuf::new();
    append(&mut reply, "values", values);
    Ok(Document::try_from(reply).unwrap_or_default().into())
}

/// `explain` of `find`, `count`, `aggregate` with a `$match` in front, `update` and `delete`.
///
/// # Errors
///
/// Those of filters.
pub fn explain(world: &mut World, request: &Request<'_>) -> Answer {
    let Some(inner) = request.document("explain") else {
        return Err(CommandError::new(14, "'explain' must be an object"));
    };
    let (query, sort) = explained(inner);
    let nothing = RawDocumentBuf::new();
    let filter = Filter::read(query.unwrap_or(&nothing))?;
    let sort = sort.map(Sort::read).unwrap_or_default();
    let name = inner.iter().next().and_then(Result::ok);
    let name = name.and_then(|(_, value)| value.as_str()).unwrap_or_default();
    let namespace = format!("{}.{name}", request.database);
    let empty = Collection::new(&namespace);
    let collection = world.collections.get(&namespace).unwrap_or(&empty);
    let plan = match world.collections.contains_key(&namespace) {
        true => collection.plan(&filter, &sort),
        false => doc! { "stage": "EOF" },
    };
    let mut reply = doc! {
        "explainVersion": "1",
        "queryPlanner": {
            "namespace": &namespace,
            "winningPlan": plan,
            "rejectedPlans": [],
        },
    };
    let verbosity = request.get("verbosity").and_then(RawBsonRef::as_str);
    if verbosity.is_none_or(|verbosity| verbosity != "queryPlanner") {
        let found = collection.select_keys(&filter, usize::MAX).len() as i32;
        reply.insert("executionStats", doc! { "executionSuccess": true, "nReturned": found });
    }
    Ok(reply.into())
}

/// The filter and the order of the command that is explained.
fn explained(inner: &RawDocument) -> (Option<&RawDocument>, Option<&RawDocument>) {
    let statement = ["updates", "deletes", "pipeline"].iter().find_map(|name| {
        let array = inner.get_array(name).ok()?;
        array.get_document(0).ok()
    });
    let query = ["filter", "query"].iter().find_map(|name| inner.get_document(name).ok());
    let inside =
        statement.and_then(|it| ["q", "$match"].iter().find_map(|name| it.get_document(name).ok()));
    (query.or(inside), inner.get_document("sort").ok())
}
