//! `aggregate`.

use bson::{RawBsonRef, RawDocument};

use super::super::changes::{Scope, Stream};
use super::super::cursors::{Cursor, Source};
use super::super::filter::Filter;
use super::super::pipeline::Stage;
use super::super::reply::{Answer, CommandError};
use super::super::sort::Sort;
use super::super::wire::Request;
use super::super::world::World;
use super::read::{FIRST_BATCH, first_batch};

/// Carries out a pipeline.
///
/// # Errors
///
/// Those of the stages.
pub fn run(world: &mut World, request: &Request<'_>) -> Answer {
    let stages = request.documents("pipeline");
    let cursor = request.document("cursor");
    let batch = cursor.and_then(|cursor| super::super::path::field(cursor, "batchSize"));
    let batch = batch.and_then(super::super::filter::integer);
    let batch = batch.and_then(|size| usize::try_from(size).ok()).unwrap_or(FIRST_BATCH);
    let change_stream = stages.first().and_then(|it| it.get_document("$changeStream").ok());
    if let Some(arguments) = change_stream {
        return watch(world, request, arguments, &stages[1..], batch);
    }
    let namespace = request.namespace()?;
    let mut stages = stages.into_iter().map(Stage::read).collect::<Result<Vec<_>, _>>()?;
    // What stands in front can use an index.
    let mut filter = Filter::All(Vec::new());
    if let Some(Stage::Match(first)) = stages.first() {
        filter = first.clone();
        stages.remove(0);
    }
    let mut sort = Sort::default();
    if let Some(Stage::Sort(first)) = stages.first() {
        sort = first.clone();
        stages.remove(0);
    }
    let limit = match stages.first() {
        Some(Stage::Limit(most)) => Some(*most),
        _ => None,
    };
    let collection = world.collections.get(&namespace);
    let mut documents = collection.map_or(Vec::new(), |it| it.select(&filter, &sort, 0, limit));
    for stage in &stages {
        documents = stage.apply(documents)?;
    }
    let source = Source::Chosen(documents.into());
    first_batch(world, Cursor { namespace, source, projection: None }, batch, false)
}

/// Opens a change stream on a collection, a database or the whole server.
fn watch(
    world: &mut World,
    request: &Request<'_>,
    arguments: &RawDocument,
    stages: &[&RawDocument],
    batch: usize,
) -> Answer {
    if world.options.no_change_streams {
        let message = "The $changeStream stage is only supported on replica sets";
        return Err(CommandError::new(40_573, message));
    }
    let stages = stages.iter().map(|stage| Stage::read(stage)).collect::<Result<Vec<_>, _>>()?;
    let (scope, namespace) = match request.get("aggregate") {
        Some(RawBsonRef::String(_)) => {
            let namespace = request.namespace()?;
            (Scope::Collection(namespace.clone()), namespace)
        }
        _ => {
            let namespace = format!("{}.$cmd.aggregate", request.database);
            match arguments.get_bool("allChangesForCluster").unwrap_or(false) {
                true => (Scope::Server, namespace),
                false => (Scope::Database(format!("{}.", request.database)), namespace),
            }
        }
    };
    let stream = Stream::open(scope, arguments, stages, &world.oplog)?;
    let source = Source::Changes(Box::new(stream));
    first_batch(world, Cursor { namespace, source, projection: None }, batch, false)
}
