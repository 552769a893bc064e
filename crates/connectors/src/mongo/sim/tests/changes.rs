use futures_util::StreamExt;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType};
use mongodb::options::FullDocumentType;

use super::*;

type Events = ChangeStream<ChangeStreamEvent<Document>>;

/// The next events: what happened to which document.
async fn take(stream: &mut Events, count: usize) -> Vec<(OperationType, i32)> {
    let mut events = Vec::new();
    while events.len() < count {
        let event = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
        let event = event.expect("an event in time").expect("an event").expect("no error");
        let key = event.document_key.map_or(-1, |key| key.get_i32("_id").unwrap());
        events.push((event.operation_type, key));
    }
    events
}

#[tokio::test]
async fn a_change_stream_sees_every_change_and_resumes_where_it_was() {
    let scene = scene(Options::default()).await;
    let things = scene.things();
    let mut stream = things.watch().await.unwrap();
    scene.fill(0..2);
    things.update_one(doc! { "_id": 1 }, doc! { "$set": { "n": 5 } }).await.unwrap();
    things.replace_one(doc! { "_id": 1 }, doc! { "x": 1 }).await.unwrap();
    assert_eq!(
        take(&mut stream, 3).await,
        [(OperationType::Insert, 0), (OperationType::Insert, 1), (OperationType::Update, 1)]
    );
    let token = stream.resume_token().unwrap();
    drop(stream);
    things.delete_one(doc! { "_id": 0 }).await.unwrap();
    scene.client.database("other").collection("x").insert_one(doc! { "_id": 9 }).await.unwrap();
    let mut resumed = things.watch().resume_after(token).await.unwrap();
    assert_eq!(
        take(&mut resumed, 2).await,
        [(OperationType::Replace, 1), (OperationType::Delete, 0)]
    );
    let mut whole = scene.client.database("other").watch().await.unwrap();
    scene.client.database("other").collection("y").insert_one(doc! { "_id": 3 }).await.unwrap();
    assert_eq!(take(&mut whole, 1).await, [(OperationType::Insert, 3)]);
}

#[tokio::test]
async fn events_tell_what_changed() {
    let scene = scene(Options::default()).await;
    let things = scene.things();
    let old = doc! { "_id": 1, "a": { "b": 1, "c": 2 }, "gone": 1 };
    scene.simulator.insert(DATABASE, "things", [raw(&old)]).unwrap();
    let watch = things.watch().full_document(FullDocumentType::UpdateLookup);
    let mut stream = watch.await.unwrap();
    let update = doc! { "$set": { "a.c": 3 }, "$unset": { "gone": 1 } };
    things.update_one(doc! { "_id": 1 }, update).await.unwrap();
    let event = stream.next().await.unwrap().unwrap();
    let description = event.update_description.unwrap();
    assert_eq!(description.updated_fields, doc! { "a.c": 3 });
    assert_eq!(description.removed_fields, ["gone"]);
    assert_eq!(event.full_document, Some(doc! { "_id": 1, "a": { "b": 1, "c": 3 } }));
    assert_eq!(event.ns.unwrap().coll.as_deref(), Some("things"));
    things.drop().await.unwrap();
    let event = stream.next().await.unwrap().unwrap();
    assert_eq!(event.operation_type, OperationType::Drop);
    let event = stream.next().await.unwrap().unwrap();
    assert_eq!(event.operation_type, OperationType::Invalidate);
    assert!(!stream.is_alive());
}

#[tokio::test]
async fn nothing_of_two_thousand_changes_by_many_is_missed() {
    let scene = scene(Options::default()).await;
    let mut stream = scene.things().watch().await.unwrap();
    let writers = (0..4).map(|writer| {
        let things = scene.things();
        tokio::spawn(async move {
            for n in 0..500 {
                things.insert_one(doc! { "_id": writer * 500 + n }).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut seen: Vec<i32> = take(&mut stream, 2_000).await.iter().map(|it| it.1).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..2_000).collect::<Vec<i32>>());
}

#[tokio::test]
async fn a_stream_waits_for_news_and_starts_at_a_time() {
    let scene = scene(Options::default()).await;
    let before = scene.run(doc! { "ping": 1 }).await.unwrap();
    let before = before.get_timestamp("operationTime").unwrap();
    scene.fill(0..3);
    let watch = |stage: Document| {
        let pipeline = [doc! { "$changeStream": stage }];
        scene
            .run(doc! { "aggregate": "things", "pipeline": pipeline, "cursor": { "batchSize": 1 } })
    };
    let reply = watch(doc! { "startAtOperationTime": before }).await.unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("firstBatch").unwrap().len(), 1);
    let id = cursor.get_i64("id").unwrap();
    let more = || doc! { "getMore": id, "collection": "things", "maxTimeMS": 300 };
    let batch = |reply: &Document| {
        let cursor = reply.get_document("cursor").unwrap();
        assert!(cursor.get_document("postBatchResumeToken").is_ok());
        cursor.get_array("nextBatch").unwrap().len()
    };
    assert_eq!(batch(&scene.run(more()).await.unwrap()), 2);
    let started = std::time::Instant::now();
    assert_eq!(batch(&scene.run(more()).await.unwrap()), 0);
    assert!(started.elapsed() >= Duration::from_millis(300));
    let (waiting, _) = tokio::join!(scene.run(more()), async { scene.fill([7]) });
    assert_eq!(batch(&waiting.unwrap()), 1);
}

#[tokio::test]
async fn lost_history_and_a_standalone_are_told() {
    let scene = scene(Options { oplog_entries: 5, ..Options::default() }).await;
    let things = scene.things();
    let mut stream = things.watch().await.unwrap();
    scene.fill(0..3);
    take(&mut stream, 3).await;
    let token = stream.resume_token().unwrap();
    drop(stream);
    scene.fill(3..9);
    let lost = things.watch().resume_after(token).await;
    assert_eq!(refusal(lost.map(|_| ())).0, 286);
    scene.simulator.set_options(|options| options.no_change_streams = true).unwrap();
    assert_eq!(refusal(things.watch().await.map(|_| ())).0, 40_573);
}
