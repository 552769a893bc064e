use futures_util::TryStreamExt;
use mongodb::options::{FindOneAndUpdateOptions, ReturnDocument};

use super::*;

#[tokio::test]
async fn documents_are_written_read_changed_and_deleted() {
    let scene = scene(Options::default()).await;
    let things = scene.things();
    let many: Vec<Document> = (0..250).map(|n| doc! { "_id": n, "n": n % 10 }).collect();
    assert_eq!(things.insert_many(&many).await.unwrap().inserted_ids.len(), 250);
    assert_eq!(things.find_one(doc! { "_id": 7 }).await.unwrap(), Some(doc! { "_id": 7, "n": 7 }));
    assert_eq!(things.count_documents(doc! { "n": 3 }).await.unwrap(), 25);
    let update = doc! { "$set": { "a.b": 1 }, "$inc": { "n": 5 } };
    let updated = things.update_one(doc! { "_id": 7 }, update).await.unwrap();
    assert_eq!((updated.matched_count, updated.modified_count), (1, 1));
    let expected = doc! { "_id": 7, "n": 12, "a": { "b": 1 } };
    assert_eq!(things.find_one(doc! { "a.b": 1 }).await.unwrap(), Some(expected));
    let same = things.update_many(doc! { "n": 3 }, doc! { "$set": { "n": 3 } }).await.unwrap();
    assert_eq!((same.matched_count, same.modified_count), (25, 0));
    let replaced = things.replace_one(doc! { "_id": 8 }, doc! { "x": true }).await.unwrap();
    assert_eq!(replaced.modified_count, 1);
    assert_eq!(things.delete_one(doc! { "n": 3 }).await.unwrap().deleted_count, 1);
    assert_eq!(things.delete_many(doc! { "n": 3 }).await.unwrap().deleted_count, 24);
    let written = scene.simulator.ledger().written(DATABASE, "things");
    assert_eq!(written, Written { inserted: 250, updated: 2, deleted: 25 });
    assert_eq!(scene.simulator.dump(DATABASE, "things")[7], doc! { "_id": 8, "x": true });
}

#[tokio::test]
async fn an_ordered_batch_stops_at_a_duplicate_and_an_unordered_one_goes_on() {
    let scene = scene(Options::default()).await;
    scene.fill([2, 4]);
    let documents: Vec<Document> = (1..=5).map(|n| doc! { "_id": n }).collect();
    let insert = |ordered: bool| {
        scene.run(doc! { "insert": "things", "documents": documents.clone(), "ordered": ordered })
    };
    let reply = insert(true).await.unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 1);
    let error = reply.get_array("writeErrors").unwrap()[0].as_document().unwrap();
    assert_eq!(
        error,
        &doc! {
            "index": 1,
            "code": 11_000,
            "errmsg": "E11000 duplicate key error collection: shop.things index: _id_ dup key: \
                       { \"_id\": 2 }",
            "keyPattern": { "_id": 1 },
            "keyValue": { "_id": 2 },
        }
    );
    let reply = insert(false).await.unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 2);
    assert_eq!(indexes_of(&reply), [0, 1, 3]);
    assert_eq!(scene.ids(), [1, 2, 3, 4, 5].map(Bson::Int32));
}

fn indexes_of(reply: &Document) -> Vec<i32> {
    let errors = reply.get_array("writeErrors").unwrap();
    errors.iter().map(|it| it.as_document().unwrap().get_i32("index").unwrap()).collect()
}

#[tokio::test]
async fn upserts_insert_once_and_then_leave_what_is_there() {
    let scene = scene(Options::default()).await;
    let upsert = || {
        let statements: Vec<Document> = (0..1_000)
            .map(|n| {
                let update = doc! { "$setOnInsert": { "n": n, "in": { "x": 1 } } };
                doc! { "q": { "_id": n }, "u": update, "upsert": true }
            })
            .collect();
        scene.run(doc! { "update": "things", "updates": statements, "ordered": false })
    };
    let first = upsert().await.unwrap();
    assert_eq!((int(&first, "n"), int(&first, "nModified")), (1_000, 0));
    assert_eq!(first.get_array("upserted").unwrap()[999], doc! { "index": 999, "_id": 999 }.into());
    let second = upsert().await.unwrap();
    assert_eq!((int(&second, "n"), int(&second, "nModified")), (1_000, 0));
    assert!(!second.contains_key("upserted"));
    let written = scene.simulator.ledger().written(DATABASE, "things");
    assert_eq!(written, Written { inserted: 1_000, updated: 0, deleted: 0 });
    let expected = doc! { "_id": 5, "n": 5, "in": { "x": 1 } };
    assert_eq!(scene.simulator.dump(DATABASE, "things")[5], expected);
    let query = doc! { "name": "ann", "age": { "$gt": 3 }, "$and": [{ "in.x": { "$eq": 2 } }] };
    let things = scene.things();
    let by_fields = things.update_one(query, doc! { "$set": { "ok": true } }).upsert(true);
    let id = by_fields.await.unwrap().upserted_id.unwrap();
    let made = things.find_one(doc! { "name": "ann" }).await.unwrap().unwrap();
    assert_eq!(made, doc! { "_id": id, "name": "ann", "in": { "x": 2 }, "ok": true });
}

#[tokio::test]
async fn paging_by_id_meets_every_type_in_order_and_nothing_twice() {
    let scene = scene(Options::default()).await;
    let oid = bson::oid::ObjectId::from_bytes([7; 12]);
    let date = bson::DateTime::from_millis(5);
    let order: Vec<Bson> = vec![
        Bson::Null,
        Bson::Int32(-3),
        Bson::Double(0.5),
        Bson::Int64(7),
        "10".into(),
        "9".into(),
        doc! { "a": 1 }.into(),
        oid.into(),
        true.into(),
        date.into(),
    ];
    let documents = order.iter().rev().map(|id| raw(&doc! { "_id": id }));
    scene.simulator.insert(DATABASE, "things", documents).unwrap();
    let things = scene.things();
    let sorted = things.find(doc! {}).sort(doc! { "_id": 1 }).batch_size(3).await.unwrap();
    let sorted: Vec<Document> = sorted.try_collect().await.unwrap();
    let ids: Vec<Bson> = sorted.iter().map(|it| it.get("_id").unwrap().clone()).collect();
    assert_eq!(ids, order);
    let reverse = things.find(doc! {}).sort(doc! { "_id": -1 }).batch_size(4).await.unwrap();
    let reverse: Vec<Document> = reverse.try_collect().await.unwrap();
    assert_eq!(reverse.into_iter().rev().collect::<Vec<_>>(), sorted);
    // Page by page after the last one seen, across types.
    let (mut last, mut seen) = (Bson::MinKey, Vec::new());
    loop {
        let after = doc! { "$expr": { "$gt": ["$_id", { "$literal": &last }] } };
        let page = things.find(after).sort(doc! { "_id": 1 }).limit(3).await.unwrap();
        let page: Vec<Document> = page.try_collect().await.unwrap();
        let Some(end) = page.last() else { break };
        last = end.get("_id").unwrap().clone();
        seen.extend(page.iter().map(|it| it.get("_id").unwrap().clone()));
    }
    assert_eq!(seen, order);
    // A plain comparison stays within its type, but for the two ends of the order.
    let count = |filter: Document| things.count_documents(filter);
    assert_eq!(count(doc! { "_id": { "$gt": -3 } }).await.unwrap(), 2);
    assert_eq!(count(doc! { "_id": { "$gte": "10" } }).await.unwrap(), 2);
    assert_eq!(count(doc! { "_id": { "$gt": Bson::MinKey } }).await.unwrap(), 10);
    assert_eq!(count(doc! { "_id": { "$lt": Bson::MaxKey } }).await.unwrap(), 10);
    let bounded = things.find(doc! {}).min(doc! { "_id": "9" }).max(doc! { "_id": true });
    let bounded = bounded.hint(mongodb::options::Hint::Keys(doc! { "_id": 1 })).await.unwrap();
    let bounded: Vec<Document> = bounded.try_collect().await.unwrap();
    let bounded: Vec<Bson> = bounded.iter().map(|it| it.get("_id").unwrap().clone()).collect();
    assert_eq!(bounded, order[5..8]);
}

#[tokio::test]
async fn cursors_give_everything_in_batches_and_end() {
    let scene = scene(Options::default()).await;
    scene.fill(0..1_000);
    let find = |filter: Document| {
        scene.run(doc! { "find": "things", "filter": filter, "batchSize": 300, "limit": 650 })
    };
    for filter in [doc! {}, doc! { "n": { "$gte": 0 } }] {
        let first = find(filter).await.unwrap();
        let cursor = first.get_document("cursor").unwrap();
        let id = cursor.get_i64("id").unwrap();
        assert_eq!(cursor.get_array("firstBatch").unwrap().len(), 300);
        let mut sizes = Vec::new();
        loop {
            let more = doc! { "getMore": id, "collection": "things", "batchSize": 300 };
            let reply = scene.run(more).await.unwrap();
            let cursor = reply.get_document("cursor").unwrap();
            sizes.push(cursor.get_array("nextBatch").unwrap().len());
            if cursor.get_i64("id").unwrap() == 0 {
                break;
            }
        }
        assert_eq!(sizes, [300, 50]);
        let gone = scene.run(doc! { "getMore": id, "collection": "things" }).await;
        assert_eq!(refusal(gone).0, 43);
    }
    let first = find(doc! {}).await.unwrap();
    let id = first.get_document("cursor").unwrap().get_i64("id").unwrap();
    let killed = scene.run(doc! { "killCursors": "things", "cursors": [id, 999_i64] }).await;
    let killed = killed.unwrap();
    assert_eq!(killed.get_array("cursorsKilled").unwrap(), &vec![Bson::Int64(id)]);
    assert_eq!(killed.get_array("cursorsNotFound").unwrap(), &vec![Bson::Int64(999)]);
}

#[tokio::test]
async fn replies_stay_below_sixteen_megabytes() {
    let scene = scene(Options::default()).await;
    let pad = "x".repeat(5 * 1024 * 1024);
    let documents = (0..5).map(|n| raw(&doc! { "_id": n, "pad": &pad }));
    scene.simulator.insert(DATABASE, "things", documents).unwrap();
    let reply = scene.run(doc! { "find": "things", "batchSize": 100 }).await.unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("firstBatch").unwrap().len(), 3);
    let all: Vec<Document> =
        scene.things().find(doc! {}).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.len(), 5);
    let large = doc! { "_id": 9, "pad": "x".repeat(16 * 1024 * 1024) };
    let reply = scene.run(doc! { "insert": "things", "documents": [large] }).await;
    // The driver itself refuses such a command, or the server refuses the document.
    if let Ok(reply) = reply {
        let error = reply.get_array("writeErrors").unwrap()[0].as_document().unwrap().clone();
        assert_eq!(error.get_i32("code").unwrap(), 10_334);
    }
    assert_eq!(scene.simulator.len(DATABASE, "things"), 5);
}

#[tokio::test]
async fn of_eight_that_want_a_lease_each_time_one_gets_it() {
    let scene = scene(Options::default()).await;
    scene.fill(0..20);
    let client = &scene.client;
    let tasks = (0..8).map(|worker| {
        let things: Collection<Document> = client.database(DATABASE).collection("things");
        tokio::spawn(async move {
            let mut won = Vec::new();
            for id in 0..20 {
                let free = doc! { "_id": id, "owner": null };
                let take = doc! { "$set": { "owner": worker } };
                let found = things.find_one_and_update(free, take).await.unwrap();
                won.extend(found.map(|_| id));
            }
            won
        })
    });
    let mut won = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        won.extend(task.await.unwrap());
    }
    won.sort_unstable();
    assert_eq!(won, (0..20).collect::<Vec<i32>>());
    assert_eq!(scene.simulator.ledger().written(DATABASE, "things").updated, 20);
}

#[tokio::test]
async fn find_and_modify_shows_old_or_new_sorts_and_removes() {
    let scene = scene(Options::default()).await;
    scene.fill(0..5);
    let things = scene.things();
    let options = FindOneAndUpdateOptions::builder()
        .return_document(ReturnDocument::After)
        .sort(doc! { "n": -1 })
        .projection(doc! { "n": 1, "_id": 0 })
        .build();
    let update = doc! { "$inc": { "n": 10 } };
    let new = things.find_one_and_update(doc! {}, update.clone()).with_options(options);
    assert_eq!(new.await.unwrap(), Some(doc! { "n": 14 }));
    let made = things
        .find_one_and_update(doc! { "_id": 77 }, update)
        .upsert(true)
        .return_document(ReturnDocument::After);
    assert_eq!(made.await.unwrap(), Some(doc! { "_id": 77, "n": 10 }));
    let removed = things.find_one_and_delete(doc! { "n": { "$gte": 10 } }).await.unwrap();
    assert_eq!(removed, Some(doc! { "_id": 4, "n": 14 }));
    assert_eq!(scene.ids(), [0, 1, 2, 3, 77].map(Bson::Int32));
}

#[tokio::test]
async fn a_write_that_is_sent_again_under_its_number_is_done_once() {
    let scene = scene(Options::default()).await;
    let session = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![7; 16] };
    let insert = |number: i64| {
        doc! {
            "update": "things",
            "updates": [{ "q": { "_id": 1 }, "u": { "$inc": { "n": 1 } }, "upsert": true }],
            "lsid": { "id": session.clone() },
            "txnNumber": number,
        }
    };
    let mut wire = Wire::open(scene.address).await;
    let first = wire.call(&insert(4)).await;
    let again = wire.call(&insert(4)).await;
    assert!(first.contains_key("upserted"));
    assert_eq!(again.get("upserted"), first.get("upserted"));
    assert_eq!(scene.simulator.dump(DATABASE, "things"), [doc! { "_id": 1, "n": 1 }]);
    wire.call(&insert(5)).await;
    assert_eq!(scene.simulator.dump(DATABASE, "things"), [doc! { "_id": 1, "n": 2 }]);
    assert_eq!(wire.call(&insert(4)).await.get_i32("code").unwrap(), 225);
}

/// Speaks the wire protocol by hand, since the driver keeps `txnNumber` to itself.
struct Wire(tokio::net::TcpStream);

impl Wire {
    async fn open(address: SocketAddr) -> Self {
        Self(tokio::net::TcpStream::connect(address).await.unwrap())
    }

    async fn call(&mut self, command: &Document) -> Document {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut command = command.clone();
        command.insert("$db", DATABASE);
        let body = raw(&command).into_bytes();
        let mut message = Vec::new();
        for number in [body.len() as i32 + 21, 9, 0, 2_013, 0] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(&body);
        // In two parts, which must not matter.
        self.0.write_all(&message[..30]).await.unwrap();
        self.0.flush().await.unwrap();
        self.0.write_all(&message[30..]).await.unwrap();
        let length = self.0.read_i32_le().await.unwrap() as usize;
        let mut rest = vec![0; length - 4];
        self.0.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest[4..8], 9_i32.to_le_bytes());
        Document::try_from(RawDocumentBuf::from_bytes(rest[17..].to_vec()).unwrap()).unwrap()
    }
}
