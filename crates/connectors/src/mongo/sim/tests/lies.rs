use std::time::Instant;

use super::*;

fn insert(id: i32) -> Document {
    doc! { "insert": "things", "documents": [{ "_id": id }] }
}

async fn fail_point(scene: &Scene, mode: impl Into<Bson>, data: Document) {
    let command = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data };
    scene.admin(command).await.unwrap();
}

#[test]
fn the_default_is_what_no_flags_are() {
    assert_eq!(Options::read(&[]), Ok(Options::default()));
    let flags = ["--reply-lost", "0.5", "--without", "explain,serverStatus", "--lag", "7"];
    let read = Options::read(&flags).unwrap();
    assert_eq!((read.faults.reply_lost, read.lag), (0.5, Some(7)));
    assert_eq!(read.without, ["explain", "serverStatus"]);
    assert!(Options::read(&["--dance"]).is_err());
    let too_much = Options::read(&["--reset-before", "0.6", "--throttle-rate", "0.6"]).unwrap();
    assert!(MongoSim::new(too_much).is_err());
}

#[tokio::test]
async fn fail_points_strike_as_often_as_they_say() {
    let scene = scene(Options::default()).await;
    let data = doc! { "failCommands": ["insert"], "errorCode": 16_500 };
    fail_point(&scene, doc! { "times": 2 }, data.clone()).await;
    for _ in 0..2 {
        assert_eq!(refusal(scene.run(insert(1)).await), (16_500, vec![]));
    }
    scene.run(insert(1)).await.unwrap();
    fail_point(&scene, doc! { "skip": 1 }, data).await;
    scene.run(insert(2)).await.unwrap();
    assert_eq!(refusal(scene.run(insert(3)).await).0, 16_500);
    let labels = ["SystemOverloadedError", "RetryableError"];
    let data = doc! { "failCommands": ["insert"], "errorCode": 462, "errorLabels": labels };
    fail_point(&scene, "alwaysOn", data).await;
    let expected = vec!["RetryableError".to_owned(), "SystemOverloadedError".to_owned()];
    assert_eq!(refusal(scene.run(insert(3)).await), (462, expected));
    fail_point(&scene, "off", doc! {}).await;
    scene.run(insert(3)).await.unwrap();
    let data = doc! { "failCommands": ["insert"], "closeConnection": true };
    fail_point(&scene, doc! { "times": 1 }, data).await;
    assert!(is_network(scene.run(insert(4)).await));
    assert_eq!(scene.ids(), [1, 2, 3].map(Bson::Int32));
    let data =
        doc! { "failCommands": ["insert"], "writeConcernError": { "code": 64, "errmsg": "" } };
    fail_point(&scene, doc! { "times": 1 }, data).await;
    let reply = scene.run(insert(5)).await.unwrap();
    assert_eq!(reply.get_document("writeConcernError").unwrap().get_i32("code").unwrap(), 64);
    let data = doc! { "failCommands": ["find"], "blockConnection": true, "blockTimeMS": 200 };
    fail_point(&scene, doc! { "times": 1 }, data).await;
    let started = Instant::now();
    scene.run(doc! { "find": "things" }).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(scene.ids(), [1, 2, 3, 5].map(Bson::Int32));
}

#[tokio::test]
async fn a_lost_reply_is_a_write_that_was_done() {
    let scene = scene(Options::default()).await;
    scene.lie(FaultOptions { reply_lost: 1.0, ..FaultOptions::default() });
    assert!(is_network(scene.run(insert(1)).await));
    scene.lie(FaultOptions { reply_cut: 1.0, ..FaultOptions::default() });
    assert!(is_network(scene.run(insert(2)).await));
    scene.lie(FaultOptions { reset_before: 1.0, ..FaultOptions::default() });
    assert!(is_network(scene.run(insert(3)).await));
    assert_eq!(scene.ids(), [1, 2].map(Bson::Int32));
    assert_eq!(scene.simulator.ledger().lost_replies, 3);
}

#[tokio::test]
async fn a_driver_that_retries_writes_once_through_lost_replies() {
    let scene = scene(Options { seed: 5, ..Options::default() }).await;
    scene.lie(FaultOptions { reply_lost: 0.15, ..FaultOptions::default() });
    let things = scene.things();
    let mut failed = 0;
    for n in 0..50 {
        let update = doc! { "$inc": { "n": 1 } };
        let done = things.update_one(doc! { "_id": n }, update).upsert(true).await;
        failed += u32::from(done.is_err());
    }
    let all = scene.simulator.dump(DATABASE, "things");
    assert_eq!(all.len(), 50);
    assert!(all.iter().all(|it| int(it, "n") == 1), "something was written twice");
    assert!(scene.simulator.ledger().lost_replies > 2);
    // Only a reply that was lost twice in a row is an error to the driver.
    assert!(failed < 8, "{failed} failed");
}

#[tokio::test]
async fn refusals_have_the_codes_and_labels_of_their_kind() {
    let scene = scene(Options::default()).await;
    scene.lie(FaultOptions { throttle_rate: 1.0, retry_after_ms: 34, ..FaultOptions::default() });
    let error = scene.run(insert(1)).await.unwrap_err();
    let ErrorKind::Command(command) = error.kind.as_ref() else { panic!("{error}") };
    assert_eq!((command.code, &command.code_name[..]), (16_500, "TooManyRequests"));
    assert!(command.message.contains("RetryAfterMs=34,"), "{}", command.message);
    scene.lie(FaultOptions { overload_rate: 1.0, ..FaultOptions::default() });
    let expected = vec!["RetryableError".to_owned(), "SystemOverloadedError".to_owned()];
    assert_eq!(refusal(scene.run(insert(1)).await), (462, expected));
    for code in [91, 10_107, 11_600] {
        let not_primary_code = vec![code];
        let lies = FaultOptions { not_primary_rate: 1.0, not_primary_code, ..Default::default() };
        scene.lie(lies);
        assert_eq!(refusal(scene.run(insert(1)).await).0, code);
    }
    assert!(scene.simulator.is_empty());
    scene.lie(FaultOptions { write_concern_rate: 1.0, ..FaultOptions::default() });
    let reply = scene.run(insert(1)).await.unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 1);
    assert_eq!(reply.get_document("writeConcernError").unwrap().get_i32("code").unwrap(), 64);
    let only = vec!["find".to_owned()];
    scene.lie(FaultOptions { overload_rate: 1.0, fault_commands: only, ..Default::default() });
    scene.run(insert(2)).await.unwrap();
    assert_eq!(refusal(scene.run(doc! { "find": "things" }).await).0, 462);
}

#[tokio::test]
async fn write_errors_come_in_odd_order_without_the_key() {
    let scene = scene(Options::default()).await;
    scene.fill([1, 3]);
    scene.lie(FaultOptions {
        descending_write_errors: true,
        no_key_pattern: true,
        ..FaultOptions::default()
    });
    let documents: Vec<Document> = (0..5).map(|n| doc! { "_id": n }).collect();
    let command = doc! { "insert": "things", "documents": documents, "ordered": false };
    let reply = scene.run(command).await.unwrap();
    let errors: Vec<&Document> =
        reply.get_array("writeErrors").unwrap().iter().filter_map(Bson::as_document).collect();
    let indexes: Vec<i32> = errors.iter().map(|it| it.get_i32("index").unwrap()).collect();
    assert_eq!(indexes, [3, 1]);
    let names: Vec<&String> = errors[0].keys().collect();
    assert_eq!(names, ["index", "code", "errmsg"]);
}

#[tokio::test]
async fn some_statements_are_refused_while_the_others_are_done() {
    let scene = scene(Options::default()).await;
    scene.lie(FaultOptions { statement_throttle_rate: 0.3, ..FaultOptions::default() });
    let documents: Vec<Document> = (0..1_000).map(|n| doc! { "_id": n }).collect();
    let command = doc! { "insert": "things", "documents": documents, "ordered": false };
    let reply = scene.run(command).await.unwrap();
    let errors = reply.get_array("writeErrors").unwrap();
    let codes = errors.iter().map(|it| it.as_document().unwrap().get_i32("code").unwrap());
    assert!(codes.clone().all(|code| code == 16_500));
    assert!((200..400).contains(&codes.count()));
    let done = usize::try_from(reply.get_i32("n").unwrap()).unwrap();
    assert_eq!((done, scene.simulator.len(DATABASE, "things")), (1_000 - errors.len(), done));
}

#[tokio::test]
async fn no_more_operations_a_second_than_the_cap() {
    let scene = scene(Options::default()).await;
    let operations_per_second = Some(200);
    scene.lie(FaultOptions { operations_per_second, ..FaultOptions::default() });
    let (started, mut done, mut refused) = (Instant::now(), 0, 0);
    for id in 0..1_000 {
        match scene.run(insert(id)).await {
            Ok(_) => done += 1,
            answer => {
                assert_eq!(refusal(answer).0, 16_500);
                refused += 1;
            }
        }
    }
    let most = 201.0 + 200.0 * started.elapsed().as_secs_f64();
    assert!(done >= 200 && f64::from(done) <= most, "{done} in {:?}", started.elapsed());
    assert!(refused > 0);
    assert_eq!(scene.simulator.len(DATABASE, "things"), done as usize);
}

#[tokio::test]
async fn slow_replies_and_far_servers_take_their_time() {
    let scene = scene(Options::default()).await;
    scene.fill(0..50);
    let slow_by = Duration::from_millis(300);
    scene.lie(FaultOptions { slow_rate: 1.0, slow_by, ..FaultOptions::default() });
    let started = Instant::now();
    scene.run(doc! { "find": "things" }).await.unwrap();
    assert!(started.elapsed() >= slow_by);
    let far = Options::read(&["--latency", "80ms"]).unwrap();
    scene.simulator.set_options(|options| *options = far).unwrap();
    let started = Instant::now();
    scene.run(doc! { "ping": 1 }).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_server_of_the_wrong_age_is_refused_by_the_driver() {
    for (min_wire_version, max_wire_version) in [(0, 6), (40, 45)] {
        let options = Options { min_wire_version, max_wire_version, ..Options::default() };
        let scene = scene(options).await;
        let error = scene.run(doc! { "ping": 1 }).await.unwrap_err();
        let is_told = matches!(
            error.kind.as_ref(),
            ErrorKind::ServerSelection { .. } | ErrorKind::IncompatibleServer { .. }
        );
        assert!(is_told, "{error}");
    }
}

#[tokio::test]
async fn commands_can_be_missing_and_batches_small() {
    let without = vec!["explain".to_owned(), "serverStatus".to_owned()];
    let options = Options { without, max_write_batch_size: 10, ..Options::default() };
    let scene = scene(options).await;
    let hello = scene.admin(doc! { "hello": 1 }).await.unwrap();
    assert_eq!(hello.get_i32("maxWriteBatchSize").unwrap(), 10);
    assert_eq!(refusal(scene.admin(doc! { "serverStatus": 1 }).await).0, 59);
    let documents: Vec<Document> = (0..11).map(|n| doc! { "_id": n }).collect();
    let command = doc! { "insert": "things", "documents": documents.clone() };
    assert_eq!(refusal(scene.run(command).await).0, 16);
    scene.things().insert_many(documents).await.unwrap();
    assert_eq!(scene.simulator.len(DATABASE, "things"), 11);
}

#[tokio::test]
async fn the_state_of_the_server_is_what_the_switches_say() {
    let scene = scene(Options::default()).await;
    scene.admin(doc! { "simulate": ["--queued", "12", "--lag", "30"] }).await.unwrap();
    let status = scene.admin(doc! { "serverStatus": 1 }).await.unwrap();
    let queue = status.get_document("globalLock").unwrap().get_document("currentQueue").unwrap();
    assert_eq!(queue.get_i32("total").unwrap(), 12);
    let connections = status.get_document("connections").unwrap();
    assert!((1..=4).contains(&connections.get_i32("current").unwrap()));
    let set = scene.admin(doc! { "replSetGetStatus": 1 }).await.unwrap();
    let times: Vec<i64> = set
        .get_array("members")
        .unwrap()
        .iter()
        .map(|it| it.as_document().unwrap().get_datetime("optimeDate").unwrap().timestamp_millis())
        .collect();
    assert_eq!(times[0] - times[1], 30_000);
    assert_eq!(refusal(scene.admin(doc! { "simulate": ["--dance"] }).await).0, 9);
    scene.run(insert(1)).await.unwrap();
    let ledger = scene.admin(doc! { "ledger": 1 }).await.unwrap();
    let written = ledger.get_document("written").unwrap().get_document("shop.things").unwrap();
    assert_eq!(written, &doc! { "inserted": 1_i64, "updated": 0_i64, "deleted": 0_i64 });
}

#[tokio::test]
async fn reading_changes_nothing_and_is_written_down() {
    let scene = scene(Options::default()).await;
    scene.fill(0..500);
    use futures_util::TryStreamExt;
    let all: Vec<Document> =
        scene.things().find(doc! {}).batch_size(200).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.len(), 500);
    let ledger = scene.simulator.ledger();
    assert!(ledger.total().is_nothing());
    assert_eq!((ledger.count("find"), ledger.count("getMore")), (1, 2));
    let rows: Vec<(&str, &str, u64)> = ledger
        .rows
        .iter()
        .filter(|row| &*row.namespace == "shop.things")
        .map(|row| (&*row.command, &*row.namespace, row.count))
        .collect();
    let namespace = "shop.things";
    assert_eq!(
        rows,
        [("find", namespace, 200), ("getMore", namespace, 200), ("getMore", namespace, 100)]
    );
    scene.simulator.clear_ledger();
    assert_eq!(scene.simulator.ledger().count("find"), 0);
}
